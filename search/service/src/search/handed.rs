//! Work that the engine was handed, and waiting for it.
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use spandrel_engine::{
    Answer, DocumentParams, DocumentRequest, ExactSearch, FetchContent, FetchRequest, Fetched, RangePart,
    RangeSearch, Request, SearchError, vector_queries,
};
use tokio::sync::oneshot;

use crate::call::Call;
use crate::filters::Compiled;
use crate::refusal::Refusal;
use crate::served::Served;
use crate::stopping::StopFlag;

/// Bytes of queries that are checked in about a tenth of a millisecond.
const CHECKED_BYTES: usize = 256 << 10;

/// Work with the engine. Dropped early, it is given up: a call is dropped at its deadline.
pub(super) struct Handed<T> {
    replied: oneshot::Receiver<Result<T, SearchError>>,
    _waiting: StopFlag,
}

/// What is handed in.
struct Work {
    /// Queries that the engine has with it.
    queries: usize,
    /// Queries of the caller.
    asked: usize,
    /// Its filter, whose memory stays taken until the engine is done with it, also where the caller has left.
    filter: Option<Arc<Compiled>>,
}

impl Handed<Vec<Answer>> {
    /// Hands queries to the engine without waiting for an answer. It checks them, which for many keeps no thread of the runtime.
    pub(super) async fn queries(
        served: &Arc<Served>,
        request: Request,
        filter: Option<Arc<Compiled>>,
    ) -> Result<Handed<Vec<Answer>>, Refusal> {
        let bytes = request.queries.len() + request.column_queries.as_ref().map_or(0, Bytes::len);
        let (count, is_long) = (request.queries.len() / served.index().row_bytes(), bytes > CHECKED_BYTES);
        let of = Arc::clone(served);
        let hand_in = move || {
            let work = Work { queries: count, asked: count, filter };
            Handed::with(&of, work, |stop, reply| {
                of.engine().submit(Request { stop: Some(stop), ..request }, reply)
            })
        };
        handed_in(is_long, hand_in).await
    }
}

impl Handed<Answer> {
    /// Hands query documents to the engine, as [`Handed::queries`] does.
    pub(super) async fn documents(
        served: &Arc<Served>,
        documents: Vec<Bytes>,
        params: DocumentParams,
        filter: Option<Arc<Compiled>>,
        call: Call<'_>,
    ) -> Result<Vec<Handed<Answer>>, Refusal> {
        // Encoding takes its time whatever their length.
        let is_encoded = served.index().documents().is_some_and(|documents| documents.encoder().is_some());
        let is_long = is_encoded || documents.iter().map(Bytes::len).sum::<usize>() > CHECKED_BYTES;
        let (of, deadline) = (Arc::clone(served), Some(call.deadline));
        let hand_in = move || {
            let one = |tokens: Bytes| {
                // Each of its tokens is a query, or its encoding, and the documents that these find another.
                let index = of.index();
                let count = vector_queries(index, 1, tokens.len() / index.query_shape().row_bytes()) + 1;
                let work = Work { queries: count, asked: 1, filter: filter.clone() };
                Handed::with(&of, work, |stop, reply| {
                    let filter = filter.as_ref().map(|filter| Arc::clone(&filter.matches));
                    let request = DocumentRequest { tokens, params, filter, deadline, stop: Some(stop) };
                    of.engine().submit_document(request, reply)
                })
            };
            documents.into_iter().map(one).collect()
        };
        handed_in(is_long, hand_in).await
    }
}

/// Hands something in, on a thread that may block where it is long.
async fn handed_in<T: Send + 'static>(
    is_long: bool,
    hand_in: impl FnOnce() -> Result<T, SearchError> + Send + 'static,
) -> Result<T, Refusal> {
    if !is_long {
        return Ok(hand_in()?);
    }
    let handed = tokio::task::spawn_blocking(hand_in).await;
    Ok(handed.map_err(Refusal::broken("handing in queries"))??)
}

impl Handed<RangePart> {
    /// Hands the next part of a search within a radius to the engine without waiting.
    pub(super) fn part(
        served: &Served,
        search: &RangeSearch,
        filter: Option<Arc<Compiled>>,
    ) -> Result<Handed<RangePart>, SearchError> {
        // The search has a flag and a deadline of its own.
        let work = Work { queries: 1, asked: 1, filter };
        Handed::with(served, work, |_, reply| served.engine().submit_range(search, reply))
    }
}

impl Handed<()> {
    /// Hands queries that are compared with every vector to the engine without waiting.
    pub(super) fn exact(
        served: &Served,
        search: &Arc<ExactSearch>,
        call: Call<'_>,
    ) -> Result<Handed<()>, SearchError> {
        let work = Work { queries: search.pieces(), asked: 1, filter: None };
        let deadline = Some(call.deadline);
        Handed::with(served, work, |stop, reply| {
            served.engine().submit_exact_whole(search, deadline, Some(stop), reply)
        })
    }
}

impl Handed<Fetched> {
    /// Hands ids to the engine without waiting.
    pub(super) fn ids(
        served: &Served,
        ids: Vec<u64>,
        content: FetchContent,
        call: Call<'_>,
    ) -> Result<Handed<Fetched>, SearchError> {
        let count = FetchRequest::pieces(ids.len());
        let work = Work { queries: count, asked: count, filter: None };
        Handed::with(served, work, |stop, reply| {
            let (deadline, stop) = (Some(call.deadline), Some(stop));
            let request = FetchRequest { lookup: Arc::clone(&served.lookup), ids, content, deadline, stop };
            served.engine().submit_fetch(request, reply)
        })
    }
}

/// What the engine calls with an answer.
type Reply<T> = Box<dyn FnOnce(Result<T, SearchError>) + Send>;

impl<T: Send + 'static> Handed<T> {
    /// Hands in work.
    fn with(
        served: &Served,
        Work { queries, asked, filter }: Work,
        submit: impl FnOnce(Arc<AtomicBool>, Reply<T>) -> Result<(), SearchError>,
    ) -> Result<Handed<T>, SearchError> {
        let waiting = StopFlag::default();
        let (sender, replied) = oneshot::channel();
        // Not the index itself: the last to drop that must not be one of its own threads.
        let admission = Arc::clone(&served.admission);
        admission.enter(queries);
        let reply = Box::new(move |result| {
            drop(filter);
            admission.leave(queries);
            // Nobody may be waiting any more.
            drop(sender.send(result));
        });
        if let Err(error) = submit(waiting.share(), reply) {
            served.admission.leave(queries);
            if matches!(error, SearchError::Overloaded { .. }) {
                served.metrics.refused.inc_by(asked as u64); // CAST: widening
            }
            return Err(error);
        }
        Ok(Handed { replied, _waiting: waiting })
    }

    /// Waits for the answer.
    pub(super) async fn answer(self) -> Result<T, Refusal> {
        Ok(self.reply().await??)
    }

    /// As [`Handed::answer`], with the engine's own error.
    pub(super) async fn reply(self) -> Result<Result<T, SearchError>, Refusal> {
        let replied = self.replied.await;
        replied.map_err(|_| Refusal::NoReply)
    }
}
