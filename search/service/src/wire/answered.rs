//! Answers as messages.
use std::time::Instant;

use spandrel_engine::{Answer, Filtered, Limit, Neighbour, Promise};
use spandrel_proto::v1;

use super::attributes::Columns;
use super::explained::{explanation, wire_plan};
use super::kinds::wire_dtype;
use crate::ask::{Effort, Found, Rows, Version};
use crate::metrics::queue_us;
use crate::refusal::Refusal;
use crate::turns::{PIECE, Turns};

/// The neighbours of all answers.
struct Neighbours {
    ids: Vec<u64>,
    distances: Vec<f32>,
    /// Empty if none is.
    estimated: Vec<bool>,
}

impl Neighbours {
    /// Of any number of them, of which a long row takes turns with other calls until the deadline.
    async fn of(answers: &[Answer], deadline: Instant) -> Result<Neighbours, Refusal> {
        let count = answers.iter().map(|answer| answer.neighbours.len()).sum();
        let (mut ids, mut distances) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let (mut estimated, mut turns) = (Vec::new(), Turns::until(deadline));
        for part in answers.iter().flat_map(|answer| answer.neighbours.chunks(PIECE)) {
            turns.take(part.len()).await?;
            ids.extend(part.iter().map(|n| n.id));
            distances.extend(part.iter().map(|n| n.distance));
            if !estimated.is_empty() || part.iter().any(|n| n.estimated) {
                estimated.resize(ids.len() - part.len(), false);
                estimated.extend(part.iter().map(|n| n.estimated));
            }
        }
        Ok(Neighbours { ids, distances, estimated })
    }
}

/// The answer to one query.
pub(super) async fn response(
    found: &mut Found<'_>,
    with_work: bool,
    deadline: Instant,
) -> Result<v1::SearchResponse, Refusal> {
    let (vectors, attributes) = (found.vectors.take().map(vectors), taken(found, deadline).await?);
    let Neighbours { ids, distances, estimated } = Neighbours::of(&found.answers, deadline).await?;
    let none = Answer::default();
    let answer = found.answers.first().unwrap_or(&none);
    Ok(v1::SearchResponse {
        ids,
        distances,
        estimated,
        missing: (answer.missing.parts() > 0).then(|| missing(answer)),
        effort: found.effort(0).map(effort),
        limited_by: limited_by(answer) as i32, // CAST: the enum's code
        index_version: found.version.number,
        index_uuid: found.version.uuid.to_string(),
        vectors,
        work: with_work.then(|| work(answer, found.held, found.arrival)),
        explanation: explanation(answer, found.filter.as_ref()),
        promise: answer.promise.map(promise),
        filtered: answer.filtered.map(filtered),
        attributes,
        indexes: found.united.iter().flat_map(|united| united.indexes.iter().flatten().copied()).collect(),
        versions: versions(found),
        unlike: found.united.as_ref().and_then(|united| united.unlike.first().copied()).unwrap_or_default(),
        explained: explained(found),
        attention_mass: found.attention.first().copied(),
    })
}

/// How each of several indexes answered each query, where that was asked for.
fn explained(found: &Found<'_>) -> Vec<v1::ExplainedIndex> {
    let Some(united) = &found.united else { return Vec::new() };
    let of_query = |answers: &Vec<Answer>| -> Vec<v1::ExplainedIndex> {
        let each = answers.iter().zip(&united.filters).zip(&united.held);
        let one = |((answer, filter), &held): ((&Answer, _), _)| v1::ExplainedIndex {
            explanation: explanation(answer, Option::as_ref(filter)),
            work: Some(work(answer, held, found.arrival)),
        };
        each.map(one).collect()
    };
    united.explained.iter().flat_map(of_query).collect()
}

/// The versions of several indexes that answered as one; none of one.
fn versions(found: &Found<'_>) -> Vec<v1::IndexVersion> {
    found.united.as_ref().map(|united| index_versions(&united.versions)).unwrap_or_default()
}

/// Which versions of indexes answered.
pub(super) fn index_versions(all: &[(String, Version)]) -> Vec<v1::IndexVersion> {
    let version = |(name, Version { number, uuid }): &(String, Version)| v1::IndexVersion {
        name: name.clone(),
        version: *number,
        uuid: uuid.to_string(),
    };
    all.iter().map(version).collect()
}

/// Takes the attributes of all neighbours out of the answers.
async fn taken(found: &mut Found<'_>, deadline: Instant) -> Result<Vec<v1::AttributeValues>, Refusal> {
    let cells = found.answers.iter().map(|answer| answer.cells.len()).sum();
    let (mut columns, mut turns) = (Columns::of(&found.attributes, cells), Turns::until(deadline));
    for answer in &mut found.answers {
        columns.add(std::mem::take(&mut answer.cells), &mut turns).await?;
    }
    Ok(columns.into_messages())
}

/// The answers to many queries.
pub(super) async fn responses(
    found: &mut Found<'_>,
    with_work: bool,
    deadline: Instant,
) -> Result<v1::SearchBatchResponse, Refusal> {
    let (vectors, attributes) = (found.vectors.take().map(vectors), taken(found, deadline).await?);
    let (found, answers) = (&*found, &found.answers);
    let Neighbours { ids, distances, estimated } = Neighbours::of(answers, deadline).await?;
    Ok(v1::SearchBatchResponse {
        counts: answers.iter().map(|a| a.neighbours.len() as u32).collect(), // CAST: at most k
        ids,
        distances,
        estimated,
        missing: unless_all(answers, |a| a.missing.parts() == 0, missing),
        effort: efforts(found),
        // CAST: the enum's code
        limited_by: unless_all(answers, |a| a.limited_by.is_none(), |a| limited_by(a) as i32),
        index_version: found.version.number,
        index_uuid: found.version.uuid.to_string(),
        vectors,
        work: answers
            .iter()
            .filter(|_| with_work)
            .map(|answer| work(answer, found.held, found.arrival))
            .collect(),
        explanations: answers.iter().filter_map(|a| explanation(a, found.filter.as_ref())).collect(),
        promises: answers.iter().filter_map(|a| a.promise).map(promise).collect(),
        filtered: answers.iter().filter_map(|a| a.filtered).map(filtered).collect(),
        attributes,
        indexes: found.united.iter().flat_map(|united| united.indexes.iter().flatten().copied()).collect(),
        versions: versions(found),
        unlike: match &found.united {
            Some(united) if united.unlike.iter().any(|&left_out| left_out > 0) => united.unlike.clone(),
            _ => Vec::new(),
        },
        explained: explained(found),
        attention_masses: found.attention.clone(),
    })
}

/// How thoroughly each query was searched; empty if all were as asked for.
fn efforts(found: &Found<'_>) -> Vec<v1::Effort> {
    let all: Vec<Option<Effort>> = (0..found.answers.len()).map(|number| found.effort(number)).collect();
    match all.iter().all(Option::is_none) {
        true => Vec::new(),
        false => all.into_iter().map(|of| of.map(effort).unwrap_or_default()).collect(),
    }
}

/// One item for each answer; none if there is nothing to say of any.
fn unless_all<T>(
    answers: &[Answer],
    is_nothing: impl Fn(&Answer) -> bool,
    item: impl Fn(&Answer) -> T,
) -> Vec<T> {
    if answers.iter().all(is_nothing) { Vec::new() } else { answers.iter().map(item).collect() }
}

pub(super) fn missing(answer: &Answer) -> v1::Missing {
    v1::Missing { lists: answer.missing.lists, pages: answer.missing.pages }
}

fn effort(effort: Effort) -> v1::Effort {
    let Effort { asked_lists, searched_lists } = effort;
    v1::Effort { asked_lists, searched_lists }
}

fn promise(promise: Promise) -> v1::Promise {
    let Promise { target, expected } = promise;
    v1::Promise { target, expected_recall: expected, reached: promise.reached() }
}

fn filtered(filtered: Filtered) -> v1::Filtered {
    let Filtered { matches, plan, widened } = filtered;
    v1::Filtered { matches, plan: wire_plan(plan) as i32, widened } // CAST: the enum's code
}

pub(super) fn limited_by(answer: &Answer) -> v1::Limit {
    match answer.limited_by {
        None => v1::Limit::Unspecified,
        Some(Limit::MaxLists) => v1::Limit::MaxLists,
        Some(Limit::MaxBytes) => v1::Limit::MaxBytes,
        Some(Limit::MaxResults) => v1::Limit::MaxResults,
        Some(Limit::MinHeadScore) => v1::Limit::MinHeadScore,
    }
}

/// Whether each distance is an estimate; empty if none is.
pub(super) fn estimated<'a>(found: impl Iterator<Item = &'a Neighbour> + Clone) -> Vec<bool> {
    let all = || found.clone().map(|n| n.estimated);
    if all().any(|e| e) { all().collect() } else { Vec::new() }
}

/// What an answer to a request that came at `arrival` took, among `vectors` vectors.
pub(super) fn work(answer: &Answer, vectors: u64, arrival: Instant) -> v1::Work {
    let work = &answer.work;
    v1::Work {
        lists: work.lists,
        reads: work.reads,
        pages: work.pages,
        rounds: work.rounds,
        read_bytes: work.read_bytes,
        codes: work.vectors_scanned,
        reranked: work.reranked,
        head_distances: work.head_distances,
        queue_us: queue_us(answer, arrival),
        search_us: answer.latency_us,
        candidates: work.candidates,
        cache_hits: work.cache_hits,
        stages: answer.stages.map(|times| v1::Stages {
            probe_us: times.probe_us,
            scan_us: times.scan_us,
            plan_us: times.plan_us,
            wait_us: times.wait_us,
            verify_us: times.verify_us,
            rerank_us: times.rerank_us,
        }),
        documents: work.documents,
        scanned_share: work.vectors_scanned as f64 / vectors.max(1) as f64, // CAST: a ratio
    }
}

pub(super) fn vectors(rows: Rows) -> v1::Vectors {
    let Rows { dtype, dim, data, offsets } = rows;
    let dim = dim as u32; // CAST: at most DIM_MAX
    match offsets {
        None => v1::Vectors::raw(dim, wire_dtype(dtype), data),
        Some(offsets) => v1::Vectors::documents(dim, wire_dtype(dtype), data, offsets),
    }
}
