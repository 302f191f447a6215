//! What is measured, and how indexes are built for it.
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use clap::Parser;
use spandrel_benches::Calibrator;
use spandrel_benches::set::{MEMORY_BYTES, Set};
use spandrel_builder::{BuildConfig, Caller, Choice, Input, Silent, build_for, calibrating_rows};
use spandrel_datasets::Rows;
use spandrel_engine::{CalibrateLimits, CalibrateParams, GivenQueries};
use spandrel_index::VectorSource;
use spandrel_index::codes::CodeSpec;

/// Recalls asked for, between which the share at 0.95 is interpolated.
pub(crate) const ASKED: [f64; 8] = [0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.985];
pub(crate) const WANTED: f64 = 0.95;

#[derive(Debug, Parser)]
#[command(about = "Measures what a sample of real queries is worth")]
pub(crate) struct Args {
    /// Folder with the sets
    #[arg(long)]
    pub(crate) data: PathBuf,
    /// Sets whose folder has a sample, compared by inner product
    #[arg(long, value_delimiter = ',', default_value = "kv32")]
    pub(crate) foreign: Vec<String>,
    /// Sets of which half of the queries are the sample, compared by squared L2
    #[arg(long, value_delimiter = ',', default_value = "sift1m")]
    pub(crate) like: Vec<String>,
    /// Codes to compare, made for the queries of the sample beside plain; nothing else is measured then
    #[arg(long, value_delimiter = ',')]
    pub(crate) codes: Vec<CodeSpec>,
    /// Threads
    #[arg(long, default_value_t = 2)]
    pub(crate) threads: usize,
}

/// The share at a recall, from a straight line between the logarithms of those beside it.
pub(crate) fn at(points: &[(f64, f64)], recall: f64) -> Option<f64> {
    let pair = points.windows(2).find(|pair| pair[0].0 <= recall && recall <= pair[1].0)?;
    let [(low, less), (high, more)] = [pair[0], pair[1]];
    let place = if high > low { (recall - low) / (high - low) } else { 0.0 };
    Some((less.ln() + place * (more.ln() - less.ln())).exp())
}

/// What an index is built with.
pub(crate) struct Building<'a> {
    pub(crate) choice: &'a Choice,
    pub(crate) sample: Option<&'a Rows>,
    pub(crate) plain_codes: bool,
}

/// As the command builds by default.
pub(crate) fn build(args: &Args, set: &Set, by: Building<'_>, dir: &Path) -> Result<()> {
    let sample = by.sample;
    let config = BuildConfig { plain_codes: by.plain_codes, ..set.config(by.choice, dir, args.threads) };
    let limits = CalibrateLimits { threads: args.threads, memory_bytes: MEMORY_BYTES };
    let held_back = sample.map(|sample| {
        let row = |row: u64| &sample.bytes()[row as usize * sample.row_bytes()..][..sample.row_bytes()]; // CAST: in memory
        calibrating_rows(sample.len()).flat_map(row).copied().collect::<Vec<u8>>()
    });
    let given = held_back.as_ref().map(|rows| GivenQueries { rows, truth: None });
    let calibrator = Calibrator(CalibrateParams { given, ..CalibrateParams::new(limits) });
    let caller = Caller { progress: &Silent, stop: &AtomicBool::new(false), calibrate: Some(&calibrator) };
    let input = Input { query_sample: sample.map(|sample| sample as _), ..Input::of(&set.base) };
    build_for(input, &config, caller)?;
    Ok(())
}
