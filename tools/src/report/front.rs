//! The points of a run that no other point of it beats in recall and in cost both.

/// Which of two costs is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// As of a rate.
    Higher,
    /// As of a time.
    Lower,
}

/// The Pareto front of points `(recall, value)`: their indices, in rising order of recall.
pub fn front(points: &[(f64, f64)], better: Better) -> Vec<usize> {
    let gain = |value: f64| if better == Better::Higher { value } else { -value };
    let mut order: Vec<usize> = (0..points.len()).collect();
    // The best recall first, of equal ones the best value.
    order.sort_by(|&a, &b| {
        points[b].0.total_cmp(&points[a].0).then(gain(points[b].1).total_cmp(&gain(points[a].1)))
    });
    let mut kept: Vec<usize> = Vec::new();
    let mut best = f64::NEG_INFINITY;
    for at in order {
        if gain(points[at].1) > best {
            best = gain(points[at].1);
            kept.push(at);
        }
    }
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beaten_points_are_left_out() {
        let points = [(0.9, 100.0), (0.95, 50.0), (0.92, 40.0), (0.95, 60.0), (0.99, 10.0), (0.8, 100.0)];
        assert_eq!(front(&points, Better::Higher), [0, 3, 4]);
        assert_eq!(front(&points, Better::Lower), [4]);
        assert_eq!(front(&[(0.9, 1.0), (0.95, 2.0)], Better::Lower), [0, 1]);
        assert!(front(&[], Better::Higher).is_empty());
    }
}
