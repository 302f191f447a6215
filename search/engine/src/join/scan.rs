//! A group of queries on its way through the lists near it. One scanner a thread.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use spandrel_index::format::{Record, VectorsOf};
use spandrel_index::kernels::{LeftRows, Operation, below};
use spandrel_index::{Index, Location, Metric, inverse_norm, norm_squared};

use super::groups::{GroupRows, Part, all_lists};
use super::lists::{JoinList, ListAt, Lists, rounds};
use super::near::{Looks, NearFinder};
use super::nearest::RowNearest;
use super::reach::{Picker, Reach};
use super::row::{EntryAt, Row};
use super::sample::RowDistances;
use crate::rerank::Reranker;
use crate::subject::Prepared;

use super::error::JoinError;

/// By how much a score of a product may be too large, of the sum of squared lengths.
const ROUNDING: f32 = 1e-5;

/// Rows that are compared with a list together: their scores stay in the L1 cache. Whole tiles of 6 rows (AVX2, NEON) and of 12 (AVX-512).
pub(super) const ROWS_TOGETHER: usize = 36;
/// Vectors that are offered together to a row that has no limit yet.
const FIRST: usize = 32;

/// How thoroughly groups are searched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Spend {
    /// Every list.
    All,
    /// Of the `lists` nearest to its part of the group, those that a row reaches.
    Near { lists: u32, reach: Reach },
    /// Of these, those that may hold a vector within the radius if they are no wider than the row's nearest.
    Within { lists: u32 },
}

/// What scanning took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ScanWork {
    /// Pairs of a row and a vector that were compared.
    pub(super) pairs: u64,
    /// Pairs of a row and a head.
    pub(super) head_distances: u64,
    /// Lists that rows looked into, each row counted.
    pub(super) looks: u64,
}

impl ScanWork {
    pub(super) fn add(&mut self, other: ScanWork) {
        self.pairs += other.pairs;
        self.head_distances += other.head_distances;
        self.looks += other.looks;
    }
}

/// Rows that look into a list.
#[derive(Clone, Copy)]
struct Looking<'a> {
    at: ListAt,
    list: &'a JoinList,
    /// Their numbers among the rows of the group.
    numbers: &'a [u32],
    /// All rows of the group, packed.
    left: &'a LeftRows,
    /// These rows as they were given, back to back.
    rows: &'a [u8],
    /// Where a vector found is named by its location, that of the list's first.
    first: Option<Location>,
}

/// Scans groups.
pub(super) struct Scanner<'a> {
    index: &'a Arc<Index>,
    lists: &'a Lists,
    k: usize,
    /// Score of the radius.
    limit: f32,
    operation: Operation,
    reranker: Reranker,
    near: NearFinder<'a>,
    scores: Vec<f32>,
    picks: Vec<u32>,
    looks: Looks,
    stop: &'a AtomicBool,
    gathered: LeftRows,
    pub(super) work: ScanWork,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(
        index: &'a Arc<Index>,
        lists: &'a Lists,
        k: usize,
        limit: f32,
        stop: &'a AtomicBool,
    ) -> Scanner<'a> {
        Scanner {
            index,
            lists,
            k,
            limit,
            operation: match index.metric() {
                Metric::L2 => Operation::SquaredL2,
                Metric::InnerProduct | Metric::Cosine => Operation::InnerProduct,
            },
            reranker: Reranker::of(index.shape_of(VectorsOf::Main)),
            near: NearFinder::new(index),
            scores: Vec::new(),
            picks: Vec::new(),
            looks: Looks::default(),
            stop,
            gathered: LeftRows::default(),
            work: ScanWork::default(),
        }
    }

    /// The nearest of each row of a group among the lists near it.
    pub(super) fn scan(&mut self, rows: &GroupRows, spend: Spend) -> Result<Vec<RowNearest>, JoinError> {
        let of_rows = self.rows(rows);
        self.scan_rows(rows, of_rows, spend)
    }

    /// The same, where no score above its limit is wanted by a row.
    pub(super) fn scan_within(
        &mut self,
        rows: &GroupRows,
        spend: Spend,
        limits: &[f32],
    ) -> Result<Vec<RowNearest>, JoinError> {
        let mut of_rows = self.rows(rows);
        for (row, &limit) in of_rows.iter_mut().zip(limits) {
            row.nearest = RowNearest::new(self.k, limit);
        }
        self.scan_rows(rows, of_rows, spend)
    }

    fn scan_rows(
        &mut self,
        rows: &GroupRows,
        mut of_rows: Vec<Row>,
        spend: Spend,
    ) -> Result<Vec<RowNearest>, JoinError> {
        if spend == Spend::All {
            self.scan_all(&rows.rows, &mut of_rows, false)?;
            return Ok(of_rows.into_iter().map(|row| row.nearest).collect());
        }
        let mut looks = std::mem::take(&mut self.looks);
        looks.clear();
        self.look(rows, &mut of_rows, spend, &mut looks);
        let left = self.lists.kernel.pack_left(&rows.rows);
        for look in looks.in_order() {
            let found = self.list(look.list)?;
            let (list, numbers) = (&*found, &look.rows[..]);
            let looking =
                Looking { at: look.list, list, numbers, left: &left, rows: &rows.rows, first: None };
            self.compare(looking, &mut of_rows);
        }
        self.looks = looks;
        Ok(of_rows.into_iter().map(|row| row.nearest).collect())
    }

    /// Finds which rows of a group look into which lists.
    fn look(&mut self, rows: &GroupRows, of_rows: &mut [Row], spend: Spend, looks: &mut Looks) {
        let (Spend::Near { lists, .. } | Spend::Within { lists }) = spend else { return };
        let mut picker = match spend {
            Spend::Near { reach, .. } => Some(Picker::new(reach)),
            _ => None,
        };
        self.near.set(rows);
        for part in &rows.parts {
            let near = self.near.of_part(part, lists);
            looks.begin_part(near.lists.len());
            for (number, distances) in part.rows.clone().zip(near.of_rows()) {
                let row = &mut of_rows[number];
                row.first = distances.iter().copied().fold(f32::INFINITY, f32::min);
                match &mut picker {
                    Some(picker) => picker.pick(row.first, distances, &mut self.picks),
                    None => {
                        self.picks.clear();
                        below(distances, row.within(), &mut self.picks);
                    }
                }
                for rank in self.picks.iter().map(|&pick| pick as usize) {
                    looks.add(near.lists[rank], rank, number as u32); // CAST: rows of a group are numbered by u32
                }
            }
        }
        self.work.head_distances += std::mem::take(&mut self.near.computed);
    }

    /// The nearest of each row of some groups among all vectors, these named by their locations.
    pub(super) fn truth(&mut self, groups: &[GroupRows]) -> Result<Vec<RowNearest>, JoinError> {
        let mut of_rows: Vec<Row> = groups.iter().flat_map(|rows| self.rows(rows)).collect();
        let rows: Vec<u8> = groups.iter().flat_map(|rows| &rows.rows).copied().collect();
        self.scan_all(&rows, &mut of_rows, true)?;
        Ok(of_rows.into_iter().map(|row| row.nearest).collect())
    }

    /// Compares all rows with all vectors.
    fn scan_all(&mut self, rows: &[u8], of_rows: &mut [Row], by_location: bool) -> Result<(), JoinError> {
        let left = self.lists.kernel.pack_left(rows);
        let numbers: Vec<u32> = (0..of_rows.len() as u32).collect(); // CAST: rows of a group are numbered by u32
        for at in all_lists(self.index) {
            let found = self.list(at)?;
            let first = self.lists.directory(at.segment).positions(at.list).start;
            let first = by_location.then(|| Location::new(at.segment, first));
            self.compare(Looking { at, list: &found, numbers: &numbers, left: &left, rows, first }, of_rows);
        }
        Ok(())
    }

    /// The lists near each part of a group, with the distances of its rows.
    pub(super) fn row_distances(&mut self, rows: &GroupRows, lists: u32) -> Vec<RowDistances> {
        self.near.set(rows);
        let mut found = Vec::new();
        for part in &rows.parts {
            let near = self.near.of_part(part, lists);
            found.extend(near.of_rows().map(|distances| RowDistances::of(near.lists, distances)));
        }
        self.work.head_distances += std::mem::take(&mut self.near.computed);
        found
    }

    /// The vectors of a list, unless the join is to stop.
    fn list(&self, at: ListAt) -> Result<Arc<JoinList>, JoinError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(JoinError::Stopped { groups: 0 });
        }
        self.lists.get(at)
    }

    /// The rows of a group, each with nothing found.
    fn rows(&self, rows: &GroupRows) -> Vec<Row> {
        let (dtype, space) = (self.index.dtype(), self.index.space());
        let (is_cosine, does_round) = (self.index.metric() == Metric::Cosine, rounds(dtype));
        let one = |row: &[u8]| {
            let offset = space.distance_of_score(0.0, dtype, row);
            Row {
                nearest: RowNearest::new(self.k, self.limit),
                own: None,
                inverse_norm: if is_cosine { inverse_norm(dtype, row) } else { 0.0 },
                // CAST: rounds
                length_squared: if does_round { norm_squared(dtype, row) as f32 } else { 0.0 },
                offset,
                scale: space.distance_of_score(1.0, dtype, row) - offset,
                first: f32::INFINITY,
            }
        };
        let mut of_rows: Vec<Row> = rows.rows.chunks_exact(self.index.row_bytes()).map(one).collect();
        for Part { list, rows, own_from } in &rows.parts {
            let Some(first) = own_from else { continue };
            for (row, entry) in of_rows[rows.clone()].iter_mut().zip(*first..) {
                row.own = Some(EntryAt { list: *list, entry });
            }
        }
        of_rows
    }

    /// Compares the rows that look into a list with all of its vectors, some at a time.
    fn compare(&mut self, looking: Looking<'_>, rows: &mut [Row]) {
        let Looking { list, numbers, left, .. } = looking;
        let width = list.ids.len();
        let are_all = numbers.len() == rows.len();
        self.work.looks += numbers.len() as u64; // CAST: widening, here and below
        self.work.pairs += (numbers.len() * width) as u64;
        for (some, first) in numbers.chunks(ROWS_TOGETHER).zip((0..).step_by(ROWS_TOGETHER)) {
            // What is there is written over.
            self.scores.resize(some.len() * width, 0.0);
            let left = match are_all {
                true => left.range(first..first + some.len()),
                false => {
                    left.gather(some, &mut self.gathered);
                    self.gathered.all()
                }
            };
            self.lists.kernel.scores(self.operation, left, list.packed.all(), &mut self.scores);
            let mut scores = std::mem::take(&mut self.scores);
            for (&number, scores) in some.iter().zip(scores.chunks_exact_mut(width.max(1))) {
                let number = number as usize;
                self.offer(looking, number, &mut rows[number], scores);
            }
            self.scores = scores;
        }
    }

    /// Offers a row the vectors of a list, with what products say of them.
    fn offer(&mut self, looking: Looking<'_>, number: usize, row: &mut Row, scores: &mut [f32]) {
        let Looking { at, list, rows, first, .. } = looking;
        let (row_bytes, metric) = (self.index.row_bytes(), self.index.metric());
        let prepared =
            Prepared { row: &rows[number * row_bytes..][..row_bytes], inverse_norm: row.inverse_norm };
        match metric {
            Metric::L2 => {}
            Metric::InnerProduct => scores.iter_mut().for_each(|score| *score = -*score),
            Metric::Cosine => {
                for (score, &inverse_norm) in scores.iter_mut().zip(&list.inverse_norms) {
                    *score = prepared.cosine_score(*score, inverse_norm);
                }
            }
        }
        let does_round = !list.rows.is_empty();
        let slack = match metric {
            _ if !does_round => 0.0,
            Metric::Cosine => 2.0 * ROUNDING,
            _ => ROUNDING * (row.length_squared + list.longest),
        };
        let itself = row.own.filter(|own| own.list == at).map(|own| own.entry);
        let mut from = 0;
        while from < scores.len() {
            // Until there is a limit, every vector is below it: few at a time soon make one.
            let end = if row.nearest.is_full() { scores.len() } else { scores.len().min(from + FIRST) };
            self.picks.clear();
            below(&scores[from..end], row.nearest.limit() + slack, &mut self.picks);
            // CAST: widening
            let entries = self.picks.iter().map(|&pick| from + pick as usize);
            for entry in entries.filter(|&entry| Some(entry) != itself) {
                let score = match does_round {
                    false => scores[entry],
                    true => {
                        let vector = &list.rows[entry * row_bytes..][..row_bytes];
                        let inverse_norm = list.inverse_norms.get(entry).copied();
                        self.reranker.score(Record { vector, id: 0, inverse_norm }, prepared)
                    }
                };
                if score <= row.nearest.limit() {
                    let name = match first {
                        // CAST: entries of a list
                        Some(first) => Location::new(at.segment, first.position() + entry as u32).bits(),
                        None => list.ids[entry],
                    };
                    row.nearest.offer(score, name);
                }
            }
            from = end;
        }
    }
}
