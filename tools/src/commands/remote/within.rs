//! `spandrel query --server --radius`: all vectors within a radius, as a server finds them.
use std::sync::Arc;

use spandrel_engine::{Answer, RangeParams, UnionAnswer, union_within};
use spandrel_index::{Metric, VectorSource as _};
use spandrel_proto::v1;
use tonic::{Code, Status};

use super::answer::{limit, missing_of, neighbours, work_of};
use super::asking::wire_distances;
use super::patience::{Connection, Patience};
use super::query::Query;
use super::{Remote, ServerArgs, told};
use crate::commands::search::open_queries;
use crate::commands::serve::runtime;
use crate::commands::within::sort;
use crate::{Advised, Session, UsageError};

/// Asks a server query by query, one index after the other; hands over each answer of all with its number, and how many vectors match its
/// filter if it has one.
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
            let (mut parts, mut matching) = (Vec::new(), None);
            for remote in &remotes {
                let request = v1::SearchRangeRequest {
                    filter: filter.cloned(),
                    embedding_version: query.embedding.embedding_version.clone(),
                    ..request(remote, &row, params)
                };
                let answer = answer(&connection, remote.metric, request).await;
                if session.is_stopped() {
                    anyhow::bail!("stopped with {number} queries answered");
                }
                let (answer, matches) = answer.map_err(|status| match status.code() {
                    Code::InvalidArgument => {
                        let message = format!("query {number}: {}", status.message());
                        Advised::new(message, "change that, and ask again").into()
                    }
                    _ => told(&config.address)(status),
                })?;
                parts.push(answer);
                matching = matches.map(|matches| matches + matching.unwrap_or(0)).or(matching);
            }
            each(number, merged(parts, remote.metric, params, query), matching)?;
            meter.set(number + 1, file.len());
        }
        meter.finish();
        patience.tell(session);
        Ok(())
    })
}

/// The answers of all indexes together; that of one as it is.
fn merged(mut parts: Vec<Answer>, metric: Metric, params: &RangeParams, query: &Query<'_>) -> UnionAnswer {
    match parts.len() {
        1 => UnionAnswer { answer: parts.pop().unwrap_or_default(), ..UnionAnswer::default() },
        _ => union_within(parts, metric, params.max_results, query.duplicates),
    }
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

/// The answer to one query, best first, and how many vectors match its filter; what came of it so far where the patience is over.
pub(super) async fn answer(
    connection: &Connection,
    metric: Metric,
    request: v1::SearchRangeRequest,
) -> Result<(Answer, Option<u64>), Status> {
    let Connection { client, patience } = connection;
    let mut parts = patience.call(|| client.search_range(request.clone(), None)).await?;
    let (mut answer, mut matches) = (Answer::default(), None);
    while !patience.is_over()
        && let Some(part) = parts.message().await?
    {
        answer.neighbours.extend(neighbours(&part.ids, &part.distances, &part.estimated));
        if let Some(end) = part.end {
            answer.missing = end.missing.map(missing_of).unwrap_or_default();
            answer.limited_by = limit(end.limited_by);
            matches = end.filtered.map(|filtered| filtered.matches);
            answer.work = end.work.as_ref().map(work_of).unwrap_or_default();
        }
    }
    sort(metric, &mut answer.neighbours);
    Ok((answer, matches))
}
