//! `spandrel data convert`: other formats.
use std::path::PathBuf;

use clap::Args;
use spandrel_datasets::convert;

use crate::Session;
use crate::figures::units;

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
}

pub(super) fn run(args: &ConvertArgs, session: &Session) -> anyhow::Result<()> {
    super::output_format(&args.output)?;
    let rows = super::watched(session, "converting", |watch| convert(&args.input, &args.output, watch))?;
    session.print(&format!("{}: {} rows\n", args.output.display(), units::count(rows)))
}
