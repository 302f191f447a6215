//! The bytes of a list as stored.
use spandrel_index::codes::{CodeBlocks, CodeModel, Encoder};
use spandrel_index::format::{FullEntries, ListLayout};
use spandrel_index::{HeadSpace, Metric, Outliers, Spread, for_each_element, inverse_norm, list_radius};

use super::list::FormedList;
use super::records::RecordLayout;
use crate::config::Params;

/// What all lists are encoded by.
pub(super) struct Encoding<'a> {
    pub(super) params: &'a Params,
    pub(super) space: HeadSpace,
    pub(super) layout: ListLayout,
    /// That of a coded layout.
    pub(super) model: Option<&'a CodeModel>,
    /// Of each row, where lists have replicas.
    pub(super) positions: &'a [u32],
    /// That of the vectors in `space`.
    pub(super) spread: &'a Spread,
}

/// A list as it is stored.
pub(super) struct Encoded {
    /// Its entries, primaries first.
    pub(super) bytes: Vec<u8>,
    /// Among the primaries.
    pub(super) outliers: Outliers,
    /// Largest distance of a primary from the head.
    pub(super) radius: f32,
}

/// Encodes lists one after the other; each thread has its own.
pub(super) struct ListEncoder<'a> {
    by: &'a Encoding<'a>,
    encoder: Option<Encoder<'a>>,
    rows: Vec<f32>,
    head: Vec<f32>,
    blocks: CodeBlocks,
}

impl<'a> ListEncoder<'a> {
    pub(super) fn new(by: &'a Encoding<'a>) -> ListEncoder<'a> {
        let encoder = by.model.map(Encoder::new);
        ListEncoder { by, encoder, rows: Vec::new(), head: Vec::new(), blocks: CodeBlocks::default() }
    }

    /// Encodes a list out of the records of its group.
    pub(super) fn encode(&mut self, records: &[u8], list: &FormedList) -> Encoded {
        let &Encoding { params, space, positions, .. } = self.by;
        let layout = RecordLayout::of_filed(params);
        let record = |&pick: &u32| layout.record(records, pick);
        let entries = list.primaries.iter().chain(&list.replicas).map(record);
        self.rows.clear();
        entries.clone().for_each(|record| {
            space.float_vector(params.dtype, layout.vector(record), &mut self.rows);
        });
        let mut outliers = Outliers::default();
        for row in self.rows.chunks_exact(params.head_dim()).take(list.primaries.len()) {
            outliers.see(self.by.spread, &row[..params.dim]);
        }
        self.head.clear();
        for_each_element(params.head_dtype(), &list.head, |x| self.head.push(x));
        let primaries = &self.rows[..list.primaries.len() * params.head_dim()];
        let radius = list_radius(&self.head, primaries, params.head_dim(), params.dim);
        let position = |record: &[u8]| positions[layout.row(record) as usize];
        let positions: Vec<u32> = list.replicas.iter().map(record).map(position).collect();
        let mut bytes = Vec::new();
        match (self.by.layout, &mut self.encoder) {
            (ListLayout::Coded(coded), Some(encoder)) => {
                encoder.encode(&self.rows, &self.head, &mut self.blocks);
                coded.write(&self.blocks.rows, &self.blocks.factors, &positions, &mut bytes);
            }
            (ListLayout::Full(full), _) => {
                let (mut vectors, mut norms, mut ids) = (Vec::new(), Vec::new(), Vec::new());
                for record in entries {
                    let vector = layout.vector(record);
                    vectors.extend_from_slice(vector);
                    if params.metric == Metric::Cosine {
                        norms.push(inverse_norm(params.dtype, vector));
                    }
                    ids.push(layout.id(record));
                }
                let entries =
                    FullEntries { vectors: &vectors, norms: &norms, ids: &ids, positions: &positions };
                full.write(&entries, &mut bytes);
            }
            (ListLayout::Coded(_), None) => unreachable!("lists of codes have a model"),
        }
        Encoded { bytes, outliers, radius }
    }
}
