//! What a build will take, before it begins.
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::{BODY_AT, FullLayout, IdBytes, IdPages, PageLayout};
use spandrel_index::kernels::scan::{BLOCK_VECTORS, FACTOR_BYTES};
use spandrel_index::{DType, HeadIndex, HeadIndexKind, Spread, Tier};

use crate::cluster::BLOCK_HEADS;
use crate::config::{GROUP_BYTES, PART_SLACK, Params};
use crate::filing::{FilingWidth, ReplicaRule};
use crate::planned::{PlannedAttribute, PlannedColumn, PlannedPartition};
use crate::stages::sorting_bytes;
use crate::{BuildError, spill};

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
    /// Whether fewer lists would make a plan that is over the memory allowed fit.
    pub fewer_lists_fit: bool,
    /// What the buffers of the spill of parts may take.
    pub(crate) part_buffers: u64,
    /// What the buffers of the spill of filed copies may take.
    pub(crate) file_buffers: u64,
    /// What the buffers of the spill of a column's rows may take.
    pub(crate) column_buffers: u64,
    /// What values of attributes may take before they are written as a run.
    pub(crate) run_bytes: u64,
    /// The attributes, in the order of the schema.
    pub attributes: Vec<PlannedAttribute>,
    /// The column by whose vectors candidates are compared, if there is one.
    pub column: Option<PlannedColumn>,
    /// How vectors are laid out by an attribute, if they are.
    pub partition: Option<PlannedPartition>,
}

/// Program, stacks and allocator slack.
const FIXED_BYTES: u64 = 48 << 20;
/// Largest freed block that glibc keeps rather than give it back: its bound rises up to this with what is freed.
const KEPT_BLOCK_BYTES: u64 = 32 << 20;
/// Largest total of spill buffers: more does not write faster.
const SPILL_BYTES_MAX: u64 = 256 << 20;
/// Bytes of graph per head: 32 links of 4 bytes, their count, and the upper layers.
const GRAPH_BYTES: u64 = 140;
/// Bytes that a packed head takes beyond its row.
const PACKED_TERM_BYTES: u64 = 8;
/// Bytes of the input read at once by a thread. The input's hash is made of the hashes of such chunks.
pub(crate) const CHUNK_BYTES: usize = 1 << 20;
/// Pairs of id and position sorted in memory at a time.
pub(crate) const RUN_PAIRS: usize = 1 << 20;
/// Rows whose positions are looked up at a time while attributes are gathered.
pub(crate) const POSITION_ROWS: u64 = 1 << 20;
/// Least bytes that values of attributes take before they are written as a run.
const RUN_BYTES_MIN: u64 = 32 << 20;
/// Bytes of memory of a run while runs are merged.
const RUN_MEMORY: u64 = 192 << 10;
/// Bytes of directory per list.
pub(crate) const DIRECTORY_BYTES: u64 = 20;

impl Plan {
    /// The plan for checked parameters.
    pub fn new(params: &Params) -> Plan {
        let row = params.row_bytes() as u64;
        let head_row = params.head_row_bytes() as u64;
        let copies = expected_copies(params);
        let all_copies = (params.vectors as f64 * copies) as u64; // CAST: an estimate

        let memory = PhaseMemory::new(params, params.lists);
        let lists = params.partition.as_ref().map_or(params.lists, |partition| partition.lists(params.lists));
        let (needed, allowed) = (memory.needed(), params.memory_bytes);
        let buffers = |phase: u64, least: u64| {
            (allowed.saturating_sub(FIXED_BYTES + memory.kept + phase))
                .clamp(least, SPILL_BYTES_MAX.max(least))
        };

        let id_bytes = if params.own_ids { IdBytes::Eight } else { IdBytes::Four };
        let entry_bytes = match params.code {
            CodeSpec::Full => {
                FullLayout::new(params.row_bytes(), params.metric, id_bytes).entry_bytes() as f64
            }
            code => code_bytes(code, params.dim),
        };
        let page = PageLayout::new(params.row_bytes(), params.metric, id_bytes);
        // Half a unit of padding per list on average.
        let padding = lists as f64
            * (256.0
                + if params.code == CodeSpec::Full { 0.0 } else { entry_bytes * BLOCK_VECTORS as f64 / 2.0 });
        let positions = 4 * all_copies.saturating_sub(params.vectors);
        let codes = (all_copies as f64 * entry_bytes + padding) as u64 + positions; // CAST: an estimate
        let vectors = match params.keeps_vectors() {
            true => page.pages(params.vectors) * page.page_bytes() as u64,
            false => 0,
        };
        let column = PlannedColumn::of(params, id_bytes);
        let column_bytes = column.as_ref().map_or(0, |column| column.index_bytes);
        let ids = IdPages { id_bytes, uuid: 0 }.body_bytes(params.vectors);
        let heads = usize::try_from(lists).unwrap_or(usize::MAX);
        let head_index = head_index_bytes(params.head_dtype(), params.head_dim(), heads);
        let model = params.code.model_bytes(params.dim) as u64;
        let resident = lists * (head_row + DIRECTORY_BYTES + head_index) + model;
        // Heads are packed at open; only a graph is stored.
        let kind = HeadIndex::preferred(params.head_dtype(), params.head_dim(), heads);
        let packed = if kind == HeadIndexKind::Graph { 0 } else { lists * head_index };
        let resident_codes = match params.codes {
            Tier::Memory => (params.vectors as f64 * entry_bytes) as u64, // CAST: an estimate
            Tier::Ssd => 0,
        };
        let spilled = params.vectors * params.part_record_bytes() as u64
            + all_copies * params.filed_record_bytes() as u64
            + params.vectors * (4 + 24)
            + lists * head_row
            + key_bytes(params);
        let attributes: Vec<(PlannedAttribute, u64)> = params
            .attributes
            .iter()
            .map(|attribute| PlannedAttribute::of(attribute, params.vectors))
            .collect();
        let sum = |bytes: fn(&PlannedAttribute) -> u64| attributes.iter().map(|(a, _)| bytes(a)).sum::<u64>();
        let attribute_scratch: u64 = attributes.iter().map(|(_, scratch)| scratch).sum();
        Plan {
            vectors: params.vectors,
            lists,
            parts: params.parts(),
            code: params.code,
            codes: params.codes,
            copies,
            memory_needed: needed,
            memory_allowed: allowed,
            scratch_bytes: spilled.max(column_scratch(params))
                + params.sample_rows() * row
                + attribute_scratch,
            index_bytes: codes + vectors + column_bytes + ids + resident - packed
                + 6 * BODY_AT
                + sum(|a| a.index_bytes),
            search_memory: resident + resident_codes + sum(|a| a.search_memory),
            fewer_lists_fit: needed > allowed && PhaseMemory::new(params, 1).needed() <= allowed,
            part_buffers: buffers(memory.part, memory.part_buffers),
            file_buffers: buffers(memory.file, memory.file_buffers),
            column_buffers: buffers(memory.column, memory.column_buffers),
            run_bytes: buffers(memory.gather, RUN_BYTES_MIN),
            column,
            attributes: attributes.into_iter().map(|(attribute, _)| attribute).collect(),
            partition: PlannedPartition::of(params),
        }
    }

    /// Refuses a plan that needs more memory than it may use.
    ///
    /// # Errors
    /// [`BuildError::Memory`].
    pub fn check_memory(&self) -> Result<(), BuildError> {
        if self.memory_needed <= self.memory_allowed {
            return Ok(());
        }
        Err(BuildError::Memory {
            needed: self.memory_needed,
            allowed: self.memory_allowed,
            fewer_lists_fit: self.fewer_lists_fit,
        })
    }

    /// Lists in one group when copies are sorted into lists: follows the parameters alone.
    pub(crate) fn group_lists(params: &Params) -> u32 {
        let copies = params.vectors as f64 * expected_copies(params);
        let list_bytes = copies / params.lists as f64 * params.filed_record_bytes() as f64;
        ((GROUP_BYTES as f64 / list_bytes) as u32).max(1) // CAST: saturates
    }
}

/// Bytes of memory that each phase takes beside what every process does, for a number of lists.
struct PhaseMemory {
    /// Freed blocks that the allocator keeps from one phase to the next.
    kept: u64,
    /// The most of the phases that write no spill files, or small ones.
    others: u64,
    /// Sorting rows into parts, and its spill buffers at their smallest.
    part: u64,
    part_buffers: u64,
    /// Filing, and its spill buffers at their smallest.
    file: u64,
    file_buffers: u64,
    /// Sorting the rows of a column, and its spill buffers at their smallest; nothing without a column.
    column: u64,
    column_buffers: u64,
    /// Gathering attributes beside their values; nothing without attributes, as the next.
    gather: u64,
    run_bytes: u64,
}

impl PhaseMemory {
    fn new(params: &Params, lists: u64) -> PhaseMemory {
        let (row, head_row) = (params.row_bytes() as u64, params.head_row_bytes() as u64);
        let (vectors, threads, parts) = (params.vectors, params.threads as u64, params.parts());
        let (keys, part_groups, lists) =
            (key_bytes(params), params.part_groups_max(), params.lists_most(lists));
        let copies = expected_copies(params);
        // A row as matrix products take it.
        let packed = match params.head_dtype() {
            DType::U8 | DType::I8 => 2 * head_row,
            DType::F16 | DType::F32 => 4 * params.head_dim() as u64,
        };

        // Checking: a chunk for each thread, hashes of all chunks, the sample's rows by number and until written.
        let chunk = vectors.min((CHUNK_BYTES as u64 / row).max(1)) * row;
        let chunks = (vectors * row).div_ceil(chunk.max(1));
        let sample_rows = params.sample_rows();
        let check = threads * chunk + 48 * chunks + 8 * sample_rows + sample_rows.min(1 << 14) * row;

        // Parting: the sample in head space, clustered; then chunks, with scores against all parts. Rows of a value that is divided
        // are taken together, and each such value has one part more than its share at most.
        let scored = 1024.min(vectors);
        let (together, divided) = if keys > 0 { (head_row, 2 * parts) } else { (0, parts) };
        let assign = threads * scored * (packed + 4 * divided) + divided * (2 * head_row + packed);
        let train = sample_rows * (head_row + together + 12) + 4096.min(sample_rows) * (head_row + packed);
        let stream = 2 * threads * (chunk / row.max(1)) * (row + head_row + together) + 48 * chunks;
        let part = keys + if parts == 1 { stream } else { assign + train.max(stream) };

        // A part in memory: its records, rows in head space, the packed copy that is multiplied, and what
        // filing says of each row.
        let part_rows = vectors.min(PART_SLACK * params.part_rows());
        // Of a partition the order of rows by value besides. CAST: a few copies
        let filed_bytes = 12 * copies.ceil() as u64 + if keys > 0 { 96 } else { 64 };
        let part_bytes = part_rows * (params.part_record_bytes() as u64 + head_row + packed + filed_bytes);
        let heads = lists * (2 * head_row + 40);
        // Each thread packs the heads around the block that it files.
        let width = FilingWidth::of(params.max_copies as usize);
        let around = (width.around * BLOCK_HEADS) as u64; // CAST: widening
        let filers = threads * around.min(lists) * packed;
        let part_records = vectors * params.part_record_bytes() as u64;
        let part_index = spill::index_memory(part_groups, params.part_record_bytes(), part_records);
        let file = heads + part_bytes + filers + part_index + keys;

        let all_copies = (vectors as f64 * copies) as u64; // CAST: an estimate
        let filed_records = all_copies * params.filed_record_bytes() as u64;
        let groups =
            lists.div_ceil(u64::from(Plan::group_lists(params))) + u64::from(params.partition.is_some());
        let filed_index = spill::index_memory(groups, params.filed_record_bytes(), filed_records);
        let positions = if params.replicas_need_positions() { 4 * vectors } else { 0 };
        let run = 16 * (RUN_PAIRS as u64).min(vectors);
        // A group in memory: its records, the numbers of those of each head, and lists of exact vectors.
        let group = (PART_SLACK * GROUP_BYTES).min(filed_records);
        let lists_bytes = if params.code == CodeSpec::Full { group } else { group / 4 };
        let group = group + 32 * group / params.filed_record_bytes() as u64 + lists_bytes;
        // The sample that tells how vectors are spread goes before groups come.
        let write = heads + group.max(spread_bytes(params)) + positions + filed_index + run + keys;
        let graph = lists * (head_row + head_row.max(2 * GRAPH_BYTES));
        // A buffer of bytes and one of pairs for each run, and the first ids of pages.
        let ids = vectors.div_ceil(RUN_PAIRS as u64) * (192 << 10) + vectors / 16;
        let trained = training_bytes(params, lists) + filed_index;
        let (gather, run_bytes, attributes) = match params.attributes.len() as u64 {
            0 => (0, 0, 0),
            // Besides a buffer, and sorted positions.
            _ => (positions_bytes(vectors) + (1 << 20), RUN_BYTES_MIN, attribute_bytes(params)),
        };
        let (column, column_buffers) = column_bytes(params);
        PhaseMemory {
            kept: 2 * KEPT_BLOCK_BYTES.min(part_rows * head_row),
            others: check.max(write).max(trained).max(graph).max(ids).max(attributes + keys),
            part,
            part_buffers: spill::memory_min(part_groups, params.part_record_bytes(), part_records),
            file,
            file_buffers: spill::memory_min(groups, params.filed_record_bytes(), filed_records),
            column,
            column_buffers,
            gather,
            run_bytes,
        }
    }

    fn needed(&self) -> u64 {
        let (part, file) = (self.part + self.part_buffers, self.file + self.file_buffers);
        let (column, gather) = (self.column + self.column_buffers, self.gather + self.run_bytes);
        FIXED_BYTES + self.kept + self.others.max(part).max(file).max(column).max(gather)
    }
}

/// Where rows are: pages' first ids, and ids with rows and positions of some rows.
fn positions_bytes(vectors: u64) -> u64 {
    vectors / 60 + 36 * POSITION_ROWS.min(vectors)
}

/// Sorting the rows of a column: their positions, a chunk and a group in memory; and buffers at their smallest.
fn column_bytes(params: &Params) -> (u64, u64) {
    let Some(column) = &params.column else { return (0, 0) };
    // CAST: widening, here and below
    let (record, rows) = (column.record_bytes(), params.vectors);
    let bytes = rows * record as u64;
    let chunk = (params.threads * CHUNK_BYTES.max(column.row_bytes())) as u64;
    let pages = PageLayout::new(column.row_bytes(), column.metric, IdBytes::Eight);
    let groups = column_groups(rows, pages);
    // Records of a group, and what puts them in order; the last group may be the only one.
    let group = (GROUP_BYTES + pages.page_bytes() as u64).min(bytes) * 5 / 4
        + 32 * (GROUP_BYTES / record as u64).min(rows);
    let hashes = 48 * bytes / CHUNK_BYTES as u64;
    let sorting = positions_bytes(rows) + spill::index_memory(groups, record, bytes);
    (sorting.max(group) + chunk + hashes, spill::memory_min(groups, record, bytes))
}

/// Positions of a group of a column's rows while they are sorted: whole pages of about [`GROUP_BYTES`].
pub(crate) fn column_group_rows(pages: PageLayout) -> u64 {
    let pages_max = (GROUP_BYTES / pages.page_bytes() as u64).max(1); // CAST: widening
    pages_max * pages.page_records() as u64 // CAST: widening
}

/// Groups that the rows of a column are sorted into.
pub(crate) fn column_groups(vectors: u64, pages: PageLayout) -> u64 {
    vectors.div_ceil(column_group_rows(pages))
}

/// Bytes of the scratch file of a column.
fn column_scratch(params: &Params) -> u64 {
    params.column.as_ref().map_or(0, |column| params.vectors * column.record_bytes() as u64) // CAST: widening
}

/// Four bytes a row, where rows are laid out by their values.
fn key_bytes(params: &Params) -> u64 {
    if params.partition.is_some() { 4 * params.vectors } else { 0 }
}

/// Writing an attribute: a buffer of each of its runs, bits of positions, and numbers of values sorted by position.
fn attribute_bytes(params: &Params) -> u64 {
    let scratch =
        params.attributes.iter().map(|attribute| attribute.bytes(params.vectors).scratch).sum::<u64>();
    let runs = 1 + 2 * scratch / RUN_BYTES_MIN;
    runs * RUN_MEMORY + params.vectors / 2 + sorting_bytes(params.vectors)
}

/// Bytes of memory that the index over the heads takes for each of `count` heads.
pub(crate) fn head_index_bytes(dtype: DType, dim: usize, count: usize) -> u64 {
    match HeadIndex::preferred(dtype, dim, count) {
        HeadIndexKind::Graph => GRAPH_BYTES,
        HeadIndexKind::Flat if dtype.is_integer() => dtype.row_bytes(dim) as u64 + PACKED_TERM_BYTES,
        HeadIndexKind::Flat => 0,
    }
}

/// The sample that tells how vectors are spread.
fn spread_bytes(params: &Params) -> u64 {
    let rows = params.vectors.min(Spread::sample_rows(params.dim) as u64); // CAST: widening
    rows * (size_of::<f32>() * params.dim) as u64 // CAST: widening
}

/// What training codes takes: a sample of how vectors are spread, and after it that of residuals, rotated, and packed to be
/// multiplied; a copy of parts of it for each thread.
fn training_bytes(params: &Params, lists: u64) -> u64 {
    let rows = params.vectors.min(params.code.sample_rows(params.dim) as u64); // CAST: widening
    let copies = if matches!(params.code, CodeSpec::Products { .. }) { 4 } else { 1 };
    let matrices = match params.code {
        // The axes of residuals, from their covariances in double precision.
        CodeSpec::Axes { .. } | CodeSpec::Products { rotated: true, .. } => {
            3 * 8 * (params.dim * params.dim) as u64
        } // CAST: widening
        _ => 0,
    };
    let residuals = copies * rows * 4 * params.dim as u64 + matrices; // CAST: widening
    lists * params.head_row_bytes() as u64 + residuals.max(spread_bytes(params)) // CAST: widening
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

#[cfg(test)]
mod tests {
    use spandrel_index::{DIM_MAX, Metric};

    use super::*;
    use crate::cluster::HeadKind;
    use crate::partition::PartitionParams;

    fn params(dim: usize, vectors: u64, code: CodeSpec) -> Params {
        Params {
            metric: Metric::L2,
            dtype: DType::U8,
            dim,
            vectors,
            lists: 2,
            replicas: ReplicaRule::None,
            max_copies: 1,
            heads: HeadKind::Means,
            code,
            codebooks: None,
            codes: Tier::Ssd,
            memory_bytes: 1 << 30,
            threads: 1,
            seed: 1,
            own_ids: false,
            attributes: Vec::new(),
            partition: None,
            column: None,
        }
    }

    #[test]
    fn lists_that_values_share_are_never_cut() {
        for dim in [1, 100, 4096, DIM_MAX] {
            for lists in [1, 7, 4000, 700_000, 1_000_000] {
                let params = Params { dtype: DType::F32, lists, ..params(dim, 1_000_000, CodeSpec::Binary) };
                let rows = u64::from(Plan::group_lists(&params)) * params.shared_list_rows();
                let target = GROUP_BYTES / params.filed_record_bytes() as u64;
                assert!(rows <= PART_SLACK * target, "{dim} dimensions, {lists} lists: {rows} rows");
            }
        }
    }

    #[test]
    fn lists_of_values_are_counted_where_they_are_more_than_planned() {
        let whole = params(64, 1_000_000, CodeSpec::Binary);
        let partition = Some(PartitionParams { attribute: 0, name: "tenant".to_owned(), own: Vec::new() });
        let partitioned = Params { partition, ..whole.clone() };
        assert_eq!([2, 1000].map(|lists| whole.lists_most(lists)), [2, 1000]);
        assert_eq!([2, 1000].map(|lists| partitioned.lists_most(lists)), [502, 1000]);
    }

    /// Of a hundred values of a hundredth each, every one has a list where two are asked for.
    #[test]
    fn memory_for_searching_counts_the_lists_of_values() {
        let whole = params(64, 1_000_000, CodeSpec::Binary);
        let of = |own: Vec<f64>, lists: u64| {
            let partition = Some(PartitionParams { attribute: 0, name: "tenant".to_owned(), own });
            let plan = Plan::new(&Params { partition, lists, ..whole.clone() });
            (plan.lists, plan.search_memory)
        };
        let heads = |lists: u64| Plan::new(&Params { lists, ..whole.clone() }).search_memory;
        assert_eq!(of(vec![0.01; 100], 2), (100, heads(100)));
        assert_eq!(of(vec![0.01; 50], 2), (51, heads(51)), "and one that the other values share");
        assert_eq!(of(vec![0.01; 100], 5000), (5000, heads(5000)));
    }

    #[test]
    fn the_sample_of_the_spread_is_counted() {
        // As floats for any type: 4 096 vectors, fewer where they are wide, but at least 128 or all of them.
        for (dim, vectors, expected) in [
            (64, 1_000_000, 4096 * 256),
            (2048, 1_000_000, 8 << 20),
            (16_384, 1_000_000, 128 * 65_536),
            (DIM_MAX, 1_000_000, 128 * 4 * DIM_MAX as u64),
            (1024, 10, 10 * 4096),
        ] {
            for code in [CodeSpec::Full, CodeSpec::Binary, CodeSpec::Axes { bytes: 4 }] {
                let params = params(dim, vectors, code);
                assert_eq!(spread_bytes(&params), expected, "{vectors} of {dim}");
                let heads = 2 * params.head_row_bytes() as u64;
                assert!(training_bytes(&params, 2) >= heads + expected, "{code}: {vectors} of {dim}");
            }
        }
    }
}
