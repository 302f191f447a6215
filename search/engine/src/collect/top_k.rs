//! The `k` nearest: what estimates leave in doubt is compared exactly, in a burst or two.
use super::best::{Best, Key};
use super::candidates::{Candidate, Candidates, Keep};
use crate::plan::{QueryPlan, VerifyPlan};
use crate::subject::Query;

/// Collects the `k` nearest of what is offered, in whatever order it comes.
#[derive(Debug, Default)]
pub(crate) struct TopK {
    k: usize,
    verify: Option<VerifyPlan>,
    candidates: Candidates,
    best: Best,
    /// Ids taken with their estimates.
    estimated: Vec<u64>,
    /// Bursts of exact comparisons begun.
    bursts: u32,
    /// Candidates there were when the first began.
    candidates_kept: u32,
}

/// What was found: keys best first, and those of their ids whose distances are estimates, ascending.
pub(crate) struct Found<'a> {
    pub(crate) keys: &'a [Key],
    pub(crate) estimated: &'a [u64],
}

impl TopK {
    /// Forgets everything; with `copies`, a vector may be offered more than once.
    pub(crate) fn reset(&mut self, plan: &QueryPlan, copies: bool) {
        let k = plan.collect.k;
        (self.k, self.verify) = (k, plan.verify);
        self.best.reset(k);
        self.estimated.clear();
        (self.bursts, self.candidates_kept) = (0, 0);
        if let Some(verify) = &self.verify {
            let (errors, compared_max) = (verify.kept_errors(), verify.compared_max(k));
            self.candidates.reset(Keep { k, errors, compared_max, copies });
        }
    }

    /// Leaves out the vectors at these positions, which ascend.
    pub(crate) fn leave_out(&mut self, positions: &[u32]) {
        if self.verify.is_some() {
            self.candidates.leave_out(positions);
        }
    }

    /// No estimate above this whose standard error is at most `error` is of use.
    pub(crate) fn limit(&self, error: f32) -> f32 {
        self.candidates.limit(error)
    }

    /// Offers a vector by its estimate.
    #[inline]
    pub(crate) fn offer(&mut self, candidate: Candidate) {
        self.candidates.offer(candidate);
    }

    /// After a run of offers.
    pub(crate) fn tighten(&mut self) {
        self.candidates.tighten();
    }

    /// Whether an exact score may still be among the best.
    #[inline]
    pub(crate) fn wants(&self, score: f32) -> bool {
        self.best.wants(score)
    }

    /// Offers a vector by its exact score.
    #[inline]
    pub(crate) fn exact(&mut self, score: f32, id: u64) {
        self.best.offer(score, id);
    }

    /// Whether vectors may have to be compared exactly before the answer is known.
    pub(crate) fn is_undecided(&self) -> bool {
        self.verify.is_some_and(|verify| self.bursts < verify.bursts_max())
    }

    /// Begins a burst: the candidates whose exact distances are needed and were not asked for, the likeliest first.
    ///
    /// The first burst takes those whose estimates may be among the best; the second those that exact distances leave
    /// in doubt.
    pub(crate) fn undecided(&mut self, query: &Query<'_>) -> impl Iterator<Item = &mut Candidate> {
        let verify = self.verify;
        let (limit, errors) = match &verify {
            None => (f32::NEG_INFINITY, 0.0),
            Some(verify) if self.bursts == 0 => {
                self.end_offers(verify, query);
                match verify.first_errors() {
                    None => (f32::INFINITY, 0.0),
                    Some(errors) => (self.candidates.bound_at(errors), 0.5 * errors),
                }
            }
            Some(verify) => (query.distance_of_score(self.best.kth_score()), verify.second_errors()),
        };
        self.bursts += 1;
        let kept = self.candidates.kept().iter_mut();
        kept.filter(move |candidate| !candidate.compared && candidate.least(errors) <= limit)
    }

    /// Vectors that might be among the nearest, by their estimates; known once a burst has begun.
    pub(crate) fn candidates(&self) -> u32 {
        self.candidates_kept
    }

    /// The candidates not compared so far.
    pub(crate) fn uncompared(&mut self) -> impl Iterator<Item = &mut Candidate> {
        self.candidates.kept().iter_mut().filter(|candidate| !candidate.compared)
    }

    fn end_offers(&mut self, verify: &VerifyPlan, query: &Query<'_>) {
        self.candidates.finish();
        self.candidates_kept = self.candidates.kept().len() as u32; // CAST: at most the vectors
        if verify.estimates {
            self.take_estimates(verify.decided_errors(), query);
        }
        self.candidates.keep_compared();
    }

    /// Takes those candidates with their estimates that are surely among the nearest: no more than `k` others can be as near
    /// as they are at most, as far as errors tell.
    fn take_estimates(&mut self, errors: f32, query: &Query<'_>) {
        let Some(ids) = query.index.resident_ids() else { return };
        let border = self.candidates.border(errors);
        for candidate in self.candidates.kept() {
            if candidate.most(0.5 * errors) <= border {
                candidate.compared = true;
                let id = ids.id(candidate.position);
                self.estimated.push(id);
                self.best.offer(query.score_of_distance(candidate.estimate), id);
            }
        }
    }

    /// What was found, once nothing is undecided.
    pub(crate) fn finish(&mut self) -> Found<'_> {
        self.estimated.sort_unstable();
        Found { keys: self.best.finish(), estimated: &self.estimated }
    }
}
