//! `spandrel bench --server`: a server's recall, rate and latency, as its clients see them.
use std::sync::Arc;

use anyhow::Context as _;
use spandrel_datasets::{Rows, Truth};
use spandrel_engine::{Distances, Duplicates, recall};
use spandrel_index::{Metric, VectorSource as _};
use spandrel_proto::v1;

use super::asking::{Asking, options};
use super::attributes::cells;
use super::load::{Load, Outcome};
use super::{Remote, ServerArgs, told};
use crate::commands::column::ColumnQueriesArgs;
use crate::commands::documents::QueryDocumentsArgs;
use crate::commands::embedding::QueryEmbeddingArgs;
use crate::commands::filter::FilterArgs;
use crate::commands::input::InputArgs;
use crate::commands::measure::{check_truth, filtered_recall};
use crate::commands::search::open_queries;
use crate::commands::serve::runtime;
use crate::commands::truth_check::{Sample, Stored, nearer_than_truth, note_nearer};
use crate::figures::{LatencySummary, Machine, Point, PointParams};
use crate::{Advised, Meter, Session};
use spandrel_client::{Client, RetryPolicy};

/// What is measured.
#[derive(Clone)]
pub(in crate::commands) struct Remotely<'a> {
    pub(in crate::commands) server: &'a ServerArgs,
    pub(in crate::commands) label: Option<String>,
    pub(in crate::commands) queries: &'a std::path::Path,
    pub(in crate::commands) column: &'a ColumnQueriesArgs,
    pub(in crate::commands) documents: &'a QueryDocumentsArgs,
    pub(in crate::commands) embedding: &'a QueryEmbeddingArgs,
    pub(in crate::commands) input: InputArgs,
    pub(in crate::commands) truth: &'a Truth,
    pub(in crate::commands) truth_file: &'a std::path::Path,
    pub(in crate::commands) k: u32,
    pub(in crate::commands) in_flight: Vec<usize>,
    pub(in crate::commands) params: Vec<PointParams>,
    pub(in crate::commands) distances: Distances,
    pub(in crate::commands) filter: &'a FilterArgs,
    pub(in crate::commands) seconds: f64,
    pub(in crate::commands) rate: Option<f64>,
}

impl Remotely<'_> {
    /// How the vectors are compared that answers have distances of.
    fn metric(&self, remote: &Remote) -> anyhow::Result<Metric> {
        let of_column = remote.column(self.column.compare_by())?;
        Ok(of_column.map_or(remote.metric, |(_, metric)| metric))
    }
}

/// Measures every point.
pub(in crate::commands) fn measure(what: &Remotely<'_>, session: &Session) -> anyhow::Result<Vec<Point>> {
    let Some(config) = what.server.config(RetryPolicy::NEVER)? else {
        unreachable!("asked only with a server")
    };
    runtime()?.block_on(async {
        let clients = what.server.clients(&config)?;
        let remote = Arc::new(Remote::open(&clients, &config.address, what.server.one_index_name()?).await?);
        let queries = Arc::new(Rows::read(&open_queries(remote.fit(), &what.input, what.queries, session)?)?);
        let fit = remote.column(what.column.compare_by())?.map(|(fit, _)| fit);
        let column = what.column.open(fit, &what.input, queries.len(), session)?;
        let column = column.map(|file| Rows::read(&file)).transpose()?.map(Arc::new);
        let has_documents = remote.about.documents.is_some();
        let documents = what.documents.read(&config.address, has_documents, queries.len())?.map(Arc::new);
        let k = what.k.min(u32::try_from(remote.answers_max()).unwrap_or(what.k));
        let what = &Remotely { k, ..what.clone() };
        // CAST: widening, here and below
        let count = documents.as_ref().map_or(queries.len(), |documents| documents.documents() as u64);
        let filters = Arc::new(what.filter.wire(count)?);
        let of_truth = || what.truth_file.display().to_string();
        check_truth(what.truth, count, what.k as usize, !filters.is_empty()).with_context(of_truth)?;
        if documents.is_none() {
            let compared = column.as_deref().unwrap_or(&queries);
            check_sample(what, compared, &remote, &clients, session).await.with_context(of_truth)?;
        }
        let asking = Asking {
            remote,
            united: Vec::new(),
            duplicates: Duplicates::default(),
            queries,
            column,
            documents,
            k: what.k,
            filters,
            first: 0,
            options: v1::SearchOptions::default(),
        };
        let meter = session.meter();
        let mut points = Vec::new();
        for &in_flight in &what.in_flight {
            let name =
                format!("asking by {}, {in_flight} in flight on each connection", what.server.rpc.name());
            for &params in &what.params {
                meter.phase(&name, "queries");
                let load = Load {
                    clients: clients.clone(),
                    asking: asking.clone(),
                    rpc: what.server.rpc,
                    in_flight,
                    seconds: 0.0,
                    stop: Arc::clone(&session.stop),
                };
                points.push(measured(what, load, params, &meter, session).await?);
                meter.finish();
            }
        }
        Ok(points)
    })
}

/// Measures one point: all queries once to warm up, which tell the work, and then for as long as is wanted.
async fn measured(
    what: &Remotely<'_>,
    mut load: Load,
    params: PointParams,
    meter: &Meter,
    session: &Session,
) -> anyhow::Result<Point> {
    let remote = Arc::clone(&load.asking.remote);
    // The work is asked for while warming up: it costs bytes, and does not change.
    load.asking.options = v1::SearchOptions {
        embedding_version: what.embedding.embedding_version.clone(),
        ..options(&params, what.distances, true)
    };
    let warm_up = load.closed().await.map_err(told(&remote.address))?;
    load.seconds = what.seconds;
    load.asking.options.with_work = false;
    let outcome = match what.rate {
        Some(rate) => load.open(rate).await,
        None => load.closed().await.map_err(told(&remote.address))?,
    };
    meter.set(outcome.latencies_ns.len() as u64, 0); // CAST: widening
    if session.is_stopped() {
        anyhow::bail!("stopped before the end");
    }
    point(what, &remote, Setting { in_flight: load.in_flight, params }, &warm_up, outcome, session)
}

/// Refuses a truth that does not fit, by vectors that the server is asked for: those that `compared`, of the queries, are
/// compared with. A server that gives none is taken at its word.
async fn check_sample(
    what: &Remotely<'_>,
    compared: &Rows,
    remote: &Remote,
    clients: &[Client],
    session: &Session,
) -> anyhow::Result<()> {
    let sample = Sample::of(what.truth);
    let of_column = remote.column(what.column.compare_by())?;
    let name = of_column.map(|(fit, _)| fit.name).unwrap_or_default();
    let metric = what.metric(remote)?;
    let Some(client) = clients.first() else { return Ok(()) };
    // As for a query, an attribute of a type that is not known here matters to filters alone.
    let filters = match what.filter.is_filtered() {
        true => what.filter.bind(&remote.schema()?, compared.len())?,
        false => None,
    };
    let with_attributes = filters.as_ref().map(|_| v1::AttributeSelection::default());
    let mut found = Vec::new();
    for ids in sample.ids() {
        let index = remote.summary.name.clone();
        let (ids_of, with_attributes) = (ids.clone(), with_attributes.clone());
        let request = v1::FetchRequest { index, ids: ids_of, with_attributes, column: name.clone() };
        let response = match client.fetch(request).await {
            Ok(response) if !response.damaged.is_empty() => {
                session.note("note: the truth is not compared with vectors of the server: some are damaged");
                return Ok(());
            }
            Ok(response) => response,
            Err(status) => {
                session.note(&format!(
                    "note: the truth is not compared with vectors of the server: {}",
                    status.message()
                ));
                return Ok(());
            }
        };
        let data = response.vectors.unwrap_or_default().raw_data();
        let mut rows = data.chunks_exact(compared.row_bytes());
        let mut places = 0..;
        let held = |(&id, &found): (&u64, &bool)| {
            let (row, at) = if found { (rows.next()?, places.next()?) } else { return None };
            Some(Stored { id, vector: row.to_vec(), cells: cells(&response.attributes, at..at + 1) })
        };
        found.push(ids.iter().zip(&response.found).map(held).collect());
    }
    Ok(sample.check(metric, compared, filters.as_ref(), &found)?)
}

/// What one point was measured with.
#[derive(Clone, Copy)]
struct Setting {
    in_flight: usize,
    params: PointParams,
}

fn point(
    what: &Remotely<'_>,
    remote: &Remote,
    setting: Setting,
    warm_up: &Outcome,
    mut outcome: Outcome,
    session: &Session,
) -> anyhow::Result<Point> {
    if outcome.latencies_ns.is_empty() {
        let why = outcome.first_refusal.map_or_else(String::new, |status| format!(": {}", status.message()));
        return Err(Advised::new(format!("no query was answered{why}"), "ask at a lower --rate").into());
    }
    let recall = recall_of(what, remote, &outcome, session)?;
    let latency = LatencySummary::of(&mut outcome.latencies_ns);
    let refused_p99_us = match outcome.refused_ns.len() {
        0 => None,
        _ => Some(LatencySummary::of(&mut outcome.refused_ns).p99_us),
    };
    let of_work = Point::of_work(warm_up.answers.iter().flatten());
    let of_index = described(remote, what.label.as_deref(), of_work);
    let point = Point {
        distances: Some(what.distances.to_string()),
        params: setting.params.into(),
        k: Some(what.k.into()),
        in_flight: Some(setting.in_flight as u64), // CAST: widening
        rpc: Some(what.server.rpc.name().to_owned()),
        connections: Some(what.server.connections.into()),
        offered_qps: what.rate,
        refused_share: Some(outcome.refused_share),
        refused_p99_us,
        scanned_share: of_index.vectors_scanned.map(|scanned| scanned / remote.summary.vectors as f64), // CAST: exact to 2^53
        recall,
        // CAST: counts are exact to 2^53
        qps: outcome.latencies_ns.len() as f64 / outcome.elapsed.as_secs_f64().max(1e-9),
        ..of_index
    };
    Ok(point.with_latencies(&latency))
}

/// A point with what a server says of its index.
pub(super) fn described(remote: &Remote, label: Option<&str>, point: Point) -> Point {
    let v1::DescribeIndexResponse { code, memory_bytes, disk_bytes, .. } = &remote.about;
    let tier = |tier: v1::Tier| if tier == v1::Tier::Memory { "memory" } else { "ssd" }.to_owned();
    Point {
        label: Some(label.unwrap_or(&remote.summary.name).to_owned()),
        // Its folder is told to those who may manage it.
        index: Some(match remote.about.path.as_str() {
            "" => remote.summary.name.clone(),
            path => path.to_owned(),
        }),
        machine: Some(Machine::detect().to_string()),
        code: Some(code.clone()),
        codes: Some(tier(remote.about.codes())),
        vectors: Some(tier(remote.about.vectors())),
        server: Some(remote.address.clone()),
        // CAST: counts are exact to 2^53, here and below
        memory_bytes: Some(memory_bytes.values().sum::<u64>() as f64),
        index_bytes: Some(*disk_bytes as f64),
        // Of a server no more is known.
        ..point
    }
}

/// Recall over the queries that were answered.
fn recall_of(
    what: &Remotely<'_>,
    remote: &Remote,
    outcome: &Outcome,
    session: &Session,
) -> anyhow::Result<f64> {
    let columns = what.truth.k;
    let answered =
        (0..).zip(&outcome.answers).filter_map(|(number, answer)| Some((number, answer.as_ref()?)));
    let metric = what.metric(remote)?;
    let k = what.k as usize; // CAST: widening
    note_nearer(nearer_than_truth(metric, answered.clone(), what.truth, k), session);
    if what.filter.is_filtered() {
        return filtered_recall(metric, answered, what.truth, k);
    }
    let (mut answers, mut ids, mut distances) = (Vec::new(), Vec::new(), Vec::new());
    for (number, answer) in answered {
        let row = number * columns..(number + 1) * columns;
        answers.push(answer.clone());
        ids.extend_from_slice(&what.truth.ids[row.clone()]);
        if let Some(known) = &what.truth.distances {
            distances.extend_from_slice(&known[row]);
        }
    }
    let known = spandrel_engine::Truth { ids: &ids, distances: &distances, columns };
    Ok(recall(metric, &answers, known, k)?)
}
