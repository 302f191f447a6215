//! What the ways of searching among some vectors cost beside each other.
//!
//! Costs are nanoseconds of processor time, as measured on SIFT descriptors, sentence embeddings, keys of an attention head and
//! vectors of tokens, by what an index says of itself: bytes of its rows, codes and heads, and where they lie. A clock is never asked, so
//! that answers depend on the index alone; `docs/decisions/013-filters.md` has the figures. Totals are told in codes
//! scanned one after the other.
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::{PageLayout, VectorsOf};
use spandrel_index::heads::HeadIndexKind;
use spandrel_index::kernels::scan::BLOCK_VECTORS;
use spandrel_index::{Index, Matches, Tier, VectorsShape};

use crate::filter_plan::PlanCosts;
use crate::together::Together;

// Calibration chooses lists and errors by the first two numbers, so that curves and the bytes of an index depend on them. They are by
// hand, and weigh the time of a query on a machine whose disk is busy. The others are processor time, fitted to plans
// under filters, and would make 800 codes of a page, and 14 of a vector of 128 bytes.

/// Codes in memory scanned in the time that a page takes to be read and checked: at 2 ns a code 12 microseconds, in which a disk
/// that gives 80 000 pages a second gives one. Calibration weighs codes and pages by it. By hand (44f8a9e).
pub(crate) const CODES_PER_PAGE: f64 = 6000.0;
/// Codes scanned in the time that a vector in memory takes to be compared: at 2 ns a code 0.2 microseconds, what a vector of some
/// hundred bytes takes that is in no cache. Calibration weighs codes and vectors by it. By hand (4422a8d).
pub(crate) const CODES_PER_VECTOR: f64 = 100.0;

/// A code that is scanned after the one before it.
const CODE_NS: f64 = 4.9;
/// A block of sixteen codes of which some are looked at, and each match in it.
const BLOCK_NS: f64 = 62.0;
const MATCH_NS: f64 = 4.3;
/// A list that is looked at.
const LIST_NS: f64 = 47.0;
/// A byte of heads, compared one after the other; a head alone costs no more than to look at its list.
const HEAD_BYTE_NS: f64 = 0.025;
/// Heads that a walk over a graph compares for each that it follows, each alone.
const WALKED: f64 = 8.0;
/// A byte of a vector in memory that is chosen by its code.
const CHOSEN_BYTE_NS: f64 = 0.54;
/// A vector that is compared in the order of positions, and each of its bytes; one that lies alone takes a while to be fetched.
const VECTOR_NS: f64 = 27.0;
const VECTOR_BYTE_NS: f64 = 0.086;
const ALONE_NS: f64 = 20.0;
/// Vectors that are fetched one after the other as if they were together.
const NEIGHBOURS: f64 = 8.0;
/// A page that is read: 3 microseconds of processor time, and somewhat more since a disk gives no more than 80 000 a second.
const PAGE_NS: f64 = 4000.0;
/// A page that is read with the one before it.
const NEXT_PAGE_NS: f64 = 1100.0;
/// Bytes of a page on which lists lie on SSD.
const PAGE_BYTES: f64 = 4096.0;

/// How lists are searched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListSearch {
    pub(crate) lists: u32,
    /// Vectors compared exactly afterwards, to be expected.
    pub(crate) compared: f64,
    /// By which vectors they are.
    pub(crate) compare_by: VectorsOf,
    /// The lists of the matches, where these lie together.
    pub(crate) together: Option<Together>,
}

impl PlanCosts {
    /// Of the ways of searching among the vectors that match a filter.
    pub(crate) fn of(matches: &Matches, search: &ListSearch, index: &Index) -> PlanCosts {
        let vectors = index.shape_of(search.compare_by);
        let costs = Costs { matches, index, vectors, together: search.together };
        let compared = if index.code() == CodeSpec::Full { 0.0 } else { costs.compared(search.compared) };
        // Lists that values of a partition share come besides, unless it is known which hold the matches.
        let shared = if search.together.is_some() { 0 } else { index.lists() - index.found_lists() };
        let lists = costs.heads(search.lists) + costs.lists(search.lists + shared) + compared;
        let has_codes = index.code() != CodeSpec::Full && index.codes_tier() == Tier::Memory;
        let codes = has_codes.then(|| (costs.heads(1) + costs.gathered() + compared) / CODE_NS);
        PlanCosts { exact: costs.exact() / CODE_NS, codes, lists: lists / CODE_NS }
    }

    /// The least of them.
    pub(crate) fn least(&self) -> f64 {
        self.codes.into_iter().fold(self.exact.min(self.lists), f64::min)
    }
}

/// Whether lists in which a share of the vectors matches are searched faster if blocks of codes without a match are skipped.
pub(crate) fn lists_are_masked(share: f64, index: &Index) -> bool {
    let list = ListCosts { share, vectors: vectors_of_list(index) };
    list.masked() < list.whole()
}

/// A list in memory, searched by its blocks that hold a match.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MaskedCost {
    /// Blocks that hold a match.
    pub(crate) blocks: usize,
    /// Matches.
    pub(crate) matching: usize,
    /// Vectors of the list.
    pub(crate) vectors: usize,
}

/// Whether to scan these blocks takes less time than to scan the whole list.
#[inline]
pub(crate) fn masked_takes_less(list: MaskedCost) -> bool {
    let MaskedCost { blocks, matching, vectors } = list;
    // CAST: those of a list, exact
    blocks as f64 * BLOCK_NS + matching as f64 * MATCH_NS < vectors as f64 * CODE_NS
}

/// Vectors of a list.
fn vectors_of_list(index: &Index) -> f64 {
    index.vectors() as f64 / f64::from(index.lists().max(1)) // CAST: below 2^53, here and below
}

/// The share of some vectors' groups of this size that hold one of which a share matches, wherever it lies.
fn holds_one(share: f64, vectors: f64) -> f64 {
    1.0 - (1.0 - share).powf(vectors)
}

/// Nanoseconds for a list of codes in memory of which a share matches.
#[derive(Clone, Copy)]
struct ListCosts {
    share: f64,
    vectors: f64,
}

impl ListCosts {
    /// Where blocks without a match are skipped. The first and the last are shared with other lists.
    fn masked(&self) -> f64 {
        let block = BLOCK_VECTORS as f64;
        let blocks = (self.vectors / block + 1.0) * holds_one(self.share, block);
        blocks * BLOCK_NS + self.vectors * self.share * MATCH_NS
    }

    /// All of it.
    fn whole(&self) -> f64 {
        self.vectors * CODE_NS * holds_one(self.share, self.vectors)
    }
}

/// Nanoseconds for the steps of a search among some vectors.
#[derive(Clone, Copy)]
struct Costs<'a> {
    matches: &'a Matches,
    index: &'a Index,
    /// What is compared exactly.
    vectors: VectorsShape,
    together: Option<Together>,
}

impl Costs<'_> {
    fn found(&self) -> f64 {
        self.matches.count() as f64
    }

    /// Of all vectors, or of those that the matches lie among.
    fn share(&self) -> f64 {
        let of_all = || self.found() / self.index.vectors().max(1) as f64;
        self.together.map_or_else(of_all, |together| together.share)
    }

    /// Lists that hold a match.
    fn lists_with_match(&self) -> f64 {
        let list = vectors_of_list(self.index);
        let of_all = || f64::from(self.index.lists()) * holds_one(self.share(), list);
        self.together.map_or_else(of_all, |together| together.lists.into())
    }

    /// All matches, compared.
    fn exact(&self) -> f64 {
        match self.index.vectors_tier() {
            Tier::Memory => {
                let alone = ALONE_NS * (1.0 - holds_one(self.share(), NEIGHBOURS));
                self.found() * (VECTOR_NS + alone + VECTOR_BYTE_NS * self.vectors.row_bytes() as f64)
            }
            Tier::Ssd => {
                let layout = self.vectors.pages;
                let apart = self.found().min(pages(self.index, &layout)) * PAGE_NS;
                let of_page = layout.page_records() as f64;
                let runs = self.together.map(|runs| PAGE_NS + runs.positions as f64 / of_page * NEXT_PAGE_NS);
                runs.map_or(apart, |runs| runs.min(apart))
            }
        }
    }

    /// Vectors chosen by their codes, compared; no more than match.
    fn compared(&self, vectors: f64) -> f64 {
        let alone = match self.index.vectors_tier() {
            Tier::Memory => CHOSEN_BYTE_NS * self.vectors.row_bytes() as f64,
            Tier::Ssd => PAGE_NS,
        };
        vectors.min(self.found()) * alone
    }

    /// Heads of the nearest lists, found among all that are looked at.
    fn heads(&self, lists: u32) -> f64 {
        if let (Some(together), Some(segment)) = (self.together, self.index.segments().first()) {
            return HEAD_BYTE_NS * f64::from(together.lists) * segment.heads.row_bytes() as f64;
        }
        let owners = (0..).zip(self.index.segments()).filter(|(number, segment)| segment.heads_of == *number);
        owners
            .map(|(_, segment)| match segment.head_index.kind() {
                HeadIndexKind::Flat => HEAD_BYTE_NS * segment.heads.rows().len() as f64,
                HeadIndexKind::Graph => f64::from(lists.min(segment.found_lists())) * WALKED * LIST_NS,
            })
            .sum()
    }

    /// The nearest lists, searched.
    fn lists(&self, lists: u32) -> f64 {
        let index = self.index;
        let list = ListCosts { share: self.share(), vectors: vectors_of_list(index) };
        let scanned = if index.codes_tier() == Tier::Memory && index.code() != CodeSpec::Full {
            list.masked().min(list.whole())
        } else {
            let bytes: u64 = index.segments().iter().map(|segment| segment.codes.body_bytes).sum();
            let pages = (bytes as f64 / f64::from(index.lists().max(1)) / PAGE_BYTES).max(1.0);
            holds_one(list.share, list.vectors) * (pages * PAGE_NS + list.vectors * CODE_NS)
        };
        f64::from(lists) * (LIST_NS + scanned)
    }

    /// The codes of all matches, wherever they lie, and the distances to the heads of their lists.
    fn gathered(&self) -> f64 {
        let blocks = self.matches.blocks() as f64;
        blocks * BLOCK_NS + self.found() * MATCH_NS + self.lists_with_match() * LIST_NS
    }
}

/// Pages of vectors in all segments.
fn pages(index: &Index, layout: &PageLayout) -> f64 {
    index.segments().iter().map(|segment| layout.pages(segment.count) as f64).sum() // CAST: exact
}
