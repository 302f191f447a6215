//! A group of queries on its way through the lists near it. One scanner a thread.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use spandrel_index::format::{Record, VectorsOf};
use spandrel_index::kernels::{BlockKernel, LeftRows, Operation, below};
use spandrel_index::{HeadSpace, Index, Location, Metric, inverse_norm, norm_squared};

use super::groups::{GroupAt, GroupRows, all_lists};
use super::lists::{JoinList, ListAt, Lists, rounds};
use super::nearest::RowNearest;
use super::reach::{BUCKETS, Reach, Scale};
use super::row::{EntryAt, Looks, Row};
use crate::probe::Prober;
use crate::rerank::Reranker;
use crate::subject::Prepared;

use super::error::JoinError;

/// By how much a score of a product may be too large, of the sum of squared lengths.
const ROUNDING: f32 = 1e-5;

/// How thoroughly groups are searched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Spend {
    /// Every list.
    All,
    /// Of the `lists` nearest to the group, those that a row reaches.
    Near { lists: u32, reach: Reach },
    /// Of the `lists` nearest to the group, those that may hold a vector within the radius if they are no wider than the row's nearest.
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

/// A list that rows of a group look into.
#[derive(Clone, Copy)]
struct Looking<'a> {
    at: ListAt,
    list: &'a JoinList,
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
    heads: BlockKernel,
    prober: Prober,
    head_rows: Vec<u8>,
    near_rows: Vec<u8>,
    distances: Vec<f32>,
    scores: Vec<f32>,
    picks: Vec<u32>,
    /// Numbers of the rows that look into a list, and these rows.
    looking: Vec<u32>,
    /// Lists by row and bucket of distance.
    counts: Vec<u16>,
    /// How far each row looks.
    looks: Vec<Looks>,
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
            counts: Vec::new(),
            looks: Vec::new(),
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
    ) -> Result<Vec<RowNearest>, JoinError> {
        let of_rows = self.rows(group, rows);
        self.scan_rows(group, rows, of_rows, spend)
    }

    /// The same, where no score above its limit is wanted by a row.
    pub(super) fn scan_within(
        &mut self,
        group: &GroupAt,
        rows: &GroupRows,
        spend: Spend,
        limits: &[f32],
    ) -> Result<Vec<RowNearest>, JoinError> {
        let mut of_rows = self.rows(group, rows);
        for (row, &limit) in of_rows.iter_mut().zip(limits) {
            row.nearest = RowNearest::new(self.k, limit);
        }
        self.scan_rows(group, rows, of_rows, spend)
    }

    fn scan_rows(
        &mut self,
        group: &GroupAt,
        rows: &GroupRows,
        mut of_rows: Vec<Row>,
        spend: Spend,
    ) -> Result<Vec<RowNearest>, JoinError> {
        let (Spend::Near { lists, .. } | Spend::Within { lists }) = spend else {
            self.scan_all(&rows.rows, &mut of_rows, false)?;
            return Ok(of_rows.into_iter().map(|row| row.nearest).collect());
        };
        let near = self.near(group, rows, lists);
        self.head_distances(&near, &mut of_rows);
        self.look(&of_rows, spend);
        let left = self.lists.kernel.pack_left(&rows.rows);
        for (at, &list) in near.iter().enumerate() {
            self.looking.clear();
            let distances = &self.distances[at * of_rows.len()..(at + 1) * of_rows.len()];
            let numbered = (0..).zip(distances.iter().zip(&self.looks));
            let looks = numbered.filter(|(_, (distance, looks))| looks.scale.step(**distance) <= looks.last);
            self.looking.extend(looks.map(|(number, _)| number));
            if self.looking.is_empty() {
                continue;
            }
            let found = self.list(list)?;
            let looking = Looking { at: list, list: &found, left: &left, rows: &rows.rows, first: None };
            self.compare(looking, &mut of_rows);
        }
        Ok(of_rows.into_iter().map(|row| row.nearest).collect())
    }

    /// The nearest of each row of some groups among all vectors, these named by their locations.
    pub(super) fn truth(&mut self, groups: &[(GroupAt, GroupRows)]) -> Result<Vec<RowNearest>, JoinError> {
        let mut of_rows = Vec::new();
        for (group, rows) in groups {
            of_rows.append(&mut self.rows(group, rows));
        }
        let rows: Vec<u8> = groups.iter().flat_map(|(_, rows)| &rows.rows).copied().collect();
        self.scan_all(&rows, &mut of_rows, true)?;
        Ok(of_rows.into_iter().map(|row| row.nearest).collect())
    }

    /// Compares all rows with all vectors.
    fn scan_all(&mut self, rows: &[u8], of_rows: &mut [Row], by_location: bool) -> Result<(), JoinError> {
        let left = self.lists.kernel.pack_left(rows);
        self.looking.clear();
        self.looking.extend(0..of_rows.len() as u32); // CAST: rows of a group are numbered by u32
        for at in all_lists(self.index) {
            let found = self.list(at)?;
            let first = self.index.segments()[usize::from(at.segment)].directory.positions(at.list).start;
            let first = by_location.then(|| Location::new(at.segment, first));
            self.compare(Looking { at, list: &found, left: &left, rows, first }, of_rows);
        }
        Ok(())
    }

    /// Squared distances of the rows of a group to the heads of the lists near it, those of a list together, and which lists these are.
    pub(super) fn near_distances(
        &mut self,
        group: &GroupAt,
        rows: &GroupRows,
        lists: u32,
    ) -> (Vec<ListAt>, &[f32]) {
        let mut of_rows = self.rows(group, rows);
        let near = self.near(group, rows, lists);
        self.head_distances(&near, &mut of_rows);
        (near, &self.distances)
    }

    /// How far each row looks into the lists whose distances were computed.
    fn look(&mut self, rows: &[Row], spend: Spend) {
        self.looks.clear();
        let Spend::Near { reach, .. } = spend else {
            let scale = Scale::PLAIN;
            let last = |within: f32| if within.is_nan() { u32::MAX } else { scale.step(within) };
            let within = |row: &Row| Looks { scale, last: last(row.within()) };
            self.looks.extend(rows.iter().map(within));
            return;
        };
        let scales = rows.iter().map(|row| Scale::new(row.first, reach.offset));
        self.looks.extend(scales.map(|scale| Looks { scale, last: 0 }));
        self.counts.clear();
        self.counts.resize(rows.len() * BUCKETS, 0);
        for distances in self.distances.chunks_exact(rows.len().max(1)) {
            let of_rows = self.counts.chunks_exact_mut(BUCKETS).zip(&self.looks);
            for ((counts, looks), &distance) in of_rows.zip(distances) {
                let count = &mut counts[looks.scale.bucket(distance)];
                *count = count.saturating_add(1);
            }
        }
        for (counts, looks) in self.counts.chunks_exact(BUCKETS).zip(&mut self.looks) {
            looks.last = reach.last(counts);
        }
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

    /// The rows of a group, each with nothing found.
    fn rows(&mut self, group: &GroupAt, rows: &GroupRows) -> Vec<Row> {
        let (dtype, space) = (self.index.dtype(), self.index.space());
        let (is_cosine, does_round) = (self.index.metric() == Metric::Cosine, rounds(dtype));
        self.head_rows.clear();
        let one = |(number, row): (usize, &[u8])| {
            space.map_query(dtype, row, &mut self.head_rows);
            let offset = space.distance_of_score(0.0, dtype, row);
            // CAST: widening
            let own = rows.own_from.map(|first| EntryAt { list: group.list, entry: first as usize + number });
            Row {
                nearest: RowNearest::new(self.k, self.limit),
                own,
                inverse_norm: if is_cosine { inverse_norm(dtype, row) } else { 0.0 },
                // CAST: rounds
                length_squared: if does_round { norm_squared(dtype, row) as f32 } else { 0.0 },
                offset,
                scale: space.distance_of_score(1.0, dtype, row) - offset,
                first: f32::INFINITY,
            }
        };
        rows.rows.chunks_exact(self.index.row_bytes()).enumerate().map(one).collect()
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
        let Looking { at, list, left, rows: given, first } = looking;
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
            let prepared =
                Prepared { row: &given[number * row_bytes..][..row_bytes], inverse_norm: row.inverse_norm };
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
                    let name = match first {
                        // CAST: entries of a list
                        Some(first) => Location::new(at.segment, first.position() + entry as u32).bits(),
                        None => list.ids[entry],
                    };
                    row.nearest.offer(score, name);
                }
            }
        }
    }
}
