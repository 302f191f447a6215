//! What a build will take, before it begins.
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::{BODY_AT, FullLayout, IdBytes, IdPages, PageLayout};
use spandrel_index::kernels::scan::{BLOCK_VECTORS, FACTOR_BYTES};
use spandrel_index::{DType, HeadIndex, HeadIndexKind, Tier};

use crate::BuildError;
use crate::config::Params;
use crate::phase_memory::{FIXED_BYTES, GRAPH_BYTES, PhaseMemory, RUN_BYTES_MIN, expected_copies, key_bytes};
use crate::planned::{
    PlannedAttribute, PlannedColumn, PlannedDocuments, PlannedPartition, PlannedQuerySample,
};

/// Predicted sizes. Bytes throughout.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Vectors in the input.
    pub vectors: u64,
    /// Lists to form, before splitting.
    pub lists: u64,
    /// Coarse parts the input is sorted into.
    pub parts: u64,
    /// Code of the lists, or exact vectors.
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
    /// The documents, where vectors are tokens; their pages are not counted as a column besides.
    pub documents: Option<PlannedDocuments>,
    /// The column by whose vectors candidates are compared, if there is one.
    pub column: Option<PlannedColumn>,
    /// How vectors are laid out by an attribute, if they are.
    pub partition: Option<PlannedPartition>,
    /// What is done with a sample of queries, if there is one.
    pub query_sample: Option<PlannedQuerySample>,
}

/// Largest total of spill buffers: more does not write faster.
const SPILL_BYTES_MAX: u64 = 256 << 20;
/// Bytes that a packed head takes beyond its row.
const PACKED_TERM_BYTES: u64 = 8;
/// Bytes of directory per list.
pub(crate) const DIRECTORY_BYTES: u64 = 20;

/// Bytes of lists, vectors, ids and heads: in the index's files, and in memory while searching.
struct Sizes {
    index: u64,
    search: u64,
}

impl Sizes {
    fn of(params: &Params, lists: u64, all_copies: u64) -> Sizes {
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
            true => page.body_bytes(params.vectors),
            false => 0,
        };
        let ids = IdPages { id_bytes, uuid: 0 }.body_bytes(params.vectors);
        let heads = usize::try_from(lists).unwrap_or(usize::MAX);
        let head_index = head_index_bytes(params.head_dtype(), params.head_dim(), heads);
        let queries = params.coding_sample().map_or(0, |_| params.code.query_map_bytes(params.dim));
        let model = (params.code.model_bytes(params.dim) + queries) as u64; // CAST: widening
        let resident = lists * (params.head_row_bytes() as u64 + DIRECTORY_BYTES + head_index) + model;
        // Heads are packed at open; only a graph is stored.
        let kind = HeadIndex::preferred(params.head_dtype(), params.head_dim(), heads);
        let packed = if kind == HeadIndexKind::Graph { 0 } else { lists * head_index };
        let resident_codes = match params.codes {
            Tier::Memory => (params.vectors as f64 * entry_bytes) as u64, // CAST: an estimate
            Tier::Ssd => 0,
        };
        let index = codes + vectors + ids + resident - packed + 6 * BODY_AT;
        Sizes { index, search: resident + resident_codes }
    }
}

impl Plan {
    /// The plan for checked parameters.
    pub fn new(params: &Params) -> Plan {
        let copies = expected_copies(params);
        let all_copies = (params.vectors as f64 * copies) as u64; // CAST: an estimate

        let memory = PhaseMemory::new(params, params.lists);
        let planned =
            params.partition.as_ref().map_or(params.lists, |partition| partition.lists(params.lists));
        // Vectors that queries want are in more lists.
        let lists = if params.query_sample.is_some() { params.lists_most(params.lists) } else { planned };
        let (needed, allowed) = (memory.needed(), params.memory_bytes);
        let buffers = |phase: u64, least: u64| {
            (allowed.saturating_sub(FIXED_BYTES + memory.kept + phase))
                .clamp(least, SPILL_BYTES_MAX.max(least))
        };
        let id_bytes = if params.own_ids { IdBytes::Eight } else { IdBytes::Four };
        let documents = PlannedDocuments::of(params, id_bytes);
        let column = PlannedColumn::of(params, id_bytes).filter(|_| documents.is_none());
        let (attributes, attribute_scratch): (Vec<PlannedAttribute>, Vec<u64>) =
            params.attributes.iter().map(|attribute| PlannedAttribute::of(attribute, params.items())).unzip();
        let sum = |bytes: fn(&PlannedAttribute) -> u64| attributes.iter().map(bytes).sum::<u64>();
        let spilled = spilled_bytes(params, lists, all_copies).max(column_scratch(params));
        let sample = params.sample_rows() * params.row_bytes() as u64;
        let sizes = Sizes::of(params, lists, all_copies);
        let besides = column.as_ref().map_or(0, |column| column.index_bytes)
            + documents.as_ref().map_or(0, |documents| documents.index_bytes);
        let documents_memory = documents.as_ref().map_or(0, |documents| documents.search_memory);
        Plan {
            vectors: params.vectors,
            lists: planned,
            parts: params.parts(),
            code: params.code,
            codes: params.codes,
            copies,
            memory_needed: needed,
            memory_allowed: allowed,
            scratch_bytes: spilled + sample + attribute_scratch.iter().sum::<u64>(),
            index_bytes: sizes.index + besides + sum(|a| a.index_bytes),
            search_memory: sizes.search + documents_memory + sum(|a| a.search_memory),
            fewer_lists_fit: needed > allowed && PhaseMemory::new(params, 1).needed() <= allowed,
            part_buffers: buffers(memory.part, memory.part_buffers),
            file_buffers: buffers(memory.file, memory.file_buffers),
            column_buffers: buffers(memory.column, memory.column_buffers),
            run_bytes: buffers(memory.gather, RUN_BYTES_MIN),
            column,
            documents,
            attributes,
            partition: PlannedPartition::of(params),
            query_sample: PlannedQuerySample::of(params),
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
}

/// Bytes of the scratch file of a column.
fn column_scratch(params: &Params) -> u64 {
    let sorted = params.column.as_ref().filter(|_| params.documents.is_none());
    sorted.map_or(0, |column| params.vectors * column.record_bytes() as u64) // CAST: widening
}

/// Bytes of rows, copies, ids and heads that are spilled while lists are formed.
fn spilled_bytes(params: &Params, lists: u64, all_copies: u64) -> u64 {
    params.vectors * params.part_record_bytes() as u64
        + all_copies * params.filed_record_bytes() as u64
        + params.vectors * (4 + 24)
        + lists * params.head_row_bytes() as u64
        + key_bytes(params)
}

/// Bytes of memory that the index over the heads takes for each of `count` heads.
pub(crate) fn head_index_bytes(dtype: DType, dim: usize, count: usize) -> u64 {
    match HeadIndex::preferred(dtype, dim, count) {
        HeadIndexKind::Graph => GRAPH_BYTES,
        HeadIndexKind::Flat if dtype.is_integer() => dtype.row_bytes(dim) as u64 + PACKED_TERM_BYTES,
        HeadIndexKind::Flat => 0,
    }
}

/// Bytes of a code and its factors.
pub(crate) fn code_bytes(code: CodeSpec, dim: usize) -> f64 {
    code.code_bytes(dim) as f64 + FACTOR_BYTES as f64 / BLOCK_VECTORS as f64 // CAST: exact
}

#[cfg(test)]
mod tests {
    use spandrel_index::{DIM_MAX, Metric};

    use super::*;
    use crate::cluster::HeadKind;
    use crate::config::{GROUP_BYTES, PART_SLACK};
    use crate::filing::ReplicaRule;
    use crate::partition::PartitionParams;
    use crate::phase_memory::{group_lists, spread_bytes, training_bytes};
    use crate::query_sample::QuerySampleParams;

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
            binariser: None,
            codes: Tier::Ssd,
            memory_bytes: 1 << 30,
            threads: 1,
            seed: 1,
            own_ids: false,
            attributes: Vec::new(),
            partition: None,
            column: None,
            documents: None,
            query_sample: None,
            embedding: None,
        }
    }

    #[test]
    fn lists_that_values_share_are_never_cut() {
        for dim in [1, 100, 4096, DIM_MAX] {
            for lists in [1, 7, 4000, 700_000, 1_000_000] {
                let params = Params { dtype: DType::F32, lists, ..params(dim, 1_000_000, CodeSpec::Binary) };
                let rows = u64::from(group_lists(&params)) * params.shared_list_rows();
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
    fn memory_for_searching_counts_the_lists_of_wanted_vectors() {
        let whole = Params { lists: 1000, ..params(64, 1_000_000, CodeSpec::Binary) };
        let query_sample = Some(QuerySampleParams { queries: 5000, depth: 100, codes: true });
        let sampled = Params { query_sample, ..whole.clone() };
        let most = sampled.lists_most(1000);
        assert!(most > 1500, "{most}");
        let plan = Plan::new(&sampled);
        let expected = Plan::new(&Params { lists: most, ..whole }).search_memory;
        assert_eq!((plan.lists, plan.search_memory), (1000, expected));
    }

    #[test]
    fn equal_shares_of_few_vectors_take_little_memory() {
        let needed = |vectors, threads, uniform| {
            let code = CodeSpec::Products { quantisers: 4, bits: 8, rotated: false, uniform };
            training_bytes(&Params { threads, ..params(32, vectors, code) }, 2)
        };
        assert!(needed(300, 64, true) < needed(300, 64, false) + (2 << 20));
        // Four sub-quantisers at once, of 16 384 rows and how near each is to 256 centroids.
        let [one, four, many] = [1, 4, 64].map(|threads| needed(1_000_000, threads, true));
        assert!(
            one > needed(1_000_000, 1, false) + (16 << 20) && four > one + 3 * (16 << 20) && many == four
        );
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
