//! The search service: from a message to the engine and back.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use prost::Message as _;
use spandrel_engine::{Answer, FetchRequest, FetchState, Fetched, SearchError, SearchParams};
use spandrel_proto::v1;
use spandrel_proto::v1::search_service_server::SearchService;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::admission::{Admitted, Load};
use crate::convert;
use crate::deadline::Call;
use crate::ledger::{Entry, Room};
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

/// Work with the engine. Dropped early, it is given up.
struct Handed<T> {
    replied: oneshot::Receiver<Result<T, SearchError>>,
    _waiting: Waiting,
}

impl Handed<Vec<Answer>> {
    /// Hands queries to the engine without waiting.
    fn over(
        served: &Served,
        queries: Bytes,
        params: &SearchParams,
        call: Call<'_>,
    ) -> Result<Handed<Vec<Answer>>, SearchError> {
        let count = queries.len() / served.index().row_bytes();
        Handed::with(served, count, |stop, reply| {
            let (deadline, stop) = (Some(call.deadline), Some(stop));
            let request = spandrel_engine::Request { queries, params: *params, deadline, stop };
            served.engine().submit(request, reply)
        })
    }
}

impl Handed<Fetched> {
    /// Hands ids to the engine without waiting.
    fn ids(served: &Served, ids: Vec<u64>, call: Call<'_>) -> Result<Handed<Fetched>, SearchError> {
        Handed::with(served, FetchRequest::pieces(ids.len()), |stop, reply| {
            let (deadline, stop) = (Some(call.deadline), Some(stop));
            let request = FetchRequest { lookup: Arc::clone(&served.lookup), ids, deadline, stop };
            served.engine().submit_fetch(request, reply)
        })
    }
}

/// What the engine calls with an answer.
type Reply<T> = Box<dyn FnOnce(Result<T, SearchError>) + Send>;

impl<T: Send + 'static> Handed<T> {
    /// Hands in work that counts as so many queries.
    fn with(
        served: &Served,
        count: usize,
        submit: impl FnOnce(Arc<AtomicBool>, Reply<T>) -> Result<(), SearchError>,
    ) -> Result<Handed<T>, SearchError> {
        let stop = Arc::new(AtomicBool::new(false));
        let waiting = Waiting(Arc::clone(&stop));
        let (sender, replied) = oneshot::channel();
        // Not the index itself: the last to drop that must not be one of its own threads.
        let admission = Arc::clone(&served.admission);
        admission.enter(count);
        let reply = Box::new(move |result| {
            admission.leave(count);
            // Nobody may be waiting any more.
            drop(sender.send(result));
        });
        let submitted = submit(stop, reply);
        if let Err(error) = submitted {
            served.admission.leave(count);
            if matches!(error, SearchError::Overloaded { .. }) {
                served.metrics.refused.inc_by(count as u64); // CAST: widening
            }
            return Err(error);
        }
        Ok(Handed { replied, _waiting: waiting })
    }

    async fn answers(self, call: Call<'_>) -> Result<T, Refusal> {
        match timeout_at(Instant::from_std(call.deadline), self.replied).await {
            Ok(Ok(result)) => Ok(result?),
            Ok(Err(_)) => Err(Refusal::Internal("a search thread went away without an answer".to_owned())),
            Err(_) => Err(Refusal::Deadline),
        }
    }
}

/// What a request comes to for one index.
struct Asked<'a> {
    served: Arc<Served>,
    /// For the answer.
    room: Room<'a>,
    rows: Bytes,
    params: SearchParams,
    options: v1::SearchOptions,
    degraded: bool,
}

/// Lets in work that counts as so many queries, or refuses it.
fn admitted(served: &Served, count: usize, call: Call<'_>) -> Result<Admitted, Refusal> {
    let load = Load::of(served.engine(), count);
    served.admission.admit(load, call.deadline).inspect_err(|refusal| {
        if matches!(refusal, Refusal::Overloaded { .. }) {
            served.metrics.refused.inc_by(count as u64); // CAST: widening
        }
    })
}

impl Searcher {
    fn asked<'a>(
        &self,
        served: Arc<Served>,
        (field, vectors, most): (&'static str, Option<v1::Vectors>, usize),
        (k, options): (u32, Option<v1::SearchOptions>),
        call: Call<'a>,
    ) -> Result<Asked<'a>, Refusal> {
        let options = options.unwrap_or_default();
        let mut params = convert::params(served.index(), k, &options, &self.limits)?;
        let (rows, count) = convert::rows(served.index(), field, vectors, (most, self.limits.message_bytes))?;
        // What can never be answered is not told to come back.
        let room = call.entry.room(convert::answer_bytes_max(served.index(), count, k, &options))?;
        let admitted = admitted(&served, count, call)?;
        params.effort = admitted.effort;
        let degraded = admitted.effort < 1.0;
        Ok(Asked { served, room, rows, params, options, degraded })
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
        admitted(&served, 1, call)?;
        let Fetched { rows, states } = self.fetched(&served, ("id", vec![id]), call).await?;
        match states.first() {
            Some(FetchState::Found) => {}
            Some(FetchState::Damaged) => {
                return Err(Refusal::Damaged(format!("the vector {id} cannot be read")));
            }
            Some(FetchState::Absent) | None => return Err(Refusal::NoVector { id }),
        }
        let query = Some(convert::vectors(served.index(), rows));
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
        let Asked { served, room, rows, params, options, degraded } =
            self.asked(served, ("query", query, 1), (k, options), call)?;
        let mut answers = Handed::over(&served, rows, &params, call)?.answers(call).await?;
        let vectors = self.vectors_of(&served, &mut answers, &options, call).await?;
        self.count(&served, &answers, degraded, call);
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
        let Asked { served, room, rows, params, options, degraded } =
            self.asked(served, ("queries", queries, most), (k, options), call)?;
        let mut answers = Handed::over(&served, rows, &params, call)?.answers(call).await?;
        let vectors = self.vectors_of(&served, &mut answers, &options, call).await?;
        self.count(&served, &answers, degraded, call);
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

    /// The vectors of all neighbours, where they are asked for. Neighbours whose vectors cannot be read are left out of
    /// the answers.
    async fn vectors_of(
        &self,
        served: &Arc<Served>,
        answers: &mut [Answer],
        options: &v1::SearchOptions,
        call: Call<'_>,
    ) -> Result<Option<v1::Vectors>, Refusal> {
        if !options.with_vectors {
            return Ok(None);
        }
        let ids = answers.iter().flat_map(|a| &a.neighbours).map(|n| n.id).collect();
        let Fetched { rows, states } = self.fetched(served, ("options.with_vectors", ids), call).await?;
        if states.contains(&FetchState::Absent) {
            return Err(Refusal::Damaged("an id that was found by search is not among the ids".to_owned()));
        }
        let mut states = states.into_iter();
        for answer in answers {
            let before = answer.neighbours.len();
            answer.neighbours.retain(|_| states.next() == Some(FetchState::Found));
            answer.damaged += (before - answer.neighbours.len()) as u32; // CAST: at most k
        }
        Ok(Some(convert::vectors(served.index(), rows)))
    }

    /// Vectors by id, in turns with queries.
    async fn fetched(
        &self,
        served: &Served,
        (field, ids): (&'static str, Vec<u64>),
        call: Call<'_>,
    ) -> Result<Fetched, Refusal> {
        let (limit, row_bytes) = (self.limits.message_bytes, served.index().row_bytes());
        let bytes = ids.len().saturating_mul(row_bytes);
        if bytes > limit {
            let message = format!("{bytes} bytes of vectors in an answer, the server's limit is {limit}");
            return Err(Refusal::field(field, message));
        }
        let fetched = Handed::ids(served, ids, call)?.answers(call).await?;
        if fetched.states.contains(&FetchState::Damaged) {
            served.log_damage();
        }
        Ok(fetched)
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
        let bytes = request.ids.len() * (served.index().row_bytes() + 3) + convert::ANSWER_REST;
        let room = call.entry.room(bytes)?;
        admitted(&served, FetchRequest::pieces(request.ids.len()), call)?;
        let Fetched { rows, states } = self.fetched(&served, ("ids", request.ids), call).await?;
        let is = |wanted| move |&state: &FetchState| state == wanted;
        let damaged = (0..).zip(&states).filter(|(_, state)| is(FetchState::Damaged)(state));
        let response = v1::FetchResponse {
            found: states.iter().map(is(FetchState::Found)).collect(),
            vectors: Some(convert::vectors(served.index(), rows)),
            index_version: served.version(),
            damaged: damaged.map(|(at, _)| at).collect(),
        };
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
