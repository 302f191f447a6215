//! The attention mass: sums of exponentials of scaled scores.

/// Largest factor of inner products before the softmax: their product with one is a finite number.
pub const ATTENTION_SCALE_MAX: f64 = 1e38;

/// The sum of `exp(x)` over some exponents, as far as they are given. It does not overflow where one of them would.
#[derive(Debug, Clone, Copy)]
pub struct ExpSum {
    largest: f64,
    /// Of `exp(x - largest)`.
    sum: f64,
}

impl ExpSum {
    /// Of no exponents.
    pub const ZERO: ExpSum = ExpSum { largest: f64::NEG_INFINITY, sum: 0.0 };

    /// Adds those of some exponents.
    pub fn add(&mut self, exponents: impl Iterator<Item = f64> + Clone) {
        let largest = exponents.clone().fold(self.largest, f64::max);
        // The first time the sum is 0, and the difference is infinite.
        let before = if self.sum > 0.0 { self.sum * (self.largest - largest).exp() } else { 0.0 };
        self.sum = before + exponents.map(|x| (x - largest).exp()).sum::<f64>();
        self.largest = largest;
    }

    /// Adds another sum.
    pub(super) fn join(&mut self, other: ExpSum) {
        if other.sum > 0.0 {
            self.add(std::iter::once(other.ln()));
        }
    }

    /// The logarithm of the sum.
    pub fn ln(self) -> f64 {
        self.largest + self.sum.ln()
    }
}

/// What inner products are multiplied with, and the sums of all queries so far.
#[derive(Debug)]
pub(super) struct Mass {
    pub(super) scale: f64,
    pub(super) sums: Vec<std::sync::Mutex<ExpSum>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_exponents_neither_overflow_nor_depend_on_pieces() {
        let exponents = [1000.0, 1001.0, 999.0, -4000.0, 1001.0];
        let expected = 1001.0 + (2.0 + f64::exp(-1.0) + f64::exp(-2.0)).ln();
        for piece in 1..=5 {
            let mut sum = ExpSum::ZERO;
            exponents.chunks(piece).for_each(|piece| sum.add(piece.iter().copied()));
            assert!((sum.ln() - expected).abs() < 1e-9, "{piece}: {}", sum.ln());
        }
    }

    #[test]
    fn sums_join() {
        let (mut sum, mut other) = (ExpSum::ZERO, ExpSum::ZERO);
        sum.add([1000.0, 999.0].into_iter());
        sum.add(std::iter::empty());
        other.add([1001.0, 1000.0].into_iter());
        sum.join(other);
        sum.join(ExpSum::ZERO);
        let expected = 1001.0 + (1.0 + 2.0 * (-1.0_f64).exp() + (-2.0_f64).exp()).ln();
        assert!((sum.ln() - expected).abs() < 1e-9, "{}", sum.ln());
    }
}
