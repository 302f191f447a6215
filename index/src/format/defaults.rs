//! Pruning that queries get when they ask for none.
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::OpenError;
use crate::Tier;

/// Pruning that a query gets when it asks for none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchDefault {
    /// A list is read iff its head is no farther than `1 + epsilon` times the nearest head; no such limit if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f32>,
    /// At most this many lists are read.
    pub max_lists: u32,
    /// A vector is reranked iff its estimate, less this many standard errors, is among the best estimates. Lists of
    /// exact vectors do not use it.
    pub rerank_errors: f32,
}

impl SearchDefault {
    pub(super) fn check(&self, path: &Path, what: &'static str) -> Result<(), OpenError> {
        let numbers = [self.epsilon.unwrap_or_default(), self.rerank_errors];
        if numbers.iter().any(|x| !x.is_finite() || *x < 0.0) || self.max_lists == 0 {
            return Err(OpenError::field(path, what, format!("{self:?}"), "a usable default"));
        }
        Ok(())
    }
}

/// The default of queries for a number of neighbours, as calibration found it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchCell {
    /// Neighbours wanted.
    pub k: u32,
    /// Where vectors are.
    pub vectors: Tier,
    /// A list is read iff its head is no farther than `1 + epsilon` times the nearest head; no such limit if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f32>,
    /// At most this many lists are read.
    pub max_lists: u32,
    /// Standard errors of estimates within which vectors are compared exactly; none for lists of exact vectors.
    pub rerank_errors: Option<f32>,
    /// Recall of queries that was looked for.
    pub target: f64,
    /// Recall that a further query is to expect at least: less than was looked for where that is out of reach.
    pub recall: f64,
    /// Rows of the index, each left out of its own answer, that say so.
    pub queries: u32,
}

impl SearchCell {
    /// Queries needed for the recall to be below the target because of what they miss, rather than for being few.
    pub fn is_short(&self) -> bool {
        let least = 1.0 / (f64::from(self.queries) + 1.0);
        self.recall < self.target && 1.0 - least >= self.target
    }

    pub(super) fn check(&self, path: &Path) -> Result<(), OpenError> {
        let numbers = [self.epsilon, self.rerank_errors].map(Option::unwrap_or_default);
        let is_share = |x: f64| (0.0..=1.0).contains(&x);
        let usable = self.k > 0
            && self.max_lists > 0
            && numbers.iter().all(|x| x.is_finite() && *x >= 0.0)
            && is_share(self.target)
            && is_share(self.recall);
        if usable {
            return Ok(());
        }
        Err(OpenError::field(path, "search_cells", format!("{self:?}"), "a usable default"))
    }
}

/// The least work that was found to give a recall.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CalibrationPoint {
    /// Recall@10 of queries that was looked for.
    pub recall: f64,
    /// Where vectors are when work is weighed so.
    pub vectors: Tier,
    /// Lists to read at most.
    pub max_lists: u32,
    /// Standard errors of estimates within which vectors are compared exactly; none for lists of exact vectors.
    pub rerank_errors: Option<f32>,
    /// Recall@10 of rows of the index, each left out of its own answer: more than that of strangers.
    pub held_out_recall: f64,
    /// Vectors compared exactly after their codes were scanned, per query.
    pub reranked: f64,
    /// Vectors compared, or estimated from their codes, per query.
    pub vectors_scanned: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_falls_short_is_told_from_what_had_few_queries() {
        let cell = |recall, queries| SearchCell {
            k: 10,
            vectors: Tier::Ssd,
            epsilon: None,
            max_lists: 1,
            rerank_errors: None,
            target: 0.95,
            recall,
            queries,
        };
        assert!(cell(0.9, 400).is_short() && !cell(0.9, 12).is_short() && !cell(0.95, 400).is_short());
    }
}
