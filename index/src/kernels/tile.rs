//! Block kernels written once, over the registers that each instruction set supplies.
//!
//! Rows become *units* of four bytes: one f32, a pair of i16, or four bytes, as the multiplication wants them.
//! Left rows lie one after the other. Right rows lie in *panels* with one row for each column of a tile, unit by
//! unit, so that one load takes the same unit of neighbouring rows. A tile's sums stay in registers over the
//! whole of a row, so each pair is summed in the order of its elements, in every tile.
#![allow(unsafe_code)]

use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt as _;

/// A register of running sums, one for each of `LANES` neighbouring right rows.
///
/// # Safety
/// Every function may be called only on machines with the instruction set.
pub(super) trait Tile {
    type Sum: Copy;
    type Units: Copy;

    /// Right rows in one register.
    const LANES: usize;

    unsafe fn zero() -> Self::Sum;

    /// # Safety
    /// `LANES` units can be read at `at`.
    unsafe fn load(at: *const u32) -> Self::Units;

    unsafe fn splat(unit: u32) -> Self::Units;

    /// `sum + <a, b>`, unit by unit.
    unsafe fn multiply_add(sum: Self::Sum, a: Self::Units, b: Self::Units) -> Self::Sum;

    /// Writes `left + right - 2 sum` if squared and `left + right + sum` if not, as floats.
    ///
    /// # Safety
    /// `LANES` terms can be read at `right`, and `LANES` values written at `out`.
    unsafe fn store<const SQUARED: bool>(sum: Self::Sum, left: u32, right: *const u32, out: *mut f32);
}

/// How elements lie in units of four bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// One f32.
    Singles,
    /// Two i16.
    Pairs,
    /// Four bytes, unsigned on the left and signed on the right: the side that is neither is moved by 128, and
    /// the terms of the other side make up for it.
    Bytes,
}

impl Layout {
    pub(super) fn elements(self) -> usize {
        match self {
            Layout::Singles => 1,
            Layout::Pairs => 2,
            Layout::Bytes => 4,
        }
    }
}

/// What to multiply. Terms are what a row adds to each of its values: i32 or f32, as the units are.
pub(super) struct Product<'a> {
    /// Units of a row.
    pub(super) steps: usize,
    /// The left rows of the product.
    pub(super) left: &'a [u32],
    /// A term for each of them.
    pub(super) left_terms: &'a [u32],
    /// The right rows by panels, from the first to the last that exists.
    pub(super) right: &'a [u32],
    /// A term for each row of each panel.
    pub(super) right_terms: &'a [u32],
    /// The right rows of the product.
    pub(super) range: Range<usize>,
}

impl Product<'_> {
    /// Numbers of the panels of `panel` rows that the range lies in; none without a row on either side.
    ///
    /// # Panics
    /// When the slices do not hold all rows, or `out` a value for each pair.
    #[inline(always)]
    pub(super) fn panels(&self, panel: usize, out: &[f32]) -> Range<usize> {
        let (rows, width) = (self.left_terms.len(), self.range.len());
        if rows == 0 || width == 0 {
            return 0..0;
        }
        let end = self.range.end.div_ceil(panel);
        assert!(self.left.len() == rows * self.steps && out.len() == rows * width);
        assert!(self.range.start <= self.range.end && panel <= PANEL_MAX);
        assert!(self.right.len() >= end * panel * self.steps && self.right_terms.len() >= end * panel);
        self.range.start / panel..end
    }

    /// Left rows that are multiplied with one panel after the other, a multiple of `together`: they stay in the L2 cache.
    #[inline(always)]
    pub(super) fn chunk(&self, together: usize) -> usize {
        (LEFT_CHUNK_BYTES / (4 * self.steps)).next_multiple_of(together)
    }
}

/// Computes a product: `out[i * range.len() + j]`.
///
/// # Safety
/// The machine runs the instruction set. Nothing else: sizes are checked.
pub(super) type ProductFn = unsafe fn(job: &Product<'_>, out: &mut [f32]);

/// `sum x^2` of rows of `dim` elements, in the order in which a product sums them.
///
/// # Safety
/// The machine runs the instruction set.
pub(super) type SquareNormsFn = unsafe fn(rows: &[f32], dim: usize, out: &mut [f32]);

/// Widens little-endian halves to the floats that they are.
///
/// # Safety
/// The machine runs the instruction set.
pub(super) type WidenFn = unsafe fn(halves: &[u8], out: &mut [f32]);

/// The functions for one element type.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockFns {
    pub(super) squared: ProductFn,
    pub(super) inner: ProductFn,
    pub(super) square_norms: SquareNormsFn,
    pub(super) widen: WidenFn,
    pub(super) layout: Layout,
    /// Right rows in a panel.
    pub(super) panel: usize,
}

/// Bytes of left rows that are multiplied with one panel after the other.
const LEFT_CHUNK_BYTES: usize = 128 << 10;

/// See [`ProductFn`]. Tiles have `ROWS` rows and `COLUMNS * T::LANES` columns.
#[inline(always)]
pub(super) unsafe fn product<T: Tile, const SQUARED: bool, const ROWS: usize, const COLUMNS: usize>(
    job: &Product<'_>,
    out: &mut [f32],
) {
    let panels = job.panels(COLUMNS * T::LANES, out);
    let rows = job.left_terms.len();
    let chunk = job.chunk(ROWS);
    for chunk_start in (0..rows).step_by(chunk) {
        let chunk_end = rows.min(chunk_start + chunk);
        for p in panels.clone() {
            let mut row = chunk_start;
            // SAFETY: `row + M <= chunk_end <= rows` for each call, `p < panels`, and the slices hold all the rows
            // and panels, as asserted.
            unsafe {
                while row + ROWS <= chunk_end {
                    tile::<T, SQUARED, ROWS, COLUMNS>(job, row, p, out);
                    row += ROWS;
                }
                while row + 2 <= chunk_end {
                    tile::<T, SQUARED, 2, COLUMNS>(job, row, p, out);
                    row += 2;
                }
                if row < chunk_end {
                    tile::<T, SQUARED, 1, COLUMNS>(job, row, p, out);
                }
            }
        }
    }
}

/// Most columns a tile has.
pub(super) const PANEL_MAX: usize = 32;

/// Computes `M` rows from `row` on against panel `p`, and writes the values that are in range.
#[inline(always)]
unsafe fn tile<T: Tile, const SQUARED: bool, const M: usize, const COLUMNS: usize>(
    job: &Product<'_>,
    row: usize,
    p: usize,
    out: &mut [f32],
) {
    let panel = COLUMNS * T::LANES;
    let steps = job.steps;
    // SAFETY: the caller vouches that the rows and the panel lie inside the slices.
    unsafe {
        let left: [*const u32; M] = std::array::from_fn(|i| job.left.as_ptr().add((row + i) * steps));
        let right = job.right.as_ptr().add(p * panel * steps);
        let mut sums = [[T::zero(); COLUMNS]; M];
        for step in 0..steps {
            let units: [T::Units; COLUMNS] =
                std::array::from_fn(|c| T::load(right.add(step * panel + c * T::LANES)));
            for i in 0..M {
                let a = T::splat(*left[i].add(step));
                for c in 0..COLUMNS {
                    sums[i][c] = T::multiply_add(sums[i][c], a, units[c]);
                }
            }
        }
        for (i, &sums) in sums.iter().enumerate() {
            write::<T, SQUARED, COLUMNS>(job, row + i, p, sums, out);
        }
    }
}

/// Writes the values of a row against panel `p` that are in range, from its sums.
///
/// # Safety
/// The machine runs the instruction set; the row and the panel lie inside the slices, which are as [`product`] asserts.
#[inline(always)]
pub(super) unsafe fn write<T: Tile, const SQUARED: bool, const COLUMNS: usize>(
    job: &Product<'_>,
    row: usize,
    p: usize,
    sums: [T::Sum; COLUMNS],
    out: &mut [f32],
) {
    let panel = COLUMNS * T::LANES;
    let from = job.range.start.max(p * panel);
    let to = job.range.end.min((p + 1) * panel);
    let at = row * job.range.len() + (from - job.range.start);
    if to - from == panel {
        // SAFETY: by the contract; the whole panel is in range, and a row of `out` has a value for each of the range.
        unsafe { store::<T, SQUARED, COLUMNS>(job, row, p, sums, out.as_mut_ptr().add(at)) };
    } else {
        let mut cut = [0.0f32; PANEL_MAX];
        // SAFETY: by the contract; `cut` holds a panel.
        unsafe { store::<T, SQUARED, COLUMNS>(job, row, p, sums, cut.as_mut_ptr()) };
        out[at..at + (to - from)].copy_from_slice(&cut[from - p * panel..to - p * panel]);
    }
}

/// Writes the values of a row against panel `p`.
///
/// # Safety
/// As for [`write`], and a panel of values can be written at `target`.
#[inline(always)]
unsafe fn store<T: Tile, const SQUARED: bool, const COLUMNS: usize>(
    job: &Product<'_>,
    row: usize,
    p: usize,
    sums: [T::Sum; COLUMNS],
    target: *mut f32,
) {
    for (c, sum) in sums.into_iter().enumerate() {
        // SAFETY: by the contract; a panel has `COLUMNS * LANES` terms.
        unsafe {
            let terms = job.right_terms.as_ptr().add((p * COLUMNS + c) * T::LANES);
            T::store::<SQUARED>(sum, job.left_terms[row], terms, target.add(c * T::LANES));
        }
    }
}

/// See [`SquareNormsFn`]; `multiply_add(a, b, c)` is `a b + c` as the instruction set rounds it.
#[inline(always)]
pub(super) fn square_norms(
    rows: &[f32],
    dim: usize,
    out: &mut [f32],
    multiply_add: impl Fn(f32, f32, f32) -> f32,
) {
    const TOGETHER: usize = 8;
    for (rows, out) in rows.chunks(TOGETHER * dim).zip(out.chunks_mut(TOGETHER)) {
        let mut sums = [0.0f32; TOGETHER];
        if rows.len() == TOGETHER * dim {
            for step in 0..dim {
                for i in 0..TOGETHER {
                    let x = rows[i * dim + step];
                    sums[i] = multiply_add(x, x, sums[i]);
                }
            }
        } else {
            for (sum, row) in sums.iter_mut().zip(rows.chunks_exact(dim)) {
                *sum = row.iter().fold(0.0, |s, &x| multiply_add(x, x, s));
            }
        }
        out.copy_from_slice(&sums[..out.len()]);
    }
}

/// See [`WidenFn`].
pub(super) fn widen(halves: &[u8], out: &mut [f32]) {
    let mut block = [f16::ZERO; 64];
    for (halves, out) in halves.chunks(2 * block.len()).zip(out.chunks_mut(block.len())) {
        let block = &mut block[..out.len()];
        block.iter_mut().zip(halves.as_chunks::<2>().0).for_each(|(half, &x)| *half = f16::from_le_bytes(x));
        block.convert_to_f32_slice(out);
    }
}

/// The functions of an instruction set for one kind of tile.
macro_rules! block_fns {
    ($tile:ty, $layout:expr) => {
        BlockFns {
            squared: product::<$tile, true>,
            inner: product::<$tile, false>,
            square_norms,
            widen,
            layout: $layout,
            panel: COLUMNS * <$tile as Tile>::LANES,
        }
    };
}
pub(super) use block_fns;
