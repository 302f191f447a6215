//! `spandrel data crop`: some rows of a file.
use std::path::PathBuf;

use clap::Args;
use spandrel_datasets::{Format, crop};

use super::files::{output, show_rows, watched};
use crate::Session;
use crate::commands::input::InputArgs;
use crate::values::RowRange;

/// Write some rows of a file, in the same or another format.
#[derive(Debug, Args)]
pub struct CropArgs {
    /// File to read.
    #[arg(value_name = "IN")]
    pub input: PathBuf,
    /// File to write.
    #[arg(value_name = "OUT")]
    pub output: PathBuf,
    /// Rows to write, from A up to, not including, B.
    #[arg(long, value_name = "A..B")]
    pub rows: RowRange,
    /// Format to write where the name of the output tells none, as that of a pipe.
    #[arg(long, value_name = "FORMAT")]
    pub out_format: Option<Format>,
    /// How the input is read.
    #[command(flatten)]
    pub input_args: InputArgs,
}

pub(super) fn run(args: &CropArgs, session: &Session) -> anyhow::Result<()> {
    let (input, output) = (args.input_args.of(&args.input), output(&args.output, args.out_format)?);
    let range = args.rows.0.clone();
    let rows = watched(session, "copying", |watch| crop(input, output, range, watch))?;
    show_rows(session, &args.output, rows)
}
