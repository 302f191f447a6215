//! How the bits of a code lie in blocks of sixteen vectors.
use crate::kernels::scan::{BLOCK_VECTORS, PlaneRun, ROW_BYTES};

/// Dimensions of a segment are a multiple of this, so that no row of one bit a dimension is partly filled.
pub(in crate::codes) const SEGMENT_DIMS: usize = 32;

/// Neighbouring dimensions with the same number of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaneSegment {
    /// Dimensions, a multiple of [`SEGMENT_DIMS`].
    pub dims: usize,
    /// Bits of each, 1 to 8.
    pub bits: u8,
}

impl PlaneSegment {
    /// The middle of the range of a dimension's code.
    pub fn middle(&self) -> f32 {
        f32::from((1_u16 << self.bits) - 1) / 2.0
    }
}

/// Bits of one segment that are stored together: 1, 2 or 4 of each dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plane {
    first_dim: usize,
    dims: usize,
    shift: u8,
    bits: u8,
}

impl Plane {
    fn rows(&self) -> usize {
        self.dims / PlaneRun::row_parts(self.bits)
    }
}

/// Where each dimension's bits lie in the rows of a block; `kernels::scan` describes a row.
#[derive(Debug, Clone, PartialEq)]
pub struct PlaneLayout {
    segments: Vec<PlaneSegment>,
    planes: Vec<Plane>,
    runs: Vec<PlaneRun>,
}

impl PlaneLayout {
    /// The layout for segments in the order of dimensions.
    ///
    /// # Panics
    /// When a segment's dimensions or bits are out of range.
    pub fn new(segments: Vec<PlaneSegment>) -> PlaneLayout {
        let mut planes = Vec::new();
        let mut first_dim = 0;
        for segment in &segments {
            assert!(segment.dims.is_multiple_of(SEGMENT_DIMS) && (1..=8).contains(&segment.bits));
            let mut left = segment.bits;
            while left > 0 {
                let bits = match left {
                    4.. => 4,
                    2.. => 2,
                    _ => 1,
                };
                left -= bits;
                planes.push(Plane { first_dim, dims: segment.dims, shift: left, bits });
            }
            first_dim += segment.dims;
        }
        planes.sort_by_key(|plane| (std::cmp::Reverse(plane.shift), plane.first_dim));
        let mut shift = planes.first().map_or(0, |plane| plane.shift);
        let runs = planes.iter().map(|plane| {
            let raise = shift - plane.shift;
            shift = plane.shift;
            PlaneRun { bits: plane.bits, rows: plane.rows(), raise }
        });
        let runs = runs.collect();
        PlaneLayout { segments, planes, runs }
    }

    /// Segments in the order of dimensions.
    pub fn segments(&self) -> &[PlaneSegment] {
        &self.segments
    }

    /// Rows of a block for the scan.
    pub fn runs(&self) -> &[PlaneRun] {
        &self.runs
    }

    /// Dimensions coded.
    pub fn dims(&self) -> usize {
        self.segments.iter().map(|segment| segment.dims).sum()
    }

    /// Bytes of the rows of one block.
    pub fn block_bytes(&self) -> usize {
        self.runs.iter().map(|run| run.rows).sum::<usize>() * ROW_BYTES
    }

    /// Puts the code of one vector, a number for each dimension, into lane `lane` of a block of zeros.
    pub(crate) fn pack(&self, code: &[u8], lane: usize, block: &mut [u8]) {
        assert_eq!((code.len(), block.len()), (self.dims(), self.block_bytes()));
        let mut rows = block.chunks_exact_mut(ROW_BYTES);
        for plane in &self.planes {
            let code = &code[plane.first_dim..plane.first_dim + plane.dims];
            let mask = (1 << plane.bits) - 1;
            for (parts, row) in code.chunks_exact(PlaneRun::row_parts(plane.bits)).zip(rows.by_ref()) {
                let bytes = &mut row[4 * lane..4 * lane + 4];
                for (part, &value) in parts.iter().enumerate() {
                    bytes[part % 4] |= (value >> plane.shift & mask) << (part / 4 * plane.bits as usize);
                }
            }
        }
    }

    /// The values of a query, one for each dimension, in the order in which the scan takes them.
    pub fn table(&self, values: &[i8], out: &mut Vec<i8>) {
        out.clear();
        for plane in &self.planes {
            out.extend_from_slice(&values[plane.first_dim..plane.first_dim + plane.dims]);
        }
    }
}

/// Copies one vector's code from a block to another of the same layout, whose rows have `lane_bytes` of each vector.
pub(crate) fn copy_lane(lane_bytes: usize, from: Lane<'_>, to: &mut [u8], to_lane: usize) {
    let row_bytes = BLOCK_VECTORS * lane_bytes;
    for (rows, to) in from.rows.chunks_exact(row_bytes).zip(to.chunks_exact_mut(row_bytes)) {
        let code = &rows[lane_bytes * from.lane..][..lane_bytes];
        to[lane_bytes * to_lane..][..lane_bytes].copy_from_slice(code);
    }
}

/// One code of a block.
#[derive(Clone, Copy)]
pub(crate) struct Lane<'a> {
    pub(crate) rows: &'a [u8],
    pub(crate) lane: usize,
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::kernels::scan::{Blocks, FACTOR_BYTES, ScanKernel, ScanTerms};

    /// Every width of code, alone and beside others: the scan's dot products are those of the codes.
    #[test]
    fn the_scan_reads_what_was_packed() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let segment = |dims, bits| PlaneSegment { dims, bits };
        let mut shapes: Vec<Vec<PlaneSegment>> = (1..=8).map(|bits| vec![segment(64, bits)]).collect();
        shapes.push((1..=8).rev().map(|bits| segment(32, bits)).collect());
        shapes.push(vec![segment(32, 4), segment(32, 2), segment(64, 1)]);
        for segments in shapes {
            let layout = PlaneLayout::new(segments.clone());
            let bits: usize = segments.iter().map(|s| s.dims * s.bits as usize).sum();
            assert_eq!(layout.block_bytes(), BLOCK_VECTORS * bits / 8);
            let values: Vec<i8> = (0..layout.dims()).map(|_| rng.random_range(-127..=127)).collect();
            let mut table = Vec::new();
            layout.table(&values, &mut table);
            let mut block = vec![0; layout.block_bytes()];
            let mut moved = vec![0; layout.block_bytes()];
            let mut expected = [0.0; BLOCK_VECTORS];
            for (lane, expected) in expected.iter_mut().enumerate() {
                let code: Vec<u8> = segments
                    .iter()
                    .flat_map(|s| vec![(1_u16 << s.bits) as u32; s.dims])
                    .map(|levels| rng.random_range(0..levels) as u8)
                    .collect();
                layout.pack(&code, lane, &mut block);
                copy_lane(4, Lane { rows: &block, lane }, &mut moved, BLOCK_VECTORS - 1 - lane);
                let dot: i32 = code.iter().zip(&values).map(|(&u, &q)| i32::from(u) * i32::from(q)).sum();
                *expected = dot as f32;
            }
            // Factors that hand the dot product through: mul 1, nothing added.
            let mut factors = [0_u8; FACTOR_BYTES];
            factors[2..4].copy_from_slice(&1.0_f32.to_bits().to_le_bytes()[2..]);
            (0..BLOCK_VECTORS).for_each(|lane| factors[40 + 2 * lane] = 1);
            let terms = ScanTerms { base: 0.0, offset: 0.0, scale: 1.0 };
            let mut found = [0.0; BLOCK_VECTORS];
            let kernel = ScanKernel::default();
            kernel.scan(layout.runs(), &table, Blocks { rows: &block, factors: &factors }, terms, &mut found);
            assert_eq!(found, expected, "{segments:?}");
            kernel.scan(layout.runs(), &table, Blocks { rows: &moved, factors: &factors }, terms, &mut found);
            expected.reverse();
            assert_eq!(found, expected, "{segments:?}");
        }
    }
}
