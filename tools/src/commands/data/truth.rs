//! `spandrel data truth`: exact neighbours.
use std::path::PathBuf;

use clap::Args;
use spandrel_datasets::{Format, TruthParams, VectorFile, compute_truth};
use spandrel_index::{Metric, VectorSource as _};

use crate::Session;
use crate::figures::units;

/// Compute the exact nearest neighbours of queries.
///
/// The base streams past, so it may be far larger than memory. Ties go to the smaller row number.
#[derive(Debug, Args)]
pub struct TruthArgs {
    /// Vectors to search.
    #[arg(long, value_name = "FILE")]
    pub base: PathBuf,
    /// Vectors to search for.
    #[arg(long, value_name = "FILE")]
    pub queries: PathBuf,
    /// What near means: l2, ip or cosine.
    #[arg(long, value_name = "l2|ip|cosine")]
    pub metric: Metric,
    /// Neighbours of each query.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub k: u32,
    /// Threads to use [default: one for each processor].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// File to write: ibin with distances, or ivecs without.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

pub(super) fn run(args: &TruthArgs, session: &Session) -> anyhow::Result<()> {
    super::check_format(
        &args.out,
        |format| matches!(format, Format::Ibin | Format::Ivecs),
        ".ibin or .ivecs",
    )?;
    let base = VectorFile::open(&args.base)?;
    let queries = VectorFile::open(&args.queries)?;
    let params = TruthParams {
        metric: args.metric,
        k: args.k as usize, // CAST: widening
        threads: args.threads.map_or(0, usize::from),
    };
    let truth =
        super::watched(session, "exact neighbours", |watch| compute_truth(&base, &queries, params, watch))?;
    truth.write(&args.out)?;
    session.print(&format!(
        "{}: {} nearest of {} vectors for each of {} queries, {}\n",
        args.out.display(),
        truth.k,
        units::count(base.len()),
        units::count(truth.queries as u64), // CAST: usize is 64 bits here
        args.metric
    ))
}
