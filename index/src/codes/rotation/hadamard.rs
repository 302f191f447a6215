//! A random rotation by sign flips and fast Hadamard transforms.

/// Rounds of sign flips and transforms of a rotation.
pub(super) const ROUNDS: usize = 4;

/// Rotates `x`, with [`ROUNDS`] sign bits for each element in `flips`.
pub(super) fn transform(flips: &[u8], x: &mut [f32]) {
    let dims = x.len();
    let power = 1 << dims.ilog2();
    for round in 0..ROUNDS {
        for (i, value) in x.iter_mut().enumerate() {
            let bit = round * dims + i;
            let flip = u32::from(flips[bit / 8] >> (bit % 8) & 1) << 31;
            *value = f32::from_bits(value.to_bits() ^ flip);
        }
        let start = if round % 2 == 0 { 0 } else { dims - power };
        hadamard(&mut x[start..start + power]);
        if power < dims {
            let half = dims / 2;
            let (low, high) = x.split_at_mut(half);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = (
                    (*a + *b) * std::f32::consts::FRAC_1_SQRT_2,
                    (*a - *b) * std::f32::consts::FRAC_1_SQRT_2,
                );
            }
        }
    }
}

/// The fast Hadamard transform, scaled to keep lengths. The length is a power of two.
fn hadamard(x: &mut [f32]) {
    let mut half = 1;
    while half < x.len() {
        for pair in x.chunks_exact_mut(2 * half) {
            let (low, high) = pair.split_at_mut(half);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
    let scale = 1.0 / (x.len() as f32).sqrt(); // CAST: exact, a power of two
    x.iter_mut().for_each(|x| *x *= scale);
}
