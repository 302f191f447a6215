//! The `spandrel` command line: its flags, its sub-commands, its tables and reports.
//!
//! Promises: results go to standard output and progress to standard error; a run ends with 0 (done), 1 (failed),
//! 2 (usage) or 130 (interrupted); a file that is written replaces an older one whole or not at all.
//! It holds no search and no building of its own.
pub mod cli;
pub mod commands;
mod failure;
pub mod figures;
pub mod meant;
mod progress;
pub mod report;
mod session;
pub mod values;

pub use failure::{Advised, Outcome, OutputClosed, UsageError, describe};
pub use progress::{Display, Meter};
pub use session::Session;
pub use spandrel_datasets::write_file;
