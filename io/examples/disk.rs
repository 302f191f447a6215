//! Prints the limits of a disk: `cargo run --release -p spandrel-io --example disk -- DIR [BACKEND [SECONDS]]`.
use std::error::Error;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use spandrel_io::disk::{DiskParams, measure_folder};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("usage: disk DIR [auto|uring|pread [SECONDS]]")?;
    let mut params = DiskParams::default();
    if let Some(backend) = args.next() {
        params.backend = backend.parse()?;
    }
    if let Some(seconds) = args.next() {
        params.duration = Duration::try_from_secs_f64(seconds.parse()?)?;
    }
    let report = measure_folder(Path::new(&dir), &params, &AtomicBool::new(false))?;
    println!("backend {}, direct {}, {} bytes", report.backend, report.direct, report.file_bytes);
    if let Some(why) = report.fallback {
        eprintln!("{why}");
    }
    println!("sequential write {:.0} MB/s", report.write_mb_per_s.unwrap_or(0.0));
    println!(
        "{:>7} {:>5} {:>9} {:>8} {:>8} {:>8} {:>7}",
        "bytes", "depth", "reads/s", "MB/s", "mean us", "p99 us", "cpu us"
    );
    for row in report.rows {
        println!(
            "{:>7} {:>5} {:>9.0} {:>8.1} {:>8.1} {:>8.1} {:>7.2}",
            row.bytes, row.depth, row.reads_per_s, row.mb_per_s, row.mean_us, row.p99_us, row.cpu_us
        );
    }
    Ok(())
}
