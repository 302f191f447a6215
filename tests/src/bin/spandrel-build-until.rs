//! Builds the index of the crash tests and stands still at a chosen sign of progress, to be killed there.
//!
//! `spandrel-build-until OUT SIGN THREADS CODE [calibrate] [resume]` prints `sign` when the sign of progress comes and then waits for
//! its end; a build with fewer signs prints `done SIGNS`. SIGN is a number, counted through the whole build, or
//! `PHASE:NUMBER`, counted from the beginning of a phase.
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use spandrel_builder::{Calibrate, Progress};
use spandrel_index::DType;
use spandrel_index::codes::CodeSpec;
use spandrel_tests::{Base, CALIBRATOR, clustered, crash_config};

struct Signs {
    /// The phase whose signs are counted, if not all are.
    phase: Option<String>,
    counting: AtomicBool,
    seen: AtomicU32,
    until: u32,
}

impl Signs {
    fn parse(word: &str) -> Option<Signs> {
        let (phase, number) = match word.split_once(':') {
            Some((phase, number)) => (Some(phase.to_owned()), number),
            None => (None, word),
        };
        let counting = AtomicBool::new(phase.is_none());
        Some(Signs { phase, counting, seen: AtomicU32::new(0), until: number.parse().ok()? })
    }

    fn count(&self) {
        if !self.counting.load(Ordering::Relaxed) {
            return;
        }
        if self.seen.fetch_add(1, Ordering::Relaxed) + 1 == self.until {
            println!("sign");
            // Nobody writes: this ends when the process is killed, or when its parent is gone.
            let _ = std::io::stdin().read(&mut [0]);
            std::process::exit(3);
        }
    }
}

impl Progress for Signs {
    fn phase(&self, name: &str, _: u64, _: &str) {
        if let Some(phase) = &self.phase {
            self.counting.store(phase == name, Ordering::Relaxed);
        }
        self.count();
    }
    fn advance(&self, _: u64) {
        self.count();
    }
    fn note(&self, _: &str) {}
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let signs = args.get(1).and_then(|word| Signs::parse(word));
    let threads = args.get(2).and_then(|word| word.parse().ok());
    let code: Option<CodeSpec> = args.get(3).and_then(|word| word.parse().ok());
    let (Some(out), Some(signs), Some(threads), Some(code)) = (args.first(), signs, threads, code) else {
        eprintln!("usage: spandrel-build-until OUT SIGN THREADS CODE [calibrate] [resume]");
        return ExitCode::from(2);
    };
    let mut config = crash_config(code, Path::new(out));
    config.threads = threads;
    let asked = |flag: &str| args.iter().skip(4).any(|word| word == flag);
    config.resume = asked("resume");
    let calibrate = asked("calibrate").then_some(&CALIBRATOR as &dyn Calibrate);
    let base = Base::new(clustered(DType::U8, 16, 9000, 1));
    match base.build_watched(&config, calibrate, &signs) {
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
