//! `spandrel verify`: whether an index is whole.
use std::path::{Path, PathBuf};

use clap::Args;
use spandrel_index::format::OpenError;
use spandrel_index::{VerifyError, VerifyReport, verify};

use crate::figures::units;
use crate::{Advised, Session};

/// Read an index from end to end and say whether it is whole.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Folder of the index.
    #[arg(value_name = "DIR")]
    pub index: PathBuf,
    /// Compare the files with each other too: every vector, copy and id.
    #[arg(long)]
    pub deep: bool,
}

pub(super) fn run(args: &VerifyArgs, session: &Session) -> anyhow::Result<()> {
    let meter = session.meter();
    meter.phase("verifying", "bytes");
    let report = verify(
        &args.index,
        args.deep,
        &mut |progress| meter.set(progress.done_bytes, progress.total_bytes),
        &session.stop,
    )
    .map_err(|error| told(error, &args.index))?;
    meter.finish();
    session.show(&report_text(&report), &report_json(&report))
}

/// A failure with a line for each damaged file.
fn told(error: VerifyError, dir: &Path) -> anyhow::Error {
    let VerifyError::Several { damaged, more } = error else { return error.into() };
    let head = format!("{}: {} files are damaged", dir.display(), damaged.len() + more);
    let mut lines: Vec<String> = damaged.iter().map(OpenError::without_advice).collect();
    lines.extend((more > 0).then(|| format!("and {more} more")));
    let help = "restore the files from a copy, or build the index anew";
    let last = anyhow::Error::new(Advised::new(lines.pop().unwrap_or_default(), help));
    lines.into_iter().rev().fold(last, anyhow::Error::context).context(head)
}

/// What was checked, for programs.
pub(super) fn report_json(report: &VerifyReport) -> serde_json::Value {
    serde_json::json!({
        "version": report.version,
        "files": report.files,
        "bytes": report.bytes,
        "vectors": report.vectors,
        "lists": report.lists,
        "copies": report.copies,
        "deep": report.deep,
        "hashes": report.hashes,
        "replicas": report.replicas,
    })
}

/// What was checked, in one line.
pub(super) fn report_text(report: &VerifyReport) -> String {
    let bytes = units::bytes(report.bytes as f64); // CAST: shown to three digits
    let mut text = format!(
        "good: version {}, {} files, {bytes}, {} vectors in {} lists\n",
        report.version,
        report.files,
        units::count(report.vectors),
        units::count(report.lists)
    );
    if report.deep {
        text += &format!(
            "deep: {} lists and pages by their own hash, {} replicas compared with their vectors\n",
            units::count(report.hashes),
            units::count(report.replicas)
        );
    }
    text
}
