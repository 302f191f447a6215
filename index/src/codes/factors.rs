//! The three numbers that go with each code, rounded block by block.
use crate::kernels::scan::{ADD_AT, ERROR_AT, FACTOR_BYTES, MUL_AT, add_of, error_of, mul_of, steps};

/// What turns a dot product of code and query into an estimate.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Factors {
    /// Added to the squared distance from query to head.
    pub add: f32,
    /// Multiplied with the dot product.
    pub mul: f32,
    /// Standard error of the estimate over the distance from query to head.
    pub error: f32,
}

impl Factors {
    /// Those of vector `lane` of a block, as rounded.
    pub(crate) fn of(block: &[u8; FACTOR_BYTES], lane: usize) -> Factors {
        Factors { add: add_of(block, lane), mul: mul_of(block, lane), error: error_of(block, lane) }
    }
}

/// The steps to which `add` and `mul` are rounded.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Steps {
    add: f32,
    mul: f32,
}

impl Steps {
    /// Those of a block.
    pub(crate) fn of(block: &[u8; FACTOR_BYTES]) -> Steps {
        let (add, mul) = steps(block);
        Steps { add, mul }
    }

    /// The larger of each.
    pub(crate) fn coarser(self, other: Steps) -> Steps {
        Steps { add: self.add.max(other.add), mul: self.mul.max(other.mul) }
    }
}

/// The factors of up to sixteen vectors, as `kernels::scan` describes them, in steps no finer than `least`: what they were rounded to
/// before counts among the errors of their estimates.
pub(crate) fn factor_block(factors: &[Factors], least: Steps) -> [u8; FACTOR_BYTES] {
    let mut out = [0; FACTOR_BYTES];
    let largest = |of: fn(&Factors) -> f32| factors.iter().map(of).fold(0.0_f32, |m, x| m.max(x.abs()));
    let add = scale_up((largest(|f| f.add) / 32_767.0).max(least.add));
    let mul = scale_up((largest(|f| f.mul) / 32_767.0).max(least.mul));
    let error = scale_up(largest(|f| f.error) / 255.0);
    for (at, scale) in [add, mul, error].into_iter().enumerate() {
        let [_, _, low, high] = scale.to_le_bytes();
        out[2 * at..2 * at + 2].copy_from_slice(&[low, high]);
    }
    let in_steps = |value: f32, scale: f32| if scale > 0.0 { value / scale } else { 0.0 };
    for (lane, factors) in factors.iter().enumerate() {
        // CAST: within the range by the choice of scale
        let (add, mul) =
            (in_steps(factors.add, add).round() as i16, in_steps(factors.mul, mul).round() as i16);
        out[ADD_AT + 2 * lane..][..2].copy_from_slice(&add.to_le_bytes());
        out[MUL_AT + 2 * lane..][..2].copy_from_slice(&mul.to_le_bytes());
        // Rounded up: an error may be overstated a little, not understated.
        out[ERROR_AT + lane] = in_steps(factors.error, error).ceil() as u8; // CAST: `as` saturates at 255
    }
    out
}

/// The smallest bf16 that is no less, as f32.
fn scale_up(x: f32) -> f32 {
    let bits = x.to_bits();
    let up = if bits & 0xffff == 0 { bits } else { (bits | 0xffff) + 1 };
    f32::from_bits(up).min(f32::from_bits(0x7f7f_0000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::scan::BLOCK_VECTORS;

    #[test]
    fn factors_keep_four_digits_and_errors_never_shrink() {
        let factors: Vec<Factors> = (0..BLOCK_VECTORS as i32)
            .map(|i| Factors {
                add: 1e5 - 13_000.0 * i as f32,
                mul: -0.3 - 0.1 * i as f32,
                error: 0.01 * i as f32,
            })
            .collect();
        let block = factor_block(&factors, Steps::default());
        for (lane, factors) in factors.iter().enumerate() {
            let found = Factors::of(&block, lane);
            assert!((found.add - factors.add).abs() <= 1e5 / 32_767.0);
            assert!((found.mul - factors.mul).abs() <= 2.0 / 32_767.0);
            assert!(found.error >= factors.error && found.error <= factors.error + 0.16 / 255.0);
        }
        assert_eq!(factor_block(&[Factors::default()], Steps::default()), [0; FACTOR_BYTES]);
        let huge = factor_block(&[Factors { add: 3e38, mul: -3e38, error: 3e38 }], Steps::default());
        assert!(Factors::of(&huge, 0).add.is_finite());
    }

    /// One vector with far larger factors makes the steps of its block coarse. When the others came to lie in another block, nothing
    /// told any more by how much theirs were off.
    #[test]
    fn what_was_rounded_coarsely_stays_known_as_that() {
        let fine = Factors { add: 1234.5, mul: -0.3, error: 0.1 };
        let large = Factors { add: 1e8, mul: -3e4, error: 0.1 };
        let before = factor_block(&[large, fine], Steps::default());
        let moved = Factors::of(&before, 1);
        assert!((moved.add - fine.add).abs() > 1000.0, "{moved:?}");
        let after = factor_block(&[moved, fine], Steps::default().coarser(Steps::of(&before)));
        assert_eq!(Steps::of(&after), Steps::of(&before));
        assert_eq!(Factors::of(&after, 0).add.to_bits(), moved.add.to_bits(), "and is not rounded once more");
    }
}
