//! Vectors that may be among the nearest, by their estimates and what these err by.
use std::cmp::Ordering;

use spandrel_index::Location;

/// One vector, as far as its code tells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Candidate {
    /// Estimated squared distance in head space.
    pub(crate) estimate: f32,
    /// Standard error of the estimate.
    pub(crate) error: f32,
    pub(crate) location: Location,
    /// Whether its exact distance has been asked for.
    pub(crate) compared: bool,
}

impl Candidate {
    /// The smallest distance that is likely, `errors` standard errors below the estimate.
    pub(crate) fn least(&self, errors: f32) -> f32 {
        self.estimate - errors * self.error
    }

    /// The largest distance that is likely. An estimate below 0 is known to be wrong.
    pub(crate) fn most(&self, errors: f32) -> f32 {
        self.estimate.max(0.0) + errors * self.error
    }

    /// Standard errors by which the estimate is over `distance`: the fewer, the likelier is the vector nearer than that.
    fn errors_over(&self, distance: f32) -> f32 {
        (self.estimate - distance) / self.error
    }
}

/// Standard errors added to estimates to find a distance that `k` vectors are likely to be within, by which candidates
/// are put in order.
const ORDER_ERRORS: f32 = 0.5;

/// Which candidates are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Keep {
    /// Neighbours wanted.
    pub(crate) k: usize,
    /// Standard errors by which two estimates together may be wrong. `None` where a count alone decides.
    pub(crate) errors: Option<f32>,
    /// Vectors compared exactly at most.
    pub(crate) compared_max: usize,
    /// Whether a vector may be offered more than once.
    pub(crate) copies: bool,
}

/// Keeps the candidates that may be among the `k` nearest.
///
/// With `t` errors, `e` an estimate and `s` its standard error, a candidate is kept iff `e - t/2 s` is no more than the
/// bound: the `k`-th smallest `max(e, 0) + t/2 s` over distinct vectors. Where all errors are alike, that says
/// `e - t s <= e_k`. Where they differ, an estimate with a large error does not lower the bound, and is not dropped for
/// being large.
///
/// What is kept does not depend on the order of offers: a bound seen on the way is never below the last one.
///
/// Where `n` may be compared, at most `8 n` candidates are held: those most likely to be within a distance `d`, by
/// `(e - d) / s`, where `k` are likely to be within `d`. More offers lower `d`. Half of those held are therefore the
/// likeliest for the `d` of now, and half are the likeliest for 0: a candidate that `n` others beat at both is beaten by
/// them at each distance between. In the end the `2 n` likeliest are left, in any order of offers the same.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    keep: Keep,
    /// Half of the errors.
    half: f32,
    /// What is not kept, ascending.
    left_out: Vec<Location>,
    full: usize,
    kept: Vec<Candidate>,
    /// Distances to choose from, and with copies whose they are.
    distances: Vec<f32>,
    keys: Vec<(Location, u32)>,
    bound: f32,
    unlikely: Unlikely,
}

/// What is too far for its error at two distances.
#[derive(Debug, Clone, Copy)]
struct Unlikely {
    /// Standard errors over 0.
    over_zero: f32,
    /// Standard errors over `distance`.
    over_distance: f32,
    distance: f32,
}

impl Unlikely {
    const NONE: Unlikely = Unlikely { over_zero: f32::INFINITY, over_distance: f32::INFINITY, distance: 0.0 };

    fn is(&self, candidate: &Candidate) -> bool {
        candidate.estimate > self.over_zero * candidate.error
            && candidate.estimate > self.distance + self.over_distance * candidate.error
    }

    /// With an error of at most `error`, every estimate above this is unlikely. May be NaN, which is no limit.
    fn limit(&self, error: f32) -> f32 {
        // Where those kept are below the distance, smaller errors leave more room.
        let over_zero = self.over_zero.max(0.0) * error;
        let over_distance = self.distance + self.over_distance.max(0.0) * error;
        if over_zero > over_distance { over_zero } else { over_distance }
    }
}

impl Default for Unlikely {
    fn default() -> Unlikely {
        Unlikely::NONE
    }
}

impl Candidates {
    /// Forgets everything; keeps by `keep` from now on.
    pub(crate) fn reset(&mut self, keep: Keep) {
        self.keep = keep;
        self.half = keep.errors.map_or(0.0, |errors| 0.5 * errors);
        self.full = 4 * keep.k + 256;
        self.left_out.clear();
        self.kept.clear();
        self.bound = f32::INFINITY;
        self.unlikely = Unlikely::NONE;
    }

    /// Keeps none of these, which ascend.
    pub(crate) fn leave_out(&mut self, locations: &[Location]) {
        self.left_out.extend_from_slice(locations);
    }

    /// No candidate with such an error or a smaller one, and an estimate above this, is kept.
    pub(crate) fn limit(&self, error: f32) -> f32 {
        (self.bound + self.half * error).min(self.unlikely.limit(error))
    }

    /// Offers a candidate.
    #[inline]
    pub(crate) fn offer(&mut self, candidate: Candidate) {
        let is_left_out =
            || !self.left_out.is_empty() && self.left_out.binary_search(&candidate.location).is_ok();
        if candidate.least(self.half) > self.bound || self.unlikely.is(&candidate) || is_left_out() {
            return;
        }
        self.kept.push(candidate);
        if self.kept.len() >= self.full {
            self.thin();
        }
    }

    /// After some offers: finds a first bound as soon as there can be one.
    pub(crate) fn tighten(&mut self) {
        if self.bound == f32::INFINITY && self.keep.errors.is_some() && self.kept.len() >= self.keep.k {
            self.thin();
        }
    }

    /// After the last offer: one candidate for each vector, the likeliest first.
    pub(crate) fn finish(&mut self) {
        self.thin();
        self.merge_copies();
        let likely = self.likely_distance();
        self.kept.sort_unstable_by(|a, b| by_chance(a, b, likely));
        self.kept.truncate(self.keep.compared_max.saturating_mul(2));
    }

    /// The bound with `errors` in place of those it keeps by; infinity with fewer than `k` candidates.
    pub(crate) fn bound_at(&mut self, errors: f32) -> f32 {
        self.kth_most(self.keep.k, 0.5 * errors).unwrap_or(f32::INFINITY)
    }

    /// The `k + 1`-th smallest `e - errors / 2 s`, which no more than `k` vectors are likely to be below. Call it after
    /// [`finish`](Candidates::finish).
    pub(crate) fn border(&mut self, errors: f32) -> f32 {
        self.distances.clear();
        self.distances.extend(self.kept.iter().map(|candidate| candidate.least(0.5 * errors)));
        let k = self.keep.k;
        if self.distances.len() <= k {
            // What was not kept is beyond the bound.
            return self.bound;
        }
        self.distances.select_nth_unstable_by(k, f32::total_cmp).1.min(self.bound)
    }

    /// The candidates kept.
    pub(crate) fn kept(&mut self) -> &mut [Candidate] {
        &mut self.kept
    }

    /// Where errors do not decide what is compared: keeps no more than may be, once sorted.
    pub(crate) fn keep_compared(&mut self) {
        if self.keep.errors.is_none() {
            self.kept.truncate(self.keep.compared_max);
        }
    }

    fn thin(&mut self) {
        if self.keep.errors.is_some()
            && let Some(bound) = self.kth_most(self.keep.k, self.half)
        {
            self.bound = self.bound.min(bound);
            let (bound, half) = (self.bound, self.half);
            self.kept.retain(|candidate| candidate.least(half) <= bound);
        }
        let held_max = self.keep.compared_max.saturating_mul(4);
        if self.kept.len() > held_max {
            self.merge_copies();
            self.drop_unlikely(held_max / 2);
        }
        // With many that cannot be told apart, the buffer grows instead of being thinned at every offer.
        self.full = self.full.max(2 * self.kept.len());
    }

    /// Keeps the `count` likeliest at a distance of 0, and of the others the `count` likeliest at the distance that `k` are
    /// likely to be within.
    fn drop_unlikely(&mut self, count: usize) {
        if self.kept.len() <= 2 * count {
            return;
        }
        let distance = self.likely_distance();
        let (_, last, rest) = self.kept.select_nth_unstable_by(count - 1, |a, b| by_chance(a, b, 0.0));
        let over_zero = last.errors_over(0.0);
        let (_, last, _) = rest.select_nth_unstable_by(count - 1, |a, b| by_chance(a, b, distance));
        self.unlikely = Unlikely { over_zero, over_distance: last.errors_over(distance), distance };
        self.kept.truncate(2 * count);
    }

    /// A distance that `k` vectors, or all, are likely to be within.
    fn likely_distance(&mut self) -> f32 {
        self.kth_most(self.keep.k.min(self.kept.len()), ORDER_ERRORS).unwrap_or(0.0)
    }

    /// The `k`-th smallest `max(e, 0) + errors s` over distinct vectors, if there are `k`.
    fn kth_most(&mut self, k: usize, errors: f32) -> Option<f32> {
        let Candidates { kept, distances, keys, .. } = self;
        distances.clear();
        if self.keep.copies {
            // Distances are not negative, so that their bits are in their order.
            let key = |c: &Candidate| (c.location, (c.most(errors) + 0.0).to_bits());
            keys.clear();
            keys.extend(kept.iter().map(key));
            keys.sort_unstable();
            keys.dedup_by_key(|(location, _)| *location);
            distances.extend(keys.iter().map(|&(_, bits)| f32::from_bits(bits)));
        } else {
            distances.extend(kept.iter().map(|candidate| candidate.most(errors)));
        }
        let at = k.checked_sub(1).filter(|&at| at < distances.len())?;
        Some(*distances.select_nth_unstable_by(at, f32::total_cmp).1)
    }

    /// Of copies of a vector, keeps the one whose estimate errs the least.
    fn merge_copies(&mut self) {
        if self.keep.copies {
            let by_error = |a: &Candidate, b: &Candidate| {
                let errors = a.error.total_cmp(&b.error);
                a.location.cmp(&b.location).then(errors).then(a.estimate.total_cmp(&b.estimate))
            };
            self.kept.sort_unstable_by(by_error);
            self.kept.dedup_by_key(|candidate| candidate.location);
        }
    }
}

/// The likelier to be within `distance` first.
fn by_chance(a: &Candidate, b: &Candidate, distance: f32) -> Ordering {
    let chance = a.errors_over(distance).total_cmp(&b.errors_over(distance));
    chance.then(a.estimate.total_cmp(&b.estimate)).then(a.location.cmp(&b.location))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Keep = Keep { k: 10, errors: Some(1.5), compared_max: usize::MAX, copies: false };

    fn candidate(estimate: f32, error: f32, position: u32) -> Candidate {
        Candidate { estimate, error, location: Location::new(0, position), compared: false }
    }

    /// What is kept of `offered`, and the last bound, in turns that begin at different ones.
    fn kept(keep: Keep, offered: &[Candidate]) -> (Vec<Candidate>, f32) {
        let mut offered = offered.to_vec();
        let error_max = offered.iter().map(|c| c.error).fold(0.0, f32::max);
        let mut found: Option<(Vec<Candidate>, f32)> = None;
        for turn in 0..4 {
            let turned = offered.len() * 4 / 15;
            offered.rotate_left(turned);
            let mut candidates = Candidates::default();
            candidates.reset(keep);
            for (number, &candidate) in offered.iter().enumerate() {
                if candidate.estimate <= candidates.limit(error_max) {
                    candidates.offer(candidate);
                }
                if number % 97 == 0 {
                    candidates.tighten();
                }
            }
            candidates.finish();
            candidates.keep_compared();
            let found_now = (candidates.kept().to_vec(), candidates.bound);
            let first = found.get_or_insert_with(|| found_now.clone());
            assert!(
                *first == found_now,
                "{keep:?}, turn {turn}: {} and {}",
                first.0.len(),
                found_now.0.len()
            );
        }
        found.unwrap()
    }

    #[test]
    fn keeps_the_same_in_any_order() {
        let offered: Vec<Candidate> =
            (0..2000_u32).map(|i| candidate((i * 7919 % 1009) as f32, (i % 7) as f32, i)).collect();
        for (k, errors) in [(1, 0.0), (10, 1.5), (300, 2.0), (2000, 1.0), (5000, 1.0)] {
            let mut most: Vec<f32> = offered.iter().map(|c| c.most(0.5 * errors)).collect();
            most.sort_by(f32::total_cmp);
            let bound = most.get(k - 1).copied().unwrap_or(f32::INFINITY);
            let mut expected: Vec<u32> = offered
                .iter()
                .filter(|c| c.least(0.5 * errors) <= bound)
                .map(|c| c.location.position())
                .collect();
            let found = kept(Keep { k, errors: Some(errors), ..KEEP }, &offered);
            let mut positions: Vec<u32> = found.0.iter().map(|c| c.location.position()).collect();
            positions.sort_unstable();
            expected.sort_unstable();
            assert_eq!((positions, found.1), (expected, bound), "k {k}");
        }
    }

    #[test]
    fn with_errors_alike_the_rule_is_that_of_one_error() {
        let offered: Vec<Candidate> =
            (0..3000_u32).map(|i| candidate((i * 7919 % 3001) as f32, 8.0, i)).collect();
        let (kept, _) = kept(KEEP, &offered);
        let mut estimates: Vec<f32> = offered.iter().map(|c| c.estimate).collect();
        estimates.sort_by(f32::total_cmp);
        let expected: Vec<f32> =
            estimates.iter().copied().filter(|e| e - 1.5 * 8.0 <= estimates[9]).collect();
        assert_eq!(kept.iter().map(|c| c.estimate).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn estimates_that_say_little_evict_nothing() {
        // Twenty near vectors among three hundred, and fifty that are far in truth and seem to be nearer than all.
        let near = (0..300).map(|i| candidate(10.0 + i as f32, 1.0, i));
        let far = (0..50).map(|i| candidate(-100.0 * i as f32, 1e4 + i as f32, 1000 + i));
        let offered: Vec<Candidate> = near.chain(far).collect();
        let (found, bound) = kept(Keep { compared_max: 224, ..KEEP }, &offered);
        assert_eq!(bound, 19.75, "of the tenth that is near");
        let of_near = |found: &[Candidate]| found.iter().filter(|c| c.location.position() < 1000).count();
        assert_eq!(of_near(&found), 11);
        // With room for fewer than there are, those that are surely near come first.
        assert_eq!(of_near(&found[..10]), 10, "{found:?}");
        for compared_max in [12, 40] {
            let keep = Keep { errors: None, compared_max, ..KEEP };
            let (found, _) = kept(keep, &offered);
            assert_eq!(of_near(&found[..10]), 10, "{found:?}");
        }
    }

    #[test]
    fn what_cannot_be_told_apart_is_bounded_and_the_likeliest_stay() {
        let mut offered: Vec<Candidate> = (0..50_000_u32)
            .map(|i| candidate((i * 7919 % 50_021) as f32, 1e5 + (i * 31 % 40_009) as f32, i))
            .collect();
        let keep = Keep { k: 10, errors: Some(4.0), compared_max: 224, copies: false };
        for errors in [Some(4.0), None] {
            let keep = Keep { errors, ..keep };
            let mut candidates = Candidates::default();
            candidates.reset(keep);
            for &candidate in &offered {
                candidates.offer(candidate);
                assert!(candidates.kept.len() <= 8 * 224, "{}", candidates.kept.len());
            }
            candidates.finish();
            let likely = candidates.likely_distance();
            let mut all = offered.clone();
            all.sort_unstable_by(|a, b| by_chance(a, b, likely));
            assert!(candidates.kept()[..224] == all[..224]);
            let (found, _) = kept(keep, &offered);
            assert!(found[..224] == all[..224], "in any order");
        }
        // Vectors that are all the same.
        offered.iter_mut().for_each(|c| (c.estimate, c.error) = (5.0, 1.0));
        let (found, _) = kept(keep, &offered);
        assert_eq!(found.len(), 448);
        assert!(found.iter().zip(0..).all(|(c, at)| c.location.position() == at));
    }

    #[test]
    fn copies_count_once() {
        let offered =
            [(5.0, 2.0, 1), (3.0, 3.0, 7), (4.0, 1.0, 1), (2.0, 6.0, 7), (6.0, 1.0, 9), (9.0, 1.0, 3)]
                .map(|(estimate, error, position)| candidate(estimate, error, position));
        let keep = Keep { k: 2, errors: Some(2.0), compared_max: 100, copies: true };
        let (found, bound) = kept(keep, &offered);
        // The best of 1 is 4 + 1, of 7 it is 3 + 3.
        assert_eq!(bound, 6.0);
        let mut found: Vec<(f32, u32)> = found.iter().map(|c| (c.estimate, c.location.position())).collect();
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert_eq!(found, [(3.0, 7), (4.0, 1), (6.0, 9)], "each with the estimate that errs the least");
    }
}
