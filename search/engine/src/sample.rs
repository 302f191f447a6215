//! Queries that recall is measured with.
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::{Record, VectorsOf};
use spandrel_index::{Index, Location};

use crate::answer::Answer;
use crate::calibrate::{CalibrateError, Pages};
use crate::engine::Engine;
use crate::error::SearchError;
use crate::exact::ExactSearch;
use crate::params::SearchParams;
use crate::plan::check_held;

/// Queries of one index, each of which may leave a vector out.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Rows of the index's element type, back to back.
    pub rows: Bytes,
    /// The vector that each query leaves out, by query; none does where that is empty.
    left_out: Vec<LeftOut>,
}

#[derive(Debug, Clone, Copy)]
struct LeftOut {
    location: Location,
    id: u64,
}

impl Sample {
    /// Queries that leave nothing out.
    pub fn of_queries(rows: Bytes) -> Sample {
        Sample { rows, left_out: Vec::new() }
    }

    /// At most `count` rows of the index at equal distances in the order in which they lie, so that every part of the data has
    /// its share. Each leaves itself out.
    ///
    /// # Errors
    /// [`CalibrateError`].
    pub fn of_index(index: &Index, count: u64) -> Result<Sample, CalibrateError> {
        check_held(VectorsOf::Main, index).map_err(SearchError::from)?;
        let vectors = index.vectors();
        let count = count.min(vectors);
        let (mut rows, mut left_out) = (Vec::new(), Vec::new());
        let (mut first, mut page, mut next) = (0, Vec::new(), 0);
        for (number, segment) in (0..).zip(index.segments()) {
            let pages = Pages::open(segment)?;
            let place = |at: u64| (2 * at + 1) * vectors / (2 * count) - first;
            while next < count && place(next) < segment.count {
                let position = place(next) as u32; // CAST: below `segment.count`, which is below 2^32
                let (page_number, slot) = pages.layout.place(position);
                pages.read(page_number..page_number + 1, &mut page)?;
                let Record { vector, id, .. } = pages.layout.record(&page, slot);
                rows.extend_from_slice(vector);
                left_out.push(LeftOut { location: Location::new(number, position), id });
                next += 1;
            }
            first += segment.count;
        }
        Ok(Sample { rows: rows.into(), left_out })
    }

    /// Neighbours that a query can have at most.
    pub fn neighbours_max(&self, index: &Index) -> u64 {
        index.vectors() - u64::from(!self.left_out.is_empty())
    }

    /// The exact search for the `k` nearest of some of the queries.
    ///
    /// # Errors
    /// Those of [`ExactSearch::new`].
    ///
    /// # Panics
    /// Where there are no such queries.
    pub fn exact(
        &self,
        index: &Arc<Index>,
        k: usize,
        queries: Range<usize>,
    ) -> Result<ExactSearch, SearchError> {
        let left_out = self.left_out_of(&queries).iter().map(|left| left.location).collect();
        ExactSearch::new(index, self.rows_of(index, &queries), k, left_out)
    }

    /// The answers to some of the queries.
    ///
    /// # Errors
    /// [`SearchError`].
    ///
    /// # Panics
    /// Where there are no such queries.
    pub fn answers(
        &self,
        engine: &Engine,
        params: &SearchParams,
        queries: Range<usize>,
    ) -> Result<Vec<Answer>, SearchError> {
        let (rows, left_out) = (self.rows_of(engine.index(), &queries), self.left_out_of(&queries));
        // Searches of lists of exact vectors leave no vector out, nor do those that compare all matches of a filter: it is asked for
        // as well, and dropped.
        let is_asked = engine.index().code() == CodeSpec::Full || params.filter.is_some();
        let is_dropped = !left_out.is_empty() && is_asked;
        let asked = SearchParams { k: params.k + usize::from(is_dropped), ..params.clone() };
        let locations = left_out.iter().map(|left| vec![left.location]).collect();
        let mut answers = engine.search_without(rows, &asked, locations)?;
        for (answer, left) in answers.iter_mut().zip(left_out) {
            answer.neighbours.retain(|neighbour| neighbour.id != left.id);
            answer.neighbours.truncate(params.k);
        }
        Ok(answers)
    }

    fn rows_of(&self, index: &Index, queries: &Range<usize>) -> Bytes {
        self.rows.slice(queries.start * index.row_bytes()..queries.end * index.row_bytes())
    }

    fn left_out_of(&self, queries: &Range<usize>) -> &[LeftOut] {
        self.left_out.get(queries.clone()).unwrap_or_default()
    }
}
