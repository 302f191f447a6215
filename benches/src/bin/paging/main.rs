//! Replays traces of requests for pages on caches of pages: share of the requests that find their page, for the policies of the engine beside the
//! least recently used (LRU) and an optimal cache that knows the future.
//!
//! ```text
//! cargo run --release -p spandrel-benches --bin paging -- --data DIR
//! ```
//! Some traces are made. With `--data` others are recorded: the pages that queries of a set compare vectors of, where queries come as
//! often as Zipf's law with an exponent of 0.9 says, or each as often as any other.
mod peers;
mod recorded;
mod traces;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use spandrel_benches::set::Effort;
use spandrel_engine::paging::{Clock, Guarded, Predictor, Trusting};
use spandrel_index::Metric;

use peers::{Lru, Optimal};
use traces::Trace;

/// Slots of the caches, as shares of the pages that a trace asks for.
const SHARES: [f64; 4] = [0.02, 0.05, 0.1, 0.25];
/// Shares of an optimal cache's bits that are turned round, to show what wrong predictions cost.
const WRONG: [f64; 3] = [0.0, 0.01, 0.1];

#[derive(Debug, Parser)]
#[command(about = "Measures policies of a cache of pages")]
struct Args {
    /// Folder with sets; without it traces are made, none recorded
    #[arg(long)]
    data: Option<PathBuf>,
    /// The set
    #[arg(long, default_value = "sift1m")]
    set: String,
    /// Metric of the set
    #[arg(long, default_value = "l2")]
    metric: Metric,
    /// Requests of a trace
    #[arg(long, default_value_t = 1_000_000)]
    requests: usize,
    #[command(flatten)]
    effort: Effort,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut all = traces::made(args.requests);
    if let Some(data) = &args.data {
        all.extend(recorded::traces(data, (&args.set, args.metric), args.effort, args.requests)?);
    }
    println!(
        "Shares of requests that are hits. 'bits': those of an optimal cache, of which a share is wrong.\n"
    );
    print!("| trace | pages | slots | LRU | clock | predicted | optimal |");
    WRONG.iter().for_each(|share| print!(" bits, {share} wrong |"));
    println!(" all wrong |\n|---|---|---|---|---|---|---|{}", "---|".repeat(WRONG.len() + 1));
    for trace in &all {
        for share in SHARES {
            row(trace, share);
        }
    }
    Ok(())
}

fn row(trace: &Trace, share: f64) {
    let slots = ((trace.pages() as f64 * share) as usize).max(1); // CAST: rounded on purpose
    let mut lru = Lru::new(slots);
    let mut clock = Clock::new(slots);
    let mut guarded = Guarded::new(slots);
    let mut predictor = Predictor::new(slots);
    let optimal = Optimal::of(&trace.requests, slots);
    print!(
        "| {} | {} | {slots} | {:.4} | {:.4} | {:.4} | {:.4} |",
        trace.name,
        trace.pages(),
        trace.hits(|_, page| lru.request(page)),
        trace.hits(|_, page| clock.request(page).held),
        trace.hits(|_, page| guarded.request(page, predictor.again(page)).held),
        optimal.hits,
    );
    for wrong in WRONG {
        let bits = traces::with_errors(&optimal.again, wrong);
        let mut trusting = Trusting::new(slots);
        print!(" {:.4} |", trace.hits(|at, page| trusting.request(page, bits[at]).held));
    }
    let mut guarded = Guarded::new(slots);
    println!(" {:.4} |", trace.hits(|at, page| guarded.request(page, !optimal.again[at]).held));
}
