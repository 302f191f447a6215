//! Between the messages and what they mean.
use std::time::Instant;

use spandrel_engine::{Distances, Duplicates, FetchState, Neighbour, RangeParams, Rerank, SearchParams};
use spandrel_index::format::VectorsOf;
use spandrel_proto::v1;
use spandrel_proto::v1::documents::Tokens;
use spandrel_proto::v1::vectors::Form as VectorsForm;

use super::answered::{estimated, index_versions, limited_by, missing, vectors, work};
use super::attributes::Columns;
use super::filter::filter;
use super::kinds::{dtype_of, wire_dtype, wire_metric};
use crate::ask::{Ask, AskColumn, AskFetch, AskWithin, EndOfRange, Fetched, Form, Numbers, Rows, Target};
use crate::refusal::Refusal;
use crate::served::Summary;
use crate::turns::Turns;

/// One query.
pub(super) fn one(request: v1::SearchRequest) -> Result<Ask, Refusal> {
    let v1::SearchRequest { index, query, k, options, column_queries, indexes, duplicates } = request;
    let options = options.unwrap_or_default();
    ask(Request { index, indexes, duplicates, vectors: query, form: Form::One, k, options, column_queries })
}

/// Many queries.
pub(super) fn many(request: v1::SearchBatchRequest) -> Result<Ask, Refusal> {
    let v1::SearchBatchRequest { index, queries, k, options, column_queries, indexes, duplicates } = request;
    let options = options.unwrap_or_default();
    ask(Request {
        index,
        indexes,
        duplicates,
        vectors: queries,
        form: Form::Batch,
        k,
        options,
        column_queries,
    })
}

/// One query or many, as requests have them.
struct Request {
    index: String,
    indexes: Vec<String>,
    /// The code of what an id means that several indexes have.
    duplicates: i32,
    vectors: Option<v1::Vectors>,
    form: Form,
    k: u32,
    options: v1::SearchOptions,
    column_queries: Option<v1::ColumnQueries>,
}

fn ask(request: Request) -> Result<Ask, Refusal> {
    let Request { index, indexes, duplicates: code, vectors, form, k, options, column_queries } = request;
    let duplicates = duplicates(&index, &indexes, code)?;
    let column = column_queries.map(column_of).transpose()?;
    let compare_by = if column.is_some() { VectorsOf::Column } else { VectorsOf::Main };
    let params = SearchParams { compare_by, ..params(k, &options)? };
    let target = target(form.field(), vectors)?;
    let v1::SearchOptions {
        with_vectors,
        with_attributes,
        with_work,
        explain,
        filter: of_options,
        embedding_version,
        attention_scale,
        ..
    } = options;
    let filter = filter("options.filter", of_options)?;
    let (attributes, with_work) = (with_attributes.map(|of| of.names.into()), with_work || explain);
    Ok(Ask {
        index,
        indexes,
        duplicates,
        target,
        column,
        form,
        params,
        filter,
        embedding_version,
        attributes,
        with_vectors,
        with_work,
        attention_scale,
    })
}

/// What an id means that several indexes have; refused where one index is named beside them.
fn duplicates(index: &str, indexes: &[String], code: i32) -> Result<Duplicates, Refusal> {
    if !index.is_empty() && !indexes.is_empty() {
        return Err(Refusal::field("indexes", "both index and indexes are set, expected one of them"));
    }
    match v1::Duplicates::try_from(code) {
        Ok(v1::Duplicates::Unspecified | v1::Duplicates::Best) => Ok(Duplicates::Best),
        Ok(v1::Duplicates::Keep) => Ok(Duplicates::Keep),
        Err(_) => Err(Refusal::field("duplicates", format!("unknown duplicates {code}, expected 0 to 2"))),
    }
}

/// The queries' vectors in a column.
fn column_of(of: v1::ColumnQueries) -> Result<AskColumn, Refusal> {
    let v1::ColumnQueries { column: name, vectors } = of;
    Ok(AskColumn { name, target: target(Form::ColumnOne.field(), vectors)? })
}

/// Vectors by id.
pub(super) fn by_id(request: v1::FetchRequest) -> AskFetch {
    let v1::FetchRequest { index, ids, with_attributes, column } = request;
    AskFetch { index, ids, column, attributes: with_attributes.map(|of| of.names.into()) }
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
    let v1::SearchRangeRequest {
        index,
        query,
        radius,
        completeness,
        max_results,
        max_bytes,
        embedding_version,
        indexes,
        duplicates: code,
        ..
    } = request;
    let filter = filter("filter", request.filter)?;
    let duplicates = duplicates(&index, &indexes, code)?;
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
    let target = target(Form::One.field(), query)?;
    Ok(AskWithin { index, indexes, duplicates, target, params, filter, embedding_version })
}

/// Some of the vectors within a radius, and the numbers of their indexes where there are several.
pub(super) fn part(found: &[Neighbour], indexes: &[u32]) -> v1::SearchRangeResponse {
    v1::SearchRangeResponse {
        ids: found.iter().map(|n| n.id).collect(),
        distances: found.iter().map(|n| n.distance).collect(),
        estimated: estimated(found.iter()),
        indexes: indexes.to_vec(),
        end: None,
    }
}

/// The end of an answer within a radius.
pub(super) fn end(end: &EndOfRange, with_work: bool) -> v1::SearchRangeResponse {
    let EndOfRange { results, answer, matches, completeness, version, vectors, arrival, .. } = end;
    let end = v1::RangeEnd {
        results: *results,
        missing: (answer.missing.parts() > 0).then(|| missing(answer)),
        limited_by: limited_by(answer) as i32, // CAST: the enum's code
        completeness: *completeness,
        index_version: version.number,
        index_uuid: version.uuid.to_string(),
        work: with_work.then(|| work(answer, *vectors, *arrival)),
        filtered: matches.map(|matches| v1::Filtered { matches, ..Default::default() }),
        versions: index_versions(&end.versions),
        unlike: end.unlike,
    };
    v1::SearchRangeResponse { end: Some(end), ..Default::default() }
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
        Rows { data: std::mem::take(&mut found.rows.data), offsets: found.rows.offsets.take(), ..found.rows };
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
