//! Where an index is kept while it is calibrated. Codes in memory leave replicas out and are rounded a little otherwise
//! than those on SSD, so where codes are follows the index alone; the rest decides no answer and follows the limits.
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::{MAIN_COLUMN, Manifest, SectionKind};
use spandrel_index::{OpenOptions, Tier};

/// Program, stacks, what the queries and their answers take, the vectors that queries are compared with at a time, and what the allocator
/// keeps. With 48 MiB 300 000 x 96 x f32 took 34 to 46 MB more than was allowed.
const FIXED_BYTES: u64 = 100 << 20;
/// Codes that are searched from memory, if they are meant for it: a build that makes more bytes of codes needs more memory than that.
const CODES_BYTES_MAX: u64 = 128 << 20;
/// Vectors that are kept in memory meanwhile, if there is room for twice their bytes: answers are the same.
const VECTORS_BYTES_MAX: u64 = 256 << 20;
/// Codes that a query may scan: a hundredth of a second.
const CODES_MAX: u64 = 4 << 20;
/// Bytes of lists that a query may read.
const LISTS_BYTES_MAX: u64 = 32 << 20;
/// Most bytes of recordings of queries that are kept from one setting to the next.
const RECORDINGS_BYTES_MAX: u64 = 512 << 20;
/// What a thread needs: a list, a page, the candidates of a query.
const THREAD_BYTES: u64 = 2 << 20;

/// What calibrating may use. It decides no result.
#[derive(Debug, Clone, Copy)]
pub struct CalibrateLimits {
    /// Threads, at least 1.
    pub threads: usize,
    /// Resident memory in bytes, kept to as far as the parts allow that every search needs.
    pub memory_bytes: u64,
}

/// How the index is opened and searched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Placement {
    pub(super) open: OpenOptions,
    pub(super) threads: usize,
    /// Bytes of recordings of queries that are kept from one setting to the next.
    pub(super) recordings_bytes: usize,
    /// Most lists that are tried: follows the index alone.
    pub(super) lists_max: u32,
}

/// Bytes of an index by what they are for.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    entries: u64,
    lists: u64,
    /// The section of lists, in codes or exact vectors.
    codes: u64,
    /// The pages of vectors.
    vectors: u64,
    /// What every search keeps in memory.
    resident: u64,
    /// Whether lists hold codes rather than exact vectors.
    coded: bool,
    meant_for: Tier,
}

impl Placement {
    pub(super) fn of(manifest: &Manifest, limits: CalibrateLimits) -> Placement {
        let bytes = |kind| {
            manifest.segments.iter().filter_map(|s| s.section(kind, MAIN_COLUMN)).map(|s| s.bytes).sum()
        };
        let resident = [SectionKind::Heads, SectionKind::Graph, SectionKind::Directory, SectionKind::Model];
        let vectors = manifest.vectors();
        let sizes = Sizes {
            entries: vectors * u64::from(manifest.build.max_replicas),
            lists: manifest.found_lists(),
            codes: bytes(SectionKind::Codes),
            vectors: bytes(SectionKind::Vectors),
            resident: resident.into_iter().map(bytes).sum(),
            coded: !matches!(manifest.code(), Ok(CodeSpec::Full)),
            meant_for: manifest.build.codes,
        };
        Placement::of_sizes(sizes, limits)
    }

    /// The same beside parts of the index whose bytes are known once they are in memory.
    pub(super) fn beside(self, bytes: usize) -> Placement {
        Placement { recordings_bytes: self.recordings_bytes.saturating_sub(bytes), ..self }
    }

    fn of_sizes(sizes: Sizes, limits: CalibrateLimits) -> Placement {
        let Sizes { entries, lists, codes, vectors, resident, coded, meant_for } = sizes;
        let tier = if codes > CODES_BYTES_MAX { Tier::Ssd } else { meant_for };
        let list_bytes = (codes / lists.max(1)).max(1);
        // All lists, unless that is more than a query may take: from memory all are quickly scanned, from SSD read.
        let within_codes = (u128::from(CODES_MAX) * u128::from(lists) / u128::from(entries.max(1))) as u64; // CAST: below 2^54
        let within_bytes = if tier == Tier::Memory { u64::MAX } else { LISTS_BYTES_MAX / list_bytes };
        let lists_max = lists.min(within_codes).min(within_bytes).max(1);
        let taken = FIXED_BYTES + resident + if tier == Tier::Memory { codes } else { 0 };
        let mut left = limits.memory_bytes.saturating_sub(taken);
        let in_memory = coded && vectors <= VECTORS_BYTES_MAX.min(left / 2);
        left -= if in_memory { vectors } else { 0 };
        let vectors = if in_memory { Tier::Memory } else { Tier::Ssd };
        // CAST: no more than the threads given; at most `RECORDINGS_BYTES_MAX`
        let threads = (left / THREAD_BYTES).clamp(1, limits.threads.max(1) as u64);
        let recordings_bytes = left.saturating_sub(threads * THREAD_BYTES).min(RECORDINGS_BYTES_MAX);
        Placement {
            open: OpenOptions { codes: Some(tier), vectors: Some(vectors), ids: false },
            threads: threads as usize,
            recordings_bytes: recordings_bytes as usize,
            lists_max: lists_max as u32, // CAST: lists are numbered by u32
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_are_known_later_leave_less_for_recordings() {
        let placement = of(sizes(1 << 20, Tier::Memory), 2, 1 << 30);
        let left = placement.recordings_bytes;
        assert!(left > 40 << 20);
        assert_eq!(placement.beside(40 << 20).recordings_bytes, left - (40 << 20));
        assert_eq!(placement.beside(left + 1), Placement { recordings_bytes: 0, ..placement });
    }

    /// An index of 10 000 lists.
    fn sizes(codes: u64, meant_for: Tier) -> Sizes {
        Sizes {
            entries: 1_000_000,
            lists: 10_000,
            codes,
            vectors: 300 << 20,
            resident: 10 << 20,
            coded: true,
            meant_for,
        }
    }

    fn of(sizes: Sizes, threads: usize, memory_bytes: u64) -> Placement {
        Placement::of_sizes(sizes, CalibrateLimits { threads, memory_bytes })
    }

    #[test]
    fn where_codes_are_follows_the_index_alone() {
        for (sizes, tier) in [
            (sizes(128 << 20, Tier::Memory), Tier::Memory),
            (sizes(129 << 20, Tier::Memory), Tier::Ssd),
            (sizes(1 << 20, Tier::Ssd), Tier::Ssd),
        ] {
            let expected = of(sizes, 8, 1 << 40);
            assert_eq!(expected.open.codes, Some(tier));
            for (threads, memory) in [(1, 0), (2, 200 << 20), (64, 1 << 30)] {
                let found = of(sizes, threads, memory);
                assert_eq!((found.open.codes, found.lists_max), (expected.open.codes, expected.lists_max));
                assert!((1..=threads).contains(&found.threads));
            }
        }
    }

    #[test]
    fn limits_bound_the_rest() {
        let roomy = of(sizes(100 << 20, Tier::Memory), 8, 2 << 30);
        assert_eq!((roomy.threads, roomy.recordings_bytes), (8, RECORDINGS_BYTES_MAX as usize));
        assert_eq!(roomy.open.vectors, Some(Tier::Ssd), "they are too many");
        let tight = of(sizes(100 << 20, Tier::Memory), 8, 222 << 20);
        assert_eq!((tight.threads, tight.recordings_bytes), (6, 0));
        // Lists of 400 KiB: 32 MiB of them a query.
        let full = of(Sizes { coded: false, ..sizes(4 << 30, Tier::Ssd) }, 8, 400 << 20);
        assert!(u64::from(full.lists_max) * ((4 << 30) / 10_000) <= LISTS_BYTES_MAX);
    }
}
