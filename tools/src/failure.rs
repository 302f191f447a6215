//! How a command can end, and how that is told.
use std::error::Error;
use std::fmt::Write as _;
use std::process::ExitCode;

use spandrel_datasets::{AttributeFileError, ComputeTruthError, FileError, Format};
use spandrel_names::cut;

/// Most characters of a line of an error, but for how many are left out.
const LINE_MAX: usize = 2000;

/// How a run ended, as an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// Done.
    Done = 0,
    /// Something failed; standard error says what.
    Failed = 1,
    /// The command line was wrong.
    Usage = 2,
    /// Ctrl-C or a request to terminate.
    Interrupted = 130,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> ExitCode {
        ExitCode::from(outcome as u8)
    }
}

/// The reader of standard output went away: there is nobody left to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("standard output was closed")]
pub struct OutputClosed;

/// A failure with advice on what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Advised {
    /// What went wrong.
    pub message: String,
    /// What to do, shown on a line of its own.
    pub help: String,
    /// Why it went wrong.
    #[source]
    pub cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Advised {
    /// A failure without a deeper cause.
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Advised {
        Advised { message: message.into(), help: help.into(), cause: None }
    }
}

/// A command line that parses but cannot be meant.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// How a failed run ended, and the text for standard error.
///
/// `stopped` tells whether the run had been asked to stop.
pub fn describe(error: &anyhow::Error, stopped: bool) -> (Outcome, String) {
    if error.chain().any(|e| e.is::<OutputClosed>()) {
        return (Outcome::Done, String::new());
    }
    let (outcome, word) = if stopped {
        (Outcome::Interrupted, "interrupted")
    } else if error.chain().any(|e| e.is::<UsageError>()) {
        (Outcome::Usage, "error")
    } else {
        (Outcome::Failed, "error")
    };
    let mut text = String::new();
    let mut last = String::new();
    for (depth, cause) in error.chain().enumerate() {
        let line = one_line(&cause.to_string());
        // A wrapper that already shows its cause would show it twice.
        if depth > 0 && last.contains(&line) {
            continue;
        }
        let lead = if depth == 0 { word } else { "  because" };
        let _ = writeln!(text, "{lead}: {line}"); // writing to a string does not fail
        last = line;
    }
    if let Some(advised) = error.chain().find_map(|e| e.downcast_ref::<Advised>()) {
        let _ = writeln!(text, "help: {}", advised.help);
    } else if let Some(help) = error.chain().find_map(help_for) {
        let _ = writeln!(text, "help: {help}");
    }
    (outcome, text)
}

/// What to do about an error of a library.
fn help_for(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let of_attributes = || attribute_help(error.downcast_ref()?);
    let of_truth = || match error.downcast_ref()? {
        ComputeTruthError::Filters { .. } => Some("give a filter for each query, in their order"),
        _ => None,
    };
    error.downcast_ref().and_then(file_help).or_else(of_attributes).or_else(of_truth)
}

/// What a file of attributes or filters has to be.
fn attribute_help(error: &AttributeFileError) -> Option<&'static str> {
    match error {
        AttributeFileError::Header { .. }
        | AttributeFileError::Short { .. }
        | AttributeFileError::Size { .. } => Some(
            "give the matrix whole, as big-ann-benchmarks writes it: three counts (rows, columns, entries), where each row \
             begins, columns, values",
        ),
        AttributeFileError::Rows { .. } => Some("give a row for each vector, in their order"),
        AttributeFileError::Io(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
            Some("name a .jsonl or .spmat file that is there; attributes may also be a folder of .npy files")
        }
        _ => None,
    }
}

/// The flag that reads a file after all.
fn file_help(error: &FileError) -> Option<&'static str> {
    match error {
        FileError::UnknownFormat { .. } => {
            Some("say what it holds with --input-format, or with --dtype where rows lie behind two counts")
        }
        // CAST: widening
        // Ids are taken whole or not at all.
        FileError::Size { path, row_bytes, data_at, expected, found, .. }
            if u128::from(*found) < *expected
                && *found >= data_at.saturating_add(*row_bytes)
                && !matches!(Format::of(path), Ok(Format::Ibin | Format::Ivecs)) =>
        {
            Some(
                "if these are the first rows of a larger set, --allow-truncated takes the whole rows that are there",
            )
        }
        _ => None,
    }
}

/// Makes a message safe for a terminal and keeps it on one line of bearable length: names of files may hold anything, and
/// values that are quoted may be of any length.
fn one_line(message: &str) -> String {
    cut(message, LINE_MAX).chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn causes_take_a_line_each() {
        let io = std::io::Error::other("disk\n\x1b[2Jfull");
        let error = Err::<(), _>(io).context("writing x").context("building y").unwrap_err();
        let (outcome, text) = describe(&error, false);
        assert_eq!(outcome, Outcome::Failed);
        assert_eq!(text, "error: building y\n  because: writing x\n  because: disk\u{fffd}\u{fffd}[2Jfull\n");
        assert_eq!(describe(&error, true).0, Outcome::Interrupted);
    }

    #[test]
    fn long_messages_are_cut() {
        let error = anyhow::anyhow!("'{}' is no value, expected a word", "v".repeat(200_000));
        let text = describe(&error, false).1;
        assert!(text.len() < 2100 && text.ends_with("is no value, expected a word\n"), "{text}");
    }

    #[test]
    fn advice_comes_last() {
        let error = anyhow::Error::new(Advised::new("no index", "build one")).context("opening z");
        assert_eq!(describe(&error, false).1, "error: opening z\n  because: no index\nhelp: build one\n");
    }

    #[test]
    fn files_that_a_flag_reads_say_so() {
        let size = |path: &str, found| FileError::Size {
            path: path.into(),
            rows: 10,
            row_bytes: 8,
            data_at: 8,
            expected: 88,
            found,
        };
        for (error, flag) in [
            (size("a.fbin", 16), Some("--allow-truncated")),
            (size("a.fbin", 15), None),
            (size("a.fbin", 96), None),
            (size("a.ibin", 16), None),
            (FileError::UnknownFormat { path: "a.bin".into() }, Some("--dtype")),
        ] {
            let text = describe(&anyhow::Error::new(error).context("reading"), false).1;
            assert_eq!(text.contains("help: "), flag.is_some(), "{text}");
            assert!(text.contains(flag.unwrap_or_default()), "{text}");
        }
    }

    #[test]
    fn files_of_attributes_and_filters_say_what_they_have_to_be() {
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        let errors: [(anyhow::Error, &str); 3] = [
            (AttributeFileError::Io(missing).into(), "that is there"),
            (AttributeFileError::Short { path: "a.spmat".into(), found: 23 }.into(), "three counts"),
            (
                ComputeTruthError::Filters { filters: 3, filtered_rows: 9, queries: 4, rows: 9 }.into(),
                "a filter for each query",
            ),
        ];
        for (error, help) in errors {
            let text = describe(&error.context("attributes"), false).1;
            assert!(text.contains("help: ") && text.contains(help), "{text}");
        }
    }

    #[test]
    fn kinds_of_ends() {
        assert_eq!(describe(&anyhow::Error::new(OutputClosed), true), (Outcome::Done, String::new()));
        let usage = anyhow::Error::new(UsageError("k".to_owned())).context("bench");
        assert_eq!(describe(&usage, false).0, Outcome::Usage);
    }
}
