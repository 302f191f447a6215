//! Seeded sets of vectors with the structure of real ones.
//!
//! Every row has its own stream of random numbers, so a set is the same for any number of threads, a shorter set
//! is the beginning of a longer one, and memory does not grow with the number of rows.
mod documents;
mod kind;
mod mixture;
mod model;
mod noise;
mod tokens;

use std::ops::Range;
use std::path::{Path, PathBuf};

use rayon::ThreadPool;
use rayon::prelude::*;
use spandrel_index::{DIM_MAX, DType};

pub use self::documents::{
    DOCUMENT_BYTES_MAX, GenerateTokensParams, GeneratedDocuments, TOPICS_MAX, TokenFiles, generate_tokens,
};
pub use self::kind::Kind;
use self::model::{Model, Scratch};
use self::noise::Purpose;
pub(crate) use self::noise::below;
use crate::Rows;
use crate::file::{DocumentFileError, FileError, VectorWriter, same_file};
use crate::watch::{Stopped, Watch};

/// Bytes of rows made before they are written.
const BLOCK_BYTES: usize = 4 << 20;
/// Bytes of rows that one thread makes at a time.
const PART_BYTES: usize = 64 << 10;

/// Which set to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GenerateParams {
    /// What kind of vectors.
    pub kind: Kind,
    /// Vectors of the base.
    pub vectors: u64,
    /// Queries, which are no members of the base.
    pub queries: u64,
    /// Elements of a vector.
    pub dim: usize,
    /// Their type. Embeddings as bytes are scaled to 30 for a standard deviation (u8: around 128); SIFT as i8 is
    /// shifted by -128.
    pub dtype: DType,
    /// Equal seeds make equal sets.
    pub seed: u64,
    /// Threads to use; 0 for one on each processor.
    pub threads: usize,
}

/// Why a set could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// No vectors were asked for.
    #[error("0 vectors asked for, expected at least 1")]
    NoVectors,
    /// Queries without a file for them, or the other way round.
    #[error("{queries} queries asked for, but {given} file for them: give both or none")]
    Queries {
        /// Queries asked for.
        queries: u64,
        /// "a" or "no".
        given: &'static str,
    },
    /// Elements per vector outside what is accepted.
    #[error("{0} elements per vector, expected 1..={DIM_MAX}")]
    Dim(usize),
    /// The base and the queries would be one file.
    #[error("{path}: base and queries go to the same file", path = path.display())]
    SameFile {
        /// File that both would go to.
        path: PathBuf,
    },
    /// Bytes without a sign, of which inner products say nothing: choose another type.
    #[error("tokens of {0}, expected f32, f16 or i8: unsigned bytes have no unit vectors around zero")]
    Unsigned(DType),
    /// No documents were asked for, or documents of no tokens.
    #[error("{what}: 0 asked for, expected at least 1")]
    Nothing {
        /// What there would be none of.
        what: &'static str,
    },
    /// Documents whose tokens take more memory than a document may.
    #[error(
        "{mean} {what} of {dim} elements on average, expected at most {max}: the longest document takes {limit} MiB then",
        limit = limit_bytes >> 20
    )]
    LongDocuments {
        /// Which tokens.
        what: &'static str,
        /// Mean number of them.
        mean: u16,
        /// Elements of each.
        dim: usize,
        /// The most that there may be.
        max: usize,
        /// Bytes of a document at most.
        limit_bytes: usize,
    },
    /// More topics than are kept in memory, or none.
    #[error("{0} topics, expected 1..={TOPICS_MAX}")]
    Topics(u32),
    /// The threads could not be started.
    #[error("starting {threads} threads")]
    Threads {
        /// Threads asked for.
        threads: usize,
        /// Why the pool of threads could not start.
        source: rayon::ThreadPoolBuildError,
    },
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file of offsets could not be written: documents of more tokens than 32 bits count.
    #[error(transparent)]
    Offsets(#[from] DocumentFileError),
    /// The stop flag was set; nothing was left behind.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Makes a set and writes it, and its queries to `queries_out`. Progress counts rows.
///
/// # Errors
/// Counts and dimensions out of range, files that cannot be written, the stop flag.
pub fn generate(
    params: GenerateParams,
    out: &Path,
    queries_out: Option<&Path>,
    watch: Watch<'_>,
) -> Result<(), GenerateError> {
    let GenerateParams { queries, dim, dtype, .. } = params;
    if (queries > 0) != queries_out.is_some() {
        let given = if queries > 0 { "no" } else { "a" };
        return Err(GenerateError::Queries { queries, given });
    }
    if queries_out.is_some_and(|queries_out| same_file(queries_out, out)) {
        return Err(GenerateError::SameFile { path: out.to_owned() });
    }
    check(&params)?;
    let mut base = VectorWriter::create(out, dtype, dim)?;
    base.check_rows(params.vectors)?;
    let mut query = queries_out.map(|path| VectorWriter::create(path, dtype, dim)).transpose()?;
    query.as_ref().map_or(Ok(()), |query| query.check_rows(queries))?;
    make(
        params,
        |purpose, rows| match (&mut query, purpose) {
            (Some(writer), Purpose::Queries) => writer.write_rows(rows),
            _ => base.write_rows(rows),
        },
        watch,
    )?;
    base.finish()?;
    if let Some(query) = query {
        query.finish()?;
    }
    Ok(())
}

/// Makes a set in memory: the base and its queries.
///
/// # Errors
/// Counts and dimensions out of range, the stop flag.
pub fn generate_rows(params: GenerateParams, watch: Watch<'_>) -> Result<(Rows, Rows), GenerateError> {
    check(&params)?;
    let (mut base, mut queries) = (Vec::new(), Vec::new());
    make(
        params,
        |purpose, rows| {
            if matches!(purpose, Purpose::Queries) { &mut queries } else { &mut base }
                .extend_from_slice(rows);
            Ok(())
        },
        watch,
    )?;
    let rows = |bytes| Rows::new(params.dtype, params.dim, bytes).map_err(|_| GenerateError::Dim(params.dim));
    Ok((rows(base)?, rows(queries)?))
}

fn check(params: &GenerateParams) -> Result<(), GenerateError> {
    if params.vectors == 0 {
        return Err(GenerateError::NoVectors);
    }
    if params.dim == 0 || params.dim > DIM_MAX {
        return Err(GenerateError::Dim(params.dim));
    }
    Ok(())
}

fn pool(threads: usize) -> Result<ThreadPool, GenerateError> {
    let built = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    built.map_err(|source| GenerateError::Threads { threads, source })
}

/// `count` items of about `item_bytes` each, as they are made before they are written.
fn blocks(count: u64, item_bytes: usize) -> impl Iterator<Item = Range<u64>> {
    let step = (BLOCK_BYTES / item_bytes).max(1);
    // CAST: widening
    (0..count).step_by(step).map(move |first| first..count.min(first.saturating_add(step as u64)))
}

/// What all threads make of the parts of a block, in order.
fn in_parts<T: Send>(
    pool: &ThreadPool,
    block: Range<u64>,
    item_bytes: usize,
    part: impl Fn(Range<u64>) -> T + Sync,
) -> Vec<T> {
    let step = (PART_BYTES / item_bytes).max(1) as u64; // CAST: widening
    let parts: Vec<u64> = block.clone().step_by(step as usize).collect(); // CAST: as above
    pool.install(|| parts.into_par_iter().map(|first| part(first..block.end.min(first + step))).collect())
}

/// Makes the rows of the base, then of the queries, and hands them over in order.
fn make(
    params: GenerateParams,
    mut write: impl FnMut(Purpose, &[u8]) -> Result<(), FileError>,
    watch: Watch<'_>,
) -> Result<(), GenerateError> {
    let GenerateParams { kind, vectors, queries, dim, dtype, seed, threads } = params;
    let pool = pool(threads)?;
    let row_bytes = dtype.row_bytes(dim);
    let total = vectors.saturating_add(queries);
    let mut done = 0;
    for (purpose, rows) in [(Purpose::Base, vectors), (Purpose::Queries, queries)] {
        if rows == 0 {
            continue;
        }
        let model = match purpose {
            Purpose::Queries => Model::queries(kind, dim, dtype, seed),
            _ => Model::base(kind, dim, dtype, seed),
        };
        let part = |range: Range<u64>| {
            let mut out = Vec::with_capacity(PART_BYTES.max(row_bytes));
            let mut scratch = Scratch::default();
            range.for_each(|row| model.row(purpose, row, &mut scratch, &mut out));
            out
        };
        for block in blocks(rows, row_bytes) {
            watch.step(done, total)?;
            done += block.end - block.start;
            for made in in_parts(&pool, block, row_bytes, part) {
                write(purpose, &made)?;
            }
        }
    }
    (watch.progress)(total, total);
    Ok(())
}

#[cfg(test)]
mod tests;
