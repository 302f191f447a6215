//! What a caller asks for, and what that means for one index.
use std::fmt;
use std::str::FromStr;

use spandrel_index::Index;
use spandrel_index::codes::CodeSpec;

use crate::candidates::Keep;

/// Lists read at most when a query gives epsilon alone.
///
/// In high dimensions many heads are nearly as far as the nearest, so that epsilon without a cap reads a
/// large part of the index for some queries and gains next to nothing.
pub const EPSILON_LISTS_MAX: u32 = 256;

/// What a caller asks for.
///
/// With neither `epsilon` nor `max_lists`, both come from the index; `max_lists` alone means no epsilon;
/// `epsilon` alone is capped at [`EPSILON_LISTS_MAX`]. Where the lists so chosen hold fewer than `k` vectors, the next
/// nearest are read as well: only a `max_lists` or `max_bytes` that was given holds in any case.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SearchParams {
    /// Neighbours wanted, 1 or more; of an index that holds fewer vectors, all of them.
    pub k: usize,
    /// A list is read iff its head is no farther than `1 + epsilon` times the nearest head: 0 or more.
    pub epsilon: Option<f32>,
    /// Lists read at most: 1 or more.
    pub max_lists: Option<u32>,
    /// The share of the lists so chosen that is read, from 0 to 1, as a server under load asks for less. It costs recall,
    /// not answers.
    pub effort: f32,
    /// Bytes asked of the disk at most, counted before requests are merged across gaps: the farthest lists are dropped,
    /// then the worst candidates, but not the nearest list and the best candidate. Pages for `k` candidates are set
    /// aside before lists, up to half of the bytes. What is in memory or in the cache costs none, so that with a limit
    /// answers depend on it. 1 or more; no limit if not given.
    pub max_bytes: Option<u64>,
    /// Which vectors are compared exactly where lists hold codes; the index's own rule if not given. Lists of exact
    /// vectors do not use it.
    pub rerank: Option<Rerank>,
    /// Which distances answers may carry.
    pub distances: Distances,
    /// Whether answers say where their time went.
    pub times: bool,
}

/// Which distances answers may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Distances {
    /// Exact ones alone.
    #[default]
    Exact,
    /// Estimates too: a vector whose error already decides that it is among the nearest is returned without being
    /// read. The index must have been opened with its ids in memory. Lists of exact vectors give exact distances.
    Any,
}

impl fmt::Display for Distances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Distances::Exact => "exact",
            Distances::Any => "any",
        })
    }
}

impl FromStr for Distances {
    type Err = String;

    fn from_str(text: &str) -> Result<Distances, String> {
        match text {
            "exact" => Ok(Distances::Exact),
            "any" => Ok(Distances::Any),
            _ => Err(format!("unknown distances '{text}', expected exact or any")),
        }
    }
}

/// Which vectors are compared exactly after their codes were scanned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rerank {
    /// This number of vectors, or k if that is more: those most likely to be among the k nearest, by their estimates
    /// and the errors of these.
    Count(u32),
    /// With a value `t`, 0 or more, an estimate `e` and its standard error `s`: the vectors whose `e - t/2 s` is at most
    /// the k-th smallest `max(e, 0) + t/2 s`. Of more than `16 k + 64` the likeliest.
    Errors(f32),
}

impl SearchParams {
    /// The index's own pruning.
    pub const fn new(k: usize) -> SearchParams {
        SearchParams {
            k,
            epsilon: None,
            max_lists: None,
            effort: 1.0,
            max_bytes: None,
            rerank: None,
            distances: Distances::Exact,
            times: false,
        }
    }

    /// Checks the parameters against an index and fills in what was left open.
    ///
    /// # Errors
    /// [`ParamsError`].
    pub fn resolve(&self, index: &Index) -> Result<ResolvedParams, ParamsError> {
        if self.k == 0 {
            return Err(ParamsError::ZeroK);
        }
        let k = usize::try_from(index.vectors()).map_or(self.k, |vectors| self.k.min(vectors));
        let (epsilon, lists) = match (self.epsilon, self.max_lists) {
            (None, None) => {
                let default = index.search_default(k);
                (default.epsilon, default.max_lists)
            }
            (Some(epsilon), None) => (Some(epsilon), EPSILON_LISTS_MAX),
            (epsilon, Some(max_lists)) => (epsilon, max_lists),
        };
        if let Some(found) = epsilon
            && !(found >= 0.0 && found.is_finite())
        {
            return Err(ParamsError::Epsilon { found });
        }
        if lists == 0 {
            return Err(ParamsError::ZeroLists);
        }
        if !(0.0..=1.0).contains(&self.effort) {
            return Err(ParamsError::Effort { found: self.effort });
        }
        let max_bytes = self.max_bytes.unwrap_or(u64::MAX);
        if max_bytes == 0 {
            return Err(ParamsError::ZeroBytes);
        }
        let rerank = self.rerank.unwrap_or(Rerank::Errors(index.search_default(k).rerank_errors));
        if let Rerank::Errors(found) = rerank
            && !(found >= 0.0 && found.is_finite())
        {
            return Err(ParamsError::RerankErrors { found });
        }
        let estimates = self.distances == Distances::Any && index.code() != CodeSpec::Full;
        if estimates && index.resident_ids().is_none() {
            return Err(ParamsError::NoIds);
        }
        // Of those there are: a share of more than all would be all.
        let lists = (lists.min(index.lists()) as f32 * self.effort).ceil().max(1.0) as u32; // CAST: a share of a count
        Ok(ResolvedParams {
            k,
            epsilon,
            lists: lists.min(index.lists()),
            lists_max: self.max_lists.unwrap_or(u32::MAX).min(index.lists()),
            max_bytes,
            rerank,
            estimates,
            times: self.times,
        })
    }
}

/// Standard errors by which the second burst trusts estimates more than the first, since it knows the k-th distance
/// and not only its estimate: few queries then take a second burst.
const SECOND_LESS: f32 = 1.0;
/// Standard errors by which two estimates together may be wrong, at least, for a vector to be returned with its estimate.
/// Fewer do where its distance is compared afterwards.
const DECIDED_ERRORS: f32 = 2.0;
/// Standard errors by which a vector may be farther that is compared because its page is read for another.
const KEPT_MORE: f32 = 1.5;

/// Parameters that fit the index they were resolved for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ResolvedParams {
    k: usize,
    epsilon: Option<f32>,
    lists: u32,
    lists_max: u32,
    max_bytes: u64,
    rerank: Rerank,
    estimates: bool,
    times: bool,
}

impl ResolvedParams {
    /// Neighbours wanted, no more than there are vectors.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Pruning by distance, if any.
    pub fn epsilon(&self) -> Option<f32> {
        self.epsilon
    }

    /// Lists read at most where they hold `k` vectors, no more than there are.
    pub fn lists(&self) -> u32 {
        self.lists
    }

    /// Lists read at most in any case, no more than there are.
    pub fn lists_max(&self) -> u32 {
        self.lists_max
    }

    /// Bytes asked of the disk at most.
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Which vectors are compared exactly.
    pub fn rerank(&self) -> Rerank {
        self.rerank
    }

    /// Whether answers may carry estimated distances.
    pub fn estimates(&self) -> bool {
        self.estimates
    }

    /// Whether answers say where their time went.
    pub fn times(&self) -> bool {
        self.times
    }

    /// Which candidates are kept while codes are scanned. With `copies`, a vector may be met more than once.
    pub(crate) fn keep(&self, copies: bool) -> Keep {
        let decided = if self.estimates { self.decided_errors() } else { 0.0 };
        let errors = self.first_errors().map(|errors| (errors + KEPT_MORE).max(decided));
        Keep { k: self.k, errors, compared_max: self.rerank_max(), copies }
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

    /// Standard errors by which two estimates together may be wrong where the distance of a vector is not needed.
    pub(crate) fn decided_errors(&self) -> f32 {
        self.first_errors().unwrap_or_default().max(DECIDED_ERRORS)
    }

    /// Standard errors by which an estimate may be too large in the second burst, against the k-th exact distance.
    pub(crate) fn second_errors(&self) -> f32 {
        self.first_errors().unwrap_or_default() - SECOND_LESS
    }

    /// Vectors compared exactly at most.
    pub(crate) fn rerank_max(&self) -> usize {
        match self.rerank {
            Rerank::Count(count) => self.k.max(count as usize),
            Rerank::Errors(_) => 16 * self.k + 64,
        }
    }

    /// Largest squared distance of a head whose list is read, when the nearest head is this far.
    pub(crate) fn head_bound(&self, nearest: f32) -> f32 {
        match self.epsilon {
            // CAST: back to the precision of the distances compared with it.
            Some(epsilon) => (f64::from(nearest) * (1.0 + f64::from(epsilon)).powi(2)) as f32,
            None => f32::INFINITY,
        }
    }
}

/// Why parameters were refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParamsError {
    /// No neighbour is wanted.
    #[error("k is 0, expected at least 1")]
    ZeroK,
    /// Not a distance ratio.
    #[error("epsilon is {found}, expected a finite number of 0 or more")]
    Epsilon {
        /// The value given.
        found: f32,
    },
    /// Estimates were to be returned, and the ids that go with them are not in memory. Open the index with its ids.
    #[error("distances may be estimated only where ids are in memory; open the index with its ids")]
    NoIds,
    /// Not a number of standard errors.
    #[error("rerank-errors is {found}, expected a finite number of 0 or more")]
    RerankErrors {
        /// The value given.
        found: f32,
    },
    /// No list may be read.
    #[error("max-lists is 0, expected at least 1")]
    ZeroLists,
    /// No byte may be read.
    #[error("max-bytes is 0, expected at least 1")]
    ZeroBytes,
    /// Not a share.
    #[error("effort is {found}, expected a share from 0 to 1")]
    Effort {
        /// The value given.
        found: f32,
    },
}
