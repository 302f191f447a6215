//! A few rows times a matrix, both of sixteen-bit numbers.
//!
//! ```text
//! matrix = groups of sixteen rows   group: columns / 2 lines   line: two neighbouring elements of each of the sixteen rows
//! ```
//! so that one instruction multiplies a pair of a row's elements with those of sixteen rows of the matrix. Groups and
//! pairs are filled up with zeros. Sums are exact as long as they fit `i32`.
#![allow(unsafe_code)]

use super::Variant;
pub(crate) use super::products::GROUP_ROWS;
use super::products::{Line, ProductsFn, ProductsJob, products_scalar};

/// Rows multiplied with the matrix at a time, at most: what is loaded serves all of them.
const ROWS_MAX: usize = 2;

/// A matrix packed for products.
#[derive(Debug, Clone)]
pub(crate) struct PackedMatrix {
    rows: usize,
    columns: usize,
    lines: Vec<Line>,
    products: [ProductsFn; ROWS_MAX],
}

impl PackedMatrix {
    /// Packs rows of `columns` elements lying back to back.
    ///
    /// # Panics
    /// When the last is not whole.
    pub(crate) fn new(values: &[i16], columns: usize) -> PackedMatrix {
        PackedMatrix::with_variant(values, columns, Variant::best())
    }

    /// As [`PackedMatrix::new`], for the kernel of one variant, which this machine must be able to run.
    pub(crate) fn with_variant(values: &[i16], columns: usize, variant: Variant) -> PackedMatrix {
        assert!(variant.is_available(), "{variant} kernels cannot run here");
        assert!(values.len().is_multiple_of(columns), "rows of {columns} in {} values", values.len());
        let (rows, pairs) = (values.len() / columns, columns.div_ceil(2));
        let mut lines = vec![Line([[0; 2]; GROUP_ROWS]); rows.div_ceil(GROUP_ROWS) * pairs];
        for (number, row) in values.chunks_exact(columns).enumerate() {
            let group = &mut lines[number / GROUP_ROWS * pairs..][..pairs];
            for (line, pair) in group.iter_mut().zip(row.chunks(2)) {
                line.0[number % GROUP_ROWS][..pair.len()].copy_from_slice(pair);
            }
        }
        let products: [ProductsFn; ROWS_MAX] = match variant {
            #[cfg(target_arch = "x86_64")]
            Variant::Avx2 => [super::avx2::products::<1>, super::avx2::products::<2>],
            #[cfg(target_arch = "x86_64")]
            Variant::Avx512 => [super::avx512::products::<1>, super::avx512::products::<2>],
            #[cfg(target_arch = "aarch64")]
            Variant::Neon => [super::neon::products::<1>, super::neon::products::<2>],
            _ => [products_scalar::<1>, products_scalar::<2>],
        };
        PackedMatrix { rows, columns, lines, products }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Elements of a row.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Pairs of elements of a row, the last filled up with zero.
    pub(crate) fn pairs(&self) -> usize {
        self.columns.div_ceil(2)
    }

    /// Groups of rows, the last filled up.
    pub(crate) fn groups(&self) -> usize {
        self.rows.div_ceil(GROUP_ROWS)
    }

    /// Elements in order, row by row.
    pub(crate) fn values(&self) -> impl Iterator<Item = i16> {
        (0..self.rows).flat_map(move |row| {
            let group = &self.lines[row / GROUP_ROWS * self.pairs()..][..self.pairs()];
            group.iter().flat_map(move |line| line.0[row % GROUP_ROWS]).take(self.columns)
        })
    }

    /// Products of one or two rows, of [`PackedMatrix::pairs`] each and back to back, with all rows of the matrix, into
    /// `out`: [`PackedMatrix::groups`] for the first, then for the second.
    ///
    /// Sums that leave `i32` come out wrong. They do not where lengths, as whole numbers, multiply to less than 2^31.
    ///
    /// # Panics
    /// When lengths do not agree.
    pub(crate) fn products(&self, rows: &[[i16; 2]], out: &mut [[i32; GROUP_ROWS]]) {
        let (pairs, count) = (self.pairs(), rows.len() / self.pairs().max(1));
        assert!(
            (1..=ROWS_MAX).contains(&count) && rows.len() == count * pairs,
            "one or two rows are multiplied"
        );
        assert_eq!(out.len(), count * self.groups());
        let job = ProductsJob { pairs, lines: &self.lines, rows };
        // SAFETY: the variant was checked in `with_variant`, which made the lines; the other lengths just now.
        unsafe { self.products[count - 1](&job, out) };
    }

    /// Bytes allocated.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(self.lines.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn every_variant_multiplies_exactly() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for (rows, columns) in [(1, 1), (3, 2), (16, 7), (17, 8), (63, 33), (64, 5), (65, 130), (150, 64)] {
            for extreme in [false, true] {
                // One large one in a row, so that sums fit.
                let mut value = |at: usize| match extreme {
                    true if at.is_multiple_of(131) => i16::MIN,
                    true => 3,
                    false => rng.random_range(-4000..4000),
                };
                let matrix: Vec<i16> = (0..rows * columns).map(&mut value).collect();
                let pairs = columns.div_ceil(2);
                let mut queries: Vec<[i16; 2]> =
                    (0..2 * pairs).map(|at| [value(at), value(at + 1)]).collect();
                if columns % 2 == 1 {
                    queries.iter_mut().skip(pairs - 1).step_by(pairs).for_each(|pair| pair[1] = 0);
                }
                for variant in Variant::available() {
                    let packed = PackedMatrix::with_variant(&matrix, columns, variant);
                    assert!(packed.values().eq(matrix.iter().copied()));
                    for count in 1..=2 {
                        let mut out = vec![[7; GROUP_ROWS]; count * packed.groups()];
                        packed.products(&queries[..count * pairs], &mut out);
                        for (query, out) in queries.chunks(pairs).zip(out.chunks(packed.groups())) {
                            let found = out.as_flattened();
                            for (row, &found) in matrix.chunks(columns).zip(found) {
                                let products = row.iter().zip(query.as_flattened());
                                let sum: i64 = products.map(|(&a, &b)| i64::from(a) * i64::from(b)).sum();
                                assert_eq!(i64::from(found), sum, "{variant} {rows} x {columns}");
                            }
                            assert!(found[rows..].iter().all(|&x| x == 0));
                        }
                    }
                }
            }
        }
    }
}
