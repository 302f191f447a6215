//! The reference kernels, in plain Rust.
use half::f16;

use super::Operation;
use crate::DType;

/// Scores two rows of the same type and length.
pub(super) fn score(operation: Operation, dtype: DType, a: &[u8], b: &[u8]) -> f32 {
    match dtype {
        DType::U8 => integer(operation, a.iter().map(|&x| i32::from(x)), b.iter().map(|&x| i32::from(x))),
        DType::I8 => {
            let wide = |&x: &u8| i32::from(x.cast_signed());
            integer(operation, a.iter().map(wide), b.iter().map(wide))
        }
        DType::F16 => float(operation, halves(a), halves(b)),
        DType::F32 => float(operation, singles(a), singles(b)),
    }
}

fn halves(row: &[u8]) -> impl Iterator<Item = f32> {
    row.as_chunks::<2>().0.iter().map(|&x| f16::from_le_bytes(x).to_f32())
}

fn singles(row: &[u8]) -> impl Iterator<Item = f32> {
    row.as_chunks::<4>().0.iter().map(|&x| f32::from_le_bytes(x))
}

fn integer(operation: Operation, a: impl Iterator<Item = i32>, b: impl Iterator<Item = i32>) -> f32 {
    let exact: i32 = match operation {
        Operation::SquaredL2 => a.zip(b).map(|(x, y)| (x - y) * (x - y)).sum(),
        Operation::InnerProduct => a.zip(b).map(|(x, y)| x * y).sum(),
    };
    exact as f32 // CAST: rounded once, to nearest
}

fn float(operation: Operation, a: impl Iterator<Item = f32>, b: impl Iterator<Item = f32>) -> f32 {
    match operation {
        Operation::SquaredL2 => a.zip(b).map(|(x, y)| (x - y) * (x - y)).sum(),
        Operation::InnerProduct => a.zip(b).map(|(x, y)| x * y).sum(),
    }
}
