//! `spandrel data`: files of vectors.
mod convert;
mod crop;
mod files;
mod filtered;
mod generate;
mod get;
mod info;
mod labels;
mod tokens;
mod truth;

use clap::{Args, Subcommand};

pub(super) use files::watched_of;

use crate::Session;

/// Fetch, make, convert and describe files of vectors.
///
/// Formats are told by extension: fbin, f16bin, u8bin, i8bin, fvecs, bvecs and npy hold vectors; ibin, ivecs and npy hold
/// true neighbours.
#[derive(Debug, Args)]
pub struct DataArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DataCommand,
}

/// What to do with files of vectors.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Compute the exact nearest neighbours of queries.
    Truth(truth::TruthArgs),
    /// Make a seeded set with the structure of real ones.
    Generate(generate::GenerateArgs),
    /// Write a file in another format.
    Convert(convert::ConvertArgs),
    /// Write some rows of a file.
    Crop(crop::CropArgs),
    /// Say what a file holds.
    Info(info::InfoArgs),
    /// Fetch a public set.
    Get(get::GetArgs),
}

pub(super) fn run(args: &DataArgs, session: &Session) -> anyhow::Result<()> {
    match &args.command {
        DataCommand::Truth(args) => truth::run(args, session),
        DataCommand::Generate(args) => generate::run(args, session),
        DataCommand::Convert(args) => convert::run(args, session),
        DataCommand::Crop(args) => crop::run(args, session),
        DataCommand::Info(args) => info::run(args, session),
        DataCommand::Get(args) => get::run(args, session),
    }
}
