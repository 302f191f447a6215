//! What the tests of the kernels compare with.
use half::f16;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::Operation;
use crate::DType;

pub(super) const OPERATIONS: [Operation; 2] = [Operation::SquaredL2, Operation::InnerProduct];

/// What rows are made of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fill {
    /// Any byte; floats around zero, some of them tiny.
    Random,
    /// The same byte everywhere.
    Byte(u8),
    /// Integers at either end of their range.
    Ends,
}

/// The dimensions to test: all small ones, then those that exist.
pub(super) fn dims() -> impl Iterator<Item = usize> {
    (1..=256).chain([384, 768, 960, 1024, 4096])
}

/// `count` rows back to back.
pub(super) fn random_rows(dtype: DType, dim: usize, count: usize, fill: Fill, seed: u64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut bytes = Vec::with_capacity(dtype.row_bytes(dim) * count);
    for _ in 0..dim * count {
        let float = rng.random_range(-4.0f32..4.0) * if rng.random_bool(0.05) { 1e-7 } else { 1.0 };
        match (dtype, fill) {
            (DType::F32, _) => bytes.extend(float.to_le_bytes()),
            (DType::F16, _) => bytes.extend(f16::from_f32(float).to_le_bytes()),
            (_, Fill::Random) => bytes.push(rng.random()),
            (_, Fill::Byte(byte)) => bytes.push(byte),
            (DType::U8, Fill::Ends) => bytes.push(if rng.random() { 0 } else { 255 }),
            (DType::I8, Fill::Ends) => bytes.push(if rng.random() { 0x80 } else { 0x7f }),
        }
    }
    bytes
}

/// The exact value for two rows (but for the last bits of an f64), and the sum of its terms' sizes.
pub(super) fn exact(operation: Operation, dtype: DType, a: &[u8], b: &[u8]) -> (f64, f64) {
    let (mut value, mut size) = (0.0, 0.0);
    for (x, y) in a.chunks_exact(dtype.bytes()).zip(b.chunks_exact(dtype.bytes())) {
        let (x, y) = (element(dtype, x), element(dtype, y));
        let term = match operation {
            Operation::SquaredL2 => (x - y) * (x - y),
            Operation::InnerProduct => x * y,
        };
        value += term;
        size += term.abs();
    }
    (value, size)
}

fn element(dtype: DType, bytes: &[u8]) -> f64 {
    match dtype {
        DType::U8 => f64::from(bytes[0]),
        DType::I8 => f64::from(bytes[0].cast_signed()),
        DType::F16 => f16::from_le_bytes(bytes.try_into().unwrap()).to_f64(),
        DType::F32 => f64::from(f32::from_le_bytes(bytes.try_into().unwrap())),
    }
}

/// Integers must be equal after one rounding; floats may be wrong by a rounding of the terms per element.
pub(super) fn assert_close(dtype: DType, dim: usize, got: f32, (value, size): (f64, f64), context: &str) {
    if dtype.is_integer() {
        assert_eq!(got, value as f32, "{context}");
    } else {
        let bound = size * (dim as f64 + 4.0) * f64::from(f32::EPSILON) / 2.0;
        assert!((f64::from(got) - value).abs() <= bound, "{context}: {got}, exactly {value}, bound {bound}");
    }
}
