//! Random small cases against brute force: every one is built and searched in many ways, with and without limits.
//!
//! Holds of every answer: `k` neighbours, or all there are, unless a limit was given; ids that exist,
//! each once; exact distances, in order. Holds of parameters: more compared never finds less, and all of it finds
//! everything.
mod case;
mod check;
mod data;
mod exact;
mod filtered;
mod findings;
mod within;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, io, thread};

pub use case::Case;
pub use data::{Shape, encode, normal};
pub use exact::{Exact, Truth, exact_distance};
pub use findings::{Fault, Findings, Report};

/// Runs the cases of some numbers on a number of threads; `tell` hears of each that is done, with what it found.
///
/// # Errors
/// Where no folder can be made for indexes: in memory if the system has one for that, else where temporary files go.
pub fn sweep(
    seed: u64,
    numbers: Range<u64>,
    threads: usize,
    tell: &(dyn Fn(&Case, &Findings) + Sync),
) -> io::Result<Report> {
    let memory = PathBuf::from("/dev/shm");
    let place = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let folder = tempfile::Builder::new().prefix("spandrel-sweep-").tempdir_in(place)?;
    let next = AtomicU64::new(numbers.start);
    let report = Mutex::new(Report::default());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= numbers.end {
                        break;
                    }
                    let case = Case::of(seed, number);
                    let own = folder.path().join(number.to_string());
                    let found = catch_unwind(AssertUnwindSafe(|| check::check(&case, &own)));
                    let found = found.unwrap_or_else(|panic| {
                        let mut findings = Findings::default();
                        findings.fault(Fault::Panicked, message(&*panic));
                        findings
                    });
                    drop(fs::remove_dir_all(&own));
                    tell(&case, &found);
                    report.lock().expect("no thread panics with the report").add(&case, found);
                }
            });
        }
    });
    Ok(report.into_inner().expect("no thread panics with the report"))
}

/// What a panic says.
fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    text.unwrap_or("no message").to_owned()
}
