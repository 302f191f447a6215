//! Pruning that queries get when they ask for none, where the index was not calibrated.
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::OpenError;

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
