//! Compares the replica rules at equal bytes read.
//!
//! Clusters and files a data set in memory, then simulates an exact search: heads ranked exactly, lists read in
//! that order, replicas counted once. It prints what each rule must read to reach a recall. No index is
//! written; the figures are those of the lists alone.
//!
//! ```text
//! cargo run --release -p spandrel-benches --bin replicas -- --data DIR [--lists-of 25,50] [--copies 2,4,8]
//! ```
mod data;
mod lists;
mod simulate;

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use rayon::{ThreadPool, ThreadPoolBuilder};
use spandrel_builder::cluster::{ClusterParams, Clustering, HeadKind, cluster};
use spandrel_builder::filing::{FilingWidth, ReplicaRule};
use spandrel_index::Metric;

use crate::data::Data;
use crate::lists::{Filing, Lists, file_all};
use crate::simulate::{Curve, Ranking};

/// Recalls to reach.
const RECALLS: [f64; 4] = [0.90, 0.95, 0.955, 0.99];

#[derive(Debug, Parser)]
#[command(about = "Compares the replica rules at equal bytes read")]
struct Args {
    /// Folder with base.*bin, query.*bin and truth.ibin
    #[arg(long)]
    data: std::path::PathBuf,
    /// Distance: l2; ip and cosine for vectors of unit length, where the order is the same
    #[arg(long, default_value = "l2")]
    metric: Metric,
    /// Primaries in a list, one run for each
    #[arg(long, value_delimiter = ',', default_values_t = [25, 50, 64, 100])]
    lists_of: Vec<usize>,
    /// Number of lists instead
    #[arg(long, value_delimiter = ',')]
    lists: Vec<usize>,
    /// Most copies of a vector, the primary counted
    #[arg(long, value_delimiter = ',', default_values_t = [2, 3, 4, 8])]
    copies: Vec<usize>,
    /// Rules to compare
    #[arg(long, value_delimiter = ',', default_values_t = ReplicaRule::ALL)]
    rules: Vec<ReplicaRule>,
    /// Heads that are vectors instead of means
    #[arg(long)]
    vector_heads: bool,
    /// Most records in a list: replicas beyond it are dropped, farthest first
    #[arg(long)]
    cap: Option<usize>,
    /// Nearest heads a rule chooses from
    #[arg(long, default_value_t = 64)]
    nearest: usize,
    /// Blocks of heads around a block that its vectors may look into
    #[arg(long)]
    around: Option<usize>,
    /// Blocks of heads that a vector is compared with
    #[arg(long)]
    probed: Option<usize>,
    /// Weight of balance in clustering
    #[arg(long)]
    balance: Option<f32>,
    /// Rounds of clustering
    #[arg(long)]
    rounds: Option<usize>,
    /// Rows of a clustering node that its centres are learned from, for each centre
    #[arg(long)]
    sample_per_centre: Option<usize>,
    /// Steps of prices between two computations of distances
    #[arg(long)]
    price_steps: Option<usize>,
    /// Share of the way to its fixed point that a price moves in a step
    #[arg(long)]
    price_damping: Option<f32>,
    /// Rounds of moving all heads after clustering
    #[arg(long)]
    refinements: Option<usize>,
    /// Blocks around its own that a row may look into for a nearer head meanwhile
    #[arg(long)]
    refine_around: Option<usize>,
    /// Blocks that it is compared with
    #[arg(long)]
    refine_probed: Option<usize>,
    /// Cut lists of more than this many times the mean, as a build does; for the rule `none` alone
    #[arg(long)]
    cap_of_mean: Option<f64>,
    /// Rounds of moving the two centres of a list that is cut
    #[arg(long)]
    cut_rounds: Option<usize>,
    /// Children of a clustering node
    #[arg(long)]
    branching: Option<usize>,
    /// Seed of clustering
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Figures at a recall exactly, between those of two numbers of lists, in place of the first number that reaches it
    #[arg(long)]
    interpolate: bool,
    /// Also search with a radius around the nearest head instead of a fixed number of lists
    #[arg(long)]
    epsilon: bool,
    /// Also compare with exact filing: the share of vectors whose primary is the nearest of all heads
    #[arg(long)]
    check_primary: bool,
    /// Queries used, from the first
    #[arg(long, default_value_t = usize::MAX)]
    queries: usize,
    /// Threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let data = Data::open(&args.data, args.queries)?;
    let pool = ThreadPoolBuilder::new().num_threads(args.threads).build().context("starting threads")?;
    let base = data.base();
    println!(
        "# {} x {} {}, {} queries, {}",
        base.len(),
        base.dim,
        base.dtype,
        data.queries().len(),
        args.metric
    );
    let counts: Vec<usize> = if args.lists.is_empty() {
        args.lists_of.iter().map(|of| base.len().div_ceil(*of)).collect()
    } else {
        args.lists.clone()
    };
    for count in counts {
        compare(&args, &data, count, &pool)?;
    }
    Ok(())
}

fn compare(args: &Args, data: &Data, count: usize, pool: &ThreadPool) -> Result<()> {
    let params = cluster_params(args, count);
    let started = (Instant::now(), cpu_seconds());
    let mut clustering = cluster(data.base(), &params, pool, &AtomicBool::new(false))?;
    println!(
        "\n# {} lists ({:?}) in {} blocks: clustered in {:.2} s, {:.2} s of CPU",
        clustering.count,
        params.heads,
        clustering.blocks.len(),
        started.0.elapsed().as_secs_f64(),
        cpu_seconds() - started.1
    );
    let filings: Vec<Filing> = args.rules.iter().flat_map(|&rule| filings_of(rule, &args.copies)).collect();
    let copies_max = args.copies.iter().copied().max().unwrap_or(1);
    let width = FilingWidth::of(copies_max);
    let width = FilingWidth {
        around: args.around.unwrap_or(width.around),
        probed: args.probed.unwrap_or(width.probed),
    };
    let started = (Instant::now(), cpu_seconds());
    let mut lists = file_all(data.base(), &clustering, &filings, (args.nearest, width), args.cap, pool);
    println!(
        "# filed in {:.2} s, {:.2} s of CPU, all rules together",
        started.0.elapsed().as_secs_f64(),
        cpu_seconds() - started.1
    );
    if let Some(cap_of_mean) = args.cap_of_mean {
        ensure!(args.rules == [ReplicaRule::None], "lists are cut under the rule `none` alone");
        let cut = lists[0].cut(data.base(), &mut clustering, cap_of_mean, &params);
        println!("# {cut} lists over {cap_of_mean} times the mean were cut: {} lists", clustering.count);
    }
    let started = Instant::now();
    let ranking = Ranking::new(data, &clustering, pool);
    println!(
        "# heads ranked for {} queries in {:.2} s",
        data.queries().len(),
        started.elapsed().as_secs_f64()
    );
    print_header();
    for (filing, lists) in filings.into_iter().zip(&lists) {
        print_row(args, data, &clustering, &ranking, (filing, lists));
    }
    if let (true, Some(lists)) = (args.check_primary, lists.first()) {
        let (share, excess) = lists.true_primaries(data.base(), &clustering, pool);
        println!(
            "# primary is the nearest of all heads: {:.3} %, mean distance {:.4} % above",
            share * 100.0,
            excess * 100.0
        );
    }
    Ok(())
}

fn cluster_params(args: &Args, count: usize) -> ClusterParams {
    let defaults = ClusterParams::new(count);
    let width = defaults.refine_width;
    ClusterParams {
        heads: if args.vector_heads { HeadKind::Vectors } else { HeadKind::Means },
        branching: args.branching.unwrap_or(defaults.branching),
        balance: args.balance.unwrap_or(defaults.balance),
        rounds: args.rounds.unwrap_or(defaults.rounds),
        sample_per_centre: args.sample_per_centre.unwrap_or(defaults.sample_per_centre),
        price_steps: args.price_steps.unwrap_or(defaults.price_steps),
        price_damping: args.price_damping.unwrap_or(defaults.price_damping),
        cut_rounds: args.cut_rounds.unwrap_or(defaults.cut_rounds),
        refinements: args.refinements.unwrap_or(defaults.refinements),
        refine_width: FilingWidth {
            around: args.refine_around.unwrap_or(width.around),
            probed: args.refine_probed.unwrap_or(width.probed),
        },
        seed: args.seed,
        ..defaults
    }
}

fn filings_of(rule: ReplicaRule, copies: &[usize]) -> Vec<Filing> {
    if rule == ReplicaRule::None {
        vec![(rule, 1)]
    } else {
        copies.iter().map(|&most| (rule, most)).collect()
    }
}

/// CPU time of this process so far, all threads together; 0 where the system does not say.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    // User and system ticks, of which there are 100 a second.
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

fn print_header() {
    print!("{:<5} {:>4} {:>6} {:>6} {:>6} {:>7}", "rule", "max", "copies", "mean", "longest", "B/vec");
    for recall in RECALLS {
        print!(" | {recall:<5} {:>6} {:>7} {:>7}", "lists", "scanned", "KB");
    }
    println!();
}

fn print_row(
    args: &Args,
    data: &Data,
    clustering: &Clustering,
    ranking: &Ranking,
    ((rule, most), lists): (Filing, &Lists),
) {
    let rows = data.base().len() as f64;
    print!(
        "{rule:<5} {most:>4} {:>6.2} {:>6.1} {:>6} {:>7.0}",
        lists.records() as f64 / rows,
        lists.records() as f64 / f64::from(clustering.count),
        lists.longest(),
        lists.bytes() as f64 / rows,
    );
    let curve = Curve::new(data, ranking, lists);
    for recall in RECALLS {
        let found = if args.interpolate { curve.between(recall) } else { curve.at_recall(recall) };
        match found {
            Some(point) => {
                print!(" |       {:>6} {:>7.0} {:>7.1}", point.lists, point.scanned, point.kilobytes)
            }
            None => print!(" |       {:>6} {:>7} {:>7}", "-", "-", "-"),
        }
    }
    println!();
    if args.epsilon {
        for recall in RECALLS {
            let Some(fixed) = curve.at_recall(recall) else { continue };
            for factor in [1.25, 1.5, 2.0, 3.0] {
                let cap = (fixed.lists as f64 * factor) as usize; // CAST: a count of lists
                if let Some((epsilon, point)) = curve.with_epsilon(recall, cap) {
                    println!(
                        "#   epsilon {epsilon:.3} cap {cap:>4}: recall {recall} lists {:.1} scanned {:.0} KB {:.1} ({:+.1} %)",
                        point.lists_mean,
                        point.scanned,
                        point.kilobytes,
                        (point.kilobytes / fixed.kilobytes - 1.0) * 100.0
                    );
                }
            }
        }
    }
}
