//! Which lists hold what share of the vectors within a radius.
//!
//! Lists are told apart by how far out a vector on the radius would have to lie towards the query (`range_lists`). Radii are those
//! within which half of the queries have a number of neighbours. All vectors within the largest are counted, for each query and
//! radius, by the cosine of their lists; from that follows what leaving out lists beyond some cosine misses.
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use rayon::ThreadPool;
use rayon::prelude::*;
use spandrel_index::format::{RangeCurve, RangePoint};
use spandrel_index::kernels::{BlockKernel, LeftRows, Operation, below};
use spandrel_index::{Index, Location, Metric, Segment, norm_squared};

use super::error::CalibrateError;
use super::queries::{Pages, Queries};
use super::rule::Rule;
use super::truth::TrueNeighbours;
use crate::accept::Accepted;
use crate::range_lists::{Bounds, HeadScore, Within};
use crate::subject::{Query, Subject};

/// Shares that points are looked for at.
const SHARES: [f64; 9] = [0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995];
/// Queries at most: two hundred know a share of 0.95 to a hundredth, and each is compared with every vector once more.
const QUERIES_MAX: usize = 240;
/// Steps of a cosine.
const STEPS: usize = 128;
/// Bytes of pages that a thread holds.
const CHUNK_BYTES: u64 = 1 << 20;
/// Vectors that are compared together.
const TILE: usize = 512;
/// Chunks that each thread takes before the caller is asked whether to go on.
const CHUNKS: usize = 16;
/// Queries that each thread compares with all heads before the caller is asked.
const QUERIES: usize = 16;

/// Whose neighbours are counted, and what is known of them.
pub(super) struct RangesOf<'a> {
    pub(super) index: &'a Index,
    pub(super) queries: &'a Queries,
    pub(super) nearest: &'a [TrueNeighbours],
    /// Numbers of neighbours that radii are chosen by.
    pub(super) ks: &'a [u32],
    pub(super) rule: Rule,
    pub(super) pool: &'a ThreadPool,
}

/// The curves of the radii, the radius growing.
pub(super) fn ranges(
    of: &RangesOf<'_>,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<Vec<RangeCurve>, CalibrateError> {
    let index = of.index;
    let radii = radii(of);
    let step = of.queries.len().div_ceil(QUERIES_MAX).max(1);
    let picks: Vec<usize> = (0..of.queries.len()).step_by(step).collect();
    let (accept, mut subjects) = (Accepted::default(), Vec::new());
    for &query in &picks {
        let mut subject = Subject::default();
        subject.set(index, of.queries.row(query));
        subjects.push(subject);
    }
    let asked: Vec<Asked<'_>> = subjects
        .iter()
        .zip(&picks)
        .map(|(subject, &number)| {
            let query = subject.query(index, of.queries.row(number), &accept);
            Asked::new(query, of.queries.own.as_ref().map(|own| own[number].location), &radii)
        })
        .collect();
    if radii.is_empty() || asked.is_empty() {
        return Ok(Vec::new());
    }
    let mut counts = Counts::new(asked.len(), radii.len());
    for (number, segment) in (0..).zip(index.segments()) {
        count(of, &asked, number, segment, &mut counts, go_on)?;
    }
    let scanned = scanned(of, &asked, radii.len(), go_on)?;
    let curves = radii.iter().enumerate().map(|(at, &radius)| {
        let found: Vec<&[u32]> = (0..asked.len()).map(|query| counts.of(query, at)).collect();
        curve(radius, &found, &scanned[at], of.rule)
    });
    Ok(known(curves))
}

/// The curves up to one that holds no share: beyond the last curve no list is left out.
fn known(curves: impl Iterator<Item = RangeCurve>) -> Vec<RangeCurve> {
    curves.take_while(|curve| !curve.points.is_empty()).collect()
}

/// The radii, smallest first: for each of `of.ks` the one within which half of the queries have that many neighbours.
fn radii(of: &RangesOf<'_>) -> Vec<f32> {
    let metric = of.index.metric();
    let mut ks = of.ks.to_vec();
    ks.sort_unstable();
    let mut scores: Vec<f32> = Vec::new();
    for k in ks {
        let kth = of.nearest.iter().filter_map(|nearest| nearest.distances.get(k as usize - 1)); // CAST: widening
        let mut kth: Vec<f32> = kth.map(|&distance| metric.score_of_distance(distance)).collect();
        kth.sort_unstable_by(f32::total_cmp);
        let Some(&score) = kth.get(kth.len() / 2) else { continue };
        if score.is_finite() && scores.last().is_none_or(|&last| last < score) {
            scores.push(score);
        }
    }
    scores.into_iter().map(|score| metric.distance_of_score(score)).collect()
}

/// A query, and the radii as it has them.
struct Asked<'a> {
    query: Query<'a>,
    bounds: Bounds,
    /// Where it lies itself.
    location: Option<Location>,
    /// Of each radius.
    within: Vec<Within>,
    /// The largest rough score of a vector within the largest.
    limit: f32,
    norm: f32,
}

impl<'a> Asked<'a> {
    fn new(query: Query<'a>, location: Option<Location>, radii: &[f32]) -> Asked<'a> {
        let index = query.index;
        let metric = index.metric();
        let norm = norm_squared(index.dtype(), query.exact.row).sqrt() as f32; // CAST: rounds
        let within: Vec<Within> =
            radii.iter().map(|&radius| Within::of(&query, metric.score_of_distance(radius))).collect();
        let last = within.last().map_or(f32::NEG_INFINITY, |last| last.score);
        // Scores under cosine are 1 - cos, rough ones products with a unit vector.
        let limit = if metric == Metric::Cosine { (last - 1.0) * norm } else { last };
        Asked { bounds: Bounds::of(&query), query, location, within, limit, norm }
    }

    /// The score of a rough one.
    fn score(&self, rough: f32) -> f32 {
        match self.query.index.metric() {
            Metric::Cosine if self.norm > 0.0 => 1.0 + rough / self.norm,
            _ => rough,
        }
    }

    fn head(&self, segment: &Segment, list: u32) -> HeadScore {
        let owner = &self.query.index.segments()[usize::from(segment.heads_of)];
        self.bounds.head(&owner.heads, &self.query, list)
    }
}

/// The step of a cosine: the first whose [`cosine_of`] is no less, else the last.
fn step_of(cosine: f64) -> usize {
    let place = (cosine + 1.0) * 0.5 * STEPS as f64;
    // CAST: saturates; a NaN, which rules nothing out, is in the first
    let whole = (place as usize).min(STEPS);
    // `f64::ceil` is a call of the C library where processors without SSE4.1 are allowed.
    if (whole as f64) < place { (whole + 1).min(STEPS) } else { whole }
}

fn cosine_of(step: usize) -> f32 {
    2.0 * step as f32 / STEPS as f32 - 1.0 // CAST: exact
}

/// Vectors of each query and radius, by the step in which their lists lie.
struct Counts {
    radii: usize,
    counts: Vec<u32>,
}

impl Counts {
    fn new(queries: usize, radii: usize) -> Counts {
        Counts { radii, counts: vec![0; queries * radii * (STEPS + 1)] }
    }

    fn place(&self, query: usize, radius: usize) -> Range<usize> {
        let first = (query * self.radii + radius) * (STEPS + 1);
        first..first + STEPS + 1
    }

    fn of(&self, query: usize, radius: usize) -> &[u32] {
        &self.counts[self.place(query, radius)]
    }

    fn add(&mut self, other: &Counts) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(sum, count)| *sum += count);
    }
}

/// Adds the vectors of a segment to `sum`.
fn count(
    of: &RangesOf<'_>,
    asked: &[Asked<'_>],
    number: u16,
    segment: &Segment,
    sum: &mut Counts,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<(), CalibrateError> {
    let kernel = BlockKernel::new(of.index.dtype(), of.index.dim());
    let rows: Vec<u8> = asked.iter().flat_map(|asked| asked.query.exact.row).copied().collect();
    let packed = kernel.pack_left(&rows);
    let pages = Pages::open(segment)?;
    let counter = Counter { asked, number, segment, kernel: &kernel, packed: &packed, pages: &pages };
    let (all, step) =
        (pages.layout.pages(segment.count), (CHUNK_BYTES / pages.layout.page_bytes() as u64).max(1));
    let threads = of.pool.current_num_threads();
    let mut parts: Vec<Mutex<(Counts, Vec<u8>)>> = Vec::new();
    parts.resize_with(threads, || Mutex::new((Counts::new(asked.len(), sum.radii), Vec::new())));
    let chunks: Vec<u64> = (0..all).step_by(step as usize).collect(); // CAST: widening
    for chunks in chunks.chunks(CHUNKS * threads) {
        if !go_on() {
            return Err(CalibrateError::Stopped);
        }
        of.pool.install(|| {
            chunks.par_iter().try_for_each(|&first| {
                let thread = rayon::current_thread_index().unwrap_or_default();
                let (counts, bytes) = &mut *parts[thread].lock().unwrap_or_else(PoisonError::into_inner);
                counter.count(first..(first + step).min(all), counts, bytes)
            })
        })?;
    }
    for part in parts {
        sum.add(&part.into_inner().unwrap_or_else(PoisonError::into_inner).0);
    }
    Ok(())
}

/// Counts vectors of some pages.
struct Counter<'a> {
    asked: &'a [Asked<'a>],
    number: u16,
    segment: &'a Segment,
    kernel: &'a BlockKernel,
    packed: &'a LeftRows,
    pages: &'a Pages,
}

impl Counter<'_> {
    fn count(
        &self,
        range: Range<u64>,
        counts: &mut Counts,
        bytes: &mut Vec<u8>,
    ) -> Result<(), CalibrateError> {
        let layout = &self.pages.layout;
        self.pages.read(range.clone(), bytes)?;
        let of_page = layout.page_records();
        let first = range.start as usize * of_page; // CAST: a position, here and below
        let end = (range.end as usize * of_page).min(self.segment.count as usize);
        let record = |at: usize| {
            let page = &bytes[(at - first) / of_page * layout.page_bytes()..][..layout.page_bytes()];
            layout.record(page, (at - first) % of_page)
        };
        let metric = self.asked[0].query.index.metric();
        let operation = if metric == Metric::L2 { Operation::SquaredL2 } else { Operation::InnerProduct };
        let (mut rows, mut scores, mut picks, mut steps) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for start in (first..end).step_by(TILE) {
            let records: Vec<_> = (start..(start + TILE).min(end)).map(record).collect();
            rows.clear();
            records.iter().for_each(|record| rows.extend_from_slice(record.vector));
            let right = self.kernel.pack_right(&rows);
            scores.resize(self.asked.len() * records.len(), 0.0);
            self.kernel.scores(operation, self.packed.all(), right.all(), &mut scores);
            for (number, scores) in scores.chunks_exact_mut(records.len()).enumerate() {
                match metric {
                    Metric::L2 => {}
                    Metric::InnerProduct => scores.iter_mut().for_each(|score| *score = -*score),
                    Metric::Cosine => scores.iter_mut().zip(&records).for_each(|(score, record)| {
                        *score = -*score * record.inverse_norm.unwrap_or_default();
                    }),
                }
                let asked = &self.asked[number];
                picks.clear();
                below(scores, asked.limit, &mut picks);
                let mut list = ListSteps { end: 0, steps: std::mem::take(&mut steps) };
                for &pick in &picks {
                    let position = (start + pick as usize) as u32;
                    // A row of the index leaves itself and its equals out.
                    let at = Location::new(self.number, position);
                    let is_own = |own| own == at || records[pick as usize].vector == asked.query.exact.row;
                    if !asked.location.is_some_and(is_own) {
                        let seen = Seen { number, position, score: asked.score(scores[pick as usize]) };
                        self.see(seen, &mut list, counts);
                    }
                }
                steps = list.steps;
            }
        }
        Ok(())
    }

    /// Counts a vector. `list` is that of the vector before, which lies before it.
    fn see(&self, seen: Seen, list: &mut ListSteps, counts: &mut Counts) {
        let Seen { number, position, score } = seen;
        let asked = &self.asked[number];
        if position >= list.end {
            let of = self.segment.directory.list_of(position, 0);
            let (head, reach) = (asked.head(self.segment, of), self.segment.directory.entry(of).radius);
            list.end = self.segment.directory.positions(of).end;
            list.steps.clear();
            list.steps
                .extend(asked.within.iter().map(|within| step_of(asked.bounds.cosine(head, reach, within))));
        }
        for (radius, _) in asked.within.iter().enumerate().filter(|(_, within)| score <= within.score) {
            let place = counts.place(number, radius);
            counts.counts[place][list.steps[radius]] += 1;
        }
    }
}

/// A vector near a query.
struct Seen {
    /// Of the query.
    number: usize,
    position: u32,
    score: f32,
}

/// The list of some vectors of a query.
struct ListSteps {
    /// First position after it.
    end: u32,
    /// Its step for each radius.
    steps: Vec<usize>,
}

/// For each radius, how many vectors the lists hold that can have one within it, summed over all queries, by step.
fn scanned(
    of: &RangesOf<'_>,
    asked: &[Asked<'_>],
    radii: usize,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<Vec<Vec<u64>>, CalibrateError> {
    let mut sums = vec![vec![0; STEPS + 1]; radii];
    for some in asked.chunks(QUERIES * of.pool.current_num_threads()) {
        if !go_on() {
            return Err(CalibrateError::Stopped);
        }
        let found = some.par_iter().map(|asked| able(of.index, asked, radii));
        for found in of.pool.install(|| found.collect::<Vec<_>>()) {
            for (sums, counts) in sums.iter_mut().zip(found) {
                sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            }
        }
    }
    Ok(sums)
}

/// The same of one query.
fn able(index: &Index, asked: &Asked<'_>, radii: usize) -> Vec<Vec<u64>> {
    let mut scanned = vec![vec![0; STEPS + 1]; radii];
    for segment in index.segments() {
        for list in 0..segment.lists() {
            let (entry, head) = (segment.directory.entry(list), asked.head(segment, list));
            let least = asked.bounds.least_score(head, entry.radius);
            let able = asked.within.iter().zip(&mut scanned).filter(|(within, _)| least <= within.score);
            for (within, scanned) in able {
                let step = step_of(asked.bounds.cosine(head, entry.radius, within));
                scanned[step] += u64::from(entry.primaries);
            }
        }
    }
    scanned
}

/// The points of a radius, from what the queries have within it and what lists hold, by step.
fn curve(radius: f32, found: &[&[u32]], scanned: &[u64], rule: Rule) -> RangeCurve {
    let sums: Vec<u64> = found.iter().map(|counts| counts.iter().copied().map(u64::from).sum()).collect();
    let has_any: Vec<usize> = (0..found.len()).filter(|&query| sums[query] > 0).collect();
    let all: u64 = sums.iter().sum();
    let mut held = vec![0_u64; found.len()];
    let (mut points, mut shares, mut vectors): (Vec<RangePoint>, _, u64) =
        (Vec::new(), SHARES.iter().peekable(), 0);
    for step in 0..STEPS {
        held.iter_mut().zip(found).for_each(|(held, counts)| *held += u64::from(counts[step]));
        vectors += scanned[step];
        let losses: Vec<f64> = has_any
            .iter()
            .map(|&query| 1.0 - held[query] as f64 / sums[query] as f64) // CAST: exact, here and below
            .collect();
        let together = held.iter().sum::<u64>() as f64 / all.max(1) as f64;
        // Of all results together too: queries with many may lack more of them.
        let is_reached = |share: f64| rule.expected(&losses) >= share && together >= rule.wanted(share);
        let mut reached = None;
        while let Some(&share) = shares.next_if(|&&share| is_reached(share)) {
            reached = Some(share);
        }
        if let Some(completeness) = reached {
            let vectors_scanned = vectors as f64 / found.len() as f64;
            points.push(RangePoint { completeness, cosine: cosine_of(step), vectors_scanned });
        }
    }
    RangeCurve { radius, queries: has_any.len() as u32, points } // CAST: at most the queries
}

#[cfg(test)]
mod tests;
