//! `spandrel query`: the nearest vectors of some queries.
mod explained;
mod explained_documents;
mod explained_parts;
mod output;
mod promised;
mod table;
mod told;

use std::path::{Path, PathBuf};

use clap::Args;
use spandrel_datasets::{Converted, Format, VectorFile};
use spandrel_engine::{
    Distances, DocumentParams, EngineConfig, QueryDocuments, QueryPlan, QueryRows, RangeParams, SearchError,
    SearchParams, UnionAnswer,
};
use spandrel_index::VectorSource as _;
use spandrel_index::attributes::CompileError;
use spandrel_index::documents::DocumentOffsets;

use self::output::Form;
pub(super) use self::output::Output;
use super::column::{ColumnFit, ColumnQueriesArgs};
use super::documents::{self, Asked, Beside, QueryDocumentsArgs, params_of};
use super::embedding::QueryEmbeddingArgs;
use super::file_names::FileNames;
use super::filter::{Compiler, FilterArgs, Searching};
use super::input::InputArgs;
use super::neighbour_attributes::{AttributeReader, NeighbourAttributeArgs};
use super::remote::query::{Part, Query, ask};
use super::remote::within::ask_within;
use super::remote::{HEADING, ServerArgs, parse_rate};
use super::search::{
    Fit, IoArgs, KNOBS, KnobArgs, PlaceArgs, READING, open_engine, open_index, open_queries, read_batch,
    refuse_damage,
};
use super::shape::threads_default;
use super::union::{UnionArgs, note_unlike};
use super::within::{self, CompletenessArgs, RadiusArgs};
use crate::figures::PointParams;
use crate::values::parse_recall;
use crate::{Advised, Session};

/// Find the nearest vectors of each query, or all within a radius.
///
/// Prints a heading, and a line for each neighbour, best first: query, rank, id, distance, and ~ where that is an estimate.
/// Distances are squared L2, 1 - cos, or the inner product itself.
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// Folder of the index; given more than once, several are searched as one.
    #[arg(long, value_name = "DIR", required_unless_present = "server")]
    pub index: Vec<PathBuf>,
    /// Vectors to search for.
    #[arg(long, value_name = "FILE")]
    pub queries: PathBuf,
    /// The queries' vectors in the column.
    #[command(flatten)]
    pub column: ColumnQueriesArgs,
    /// The queries' documents.
    #[command(flatten)]
    pub documents: QueryDocumentsArgs,
    /// Which version of a model the queries come from.
    #[command(flatten)]
    pub embedding: QueryEmbeddingArgs,
    /// Neighbours of each query.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub k: u32,
    /// Recall wanted, on average over queries like those that the index was calibrated with [default: 0.95 where neither
    /// --epsilon nor --max-lists is given].
    #[arg(long, value_name = "R", conflicts_with = "epsilon", help_heading = KNOBS, value_parser = parse_recall::<f64>)]
    pub recall: Option<f64>,
    /// How thoroughly to search.
    #[command(flatten)]
    pub knobs: KnobArgs,
    /// Lists whose head has a smaller inner product with the query are not read, of an index by inner product. Fewer than k vectors are
    /// returned where those that are left hold fewer.
    #[arg(long, value_name = "S", allow_negative_numbers = true, conflicts_with_all = ["radius", "query_documents"], help_heading = KNOBS)]
    pub min_head_score: Option<f32>,
    /// All within a radius.
    #[command(flatten)]
    pub radius: RadiusArgs,
    /// How many of them.
    #[command(flatten)]
    pub completeness: CompletenessArgs,
    /// Which vectors may be answers.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// What is told of them beside.
    #[command(flatten)]
    pub attributes: NeighbourAttributeArgs,
    /// How the file of queries is read.
    #[command(flatten)]
    pub input: InputArgs,
    /// Where codes and vectors are.
    #[command(flatten)]
    pub places: PlaceArgs,
    /// Threads to use [default: one for each processor].
    #[arg(long, value_name = "N", help_heading = READING, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// How lists are read.
    #[command(flatten)]
    pub io: IoArgs,
    /// How several indexes are searched as one.
    #[command(flatten)]
    pub union: UnionArgs,
    /// Write the answers to a file instead: .ibin with ids and distances, or .npy with ids alone (int64). Where fewer
    /// than k were found, the ids that are missing are 4294967295 or -1. With --radius any name: counts, ids and distances in
    /// the layout of big-ann-benchmarks.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Format of that file, ibin or npy, where its name tells none, as that of a pipe.
    #[arg(long, value_name = "FORMAT", requires = "out", conflicts_with = "radius")]
    pub out_format: Option<Format>,
    /// Say how each query was answered: lists considered and where the search stopped, codes, vectors compared with their
    /// estimates, reads, time by stage. Remarks after its neighbours begin with #.
    #[arg(long, conflicts_with_all = ["out", "radius"])]
    pub explain: bool,
    /// Which server.
    #[command(flatten)]
    pub server: ServerArgs,
    /// Most queries a second to ask the server [default: as fast as it answers].
    #[arg(long, value_name = "QPS", requires = "server", conflicts_with = "index", help_heading = HEADING, value_parser = parse_rate)]
    pub rate: Option<f64>,
}

/// Queries searched at a time, so that memory does not grow with their number when lines are printed; and where answers carry
/// attributes.
pub(super) const BATCH: u64 = 10_000;
pub(super) const BATCH_WITH_ATTRIBUTES: u64 = 500;
/// Query documents searched at a time.
const DOCUMENT_BATCH: usize = 500;

/// What takes the answers, once flags that do not go together are refused.
pub(super) fn output<'a>(args: &QueryArgs, session: &'a Session) -> anyhow::Result<Output<'a>> {
    args.documents.refuse(&Beside {
        has_filter_plan: args.filter.filter_plan.is_some(),
        is_estimated: args.places.distances == Distances::Any,
    })?;
    FileNames::default()
        .read("--queries", &*args.queries)
        .read("--query-documents", args.documents.query_documents.as_deref())
        .read("--filters", args.filter.filters.as_deref())
        .written("--out", args.out.as_deref())
        .check()?;
    let form = match (args.radius.radius, &args.out) {
        (Some(_), Some(_)) => Form::Range,
        _ => Form::of(args.out.as_deref(), args.out_format, session.format)?,
    };
    Ok(Output::new(form, args.k as usize, session)) // CAST: widening
}

pub(super) fn run(args: &QueryArgs, session: &Session) -> anyhow::Result<()> {
    let mut output = output(args, session)?;
    let within = args.radius.params(args.completeness.completeness, args.places.distances);
    let index = match &args.index[..] {
        [] => return ask_server(args, within, output),
        [index] => {
            args.union.refuse_alone()?;
            open_index(index, &args.places)?
        }
        _ => unreachable!("several indexes are searched as one elsewhere"),
    };
    args.embedding.check(&index)?;
    let queries = open_queries(Fit::of(&index), &args.input, &args.queries, session)?;
    let config = args.places.with_cache(EngineConfig {
        threads: args.threads.map_or_else(threads_default, usize::from),
        io: args.io.io,
        direct: args.io.direct,
        ..EngineConfig::default()
    });
    let documents = args.documents.open(&index, queries.len())?;
    let count = documents.as_ref().map_or(queries.len(), |offsets| offsets.documents() as u64); // CAST: widening
    let filters = args.filter.bind(index.schema(), count)?;
    let filters = filters.map(|asked| Compiler::new(&index, asked, &session.stop));
    let attributes = match args.attributes.choose(index.schema())? {
        Some(numbers) => {
            let all = index.schema().attributes();
            output
                .name_attributes(numbers.iter().filter_map(|&at| Some(all.get(at)?.name.clone())).collect());
            Some(AttributeReader::open(&index, numbers)?)
        }
        None => None,
    };
    let engine = open_engine(&index, config, session)?;
    let callers = config.threads * config.in_flight;
    let searching = Searching { engine: &engine, filters: filters.as_ref(), callers, session };
    if let Some(documents) = documents {
        return run_documents(args, &queries, &documents, searching, attributes.as_ref(), output);
    }
    if let Some(params) = within {
        return run_within(
            args,
            Searching { callers: config.threads, ..searching },
            &queries,
            &params,
            output,
        );
    }
    let column = args.column.open(ColumnFit::of(&index), &args.input, queries.len(), session)?;
    let params = SearchParams {
        compare_by: args.column.compare_by(),
        distances: args.places.distances,
        explain: args.explain,
        ..point_of(args).search(args.k as usize) // CAST: widening
    };
    QueryPlan::of(&params, &index)?;
    let meter = session.meter();
    meter.phase("searching", "queries");
    let (mut first, batch) = (0, if attributes.is_some() { BATCH_WITH_ATTRIBUTES } else { BATCH });
    while first < queries.len() {
        let count = batch.min(queries.len() - first);
        let rows = read_batch(&queries, first, count)?;
        let column = column.as_ref().map(|column| read_batch(column, first, count)).transpose()?;
        let rows = QueryRows { main: &rows, column: column.as_deref() };
        // CAST: usize is 64 bits here
        let mut answers = searching
            .answers(first as usize, rows, &params)
            .map_err(|error| in_file(error, &args.queries, first))?;
        if let Some(attributes) = &attributes {
            attributes.hand_out(&engine, &mut answers)?;
        }
        output.take(first, &answers)?;
        first += count;
        meter.set(first, queries.len());
    }
    meter.finish();
    let incomplete = output.finish(args.out.as_deref())?;
    refuse_damage(&engine, incomplete)
}

/// How thoroughly to search.
fn point_of(args: &QueryArgs) -> PointParams {
    PointParams { min_head_score: args.min_head_score, ..args.knobs.point(args.recall) }
}

/// As [`run`], for documents.
fn run_documents(
    args: &QueryArgs,
    queries: &Converted<VectorFile>,
    offsets: &DocumentOffsets,
    searching: Searching<'_>,
    attributes: Option<&AttributeReader>,
    mut output: Output<'_>,
) -> anyhow::Result<()> {
    let Searching { engine, filters, session, .. } = searching;
    let params =
        DocumentParams { explain: args.explain, ..params_of(&args.knobs.point(None), args.k as usize) }; // CAST: widening
    let meter = session.meter();
    meter.phase("searching", "query documents");
    let (count, mut first) = (offsets.documents(), 0);
    while first < count {
        let end = count.min(first + DOCUMENT_BATCH);
        let (part, start) = (offsets.part(first..end), offsets.rows_of(first).start.into());
        let rows = read_batch(queries, start, part.rows())?;
        let queries = QueryDocuments { tokens: &rows, offsets: &part };
        let mut answers = documents::search(engine, Asked { queries, first, filters }, &params, session)
            .map_err(|error| in_file(error, &args.queries, start))?;
        if let Some(attributes) = attributes {
            attributes.hand_out(engine, &mut answers)?;
        }
        output.take(first as u64, &answers)?; // CAST: usize is 64 bits here
        first = end;
        meter.set(first as u64, count as u64); // CAST: as above
    }
    meter.finish();
    let incomplete = output.finish(args.out.as_deref())?;
    refuse_damage(engine, incomplete)
}

/// As [`run`], for all within a radius.
fn run_within(
    args: &QueryArgs,
    searching: Searching<'_>,
    queries: &Converted<VectorFile>,
    params: &RangeParams,
    mut output: Output<'_>,
) -> anyhow::Result<()> {
    let Searching { engine, callers, session, .. } = searching;
    let index = engine.index();
    index.metric().check_radius(params.radius)?;
    let meter = session.meter();
    meter.phase("searching", "queries");
    // One query for each thread at a time: a query may have many results.
    let (threads, mut first) = (callers as u64, 0); // CAST: widening
    while first < queries.len() {
        let count = threads.min(queries.len() - first);
        let rows = read_batch(queries, first, count)?;
        // CAST: usize is 64 bits here
        let answers = within::answers(searching, first as usize, &rows.into(), params)
            .map_err(|error| in_file(error, &args.queries, first))?;
        let matches = (first..first + count).map(|query| {
            let filter = searching.filter(query as usize)?; // CAST: as above
            Ok(filter.map(|matches| matches.count()))
        });
        output.take_within(first, &answers, &matches.collect::<Result<Vec<_>, CompileError>>()?)?;
        first += count;
        meter.set(first, queries.len());
    }
    meter.finish();
    let incomplete = output.finish(args.out.as_deref())?;
    refuse_damage(engine, incomplete)
}

/// As [`run`], where a server answers.
fn ask_server(args: &QueryArgs, within: Option<RangeParams>, mut output: Output<'_>) -> anyhow::Result<()> {
    let params = point_of(args);
    let distances = args.places.distances;
    let query = Query {
        queries: &args.queries,
        input: args.input,
        column: &args.column,
        documents: &args.documents,
        embedding: &args.embedding,
        duplicates: args.union.duplicates.unwrap_or_default(),
        k: args.k,
        params,
        distances,
        explain: args.explain,
        filter: &args.filter,
        attributes: &args.attributes,
        rate: args.rate,
    };
    let session = output.session;
    match args.server.index_name.len() {
        0 | 1 => args.union.refuse_alone()?,
        _ => output.name_indexes(args.server.index_name.clone()),
    }
    let mut told = false;
    match within {
        None => {
            ask(&args.server, &query, session, |Part { first, answers, attributes }| {
                output.name_attributes(attributes.to_vec());
                if !told {
                    note_unlike(&answers, session);
                    told = answers.iter().any(|answer| answer.unlike > 0);
                }
                output.take_union(first, &answers)
            })?;
        }
        Some(params) => {
            let each = |number, answer: UnionAnswer, matches| {
                if !told {
                    note_unlike(std::slice::from_ref(&answer), session);
                    told = answer.unlike > 0;
                }
                output.take_union_within(number, &[answer], &[matches])
            };
            ask_within(&args.server, &query, &params, session, each)?;
        }
    }
    let incomplete = output.finish(args.out.as_deref())?;
    if incomplete > 0 {
        let message = format!("{incomplete} answers are not whole: parts of the server's index are damaged");
        return Err(Advised::new(message, "its log and DescribeIndex say which").into());
    }
    Ok(())
}

/// Names the file of a query that was refused, and counts it from the file's beginning.
pub(super) fn in_file(error: anyhow::Error, path: &Path, first: u64) -> anyhow::Error {
    match error.downcast() {
        // CAST: usize is 64 bits here
        Ok(SearchError::Query(bad)) => {
            anyhow::Error::new(bad.after(first as usize)).context(path.display().to_string())
        }
        Ok(other) => other.into(),
        Err(other) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_query_is_counted_from_the_beginning() {
        let found = spandrel_index::Unusable::Zero;
        let refused = SearchError::Query(spandrel_engine::QueryError::Unusable { query: 5, found });
        let error = in_file(refused.into(), Path::new("q.fbin"), 10_000);
        assert_eq!(format!("{error:#}"), "q.fbin: query 10005: a zero vector, which has no cosine");
    }
}
