//! Rows of the index that are used as queries, each leaving itself out, and others.
use std::ops::Range;
use std::sync::Arc;

use spandrel_index::codes::is_held_out;
use spandrel_index::format::{BODY_AT, PageLayout, Record, VectorsOf};
use spandrel_index::{Index, Location, Segment};
use spandrel_io::{Direct, ReadFile};

use super::error::CalibrateError;
use super::part::step;
use crate::damage::DamagedPart;
use crate::files::open_file;

/// Vectors of which one is a query, between the fewest queries and the most: two thirds of 1200 know a recall of 0.95 to a
/// third of a percent, and calibrating is to take a tenth of the build.
const VECTORS_PER_QUERY: u64 = 1500;
const QUERIES_MIN: u64 = 1200;
const QUERIES_MAX: u64 = 1800;
/// A query finds its one nearest neighbour or not, which is all that it tells of a search for one: 800 queries know a recall of 0.80 to 0.014 and
/// 0.95 to 0.008. Where they are compared with little, up to this many times the queries are asked for one neighbour.
const TIMES_MAX: u64 = 3;
/// Elements that they are compared with, all times together, at most: 20 million of an index are compared with three times the queries.
const ELEMENTS_OF_TIMES: u64 = 60_000_000;
/// Vectors of which one at most is a query for that.
const VECTORS_OF_TIMES: u64 = 10;

/// With fewer vectors that trained no code, all may be queries.
const HELD_OUT_MIN: usize = 100;

/// Queries that stand for those to come.
pub(super) struct Queries {
    pub(super) rows: Vec<u8>,
    pub(super) count: usize,
    /// Of rows of the index, which each is.
    pub(super) own: Option<Vec<Own>>,
    /// All of them are asked for one neighbour, and one of this number for more.
    pub(super) times: usize,
}

/// A vector of the index that is a query.
#[derive(Debug, Clone, Copy)]
pub(super) struct Own {
    pub(super) location: Location,
    pub(super) id: u64,
}

impl Queries {
    /// Takes rows at equal distances in the order of positions, so that every part of the data has its share: of those that trained no code,
    /// where some were held out.
    pub(super) fn read(index: &Index) -> Result<Queries, CalibrateError> {
        let held = held_out(index)?;
        let vectors = held.as_ref().map_or(index.vectors(), |held| held.len() as u64); // CAST: widening
        let count = (vectors / VECTORS_PER_QUERY).clamp(QUERIES_MIN, QUERIES_MAX).min(vectors);
        let elements = (vectors * index.dim() as u64).max(1); // CAST: widening
        let times = (ELEMENTS_OF_TIMES / elements)
            .min(vectors / (VECTORS_OF_TIMES * count.max(1)))
            .clamp(1, TIMES_MAX);
        let count = times * count;
        let (mut rows, mut own) = (Vec::new(), Vec::new());
        let (mut first, mut page, mut next) = (0, Vec::new(), 0);
        for (number, segment) in (0..).zip(index.segments()) {
            let pages = Pages::open(segment)?;
            let position_of = |at: u64| {
                let at = place(at, times, count, vectors);
                held.as_ref().map_or(at, |held| held[at as usize]) // CAST: a place among them
            };
            let in_segment = |at: u64| position_of(at) - first;
            while next < count && in_segment(next) < segment.count {
                let position = in_segment(next) as u32; // CAST: vectors of a segment are fewer than 2^32
                let (page_number, slot) = pages.layout.place(position);
                pages.read(page_number..page_number + 1, &mut page)?;
                let Record { vector, id, .. } = pages.layout.record(&page, slot);
                rows.extend_from_slice(vector);
                own.push(Own { location: Location::new(number, position), id });
                next += 1;
            }
            first += segment.count;
        }
        let times = times as usize; // CAST: usize is 64 bits
        Ok(Queries { rows, count: own.len(), own: Some(own), times })
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The distance between those of them that are asked for `k` neighbours.
    pub(super) fn step(&self, k: u32) -> usize {
        if k == 1 { 1 } else { self.times * step(k, self.count / self.times) }
    }

    /// Row of a query.
    pub(super) fn row(&self, query: usize) -> &[u8] {
        let row_bytes = self.rows.len() / self.len();
        &self.rows[query * row_bytes..][..row_bytes]
    }
}

/// Positions of the vectors that were held out of what codes are trained with, ascending; none where all trained it, or too few are left.
fn held_out(index: &Index) -> Result<Option<Vec<u64>>, CalibrateError> {
    if !index.code().holds_out(index.vectors(), index.dim()) {
        return Ok(None);
    }
    let (mut held, mut first) = (Vec::new(), 0);
    for segment in index.segments() {
        let pages = Pages::open(segment)?;
        let (mut page, mut loaded) = (Vec::new(), None);
        for position in 0..segment.count as u32 {
            // CAST: vectors of a segment are fewer than 2^32
            let (number, slot) = pages.layout.place(position);
            if loaded != Some(number) {
                pages.read(number..number + 1, &mut page)?;
                loaded = Some(number);
            }
            if is_held_out(pages.layout.record(&page, slot).vector) {
                held.push(first + u64::from(position));
            }
        }
        first += segment.count;
    }
    Ok(Some(held).filter(|held| held.len() >= HELD_OUT_MIN))
}

/// Position of the query `at` of `count`. Every `times`-th is where it would be with one neighbour's queries left out: what is learned of more
/// neighbours does not move with them.
fn place(at: u64, times: u64, count: u64, vectors: u64) -> u64 {
    ((2 * at + times) * vectors / (2 * count)).min(vectors - 1)
}

/// Pages of vectors, read from front to back.
pub(crate) struct Pages {
    file: Arc<ReadFile>,
    pub(crate) layout: PageLayout,
    uuid: u128,
}

impl Pages {
    pub(crate) fn open(segment: &Segment) -> Result<Pages, CalibrateError> {
        // What was just written is in the system's cache.
        let vectors = segment.vectors(VectorsOf::Main);
        let file = open_file(&*vectors.blob, vectors.body_bytes, Direct::Off)?;
        Ok(Pages { file, layout: vectors.layout, uuid: vectors.uuid })
    }

    /// Replaces `out` with some pages, each checked.
    pub(crate) fn read(&self, pages: Range<u64>, out: &mut Vec<u8>) -> Result<(), CalibrateError> {
        let page_bytes = self.layout.page_bytes();
        out.resize((pages.end - pages.start) as usize * page_bytes, 0); // CAST: usize is 64 bits
        self.file.read_into(BODY_AT + pages.start * page_bytes as u64, out)?;
        let mut read = pages.zip(out.chunks_exact(page_bytes));
        let is_damaged =
            |(number, page): &(u64, &[u8])| self.layout.check_page(self.uuid, *number, page).is_err();
        match read.find(is_damaged) {
            None => Ok(()),
            Some((number, _)) => {
                let path = self.file.path().to_owned();
                Err(CalibrateError::Damaged { path, part: DamagedPart::Page(number) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_for_one_neighbour_move_no_others() {
        for times in 1..=TIMES_MAX {
            for (count, vectors) in [(1200, 12_000 * times), (1200, 200_003), (1800, 1_000_000)] {
                let places: Vec<u64> =
                    (0..times * count).map(|at| place(at, times, times * count, vectors)).collect();
                assert!(places.is_sorted_by(|a, b| a < b), "{times} times {count} of {vectors}");
                assert!(places.last().is_some_and(|&last| last < vectors));
                let others = places.into_iter().step_by(times as usize); // CAST: usize is 64 bits
                assert!(others.eq((0..count).map(|at| place(at, 1, count, vectors))));
            }
        }
    }
}
