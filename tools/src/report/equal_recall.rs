//! Rates at the same recall, so that runs with different settings can be compared.
use super::front::{Better, front};

/// Recalls compared.
pub const RECALLS: [f64; 3] = [0.90, 0.95, 0.99];

/// The rate of a run at some recall.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AtRecall {
    /// Between two measured points, or on one.
    Rate(f64),
    /// Every point measured has more recall; the fastest gives this rate, so less recall gives at least that.
    AtLeast(f64),
    /// No point has that much recall.
    Unreached,
}

impl AtRecall {
    /// The rate, where it was measured on both sides.
    pub fn rate(self) -> Option<f64> {
        match self {
            AtRecall::Rate(rate) => Some(rate),
            AtRecall::AtLeast(_) | AtRecall::Unreached => None,
        }
    }
}

/// The rate at some recall: on the Pareto front of `(recall, qps)`, the logarithm of the rate interpolated
/// linearly over recall. Never extrapolated.
pub fn qps_at(points: &[(f64, f64)], recall: f64) -> AtRecall {
    let line: Vec<(f64, f64)> = front(points, Better::Higher).into_iter().map(|at| points[at]).collect();
    let Some(above) = line.iter().position(|p| p.0 >= recall) else { return AtRecall::Unreached };
    let (high_recall, high_qps) = line[above];
    if high_recall == recall {
        return AtRecall::Rate(high_qps);
    }
    if above == 0 {
        return AtRecall::AtLeast(high_qps);
    }
    let (low_recall, low_qps) = line[above - 1];
    let share = (recall - low_recall) / (high_recall - low_recall);
    AtRecall::Rate((low_qps.ln() + share * (high_qps.ln() - low_qps.ln())).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpolates_logarithms() {
        let points = [(0.92, 1000.0), (0.96, 250.0), (0.93, 1.0)];
        let AtRecall::Rate(rate) = qps_at(&points, 0.94) else { panic!("inside the range") };
        assert!((rate - 500.0).abs() < 1e-9, "{rate}");
        assert_eq!(qps_at(&points, 0.96), AtRecall::Rate(250.0));
        assert_eq!(qps_at(&points, 0.90), AtRecall::AtLeast(1000.0));
        assert_eq!(qps_at(&points, 0.99), AtRecall::Unreached);
        assert_eq!(qps_at(&[], 0.9), AtRecall::Unreached);
    }

    #[test]
    fn the_published_figures_of_a_disk_graph() {
        // 985 at 0.922 and 765 at 0.965 are quoted as about 840 at 0.95.
        let rate = qps_at(&[(0.922, 985.0), (0.965, 765.0)], 0.95).rate().unwrap();
        assert!((835.0..840.0).contains(&rate), "{rate}");
    }
}
