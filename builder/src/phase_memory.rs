//! The memory that each phase of a build takes.
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::{IdBytes, PageLayout};
use spandrel_index::{DType, Spread};

use crate::cluster::BLOCK_HEADS;
use crate::coding::comparing_bytes;
use crate::config::{GROUP_BYTES, PART_SLACK, Params};
use crate::filing::{FilingWidth, ReplicaRule};
use crate::measured::CAP_OF_MEAN;
use crate::query_sample::calibrating;
use crate::spill;
use crate::stages::{neighbours_bytes, scores_bytes, sorting_bytes};

/// Program, stacks and allocator slack.
pub(crate) const FIXED_BYTES: u64 = 48 << 20;
/// Largest freed block that glibc keeps rather than give it back: its bound rises up to this with what is freed.
const KEPT_BLOCK_BYTES: u64 = 32 << 20;
/// Bytes of graph per head: 32 links of 4 bytes, their count, and the upper layers.
pub(crate) const GRAPH_BYTES: u64 = 140;
/// Bytes of the input read at once by a thread. The input's hash is made of the hashes of such chunks.
pub(crate) const CHUNK_BYTES: usize = 1 << 20;
/// Pairs of id and position sorted in memory at a time.
pub(crate) const RUN_PAIRS: usize = 1 << 20;
/// Rows whose positions are looked up at a time while attributes are gathered.
pub(crate) const POSITION_ROWS: u64 = 1 << 20;
/// Least bytes that values of attributes take before they are written as a run.
pub(crate) const RUN_BYTES_MIN: u64 = 32 << 20;
/// Bytes of memory of a run while runs are merged.
const RUN_MEMORY: u64 = 192 << 10;

/// Bytes of memory that each phase takes beside what every process does, for a number of lists.
pub(crate) struct PhaseMemory {
    /// What stays from one phase to the next: freed blocks that the allocator keeps, offsets of documents and what encodes them, and queries
    /// that calibrate.
    pub(crate) kept: u64,
    /// The most of the phases that write no spill files, or small ones.
    others: u64,
    /// Sorting rows into parts, and its spill buffers at their smallest.
    pub(crate) part: u64,
    pub(crate) part_buffers: u64,
    /// Filing, and its spill buffers at their smallest.
    pub(crate) file: u64,
    pub(crate) file_buffers: u64,
    /// Sorting the rows of a column, and its spill buffers at their smallest; nothing without a column.
    pub(crate) column: u64,
    pub(crate) column_buffers: u64,
    /// Gathering attributes beside their values; nothing without attributes, as the next.
    pub(crate) gather: u64,
    pub(crate) run_bytes: u64,
}

impl PhaseMemory {
    pub(crate) fn new(params: &Params, lists: u64) -> PhaseMemory {
        let sizes = Sizes::of(params, lists);
        let keys = sizes.keys;
        let (part_groups, part_records) = (params.part_groups_max(), sizes.part_records());
        let (groups, filed_records) = (sizes.groups(), sizes.filed_records());
        let (gather, run_bytes, attributes) = match params.attributes.len() as u64 {
            0 => (0, 0, 0),
            // Besides a buffer, and sorted positions.
            _ => (positions_bytes(params.items()) + (1 << 20), RUN_BYTES_MIN, attribute_bytes(params)),
        };
        let (column, column_buffers) = column_bytes(params);
        let others = [
            sizes.check(),
            sizes.write(),
            training_bytes(params, sizes.lists) + sizes.filed_index(),
            sizes.graph(),
            sizes.ids(),
            attributes + keys,
            sample_bytes(params),
        ];
        let offsets = params.documents.as_ref().map_or(0, |documents| {
            let token_dim = params.column.as_ref().map_or(0, |column| column.dim);
            4 * documents.count + documents.encoding_bytes(token_dim, params.threads)
        });
        // Those that the caller calibrates with are in memory all the time.
        let calibrating = params.query_sample.map_or(0, |sample| calibrating(sample.queries) * sizes.row);
        PhaseMemory {
            kept: 2 * KEPT_BLOCK_BYTES.min(sizes.part_rows() * sizes.head_row) + offsets + calibrating,
            others: others.into_iter().fold(0, u64::max),
            part: sizes.part(),
            part_buffers: spill::memory_min(part_groups, params.part_record_bytes(), part_records),
            file: sizes.file(),
            file_buffers: spill::memory_min(groups, params.filed_record_bytes(), filed_records),
            column,
            column_buffers,
            gather,
            run_bytes,
        }
    }

    pub(crate) fn needed(&self) -> u64 {
        let (part, file) = (self.part + self.part_buffers, self.file + self.file_buffers);
        let (column, gather) = (self.column + self.column_buffers, self.gather + self.run_bytes);
        FIXED_BYTES + self.kept + self.others.max(part).max(file).max(column).max(gather)
    }
}

/// Bytes that several phases reckon with, and those of each phase alone.
struct Sizes<'a> {
    params: &'a Params,
    /// A row as it is read, in head space, and as matrix products take it.
    row: u64,
    head_row: u64,
    packed: u64,
    /// Keys of all rows, where these are partitioned.
    keys: u64,
    lists: u64,
    /// Copies of a vector.
    copies: f64,
}

impl Sizes<'_> {
    fn of(params: &Params, lists: u64) -> Sizes<'_> {
        let (row, head_row) = (params.row_bytes() as u64, params.head_row_bytes() as u64);
        let packed = match params.head_dtype() {
            DType::U8 | DType::I8 => 2 * head_row,
            DType::F16 | DType::F32 => 4 * params.head_dim() as u64,
        };
        let (keys, lists, copies) = (key_bytes(params), params.lists_most(lists), expected_copies(params));
        Sizes { params, row, head_row, packed, keys, lists, copies }
    }

    /// A chunk of rows.
    fn chunk(&self) -> u64 {
        self.params.vectors.min((CHUNK_BYTES as u64 / self.row).max(1)) * self.row
    }

    /// Hashes of all chunks.
    fn hashes(&self) -> u64 {
        48 * (self.params.vectors * self.row).div_ceil(self.chunk().max(1))
    }

    /// Checking: a chunk for each thread, hashes, the sample's rows by number and until written.
    fn check(&self) -> u64 {
        let (threads, sample_rows) = (self.params.threads as u64, self.params.sample_rows());
        threads * self.chunk() + self.hashes() + 8 * sample_rows + sample_rows.min(1 << 14) * self.row
    }

    /// Parting: the sample in head space, clustered; then chunks, with scores against all parts. Rows of a value that is divided
    /// are taken together, and each such value has one part more than its share at most.
    fn part(&self) -> u64 {
        let &Sizes { params, row, head_row, packed, keys, .. } = self;
        let (threads, parts, sample_rows) = (params.threads as u64, params.parts(), params.sample_rows());
        let scored = 1024.min(params.vectors);
        let (together, divided) = if keys > 0 { (head_row, 2 * parts) } else { (0, parts) };
        let assign = threads * scored * (packed + 4 * divided) + divided * (2 * head_row + packed);
        let train = sample_rows * (head_row + together + 12) + 4096.min(sample_rows) * (head_row + packed);
        let rows = self.chunk() / row.max(1);
        let stream = 2 * threads * rows * (row + head_row + together) + self.hashes();
        keys + if parts == 1 { stream } else { assign + train.max(stream) }
    }

    /// Records of all rows in parts.
    fn part_records(&self) -> u64 {
        self.params.vectors * self.params.part_record_bytes() as u64
    }

    /// Rows of the largest part.
    fn part_rows(&self) -> u64 {
        self.params.vectors.min(PART_SLACK * self.params.part_rows())
    }

    fn heads(&self) -> u64 {
        self.lists * (2 * self.head_row + 40)
    }

    /// Filing, with a part in memory: its records, rows in head space, the packed copy that is multiplied, and what filing says of
    /// each row.
    fn file(&self) -> u64 {
        let &Sizes { params, head_row, packed, keys, .. } = self;
        // Of a partition the order of rows by value besides. CAST: a few copies
        let filed_bytes = 12 * self.copies.ceil() as u64 + if keys > 0 { 96 } else { 64 };
        let of_row = params.part_record_bytes() as u64 + head_row + packed + filed_bytes;
        // Each thread packs the heads around the block that it files.
        let width = FilingWidth::of(params.max_copies as usize);
        let around = (width.around * BLOCK_HEADS) as u64; // CAST: widening
        let filers = params.threads as u64 * around.min(self.lists) * packed;
        let groups = params.part_groups_max();
        let index = spill::index_memory(groups, params.part_record_bytes(), self.part_records());
        self.heads() + self.part_rows() * of_row + filers + index + keys
    }

    /// Records of all filed copies.
    fn filed_records(&self) -> u64 {
        let all_copies = (self.params.vectors as f64 * self.copies) as u64; // CAST: an estimate
        all_copies * self.params.filed_record_bytes() as u64
    }

    /// Groups of lists that copies are filed in.
    fn groups(&self) -> u64 {
        self.lists.div_ceil(u64::from(group_lists(self.params))) + u64::from(self.params.partition.is_some())
    }

    fn filed_index(&self) -> u64 {
        spill::index_memory(self.groups(), self.params.filed_record_bytes(), self.filed_records())
    }

    /// Writing, with a group in memory: its records, the numbers of those of each head, and lists of exact vectors. The sample
    /// that tells how vectors are spread goes before groups come.
    fn write(&self) -> u64 {
        let params = self.params;
        let positions = if params.replicas_need_positions() { 4 * params.vectors } else { 0 };
        let run = 16 * (RUN_PAIRS as u64).min(params.vectors);
        let group = (PART_SLACK * GROUP_BYTES).min(self.filed_records());
        let lists_bytes = if params.code == CodeSpec::Full { group } else { group / 4 };
        let group = group + 32 * group / params.filed_record_bytes() as u64 + lists_bytes;
        let rest = positions + self.filed_index() + run + self.keys + coding(params);
        self.heads() + group.max(spread_bytes(params)) + rest
    }

    fn graph(&self) -> u64 {
        self.lists * (self.head_row + self.head_row.max(2 * GRAPH_BYTES))
    }

    /// Merging ids: a buffer of bytes and one of pairs for each run, and the first ids of pages.
    fn ids(&self) -> u64 {
        let vectors = self.params.vectors;
        vectors.div_ceil(RUN_PAIRS as u64) * (192 << 10) + vectors / 16
    }
}

/// Where rows are: pages' first ids, and ids with rows and positions of some rows.
fn positions_bytes(vectors: u64) -> u64 {
    vectors / 60 + 36 * POSITION_ROWS.min(vectors)
}

/// Finding what the queries of a sample want: these as read and packed, their neighbours, a chunk of vectors as read, mapped and
/// packed, scores, and the bits and keys of all rows.
fn sample_bytes(params: &Params) -> u64 {
    let Some(sample) = params.query_sample else { return 0 };
    // CAST: widening, here and below
    let (row, head_row, packed) =
        (params.row_bytes() as u64, params.head_row_bytes() as u64, 4 * params.head_dim() as u64);
    let queries =
        sample.shaping() * (8 + head_row + packed + neighbours_bytes(sample.depth)) + 8 * sample.queries;
    let chunk = (CHUNK_BYTES as u64).max(row) / row * (row + head_row + 2 * packed);
    queries + chunk + params.threads as u64 * scores_bytes() + params.vectors / 2 + 2 * key_bytes(params)
}

/// What coding takes beside the model, on all threads.
fn coding(params: &Params) -> u64 {
    let mean = params.vectors as f64 * expected_copies(params) / params.lists as f64;
    // CAST: rows of the longest list, about, and widening
    let rows = (CAP_OF_MEAN * mean) as usize * params.code.coder_row_bytes(params.dim);
    (params.threads * (params.code.coder_bytes(params.dim) + rows)) as u64
}

/// Sorting the rows of a column: their positions, a chunk and a group in memory; and buffers at their smallest.
fn column_bytes(params: &Params) -> (u64, u64) {
    let Some(column) = &params.column else { return (0, 0) };
    if let Some(documents) = &params.documents {
        // Tokens are copied in their order; then positions, and numbers of documents with those that are written.
        let chunk = CHUNK_BYTES.max(column.row_bytes()) as u64; // CAST: widening
        let hashes = 48 * documents.tokens * column.row_bytes() as u64 / CHUNK_BYTES as u64; // CAST: widening
        let numbers = positions_bytes(params.vectors) + 4 * params.vectors + 4 * documents.count;
        let numbers = numbers + documents.ids_bytes();
        return (numbers.max(chunk + hashes) + (2 << 20), 0);
    }
    // CAST: widening, here and below
    let (record, rows) = (column.record_bytes(), params.vectors);
    let bytes = rows * record as u64;
    let chunk = (params.threads * CHUNK_BYTES.max(column.row_bytes())) as u64;
    let pages = PageLayout::new(column.row_bytes(), column.metric, IdBytes::Eight);
    let groups = column_groups(rows, pages);
    // Records of a group, and what puts them in order. Rows with narrow ids are the most of a group.
    let narrow = PageLayout::new(column.row_bytes(), column.metric, IdBytes::Four);
    let group_rows = column_group_rows(narrow).max(column_group_rows(pages)).min(rows);
    let group = group_rows * (record as u64 + 32);
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

/// Lists in one group when copies are sorted into lists: follows the parameters alone.
pub(crate) fn group_lists(params: &Params) -> u32 {
    let copies = params.vectors as f64 * expected_copies(params);
    let list_bytes = copies / params.lists as f64 * params.filed_record_bytes() as f64;
    ((GROUP_BYTES as f64 / list_bytes) as u32).max(1) // CAST: `as` saturates at `u32::MAX`
}

/// Four bytes a row, where rows are laid out by their values.
pub(crate) fn key_bytes(params: &Params) -> u64 {
    if params.may_have_keys() { 4 * params.vectors } else { 0 }
}

/// Writing an attribute: a buffer of each of its runs, bits of positions, and numbers of values sorted by position.
fn attribute_bytes(params: &Params) -> u64 {
    let scratch =
        params.attributes.iter().map(|attribute| attribute.bytes(params.items()).scratch).sum::<u64>();
    let runs = 1 + 2 * scratch / RUN_BYTES_MIN;
    runs * RUN_MEMORY + params.items() / 2 + sorting_bytes(params.items())
}

/// The sample that tells how vectors are spread.
pub(crate) fn spread_bytes(params: &Params) -> u64 {
    let rows = params.vectors.min(Spread::sample_rows(params.dim) as u64); // CAST: widening
    rows * (size_of::<f32>() * params.dim) as u64 // CAST: widening
}

/// What training codes takes: a sample of how vectors are spread, and after it that of residuals, rotated, and packed to be
/// multiplied; a copy of parts of it for each thread.
pub(crate) fn training_bytes(params: &Params, lists: u64) -> u64 {
    let rows = params.vectors.min(params.code.sample_rows(params.dim) as u64); // CAST: widening
    let copies = if matches!(params.code, CodeSpec::Products { .. }) { 4 } else { 1 };
    // CAST: at most those sampled, and widening
    let beside = match params.binariser {
        Some(_) => params.code.given_bytes(params.dim),
        None => params.code.training_bytes(params.dim, rows as usize),
    } as u64;
    let of_threads = params.code.training_threads_bytes(params.dim, rows as usize, params.threads) as u64; // CAST: as below
    let residuals = copies * rows * 4 * params.dim as u64 + beside + of_threads; // CAST: widening
    let compared = residuals + comparing_bytes(params);
    lists * params.head_row_bytes() as u64 + compared.max(spread_bytes(params)) // CAST: widening
}

/// Copies per vector, as measured on real descriptors: RNG keeps fewer than it may.
pub(crate) fn expected_copies(params: &Params) -> f64 {
    let most = f64::from(params.max_copies);
    match params.replicas {
        ReplicaRule::None => 1.0,
        ReplicaRule::Soar => most,
        ReplicaRule::Rng | ReplicaRule::Air => most.min(1.0 + 0.9 * (most - 1.0)),
    }
}
