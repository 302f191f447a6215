//! The exact nearest neighbours of the queries, by comparison with every vector.
use std::ops::Range;

use rayon::ThreadPool;
use rayon::prelude::*;
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::Record;
use spandrel_index::kernels::{BlockKernel, LeftRows, Operation, RightRows, below};
use spandrel_index::{DType, Index, Location, Metric, Segment, norm_squared};

use super::error::CalibrateError;
use super::queries::{Pages, Queries};
use crate::collect::Best;
use crate::rerank::Reranker;
use crate::subject::Prepared;
use crate::terms::Terms;

/// Bytes of pages held at once.
const CHUNK_BYTES: u64 = 4 << 20;
/// Vectors that queries are compared with together; the longest of them decides how far rough scores are trusted.
const TILE: usize = 512;
/// Queries that are compared with a tile together, so that their scores stay in the L2 cache.
const QUERIES_TOGETHER: usize = 128;
/// Half a unit in the last place of f32, relative.
const ROUNDING: f64 = 1.0 / (1 << 24) as f64;

/// Vectors equal to a query that it leaves out at most; where there are more, they are its neighbours.
const EQUALS_MAX: usize = 1024;

/// Neighbours of one query, best first: what names each in the lists (its id where lists hold ids, else the bits of its location),
/// and its distance.
pub(super) struct TrueNeighbours {
    pub(super) names: Vec<u64>,
    pub(super) distances: Vec<f32>,
    /// Names of the vectors that equal the query, itself among them, ascending. They are none of its neighbours: a stranger
    /// seldom equals a vector.
    pub(super) equals: Vec<u64>,
}

/// Finds `depths[i]` neighbours of query `i`.
///
/// All pairs are scored by the block kernel; what may be among the nearest, however that rounds, is scored as searches
/// score it. `go_on` is asked after each piece.
pub(super) fn nearest(
    index: &Index,
    queries: &Queries,
    depths: &[usize],
    pool: &ThreadPool,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<Vec<TrueNeighbours>, CalibrateError> {
    let walk = Walk::new(index);
    let mut states: Vec<State<'_>> =
        (0..queries.len()).map(|query| State::new(index, queries, query, depths[query])).collect();
    let packed = walk.kernel.pack_left(&queries.rows);
    let threads = pool.current_num_threads();
    let step = (CHUNK_BYTES / threads as u64 / index.page_layout().page_bytes() as u64).max(1);
    let mut rooms: Vec<Room> = Vec::new();
    rooms.resize_with(threads, Room::default);
    for (number, segment) in (0..).zip(index.segments()) {
        let pages = Pages::open(segment)?;
        let (all, mut first) = (pages.layout.pages(segment.count), 0);
        while first < all {
            if !go_on() {
                return Err(CalibrateError::Stopped);
            }
            let ranges: Vec<_> = (first..all).step_by(step as usize).take(threads).collect(); // CAST: widening
            first += step * threads as u64;
            pool.install(|| {
                let read = rooms.par_iter_mut().zip(ranges).map(|(room, first)| {
                    let range = first..(first + step).min(all);
                    pages.read(range.clone(), &mut room.bytes)?;
                    Ok(Chunk::new(&walk, number, segment, &pages, range, room))
                });
                let chunks = read.collect::<Result<Vec<Chunk<'_>>, CalibrateError>>()?;
                states.par_chunks_mut(QUERIES_TOGETHER).enumerate().for_each(|(number, states)| {
                    let first = number * QUERIES_TOGETHER;
                    chunks.iter().for_each(|chunk| walk.compare(chunk, &packed, first, states));
                });
                Ok::<(), CalibrateError>(())
            })?;
        }
    }
    let own = |query: usize| {
        let own = queries.own.as_ref().map(|own| own[query]);
        own.map(|own| if walk.by_id { own.id } else { own.location.bits() })
    };
    let states = states.into_iter().enumerate();
    Ok(states.map(|(query, state)| state.finish(index.metric(), own(query))).collect())
}

/// A query on its way.
struct State<'a> {
    query: Prepared<'a>,
    norm: f64,
    /// Where it lies itself; none of a query from elsewhere, which leaves nothing out.
    location: Option<Location>,
    equals: Vec<u64>,
    top: Best,
    kth: f32,
}

impl<'a> State<'a> {
    fn new(index: &Index, queries: &'a Queries, query: usize, depth: usize) -> State<'a> {
        let row = queries.row(query);
        let mut top = Best::default();
        top.reset(depth, false, &Terms::default());
        State {
            query: Prepared::of(index, row),
            norm: norm_squared(index.dtype(), row).sqrt(),
            location: queries.own.as_ref().map(|own| own[query].location),
            equals: Vec::new(),
            top,
            kth: f32::INFINITY,
        }
    }

    fn finish(mut self, metric: Metric, own: Option<u64>) -> TrueNeighbours {
        // An inner product with itself may be among the least.
        self.equals.extend(own);
        self.equals.sort_unstable();
        self.equals.dedup();
        let keys = self.top.finish();
        TrueNeighbours {
            names: keys.iter().map(|key| key.id).collect(),
            distances: keys.iter().map(|key| key.distance(metric)).collect(),
            equals: self.equals,
        }
    }
}

/// What a thread holds of some pages, used again for the next.
#[derive(Default)]
struct Room {
    bytes: Vec<u8>,
    /// The vectors of these, back to back.
    rows: Vec<u8>,
    packed: RightRows,
    /// Length of the longest vector of each tile.
    longest: Vec<f64>,
}

/// Vectors of some pages.
struct Chunk<'a> {
    records: Vec<Record<'a>>,
    /// That of the first.
    first: Location,
    packed: &'a RightRows,
    /// Length of the longest vector of each tile.
    longest: &'a [f64],
}

impl<'a> Chunk<'a> {
    /// Of the pages whose bytes are in `room`.
    fn new(
        walk: &Walk,
        number: u16,
        segment: &Segment,
        pages: &Pages,
        range: Range<u64>,
        room: &'a mut Room,
    ) -> Chunk<'a> {
        let Room { bytes, rows, packed, longest } = room;
        let bytes = &*bytes;
        let of_page = pages.layout.page_records();
        let first = range.start as usize * of_page; // CAST: a position, here and below
        let end = (range.end as usize * of_page).min(segment.count as usize);
        let record = |at: usize| {
            let page = &bytes[at / of_page * pages.layout.page_bytes()..][..pages.layout.page_bytes()];
            pages.layout.record(page, at % of_page)
        };
        let records: Vec<Record<'a>> = (0..end - first).map(record).collect();
        rows.clear();
        records.iter().for_each(|record| rows.extend_from_slice(record.vector));
        walk.kernel.pack_right_into(rows, packed);
        let norm = |record: &Record<'_>| norm_squared(walk.dtype, record.vector).sqrt();
        // Products of integers are exact at any length.
        let tiles = if walk.dtype.is_integer() { &[][..] } else { &records[..] };
        longest.clear();
        longest.extend(tiles.chunks(TILE).map(|tile| tile.iter().map(norm).fold(0.0, f64::max)));
        // CAST: a position of the segment
        Chunk { first: Location::new(number, first as u32), packed, longest, records }
    }
}

/// What all threads compare by.
struct Walk {
    metric: Metric,
    kernel: BlockKernel,
    reranker: Reranker,
    dim: usize,
    dtype: DType,
    /// Whether lists name vectors by their ids.
    by_id: bool,
}

impl Walk {
    fn new(index: &Index) -> Walk {
        Walk {
            metric: index.metric(),
            kernel: BlockKernel::new(index.dtype(), index.dim()),
            reranker: Reranker::new(index),
            dim: index.dim(),
            dtype: index.dtype(),
            by_id: index.code() == CodeSpec::Full,
        }
    }

    /// Compares the queries of `states`, the first of them number `first` of `packed`, with a chunk.
    fn compare(&self, chunk: &Chunk<'_>, packed: &LeftRows, first: usize, states: &mut [State<'_>]) {
        let operation = match self.metric {
            Metric::L2 => Operation::SquaredL2,
            Metric::InnerProduct | Metric::Cosine => Operation::InnerProduct,
        };
        let (mut scores, mut picks) = (Vec::new(), Vec::new());
        for (tile, records) in chunk.records.chunks(TILE).enumerate() {
            let start = tile * TILE;
            scores.resize(states.len() * records.len(), 0.0);
            let left = packed.range(first..first + states.len());
            let right = chunk.packed.range(start..start + records.len());
            self.kernel.scores(operation, left, right, &mut scores);
            for (state, scores) in states.iter_mut().zip(scores.chunks_exact_mut(records.len())) {
                match self.metric {
                    Metric::L2 => {}
                    Metric::InnerProduct => scores.iter_mut().for_each(|score| *score = -*score),
                    Metric::Cosine => scores.iter_mut().zip(records).for_each(|(score, record)| {
                        *score = -*score * record.inverse_norm.unwrap_or_default();
                    }),
                }
                picks.clear();
                below(scores, self.limit(state, chunk.longest.get(tile)), &mut picks);
                for &pick in &picks {
                    let position = chunk.first.position() + start as u32 + pick; // CAST: a position of the segment, below 2^32
                    let location = Location::new(chunk.first.segment(), position);
                    let record = records[pick as usize];
                    let id = if self.by_id { record.id } else { location.bits() };
                    let is_equal = || record.vector == state.query.row && state.equals.len() < EQUALS_MAX;
                    if state.location.is_some_and(|own| own == location || is_equal()) {
                        state.equals.push(id);
                    } else {
                        state.top.offer(self.reranker.score(record, state.query), id);
                    }
                }
                state.kth = state.top.bound_score();
            }
        }
    }

    /// The largest rough score that a vector among the nearest can have, of vectors no longer than `longest`; of
    /// integers, whose rough scores are exact but for their last rounding, none is given.
    fn limit(&self, state: &State<'_>, longest: Option<&f64>) -> f32 {
        let kth = f64::from(state.kth);
        // Sums of `dim` products in any order, twice: rough scores and those of searches.
        let relative = 2.0 * (self.dim as f64 + 16.0) * ROUNDING; // CAST: exact
        let (limit, margin) = match (self.metric, longest) {
            (Metric::L2, Some(longest)) => (kth, relative * (state.norm + longest).powi(2)),
            (Metric::InnerProduct, Some(longest)) => (kth, relative * state.norm * longest),
            (Metric::Cosine, _) => ((kth - 1.0) * state.norm, relative * state.norm),
            (_, None) => (kth, 8.0 * ROUNDING * kth.abs()),
        };
        if limit.is_finite() { ((limit + margin) as f32).next_up() } else { f32::INFINITY } // CAST: rounds
    }
}
