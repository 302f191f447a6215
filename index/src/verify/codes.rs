//! The codes of lists against the vectors they stand for: primaries and replicas.
use super::encodings::Encodings;
use super::error::VerifyError;
use super::primaries::Primaries;
use super::radii::Radii;
use super::records::PageReader;
use super::watch::Watch;
use crate::codes::{CodeBlocks, Encoder};
use crate::format::{CodedLayout, DirectoryEntry, OpenError, VectorsOf};
use crate::{Segment, for_each_element};

/// Bytes of lists and their vectors held while replicas are looked up.
const BATCH_BYTES: usize = 128 << 20;

/// A list whose codes are still to be compared.
struct Held {
    list: u32,
    entry: DirectoryEntry,
    /// Where its bytes start in [`Recoder::codes`].
    codes_at: usize,
    /// Where its vectors start in [`Recoder::vectors`], primaries first.
    vectors_at: usize,
}

/// A replica's vector to be read.
struct Wanted {
    position: u32,
    /// Where it goes in [`Recoder::vectors`].
    at: usize,
}

/// Makes the codes of lists once more, where this machine rounds as the one that built the index.
///
/// A block of sixteen shares the scales of its factors, so lists are encoded whole, and many lists at a time are held, so
/// that the vectors of their replicas are read in the order of positions.
pub(super) struct Recoder<'a> {
    segment: &'a Segment,
    layout: CodedLayout,
    encoder: Option<Encoder<'a>>,
    /// None where the vectors are not kept.
    pages: Option<PageReader<'a>>,
    /// What makes them where they are encodings of documents, as the machine made them that built the index.
    encodings: Option<Encodings<'a>>,
    held: Vec<Held>,
    codes: Vec<u8>,
    vectors: Vec<u8>,
    wanted: Vec<Wanted>,
    rows: Vec<f32>,
    head: Vec<f32>,
    blocks: CodeBlocks,
    radii: Radii,
    /// Replicas compared so far.
    replicas: u64,
}

impl<'a> Recoder<'a> {
    pub(super) fn new(segment: &'a Segment, layout: CodedLayout, same_codes: bool) -> Recoder<'a> {
        Recoder {
            segment,
            layout,
            encoder: segment.model.as_deref().filter(|_| same_codes).map(Encoder::new),
            pages: segment.held(VectorsOf::Main).map(|_| PageReader::new(segment, VectorsOf::Main)),
            encodings: Encodings::of(segment).filter(|_| same_codes),
            held: Vec::new(),
            codes: Vec::new(),
            vectors: Vec::new(),
            wanted: Vec::new(),
            rows: Vec::new(),
            head: Vec::new(),
            blocks: CodeBlocks::default(),
            radii: Radii::default(),
            replicas: 0,
        }
    }

    /// Takes the bytes of the next list, whose hash held, and the vectors of its primaries where these are kept or can be made again.
    pub(super) fn add(
        &mut self,
        list: u32,
        bytes: &[u8],
        primaries: Option<&mut Primaries>,
        watch: &mut Watch<'_>,
    ) -> Result<(), VerifyError> {
        let segment = self.segment;
        let entry = segment.directory.entry(list);
        let view = self
            .layout
            .view(bytes, entry.primaries, entry.replicas, segment.count)
            .map_err(|stray| OpenError::stray(&segment.codes.path, list, stray, segment.count))?;
        let vectors_at = self.vectors.len();
        match (primaries, &mut self.encodings) {
            (Some(primaries), _) => {
                for _ in 0..entry.primaries {
                    self.vectors.extend_from_slice(primaries.next_vector(segment, watch)?);
                }
            }
            (None, Some(encodings)) => {
                for position in segment.directory.positions(list) {
                    self.vectors.extend(encodings.at(position, watch)?);
                }
            }
            // Of a column alone: the codes cannot be made again.
            (None, None) => return Ok(()),
        }
        self.radii.check(segment, list, self.vectors.get(vectors_at..).unwrap_or_default())?;
        if self.encoder.is_none() {
            self.vectors.clear();
            return Ok(());
        }
        for replica in 0..entry.replicas as usize {
            self.wanted.push(Wanted { position: view.position(replica), at: self.vectors.len() });
            self.vectors.resize(self.vectors.len() + segment.shape().row_bytes(), 0);
        }
        self.held.push(Held { list, entry, codes_at: self.codes.len(), vectors_at });
        self.codes.extend_from_slice(bytes);
        if self.codes.len() + self.vectors.len() < BATCH_BYTES { Ok(()) } else { self.compare(watch) }
    }

    /// Compares the last lists: how many replicas were compared with their vectors in all.
    pub(super) fn finish(mut self, watch: &mut Watch<'_>) -> Result<u64, VerifyError> {
        self.compare(watch)?;
        Ok(self.replicas)
    }

    fn compare(&mut self, watch: &mut Watch<'_>) -> Result<(), VerifyError> {
        self.wanted.sort_unstable_by_key(|wanted| wanted.position);
        for wanted in &self.wanted {
            let row_bytes = self.segment.shape().row_bytes();
            let place = self.vectors.get_mut(wanted.at..wanted.at + row_bytes).unwrap_or_default();
            match (&mut self.pages, &mut self.encodings) {
                (Some(pages), _) => place.copy_from_slice(pages.record(wanted.position, watch)?.vector),
                (None, Some(encodings)) => {
                    let made = encodings.at(wanted.position, watch)?;
                    place.iter_mut().zip(made).for_each(|(place, byte)| *place = byte);
                }
                (None, None) => unreachable!("replicas are wanted where vectors are kept or made again"),
            }
        }
        for held in std::mem::take(&mut self.held) {
            watch.step(0)?;
            self.compare_list(&held)?;
        }
        self.replicas += self.wanted.len() as u64;
        self.wanted.clear();
        self.codes.clear();
        self.vectors.clear();
        Ok(())
    }

    fn compare_list(&mut self, held: &Held) -> Result<(), VerifyError> {
        let (segment, entry) = (self.segment, held.entry);
        let (space, dtype) = (segment.shape().space, segment.shape().dtype);
        let Some(encoder) = &mut self.encoder else { return Ok(()) };
        let vectors = self.vectors.get(held.vectors_at..).unwrap_or_default();
        self.rows.clear();
        for vector in vectors.chunks_exact(segment.shape().row_bytes()).take(entry.count()) {
            space.float_vector(dtype, vector, &mut self.rows);
        }
        self.head.clear();
        let heads = &segment.heads;
        for_each_element(heads.dtype(), heads.row(held.list), |x| self.head.push(x));
        encoder.encode(&self.rows, &self.head, &mut self.blocks);
        let bytes = self.codes.get(held.codes_at..).unwrap_or_default();
        let same = self
            .layout
            .view(bytes, entry.primaries, entry.replicas, segment.count)
            .is_ok_and(|view| self.blocks.rows == view.rows && self.blocks.factors == view.factors);
        if same {
            return Ok(());
        }
        let field = format!("code of list {}", held.list);
        Err(OpenError::field(&segment.codes.path, field, "that of other vectors", "that of its own").into())
    }
}
