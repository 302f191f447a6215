//! Builds the index of the crash tests and stands still at a chosen sign of progress, to be killed there.
//!
//! `spandrel-build-until OUT SIGN THREADS [resume]` prints `sign` when the SIGN-th sign of progress comes and then
//! waits for its end; a build with fewer signs prints `done SIGNS`.
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};

use spandrel_builder::Progress;
use spandrel_index::{DType, Metric};
use spandrel_tests::{Base, clustered, config};

struct Signs {
    seen: AtomicU32,
    until: u32,
}

impl Signs {
    fn count(&self) {
        if self.seen.fetch_add(1, Ordering::Relaxed) + 1 == self.until {
            println!("sign");
            // Nobody writes: this ends when the process is killed, or when its parent is gone.
            let _ = std::io::stdin().read(&mut [0]);
            std::process::exit(3);
        }
    }
}

impl Progress for Signs {
    fn phase(&self, _: &str, _: u64, _: &str) {
        self.count();
    }
    fn advance(&self, _: u64) {
        self.count();
    }
    fn note(&self, _: &str) {}
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let numbers = (args.get(1).and_then(|n| n.parse().ok()), args.get(2).and_then(|n| n.parse().ok()));
    let (Some(out), (Some(until), Some(threads))) = (args.first(), numbers) else {
        eprintln!("usage: spandrel-build-until OUT SIGN THREADS [resume]");
        return ExitCode::from(2);
    };
    let mut config = config(Metric::L2, Path::new(out));
    config.threads = threads;
    config.resume = args.get(3).is_some_and(|word| word == "resume");
    let signs = Signs { seen: AtomicU32::new(0), until };
    let base = Base::new(clustered(DType::U8, 16, 9000, 1));
    match base.build_watched(&config, &signs) {
        Ok(_) => {
            println!("done {}", signs.seen.into_inner());
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}
