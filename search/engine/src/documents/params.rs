//! What a caller asks for of documents.
use std::sync::Arc;

use spandrel_index::documents::DocumentOffsets;
use spandrel_index::format::{Manifest, PageLayout, VectorsOf};
use spandrel_index::{Index, Matches, StoredVectors, Tier};

use crate::accept::Accepted;
use crate::costs::{ListSearch, lists_are_masked};
use crate::filter_plan::{ExplainedFilter, FilterPlan, PlanCosts, PlanReason};
use crate::filtered::FilteredPlan;
use crate::pace::Course;
use crate::params::ParamsError;
use crate::plan::{CollectPlan, QueryPlan, StopPlan};
use crate::spend::ProbePlan;

/// Lists that each token of a query searches where the query names no number.
pub const TOKEN_LISTS: u32 = 16;
/// Vectors that each token of a query keeps by their estimates where the query names no number.
pub const TOKENS_KEPT: u32 = 1000;
/// Documents that are compared exactly where the query names no number: at least `k`.
pub const DOCUMENTS_COMPARED: u32 = 60;
/// Lists that the encoding of a query searches at least where the query names no number, in an index of encodings.
pub const ENCODING_LISTS_MIN: u32 = 64;
/// Of how many lists it searches two: encodings near that of a query are spread over many.
const ENCODING_LISTS_OF: u32 = 5;
/// Documents that are compared exactly where the query names no number, in an index of encodings: these know less than tokens do.
pub const ENCODED_COMPARED: u32 = 200;

/// Queries of vectors that the documents of a query, with some tokens in all, are to the engine: a query for each token, or for each document
/// in an index of encodings.
pub fn vector_queries(index: &Index, documents: usize, tokens: usize) -> usize {
    if has_encodings(index) { documents } else { tokens }
}

/// Whether encodings of documents are searched in place of their tokens.
pub(super) fn has_encodings(index: &Index) -> bool {
    index.documents().is_some_and(|documents| documents.encoder().is_some())
}

/// Lists on SSD that a token searches grow with the share of tokens that may be answers, to the power of less this.
const LISTS_POWER_SSD: f64 = 0.6;

/// Which vectors are compared.
pub(super) const TOKENS: VectorsOf = VectorsOf::Column;
/// An index of documents has one segment.
pub(super) const SEGMENT: u16 = 0;

/// The tokens of an index of documents.
pub(super) fn tokens_of(index: &Index) -> &StoredVectors {
    index.segments()[usize::from(SEGMENT)].vectors(TOKENS)
}

/// Bytes of the pages that a document lies on.
pub(super) fn page_bytes_of(offsets: &DocumentOffsets, layout: PageLayout, document: u32) -> u64 {
    let rows = offsets.rows_of(document as usize); // CAST: widening
    let pages = layout.place(rows.end - 1).0 - layout.place(rows.start).0 + 1;
    pages * layout.page_bytes() as u64 // CAST: widening
}

/// What a query document takes of an index where it names no numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DocumentDefaults {
    /// Whether encodings of documents are searched in place of their tokens.
    pub by_encodings: bool,
    /// Lists that each token searches, or the whole query by encodings.
    pub lists: u32,
    /// Documents that are compared exactly, or `k` if that is more.
    pub compared: u32,
}

impl DocumentDefaults {
    /// Those of the index of a manifest; none of one without documents.
    pub fn of(manifest: &Manifest) -> Option<DocumentDefaults> {
        let documents = manifest.documents.as_ref()?;
        let by_encodings = documents.encoding.is_some();
        let all = manifest.found_lists() as u32; // CAST: lists are numbered by u32
        let (lists, compared) = match by_encodings {
            true => (ENCODING_LISTS_MIN.max(2 * (all / ENCODING_LISTS_OF)), ENCODED_COMPARED),
            false => (TOKEN_LISTS, DOCUMENTS_COMPARED),
        };
        // CAST: no more than it was
        let compared = u64::from(compared).min(documents.count) as u32;
        Some(DocumentDefaults { by_encodings, lists: lists.min(all), compared })
    }
}

/// What a caller asks for of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DocumentParams {
    /// Documents wanted, 1 or more; all of an index that holds fewer.
    pub k: usize,
    /// Lists that each token of a query searches, 1 or more; [`TOKEN_LISTS`] if not given. In an index of encodings that of the whole query, and
    /// two fifths of all, [`ENCODING_LISTS_MIN`] at least.
    pub max_lists: Option<u32>,
    /// Vectors that each token keeps by their estimates, 1 or more; [`TOKENS_KEPT`] if not given. Not used in an index of encodings.
    pub tokens: Option<u32>,
    /// Documents that are compared exactly, or `k` if that is more; [`DOCUMENTS_COMPARED`] if not given, or [`ENCODED_COMPARED`] in an index of
    /// encodings. Where fewer documents were found, others are compared in the order of their numbers.
    pub rerank: Option<u32>,
    /// Bytes asked of the disk at most, counted before requests are merged. The tokens' lists on SSD share half of it, documents take the
    /// rest. The nearest list of each token and the best document are read in any case. 1 or more; no limit if not given.
    pub max_bytes: Option<u64>,
    /// Whether answers say where their time went. Tokens search side by side, so that the sum may be more than the time to the answer.
    pub times: bool,
    /// Whether answers say how they were found, with times by stage.
    pub explain: bool,
}

impl DocumentParams {
    /// The `k` best documents, all else left to the engine.
    pub const fn new(k: usize) -> DocumentParams {
        DocumentParams {
            k,
            max_lists: None,
            tokens: None,
            rerank: None,
            max_bytes: None,
            times: false,
            explain: false,
        }
    }

    /// Documents that are compared exactly in an index.
    pub fn compared(&self, index: &Index) -> usize {
        let documents = index.documents().map_or(0, |documents| documents.offsets().documents());
        let usual = || DocumentDefaults::of(index.manifest()).map_or(0, |usual| usual.compared);
        let asked = self.rerank.unwrap_or_else(usual) as usize; // CAST: widening
        asked.max(self.k).min(documents)
    }

    /// Whether all documents that match a filter are compared: no more match than are compared, and they may be read.
    pub(crate) fn compares_all(&self, index: &Index, matches: &Matches) -> bool {
        // CAST: widening
        matches.count() <= self.compared(index) as u64 && self.allows_all(index, matches)
    }

    /// Whether the bytes that may be asked of the disk are enough for all documents that match.
    fn allows_all(&self, index: &Index, matches: &Matches) -> bool {
        let (Some(bytes_max), Some(documents)) = (self.max_bytes, index.documents()) else { return true };
        let layout = index.shape_of(TOKENS).pages;
        let all = matches.segments().iter().flat_map(|of| of.within(0..u32::MAX));
        let bytes = all.map(|document| page_bytes_of(documents.offsets(), layout, document));
        tokens_of(index).resident.is_some() || bytes.sum::<u64>() <= bytes_max
    }

    /// What each token of a query goes through among the documents that match a filter of the index; none where tokens search nothing, since
    /// all documents that match are compared.
    pub fn token_course(&self, index: &Index, matches: &Matches) -> Option<Course> {
        if self.compares_all(index, matches) {
            return None;
        }
        let among = matches.tokens().filter(|tokens| tokens.count() < index.vectors());
        Some(among.map(|among| self.filtered_plan(index, among).plan).into())
    }

    /// Lists that each token searches, or the whole query in an index of encodings.
    pub fn lists(&self, index: &Index) -> u32 {
        let usual = || DocumentDefaults::of(index.manifest()).map_or(0, |usual| usual.lists);
        self.max_lists.unwrap_or_else(usual).min(index.found_lists())
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

    /// What each of the `queries` vectors does that a query document is in an index: of its tokens, or its encoding; among the tokens of documents
    /// that match where those are given.
    pub(crate) fn vector_plan(
        &self,
        index: &Index,
        queries: usize,
        among: Option<&Arc<Matches>>,
    ) -> QueryPlan {
        let filtered = among.map(|among| self.filtered_plan(index, among));
        let lists = among.map_or_else(|| self.lists(index), |among| self.lists_among(index, among));
        let keep = match has_encodings(index) {
            true => self.compared(index),
            false => self.tokens.unwrap_or(TOKENS_KEPT) as usize, // CAST: widening
        };
        let bytes_max = self.max_bytes.map_or(u64::MAX, |bytes| bytes / 2 / queries.max(1) as u64); // CAST: widening
        let lists_max = self.max_lists.map_or(index.found_lists(), |_| lists);
        QueryPlan {
            probe: ProbePlan { epsilon: None, lists, last: 1.0, beyond: 0, together: None },
            stop: StopPlan { lists_max, bytes_max, rule: None, followed: None },
            min_head_score: None,
            accept: Accepted::new(
                among.map(Arc::clone),
                filtered.is_some_and(|filtered| filtered.plan == FilterPlan::Lists),
            ),
            filtered,
            collect: CollectPlan::Tokens { keep },
            compare_by: VectorsOf::Main,
            verify: None,
            promise: None,
            misses: 1.0,
            times: self.times || self.explain,
            explain: self.explain,
        }
    }

    /// How the plan for a filter that some tokens match was chosen.
    pub(super) fn explained(&self, index: &Index, filter: &Matches, among: &Matches) -> ExplainedFilter {
        let told = self.filtered_plan(index, among).explained();
        if self.compares_all(index, filter) {
            ExplainedFilter { plan: FilterPlan::Exact, reason: PlanReason::Few, ..told }
        } else if among.count() == index.vectors() {
            ExplainedFilter { plan: FilterPlan::Post, reason: PlanReason::All, ..told }
        } else {
            told
        }
    }

    /// Lists that each token, or an encoding, searches among some: more of them the fewer there are. In memory they hold about the number that it finds
    /// among all; fewer where each list is a read.
    fn lists_among(&self, index: &Index, among: &Matches) -> u32 {
        let lists = match self.max_lists {
            Some(lists) => f64::from(lists),
            None => {
                let power = if index.codes_tier() == Tier::Memory { 1.0 } else { LISTS_POWER_SSD };
                (f64::from(self.lists(index)) * share(index, among).powf(-power)).ceil()
            }
        };
        lists.min(index.found_lists().into()) as u32 // CAST: at most the lists
    }

    /// How each token, or an encoding, searches among some: by lists, or by the codes of all where that costs less.
    fn filtered_plan(&self, index: &Index, among: &Matches) -> FilteredPlan {
        let search = ListSearch {
            lists: self.lists_among(index, among),
            compared: 0.0,
            compare_by: VectorsOf::Main,
            together: None,
        };
        let (costs, share) = (PlanCosts::of(among, &search, index), share(index, among));
        let plan = match costs.codes {
            Some(codes) if codes < costs.lists => FilterPlan::Codes,
            _ if lists_are_masked(share, index) => FilterPlan::Lists,
            _ => FilterPlan::Post,
        };
        FilteredPlan {
            plan,
            reason: PlanReason::Cost,
            matches: among.count(),
            share,
            costs,
            may_change: self.max_lists.is_none() && costs.may_change(),
            aim: None,
        }
    }
}

/// The share of all tokens that some are.
fn share(index: &Index, among: &Matches) -> f64 {
    among.count() as f64 / index.vectors().max(1) as f64 // CAST: a ratio
}
