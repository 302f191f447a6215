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

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use rand::SeedableRng;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use spandrel_index::codes::CodeSpec;
use spandrel_index::heads::{PackedHeads, Scratch};
use spandrel_index::kernels::Variant;
use spandrel_index::{DType, HeadIndex, HeadQuery, Heads, HnswGraph, HnswParams};

use crate::codes::HeadCodes;

/// Codes of heads that are scanned, and standard errors within which they are compared exactly.
const CODES: [(CodeSpec, [f32; 2]); 2] =
    [(CodeSpec::Axes { bytes: 32 }, [0.5, 1.0]), (CodeSpec::Axes { bytes: 64 }, [0.5, 1.0])];

/// What to measure.
struct Options {
    data: PathBuf,
    heads: usize,
    k: usize,
    efs: Vec<usize>,
    params: HnswParams,
    threads: usize,
    queries: usize,
    repeats: usize,
}

fn main() -> ExitCode {
    match options().and_then(|o| measure(&o)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        data: PathBuf::new(),
        heads: 40_000,
        k: 64,
        efs: vec![64, 80, 100, 128, 160, 200],
        params: HnswParams::default(),
        threads: 2,
        queries: 2000,
        repeats: 3,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{flag}: a value must follow"))?;
        let number = || value.parse::<usize>().map_err(|e| format!("{flag} {value}: {e}"));
        match flag.as_str() {
            "--data" => options.data = PathBuf::from(&value),
            "--heads" => options.heads = number()?,
            "--k" => options.k = number()?,
            "--m" => options.params.m = number()?,
            "--ef-construction" => options.params.ef_construction = number()?,
            "--threads" => options.threads = number()?,
            "--queries" => options.queries = number()?,
            "--repeats" => options.repeats = number()?.max(1),
            "--ef" => {
                let list: Result<Vec<usize>, _> = value.split(',').map(str::parse).collect();
                options.efs = list.map_err(|e| format!("{flag} {value}: {e}"))?;
            }
            _ => return Err(format!("{flag}: unknown flag")),
        }
    }
    if options.data.as_os_str().is_empty() {
        return Err("--data DIR is missing, a folder with base.u8bin and query.u8bin".to_owned());
    }
    Ok(options)
}

/// The dimension and the rows of a u8bin file.
fn rows_of(path: &Path) -> Result<(usize, Vec<u8>), String> {
    let refuse = |e: std::io::Error| format!("{}: {e}", path.display());
    let mut file = BufReader::new(File::open(path).map_err(refuse)?);
    let mut header = [[0; 4]; 2];
    file.read_exact(header.as_flattened_mut()).map_err(refuse)?;
    let mut rows = Vec::new();
    file.read_to_end(&mut rows).map_err(refuse)?;
    Ok((u32::from_le_bytes(header[1]) as usize, rows))
}

fn measure(options: &Options) -> Result<(), String> {
    let (dim, base) = rows_of(&options.data.join("base.u8bin"))?;
    let (query_dim, queries) = rows_of(&options.data.join("query.u8bin"))?;
    if dim != query_dim || dim == 0 {
        return Err(format!("base of dimension {dim}, queries of {query_dim}"));
    }
    let base_count = base.len() / dim;
    if options.heads > base_count {
        return Err(format!("--heads {}: the base has {base_count} vectors", options.heads));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut rows = Vec::with_capacity(options.heads * dim);
    for at in sample(&mut rng, base_count, options.heads) {
        rows.extend_from_slice(&base[at * dim..][..dim]);
    }
    let heads = Heads::from_rows(DType::U8, dim, &rows).map_err(|e| e.to_string())?;
    let queries: Vec<&[u8]> = queries.chunks_exact(dim).take(options.queries).collect();
    println!("heads {} dim {dim} u8, kernels {}, {} queries", heads.len(), Variant::best(), queries.len());

    let flat = Run::of_index(&HeadIndex::Flat, &heads, &queries, (options.k, 0), options.repeats);
    flat.print("flat", options.k, 0, &flat.found);
    for variant in Variant::available().into_iter().filter(|&v| v != Variant::Scalar) {
        let packed = PackedHeads::with_variant(&heads, variant);
        let packed_bytes = packed.memory_bytes() as f64 / heads.len() as f64;
        let run =
            Run::of_index(&HeadIndex::Packed(packed), &heads, &queries, (options.k, 0), options.repeats);
        run.print(&format!("packed {variant} {packed_bytes:.1} bytes per head"), options.k, 0, &flat.found);
    }
    for (spec, margins) in CODES {
        let mut codes = HeadCodes::new(&heads, spec)?;
        let code_bytes = codes.memory_bytes() as f64 / heads.len() as f64;
        for errors in margins {
            let search = |row: &[u8], out: &mut Vec<_>| codes.search(&heads, (row, options.k, errors), out);
            let run = Run::of(search, &queries, options.repeats);
            let name = format!("{spec} within {errors} errors, {code_bytes:.1} bytes per head");
            run.print(&name, options.k, 0, &flat.found);
        }
    }

    let pool =
        rayon::ThreadPoolBuilder::new().num_threads(options.threads).build().map_err(|e| e.to_string())?;
    let (start, cpu_start) = (Instant::now(), process_cpu_seconds());
    let graph = HnswGraph::build(&heads, &options.params, &pool, &|_| {}, &false.into())
        .map_err(|e| e.to_string())?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu_seconds = process_cpu_seconds() - cpu_start;
    let node_bytes = graph.memory_bytes() as f64 / heads.len() as f64;
    println!(
        "built in {seconds:.2} s on {} threads ({cpu_seconds:.2} s of processor time), {node_bytes:.1} bytes per head, {:?}",
        options.threads, options.params
    );
    let bytes = graph.to_bytes();
    let start = Instant::now();
    let opened = HnswGraph::from_bytes(&bytes, heads.count()).map_err(|e| e.to_string())?;
    println!("opened from {} bytes in {:.1} ms", bytes.len(), start.elapsed().as_secs_f64() * 1e3);

    let index = HeadIndex::Graph(opened);
    for &ef in &options.efs {
        let run = Run::of_index(&index, &heads, &queries, (options.k, ef), options.repeats);
        run.print("hnsw", options.k, ef, &flat.found);
    }
    Ok(())
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
        (k, ef): (usize, usize),
        repeats: usize,
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
        repeats: usize,
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
