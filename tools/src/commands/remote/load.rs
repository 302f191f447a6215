//! Load on a server: a fixed number of calls under way (closed loop), or calls at a fixed rate (open loop).
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use spandrel_engine::Answer;
use spandrel_proto::v1;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::Rpc;
use super::answer::{answer, answers, item};
use super::asking::Asking;
use super::patience::{Connection, Patience};
use spandrel_client::Client;

/// Who asks what, and how.
pub(super) struct Load {
    pub(super) clients: Vec<Client>,
    pub(super) asking: Asking,
    pub(super) rpc: Rpc,
    /// Calls, or queries of a stream, at once on each connection.
    pub(super) in_flight: usize,
    /// Least time to ask for; all queries are asked at least once.
    pub(super) seconds: f64,
    pub(super) stop: Arc<AtomicBool>,
}

/// What load came to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Answers by number of the query; at a fixed rate some may be missing.
    pub(super) answers: Vec<Option<Answer>>,
    /// Of answered queries.
    pub(super) latencies_ns: Vec<u64>,
    /// Of queries that got no answer; in a closed loop all get one in the end.
    pub(super) refused_ns: Vec<u64>,
    /// Share of the calls, or of a stream's queries, that the server refused.
    pub(super) refused_share: f64,
    pub(super) elapsed: Duration,
    pub(super) first_refusal: Option<Status>,
}

/// Queries answered together.
pub(super) struct Sample {
    /// Number of the first of them.
    pub(super) first: usize,
    pub(super) latency: Duration,
    /// Kept of the first pass over all queries.
    pub(super) answers: Vec<Answer>,
    pub(super) queries: usize,
}

/// Deals out queries to those who ask.
pub(super) struct Dealer {
    next: AtomicUsize,
    queries: usize,
    of_call: usize,
    until: Instant,
    stop: Arc<AtomicBool>,
}

impl Dealer {
    /// Of `queries` queries, `of_call` in a call, each once and from then on until a time comes or `stop` is set.
    pub(super) fn new(queries: usize, of_call: usize, until: Instant, stop: &Arc<AtomicBool>) -> Dealer {
        Dealer { next: AtomicUsize::new(0), queries, of_call, until, stop: Arc::clone(stop) }
    }

    /// Numbers of the queries of the next call, and whether they are asked for the first time.
    pub(super) fn next(&self) -> Option<(Range<usize>, bool)> {
        let call = self.next.fetch_add(1, Ordering::Relaxed);
        let calls = self.queries.div_ceil(self.of_call);
        let first_pass = call < calls;
        if self.stop.load(Ordering::Relaxed) || (!first_pass && Instant::now() >= self.until) {
            return None;
        }
        let first = call % calls * self.of_call;
        Some((first..(first + self.of_call).min(self.queries), first_pass))
    }
}

impl Load {
    /// Keeps a fixed number of calls under way until all is asked and the time is over. A server that refuses for the moment is
    /// asked again after the time that it names; latencies count from the first time.
    ///
    /// # Errors
    /// The first status that is neither OK nor such a refusal.
    pub(super) async fn closed(&self) -> Result<Outcome, Status> {
        let start = Instant::now();
        let in_batches = self.rpc == Rpc::Batch && !self.asking.has_own_filters();
        let of_call = if in_batches { self.asking.batch() } else { 1 };
        let until = start + Duration::from_secs_f64(self.seconds);
        let dealer = Arc::new(Dealer::new(self.asking.count(), of_call, until, &self.stop));
        let patience = Patience::new(&self.stop);
        let mut tasks = JoinSet::new();
        for client in &self.clients {
            let workers = if self.rpc == Rpc::Stream { 1 } else { self.in_flight };
            for _ in 0..workers {
                let (asking, dealer) = (self.asking.clone(), Arc::clone(&dealer));
                let connection = Connection { client: client.clone(), patience: Arc::clone(&patience) };
                match self.rpc {
                    Rpc::Stream => tasks.spawn(stream(connection, asking, dealer, self.in_flight)),
                    rpc => tasks.spawn(calls(connection, asking, dealer, rpc)),
                };
            }
        }
        let answers = vec![None; dealer.queries];
        Outcome { answers, ..Outcome::default() }.gather(tasks, start, &patience).await
    }

    /// Sends queries at a rate, each at its time, without waiting for those before. Latencies count from that time, so
    /// that a server which stalls does not hide it by being asked less.
    pub(super) async fn open(&self, rate: f64) -> Outcome {
        let queries = self.asking.count();
        let total = (rate * self.seconds).ceil().max(1.0) as usize; // CAST: a count of queries
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let start = Instant::now();
        let (clients, asking, stop) = (self.clients.clone(), self.asking.clone(), Arc::clone(&self.stop));
        tokio::spawn(async move {
            for number in 0..total {
                let due = start + Duration::from_secs_f64(number as f64 / rate); // CAST: exact to 2^53
                tokio::time::sleep_until(due.into()).await;
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let (client, sender) = (clients[number % clients.len()].clone(), sender.clone());
                let request = asking.one(number % queries);
                tokio::spawn(async move {
                    let result = client.search(request).await;
                    // The receiver waits for all.
                    drop(sender.send((number, due.elapsed(), result)));
                });
            }
        });
        let mut outcome = Outcome { answers: vec![None; queries], ..Outcome::default() };
        while let Some((number, latency, result)) = receiver.recv().await {
            match result {
                Ok(response) => {
                    let answers = if number < queries { vec![answer(&response)] } else { Vec::new() };
                    outcome.take(Sample { first: number % queries, latency, answers, queries: 1 });
                }
                Err(status) => {
                    outcome.refused_ns.push(nanos(latency));
                    outcome.first_refusal.get_or_insert(status);
                }
            }
        }
        outcome.elapsed = start.elapsed();
        let refused = outcome.refused_ns.len();
        // CAST: counts are exact to 2^53
        outcome.refused_share = refused as f64 / (refused + outcome.latencies_ns.len()).max(1) as f64;
        outcome
    }
}

impl Outcome {
    pub(super) fn take(&mut self, sample: Sample) {
        self.latencies_ns.extend(std::iter::repeat_n(nanos(sample.latency), sample.queries));
        for (place, answer) in self.answers.iter_mut().skip(sample.first).zip(sample.answers) {
            *place = Some(answer);
        }
    }

    /// With what all tasks of a generator that began at `start` found.
    ///
    /// # Errors
    /// The first of the tasks' statuses.
    pub(super) async fn gather(
        mut self,
        mut tasks: JoinSet<Samples>,
        start: Instant,
        patience: &Patience,
    ) -> Result<Outcome, Status> {
        while let Some(joined) = tasks.join_next().await {
            let samples =
                joined.map_err(|e| Status::internal(format!("a task of the generator broke: {e}")))??;
            samples.into_iter().for_each(|sample| self.take(sample));
        }
        self.elapsed = start.elapsed();
        self.refused_share = patience.refused_share();
        Ok(self)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Longest time of a stream, which ends when the load does.
const STREAM_TIME: Duration = Duration::from_secs(24 * 3600);

pub(super) type Samples = Result<Vec<Sample>, Status>;

/// One call after the other.
async fn calls(connection: Connection, asking: Asking, dealer: Arc<Dealer>, rpc: Rpc) -> Samples {
    let Connection { client, patience } = connection;
    let mut samples = Vec::new();
    while let Some((numbers, first_pass)) = dealer.next() {
        let (first, queries, begun) = (numbers.start, numbers.len(), Instant::now());
        let mut found = match rpc {
            Rpc::Batch => {
                answers(&patience.call(|| client.search_batch(asking.many(numbers.clone()))).await?)
            }
            _ => vec![answer(&patience.call(|| client.search(asking.one(first))).await?)],
        };
        if !first_pass {
            found.clear();
        }
        samples.push(Sample { first, latency: begun.elapsed(), answers: found, queries });
    }
    Ok(samples)
}

/// A stream with a fixed number of queries under way.
async fn stream(connection: Connection, asking: Asking, dealer: Arc<Dealer>, in_flight: usize) -> Samples {
    let Connection { client, patience } = connection;
    let (sender, receiver) = mpsc::channel(in_flight);
    let mut answered = client.search_stream(ReceiverStream::new(receiver), Some(STREAM_TIME)).await?;
    // The stream of queries ends with its sender, which the task below keeps until all are answered.
    let again = sender.downgrade();
    let places = Arc::new(Semaphore::new(in_flight));
    let (begun, mut begins) = mpsc::unbounded_channel();
    let (free, asks, counts) = (Arc::clone(&places), asking.clone(), Arc::clone(&patience));
    let everything = u32::try_from(in_flight).unwrap_or(u32::MAX);
    tokio::spawn(async move {
        let mut tag = 0;
        while let Ok(place) = Arc::clone(&free).acquire_owned().await {
            let Some((numbers, first_pass)) = dealer.next() else { break };
            let request = Some(asks.one(numbers.start));
            // Given back when the answer comes.
            place.forget();
            counts.asked(1);
            let noted = begun.send((tag, (numbers.start, first_pass, Instant::now())));
            if noted.is_err() || sender.send(v1::SearchStreamRequest { tag, request }).await.is_err() {
                return;
            }
            tag += 1;
        }
        drop(free.acquire_many(everything).await);
    });
    let (mut samples, mut under_way) = (Vec::new(), HashMap::new());
    while let Some(v1::SearchStreamResponse { tag, result }) = answered.message().await? {
        while let Ok((tag, begin)) = begins.try_recv() {
            under_way.insert(tag, begin);
        }
        let Some((first, first_pass, begin)) = under_way.remove(&tag) else {
            return Err(Status::internal(format!(
                "an answer to query {tag} of a stream, which was not asked"
            )));
        };
        let found = match item(result, answer) {
            Ok(found) => found,
            Err(status) => {
                let Some(pause) = patience.pause(&status) else { return Err(status) };
                under_way.insert(tag, (first, first_pass, begin));
                patience.asked(1);
                let (again, request) = (again.clone(), Some(asking.one(first)));
                tokio::spawn(async move {
                    tokio::time::sleep(pause).await;
                    if let Some(sender) = again.upgrade() {
                        // A stream that broke off is told where its answers are read.
                        drop(sender.send(v1::SearchStreamRequest { tag, request }).await);
                    }
                });
                continue;
            }
        };
        places.add_permits(1);
        let answers = if first_pass { vec![found] } else { Vec::new() };
        samples.push(Sample { first, latency: begin.elapsed(), answers, queries: 1 });
    }
    Ok(samples)
}
