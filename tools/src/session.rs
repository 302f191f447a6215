//! What every command is handed: where to print, how to show progress, when to stop.
use std::fs::Metadata;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use serde::Serialize;

use crate::failure::OutputClosed;
use crate::progress::{Display, Meter};
use crate::values::OutputFormat;

/// One run of the program.
#[derive(Debug, Clone)]
pub struct Session {
    /// Set when the run should end early.
    pub stop: Arc<AtomicBool>,
    /// Whether progress and notes are kept back.
    pub quiet: bool,
    /// What results look like.
    pub format: OutputFormat,
}

impl Session {
    /// Whether the run was asked to end.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Writes results to standard output.
    ///
    /// # Errors
    /// [`OutputClosed`] when the reader went away, and what else the system answers.
    pub fn print(&self, text: &str) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Err(OutputClosed.into()),
            other => other.context("writing to standard output"),
        }
    }

    /// Writes results to standard output in the form that was asked for.
    ///
    /// # Errors
    /// Those of [`Session::print`].
    pub fn show(&self, text: &str, json: &impl Serialize) -> anyhow::Result<()> {
        self.show_beside(&[], text, json)
    }

    /// As [`Session::show`], but to standard error if one of these files was written to standard output.
    ///
    /// # Errors
    /// Those of [`Session::print`].
    pub fn show_beside(&self, files: &[&Path], text: &str, json: &impl Serialize) -> anyhow::Result<()> {
        let shown = match self.format {
            OutputFormat::Text => text.to_owned(),
            OutputFormat::Json => serde_json::to_string_pretty(json)? + "\n",
        };
        if files.iter().any(|path| is_stdout(path)) {
            self.note(shown.trim_end());
            return Ok(());
        }
        self.print(&shown)
    }

    /// Writes a remark to standard error, unless the run is quiet.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            // Nobody can be told that standard error is gone.
            let _ = writeln!(io::stderr().lock(), "{text}");
        }
    }

    /// A progress meter on standard error.
    pub fn meter(&self) -> Meter {
        let display = if self.quiet {
            Display::None
        } else if io::stderr().is_terminal() {
            Display::Line
        } else {
            Display::Log
        };
        Meter::new(display)
    }
}

/// Whether a path is what standard output is connected to.
fn is_stdout(path: &Path) -> bool {
    let same = |a: &Metadata, b: &Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    matches!((std::fs::metadata(path), std::fs::metadata("/dev/stdout")), (Ok(a), Ok(b)) if same(&a, &b))
}
