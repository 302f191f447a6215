//! Measures what documents of many vectors take: recall of the best 10 by MaxSim, by the documents that are compared exactly, the lists that
//! each token searches, and the vectors that it keeps.
//!
//! ```text
//! cargo run --release -p spandrel-benches --bin documents -- --data DIR
//! ```
//! `DIR` holds a folder `tokens8k`, or the one that `--set` names, with tokens in `base.*bin` and `query.*bin`, their offsets in
//! `documents.ibin` and `query-documents.ibin`, and `truth.ibin` of `data truth --documents`.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use spandrel_benches::set::{K, config, find};
use spandrel_builder::{Choice, Input, Silent, VectorShape, build};
use spandrel_datasets::{Rows, Truth, VectorFile, read_documents};
use spandrel_engine::{Answer, DocumentParams, Engine, EngineConfig, recall};
use spandrel_index::codes::CodeSpec;
use spandrel_index::documents::DocumentOffsets;
use spandrel_index::{Index, Metric, Tier, VectorSource};

#[derive(Debug, Parser)]
#[command(about = "Measures what documents of many vectors take")]
struct Args {
    /// Folder with the set
    #[arg(long)]
    data: PathBuf,
    /// The set
    #[arg(long, default_value = "tokens8k")]
    set: String,
    /// Codes of the tokens
    #[arg(long, value_delimiter = ',', default_value = "axes:32")]
    codes: Vec<CodeSpec>,
    /// Documents compared exactly
    #[arg(long, value_delimiter = ',', default_value = "20,40,60,100,200")]
    rerank: Vec<u32>,
    /// Lists that each token searches
    #[arg(long, value_delimiter = ',', default_value = "4,8,16,32")]
    lists: Vec<u32>,
    /// Vectors that each token keeps
    #[arg(long, value_delimiter = ',', default_value = "300,1000,3000")]
    tokens: Vec<u32>,
    /// Threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

/// Tokens and their documents.
struct Set {
    base: Rows,
    documents: DocumentOffsets,
    queries: Rows,
    query_documents: DocumentOffsets,
    truth: Truth,
}

impl Set {
    fn open(folder: &Path) -> Result<Set> {
        let rows = |name| -> Result<Rows> { Ok(Rows::read(&VectorFile::open(find(folder, name)?)?)?) };
        let (base, queries) = (rows("base")?, rows("query")?);
        let documents = read_documents(folder.join("documents.ibin"), base.len())?;
        let query_documents = read_documents(folder.join("query-documents.ibin"), queries.len())?;
        let truth = Truth::open(folder.join("truth.ibin"))?;
        let (count, known) = (query_documents.documents(), documents.documents());
        truth.validate(count as u64, known as u64)?; // CAST: usize is 64 bits here
        ensure!(truth.k >= K, "the truth has {} documents, {K} needed", truth.k);
        Ok(Set { base, documents, queries, query_documents, truth })
    }

    /// The recall of answers, and the means of what they took.
    fn row(&self, answers: &[Answer], seconds: f64) -> Result<String> {
        let known = spandrel_engine::Truth {
            ids: &self.truth.ids,
            distances: self.truth.distances.as_deref().unwrap_or_default(),
            columns: self.truth.k,
        };
        let recall = recall(Metric::InnerProduct, answers, known, K)?;
        let count = answers.len() as f64; // CAST: small
        let mean = |of: fn(&Answer) -> f64| answers.iter().map(of).sum::<f64>() / count;
        Ok(format!(
            "{recall:.3} | {:.1} | {:.1} | {:.0} | {:.0} | {:.0} | {:.0}",
            mean(|answer| answer.work.documents.into()),
            mean(|answer| answer.work.reads.into()),
            mean(|answer| answer.work.read_bytes as f64 / 1e3), // CAST: shown rounded
            mean(|answer| answer.work.vectors_scanned as f64),  // CAST: shown rounded
            mean(|answer| answer.work.candidates.into()),
            count / seconds
        ))
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    let set = Set::open(&args.data.join(&args.set))?;
    println!(
        "{} documents of {} x {} {}, {} query documents of {} tokens; recall of the best {K} by MaxSim, {} threads",
        set.documents.documents(),
        set.base.len(),
        set.base.dim(),
        set.base.dtype(),
        set.query_documents.documents(),
        set.queries.len(),
        args.threads
    );
    for &code in &args.codes {
        let folder = tempfile::tempdir().context("a folder for an index")?;
        let out = folder.path().join("index");
        let started = Instant::now();
        let choice = Choice::of(VectorShape::of(&set.base, Metric::InnerProduct), code, Tier::Memory);
        build(
            Input { documents: Some(&set.documents), ..Input::of(&set.base) },
            &config(Metric::InnerProduct, &choice, &out, args.threads),
            &Silent,
            &AtomicBool::new(false),
        )
        .context("building")?;
        let built = started.elapsed().as_secs_f64();
        let config = EngineConfig { threads: args.threads, ..EngineConfig::default() };
        let engine = Engine::open(Arc::new(Index::open(&out)?), config)?;
        let index = engine.index();
        println!(
            "\n{code}, {} lists, built in {built:.1} s: {:.1} bytes of memory and {:.1} of disk a token",
            index.lists(),
            index.memory().total() as f64 / index.vectors() as f64, // CAST: shown rounded
            index.manifest().index_bytes() as f64 / index.vectors() as f64, // CAST: as above
        );
        println!("| lists | kept | to compare | recall | documents | reads | kB | codes | found | QPS |");
        println!("|---|---|---|---|---|---|---|---|---|---|");
        for &max_lists in &args.lists {
            for &tokens in &args.tokens {
                for &rerank in &args.rerank {
                    let params = DocumentParams {
                        max_lists: Some(max_lists),
                        tokens: Some(tokens),
                        rerank: Some(rerank),
                        ..DocumentParams::new(K)
                    };
                    let started = Instant::now();
                    let answers = engine.search_documents(
                        set.queries.bytes(),
                        &set.query_documents,
                        &params,
                        &Arc::new(AtomicBool::new(false)),
                    )?;
                    let row = set.row(&answers, started.elapsed().as_secs_f64())?;
                    println!("| {max_lists} | {tokens} | {rerank} | {row} |");
                }
            }
        }
    }
    Ok(())
}
