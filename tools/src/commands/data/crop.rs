//! `spandrel data crop`: some rows of a file.
use std::path::PathBuf;

use clap::Args;
use spandrel_datasets::crop;

use crate::Session;
use crate::figures::units;
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
}

pub(super) fn run(args: &CropArgs, session: &Session) -> anyhow::Result<()> {
    super::output_format(&args.output)?;
    let range = args.rows.0.clone();
    let rows = super::watched(session, "copying", |watch| crop(&args.input, &args.output, range, watch))?;
    session.print(&format!("{}: {} rows\n", args.output.display(), units::count(rows)))
}
