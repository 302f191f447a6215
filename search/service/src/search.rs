//! The search service: from a message to the engine and back.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use prost::Message as _;
use spandrel_engine::{Answer, SearchError, SearchParams};
use spandrel_proto::v1;
use spandrel_proto::v1::search_service_server::SearchService;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::admission::Load;
use crate::convert;
use crate::deadline::Call;
use crate::ledger::Entry;
use crate::limits::Limits;
use crate::refusal::Refusal;
use crate::registry::Registry;
use crate::served::Served;
use crate::stopping::Stopping;
use crate::stream;

/// Answers queries. Cloned for every stream.
#[derive(Clone)]
pub(crate) struct Searcher {
    pub(crate) registry: Arc<Registry>,
    pub(crate) limits: Limits,
    pub(crate) stopping: Stopping,
}

/// Tells those who search and read that nobody waits any more.
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

type Replied = oneshot::Receiver<Result<Vec<Answer>, SearchError>>;

/// Queries with the engine. Dropped early, they are given up.
struct Handed {
    replied: Replied,
    _waiting: Waiting,
}

impl Handed {
    /// Hands queries to the engine without waiting.
    fn over(
        served: &Served,
        queries: Bytes,
        params: &SearchParams,
        call: Call<'_>,
    ) -> Result<Handed, SearchError> {
        let stop = Arc::new(AtomicBool::new(false));
        let waiting = Waiting(Arc::clone(&stop));
        let count = queries.len() / served.index().row_bytes();
        let deadline = Some(call.deadline);
        let request = spandrel_engine::Request { queries, params: *params, deadline, stop: Some(stop) };
        let (sender, replied) = oneshot::channel();
        // Not the index itself: the last to drop that must not be one of its own threads.
        let admission = Arc::clone(&served.admission);
        admission.enter(count);
        let submitted = served.engine().submit(request, move |result| {
            admission.leave(count);
            // Nobody may be waiting any more.
            drop(sender.send(result));
        });
        if let Err(error) = submitted {
            served.admission.leave(count);
            if matches!(error, SearchError::Overloaded { .. }) {
                served.metrics.refused.inc_by(count as u64); // CAST: widening
            }
            return Err(error);
        }
        Ok(Handed { replied, _waiting: waiting })
    }

    async fn answers(self, call: Call<'_>) -> Result<Vec<Answer>, Refusal> {
        match timeout_at(Instant::from_std(call.deadline), self.replied).await {
            Ok(Ok(result)) => Ok(result?),
            Ok(Err(_)) => Err(Refusal::Internal("a search thread went away without an answer".to_owned())),
            Err(_) => Err(Refusal::Deadline),
        }
    }
}

/// What a request comes to for one index.
struct Asked {
    served: Arc<Served>,
    rows: Bytes,
    params: SearchParams,
    options: v1::SearchOptions,
    degraded: bool,
}

impl Searcher {
    fn asked(
        &self,
        served: Arc<Served>,
        (field, vectors, most): (&'static str, Option<v1::Vectors>, usize),
        (k, options): (u32, Option<v1::SearchOptions>),
        call: Call<'_>,
    ) -> Result<Asked, Refusal> {
        let options = options.unwrap_or_default();
        let mut params = convert::params(served.index(), k, &options, &self.limits)?;
        let (rows, count) = convert::rows(served.index(), field, vectors, (most, self.limits.message_bytes))?;
        let load = Load::of(served.engine(), count);
        let admitted = served.admission.admit(load, call.deadline).inspect_err(|refusal| {
            if matches!(refusal, Refusal::Overloaded { .. }) {
                served.metrics.refused.inc_by(count as u64); // CAST: widening
            }
        })?;
        params.effort = admitted.effort;
        let degraded = admitted.effort < 1.0;
        Ok(Asked { served, rows, params, options, degraded })
    }

    /// Answers one query.
    pub(crate) async fn one(
        &self,
        request: v1::SearchRequest,
        call: Call<'_>,
    ) -> Result<v1::SearchResponse, Refusal> {
        let served = self.registry.get(&request.index)?;
        self.one_of(served, request, call).await
    }

    /// Answers one query that is the vector of `id` in the same version of the index, for its `k` nearest.
    pub(crate) async fn one_by_id(
        &self,
        index: &str,
        (id, k): (u64, u32),
        call: Call<'_>,
    ) -> Result<v1::SearchResponse, Refusal> {
        let served = self.registry.get(index)?;
        let (row, found) = self.fetched(&served, ("id", vec![id]), call).await?;
        if found != [true] {
            return Err(Refusal::NoVector { id });
        }
        let query = Some(convert::vectors(served.index(), row));
        let options = Some(v1::SearchOptions { with_work: true, ..Default::default() });
        let request = v1::SearchRequest { index: String::new(), query, k, options };
        // Its time counts from here, as that of a query whose vector came with it.
        self.one_of(served, request, Call { arrival: std::time::Instant::now(), ..call }).await
    }

    async fn one_of(
        &self,
        served: Arc<Served>,
        request: v1::SearchRequest,
        call: Call<'_>,
    ) -> Result<v1::SearchResponse, Refusal> {
        let v1::SearchRequest { query, k, options, .. } = request;
        let Asked { served, rows, params, options, degraded } =
            self.asked(served, ("query", query, 1), (k, options), call)?;
        let room = call.entry.room(convert::answer_bytes_max(served.index(), 1, k, &options))?;
        let answers = Handed::over(&served, rows, &params, call)?.answers(call).await?;
        self.count(&served, &answers, degraded, call);
        let vectors = self.vectors_of(&served, &answers, &options, call).await?;
        let estimated = convert::estimated(&answers);
        let answer = answers.into_iter().next().unwrap_or_default();
        let response = v1::SearchResponse {
            ids: answer.neighbours.iter().map(|n| n.id).collect(),
            distances: answer.neighbours.iter().map(|n| n.distance).collect(),
            estimated,
            partial: answer.damaged > 0,
            degraded,
            limited_by: convert::limited_by(&answer) as i32, // CAST: the enum's code
            index_version: served.version(),
            vectors,
            work: options.with_work.then(|| convert::work(&answer, call.arrival)),
        };
        room.settle(response.encoded_len());
        Ok(response)
    }

    /// Answers many queries.
    async fn many(
        &self,
        request: v1::SearchBatchRequest,
        call: Call<'_>,
    ) -> Result<v1::SearchBatchResponse, Refusal> {
        let v1::SearchBatchRequest { index, queries, k, options } = request;
        let most = self.limits.batch as usize; // CAST: widening
        let served = self.registry.get(&index)?;
        let Asked { served, rows, params, options, degraded } =
            self.asked(served, ("queries", queries, most), (k, options), call)?;
        let count = rows.len() / served.index().row_bytes();
        let room = call.entry.room(convert::answer_bytes_max(served.index(), count, k, &options))?;
        let answers = Handed::over(&served, rows, &params, call)?.answers(call).await?;
        self.count(&served, &answers, degraded, call);
        let vectors = self.vectors_of(&served, &answers, &options, call).await?;
        let neighbours = || answers.iter().flat_map(|a| &a.neighbours);
        let numbered = (0_u32..).zip(&answers);
        let response = v1::SearchBatchResponse {
            counts: answers.iter().map(|a| a.neighbours.len() as u32).collect(), // CAST: at most k
            ids: neighbours().map(|n| n.id).collect(),
            distances: neighbours().map(|n| n.distance).collect(),
            estimated: convert::estimated(&answers),
            partial: numbered.filter(|(_, a)| a.damaged > 0).map(|(number, _)| number).collect(),
            degraded,
            limited_by: convert::all_limits(&answers),
            index_version: served.version(),
            vectors,
            work: if options.with_work {
                answers.iter().map(|a| convert::work(a, call.arrival)).collect()
            } else {
                Vec::new()
            },
        };
        room.settle(response.encoded_len());
        Ok(response)
    }

    fn count(&self, served: &Served, answers: &[Answer], degraded: bool, call: Call<'_>) {
        served.metrics.answered(answers, call.arrival);
        if degraded {
            served.metrics.degraded.inc_by(answers.len() as u64);
        }
        if answers.iter().any(|answer| answer.damaged > 0) {
            served.log_damage();
        }
    }

    /// The vectors of all neighbours, where they are asked for.
    async fn vectors_of(
        &self,
        served: &Arc<Served>,
        answers: &[Answer],
        options: &v1::SearchOptions,
        call: Call<'_>,
    ) -> Result<Option<v1::Vectors>, Refusal> {
        if !options.with_vectors {
            return Ok(None);
        }
        let ids = answers.iter().flat_map(|a| &a.neighbours).map(|n| n.id).collect();
        let (rows, found) = self.fetched(served, ("options.with_vectors", ids), call).await?;
        if !found.iter().all(|&found| found) {
            return Err(Refusal::Damaged("an id that was found by search is not among the ids".to_owned()));
        }
        Ok(Some(convert::vectors(served.index(), rows)))
    }

    /// Vectors by id, back to back, and which of the ids there are. None is read for a call that is over or was given up.
    async fn fetched(
        &self,
        served: &Arc<Served>,
        (field, ids): (&'static str, Vec<u64>),
        call: Call<'_>,
    ) -> Result<(Vec<u8>, Vec<bool>), Refusal> {
        let (limit, row_bytes) = (self.limits.message_bytes, served.index().row_bytes());
        let bytes = ids.len().saturating_mul(row_bytes);
        if bytes > limit {
            let message = format!("{bytes} bytes of vectors in an answer, the server's limit is {limit}");
            return Err(Refusal::field(field, message));
        }
        let served = Arc::clone(served);
        let stop = Arc::new(AtomicBool::new(false));
        let _waiting = Waiting(Arc::clone(&stop));
        let reading = tokio::task::spawn_blocking(move || {
            let (mut rows, mut found) = (Vec::new(), Vec::with_capacity(ids.len()));
            for id in ids {
                if stop.load(Ordering::Relaxed) {
                    return Err(Refusal::Cancelled);
                }
                let vector = served.lookup.vector(id)?;
                found.push(vector.is_some());
                rows.extend(vector.unwrap_or_default());
            }
            Ok((rows, found))
        });
        let read = timeout_at(Instant::from_std(call.deadline), reading).await;
        let read = read.map_err(|_| Refusal::Deadline)?;
        read.map_err(|e| Refusal::Internal(format!("reading vectors: {e}")))?
    }

    async fn fetch_by_id(
        &self,
        request: v1::FetchRequest,
        call: Call<'_>,
    ) -> Result<v1::FetchResponse, Refusal> {
        let served = self.registry.get(&request.index)?;
        let limit = self.limits.batch as usize; // CAST: widening
        match request.ids.len() {
            0 => return Err(Refusal::field("ids", "none given")),
            found if found > limit => return Err(Refusal::limit("ids", found, limit)),
            _ => {}
        }
        let bytes = request.ids.len() * (served.index().row_bytes() + 1) + convert::ANSWER_REST;
        let room = call.entry.room(bytes)?;
        let (rows, found) = self.fetched(&served, ("ids", request.ids), call).await?;
        let vectors = Some(convert::vectors(served.index(), rows));
        let response = v1::FetchResponse { found, vectors, index_version: served.version() };
        room.settle(response.encoded_len());
        Ok(response)
    }
}

/// A request, and its entry in the ledger.
fn entered<T>(mut request: Request<T>) -> (T, Arc<Entry>) {
    let Some(entry) = request.extensions_mut().remove() else { unreachable!("the guard enters every call") };
    (request.into_inner(), entry)
}

#[tonic::async_trait]
impl SearchService for Searcher {
    type SearchStreamStream = ReceiverStream<Result<v1::SearchStreamResponse, Status>>;

    async fn search(
        &self,
        request: Request<v1::SearchRequest>,
    ) -> Result<Response<v1::SearchResponse>, Status> {
        let (request, entry) = entered(request);
        Ok(Response::new(self.one(request, Call::of(&entry)).await?))
    }

    async fn search_batch(
        &self,
        request: Request<v1::SearchBatchRequest>,
    ) -> Result<Response<v1::SearchBatchResponse>, Status> {
        let (request, entry) = entered(request);
        Ok(Response::new(self.many(request, Call::of(&entry)).await?))
    }

    async fn search_stream(
        &self,
        request: Request<Streaming<v1::SearchStreamRequest>>,
    ) -> Result<Response<Self::SearchStreamStream>, Status> {
        let (queries, entry) = entered(request);
        Ok(Response::new(stream::serve(self.clone(), queries, entry)))
    }

    async fn fetch(&self, request: Request<v1::FetchRequest>) -> Result<Response<v1::FetchResponse>, Status> {
        let (request, entry) = entered(request);
        Ok(Response::new(self.fetch_by_id(request, Call::of(&entry)).await?))
    }
}
