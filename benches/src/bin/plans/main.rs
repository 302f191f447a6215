//! What each plan of a search under a filter costs and finds, by the share of vectors that match and the correlation of filter and query.
//!
//! A line for each cell and plan: recall and its standard error, answers with fewer vectors than there are, the plans followed,
//! and means of lists, codes, vectors compared, reads and processor time; then the rate beside that of a search without a filter.
//!
//! ```text
//! cargo run --release -p spandrel-benches --bin plans -- --index DIR --base FILE --queries FILE [--plans auto,exact,codes,lists,post]
//! ```
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Parser;
use spandrel_benches::filters::{Cell, Searched, measure};
use spandrel_datasets::{Rows, VectorFile};
use spandrel_engine::{Engine, EngineConfig, FilterPlan, SearchError, SearchParams};
use spandrel_index::{Index, OpenOptions, Tier, VectorSource};

#[derive(Debug, Parser)]
#[command(about = "Measures plans of searches under filters")]
struct Args {
    /// A calibrated index whose ids are row numbers
    #[arg(long)]
    index: PathBuf,
    /// Its vectors; of a longer file the first
    #[arg(long)]
    base: PathBuf,
    /// What to search for
    #[arg(long)]
    queries: PathBuf,
    /// Queries at most
    #[arg(long, default_value_t = 2000)]
    count: usize,
    /// Neighbours asked for
    #[arg(long, default_value_t = 10)]
    k: usize,
    /// Recall asked for
    #[arg(long, default_value_t = 0.95)]
    recall: f64,
    /// Where codes are
    #[arg(long)]
    codes: Option<Tier>,
    /// Where vectors are
    #[arg(long)]
    vectors: Option<Tier>,
    /// Shares of vectors that match
    #[arg(long, value_delimiter = ',', default_values_t = [1.0, 0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.001, 0.0001])]
    shares: Vec<f64>,
    /// Correlations: -1, 0 or 1
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true, default_values_t = [0, 1, -1])]
    correlations: Vec<i8>,
    /// Plans: auto, or one to be followed
    #[arg(long, value_delimiter = ',', default_values_t = [String::from("auto")])]
    plans: Vec<String>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let options = OpenOptions { codes: args.codes, vectors: args.vectors, ids: true };
    let index = Arc::new(Index::open_with(&args.index, options)?);
    let base = first(&args.base, usize::try_from(index.vectors())?)?;
    let queries = first(&args.queries, args.count)?;
    let engine = Engine::open(index, EngineConfig { threads: 1, ..EngineConfig::default() })?;
    let searched = Searched { engine: &engine, base: &base, queries: &queries };
    println!(
        "{:>7} {:>4} {:>5}  {:>6} {:>6} {:>5}  {:<22} {:>6}  {:>7} {:>8} {:>7} {:>6} {:>8} {:>6}",
        "share",
        "corr",
        "plan",
        "recall",
        "error",
        "short",
        "followed",
        "wider",
        "lists",
        "codes",
        "vectors",
        "reads",
        "cpu us",
        "rate"
    );
    let mut unfiltered = None;
    for &share in &args.shares {
        for &correlation in &args.correlations {
            // Every vector is every vector.
            if share == 1.0 && correlation != 0 {
                continue;
            }
            let groups = Cell { share, correlation }.groups(searched, 7);
            for plan in &args.plans {
                let filter_plan = match plan.as_str() {
                    "auto" => None,
                    plan => Some(plan.parse::<FilterPlan>().map_err(anyhow::Error::msg)?),
                };
                let params =
                    SearchParams { recall: Some(args.recall), filter_plan, ..SearchParams::new(args.k) };
                let found = match measure(searched, &groups, &params) {
                    Ok(found) => found,
                    Err(e) if matches!(e.downcast_ref(), Some(SearchError::Params(_))) => continue,
                    Err(e) => bail!(e),
                };
                let one = *unfiltered.get_or_insert(found.cpu_us);
                let ((recall, error), plans) = (found.recall(), &found.plans);
                let followed: Vec<String> =
                    plans.iter().map(|(plan, count)| format!("{plan} {count}")).collect();
                println!(
                    "{share:>7} {correlation:>4} {plan:>5}  {recall:>6.4} {error:>6.4} {:>5}  {:<22} {:>6}  {:>7.1} {:>8.0} {:>7.1} {:>6.1} {:>8.1} {:>6.2}",
                    found.short,
                    followed.join(" "),
                    found.widened,
                    found.lists,
                    found.codes,
                    found.vectors,
                    found.reads,
                    found.cpu_us,
                    one / found.cpu_us
                );
            }
        }
    }
    Ok(())
}

/// The first rows of a file.
fn first(path: &Path, count: usize) -> Result<Rows> {
    let file = VectorFile::open(path)?;
    let count = count.min(usize::try_from(file.len())?);
    let mut bytes = vec![0; count * file.row_bytes()];
    file.read_rows(0, &mut bytes)?;
    Ok(Rows::new(file.dtype(), file.dim(), bytes)?)
}
