//! Rotation before product quantisation (Ge et al., "Optimized product quantization", CVPR 2013).
use crate::codes::axes::principal_axes;

/// The least variance that an axis counts with, as a share of that of the strongest axis.
const LEAST: f64 = 1e-9;

/// Rows that turn residuals of `dim` elements to their principal axes, dealt out to the sub-quantisers so that the
/// products of variances are balanced: the parametric solution, which is the best for normal numbers. Rows of zeros fill
/// up to a multiple of their number.
pub(super) fn rotation(dim: usize, quantisers: usize, residuals: &[f32]) -> Vec<f32> {
    let dims = dim.next_multiple_of(quantisers);
    let (axes, variances) = principal_axes(dim, residuals);
    let places = places(&variances, dims, quantisers);
    let mut rows = vec![0.0; dims * dim];
    for (axis, place) in places.into_iter().enumerate() {
        let row = &mut rows[place * dim..][..dim];
        row.iter_mut().enumerate().for_each(|(column, x)| *x = axes[(axis, column)] as f32); // CAST: rounds
    }
    rows
}

/// The dimension that each axis becomes: by falling variance, each goes to the sub-quantiser with room whose product of
/// variances is the least so far.
fn places(variances: &[f64], dims: usize, quantisers: usize) -> Vec<usize> {
    let width = dims / quantisers;
    let least = (variances.first().copied().unwrap_or(0.0) * LEAST).max(f64::MIN_POSITIVE);
    let mut taken = vec![(0_u64, 0); quantisers];
    let mut places = Vec::new();
    for &variance in variances {
        let open = taken.iter().enumerate().filter(|(_, (_, count))| *count < width);
        let Some((quantiser, _)) = open.min_by_key(|(_, (product, _))| *product) else {
            unreachable!("there are places for all axes")
        };
        let (product, count) = &mut taken[quantiser];
        places.push(quantiser * width + *count);
        // Logarithms of what is at least 1, so that a sub-quantiser with nothing in it comes first.
        *product += logarithm(variance.max(least) / least);
        *count += 1;
    }
    places
}

/// Steps in one of a logarithm.
const LOG_BITS: u32 = 24;

/// The logarithm to base two of a number of at least 1, in steps of 2^-24. By multiplications alone, which are the same on
/// all machines, where logarithms differ from one C library to the next.
fn logarithm(x: f64) -> u64 {
    const BIAS: u64 = 1023;
    const MANTISSA: u32 = f64::MANTISSA_DIGITS - 1;
    let bits = x.to_bits();
    let mut steps = (bits >> MANTISSA).saturating_sub(BIAS);
    // Between 1 and 2; each square has twice the logarithm, whose whole part is the next bit.
    let mut rest = f64::from_bits(bits & ((1 << MANTISSA) - 1) | BIAS << MANTISSA);
    for _ in 0..LOG_BITS {
        rest *= rest;
        let bit = u64::from(rest >= 2.0);
        if bit == 1 {
            rest /= 2.0;
        }
        steps = steps << 1 | bit;
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_those_of_the_library() {
        for x in [1.0, 1.0_f64.next_up(), 1.5, 2.0_f64.next_down(), 2.0, 3.7, 1e6, 8.1e12, 1e300] {
            let steps = logarithm(x) as f64 / f64::from(1 << LOG_BITS);
            assert!((x.log2() - steps).abs() < 1e-6, "{x}: {steps}");
        }
    }

    #[test]
    fn axes_are_dealt_out_evenly() {
        // Two each; the strongest goes with the weakest.
        assert_eq!(places(&[8.0, 4.0, 2.0, 1.0], 4, 2), [0, 2, 3, 1]);
        // One place stays empty.
        assert_eq!(places(&[8.0, 4.0, 2.0], 4, 2), [0, 2, 3]);
        assert_eq!(places(&[0.0; 3], 3, 3), [0, 1, 2]);
    }
}
