//! What a search memory is best spent on.
use spandrel_index::codes::{AXES_DIM_MAX, CodeSpec};
use spandrel_index::format::{FullLayout, IdBytes, PageLayout};
use spandrel_index::kernels::scan::BLOCK_VECTORS;
use spandrel_index::math::{exp, ln};
use spandrel_index::{HeadSpace, Tier};

use crate::filing::ReplicaRule;
use crate::measured::{
    AXES_BITS_MIN, BITS_MAX, CODED_LIST_SIZE_DEFAULT, FULL_LISTS, FULL_READS, LIST_SIZE_DEFAULT,
    LIST_SIZE_MOST, LONGER_READS, MEMORY_BYTES_MIN, PAGE_GAPS, RERANK, SSD_BYTES_MAX, SSD_GAPS,
    SSD_LIST_READS, SSD_LIST_SIZE_DEFAULT, SSD_LISTS, build,
};
use crate::plan::{DIRECTORY_BYTES, code_bytes, head_index_bytes};
use crate::vector_shape::VectorShape;

/// One way to lay an index out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// Code of the lists, or exact vectors.
    pub code: CodeSpec,
    /// Where codes are while searching.
    pub codes: Tier,
    /// Vectors per list.
    pub list_size: u32,
    /// Rule by which vectors are filed under further lists.
    pub replicas: ReplicaRule,
    /// Bytes of memory per vector while searching.
    pub memory_per_vector: f64,
    /// Bytes of the index on disk per vector.
    pub disk_per_vector: f64,
    /// What a query is expected to ask of the disk for recall@10 of 0.95.
    pub query: QueryCost,
}

/// What is chosen of a layout.
struct Layout {
    code: CodeSpec,
    codes: Tier,
    list_size: u32,
    replicas: ReplicaRule,
}

/// Requests of one query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QueryCost {
    /// Reads of a query, after neighbouring pages are merged.
    pub reads: f64,
    /// Bytes that a query reads.
    pub bytes: f64,
}

/// Bytes of codes that are shown beside each other.
const SHOWN_BYTES: [usize; 11] = [12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512];

impl Choice {
    /// The layout for lists of codes, or of exact vectors for [`CodeSpec::Full`].
    pub fn of(shape: VectorShape, code: CodeSpec, codes: Tier) -> Choice {
        let (list_size, replicas) = match (code, codes) {
            (CodeSpec::Full, _) => (LIST_SIZE_DEFAULT, ReplicaRule::Soar),
            (_, Tier::Memory) => (CODED_LIST_SIZE_DEFAULT, ReplicaRule::None),
            (_, Tier::Ssd) => (SSD_LIST_SIZE_DEFAULT, ReplicaRule::Soar),
        };
        Choice::with(shape, Layout { code, codes, list_size, replicas })
    }

    fn with(shape: VectorShape, layout: Layout) -> Choice {
        let Layout { code, codes, list_size, replicas } = layout;
        let in_memory = match codes {
            Tier::Memory => code_bytes(code, shape.dim),
            Tier::Ssd => 0.0,
        };
        let model = code.model_bytes(shape.dim) as f64 / shape.vectors.max(1) as f64; // CAST: an estimate
        let memory_per_vector = heads_per_vector(shape, list_size) + model + in_memory;
        let disk_per_vector = disk_per_vector(shape, code, codes, list_size);
        let query = query_cost(shape, code, codes, list_size);
        Choice { code, codes, list_size, replicas, memory_per_vector, disk_per_vector, query }
    }

    /// Seconds that a build takes on `threads` threads, calibration included: by the rates of one to ten million SIFT-like
    /// vectors on machine A of `docs/benchmarks.md`, and by thread time of small sets for what does not grow with them.
    pub fn build_seconds(&self, shape: VectorShape, threads: usize) -> f64 {
        let copies = if self.replicas == ReplicaRule::None { 1.0 } else { 2.0 };
        let wide = if shape.dtype.is_integer() { 1.0 } else { 1.5 };
        let (coding, training) = match self.code {
            CodeSpec::Products { .. } => (copies * build::PRODUCTS, build::TRAINING_SECONDS),
            CodeSpec::Full => (0.0, 0.0),
            _ => (0.0, build::TRAINING_SECONDS),
        };
        let copying = (build::FIRST_COPY + (copies - 1.0) * build::FURTHER_COPY) * wide;
        let microseconds = copying + coding + build::TRUTH;
        // CAST: estimates, here and below
        let vectors = shape.vectors as f64;
        let grown = |most: f64| (vectors / most).min(1.0);
        let fixed = training * grown(build::TRAINED) + build::CALIBRATION_SECONDS * grown(build::CALIBRATED);
        (vectors * shape.dim as f64 * microseconds / 1e6 + fixed) / threads as f64
    }

    /// Layouts worth comparing, the smallest in memory first.
    pub fn alternatives(shape: VectorShape) -> Vec<Choice> {
        let mut choices = vec![
            Choice::of(shape, ssd_code(shape.dim), Tier::Ssd),
            Choice::of(shape, CodeSpec::Full, Tier::Ssd),
        ];
        let range = memory_bytes_min(shape.dim)..=BITS_MAX * bit(shape.dim);
        let shown = SHOWN_BYTES.into_iter().filter(|bytes| range.contains(bytes));
        let ends = [*range.start()].into_iter().chain(shown).chain([*range.end()]);
        choices.extend(ends.map(|bytes| Choice::of(shape, best_code(shape.dim, bytes), Tier::Memory)));
        choices.dedup_by_key(|choice| (choice.code, choice.codes));
        choices
    }

    /// The best layout that keeps at most `bytes` in memory for each vector: the best code of the bytes that fit, in
    /// memory; where too few fit, codes on SSD; where heads alone are too much, the same with the memory that takes.
    pub fn for_memory(shape: VectorShape, bytes: f64) -> Choice {
        let usual = Choice::in_memory(shape, bytes, CODED_LIST_SIZE_DEFAULT);
        // Where heads are wide, half of them leave room for a code so much better that it pays.
        let longer = Choice::in_memory(shape, bytes, 2 * CODED_LIST_SIZE_DEFAULT);
        let reads = |choice: &Option<Choice>| choice.map_or(f64::INFINITY, |choice| choice.query.reads);
        let pays = reads(&longer) * LONGER_READS < reads(&usual);
        if let Some(choice) = if pays { longer } else { usual } {
            return choice;
        }
        let choice = Choice::of(shape, ssd_code(shape.dim), Tier::Ssd);
        // Longer lists have fewer heads.
        let of = |list_size| {
            Choice::with(
                shape,
                Layout { code: choice.code, codes: Tier::Ssd, list_size, replicas: choice.replicas },
            )
        };
        let mut longer = (choice.list_size..LIST_SIZE_MOST).map(of);
        longer.find(|choice| choice.memory_per_vector <= bytes).unwrap_or_else(|| of(LIST_SIZE_MOST))
    }

    /// The best code in memory that fits `bytes` for each vector with lists of such a size, if one does.
    fn in_memory(shape: VectorShape, bytes: f64, list_size: u32) -> Option<Choice> {
        let room = (memory_bytes_min(shape.dim)..=BITS_MAX * bit(shape.dim)).rev();
        let of = |room| {
            let code = best_code(shape.dim, room);
            Choice::with(shape, Layout { code, codes: Tier::Memory, list_size, replicas: ReplicaRule::None })
        };
        room.map(of).find(|choice| choice.memory_per_vector <= bytes)
    }
}

/// Bytes of a code of one bit a dimension.
fn bit(dim: usize) -> usize {
    CodeSpec::RaBitQ { bits: 1 }.code_bytes(dim)
}

/// The shortest codes that are worth their memory.
fn memory_bytes_min(dim: usize) -> usize {
    if dim <= AXES_DIM_MAX { bit(dim).min(MEMORY_BYTES_MIN) } else { bit(dim) }
}

/// The code for lists on SSD.
fn ssd_code(dim: usize) -> CodeSpec {
    if dim <= AXES_DIM_MAX {
        best_code(dim, (3 * bit(dim) / 2).min(SSD_BYTES_MAX))
    } else {
        best_code(dim, 2 * bit(dim))
    }
}

/// The code with the smallest errors in `bytes` bytes.
fn best_code(dim: usize, bytes: usize) -> CodeSpec {
    // CAST: a few bytes for each of AXES_DIM_MAX
    if dim > AXES_DIM_MAX {
        return CodeSpec::RaBitQ { bits: (bytes / bit(dim)).clamp(1, 8) as u8 };
    }
    if bytes >= AXES_BITS_MIN * bit(dim) {
        return CodeSpec::Axes { bytes: (bytes / 4 * 4) as u32 };
    }
    // At least a dimension each.
    let quantisers = (2 * bytes).min(dim);
    CodeSpec::Products { quantisers: quantisers as u32, bits: 4, rotated: true, uniform: false }
}

/// Bytes of all files for each vector.
fn disk_per_vector(shape: VectorShape, code: CodeSpec, codes: Tier, list_size: u32) -> f64 {
    let row_bytes = shape.dtype.row_bytes(shape.dim);
    let page = PageLayout::new(row_bytes, shape.metric, IdBytes::Four);
    // CAST: estimates, here and below
    let vectors = page.page_bytes() as f64 / page.page_records() as f64;
    let ids = 8.0;
    let copies = if codes == Tier::Memory { 1.0 } else { 2.0 };
    heads_per_vector(shape, list_size)
        + vectors
        + ids
        + list_bytes(shape, code, copies, list_size) / f64::from(list_size)
}

/// Bytes of a mean list on disk.
fn list_bytes(shape: VectorShape, code: CodeSpec, copies: f64, list_size: u32) -> f64 {
    let entries = copies * f64::from(list_size);
    let positions = 4.0 * (copies - 1.0) * f64::from(list_size);
    let entries_bytes = match code {
        CodeSpec::Full => {
            let row_bytes = shape.dtype.row_bytes(shape.dim);
            entries * FullLayout::new(row_bytes, shape.metric, IdBytes::Four).entry_bytes() as f64
        }
        _ => (entries + BLOCK_VECTORS as f64 / 2.0) * code_bytes(code, shape.dim),
    };
    entries_bytes + positions + 256.0
}

/// What a query is expected to ask of the disk, from the measured constants above.
fn query_cost(shape: VectorShape, code: CodeSpec, codes: Tier, list_size: u32) -> QueryCost {
    if code == CodeSpec::Full {
        return QueryCost { reads: FULL_READS, bytes: FULL_LISTS * list_bytes(shape, code, 2.0, list_size) };
    }
    let bytes = code.code_bytes(shape.dim) as f64;
    let above = RERANK.iter().position(|&(of, ..)| of >= bytes).unwrap_or(RERANK.len() - 1);
    let (low, high) = (RERANK[above.saturating_sub(1)], RERANK[above]);
    // On logarithms, on which they are nearly straight.
    let share = if high.0 > low.0 { (ln(bytes / low.0) / ln(high.0 / low.0)).clamp(0.0, 1.0) } else { 1.0 };
    let between = |low: f64, high: f64| low * exp(share * ln(high / low));
    let page = PageLayout::new(shape.dtype.row_bytes(shape.dim), shape.metric, IdBytes::Four);
    let (mut reads, mut bytes) =
        (between(low.1, high.1), between(low.2, high.2) * PAGE_GAPS * page.page_bytes() as f64);
    if codes == Tier::Ssd {
        reads += SSD_LIST_READS;
        bytes += SSD_LISTS * SSD_GAPS * list_bytes(shape, code, 2.0, list_size);
    }
    QueryCost { reads, bytes }
}

/// Bytes of heads, their index and the directory for each vector.
fn heads_per_vector(shape: VectorShape, list_size: u32) -> f64 {
    let space = HeadSpace::of(shape.metric, 0.0);
    let (dtype, dim) = (space.dtype(shape.dtype), space.dim(shape.dim));
    let lists = shape.vectors.div_ceil(u64::from(list_size));
    let head_index = head_index_bytes(dtype, dim, usize::try_from(lists).unwrap_or(usize::MAX));
    let bytes = dtype.row_bytes(dim) as u64 + DIRECTORY_BYTES + head_index;
    bytes as f64 * lists as f64 / shape.vectors.max(1) as f64 // CAST: an estimate
}

#[cfg(test)]
mod tests {
    use spandrel_index::{DType, Metric};

    use super::*;

    fn shape(dim: usize, dtype: DType) -> VectorShape {
        VectorShape { vectors: 1_000_000_000, dim, dtype, metric: Metric::L2 }
    }

    #[test]
    fn memory_decides_code_and_place() {
        let sift = shape(128, DType::U8);
        for bytes in [24.0, 40.0, 52.0, 80.0, 500.0] {
            let choice = Choice::for_memory(sift, bytes);
            assert_eq!(choice.codes, Tier::Memory);
            assert!(choice.memory_per_vector <= bytes, "{choice:?}");
        }
        assert_eq!(Choice::for_memory(sift, 40.0).code, CodeSpec::Axes { bytes: 32 });
        let products = |quantisers| CodeSpec::Products { quantisers, bits: 4, rotated: true, uniform: false };
        assert_eq!(Choice::for_memory(sift, 30.0).code, products(44));
        let few = VectorShape { vectors: 50_000, ..shape(384, DType::F16) };
        // The matrix takes 6 bytes for each of so few.
        let choice = Choice::for_memory(few, 40.0);
        assert_eq!((choice.code, choice.list_size), (products(48), 240));
        assert_eq!(Choice::for_memory(few, 128.0).list_size, 120);
        let text = Choice::for_memory(shape(384, DType::F16), 40.0);
        assert_eq!((text.code, text.codes, text.list_size), (products(60), Tier::Memory, 240));
        assert_eq!(Choice::for_memory(sift, 500.0).code, CodeSpec::Axes { bytes: 64 });
        let little = Choice::for_memory(sift, 12.0);
        assert_eq!((little.code, little.codes), (products(48), Tier::Ssd));
        assert_eq!((little.list_size, Choice::for_memory(sift, 2.0).list_size), (64, 145));
        // Of few vectors the model takes much, which longer lists do not change.
        let few = VectorShape { vectors: 2000, ..sift };
        let least = Choice::for_memory(few, f64::MIN_POSITIVE).memory_per_vector;
        assert!(Choice::for_memory(few, least.ceil()).memory_per_vector <= least.ceil());
        assert_eq!(Choice::for_memory(shape(4096, DType::F32), 2000.0).code, CodeSpec::RaBitQ { bits: 3 });
    }

    #[test]
    fn more_memory_asks_less_of_the_disk() {
        for (dim, dtype) in [(128, DType::U8), (96, DType::F32), (1024, DType::F16)] {
            let choices = Choice::alternatives(shape(dim, dtype));
            assert!(choices.len() >= 6);
            let in_memory: Vec<&Choice> = choices.iter().filter(|c| c.codes == Tier::Memory).collect();
            for pair in in_memory.windows(2) {
                assert!(pair[0].memory_per_vector < pair[1].memory_per_vector);
                assert!(pair[0].query.reads >= pair[1].query.reads);
                assert!(pair[0].disk_per_vector < pair[1].disk_per_vector);
            }
            assert!(choices[0].memory_per_vector < in_memory[0].memory_per_vector);
        }
    }
}
