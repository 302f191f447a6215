//! Planes, signs and places of encodings: whole numbers out of the seed, the same on every machine.
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// What random numbers are for. No two purposes share numbers.
#[derive(Debug, Clone, Copy)]
#[repr(u64)]
pub(super) enum Purpose {
    Planes = 1,
    Projections = 2,
    Sketch = 3,
}

pub(super) fn rng(seed: u64, purpose: Purpose) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(purpose as u64);
    rng
}

/// A nearly normal number: the sum of four bytes around its mean. Products with bytes stay whole numbers.
pub(super) fn normal(rng: &mut ChaCha8Rng) -> f32 {
    const MEAN: f32 = 4.0 * 127.5;
    let sum: u16 = rng.next_u32().to_le_bytes().into_iter().map(u16::from).sum();
    f32::from(sum) - MEAN
}

/// Plus or minus 1.
pub(super) fn sign(rng: &mut ChaCha8Rng) -> f32 {
    if rng.next_u32() & 1 == 0 { 1.0 } else { -1.0 }
}

/// A number below `n`.
pub(super) fn below(rng: &mut ChaCha8Rng, n: u32) -> u32 {
    ((u64::from(rng.next_u32()) * u64::from(n)) >> 32) as u32 // CAST: below n
}
