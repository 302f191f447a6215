//! The walk over the base.
use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;
use spandrel_index::kernels::LeftRows;
use spandrel_index::{Metric, SegmentMatches, SourceError, VectorSource};

use super::best::{Best, Kept, Neighbour};
use super::block::{Measured, Shape, Tile, tiles};
use super::error::ComputeTruthError;
use super::exact;
use super::part::{Asking, Part};
use crate::file::{RangeTruth, Truth};
use crate::values::{BadRow, CheckError};
use crate::watch::Watch;

/// Bytes of the base held at once, twice: one block is read while the other is worked on.
const BLOCK_BYTES: usize = 8 << 20;
/// Bytes of queries and of their neighbours held at once. What does not fit takes another walk over the base.
const BATCH_BYTES: usize = 512 << 20;
/// Queries that pass over a tile together: enough to pay for loading it, few enough for their scores to stay cached.
const GROUP_QUERIES: usize = 128;
/// Groups for each thread at least, where there are queries enough, so that no thread waits long for another.
const GROUPS_PER_THREAD: usize = 4;
/// Half a unit in the last place of f32, relative.
pub(super) const ROUNDING: f64 = 1.0 / (1 << 24) as f64;
/// Rounded operations per value besides one for each element: terms, norms, the final scaling.
pub(super) const ROUNDINGS_EXTRA: f64 = 8.0;
/// Norms outside of this range could over- or underflow a kernel's f32 sums: such rows are scored exactly instead.
const NORMS_SAFE: Range<f64> = 1e-12..1e18;

/// Whether a norm, or that of a row of zeros, is in the safe range.
pub(super) fn is_safe(norm: f64) -> bool {
    norm == 0.0 || NORMS_SAFE.contains(&norm)
}

/// Neighbours of all queries of a walk within a radius, at most.
const WITHIN_MAX: usize = BATCH_BYTES / size_of::<Neighbour>();

/// Scores looked at together before looking at each.
const SCREEN: usize = 16;

/// A query while the base goes past.
struct State {
    kept: Kept,
    /// The rows that it may find; all where it has no filter.
    allowed: Option<Arc<SegmentMatches>>,
    norm: f64,
    square_norm: f64,
}

/// The queries of one walk.
struct Batch {
    rows: Vec<u8>,
    packed: LeftRows,
    measured: Measured,
}

pub(super) fn run(
    base: &dyn VectorSource,
    asking: Asking<'_>,
    metric: Metric,
    k: usize,
    watch: Watch<'_>,
) -> Result<Truth, ComputeTruthError> {
    let queries = asking.queries;
    let (dtype, dim) = (base.dtype(), base.dim());
    let shape = Shape::new(metric, dtype, dim);
    let query_bytes = shape.row_bytes() + 8 * dim + k * size_of::<Neighbour>();
    let batch_queries = (BATCH_BYTES / query_bytes).max(1) as u64; // CAST: widening
    let farthest = if metric == Metric::InnerProduct { f32::NEG_INFINITY } else { f32::INFINITY };

    let memory = || ComputeTruthError::Memory { queries: queries.len(), k };
    let query_count = usize::try_from(queries.len()).map_err(|_| memory())?;
    let total = query_count.checked_mul(k).ok_or_else(memory)?;
    let (mut ids, mut distances) = (Vec::new(), Vec::new());
    ids.try_reserve_exact(total).map_err(|_| memory())?;
    distances.try_reserve_exact(total).map_err(|_| memory())?;

    let mut first = 0;
    while first < queries.len() {
        let part = Part::choose(asking, base.len(), first, batch_queries);
        let count = part.count();
        let part_watch = Watch {
            progress: &|done, total| (watch.progress)(first * total + done * count, queries.len() * total),
            stop: watch.stop,
        };
        let nearest = |_| Kept::Nearest(Best::new(k));
        for state in walk(base, queries, &part, &shape, &nearest, part_watch)?.unwrap_or_default() {
            let found = state.kept.into_sorted();
            let missing = k - found.len();
            for Neighbour { key, row } in found {
                ids.push(row.into());
                distances.push(exact::distance(metric, key, state.square_norm));
            }
            ids.extend(std::iter::repeat_n(Truth::NONE, missing));
            distances.extend(std::iter::repeat_n(farthest, missing));
        }
        first += count;
    }
    Ok(Truth { queries: query_count, k, ids, distances: Some(distances) })
}

pub(super) fn run_within(
    base: &dyn VectorSource,
    asking: Asking<'_>,
    metric: Metric,
    radius: f32,
    watch: Watch<'_>,
) -> Result<RangeTruth, ComputeTruthError> {
    let queries = asking.queries;
    let (dtype, dim) = (base.dtype(), base.dim());
    let shape = Shape::new(metric, dtype, dim);
    let within = |square_norm| Kept::Within {
        limit: exact::key_limit(metric, radius, square_norm),
        neighbours: Vec::new(),
    };
    let mut truth = RangeTruth::default();
    let mut batch_queries = (BATCH_BYTES / (shape.row_bytes() + 8 * dim)).max(1) as u64; // CAST: widening
    let mut first = 0;
    while first < queries.len() {
        let part = Part::choose(asking, base.len(), first, batch_queries);
        let count = part.count();
        let part_watch = Watch {
            progress: &|done, total| {
                (watch.progress)(first * total + done * count, queries.len() * total);
            },
            stop: watch.stop,
        };
        let Some(states) = walk(base, queries, &part, &shape, &within, part_watch)? else {
            // What was found took too much memory: fewer queries at once.
            if count == 1 {
                return Err(ComputeTruthError::Within { query: first, max: WITHIN_MAX });
            }
            batch_queries = count.div_ceil(2);
            continue;
        };
        for state in states {
            let found = state.kept.into_sorted().into_iter();
            let of_query = found.map(|Neighbour { key, row }| {
                (u64::from(row), exact::distance(metric, key, state.square_norm))
            });
            let is_within = |&(_, distance): &(u64, f32)| metric.is_within(distance, radius);
            truth.push(of_query.filter(is_within)).map_err(|_| ComputeTruthError::Results {
                max: RangeTruth::RESULTS_MAX,
                query: truth.queries() as u64, // CAST: usize is 64 bits here
            })?;
        }
        first += count;
    }
    Ok(truth)
}

/// Finds the neighbours of some of the queries in one walk over the base. None where those within a radius are more than
/// [`WITHIN_MAX`].
fn walk(
    base: &dyn VectorSource,
    queries: &dyn VectorSource,
    part: &Part,
    shape: &Shape,
    kept: &dyn Fn(f64) -> Kept,
    watch: Watch<'_>,
) -> Result<Option<Vec<State>>, ComputeTruthError> {
    let row_bytes = shape.row_bytes();
    let bad = |source: &dyn VectorSource, bad: BadRow| {
        ComputeTruthError::Check(CheckError::Row { name: source.name(), bad })
    };
    let mut rows = vec![0; part.count() as usize * row_bytes]; // CAST: at most BATCH_BYTES
    queries.read_rows(part.queries.start, &mut rows)?;
    let measured = Measured::new(shape, part.queries.start, &rows).map_err(|e| bad(queries, e))?;
    let packed = shape.kernel.pack_left(&rows);
    let new_state = |(query, &square_norm): (usize, &f64)| State {
        kept: kept(square_norm),
        allowed: part.allowed.get(query).cloned(),
        norm: square_norm.sqrt(),
        square_norm,
    };
    let mut states: Vec<State> = measured.square_norms.iter().enumerate().map(new_state).collect();
    let batch = Batch { rows, packed, measured };

    let groups_wanted = rayon::current_num_threads() * GROUPS_PER_THREAD;
    let group = states.len().div_ceil(groups_wanted).clamp(1, GROUP_QUERIES);
    let block_rows = (BLOCK_BYTES / row_bytes).max(1) as u64; // CAST: widening
    let read_block = |first: u64, block: &mut Vec<u8>| -> Result<(), SourceError> {
        let count = block_rows.min(base.len() - first);
        block.resize(count as usize * row_bytes, 0); // CAST: at most `block_rows`
        if count > 0 { base.read_rows(first, block) } else { Ok(()) }
    };

    let (mut current, mut next) = (Vec::new(), Vec::new());
    let mut first = 0;
    read_block(first, &mut current)?;
    while first < base.len() {
        watch.step(first, base.len())?;
        let after = (first + block_rows).min(base.len());
        let (read, worked) = rayon::join(
            || read_block(after, &mut next),
            || -> Result<(), BadRow> {
                let tiles = tiles(shape, first, &current)?;
                let block = Block { first, rows: &current, tiles: &tiles };
                states.par_chunks_mut(group).enumerate().for_each_init(
                    Vec::new,
                    |scores, (number, states)| {
                        pass(shape, &batch, number * group, states, &block, scores);
                    },
                );
                Ok(())
            },
        );
        worked.map_err(|e| bad(base, e))?;
        read?;
        let is_within = states.first().is_some_and(|state| state.kept.keeps_equals());
        if is_within && states.iter().map(|state| state.kept.len()).sum::<usize>() > WITHIN_MAX {
            return Ok(None);
        }
        std::mem::swap(&mut current, &mut next);
        first = after;
    }
    (watch.progress)(base.len(), base.len());
    Ok(Some(states))
}

/// A part of the base in memory.
struct Block<'a> {
    /// Number of its first row.
    first: u64,
    rows: &'a [u8],
    tiles: &'a [Tile],
}

/// Takes a group of queries, the first of them number `query` of the batch, over a block.
fn pass(
    shape: &Shape,
    batch: &Batch,
    query: usize,
    states: &mut [State],
    block: &Block<'_>,
    scores: &mut Vec<f32>,
) {
    for tile in block.tiles {
        let width = tile.packed.len();
        scores.resize(states.len() * width, 0.0);
        let left = batch.packed.range(query..query + states.len());
        shape.kernel.scores(shape.operation(), left, tile.packed.all(), scores);
        for ((number, state), keys) in (query..).zip(states.iter_mut()).zip(scores.chunks_exact_mut(width)) {
            match shape.metric {
                Metric::L2 => {}
                Metric::InnerProduct => keys.iter_mut().for_each(|key| *key = -*key),
                Metric::Cosine => {
                    keys.iter_mut().zip(&tile.inverse_norms).for_each(|(key, norm)| *key *= -norm);
                }
            }
            Pairs { shape, batch, query: number, block, tile, keys }.offer(state);
        }
    }
}

/// One query against the rows of a tile, with keys that carry the kernel's rounding.
struct Pairs<'a> {
    shape: &'a Shape,
    batch: &'a Batch,
    query: usize,
    block: &'a Block<'a>,
    tile: &'a Tile,
    keys: &'a [f32],
}

impl Pairs<'_> {
    /// Offers the rows that may be among the best.
    fn offer(&self, state: &mut State) {
        let mut limit = self.limit(state);
        // Taken out and put back: a clone would make all threads write one counter.
        if let Some(allowed) = state.allowed.take() {
            // CAST: filters choose from fewer than 2^32 rows
            let first = (self.block.first + self.tile.start as u64) as u32;
            for row in allowed.within(first..first + self.keys.len() as u32) {
                let j = (row - first) as usize; // CAST: widening
                if passes(self.keys[j], limit) {
                    state.kept.offer(self.neighbour(j, self.keys[j]));
                    limit = self.limit(state);
                }
            }
            state.allowed = Some(allowed);
            return;
        }
        for (number, keys) in self.keys.chunks(SCREEN).enumerate() {
            if !keys.iter().fold(false, |any, &key| any | passes(key, limit)) {
                continue;
            }
            for (j, &key) in (number * SCREEN..).zip(keys) {
                if passes(key, limit) {
                    state.kept.offer(self.neighbour(j, key));
                    limit = self.limit(state);
                }
            }
        }
    }

    /// Whether the kernel's values for rows like these are exact.
    fn exact(&self) -> bool {
        self.shape.metric != Metric::Cosine && exact::kernel_is_exact(self.shape.dtype, self.shape.dim)
    }

    /// The largest rough key that a row among the best can have.
    ///
    /// A product of `d` elements, summed in any order in f32, is off by at most `(d + small) * ROUNDING * |q| |x|`, and
    /// squared distances made of norms and products by as much of `(|q| + |x|)^2`.
    fn limit(&self, state: &State) -> f32 {
        let Some(worst) = state.kept.worst_key() else { return f32::INFINITY };
        let metric = self.shape.metric;
        let rough = exact::key_in_kernel_units(metric, worst);
        if self.shape.dtype.is_integer() && metric != Metric::Cosine {
            // CAST: rounding keeps the order: no row nearer than the worst has a larger rounded value
            let limit = rough as f32;
            // Rows come in order, so an equal one never wins the tie.
            return if self.exact() && !state.kept.keeps_equals() { limit.next_down() } else { limit };
        }
        let (query, row) = (state.norm, self.tile.norm_max);
        if !is_safe(query) || !is_safe(row) || (metric == Metric::Cosine && !is_safe(self.tile.norm_min)) {
            return f32::INFINITY;
        }
        let relative = (self.shape.dim as f64 + ROUNDINGS_EXTRA) * ROUNDING; // CAST: small
        let margin = match metric {
            Metric::L2 => relative * (query + row).powi(2),
            Metric::InnerProduct => relative * query * row,
            Metric::Cosine => relative * query,
        };
        ((rough + margin) as f32).next_up() // CAST: rounded to nearest, then up
    }

    /// A row of the tile with its exact key.
    fn neighbour(&self, j: usize, rough_key: f32) -> Neighbour {
        let shape = self.shape;
        let (dim, row_bytes) = (shape.dim, shape.row_bytes());
        let at = self.tile.start + j;
        let key = if self.exact() {
            f64::from(rough_key)
        } else {
            let value = if shape.dtype.is_integer() {
                let query = &self.batch.rows[self.query * row_bytes..(self.query + 1) * row_bytes];
                let row = &self.block.rows[at * row_bytes..(at + 1) * row_bytes];
                exact::integer_value(shape.operation(), shape.dtype, query, row)
            } else {
                let query = &self.batch.measured.values[self.query * dim..(self.query + 1) * dim];
                let row = &self.tile.measured.values[j * dim..(j + 1) * dim];
                exact::float_value(shape.operation(), query, row)
            };
            exact::key(shape.metric, value, self.tile.measured.square_norms[j])
        };
        // CAST: bases have at most 2^32 rows
        Neighbour { key, row: (self.block.first + at as u64) as u32 }
    }
}

/// Whether a key is within the limit. NaN, from sums that overflowed, is.
#[inline(always)]
fn passes(key: f32, limit: f32) -> bool {
    let beyond = key > limit;
    !beyond
}
