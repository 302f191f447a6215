//! `spandrel query --server --radius`: all vectors within a radius, as a server finds them.
use std::sync::Arc;

use spandrel_engine::{Answer, Duplicates, RangeParams, UnionAnswer, union_within};
use spandrel_index::{Metric, VectorSource as _};
use spandrel_proto::v1;
use tonic::{Code, Status};

use super::answer::{limit, missing_of, neighbours, work_of};
use super::asking::{wire_distances, wire_duplicates};
use super::patience::{Connection, Patience};
use super::query::Query;
use super::{Remote, ServerArgs, told};
use crate::commands::search::open_queries;
use crate::commands::serve::runtime;
use crate::commands::within::sort;
use crate::{Advised, Session, UsageError};

/// Asks a server query by query; hands over each answer of all indexes with its number, and how many vectors match its filter if it has one.
pub(in crate::commands) fn ask_within(
    server: &ServerArgs,
    query: &Query<'_>,
    params: &RangeParams,
    session: &Session,
    mut each: impl FnMut(u64, UnionAnswer, Option<u64>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let config = server.patient_config()?;
    runtime()?.block_on(async {
        let clients = server.clients(&config)?;
        let mut remotes = Vec::new();
        for name in server.index_names() {
            remotes.push(Remote::open(&clients, &config.address, name).await?);
        }
        let Some(remote) = remotes.first() else { unreachable!("an index is asked") };
        check_alike(&remotes)?;
        let file = open_queries(remote.fit(), &query.input, query.queries, session)?;
        let meter = session.meter();
        meter.phase("searching", "queries");
        let patience = Patience::new(&session.stop);
        let filters = query.filter.wire(file.len())?;
        let mut row = vec![0; file.row_bytes()];
        for (number, client) in (0..file.len()).zip(clients.iter().cycle()) {
            file.read_rows(number, &mut row)?;
            let connection = Connection { client: client.clone(), patience: Arc::clone(&patience) };
            let filter = match filters.as_slice() {
                [one] => Some(one),
                all => all.get(number as usize), // CAST: usize is 64 bits here
            };
            let mut request = v1::SearchRangeRequest {
                filter: filter.cloned(),
                embedding_version: query.embedding.embedding_version.clone(),
                ..request(remote, &row, params)
            };
            if remotes.len() > 1 {
                request.index.clear();
                request.indexes = remotes.iter().map(|remote| remote.summary.name.clone()).collect();
                request.duplicates = asked_duplicates(params, query.duplicates) as i32; // CAST: the enum's code
            }
            let found = ranged(&connection, request).await;
            if session.is_stopped() {
                anyhow::bail!("stopped with {number} queries answered");
            }
            let found = found.map_err(|status| match status.code() {
                Code::InvalidArgument => {
                    let message = format!("query {number}: {}", status.message());
                    Advised::new(message, "change that, and ask again").into()
                }
                _ => told(&config.address)(status),
            })?;
            let matches = found.matches;
            let answer = match remotes.len() {
                1 => UnionAnswer { answer: found.sorted(remote.metric), ..UnionAnswer::default() },
                count => found.united(count, remote.metric, params.max_results, query.duplicates),
            };
            each(number, answer, matches)?;
            meter.set(number + 1, file.len());
        }
        meter.finish();
        patience.tell(session);
        Ok(())
    })
}

/// What a server is asked for of ids that several indexes have: all, where it holds nothing to tell them by, and they are told here.
fn asked_duplicates(params: &RangeParams, wanted: Duplicates) -> v1::Duplicates {
    wire_duplicates(if params.max_results.is_some() { wanted } else { Duplicates::Keep })
}

/// Refuses indexes whose distances have no common order, or that no query fits together.
fn check_alike(remotes: &[Remote]) -> anyhow::Result<()> {
    let shape = |remote: &Remote| (remote.metric, remote.summary.dim, remote.summary.dtype);
    let Some((first, others)) = remotes.split_first() else { return Ok(()) };
    match others.iter().find(|remote| shape(remote) != shape(first)) {
        Some(other) => {
            let message = format!(
                "{} and {} differ in metric, dimension or element type: search them apart and fuse the answers",
                first.summary.name, other.summary.name
            );
            Err(UsageError(message).into())
        }
        None => Ok(()),
    }
}

pub(super) fn request(remote: &Remote, row: &[u8], params: &RangeParams) -> v1::SearchRangeRequest {
    v1::SearchRangeRequest {
        index: remote.summary.name.clone(),
        query: Some(remote.vectors(row)),
        radius: Some(params.radius),
        completeness: Some(params.completeness),
        max_results: params.max_results.map(|max| max as u32), // CAST: a flag of 32 bits
        max_bytes: params.max_bytes,
        distances: wire_distances(params.distances) as i32, // CAST: the enum's code
        with_work: true,
        ..v1::SearchRangeRequest::default()
    }
}

/// What came of a query, in the order in which it came.
#[derive(Default)]
struct Ranged {
    answer: Answer,
    /// For each vector the number of its index, where several are asked as one.
    indexes: Vec<u32>,
    /// Vectors that match its filter.
    matches: Option<u64>,
    unlike: u32,
}

impl Ranged {
    /// The answer of one index, best first.
    fn sorted(mut self, metric: Metric) -> Answer {
        sort(metric, &mut self.answer.neighbours);
        self.answer
    }

    /// The answer of `count` indexes together.
    fn united(
        mut self,
        count: usize,
        metric: Metric,
        max_results: Option<usize>,
        duplicates: Duplicates,
    ) -> UnionAnswer {
        let mut parts = vec![Answer::default(); count];
        for (near, &index) in std::mem::take(&mut self.answer.neighbours).into_iter().zip(&self.indexes) {
            // An index that was not asked is none.
            parts.get_mut(index as usize).into_iter().for_each(|part| part.neighbours.push(near)); // CAST: widening
        }
        let mut united = union_within(parts, metric, max_results, duplicates);
        let neighbours = std::mem::take(&mut united.answer.neighbours);
        united.answer = Answer { neighbours, ..self.answer };
        united.unlike += self.unlike;
        united
    }
}

/// The answer to one query of one index, best first, and how many vectors match its filter; what came of it so far where the patience is
/// over.
pub(super) async fn answer(
    connection: &Connection,
    metric: Metric,
    request: v1::SearchRangeRequest,
) -> Result<(Answer, Option<u64>), Status> {
    let found = ranged(connection, request).await?;
    let matches = found.matches;
    Ok((found.sorted(metric), matches))
}

async fn ranged(connection: &Connection, request: v1::SearchRangeRequest) -> Result<Ranged, Status> {
    let Connection { client, patience } = connection;
    let mut parts = patience.call(|| client.search_range(request.clone(), None)).await?;
    let mut found = Ranged::default();
    while !patience.is_over()
        && let Some(part) = parts.message().await?
    {
        found.answer.neighbours.extend(neighbours(&part.ids, &part.distances, &part.estimated));
        found.indexes.extend(part.indexes);
        if let Some(end) = part.end {
            found.answer.missing = end.missing.map(missing_of).unwrap_or_default();
            found.answer.limited_by = limit(end.limited_by);
            found.matches = end.filtered.map(|filtered| filtered.matches);
            found.answer.work = end.work.as_ref().map(work_of).unwrap_or_default();
            found.unlike = end.unlike;
        }
    }
    Ok(found)
}
