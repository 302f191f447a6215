//! What a caller asks for of documents.
use spandrel_index::Index;
use spandrel_index::format::VectorsOf;

use crate::accept::Accepted;
use crate::params::ParamsError;
use crate::plan::{CollectPlan, QueryPlan, StopPlan};
use crate::spend::ProbePlan;

/// Lists that each token of a query searches where the query names no number.
pub const TOKEN_LISTS: u32 = 16;
/// Vectors that each token of a query keeps by their estimates where the query names no number.
pub const TOKENS_KEPT: u32 = 1000;
/// Documents that are compared exactly where the query names no number: at least `k`.
pub const DOCUMENTS_COMPARED: u32 = 60;

/// What a caller asks for of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DocumentParams {
    /// Documents wanted, 1 or more; all of an index that holds fewer.
    pub k: usize,
    /// Lists that each token of a query searches, 1 or more; [`TOKEN_LISTS`] if not given.
    pub max_lists: Option<u32>,
    /// Vectors that each token keeps by their estimates, 1 or more; [`TOKENS_KEPT`] if not given.
    pub tokens: Option<u32>,
    /// Documents that are compared exactly, or `k` if that is more; [`DOCUMENTS_COMPARED`] if not given. Where the tokens have found fewer
    /// documents, others are compared in the order of their numbers.
    pub rerank: Option<u32>,
    /// Bytes asked of the disk at most, counted before requests are merged. The tokens' lists on SSD share half of it, documents take the
    /// rest. The nearest list of each token and the best document are read in any case. 1 or more; no limit if not given.
    pub max_bytes: Option<u64>,
}

impl DocumentParams {
    /// The `k` best documents, all else left to the engine.
    pub const fn new(k: usize) -> DocumentParams {
        DocumentParams { k, max_lists: None, tokens: None, rerank: None, max_bytes: None }
    }

    /// Documents that are compared exactly in an index of some documents.
    pub fn compared(&self, documents: usize) -> usize {
        let asked = self.rerank.unwrap_or(DOCUMENTS_COMPARED) as usize; // CAST: widening
        asked.max(self.k).min(documents)
    }

    /// Lists that each token searches.
    pub fn lists(&self, index: &Index) -> u32 {
        self.max_lists.unwrap_or(TOKEN_LISTS).min(index.found_lists())
    }

    /// Refuses what makes no sense in an index.
    ///
    /// # Errors
    /// [`ParamsError`].
    pub fn check(&self, index: &Index) -> Result<(), ParamsError> {
        if index.documents().is_none() {
            return Err(ParamsError::NoDocuments);
        }
        match self {
            DocumentParams { k: 0, .. } => Err(ParamsError::ZeroK),
            DocumentParams { max_lists: Some(0), .. } => Err(ParamsError::ZeroLists),
            DocumentParams { tokens: Some(0), .. } => Err(ParamsError::ZeroTokens),
            DocumentParams { max_bytes: Some(0), .. } => Err(ParamsError::ZeroBytes),
            _ => Ok(()),
        }
    }

    /// What each of the tokens of a query does in an index.
    pub(crate) fn token_plan(&self, index: &Index, tokens: usize) -> QueryPlan {
        let lists = self.lists(index);
        let keep = self.tokens.unwrap_or(TOKENS_KEPT) as usize; // CAST: widening
        let bytes_max = self.max_bytes.map_or(u64::MAX, |bytes| bytes / 2 / tokens.max(1) as u64); // CAST: widening
        let lists_max = self.max_lists.map_or(index.found_lists(), |_| lists);
        QueryPlan {
            probe: ProbePlan { epsilon: None, lists, last: 1.0, beyond: 0, together: None },
            stop: StopPlan { lists_max, bytes_max, rule: None, followed: None },
            min_head_score: None,
            accept: Accepted::default(),
            filtered: None,
            collect: CollectPlan::Tokens { keep },
            compare_by: VectorsOf::Main,
            verify: None,
            promise: None,
            times: false,
            explain: false,
        }
    }
}
