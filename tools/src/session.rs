//! What every command is handed: where to print, how to show progress, when to stop.
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;

use crate::failure::OutputClosed;
use crate::progress::{Display, Meter};

/// One run of the program.
#[derive(Debug, Clone)]
pub struct Session {
    /// Set when the run should end early.
    pub stop: Arc<AtomicBool>,
    /// Whether progress and notes are kept back.
    pub quiet: bool,
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

/// Writes a whole file, replacing an older one only when every byte is on disk.
///
/// What is there but is no plain file (a pipe, `/dev/stdout`) is written to as it is.
///
/// # Errors
/// What the file system answers; an older file is untouched then.
pub fn write_file(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if fs_err::metadata(path).is_ok_and(|m| !m.is_file() && !m.is_dir()) {
        return Ok(fs_err::write(path, bytes)?);
    }
    let name = path.file_name().with_context(|| format!("{}: not a file's name", path.display()))?;
    let mut temporary_name = std::ffi::OsString::from(".");
    temporary_name.push(name);
    temporary_name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(temporary_name);
    let written = write_and_rename(&temporary, path, bytes);
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs_err::remove_file(&temporary);
    }
    written
}

fn write_and_rename(temporary: &Path, path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut file = fs_err::File::create(temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs_err::rename(temporary, path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.html");
        write_file(&path, b"old").unwrap();
        write_file(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        write_file(Path::new("/dev/null"), b"x").unwrap();

        let directory = folder.path().join("taken");
        std::fs::create_dir(&directory).unwrap();
        assert!(write_file(&directory, b"x").is_err());
        assert!(write_file(&folder.path().join("no/such/a"), b"x").is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
