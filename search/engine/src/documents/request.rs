//! Query documents handed in: their tokens as queries, then what these have found.
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use bytes::Bytes;
use crossbeam_channel::unbounded;
use spandrel_index::documents::DocumentOffsets;

use crate::answer::Answer;
use crate::documents::{DocumentParams, DocumentTask};
use crate::engine::Engine;
use crate::error::SearchError;
use crate::job::{Job, Queries, Waiting};
use crate::queue::Queue;
use crate::searched::Searched;
use crate::terms::Terms;
use crate::validate::check_queries;

/// Query documents that each thread has under way in a blocking search.
const IN_FLIGHT: usize = 2;

/// A query document together with its own terms.
#[derive(Debug)]
pub struct DocumentRequest {
    /// Its tokens: rows of the index's element type, little-endian, back to back; one or more.
    pub tokens: Bytes,
    /// What is wanted.
    pub params: DocumentParams,
    /// When to give up.
    pub deadline: Option<Instant>,
    /// Set to true to give up.
    pub stop: Option<Arc<AtomicBool>>,
}

/// What the reply to the tokens hands in the documents with.
struct Next {
    searched: Arc<Searched>,
    queue: Arc<Queue>,
    tokens: Bytes,
    params: DocumentParams,
    terms: Terms,
}

impl Engine {
    /// Hands in a query document without waiting. `reply` is called once, usually on a worker's thread, and must not block it: with the
    /// best documents by MaxSim, best first, ties by number. [`Neighbour::id`](crate::Neighbour::id) is the number of a document and
    /// [`Neighbour::distance`](crate::Neighbour::distance) its MaxSim.
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
        let DocumentRequest { tokens, params, deadline, stop } = request;
        let index = self.index();
        params.check(index)?;
        let count = check_queries(index, &tokens)?;
        if count == 0 {
            return Err(SearchError::NoTokens);
        }
        let plan = params.token_plan(index, count);
        let queries = Queries::new(tokens.clone(), index.row_bytes(), plan);
        let terms = Terms { deadline, stop };
        let (searched, queue) = self.searched_by();
        let next = Next { searched, queue, tokens, params, terms: terms.clone() };
        let reply = move |found: Result<Vec<Answer>, SearchError>| match found {
            Ok(found) => next.hand_in(found, reply),
            Err(error) => reply(Err(of_one(error))),
        };
        self.submit_queries(queries, terms, limited, Box::new(reply))
    }

    /// Answers query documents, whose tokens lie back to back, in their order. Blocks until all are answered; gives up soon after `stop`
    /// becomes true.
    ///
    /// # Errors
    /// [`SearchError`]; nothing is searched when the parameters or any token are refused.
    pub fn search_documents(
        &self,
        tokens: &[u8],
        documents: &DocumentOffsets,
        params: &DocumentParams,
        stop: &Arc<AtomicBool>,
    ) -> Result<Vec<Answer>, SearchError> {
        params.check(self.index())?;
        let (rows, covered) = (check_queries(self.index(), tokens)?, documents.rows());
        // CAST: widening
        if covered != rows as u64 {
            return Err(SearchError::Offsets { covered, rows });
        }
        let (count, row_bytes) = (documents.documents(), self.index().row_bytes());
        let mut answers = vec![Answer::default(); count];
        let (sender, receiver) = unbounded();
        let (mut next, mut under_way, mut answered) = (0, 0, 0);
        let most = IN_FLIGHT * self.threads_wanted();
        while answered < count {
            while next < count && under_way < most {
                let rows = documents.rows_of(next);
                let tokens = &tokens[rows.start as usize * row_bytes..rows.end as usize * row_bytes];
                let request = DocumentRequest {
                    tokens: Bytes::copy_from_slice(tokens),
                    params: *params,
                    deadline: None,
                    stop: Some(Arc::clone(stop)),
                };
                let (number, sender) = (next, sender.clone());
                self.hand_in_document(request, false, move |result| drop(sender.send((number, result))))?;
                next += 1;
                under_way += 1;
            }
            let Ok((number, result)) = receiver.recv() else { return Err(SearchError::Closed) };
            answers[number] = result.map_err(|error| match error {
                SearchError::Stopped { .. } => SearchError::Stopped { answered, queries: count },
                other => other,
            })?;
            under_way -= 1;
            answered += 1;
        }
        Ok(answers)
    }
}

impl Next {
    /// Hands in the documents that the tokens have found.
    fn hand_in(self, found: Vec<Answer>, reply: impl FnOnce(Result<Answer, SearchError>) + Send + 'static) {
        let Next { searched, queue, tokens, params, terms } = self;
        let read: u64 = found.iter().map(|answer| answer.work.read_bytes).sum();
        let taken = found.iter().filter_map(|answer| answer.taken).min().unwrap_or_else(Instant::now);
        let bytes_left = params.max_bytes.map_or(u64::MAX, |bytes| bytes.saturating_sub(read));
        let task = DocumentTask { tokens, params, found, bytes_left, taken };
        let reply = move |result: Result<Vec<Answer>, SearchError>| {
            reply(result.map(|answers| answers.into_iter().next().unwrap_or_default()).map_err(of_one));
        };
        let job = Job::new(task, &searched, terms, Box::new(reply));
        // What was begun is not refused for what waits.
        if let Err(error) = queue.push(Arc::clone(&job) as Arc<dyn Waiting>, false) {
            job.refuse(error);
        }
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
