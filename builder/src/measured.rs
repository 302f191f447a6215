//! The numbers that decide what every user gets, each with where it comes from. All of them in one place, so that a new
//! measurement has one file to change.
//!
//! A source is a page of `docs/decisions/` with its command, a command of a bench, or a commit that holds the figures. "By
//! hand" means that no measurement is recorded: whoever measures it first writes down what came out. Numbers that bound
//! memory or buffers are in `plan.rs` and `spill.rs`.
use spandrel_index::format::SearchDefault;

// Shape of an index. Page 003.

/// Vectors per list, by primaries, unless asked for otherwise.
pub const LIST_SIZE_DEFAULT: u32 = 32;
/// Vectors per list of codes on SSD, unless asked for otherwise.
pub(crate) const SSD_LIST_SIZE_DEFAULT: u32 = 64;
/// Vectors per list of codes in memory, unless asked for otherwise.
pub(crate) const CODED_LIST_SIZE_DEFAULT: u32 = 120;
/// Most copies of a vector in all, unless asked for otherwise. Page 001, bench `replicas`.
pub const COPIES_DEFAULT: u32 = 2;
/// A list may hold this many times the mean number of copies of a head before it is split. Pieces hold at
/// least half of it, so no list is longer than 2.5 times the mean of what is written. By hand; page 075 has half and twice.
pub(crate) const CAP_OF_MEAN: f64 = 2.2;
/// Pruning of a query that names none, where the index was not calibrated: near recall@10 of 0.95 on SIFT descriptors and
/// sentence embeddings. `spandrel bench --max-lists --epsilon`, whose figures were not kept.
pub(crate) const SEARCH_DEFAULT: SearchDefault =
    SearchDefault { epsilon: Some(0.6), max_lists: MAX_LISTS_SSD, rerank_errors: 0.9 };
/// Lists that such a query reads from SSD. Bench `layouts`.
pub(crate) const MAX_LISTS_SSD: u32 = 64;
/// Lists that such a query scans in memory. Bench `layouts`.
pub(crate) const MAX_LISTS_MEMORY: u32 = 160;

// What a layout is expected to ask of the disk.

/// Reads for exact distances, and distinct pages in them, by bytes of a code: what SIFT descriptors and sentence embeddings
/// took at recall@10 of 0.95, the mean where both were measured, by the code that `Choice` takes at that size. Page 002,
/// bench `codes`: run it and take the column "at 0.95".
pub(crate) const RERANK: [(f64, f64, f64); 7] = [
    (12.0, 45.0, 54.0),
    (16.0, 24.8, 30.5),
    (24.0, 13.8, 17.3),
    (32.0, 10.7, 13.4),
    (48.0, 8.4, 10.4),
    (64.0, 7.6, 9.5),
    (96.0, 7.3, 9.2),
];
/// Bytes that merged reads of pages take over those of the pages themselves. `spandrel bench`, bytes over pages at the default
/// on 1M SIFT; the figures were not kept.
pub(crate) const PAGE_GAPS: f64 = 1.17;
/// Lists that a query at recall@10 of 0.95 reads from SSD, requests for them after merging, and bytes read for nothing over
/// the rest. Bench `layouts` on 1M SIFT.
pub(crate) const SSD_LISTS: f64 = 60.0;
pub(crate) const SSD_LIST_READS: f64 = 32.0;
pub(crate) const SSD_GAPS: f64 = 1.15;
/// The same for lists of exact vectors. Bench `layouts` on 1M SIFT.
pub(crate) const FULL_LISTS: f64 = 64.0;
pub(crate) const FULL_READS: f64 = 42.0;
/// How many times the reads a query takes on codes of the same length in lists of twice the size, on SIFT descriptors, and a
/// little. Page 003.
pub(crate) const LONGER_READS: f64 = 1.1;
/// Lists are not made longer than this to save memory: their reads would take longer than more of them. By hand.
pub(crate) const LIST_SIZE_MOST: u32 = 512;
/// Bits of a dimension beyond which a better code no longer saves reads: the nearest vectors lie on their own pages
/// in any case. Page 002: 8.8 pages at 64 bytes on SIFT with every code.
pub(crate) const BITS_MAX: usize = 4;
/// Bits of a dimension from which on principal axes err less than products, which win below. Page 002.
pub(crate) const AXES_BITS_MIN: usize = 2;
/// With shorter codes, comparing vectors exactly costs more than reading longer codes from SSD. Page 002: 83 pages at 8
/// bytes on SIFT, 36 at 12.
pub(crate) const MEMORY_BYTES_MIN: usize = 12;
/// Longer codes on SSD cost more bytes of lists than they save of pages. Page 002.
pub(crate) const SSD_BYTES_MAX: usize = 32;

/// Microseconds of a thread, for an element of a vector of integers, that a build takes: rates of one to ten million SIFT-like
/// vectors on machine A of `docs/benchmarks.md` (`spandrel build`, the times of its phases, eab8b51, fe8e789), and thread time of small sets
/// for what does not grow with them ("What plan says of builds" there).
pub(crate) mod build {
    /// Clustering, filing and writing one copy; floats take about half as much again.
    pub(crate) const FIRST_COPY: f64 = 0.13;
    /// Filing and writing a further copy.
    pub(crate) const FURTHER_COPY: f64 = 0.06;
    /// Finding the nearest centroids of a copy.
    pub(crate) const PRODUCTS: f64 = 0.015;
    /// Comparing the trials' queries with every vector.
    pub(crate) const TRUTH: f64 = 0.01;
    /// Seconds of training a code: products take as long as that, others less.
    pub(crate) const TRAINING_SECONDS: f64 = 4.0;
    /// Vectors from which on it no longer grows, about.
    pub(crate) const TRAINED: f64 = 50_000.0;
    /// Seconds of the trials of calibration.
    pub(crate) const CALIBRATION_SECONDS: f64 = 6.0;
    /// Vectors from which on they no longer grow, about.
    pub(crate) const CALIBRATED: f64 = 30_000.0;
}

/// Clustering. Chosen by hand; page 075 has lists and bytes read at equal recall with half and twice of each, by bench
/// `replicas --rules none`.
pub(crate) mod cluster {
    /// Most children of a tree node, after SPANN.
    pub(crate) const BRANCHING: usize = 32;
    /// Weight of balance.
    pub(crate) const BALANCE: f32 = 0.5;
    /// Rounds of Lloyd's algorithm in each node.
    pub(crate) const ROUNDS: usize = 6;
    /// Rounds of moving heads among all rows nearby: 632 kB instead of 722 at recall 0.95 on SIFT, for twice the time
    /// (c9b2de2). `replicas --lists-of 25 --rules none --queries 2000 --refinements 0`, then 1.
    pub(crate) const REFINEMENTS: usize = 1;
    /// Blocks around its own that a row may look into for a nearer head meanwhile, and those it is compared with.
    pub(crate) const REFINE_AROUND: usize = 48;
    pub(crate) const REFINE_PROBED: usize = 6;
    /// Rows looked at for each centre of a node.
    pub(crate) const SAMPLE_PER_CENTRE: usize = 128;
    /// Price steps between two computations of distances, and the share of the way to its fixed point that a price moves in
    /// one.
    pub(crate) const PRICE_STEPS: usize = 4;
    pub(crate) const PRICE_DAMPING: f32 = 0.15;
    /// Rounds of moving the two centres of a cut.
    pub(crate) const CUT_ROUNDS: usize = 4;
}

/// Coarse parts. `parts_are_nearly_equal_and_can_be_stored` holds how nearly equal these make them.
pub(crate) mod parts {
    /// Steps in which prices approach balance. By hand.
    pub(crate) const PRICE_STEPS: usize = 24;
    /// Price, in mean distances, of a part with twice its share of the sample. By hand.
    pub(crate) const BALANCE: f32 = 2.0;
    /// Share of the way to its fixed point that a price moves in one step. By hand.
    pub(crate) const DAMPING: f32 = 0.05;
}

/// Lists that are learned from a sample of queries. Page 065, bench `sample`.
pub(crate) mod sample {
    /// Vectors that queries want have lists of their own where half of the queries foresee this share of the neighbours of the others
    /// at least: what is not foreseen lies among all other vectors.
    pub(crate) const FORESEEN_MIN: f64 = 0.8;
    /// And where these vectors are at most this share of all.
    pub(crate) const WANTED_SHARE_MAX: f64 = 0.5;
    /// How many times more lists they have than others: lists that a query scans a part of are shorter.
    pub(crate) const WANTED_LISTS: u64 = 3;
    /// Codes are made for the queries where their estimates are off by this share of what those of the plain code are off, at most.
    /// By hand, between the sets of page 067: on SIFT, where little is to gain, more codes were scanned.
    pub(crate) const ERROR_SHARE_MAX: f64 = 0.9;
    /// Shares of the mean variance of queries that are added in every direction, of which one is chosen. Page 067.
    pub(crate) const RIDGES: [f64; 3] = [0.01, 0.001, 0.1];
}

/// Filing.
pub(crate) mod filing {
    /// Nearest heads that a replica rule chooses from, as in SPANN.
    pub(crate) const NEAREST: usize = 64;
    /// Copies up to which the narrow width files well. By hand, between the two and eight of page 053.
    pub(crate) const FEW_COPIES: usize = 4;
    /// Blocks that rows may look into, and those they are compared with, for few copies. Page 053.
    pub(crate) const NARROW_AROUND: usize = 256;
    pub(crate) const NARROW_PROBED: usize = 24;
    /// The same for more copies. Page 053.
    pub(crate) const WIDE_AROUND: usize = 512;
    pub(crate) const WIDE_PROBED: usize = 72;
    /// Weight of the angle between residuals under SOAR, as its authors have it. Page 001 has half and twice.
    pub(crate) const SOAR_LAMBDA: f32 = 1.0;
    /// Weight of the angle between residuals under AIR, and how far its copies may lie. By hand; page 001 has half and twice.
    pub(crate) const AIR_LAMBDA: f32 = 0.5;
}
