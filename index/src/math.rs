//! Functions that decide bytes of an index, by additions, multiplications and divisions alone: those are the same on all machines, where the
//! functions of the C library differ by its version.

/// The exponential function to twelve digits; of what is beyond 700, that of 700.
pub fn exp(x: f64) -> f64 {
    let x = x.clamp(-700.0, 700.0);
    let doublings = (x / std::f64::consts::LN_2).round();
    let rest = x - doublings * std::f64::consts::LN_2;
    let series = (1..=13).rev().fold(1.0, |sum, term| 1.0 + sum * rest / f64::from(term));
    let doublings = doublings as i64; // CAST: at most a thousand
    series * f64::from_bits(((1023 + doublings) as u64) << 52) // CAST: the exponent of a normal number
}

/// The natural logarithm to twelve digits; of what is below the smallest normal number, or no number, that of the smallest.
pub fn ln(x: f64) -> f64 {
    let x = if x > f64::MIN_POSITIVE { x.min(f64::MAX) } else { f64::MIN_POSITIVE };
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i64 - 1023; // CAST: eleven bits
    // The mantissa between the root of a half and the root of two.
    let mut mantissa = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    if mantissa > std::f64::consts::SQRT_2 {
        (mantissa, exponent) = (0.5 * mantissa, exponent + 1);
    }
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let square = t * t;
    let series = (0..=10).rev().fold(0.0, |sum, term| sum * square + 1.0 / f64::from(2 * term + 1));
    exponent as f64 * std::f64::consts::LN_2 + 2.0 * t * series // CAST: exact
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_those_of_the_library() {
        for x in [-700.0, -30.0, -1.0, 0.0, 1e-9, 0.3, 1.0, 50.0, 700.0_f64] {
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-12, "{x}");
        }
    }

    #[test]
    fn logarithms_are_those_of_the_library() {
        let near = [1.0_f64.next_down(), 1.0, 1.0_f64.next_up(), 1.41, std::f64::consts::SQRT_2, 1.42, 2.0];
        for x in near.into_iter().chain([3e-308, 1e-9, 0.05, 0.3, 0.7, 3.0, 1e9, f64::MAX]) {
            assert!((ln(x) - x.ln()).abs() <= 1e-12 * x.ln().abs() + 1e-16, "{x}: {} {}", ln(x), x.ln());
        }
        assert_eq!((ln(0.0), ln(-1.0), ln(f64::NAN)), (ln(f64::MIN_POSITIVE), ln(0.0), ln(0.0)));
        assert_eq!(ln(f64::INFINITY), ln(f64::MAX));
    }
}
