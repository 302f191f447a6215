//! Measures what documents of many vectors take: recall of the best 10 by MaxSim, by the documents that are compared exactly, and the lists that
//! are searched: by an encoding of the query, or by each of its tokens, and then by the vectors that a token keeps.
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
use spandrel_index::documents::{DocumentOffsets, EncodingSpec};
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
    /// How documents are encoded, once for each way
    #[arg(long, default_value = "muvera")]
    encoding: Vec<EncodingSpec>,
    /// Codes of the encodings
    #[arg(long, value_delimiter = ',', default_value = "rabitq:1")]
    encoding_codes: Vec<CodeSpec>,
    /// Lists that an encoding searches
    #[arg(long, value_delimiter = ',', default_value = "16,64,256,800,2000")]
    encoding_lists: Vec<u32>,
    /// Leave encodings out
    #[arg(long)]
    no_encodings: bool,
    /// Leave the lists of tokens out
    #[arg(long)]
    no_token_lists: bool,
    /// Folder on the disk to measure, which gets an index at a time [default: that for temporary files]
    #[arg(long)]
    scratch: Option<PathBuf>,
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
        let mut latencies: Vec<f32> = answers.iter().map(|answer| answer.latency_us).collect();
        latencies.sort_unstable_by(f32::total_cmp);
        let mean = |of: fn(&Answer) -> f64| answers.iter().map(of).sum::<f64>() / count;
        Ok(format!(
            "{recall:.3} | {:.1} | {:.1} | {:.0} | {:.0} | {:.0} | {:.0} | {:.2}",
            mean(|answer| answer.work.documents.into()),
            mean(|answer| answer.work.reads.into()),
            mean(|answer| answer.work.read_bytes as f64 / 1e3), // CAST: shown rounded
            mean(|answer| answer.work.vectors_scanned as f64),  // CAST: shown rounded
            mean(|answer| answer.work.candidates.into()),
            count / seconds,
            latencies[latencies.len() / 2] / 1e3
        ))
    }
}

/// One way to find documents: by lists of tokens, or by encodings.
struct Way<'a> {
    encoding: Option<EncodingSpec>,
    code: CodeSpec,
    lists: &'a [u32],
    tokens: &'a [u32],
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
    for &encoding in args.encoding.iter().filter(|_| !args.no_encodings) {
        for &code in &args.encoding_codes {
            // What tokens keep is not asked of encodings.
            let way = Way { encoding: Some(encoding), code, lists: &args.encoding_lists, tokens: &[1] };
            measure(&args, &set, &way)?;
        }
    }
    for &code in args.codes.iter().filter(|_| !args.no_token_lists) {
        measure(&args, &set, &Way { encoding: None, code, lists: &args.lists, tokens: &args.tokens })?;
    }
    Ok(())
}

/// Builds an index and measures every point.
fn measure(args: &Args, set: &Set, way: &Way<'_>) -> Result<()> {
    let folder = match &args.scratch {
        Some(scratch) => tempfile::tempdir_in(scratch),
        None => tempfile::tempdir(),
    };
    let folder = folder.context("a folder for an index")?;
    let out = folder.path().join("index");
    let started = Instant::now();
    let input =
        Input { documents: Some(&set.documents), document_encoding: way.encoding, ..Input::of(&set.base) };
    let choice = Choice::of(VectorShape::of_input(input, Metric::InnerProduct), way.code, Tier::Memory);
    let asked = config(Metric::InnerProduct, &choice, &out, args.threads);
    build(input, &asked, &Silent, &AtomicBool::new(false)).context("building")?;
    let built = started.elapsed().as_secs_f64();
    let config = EngineConfig { threads: args.threads, ..EngineConfig::default() };
    let engine = Engine::open(Arc::new(Index::open(&out)?), config)?;
    let index = engine.index();
    let (documents, tokens) = (set.documents.documents() as f64, set.base.len() as f64); // CAST: shown rounded
    let (memory, disk) = (index.memory().total() as f64, index.manifest().index_bytes() as f64); // CAST: as above
    let by = way.encoding.map_or("tokens".to_owned(), |encoding| encoding.to_string());
    println!(
        "\n{by} in {}, {} lists, built in {built:.1} s: of memory {:.0} bytes a document, {:.1} a token; of disk {:.0} and {:.1}",
        way.code,
        index.lists(),
        memory / documents,
        memory / tokens,
        disk / documents,
        disk / tokens,
    );
    println!(
        "| lists | kept | to compare | recall | documents | reads | kB | codes | found | QPS | p50 ms |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for &max_lists in way.lists {
        for &tokens in way.tokens {
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
    Ok(())
}
