//! Measures what `builder/src/measured.rs` expects a layout to ask of the disk: lists, reads and bytes of a query at
//! recall@10 of 0.95, as constants to put there. What exact distances take by bytes of a code is measured by `codes`.
//!
//! ```text
//! cargo run --release -p spandrel-benches --bin layouts -- --data DIR
//! ```
//! `DIR` holds a folder `sift1m`, or the one that `--set` names, with `base.*bin`, `query.*bin` and `truth.ibin`.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use clap::Parser;
use spandrel_benches::set::{Effort, K, Set};
use spandrel_builder::{Choice, Input, Silent, VectorShape, build};
use spandrel_engine::{Answer, Distances, Engine, EngineConfig, Rerank, SearchParams};
use spandrel_index::codes::CodeSpec;
use spandrel_index::{Index, Metric, OpenOptions, Tier, VectorSource};

/// Recall to reach.
const RECALL: f64 = 0.95;
/// Standard errors tried, those of the default first: more where no number of lists reaches the recall.
const ERRORS: [f32; 4] = [0.9, 1.3, 1.8, 2.5];
/// Lists tried.
const LISTS: [u32; 13] = [8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512];

#[derive(Debug, Parser)]
#[command(about = "Measures what a layout asks of the disk")]
struct Args {
    /// Folder with the set
    #[arg(long)]
    data: PathBuf,
    /// The set
    #[arg(long, default_value = "sift1m")]
    set: String,
    /// Its metric
    #[arg(long, default_value_t = Metric::L2)]
    metric: Metric,
    #[command(flatten)]
    effort: Effort,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let set = Set::open(&args.data, &args.set, args.metric, args.effort.queries)?;
    let shape = VectorShape::of(&set.base, set.metric);
    let (full, coded) =
        (Choice::of(shape, CodeSpec::Full, Tier::Ssd), Choice::for_memory(shape, f64::MIN_POSITIVE));
    println!("// {} x {} {}, {} queries", shape.vectors, shape.dim, shape.dtype, set.queries.len());
    let memory = Choice::for_memory(shape, 40.0);
    let in_memory = Built::new(&set, &memory, &args)?.at_recall(&set)?;
    println!("// {} in memory, lists of {}: {in_memory:?}", memory.code, memory.list_size);
    println!("MAX_LISTS_MEMORY = {:.0}", in_memory.lists);

    let built = Built::new(&set, &coded, &args)?;
    let found = built.at_recall(&set)?;
    let lists = built.of_lists(&set, found.lists.round() as u32)?; // CAST: at most LISTS
    println!("// {} on SSD, lists of {}: {found:?}", coded.code, coded.list_size);
    println!("SSD_LISTS = {:.1}", found.lists);
    println!("SSD_LIST_READS = {:.1}", lists.reads);
    println!("SSD_GAPS = {:.3}", lists.bytes / (lists.lists * built.list_bytes()));

    let found = Built::new(&set, &full, &args)?.at_recall(&set)?;
    println!("// exact vectors, lists of {}: {found:?}", full.list_size);
    println!("FULL_LISTS = {:.1}", found.lists);
    println!("FULL_READS = {:.1}", found.reads);
    Ok(())
}

/// Means over queries.
#[derive(Debug, Clone, Copy)]
struct Found {
    recall: f64,
    lists: f64,
    reads: f64,
    bytes: f64,
}

impl Found {
    fn of(set: &Set, answers: &[Answer]) -> Found {
        let mean = |of: &dyn Fn(usize) -> f64| {
            (0..answers.len()).map(of).sum::<f64>() / answers.len() as f64 // CAST: a mean, here and below
        };
        let hits = |query: usize| {
            let hits = set.hits(query);
            answers[query].neighbours.iter().filter(|found| hits.contains(&found.id)).count() as f64
        };
        Found {
            recall: mean(&hits) / K as f64,
            lists: mean(&|query| answers[query].work.lists.into()),
            reads: mean(&|query| answers[query].work.reads.into()),
            bytes: mean(&|query| answers[query].work.read_bytes as f64),
        }
    }

    /// Between two, where the recall is [`RECALL`].
    fn between(self, after: Found) -> Found {
        let share = (RECALL - self.recall) / (after.recall - self.recall);
        let mix = |a: f64, b: f64| a + share * (b - a);
        Found {
            recall: RECALL,
            lists: mix(self.lists, after.lists),
            reads: mix(self.reads, after.reads),
            bytes: mix(self.bytes, after.bytes),
        }
    }
}

/// An index of the set in a folder of its own.
struct Built {
    engine: Engine,
    _folder: tempfile::TempDir,
}

impl Built {
    fn new(set: &Set, choice: &Choice, args: &Args) -> Result<Built> {
        let folder = tempfile::tempdir().context("a folder for an index")?;
        let out = folder.path().join("index");
        build_index(set, choice, &out, args.effort.threads)?;
        // With ids in memory, so that estimates can be asked for.
        let options = OpenOptions { ids: choice.code != CodeSpec::Full, ..OpenOptions::default() };
        let index = Arc::new(Index::open_with(&out, options)?);
        let config = EngineConfig { threads: args.effort.threads, ..EngineConfig::default() };
        Ok(Built { engine: Engine::open(index, config)?, _folder: folder })
    }

    /// The least lists of [`LISTS`], and between, that reach the recall, at the first of [`ERRORS`] that do.
    fn at_recall(&self, set: &Set) -> Result<Found> {
        for errors in ERRORS {
            let mut before: Option<Found> = None;
            for lists in LISTS {
                let rerank = Some(Rerank::Errors(errors));
                let params = SearchParams { max_lists: Some(lists), rerank, ..SearchParams::new(K) };
                let found = Found::of(set, &self.engine.search(set.queries.bytes(), &params)?);
                if found.recall >= RECALL {
                    return Ok(before.map_or(found, |before| before.between(found)));
                }
                before = Some(found);
            }
        }
        anyhow::bail!("{LISTS:?} lists with {ERRORS:?} errors do not reach a recall of {RECALL}")
    }

    /// What `lists` lists alone take, no vector being compared exactly.
    fn of_lists(&self, set: &Set, lists: u32) -> Result<Found> {
        let params = SearchParams {
            max_lists: Some(lists),
            rerank: Some(Rerank::Errors(0.0)),
            distances: Distances::Any,
            ..SearchParams::new(K)
        };
        Ok(Found::of(set, &self.engine.search(set.queries.bytes(), &params)?))
    }

    /// Bytes of a mean list.
    fn list_bytes(&self) -> f64 {
        let index = self.engine.index();
        let bytes: u64 = index.segments().iter().map(|segment| segment.codes.body_bytes).sum();
        bytes as f64 / f64::from(index.lists())
    }
}

fn build_index(set: &Set, choice: &Choice, out: &Path, threads: usize) -> Result<()> {
    let config = set.config(choice, out, threads);
    let input = Input::of(&set.base);
    build(input, &config, &Silent, &AtomicBool::new(false)).context("building")?;
    Ok(())
}
