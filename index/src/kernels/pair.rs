//! One query against rows as they lie.
#![allow(unsafe_code)]

use super::lane::PairFns;
use super::{Operation, Variant, scalar};
use crate::{DIM_MAX, DType};

/// A kernel chosen once for an operation, element type and dimension.
///
/// The value for a pair depends on the two rows and the variant alone, whichever method computed it. For floats
/// it differs from the exact one by at most about `dim / 8` roundings of the sum of absolute terms.
#[derive(Debug, Clone, Copy)]
pub struct PairKernel {
    fns: PairFns,
    row_bytes: usize,
}

impl PairKernel {
    /// The fastest kernel this machine can run, for rows of `dim` elements.
    pub fn new(operation: Operation, dtype: DType, dim: usize) -> PairKernel {
        Self::with_variant(operation, dtype, dim, Variant::best())
    }

    /// The kernel of one variant, which this machine must be able to run.
    pub fn with_variant(operation: Operation, dtype: DType, dim: usize, variant: Variant) -> PairKernel {
        assert!((1..=DIM_MAX).contains(&dim), "{dim} dimensions, 1 to {DIM_MAX} are handled");
        assert!(variant.is_available(), "{variant} kernels cannot run here");
        let row_bytes = dtype.row_bytes(dim);
        let fns = match variant {
            #[cfg(target_arch = "x86_64")]
            Variant::Avx2 => super::avx2::pair(operation, dtype),
            #[cfg(target_arch = "x86_64")]
            Variant::Avx512 => super::avx512::pair(operation, dtype),
            #[cfg(target_arch = "aarch64")]
            Variant::Neon => super::neon::pair(operation, dtype),
            _ => scalar::pair(operation, dtype),
        };
        // Rows shorter than a register are left to the reference.
        let fns = if row_bytes < fns.least { scalar::pair(operation, dtype) } else { fns };
        PairKernel { fns, row_bytes }
    }

    /// Bytes of one row.
    pub fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// The value for one pair of rows.
    #[inline]
    pub fn score(&self, a: &[u8], b: &[u8]) -> f32 {
        assert!(a.len() == self.row_bytes && b.len() == self.row_bytes);
        let mut out = [0.0];
        // SAFETY: the variant was checked in `with_variant`, the lengths just now.
        unsafe { (self.fns.rows)(a, b, &mut out) };
        out[0]
    }

    /// The values of `query` against `out.len()` rows lying back to back in `rows`.
    #[inline]
    pub fn score_rows(&self, query: &[u8], rows: &[u8], out: &mut [f32]) {
        assert!(query.len() == self.row_bytes && rows.len() == self.row_bytes * out.len());
        // SAFETY: the variant was checked in `with_variant`, the lengths just now.
        unsafe { (self.fns.rows)(query, rows, out) };
    }

    /// The values of `query` against the rows of `rows` numbered `picks`, in that order.
    ///
    /// Picked rows are asked for ahead of their turn, so that several reads of memory are under way at once.
    #[inline]
    pub fn score_picks(&self, query: &[u8], rows: &[u8], picks: &[u32], out: &mut [f32]) {
        assert!(query.len() == self.row_bytes && picks.len() == out.len());
        let largest = picks.iter().fold(0, |m, &p| m.max(p as usize));
        assert!(picks.is_empty() || (largest + 1) * self.row_bytes <= rows.len(), "no row {largest}");
        // SAFETY: the variant was checked in `with_variant`, lengths and the largest pick just now; `largest` is below
        // 2^32 and a row below 2^17 bytes, so the product above did not overflow.
        unsafe { (self.fns.picks)(query, rows, picks, out) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference::{Fill, OPERATIONS, assert_close, dims, exact, random_rows};

    const ROWS: usize = 7;

    /// Bytes at an odd address between bytes that would spoil any value they got into.
    struct Unaligned {
        bytes: Vec<u8>,
        len: usize,
    }

    impl Unaligned {
        fn new(bytes: &[u8]) -> Unaligned {
            let mut padded = vec![0x7f; 65];
            padded[64] = 0x7f;
            padded.extend_from_slice(bytes);
            padded.extend([0x7f; 64]);
            Unaligned { bytes: padded, len: bytes.len() }
        }

        fn get(&self) -> &[u8] {
            &self.bytes[65..65 + self.len]
        }
    }

    fn check(variant: Variant, dtype: DType, dim: usize, fill: Fill) {
        let query = Unaligned::new(&random_rows(dtype, dim, 1, fill, 1));
        let rows = Unaligned::new(&random_rows(dtype, dim, ROWS, fill, 2));
        let (query, rows) = (query.get(), rows.get());
        for operation in OPERATIONS {
            let kernel = PairKernel::with_variant(operation, dtype, dim, variant);
            let mut out = [f32::NAN; ROWS];
            kernel.score_rows(query, rows, &mut out);
            for (row, &got) in rows.chunks_exact(kernel.row_bytes()).zip(&out) {
                let context = format!("{variant} {operation:?} {dtype} {dim} {fill:?}");
                assert_close(dtype, dim, got, exact(operation, dtype, query, row), &context);
                assert_eq!(kernel.score(query, row).to_bits(), got.to_bits(), "alone: {context}");
            }
            for count in 0..=2 * ROWS {
                let picks: Vec<u32> = (0..count as u32).map(|i| (i * 5 + 3) % ROWS as u32).collect();
                let mut picked = vec![f32::NAN; count];
                kernel.score_picks(query, rows, &picks, &mut picked);
                for (&pick, got) in picks.iter().zip(picked) {
                    assert_eq!(got.to_bits(), out[pick as usize].to_bits(), "picked: {dim} {fill:?}");
                }
            }
        }
    }

    #[test]
    fn every_variant_agrees_with_the_reference_in_every_dimension() {
        for variant in Variant::available() {
            for dtype in DType::ALL {
                dims().for_each(|dim| check(variant, dtype, dim, Fill::Random));
            }
        }
    }

    #[test]
    fn integers_stay_exact_at_their_extremes() {
        for variant in Variant::available() {
            for dim in [1, 15, 16, 17, 31, 33, 64, 100, 1024, 4096, DIM_MAX] {
                for dtype in [DType::U8, DType::I8] {
                    for fill in [Fill::Byte(0xff), Fill::Byte(0x80), Fill::Byte(0x7f), Fill::Ends] {
                        check(variant, dtype, dim, fill);
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "no row 3")]
    fn a_pick_past_the_rows_is_refused() {
        let kernel = PairKernel::new(Operation::SquaredL2, DType::U8, 32);
        kernel.score_picks(&[0; 32], &[0; 96], &[0, 3], &mut [0.0; 2]);
    }
}
