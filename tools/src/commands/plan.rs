//! `spandrel plan`: what a build would take.
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};
use spandrel_builder::{BuildConfig, Choice, Input, Params, Plan, VectorShape};
use spandrel_datasets::BaseRows;
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::{IdBytes, PageLayout};
use spandrel_index::{DType, Metric, SourceError, VectorSource};

use super::attributes::AttributeArgs;
use super::binariser::BinariserArgs;
use super::column::ColumnArgs;
use super::documents::DocumentsArgs;
use super::input::InputArgs;
use super::query_sample::QuerySampleArgs;
use super::shape::{ShapeArgs, plan_json, plan_text};
use crate::figures::{Align, TextTable, units};
use crate::values::SearchMemory;
use crate::{Advised, Session};

/// Say what a build would take: memory, disk, and what searching keeps in memory.
#[derive(Debug, Args)]
#[command(override_usage = "\
    spandrel plan [OPTIONS] --base <FILE>
       spandrel plan [OPTIONS] --vectors <N> --dim <D> --dtype <T>")]
pub struct PlanArgs {
    /// Vectors to be indexed, of which number, dimension and type are taken.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["vectors", "dim"])]
    pub base: Option<PathBuf>,
    /// Vectors to be indexed, where there is no file of them yet.
    #[arg(long, value_name = "N", required_unless_present = "base", requires_all = ["dim", "dtype"], value_parser = clap::value_parser!(u64).range(1..))]
    pub vectors: Option<u64>,
    /// Elements of a vector; --dtype is their type.
    #[arg(long, value_name = "D", required_unless_present = "base")]
    pub dim: Option<usize>,
    /// How the file of vectors is read; without one --dtype is the type of the vectors.
    #[command(flatten)]
    pub input: InputArgs,
    /// How vectors are compared: l2, ip or cosine.
    #[arg(long, value_name = "l2|ip|cosine", default_value_t = Metric::L2)]
    pub metric: Metric,
    /// What is known of the vectors, of a single index of those in --base with row numbers as ids.
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
    /// Matrices of a code that were learned elsewhere.
    #[command(flatten)]
    pub binariser: BinariserArgs,
    /// What the index looks like.
    #[command(flatten)]
    pub shape: ShapeArgs,
}

/// Vectors of which only the number is known.
#[derive(Debug)]
struct Imagined {
    vectors: u64,
    dim: usize,
    dtype: DType,
}

impl VectorSource for Imagined {
    fn len(&self) -> u64 {
        self.vectors
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn dtype(&self) -> DType {
        self.dtype
    }

    fn read_rows(&self, first: u64, out: &mut [u8]) -> Result<(), SourceError> {
        let rows = (out.len() / self.row_bytes().max(1)) as u64; // CAST: usize is 64 bits here
        Err(SourceError::Range { name: self.name(), first, end: first.saturating_add(rows), len: 0 })
    }

    fn name(&self) -> String {
        "planned vectors".to_owned()
    }
}

/// Most vectors of one index.
const INDEX_VECTORS_MAX: u64 = u32::MAX as u64; // CAST: widening

pub(super) fn run(args: &PlanArgs, session: &Session) -> anyhow::Result<()> {
    let given = args.vectors_to_index()?;
    let parts = given.vectors.div_ceil(INDEX_VECTORS_MAX).max(1);
    let source = Imagined { vectors: given.vectors.div_ceil(parts), dim: given.dim, dtype: given.dtype };
    let documents = args.documents.open(given.vectors)?;
    let document_encoding = args.documents.document_encoding;
    let input = Input { documents: documents.as_ref(), document_encoding, ..Input::of(&source) };
    let part = VectorShape::of_input(input, args.metric);
    // Documents are in one index.
    let whole = if document_encoding.is_some() { part } else { given };
    // All of them are searched together.
    let allowed = match args.shape.search_memory {
        // Encodings have a usual code, not a usual memory.
        None if document_encoding.is_some() => f64::INFINITY,
        _ => args.shape.search_memory().per_vector(whole.vectors),
    };
    let asked = match args.shape.of_documents(document_encoding) {
        asked @ ShapeArgs { code: Some(_), .. } => asked,
        asked => ShapeArgs { search_memory: Some(SearchMemory::PerVector(allowed)), ..asked },
    };
    let config =
        BuildConfig { plain_codes: args.query_sample.plain_codes, ..asked.config(part, PathBuf::new()) };
    let items = documents.as_ref().map_or(given.vectors, |offsets| offsets.documents() as u64); // CAST: widening
    let attributes = args.attributes.file.open(BaseRows { rows: items, ids: None }, session)?;
    let column = args.column.open(&args.input)?;
    if let Some(column) = column.as_ref().filter(|column| column.file.len() != whole.vectors) {
        let found = units::count(column.file.len());
        let message = format!("the column has {found} rows for {} vectors", units::count(whole.vectors));
        return Err(Advised::new(message, "give one row for each vector of --base").into());
    }
    let of_column = column.as_ref().map(|column| {
        let (dim, dtype) = (column.file.dim(), column.file.dtype());
        Imagined { vectors: source.vectors, dim, dtype }
    });
    let query_sample = args.query_sample.open(source.dtype(), &args.input, session)?;
    let binariser = args.binariser.open()?;
    let input = Input {
        binariser: binariser.as_ref().map(|file| file as _),
        query_sample: query_sample.as_ref().map(|sample| sample as _),
        column: column.as_ref().zip(of_column.as_ref()).map(|(column, vectors)| column.input(vectors)),
        attributes: args.attributes.of(attributes.as_deref().map(|source| source as _)),
        ..input
    };
    let plan = Plan::new(&Params::check(&config, input)?);
    let choices = choices(whole, &plan);
    let mut text = String::new();
    if parts > 1 {
        let most = units::count(INDEX_VECTORS_MAX);
        let (parts, each) = (units::count(parts), units::count(source.vectors));
        text += &format!(
            "an index holds at most {most} vectors: {parts} indexes of {each} each, each of them\n\n"
        );
    }
    text += &plan_text(&plan);
    let seconds = Choice::of(part, plan.code, plan.codes).build_seconds(part, config.threads);
    text += &format!("{:<14}about {} on {} threads\n", "build time", units::seconds(seconds), config.threads);
    let wanted = Wanted { shape: whole, memory_per_vector: allowed, threads: config.threads };
    text += &format!("\n{}", alternatives_text(wanted, &choices, &plan));
    let mut json = plan_json(&plan);
    json["indexes"] = parts.into();
    json["build_seconds"] = seconds.into();
    json["threads"] = config.threads.into();
    json["alternatives"] = choices.iter().map(|choice| alternative_json(wanted, choice)).collect();
    session.show(&text, &json)?;
    Ok(plan.check_memory()?)
}

impl PlanArgs {
    /// The vectors of the file, or those that the flags describe.
    fn vectors_to_index(&self) -> anyhow::Result<VectorShape> {
        if let Some(base) = &self.base {
            return Ok(VectorShape::of(&self.input.open(base)?, self.metric));
        }
        let (vectors, dim, dtype) = (self.vectors, self.dim, self.input.dtype);
        let known = vectors.zip(dim).zip(dtype);
        let ((vectors, dim), dtype) = known.context("give --base, or --vectors, --dim and --dtype")?;
        Ok(VectorShape { vectors, dim, dtype, metric: self.metric })
    }
}

/// What is to be indexed and searched.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    shape: VectorShape,
    /// Bytes of memory for each vector while searching, at most.
    memory_per_vector: f64,
    threads: usize,
}

/// The plan's own layout and others, the smallest in memory first.
fn choices(shape: VectorShape, plan: &Plan) -> Vec<Choice> {
    let chosen = (plan.code, plan.codes);
    let mut choices = Choice::alternatives(shape);
    // Lists of exact vectors leave nothing to compare by a column, nor by documents.
    let has_others = plan.column.is_some() || plan.documents.is_some();
    choices.retain(|choice| !has_others || choice.code != CodeSpec::Full);
    if !choices.iter().any(|choice| (choice.code, choice.codes) == chosen) {
        choices.push(Choice::of(shape, plan.code, plan.codes));
    }
    let (disk, memory) = beside(shape, plan);
    for choice in &mut choices {
        choice.disk_per_vector += disk;
        choice.memory_per_vector += memory;
    }
    choices.sort_by(|a, b| a.memory_per_vector.total_cmp(&b.memory_per_vector));
    choices
}

/// Bytes of disk and of memory that every layout takes for each vector beside lists and vectors: attributes, what leads to documents, and
/// the column, less the vectors that the column stands in for.
fn beside(shape: VectorShape, plan: &Plan) -> (f64, f64) {
    let per_vector = |bytes: u64| bytes as f64 / plan.vectors as f64; // CAST: an estimate, here and below
    let attributes = plan.attributes.iter();
    let (disk, memory) = attributes.fold((0, 0), |(disk, memory), attribute| {
        (disk + attribute.index_bytes, memory + attribute.search_memory)
    });
    let pages = PageLayout::new(shape.dtype.row_bytes(shape.dim), shape.metric, IdBytes::Four);
    let main = pages.page_bytes() as f64 / pages.page_records() as f64;
    let column = plan
        .column
        .as_ref()
        .map_or(0.0, |column| per_vector(column.index_bytes) - if column.keep_main { 0.0 } else { main });
    let (documents, leading) = plan.documents.as_ref().map_or((0.0, 0.0), |documents| {
        (per_vector(documents.index_bytes) - main, per_vector(documents.search_memory))
    });
    (per_vector(disk) + column + documents, per_vector(memory) + leading)
}

/// What a layout would take.
fn alternative_json(wanted: Wanted, choice: &Choice) -> Value {
    json!({
        "code": choice.code.to_string(),
        "codes": choice.codes.to_string(),
        "memory_per_vector": choice.memory_per_vector,
        "disk_per_vector": choice.disk_per_vector,
        "reads": choice.query.reads,
        "read_bytes": choice.query.bytes,
        "build_seconds": choice.build_seconds(wanted.shape, wanted.threads),
        "fits": choice.memory_per_vector <= wanted.memory_per_vector,
    })
}

/// What other codes and places would take, and whether that fits.
fn alternatives_text(wanted: Wanted, choices: &[Choice], plan: &Plan) -> String {
    let Wanted { shape, memory_per_vector: allowed, threads } = wanted;
    let chosen = (plan.code, plan.codes);
    let planned = plan.search_memory as f64 / plan.vectors as f64; // CAST: shown to three digits
    let mut table = TextTable::new();
    for (head, align) in [
        ("code", Align::Left),
        ("codes in", Align::Left),
        ("memory B/vector", Align::Right),
        ("disk B/vector", Align::Right),
        ("reads", Align::Right),
        ("kB read", Align::Right),
        ("build", Align::Right),
        ("", Align::Left),
    ] {
        table.column(head, align);
    }
    for choice in choices {
        let in_plan = (choice.code, choice.codes) == chosen;
        let mark = if in_plan {
            let more = if planned > allowed { ", which takes more than was asked for" } else { "" };
            format!("this plan{more}")
        } else if choice.memory_per_vector > allowed {
            let total = choice.memory_per_vector * shape.vectors as f64; // CAST: shown to three digits
            format!("does not fit: {} in all", units::bytes(total))
        } else {
            String::new()
        };
        let figures = [
            if in_plan { planned } else { choice.memory_per_vector },
            choice.disk_per_vector,
            choice.query.reads,
            choice.query.bytes / 1e3,
        ];
        let mut cells = vec![choice.code.to_string(), choice.codes.to_string()];
        cells.extend(figures.map(units::three_digits));
        cells.push(units::seconds(choice.build_seconds(shape, threads)));
        cells.push(mark);
        table.row(cells.into_iter().map(Some).collect());
    }
    format!(
        "For recall@10 near 0.95, by what SIFT descriptors and sentence embeddings took; others differ:\n\n{table}"
    )
}
