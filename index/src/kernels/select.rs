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

#[cfg(test)]
mod tests {
    use super::*;

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
