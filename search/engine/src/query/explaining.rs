//! What a query tells of itself where it is to be explained.
use spandrel_index::Tier;

use crate::answer::Limit;
use crate::collect::Candidate;
use crate::damage::DamagedPart;
use crate::explain::{ExplainedList, ExplainedVector, First, ListFate, Stop};
use crate::fetch::ListPlace;
use crate::probe;
use crate::query::step::Step;
use crate::subject::Query;

/// Lists as they were chosen.
pub(super) struct Chosen<'a> {
    pub(super) probed: probe::Probed,
    /// Lists asked of the disk so far, and those of them that turned out to be unreadable; both ascending.
    pub(super) asked: &'a [(u16, u32)],
    pub(super) unreadable: &'a [(u16, u32)],
}

impl Chosen<'_> {
    /// Tells what became of each list that was considered, in place of what was told before.
    pub(super) fn tell(&self, step: &mut Step<'_>) {
        let (probe, nearest) = (step.plan.probe.of_query(&step.query), step.prober.nearest());
        let within = step.prober.within_epsilon(&probe);
        // A search that ends when it has found enough may go on beyond the number planned for.
        let beyond = if self.probed.is_widened { 0 } else { probe.beyond as usize }; // CAST: widening
        let within = (self.probed.lists as usize).min(within + beyond).max(within);
        let mut lists = First::default();
        let told = step
            .progress
            .explanation
            .as_mut()
            .map_or(Vec::new(), |told| std::mem::take(&mut told.lists.items));
        // Heads beyond these were looked up for more vectors, which were not needed.
        let considered = (self.probed.lists.max(probe.lists) as usize).min(nearest.len());
        for (at, &near) in nearest[..considered].iter().enumerate() {
            let place = ListPlace::of(near, step.query.segment(near.segment));
            let fate = match self.left_out(&place, step) {
                _ if at >= self.probed.lists as usize => ListFate::Epsilon,
                Some(fate) => fate,
                None if at < within => ListFate::Planned,
                None => ListFate::Needed,
            };
            // Those of lists that were scanned before this is told again.
            let scanned = told.iter().find(|list| (list.segment, list.list) == place.key());
            let scanned = scanned.map_or(0, |list| list.scanned);
            let head_distance = near.distance.sqrt();
            lists.push(ExplainedList {
                segment: near.segment,
                list: near.list,
                head_distance,
                fate,
                scanned,
            });
        }
        let stop = self.stop(step, within);
        if let Some(explanation) = &mut step.progress.explanation {
            explanation.lists = lists;
            explanation.stop = stop;
        }
    }

    /// Why a list that was chosen is not searched; none if it is.
    fn left_out(&self, place: &ListPlace, step: &Step<'_>) -> Option<ListFate> {
        let index = step.query.index;
        let is_read = index.codes_tier() == Tier::Ssd;
        let has_copies = is_read && place.replicas > 0;
        let positions = step.query.segment(place.segment).directory.positions(place.list);
        let accepted = step.query.accept.count(place.segment, positions);
        let may_answer = step.query.accept.is_all() || accepted > 0 || has_copies;
        let has = |lists: &[(u16, u32)]| lists.binary_search(&place.key()).is_ok();
        // Lists without a match are scanned too where vectors near the query are counted.
        let is_counted = !is_read && (step.progress.near.is_counted() || has(self.asked));
        if place.bytes == 0 || !may_answer && !is_counted {
            return Some(ListFate::Empty);
        }
        if !is_read || has(self.asked) && !has(self.unreadable) {
            return None;
        }
        let is_damaged = has(self.unreadable)
            || step.damage.is_quarantined(place.segment, DamagedPart::List(place.list))
            || step.progress.limited_by != Some(Limit::MaxBytes);
        Some(if is_damaged { ListFate::Damaged } else { ListFate::MaxBytes })
    }

    fn stop(&self, step: &Step<'_>, within: usize) -> Stop {
        let plan = step.plan;
        // Lists that are searched in any case are not among those that were chosen.
        let of_together = |lists: u32| lists.saturating_sub(self.probed.shared);
        let all = plan.probe.together.map_or(step.query.index.found_lists(), of_together);
        let planned = plan.probe.of_query(&step.query).lists.min(all);
        let chosen = self.probed.lists as usize;
        if step.progress.limited_by == Some(Limit::MaxBytes) {
            Stop::MaxBytes
        } else if self.probed.is_below && chosen == step.prober.nearest().len() {
            Stop::MinHeadScore
        } else if chosen > within || plan.k() == 0 {
            let is_enough = self.probed.vectors >= plan.k() as u64; // CAST: widening
            match (is_enough, self.probed.lists == all) {
                (true, _) => Stop::Neighbours,
                (false, true) => Stop::All,
                (false, false) => Stop::MaxLists,
            }
        } else if within < planned as usize {
            Stop::Epsilon
        } else if planned == all {
            Stop::All
        } else if self.probed.vectors < plan.k() as u64 {
            // CAST: widening
            Stop::MaxLists
        } else {
            Stop::Count
        }
    }
}

/// Tells that the last of the `places`, those that were not searched, were not needed.
pub(super) fn enough(places: &[ListPlace], step: &mut Step<'_>) {
    let unsearched = step.progress.unsearched as usize; // CAST: a number of lists
    let Some(explanation) = step.progress.explanation.as_mut().filter(|_| unsearched > 0) else { return };
    explanation.stop = Stop::Enough;
    for place in &places[places.len() - unsearched..] {
        let mut told = explanation.lists.items.iter_mut();
        if let Some(list) = told.find(|list| (list.segment, list.list) == place.key()) {
            list.fate = ListFate::Enough;
        }
    }
}

/// Tells that a list which was asked for is damaged.
pub(super) fn damaged(place: &ListPlace, step: &mut Step<'_>) {
    let Some(explanation) = &mut step.progress.explanation else { return };
    let mut told = explanation.lists.items.iter_mut();
    if let Some(list) = told.find(|list| (list.segment, list.list) == place.key()) {
        list.fate = ListFate::Damaged;
    }
}

/// A candidate that is to be compared, in the terms of answers.
pub(super) fn vector(candidate: &Candidate, query: &Query<'_>, burst: u32, beside: bool) -> ExplainedVector {
    let Candidate { estimate, error, location, .. } = *candidate;
    let score = query.score_of_distance(estimate);
    ExplainedVector {
        location,
        burst,
        beside,
        estimate: query.index.metric().distance_of_score(score),
        error: (query.score_of_distance(estimate + error) - score).abs(),
        exact: None,
    }
}
