//! Values and keys without the rounding of the kernels.
use spandrel_index::kernels::Operation;
use spandrel_index::{DType, Metric};

/// Whole numbers below this are exact in f32.
const EXACT_F32_MAX: usize = 1 << 24;
/// Sums that run side by side, so that the additions need not wait for each other.
const LANES: usize = 8;

/// Whether a kernel's f32 value for rows of this type and length is exact.
pub(super) fn kernel_is_exact(dtype: DType, dim: usize) -> bool {
    let square_max = match dtype {
        DType::U8 | DType::I8 => 255 * 255,
        DType::F32 | DType::F16 => return false,
    };
    square_max * dim < EXACT_F32_MAX
}

/// The value of two rows of integers.
pub(super) fn integer_value(operation: Operation, dtype: DType, a: &[u8], b: &[u8]) -> f64 {
    let sum: i32 = match (operation, dtype) {
        (Operation::SquaredL2, DType::I8) => a
            .iter()
            .zip(b)
            .map(|(&x, &y)| (i32::from(x.cast_signed()) - i32::from(y.cast_signed())).pow(2))
            .sum(),
        (Operation::SquaredL2, _) => {
            a.iter().zip(b).map(|(&x, &y)| (i32::from(x) - i32::from(y)).pow(2)).sum()
        }
        (Operation::InnerProduct, DType::I8) => {
            a.iter().zip(b).map(|(&x, &y)| i32::from(x.cast_signed()) * i32::from(y.cast_signed())).sum()
        }
        (Operation::InnerProduct, _) => a.iter().zip(b).map(|(&x, &y)| i32::from(x) * i32::from(y)).sum(),
    };
    f64::from(sum)
}

/// The value of two rows of floats, added up in f64 in an order that only the length decides.
pub(super) fn float_value(operation: Operation, a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0; LANES];
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    let term = |x: f32, y: f32| {
        let (x, y) = (f64::from(x), f64::from(y));
        match operation {
            Operation::SquaredL2 => (x - y) * (x - y),
            Operation::InnerProduct => x * y,
        }
    };
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..LANES {
            sums[lane] += term(a[lane], b[lane]);
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(&x, &y)| term(x, y)).sum();
    sums.iter().sum::<f64>() + rest
}

/// The operation whose value orders rows under a metric.
pub(crate) fn operation(metric: Metric) -> Operation {
    match metric {
        Metric::L2 => Operation::SquaredL2,
        Metric::InnerProduct | Metric::Cosine => Operation::InnerProduct,
    }
}

/// The key of a row: smaller is nearer.
///
/// Under cosine it is the squared cosine times the query's square norm, with the sign of minus the cosine: whole
/// numbers divided once, so that integer rows in the same direction tie exactly.
pub(super) fn key(metric: Metric, value: f64, row_square_norm: f64) -> f64 {
    match metric {
        Metric::L2 => value,
        Metric::InnerProduct => -value,
        Metric::Cosine => -value * value.abs() / row_square_norm,
    }
}

/// A key in the units of a kernel's value (divided by the row's norm under cosine).
pub(super) fn key_in_kernel_units(metric: Metric, key: f64) -> f64 {
    match metric {
        Metric::L2 | Metric::InnerProduct => key,
        Metric::Cosine => key.abs().sqrt().copysign(key),
    }
}

/// The distance shown for a key.
pub(super) fn distance(metric: Metric, key: f64, query_square_norm: f64) -> f32 {
    let distance = match metric {
        Metric::L2 => key,
        Metric::InnerProduct => -key,
        Metric::Cosine => {
            let cosine = -key_in_kernel_units(metric, key) / query_square_norm.sqrt();
            (1.0 - cosine).clamp(0.0, 2.0)
        }
    };
    distance as f32 // CAST: rounded once, to nearest
}

/// A key that no row exceeds whose distance, as shown, is within `radius`.
pub(super) fn key_limit(metric: Metric, radius: f32, query_square_norm: f64) -> f64 {
    /// What the arithmetic of keys may lose, relative.
    const SLACK: f64 = 1e-12;
    match metric {
        // What rounds to the radius is nearer than the next number after it.
        Metric::L2 => f64::from(radius.next_up()),
        Metric::InnerProduct => -f64::from(radius.next_down()),
        Metric::Cosine => {
            let cosine = 1.0 - f64::from(radius.next_up()) - SLACK;
            -cosine * cosine.abs() * query_square_norm + SLACK * query_square_norm
        }
    }
}
