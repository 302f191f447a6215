//! Runs random small cases against brute force and prints what they found, by class.
//!
//! `cargo run --profile test -p spandrel-tests --bin spandrel-sweep -- [--seed N] [--cases N] [--threads N] [--case N]`
//!
//! `--case` runs a single one, as a line of the summary names it. Exits 1 where anything was found.
use std::process::ExitCode;

use spandrel_tests::sweep::sweep;

/// Cases of a full sweep.
const CASES: u64 = 20_000;

fn main() -> ExitCode {
    let (mut seed, mut cases, mut threads) = (1, 0..CASES, 2);
    let mut words = std::env::args().skip(1);
    while let Some(flag) = words.next() {
        let number = words.next().and_then(|word| word.parse::<u64>().ok());
        match (flag.as_str(), number) {
            ("--seed", Some(number)) => seed = number,
            ("--cases", Some(number)) => cases = 0..number,
            ("--case", Some(number)) => cases = number..number + 1,
            ("--threads", Some(number)) => threads = number as usize, // CAST: a number of threads
            _ => {
                eprintln!("usage: spandrel-sweep [--seed N] [--cases N] [--threads N] [--case N]");
                return ExitCode::from(2);
            }
        }
    }
    let tell = |number| {
        if number % 500 == 0 {
            eprintln!("case {number}");
        }
    };
    match sweep(seed, cases, threads, &tell) {
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
