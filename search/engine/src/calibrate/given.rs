//! Queries that the user gives, and what the user knows of their neighbours.
use std::collections::HashMap;

use rayon::ThreadPool;
use spandrel_index::codes::CodeSpec;
use spandrel_index::{Index, Location};

use super::error::CalibrateError;
use super::queries::{Pages, Queries};
use super::truth::{TrueNeighbours, nearest};
use crate::Truth;
use crate::recall::no_worse;
use crate::rerank::Reranker;
use crate::subject::Prepared;
use crate::validate::check_queries;

/// Queries that are used at most, spread over all that are given.
const QUERIES_MAX: usize = 3000;
/// Queries of which one finds the path and another says what to expect.
const QUERIES_MIN: usize = 3;
/// Queries whose truth is compared with an exact search.
const CHECKED: usize = 8;
/// Pages read at a time.
const PAGES: u64 = 1024;

/// Queries of an index that stand for those to come.
#[derive(Debug, Clone, Copy)]
pub struct GivenQueries<'a> {
    /// Rows of the index's element type, back to back.
    pub rows: &'a [u8],
    /// Their true neighbours; found by comparison with every vector where they are not given.
    pub truth: Option<Truth<'a>>,
}

/// The index that queries are given for, those of them that are used, and the pool to compare them in.
pub(super) struct GivenTo<'a> {
    pub(super) index: &'a Index,
    pub(super) queries: &'a Queries,
    pub(super) pool: &'a ThreadPool,
}

impl GivenQueries<'_> {
    /// The numbers of the queries that are used.
    fn used(&self, index: &Index) -> Result<Vec<usize>, CalibrateError> {
        let all = check_queries(index, self.rows)?;
        if all < QUERIES_MIN {
            return Err(CalibrateError::Few { found: all, needed: QUERIES_MIN });
        }
        if let Some(Truth { ids, columns, .. }) = self.truth
            && (columns == 0 || ids.len() != all * columns)
        {
            return Err(CalibrateError::TruthShape { found: ids.len(), queries: all, columns });
        }
        let count = all.min(QUERIES_MAX);
        Ok((0..count).map(|at| (2 * at + 1) * all / (2 * count)).collect())
    }

    /// Those that are used.
    pub(super) fn queries(&self, index: &Index) -> Result<Queries, CalibrateError> {
        let row_bytes = index.row_bytes();
        let used = self.used(index)?;
        let rows = used.iter().flat_map(|&query| &self.rows[query * row_bytes..][..row_bytes]);
        Ok(Queries { rows: rows.copied().collect(), count: used.len(), own: None, times: 1 })
    }

    /// The most neighbours that the truth, if given, tells of.
    pub(super) fn neighbours_max(&self) -> usize {
        self.truth.map_or(usize::MAX, |truth| truth.columns)
    }

    /// `depths[i]` neighbours of query `i` of those used, as the truth tells them; some are compared with an exact search.
    ///
    /// Every page is read once, for where these neighbours lie and how far they are.
    pub(super) fn nearest(
        &self,
        to: &GivenTo<'_>,
        depths: &[usize],
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Vec<TrueNeighbours>>, CalibrateError> {
        let &GivenTo { index, queries, .. } = to;
        let Some(truth) = self.truth else { return Ok(None) };
        let used = self.used(index)?;
        let ids =
            |query: usize| &truth.ids[used[query] * truth.columns..][..depths[query].min(truth.columns)];
        let mut wanted: HashMap<u64, Vec<usize>> = HashMap::new();
        for (query, &number) in used.iter().enumerate() {
            for &id in ids(query) {
                let holders = wanted.entry(id).or_default();
                if holders.last() == Some(&query) {
                    return Err(CalibrateError::TruthTwice { query: number, id });
                }
                holders.push(query);
            }
        }
        let mut found = scored(index, queries, &wanted, go_on)?;
        for (query, keys) in found.iter_mut().enumerate() {
            if keys.len() < ids(query).len() {
                let there: Vec<u64> = keys.iter().map(|key| key.id).collect();
                let missing = ids(query).iter().find(|id| !there.contains(id)).copied().unwrap_or_default();
                return Err(CalibrateError::TruthId { query: used[query], id: missing });
            }
            keys.sort_unstable_by(|a, b| a.score.total_cmp(&b.score).then(a.name.cmp(&b.name)));
        }
        let metric = index.metric();
        let nearest: Vec<TrueNeighbours> = found
            .iter()
            .map(|keys| TrueNeighbours {
                names: keys.iter().map(|key| key.name).collect(),
                distances: keys.iter().map(|key| metric.distance_of_score(key.score)).collect(),
                equals: Vec::new(),
            })
            .collect();
        let picks: Vec<usize> = (0..CHECKED).map(|at| at * queries.len() / CHECKED).collect();
        for (&query, exact) in picks.iter().zip(exact(to, &picks, depths, go_on)?) {
            let told = &nearest[query].distances;
            let wrong = (0..told.len()).find(|&at| !no_worse(metric, told[at], exact.distances[at]));
            if let Some(at) = wrong {
                let (query, found, expected) = (used[query], told[at], exact.distances[at]);
                return Err(CalibrateError::TruthFit { query, neighbour: at, found, expected });
            }
        }
        Ok(Some(nearest))
    }
}

/// A vector that is told to be a neighbour.
struct Scored {
    name: u64,
    id: u64,
    score: f32,
}

/// Of each query its neighbours, by the queries that want each id, in the order in which they lie.
fn scored(
    index: &Index,
    queries: &Queries,
    wanted: &HashMap<u64, Vec<usize>>,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<Vec<Vec<Scored>>, CalibrateError> {
    let (reranker, by_id) = (Reranker::new(index), index.code() == CodeSpec::Full);
    let prepared: Vec<_> = (0..queries.len()).map(|query| Prepared::of(index, queries.row(query))).collect();
    let mut found: Vec<Vec<Scored>> = (0..queries.len()).map(|_| Vec::new()).collect();
    let mut bytes = Vec::new();
    for (number, segment) in (0..).zip(index.segments()) {
        let pages = Pages::open(segment)?;
        let (all, of_page) = (pages.layout.pages(segment.count), pages.layout.page_records());
        let page_bytes = pages.layout.page_bytes();
        for first in (0..all).step_by(PAGES as usize) {
            if !go_on() {
                return Err(CalibrateError::Stopped);
            }
            pages.read(first..(first + PAGES).min(all), &mut bytes)?;
            let start = first as usize * of_page; // CAST: a position, here and below
            let end = (start + PAGES as usize * of_page).min(segment.count as usize);
            for at in 0..end - start {
                let page = &bytes[at / of_page * page_bytes..][..page_bytes];
                let record = pages.layout.record(page, at % of_page);
                let location = Location::new(number, (start + at) as u32);
                for &query in wanted.get(&record.id).into_iter().flatten() {
                    let name = if by_id { record.id } else { location.bits() };
                    let score = reranker.score(record, prepared[query]);
                    found[query].push(Scored { name, id: record.id, score });
                }
            }
        }
    }
    Ok(found)
}

/// The neighbours of some queries by comparison with every vector.
fn exact(
    to: &GivenTo<'_>,
    picks: &[usize],
    depths: &[usize],
    go_on: &mut dyn FnMut() -> bool,
) -> Result<Vec<TrueNeighbours>, CalibrateError> {
    let rows = picks.iter().flat_map(|&query| to.queries.row(query)).copied().collect();
    let some = Queries { rows, count: picks.len(), own: None, times: 1 };
    let depths: Vec<usize> = picks.iter().map(|&query| depths[query]).collect();
    nearest(to.index, &some, &depths, to.pool, go_on)
}
