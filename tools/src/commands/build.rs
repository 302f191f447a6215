//! `spandrel build`: from a file of vectors to an index.
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};
use spandrel_builder::{
    BuildConfig, BuildReport, Calibrate, Caller, Input, Params, Plan, Progress, VectorShape, build_for,
};
use spandrel_datasets::{Array, BaseRows, IdFile};
use spandrel_index::codes::Codebooks;
use spandrel_index::{Index, Metric, OpenOptions, Tier, VectorSource};

use super::attributes::AttributeArgs;
use super::binariser::BinariserArgs;
use super::calibrator::Calibrator;
use super::column::ColumnArgs;
use super::defaults;
use super::documents::DocumentsArgs;
use super::embedding::EmbeddingArgs;
use super::ids::Ids;
use super::input::InputArgs;
use super::inspect::empty;
use super::query_sample::{self, QuerySampleArgs};
use super::shape::{ShapeArgs, plan_json, plan_text, search_memory_warning};
use crate::figures::{process_memory, units};
use crate::{Meter, Session};

/// Build an index from a file of vectors.
///
/// The plan is printed first; what memory or disk cannot hold is refused before any work. Interrupted by Ctrl-C or a
/// crash, the same command with --resume goes on and gives the same bytes.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// Vectors to index.
    #[arg(long, value_name = "FILE")]
    pub base: PathBuf,
    /// How vectors are compared: l2, ip or cosine.
    #[arg(long, value_name = "l2|ip|cosine")]
    pub metric: Metric,
    /// Folder of the index; made if it is missing.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// How the file of vectors is read.
    #[command(flatten)]
    pub input: InputArgs,
    /// What the index looks like.
    #[command(flatten)]
    pub shape: ShapeArgs,
    /// The vectors' own numbers, or the documents': ibin or npy with one whole number of 0 or more in each row [default: row numbers].
    #[arg(long, value_name = "FILE")]
    pub ids: Option<PathBuf>,
    /// What is known of the vectors.
    #[command(flatten)]
    pub attributes: AttributeArgs,
    /// By which vectors candidates are compared.
    #[command(flatten)]
    pub column: ColumnArgs,
    /// Which vectors are one document.
    #[command(flatten)]
    pub documents: DocumentsArgs,
    /// What queries will be like.
    #[command(flatten)]
    pub query_sample: QuerySampleArgs,
    /// Codebooks to take for --code pq:MxN instead of training them: npy (<f4) of M x 2^N x D/M values, D the dimension
    /// rounded up to a multiple of M, centroids of residuals (vector less head of its list, in the metric's space).
    #[arg(long, value_name = "FILE", requires = "code")]
    pub codebooks: Option<PathBuf>,
    /// Rotation that goes with --codebooks for --code pq:MxN+opq: npy (<f4) of D x dimension values with orthonormal
    /// columns, by which residuals are multiplied before they are coded.
    #[arg(long, value_name = "FILE", requires = "codebooks")]
    pub rotation: Option<PathBuf>,
    /// Matrices of a code that were learned elsewhere.
    #[command(flatten)]
    pub binariser: BinariserArgs,
    /// Which version of a model the vectors come from.
    #[command(flatten)]
    pub embedding: EmbeddingArgs,
    /// Folder for scratch files [default: inside the index's folder].
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
    /// Go on with an interrupted build.
    #[arg(long)]
    pub resume: bool,
    /// Publish a new version over an index that is there, or begin an interrupted build anew.
    #[arg(long)]
    pub replace: bool,
    /// Older versions that stay beside the new one, so that there is a way back; `spandrel inspect` lists them.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "replace")]
    pub keep_previous: u32,
    /// Keep constants for queries rather than finding what recall to expect of this index.
    #[arg(long)]
    pub no_calibrate: bool,
    /// Print the plan and build nothing.
    #[arg(long)]
    pub dry_run: bool,
}

pub(super) fn run(args: &BuildArgs, session: &Session) -> anyhow::Result<()> {
    let base = args.input.open(&args.base)?;
    let ids = args.ids.as_deref().map(IdFile::open).transpose()?.map(Ids);
    let documents = args.documents.open(base.len())?;
    let items = documents.as_ref().map_or(base.len(), |offsets| offsets.documents() as u64); // CAST: widening
    let base_rows = BaseRows { rows: items, ids: ids.as_ref().map(|ids| &ids.0) };
    let source = args.attributes.file.open(base_rows, session)?;
    let column = args.column.open(&args.input)?;
    let query_sample = args.query_sample.open(base.dtype(), &args.input, session)?;
    let binariser = args.binariser.open()?;
    let input = Input {
        vectors: &base,
        binariser: binariser.as_ref().map(|file| file as _),
        query_sample: query_sample.as_ref().map(|sample| sample as _),
        ids: ids.as_ref().map(|ids| ids as _),
        attributes: args.attributes.of(source.as_deref().map(|source| source as _)),
        column: column.as_ref().map(|column| column.input(&column.file)),
        documents: documents.as_ref(),
        document_encoding: args.documents.document_encoding,
    };
    let shape = VectorShape::of_input(input, args.metric);
    let config = BuildConfig {
        codebooks: codebooks(args)?.map(Arc::new),
        scratch: args.scratch.clone(),
        resume: args.resume,
        replace: args.replace,
        keep_previous: args.keep_previous,
        plain_codes: args.query_sample.plain_codes,
        embedding: args.embedding.entry(),
        ..args.shape.of_documents(args.documents.document_encoding).config(shape, args.out.clone())
    };
    let plan = Plan::new(&Params::check(&config, input)?);
    let text = plan_text(&plan);
    if args.dry_run {
        session.show(&text, &plan_json(&plan))?;
        return Ok(plan.check_memory()?);
    }
    session.note(text.trim_end());
    plan.check_memory()?;
    if let Some(asked) = args.shape.search_memory
        && let Some(warning) = search_memory_warning(asked, shape, &plan)
    {
        session.note(&format!("warning: {warning}"));
    }
    let report = build_watched(input, &config, !args.no_calibrate, session)?;
    if source.is_some() {
        let options = OpenOptions { codes: Some(Tier::Ssd), ..OpenOptions::default() };
        let index = Index::open_with(&config.out, options)?;
        empty(&index).for_each(|remark| session.note(&format!("warning: {remark}")));
    }
    session.show(&report_text(&report, &config), &report_json(&report, &config))
}

/// Codebooks that were given, with their rotation.
fn codebooks(args: &BuildArgs) -> anyhow::Result<Option<Codebooks>> {
    let Some(path) = &args.codebooks else { return Ok(None) };
    let Array { shape, values } = Array::read(path)?;
    let shape: [usize; 3] = dimensions(path, &shape)?;
    let rotation = match &args.rotation {
        Some(path) => {
            let Array { shape, values } = Array::read(path)?;
            Some((dimensions(path, &shape)?, values))
        }
        None => None,
    };
    Ok(Some(Codebooks::new(shape, values, rotation).with_context(|| path.display().to_string())?))
}

fn dimensions<const N: usize>(path: &Path, shape: &[usize]) -> anyhow::Result<[usize; N]> {
    shape
        .try_into()
        .with_context(|| format!("{}: an array of {} dimensions, expected {N}", path.display(), shape.len()))
}

/// Builds under a meter, and calibrates the index if so wished.
pub(super) fn build_watched(
    input: Input<'_>,
    config: &BuildConfig,
    calibrate: bool,
    session: &Session,
) -> anyhow::Result<BuildReport> {
    let progress = MeterProgress::new(session);
    let sample = input.query_sample.filter(|_| calibrate);
    let calibrating = sample.map(|sample| query_sample::calibrating(sample, session)).transpose()?;
    let calibrator = Calibrator::of(config, calibrating.as_deref());
    let caller = Caller {
        progress: &progress,
        stop: &session.stop,
        calibrate: calibrate.then_some(&calibrator as &dyn Calibrate),
    };
    let report = build_for(input, config, caller)?;
    progress.finish();
    Ok(report)
}

/// Tells a meter how far a build is.
pub(super) struct MeterProgress {
    meter: Meter,
    done: AtomicU64,
    total: AtomicU64,
}

impl MeterProgress {
    pub(super) fn new(session: &Session) -> MeterProgress {
        MeterProgress { meter: session.meter(), done: AtomicU64::new(0), total: AtomicU64::new(0) }
    }

    pub(super) fn finish(&self) {
        self.meter.finish();
    }
}

impl Progress for MeterProgress {
    fn phase(&self, name: &str, total: u64, unit: &str) {
        self.meter.phase(name, unit);
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        self.meter.set(0, total);
    }

    fn advance(&self, units: u64) {
        let done = self.done.fetch_add(units, Ordering::Relaxed) + units;
        self.meter.set(done, self.total.load(Ordering::Relaxed));
    }

    fn note(&self, message: &str) {
        self.meter.note(message);
    }
}

/// What a build came to, for programs.
pub(super) fn report_json(report: &BuildReport, config: &BuildConfig) -> Value {
    let manifest = &report.manifest;
    let memory = process_memory().map(|memory| memory.rss_peak_bytes);
    let seconds: serde_json::Map<String, Value> =
        report.seconds.iter().map(|(phase, seconds)| (phase.clone(), (*seconds).into())).collect();
    json!({
        "index": config.out,
        "version": manifest.version,
        "uuid": manifest.uuid,
        "vectors": manifest.vectors(),
        "dim": manifest.dim,
        "dtype": manifest.dtype.to_string(),
        "metric": manifest.metric.to_string(),
        "lists": manifest.lists(),
        "copies": report.lists.as_ref().map(|lists| lists.copies),
        "outliers": report.lists.as_ref().map(|lists| lists.outliers.count),
        "index_bytes": manifest.index_bytes(),
        "seconds": seconds,
        "build_seconds": report.seconds.iter().map(|(_, seconds)| seconds).sum::<f64>(),
        "memory_peak": memory,
        "memory_allowed": config.memory_bytes,
        "warnings": defaults::warnings(manifest, report.recall.as_ref()).collect::<Vec<_>>(),
    })
}

/// What a build came to, line by line.
pub(super) fn report_text(report: &BuildReport, config: &BuildConfig) -> String {
    let manifest = &report.manifest;
    let sum =
        |field: fn(&spandrel_index::format::SegmentEntry) -> u64| manifest.segments.iter().map(field).sum();
    let (vectors, lists): (u64, u64) = (sum(|s| s.vectors), sum(|s| s.lists));
    let mut text = String::new();
    // Writing to a string does not fail, here and below. CAST: shown to three digits, here and below
    let _ = writeln!(text, "index     {} version {}", config.out.display(), manifest.version);
    let _ = writeln!(
        text,
        "vectors   {} of {} x {}, {}",
        units::count(vectors),
        manifest.dim,
        manifest.dtype,
        manifest.metric
    );
    let _ = writeln!(text, "lists     {}", units::count(lists));
    let _ = writeln!(text, "queries   {}", defaults::at_ten_text(manifest, report.recall.as_ref()));
    if let Some(stats) = &report.lists {
        let _ = writeln!(
            text,
            "entries   {} in all, {:.2} copies of a vector, {} in the mean list, {} in the longest",
            units::count(stats.copies),
            stats.copies as f64 / vectors.max(1) as f64,
            units::three_digits(stats.mean),
            units::count(stats.longest)
        );
        if stats.outliers.count > 0 {
            let _ = writeln!(text, "outliers  {}", stats.outliers);
        }
    }
    let _ = writeln!(text, "on disk   {}", units::bytes(manifest.index_bytes() as f64));
    if !report.seconds.is_empty() {
        let total: f64 = report.seconds.iter().map(|(_, seconds)| seconds).sum();
        let phases: Vec<String> =
            report.seconds.iter().map(|(name, seconds)| format!("{name} {seconds:.1}")).collect();
        let _ = writeln!(text, "time      {total:.1} s ({})", phases.join(", "));
    }
    if let Some(memory) = process_memory() {
        let allowed = units::bytes(config.memory_bytes as f64);
        let peak = units::bytes(memory.rss_peak_bytes as f64);
        let _ = writeln!(text, "memory    {peak} at its peak, {allowed} allowed");
    }
    for warning in defaults::warnings(manifest, report.recall.as_ref()) {
        let _ = writeln!(text, "warning   {warning}");
    }
    text
}
