//! `spandrel data generate`: seeded sets.
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use spandrel_datasets::{GenerateParams, Kind, generate};
use spandrel_index::DType;

use super::files::{output_format, watched};
use super::labels::{self, LabelsArgs};
use super::tokens::{self, TokensArgs};
use crate::figures::units;
use crate::{Session, UsageError};

/// Make a seeded set with the structure of real ones, documents of tokens, or tags for vectors.
///
/// sift: histograms of gradients, as SIFT descriptors. embedding: unit vectors, clustered, with a falling spectrum, as
/// text embeddings. ood: a base like that, and queries of another distribution, as in searching images by text.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct GenerateArgs {
    /// What to generate in place of a set of vectors.
    #[command(subcommand)]
    pub other: Option<Other>,
    /// A set of vectors.
    #[command(flatten)]
    pub set: Option<SetArgs>,
}

/// What to generate in place of a set of vectors.
#[derive(Debug, Subcommand)]
pub enum Other {
    /// Give vectors tags, and queries filters by them.
    Labels(LabelsArgs),
    /// Make documents of tokens, and query documents.
    Tokens(TokensArgs),
}

/// A set of vectors.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// What kind of vectors: sift, embedding or ood.
    #[arg(value_name = "sift|embedding|ood")]
    pub kind: Kind,
    /// Vectors of the base.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub vectors: u64,
    /// Elements of a vector [default: sift 128, embedding 384, ood 200].
    #[arg(long, value_name = "D")]
    pub dim: Option<usize>,
    /// Element type: f32, f16, i8 or u8 [default: what the file's extension says].
    #[arg(long, value_name = "T")]
    pub dtype: Option<DType>,
    /// Equal seeds make equal sets.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// File to write the base to.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Queries to make besides.
    #[arg(long, value_name = "N", requires = "queries_out", value_parser = clap::value_parser!(u64).range(1..))]
    pub queries: Option<u64>,
    /// File to write the queries to.
    #[arg(long, value_name = "FILE", requires = "queries")]
    pub queries_out: Option<PathBuf>,
    /// Threads to use [default: one for each processor].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

pub(super) fn run(args: &GenerateArgs, session: &Session) -> anyhow::Result<()> {
    match (&args.other, &args.set) {
        (Some(Other::Labels(args)), _) => labels::run(args, session),
        (Some(Other::Tokens(args)), _) => tokens::run(args, session),
        (None, Some(args)) => run_set(args, session),
        (None, None) => Err(UsageError("expected sift, embedding, ood, labels or tokens".to_owned()).into()),
    }
}

fn run_set(args: &SetArgs, session: &Session) -> anyhow::Result<()> {
    let kind = args.kind;
    let dtype = match (args.dtype, output_format(&args.out)?.dtype()) {
        (Some(asked), _) => asked,
        (None, Some(implied)) => implied,
        (None, None) => kind.default_dtype(),
    };
    for path in std::iter::once(&args.out).chain(&args.queries_out) {
        let format = output_format(path)?;
        if !format.holds(dtype) {
            let message = format!("{}: format {format} does not hold vectors of {dtype}", path.display());
            return Err(UsageError(message).into());
        }
    }
    let params = GenerateParams {
        kind,
        vectors: args.vectors,
        queries: args.queries.unwrap_or(0),
        dim: args.dim.unwrap_or(kind.default_dim()),
        dtype,
        seed: args.seed,
        threads: args.threads.map_or(0, usize::from),
    };
    watched(session, "generating", |watch| generate(params, &args.out, args.queries_out.as_deref(), watch))?;
    let files = std::iter::once((&args.out, params.vectors)).chain(args.queries_out.iter().zip(args.queries));
    let (mut text, mut made) = (String::new(), Vec::new());
    for (path, rows) in files {
        text += &format!("{}: {} vectors of {} x {dtype}\n", path.display(), units::count(rows), params.dim);
        made.push(json!({ "out": path, "rows": rows, "dim": params.dim, "dtype": dtype.to_string() }));
    }
    let written: Vec<&Path> =
        std::iter::once(&args.out).chain(&args.queries_out).map(PathBuf::as_path).collect();
    session.show_beside(&written, &text, &json!({ "files": made }))
}
