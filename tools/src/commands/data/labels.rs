//! `spandrel data generate labels`: tags for vectors, and filters by them for queries.
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use spandrel_datasets::labels::{Frequencies, Labels, Matrix, Placement};
use spandrel_index::{Metric, VectorSource as _};

use super::files::watched_of;
use crate::commands::file_names::FileNames;
use crate::commands::input::InputArgs;
use crate::figures::units;
use crate::{Session, UsageError};

/// The attribute that generated tags are values of, as in `.spmat` files.
const TAGS: &str = "tags";

/// Give vectors tags, and queries filters by them.
///
/// Each tag has an anchor, a random vector of the base. With a correlation of 1 or -1 the vectors nearest the anchor carry the tag;
/// with 0 random ones do; between, that share of them is the nearest and the rest is random. A query asks for the tag of its nearest
/// anchor (above 0), of its farthest (below 0), or for that of a random vector (0). Other correlations than 0 compare every tag's
/// anchor with every vector.
#[derive(Debug, Args)]
pub struct LabelsArgs {
    /// Vectors that get tags.
    #[arg(long, value_name = "FILE")]
    pub base: PathBuf,
    /// How base and queries are read.
    #[command(flatten)]
    pub input: InputArgs,
    /// Number of tags.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub tags: u32,
    /// Tag number i is carried by vectors in proportion to 1 / i^Z; 0 makes all equally frequent.
    #[arg(long, value_name = "Z", default_value_t = 1.0, value_parser = not_negative)]
    pub zipf: f64,
    /// Tags of a vector, on average.
    #[arg(long, value_name = "N", default_value_t = 10.0, value_parser = not_negative)]
    pub per_vector: f64,
    /// How near the vectors of a filter lie to the query, from -1 to 1.
    #[arg(long, value_name = "C", default_value_t = 0.0, allow_negative_numbers = true, value_parser = correlation)]
    pub correlation: f64,
    /// What near means: l2, ip or cosine.
    #[arg(long, value_name = "l2|ip|cosine", default_value_t = Metric::L2)]
    pub metric: Metric,
    /// Equal seeds make equal tags.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// File to write the tags of each vector to: .spmat, or .jsonl.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Queries to make filters for.
    #[arg(long, value_name = "FILE", requires = "filters_out")]
    pub queries: Option<PathBuf>,
    /// File to write a filter for each query to: .spmat, or .jsonl.
    #[arg(long, value_name = "FILE", requires = "queries")]
    pub filters_out: Option<PathBuf>,
    /// Tags that a query asks for together: 1 to this number, all of which some vector has.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "queries", value_parser = clap::value_parser!(u16).range(1..=16))]
    pub query_tags: u16,
    /// Threads to use [default: one for each processor].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

fn not_negative(text: &str) -> Result<f64, &'static str> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
    number.ok_or("expected a number of 0 or more")
}

fn correlation(text: &str) -> Result<f64, &'static str> {
    let number = text.parse().ok().filter(|number| (-1.0..=1.0).contains(number));
    number.ok_or("expected a number from -1 to 1")
}

pub(super) fn run(args: &LabelsArgs, session: &Session) -> anyhow::Result<()> {
    let outputs = [Some(&args.out), args.filters_out.as_ref()];
    for path in outputs.into_iter().flatten() {
        Layout::of(path)?;
    }
    FileNames::default()
        .read("--base", &*args.base)
        .read("--queries", args.queries.as_deref())
        .written("--out", &*args.out)
        .written("--filters-out", args.filters_out.as_deref())
        .check()?;
    let base = args.input.open(&args.base)?;
    let frequencies = Frequencies { tags: args.tags as usize, zipf: args.zipf, per_vector: args.per_vector }; // CAST: widening
    let sizes = frequencies.sizes(base.len());
    let labels = watched_of(session, "placing tags", "tags", |watch| {
        Labels::place(&base, &sizes, placement(args), watch)
    })?;
    let by_row = labels.by_row();
    write(&by_row, &args.out, |row, tags| json!({ "id": row, TAGS: tags }))?;
    let (vectors, entries) = (units::count(base.len()), by_row.entries() as u64); // CAST: usize is 64 bits here
    let mut text = format!(
        "{}: {} tags of {vectors} vectors, of {}\n",
        args.out.display(),
        units::count(entries),
        args.tags
    );
    let mut made =
        vec![json!({ "out": args.out, "rows": base.len(), "tags": args.tags, "entries": entries })];
    let mut written: Vec<&Path> = vec![&args.out];
    if let (Some(queries), Some(out)) = (&args.queries, &args.filters_out) {
        let queries = args.input.open(queries)?;
        let filters = labels.choose(&base, &queries, args.query_tags.into(), placement(args))?;
        write(
            &filters,
            out,
            |row, tags| json!({ "query_id": row, "filter": { TAGS: { "$containsAll": tags } } }),
        )?;
        let entries = filters.entries() as u64; // CAST: as above
        text += &format!("{}: filters of {} queries\n", out.display(), units::count(queries.len()));
        made.push(json!({ "out": out, "rows": queries.len(), "tags": args.tags, "entries": entries }));
        written.push(out);
    }
    session.show_beside(&written, &text, &json!({ "files": made }))
}

fn placement(args: &LabelsArgs) -> Placement {
    let &LabelsArgs { metric, correlation, seed, .. } = args;
    Placement { metric, correlation, seed, threads: args.threads.map_or(0, usize::from) }
}

/// The layout of a file of tags.
enum Layout {
    Matrix,
    Lines,
}

impl Layout {
    fn of(path: &Path) -> Result<Layout, UsageError> {
        match path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).as_deref() {
            Some("spmat") => Ok(Layout::Matrix),
            Some("jsonl") => Ok(Layout::Lines),
            _ => Err(UsageError(format!("{}: expected a name ending in .spmat or .jsonl", path.display()))),
        }
    }
}

fn write(
    matrix: &Matrix,
    path: &Path,
    line: impl Fn(usize, Vec<String>) -> serde_json::Value,
) -> anyhow::Result<()> {
    match Layout::of(path)? {
        Layout::Matrix => matrix.write(path)?,
        Layout::Lines => matrix.write_lines(path, |row, tags| {
            line(row, tags.iter().map(u32::to_string).collect()).to_string()
        })?,
    }
    Ok(())
}
