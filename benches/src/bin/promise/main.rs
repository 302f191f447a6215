//! Whether a recall that is asked for is found, by queries that calibration never saw.
//!
//! Of each set an index is built and calibrated with its own rows. Then a third of the queries finds curves and when searches end
//! early, as `calibrate --queries` has it, and of the others 200 random halves say what to expect and the other halves measure. A line for each
//! number of neighbours and target: what rows promise and what all queries find; then of the halves the mean of recall less the target, or less the
//! most that a half can promise, its standard error, the share of halves under, least and most.
//!
//! ```text
//! cargo run --release -p spandrel-benches --bin promise -- --data DIR [--sets text50k,kv32+sample,embedding:l2:f32x768]
//! ```
//! `DIR` holds `sift1m`, `text50k` and `kv32`, each with `base.*bin`, `query.*bin` and `truth.ibin`; `NAME+sample` finds curves with the
//! first thousand queries of `sample.*bin` in their place. Generated sets are `sift`, `embedding` and `ood` (queries of another distribution),
//! in the shape that is given or a usual one.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::Parser;
use spandrel_benches::Calibrator;
use spandrel_benches::filters::mean_and_error;
use spandrel_benches::promise::{Losses, Tried};
use spandrel_benches::set::{MEMORY_BYTES, Set, find};
use spandrel_builder::{Caller, Choice, Input, Silent, VectorShape, build_for, recalibrate};
use spandrel_datasets::{Kind, Rows, VectorFile};
use spandrel_engine::{
    Aim, CalibrateLimits, CalibrateParams, Engine, EngineConfig, GivenQueries, Pruning, SearchParams, recalls,
};
use spandrel_index::{DType, Index, Metric, OpenOptions, Tier, VectorSource as _};

/// Sets that are measured where none are named: vectors of 32 to 768 dimensions of each type, under each metric.
const SETS: [&str; 9] = [
    "sift1m",
    "text50k",
    "kv32",
    "kv32+sample",
    "sift",
    "embedding",
    "ood",
    "embedding:l2:f32x768",
    "embedding:ip:i8x768",
];
/// Halves of the queries.
const HALVES: usize = 200;
/// One query in this many finds curves.
const FINDING: usize = 3;
/// Queries of a sample that find curves.
const SAMPLE: usize = 1000;
/// What the name of a set ends with of which a sample finds curves.
const OF_SAMPLE: &str = "+sample";
/// Memory to search in that the default build aims at, in bytes a vector.
const SEARCH_BYTES: f64 = 40.0;

#[derive(Debug, Parser)]
#[command(about = "Measures whether a promised recall is kept")]
struct Args {
    /// Folder of the sets that are files
    #[arg(long)]
    data: Option<PathBuf>,
    /// Sets: folders of --data, with +sample to find curves with its sample of queries; or sift, embedding and ood, which are
    /// generated, also as KIND:METRIC:DTYPExDIM
    #[arg(long, value_delimiter = ',', default_values_t = SETS.map(String::from))]
    sets: Vec<String>,
    /// Vectors of a generated set
    #[arg(long, default_value_t = 50_000)]
    vectors: u64,
    /// Queries at most
    #[arg(long, default_value_t = 4000)]
    queries: usize,
    /// Neighbours asked for
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100])]
    k: Vec<u32>,
    /// Recalls asked for
    #[arg(long, value_delimiter = ',', default_values_t = [0.80, 0.90, 0.95, 0.99])]
    targets: Vec<f64>,
    /// Reach them with this confidence rather than on average
    #[arg(long)]
    confidence: Option<f64>,
    /// Compare with constant numbers of lists where searches end early, at equal targets
    #[arg(long)]
    constant: bool,
    /// Where vectors are searched
    #[arg(long, default_value_t = Tier::Memory)]
    place: Tier,
    /// Threads to use
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn main() -> Result<()> {
    let args = Args::parse();
    println!(
        "{:<26} {:>4} {:>6}  {:>8} {:>8} {:>7}  {:>8} {:>7} {:>6} {:>8} {:>8} {:>7} {:>9}",
        "set",
        "k",
        "target",
        "rows say",
        "found",
        "error",
        "margin",
        "error",
        "under",
        "least",
        "most",
        "reached",
        "codes"
    );
    args.sets.iter().try_for_each(|name| measure(&args, name))
}

fn measure(args: &Args, name: &str) -> Result<()> {
    let set = open(args, name)?;
    let folder = tempfile::tempdir()?;
    let dir = folder.path().join("index");
    build(args, &set, &dir)?;
    let options = OpenOptions { vectors: Some(args.place), ..OpenOptions::default() };
    let index = Arc::new(Index::open_with(&dir, options)?);
    let config = EngineConfig { threads: args.threads, ..EngineConfig::default() };
    let engine = Engine::open(Arc::clone(&index), config)?;
    let (finding, others) = match sample(args, name)? {
        Some(sample) => (set.compared(sample, args.threads)?, set.some(|_| true)?),
        None => (set.some(|number| number % FINDING == 0)?, set.some(|number| number % FINDING != 0)?),
    };
    let given = Some(GivenQueries { rows: finding.rows.bytes(), truth: Some(finding.truth()) });
    let calibrator = Calibrator(CalibrateParams { given, ..CalibrateParams::new(limits(args)) });
    let found =
        recalibrate(&dir, &calibrator, &Silent, &AtomicBool::new(false))?.context("nothing was found")?;
    for &k in &args.k {
        let tried = Tried {
            dir: &dir,
            curves: &found.recall,
            vectors: args.place,
            threads: args.threads,
            stops: true,
        };
        let losses = Losses::measure(tried, &others.rows, others.truth(), k)?;
        let ends_early = found.recall.of(args.place).any(|curve| curve.k == k && curve.stop.is_some());
        let constant = (args.constant && ends_early)
            .then(|| Losses::measure(Tried { stops: false, ..tried }, &others.rows, others.truth(), k))
            .transpose()?;
        for &target in &args.targets {
            let rows = Pruning::of(&index, k as usize, Aim::at(target)).recall.unwrap_or(0.0);
            let params = SearchParams { recall: Some(target), ..SearchParams::new(k as usize) };
            let answers = engine.search(set.queries.bytes(), &params)?;
            let found = recalls(index.metric(), &answers, set.truth(), k as usize)?;
            let (mean, error) = mean_and_error(&found);
            let kept = losses.halves(target, args.confidence, HALVES, 1);
            let constant = constant.as_ref().map(|constant| {
                let best = constant.halves(target, args.confidence, HALVES, 1);
                let more = |found: f64, best: f64| 100.0 * (found / best.max(f64::MIN_POSITIVE) - 1.0);
                let bytes = if best.read > 0.0 {
                    format!(", bytes {:+.1} %", more(kept.read, best.read))
                } else {
                    String::new()
                };
                format!("  against constant lists: codes {:+.1} %{bytes}", more(kept.scanned, best.scanned))
            });
            let constant = constant.unwrap_or_default();
            let cheapest = if kept.cheapest > 0.5 { "  the cheapest point" } else { "" };
            println!(
                "{name:<26} {k:>4} {target:>6}  {rows:>8.4} {mean:>8.4} {error:>7.4}  {:>8.4} {:>7.4} {:>6.2} {:>8.4} {:>8.4} {:>7.2} {:>9.0}{constant}{cheapest}",
                kept.margin, kept.error, kept.under, kept.least, kept.most, kept.reached, kept.scanned
            );
        }
    }
    Ok(())
}

/// A generated set, or one in a folder.
fn open(args: &Args, name: &str) -> Result<Set> {
    let kind = name.split_once(':').map_or(name, |(kind, _)| kind);
    if kind.parse::<Kind>().is_ok() {
        return Set::generated(name, args.vectors, args.queries as u64); // CAST: widening
    }
    let name = name.trim_end_matches(OF_SAMPLE);
    let mut set = Set::open(folder(args, name)?, name, Metric::L2, args.queries)?;
    if set.queries.dtype() == DType::F16 {
        set.metric = Metric::InnerProduct;
    }
    Ok(set)
}

fn folder<'a>(args: &'a Args, name: &str) -> Result<&'a Path> {
    args.data.as_deref().with_context(|| format!("--data is needed for {name}"))
}

/// The queries that find curves, where they are those of a sample.
fn sample(args: &Args, name: &str) -> Result<Option<Rows>> {
    let Some(name) = name.strip_suffix(OF_SAMPLE) else { return Ok(None) };
    let rows = Rows::read(&VectorFile::open(find(&folder(args, name)?.join(name), "sample")?)?)?;
    let first = rows.bytes().chunks_exact(rows.row_bytes()).take(SAMPLE).flatten().copied().collect();
    Ok(Some(Rows::new(rows.dtype(), rows.dim(), first)?))
}

fn limits(args: &Args) -> CalibrateLimits {
    CalibrateLimits { threads: args.threads, memory_bytes: MEMORY_BYTES }
}

/// As the command builds by default.
fn build(args: &Args, set: &Set, dir: &Path) -> Result<()> {
    let shape = VectorShape::of(&set.base, set.metric);
    let choice = Choice::for_memory(shape, SEARCH_BYTES);
    let config = set.config(&choice, dir, args.threads);
    let calibrator = Calibrator(CalibrateParams::new(limits(args)));
    let caller = Caller { progress: &Silent, stop: &AtomicBool::new(false), calibrate: Some(&calibrator) };
    let (start, input) = (Instant::now(), Input::of(&set.base));
    let report = build_for(input, &config, caller)?;
    let calibrating: f64 =
        report.seconds.iter().filter(|(phase, _)| phase == "calibrate").map(|(_, seconds)| seconds).sum();
    println!(
        "# {}: {} built in {:.1} s, {calibrating:.1} of them calibrating",
        set.name,
        config.code,
        start.elapsed().as_secs_f64()
    );
    Ok(())
}
