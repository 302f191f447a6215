//! `spandrel data convert`: other formats.
use std::path::PathBuf;

use clap::Args;
use spandrel_datasets::{Format, convert};

use super::files::{output, show_rows, watched};
use crate::Session;
use crate::commands::input::InputArgs;

/// Write a file in another format.
///
/// Formats are told by extension. A value that the new type cannot hold is refused; f32 becomes f16 by rounding.
#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// File to read.
    #[arg(value_name = "IN")]
    pub input: PathBuf,
    /// File to write.
    #[arg(value_name = "OUT")]
    pub output: PathBuf,
    /// Format to write where the name of the output tells none, as that of a pipe.
    #[arg(long, value_name = "FORMAT")]
    pub out_format: Option<Format>,
    /// How the input is read.
    #[command(flatten)]
    pub input_args: InputArgs,
}

pub(super) fn run(args: &ConvertArgs, session: &Session) -> anyhow::Result<()> {
    let (input, output) = (args.input_args.of(&args.input), output(&args.output, args.out_format)?);
    let rows = watched(session, "converting", |watch| convert(input, output, watch))?;
    show_rows(session, &args.output, rows)
}
