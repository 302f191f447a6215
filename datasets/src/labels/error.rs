//! Why no tags could be made.
use spandrel_index::SourceError;

use crate::values::BadRow;
use crate::watch::Stopped;

/// Most vectors of a base that gets tags, since tags hold row numbers of 32 bits.
pub const LABEL_ROWS_MAX: u64 = 1 << 32;
/// Most tags that may be asked for.
pub const LABELS_MAX: usize = 1 << 24;

/// Why vectors could not be given tags.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// No tags, or too many.
    #[error("{0} tags, expected 1 to {LABELS_MAX}")]
    Tags(usize),
    /// A base of no vectors, or of too many.
    #[error("a base of {0} vectors, expected 1 to {LABEL_ROWS_MAX}")]
    Vectors(u64),
    /// A correlation beyond its ends.
    #[error("a correlation of {0}, expected -1 to 1")]
    Correlation(f64),
    /// Queries of another dimension than the base.
    #[error("queries of {queries} dimensions, a base of {base}")]
    Dim {
        /// Elements of a vector of the base.
        base: usize,
        /// Elements of a query.
        queries: usize,
    },
    /// A row that has no distance.
    #[error("{name}: {bad}")]
    Row {
        /// Name of the source, a path where it is a file.
        name: String,
        /// Which row, and what is wrong with it.
        bad: BadRow,
    },
    /// The threads could not be started.
    #[error("starting {threads} threads")]
    Threads {
        /// Threads asked for.
        threads: usize,
        /// Why the pool of threads could not start.
        source: rayon::ThreadPoolBuildError,
    },
    /// Rows could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The stop flag was set.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}
