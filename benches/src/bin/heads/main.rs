//! Measures head indexes on real vectors: build time, memory, and recall against time per query. Scans of rows, of packed
//! heads and of the heads' own codes, and the graph.
//!
//! ```text
//! cargo run --release -p spandrel-benches --bin heads -- --data DIR [--heads 40000] [--k 64]
//!     [--ef 64,80,100] [--m 16] [--ef-construction 120] [--threads 2] [--queries 2000] [--repeats 3]
//! ```
//! `DIR` holds `base.u8bin` and `query.u8bin`. Heads are a seeded sample of the base; searches run on one
//! thread, after one round to warm up. Times are those the thread spent running, so that a busy machine
//! distorts them less: the median of the repeats and the least. One line per figure.
mod codes;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Parser;
use rand::SeedableRng;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use spandrel_datasets::{Rows, VectorFile};
use spandrel_index::codes::CodeSpec;
use spandrel_index::heads::{PackedHeads, Scratch};
use spandrel_index::kernels::Variant;
use spandrel_index::{HeadIndex, HeadQuery, Heads, HnswGraph, HnswParams, VectorSource as _};

use crate::codes::{HeadCodes, Within};

/// Codes of heads that are scanned, and standard errors within which they are compared exactly.
const CODES: [(CodeSpec, [f32; 2]); 2] =
    [(CodeSpec::Axes { bytes: 32 }, [0.5, 1.0]), (CodeSpec::Axes { bytes: 64 }, [0.5, 1.0])];

/// What to measure.
#[derive(Parser)]
struct Args {
    /// Folder with base.u8bin and query.u8bin
    #[arg(long)]
    data: PathBuf,
    #[arg(long, default_value_t = 40_000)]
    heads: usize,
    #[arg(long, default_value_t = 64)]
    k: usize,
    /// Candidates that a walk of the graph keeps
    #[arg(long, value_delimiter = ',', default_values_t = [64, 80, 100, 128, 160, 200])]
    ef: Vec<usize>,
    #[arg(long, default_value_t = HnswParams::default().m)]
    m: usize,
    #[arg(long, default_value_t = HnswParams::default().ef_construction)]
    ef_construction: usize,
    #[arg(long, default_value_t = 2)]
    threads: usize,
    #[arg(long, default_value_t = 2000)]
    queries: usize,
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
}

fn rows_of(folder: &Path, name: &str) -> Result<Rows> {
    Ok(Rows::read(&VectorFile::open(folder.join(name))?)?)
}

fn main() -> Result<()> {
    let args = Args::parse();
    let (base, queries) = (rows_of(&args.data, "base.u8bin")?, rows_of(&args.data, "query.u8bin")?);
    let (dim, dtype) = (base.dim(), base.dtype());
    ensure!(queries.dim() == dim, "base of dimension {dim}, queries of {}", queries.dim());
    let base_count = base.bytes().len() / base.row_bytes();
    ensure!(args.heads <= base_count, "--heads {}: the base has {base_count} vectors", args.heads);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut rows = Vec::with_capacity(args.heads * base.row_bytes());
    for at in sample(&mut rng, base_count, args.heads) {
        rows.extend_from_slice(base.row(at));
    }
    let heads = Heads::from_rows(dtype, dim, &rows)?;
    let queries: Vec<&[u8]> = queries.bytes().chunks_exact(queries.row_bytes()).take(args.queries).collect();
    println!(
        "heads {} dim {dim} {dtype}, kernels {}, {} queries",
        heads.len(),
        Variant::best(),
        queries.len()
    );
    measure(&args, &heads, &queries)
}

fn measure(args: &Args, heads: &Heads, queries: &[&[u8]]) -> Result<()> {
    let (k, repeats) = (args.k, args.repeats);
    let params = HnswParams { m: args.m, ef_construction: args.ef_construction, ..HnswParams::default() };
    let flat = Run::of_index(&HeadIndex::Flat, heads, queries, Reach { k, ef: 0 }, repeats);
    flat.print("flat", k, 0, &flat.found);
    for variant in Variant::available().into_iter().filter(|&v| v != Variant::Scalar) {
        let packed = PackedHeads::with_variant(heads, variant);
        let packed_bytes = packed.memory_bytes() as f64 / heads.len() as f64;
        let run = Run::of_index(&HeadIndex::Packed(packed), heads, queries, Reach { k, ef: 0 }, repeats);
        run.print(&format!("packed {variant} {packed_bytes:.1} bytes per head"), k, 0, &flat.found);
    }
    for (spec, margins) in CODES {
        let mut codes = HeadCodes::new(heads, spec)?;
        let code_bytes = codes.memory_bytes() as f64 / heads.len() as f64;
        for errors in margins {
            let search = |row: &[u8], out: &mut Vec<_>| codes.search(heads, row, Within { k, errors }, out);
            let run = Run::of(search, queries, repeats);
            let name = format!("{spec} within {errors} errors, {code_bytes:.1} bytes per head");
            run.print(&name, k, 0, &flat.found);
        }
    }

    let pool = rayon::ThreadPoolBuilder::new().num_threads(args.threads).build()?;
    let (start, cpu_start) = (Instant::now(), process_cpu_seconds());
    let graph = HnswGraph::build(heads, &params, &pool, &|_| {}, &false.into())?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu_seconds = process_cpu_seconds() - cpu_start;
    let node_bytes = graph.memory_bytes() as f64 / heads.len() as f64;
    println!(
        "built in {seconds:.2} s on {} threads ({cpu_seconds:.2} s of processor time), {node_bytes:.1} bytes per head, {:?}",
        args.threads, params
    );
    let bytes = graph.to_bytes();
    let start = Instant::now();
    let opened = HnswGraph::from_bytes(&bytes, heads.count())?;
    println!("opened from {} bytes in {:.1} ms", bytes.len(), start.elapsed().as_secs_f64() * 1e3);

    let index = HeadIndex::Graph(opened);
    for &ef in &args.ef {
        let run = Run::of_index(&index, heads, queries, Reach { k, ef }, repeats);
        run.print("hnsw", k, ef, &flat.found);
    }
    Ok(())
}

/// How far a search looks: heads wanted, and candidates that a walk of the graph keeps.
#[derive(Clone, Copy)]
struct Reach {
    k: usize,
    ef: usize,
}

/// One way of searching, measured.
struct Run {
    found: Vec<Vec<(f32, u32)>>,
    /// Microseconds per query of each repeat, ascending.
    us_per_query: Vec<f64>,
    distances: f64,
}

impl Run {
    fn of_index(
        index: &HeadIndex,
        heads: &Heads,
        queries: &[&[u8]],
        Reach { k, ef }: Reach,
        repeats: u32,
    ) -> Run {
        let mut scratch = Scratch::new();
        let search =
            |row: &[u8], out: &mut Vec<_>| index.search(heads, &HeadQuery { row, k, ef }, &mut scratch, out);
        Run::of(search, queries, repeats)
    }

    /// `search` fills in the heads found and says how many distances it computed.
    fn of(
        mut search: impl FnMut(&[u8], &mut Vec<(f32, u32)>) -> u32,
        queries: &[&[u8]],
        repeats: u32,
    ) -> Run {
        let mut out = Vec::new();
        let (mut found, mut distances) = (Vec::new(), 0);
        for row in queries {
            distances += u64::from(search(row, &mut out));
            found.push(out.clone());
        }
        let mut times: Vec<f64> = (0..repeats)
            .map(|_| {
                let start = cpu_seconds();
                for row in queries {
                    search(row, &mut out);
                    std::hint::black_box(&out);
                }
                (cpu_seconds() - start) * 1e6 / queries.len() as f64
            })
            .collect();
        times.sort_by(f64::total_cmp);
        Run { found, us_per_query: times, distances: distances as f64 / queries.len() as f64 }
    }

    fn print(&self, name: &str, k: usize, ef: usize, truth: &[Vec<(f32, u32)>]) {
        let (mut hits, mut wanted) = (0, 0);
        for (found, truth) in self.found.iter().zip(truth) {
            let worst = truth.last().map_or(0.0, |t| t.0);
            hits += found.iter().filter(|f| f.0 <= worst).count();
            wanted += truth.len();
        }
        let recall = hits as f64 / wanted.max(1) as f64;
        println!(
            "{name} k {k} ef {ef}: recall {recall:.4}, {:.1} us (least {:.1}), {:.0} distances",
            self.us_per_query[self.us_per_query.len() / 2],
            self.us_per_query[0],
            self.distances
        );
    }
}

/// Seconds this thread has been running on a processor.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = stat.split_whitespace().next().and_then(|s| s.parse::<f64>().ok());
    nanoseconds.unwrap_or(f64::NAN) * 1e-9
}

/// Seconds of processor time of all threads so far, in steps of a hundredth.
fn process_cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The fields after the name, which ends at the last bracket; user and system time are the 14th and 15th.
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields = after_name.split_whitespace().map(|f| f.parse::<f64>().unwrap_or(0.0));
    fields.skip(11).take(2).sum::<f64>() / 100.0
}
