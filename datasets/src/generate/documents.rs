//! Documents of tokens, and query documents, in files.
use std::path::Path;

use rayon::ThreadPool;
use spandrel_index::{DIM_MAX, DType};

use super::noise::Purpose;
use super::tokens::TokenModel;
use super::{GenerateError, blocks, in_parts, pool};
use crate::file::{OffsetsWriter, VectorWriter, same_file};
use crate::watch::Watch;

/// Most topics of a set: each has a vector and words in memory.
pub const TOPICS_MAX: u32 = 1 << 16;

/// Bytes of the tokens of a document at most: each thread holds some documents in memory.
pub const DOCUMENT_BYTES_MAX: usize = 64 << 20;

/// Which documents to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GenerateTokensParams {
    /// Documents of the base.
    pub documents: u64,
    /// Mean number of tokens of a document. Lengths vary from half of it to twice it; the longest takes no more than [`DOCUMENT_BYTES_MAX`].
    pub tokens: u16,
    /// Topics: few documents share one, so that their number decides how alike documents are. 1 to [`TOPICS_MAX`].
    pub topics: u32,
    /// Query documents, each about the subject of some document.
    pub queries: u64,
    /// Tokens of a query document on average.
    pub query_tokens: u16,
    /// Elements of a token.
    pub dim: usize,
    /// Their type, not u8. Tokens are unit vectors; as bytes these are scaled to 30 for a standard deviation.
    pub dtype: DType,
    /// Equal seeds make equal sets.
    pub seed: u64,
    /// Threads to use; 0 for one on each processor.
    pub threads: usize,
}

/// The files of some documents.
#[derive(Debug, Clone, Copy)]
pub struct TokenFiles<'a> {
    /// Tokens, document by document.
    pub tokens: &'a Path,
    /// Where documents begin, an ibin.
    pub offsets: &'a Path,
}

/// How much was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GeneratedDocuments {
    /// Tokens of all documents.
    pub tokens: u64,
    /// Tokens of all query documents.
    pub query_tokens: u64,
}

/// Makes documents of tokens and writes them, and query documents to `queries`. Progress counts documents. Memory does not grow with their
/// number.
///
/// # Errors
/// Counts and dimensions out of range, files that cannot be written, the stop flag.
pub fn generate_tokens(
    params: GenerateTokensParams,
    base: TokenFiles<'_>,
    queries: Option<TokenFiles<'_>>,
    watch: Watch<'_>,
) -> Result<GeneratedDocuments, GenerateError> {
    check(&params, queries.is_some())?;
    let files = [Some(base), queries].into_iter().flatten().flat_map(|of| [of.tokens, of.offsets]);
    let files: Vec<&Path> = files.collect();
    for (at, &path) in files.iter().enumerate() {
        if files[..at].iter().any(|&other| same_file(other, path)) {
            return Err(GenerateError::SameFile { path: path.to_owned() });
        }
    }
    let model = TokenModel::new(params.topics as usize, params.dim, params.dtype, params.seed);
    let making = Making { params, model: &model, pool: &pool(params.threads)?, watch };
    let base = making.writers(base)?;
    let queries = queries.map(|files| making.writers(files)).transpose()?;
    let base = making.make(What::Documents, base, 0)?;
    let queries = queries.map(|of| making.make(What::Queries, of, params.documents)).transpose()?;
    let total = params.documents.saturating_add(params.queries);
    (watch.progress)(total, total);
    let finish = |(tokens, offsets): Writers| -> Result<u64, GenerateError> {
        offsets.finish()?;
        Ok(tokens.finish()?)
    };
    Ok(GeneratedDocuments { tokens: finish(base)?, query_tokens: queries.map_or(Ok(0), finish)? })
}

fn check(params: &GenerateTokensParams, has_queries: bool) -> Result<(), GenerateError> {
    let &GenerateTokensParams { documents, tokens, topics, queries, query_tokens, dim, dtype, .. } = params;
    if (queries > 0) != has_queries {
        let given = if queries > 0 { "no" } else { "a" };
        return Err(GenerateError::Queries { queries, given });
    }
    for (what, count) in
        [("documents", documents), ("tokens", tokens.into()), ("query tokens", query_tokens.into())]
    {
        if count == 0 {
            return Err(GenerateError::Nothing { what });
        }
    }
    if topics == 0 || topics > TOPICS_MAX {
        return Err(GenerateError::Topics(topics));
    }
    if dim == 0 || dim > DIM_MAX {
        return Err(GenerateError::Dim(dim));
    }
    if dtype == DType::U8 {
        return Err(GenerateError::Unsigned(dtype));
    }
    for (what, mean) in [("tokens", tokens), ("query tokens", query_tokens)] {
        // Lengths are up to twice the mean.
        let max = DOCUMENT_BYTES_MAX / (2 * dtype.row_bytes(dim));
        if usize::from(mean) > max {
            return Err(GenerateError::LongDocuments {
                what,
                mean,
                dim,
                max,
                limit_bytes: DOCUMENT_BYTES_MAX,
            });
        }
    }
    Ok(())
}

/// The files of one kind of documents while they are written.
type Writers = (VectorWriter, OffsetsWriter);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Documents,
    Queries,
}

struct Making<'a> {
    params: GenerateTokensParams,
    model: &'a TokenModel,
    pool: &'a ThreadPool,
    watch: Watch<'a>,
}

impl Making<'_> {
    fn writers(&self, files: TokenFiles<'_>) -> Result<Writers, GenerateError> {
        let GenerateTokensParams { dim, dtype, .. } = self.params;
        Ok((VectorWriter::create(files.tokens, dtype, dim)?, OffsetsWriter::create(files.offsets)?))
    }

    /// Makes all documents of a kind, after `before` of another.
    fn make(
        &self,
        what: What,
        (mut tokens, mut offsets): Writers,
        before: u64,
    ) -> Result<Writers, GenerateError> {
        let params = &self.params;
        let (count, mean, purpose) = match what {
            What::Documents => (params.documents, params.tokens, Purpose::Lengths),
            What::Queries => (params.queries, params.query_tokens, Purpose::QueryLengths),
        };
        let total = params.documents.saturating_add(params.queries);
        let document_bytes = usize::from(mean) * params.dtype.row_bytes(params.dim);
        for block in blocks(count, document_bytes) {
            self.watch.step(before + block.start, total)?;
            let part = |numbers: std::ops::Range<u64>| {
                let (mut bytes, mut lengths) = (Vec::new(), Vec::new());
                for number in numbers {
                    lengths.push(self.model.length(purpose, number, mean.into()));
                    match what {
                        What::Documents => self.model.document(number, mean.into(), &mut bytes),
                        What::Queries => self.model.query(number, params.documents, mean.into(), &mut bytes),
                    }
                }
                (bytes, lengths)
            };
            for (bytes, lengths) in in_parts(self.pool, block.clone(), document_bytes, part) {
                lengths.into_iter().try_for_each(|rows| offsets.push(rows))?;
                tokens.write_rows(&bytes)?;
            }
        }
        Ok((tokens, offsets))
    }
}
