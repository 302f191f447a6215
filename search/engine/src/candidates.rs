//! Vectors that may be among the nearest, by their estimates.
use std::cmp::Ordering;

/// One vector, as far as its code tells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Candidate {
    /// Estimated squared distance in head space.
    pub(crate) estimate: f32,
    /// Standard error of the estimate.
    pub(crate) error: f32,
    pub(crate) position: u32,
    /// Whether its exact distance has been asked for.
    pub(crate) compared: bool,
}

impl Candidate {
    /// The smallest distance that is likely, `errors` standard errors below the estimate.
    pub(crate) fn least(&self, errors: f32) -> f32 {
        self.estimate - errors * self.error
    }
}

/// Keeps the candidates whose estimate, less a number of standard errors, is no more than the `k`-th smallest
/// estimate of all that were offered.
///
/// What is kept does not depend on the order of offers: a bound seen on the way is never below the last one.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    k: usize,
    errors: f32,
    /// Whether a vector may be offered more than once.
    copies: bool,
    /// Positions that are not kept, ascending.
    left_out: Vec<u32>,
    full: usize,
    kept: Vec<Candidate>,
    estimates: Vec<f32>,
    bound: f32,
}

impl Candidates {
    /// Forgets everything; keeps by `k` and `errors` from now on. With `copies`, a vector may be offered more than
    /// once and counts with its smallest estimate.
    pub(crate) fn reset(&mut self, k: usize, errors: f32, copies: bool) {
        self.k = k;
        self.errors = errors;
        self.copies = copies;
        self.left_out.clear();
        self.full = 4 * k + 256;
        self.kept.clear();
        self.bound = f32::INFINITY;
    }

    /// Keeps none of these positions, which ascend.
    pub(crate) fn leave_out(&mut self, positions: &[u32]) {
        self.left_out.extend_from_slice(positions);
    }

    /// No candidate with such an error and an estimate above this is kept.
    pub(crate) fn limit(&self, error: f32) -> f32 {
        self.bound + self.errors * error
    }

    /// Offers a candidate.
    #[inline]
    pub(crate) fn offer(&mut self, candidate: Candidate) {
        let is_left_out =
            || !self.left_out.is_empty() && self.left_out.binary_search(&candidate.position).is_ok();
        if candidate.least(self.errors) > self.bound || is_left_out() {
            return;
        }
        self.kept.push(candidate);
        if self.kept.len() >= self.full {
            self.thin();
        }
    }

    /// After some offers: finds a first bound as soon as there can be one.
    pub(crate) fn tighten(&mut self) {
        if self.bound == f32::INFINITY && self.kept.len() >= self.k {
            self.thin();
        }
    }

    /// After the last offer: sorts the candidates kept, best first.
    pub(crate) fn finish(&mut self) {
        self.thin();
        self.kept.sort_unstable_by(order);
    }

    /// The `k`-th smallest estimate, or infinity with fewer candidates.
    pub(crate) fn bound(&self) -> f32 {
        self.bound
    }

    /// Half way between the `k`-th and the next estimate, once sorted; infinity with no next.
    pub(crate) fn border(&self) -> f32 {
        match self.kept.get(self.k - 1..self.k + 1) {
            Some([last, next]) => last.estimate + 0.5 * (next.estimate - last.estimate),
            _ => f32::INFINITY,
        }
    }

    /// The candidates kept.
    pub(crate) fn kept(&mut self) -> &mut [Candidate] {
        &mut self.kept
    }

    fn thin(&mut self) {
        if self.copies {
            self.kept.sort_unstable_by(|a, b| a.position.cmp(&b.position).then(order(a, b)));
            self.kept.dedup_by_key(|candidate| candidate.position);
        }
        if self.kept.len() >= self.k {
            self.estimates.clear();
            self.estimates.extend(self.kept.iter().map(|candidate| candidate.estimate));
            let (_, &mut kth, _) = self.estimates.select_nth_unstable_by(self.k - 1, f32::total_cmp);
            self.bound = self.bound.min(kth);
            let (bound, errors) = (self.bound, self.errors);
            self.kept.retain(|candidate| candidate.least(errors) <= bound);
        }
        // With many that cannot be told apart, the buffer grows instead of being thinned at every offer.
        self.full = self.full.max(2 * self.kept.len());
    }
}

fn order(a: &Candidate, b: &Candidate) -> Ordering {
    let same = a.position.cmp(&b.position).then(a.error.total_cmp(&b.error));
    a.estimate.total_cmp(&b.estimate).then(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_same_whatever_the_order() {
        let mut offered: Vec<Candidate> = (0..2000_u32)
            .map(|i| Candidate {
                estimate: (i * 7919 % 1009) as f32,
                error: (i % 7) as f32,
                position: i,
                compared: false,
            })
            .collect();
        for (k, errors) in [(1, 0.0), (10, 1.5), (300, 2.0), (2000, 1.0), (5000, 1.0)] {
            let mut estimates: Vec<f32> = offered.iter().map(|c| c.estimate).collect();
            estimates.sort_by(f32::total_cmp);
            let bound = estimates.get(k - 1).copied().unwrap_or(f32::INFINITY);
            let mut expected: Vec<Candidate> = offered.clone();
            expected.retain(|c| c.least(errors) <= bound);
            expected.sort_by(order);
            for turn in 0..4 {
                offered.rotate_left(531);
                let mut candidates = Candidates::default();
                candidates.reset(k, errors, false);
                for (number, &candidate) in offered.iter().enumerate() {
                    if candidate.estimate <= candidates.limit(7.0) {
                        candidates.offer(candidate);
                    }
                    if number % 97 == 0 {
                        candidates.tighten();
                    }
                }
                candidates.finish();
                assert_eq!(candidates.kept(), expected, "k {k}, turn {turn}");
                assert_eq!(candidates.bound(), bound);
            }
        }
    }

    #[test]
    fn copies_count_once_with_the_smallest_estimate() {
        let mut candidates = Candidates::default();
        candidates.reset(2, 0.0, true);
        for (estimate, position) in [(5.0, 1), (3.0, 7), (4.0, 1), (2.0, 7), (6.0, 9)] {
            candidates.offer(Candidate { estimate, error: 1.0, position, compared: false });
        }
        candidates.finish();
        let kept: Vec<(f32, u32)> = candidates.kept().iter().map(|c| (c.estimate, c.position)).collect();
        assert_eq!(kept, [(2.0, 7), (4.0, 1)]);
    }
}
