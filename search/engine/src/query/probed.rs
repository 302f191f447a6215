//! The first state of a query: its nearest heads are known, and lists are chosen.
use std::vec::Drain;

use spandrel_index::Tier;
use spandrel_index::order::sort_while;

use crate::answer::Limit;
use crate::damage::{DamageReason, DamagedPart};
use crate::fetch::ListPlace;
use crate::filter_plan::FilterPlan;
use crate::kept;
use crate::plan::CollectPlan;
use crate::probe;
use crate::progress::Progress;
use crate::pruning::{Aim, Pruning};
use crate::query::explaining::{Chosen, damaged};
use crate::query::step::Step;
use crate::range_lists::{RangeLists, lists_within};
use crate::range_plan::{PART_BYTES, PART_ENTRIES, RangeCursor, RangePlan};
use crate::spend::ProbePlan;
use crate::together::shared_from;

/// Where the vectors nearest to a query do not match, its neighbours are the farthest of all that are as near. A recall of all of these
/// that misses this share of what may be missed finds the farthest as often as is wanted: on SIFT-like vectors the recall itself
/// found 0.845 of 0.95.
const FARTHEST: f64 = 0.15;

/// The lists of a query.
#[derive(Debug, Default)]
pub(super) struct ProbedLists {
    /// Lists chosen last and not scanned so far: nearest first, or in file order where they are read.
    pub(super) places: Vec<ListPlace>,
    /// Of these, the first `shared` are searched for every query: small values of a partition share them. It is
    /// used where lists are in memory alone.
    pub(super) shared: usize,
    /// Lists asked of the disk so far, and those of them that turned out to be unreadable; both ascending.
    asked: Vec<(u16, u32)>,
    unreadable: Vec<(u16, u32)>,
    /// Vectors that may be answers whose own list was chosen and is readable as far as is known.
    vectors: u64,
    /// Lists searched in place of those planned for, since few of the vectors near the query match.
    wider: Option<u32>,
}

impl ProbedLists {
    /// Chooses the first lists.
    pub(super) fn begin(&mut self, step: &mut Step<'_>) {
        self.clear();
        self.choose(step);
    }

    /// Chooses lists that have not been asked for, within the bytes that may be asked.
    pub(super) fn choose(&mut self, step: &mut Step<'_>) {
        match (&step.plan.collect, step.filter_plan()) {
            // No list is searched, and no code.
            (CollectPlan::Nearest { .. }, Some(FilterPlan::Exact)) => step.prober.set_nearest_heads(&[]),
            (CollectPlan::Nearest { .. } | CollectPlan::Tokens { .. }, Some(FilterPlan::Codes)) => {
                self.choose_none(step)
            }
            (CollectPlan::Nearest { .. } | CollectPlan::Tokens { .. }, _) => self.choose_nearest(step),
            (CollectPlan::Within(range), _) => self.choose_within(range, step),
        }
        step.progress.clock.lap(|times| &mut times.probe_us);
    }

    /// Takes the next of the lists that can hold a vector within a radius, those of one part of the search.
    fn choose_within(&mut self, range: &RangePlan, step: &mut Step<'_>) {
        self.places.clear();
        let (query, running, damage) = (step.query, step.running, step.damage);
        let mut cursor = range.cursor();
        if cursor.lists.is_none() {
            match lists_within(&query, range.score, range.pruning.cosine, &mut || running.job.terms().end()) {
                Ok(lists) => {
                    step.progress.work.head_distances = lists.head_distances;
                    cursor.lists = Some(lists);
                }
                Err(end) => {
                    step.progress.end = Some(end);
                    return;
                }
            }
        }
        let RangeCursor { lists, next, .. } = &mut *cursor;
        let Some(RangeLists { lists, nearest_heads, .. }) = lists else { return };
        step.prober.set_nearest_heads(nearest_heads);
        let is_read = query.index.codes_tier() == Tier::Ssd;
        let progress = &mut *step.progress;
        let bytes_max = progress.bytes_left.saturating_sub(step.plan.bytes_for_pages(query.index));
        let (mut entries, mut bytes) = (0, 0_u64);
        while let Some(list) = lists.get(*next).filter(|_| entries < PART_ENTRIES && bytes < PART_BYTES) {
            let segment = query.segment(list.near.segment);
            let mut place = ListPlace::of(list.near, segment);
            place.scanned = place.primaries;
            if !query.accept.is_all() {
                place.accepted = query.accept.count(place.segment, segment.directory.positions(place.list));
            }
            let is_wanted = list.least_score <= range.score && place.accepted > 0;
            if is_wanted && is_read && damage.is_quarantined(place.segment, DamagedPart::List(place.list)) {
                progress.missing.lists += 1;
            } else if is_wanted {
                if is_read && bytes + place.bytes > bytes_max && *next > 0 {
                    progress.limited_by = Some(Limit::MaxBytes);
                    *next = lists.len();
                    break;
                }
                entries += place.primaries as usize;
                bytes += if is_read { place.bytes } else { 0 };
                self.places.push(place);
            }
            *next += 1;
        }
        progress.work.lists = self.places.len() as u32; // CAST: fewer than the lists
        self.vectors = self.places.iter().map(|place| place.accepted).sum();
        if is_read {
            progress.bytes_left = progress.bytes_left.saturating_sub(bytes);
            self.places.sort_unstable_by_key(ListPlace::key);
        }
    }

    /// Only finds the nearest heads, which codes are compared by.
    fn choose_none(&mut self, step: &mut Step<'_>) {
        let running = step.running;
        let chosen = step.prober.choose_none(&step.query, &step.plan.probe, || running.job.terms().end());
        step.progress.work.head_distances = chosen.head_distances;
        step.progress.end = step.progress.end.or(chosen.end);
    }

    fn choose_nearest(&mut self, step: &mut Step<'_>) {
        let (plan, index) = (step.plan, step.query.index);
        let is_read = index.codes_tier() == Tier::Ssd;
        let ProbedLists { places, shared, asked, unreadable, vectors, wider } = self;
        let planned = plan.probe.of_query(&step.query);
        let probe = match *wider {
            Some(lists) => ProbePlan { lists, beyond: 0, ..planned },
            None => planned,
        };
        let is_shared = |place: &ListPlace| {
            let segment = step.query.segment(place.segment);
            let first = match step.plan.probe.together {
                Some(_) => shared_from(segment),
                None => segment.found_lists(),
            };
            place.list >= first
        };
        let damage = step.damage;
        let is_unreadable = |key: (u16, u32)| {
            is_read
                && (damage.is_quarantined(key.0, DamagedPart::List(key.1))
                    || unreadable.binary_search(&key).is_ok())
        };
        let running = step.running;
        let chosen = step.prober.choose(
            &step.query,
            plan,
            &probe,
            is_unreadable,
            || running.job.terms().end(),
            places,
        );
        let progress = &mut *step.progress;
        note(progress, &chosen, planned.lists);
        *vectors = chosen.vectors;
        if chosen.is_given_up {
            progress.compare_codes();
            places.clear();
            return;
        }
        if let Some(filtered) = &mut progress.filtered {
            filtered.widened |= chosen.is_widened;
        }
        progress.is_sparse |= chosen.is_sparse;
        if chosen.is_far && progress.near.is_counted() {
            // That is known already, and to scan lists without a match too takes most of the time.
            progress.near.begin(false, None);
            places.retain(|place| place.accepted > 0 || place.replicas > 0 && is_read);
        }
        if is_read {
            progress.missing.lists = chosen.unreadable;
            places.retain(|place| asked.binary_search(&place.key()).is_err());
            let least = usize::from(asked.is_empty());
            let bytes = progress.bytes_left.saturating_sub(plan.bytes_for_pages(index));
            for dropped in drain_over(bytes, least, places) {
                *vectors -= dropped.accepted;
                // Nothing is chosen again after this.
                progress.over_bytes += 1;
                progress.limited_by = Some(Limit::MaxBytes);
            }
            let bytes = places.iter().map(|place| place.bytes).sum();
            progress.bytes_left = progress.bytes_left.saturating_sub(bytes);
            asked.extend(places.iter().map(ListPlace::key));
            // Lists lie in the order of their numbers.
            let of_number = |a: &ListPlace, b: &ListPlace| a.key().cmp(&b.key());
            let mut go_on = || progress.go_on(running.job.terms());
            if !sort_while(asked, Ord::cmp, &mut go_on) || !sort_while(places, of_number, &mut go_on) {
                places.clear();
            }
        } else if progress.near.is_counted() || wider.is_some() {
            let is_counted = progress.near.is_counted();
            let is_new = |place: &ListPlace| asked.binary_search(&place.key()).is_err();
            places.retain(|place| (is_counted || place.accepted > 0) && is_new(place));
            asked.extend(places.iter().map(ListPlace::key));
            asked.sort_unstable();
        }
        // Those that were searched before are not among them any more.
        *shared = places.iter().take_while(|place| is_shared(place)).count();
        if progress.explanation.is_some() {
            Chosen { probed: chosen, asked, unreadable }.tell(step);
        }
    }

    /// Forgets the lists that were chosen last. Those that did not have to be searched count as never chosen.
    pub(super) fn end_turn(&mut self, step: &mut Step<'_>) {
        let unsearched = std::mem::take(&mut step.progress.unsearched);
        step.progress.chosen -= unsearched;
        let searched = self.places.len() - unsearched as usize; // CAST: widening
        for place in &self.places[searched..] {
            if let Ok(at) = self.asked.binary_search(&place.key()) {
                self.asked.remove(at);
            }
        }
        self.places.clear();
    }

    /// With all lists scanned: chooses more of them where a smaller share of the vectors near the query matches than of all. Their
    /// number is that for a filter which this share of all vectors matches. Returns whether there are more.
    pub(super) fn widen(&mut self, step: &mut Step<'_>) -> bool {
        let is_watched = self.wider.is_none() && step.filter_plan() == Some(FilterPlan::Post);
        let filtered = step.plan.filtered.filter(|_| is_watched);
        let Some((filtered, aim)) = filtered.and_then(|filtered| filtered.aim.map(|aim| (filtered, aim)))
        else {
            return false;
        };
        let share = step.progress.near.lacking(step.plan.k(), filtered.share);
        let Some(share) = share else { return false };
        step.progress.is_sparse = true;
        let (index, plan) = (step.query.index, step.plan);
        let aim = Aim { recall: 1.0 - FARTHEST * (1.0 - aim.recall), ..aim };
        let lists = Pruning::among(index, plan.k(), share, aim).max_lists.min(plan.stop.lists_max);
        if lists <= step.progress.chosen || step.progress.limited_by.is_some() || step.is_over() {
            return false;
        }
        self.wider = Some(lists);
        // What these lists tell is told.
        step.progress.near.begin(false, None);
        self.choose(step);
        if let Some(filtered) = &mut step.progress.filtered {
            filtered.widened = true;
        }
        true
    }

    /// Whether more lists are needed in place of those that turned out to be unreadable: the others hold fewer than `k`
    /// vectors.
    pub(super) fn is_short(&self, step: &Step<'_>) -> bool {
        let is_short = !self.unreadable.is_empty() && self.vectors < step.plan.k() as u64;
        let progress = &step.progress;
        // Lists with heads of too small a score take no other's place.
        let may_grow =
            progress.limited_by.is_none() && !progress.is_below && progress.chosen < step.plan.stop.lists_max;
        is_short && may_grow
    }

    /// Goes on without a list, given by its number among the places, that cannot be read or is damaged.
    pub(super) fn leave_out(&mut self, at: usize, reason: DamageReason, step: &mut Step<'_>) {
        let place = self.places[at];
        step.progress.missing.lists += 1;
        self.vectors -= place.accepted;
        if let Err(at) = self.unreadable.binary_search(&place.key()) {
            self.unreadable.insert(at, place.key());
        }
        damaged(&place, step);
        step.damage.add(place.segment, DamagedPart::List(place.list), place.extent(), reason);
    }

    pub(super) fn clear(&mut self) {
        kept::clear(&mut self.places);
        kept::clear(&mut self.asked);
        kept::clear(&mut self.unreadable);
        self.wider = None;
        self.shared = 0;
    }
}

/// Counts what choosing lists took.
fn note(progress: &mut Progress, chosen: &probe::Probed, planned: u32) {
    progress.chosen = chosen.lists;
    progress.work.lists = chosen.lists + chosen.shared;
    progress.work.head_distances = progress.work.head_distances.saturating_add(chosen.head_distances);
    if let Some(explanation) = &mut progress.explanation {
        explanation.shared_lists = chosen.shared;
        explanation.lists_planned = planned;
    }
    progress.is_below |= chosen.is_below;
    progress.end = progress.end.or(chosen.end);
}

/// Drops the farthest of the lists, nearest first, that go over a limit of bytes; `least` are kept in any case.
fn drain_over(bytes_max: u64, least: usize, places: &mut Vec<ListPlace>) -> Drain<'_, ListPlace> {
    let mut bytes = 0_u64;
    let kept = places.iter().take_while(|place| {
        bytes = bytes.saturating_add(place.bytes);
        bytes <= bytes_max
    });
    let kept = kept.count().max(least.min(places.len()));
    places.drain(kept..)
}
