//! One query against blocks of codes: estimates of squared distances, sixteen vectors at a time.
#![allow(unsafe_code)]

use super::Variant;
pub(crate) use super::blocks::{ADD_AT, ERROR_AT, MUL_AT, Maxima, add_of, maxima, mul_of, steps};
pub use super::blocks::{BLOCK_VECTORS, Blocks, FACTOR_BYTES, PlaneRun, ROW_BYTES, ScanTerms, error_of};
use super::blocks::{ScanFn, ScanJob, scan_scalar};
use super::lookup::{LOOKUP_ROW_BYTES, LookupFn, LookupJob, LookupTables, large_scalar, small_scalar};

/// A scan chosen once for the machine.
#[derive(Debug, Clone, Copy)]
pub struct ScanKernel {
    scan: ScanFn,
    /// For tables of 4 and of 8 bits.
    small: LookupFn,
    large: LookupFn,
}

impl Default for ScanKernel {
    /// The fastest this machine can run.
    fn default() -> ScanKernel {
        ScanKernel::with_variant(Variant::best())
    }
}

impl ScanKernel {
    /// The kernel of one variant, which this machine must be able to run.
    pub fn with_variant(variant: Variant) -> ScanKernel {
        assert!(variant.is_available(), "{variant} kernels cannot run here");
        let (scan, small): (ScanFn, LookupFn) = match variant {
            #[cfg(target_arch = "x86_64")]
            Variant::Avx2 => (super::avx2::scan, super::avx2::look_up_small),
            #[cfg(target_arch = "x86_64")]
            Variant::Avx512 => (super::avx512::scan, super::avx512::look_up_small),
            #[cfg(target_arch = "aarch64")]
            Variant::Neon => (super::neon::scan, super::neon::look_up_small),
            _ => (scan_scalar, small_scalar),
        };
        let large: LookupFn = match variant {
            #[cfg(target_arch = "x86_64")]
            Variant::Avx512 if std::arch::is_x86_feature_detected!("avx512vbmi") => {
                super::avx512::look_up_large
            }
            _ => large_scalar,
        };
        ScanKernel { scan, small, large }
    }

    /// Estimates for every vector of `blocks`, into `out`, which has room for them exactly.
    ///
    /// # Panics
    /// When lengths do not agree.
    #[inline]
    pub fn scan(
        &self,
        runs: &[PlaneRun],
        table: &[i8],
        blocks: Blocks<'_>,
        terms: ScanTerms,
        out: &mut [f32],
    ) {
        let Blocks { rows, factors } = blocks;
        let (factors, rest) = factors.as_chunks::<FACTOR_BYTES>();
        let (out, out_rest) = out.as_chunks_mut::<BLOCK_VECTORS>();
        let (mut block_rows, mut parts) = (0, 0);
        for run in runs {
            assert!(matches!(run.bits, 1 | 2 | 4), "parts of {} bits", run.bits);
            block_rows += run.rows;
            parts += run.parts();
        }
        assert!(rest.is_empty() && out_rest.is_empty() && out.len() == factors.len());
        assert_eq!(rows.len(), factors.len() * block_rows * ROW_BYTES);
        assert_eq!(table.len(), parts);
        let job = ScanJob { runs, table, rows, factors, terms };
        // SAFETY: the variant was checked in `with_variant`, the lengths just now.
        unsafe { (self.scan)(&job, out) };
    }

    /// Estimates for every vector of `blocks`, into `out`, which has room for them exactly:
    /// as by [`ScanKernel::scan`], with a sum of table values for the dot product.
    ///
    /// # Panics
    /// When lengths do not agree.
    #[inline]
    pub fn look_up(&self, tables: &LookupTables, blocks: Blocks<'_>, terms: ScanTerms, out: &mut [f32]) {
        let Blocks { rows: codes, factors } = blocks;
        let (factors, rest) = factors.as_chunks::<FACTOR_BYTES>();
        let (out, out_rest) = out.as_chunks_mut::<BLOCK_VECTORS>();
        let (rows, bits) = (tables.rows(), tables.bits());
        assert!(rest.is_empty() && out_rest.is_empty() && out.len() == factors.len());
        assert_eq!(codes.len(), factors.len() * rows * LOOKUP_ROW_BYTES);
        let job = LookupJob { rows, tables: tables.values(), codes, factors, terms };
        let look_up = if bits == 4 { self.small } else { self.large };
        // SAFETY: the variant was checked in `with_variant`, the lengths just now, those of tables in `reset`.
        unsafe { look_up(&job, out) };
    }
}

/// Asks for bytes that will be scanned soon, so that memory is waited for while others are scanned.
///
/// Prefetches into L2: on a list of 4 KB, whole searches in memory ran a third faster than without. Into L1 they ran a
/// fourteenth faster only: L1 takes fewer requests at a time.
#[inline]
pub fn prefetch(bytes: &[u8]) {
    for line in bytes.chunks(64) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a hint, which reads nothing, on an instruction of every x86-64.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = line;
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, RngCore, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn run(bits: u8, rows: usize, raise: u8) -> PlaneRun {
        PlaneRun { bits, rows, raise }
    }

    #[test]
    fn every_variant_gives_the_references_estimates() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let shapes: [&[PlaneRun]; 7] = [
            &[run(1, 1, 0)],
            &[run(1, 4, 0)],
            &[run(2, 1, 0)],
            &[run(4, 3, 0)],
            &[run(2, 5, 0), run(1, 3, 1)],
            &[run(4, 2, 0), run(4, 2, 4)],
            &[run(4, 1, 0), run(2, 1, 2), run(1, 2, 1), run(4, 7, 0)],
        ];
        for runs in shapes {
            let block_rows: usize = runs.iter().map(|r| r.rows).sum();
            for blocks in 0..6 {
                for extreme in [false, true] {
                    let mut rows = vec![0xff; 1 + blocks * block_rows * ROW_BYTES];
                    let mut factors = vec![0; 1 + blocks * FACTOR_BYTES];
                    rng.fill_bytes(&mut factors);
                    // Scales between about 1 and 2, as a NaN would equal nothing.
                    for factors in factors[1..].chunks_mut(FACTOR_BYTES) {
                        for high in [1, 3, 5] {
                            factors[high] = 0x3f;
                        }
                    }
                    let mut table = vec![-127_i8; runs.iter().map(PlaneRun::parts).sum()];
                    if !extreme {
                        rng.fill_bytes(&mut rows);
                        table.iter_mut().for_each(|q| *q = rng.random_range(-127..=127));
                    }
                    let terms = ScanTerms { base: 3.5, offset: 100.5, scale: 0.25 };
                    let scan = |variant| {
                        let mut out = vec![f32::NAN; blocks * BLOCK_VECTORS];
                        let kernel = ScanKernel::with_variant(variant);
                        kernel.scan(
                            runs,
                            &table,
                            Blocks { rows: &rows[1..], factors: &factors[1..] },
                            terms,
                            &mut out,
                        );
                        out
                    };
                    let expected = scan(Variant::Scalar);
                    for variant in Variant::available() {
                        assert_eq!(scan(variant), expected, "{variant} {runs:?} {blocks} blocks");
                    }
                }
            }
        }
    }

    #[test]
    fn the_reference_computes_what_it_says() {
        // One vector of the block has code 5 = 0b101 in part 6 of a run of four bits, all others zero.
        let mut rows = [0; ROW_BYTES];
        rows[4 * 3 + 2] = 5 << 4;
        let mut factors = [0; FACTOR_BYTES];
        let one = 1.0_f32.to_bits().to_le_bytes();
        for scale in 0..3 {
            factors[2 * scale..2 * scale + 2].copy_from_slice(&one[2..]);
        }
        factors[ADD_AT + 6..ADD_AT + 8].copy_from_slice(&(-20_i16).to_le_bytes());
        factors[MUL_AT + 6..MUL_AT + 8].copy_from_slice(&2_i16.to_le_bytes());
        factors[ERROR_AT + 3] = 9;
        let mut table = [0; 8];
        table[6] = -7;
        let mut out = [0.0; BLOCK_VECTORS];
        let terms = ScanTerms { base: 1000.0, offset: 10.0, scale: 0.5 };
        ScanKernel::with_variant(Variant::Scalar).scan(
            &[run(4, 1, 0)],
            &table,
            Blocks { rows: &rows, factors: &factors },
            terms,
            &mut out,
        );
        assert_eq!(out[3], 1000.0 - 20.0 + (-35.0 - 10.0) * 0.5 * 2.0);
        assert_eq!(out[0], 1000.0);
        assert_eq!((error_of(&factors, 3), mul_of(&factors, 3)), (9.0, 2.0));
    }
}
