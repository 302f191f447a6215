//! Between the messages and what they mean.
use std::time::Instant;

use spandrel_engine::{
    Answer, Distances, FetchState, Filtered, Limit, Neighbour, Promise, RangeParams, Rerank, SearchParams,
};
use spandrel_index::format::VectorsOf;
use spandrel_index::{DType, Metric, Tier};
use spandrel_proto::v1;
use spandrel_proto::v1::documents::Tokens;
use spandrel_proto::v1::vectors::Form as VectorsForm;

use super::attributes::Columns;
use super::explained::{explanation, wire_plan};
use super::filter::filter;
use crate::ask::{
    Ask, AskColumn, AskFetch, AskWithin, Effort, EndOfRange, Fetched, Form, Found, Numbers, Rows, Target,
};
use crate::metrics::queue_us;
use crate::refusal::Refusal;
use crate::served::Summary;
use crate::turns::{PIECE, Turns};

/// One query.
pub(super) fn one(request: v1::SearchRequest) -> Result<Ask, Refusal> {
    let v1::SearchRequest { index, query, k, options, column_queries } = request;
    ask(index, (query, Form::One), (k, options.unwrap_or_default()), column_queries)
}

/// Many queries.
pub(super) fn many(request: v1::SearchBatchRequest) -> Result<Ask, Refusal> {
    let v1::SearchBatchRequest { index, queries, k, options, column_queries } = request;
    ask(index, (queries, Form::Batch), (k, options.unwrap_or_default()), column_queries)
}

fn ask(
    index: String,
    (vectors, form): (Option<v1::Vectors>, Form),
    (k, options): (u32, v1::SearchOptions),
    column: Option<v1::ColumnQueries>,
) -> Result<Ask, Refusal> {
    let column = column.map(column_of).transpose()?;
    let compare_by = if column.is_some() { VectorsOf::Column } else { VectorsOf::Main };
    let params = SearchParams { compare_by, ..params(k, &options)? };
    let target = target(form.field(), vectors)?;
    let v1::SearchOptions { with_vectors, with_attributes, with_work, explain, filter: of_options, .. } =
        options;
    let filter = filter("options.filter", of_options)?;
    let (attributes, with_work) = (with_attributes.map(|of| of.names), with_work || explain);
    Ok(Ask { index, target, column, form, params, filter, attributes, with_vectors, with_work })
}

/// The queries' vectors in a column.
fn column_of(of: v1::ColumnQueries) -> Result<AskColumn, Refusal> {
    let v1::ColumnQueries { column: name, vectors } = of;
    Ok(AskColumn { name, target: target(Form::ColumnOne.field(), vectors)? })
}

/// Vectors by id.
pub(super) fn by_id(request: v1::FetchRequest) -> AskFetch {
    let v1::FetchRequest { index, ids, with_attributes, column } = request;
    AskFetch { index, ids, column, attributes: with_attributes.map(|of| of.names) }
}

fn target(field: &'static str, vectors: Option<v1::Vectors>) -> Result<Target, Refusal> {
    let Some(v1::Vectors { dim, form }) = vectors else {
        return Err(Refusal::field(field, "not set"));
    };
    let numbers = match form {
        None => return Err(Refusal::field(field, "no elements; set floats, raw or ids")),
        Some(VectorsForm::Ids(v1::Ids { values })) => return Ok(Target::Ids(values)),
        Some(VectorsForm::Documents(documents)) => return of_documents(field, documents, dim),
        Some(VectorsForm::Floats(v1::Floats { values })) => Numbers::Floats(values),
        Some(VectorsForm::Raw(raw)) => of_raw(field, raw)?,
    };
    Ok(Target::Vectors { numbers, dim })
}

fn of_raw(field: &'static str, v1::Raw { data, dtype }: v1::Raw) -> Result<Numbers, Refusal> {
    Ok(Numbers::Raw { data, dtype: dtype_of(field, dtype)? })
}

fn of_documents(field: &'static str, documents: v1::Documents, dim: u32) -> Result<Target, Refusal> {
    let v1::Documents { offsets, tokens } = documents;
    let numbers = match tokens {
        None => return Err(Refusal::field(field, "documents without elements; set floats or raw")),
        Some(Tokens::Floats(v1::Floats { values })) => Numbers::Floats(values),
        Some(Tokens::Raw(raw)) => of_raw(field, raw)?,
    };
    Ok(Target::Documents { numbers, dim, offsets })
}

fn dtype_of(field: &'static str, code: i32) -> Result<DType, Refusal> {
    match v1::Dtype::try_from(code) {
        Ok(v1::Dtype::F32) => Ok(DType::F32),
        Ok(v1::Dtype::F16) => Ok(DType::F16),
        Ok(v1::Dtype::I8) => Ok(DType::I8),
        Ok(v1::Dtype::U8) => Ok(DType::U8),
        Ok(v1::Dtype::Unspecified) => Err(Refusal::field(field, "data without its dtype")),
        Err(_) => Err(Refusal::field(field, format!("unknown dtype {code}, expected 1 to 4"))),
    }
}

/// Which distances an answer may carry.
fn distances(field: &'static str, code: i32) -> Result<Distances, Refusal> {
    match v1::Distances::try_from(code) {
        Ok(v1::Distances::Unspecified | v1::Distances::Exact) => Ok(Distances::Exact),
        Ok(v1::Distances::Any) => Ok(Distances::Any),
        Err(_) => Err(Refusal::field(field, format!("unknown distances {code}, expected 0 to 2"))),
    }
}

/// How to search.
fn params(k: u32, options: &v1::SearchOptions) -> Result<SearchParams, Refusal> {
    let rerank = match (options.rerank, options.rerank_errors) {
        (Some(_), Some(_)) => {
            let message = "both rerank and rerank_errors are set, expected one of them";
            return Err(Refusal::field("options.rerank_errors", message));
        }
        (Some(count), None) => Some(Rerank::Count(count)),
        (None, errors) => errors.map(Rerank::Errors),
    };
    let distances = distances("options.distances", options.distances)?;
    Ok(SearchParams {
        k: k as usize, // CAST: widening
        recall: options.recall,
        misses: 1.0,
        epsilon: options.epsilon,
        min_head_score: options.min_head_score,
        max_lists: options.max_lists,
        effort: 1.0,
        max_bytes: options.max_bytes,
        rerank,
        compare_by: VectorsOf::Main,
        distances,
        filter: None,
        filter_plan: None,
        // For the metrics; an answer holds them if it was asked for its work.
        times: true,
        explain: options.explain,
    })
}

/// One query for all within a radius.
pub(super) fn within(request: v1::SearchRangeRequest) -> Result<AskWithin, Refusal> {
    let v1::SearchRangeRequest { index, query, radius, completeness, max_results, max_bytes, .. } = request;
    let filter = filter("filter", request.filter)?;
    let radius = radius.ok_or_else(|| Refusal::field("radius", "not set"))?;
    if max_bytes == Some(0) {
        return Err(Refusal::field("max_bytes", "max_bytes is 0, expected at least 1"));
    }
    let params = RangeParams {
        completeness: completeness.unwrap_or(1.0),
        max_results: max_results.map(|max| max as usize), // CAST: widening
        max_bytes,
        distances: distances("distances", request.distances)?,
        ..RangeParams::new(radius)
    };
    Ok(AskWithin { index, target: target(Form::One.field(), query)?, params, filter })
}

/// Some of the vectors within a radius.
pub(super) fn part(found: &[Neighbour]) -> v1::SearchRangeResponse {
    v1::SearchRangeResponse {
        ids: found.iter().map(|n| n.id).collect(),
        distances: found.iter().map(|n| n.distance).collect(),
        estimated: estimated(found.iter()),
        end: None,
    }
}

/// The end of an answer within a radius.
pub(super) fn end(end: &EndOfRange, with_work: bool) -> v1::SearchRangeResponse {
    let EndOfRange { results, answer, matches, completeness, version, vectors, arrival } = end;
    let end = v1::RangeEnd {
        results: *results,
        missing: (answer.missing.parts() > 0).then(|| missing(answer)),
        limited_by: limited_by(answer) as i32, // CAST: the enum's code
        completeness: *completeness,
        index_version: version.number,
        index_uuid: version.uuid.to_string(),
        work: with_work.then(|| work(answer, *vectors, *arrival)),
        filtered: matches.map(|matches| v1::Filtered { matches, ..Default::default() }),
    };
    v1::SearchRangeResponse { end: Some(end), ..Default::default() }
}

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
        effort: found.effort(answer).map(effort),
        limited_by: limited_by(answer) as i32, // CAST: the enum's code
        index_version: found.version.number,
        index_uuid: found.version.uuid.to_string(),
        vectors,
        work: with_work.then(|| work(answer, found.held, found.arrival)),
        explanation: explanation(answer, found.filter.as_ref()),
        promise: answer.promise.map(promise),
        filtered: answer.filtered.map(filtered),
        attributes,
    })
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
        effort: match found.lowered {
            None => Vec::new(),
            Some(_) => unless_all(
                answers,
                |a| found.effort(a).is_none(),
                |a| found.effort(a).map(effort).unwrap_or_default(),
            ),
        },
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
    })
}

/// One item for each answer; none if there is nothing to say of any.
fn unless_all<T>(
    answers: &[Answer],
    is_nothing: impl Fn(&Answer) -> bool,
    item: impl Fn(&Answer) -> T,
) -> Vec<T> {
    if answers.iter().all(is_nothing) { Vec::new() } else { answers.iter().map(item).collect() }
}

/// Vectors by id.
pub(super) async fn fetched(
    found: &mut Fetched<'_>,
    deadline: Instant,
) -> Result<v1::FetchResponse, Refusal> {
    let columns = Columns::of(&found.attributes, found.cells.len());
    let (mut columns, mut turns) = (columns, Turns::until(deadline));
    columns.add(std::mem::take(&mut found.cells), &mut turns).await?;
    let rows =
        Rows { dtype: found.rows.dtype, dim: found.rows.dim, data: std::mem::take(&mut found.rows.data) };
    let is = |wanted| move |&state: &FetchState| state == wanted;
    let damaged = (0..).zip(&found.states).filter(|(_, state)| is(FetchState::Damaged)(state));
    Ok(v1::FetchResponse {
        found: found.states.iter().map(is(FetchState::Found)).collect(),
        vectors: Some(vectors(rows)),
        index_version: found.version.number,
        index_uuid: found.version.uuid.to_string(),
        damaged: damaged.map(|(at, _)| at).collect(),
        attributes: columns.into_messages(),
    })
}

fn missing(answer: &Answer) -> v1::Missing {
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

fn limited_by(answer: &Answer) -> v1::Limit {
    match answer.limited_by {
        None => v1::Limit::Unspecified,
        Some(Limit::MaxLists) => v1::Limit::MaxLists,
        Some(Limit::MaxBytes) => v1::Limit::MaxBytes,
        Some(Limit::MaxResults) => v1::Limit::MaxResults,
        Some(Limit::MinHeadScore) => v1::Limit::MinHeadScore,
    }
}

/// Whether each distance is an estimate; empty if none is.
fn estimated<'a>(found: impl Iterator<Item = &'a Neighbour> + Clone) -> Vec<bool> {
    let all = || found.clone().map(|n| n.estimated);
    if all().any(|e| e) { all().collect() } else { Vec::new() }
}

/// What an answer to a request that came at `arrival` took, among `vectors` vectors.
fn work(answer: &Answer, vectors: u64, arrival: Instant) -> v1::Work {
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

fn vectors(rows: Rows) -> v1::Vectors {
    let Rows { dtype, dim, data } = rows;
    v1::Vectors::raw(dim as u32, wire_dtype(dtype), data) // CAST: at most DIM_MAX
}

pub(super) fn wire_dtype(dtype: DType) -> v1::Dtype {
    match dtype {
        DType::F32 => v1::Dtype::F32,
        DType::F16 => v1::Dtype::F16,
        DType::I8 => v1::Dtype::I8,
        DType::U8 => v1::Dtype::U8,
    }
}

pub(super) fn wire_metric(metric: Metric) -> v1::Metric {
    match metric {
        Metric::L2 => v1::Metric::SquaredL2,
        Metric::InnerProduct => v1::Metric::InnerProduct,
        Metric::Cosine => v1::Metric::Cosine,
    }
}

pub(super) fn wire_tier(tier: Tier) -> v1::Tier {
    match tier {
        Tier::Memory => v1::Tier::Memory,
        Tier::Ssd => v1::Tier::Ssd,
    }
}

/// Where a part is to be kept; none if it is left to the index.
pub(super) fn tier(field: &'static str, code: i32) -> Result<Option<Tier>, Refusal> {
    match v1::Tier::try_from(code) {
        Ok(v1::Tier::Unspecified) => Ok(None),
        Ok(v1::Tier::Memory) => Ok(Some(Tier::Memory)),
        Ok(v1::Tier::Ssd) => Ok(Some(Tier::Ssd)),
        Err(_) => Err(Refusal::field(field, format!("unknown tier {code}, expected 0 to 2"))),
    }
}

pub(super) fn summary(summary: Summary) -> v1::IndexSummary {
    let Summary { name, version, vectors, dim, dtype, metric, quarantined } = summary;
    v1::IndexSummary {
        name,
        version: version.number,
        uuid: version.uuid.to_string(),
        vectors,
        dim: dim as u32,                    // CAST: at most DIM_MAX
        dtype: wire_dtype(dtype) as i32,    // CAST: the enum's code
        metric: wire_metric(metric) as i32, // CAST: the enum's code
        quarantined: quarantined as u32,    // CAST: at most 1000
    }
}
