//! The limits of a disk, by itself: what `spandrel bench --disk` measures.
use std::path::Path;

use serde_json::{Value, json};
use spandrel_io::disk::{DiskParams, DiskReport, DiskRow, measure_folder};

use super::search::IoArgs;
use crate::Session;
use crate::figures::{Align, Machine, TextTable, units};

/// Measures the disk of a folder, and shows what it can do.
pub(super) fn run(dir: &Path, io: &IoArgs, session: &Session) -> anyhow::Result<()> {
    session.note("writing a test file, then reading it in several ways; about 15 seconds");
    let params = DiskParams { backend: io.io, direct: io.direct, ..DiskParams::default() };
    let report = measure_folder(dir, &params, &session.stop)?;
    session.show(&text(&report), &figures(&report))
}

fn figures(report: &DiskReport) -> Value {
    let row = |row: &DiskRow| {
        json!({
            "bytes": row.bytes,
            "at_once": row.depth,
            "reads_per_s": row.reads_per_s,
            "mb_per_s": row.mb_per_s,
            "mean_us": row.mean_us,
            "p99_us": row.p99_us,
            "cpu_us": row.cpu_us,
        })
    };
    json!({
        "machine": Machine::detect().to_string(),
        "io": report.backend.to_string(),
        "direct": report.direct,
        "file_bytes": report.file_bytes,
        "write_mb_per_s": report.write_mb_per_s,
        "loads": report.rows.iter().map(row).collect::<Vec<_>>(),
    })
}

fn text(report: &DiskReport) -> String {
    let mut text = format!(
        "{}\n{}, {} reads of a file of {}\n",
        Machine::detect(),
        report.backend,
        if report.direct { "direct" } else { "page cache" },
        units::bytes(report.file_bytes as f64) // CAST: shown to three digits
    );
    if let Some(why) = &report.fallback {
        text += &format!("note: not io_uring because {why}\n");
    }
    if let Some(rate) = report.write_mb_per_s {
        text += &format!("sequential write {} MB/s\n", units::three_digits(rate));
    }
    let mut table = TextTable::new();
    for head in ["read bytes", "at once", "reads/s", "MB/s", "mean us", "p99 us", "CPU us"] {
        table.column(head, Align::Right);
    }
    for row in &report.rows {
        let [rate, mb, mean, p99, cpu] =
            [row.reads_per_s, row.mb_per_s, row.mean_us, row.p99_us, row.cpu_us].map(units::three_digits);
        let cells = [units::count(row.bytes.into()), row.depth.to_string(), rate, mb, mean, p99, cpu];
        table.row(cells.map(Some).to_vec());
    }
    format!("{text}\n{table}")
}
