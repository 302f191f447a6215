//! Which estimates a query checks by exact distances.
use spandrel_index::Index;
use spandrel_index::codes::CodeSpec;

use crate::params::{Distances, ParamsError, Rerank, SearchParams};
use crate::pruning::SMALL_INDEX;

/// Standard errors by which the second burst trusts estimates more than the first, since it knows the k-th distance
/// and not only its estimate: few queries then take a second burst. Decision 007.
pub const SECOND_LESS: f32 = 1.0;
/// Standard errors by which two estimates together may be wrong, at least, for a vector to be returned with its estimate.
/// Fewer do where its distance is compared afterwards. By hand: two errors cover 95 % of estimates whose errors are normal.
const DECIDED_ERRORS: f32 = 2.0;
/// Standard errors by which a vector may be farther that is compared because its page is read for another. Decision 007.
pub const KEPT_MORE: f32 = 1.5;

/// Vectors compared exactly at most for `k` neighbours, where errors decide which are. Decision 007.
pub const fn compared_most(k: usize) -> usize {
    16 * k + 64
}

/// Which of the vectors that were estimated are compared exactly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct VerifyPlan {
    pub(crate) rerank: Rerank,
    /// Whether answers may carry estimated distances.
    pub(crate) estimates: bool,
    /// Whether the index is so small that all of it may be compared.
    pub(crate) is_small: bool,
}

impl VerifyPlan {
    /// With the index's own errors unless the query names a rule.
    pub(crate) fn of(
        params: &SearchParams,
        index: &Index,
        errors: f32,
    ) -> Result<Option<VerifyPlan>, ParamsError> {
        let rerank = params.rerank.unwrap_or(Rerank::Errors(errors));
        if let Rerank::Errors(found) = rerank
            && !(found >= 0.0 && found.is_finite())
        {
            return Err(ParamsError::RerankErrors { found });
        }
        VerifyPlan::with(rerank, params.distances == Distances::Any, index)
    }

    pub(crate) fn with(
        rerank: Rerank,
        estimates: bool,
        index: &Index,
    ) -> Result<Option<VerifyPlan>, ParamsError> {
        if index.code() == CodeSpec::Full {
            return Ok(None);
        }
        if estimates && !index.has_ids() {
            return Err(ParamsError::NoIds);
        }
        Ok(Some(VerifyPlan { rerank, estimates, is_small: index.vectors() < SMALL_INDEX }))
    }

    /// Bursts of exact comparisons.
    pub(crate) fn bursts_max(&self) -> u32 {
        match self.rerank {
            Rerank::Errors(_) if !self.estimates => 2,
            _ => 1,
        }
    }

    /// Standard errors by which two estimates together may be wrong in the first burst, where errors decide.
    pub(crate) fn first_errors(&self) -> Option<f32> {
        match self.rerank {
            Rerank::Count(_) => None,
            Rerank::Errors(errors) => Some(errors),
        }
    }

    /// Standard errors by which an estimate may be too large in the second burst, against the k-th exact distance.
    pub(crate) fn second_errors(&self) -> f32 {
        self.first_errors().unwrap_or_default() - SECOND_LESS
    }

    /// Standard errors by which two estimates together may be wrong where the distance of a vector is not needed.
    pub(crate) fn decided_errors(&self) -> f32 {
        self.first_errors().unwrap_or_default().max(DECIDED_ERRORS)
    }

    /// Standard errors by which candidates are kept while codes are scanned, where errors decide.
    pub(crate) fn kept_errors(&self) -> Option<f32> {
        let decided = if self.estimates { self.decided_errors() } else { 0.0 };
        self.first_errors().map(|errors| (errors + KEPT_MORE).max(decided))
    }

    /// Vectors compared exactly at most, for `k` neighbours.
    pub(crate) fn compared_max(&self, k: usize) -> usize {
        match self.rerank {
            Rerank::Count(count) => k.max(count as usize),
            Rerank::Errors(_) if self.is_small => SMALL_INDEX as usize, // CAST: widening
            Rerank::Errors(_) => compared_most(k),
        }
    }
}
