//! Runs random small cases against brute force: prints each finding when it is found, and a summary by class at the end.
//!
//! `cargo run --profile test -p spandrel-tests --bin spandrel-sweep -- [--seed N] [--first N] [--cases N] [--threads N] [--case N]`
//!
//! `--first` goes on with a sweep from a case on; `--case` runs a single one, as each finding names it. Exits 1 where anything
//! was found.
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use spandrel_tests::sweep::{Case, Findings, sweep};

/// Cases of a full sweep.
const CASES: u64 = 20_000;
/// Cases from one line of progress to the next.
const TOLD: u64 = 100;

fn main() -> ExitCode {
    let (mut seed, mut first, mut cases, mut threads) = (1, 0, CASES, 2);
    let mut words = std::env::args().skip(1);
    while let Some(flag) = words.next() {
        let number = words.next().and_then(|word| word.parse::<u64>().ok());
        match (flag.as_str(), number) {
            ("--seed", Some(number)) => seed = number,
            ("--first", Some(number)) => first = number,
            ("--cases", Some(number)) => cases = number,
            ("--case", Some(number)) => (first, cases) = (number, 1),
            ("--threads", Some(number)) => threads = number as usize, // CAST: a number of threads
            _ => {
                eprintln!(
                    "usage: spandrel-sweep [--seed N] [--first N] [--cases N] [--threads N] [--case N]"
                );
                return ExitCode::from(2);
            }
        }
    }
    let (done, found) = (AtomicU64::new(0), AtomicU64::new(0));
    let tell = |case: &Case, findings: &Findings| {
        let lines = findings.lines(case);
        // Each line reaches a pipe or file at once.
        lines.iter().for_each(|line| println!("{line}"));
        let found = found.fetch_add(lines.len() as u64, Ordering::Relaxed) + lines.len() as u64;
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if done % TOLD == 0 {
            println!("{done} of {cases} cases, {found} findings; last --seed {seed} --case {}", case.number);
        }
    };
    match sweep(seed, first..first.saturating_add(cases), threads, &tell) {
        Ok(report) => {
            print!("{report}");
            ExitCode::from(u8::from(!report.faults.is_empty() || !report.falling().is_empty()))
        }
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}
