//! What a join keeps in memory.
use spandrel_index::Index;
use spandrel_index::format::VectorsOf;

use super::assign::PLACE_BYTES;
use super::gate::AHEAD;
use super::groups::{PART_ROWS, SAMPLE_ROWS, SAMPLE_RUNS, group_rows};
use super::lists::{SPARE_MAX, rounds};
use super::reach::BUCKETS;
use super::scan::ROWS_TOGETHER;

/// Program, stacks, buffers of files.
const FIXED_BYTES: u64 = 32 << 20;
/// Lists that a thread works on at once: the one that is compared, and the one that is read.
const LISTS_EACH: u64 = 2;
/// Lists near a group at most that its rows choose from: where these are not enough, they look into all.
pub(super) const NEAR_MAX: u32 = 2048;

/// Bytes that a join needs, by what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinMemory {
    /// Heads, head index, directory: what every search keeps.
    pub index: u64,
    /// The order of queries, and their groups.
    pub queries: u64,
    /// Work of all threads, and what they found that was not handed out so far.
    pub threads: u64,
    /// All vectors, kept ready to be compared: fewer are read again.
    pub vectors: u64,
    /// Bytes of the program and its buffers.
    pub fixed: u64,
}

impl JoinMemory {
    /// Of an index with `queries` given queries, or joined with itself.
    pub(super) fn of(index: &Index, queries: Option<u64>, k: usize, threads: usize) -> JoinMemory {
        let (row, k) = (kept_bytes(index), k as u64); // CAST: widening, here and below
        let lengths = index
            .segments()
            .iter()
            .flat_map(|of| (0..of.lists()).map(|list| of.directory.positions(list).len() as u64));
        let longest = lengths.max().unwrap_or_default();
        let page = index.shape_of(VectorsOf::Main).pages.page_bytes() as u64;
        let group = group_rows(k as usize); // CAST: it was one
        let head_row =
            index.segments().iter().map(|of| of.heads.row_bytes() as u64).max().unwrap_or_default();
        // Those that values of a partition share are near all groups.
        let shared: u64 = index.segments().iter().map(|of| of.shared_lists().len() as u64).sum();
        let heads = u64::from(NEAR_MAX.min(index.lists())) + shared;
        let each = LISTS_EACH * (longest * (row + index.row_bytes() as u64) + 2 * page)
            // Rows of a group three times: as read, packed, in head space; with what is found of each.
            + group * (2 * row + head_row + k * 16 + 96)
            + ROWS_TOGETHER as u64 * longest * 4
            // Rows by the lists that they look into, as their numbers grow; these lists, near any of the parts; distances of a part.
            + group * heads * 8 + u64::from(index.lists()).min(group * heads) * 150
            + PART_ROWS as u64 * heads * 4
            + 3 * heads * head_row
            // All lists in order.
            + u64::from(index.lists()) * 8;
        // Groups that were not handed out, the one that is among them; before, the sample with its neighbours.
        let ahead = threads as u64 * (1 + AHEAD as u64) * group * k * 16;
        // With its neighbours twice, and the lists near it: these as they are, and by distance.
        let near = heads * 12 + BUCKETS as u64 * 14;
        let sample = (SAMPLE_ROWS + SAMPLE_RUNS) * (k * 80 + index.row_bytes() as u64 + near + 96);
        let groups =
            (index.vectors().max(queries.unwrap_or_default()) / group + u64::from(index.lists())) * 32;
        JoinMemory {
            index: index.memory().total() as u64,
            // The parts of all threads, and all in order; or all ids in order.
            queries: groups + queries.map_or(8 * index.vectors(), |queries| queries * 2 * PLACE_BYTES),
            threads: threads as u64 * each + ahead.max(sample) + SPARE_MAX as u64 * longest * row,
            vectors: index.vectors() * row + u64::from(index.lists()) * 256,
            fixed: FIXED_BYTES,
        }
    }

    /// The least that works: every list is read each time it is wanted.
    pub fn least(&self) -> u64 {
        self.index + self.queries + self.threads + self.fixed
    }

    /// What is of use: every list is read once.
    pub fn most(&self) -> u64 {
        self.least() + self.vectors
    }
}

/// Bytes of a vector that is kept ready: packed, its id and its terms, and as it was given where products round.
fn kept_bytes(index: &Index) -> u64 {
    let (dim, row) = (index.dim() as u64, index.row_bytes() as u64); // CAST: widening
    let packed = if rounds(index.dtype()) { 4 * dim + row } else { 2 * dim };
    // Panels are filled up, lists of few vectors among them.
    packed + packed / 4 + 8 + 8 + 4
}
