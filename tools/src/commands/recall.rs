//! `spandrel recall`: what share of the true neighbours an index finds, measured.
mod points;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use spandrel_engine::{
    Answer, Engine, EngineConfig, Neighbour, QueryPlan, Sample, SearchError, SearchParams, recall_of,
};
use spandrel_index::attributes::CompileError;
use spandrel_index::{Index, Matches, VectorSource as _};

use self::points::{Measured, Point, text};
use super::callers;
use super::filter::{Compiler, FilterArgs};
use super::input::InputArgs;
use super::search::{
    Fit, IoArgs, KNOBS, KnobArgs, PlaceArgs, READING, damaged, open_engine, open_index, open_queries,
    refuse_damage,
};
use super::shape::threads_default;
use crate::figures::{PointParams, units};
use crate::values::{ByteSize, parse_recall};
use crate::{Advised, Meter, Session, UsageError};

/// Measure the recall of an index against exact search.
///
/// Every query is compared with every vector, or every vector that matches its filter. Without --queries, rows of the index are searched
/// for, each leaving itself out: they are found a little better than other vectors. The interval holds the recall of all such queries with
/// a confidence of 95 %.
#[derive(Debug, Args)]
pub struct RecallArgs {
    /// Folder of the index.
    #[arg(long, value_name = "DIR")]
    pub index: PathBuf,
    /// Vectors to search for [default: rows of the index].
    #[arg(long, value_name = "FILE")]
    pub queries: Option<PathBuf>,
    /// How the file of queries is read.
    #[command(flatten)]
    pub input: InputArgs,
    /// Which vectors may be answers.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Queries at most, spread over all there are.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub sample: u32,
    /// Neighbours asked for; all of an index that holds fewer.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub k: u32,
    /// Recall wanted: a row for each of several.
    #[arg(long, value_name = "R,R", value_delimiter = ',', conflicts_with = "epsilon", help_heading = KNOBS, value_parser = parse_recall::<f64>)]
    pub recall: Vec<f64>,
    /// How thoroughly to search.
    #[command(flatten)]
    pub knobs: KnobArgs,
    /// Where codes and vectors are.
    #[command(flatten)]
    pub places: PlaceArgs,
    /// Threads to use [default: one for each processor].
    #[arg(long, value_name = "N", help_heading = READING, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// How lists are read.
    #[command(flatten)]
    pub io: IoArgs,
    /// Memory to stay within: with less, fewer queries are compared at a time [default: what they take together].
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<ByteSize>,
}

pub(super) fn run(args: &RecallArgs, session: &Session) -> anyhow::Result<()> {
    let index = open_index(&args.index, &args.places)?;
    let (sample, places, of_file) = match &args.queries {
        Some(path) => queries(args, path, &index, session)?,
        None if args.filter.filters.is_some() => {
            return Err(UsageError("--filters needs --queries; --filter is one for all".to_owned()).into());
        }
        None => (Sample::of_index(&index, args.sample.into())?, Vec::new(), 0),
    };
    let filters = args.filter.bind(index.schema(), of_file)?;
    let filters = filters.map(|asked| Compiler::new(&index, asked, &session.stop));
    let k = usize::try_from(sample.neighbours_max(&index).min(args.k.into()))?;
    if k == 0 {
        return Err(Advised::new("the index holds one vector alone", "measure with --queries").into());
    }
    let search = |params: &PointParams| SearchParams {
        distances: args.places.distances,
        filter_plan: filters.as_ref().and_then(Compiler::plan),
        ..params.search(k)
    };
    let mut points = Vec::new();
    for params in params(args) {
        // A plan is for a filter, which each query brings.
        QueryPlan::of(&SearchParams { filter_plan: None, ..search(&params) }, &index)?;
        points.push(Point::new(params));
    }
    let config = args.places.with_cache(EngineConfig {
        threads: args.threads.map_or_else(threads_default, usize::from),
        io: args.io.io,
        direct: args.io.direct,
        ..EngineConfig::default()
    });
    let engine = open_engine(&index, config, session)?;
    let batch = batch(args, &engine, k, filters.as_ref())?;
    let asking = Asking {
        engine: &engine,
        k,
        sample: &sample,
        places: &places,
        filters: filters.as_ref(),
        threads: config.threads,
    };
    let count = sample.rows.len() / index.row_bytes();
    let meter = session.meter();
    for first in (0..count).step_by(batch) {
        let queries = first..(first + batch).min(count);
        meter.phase("comparing with every vector", "bytes");
        let nearest = asking.nearest(queries.clone(), &meter, session)?;
        meter.phase("searching", "queries");
        for part in parts(queries.clone()) {
            anyhow::ensure!(!session.is_stopped(), "stopped");
            let nearest = &nearest[part.start - first..part.end - first];
            for point in &mut points {
                let answers = asking.answers(&search(&point.params), part.clone())?;
                refuse_damage(&engine, answers.iter().filter(|answer| answer.missing.parts() > 0).count())?;
                for (answer, nearest) in answers.iter().zip(nearest) {
                    point.add(answer, recall_of(index.metric(), &answer.neighbours, nearest, k));
                }
            }
            meter.set(part.end as u64, count as u64); // CAST: widening
        }
    }
    meter.finish();
    points.iter_mut().for_each(Point::finish);
    let measured = Measured {
        index: args.index.clone(),
        version: index.manifest().version,
        vectors: index.vectors(),
        queries: args.queries.clone(),
        k,
        points,
    };
    session.show(&text(&measured), &measured)
}

/// Queries, and which vectors may be answers to each.
struct Asking<'a> {
    engine: &'a Engine,
    k: usize,
    sample: &'a Sample,
    /// Numbers of the queries in their file; empty of rows of the index.
    places: &'a [usize],
    filters: Option<&'a Compiler<'a>>,
    /// Queries with filters of their own that are searched at the same time.
    threads: usize,
}

impl Asking<'_> {
    /// What matches the filters of some queries: one of each, one of all, or none.
    fn filters(&self, queries: Range<usize>) -> Result<Vec<Arc<Matches>>, CompileError> {
        match self.filters {
            None => Ok(Vec::new()),
            Some(filters) if filters.is_one() => Ok(vec![filters.matches(0)?]),
            Some(filters) => self.places[queries].iter().map(|&place| filters.matches(place)).collect(),
        }
    }

    /// The `k` nearest of some queries, by comparison with every vector that may be an answer.
    fn nearest(
        &self,
        queries: Range<usize>,
        meter: &Meter,
        session: &Session,
    ) -> anyhow::Result<Vec<Vec<Neighbour>>> {
        let index = self.engine.index();
        let among = self.filters(queries.clone())?;
        let exact = Arc::new(self.sample.exact(index, self.k, queries)?.among(among));
        let (bytes, pieces) = (exact.bytes(), exact.pieces().max(1) as u64); // CAST: widening
        let nearest = self.engine.exact(&exact, &mut |done| {
            meter.set(bytes / pieces * done as u64, bytes); // CAST: widening
            !session.is_stopped()
        })?;
        if nearest.missing_pages > 0 {
            return Err(damaged(self.engine, "nothing is exact without all vectors".to_owned()).into());
        }
        Ok(nearest.neighbours)
    }

    fn answers(&self, params: &SearchParams, queries: Range<usize>) -> anyhow::Result<Vec<Answer>> {
        let filters = self.filters(queries.clone())?;
        if filters.len() <= 1 {
            let params = SearchParams { filter: filters.first().cloned(), ..params.clone() };
            return Ok(self.sample.answers(self.engine, &params, queries)?);
        }
        callers::answers(queries.len(), self.threads, |number| {
            let params = SearchParams { filter: filters.get(number).cloned(), ..params.clone() };
            let query = queries.start + number;
            let answer = self.sample.answers(self.engine, &params, query..query + 1)?.pop();
            Ok(answer.ok_or(SearchError::Closed)?)
        })
    }
}

/// What is to be measured: each recall, or the one setting of the flags.
fn params(args: &RecallArgs) -> Vec<PointParams> {
    let recalls = args.recall.iter().copied().map(|recall| args.knobs.point(Some(recall)));
    if args.recall.is_empty() { vec![args.knobs.point(None)] } else { recalls.collect() }
}

/// Queries searched before it is asked whether to stop.
const PART: usize = 64;

fn parts(queries: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = queries.end;
    queries.step_by(PART).map(move |first| first..(first + PART).min(end))
}

/// The queries of a file, all or some at equal distances, their numbers there, and how many the file has.
fn queries(
    args: &RecallArgs,
    path: &Path,
    index: &Index,
    session: &Session,
) -> anyhow::Result<(Sample, Vec<usize>, u64)> {
    let file = open_queries(Fit::of(index), &args.input, path, session)?;
    let count = file.len().min(args.sample.into());
    let mut rows = vec![0; count as usize * file.row_bytes()]; // CAST: at most the sample
    let mut places = Vec::new();
    for (at, row) in (0..).zip(rows.chunks_exact_mut(file.row_bytes())) {
        let place = (2 * at + 1) * file.len() / (2 * count);
        file.read_rows(place, row)?;
        places.push(usize::try_from(place)?);
    }
    Ok((Sample::of_queries(rows.into()), places, file.len()))
}

/// Bytes of the program, of stacks, and of pages under way.
const FIXED_BYTES: u64 = 48 << 20;

/// Queries that are compared at a time, within the memory allowed.
fn batch(
    args: &RecallArgs,
    engine: &Engine,
    k: usize,
    filters: Option<&Compiler<'_>>,
) -> anyhow::Result<usize> {
    let Some(ByteSize(allowed)) = args.memory else { return Ok(args.sample as usize) }; // CAST: widening
    let index = engine.index();
    let row_bytes = index.row_bytes() as u64; // CAST: widening, here and below
    let fixed = FIXED_BYTES
        + index.memory().total() as u64
        + engine.cache_bytes()
        + u64::from(args.sample) * row_bytes
        + filters.map_or(0, |filters| filters.memory_bytes(args.sample.into()));
    // What is nearest, what was found, and both once more on the way.
    let query_bytes = row_bytes + spandrel_engine::ExactSearch::query_bytes(k) as u64 + 128 * k as u64;
    let queries = allowed.saturating_sub(fixed) / query_bytes;
    if queries == 0 {
        let needed = units::bytes((fixed + query_bytes) as f64); // CAST: shown to three digits
        let message = format!("{needed} of memory are needed, --memory allows {}", ByteSize(allowed));
        let help = "allow more, or keep codes and vectors on SSD with --codes and --vectors";
        return Err(Advised::new(message, help).into());
    }
    Ok(usize::try_from(queries)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_searched_in_parts() {
        assert_eq!(parts(10..10).count(), 0);
        assert_eq!(parts(10..140).collect::<Vec<_>>(), [10..74, 74..138, 138..140]);
    }
}
