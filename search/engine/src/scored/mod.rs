//! Answers by a scorer instead of a metric: a search finds candidates, and the scorer says which are best.
mod error;
mod params;
mod ranking;
mod scorer;

pub use error::{ScoreError, ScoreFailure};
pub use params::ScoredParams;
pub use ranking::{ScoredAnswer, score_answer};
pub use scorer::{ScoredItem, Scorer};
