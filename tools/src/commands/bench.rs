//! `spandrel bench`: recall, rate, latency and reads of an index, or the limits of a disk.
mod output;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use spandrel_datasets::{IdFile, RangeTruth, Rows, Truth};
use spandrel_engine::{Distances, EngineConfig, RangeParams};
use spandrel_index::{Index, VectorSource as _};

use self::output::WrittenArgs;
pub(super) use self::output::{hand_out, text};
use super::attention::AttentionArgs;
use super::ceiling;
use super::column::{ColumnFit, ColumnQueriesArgs};
use super::disk;
use super::documents::{self, Beside, DocumentExamples, DocumentSweep, QueryDocumentsArgs};
use super::embedding::QueryEmbeddingArgs;
use super::file_names::FileNames;
use super::filter::{Compiler, FilterArgs};
use super::input::InputArgs;
use super::measure::{self, Examples, Pruning, Sweep, cross};
use super::remote::bench::Remotely;
use super::remote::range_bench::{RangeRemotely, measure_within};
use super::remote::{self, Rpc, ServerArgs};
use super::running::Setup;
use super::search::{Fit, IoArgs, KNOBS, PlaceArgs, READING, open_index, open_queries};
use super::truth_held::{check_documents, check_examples, check_range};
use super::union::UnionArgs;
use super::within::{self, RadiusArgs, RangeExamples, RangeSweep};
use crate::figures::{Point, PointParams};
use crate::values::{parse_epsilon, parse_recall, parse_share};
use crate::{Session, UsageError};

/// Measure an index: recall, queries per second, latency, reads.
///
/// Lists of values give every combination; with neither --epsilon nor --max-lists, the index's own pruning is
/// measured. With --server, measure what clients of a server see; with --disk, what the disk itself can do.
#[derive(Debug, Args)]
#[command(override_usage = "\
    spandrel bench [OPTIONS] --index <DIR> --queries <FILE> --truth <FILE>
       spandrel bench [OPTIONS] --server <HOST:PORT> --queries <FILE> --truth <FILE>
       spandrel bench [OPTIONS] --disk <DIR>")]
pub struct BenchArgs {
    /// Folder of the index; given more than once, several are searched as one.
    #[arg(long, value_name = "DIR", required_unless_present_any = ["disk", "server"])]
    pub index: Vec<PathBuf>,
    /// Vectors to search for.
    #[arg(long, value_name = "FILE", required_unless_present = "disk")]
    pub queries: Option<PathBuf>,
    /// The queries' vectors in the column; the truth is that of the column's vectors.
    #[command(flatten)]
    pub column: ColumnQueriesArgs,
    /// The queries' documents; the truth is one of `data truth --documents`.
    #[command(flatten)]
    pub documents: QueryDocumentsArgs,
    /// Which version of a model the queries come from.
    #[command(flatten)]
    pub embedding: QueryEmbeddingArgs,
    /// Their true neighbours, as `spandrel data truth` writes them: by the ids of the index; of several indexes by the ids of the
    /// whole, which each part was built with.
    #[arg(long, value_name = "FILE", required_unless_present = "disk")]
    pub truth: Option<PathBuf>,
    /// The ids that the index was built with, where the truth names row numbers.
    #[arg(long, value_name = "FILE", requires = "truth")]
    pub ids: Option<PathBuf>,
    /// How the file of queries is read.
    #[command(flatten)]
    pub input: InputArgs,
    /// Neighbours asked for; all of an index that holds fewer.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub k: u32,
    /// Worker threads.
    #[arg(long, value_name = "N", default_value_t = 2, help_heading = READING, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: u16,
    /// Queries that each thread works on at the same time.
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "4",
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub in_flight: Vec<u16>,
    /// Recall wanted: what the index's calibration takes for it is measured [default: 0.95 where neither --epsilon nor
    /// --max-lists is given].
    #[arg(long, value_name = "R,R", value_delimiter = ',', conflicts_with = "epsilon", help_heading = KNOBS, value_parser = parse_recall::<f64>)]
    pub recall: Vec<f64>,
    /// A list is read if its head is at most 1 + epsilon times as far as the nearest one [default: the index's own].
    #[arg(long, value_name = "E,E", value_delimiter = ',', help_heading = KNOBS, value_parser = parse_epsilon)]
    pub epsilon: Vec<f32>,
    /// Most lists read [default: the index's own].
    #[arg(long, value_name = "N,N", value_delimiter = ',', help_heading = KNOBS, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_lists: Vec<u32>,
    /// Lists whose head has a smaller inner product with the query are not read, of an index by inner product [default: no such bound].
    #[arg(long, value_name = "S,S", value_delimiter = ',', allow_negative_numbers = true, conflicts_with_all = ["radius", "query_documents"],
          help_heading = KNOBS)]
    pub min_head_score: Vec<f32>,
    /// Vectors compared exactly after their codes were scanned, those most likely to be among the nearest [default: by the
    /// errors of their estimates].
    #[arg(long, value_name = "N,N", value_delimiter = ',', help_heading = KNOBS, value_parser = clap::value_parser!(u32).range(1..))]
    pub rerank: Vec<u32>,
    /// Compare exactly each vector whose estimate, less half of this number of its standard errors, may be among the k best
    /// [default: the index's own].
    #[arg(long, value_name = "E,E", value_delimiter = ',', conflicts_with = "rerank", help_heading = KNOBS, value_parser = parse_epsilon)]
    pub rerank_errors: Vec<f32>,
    /// All within a radius; the truth is one of `data truth --radius`.
    #[command(flatten)]
    pub radius: RadiusArgs,
    /// Shares of the vectors within the radius that are wanted.
    #[arg(long, value_name = "SHARE,SHARE", value_delimiter = ',', requires = "radius", default_value = "1",
          help_heading = KNOBS, value_parser = parse_share)]
    pub completeness: Vec<f32>,
    /// Which vectors may be answers; the truth is one of `data truth --filters`.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// How much of the attention mass answers hold.
    #[command(flatten)]
    pub attention: AttentionArgs,
    /// Where codes and vectors are.
    #[command(flatten)]
    pub places: PlaceArgs,
    /// How lists are read.
    #[command(flatten)]
    pub io: IoArgs,
    /// How several indexes are searched as one.
    #[command(flatten)]
    pub union: UnionArgs,
    /// Shortest time to measure each point for, in seconds; all queries are searched at least once.
    #[arg(long, value_name = "S", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=3600))]
    pub seconds: u32,
    /// Take the time of queries stage by stage, which costs a little, and show where it goes.
    #[arg(long, conflicts_with = "radius")]
    pub stages: bool,
    /// What to call the run in reports [default: the name of the index's folder].
    #[arg(long, value_name = "NAME")]
    pub label: Option<String>,
    /// Which files are written.
    #[command(flatten)]
    pub written: WrittenArgs,
    /// Measure the disk of this folder instead, with a test file that is removed afterwards.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["index", "queries", "truth", "json", "html"])]
    pub disk: Option<PathBuf>,
    /// Which server.
    #[command(flatten)]
    pub server: ServerArgs,
    /// Send unary calls at this rate (open loop) rather than the next as one ends; latencies count from the
    /// moment a call was due.
    #[arg(long, value_name = "QPS", requires = "server", conflicts_with = "index", help_heading = remote::HEADING, value_parser = remote::parse_rate)]
    pub rate: Option<f64>,
}

/// Refuses flags that do not go together.
pub(super) fn refuse(args: &BenchArgs) -> anyhow::Result<()> {
    args.documents.refuse(&Beside {
        has_filter_plan: args.filter.filter_plan.is_some(),
        is_estimated: args.places.distances == Distances::Any,
    })?;
    FileNames::default()
        .read("--queries", args.queries.as_deref())
        .read("--query-documents", args.documents.query_documents.as_deref())
        .read("--truth", args.truth.as_deref())
        .read("--ids", args.ids.as_deref())
        .read("--filters", args.filter.filters.as_deref())
        .written("--json", args.written.json.as_deref())
        .written("--html", args.written.html.as_deref())
        .check()?;
    Ok(args.attention.refuse(args.places.distances)?)
}

pub(super) fn run(args: &BenchArgs, session: &Session) -> anyhow::Result<()> {
    refuse(args)?;
    if let (Some(_), Some(queries), Some(truth)) = (&args.server.server, &args.queries, &args.truth) {
        args.union.refuse_alone()?;
        if args.radius.radius.is_some() && args.filter.is_filtered() {
            return Err(UsageError("a filter within a radius needs --index".to_owned()).into());
        }
        let points = match args.radius.radius {
            Some(_) => within_remotely(args, queries, truth, session)?,
            None => remotely(args, queries, truth, session)?,
        };
        let label = points.first().and_then(|point| point.label.clone()).unwrap_or_default();
        return hand_out(&args.written, &label, &points, "", session);
    }
    let ([index], Some(queries), Some(truth)) = (&args.index[..], &args.queries, &args.truth) else {
        let Some(dir) = &args.disk else { unreachable!("the parser asks for an index or a disk") };
        return disk::run(dir, &args.io, session);
    };
    args.union.refuse_alone()?;
    let of_truth = || truth.display().to_string();
    let index = open_index(index, &args.places)?;
    args.embedding.check(&index)?;
    let queries = Rows::read(&open_queries(Fit::of(&index), &args.input, queries, session)?)?;
    let documents = args.documents.open(&index, queries.len())?;
    let count = documents.as_ref().map_or(queries.len(), |offsets| offsets.documents() as u64); // CAST: widening
    let filters = args.filter.bind(index.schema(), count)?;
    let filters = filters.map(|asked| Compiler::new(&index, asked, &session.stop));
    if let Some(offsets) = documents {
        let truth = read_truth(truth, args.ids.as_deref())?;
        let sweep = DocumentSweep {
            setup: setup(args, &index),
            k: args.k as usize,
            params: params_of(args),
            stages: args.stages,
        };
        let examples = DocumentExamples {
            tokens: &queries,
            offsets: &offsets,
            truth: &truth,
            filters: filters.as_ref(),
        };
        check_documents(&index, &truth, &sweep.setup).with_context(of_truth)?;
        let points = documents::measure(&index, examples, &sweep, session)?;
        return hand_out(&args.written, &sweep.setup.label, &points, "", session);
    }
    if args.radius.radius.is_some() {
        let (truth, filters) = (read_range_truth(args, truth)?, filters.as_ref());
        truth.validate(queries.len()).with_context(of_truth)?;
        check_range(std::slice::from_ref(&index), &truth, &setup(args, &index)).with_context(of_truth)?;
        return within(args, &index, RangeExamples { queries: &queries, truth: &truth, filters }, session);
    }
    let truth = read_truth(truth, args.ids.as_deref())?;
    let sweep = Sweep {
        setup: setup(args, &index),
        k: usize::try_from(index.vectors().min(args.k.into()))?,
        params: params_of(args),
        distances: args.places.distances,
        stages: args.stages,
    };
    let column = args.column.open(ColumnFit::of(&index), &args.input, queries.len(), session)?;
    let column = column.map(|file| Rows::read(&file)).transpose()?;
    let filters = filters.as_ref();
    let attention = args.attention.open(&index, &queries, &args.input, args.threads.into(), session)?;
    let attention = attention.as_ref();
    let examples = Examples { queries: &queries, column: column.as_ref(), truth: &truth, filters, attention };
    check_examples(std::slice::from_ref(&index), examples, sweep.k, &sweep.setup).with_context(of_truth)?;
    let points = measure::measure(&index, examples, &sweep, session)?;
    let ceiling = ceiling::words(&index, examples, &sweep, &points, session)?.unwrap_or_default();
    hand_out(&args.written, &sweep.setup.label, &points, &ceiling, session)
}

pub(super) fn setup(args: &BenchArgs, index: &Index) -> Setup {
    let folder = || index.dir().file_name().unwrap_or(index.dir().as_os_str()).to_string_lossy().into_owned();
    Setup {
        label: args.label.clone().unwrap_or_else(folder),
        engine: args.places.with_cache(EngineConfig {
            threads: args.threads.into(),
            io: args.io.io,
            direct: args.io.direct,
            ..EngineConfig::default()
        }),
        in_flight: args.in_flight.iter().map(|&n| n.into()).collect(),
        seconds: args.seconds.into(),
    }
}

/// As [`run`], for all within a radius.
fn within(
    args: &BenchArgs,
    index: &Arc<Index>,
    examples: RangeExamples<'_>,
    session: &Session,
) -> anyhow::Result<()> {
    let sweep = RangeSweep { setup: setup(args, index), params: range_params(args) };
    let points = within::measure(index, examples, &sweep, session)?;
    hand_out(&args.written, &sweep.setup.label, &points, "", session)
}

/// As [`remotely`], for all within a radius.
fn within_remotely(
    args: &BenchArgs,
    queries: &Path,
    truth: &Path,
    session: &Session,
) -> anyhow::Result<Vec<Point>> {
    let what = RangeRemotely {
        server: &args.server,
        label: args.label.clone(),
        queries,
        embedding: &args.embedding,
        input: args.input,
        truth: &read_range_truth(args, truth)?,
        in_flight: args.in_flight.iter().map(|&n| n.into()).collect(),
        params: range_params(args),
        seconds: args.seconds.into(),
    };
    measure_within(&what, session)
}

pub(super) fn range_params(args: &BenchArgs) -> Vec<RangeParams> {
    let of = |&completeness: &f32| args.radius.params(completeness, args.places.distances);
    args.completeness.iter().filter_map(of).collect()
}

pub(super) fn read_range_truth(args: &BenchArgs, path: &Path) -> anyhow::Result<RangeTruth> {
    let mut truth = RangeTruth::open(path)?;
    if let Some(ids) = &args.ids {
        truth.name_rows(&IdFile::open(ids)?.read_all()?).with_context(|| path.display().to_string())?;
    }
    Ok(truth)
}

/// A truth, with the ids of its rows if they are given.
pub(super) fn read_truth(path: &Path, ids: Option<&Path>) -> anyhow::Result<Truth> {
    let mut truth = Truth::open(path)?;
    if let Some(ids) = ids {
        truth.name_rows(&IdFile::open(ids)?.read_all()?).with_context(|| path.display().to_string())?;
    }
    Ok(truth)
}

/// Settings of the points.
pub(super) fn params_of(args: &BenchArgs) -> Vec<PointParams> {
    cross(&Pruning {
        recall: args.recall.clone(),
        epsilon: args.epsilon.clone(),
        max_lists: args.max_lists.clone(),
        min_head_score: args.min_head_score.clone(),
        rerank: args.rerank.clone(),
        rerank_errors: args.rerank_errors.clone(),
    })
}

fn remotely(args: &BenchArgs, queries: &Path, truth: &Path, session: &Session) -> anyhow::Result<Vec<Point>> {
    if args.rate.is_some() && args.server.rpc != Rpc::Unary {
        return Err(UsageError("--rate needs --rpc unary".to_owned()).into());
    }
    let what = Remotely {
        server: &args.server,
        label: args.label.clone(),
        queries,
        column: &args.column,
        documents: &args.documents,
        embedding: &args.embedding,
        input: args.input,
        truth: &read_truth(truth, args.ids.as_deref())?,
        truth_file: truth,
        k: args.k,
        in_flight: args.in_flight.iter().map(|&n| n.into()).collect(),
        params: params_of(args),
        distances: args.places.distances,
        filter: &args.filter,
        seconds: args.seconds.into(),
        rate: args.rate,
    };
    remote::bench::measure(&what, session)
}
