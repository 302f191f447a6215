//! Measures what a column is worth: recall of the true neighbours by whole vectors. Lists and codes are made of the first principal
//! components of the vectors, and candidates are compared by whole vectors. Beside it, at the same number of vectors compared: the
//! components alone, and codes of the same size made of the whole vectors.
//!
//! ```text
//! cargo run --release -p spandrel-benches --bin columns -- --data DIR
//! ```
//! `DIR` holds a folder `text50k`, or the one that `--set` names, with `base.*bin`, `query.*bin` and `truth.ibin` by inner product.
mod components;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use clap::Parser;
use spandrel_benches::set::{Effort, K, Set};
use spandrel_builder::{Choice, Column, Input, Silent, VectorShape, build};
use spandrel_datasets::Rows;
use spandrel_engine::{Engine, EngineConfig, QueryRows, Rerank, SearchParams, recall};
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::VectorsOf;
use spandrel_index::{Index, Metric, Tier, VectorSource};

use components::Components;

/// Vectors compared.
const COUNTS: [u32; 7] = [10, 20, 50, 100, 200, 400, 800];

#[derive(Debug, Parser)]
#[command(about = "Measures what a column is worth")]
struct Args {
    /// Folder with the set
    #[arg(long)]
    data: PathBuf,
    /// The set
    #[arg(long, default_value = "text50k")]
    set: String,
    /// Principal components that lists and codes are made of
    #[arg(long, default_value_t = 64)]
    dim: usize,
    /// Codes of both
    #[arg(long, value_delimiter = ',', default_value = "axes:12,pq:12x8")]
    codes: Vec<CodeSpec>,
    #[command(flatten)]
    effort: Effort,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let set = Set::open(&args.data, &args.set, Metric::InnerProduct, args.effort.queries)?;
    let components = Components::of(&set.base, args.dim);
    let (base, queries) = (components.project(&set.base)?, components.project(&set.queries)?);
    let (vectors, whole) = (set.base.len(), set.base.dim());
    println!(
        "{vectors} x {whole}, {} queries; {} components hold {:.3} of the squared length; every list is searched",
        set.queries.len(),
        args.dim,
        components.share
    );
    for &code in &args.codes {
        let fine = Built::new(&set, &set.base, None, (code, args.effort.threads))?;
        let coarse = Built::new(&set, &base, Some(&set.base), (code, args.effort.threads))?;
        println!("\n{code} of {}: {:.1} bytes of memory a vector", args.dim, coarse.memory());
        println!("{code} of {whole}: {:.1} bytes of memory a vector", fine.memory());
        println!("| compared | {} components alone | compared in the column | {code} of {whole} |", args.dim);
        println!("|---|---|---|---|");
        for count in COUNTS {
            let alone = coarse.recall(&set, QueryRows { main: queries.bytes(), column: None }, count)?;
            let column = Some(set.queries.bytes());
            let compared = coarse.recall(&set, QueryRows { main: queries.bytes(), column }, count)?;
            let of_whole = fine.recall(&set, set.queries.bytes().into(), count)?;
            println!("| {count} | {alone:.3} | {compared:.3} | {of_whole:.3} |");
        }
    }
    Ok(())
}

/// An index in a folder of its own.
struct Built {
    engine: Engine,
    _folder: tempfile::TempDir,
}

impl Built {
    /// Of vectors by inner product, with a column if one is given.
    fn new(set: &Set, base: &Rows, fine: Option<&Rows>, (code, threads): (CodeSpec, usize)) -> Result<Built> {
        let folder = tempfile::tempdir().context("a folder for an index")?;
        let out = folder.path().join("index");
        let choice = Choice::of(VectorShape::of(base, set.metric), code, Tier::Memory);
        let column =
            fine.map(|vectors| Column { name: "fine", vectors, metric: set.metric, keep_main: true });
        let input = Input { column, ..Input::of(base) };
        build(input, &set.config(&choice, &out, threads), &Silent, &AtomicBool::new(false))
            .context("building")?;
        let config = EngineConfig { threads, ..EngineConfig::default() };
        Ok(Built { engine: Engine::open(Arc::new(Index::open(&out)?), config)?, _folder: folder })
    }

    /// Recall of the set's neighbours where `count` vectors of all lists are compared.
    fn recall(&self, set: &Set, rows: QueryRows<'_>, count: u32) -> Result<f64> {
        let by_column = rows.column.is_some();
        let params = SearchParams {
            max_lists: Some(u32::MAX),
            rerank: Some(Rerank::Count(count)),
            compare_by: if by_column { VectorsOf::Column } else { VectorsOf::Main },
            ..SearchParams::new(K)
        };
        let answers = self.engine.search_until(rows, &params, &Arc::new(AtomicBool::new(false)))?;
        Ok(recall(set.metric, &answers, set.truth(), K)?)
    }

    /// Bytes of memory for each vector while searching.
    fn memory(&self) -> f64 {
        let index = self.engine.index();
        index.memory().total() as f64 / index.vectors() as f64 // CAST: shown rounded
    }
}
