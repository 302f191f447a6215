//! `spandrel query` of several indexes.
use spandrel_datasets::{Converted, VectorFile};
use spandrel_engine::{EngineConfig, QueryPlan, QueryRows, RangeParams, SearchParams};
use spandrel_index::VectorSource as _;
use spandrel_index::attributes::CompileError;

use super::{Asked, Together, Union, note_unlike, refuse_damages};
use crate::Session;
use crate::commands::column::ColumnFit;
use crate::commands::neighbour_attributes::AttributeReader;
use crate::commands::query::{BATCH, BATCH_WITH_ATTRIBUTES, Output, QueryArgs, in_file, output};
use crate::commands::search::{Fit, open_queries, read_batch};
use crate::commands::shape::threads_default;

/// Searches all indexes of a command line as one.
pub(in crate::commands) fn query(args: &QueryArgs, session: &Session) -> anyhow::Result<()> {
    let mut output = output(args, session)?;
    let with_attributes = args.attributes.with_attributes.is_some();
    let compare_by = args.column.compare_by();
    let asked = Asked { compare_by, attributes: with_attributes || args.filter.is_filtered() };
    let union = Union::open(&args.index, &args.places, args.union, asked)?;
    let Some(first) = union.indexes.first() else { unreachable!("there are two indexes or more") };
    union.indexes.iter().try_for_each(|index| args.embedding.check(index))?;
    union.refuse_documents(args.documents.query_documents.is_some())?;
    Union::refuse_flag(args.min_head_score.is_some(), "--min-head-score")?;
    let queries = open_queries(Fit::of(first), &args.input, &args.queries, session)?;
    let config = args.places.with_cache(EngineConfig {
        threads: args.threads.map_or_else(threads_default, usize::from),
        io: args.io.io,
        direct: args.io.direct,
        ..EngineConfig::default()
    });
    let filters = union.compilers(&args.filter, queries.len(), session)?;
    let numbers = args.attributes.choose(first.schema())?;
    let engines = union.engines(config, session)?;
    // Within a radius one query for each thread at a time: it may have many results.
    let within = args.radius.params(args.completeness.completeness, args.places.distances);
    let callers = if within.is_some() { config.threads } else { config.threads * config.in_flight };
    let mut together = Together::new(&union, &engines, &filters, callers, session);
    output.name_indexes(union.names.clone());
    if let Some(numbers) = numbers {
        let all = first.schema().attributes();
        output.name_attributes(numbers.iter().filter_map(|&at| Some(all.get(at)?.name.clone())).collect());
        for index in &union.indexes {
            together.readers.push(AttributeReader::open(index, numbers.clone())?);
        }
    }
    if let Some(params) = within {
        first.metric().check_radius(params.radius)?;
        let found = query_within(args, &together, &queries, &params, output)?;
        return refuse_damages(&engines, found);
    }
    let column = args.column.open(ColumnFit::of(first), &args.input, queries.len(), session)?;
    let params = SearchParams {
        compare_by,
        distances: args.places.distances,
        explain: args.explain,
        ..args.knobs.point(args.recall).search(args.k as usize) // CAST: widening
    };
    union.indexes.iter().try_for_each(|index| QueryPlan::of(&params, index).map(drop))?;
    let meter = session.meter();
    meter.phase("searching", "queries");
    let (mut next, batch) = (0, if with_attributes { BATCH_WITH_ATTRIBUTES } else { BATCH });
    let mut told = false;
    while next < queries.len() {
        let count = batch.min(queries.len() - next);
        let rows = read_batch(&queries, next, count)?;
        let column = column.as_ref().map(|column| read_batch(column, next, count)).transpose()?;
        let rows = QueryRows { main: &rows, column: column.as_deref() };
        // CAST: usize is 64 bits here
        let answers = together
            .answers(next as usize, rows, &params)
            .map_err(|error| in_file(error, &args.queries, next))?;
        if !told {
            note_unlike(&answers, session);
            told = answers.iter().any(|answer| answer.unlike > 0);
        }
        output.take_union(next, &answers)?;
        next += count;
        meter.set(next, queries.len());
    }
    meter.finish();
    let incomplete = output.finish(args.out.as_deref())?;
    refuse_damages(&engines, incomplete)
}

/// As [`query`], for all within a radius. How many answers are not whole.
fn query_within(
    args: &QueryArgs,
    together: &Together<'_>,
    queries: &Converted<VectorFile>,
    params: &RangeParams,
    mut output: Output<'_>,
) -> anyhow::Result<usize> {
    let (session, callers) =
        together.parts.first().map_or((output.session, 1), |of| (of.session, of.callers));
    let meter = session.meter();
    meter.phase("searching", "queries");
    let (mut first, mut told) = (0, false);
    while first < queries.len() {
        let count = (callers as u64).min(queries.len() - first); // CAST: widening
        let rows = read_batch(queries, first, count)?;
        // CAST: usize is 64 bits here, and below
        let answers = together
            .within(first as usize, &rows.into(), params)
            .map_err(|error| in_file(error, &args.queries, first))?;
        if !told {
            note_unlike(&answers, session);
            told = answers.iter().any(|answer| answer.unlike > 0);
        }
        let matches = (first..first + count).map(|query| together.matches(query as usize));
        output.take_union_within(first, &answers, &matches.collect::<Result<Vec<_>, CompileError>>()?)?;
        first += count;
        meter.set(first, queries.len());
    }
    meter.finish();
    output.finish(args.out.as_deref())
}
