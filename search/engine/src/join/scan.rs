//! A group of queries on its way through the lists near it. One scanner a thread.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use spandrel_index::format::{Record, VectorsOf};
use spandrel_index::kernels::{BlockKernel, LeftRows, Operation, below};
use spandrel_index::{HeadSpace, Index, Metric, inverse_norm, norm_squared};

use super::groups::{GroupAt, GroupRows, all_lists};
use super::lists::{JoinList, ListAt, Lists, rounds};
use super::nearest::Nearest;
use crate::probe::Prober;
use crate::rerank::Reranker;
use crate::subject::Prepared;

use super::error::JoinError;

/// By how much a score of a product may be too large, of the sum of squared lengths.
const ROUNDING: f32 = 1e-5;

/// How thoroughly groups are searched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spend {
    /// Lists near a group that its rows choose from.
    pub(super) lists: u32,
    /// How much farther a list may be that a row looks into.
    pub(super) margin: f32,
}

impl Spend {
    /// Every list at any distance.
    pub(super) const ALL: Spend = Spend { lists: u32::MAX, margin: f32::INFINITY };
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

/// A row of a group.
struct Row {
    nearest: Nearest,
    inverse_norm: f32,
    length_squared: f32,
    /// A score `s` is a squared distance of `offset + scale s` in head space.
    offset: f32,
    scale: f32,
    /// Squared distance to the nearest head.
    first: f32,
}

impl Row {
    /// Squared distance of the farthest head whose list it looks into.
    fn reach(&self, margin: f32) -> f32 {
        if !self.nearest.is_full() && self.nearest.limit() == f32::INFINITY {
            return f32::INFINITY;
        }
        let within = (self.offset + self.scale * self.nearest.limit()).max(0.0);
        self.first + within + 2.0 * margin * (within * self.first).sqrt()
    }
}

/// A list that rows of a group look into.
#[derive(Clone, Copy)]
struct Looking<'a> {
    list: &'a JoinList,
    /// All rows of the group, packed.
    left: &'a LeftRows,
    group: &'a GroupRows,
    /// Entry of the group's first row in the list, where it is the group's own.
    own: Option<u32>,
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
    heads: BlockKernel,
    prober: Prober,
    head_rows: Vec<u8>,
    near_rows: Vec<u8>,
    distances: Vec<f32>,
    scores: Vec<f32>,
    picks: Vec<u32>,
    /// Numbers of the rows that look into a list, and these rows.
    looking: Vec<u32>,
    /// How far each row looks.
    reaches: Vec<f32>,
    margin: f32,
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
        let heads = &index.segments()[0].heads;
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
            heads: BlockKernel::new(heads.dtype(), heads.dim()),
            prober: Prober::default(),
            head_rows: Vec::new(),
            near_rows: Vec::new(),
            distances: Vec::new(),
            scores: Vec::new(),
            picks: Vec::new(),
            looking: Vec::new(),
            reaches: Vec::new(),
            margin: 0.0,
            stop,
            gathered: LeftRows::default(),
            work: ScanWork::default(),
        }
    }

    /// The nearest of each row of a group among the lists near it.
    pub(super) fn scan(
        &mut self,
        group: &GroupAt,
        rows: &GroupRows,
        spend: Spend,
    ) -> Result<Vec<Nearest>, JoinError> {
        if spend == Spend::ALL {
            return self.scan_all(group, rows);
        }
        let near = self.near(group, rows, spend.lists);
        let mut of_rows = self.rows(rows);
        self.head_distances(&near, &mut of_rows);
        let left = self.lists.kernel.pack_left(&rows.rows);
        self.margin = spend.margin;
        self.reaches.clear();
        self.reaches.extend(of_rows.iter().map(|row| row.reach(spend.margin)));
        for (at, &list) in near.iter().enumerate() {
            self.looking.clear();
            let distances = &self.distances[at * of_rows.len()..(at + 1) * of_rows.len()];
            let numbered = (0..).zip(distances.iter().zip(&self.reaches));
            // Lets a distance through that is no number.
            let looks = numbered.filter(|(_, (distance, reach))| {
                let is_far = distance > reach;
                !is_far
            });
            self.looking.extend(looks.map(|(number, _)| number));
            if self.looking.is_empty() {
                continue;
            }
            let found = self.list(list)?;
            let own = rows.own_from.filter(|_| list == group.list);
            self.compare(Looking { list: &found, left: &left, group: rows, own }, &mut of_rows);
        }
        Ok(of_rows.into_iter().map(|row| row.nearest).collect())
    }

    /// The nearest of each row among all vectors.
    fn scan_all(&mut self, group: &GroupAt, rows: &GroupRows) -> Result<Vec<Nearest>, JoinError> {
        let mut of_rows = self.rows(rows);
        let left = self.lists.kernel.pack_left(&rows.rows);
        self.reaches.clear();
        self.reaches.resize(of_rows.len(), f32::INFINITY);
        self.looking.clear();
        self.looking.extend(0..of_rows.len() as u32); // CAST: rows of a group
        for list in all_lists(self.index) {
            let found = self.list(list)?;
            let own = rows.own_from.filter(|_| list == group.list);
            self.compare(Looking { list: &found, left: &left, group: rows, own }, &mut of_rows);
        }
        Ok(of_rows.into_iter().map(|row| row.nearest).collect())
    }

    /// The vectors of a list, unless the join is to stop.
    fn list(&self, at: ListAt) -> Result<Arc<JoinList>, JoinError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(JoinError::Stopped { groups: 0 });
        }
        self.lists.get(at)
    }

    /// The lists near a group, nearest first, its own before them; and those that values of a partition share.
    fn near(&mut self, group: &GroupAt, rows: &GroupRows, lists: u32) -> Vec<ListAt> {
        let segment = &self.index.segments()[usize::from(group.list.segment)];
        let heads = &self.index.segments()[usize::from(segment.heads_of)].heads;
        let mut middle = Vec::new();
        match self.index.space() {
            HeadSpace::Same | HeadSpace::Normalised => middle.extend_from_slice(heads.row(group.list.list)),
            // Heads are lifted as vectors are, not as queries.
            HeadSpace::Lifted { .. } => {
                let (dtype, bytes) = (self.index.dtype(), self.index.row_bytes());
                self.index.space().map_query(dtype, &rows.rows[..bytes], &mut middle);
            }
        }
        let computed = self.prober.search(self.index, &middle, lists, &mut || true);
        self.work.head_distances += u64::from(computed);
        let found = self.prober.nearest().iter();
        let mut near = vec![group.list];
        near.extend(
            found
                .map(|near| ListAt { segment: near.segment, list: near.list })
                .filter(|&at| at != group.list),
        );
        for (segment, of) in (0..).zip(self.index.segments()) {
            let shared = of.shared_lists().map(|list| ListAt { segment, list });
            near.extend(shared.filter(|&at| at != group.list));
        }
        near
    }

    /// The rows, each with nothing found.
    fn rows(&mut self, rows: &GroupRows) -> Vec<Row> {
        let (dtype, space) = (self.index.dtype(), self.index.space());
        let (is_cosine, does_round) = (self.index.metric() == Metric::Cosine, rounds(dtype));
        self.head_rows.clear();
        let one = |row: &[u8]| {
            space.map_query(dtype, row, &mut self.head_rows);
            let offset = space.distance_of_score(0.0, dtype, row);
            Row {
                nearest: Nearest::new(self.k, self.limit),
                inverse_norm: if is_cosine { inverse_norm(dtype, row) } else { 0.0 },
                // CAST: rounds
                length_squared: if does_round { norm_squared(dtype, row) as f32 } else { 0.0 },
                offset,
                scale: space.distance_of_score(1.0, dtype, row) - offset,
                first: f32::INFINITY,
            }
        };
        rows.rows.chunks_exact(self.index.row_bytes()).map(one).collect()
    }

    /// Squared distances of all rows to the heads of these lists.
    fn head_distances(&mut self, near: &[ListAt], rows: &mut [Row]) {
        self.near_rows.clear();
        for at in near {
            let segment = &self.index.segments()[usize::from(at.segment)];
            let heads = &self.index.segments()[usize::from(segment.heads_of)].heads;
            self.near_rows.extend_from_slice(heads.row(at.list));
        }
        // Those of a list stand together.
        let (left, right) = (self.heads.pack_left(&self.near_rows), self.heads.pack_right(&self.head_rows));
        self.distances.clear();
        self.distances.resize(rows.len() * near.len(), 0.0);
        self.heads.scores(Operation::SquaredL2, left.all(), right.all(), &mut self.distances);
        self.work.head_distances += (rows.len() * near.len()) as u64; // CAST: widening
        for distances in self.distances.chunks_exact(rows.len().max(1)) {
            for (row, &distance) in rows.iter_mut().zip(distances) {
                row.first = row.first.min(distance.max(0.0));
            }
        }
    }

    /// Compares the rows that look into a list with all of its vectors.
    fn compare(&mut self, looking: Looking<'_>, rows: &mut [Row]) {
        let Looking { list, left, group, own } = looking;
        let (width, count) = (list.ids.len(), self.looking.len());
        // What is there is written over.
        self.scores.resize(self.scores.len().max(count * width), 0.0);
        let left = if count == rows.len() {
            left
        } else {
            left.gather(&self.looking, &mut self.gathered);
            &self.gathered
        };
        let scores = &mut self.scores[..count * width];
        self.lists.kernel.scores(self.operation, left.all(), list.packed.all(), scores);
        self.work.pairs += scores.len() as u64; // CAST: widening, here and below
        self.work.looks += count as u64;
        let (row_bytes, metric) = (self.index.row_bytes(), self.index.metric());
        for (&number, scores) in self.looking.iter().zip(scores.chunks_exact_mut(width.max(1))) {
            let number = number as usize; // CAST: widening
            let row = &mut rows[number];
            let prepared = Prepared {
                row: &group.rows[number * row_bytes..][..row_bytes],
                inverse_norm: row.inverse_norm,
            };
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
            let itself = own.map(|first| first as usize + number);
            self.picks.clear();
            below(scores, row.nearest.limit() + slack, &mut self.picks);
            for entry in self.picks.iter().map(|&pick| pick as usize).filter(|&entry| Some(entry) != itself) {
                let score = match does_round {
                    false => scores[entry],
                    true => {
                        let vector = &list.rows[entry * row_bytes..][..row_bytes];
                        let inverse_norm = list.inverse_norms.get(entry).copied();
                        self.reranker.score(Record { vector, id: 0, inverse_norm }, prepared)
                    }
                };
                if score <= row.nearest.limit() {
                    row.nearest.offer(score, list.ids[entry]);
                }
            }
            if !self.picks.is_empty() {
                self.reaches[number] = row.reach(self.margin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_looks_as_far_as_its_neighbours_allow() {
        let mut row = Row {
            nearest: Nearest::new(2, f32::INFINITY),
            inverse_norm: 0.0,
            length_squared: 0.0,
            offset: 0.0,
            scale: 1.0,
            first: 9.0,
        };
        row.nearest.offer(4.0, 1);
        assert_eq!(row.reach(1.0), f32::INFINITY, "with fewer than k neighbours");
        row.nearest.offer(16.0, 2);
        // (3 + 4)^2, 9 + 16, and (4 - 3)^2.
        assert_eq!([1.0, 0.0, -1.0].map(|margin| row.reach(margin)), [49.0, 25.0, 1.0]);
        row.nearest.offer(1.0, 3);
        assert_eq!(row.reach(1.0), 25.0);
    }
}
