//! Vectors that may be among the nearest, by their estimates and what these err by.
use std::ops::Range;

use spandrel_index::Location;
use spandrel_index::order::{dedup_while, retain_while, select_while, sort_while};

use super::candidate::{Candidate, Unlikely, by_chance};
use super::copies::Copies;
use crate::terms::{End, Patience, Terms};

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
    /// Vectors, each once.
    locations: Vec<Location>,
    copies: Copies,
    bound: f32,
    /// What is dropped, once there were too many.
    unlikely: Option<[Unlikely; 3]>,
    patience: Patience,
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
        self.unlikely = None;
    }

    /// Keeps none of these, which ascend.
    pub(crate) fn leave_out(&mut self, locations: &[Location]) {
        self.left_out.extend_from_slice(locations);
    }

    /// No candidate with such an error or a smaller one, and an estimate above this, is kept.
    pub(crate) fn limit(&self, error: f32) -> f32 {
        let near = self.bound + self.half * error;
        // Without a number there is no limit.
        let Some(unlikely) = &self.unlikely else { return near.min(f32::INFINITY) };
        let most = unlikely.iter().map(|unlikely| {
            // Where those kept are below the distance, smaller errors leave more room.
            let most = Unlikely { errors_over: unlikely.errors_over.max(0.0), ..*unlikely }.most(error);
            // Any number of no errors.
            if most.is_nan() { f32::INFINITY } else { most }
        });
        near.min(most.fold(0.0, f32::max))
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
        let is_beyond = |unlikely: &Unlikely| candidate.estimate > unlikely.most(candidate.error);
        self.unlikely.as_ref().is_some_and(|unlikely| unlikely.iter().all(is_beyond))
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
        let Candidates { kept, patience, .. } = self;
        let (mut left, mut all) = (0, [Unlikely::default(); 3]);
        for (unlikely, distance) in all.iter_mut().zip(distances) {
            let order = |a: &Candidate, b: &Candidate| by_chance(a, b, distance);
            if !select_while(&mut kept[left..], count - 1, order, &mut || patience.go_on()) {
                return self.give_up();
            }
            left += count;
            *unlikely = Unlikely { distance, errors_over: kept[left - 1].errors_over(distance) };
        }
        self.kept.truncate(left);
        self.unlikely = Some(all);
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
        let Candidates { kept, distances, copies, patience, .. } = self;
        let are_complete = if self.keep.copies {
            copies.least(kept, errors, distances, patience)
        } else {
            let most = |candidate: &Candidate| candidate.most(errors);
            patience.each_piece(kept, |piece| distances.extend(piece.iter().map(most)))
        };
        self.nth_distance(k.checked_sub(1)?, are_complete)
    }
}

#[cfg(test)]
mod tests;
