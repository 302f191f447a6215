//! `spandrel bench --server --radius`: how much of what is within a radius clients of a server find, and how fast.
use std::sync::Arc;
use std::time::{Duration, Instant};

use spandrel_datasets::{RangeTruth, Rows};
use spandrel_engine::RangeParams;
use spandrel_index::VectorSource as _;
use spandrel_proto::v1;
use tokio::task::JoinSet;
use tonic::Status;

use super::bench::described;
use super::load::{Dealer, Outcome, Sample, Samples};
use super::patience::{Connection, Patience};
use super::within::{answer, request};
use super::{Remote, ServerArgs, told};
use crate::Session;
use crate::commands::embedding::QueryEmbeddingArgs;
use crate::commands::input::InputArgs;
use crate::commands::search::open_queries;
use crate::commands::serve::runtime;
use crate::commands::within::{self, Held, mean_results};
use crate::figures::{LatencySummary, Point};
use spandrel_client::{Client, RetryPolicy};

/// What is measured.
pub(in crate::commands) struct RangeRemotely<'a> {
    pub(in crate::commands) server: &'a ServerArgs,
    pub(in crate::commands) label: Option<String>,
    pub(in crate::commands) queries: &'a std::path::Path,
    pub(in crate::commands) embedding: &'a QueryEmbeddingArgs,
    pub(in crate::commands) input: InputArgs,
    pub(in crate::commands) truth: &'a RangeTruth,
    pub(in crate::commands) in_flight: Vec<usize>,
    pub(in crate::commands) params: Vec<RangeParams>,
    pub(in crate::commands) seconds: f64,
}

/// Who asks what.
#[derive(Clone)]
struct Asking {
    remote: Arc<Remote>,
    queries: Arc<Rows>,
    params: RangeParams,
    embedding_version: Option<String>,
}

/// How many searches are under way at once on each connection, and for how long.
#[derive(Clone, Copy)]
struct Pace {
    in_flight: usize,
    seconds: f64,
}

/// Measures every point.
pub(in crate::commands) fn measure_within(
    what: &RangeRemotely<'_>,
    session: &Session,
) -> anyhow::Result<Vec<Point>> {
    let Some(config) = what.server.config(RetryPolicy::NEVER)? else {
        unreachable!("asked only with a server")
    };
    runtime()?.block_on(async {
        let clients = what.server.clients(&config)?;
        let remote = Arc::new(Remote::open(&clients, &config.address, what.server.one_index_name()?).await?);
        let queries = Arc::new(Rows::read(&open_queries(remote.fit(), &what.input, what.queries, session)?)?);
        what.truth.validate(queries.len())?;
        let meter = session.meter();
        let mut points = Vec::new();
        for &in_flight in &what.in_flight {
            for params in &what.params {
                let phase = format!("asking within a radius, {in_flight} in flight on each connection");
                meter.phase(&phase, "queries");
                let (remote, queries) = (Arc::clone(&remote), Arc::clone(&queries));
                let embedding_version = what.embedding.embedding_version.clone();
                let asking = Asking { remote, queries, params: params.clone(), embedding_version };
                let pace = Pace { in_flight, seconds: what.seconds };
                let outcome =
                    closed(&clients, &asking, pace, session).await.map_err(told(&config.address))?;
                meter.set(outcome.latencies_ns.len() as u64, 0); // CAST: widening
                if session.is_stopped() {
                    anyhow::bail!("stopped before the end");
                }
                points.push(point(what, &asking, in_flight, outcome));
                meter.finish();
            }
        }
        Ok(points)
    })
}

/// Keeps a fixed number of searches under way on each connection until all queries were asked and the time is over.
async fn closed(
    clients: &[Client],
    asking: &Asking,
    Pace { in_flight, seconds }: Pace,
    session: &Session,
) -> Result<Outcome, Status> {
    let start = Instant::now();
    let (count, until) = (asking.queries.len() as usize, start + Duration::from_secs_f64(seconds)); // CAST: rows in memory
    let dealer = Arc::new(Dealer::new(count, 1, until, &session.stop));
    let patience = Patience::new(&session.stop);
    let mut tasks = JoinSet::new();
    for client in clients {
        for _ in 0..in_flight {
            let connection = Connection { client: client.clone(), patience: Arc::clone(&patience) };
            tasks.spawn(searches(connection, asking.clone(), Arc::clone(&dealer)));
        }
    }
    Outcome { answers: vec![None; count], ..Outcome::default() }.gather(tasks, start, &patience).await
}

/// One search after the other, each read to its end.
async fn searches(connection: Connection, asking: Asking, dealer: Arc<Dealer>) -> Samples {
    let row_bytes = asking.queries.row_bytes();
    let mut samples = Vec::new();
    while let Some((numbers, first_pass)) = dealer.next() {
        let (first, begun) = (numbers.start, Instant::now());
        let row = &asking.queries.bytes()[first * row_bytes..][..row_bytes];
        let request = v1::SearchRangeRequest {
            embedding_version: asking.embedding_version.clone(),
            ..request(&asking.remote, row, &asking.params)
        };
        let (found, _) = answer(&connection, asking.remote.metric, request).await?;
        let answers = if first_pass { vec![found] } else { Vec::new() };
        samples.push(Sample { first, latency: begun.elapsed(), answers, queries: 1 });
    }
    Ok(samples)
}

fn point(what: &RangeRemotely<'_>, asking: &Asking, in_flight: usize, mut outcome: Outcome) -> Point {
    let Asking { remote, params, .. } = asking;
    let answers: Vec<_> = outcome.answers.into_iter().flatten().collect();
    let held = Held::of(remote.metric, &answers, what.truth);
    let results = mean_results(&answers);
    let latency = LatencySummary::of(&mut outcome.latencies_ns);
    let measured = Point {
        in_flight: Some(in_flight as u64), // CAST: widening
        rpc: Some("range".to_owned()),
        connections: Some(what.server.connections.into()),
        refused_share: Some(outcome.refused_share),
        qps: outcome.latencies_ns.len() as f64 / outcome.elapsed.as_secs_f64().max(1e-9), // CAST: exact to 2^53
        ..described(remote, what.label.as_deref(), Point::of_work(answers.iter()))
    };
    within::point(params, held, results, measured.with_latencies(&latency))
}
