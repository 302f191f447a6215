//! `spandrel report`: runs side by side.
use std::path::PathBuf;

use clap::Args;

use super::file_names::FileNames;
use crate::report::{Comparison, json, memory_qps_svg, page, recall_qps_svg, text};
use crate::{Advised, Session, write_file};

/// Compare the figures of several runs.
///
/// Prints every operating point and the queries per second at equal recall, each run against the first.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Operating points: what `spandrel bench --json` writes, or one JSON object a line with at least recall and qps.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Write a page with curves and tables, complete in itself.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write the curve of queries per second over recall alone.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Write the curve of queries per second, at the recall of --at, over the memory that each run takes.
    #[arg(long, value_name = "FILE")]
    pub memory_svg: Option<PathBuf>,
    /// Recall at which --memory-svg compares.
    #[arg(long, value_name = "RECALL", default_value_t = 0.95, requires = "memory_svg")]
    pub at: f64,
}

/// Runs the sub-command.
///
/// # Errors
/// Files that cannot be read or hold no operating points, and output that cannot be written.
pub(super) fn run(args: &ReportArgs, session: &Session) -> anyhow::Result<()> {
    let names = args.files.iter().fold(FileNames::default(), |names, path| names.read("FILE", &**path));
    names
        .written("--html", args.html.as_deref())
        .written("--svg", args.svg.as_deref())
        .written("--memory-svg", args.memory_svg.as_deref())
        .check()?;
    let comparison = Comparison::load(&args.files)?;
    if let Some(path) = &args.html {
        write_file(path, page(&comparison).as_bytes())?;
        session.note(&format!("wrote {}", path.display()));
    }
    if let Some(path) = &args.svg {
        write_file(path, recall_qps_svg(&comparison).as_bytes())?;
        session.note(&format!("wrote {}", path.display()));
    }
    if let Some(path) = &args.memory_svg {
        let svg = memory_qps_svg(&comparison, args.at).ok_or_else(|| {
            let message =
                format!("no run that tells its memory has points on both sides of recall {}", args.at);
            Advised::new(message, "measure more points, or compare --at another recall")
        })?;
        write_file(path, svg.as_bytes())?;
        session.note(&format!("wrote {}", path.display()));
    }
    let files = [&args.html, &args.svg, &args.memory_svg].into_iter().flatten().map(PathBuf::as_path);
    session.show_beside(&files.collect::<Vec<_>>(), &text(&comparison), &json(&comparison))
}
