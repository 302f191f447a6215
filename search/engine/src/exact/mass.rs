//! The attention mass: sums of exponentials of scaled scores.

/// The sum of `exp(x)` over some exponents, as far as they are given.
#[derive(Debug, Clone, Copy)]
pub(super) struct ExpSum {
    largest: f64,
    /// Of `exp(x - largest)`.
    sum: f64,
}

impl ExpSum {
    pub(super) const ZERO: ExpSum = ExpSum { largest: f64::NEG_INFINITY, sum: 0.0 };

    pub(super) fn add(&mut self, exponents: impl Iterator<Item = f64> + Clone) {
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
    pub(super) fn ln(self) -> f64 {
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
    fn large_exponents_do_not_overflow() {
        let mut sum = ExpSum::ZERO;
        sum.add([1000.0, 999.0].into_iter());
        sum.add(std::iter::empty());
        let mut other = ExpSum::ZERO;
        other.add([1001.0, 1000.0].into_iter());
        sum.join(other);
        sum.join(ExpSum::ZERO);
        let expected = 1001.0 + (1.0 + 2.0 * (-1.0_f64).exp() + (-2.0_f64).exp()).ln();
        assert!((sum.ln() - expected).abs() < 1e-9, "{}", sum.ln());
    }
}
