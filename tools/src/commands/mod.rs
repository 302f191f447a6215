//! The sub-commands, one file each.
pub mod admin;
mod attention;
mod attributes;
pub mod bench;
pub mod binariser;
pub mod build;
pub mod calibrate;
pub mod calibrator;
mod callers;
mod ceiling;
pub mod column;
pub mod completions;
pub mod cur;
pub mod data;
mod defaults;
pub mod demo;
mod disk;
mod documents;
pub mod embedding;
mod file_names;
pub mod filter;
pub mod fuse;
mod ids;
pub mod input;
pub mod inspect;
pub mod join;
pub mod man;
mod measure;
mod neighbour_attributes;
mod partition;
pub mod plan;
pub mod query;
pub mod query_sample;
pub mod recall;
pub mod remote;
pub mod report;
mod running;
pub mod search;
pub mod serve;
pub mod shape;
pub mod switch;
mod truth_check;
mod truth_held;
pub mod union;
pub mod verify;
pub mod within;

use clap::CommandFactory as _;

use crate::Session;
use crate::cli::{Cli, Command};

/// Runs a sub-command.
///
/// # Errors
/// What stopped it; `describe` turns it into a message and an exit code.
pub fn run(command: &Command, session: &Session) -> anyhow::Result<()> {
    match command {
        Command::Demo(args) => demo::run(args, session),
        Command::Data(args) => data::run(args, session),
        Command::Plan(args) => plan::run(args, session),
        Command::Build(args) => build::run(args, session),
        Command::Calibrate(args) => calibrate::run(args, session),
        Command::Inspect(args) => inspect::run(args, session),
        Command::Verify(args) => verify::run(args, session),
        Command::Switch(args) => switch::run(args, session),
        Command::Query(args) if args.index.len() > 1 => union::query(args, session),
        Command::Query(args) => query::run(args, session),
        Command::Cur(args) => cur::run(args, session),
        Command::Fuse(args) => fuse::run(args, session),
        Command::Join(args) => join::run(args, session),
        Command::Bench(args) if args.index.len() > 1 => union::bench(args, session),
        Command::Bench(args) => bench::run(args, session),
        Command::Recall(args) => recall::run(args, session),
        Command::Report(args) => report::run(args, session),
        Command::Serve(args) => serve::run(args, session),
        Command::Completions(args) => completions::run(args, Cli::command(), session),
        Command::Man(args) => man::run(args, Cli::command(), session),
        Command::Admin(args) => admin::run(args, session),
    }
}
