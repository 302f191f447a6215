//! `spandrel calibrate`: what recall to expect of an index that is there, found again.
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use spandrel_builder::{Recalibrated, recalibrate};
use spandrel_datasets::{Rows, Truth};
use spandrel_engine::{Aim, CalibrateLimits, CalibrateParams, Calibrated, GivenQueries, Promise, Pruning};
use spandrel_index::format::RecallSource;
use spandrel_index::{Index, OpenOptions, Tier, VectorSource as _};

use super::build::MeterProgress;
use super::calibrator::Calibrator;
use super::defaults;
use super::input::InputArgs;
use super::search::{Fit, open_queries};
use super::shape::{memory_default, threads_default};
use crate::figures::{Align, TextTable, units};
use crate::values::{ByteSize, parse_recall};
use crate::{Advised, Session};

/// Find again what recall to expect of an index, without building it anew.
///
/// A new version is published over the same files; those before stay beside it. With --queries the promise is for queries
/// from the same source, rows of the index stand in for them without.
#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// Folder of the index.
    #[arg(long, value_name = "DIR")]
    pub index: PathBuf,
    /// Queries that stand for those to come: at least a thousand, and others than those to measure with [default: rows of the
    /// index].
    #[arg(long, value_name = "FILE")]
    pub queries: Option<PathBuf>,
    /// Their true neighbours, as `spandrel data truth` writes them [default: they are computed].
    #[arg(long, value_name = "FILE", requires = "queries")]
    pub truth: Option<PathBuf>,
    /// How the file of queries is read.
    #[command(flatten)]
    pub input: InputArgs,
    /// Recalls to tell of; queries may ask for any.
    #[arg(long, value_name = "R,...", value_delimiter = ',', default_value = "0.8,0.9,0.95,0.99", value_parser = parse_recall::<f64>)]
    pub recall: Vec<f64>,
    /// Reach recalls with this confidence, between 0 and 1 [default: on average].
    #[arg(long, value_name = "SHARE", value_parser = confidence)]
    pub confidence: Option<f64>,
    /// Memory to stay within, as far as searching allows [default: 8GiB, or half of what the machine or the
    /// control group allows if that is less].
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<ByteSize>,
    /// Threads to use [default: one for each processor].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

fn confidence(text: &str) -> Result<f64, &'static str> {
    parse_recall(text).ok().filter(|share| *share < 1.0).ok_or("expected more than 0 and less than 1")
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report<'a> {
    index: &'a PathBuf,
    version: u64,
    /// The version that was in force before.
    old_version: u64,
    source: RecallSource,
    confidence: Option<f64>,
    points: Vec<Point>,
    warnings: Vec<String>,
}

/// What a recall takes.
#[derive(Debug, Serialize)]
struct Point {
    vectors: Tier,
    k: u32,
    queries: u32,
    recall: f64,
    expected: Option<f64>,
    reached: bool,
    max_lists: u32,
    epsilon: Option<f32>,
    rerank_errors: f32,
}

pub(super) fn run(args: &CalibrateArgs, session: &Session) -> anyhow::Result<()> {
    let queries = args.queries.as_ref().map(|path| queries(args, path, session)).transpose()?;
    let truth = args.truth.as_ref().map(Truth::open).transpose()?;
    if let (Some(truth), Some(queries)) = (&truth, &queries) {
        truth.validate(queries.len(), u64::MAX).context("the truth is not that of the queries")?;
    }
    let given = queries.as_ref().map(|queries| GivenQueries {
        rows: queries.bytes(),
        truth: truth.as_ref().map(|truth| spandrel_engine::Truth {
            ids: &truth.ids,
            distances: truth.distances.as_deref().unwrap_or_default(),
            columns: truth.k,
        }),
    });
    let limits = CalibrateLimits {
        threads: args.threads.map_or_else(threads_default, usize::from),
        memory_bytes: args.memory.map_or_else(memory_default, |size| size.0),
    };
    let calibrator = Calibrator(CalibrateParams { given, confidence: args.confidence, limits });
    let progress = MeterProgress::new(session);
    let found = recalibrate(&args.index, &calibrator, &progress, &session.stop)?;
    progress.finish();
    let Some(found) = found else {
        let message = format!("{}: nothing was found, nothing was published", args.index.display());
        let help = "an index of one vector is not calibrated";
        return Err(Advised::new(message, help).into());
    };
    let report = report(args, &found);
    session.show(&text(&report, &found), &report)
}

/// The queries of the file.
fn queries(args: &CalibrateArgs, path: &std::path::Path, session: &Session) -> anyhow::Result<Rows> {
    let options = OpenOptions { codes: Some(Tier::Ssd), ..OpenOptions::default() };
    let index = Index::open_with(&args.index, options)?;
    Ok(Rows::read(&open_queries(Fit::of(&index), &args.input, path, session)?)?)
}

fn report<'a>(args: &'a CalibrateArgs, found: &Recalibrated) -> Report<'a> {
    let (manifest, recall) = (&found.manifest, &found.recall);
    let points = recall.curves.iter().flat_map(|curve| {
        let calibrated = Calibrated { manifest, recall: Some(recall), vectors: curve.vectors };
        args.recall.iter().map(move |&target| {
            let aim = Aim::at(target);
            let Pruning { epsilon, max_lists, rerank_errors, recall: expected, .. } =
                calibrated.pruning(curve.k as usize, aim); // CAST: widening
            Point {
                vectors: curve.vectors,
                k: curve.k,
                queries: curve.queries,
                recall: target,
                expected,
                reached: Promise { target, expected }.reached(),
                max_lists,
                epsilon,
                rerank_errors,
            }
        })
    });
    Report {
        index: &args.index,
        version: manifest.version,
        old_version: found.before.version,
        source: recall.source,
        confidence: recall.confidence,
        points: points.collect(),
        warnings: defaults::few_queries(recall).into_iter().collect(),
    }
}

fn text(report: &Report<'_>, found: &Recalibrated) -> String {
    let mut table = TextTable::new();
    table.column("vectors", Align::Left);
    for head in ["k", "recall", "expected", "lists", "errors", "epsilon", "queries"] {
        table.column(head, Align::Right);
    }
    for point in &report.points {
        let expected = point.expected.map(|expected| {
            let short = if point.reached { "" } else { " at most" };
            format!("{expected:.4}{short}")
        });
        table.row(vec![
            Some(point.vectors.to_string()),
            Some(units::count(point.k.into())),
            Some(point.recall.to_string()),
            expected,
            Some(units::count(point.max_lists.into())),
            Some(format!("{:.2}", point.rerank_errors)),
            point.epsilon.map(|epsilon| epsilon.to_string()),
            Some(units::count(point.queries.into())),
        ]);
    }
    let warnings: String = report.warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
    let dir = report.index.display();
    let was = if found.before.recall.is_some() { "with its calibration" } else { "without a calibration" };
    format!(
        "{dir}, version {}, calibrated by {}\n{}\n{table}{warnings}version {old}, {was}, stays: \
         `spandrel switch {dir} --version {old}` goes back to it\n",
        report.version,
        defaults::source(&found.recall),
        defaults::ends_early(&found.recall).map(|early| format!("{early}\n")).unwrap_or_default(),
        old = report.old_version
    )
}
