//! Finding the scores worth a second look.
#![allow(unsafe_code)]

use super::Variant;
use super::push::push_rest;

/// Appends to `out` the positions of the scores that are at most `limit`, in order. A NaN is never chosen.
///
/// Fastest where few are chosen, as when `limit` is the worst of the best found so far.
pub fn below(scores: &[f32], limit: f32, out: &mut Vec<u32>) {
    choose(Variant::best(), scores, limit, out);
}

/// [`below`] by one variant, which this machine must be able to run.
pub fn below_with(variant: Variant, scores: &[f32], limit: f32, out: &mut Vec<u32>) {
    assert!(variant.is_available(), "{variant} kernels cannot run here");
    choose(variant, scores, limit, out);
}

/// [`below`] by a variant that is available.
fn choose(variant: Variant, scores: &[f32], limit: f32, out: &mut Vec<u32>) {
    assert!(u32::try_from(scores.len()).is_ok(), "positions are u32");
    match variant {
        // SAFETY: the machine can run the variant, as the callers know.
        #[cfg(target_arch = "x86_64")]
        Variant::Avx2 => unsafe { super::avx2::below(scores, limit, out) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Variant::Avx512 => unsafe { super::avx512::below(scores, limit, out) },
        // SAFETY: as above.
        #[cfg(target_arch = "aarch64")]
        Variant::Neon => unsafe { super::neon::below(scores, limit, out) },
        _ => push_rest(scores, 0, limit, out),
    }
}

/// Scores looked at side by side.
const LANES: usize = 16;

/// The least of some scores, infinity of none. A NaN counts as infinity.
pub fn least(scores: &[f32]) -> f32 {
    let (blocks, rest) = scores.as_chunks::<LANES>();
    let smaller = |a: f32, b: f32| if b < a { b } else { a };
    let mut lanes = [f32::INFINITY; LANES];
    for block in blocks {
        lanes = std::array::from_fn(|lane| smaller(lanes[lane], block[lane]));
    }
    // One after the other would wait for each comparison.
    let eight: [f32; 8] = std::array::from_fn(|lane| smaller(lanes[lane], lanes[lane + 8]));
    let four: [f32; 4] = std::array::from_fn(|lane| smaller(eight[lane], eight[lane + 4]));
    four.into_iter().chain(rest.iter().copied()).fold(f32::INFINITY, smaller)
}

/// The place of the first score that is at most `limit`.
pub fn first_at_most(scores: &[f32], limit: f32) -> Option<usize> {
    let (blocks, rest) = scores.as_chunks::<LANES>();
    for (number, block) in blocks.iter().enumerate() {
        let places: [u32; LANES] =
            std::array::from_fn(|lane| if block[lane] <= limit { 1 << lane } else { 0 });
        let places = places.into_iter().fold(0, |all, place| all | place);
        if places != 0 {
            return Some(number * LANES + places.trailing_zeros() as usize); // CAST: below 16
        }
    }
    rest.iter().position(|&score| score <= limit).map(|place| blocks.len() * LANES + place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_scores_the_first_is_the_least() {
        for count in [1, 3, 16, 17, 40, 256, 1333] {
            for place in 0..count {
                let mut scores: Vec<f32> = (0..count).map(|at| 1.0 + (at * 7919 % 1009) as f32).collect();
                scores[place..].iter_mut().step_by(5).for_each(|score| *score = -0.5);
                assert_eq!((least(&scores), first_at_most(&scores, -0.5)), (-0.5, Some(place)), "of {count}");
                assert_eq!(first_at_most(&scores, -1.0), None);
            }
        }
        assert_eq!((least(&[]), first_at_most(&[], 1.0)), (f32::INFINITY, None));
        assert_eq!((least(&[f32::NAN; 20]), first_at_most(&[f32::NAN; 20], 1.0)), (f32::INFINITY, None));
    }

    #[test]
    fn every_variant_chooses_what_a_plain_comparison_chooses() {
        let scores: Vec<f32> = (0..301u32)
            .map(|i| match i % 7 {
                0 => f32::NAN,
                1 => f32::INFINITY,
                2 => -0.0,
                _ => (i.wrapping_mul(2_654_435_761) >> 24) as f32,
            })
            .collect();
        for variant in Variant::available() {
            for len in (0..100).chain([301]) {
                for limit in [f32::NEG_INFINITY, -1.0, 0.0, 31.0, 255.0, f32::INFINITY, f32::NAN] {
                    let mut got = vec![7];
                    below_with(variant, &scores[..len], limit, &mut got);
                    let mut want = vec![7];
                    want.extend((0..len as u32).filter(|&i| scores[i as usize] <= limit));
                    assert_eq!(got, want, "{variant}, {len} scores at most {limit}");
                }
            }
        }
    }
}
