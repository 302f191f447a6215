//! Vectors of items and queries from the scores of a scorer that is no metric (Yadav et al., "Efficient Nearest Neighbor Search for
//! Cross-Encoder Models using Matrix Factorization", EMNLP 2022).
//!
//! ```text
//!                 items                              R   scores of anchor queries with all items
//!            +-----------------+                     A   the columns of R of the anchor items
//! anchor     |        R        |    column i of R is the vector of item i
//! queries    |   A   A     A   |    s x pinv(A)   is that of a query with scores s on the anchor items
//!            +-----------------+
//! ```
//! Inner products of the two estimate the scores of the query with all items: `s x pinv(A) x R`, a CUR decomposition. Where the numbers of
//! anchor queries and of anchor items are alike, `A` has singular values near 0, and its plain inverse makes noise of them. They
//! are held down by a ridge or left out, by as much as is best for anchor queries that are held back.
mod anchors;
mod error;
mod limits;
mod map;
mod scores;
mod spectrum;
mod strength;
#[cfg(test)]
mod tests;

pub use anchors::{AnchorChoice, AnchorParams, check_anchors, choose_anchors};
pub use error::CurError;
pub use limits::{ANCHOR_QUERIES_MIN, ITEMS_MAX, SIDE_MAX};
pub use map::{CurMap, CurParams, Learned, learn};
pub use scores::{ScoreFile, ScoreMatrix};
pub use spectrum::Strength;
pub use strength::{HeldOut, Tried};
