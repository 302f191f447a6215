//! Rounding in instructions that every machine does many of at once.

/// The nearest whole number, the even one of two, for a number below 2^22 in size. Larger ones are wrong by their last
/// digits, infinities and NaN stay.
#[inline(always)]
pub(super) fn nearest_whole(x: f32) -> f32 {
    // One and a half times 2^23: numbers around it have no digit behind the point.
    const WHOLE: f32 = 12_582_912.0;
    (x + WHOLE) - WHOLE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_as_the_standard_does() {
        let halves = (-2000..2000_i16).map(|x| f32::from(x) * 0.5);
        for x in halves.chain([0.499_999_97, -0.499_999_97, 127.499, -127.501, 4_000_000.5]) {
            assert_eq!(nearest_whole(x), x.round_ties_even(), "{x}");
        }
        assert_eq!(nearest_whole(f32::INFINITY), f32::INFINITY);
        assert!(nearest_whole(f32::NAN).is_nan());
    }
}
