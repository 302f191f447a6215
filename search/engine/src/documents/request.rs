//! Query documents handed in: their tokens or their encoding as queries, then what these have found.
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use bytes::Bytes;
use crossbeam_channel::unbounded;
use spandrel_index::documents::{DocumentEncoder, DocumentOffsets, EncodingScratch};
use spandrel_index::{Documents, Index, Matches, SegmentMatches};

use crate::answer::Answer;
use crate::documents::{DocumentParams, DocumentTask};
use crate::engine::Engine;
use crate::error::SearchError;
use crate::filter_plan::{ExplainedFilter, FilterPlan, Filtered};
use crate::job::{Job, Queries, Waiting};
use crate::pace::Course;
use crate::params::ParamsError;
use crate::queue::Queue;
use crate::searched::Searched;
use crate::terms::Terms;
use crate::validate::{QueryError, check_queries, check_tokens};

/// Query documents that each thread has under way in a blocking search.
const IN_FLIGHT: usize = 2;

/// A query document together with its own terms.
#[derive(Debug)]
pub struct DocumentRequest {
    /// Its tokens: rows of the index's element type, little-endian, back to back; one or more.
    pub tokens: Bytes,
    /// What is wanted.
    pub params: DocumentParams,
    /// Which documents may be answers, of the index; all if not given.
    pub filter: Option<Arc<Matches>>,
    /// When to give up.
    pub deadline: Option<Instant>,
    /// Set to true to give up.
    pub stop: Option<Arc<AtomicBool>>,
}

/// Query documents whose tokens lie back to back.
#[derive(Debug, Clone, Copy)]
pub struct QueryDocuments<'a> {
    /// Rows of the index's element type, little-endian.
    pub tokens: &'a [u8],
    /// Which of them are one document.
    pub offsets: &'a DocumentOffsets,
}

/// What the reply to the tokens hands in the documents with.
struct Next {
    searched: Arc<Searched>,
    queue: Arc<Queue>,
    tokens: Bytes,
    params: DocumentParams,
    filter: Option<Arc<Matches>>,
    filtered: Option<Filtered>,
    explained: Option<ExplainedFilter>,
    terms: Terms,
}

impl Engine {
    /// Hands in a query document without waiting. `reply` is called once, usually on a worker's thread, and must not block it: with the
    /// best documents by MaxSim, best first, ties by number. In an index of encodings the query is encoded before this returns, once there is a
    /// place in the queue: [`SearchError::Deadline`] and [`SearchError::Stopped`] may then be returned, and [`Answer::latency_us`] does not have that
    /// time. [`Neighbour::id`](crate::Neighbour::id) is the id of a document and
    /// [`Neighbour::distance`](crate::Neighbour::distance) its MaxSim.
    ///
    /// With a filter only documents that match are answers. Where no more match than are compared, all of them are, and tokens search
    /// nothing.
    ///
    /// # Errors
    /// [`SearchError`] when it is refused; `reply` is then not called. [`SearchError::Overloaded`] when too many requests are waiting.
    pub fn submit_document(
        &self,
        request: DocumentRequest,
        reply: impl FnOnce(Result<Answer, SearchError>) + Send + 'static,
    ) -> Result<(), SearchError> {
        self.hand_in_document(request, true, reply)
    }

    fn hand_in_document(
        &self,
        request: DocumentRequest,
        limited: bool,
        reply: impl FnOnce(Result<Answer, SearchError>) + Send + 'static,
    ) -> Result<(), SearchError> {
        let DocumentRequest { tokens, params, filter, deadline, stop } = request;
        let index = self.index();
        params.check(index)?;
        if check_tokens(index, &tokens)? == 0 {
            return Err(SearchError::NoTokens);
        }
        let terms = Terms { deadline, stop };
        let (searched, queue) = self.searched_by();
        let (vectors, count) = match index.documents().and_then(Documents::encoder) {
            Some(encoder) => {
                queue.check_place(&searched, 1, Course::Nearest, limited)?;
                let row_bytes = index.query_shape().row_bytes();
                let vector = encoded(encoder, &tokens, row_bytes, &terms)?;
                // Sums of tokens that are near the largest of floats may be beyond.
                let beyond = |error| match error {
                    QueryError::Unusable { found, .. } => SearchError::Encoding { document: 0, found },
                    other => other.into(),
                };
                check_queries(index, &vector).map_err(beyond)?;
                (vector, 1)
            }
            None => (tokens.clone(), check_queries(index, &tokens)?),
        };
        let among = filter.as_ref().map(|filter| tokens_among(index, filter)).transpose()?;
        let explained = match (&filter, among) {
            (Some(filter), Some(among)) if params.explain => Some(params.explained(index, filter, among)),
            _ => None,
        };
        let is_few = filter.as_ref().is_some_and(|matches| params.compares_all(index, matches));
        // A filter that all match is searched as none.
        let plan = params.vector_plan(index, count, among.filter(|of| of.count() < index.vectors()));
        let filtered = filter.as_ref().map(|matches| {
            let plan =
                if is_few { FilterPlan::Exact } else { plan.filter_plan().unwrap_or(FilterPlan::Post) };
            Filtered { matches: matches.count(), plan, widened: false }
        });
        let (tokens, next_terms) = (tokens.clone(), terms.clone());
        let next = Next { searched, queue, tokens, params, filter, filtered, explained, terms: next_terms };
        if is_few {
            return next.hand_in(Vec::new(), limited, reply);
        }
        let queries = Queries::new(vectors, index.row_bytes(), plan);
        let reply = move |found: Result<Vec<Answer>, SearchError>| match found {
            // What was begun is not refused for what waits.
            Ok(found) => drop(next.hand_in(found, false, reply)),
            Err(error) => reply(Err(of_one(error))),
        };
        self.submit_queries(queries, terms, limited, Box::new(reply))
    }

    /// Answers query documents, whose tokens lie back to back, in their order. Blocks until all are answered; gives up soon after `stop`
    /// becomes true.
    ///
    /// # Errors
    /// [`SearchError`]; nothing is searched when the parameters or any token are refused. [`SearchError::Encoding`] may come after others were searched.
    pub fn search_documents(
        &self,
        tokens: &[u8],
        documents: &DocumentOffsets,
        params: &DocumentParams,
        stop: &Arc<AtomicBool>,
    ) -> Result<Vec<Answer>, SearchError> {
        let queries = QueryDocuments { tokens, offsets: documents };
        self.search_documents_among(queries, params, |_| Ok(None), stop)
    }

    /// As [`Engine::search_documents`], among the documents that `filter` gives for each query by its number: all where it gives none. It is
    /// asked in their order, when a query is about to be searched.
    ///
    /// # Errors
    /// [`SearchError`], and what `filter` fails with.
    pub fn search_documents_among<E: From<SearchError>>(
        &self,
        queries: QueryDocuments<'_>,
        params: &DocumentParams,
        mut filter: impl FnMut(usize) -> Result<Option<Arc<Matches>>, E>,
        stop: &Arc<AtomicBool>,
    ) -> Result<Vec<Answer>, E> {
        let QueryDocuments { tokens, offsets } = queries;
        params.check(self.index()).map_err(SearchError::from)?;
        let (rows, covered) =
            (check_tokens(self.index(), tokens).map_err(SearchError::from)?, offsets.rows());
        // CAST: widening
        if covered != rows as u64 {
            return Err(SearchError::Offsets { covered, rows }.into());
        }
        let (count, row_bytes) = (offsets.documents(), self.index().query_shape().row_bytes());
        let mut answers = vec![Answer::default(); count];
        let (sender, receiver) = unbounded();
        let (mut next, mut under_way, mut answered) = (0, 0, 0);
        let most = IN_FLIGHT * self.threads_wanted();
        while answered < count {
            while next < count && under_way < most {
                let rows = offsets.rows_of(next);
                let tokens = &tokens[rows.start as usize * row_bytes..rows.end as usize * row_bytes];
                let request = DocumentRequest {
                    tokens: Bytes::copy_from_slice(tokens),
                    params: *params,
                    filter: filter(next)?,
                    deadline: None,
                    stop: Some(Arc::clone(stop)),
                };
                let (number, sender) = (next, sender.clone());
                let reply = move |result| drop(sender.send((number, result)));
                self.hand_in_document(request, false, reply)
                    .map_err(|error| of_many(error, number, (answered, count)))?;
                next += 1;
                under_way += 1;
            }
            let Ok((number, result)) = receiver.recv() else { return Err(SearchError::Closed.into()) };
            answers[number] = result.map_err(|error| of_many(error, number, (answered, count)))?;
            under_way -= 1;
            answered += 1;
        }
        Ok(answers)
    }
}

/// The tokens of documents that match a filter, which must be one of the index.
fn tokens_among<'a>(index: &Index, matches: &'a Matches) -> Result<&'a Arc<Matches>, ParamsError> {
    let found: u64 = matches.segments().iter().map(SegmentMatches::positions).sum();
    let tokens = |tokens: &Matches| tokens.segments().iter().map(SegmentMatches::positions).sum::<u64>();
    match matches.tokens() {
        Some(of) if found == index.items() && tokens(of) == index.vectors() => Ok(of),
        _ => Err(ParamsError::FilterShape { found, expected: index.items() }),
    }
}

impl Next {
    /// Hands in the documents that the tokens have found, or all that match where nothing was looked for.
    fn hand_in(
        self,
        found: Vec<Answer>,
        limited: bool,
        reply: impl FnOnce(Result<Answer, SearchError>) + Send + 'static,
    ) -> Result<(), SearchError> {
        let Next { searched, queue, tokens, params, filter, filtered, explained, terms } = self;
        let read: u64 = found.iter().map(|answer| answer.work.read_bytes).sum();
        let taken = found.iter().filter_map(|answer| answer.taken).min();
        let bytes_left = params.max_bytes.map_or(u64::MAX, |bytes| bytes.saturating_sub(read));
        let task = DocumentTask { tokens, params, filter, filtered, explained, found, bytes_left, taken };
        let reply = move |result: Result<Vec<Answer>, SearchError>| {
            reply(result.map(|answers| answers.into_iter().next().unwrap_or_default()).map_err(of_one));
        };
        let job = Job::new(task, &searched, terms, Box::new(reply));
        match queue.push(Arc::clone(&job) as Arc<dyn Waiting>, limited) {
            Err(error) if limited => Err(error),
            Err(error) => {
                job.refuse(error);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}

/// The encoding of a query document of rows of `row_bytes`, as a row of the index, unless the caller gives up.
fn encoded(
    encoder: &DocumentEncoder,
    tokens: &[u8],
    row_bytes: usize,
    terms: &Terms,
) -> Result<Bytes, SearchError> {
    let (mut scratch, mut encoding) = (EncodingScratch::default(), vec![0.0; encoder.dim()]);
    encoder.start(&mut scratch);
    for piece in tokens.chunks(DocumentEncoder::TOKENS_AT_ONCE * row_bytes) {
        if let Some(end) = terms.end() {
            return Err(end.error(0, 1));
        }
        encoder.add(piece, &mut scratch);
    }
    encoder.finish_query(&mut scratch, &mut encoding);
    Ok(encoding.into_iter().flat_map(f32::to_le_bytes).collect())
}

/// An error of query document `number` where some of many were answered.
fn of_many(error: SearchError, number: usize, (answered, queries): (usize, usize)) -> SearchError {
    match error {
        SearchError::Stopped { .. } => SearchError::Stopped { answered, queries },
        SearchError::Encoding { found, .. } => SearchError::Encoding { document: number, found },
        other => other,
    }
}

/// An error that counts query documents in place of their tokens.
fn of_one(error: SearchError) -> SearchError {
    match error {
        SearchError::Stopped { .. } => SearchError::Stopped { answered: 0, queries: 1 },
        SearchError::Deadline { .. } => SearchError::Deadline { answered: 0, queries: 1 },
        other => other,
    }
}
