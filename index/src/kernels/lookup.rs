//! One query against blocks of product codes: sums of table values, sixteen vectors at a time.
//!
//! ```text
//! block = rows x 16 bytes           row: one byte of each of sixteen vectors
//! 4 bits: row r holds sub-quantiser 2r in the low half of its bytes and 2r + 1 in the high half
//! 8 bits: row r holds sub-quantiser r
//! ```
//! Tables are bytes. Sixteen of them are one register, looked up by a shuffle (Andre, Kermarrec and Le Scouarnec,
//! "Cache locality is not enough", VLDB 2015); 256 of them are four, looked up by AVX-512 VBMI for four blocks at a time, and
//! one by one where that is missing. Sums are exact, and what follows is rounded as in [`scan`](super::scan).
use super::blocks::{BLOCK_VECTORS, FACTOR_BYTES, ScanTerms, estimate};

/// Bytes of one row of a block.
pub(super) const LOOKUP_ROW_BYTES: usize = BLOCK_VECTORS;
/// Entries of a table of 4 bits.
pub(super) const SMALL: usize = 16;
/// Entries of a table of 8 bits.
pub(super) const LARGE: usize = 256;
/// Rows whose tables of 4 bits lie together: those of their low halves, then those of their high halves.
pub(super) const GROUP_ROWS: usize = 4;
/// Table values that sixteen bits can add up.
pub(super) const SUMMED_MAX: usize = u16::MAX as usize / u8::MAX as usize;

/// Tables of all sub-quantisers, as the scan takes them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LookupTables {
    bits: u8,
    rows: usize,
    values: Vec<u8>,
}

impl LookupTables {
    /// Tables of zeros for `quantisers` of 4 or 8 bits.
    pub fn reset(&mut self, quantisers: usize, bits: u8) {
        assert!(matches!(bits, 4 | 8), "tables of {bits} bits");
        self.bits = bits;
        self.rows = (quantisers * usize::from(bits)).div_ceil(8);
        self.values.clear();
        let bytes = match bits {
            4 => self.rows.next_multiple_of(GROUP_ROWS) * 2 * SMALL,
            _ => self.rows * LARGE,
        };
        self.values.resize(bytes, 0);
    }

    pub(super) fn bits(&self) -> u8 {
        self.bits
    }

    /// Rows of a block.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// All tables, as the scan takes them.
    pub(super) fn values(&self) -> &[u8] {
        &self.values
    }

    /// The table of one sub-quantiser.
    pub fn of_mut(&mut self, quantiser: usize) -> &mut [u8] {
        match self.bits {
            4 => {
                let (row, high) = (quantiser / 2, quantiser % 2);
                let group = row / GROUP_ROWS * 2 * GROUP_ROWS;
                let at = (group + high * GROUP_ROWS + row % GROUP_ROWS) * SMALL;
                &mut self.values[at..at + SMALL]
            }
            _ => &mut self.values[quantiser * LARGE..(quantiser + 1) * LARGE],
        }
    }
}

/// Blocks to be scanned, all checked by [`ScanKernel::look_up`](super::scan::ScanKernel::look_up).
pub(super) struct LookupJob<'a> {
    /// Rows of a block.
    pub(super) rows: usize,
    pub(super) tables: &'a [u8],
    pub(super) codes: &'a [u8],
    pub(super) factors: &'a [[u8; FACTOR_BYTES]],
    pub(super) terms: ScanTerms,
}

/// # Safety
/// The machine runs the instruction set. `codes` has `rows` rows for each block of `factors`, `out` sixteen places for
/// each; `tables` has those of all rows, of 4 bits filled up to a whole group.
pub(super) type LookupFn = unsafe fn(job: &LookupJob<'_>, out: &mut [[f32; BLOCK_VECTORS]]);

/// The reference for 4 bits.
pub(super) fn small_scalar(job: &LookupJob<'_>, out: &mut [[f32; BLOCK_VECTORS]]) {
    for_each_block(job, out, |codes, dots| {
        let groups = job.tables.as_chunks::<{ 2 * GROUP_ROWS * SMALL }>().0;
        for (rows, tables) in codes.chunks(GROUP_ROWS * LOOKUP_ROW_BYTES).zip(groups) {
            let (low, high) = tables.split_at(GROUP_ROWS * SMALL);
            let tables = low.as_chunks::<SMALL>().0.iter().zip(high.as_chunks::<SMALL>().0);
            for (row, (low, high)) in rows.as_chunks::<LOOKUP_ROW_BYTES>().0.iter().zip(tables) {
                for (dot, &code) in dots.iter_mut().zip(row) {
                    *dot += i32::from(low[usize::from(code & 15)]) + i32::from(high[usize::from(code >> 4)]);
                }
            }
        }
    });
}

/// The reference for 8 bits, and what machines without AVX-512 VBMI run: vector by vector, so that each sum stays in a
/// register.
pub(super) fn large_scalar(job: &LookupJob<'_>, out: &mut [[f32; BLOCK_VECTORS]]) {
    for_each_block(job, out, |codes, dots| {
        let (tables, rows) = (job.tables.as_chunks::<LARGE>().0, codes.as_chunks::<LOOKUP_ROW_BYTES>().0);
        for (lane, dot) in dots.iter_mut().enumerate() {
            let values = tables.iter().zip(rows).map(|(table, row)| u32::from(table[usize::from(row[lane])]));
            *dot = values.sum::<u32>() as i32; // CAST: 255 for each row
        }
    });
}

fn for_each_block(
    job: &LookupJob<'_>,
    out: &mut [[f32; BLOCK_VECTORS]],
    sum: impl Fn(&[u8], &mut [i32; BLOCK_VECTORS]),
) {
    let blocks = job.codes.chunks_exact(job.rows * LOOKUP_ROW_BYTES);
    for ((factors, out), codes) in job.factors.iter().zip(out).zip(blocks) {
        let mut dots = [0; BLOCK_VECTORS];
        sum(codes, &mut dots);
        for (lane, (out, dot)) in out.iter_mut().zip(dots).enumerate() {
            *out = estimate(job.terms, factors, lane, dot);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::Variant;
    use crate::kernels::scan::{Blocks, ScanKernel};

    /// Factors that hand the sum through: mul 1, nothing added.
    fn plain_factors() -> [u8; FACTOR_BYTES] {
        let mut factors = [0; FACTOR_BYTES];
        factors[2..4].copy_from_slice(&1.0_f32.to_bits().to_le_bytes()[2..]);
        (0..BLOCK_VECTORS).for_each(|lane| factors[40 + 2 * lane] = 1);
        factors
    }

    fn scan(
        variant: Variant,
        tables: &LookupTables,
        codes: &[u8],
        factors: &[u8],
        terms: ScanTerms,
    ) -> Vec<f32> {
        let mut out = vec![f32::NAN; factors.len() / FACTOR_BYTES * BLOCK_VECTORS];
        ScanKernel::with_variant(variant).look_up(tables, Blocks { rows: codes, factors }, terms, &mut out);
        out
    }

    #[test]
    fn every_variant_adds_up_what_the_codes_say() {
        let terms = ScanTerms { base: 0.0, offset: 0.0, scale: 1.0 };
        // The last sums leave sixteen bits.
        for (bits, quantisers) in
            [(4, 1), (4, 2), (4, 7), (4, 64), (4, 4096), (8, 1), (8, 3), (8, 64), (8, 1030)]
        {
            let mut tables = LookupTables::default();
            tables.reset(quantisers, bits);
            let mut expected = [0.0; BLOCK_VECTORS];
            let mut codes = vec![0; tables.rows * LOOKUP_ROW_BYTES];
            for quantiser in 0..quantisers {
                let table = tables.of_mut(quantiser);
                for (entry, value) in table.iter_mut().enumerate() {
                    *value = if quantisers > 1000 { 255 } else { (entry * 37 + quantiser * 101) as u8 };
                }
                for (lane, expected) in expected.iter_mut().enumerate() {
                    let code = (quantiser * 31 + lane * 29) % table.len();
                    *expected += f32::from(table[code]);
                    match bits {
                        4 => codes[quantiser / 2 * 16 + lane] |= (code << (quantiser % 2 * 4)) as u8,
                        _ => codes[quantiser * 16 + lane] = code as u8,
                    }
                }
            }
            for variant in Variant::available() {
                let found = scan(variant, &tables, &codes, &plain_factors(), terms);
                assert_eq!(found, expected, "{variant} {quantisers} x {bits}");
            }
        }
    }

    proptest! {
        #[test]
        fn every_variant_gives_the_references_estimates(
            small in any::<bool>(),
            quantisers in 1_usize..600,
            blocks in 0_usize..7,
            seed in any::<u64>(),
        ) {
            use rand::{RngCore, SeedableRng};
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
            let mut tables = LookupTables::default();
            tables.reset(quantisers, if small { 4 } else { 8 });
            (0..quantisers).for_each(|quantiser| rng.fill_bytes(tables.of_mut(quantiser)));
            // At an odd place, so that nothing is aligned.
            let mut codes = vec![0; 1 + blocks * tables.rows * LOOKUP_ROW_BYTES];
            let mut factors = vec![0; 1 + blocks * FACTOR_BYTES];
            rng.fill_bytes(&mut codes);
            rng.fill_bytes(&mut factors);
            // Scales between about 1 and 2, as a NaN would equal nothing.
            for factors in factors[1..].chunks_mut(FACTOR_BYTES) {
                [1, 3, 5].iter().for_each(|&high| factors[high] = 0x3f);
            }
            let terms = ScanTerms { base: 3.5, offset: 100.5, scale: 0.25 };
            let expected = scan(Variant::Scalar, &tables, &codes[1..], &factors[1..], terms);
            for variant in Variant::available() {
                let found = scan(variant, &tables, &codes[1..], &factors[1..], terms);
                prop_assert_eq!(&found, &expected, "{}", variant);
            }
        }
    }
}
