//! Rows in memory and their means.
use half::f16;
use spandrel_index::DType;

/// Rows of one type and dimension, back to back, little-endian.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// Element type.
    pub dtype: DType,
    /// Elements in each row, at least one.
    pub dim: usize,
    /// The rows: a multiple of `dtype.row_bytes(dim)` bytes.
    pub bytes: &'a [u8],
}

impl<'a> Rows<'a> {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.row_bytes()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes of one row.
    pub fn row_bytes(&self) -> usize {
        self.dtype.row_bytes(self.dim)
    }

    /// The row numbered `at`.
    pub fn row(&self, at: usize) -> &'a [u8] {
        let bytes = self.row_bytes();
        &self.bytes[at * bytes..(at + 1) * bytes]
    }

    /// Puts copies of the rows numbered `picks` into `out`, replacing what it holds.
    pub fn gather(&self, picks: &[u32], out: &mut Vec<u8>) {
        out.clear();
        out.reserve(picks.len() * self.row_bytes());
        for &pick in picks {
            out.extend_from_slice(self.row(pick as usize));
        }
    }

    /// The same shape over other bytes.
    pub(crate) fn with_bytes<'b>(&self, bytes: &'b [u8]) -> Rows<'b> {
        Rows { dtype: self.dtype, dim: self.dim, bytes }
    }
}

/// Sums of rows, from which means are rounded to the rows' own type.
///
/// Integers are summed exactly. Floats are summed in double precision in the order given, so the same rows
/// in the same order give the same bytes.
#[derive(Debug, Clone)]
pub(crate) struct MeanSums {
    dtype: DType,
    sums: Sums,
    count: u64,
}

#[derive(Debug, Clone)]
enum Sums {
    Integers(Vec<i64>),
    Floats(Vec<f64>),
}

impl MeanSums {
    pub(crate) fn new(dtype: DType, dim: usize) -> MeanSums {
        let sums =
            if dtype.is_integer() { Sums::Integers(vec![0; dim]) } else { Sums::Floats(vec![0.0; dim]) };
        MeanSums { dtype, sums, count: 0 }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn clear(&mut self) {
        self.count = 0;
        match &mut self.sums {
            Sums::Integers(sums) => sums.fill(0),
            Sums::Floats(sums) => sums.fill(0.0),
        }
    }

    pub(crate) fn add(&mut self, row: &[u8]) {
        self.count += 1;
        match (&mut self.sums, self.dtype) {
            (Sums::Integers(sums), DType::U8) => {
                for (sum, &x) in sums.iter_mut().zip(row) {
                    *sum += i64::from(x);
                }
            }
            (Sums::Integers(sums), _) => {
                for (sum, &x) in sums.iter_mut().zip(row) {
                    *sum += i64::from(x.cast_signed());
                }
            }
            (Sums::Floats(sums), DType::F16) => {
                for (sum, &x) in sums.iter_mut().zip(row.as_chunks::<2>().0) {
                    *sum += f16::from_le_bytes(x).to_f64();
                }
            }
            (Sums::Floats(sums), _) => {
                for (sum, &x) in sums.iter_mut().zip(row.as_chunks::<4>().0) {
                    *sum += f64::from(f32::from_le_bytes(x));
                }
            }
        }
    }

    /// Writes the mean, each element rounded to nearest, over `row`. At least one row must have been added.
    pub(crate) fn write_mean(&self, row: &mut [u8]) {
        assert!(self.count > 0, "the mean of no rows");
        match &self.sums {
            Sums::Integers(sums) => {
                let count = self.count.cast_signed();
                for (x, &sum) in row.iter_mut().zip(sums) {
                    let mean = (2 * sum + count).div_euclid(2 * count);
                    *x = mean as u8; // CAST: a mean of bytes is a byte; for i8 its two's complement
                }
            }
            Sums::Floats(sums) => {
                let scale = 1.0 / self.count as f64; // CAST: counts stay far below 2^53
                if self.dtype == DType::F16 {
                    for (x, sum) in row.as_chunks_mut::<2>().0.iter_mut().zip(sums) {
                        *x = f16::from_f64(sum * scale).to_le_bytes();
                    }
                } else {
                    for (x, sum) in row.as_chunks_mut::<4>().0.iter_mut().zip(sums) {
                        *x = ((sum * scale) as f32).to_le_bytes(); // CAST: rounded once, to nearest
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(dtype: DType, rows: &[&[u8]]) -> Vec<u8> {
        let dim = rows[0].len() / dtype.bytes();
        let mut sums = MeanSums::new(dtype, dim);
        for row in rows {
            sums.add(row);
        }
        let mut out = vec![0; rows[0].len()];
        sums.write_mean(&mut out);
        out
    }

    #[test]
    fn means_are_rounded_to_nearest() {
        assert_eq!(mean(DType::U8, &[&[0, 255, 10], &[1, 255, 12], &[1, 255, 12]]), [1, 255, 11]);
        let signed = mean(DType::I8, &[&[(-128_i8).cast_unsigned(), 3], &[(-127_i8).cast_unsigned(), 4]]);
        assert_eq!(signed.iter().map(|x| x.cast_signed()).collect::<Vec<_>>(), [-127, 4]);
        let halves =
            mean(DType::F16, &[&f16::from_f32(1.0).to_le_bytes(), &f16::from_f32(2.0).to_le_bytes()]);
        assert_eq!(halves, f16::from_f32(1.5).to_le_bytes());
        assert_eq!(mean(DType::F32, &[&1_f32.to_le_bytes(), &4_f32.to_le_bytes()]), 2.5_f32.to_le_bytes());
    }
}
