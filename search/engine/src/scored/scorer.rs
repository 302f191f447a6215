//! What scores items.
use std::error::Error;

/// Says how well items answer a query where no distance of vectors does, as a cross-encoder or another model.
///
/// It scores for one query, which it knows itself. It is called by the thread that asked for the search, never by a search thread, so it
/// may take its time; nothing waits for it but its caller. A function `FnMut(&[u64]) -> Result<Vec<f32>, E>` is one.
pub trait Scorer {
    /// A finite score for each of some items, in their order: the higher, the better. Ids are those that the index was built with. No id comes
    /// twice.
    ///
    /// # Errors
    /// What went wrong, in the scorer's own words.
    fn score(&mut self, ids: &[u64]) -> Result<Vec<f32>, Box<dyn Error + Send + Sync>>;
}

impl<F, E> Scorer for F
where
    F: FnMut(&[u64]) -> Result<Vec<f32>, E>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    fn score(&mut self, ids: &[u64]) -> Result<Vec<f32>, Box<dyn Error + Send + Sync>> {
        self(ids).map_err(Into::into)
    }
}

/// An item and its score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoredItem {
    /// The caller's number for it.
    pub id: u64,
    /// The higher, the better.
    pub score: f32,
}
