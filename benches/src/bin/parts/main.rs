//! Measures stores of parts: several indexes that are searched as one, an index that is joined with itself, and answers that are fused.
//!
//! ```text
//! cargo run --release -p spandrel-benches --bin parts -- --data DIR
//! ```
//! `DIR` holds a folder `sift1m`, or the one that `--set` names, with `base.*bin`, `query.*bin` and `truth.ibin` by squared L2. Everything
//! is in memory.
mod fused;
mod joined;
mod united;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Parser;
use spandrel_benches::set::{Effort, K, Set};
use spandrel_index::{Metric, VectorSource as _};

use crate::united::{Question, United};

#[derive(Debug, Parser)]
#[command(about = "Measures indexes that are searched as one, joins and fused answers")]
struct Args {
    /// Folder with the set
    #[arg(long)]
    data: PathBuf,
    /// The set
    #[arg(long, default_value = "sift1m")]
    set: String,
    /// Indexes that the vectors lie in
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8")]
    parts: Vec<usize>,
    /// Recall asked for
    #[arg(long, value_delimiter = ',', default_value = "0.9,0.95,0.99")]
    recall: Vec<f64>,
    /// Queries for which every vector of every list is compared
    #[arg(long, default_value_t = 50)]
    exact: usize,
    /// Vectors of the set that are searched for, to compare with a join of all of them
    #[arg(long, default_value_t = 100_000)]
    joined: usize,
    #[command(flatten)]
    effort: Effort,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let set = Set::open(&args.data, &args.set, Metric::L2, args.effort.queries)?;
    let most = set.base.len() / 1000;
    // CAST: widening
    ensure!(args.parts.iter().all(|&parts| (1..=most).contains(&(parts as u64))), "--parts: 1 to {most}");
    println!("{}: {} vectors, {} queries", set.name, set.base.len(), set.queries.len());
    let one = United::build(&set, 1, args.effort.threads)?;
    as_one(&args, &set, &one)?;
    joined::measure(&one, &set, args.joined, args.effort.threads)
}

/// One index and several: what they find with all lists, and at a recall that is asked for, and what comes of ranks alone.
fn as_one(args: &Args, set: &Set, one: &United) -> Result<()> {
    let all = set.some(|number| number < args.exact)?;
    let expected = one.search(&all.rows, &Question::all())?;
    println!("\n| indexes | lists | asked | recall | QPS | codes | compared | fused by rank |");
    println!("|---|---|---|---|---|---|---|---|");
    let mut equal = Vec::new();
    for &parts in &args.parts {
        let several = if parts == 1 { None } else { Some(United::build(set, parts, args.effort.threads)?) };
        let several = several.as_ref().unwrap_or(one);
        let found = several.search(&all.rows, &Question::all())?;
        let same =
            found.answers.iter().zip(&expected.answers).filter(|(of, one)| of.neighbours == one.neighbours);
        equal.push(format!("{} of {} with {parts}", same.count(), expected.answers.len()));
        for &asked in &args.recall {
            let found = several.search(&set.queries, &Question::recall(asked))?;
            let fused = fused::recall(set, &found.parts)?;
            println!("| {parts} | {} | {asked} | {} | {fused:.3} |", several.lists(), found.row(set)?);
        }
    }
    println!(
        "\nids and distances of the best {K} equal those of one index, all lists searched and all vectors compared: {}",
        equal.join(", ")
    );
    Ok(())
}
