//! The sub-commands, one file each.
pub mod build;
pub mod data;
mod ids;
pub mod plan;
pub mod report;
mod shape;

use crate::Session;
use crate::cli::Command;

/// Runs a sub-command.
///
/// # Errors
/// Whatever kept it from its end; `describe` turns it into a message and an exit code.
pub fn run(command: &Command, session: &Session) -> anyhow::Result<()> {
    match command {
        Command::Data(args) => data::run(args, session),
        Command::Plan(args) => plan::run(args, session),
        Command::Build(args) => build::run(args, session),
        Command::Report(args) => report::run(args, session),
    }
}
