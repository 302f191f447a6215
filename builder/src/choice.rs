//! What a search memory is best spent on.
use spandrel_index::codes::{AXES_DIM_MAX, CodeSpec};
use spandrel_index::{DType, HeadIndex, HeadIndexKind, HeadSpace, Metric, Tier, VectorSource};

use crate::config::{CODED_LIST_SIZE_DEFAULT, LIST_SIZE_DEFAULT, SSD_LIST_SIZE_DEFAULT};
use crate::filing::ReplicaRule;
use crate::plan::{DIRECTORY_BYTES, GRAPH_BYTES, code_bytes};

/// Vectors to be indexed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VectorShape {
    /// How many.
    pub vectors: u64,
    /// Elements of each.
    pub dim: usize,
    /// Type of an element.
    pub dtype: DType,
    /// How they are compared.
    pub metric: Metric,
}

impl VectorShape {
    /// The shape of what a source holds.
    pub fn of(source: &dyn VectorSource, metric: Metric) -> VectorShape {
        VectorShape { vectors: source.len(), dim: source.dim(), dtype: source.dtype(), metric }
    }
}

/// One way to lay an index out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// What lists hold.
    pub code: CodeSpec,
    /// Where codes are while searching.
    pub codes: Tier,
    /// Vectors per list.
    pub list_size: u32,
    /// Rule by which vectors are filed under further lists.
    pub replicas: ReplicaRule,
    /// Bytes of memory per vector while searching.
    pub memory_per_vector: f64,
}

/// Bits of a dimension beyond which a better code no longer saves reads: the nearest vectors lie on their own pages
/// whatever is known of the others.
const BITS_MAX: usize = 4;

impl Choice {
    /// The layout for lists of codes, or of exact vectors for [`CodeSpec::Full`].
    pub fn of(shape: VectorShape, code: CodeSpec, codes: Tier) -> Choice {
        let (list_size, replicas) = match (code, codes) {
            (CodeSpec::Full, _) => (LIST_SIZE_DEFAULT, ReplicaRule::Soar),
            (_, Tier::Memory) => (CODED_LIST_SIZE_DEFAULT, ReplicaRule::None),
            (_, Tier::Ssd) => (SSD_LIST_SIZE_DEFAULT, ReplicaRule::Soar),
        };
        let in_memory = match codes {
            Tier::Memory => code_bytes(code, shape.dim),
            Tier::Ssd => 0.0,
        };
        let memory_per_vector = heads_per_vector(shape, list_size) + in_memory;
        Choice { code, codes, list_size, replicas, memory_per_vector }
    }

    /// The best layout that keeps at most `bytes` in memory for each vector: principal axes with as many bits as fit,
    /// in memory; where not even one bit a dimension fits, codes on SSD; where heads alone are too much, the same
    /// with the memory that takes.
    pub fn for_memory(shape: VectorShape, bytes: f64) -> Choice {
        let overhead = Choice::of(shape, CodeSpec::RaBitQ { bits: 1 }, Tier::Memory).memory_per_vector
            - CodeSpec::RaBitQ { bits: 1 }.code_bytes(shape.dim) as f64; // CAST: exact
        let least = CodeSpec::RaBitQ { bits: 1 }.code_bytes(shape.dim);
        // CAST: a few bytes
        let room = (bytes - overhead).max(0.0) as usize / 4 * 4;
        let room = room.min(BITS_MAX * least);
        if room < least {
            return Choice::of(shape, best_code(shape.dim, BITS_MAX / 2 * least), Tier::Ssd);
        }
        Choice::of(shape, best_code(shape.dim, room), Tier::Memory)
    }
}

/// The code with the smallest errors in so many bytes.
fn best_code(dim: usize, bytes: usize) -> CodeSpec {
    if dim <= AXES_DIM_MAX {
        return CodeSpec::Axes { bytes: bytes as u32 }; // CAST: a few bytes for each of AXES_DIM_MAX
    }
    let bits = bytes / CodeSpec::RaBitQ { bits: 1 }.code_bytes(dim);
    CodeSpec::RaBitQ { bits: bits.clamp(1, 8) as u8 } // CAST: just clamped
}

/// Bytes of heads, their index and the directory for each vector.
fn heads_per_vector(shape: VectorShape, list_size: u32) -> f64 {
    let space = HeadSpace::of(shape.metric, 0.0);
    let (dtype, dim) = (space.dtype(shape.dtype), space.dim(shape.dim));
    let lists = shape.vectors.div_ceil(u64::from(list_size));
    let graph = match HeadIndex::preferred(dtype, dim, usize::try_from(lists).unwrap_or(usize::MAX)) {
        HeadIndexKind::Flat => 0,
        HeadIndexKind::Graph => GRAPH_BYTES,
    };
    let bytes = dtype.row_bytes(dim) as u64 + DIRECTORY_BYTES + graph;
    bytes as f64 * lists as f64 / shape.vectors.max(1) as f64 // CAST: an estimate
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(dim: usize, dtype: DType) -> VectorShape {
        VectorShape { vectors: 1_000_000_000, dim, dtype, metric: Metric::L2 }
    }

    #[test]
    fn memory_decides_code_and_place() {
        let sift = shape(128, DType::U8);
        for bytes in [26.0, 40.0, 52.0, 80.0, 500.0] {
            let choice = Choice::for_memory(sift, bytes);
            assert_eq!(choice.codes, Tier::Memory);
            assert!(choice.memory_per_vector <= bytes, "{choice:?}");
        }
        assert_eq!(Choice::for_memory(sift, 40.0).code, CodeSpec::Axes { bytes: 32 });
        assert_eq!(Choice::for_memory(sift, 500.0).code, CodeSpec::Axes { bytes: 64 });
        let little = Choice::for_memory(sift, 12.0);
        assert_eq!((little.code, little.codes), (CodeSpec::Axes { bytes: 32 }, Tier::Ssd));
        assert_eq!(Choice::for_memory(shape(4096, DType::F32), 2000.0).code, CodeSpec::RaBitQ { bits: 3 });
    }
}
