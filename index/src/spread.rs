//! How vectors are spread around their middle, and which of them are outliers: what a few vectors, however far, do
//! not decide.
use std::fmt;

use serde::{Deserialize, Serialize};

/// A vector farther from the middle than this many times the median distance is an outlier. Lengths of word vectors
/// differ by a factor of 5, those of descriptors by less.
pub(crate) const OUTLIER_RATIO: f64 = 8.0;

/// Longer rows than this many times the median length are shortened: one in a hundred then has a seventh of the weight.
const LENGTH_RATIO: f64 = 4.0;
/// Bytes of the rows of a sample.
const SAMPLE_BYTES: usize = 8 << 20;
/// Partial sums kept side by side, in an order that no instruction set changes.
const LANES: usize = 16;

/// The middle of a sample of vectors, dimension by dimension, and the median distance from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Spread {
    middle: Vec<f32>,
    /// Median of the distances that are not 0, or 0 when all are.
    distance: f64,
}

impl Spread {
    /// Rows of `dim` elements that a sample needs: their medians are within a fortieth of the spread on average, and
    /// in 8 MiB within a tenth for every dimension.
    pub fn sample_rows(dim: usize) -> usize {
        (SAMPLE_BYTES / (size_of::<f32>() * dim)).clamp(128, 4096)
    }

    /// The spread of rows of `dim` elements lying back to back.
    pub fn of(rows: &[f32], dim: usize) -> Spread {
        let mut column: Vec<f32> = Vec::with_capacity(rows.len() / dim);
        let middle = (0..dim).map(|at| {
            column.clear();
            column.extend(rows.iter().skip(at).step_by(dim));
            median(&mut column, f32::total_cmp).unwrap_or(0.0)
        });
        let middle: Vec<f32> = middle.collect();
        let mut distances: Vec<f64> = rows.chunks_exact(dim).map(|row| distance(row, &middle)).collect();
        distances.retain(|&distance| distance > 0.0);
        let distance = median(&mut distances, f64::total_cmp).unwrap_or(0.0);
        Spread { middle, distance }
    }

    /// How many times as far from the middle as the median vector a row is.
    pub(crate) fn ratio(&self, row: &[f32]) -> f64 {
        if self.distance > 0.0 { distance(row, &self.middle) / self.distance } else { 0.0 }
    }

    /// The mean of the rows that are not outliers.
    pub fn mean(&self, rows: &[f32]) -> Vec<f32> {
        let (mut sums, mut count) = (vec![0.0_f64; self.middle.len()], 0.0);
        for row in rows.chunks_exact(self.middle.len()) {
            if self.ratio(row) <= OUTLIER_RATIO {
                sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
                count += 1.0;
            }
        }
        sums.into_iter().map(|sum| (sum / f64::max(count, 1.0)) as f32).collect() // CAST: rounds
    }
}

/// The outliers of a set of vectors.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Outliers {
    /// Vectors farther from the middle than [`OUTLIER_RATIO`] median distances.
    pub count: u64,
    /// Distance of the farthest of them, in median distances.
    pub farthest: f64,
}

impl Outliers {
    /// Counts a row if it is an outlier.
    pub fn see(&mut self, spread: &Spread, row: &[f32]) {
        let ratio = spread.ratio(row);
        if ratio > OUTLIER_RATIO {
            self.add(Outliers { count: 1, farthest: ratio });
        }
    }

    /// Adds the outliers of other rows.
    pub fn add(&mut self, other: Outliers) {
        self.count += other.count;
        self.farthest = self.farthest.max(other.farthest);
    }
}

impl fmt::Display for Outliers {
    /// `30 vectors are more than 8 times as far from the middle as the median vector, the farthest 9999 times`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outliers { count, farthest } = self;
        let vectors = if *count == 1 { "vector is" } else { "vectors are" };
        write!(
            f,
            "{count} {vectors} more than {OUTLIER_RATIO} times as far from the middle as the median vector, the \
             farthest {farthest:.0} times"
        )
    }
}

/// Multiplies rows longer than [`LENGTH_RATIO`] times the median length by what makes them that long, so that a few of
/// them do not decide what is learned from all.
pub(crate) fn shorten(rows: &mut [f32], dim: usize) {
    let zeros = vec![0.0; dim];
    let lengths: Vec<f64> = rows.chunks_exact(dim).map(|row| distance(row, &zeros)).collect();
    let mut sorted: Vec<f64> = lengths.iter().copied().filter(|&length| length > 0.0).collect();
    let Some(median) = median(&mut sorted, f64::total_cmp) else { return };
    let longest = LENGTH_RATIO * median;
    for (row, length) in rows.chunks_exact_mut(dim).zip(lengths) {
        if length > longest {
            let scale = longest / length;
            row.iter_mut().for_each(|x| *x = (f64::from(*x) * scale) as f32); // CAST: rounds
        }
    }
}

/// The lower median.
fn median<T: Copy>(values: &mut [T], order: impl FnMut(&T, &T) -> std::cmp::Ordering) -> Option<T> {
    let middle = values.len().checked_sub(1)? / 2;
    Some(*values.select_nth_unstable_by(middle, order).1)
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0; LANES];
    for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
        for (sum, (&a, &b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            let off = f64::from(a) - f64::from(b);
            *sum += off * off;
        }
    }
    sums.iter().sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1000 points around (100, -7), the last `far` of them moved 10 000 away.
    fn rows(far: usize) -> Vec<f32> {
        let point = |i: usize| {
            let (x, y) = ((i * 37 % 101) as f32 / 50.0, (i * 53 % 89) as f32 / 44.0);
            let moved = if i >= 1000 - far { 1e4 } else { 0.0 };
            [99.0 + x + moved, -8.0 + y + moved]
        };
        (0..1000).flat_map(point).collect()
    }

    #[test]
    fn outliers_do_not_move_the_mean() {
        let plain = Spread::of(&rows(0), 2).mean(&rows(0));
        for far in [1, 30, 400] {
            let rows = rows(far);
            let spread = Spread::of(&rows, 2);
            let mean = spread.mean(&rows);
            assert!(plain.iter().zip(&mean).all(|(a, b)| (a - b).abs() < 0.1), "{far}: {mean:?}, {plain:?}");
            let mut outliers = Outliers::default();
            rows.chunks(2).for_each(|row| outliers.see(&spread, row));
            assert_eq!(outliers.count, far as u64);
            assert!((5_000.0..40_000.0).contains(&outliers.farthest), "{outliers}");
        }
    }

    #[test]
    fn equal_rows_have_no_outliers() {
        let spread = Spread::of(&[3.0; 40], 4);
        assert_eq!((spread.ratio(&[3.0; 4]), spread.ratio(&[9.0; 4])), (0.0, 0.0));
        assert_eq!(spread.mean(&[3.0; 40]), [3.0; 4]);
        // More than half of them equal: the others tell what is far.
        let rows: Vec<f32> = (0..100).map(|i| if i < 60 { 0.0 } else { 1.0 + (i % 7) as f32 }).collect();
        assert!(Spread::of(&rows, 1).ratio(&[7.0]) < 3.0);
        assert_eq!(Spread::of(&[], 3).mean(&[]), [0.0; 3]);
    }

    #[test]
    fn long_rows_are_shortened_and_others_left() {
        let mut rows: Vec<f32> = (0..100).flat_map(|i| [3.0 + (i % 3) as f32, 4.0]).collect();
        let before = rows.clone();
        shorten(&mut rows, 2);
        assert_eq!(rows, before);
        rows[10..12].copy_from_slice(&[3e18, 4e18]);
        shorten(&mut rows, 2);
        let length = f32::hypot(rows[10], rows[11]);
        assert!((20.0..30.0).contains(&length) && (rows[10] / rows[11] - 0.75).abs() < 1e-6, "{length}");
        rows[10..12].copy_from_slice(&before[10..12]);
        assert_eq!(rows, before);
        shorten(&mut [0.0; 4], 2);
    }
}
