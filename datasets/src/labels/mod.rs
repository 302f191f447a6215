//! Tags for vectors, and filters of queries by them, with the sizes of real ones and a known correlation.
//!
//! A tag has an anchor: a row of the base. With a correlation of 1 or -1 the vectors nearest the anchor carry it, with 0 random
//! ones do; between, that share of them is the nearest and the others are random. A query asks for the tag of its nearest
//! anchor where the correlation is positive, of its farthest where it is negative, and for a random one where it is 0. Every tag
//! and query has its own stream of random numbers, so the result is the same for any number of threads.
mod anchors;
mod error;
mod matrix;
mod place;
mod placement;
mod random;

use rayon::prelude::*;
use spandrel_index::VectorSource;

pub use self::error::{LABEL_ROWS_MAX, LABELS_MAX, LabelError};
pub use self::matrix::Matrix;
pub use self::placement::{Frequencies, Placement};
use self::random::{Purpose, stream};
use crate::generate::below;
use crate::watch::Watch;

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

    /// Different tags. Each has at least one vector.
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

fn pool(threads: usize) -> Result<rayon::ThreadPool, LabelError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|source| LabelError::Threads { threads, source })
}

#[cfg(test)]
mod tests;
