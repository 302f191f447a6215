//! The `k` nearest: what estimates leave in doubt is compared exactly, in a burst or two.
use spandrel_index::Location;
use spandrel_index::order::{PIECE, sort_while};

use super::best::Best;
use super::candidate::Candidate;
use super::candidates::{Candidates, Keep};
use super::contract::{Collect, Estimated, Found, Undecided};
use super::front::{Front, FrontState};
use crate::plan::QueryPlan;
use crate::subject::Query;
use crate::terms::{End, Terms};
use crate::verify_plan::VerifyPlan;

/// Collects the `k` nearest of what is offered, in any order.
#[derive(Debug, Default)]
pub(crate) struct TopK {
    k: usize,
    verify: Option<VerifyPlan>,
    candidates: Candidates,
    front: Front,
    best: Best,
    /// Ids taken with their estimates.
    estimated: Vec<u64>,
    /// Bursts of exact comparisons begun.
    bursts: u32,
    /// Candidates there were when the first began.
    candidates_kept: u32,
}

/// How to collect.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Collecting<'a> {
    /// Whether a vector may be offered more than once.
    pub(crate) copies: bool,
    /// Whether it is told how the search goes.
    pub(crate) follows: bool,
    /// While somebody waits by these, what was found is put in order.
    pub(crate) terms: &'a Terms,
}

impl TopK {
    /// Forgets everything; collects from now on.
    pub(crate) fn reset(&mut self, plan: &QueryPlan, with: Collecting<'_>) {
        let Collecting { copies, follows, terms } = with;
        let k = plan.k();
        (self.k, self.verify) = (k, plan.verify);
        // Candidates are distinct.
        self.best.reset(plan.best(), plan.verify.is_none(), terms);
        self.front.reset(if follows { k } else { 0 });
        self.estimated.clear();
        (self.bursts, self.candidates_kept) = (0, 0);
        if let Some(verify) = &self.verify {
            let (errors, compared_max) = (verify.kept_errors(), verify.compared_max(k));
            self.candidates.reset(Keep { k, errors, compared_max, copies }, terms);
        }
    }

    /// Leaves out these vectors, whose locations ascend.
    pub(crate) fn leave_out(&mut self, locations: &[Location]) {
        if self.verify.is_some() {
            self.candidates.leave_out(locations);
        }
    }

    fn end_offers(&mut self, verify: &VerifyPlan, query: &Query<'_>, room: usize) {
        self.candidates.finish(room);
        self.candidates_kept = self.candidates.kept().len() as u32; // CAST: at most the vectors
        if verify.estimates {
            self.take_estimates(verify.decided_errors(), query);
        }
        self.candidates.keep_compared();
    }

    /// Takes those candidates with their estimates that are surely among the nearest: no more than `k` others can be as near
    /// as they are at most, as far as errors tell.
    fn take_estimates(&mut self, errors: f32, query: &Query<'_>) {
        let border = self.candidates.border(errors);
        for (number, candidate) in self.candidates.kept().iter_mut().enumerate() {
            if number % PIECE == PIECE - 1 && !self.best.go_on() {
                return;
            }
            let Candidate { location, estimate, .. } = *candidate;
            if candidate.most(0.5 * errors) > border {
                continue;
            }
            if let Some(id) = query.index.id(location) {
                candidate.compared = true;
                self.estimated.push(id);
                self.best.offer(query.score_of_distance(estimate), id);
            }
        }
    }
}

impl Collect for TopK {
    fn limit(&self, error: f32) -> f32 {
        self.candidates.limit(error)
    }

    fn offer(&mut self, estimated: &[Estimated]) {
        estimated.iter().for_each(|found| self.candidates.offer(found.candidate()));
        if self.front.is_on() {
            let others = estimated.iter().filter(|offered| !self.candidates.is_left_out(offered.location));
            others.for_each(|offered| self.front.offer(offered.estimate));
        }
        self.candidates.tighten();
    }

    fn begin_list(&mut self, searched: u32) {
        self.front.begin_list(searched);
    }

    fn front(&self) -> Option<FrontState> {
        self.front.state()
    }

    fn exact_limit(&self) -> f32 {
        self.best.bound_score()
    }

    fn exact(&mut self, score: f32, id: u64) {
        self.best.offer(score, id);
    }

    fn is_undecided(&self) -> bool {
        self.verify.is_some_and(|verify| self.bursts < verify.bursts_max())
    }

    fn end(&self) -> Option<End> {
        self.candidates.end().or(self.best.end())
    }

    /// The first burst takes those whose estimates may be among the best; the second those that exact distances leave in
    /// doubt.
    fn undecided(&mut self, query: &Query<'_>, room: usize) -> Undecided<'_> {
        let Some(verify) = self.verify else {
            return Undecided { kept: [].iter_mut(), errors: 0.0, limit: 0.0 };
        };
        let (errors, limit) = if self.bursts == 0 {
            self.end_offers(&verify, query, room);
            match verify.first_errors() {
                None => (0.0, f32::INFINITY),
                Some(errors) => (0.5 * errors, self.candidates.bound_at(errors)),
            }
        } else {
            (verify.second_errors(), query.distance_of_score(self.best.kth_score()))
        };
        self.bursts += 1;
        Undecided { kept: self.candidates.kept().iter_mut(), errors, limit }
    }

    fn uncompared(&mut self) -> Undecided<'_> {
        Undecided { kept: self.candidates.kept().iter_mut(), errors: 0.0, limit: f32::INFINITY }
    }

    fn candidates(&self) -> u32 {
        self.candidates_kept
    }

    fn finish(&mut self) -> Found<'_> {
        sort_while(&mut self.estimated, u64::cmp, &mut || self.best.go_on());
        Found { keys: self.best.finish(), estimated: &self.estimated }
    }
}
