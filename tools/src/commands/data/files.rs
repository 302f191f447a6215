//! What the commands of this folder share: progress, and files to write.
use std::path::Path;

use serde_json::json;
use spandrel_datasets::{Format, OutFile, Watch};

use crate::figures::units;
use crate::{Session, UsageError};

/// Runs work of this room under a meter with one phase.
pub(super) fn watched<T>(session: &Session, phase: &str, work: impl FnOnce(Watch<'_>) -> T) -> T {
    watched_of(session, phase, "rows", work)
}

/// As [`watched`], where progress counts something else than rows.
pub(in crate::commands) fn watched_of<T>(
    session: &Session,
    phase: &str,
    what: &'static str,
    work: impl FnOnce(Watch<'_>) -> T,
) -> T {
    let meter = session.meter();
    meter.phase(phase, what);
    let result = work(Watch { progress: &|done, total| meter.set(done, total), stop: &session.stop });
    meter.finish();
    result
}

/// Says how many rows a file was given.
pub(super) fn show_rows(session: &Session, path: &Path, rows: u64) -> anyhow::Result<()> {
    let text = format!("{}: {} rows\n", path.display(), units::count(rows));
    session.show_beside(&[path], &text, &json!({ "out": path, "rows": rows }))
}

/// The format that the name of an output asks for.
pub(super) fn output_format(path: &Path) -> Result<Format, UsageError> {
    Format::of(path).map_err(|error| UsageError(error.to_string()))
}

/// A file to write, whose format its name or `--out-format` tells.
pub(super) fn output(path: &Path, format: Option<Format>) -> Result<OutFile<'_>, UsageError> {
    let out = OutFile { path, format };
    match out.format() {
        Ok(_) => Ok(out),
        Err(error) => Err(UsageError(format!("{error}, or one of these with --out-format"))),
    }
}
