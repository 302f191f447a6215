//! What a build will take, before it begins.
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::{BODY_AT, FullLayout, IdBytes, IdPages, PageLayout};
use spandrel_index::kernels::scan::{BLOCK_VECTORS, FACTOR_BYTES};
use spandrel_index::{DType, HeadIndex, HeadIndexKind, Tier};

use crate::config::Params;
use crate::filing::ReplicaRule;

/// Predicted sizes. Bytes throughout.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Vectors in the input.
    pub vectors: u64,
    /// Lists to form, before splitting.
    pub lists: u64,
    /// Coarse parts the input is sorted into.
    pub parts: u64,
    /// What lists hold.
    pub code: CodeSpec,
    /// Where codes are while searching.
    pub codes: Tier,
    /// Copies per vector expected from the replica rule.
    pub copies: f64,
    /// Peak resident memory of the build at least.
    pub memory_needed: u64,
    /// Resident memory allowed.
    pub memory_allowed: u64,
    /// Scratch files at their largest.
    pub scratch_bytes: u64,
    /// The finished index on disk.
    pub index_bytes: u64,
    /// What searching keeps in memory: heads, their index, the directory, the code's model, and codes unless
    /// they are on SSD.
    pub search_memory: u64,
    /// What spill buffers may take.
    pub(crate) spill_memory: u64,
}

/// Program, stacks and allocator slack.
const FIXED_BYTES: u64 = 48 << 20;
/// Largest total of spill buffers: more does not write faster.
const SPILL_BYTES_MAX: u64 = 256 << 20;
/// Bytes of graph per head: 32 links of 4 bytes, their count, and the upper layers.
const GRAPH_BYTES: u64 = 140;
/// Bytes that a packed head takes beyond its row.
const PACKED_TERM_BYTES: u64 = 8;
/// Bytes of directory per list.
pub(crate) const DIRECTORY_BYTES: u64 = 20;
/// Bytes that one group of lists aims at when copies are sorted into lists.
const GROUP_BYTES: u64 = 32 << 20;
/// Parts come out up to this much larger than the mean before they are cut.
pub(crate) const PART_SLACK: u64 = 2;

impl Plan {
    /// The plan for checked parameters.
    pub fn new(params: &Params) -> Plan {
        let row = params.row_bytes() as u64;
        let head_row = params.head_row_bytes() as u64;
        let copies = expected_copies(params);
        let all_copies = (params.vectors as f64 * copies) as u64; // CAST: an estimate

        // A part in memory: its records, rows in head space, the packed copy that is multiplied, and what
        // filing says of each row.
        let packed = match params.head_dtype() {
            DType::U8 | DType::I8 => 2 * head_row,
            DType::F16 | DType::F32 => 4 * params.head_dim() as u64,
        };
        let part_rows = params.vectors.min(PART_SLACK * params.part_rows());
        let filed_bytes = 12 * copies.ceil() as u64 + 64; // CAST: a few copies
        let part_bytes = part_rows * (params.part_record_bytes() as u64 + head_row + packed + filed_bytes);
        let group_bytes = 3 * GROUP_BYTES.min(all_copies * params.filed_record_bytes() as u64);
        let heads_bytes = params.lists * (2 * head_row + 40);
        let graph_bytes = params.lists * (2 * GRAPH_BYTES + head_row);
        let positions_bytes = if params.replicas_need_positions() { 4 * params.vectors } else { 0 };
        let writing = heads_bytes + group_bytes + positions_bytes;
        let needed = FIXED_BYTES
            + (heads_bytes + part_bytes).max(writing).max(training_bytes(params)).max(graph_bytes);

        let id_bytes = if params.own_ids { IdBytes::Eight } else { IdBytes::Four };
        let entry_bytes = match params.code {
            CodeSpec::Full => {
                FullLayout::new(params.row_bytes(), params.metric, id_bytes).entry_bytes() as f64
            }
            code => code_bytes(code, params.dim),
        };
        let page = PageLayout::new(params.row_bytes(), params.metric, id_bytes);
        // Half a unit of padding per list on average.
        let padding = params.lists as f64
            * (256.0
                + if params.code == CodeSpec::Full { 0.0 } else { entry_bytes * BLOCK_VECTORS as f64 / 2.0 });
        let codes = (all_copies as f64 * entry_bytes + padding) as u64; // CAST: an estimate
        let vectors = page.pages(params.vectors) * page.page_bytes() as u64;
        let ids = IdPages { id_bytes, uuid: 0 }.body_bytes(params.vectors);
        let lists = usize::try_from(params.lists).unwrap_or(usize::MAX);
        let head_index = head_index_bytes(params.head_dtype(), params.head_dim(), lists);
        let model = params.code.model_bytes(params.dim) as u64;
        let resident = params.lists * (head_row + DIRECTORY_BYTES + head_index) + model;
        // Heads are packed at open; only a graph is stored.
        let kind = HeadIndex::preferred(params.head_dtype(), params.head_dim(), lists);
        let packed = if kind == HeadIndexKind::Graph { 0 } else { params.lists * head_index };
        let resident_codes = match params.codes {
            Tier::Memory => (params.vectors as f64 * entry_bytes) as u64, // CAST: an estimate
            Tier::Ssd => 0,
        };
        let spilled = params.vectors * params.part_record_bytes() as u64
            + all_copies * params.filed_record_bytes() as u64
            + params.vectors * (4 + 24)
            + params.lists * head_row;
        Plan {
            vectors: params.vectors,
            lists: params.lists,
            parts: params.parts(),
            code: params.code,
            codes: params.codes,
            copies,
            memory_needed: needed,
            memory_allowed: params.memory_bytes,
            scratch_bytes: spilled + params.sample_rows() * row,
            index_bytes: codes + vectors + ids + resident - packed + 6 * BODY_AT,
            search_memory: resident + resident_codes,
            spill_memory: params.memory_bytes.saturating_sub(needed).min(SPILL_BYTES_MAX),
        }
    }

    /// Lists in one group when copies are sorted into lists: follows the parameters alone.
    pub(crate) fn group_lists(params: &Params) -> u32 {
        let copies = params.vectors as f64 * expected_copies(params);
        let list_bytes = copies / params.lists as f64 * params.filed_record_bytes() as f64;
        ((GROUP_BYTES as f64 / list_bytes) as u32).max(1) // CAST: saturates
    }
}

/// Bytes of memory that the index over the heads takes for each of `count` heads.
pub(crate) fn head_index_bytes(dtype: DType, dim: usize, count: usize) -> u64 {
    match HeadIndex::preferred(dtype, dim, count) {
        HeadIndexKind::Graph => GRAPH_BYTES,
        HeadIndexKind::Flat if dtype.is_integer() => dtype.row_bytes(dim) as u64 + PACKED_TERM_BYTES,
        HeadIndexKind::Flat => 0,
    }
}

/// What training codes takes: the sample, rotated, and packed to be multiplied; a copy of parts of it for each thread.
fn training_bytes(params: &Params) -> u64 {
    let rows = params.vectors.min(params.code.sample_rows(params.dim) as u64); // CAST: widening
    let copies = if matches!(params.code, CodeSpec::Products { .. }) { 4 } else { 1 };
    let matrices = if params.code == CodeSpec::Full { 0 } else { 3 * 8 * (params.dim * params.dim) as u64 }; // CAST: widening
    params.lists * params.head_row_bytes() as u64 + copies * rows * 4 * params.dim as u64 + matrices // CAST: widening
}

/// Bytes of a code and its factors.
pub(crate) fn code_bytes(code: CodeSpec, dim: usize) -> f64 {
    code.code_bytes(dim) as f64 + FACTOR_BYTES as f64 / BLOCK_VECTORS as f64 // CAST: exact
}

/// Copies per vector, as measured on real descriptors: RNG keeps fewer than it may.
fn expected_copies(params: &Params) -> f64 {
    let most = f64::from(params.max_copies);
    match params.replicas {
        ReplicaRule::None => 1.0,
        ReplicaRule::Soar => most,
        ReplicaRule::Rng | ReplicaRule::Air => most.min(1.0 + 0.9 * (most - 1.0)),
    }
}
