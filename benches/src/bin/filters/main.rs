//! Measures filters: the recall at a target of 0.95 and the rate against unfiltered queries, by the share of the vectors that
//! match, how near they lie to the query, and what the filter is made of.
//!
//! ```text
//! cargo run --release -p spandrel-benches --bin filters -- --data DIR --sets sift1m,text50k
//! ```
//! `DIR` holds a folder for each set, with `base.*bin`, `query.*bin` and `truth.ibin`. Each set is measured with codes in memory
//! and on SSD, which is read directly; vectors are on SSD. `--codes`, `--vectors`, `--correlations`, `--shares` and `--kinds` choose a
//! part of the table, `--index` keeps the index that it is measured on. A cell asks up to 2 000 queries: the nearest or farthest ones
//! of three random vectors, the anchors, whose nearest vectors match; or all queries, with random vectors that match. Filters are
//! compiled before (cached), and with each query.
//! With `--compile`, nothing is searched: what compiling each filter takes is measured alone, and what is read for it.
mod attributes;
mod cell;
mod compiled;
mod kinds;
mod orders;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result};
use clap::Parser;
use spandrel_benches::Calibrator;
use spandrel_benches::set::{MEMORY_BYTES, Set};
use spandrel_builder::{Calibrate, Caller, Choice, Input, Silent, VectorShape, build_for};
use spandrel_engine::{CalibrateLimits, CalibrateParams, Engine, EngineConfig};
use spandrel_index::{DType, Index, Metric, OpenOptions, Tier, VectorSource as _};

use crate::attributes::Attributes;
use crate::cell::{Asked, Figures, Limits};
use crate::compiled::Compiled;
use crate::kinds::{Kind, SHARES, Share};
use crate::orders::{Correlation, Order};

/// Memory to search in that the default build aims at, in bytes a vector.
const SEARCH_BYTES: f64 = 40.0;

#[derive(Debug, Parser)]
#[command(about = "Measures recall and rate under filters")]
struct Args {
    /// Folder with the sets
    #[arg(long)]
    data: PathBuf,
    /// The sets
    #[arg(long, value_delimiter = ',', default_value = "sift1m,text50k")]
    sets: Vec<String>,
    /// Where codes are, in this order
    #[arg(long, value_delimiter = ',', default_values_t = Tier::ALL)]
    codes: Vec<Tier>,
    /// Where vectors are
    #[arg(long, default_value_t = Tier::Ssd)]
    vectors: Tier,
    /// How near the matches lie to the query: -1 far from it, 0 anywhere, 1 near it
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true, default_values_t = Correlation::ALL)]
    correlations: Vec<Correlation>,
    /// Shares of the vectors that match, of those the vectors have attributes for
    #[arg(long, value_delimiter = ',', default_values_t = SHARES.map(Share))]
    shares: Vec<Share>,
    /// What filters are made of
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = Kind::ALL)]
    kinds: Vec<Kind>,
    /// Folder of indexes by the name of their set: one that is there is measured, else it is built there. By default it is built
    /// anew and removed
    #[arg(long)]
    index: Option<PathBuf>,
    /// Queries of a cell, at most
    #[arg(long, default_value_t = 2000)]
    queries: usize,
    /// Threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Measures compiling alone
    #[arg(long)]
    compile: bool,
    /// File to append a line of JSON to for each cell
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    for name in &args.sets {
        let mut set = Set::open(&args.data, name, Metric::L2, usize::MAX)?;
        if set.queries.dtype() == DType::F16 {
            set.metric = Metric::InnerProduct;
        }
        measure(&args, &set)?;
    }
    Ok(())
}

fn measure(args: &Args, set: &Set) -> Result<()> {
    let orders = Order::all(set);
    let limits = Limits { queries: args.queries, threads: args.threads };
    let scratch = tempfile::tempdir()?;
    let dir = args.index.as_deref().unwrap_or(scratch.path()).join(&set.name);
    if !dir.exists() {
        build(args, set, &orders, &dir)?;
    }
    if args.compile {
        println!("\n{}: {} vectors\n{}", set.name, set.base.len(), Compiled::HEAD);
        return Compiled::all(&dir, &orders, |compiled| println!("{compiled}"));
    }
    for &codes in &args.codes {
        let options = OpenOptions { codes: Some(codes), vectors: Some(args.vectors), ids: false };
        let index = Arc::new(Index::open_with(&dir, options)?);
        let config = EngineConfig { threads: args.threads, ..EngineConfig::default() };
        let engine = Engine::open(Arc::clone(&index), config)?;
        let vectors = args.vectors;
        println!("\n{}: {} vectors, codes in {codes}, vectors in {vectors}", set.name, set.base.len());
        println!("{}", Figures::HEAD);
        for &correlation in &args.correlations {
            for share in &args.shares {
                let asked = Asked::of(set, &orders, correlation, share.number(), limits)?;
                for &kind in &args.kinds {
                    let figures = asked.measure(&engine, kind)?;
                    println!("{figures}");
                    if let Some(path) = &args.json {
                        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
                        writeln!(file, "{}", figures.json(&set.name, codes, vectors))?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// As the command builds by default, with attributes.
fn build(args: &Args, set: &Set, orders: &[Order], dir: &Path) -> Result<()> {
    let choice = Choice::for_memory(VectorShape::of(&set.base, set.metric), SEARCH_BYTES);
    let config = set.config(&choice, dir, args.threads);
    let calibrator = Calibrator(CalibrateParams::new(CalibrateLimits {
        threads: args.threads,
        memory_bytes: MEMORY_BYTES,
    }));
    // A search alone needs to know what recall to expect.
    let calibrate = (!args.compile).then_some(&calibrator as &dyn Calibrate);
    let caller = Caller { progress: &Silent, stop: &AtomicBool::new(false), calibrate };
    let attributes = Attributes::of(orders)?;
    let attributes = spandrel_builder::Attributes { source: &attributes, resident: &[], partition_by: None };
    let input = Input { attributes: Some(attributes), ..Input::of(&set.base) };
    build_for(input, &config, caller).context("building")?;
    Ok(())
}
