//! The bytes of a list as stored.
use spandrel_index::codes::{CodeBlocks, CodeModel, Encoder};
use spandrel_index::format::ListLayout;
use spandrel_index::{HeadSpace, Metric, Outliers, Spread, for_each_element, inverse_norm};

use super::RecordLayout;
use super::list::FormedList;
use crate::config::Params;

/// Encodes lists one after the other; each thread has its own.
pub(super) struct ListEncoder<'a> {
    params: &'a Params,
    space: HeadSpace,
    layout: ListLayout,
    encoder: Option<Encoder<'a>>,
    /// Of each row, where lists of codes have replicas.
    positions: &'a [u32],
    spread: &'a Spread,
    rows: Vec<f32>,
    head: Vec<f32>,
    blocks: CodeBlocks,
}

impl<'a> ListEncoder<'a> {
    /// `model` is that of a coded layout; `spread` is that of the vectors in `space`.
    pub(super) fn new(
        params: &'a Params,
        (space, spread): (HeadSpace, &'a Spread),
        layout: ListLayout,
        model: Option<&'a CodeModel>,
        positions: &'a [u32],
    ) -> ListEncoder<'a> {
        ListEncoder {
            params,
            space,
            layout,
            encoder: model.map(Encoder::new),
            positions,
            spread,
            rows: Vec::new(),
            head: Vec::new(),
            blocks: CodeBlocks::default(),
        }
    }

    /// The list's entries out of the records of its group, primaries first, and the outliers among the primaries.
    pub(super) fn encode(&mut self, records: &[u8], list: &FormedList) -> (Vec<u8>, Outliers) {
        let layout = RecordLayout::of_filed(self.params);
        let record = |&pick: &u32| &records[pick as usize * layout.bytes..][..layout.bytes];
        let entries = list.primaries.iter().chain(&list.replicas).map(record);
        self.rows.clear();
        entries.clone().for_each(|record| {
            self.space.float_vector(self.params.dtype, layout.vector(record), &mut self.rows);
        });
        let mut outliers = Outliers::default();
        for row in self.rows.chunks_exact(self.params.head_dim()).take(list.primaries.len()) {
            outliers.see(self.spread, &row[..self.params.dim]);
        }
        let mut bytes = Vec::new();
        match (self.layout, &mut self.encoder) {
            (ListLayout::Coded(coded), Some(encoder)) => {
                self.head.clear();
                for_each_element(self.params.head_dtype(), &list.head, |x| self.head.push(x));
                encoder.encode(&self.rows, &self.head, &mut self.blocks);
                let position = |record: &[u8]| self.positions[layout.row(record) as usize];
                let positions: Vec<u32> = list.replicas.iter().map(record).map(position).collect();
                coded.write(&self.blocks.rows, &self.blocks.factors, &positions, &mut bytes);
            }
            (ListLayout::Full(full), _) => {
                let (mut vectors, mut norms, mut ids) = (Vec::new(), Vec::new(), Vec::new());
                for record in entries {
                    let vector = layout.vector(record);
                    vectors.extend_from_slice(vector);
                    if self.params.metric == Metric::Cosine {
                        norms.push(inverse_norm(self.params.dtype, vector));
                    }
                    ids.push(layout.id(record));
                }
                full.write(&vectors, &norms, &ids, &mut bytes);
            }
            (ListLayout::Coded(_), None) => unreachable!("lists of codes have a model"),
        }
        (bytes, outliers)
    }
}
