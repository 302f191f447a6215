//! Queries that are compared with every vector.
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::mass::{ExpSum, Mass};
use bytes::Bytes;
use spandrel_index::format::VectorsOf;
use spandrel_index::{Index, Location, Matches, Metric, inverse_norm};

use crate::answer::Neighbour;
use crate::collect::Best;
use crate::error::SearchError;
use crate::pages::PageKey;
use crate::params::ParamsError;
use crate::plan::check_held;
use crate::subject::Prepared;
use crate::terms::Terms;
use crate::validate::check_queries;

/// Bytes of vectors that a piece compares with a query, summed over the queries: about 0.1 ms of work.
const PIECE_BYTES: usize = 1 << 20;
/// Bytes of a piece at most, however few the queries are.
const READ_BYTES_MAX: usize = 256 << 10;

/// Queries of one index on their way through all of its vectors, piece by piece.
pub struct ExactSearch {
    index: Arc<Index>,
    /// Query rows, back to back.
    rows: Bytes,
    /// One over the length of each query, under cosine.
    inverse_norms: Vec<f32>,
    /// A vector that each query leaves out, by query; empty where none does.
    left_out: Vec<Location>,
    /// What matches the filter of each query, by query, or of all; empty where none has one.
    filters: Vec<Arc<Matches>>,
    best: Vec<Mutex<Best>>,
    /// The attention mass of all vectors, where it is wanted.
    mass: Option<Mass>,
    piece_pages: u64,
    /// Number of the first piece of each segment, and of all pieces.
    first_pieces: Vec<usize>,
    /// Pages that are damaged or cannot be read.
    missing: AtomicU64,
}

/// The exact nearest vectors of some queries.
#[derive(Debug, Clone, PartialEq)]
pub struct ExactNearest {
    /// Of each query, best first, ties by id: `k`, or all there are.
    pub neighbours: Vec<Vec<Neighbour>>,
    /// Pages that are damaged or cannot be read: without their vectors this is not exact.
    pub missing_pages: u64,
}

impl ExactSearch {
    /// Prepares a search for the `k` nearest of `queries`, rows of the index back to back. Each leaves out the vector at its
    /// place of `left_out`; none does where that is empty.
    ///
    /// # Errors
    /// [`SearchError::Params`] and [`SearchError::Query`].
    ///
    /// # Panics
    /// When `left_out` is neither empty nor of one location for each query.
    pub fn new(
        index: &Arc<Index>,
        queries: Bytes,
        k: usize,
        left_out: Vec<Location>,
    ) -> Result<ExactSearch, SearchError> {
        if k == 0 {
            return Err(ParamsError::ZeroK.into());
        }
        check_held(VectorsOf::Main, index)?;
        let count = check_queries(index, &queries)?;
        assert!(
            left_out.is_empty() || left_out.len() == count,
            "each query leaves one vector out, or none does"
        );
        let k = usize::try_from(index.vectors()).map_or(k, |vectors| k.min(vectors));
        let new_best = || {
            let mut best = Best::default();
            best.reset(k, false, &Terms::default());
            Mutex::new(best)
        };
        let is_cosine = index.metric() == Metric::Cosine;
        let inverse = |row| if is_cosine { inverse_norm(index.dtype(), row) } else { 0.0 };
        let page_bytes = index.page_layout().page_bytes();
        let piece_bytes = (PIECE_BYTES / count.max(1)).min(READ_BYTES_MAX);
        let piece_pages = (piece_bytes / page_bytes).max(1) as u64; // CAST: widening
        let mut first_pieces = vec![0];
        for segment in index.segments() {
            let pieces = segment.vectors(VectorsOf::Main).layout.pages(segment.count).div_ceil(piece_pages);
            first_pieces.push(first_pieces[first_pieces.len() - 1] + pieces as usize); // CAST: usize is 64 bits
        }
        Ok(ExactSearch {
            index: Arc::clone(index),
            inverse_norms: queries.chunks_exact(index.row_bytes()).map(inverse).collect(),
            rows: queries,
            left_out,
            filters: Vec::new(),
            best: (0..count).map(|_| new_best()).collect(),
            mass: None,
            piece_pages,
            first_pieces,
            missing: AtomicU64::new(0),
        })
    }

    /// The same among vectors that match filters: one of each query, or one of all.
    ///
    /// # Panics
    /// When there are filters of another number of queries.
    #[must_use]
    pub fn among(self, filters: Vec<Arc<Matches>>) -> ExactSearch {
        let count = filters.len();
        assert!(count <= 1 || count == self.best.len(), "each query has a filter, or all have one");
        ExactSearch { filters, ..self }
    }

    /// The same, which also sums `exp(scale * score)` over all vectors that are compared, of an index by inner product.
    ///
    /// # Panics
    /// When the index is by another metric.
    #[must_use]
    pub fn with_mass(self, scale: f64) -> ExactSearch {
        assert!(self.index.metric() == Metric::InnerProduct, "attention is by inner product");
        let sums = self.best.iter().map(|_| Mutex::new(ExpSum::ZERO)).collect();
        ExactSearch { mass: Some(Mass { scale, sums }), ..self }
    }

    /// The share of the attention mass that some neighbours of a query hold, once every piece went past, at most 1; none where no mass was
    /// summed.
    pub fn mass_of(&self, number: usize, neighbours: &[Neighbour]) -> Option<f64> {
        let Mass { scale, sums } = self.mass.as_ref()?;
        let all = sums.get(number)?.lock().unwrap_or_else(PoisonError::into_inner).ln();
        let weight = |of: &Neighbour| (scale * f64::from(of.distance) - all).exp();
        // Lists of exact vectors know neighbours of which the page is damaged, and is left out of the sum.
        Some(neighbours.iter().map(weight).sum::<f64>().min(1.0))
    }

    /// Pages that were damaged or could not be read so far.
    pub fn missing_pages(&self) -> u64 {
        self.missing.load(Ordering::Relaxed)
    }

    /// Bytes that a search of one query takes for `k` neighbours, besides its row.
    pub fn query_bytes(k: usize) -> usize {
        // Keys are gathered before they are thinned out.
        (2 * k + 64) * 16 + 128
    }

    /// Pieces that the vectors go past in.
    pub fn pieces(&self) -> usize {
        self.first_pieces.last().copied().unwrap_or_default()
    }

    /// Bytes of pages of all pieces.
    pub fn bytes(&self) -> u64 {
        self.index.segments().iter().map(|segment| segment.vectors(VectorsOf::Main).body_bytes).sum()
    }

    /// The neighbours, once every piece went past.
    pub fn finish(&self) -> ExactNearest {
        let metric = self.index.metric();
        let of_query = |number: usize| -> Vec<Neighbour> {
            let mut best = self.best(number);
            let keys = best.finish().iter();
            keys.map(|key| Neighbour { id: key.id, distance: key.distance(metric), estimated: false })
                .collect()
        };
        ExactNearest {
            neighbours: (0..self.best.len()).map(of_query).collect(),
            missing_pages: self.missing_pages(),
        }
    }

    pub(crate) fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// Adds some scores of a query to its mass, where it is wanted.
    pub(super) fn add_mass(&self, number: usize, scores: &[f32]) {
        let Some(Mass { scale, sums }) = &self.mass else { return };
        let distance = |&score: &f32| scale * f64::from(self.index.metric().distance_of_score(score));
        let mut part = ExpSum::ZERO;
        part.add(scores.iter().map(distance));
        sums[number].lock().unwrap_or_else(PoisonError::into_inner).join(part);
    }

    pub(super) fn sums_mass(&self) -> bool {
        self.mass.is_some()
    }

    pub(super) fn queries(&self) -> usize {
        self.best.len()
    }

    pub(super) fn prepared(&self, number: usize) -> Prepared<'_> {
        let row_bytes = self.index.row_bytes();
        Prepared {
            row: &self.rows[number * row_bytes..][..row_bytes],
            inverse_norm: self.inverse_norms[number],
        }
    }

    pub(super) fn leaves_out(&self, number: usize, location: Location) -> bool {
        let filter = if let [one] = &self.filters[..] { Some(one) } else { self.filters.get(number) };
        self.left_out.get(number) == Some(&location)
            || filter.is_some_and(|matches| !matches.contains(location))
    }

    pub(super) fn best(&self, number: usize) -> MutexGuard<'_, Best> {
        // Offers leave it whole at every step.
        self.best[number].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first page of a piece, and how many pages it has.
    pub(super) fn pages(&self, piece: usize) -> (PageKey, u64) {
        let segment = self.first_pieces.partition_point(|&first| first <= piece) - 1;
        let first = (piece - self.first_pieces[segment]) as u64 * self.piece_pages;
        let of = &self.index.segments()[segment];
        let pages = of.vectors(VectorsOf::Main).layout.pages(of.count) - first;
        (PageKey::new(segment as u16, first), pages.min(self.piece_pages)) // CAST: segments are numbered by u16
    }

    pub(super) fn page_bytes(&self) -> usize {
        self.index.page_layout().page_bytes()
    }

    pub(super) fn miss(&self, pages: u64) {
        self.missing.fetch_add(pages, Ordering::Relaxed);
    }
}

/// Some pieces of an exact search, as they are handed in.
pub(crate) struct ExactPieces {
    pub(crate) search: Arc<ExactSearch>,
    pub(crate) pieces: Range<usize>,
    /// Whether they wait for as long as anything else does.
    pub(crate) idle: bool,
}
