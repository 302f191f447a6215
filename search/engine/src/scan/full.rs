//! Lists of exact vectors: compared as they arrive.
use spandrel_index::codes::CodeQuery;
use spandrel_index::format::FullLayout;
use spandrel_index::kernels::{Operation, PairKernel};
use spandrel_index::{Index, Location, Metric, Segment};
use spandrel_io::Merging;

use super::contract::{QueryRow, ReadList, Scan, Sink, check};
use crate::damage::DamageReason;
use crate::fetch::ListPlace;
use crate::subject::Query;
use crate::terms::{End, PIECE_BYTES};

/// Rows scored before their scores are looked at.
const BLOCK_ROWS: usize = 256;

/// Compares whole vectors.
pub(super) struct FullScan {
    kernel: PairKernel,
    layout: FullLayout,
    metric: Metric,
    scores: [f32; BLOCK_ROWS],
}

impl FullScan {
    pub(super) fn new(index: &Index, layout: FullLayout) -> FullScan {
        let operation = match index.metric() {
            Metric::L2 => Operation::SquaredL2,
            Metric::InnerProduct | Metric::Cosine => Operation::InnerProduct,
        };
        FullScan {
            kernel: PairKernel::new(operation, index.dtype(), index.dim()),
            layout,
            metric: index.metric(),
            scores: [0.0; BLOCK_ROWS],
        }
    }
}

impl Scan for FullScan {
    /// On 1 000 000 SIFT vectors, gaps of 8 KiB saved 6 % of the requests and cost 4 % more bytes: not worth it.
    fn gap_bytes(&self, _: Merging) -> u64 {
        0
    }

    fn prepare(&mut self, _: &Index, _: &Segment, _: QueryRow<'_>, _: &mut CodeQuery) {}

    /// None are in memory.
    fn scan_resident(
        &mut self,
        _query: &Query<'_>,
        _places: &[ListPlace],
        _into: Sink<'_>,
        _end: &mut dyn FnMut() -> Option<End>,
    ) -> Option<End> {
        None
    }

    fn scan_matches(
        &mut self,
        _query: &Query<'_>,
        _into: Sink<'_>,
        _end: &mut dyn FnMut() -> Option<End>,
    ) -> Option<End> {
        unreachable!("exact vectors have no codes to be compared")
    }

    fn scan_read(
        &mut self,
        query: &Query<'_>,
        list: ReadList<'_>,
        sink: Sink<'_>,
        end: &mut dyn FnMut() -> Option<End>,
    ) -> Result<Option<End>, DamageReason> {
        let Sink { found, progress, .. } = sink;
        let segment = query.segment(list.place.segment);
        if let Some(end) = check(segment, list, end)? {
            return Ok(Some(end));
        }
        let (place, vectors) = (list.place, segment.count);
        let view = self.layout.view(list.bytes, place.primaries, place.replicas, vectors);
        let view = view.map_err(|stray| DamageReason::Position { position: stray.position, vectors })?;
        progress.clock.lap(|times| &mut times.verify_us);
        let row_bytes = self.layout.row_bytes;
        let start = segment.directory.first_position(place.list);
        let is_accepted = |entry: usize| {
            let position = || match entry.checked_sub(place.primaries as usize) {
                None => start + entry as u32, // CAST: a position of the segment, below 2^32
                Some(replica) => view.position(replica),
            };
            query.accept.is_all() || query.accept.has(Location::new(place.segment, position()))
        };
        let piece_blocks = (PIECE_BYTES / (BLOCK_ROWS * row_bytes)).max(1);
        let mut first = 0;
        let scanned = &view.vectors[..list.place.scanned as usize * row_bytes];
        for (block, rows) in scanned.chunks(BLOCK_ROWS * row_bytes).enumerate() {
            if block > 0
                && block % piece_blocks == 0
                && let Some(end) = end()
            {
                progress.scanned(list.place.key(), first as u64); // CAST: widening, here and below
                return Ok(Some(end));
            }
            let scores = &mut self.scores[..rows.len() / row_bytes];
            self.kernel.score_rows(query.exact.row, rows, scores);
            match self.metric {
                Metric::L2 => {}
                Metric::InnerProduct => scores.iter_mut().for_each(|s| *s = -*s),
                Metric::Cosine => {
                    for (at, score) in scores.iter_mut().enumerate() {
                        *score = query.exact.cosine_score(*score, view.inverse_norm(first + at));
                    }
                }
            }
            let limit = found.exact_limit();
            for (at, &score) in scores.iter().enumerate() {
                // Lets a NaN through to the comparison of keys.
                let is_far = score > limit;
                if !is_far && is_accepted(first + at) {
                    found.exact(score, view.id(first + at));
                }
            }
            first += scores.len();
        }
        progress.scanned(list.place.key(), first as u64);
        progress.clock.lap(|times| &mut times.scan_us);
        Ok(None)
    }
}
