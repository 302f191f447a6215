//! Many rows against many rows as one matrix product.
#![allow(unsafe_code)]

use std::ops::Range;

use super::tile::{BlockFns, Layout, Product};
use super::{Operation, Variant, scalar};
use crate::{DIM_MAX, DType};

/// Rows packed for the left side of a product.
#[derive(Debug, Clone, Default)]
pub struct LeftRows {
    units: Vec<u32>,
    steps: usize,
    terms: Terms,
}

/// Rows packed for the right side of a product.
#[derive(Debug, Clone, Default)]
pub struct RightRows {
    units: Vec<u32>,
    /// Units before the first panel, which starts a cache line.
    skip: usize,
    steps: usize,
    terms: Terms,
    len: usize,
}

/// Some of the rows packed for one side.
#[derive(Debug, Clone)]
pub struct Picked<'a, R> {
    rows: &'a R,
    range: Range<usize>,
}

impl<R> Picked<'_, R> {
    pub(crate) fn len(&self) -> usize {
        self.range.len()
    }
}

/// What each row adds to its values, as i32 or f32 according to the element type.
#[derive(Debug, Clone, Default)]
struct Terms {
    squared: Vec<u32>,
    inner: Vec<u32>,
}

impl Terms {
    fn of(&self, operation: Operation) -> &[u32] {
        match operation {
            Operation::SquaredL2 => &self.squared,
            Operation::InnerProduct => &self.inner,
        }
    }

    fn memory_bytes(&self) -> usize {
        4 * (self.squared.capacity() + self.inner.capacity())
    }
}

impl LeftRows {
    /// All rows in their order.
    pub fn all(&self) -> Picked<'_, LeftRows> {
        self.range(0..self.len())
    }

    /// The rows of these numbers.
    pub fn range(&self, range: Range<usize>) -> Picked<'_, LeftRows> {
        Picked { rows: self, range }
    }

    /// Bytes allocated.
    #[cfg(test)]
    pub(crate) fn memory_bytes(&self) -> usize {
        4 * self.units.capacity() + self.terms.memory_bytes()
    }

    /// The rows of these numbers, in this order, into `out`, whose memory is used again.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn gather(&self, numbers: &[u32], out: &mut LeftRows) {
        out.units.clear();
        out.terms.squared.clear();
        out.terms.inner.clear();
        out.steps = self.steps;
        for number in numbers.iter().map(|&number| number as usize) {
            out.units.extend_from_slice(&self.units[number * self.steps..(number + 1) * self.steps]);
            // Rows that were packed for inner products alone have no squares.
            out.terms.squared.extend(self.terms.squared.get(number));
            out.terms.inner.push(self.terms.inner[number]);
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.terms.inner.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl RightRows {
    /// All rows in their order.
    pub fn all(&self) -> Picked<'_, RightRows> {
        self.range(0..self.len())
    }

    /// The rows of these numbers.
    pub fn range(&self, range: Range<usize>) -> Picked<'_, RightRows> {
        Picked { rows: self, range }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes allocated.
    pub fn memory_bytes(&self) -> usize {
        4 * self.units.capacity() + self.terms.memory_bytes()
    }
}

/// Which side of a product rows are packed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// A block kernel chosen once for an element type and dimension.
///
/// The value for a pair depends on the two rows and the variant alone, not on how rows are cut into blocks,
/// so results are the same for all block sizes and thread counts. Equal rows have distance 0.
#[derive(Debug, Clone, Copy)]
pub struct BlockKernel {
    dtype: DType,
    dim: usize,
    fns: BlockFns,
}

impl BlockKernel {
    /// The fastest kernel this machine can run, for rows of `dim` elements.
    pub fn new(dtype: DType, dim: usize) -> BlockKernel {
        Self::with_variant(dtype, dim, Variant::best())
    }

    /// The kernel of one variant, which this machine must be able to run.
    pub fn with_variant(dtype: DType, dim: usize, variant: Variant) -> BlockKernel {
        assert!((1..=DIM_MAX).contains(&dim), "{dim} dimensions, 1 to {DIM_MAX} are handled");
        assert!(variant.is_available(), "{variant} kernels cannot run here");
        let fns = match variant {
            #[cfg(target_arch = "x86_64")]
            Variant::Avx2 => super::avx2::block(dtype),
            #[cfg(target_arch = "x86_64")]
            Variant::Avx512 => super::avx512::block(dtype),
            #[cfg(target_arch = "aarch64")]
            Variant::Neon => super::neon::block(dtype),
            _ => scalar::block(dtype),
        };
        BlockKernel { dtype, dim, fns }
    }

    /// Packs rows lying back to back for the left side. Integers take one or two bytes an element, floats
    /// four.
    pub fn pack_left(&self, rows: &[u8]) -> LeftRows {
        let mut packed = LeftRows::default();
        self.pack_left_into(rows, &mut packed);
        packed
    }

    /// As [`BlockKernel::pack_left`], into rows whose memory is used again.
    pub(crate) fn pack_left_into(&self, rows: &[u8], out: &mut LeftRows) {
        out.units.clear();
        out.terms.squared.clear();
        out.terms.inner.clear();
        out.steps = self.steps();
        self.widen(Side::Left, rows, &mut out.units, &mut out.terms);
    }

    /// As [`BlockKernel::pack_left`], for inner products alone, into rows whose memory is used again: norms take longer than a product
    /// with a few rows.
    pub(crate) fn pack_left_inner(&self, rows: &[u8], out: &mut LeftRows) {
        let is_moved =
            self.dtype == DType::I8 && self.fns.layout == Layout::Bytes && self.dim.is_multiple_of(4);
        if !is_moved && self.dtype.is_integer() {
            self.pack_left_into(rows, out);
            return;
        }
        let row_bytes = self.dtype.row_bytes(self.dim);
        assert!(rows.len().is_multiple_of(row_bytes), "{} bytes are no rows of {row_bytes}", rows.len());
        out.steps = self.steps();
        out.units.clear();
        if is_moved {
            out.units
                .extend(rows.as_chunks::<4>().0.iter().map(|&four| u32::from_le_bytes(four) ^ 0x8080_8080));
        } else {
            self.extend_floats(rows, &mut out.units);
        }
        out.terms.squared.clear();
        out.terms.inner.clear();
        out.terms.inner.resize(rows.len() / row_bytes, 0);
    }

    /// Packs rows lying back to back for the right side. Integers take one or two bytes an element, floats
    /// four.
    pub fn pack_right(&self, rows: &[u8]) -> RightRows {
        let mut packed = RightRows::default();
        self.pack_right_into(rows, &mut packed);
        packed
    }

    /// As [`BlockKernel::pack_right`], into rows whose memory is used again.
    pub fn pack_right_into(&self, rows: &[u8], out: &mut RightRows) {
        let (panel, steps, row_bytes) = (self.fns.panel, self.steps(), self.dtype.row_bytes(self.dim));
        out.len = rows.len() / row_bytes;
        out.steps = steps;
        let padded = out.len.next_multiple_of(panel);
        let units = padded * steps + 15;
        out.units.reserve_exact(units.saturating_sub(out.units.len()));
        out.units.resize(units, 0);
        out.skip = out.units.as_ptr().align_offset(64).min(15);
        out.terms.squared.clear();
        out.terms.inner.clear();
        out.terms.squared.reserve_exact(padded);
        out.terms.inner.reserve_exact(padded);
        let mut wide = Vec::with_capacity(panel * steps);
        let panels = out.units[out.skip..].chunks_exact_mut(panel * steps);
        for (rows, target) in rows.chunks(panel * row_bytes).zip(panels) {
            wide.clear();
            self.widen(Side::Right, rows, &mut wide, &mut out.terms);
            if wide.len() < target.len() {
                target.fill(0);
            }
            for (i, row) in wide.chunks_exact(steps).enumerate() {
                for (step, &unit) in row.iter().enumerate() {
                    target[step * panel + i] = unit;
                }
            }
        }
        out.terms.squared.resize(padded, 0);
        out.terms.inner.resize(padded, 0);
    }

    /// Values of `l` rows against `r` rows: `out[i * r + j]`.
    ///
    /// Squared distances of floats come from norms and products, so they carry the rounding of that
    /// difference and may be slightly negative; those of integers are exact before the final rounding.
    /// Right ranges that start and end at multiples of 32 waste nothing; left ranges never do.
    pub fn scores(
        &self,
        operation: Operation,
        left: Picked<'_, LeftRows>,
        right: Picked<'_, RightRows>,
        out: &mut [f32],
    ) {
        let job = self.job(operation, left, right);
        assert_eq!(out.len(), job.left_terms.len() * job.range.len());
        // SAFETY: the variant was checked in `with_variant`.
        unsafe {
            match operation {
                Operation::SquaredL2 => (self.fns.squared)(&job, out),
                Operation::InnerProduct => (self.fns.inner)(&job, out),
            }
        }
    }

    /// What the functions of a variant multiply.
    pub(super) fn job<'a>(
        &self,
        operation: Operation,
        left: Picked<'a, LeftRows>,
        right: Picked<'a, RightRows>,
    ) -> Product<'a> {
        let (Picked { rows: left, range: l_range }, Picked { rows: right, range: r_range }) = (left, right);
        let steps = self.steps();
        assert!(left.steps == steps && right.steps == steps, "rows were packed by another kernel");
        assert!(r_range.end <= right.len);
        Product {
            steps,
            left: &left.units[l_range.start * steps..l_range.end * steps],
            left_terms: &left.terms.of(operation)[l_range],
            right: &right.units[right.skip..],
            right_terms: right.terms.of(operation),
            range: r_range,
        }
    }

    /// Units of a row.
    fn steps(&self) -> usize {
        self.dim.div_ceil(self.fns.layout.elements())
    }

    /// Appends the units of rows of floats.
    fn extend_floats(&self, rows: &[u8], units: &mut Vec<u32>) {
        if self.dtype == DType::F32 {
            units.extend(rows.as_chunks::<4>().0.iter().map(|&x| u32::from_le_bytes(x)));
            return;
        }
        let first_unit = units.len();
        units.resize(first_unit + rows.len() / 2, 0);
        let floats = bytemuck::cast_slice_mut(&mut units[first_unit..]);
        // SAFETY: the variant was checked in `with_variant`.
        unsafe { (self.fns.widen)(rows, floats) };
    }

    /// Appends the units and terms of some rows.
    fn widen(&self, side: Side, rows: &[u8], units: &mut Vec<u32>, terms: &mut Terms) {
        let row_bytes = self.dtype.row_bytes(self.dim);
        assert!(rows.len().is_multiple_of(row_bytes), "{} bytes are no rows of {row_bytes}", rows.len());
        let count = rows.len() / row_bytes;
        let (first_unit, first_term) = (units.len(), terms.squared.len());
        units.reserve(count * self.steps());
        let integers = rows.chunks_exact(row_bytes);
        match self.dtype {
            DType::U8 | DType::I8 if self.fns.layout == Layout::Bytes => {
                integers.for_each(|row| bytes(row, self.dtype, side, units, terms));
            }
            DType::U8 => integers.for_each(|row| pairs(row, i16::from, units, terms)),
            DType::I8 => integers.for_each(|row| pairs(row, |x| i16::from(x.cast_signed()), units, terms)),
            DType::F16 | DType::F32 => self.extend_floats(rows, units),
        }
        if !self.dtype.is_integer() {
            terms.inner.resize(first_term + count, 0);
            terms.squared.resize(first_term + count, 0);
            let rows = bytemuck::cast_slice(&units[first_unit..]);
            let norms = bytemuck::cast_slice_mut(&mut terms.squared[first_term..]);
            // SAFETY: the variant was checked in `with_variant`.
            unsafe { (self.fns.square_norms)(rows, self.dim, norms) };
        }
    }
}

/// Appends a row of integers as pairs, and its squared norm.
#[inline(always)]
fn pairs(row: &[u8], wide: impl Fn(u8) -> i16, units: &mut Vec<u32>, terms: &mut Terms) {
    let unit = |a: i16, b: i16| u32::from(a.cast_unsigned()) | u32::from(b.cast_unsigned()) << 16;
    let (whole, rest) = row.as_chunks::<2>();
    units.extend(whole.iter().map(|&[a, b]| unit(wide(a), wide(b))));
    if let [last] = rest {
        units.push(unit(wide(*last), 0));
    }
    let norm: i32 = row.iter().map(|&x| i32::from(wide(x)) * i32::from(wide(x))).sum();
    terms.squared.push(norm.cast_unsigned());
    terms.inner.push(0);
}

/// Appends a row of integers as bytes for one side, see [`Layout::Bytes`], and its terms.
///
/// `<a, b> = <a, b - 128> + 128 sum a` for u8, `<a + 128, b> - 128 sum b` for i8. Every term fits an i32 up to
/// `DIM_MAX`; sums of terms may wrap around, values do not.
fn bytes(row: &[u8], dtype: DType, side: Side, units: &mut Vec<u32>, terms: &mut Terms) {
    let wide = |x: u8| if dtype == DType::U8 { i32::from(x) } else { i32::from(x.cast_signed()) };
    let moved = (dtype == DType::U8) == (side == Side::Right);
    let flip = if moved { 0x80 } else { 0 };
    let (whole, rest) = row.as_chunks::<4>();
    units.extend(whole.iter().map(|four| u32::from_le_bytes(four.map(|x| x ^ flip))));
    if !rest.is_empty() {
        let mut last = [0; 4];
        last.iter_mut().zip(rest).for_each(|(to, x)| *to = x ^ flip);
        units.push(u32::from_le_bytes(last));
    }
    let norm: i32 = row.iter().map(|&x| wide(x) * wide(x)).sum();
    let sum: i32 = row.iter().map(|&x| wide(x)).sum();
    let inner = match (moved, side) {
        (true, _) => 0,
        (false, Side::Left) => 128 * sum,
        (false, Side::Right) => -128 * sum,
    };
    terms.inner.push(inner.cast_unsigned());
    terms.squared.push((norm - 2 * inner).cast_unsigned());
}

#[cfg(test)]
mod tests;
