//! `spandrel data truth`: exact neighbours.
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use spandrel_datasets::{
    Converted, DocumentTruthParams, Documents, Format, IdFile, OutFile, RangeTruthParams, RowFilters, Truth,
    TruthParams, compute_document_truth, compute_range_truth, compute_truth, read_documents,
};
use spandrel_index::{Metric, VectorSource as _};

use super::files::{output, watched, watched_of};
use super::filtered::{FilteredArgs, FilteredCounts};
use crate::commands::file_names::FileNames;
use crate::commands::input::InputArgs;
use crate::commands::search::note_rounding;
use crate::figures::{short, units};
use crate::{Advised, Session, UsageError};

/// Compute the exact nearest neighbours of queries, or all within a radius.
///
/// The base streams past, so it may be far larger than memory. Ties go to the smaller row number. A base of fewer than k
/// vectors gives them all. With --filters only vectors that match a query's filter are its neighbours, and -1 stands in place of
/// those that are missing where fewer than k match. With --documents and --query-documents the vectors are tokens, and what is found are
/// the documents with the largest MaxSim: the sum over the query's tokens of the largest inner product with any token of the document.
/// With --radius the file has the layout of big-ann-benchmarks for range search.
#[derive(Debug, Args)]
pub struct TruthArgs {
    /// Vectors to search.
    #[arg(long, value_name = "FILE")]
    pub base: PathBuf,
    /// Vectors to search for.
    #[arg(long, value_name = "FILE")]
    pub queries: PathBuf,
    /// What near means: l2, ip or cosine.
    #[arg(long, value_name = "l2|ip|cosine")]
    pub metric: Metric,
    /// Neighbours of each query.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub k: u32,
    /// All vectors within this distance in place of k: squared L2 or 1 - cos at most this, inner product at least this.
    #[arg(long, value_name = "R", conflicts_with_all = ["k", "out_format"], allow_negative_numbers = true)]
    pub radius: Option<f32>,
    /// Threads to use [default: one for each processor].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// The vectors' own ids, or the documents', as `build --ids` takes them: ibin or npy with one id in each row [default: row numbers].
    #[arg(long, value_name = "FILE")]
    pub ids: Option<PathBuf>,
    /// Where documents begin in the base: ibin or npy of an offset for each document, and the number of rows.
    #[arg(long, value_name = "FILE", requires = "query_documents", conflicts_with = "radius")]
    pub documents: Option<PathBuf>,
    /// The same for the queries.
    #[arg(long, value_name = "FILE", requires = "documents")]
    pub query_documents: Option<PathBuf>,
    /// Filters, one for each query.
    #[command(flatten)]
    pub filtered: FilteredArgs,
    /// How base and queries are read.
    #[command(flatten)]
    pub input: InputArgs,
    /// File to write: ibin with distances, or ivecs or npy without; npy takes ids of 64 bits. With --radius any name.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Format to write where the name of the output tells none, as that of a pipe.
    #[arg(long, value_name = "FORMAT")]
    pub out_format: Option<Format>,
}

pub(super) fn run(args: &TruthArgs, session: &Session) -> anyhow::Result<()> {
    FileNames::default()
        .read("--base", &*args.base)
        .read("--queries", &*args.queries)
        .read("--ids", args.ids.as_deref())
        .read("--documents", args.documents.as_deref())
        .read("--query-documents", args.query_documents.as_deref())
        .read("--filters", args.filtered.filters.as_deref())
        .read("--attributes", args.filtered.attributes.attributes.as_deref())
        .read("--schema", args.filtered.attributes.schema.as_deref())
        .written("--out", &*args.out)
        .check()?;
    if let Some(radius) = args.radius {
        return run_within(args, radius, session);
    }
    let out = output(&args.out, args.out_format)?;
    let format = out.format()?;
    if !matches!(format, Format::Ibin | Format::Ivecs | Format::Npy) {
        let path = args.out.display();
        let message =
            format!("{path}: a file of format {format}, expected one ending in .ibin, .ivecs or .npy");
        return Err(UsageError(message).into());
    }
    if let (Some(documents), Some(query_documents)) = (&args.documents, &args.query_documents) {
        return run_documents(args, documents, query_documents, out, session);
    }
    let base = args.input.open(&args.base)?;
    let queries = Converted::new(args.input.open(&args.queries)?, base.dtype());
    note_rounding(&queries, session);
    let ids = args.ids.as_deref().map(|path| read_ids(path, base.len(), "vector", format)).transpose()?;
    let params = TruthParams {
        metric: args.metric,
        k: args.k as usize, // CAST: widening
        threads: args.threads.map_or(0, usize::from),
    };
    let filters = args.filtered.read(
        FilteredCounts { queries: queries.len(), rows: base.len() },
        args.ids.as_deref(),
        session,
    )?;
    let mut truth = watched(session, "exact neighbours", |watch| {
        compute_truth(&base, &queries, filters.as_ref(), params, watch)
    })?;
    if let Some(ids) = &ids {
        truth.name_rows(ids)?;
    }
    truth.write(out)?;
    let mut text = format!(
        "{}: {} nearest of {} vectors for each of {} queries, {}\n",
        args.out.display(),
        truth.k,
        units::count(base.len()),
        units::count(truth.queries as u64), // CAST: usize is 64 bits here
        args.metric
    );
    let mut json = json!({
        "out": args.out,
        "k": truth.k,
        "vectors": base.len(),
        "queries": truth.queries,
        "metric": args.metric.to_string(),
    });
    tell_filters(filters.as_ref(), &truth, &mut text, &mut json);
    session.show_beside(&[&args.out], &text, &json)
}

/// Says how many filters there were, and how many queries have fewer neighbours for theirs.
fn tell_filters(filters: Option<&RowFilters>, truth: &Truth, text: &mut String, json: &mut Value) {
    let Some(filters) = filters else { return };
    let fewer = (0..truth.queries).filter(|&query| truth.ids_of(query).len() < truth.k).count();
    *text += &format!(
        "{}; fewer than {} match for {} of the queries\n",
        match filters.distinct() {
            1 => "one filter for all".to_owned(),
            count => format!("{} different filters", units::count(count as u64)), // CAST: usize is 64 bits here
        },
        truth.k,
        units::count(fewer as u64), // CAST: as above
    );
    json["filters"] = json!(filters.distinct());
    json["fewer"] = json!(fewer);
}

fn run_documents(
    args: &TruthArgs,
    documents: &Path,
    query_documents: &Path,
    out: OutFile<'_>,
    session: &Session,
) -> anyhow::Result<()> {
    if args.metric != Metric::InnerProduct {
        let message =
            format!("--metric {}: documents are compared by inner products of their vectors", args.metric);
        return Err(
            Advised::new(message, "give --metric ip; vectors of unit length have their cosines so").into()
        );
    }
    let base = args.input.open(&args.base)?;
    let queries = Converted::new(args.input.open(&args.queries)?, base.dtype());
    note_rounding(&queries, session);
    let offsets = read_documents(documents, base.len())?;
    let count = offsets.documents() as u64; // CAST: usize is 64 bits here
    let format = out.format()?;
    let ids = args.ids.as_deref().map(|path| read_ids(path, count, "document", format)).transpose()?;
    let query_offsets = read_documents(query_documents, queries.len())?;
    let query_count = query_offsets.documents() as u64; // CAST: as above
    let counts = FilteredCounts { queries: query_count, rows: count };
    let filters = args.filtered.read(counts, args.ids.as_deref(), session)?;
    let params = DocumentTruthParams {
        k: args.k as usize, // CAST: widening
        threads: args.threads.map_or(0, usize::from),
    };
    let mut truth = watched_of(session, "exact documents", "documents", |watch| {
        let of_base = Documents { tokens: &base, offsets: &offsets };
        let of_queries = Documents { tokens: &queries, offsets: &query_offsets };
        compute_document_truth(of_base, of_queries, filters.as_ref(), params, watch)
    })?;
    if let Some(ids) = &ids {
        truth.name_rows(ids)?;
    }
    truth.write(out)?;
    let mut text = format!(
        "{}: {} best of {} documents ({} vectors) for each of {} query documents, by MaxSim\n",
        args.out.display(),
        truth.k,
        units::count(count),
        units::count(base.len()),
        units::count(truth.queries as u64), // CAST: as above
    );
    let mut json = json!({
        "out": args.out,
        "k": truth.k,
        "vectors": base.len(),
        "documents": offsets.documents(),
        "queries": truth.queries,
        "metric": args.metric.to_string(),
    });
    tell_filters(filters.as_ref(), &truth, &mut text, &mut json);
    session.show_beside(&[&args.out], &text, &json)
}

fn run_within(args: &TruthArgs, radius: f32, session: &Session) -> anyhow::Result<()> {
    let base = args.input.open(&args.base)?;
    let queries = Converted::new(args.input.open(&args.queries)?, base.dtype());
    note_rounding(&queries, session);
    // Ids of the file have 31 bits, like those of ivecs.
    let ids =
        args.ids.as_deref().map(|path| read_ids(path, base.len(), "vector", Format::Ivecs)).transpose()?;
    let params =
        RangeTruthParams { metric: args.metric, radius, threads: args.threads.map_or(0, usize::from) };
    let filters = args.filtered.read(
        FilteredCounts { queries: queries.len(), rows: base.len() },
        args.ids.as_deref(),
        session,
    )?;
    let mut truth = watched(session, "exact neighbours", |watch| {
        compute_range_truth(&base, &queries, filters.as_ref(), params, watch)
    })?;
    if let Some(ids) = &ids {
        truth.name_rows(ids)?;
    }
    truth.write(&args.out)?;
    let [least, most] = [truth.counts().min(), truth.counts().max()].map(Option::unwrap_or_default);
    let text = format!(
        "{}: {} of {} vectors within {radius} of {} queries, {least} to {most} of each, {}\n",
        args.out.display(),
        units::count(truth.results() as u64), // CAST: usize is 64 bits here
        units::count(base.len()),
        units::count(truth.queries() as u64), // CAST: as above
        args.metric
    );
    let mut json = json!({
        "out": args.out,
        "radius": short(radius),
        "results": truth.results(),
        "results_least": least,
        "results_most": most,
        "vectors": base.len(),
        "queries": truth.queries(),
        "metric": args.metric.to_string(),
    });
    if let Some(filters) = &filters {
        json["filters"] = json!(filters.distinct());
    }
    session.show_beside(&[&args.out], &text, &json)
}

/// The ids of the vectors or documents of a base, which the format to write has to hold.
fn read_ids(path: &Path, count: u64, of: &str, format: Format) -> anyhow::Result<Vec<u64>> {
    let file = IdFile::open(path)?;
    if file.len() != count {
        let message = format!("{}: ids of {} {of}s, the base has {count}", path.display(), file.len());
        return Err(Advised::new(message, format!("give an id for each {of} of the base")).into());
    }
    let ids = file.read_all()?;
    let largest = ids.iter().copied().max().unwrap_or_default();
    if largest > format.id_max() {
        let message = format!("{}: id {largest} does not fit a file of format {format}", path.display());
        return Err(Advised::new(
            message,
            "write an .npy file, which holds ids of 64 bits without distances",
        )
        .into());
    }
    Ok(ids)
}
