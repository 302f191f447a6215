//! Vectors that may be among the nearest, by their estimates and what these err by.
use std::cmp::Ordering;
use std::ops::Range;

use spandrel_index::Location;
use spandrel_index::order::{dedup_while, retain_while, select_while, sort_while};

use crate::terms::{End, Patience, Terms};

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

/// Half of the fewest and of the most standard errors by which candidates are put in order: below one error estimates
/// are as good as told apart, and beyond four nothing is decided.
const HALF_ORDER: Range<f32> = 0.5..2.0;
/// Candidates held for a distance at least: of few, one that the last distance favours is easily dropped on the way.
const HELD_LEAST: usize = 128;
/// Halvings by which errors are found that leave a number of candidates.
const HALVINGS: u32 = 16;

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
/// Where `n` may be compared and more are kept, errors are lowered until `n` are left. What more errors add comes after
/// what fewer errors keep, so that a larger `n`, or more errors under the same `n`, only add to what is compared. Of those that
/// one error cannot tell apart, the likeliest come first: `d` the bound of one error, those with the smallest `(e - d) / s`.
///
/// Meanwhile at most `12 n` are held, or 768: the `2 n` likeliest for each of three values of `d`, since further offers lower the one
/// that counts. They are 0 and the bounds of one and of four errors.
///
/// A vector that was offered more than once counts by its likeliest copy, whichever of them were dropped on the way.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    keep: Keep,
    /// Half of the errors.
    half: f32,
    /// What is not kept, ascending.
    left_out: Vec<Location>,
    full: usize,
    kept: Vec<Candidate>,
    /// Distances to choose from.
    distances: Vec<f32>,
    /// With copies: vectors, and whose distances are whose. One number sorts in half the time of two.
    locations: Vec<Location>,
    of_segment: Vec<u64>,
    of_segments: Vec<(Location, u32)>,
    bound: f32,
    unlikely: [Unlikely; 3],
    patience: Patience,
}

/// What is too far for its error at a distance.
#[derive(Debug, Clone, Copy)]
struct Unlikely {
    distance: f32,
    /// Standard errors over it.
    errors_over: f32,
}

impl Unlikely {
    /// The largest estimate with such an error that is likely enough.
    fn most(self, error: f32) -> f32 {
        self.distance + self.errors_over * error
    }
}

impl Default for Unlikely {
    fn default() -> Unlikely {
        Unlikely { distance: 0.0, errors_over: f32::INFINITY }
    }
}

impl Candidates {
    /// Forgets everything; keeps by `keep` from now on, while somebody waits for it by `terms`.
    pub(crate) fn reset(&mut self, keep: Keep, terms: &Terms) {
        self.keep = keep;
        self.patience = Patience::of(terms);
        self.half = keep.errors.map_or(0.0, |errors| 0.5 * errors);
        self.full = 4 * keep.k + 256;
        self.left_out.clear();
        self.kept.clear();
        self.bound = f32::INFINITY;
        self.unlikely = [Unlikely::default(); 3];
    }

    /// Keeps none of these, which ascend.
    pub(crate) fn leave_out(&mut self, locations: &[Location]) {
        self.left_out.extend_from_slice(locations);
    }

    /// No candidate with such an error or a smaller one, and an estimate above this, is kept.
    pub(crate) fn limit(&self, error: f32) -> f32 {
        let most = self.unlikely.iter().map(|unlikely| {
            // Where those kept are below the distance, smaller errors leave more room.
            let most = Unlikely { errors_over: unlikely.errors_over.max(0.0), ..*unlikely }.most(error);
            // Any number of no errors.
            if most.is_nan() { f32::INFINITY } else { most }
        });
        let most = most.fold(0.0, f32::max);
        (self.bound + self.half * error).min(most)
    }

    /// Offers a candidate.
    #[inline]
    pub(crate) fn offer(&mut self, candidate: Candidate) {
        if !self.may_be_kept(&candidate) {
            return;
        }
        self.kept.push(candidate);
        if self.kept.len() >= self.full {
            self.thin();
        }
    }

    /// Whether a candidate may be among those kept, after the offers so far.
    #[inline]
    pub(crate) fn may_be_kept(&self, candidate: &Candidate) -> bool {
        let is_far = candidate.least(self.half) > self.bound || self.is_unlikely(candidate);
        !is_far && !self.is_left_out(candidate.location)
    }

    /// Whether a vector is one of those that are left out.
    pub(crate) fn is_left_out(&self, location: Location) -> bool {
        !self.left_out.is_empty() && self.left_out.binary_search(&location).is_ok()
    }

    fn is_unlikely(&self, candidate: &Candidate) -> bool {
        self.unlikely.iter().all(|unlikely| candidate.estimate > unlikely.most(candidate.error))
    }

    /// After some offers: finds a first bound as soon as there can be one.
    pub(crate) fn tighten(&mut self) {
        if self.bound == f32::INFINITY && self.keep.errors.is_some() && self.kept.len() >= self.keep.k {
            self.thin();
        }
    }

    /// After the last offer: one candidate for each vector, the likeliest first if there are more than `room`.
    pub(crate) fn finish(&mut self, room: usize) {
        self.thin();
        let room = room.min(self.keep.compared_max);
        if self.kept.len() <= room && !self.keep.copies {
            return;
        }
        let half = self.half_of_room();
        let distance = self.bound_of(half);
        if self.keep.copies {
            self.drop_copies(distance);
        }
        let Candidates { kept, patience, .. } = self;
        if kept.len() <= room {
            return;
        }
        let chance = |a: &Candidate, b: &Candidate| by_chance(a, b, distance);
        if !sort_while(kept, chance, &mut || patience.go_on()) {
            return self.give_up();
        }
        self.kept.truncate(self.keep.compared_max.saturating_mul(2));
    }

    /// Keeps the likeliest copy of each vector.
    fn drop_copies(&mut self, distance: f32) {
        let Candidates { kept, patience, .. } = self;
        let mut go_on = || patience.go_on();
        let likeliest = |a: &Candidate, b: &Candidate| {
            a.location.cmp(&b.location).then_with(|| by_chance(a, b, distance))
        };
        if !sort_while(kept, likeliest, &mut go_on) || !dedup_while(kept, |c| c.location, &mut go_on) {
            self.give_up();
        }
    }

    /// Why what was kept is of no use: the caller gave up while it was put in order.
    pub(crate) fn end(&self) -> Option<End> {
        self.patience.end()
    }

    /// Keeps nothing from here on.
    fn give_up(&mut self) {
        self.kept.clear();
        self.bound = f32::NEG_INFINITY;
    }

    /// The bound with `errors` in place of those it keeps by; infinity with fewer than `k` candidates.
    pub(crate) fn bound_at(&mut self, errors: f32) -> f32 {
        self.bound_of(0.5 * errors)
    }

    /// The `k + 1`-th smallest `e - errors / 2 s`, which no more than `k` vectors are likely to be below. Call it after
    /// [`finish`](Candidates::finish).
    pub(crate) fn border(&mut self, errors: f32) -> f32 {
        let Candidates { kept, distances, patience, .. } = self;
        distances.clear();
        let least = |candidate: &Candidate| candidate.least(0.5 * errors);
        let came = patience.each_piece(kept, |piece| distances.extend(piece.iter().map(least)));
        // What was not kept is beyond the bound.
        self.nth_distance(self.keep.k, came).map_or(self.bound, |distance| distance.min(self.bound))
    }

    /// The `n`-th of the distances, if there are more than `n` and they came to be complete.
    fn nth_distance(&mut self, n: usize, are_complete: bool) -> Option<f32> {
        let Candidates { distances, patience, .. } = self;
        let are_complete = are_complete
            && (n >= distances.len() || select_while(distances, n, f32::total_cmp, &mut || patience.go_on()));
        if !are_complete {
            self.give_up();
            return None;
        }
        self.distances.get(n).copied()
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
        if self.keep.errors.is_some() {
            let bound = self.bound_of(self.half);
            // Where the caller gave up meanwhile, it is below all.
            self.bound = self.bound.min(bound);
            let Candidates { kept, patience, bound, half, .. } = self;
            let is_near = |candidate: &Candidate| candidate.least(*half) <= *bound;
            if !retain_while(kept, is_near, &mut || patience.go_on()) {
                self.give_up();
            }
        }
        self.drop_unlikely(self.keep.compared_max.saturating_mul(2).max(HELD_LEAST));
        // With many that cannot be told apart, the buffer grows instead of being thinned at every offer.
        self.full = self.full.max(2 * self.kept.len());
    }

    /// Of too many, keeps the `count` likeliest at each of three distances.
    fn drop_unlikely(&mut self, count: usize) {
        if self.kept.len() / 3 <= count {
            return;
        }
        let distances = [0.0, self.bound_of(HALF_ORDER.start), self.bound_of(HALF_ORDER.end)];
        if self.patience.end().is_some() {
            return;
        }
        let Candidates { kept, patience, unlikely, .. } = self;
        let mut left = 0;
        for (unlikely, distance) in unlikely.iter_mut().zip(distances) {
            let order = |a: &Candidate, b: &Candidate| by_chance(a, b, distance);
            if !select_while(&mut kept[left..], count - 1, order, &mut || patience.go_on()) {
                return self.give_up();
            }
            left += count;
            *unlikely = Unlikely { distance, errors_over: kept[left - 1].errors_over(distance) };
        }
        self.kept.truncate(left);
    }

    /// Half of the errors that leave no more than may be compared, within [`HALF_ORDER`].
    fn half_of_room(&mut self) -> f32 {
        let room = self.keep.compared_max;
        let end = if self.keep.errors.is_some() { HALF_ORDER.end.min(self.half) } else { HALF_ORDER.end };
        let (mut low, mut high) = (HALF_ORDER.start.min(end), end);
        if self.kept.len() <= room || self.count_within(high) <= room {
            return high;
        }
        for _ in 0..HALVINGS {
            if self.patience.end().is_some() {
                break;
            }
            let middle = 0.5 * (low + high);
            if self.count_within(middle) > room { high = middle } else { low = middle }
        }
        low
    }

    /// Vectors that `half` of the errors keep.
    fn count_within(&mut self, half: f32) -> usize {
        let bound = self.bound_of(half);
        let Candidates { kept, locations, patience, keep, .. } = self;
        let is_within = |candidate: &&Candidate| candidate.least(half) <= bound;
        let mut count = 0;
        locations.clear();
        let mut came = patience.each_piece(kept, |piece| {
            let within = piece.iter().filter(is_within);
            if keep.copies {
                locations.extend(within.map(|candidate| candidate.location));
            } else {
                count += within.count();
            }
        });
        if keep.copies {
            let mut go_on = || patience.go_on();
            came = came
                && sort_while(locations, Location::cmp, &mut go_on)
                && dedup_while(locations, |&location| location, &mut go_on);
            count = locations.len();
        }
        if !came {
            self.give_up();
        }
        count
    }

    /// The `k`-th smallest `max(e, 0) + half s`; infinity with fewer than `k` vectors.
    fn bound_of(&mut self, half: f32) -> f32 {
        self.kth_most(self.keep.k, half).unwrap_or(f32::INFINITY)
    }

    /// The `k`-th smallest `max(e, 0) + errors s` over distinct vectors, if there are `k`.
    fn kth_most(&mut self, k: usize, errors: f32) -> Option<f32> {
        self.distances.clear();
        let are_complete = if self.keep.copies {
            self.least_of_copies(errors)
        } else {
            let Candidates { kept, distances, patience, .. } = self;
            let most = |candidate: &Candidate| candidate.most(errors);
            patience.each_piece(kept, |piece| distances.extend(piece.iter().map(most)))
        };
        self.nth_distance(k.checked_sub(1)?, are_complete)
    }
}

impl Candidates {
    /// Appends the smallest `max(e, 0) + errors s` of each vector to the distances: whether it came to an end.
    fn least_of_copies(&mut self, errors: f32) -> bool {
        let Candidates { kept, distances, of_segment, of_segments, patience, .. } = self;
        // Distances are not negative, so that their bits are in their order.
        let bits = |c: &Candidate| (c.most(errors) + 0.0).to_bits();
        let Some(segment) = kept.first().map(|c| c.location.segment()) else { return true };
        let mut is_one = true;
        let is_of = |c: &Candidate| c.location.segment() == segment;
        if !patience.each_piece(kept, |piece| is_one = is_one && piece.iter().all(is_of)) {
            return false;
        }
        if is_one {
            let key = |c: &Candidate| u64::from(c.location.position()) << 32 | u64::from(bits(c));
            of_segment.clear();
            patience.each_piece(kept, |piece| of_segment.extend(piece.iter().map(key)))
                && sort_while(of_segment, u64::cmp, &mut || patience.go_on())
                && dedup_while(of_segment, |key| *key >> 32, &mut || patience.go_on())
                && patience.each_piece(of_segment, |piece| {
                    distances.extend(piece.iter().map(|&key| f32::from_bits(key as u32))); // CAST: the lower half
                })
        } else {
            of_segments.clear();
            patience.each_piece(kept, |piece| {
                of_segments.extend(piece.iter().map(|c| (c.location, bits(c))));
            }) && sort_while(of_segments, Ord::cmp, &mut || patience.go_on())
                && dedup_while(of_segments, |(location, _)| *location, &mut || patience.go_on())
                && patience.each_piece(of_segments, |piece| {
                    distances.extend(piece.iter().map(|&(_, bits)| f32::from_bits(bits)));
                })
        }
    }
}

/// The likelier to be within `distance` first.
pub(super) fn by_chance(a: &Candidate, b: &Candidate, distance: f32) -> Ordering {
    let chance = a.errors_over(distance).total_cmp(&b.errors_over(distance));
    chance.then(a.estimate.total_cmp(&b.estimate)).then(a.location.cmp(&b.location))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering as Order};

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
            candidates.reset(keep, &Terms::default());
            for (number, &candidate) in offered.iter().enumerate() {
                if candidate.estimate <= candidates.limit(error_max) {
                    candidates.offer(candidate);
                }
                if number % 97 == 0 {
                    candidates.tighten();
                }
            }
            candidates.finish(0);
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
            candidates.reset(keep, &Terms::default());
            for &candidate in &offered {
                candidates.offer(candidate);
                assert!(candidates.kept.len() <= 12 * 224, "{}", candidates.kept.len());
            }
            candidates.finish(0);
            let mut most: Vec<f32> = offered.iter().map(|c| c.most(HALF_ORDER.start)).collect();
            most.sort_by(f32::total_cmp);
            let mut all = offered.clone();
            all.sort_unstable_by(|a, b| by_chance(a, b, most[keep.k - 1]));
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
    fn nothing_is_kept_for_a_caller_who_gave_up() {
        let stop = Arc::new(AtomicBool::new(false));
        let terms = Terms { stop: Some(Arc::clone(&stop)), deadline: None };
        for (copies, errors) in [(false, Some(4.0)), (true, Some(4.0)), (false, None), (true, None)] {
            for stopped in [false, true] {
                stop.store(false, Order::Relaxed);
                let mut candidates = Candidates::default();
                candidates.reset(Keep { k: 5000, errors, compared_max: 10_000, copies }, &terms);
                // None can be told from another.
                (0..15_000).for_each(|i| candidates.offer(candidate((i % 7) as f32, 1e5, i)));
                stop.store(stopped, Order::Relaxed);
                candidates.finish(0);
                let kept = candidates.kept().len();
                // Also where the flag is taken back.
                stop.store(false, Order::Relaxed);
                candidates.offer(candidate(0.0, 0.0, 20_000));
                let (expected, end) = if stopped { (0, Some(End::Stopped)) } else { (15_000, None) };
                assert_eq!((kept, candidates.end()), (expected, end), "{copies} {errors:?}");
                assert_eq!(candidates.kept().len() > kept, !stopped, "{copies} {errors:?}");
            }
        }
    }

    #[test]
    fn without_errors_nothing_is_unlikely_before_there_are_too_many() {
        let keep = Keep { errors: None, compared_max: 30, ..KEEP };
        let mut candidates = Candidates::default();
        candidates.reset(keep, &Terms::default());
        assert_eq!(candidates.limit(0.0), f32::INFINITY);
        let offered: Vec<Candidate> = (0..2000).map(|i| candidate((i % 50) as f32, 0.0, i)).collect();
        let (found, _) = kept(keep, &offered);
        assert!(found.iter().all(|candidate| candidate.estimate == 0.0) && found.len() == 30, "{found:?}");
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
        assert_eq!(found, [(3.0, 7), (4.0, 1), (6.0, 9)], "each with the likelier estimate");
    }

    /// 4000 candidates around distances from 10 to 40, each with a copy, whose errors are from 0.1 to 30, evenly by their
    /// logarithm.
    fn of_mixed_errors(seed: u32) -> Vec<Candidate> {
        let mut state = u64::from(seed);
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 24) as f32 // CAST: 24 bits
        };
        let mut of = |position: u32| {
            let error = 0.1 * 300_f32.powf(random());
            // The sum of twelve is nearly normal.
            let off = (0..12).map(|_| random()).sum::<f32>() - 6.0;
            let distance = 10.0 + 30.0 * (position * 7919 % 4001) as f32 / 4001.0;
            candidate(distance + error * off, error, position)
        };
        (0..8000).map(|number| of(number / 2)).collect()
    }

    /// Positions that are compared first, by `errors` if errors decide.
    fn compared(keep: Keep, errors: Option<f32>, offered: &[Candidate]) -> Vec<u32> {
        let mut candidates = Candidates::default();
        candidates.reset(keep, &Terms::default());
        offered.iter().for_each(|&candidate| candidates.offer(candidate));
        candidates.finish(0);
        let limit = errors.map_or(f32::INFINITY, |errors| candidates.bound_at(errors));
        let half = 0.5 * errors.unwrap_or_default();
        let likely = candidates.kept().iter().filter(|candidate| candidate.least(half) <= limit);
        likely.take(keep.compared_max).map(|candidate| candidate.location.position()).collect()
    }

    #[track_caller]
    fn each_has_all_of_the_last(rows: &[Vec<u32>], what: &str) {
        for pair in rows.windows(2) {
            let lost = pair[0].iter().filter(|position| !pair[1].contains(position)).count();
            let (fewer, more) = (pair[0].len(), pair[1].len());
            assert_eq!(lost, 0, "{what}: {fewer} compared, then {more}");
        }
    }

    #[test]
    fn more_work_compares_all_that_less_does() {
        for seed in 0..40 {
            for copies in [false, true] {
                // Of a vector offered twice where it counts once, the second has a place of its own.
                let own = |(number, c): (u32, &Candidate)| {
                    let position = if copies { c.location.position() } else { number };
                    candidate(c.estimate, c.error, position)
                };
                let offered: Vec<Candidate> = (0..).zip(&of_mixed_errors(seed)).map(own).collect();
                let what = format!("seed {seed}, copies {copies}");
                let of_counts = [10, 11, 20, 56, 200, 900, 3000].map(|compared_max| {
                    let keep = Keep { errors: None, compared_max, copies, ..KEEP };
                    compared(keep, None, &offered)
                });
                each_has_all_of_the_last(&of_counts, &format!("{what}, by count"));
                let of_errors = [1.0, 1.5, 2.0, 4.0, 8.0, 30.0].map(|errors| {
                    let keep = Keep { errors: Some(errors + 1.5), compared_max: 224, copies, ..KEEP };
                    compared(keep, Some(errors), &offered)
                });
                each_has_all_of_the_last(&of_errors, &format!("{what}, by errors"));
            }
        }
    }
}
