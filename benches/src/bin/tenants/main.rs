//! Measures searches of one tenant's vectors, in an index whose lists follow the tenants and in one whose lists do not.
//!
//! ```text
//! cargo run --release -p spandrel-benches --bin tenants -- --data DIR --set sift1m
//! ```
//! `DIR` holds a folder for the set, with `base.*bin`, `query.*bin` and `truth.ibin`. Tenant number `i` has vectors in proportion to
//! `1 / i`, drawn at random. A line for each size of tenants: recall of the ten nearest against all vectors of the tenant, and how
//! long one query takes on one thread, with its filter compiled before, and how long that takes.
mod measured;
mod sizes;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::Parser;
use spandrel_benches::Calibrator;
use spandrel_benches::set::{MEMORY_BYTES, Set};
use spandrel_builder::{Attributes, Caller, Choice, Input, Silent, VectorShape, build_for};
use spandrel_engine::{CalibrateLimits, CalibrateParams, Engine, EngineConfig};
use spandrel_index::{Index, Metric, OpenOptions, Tier, VectorSource as _};

use crate::measured::{Measured, all, of_tenants};
use crate::sizes::{TENANT, Tenants};

/// Memory to search in that the default build aims at, in bytes a vector.
const SEARCH_BYTES: f64 = 40.0;
/// Numbers of vectors, the second not included: tenants of each pair are measured together.
const SIZES: [(usize, usize); 5] = [(1, 10), (10, 200), (200, 2000), (2000, 10_000), (10_000, usize::MAX)];

#[derive(Debug, Parser)]
#[command(about = "Measures searches of one tenant's vectors")]
struct Args {
    /// Folder with the sets
    #[arg(long)]
    data: PathBuf,
    /// The set
    #[arg(long, default_value = "sift1m")]
    set: String,
    /// Tenants
    #[arg(long, default_value_t = 100_000)]
    tenants: usize,
    /// Vectors of the largest at most
    #[arg(long, default_value_t = 100_000)]
    largest: usize,
    /// Queries of a line
    #[arg(long, default_value_t = 2000)]
    queries: usize,
    /// Threads to build with
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Where vectors are
    #[arg(long, value_delimiter = ',', default_values_t = [Tier::Memory, Tier::Ssd])]
    vectors: Vec<Tier>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let set = Set::open(&args.data, &args.set, Metric::L2, usize::MAX)?;
    let count = usize::try_from(set.base.len())?;
    let tenants = Tenants::new(count, args.tenants, args.largest)?;
    println!(
        "{}: {count} vectors of {} tenants, the largest of {}",
        set.name,
        tenants.len(),
        tenants.rows(0).len()
    );
    for partition_by in [None, Some(TENANT)] {
        let folder = tempfile::tempdir()?;
        let dir = folder.path().join("index");
        build(&args, &set, &tenants, partition_by, &dir)?;
        for &vectors in &args.vectors {
            let options = OpenOptions { vectors: Some(vectors), ..OpenOptions::default() };
            let index = Arc::new(Index::open_with(&dir, options)?);
            let engine = Engine::open(index, EngineConfig { threads: 1, ..EngineConfig::default() })?;
            println!("\npartitioned by {}, vectors in {vectors}", partition_by.unwrap_or("nothing"));
            println!("{}", Measured::HEAD);
            println!("{}", all(&engine, &set, args.queries)?);
            for (from, to) in SIZES {
                let some: Vec<usize> = (0..tenants.len())
                    .filter(|&tenant| (from..to).contains(&tenants.rows(tenant).len()))
                    .collect();
                if !some.is_empty() {
                    println!("{}", of_tenants(&engine, &set, &tenants, &some, args.queries)?);
                }
            }
        }
    }
    Ok(())
}

/// As the command builds by default, with the tenant of each vector.
fn build(args: &Args, set: &Set, tenants: &Tenants, partition_by: Option<&str>, dir: &Path) -> Result<()> {
    let choice = Choice::for_memory(VectorShape::of(&set.base, set.metric), SEARCH_BYTES);
    let config = set.config(&choice, dir, args.threads);
    let limits = CalibrateLimits { threads: args.threads, memory_bytes: MEMORY_BYTES };
    let calibrator = Calibrator(CalibrateParams::new(limits));
    let caller = Caller { progress: &Silent, stop: &AtomicBool::new(false), calibrate: Some(&calibrator) };
    let attributes = Attributes { source: tenants, resident: &[], partition_by };
    let input = Input { attributes: Some(attributes), ..Input::of(&set.base) };
    let start = Instant::now();
    let built = build_for(input, &config, caller).context("building")?;
    let (seconds, bytes) = (start.elapsed().as_secs_f64(), built.manifest.index_bytes());
    println!("\nbuilt in {seconds:.1} s, {bytes} bytes; {:?}", built.manifest.segments[0].partition);
    Ok(())
}
