//! Measures what a sample of real queries is worth: the share of the vectors whose codes are scanned for a recall of 0.95, of indexes
//! that are built without and with it. Queries that are unlike the vectors, and queries like them. With `--codes` it measures what codes
//! that know the queries of the sample are worth beside plain ones: the pages read for a recall of 0.95.
//!
//! ```text
//! cargo run --release -p spandrel-benches --bin sample -- --data DIR [--codes axes:8,pq:16x4+opq]
//! ```
//! `DIR` holds folders with `base.*bin`, `query.*bin` and `truth.ibin`: `kv32` with `sample.*bin` beside by inner product, and `sift1m`
//! by squared L2, of whose queries the first half is measured with and the second is the sample.
mod building;
mod codes;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Parser;
use spandrel_benches::set::{Set, SomeQueries};
use spandrel_builder::{Choice, VectorShape};
use spandrel_datasets::{Rows, VectorFile};
use spandrel_engine::{Engine, EngineConfig, SearchParams, recall};
use spandrel_index::{Index, Metric, VectorSource};

use crate::building::{ASKED, Args, Building, WANTED, at, build};

/// Bytes of memory for a vector while searching, about what the command builds for by default.
const SEARCH_BYTES: f64 = 40.0;
fn main() -> Result<()> {
    let args = Args::parse();
    if args.codes.is_empty() {
        println!("| set | lists | own lists | wanted | foreseen | top 10 at 0.95 | top 100 at 0.95 |");
        println!("|---|---|---|---|---|---|---|");
    } else {
        codes::head();
    }
    for name in &args.foreign {
        let set = Set::open(&args.data, name, Metric::InnerProduct, usize::MAX)?;
        let sample = Rows::read(&VectorFile::open(sample_file(&args.data.join(name))?)?)?;
        measure(&args, &set, &set.some(|_| true)?, &sample)?;
    }
    for name in &args.like {
        let set = Set::open(&args.data, name, Metric::L2, usize::MAX)?;
        let half = set.queries.len() as usize / 2; // CAST: they are in memory
        let sample = set.some(|number| number >= half)?.rows;
        measure(&args, &set, &set.some(|number| number < half)?, &sample)?;
    }
    Ok(())
}

fn sample_file(folder: &Path) -> Result<PathBuf> {
    let names = ["u8bin", "i8bin", "f16bin", "fbin"].map(|kind| folder.join(format!("sample.{kind}")));
    let expected = format!("no sample.*bin in {}", folder.display());
    names.into_iter().find(|path| path.exists()).context(expected)
}

/// Without the sample and with it, or codes that know it beside plain ones.
fn measure(args: &Args, set: &Set, test: &SomeQueries, sample: &Rows) -> Result<()> {
    if !args.codes.is_empty() {
        return codes::compare(args, set, test, sample);
    }
    for sample in [None, Some(sample)] {
        let folder = tempfile::tempdir()?;
        let dir = folder.path().join("index");
        let choice = Choice::for_memory(VectorShape::of(&set.base, set.metric), SEARCH_BYTES);
        build(args, set, Building { choice: &choice, sample, plain_codes: false }, &dir)?;
        let index = Arc::new(Index::open(&dir)?);
        let config = EngineConfig { threads: args.threads, ..EngineConfig::default() };
        let engine = Engine::open(Arc::clone(&index), config)?;
        let share = |k: usize| -> Result<String> {
            let mut points = Vec::new();
            for asked in ASKED {
                let params = SearchParams { recall: Some(asked), ..SearchParams::new(k) };
                let answers = engine.search(test.rows.bytes(), &params)?;
                let scanned: u64 = answers.iter().map(|answer| answer.work.vectors_scanned).sum();
                let all = answers.len() as f64 * index.vectors() as f64; // CAST: exact to 2^53, here and below
                points.push((recall(set.metric, &answers, test.truth(), k)?, scanned as f64 / all));
            }
            Ok(at(&points, WANTED)
                .map_or("not reached".to_owned(), |share| format!("{:.2} %", 100.0 * share)))
        };
        let (ten, hundred) = (share(10)?, share(100)?);
        let record = index.manifest().build.query_sample.as_ref();
        let percent = |part: u64, of: u64| format!("{:.1} %", 100.0 * part as f64 / of.max(1) as f64);
        let [own, wanted, foreseen] = match record {
            None => ["no sample", "", ""].map(str::to_owned),
            Some(of) => [
                if of.own_lists { "yes" } else { "no" }.to_owned(),
                percent(of.wanted, index.vectors()),
                percent(of.foreseen, of.foreseen_of),
            ],
        };
        println!("| {} | {} | {own} | {wanted} | {foreseen} | {ten} | {hundred} |", set.name, index.lists());
    }
    Ok(())
}
