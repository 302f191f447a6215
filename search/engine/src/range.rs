//! All vectors within a radius, part by part.
//!
//! A search goes through the lists that can hold such a vector, nearest head first. Each part scans the next lists, as one query that
//! the threads answer like any other, and finds no more than the entries of these. The caller asks for the next part when it has
//! room for it: until then the search holds no thread and no buffer, but for the numbers of its lists.
//!
//! Each vector is in one list as a primary, and copies are not scanned: no vector is found twice, in whichever parts.
use std::mem;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use bytes::Bytes;
use crossbeam_channel::bounded;
use spandrel_index::{Index, Metric};

use crate::answer::{Answer, Limit, Neighbour};
use crate::collect::Key;
use crate::engine::Engine;
use crate::error::SearchError;
use crate::job::Queries;
use crate::plan::{CollectPlan, QueryPlan};
use crate::range_lists::RangeList;
use crate::range_params::RangeParams;
use crate::terms::Terms;
use crate::validate::check_queries;

/// A query for all vectors within a radius.
#[derive(Debug)]
pub struct RangeRequest {
    /// One row of the index's element type, little-endian.
    pub query: Bytes,
    /// What is wanted.
    pub params: RangeParams,
    /// When to give up.
    pub deadline: Option<Instant>,
    /// Set to true to give up.
    pub stop: Option<Arc<AtomicBool>>,
}

/// What a part of a search found, to be given to it.
#[derive(Debug)]
pub struct RangePart(Answer);

/// What a search took, and what its answer misses.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RangeSummary {
    /// Vectors of all parts so far.
    pub results: u64,
    /// Parts of the search.
    pub parts: u32,
    /// What the parts took and miss together, without neighbours. Its latency is the time that threads had the parts.
    pub answer: Answer,
}

/// A search under way. See [`Engine::range`].
#[derive(Debug)]
pub struct RangeSearch {
    index: Arc<Index>,
    query: Bytes,
    terms: Terms,
    /// That of the next part.
    plan: QueryPlan,
    best: Option<Best>,
    summary: RangeSummary,
    is_over: bool,
}

/// The best of what was found so far, where their number is bounded.
#[derive(Debug)]
struct Best {
    max: usize,
    held: Vec<Neighbour>,
}

impl Engine {
    /// Begins a search for all vectors within a radius. Nothing is searched before its first part is asked for, by
    /// [`RangeSearch::next`] or [`Engine::submit_range`].
    ///
    /// # Errors
    /// [`SearchError`] when the parameters or the query are refused.
    pub fn range(&self, request: RangeRequest) -> Result<RangeSearch, SearchError> {
        let RangeRequest { query, params, deadline, stop } = request;
        let index = Arc::clone(self.index());
        let plan = QueryPlan::within(&params, &index)?;
        let queries = check_queries(&index, &query)?;
        if queries != 1 {
            return Err(SearchError::RangeQueries { found: queries });
        }
        let best = params.max_results.map(|max| Best { max, held: Vec::new() });
        let (terms, summary) = (Terms { deadline, stop }, RangeSummary::default());
        Ok(RangeSearch { index, query, terms, plan, best, summary, is_over: false })
    }

    /// Hands in the next part of a search without waiting. `reply` is called once, usually on a worker's thread, and must not
    /// block it; what it is given goes to [`RangeSearch::take`] before another part is handed in.
    ///
    /// # Errors
    /// [`SearchError`] when it is refused; `reply` is then not called. [`SearchError::Overloaded`] when too many requests are
    /// waiting, of the first part alone.
    ///
    /// # Panics
    /// When the search is of another index, or over.
    pub fn submit_range(
        &self,
        search: &RangeSearch,
        reply: impl FnOnce(Result<RangePart, SearchError>) + Send + 'static,
    ) -> Result<(), SearchError> {
        assert!(Arc::ptr_eq(&search.index, self.index()), "a search goes on in its own index");
        assert!(!search.is_over, "a search that is over has no further part");
        let queries = Queries::new(search.query.clone(), self.index().row_bytes(), search.plan.clone());
        let reply = move |result: Result<Vec<Answer>, SearchError>| {
            reply(result.map(|answers| RangePart(answers.into_iter().next().unwrap_or_default())));
        };
        self.submit_queries(queries, search.terms.clone(), search.summary.parts == 0, Box::new(reply))
    }
}

impl RangeSearch {
    /// Takes in what a part found: the vectors to be handed out now, best first. Those of one part come before those of later
    /// parts, whatever their distances. With [`RangeParams::max_results`] they all come at the end, best first.
    pub fn take(&mut self, part: RangePart) -> Vec<Neighbour> {
        let Answer { neighbours, work, latency_us, missing, limited_by, taken, .. } = part.0;
        let CollectPlan::Within(range) = &mut self.plan.collect else {
            unreachable!("a search within a radius collects by it")
        };
        self.summary.parts += 1;
        let whole = &mut self.summary.answer;
        whole.work.add(&work);
        whole.latency_us += latency_us;
        whole.missing.lists += missing.lists;
        whole.missing.pages += missing.pages;
        whole.limited_by = whole.limited_by.or(limited_by);
        whole.taken = whole.taken.or(taken);
        let mut cursor = range.cursor();
        self.is_over = cursor.is_over() || limited_by.is_some();
        self.plan.stop.bytes_max = cursor.bytes_left;
        if cursor.bytes_left == 0 && !self.is_over {
            whole.limited_by = Some(Limit::MaxBytes);
            self.is_over = true;
        }
        if self.is_over {
            cursor.lists = None;
        }
        drop(cursor);
        let found = match &mut self.best {
            None => neighbours,
            Some(best) => {
                let metric = self.index.metric();
                if let Some(last) = best.offer(neighbours, metric) {
                    range.score = range.score.min(last);
                }
                if self.is_over { best.finish(metric, whole) } else { Vec::new() }
            }
        };
        self.summary.results += found.len() as u64; // CAST: widening
        found
    }

    /// Whether all parts were searched, or a limit has ended the search.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Vectors that it holds until its end, at most: none where those of each part are handed out at once.
    pub fn held_max(&self) -> usize {
        let vectors = self.index.vectors() as usize; // CAST: usize is 64 bits
        self.best.as_ref().map_or(0, |best| best.max.min(vectors))
    }

    /// Bytes of the numbers of its lists, which it holds from its first part to its end.
    pub fn list_bytes(&self) -> usize {
        let CollectPlan::Within(range) = &self.plan.collect else { return 0 };
        range.cursor().lists.as_ref().map_or(0, |found| found.lists.capacity() * size_of::<RangeList>())
    }

    /// What the parts so far took, and what their answers miss.
    pub fn summary(&self) -> &RangeSummary {
        &self.summary
    }

    /// Searches the next part in `engine`, and blocks until it is there: the vectors to be handed out, as by
    /// [`RangeSearch::take`]. None once the search is over.
    ///
    /// # Errors
    /// [`SearchError`].
    ///
    /// # Panics
    /// When the search is of another index.
    pub fn next(&mut self, engine: &Engine) -> Result<Option<Vec<Neighbour>>, SearchError> {
        if self.is_over {
            return Ok(None);
        }
        let (sender, receiver) = bounded(1);
        // There is room for the one reply, so the send cannot block.
        engine.submit_range(self, move |part| drop(sender.send(part)))?;
        let part = receiver.recv().unwrap_or(Err(SearchError::Closed))?;
        Ok(Some(self.take(part)))
    }
}

impl Best {
    /// Takes in what was found. Once more than the number wanted are there, the score of the last that is kept: vectors with a
    /// larger score need not be searched for.
    fn offer(&mut self, found: Vec<Neighbour>, metric: Metric) -> Option<f32> {
        self.held.extend(found);
        // One more than wanted tells that there are more.
        let kept = self.max.saturating_add(1);
        if self.held.len() < kept {
            return None;
        }
        self.held.select_nth_unstable_by_key(kept - 1, |neighbour| key_of(neighbour, metric));
        self.held.truncate(kept);
        self.held.last().map(|last| metric.score_of_distance(last.distance))
    }

    fn finish(&mut self, metric: Metric, whole: &mut Answer) -> Vec<Neighbour> {
        let mut found = mem::take(&mut self.held);
        found.sort_unstable_by_key(|neighbour| key_of(neighbour, metric));
        if found.len() > self.max {
            found.truncate(self.max);
            whole.limited_by = whole.limited_by.or(Some(Limit::MaxResults));
        }
        found
    }
}

fn key_of(neighbour: &Neighbour, metric: Metric) -> Key {
    Key::new(metric.score_of_distance(neighbour.distance), neighbour.id)
}
