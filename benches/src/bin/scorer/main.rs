//! Measures what vectors from scores are worth: recall of what a scorer finds best, by the number of items it scores. Beside it the
//! baseline: the encoder's own inner products choose what is scored, with the whole budget. The scorer is
//! [`PairNetwork`](spandrel_benches::PairNetwork) of one seed.
//!
//! ```text
//! cargo run --release -p spandrel-benches --bin scorer -- --data DIR
//! ```
//! `DIR` holds a folder `text50k`, or the one that `--set` names, with `base.*bin` and `query.*bin`. The first queries are searched for, those
//! behind them are anchor queries. `--scorer SEED` makes another network. All lists are searched, and lists hold exact vectors: what is measured is the choice of candidates.
mod scored;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Parser;
use spandrel_benches::set::find;
use spandrel_datasets::cur::{
    AnchorChoice, AnchorParams, CurMap, CurParams, HeldOut, ScoreMatrix, Strength, choose_anchors, learn,
};
use spandrel_datasets::{Rows, VectorFile, Watch};
use spandrel_index::{DType, VectorSource as _, decode};

use scored::{KS, Scores, Searched, item_rows};

#[derive(Debug, Parser)]
#[command(about = "Measures what vectors from scores are worth")]
struct Args {
    /// Folder with the set
    #[arg(long)]
    data: PathBuf,
    /// The set
    #[arg(long, default_value = "text50k")]
    set: String,
    /// Items, the first vectors of the set
    #[arg(long, default_value_t = 10_000)]
    items: usize,
    /// Queries that are searched for
    #[arg(long, default_value_t = 200)]
    queries: usize,
    /// Anchor queries
    #[arg(long, default_value_t = 500)]
    anchor_queries: usize,
    /// Items scored for each query
    #[arg(long, value_delimiter = ',', default_value = "100,200,500,1000")]
    budgets: Vec<usize>,
    /// Anchor items, in hundredths of the budget
    #[arg(long, value_delimiter = ',', default_value = "20,40,60")]
    shares: Vec<usize>,
    /// How anchor items are chosen
    #[arg(long, value_delimiter = ',', default_value = "random,pivoted")]
    choices: Vec<AnchorChoice>,
    /// Seeds that anchors are chosen by, whose recalls are averaged
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Seed of the scorer
    #[arg(long, default_value_t = spandrel_benches::PAIR_NETWORK_SEED)]
    scorer: u64,
    /// Compare strengths of the inverse as well
    #[arg(long)]
    strengths: bool,
    /// Threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let read = |stem| -> Result<Rows> {
        Ok(Rows::read(&VectorFile::open(find(&args.data.join(&args.set), stem)?)?)?)
    };
    let (base, queries) = (read("base")?, read("query")?);
    let (items, needed) = (args.items.min(base.len() as usize), args.queries + args.anchor_queries); // CAST: in memory
    ensure!(queries.len() as usize >= needed, "{} queries, {needed} needed", queries.len()); // CAST: in memory
    let part = |rows: &Rows, of: std::ops::Range<usize>| {
        decode(rows.dtype(), &rows.bytes()[of.start * rows.row_bytes()..of.end * rows.row_bytes()])
    };
    let encoded = part(&base, 0..items);
    let scores = Scores::new(&encoded, base.dim(), args.scorer);
    let searched_for = part(&queries, 0..args.queries);
    let truth = scores.of(&searched_for)?;
    let anchor_scores = scores.of(&part(&queries, args.queries..needed))?;
    println!(
        "{items} items of {}, {} queries, {} anchor queries, scorer of seed {}; recall of the best by score",
        args.set, args.queries, args.anchor_queries, args.scorer
    );

    let encoder = Searched::build(&item_rows(base.dim(), &encoded)?, args.threads)?;
    let items = Searched::build(&vectors_of(&anchor_scores)?, args.threads)?;
    println!(
        "| budget | anchors | chosen | strength | k = 1 | 10 | 50 | 100 |\n|---|---|---|---|---|---|---|---|"
    );
    for &budget in &args.budgets {
        let recalls = encoder.recalls(&searched_for, &truth, &[], budget)?;
        println!("| {budget} | | | encoder | {} |", shown(recalls));
        for &choice in &args.choices {
            for &share in &args.shares {
                let count = budget * share / 100;
                let anchors = AnchorParams { count, choice, seed: 1 };
                if anchors.check(anchor_scores.rows(), anchor_scores.columns()).is_err() {
                    continue;
                }
                for strength in strengths(args.strengths) {
                    let cell = Cell { budget, count, choice, strength };
                    println!("{}", measure(&cell, &args, &anchor_scores, &truth, &items)?);
                }
            }
        }
    }
    Ok(())
}

/// A way to spend a budget.
struct Cell {
    budget: usize,
    count: usize,
    choice: AnchorChoice,
    /// None is chosen by queries held back: among ridges, or with true among ranks as well.
    strength: Result<Strength, bool>,
}

fn strengths(all: bool) -> Vec<Result<Strength, bool>> {
    if all { vec![Ok(Strength::Ridge(0.0)), Err(false), Err(true)] } else { vec![Err(false)] }
}

/// A line of the table: the mean over the seeds.
fn measure(
    cell: &Cell,
    args: &Args,
    anchor_scores: &ScoreMatrix,
    truth: &ScoreMatrix,
    items: &Searched,
) -> Result<String> {
    let seeds = if cell.choice == AnchorChoice::Random { args.seeds } else { 1 };
    let (mut sums, mut told) = ([0.0; KS.len()], Vec::new());
    for seed in 1..=seeds {
        let anchors = choose_anchors(
            anchor_scores,
            AnchorParams { count: cell.count, choice: cell.choice, seed },
            Watch::none(),
        )?;
        let held_out = HeldOut { queries: None, ranks: cell.strength == Err(true) };
        let params = CurParams { strength: cell.strength.ok(), held_out, seed };
        let learned = learn(anchor_scores, &anchors, &params, Watch::none())?;
        let vectors = query_vectors(&learned.map, truth, &anchors);
        let recalls = items.recalls(&vectors, truth, &anchors, cell.budget)?;
        sums.iter_mut().zip(recalls).for_each(|(sum, recall)| *sum += recall / seeds as f64); // CAST: exact
        told.push(learned.strength.to_string());
    }
    told.dedup();
    let Cell { budget, count, choice, .. } = cell;
    Ok(format!("| {budget} | {count} | {choice} | {} | {} |", told.join(", "), shown(sums)))
}

fn shown(recalls: [f64; KS.len()]) -> String {
    recalls.map(|recall| format!("{recall:.3}")).join(" | ")
}

/// Vectors of queries, by their scores on the anchor items.
fn query_vectors(map: &CurMap, truth: &ScoreMatrix, anchors: &[u64]) -> Vec<f32> {
    let of = |query| {
        let scores: Vec<f32> = anchors.iter().map(|&item| truth.row(query)[item as usize]).collect(); // CAST: a column
        map.vector(&scores)
    };
    (0..truth.rows()).flat_map(of).collect()
}

/// Vectors of items, as the command writes them.
fn vectors_of(scores: &ScoreMatrix) -> Result<Rows> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("items.fbin");
    scores.write_items(path.as_path().into(), Watch::none())?;
    let rows = Rows::read(&VectorFile::open(&path)?)?;
    ensure!(rows.dtype() == DType::F32, "vectors of items are f32");
    Ok(rows)
}
