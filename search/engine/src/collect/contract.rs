//! What every collector does.
use std::slice::IterMut;

use spandrel_index::Location;

use super::best::Key;
use super::candidate::Candidate;
use super::front::FrontState;
use crate::subject::Query;
use crate::terms::End;

/// Collects, for one query, what scans find. What is collected does not depend on the order of offers.
///
/// Vectors are offered by estimates of their distances, and those that these leave undecided by their exact scores; or by
/// exact scores alone, where lists hold exact vectors.
pub(crate) trait Collect {
    /// No estimate above this whose standard error is at most `error` is of use.
    fn limit(&self, error: f32) -> f32;

    /// Offers vectors of a list by estimates. All at once, since a call for each took 3 % of a search in memory.
    fn offer(&mut self, estimated: &[Estimated]);

    /// Before the vectors of the list that `searched` nearer ones were searched before, where lists come in this order.
    fn begin_list(&mut self, _searched: u32) {}

    /// How the search goes, where that is followed and there are `k` vectors.
    fn front(&self) -> Option<FrontState> {
        None
    }

    /// No exact score above this is of use.
    fn exact_limit(&self) -> f32;

    /// Offers a vector by its exact score.
    fn exact(&mut self, score: f32, id: u64);

    /// Why what was collected is of no use, if so: the caller gave up while it was put in order.
    fn end(&self) -> Option<End>;

    /// Whether vectors may have to be compared exactly before the answer is known.
    fn is_undecided(&self) -> bool;

    /// After all offers of estimates, and then after those of exact scores: begins a burst, and gives the candidates whose
    /// exact scores are needed and were not asked for, the likeliest first if they may be more than `room`.
    fn undecided(&mut self, query: &Query<'_>, room: usize) -> Undecided<'_>;

    /// The candidates whose exact scores were not asked for.
    fn uncompared(&mut self) -> Undecided<'_>;

    /// Vectors that might be in the answer, by their estimates; known once a burst has begun.
    fn candidates(&self) -> u32;

    /// What was found, once nothing is undecided.
    fn finish(&mut self) -> Found<'_>;
}

/// A vector by its code.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Estimated {
    pub(crate) location: Location,
    /// Estimated squared distance in head space.
    pub(crate) estimate: f32,
    /// Standard error of the estimate.
    pub(crate) error: f32,
}

impl Estimated {
    /// As a candidate that was not compared so far.
    pub(crate) fn candidate(self) -> Candidate {
        let Estimated { location, estimate, error } = self;
        Candidate { estimate, error, location, compared: false }
    }
}

/// Candidates that were not compared so far.
pub(crate) struct Undecided<'a> {
    pub(super) kept: IterMut<'a, Candidate>,
    /// Standard errors by which estimates may be too large.
    pub(super) errors: f32,
    /// Those are left out whose estimates are above this nevertheless.
    pub(super) limit: f32,
}

impl<'a> Iterator for Undecided<'a> {
    type Item = &'a mut Candidate;

    fn next(&mut self) -> Option<&'a mut Candidate> {
        let Undecided { kept, errors, limit } = self;
        kept.find(|candidate| {
            let is_decided = candidate.least(*errors) > *limit;
            !candidate.compared && !is_decided
        })
    }
}

/// What was found: keys best first, and those of their ids whose distances are estimates, ascending.
pub(crate) struct Found<'a> {
    pub(crate) keys: &'a [Key],
    pub(crate) estimated: &'a [u64],
}
