//! `spandrel data generate tokens`: documents of tokens, and query documents.
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use spandrel_datasets::{GenerateTokensParams, TOPICS_MAX, TokenFiles, generate_tokens};
use spandrel_index::DType;

use super::files::{output_format, watched_of};
use crate::figures::units;
use crate::{Session, UsageError};

/// Make documents of tokens.
///
/// A document has two topics. Its tokens are words of these, or such as all documents use, turned towards the topic and the
/// document, with noise. Lengths vary from half the mean to twice the mean. A query document is about the topics of some document, with
/// more noise. Tokens are unit vectors.
#[derive(Debug, Args)]
pub struct TokensArgs {
    /// Documents of the base.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: u64,
    /// Tokens of a document, on average.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    pub tokens: u16,
    /// Topics. With a hundred documents a topic, the best documents stand out as they do among real passages.
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..=i64::from(TOPICS_MAX)))]
    pub topics: u32,
    /// Elements of a token.
    #[arg(long, value_name = "D", default_value_t = 128)]
    pub dim: usize,
    /// Element type: f32, f16 or i8 [default: what the file's extension says, or f32].
    #[arg(long, value_name = "T")]
    pub dtype: Option<DType>,
    /// Equal seeds make equal sets.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// File to write the tokens to, document by document.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// File to write to where documents begin, as `build --documents` takes it: an ibin.
    #[arg(long, value_name = "FILE")]
    pub documents: PathBuf,
    /// Query documents to make besides.
    #[arg(long, value_name = "N", requires_all = ["queries_out", "query_documents"], value_parser = clap::value_parser!(u64).range(1..))]
    pub queries: Option<u64>,
    /// Tokens of a query document, on average.
    #[arg(long, value_name = "N", default_value_t = 14, value_parser = clap::value_parser!(u16).range(1..))]
    pub query_tokens: u16,
    /// File to write the tokens of query documents to.
    #[arg(long, value_name = "FILE", requires = "queries")]
    pub queries_out: Option<PathBuf>,
    /// File to write to where query documents begin, as `query --query-documents` takes it: an ibin.
    #[arg(long, value_name = "FILE", requires = "queries")]
    pub query_documents: Option<PathBuf>,
    /// Threads to use [default: one for each processor].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

/// A file of what was made.
struct Made<'a> {
    path: &'a Path,
    rows: u64,
    /// What the file holds, in words.
    text: String,
}

pub(super) fn run<'a>(args: &'a TokensArgs, session: &Session) -> anyhow::Result<()> {
    let dtype = args.dtype.or(output_format(&args.out)?.dtype()).unwrap_or(DType::F32);
    for path in std::iter::once(&args.out).chain(&args.queries_out) {
        let format = output_format(path)?;
        if !format.holds(dtype) {
            let message = format!("{}: format {format} does not hold vectors of {dtype}", path.display());
            return Err(UsageError(message).into());
        }
    }
    let params = GenerateTokensParams {
        documents: args.count,
        tokens: args.tokens,
        topics: args.topics,
        queries: args.queries.unwrap_or(0),
        query_tokens: args.query_tokens,
        dim: args.dim,
        dtype,
        seed: args.seed,
        threads: args.threads.map_or(0, usize::from),
    };
    let base = TokenFiles { tokens: &args.out, offsets: &args.documents };
    let queries = args.queries_out.as_deref().zip(args.query_documents.as_deref());
    let queries = queries.map(|(tokens, offsets)| TokenFiles { tokens, offsets });
    let counts = watched_of(session, "generating", "documents", |watch| {
        generate_tokens(params, base, queries, watch)
    })?;
    let made_of = |files: TokenFiles<'a>, documents: u64, tokens: u64| {
        let vectors = format!("{} vectors of {} x {dtype}", units::count(tokens), params.dim);
        let offsets = format!("offsets of {} documents", units::count(documents));
        let offsets = Made { path: files.offsets, rows: documents + 1, text: offsets };
        [Made { path: files.tokens, rows: tokens, text: vectors }, offsets]
    };
    let mut made = Vec::from(made_of(base, params.documents, counts.tokens));
    made.extend(queries.into_iter().flat_map(|files| made_of(files, params.queries, counts.query_tokens)));
    let text: String = made.iter().map(|made| format!("{}: {}\n", made.path.display(), made.text)).collect();
    let files: Vec<_> = made.iter().map(|made| json!({ "out": made.path, "rows": made.rows })).collect();
    let written: Vec<&Path> = made.iter().map(|made| made.path).collect();
    let told = json!({ "files": files, "dim": params.dim, "dtype": dtype.to_string() });
    session.show_beside(&written, &text, &told)
}
