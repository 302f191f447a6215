//! Tags for vectors, and filters of queries by them, with the sizes of real ones and a known correlation.
//!
//! A tag has an anchor: a row of the base. With a correlation of 1 or -1 the vectors nearest the anchor carry it, with 0 random
//! ones do; between, that share of them is the nearest and the others are random. A query asks for the tag of its nearest
//! anchor where the correlation is positive, of its farthest where it is negative, and for a random one where it is 0. Every tag
//! and query has its own stream of random numbers, so the result is the same for any number of threads.
mod anchors;
mod matrix;
mod place;

use rand::{RngCore as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use spandrel_index::{Metric, SourceError, VectorSource};

pub use self::matrix::Matrix;
use crate::values::BadRow;
use crate::watch::{Stopped, Watch};

/// Most vectors of a base that gets tags, since tags hold row numbers of 32 bits.
pub const LABEL_ROWS_MAX: u64 = 1 << 32;
/// Most tags.
pub const LABELS_MAX: usize = 1 << 24;

/// How many vectors carry each tag.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frequencies {
    /// Number of tags.
    pub tags: usize,
    /// Tag number `i`, from 0, has a frequency in proportion to `(i + 1)^-zipf`.
    pub zipf: f64,
    /// Tags of a vector, on average.
    pub per_vector: f64,
}

impl Frequencies {
    /// The number of `vectors` vectors that carry each tag, the most frequent first: at least 1, at most all.
    pub fn sizes(&self, vectors: u64) -> Vec<u64> {
        let weight = |tag: usize| (tag as f64 + 1.0).powf(-self.zipf); // CAST: exact to 2^53
        let total: f64 = (0..self.tags).map(weight).sum();
        let size = |tag| (vectors as f64 * self.per_vector * weight(tag) / total).round() as u64; // CAST: not negative
        (0..self.tags).map(|tag| size(tag).clamp(1, vectors)).collect()
    }
}

/// Which vectors carry a tag, and which queries ask for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// What near means.
    pub metric: Metric,
    /// From -1 to 1.
    pub correlation: f64,
    /// Equal seeds make equal tags.
    pub seed: u64,
    /// Threads to use; 0 for one on each processor.
    pub threads: usize,
}

/// Tags of the rows of a base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// Rows of the base.
    vectors: u64,
    /// The row of each tag's anchor.
    anchors: Vec<u32>,
    /// The rows that carry each tag, ascending.
    members: Vec<Vec<u32>>,
}

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
        /// Of the base.
        base: usize,
        /// Of the queries.
        queries: usize,
    },
    /// A row that has no distance.
    #[error("{name}: {bad}")]
    Row {
        /// The source.
        name: String,
        /// The row.
        bad: BadRow,
    },
    /// The threads could not be started.
    #[error("starting {threads} threads")]
    Threads {
        /// Threads asked for.
        threads: usize,
        /// The system's answer.
        source: rayon::ThreadPoolBuildError,
    },
    /// Rows could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The stop flag was set.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl Labels {
    /// Gives `sizes[i]` rows of `base` tag `i`. Progress counts tags.
    ///
    /// With a correlation other than 0 every tag's anchor is compared with every row.
    ///
    /// # Errors
    /// [`LabelError`].
    pub fn place(
        base: &dyn VectorSource,
        sizes: &[u64],
        placement: Placement,
        watch: Watch<'_>,
    ) -> Result<Labels, LabelError> {
        let Placement { correlation, seed, threads, .. } = placement;
        let vectors = base.len();
        if sizes.is_empty() || sizes.len() > LABELS_MAX {
            return Err(LabelError::Tags(sizes.len()));
        }
        if vectors == 0 || vectors > LABEL_ROWS_MAX {
            return Err(LabelError::Vectors(vectors));
        }
        if !(-1.0..=1.0).contains(&correlation) {
            return Err(LabelError::Correlation(correlation));
        }
        let anchor = |tag| below(&mut stream(seed, Purpose::Anchor, tag), vectors) as u32; // CAST: at most 2^32 rows
        let anchors: Vec<u32> = (0..sizes.len()).map(anchor).collect();
        let members = pool(threads)?.install(|| place::members(base, &anchors, sizes, placement, watch))?;
        Ok(Labels { vectors, anchors, members })
    }

    /// Number of tags.
    pub fn tags(&self) -> usize {
        self.members.len()
    }

    /// The rows that carry a tag, ascending.
    ///
    /// # Panics
    /// When there is no such tag.
    pub fn members(&self, tag: usize) -> &[u32] {
        &self.members[tag]
    }

    /// The tags of each row.
    pub fn by_row(&self) -> Matrix {
        Matrix::transposed(&self.members, self.vectors as usize) // CAST: usize is 64 bits here
    }

    /// The tags that each query asks for, all of them together: one, or up to `at_most` that some vector carries all.
    ///
    /// # Errors
    /// [`LabelError`].
    pub fn choose(
        &self,
        base: &dyn VectorSource,
        queries: &dyn VectorSource,
        at_most: usize,
        placement: Placement,
    ) -> Result<Matrix, LabelError> {
        let Placement { correlation, seed, threads, .. } = placement;
        if base.dim() != queries.dim() {
            return Err(LabelError::Dim { base: base.dim(), queries: queries.dim() });
        }
        let count = usize::try_from(queries.len()).unwrap_or(usize::MAX);
        let chosen: Vec<u32> = if correlation == 0.0 {
            let ends: Vec<u64> =
                self.members.iter().scan(0, |end, rows| Some(add(end, rows.len()))).collect();
            let total = ends.last().copied().unwrap_or_default();
            let pick = |query| {
                let at = below(&mut stream(seed, Purpose::Query, query), total);
                ends.partition_point(|&end| end <= at) as u32 // CAST: at most LABELS_MAX
            };
            (0..count).map(pick).collect()
        } else {
            pool(threads)?.install(|| anchors::of_queries(base, &self.anchors, queries, placement))?
        };
        let by_row = (at_most > 1).then(|| self.by_row());
        let tags = |(query, &tag): (usize, &u32)| {
            let Some(by_row) = &by_row else { return vec![tag] };
            let mut rng = stream(seed, Purpose::More, query);
            let wanted = 1 + below(&mut rng, at_most as u64) as usize; // CAST: at most `at_most`
            let rows = &self.members[tag as usize];
            let row = rows[below(&mut rng, rows.len() as u64) as usize]; // CAST: below the number of rows
            let mut tags: Vec<u32> =
                by_row.row(row as usize).iter().copied().filter(|&other| other != tag).collect();
            while tags.len() + 1 > wanted {
                tags.swap_remove(below(&mut rng, tags.len() as u64) as usize); // CAST: below the number of tags
            }
            tags.push(tag);
            tags.sort_unstable();
            tags
        };
        let tags: Vec<Vec<u32>> = chosen.par_iter().enumerate().map(tags).collect();
        Ok(Matrix::of(&tags, self.tags()))
    }
}

fn add(end: &mut u64, more: usize) -> u64 {
    *end += more as u64; // CAST: usize is 64 bits here
    *end
}

/// What a stream of random numbers is for. No two purposes share numbers.
#[derive(Debug, Clone, Copy)]
#[repr(u64)]
enum Purpose {
    /// The anchor of a tag.
    Anchor = 1,
    /// The members of a tag.
    Members = 2,
    /// The tag of a query.
    Query = 3,
    /// Further tags of a query.
    More = 4,
}

/// The random numbers of one tag or query.
fn stream(seed: u64, purpose: Purpose, number: usize) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream((purpose as u64) << 56 | number as u64); // CAST: far below 2^56
    rng
}

/// A number in `0..n`.
fn below(rng: &mut ChaCha8Rng, n: u64) -> u64 {
    let wide = u128::from(rng.next_u64()) * u128::from(n);
    (wide >> 64) as u64 // CAST: below n
}

fn pool(threads: usize) -> Result<rayon::ThreadPool, LabelError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|source| LabelError::Threads { threads, source })
}

#[cfg(test)]
mod tests;
