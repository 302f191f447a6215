//! Compares codes at equal bytes: how good estimates are, and what must be read for a recall.
//!
//! Lists are formed once for each set, by building an index in a temporary folder. Every code is then trained and
//! all vectors are coded in memory; a search scans enough of the nearest lists to hold the true neighbours, and
//! reranks as the engine does, with the number of standard errors swept. One line compares that with the engine itself, and the bench
//! fails where they disagree.
//! After `axes:B` comes `scaled:B`, the same allotment with a scale of its own for each segment.
//! Bytes are those of the code and of scales beyond the first; factors take 5.5 more for every code.
//!
//! ```text
//! cargo run --release -p spandrel-benches --bin codes -- --data DIR [--bytes 16,32,48,64]
//! ```
//! `DIR` holds `sift1m` and `text50k`, each with `base.*bin`, `query.*bin` and `truth.ibin`.
mod code;
mod coded;
mod lists;
mod scaled;
mod search;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use rayon::{ThreadPool, ThreadPoolBuilder};
use spandrel_engine::{Engine, EngineConfig, Rerank, SearchParams};
use spandrel_index::codes::CodeSpec;
use spandrel_index::{Index, Metric, VectorSource};

use crate::code::Code;
use crate::coded::Coded;
use crate::lists::{Lists, build_index};
use crate::scaled::Scaled;
use crate::search::{Rules, Sweep};
use spandrel_benches::set::{K, Set};

/// Recalls to reach.
const RECALLS: [f64; 2] = [0.95, 0.99];
/// The code of the index that forms the lists and is searched by the engine.
const CHECKED: CodeSpec = CodeSpec::Axes { bytes: 32 };
/// Standard errors at which it is searched.
const CHECKED_ERRORS: f32 = 1.0;
/// How far the engine's recall and counts may be from those found here, which come from estimates alone: the engine bounds the k-th
/// distance by the errors of its estimates as well. On the three sets they were 0.0019 and 2.5 % apart at most (2026-12-01).
const RECALL_APART: f64 = 0.004;
const COUNTS_APART: f64 = 0.04;

#[derive(Debug, Parser)]
#[command(about = "Compares codes at equal bytes")]
struct Args {
    /// Folder with sift1m and text50k
    #[arg(long)]
    data: PathBuf,
    /// Bytes of a code; those of rabitq:1, :2 and :4 are added
    #[arg(long, value_delimiter = ',', default_values_t = [16, 32, 48, 64])]
    bytes: Vec<u32>,
    /// Codes to compare instead, by name
    #[arg(long, value_delimiter = ',')]
    codes: Vec<CodeSpec>,
    /// Sets to compare on
    #[arg(long, value_delimiter = ',', default_values_t = ["sift1m", "text50k", "isotropic"].map(String::from))]
    sets: Vec<String>,
    /// Vectors of the isotropic set
    #[arg(long, default_value_t = 200_000)]
    isotropic: usize,
    /// Standard errors by which the second burst trusts estimates more than the first
    #[arg(long, default_value_t = Rules::default().second_less)]
    second_less: f32,
    /// Standard errors by which a vector may be farther that is compared because its page is read for another
    #[arg(long, default_value_t = Rules::default().kept_more)]
    kept_more: f32,
    /// Vectors compared exactly at most
    #[arg(long, default_value_t = Rules::default().compared_most)]
    compared_most: usize,
    /// Queries used, from the first
    #[arg(long, default_value_t = 1000)]
    queries: usize,
    /// Threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let pool = ThreadPoolBuilder::new().num_threads(args.threads).build().context("starting threads")?;
    for name in &args.sets {
        let set = match name.as_str() {
            "isotropic" => Set::isotropic(args.isotropic, 128, args.queries, args.threads)?,
            "text50k" => Set::open(&args.data, name, Metric::Cosine, args.queries)?,
            _ => Set::open(&args.data, name, Metric::L2, args.queries)?,
        };
        compare(&args, &set, &pool)?;
    }
    Ok(())
}

impl Args {
    fn rules(&self) -> Rules {
        let Args { second_less, kept_more, compared_most, .. } = *self;
        Rules { second_less, kept_more, compared_most }
    }
}

fn compare(args: &Args, set: &Set, pool: &ThreadPool) -> Result<()> {
    let folder = tempfile::tempdir().context("a folder for lists")?;
    let out = folder.path().join("index");
    let started = Instant::now();
    build_index(set, CHECKED, &out, args.threads)?;
    let lists = Lists::open(set, &out)?;
    println!(
        "# {}: {} x {} {} {}, {} queries; {} of {} lists searched, which hold {:.4} of the true {K} nearest; built in {:.0} s",
        set.name,
        set.base.len(),
        set.base.dim(),
        set.base.dtype(),
        set.metric,
        set.queries.len(),
        lists.searched,
        lists.index.lists(),
        lists.ceiling,
        started.elapsed().as_secs_f64()
    );
    println!(
        "{:<14} {:>5} {:<42} {:>7} {:>6} {:>5} {:>5} {:>5} | 0.95: {:>4} {:>6} {:>6} {:>6} | 0.99: {:>4} {:>6} {:>6} {:>6} | {:>4}",
        "code",
        "bytes",
        "bits",
        "error %",
        "bias %",
        "in1.9",
        "in2.5",
        "in3.0",
        "t",
        "pages",
        "reads",
        "rounds",
        "t",
        "pages",
        "reads",
        "rounds",
        "s"
    );
    let specs = if args.codes.is_empty() { specs(set.base.dim(), &args.bytes) } else { args.codes.clone() };
    for spec in specs {
        let started = Instant::now();
        let coded = Coded::new(&lists, spec, pool)?;
        let sweep = measure(set, &spec.to_string(), &coded, args.rules(), started, pool);
        if spec == CHECKED && args.rules() == Rules::default() {
            check(args, set, (&out, lists.searched), &sweep)?;
        }
        let CodeSpec::Axes { bytes } = spec else { continue };
        drop(coded);
        let started = Instant::now();
        if let Some(scaled) = Scaled::new(&lists, spec, pool)? {
            measure(set, &format!("scaled:{bytes}"), &scaled, args.rules(), started, pool);
        }
    }
    println!();
    Ok(())
}

/// Prints what a code is worth.
fn measure(
    set: &Set,
    name: &str,
    code: &impl Code,
    rules: Rules,
    started: Instant,
    pool: &ThreadPool,
) -> Sweep {
    let sweep = Sweep::new(set, code, rules, pool);
    let accuracy = code.accuracy(set);
    let [a, b, c] = accuracy.inside();
    print!(
        "{name:<14} {:>5} {:<42} {:>7.2} {:>6.2} {a:>5.3} {b:>5.3} {c:>5.3}",
        code.bytes(),
        code.allotment(),
        100.0 * accuracy.deviation(),
        100.0 * accuracy.bias(),
    );
    for recall in RECALLS {
        match sweep.at_recall(recall) {
            Some(found) => print!(
                " |       {:>4.2} {:>6.1} {:>6.1} {:>6.2}",
                found.errors, found.pages, found.reads, found.rounds
            ),
            None => print!(" |       {:>4} {:>6} {:>6} {:>6}", "-", "-", "-", "-"),
        }
    }
    println!(" | {:>4.1}", started.elapsed().as_secs_f64());
    sweep
}

/// The codes compared, by bytes; families without a code of that size are left out.
fn specs(dim: usize, bytes: &[u32]) -> Vec<CodeSpec> {
    let rabitq = (1..=8).map(|bits| CodeSpec::RaBitQ { bits });
    let bits = dim.next_multiple_of(32) as u32; // CAST: at most DIM_MAX
    let recurrent = [false, true]
        .into_iter()
        .flat_map(|symmetric| (1..=4).map(move |codes| CodeSpec::Recurrent { bits, codes, symmetric }));
    let mut all = bytes.to_vec();
    all.extend([1, 2, 4].map(|bits| CodeSpec::RaBitQ { bits }.code_bytes(dim) as u32)); // CAST: small
    all.sort_unstable();
    all.dedup();
    let mut specs = Vec::new();
    for bytes in all {
        let axes = CodeSpec::Axes { bytes };
        let of_so_many = |spec: &CodeSpec| spec.code_bytes(dim) == bytes as usize;
        let uniform = [CodeSpec::Binary].into_iter().chain(rabitq.clone()).chain(recurrent.clone());
        specs.extend(uniform.filter(of_so_many).filter(|spec| spec.check(dim).is_ok()));
        if bytes % 4 == 0 && axes.check(dim).is_ok() {
            specs.push(axes);
        }
        for (quantisers, bits) in [(2 * bytes, 4), (bytes, 8)] {
            let products = CodeSpec::Products { quantisers, bits, rotated: true, uniform: false };
            if products.check(dim).is_ok() {
                specs.push(products);
            }
        }
    }
    specs
}

/// Searches the index with the engine, prints the same figures as found here, and fails where they are too far apart.
fn check(args: &Args, set: &Set, (folder, lists): (&Path, usize), sweep: &Sweep) -> Result<()> {
    let index = Arc::new(Index::open(folder)?);
    let engine = Engine::open(index, EngineConfig { threads: args.threads, ..EngineConfig::default() })?;
    let params = SearchParams {
        max_lists: Some(u32::try_from(lists)?),
        rerank: Some(Rerank::Errors(CHECKED_ERRORS)),
        ..SearchParams::new(K)
    };
    let answers = engine.search(set.queries.bytes(), &params)?;
    let mean = |of: &dyn Fn(usize) -> u32| {
        (0..answers.len()).map(|query| f64::from(of(query))).sum::<f64>() / answers.len() as f64
    };
    let hits = |query: usize| {
        let hits = set.hits(query);
        answers[query].neighbours.iter().filter(|neighbour| hits.contains(&neighbour.id)).count() as u32 // CAST: at most K
    };
    let found = sweep.at_errors(CHECKED_ERRORS.into()).context("a step of the sweep")?;
    let recall = mean(&hits) / K as f64;
    let pages = mean(&|query| answers[query].work.pages);
    let reads = mean(&|query| answers[query].work.reads);
    let rounds = mean(&|query| answers[query].work.rounds);
    println!(
        "#   {CHECKED} at t {CHECKED_ERRORS}, engine / here: recall {recall:.4} / {:.4}, pages read {pages:.2} / {:.2}, reads {reads:.2} / {:.2}, rounds {rounds:.3} / {:.3}",
        found.recall, found.pages_touched, found.reads, found.rounds
    );
    ensure!((recall - found.recall).abs() <= RECALL_APART, "recall differs by more than {RECALL_APART}");
    for (name, engine, here) in [
        ("pages", pages, found.pages_touched),
        ("reads", reads, found.reads),
        ("rounds", rounds, found.rounds),
    ] {
        let apart = (here / engine - 1.0).abs();
        ensure!(apart <= COUNTS_APART, "{name} differ by {apart:.3}, more than {COUNTS_APART}");
    }
    Ok(())
}
