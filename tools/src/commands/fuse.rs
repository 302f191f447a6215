//! `spandrel fuse`: answers of several searches, fused by their ranks.
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use spandrel_datasets::{Format, FuseError, FuseParams, OutFile, Truth, fuse};

use super::file_names::FileNames;
use crate::figures::units;
use crate::{Advised, Session, UsageError};

/// Fuse files of answers to the same queries by their ranks.
///
/// Reciprocal rank fusion: the score of an id is the sum of weight / (k + rank) over the files that name it, ranks counted from 1. Only
/// ranks count, so that the files may be of different metrics, indexes and numbers of neighbours. Missing answers (-1) are
/// skipped. The largest score comes first, ties by id.
#[derive(Debug, Args)]
pub struct FuseArgs {
    /// Files of answers, as `query --out` and `data truth` write them: .ibin, .ivecs or .npy, which holds ids of 64 bits.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// File to write: .ibin with ids and scores, or .npy or .ivecs with ids alone. Missing ids are 4294967295 or -1.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Format to write where the name of the output tells none, as that of a pipe.
    #[arg(long, value_name = "FORMAT")]
    pub out_format: Option<Format>,
    /// A weight for each file, in their order [default: 1 for each].
    #[arg(long, value_name = "W,W", value_delimiter = ',')]
    pub weights: Vec<f64>,
    /// What is added to each rank: the larger, the less the first ranks count.
    #[arg(long, value_name = "K", default_value_t = 60.0)]
    pub k: f64,
    /// Neighbours of each query to write, no more than all files have together [default: the most that a file has].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub depth: Option<u32>,
}

pub(super) fn run(args: &FuseArgs, session: &Session) -> anyhow::Result<()> {
    let out = OutFile { path: &args.out, format: args.out_format };
    let format = out.format()?;
    if !matches!(format, Format::Ibin | Format::Ivecs | Format::Npy) {
        let path = args.out.display();
        let message =
            format!("{path}: a file of format {format}, expected one ending in .ibin, .ivecs or .npy");
        return Err(UsageError(message).into());
    }
    let names = args.files.iter().fold(FileNames::default(), |names, path| names.read("FILE", &**path));
    names.written("--out", &*args.out).check()?;
    let open = |path: &PathBuf| Truth::open(path).with_context(|| format!("reading {}", path.display()));
    let files = args.files.iter().map(open).collect::<anyhow::Result<Vec<_>>>()?;
    let params = FuseParams {
        k: args.k,
        weights: args.weights.clone(),
        depth: args.depth.map(|depth| depth as usize), // CAST: widening
    };
    let fused = fuse(&files, &params).map_err(|error| advised(error, &args.files))?;
    let widest = fused.ids.iter().copied().filter(|&id| id != Truth::NONE).max().unwrap_or_default();
    if widest > format.id_max() {
        let message = format!("{}: id {widest} does not fit a file of format {format}", args.out.display());
        return Err(
            Advised::new(message, "write an .npy file, which holds ids of 64 bits without scores").into()
        );
    }
    fused.write(out)?;
    let text = format!(
        "{}: {} of each of {} queries, fused from {} files\n",
        args.out.display(),
        fused.k,
        units::count(fused.queries as u64), // CAST: usize is 64 bits here
        files.len()
    );
    let json = json!({ "out": args.out, "queries": fused.queries, "depth": fused.k, "files": files.len() });
    session.show_beside(&[&args.out], &text, &json)
}

/// Names the file that an error numbers; wrong flags are a wrong command line.
fn advised(error: FuseError, files: &[PathBuf]) -> anyhow::Error {
    match &error {
        FuseError::Queries { file, .. } => {
            let path = files.get(file - 1).map_or(Path::new(""), PathBuf::as_path);
            let help = "give files of answers to the same queries, in the same order";
            Advised::new(format!("{}: {error}", path.display()), help).into()
        }
        _ => UsageError(error.to_string()).into(),
    }
}
