//! All within a radius: what estimates leave in doubt is compared exactly, in one burst.
use super::best::Key;
use super::candidate::{Candidate, by_chance};
use super::contract::{Collect, Estimated, Found, Undecided};
use crate::kept;
use crate::subject::Query;
use crate::terms::End;
use crate::verify_plan::VerifyPlan;

/// Standard errors by which a vector must be inside the radius to be returned with its estimate: a normal error is larger once
/// in thirty thousand.
const INSIDE_ERRORS: f32 = 4.0;

/// What is to be collected.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bound {
    /// No larger score is within the radius.
    pub(crate) score: f32,
    /// Squared distance in head space that goes with it.
    pub(crate) distance: f32,
    /// What rounding may add to an estimate.
    pub(crate) slack: f32,
    /// Standard errors by which an estimate may be too large.
    pub(crate) errors: f32,
    /// Which are compared exactly; none where lists hold exact vectors.
    pub(crate) verify: Option<VerifyPlan>,
}

/// Collects the vectors within a radius, each offered once. With a bound `b` on squared distances, an estimate `e` and its
/// standard error `s`, those with `e - t s <= b` are compared, but for those with `e + 4 s <= b` where an estimate will do.
#[derive(Debug, Default)]
pub(crate) struct Within {
    bound: Bound,
    candidates: Vec<Candidate>,
    keys: Vec<Key>,
    /// Ids taken with their estimates.
    estimated: Vec<u64>,
    has_begun: bool,
    candidates_kept: u32,
}

impl Within {
    /// Forgets everything; collects within `bound` from now on.
    pub(crate) fn reset(&mut self, bound: Bound) {
        self.bound = bound;
        kept::clear(&mut self.candidates);
        kept::clear(&mut self.keys);
        kept::clear(&mut self.estimated);
        (self.has_begun, self.candidates_kept) = (false, 0);
    }

    /// The largest estimate of a vector within the radius if estimates had no error but that of rounding.
    fn farthest(&self) -> f32 {
        self.bound.distance + self.bound.slack
    }

    /// Takes those candidates with their estimates that are surely inside.
    fn take_estimates(&mut self, query: &Query<'_>) {
        let inside = self.bound.distance - self.bound.slack;
        for candidate in &mut self.candidates {
            if candidate.most(INSIDE_ERRORS) > inside {
                continue;
            }
            if let Some(id) = query.index.id(candidate.location) {
                candidate.compared = true;
                self.estimated.push(id);
                self.keys.push(Key::new(query.score_of_distance(candidate.estimate), id));
            }
        }
    }
}

impl Collect for Within {
    fn limit(&self, error: f32) -> f32 {
        self.farthest() + self.bound.errors * error
    }

    fn offer(&mut self, estimated: &[Estimated]) {
        let (farthest, errors) = (self.farthest(), self.bound.errors);
        let candidates = estimated.iter().map(|found| found.candidate());
        // Lets an estimate through that is no number.
        let is_outside = |candidate: &Candidate| candidate.least(errors) > farthest;
        self.candidates.extend(candidates.filter(|candidate| !is_outside(candidate)));
    }

    fn exact_limit(&self) -> f32 {
        self.bound.score
    }

    fn exact(&mut self, score: f32, id: u64) {
        if score <= self.bound.score {
            self.keys.push(Key::new(score, id));
        }
    }

    /// What a part collects is put in order in a few milliseconds.
    fn end(&self) -> Option<End> {
        None
    }

    fn is_undecided(&self) -> bool {
        self.bound.verify.is_some() && !self.has_begun
    }

    fn undecided(&mut self, query: &Query<'_>, room: usize) -> Undecided<'_> {
        self.has_begun = true;
        self.candidates_kept = self.candidates.len() as u32; // CAST: at most the vectors of a part
        if self.bound.verify.is_some_and(|verify| verify.estimates) {
            self.take_estimates(query);
        }
        if self.candidates.len() > room {
            let farthest = self.farthest();
            self.candidates.sort_unstable_by(|a, b| by_chance(a, b, farthest));
        }
        self.uncompared()
    }

    fn uncompared(&mut self) -> Undecided<'_> {
        Undecided { kept: self.candidates.iter_mut(), errors: 0.0, limit: f32::INFINITY }
    }

    fn candidates(&self) -> u32 {
        self.candidates_kept
    }

    fn finish(&mut self) -> Found<'_> {
        self.estimated.sort_unstable();
        self.keys.sort_unstable();
        Found { keys: &self.keys, estimated: &self.estimated }
    }
}
