//! How far a query is: what it took, what it may still take, and what it waits for.
use std::time::Instant;

use crate::answer::{Limit, Missing, Work};
use crate::explain::{Explanation, Round};
use crate::filter_plan::{FilterPlan, Filtered, PlanReason};
use crate::filtered::FilteredPlan;
use crate::near_share::NearShare;
use crate::plan::QueryPlan;
use crate::reads::{Extent, Outbox, pages_touched};
use crate::stages::StageClock;
use crate::terms::{End, Terms};

/// What every state of a query adds to.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) work: Work,
    /// Lists and pages left out.
    pub(crate) missing: Missing,
    /// What may still be asked of the disk.
    pub(crate) bytes_left: u64,
    pub(crate) limited_by: Option<Limit>,
    /// Lists chosen that were left out since they would take too many bytes, the farthest first.
    pub(crate) over_bytes: u32,
    /// Whether vectors of lists that were searched were left out for that.
    pub(crate) is_uncompared: bool,
    /// Lists chosen by nearness: those that are searched in any case are not among them.
    pub(crate) chosen: u32,
    /// Whether lists were left out since their heads' scores are too small.
    pub(crate) is_below: bool,
    /// Lists chosen that were not searched, since those before had found enough.
    pub(crate) unsearched: u32,
    /// Reads not yet back.
    pub(crate) reads_left: usize,
    /// Why the query was given up, if it was: what is still being read is not looked at.
    pub(crate) end: Option<End>,
    pub(crate) clock: StageClock,
    /// How the vectors that match the query's filter are searched, if it has one.
    pub(crate) filtered: Option<Filtered>,
    /// Whether the vectors near the query match its filter as often as all do.
    pub(crate) near: NearShare,
    /// Whether the lists planned for hold so few of these that nothing is known of the recall.
    pub(crate) is_sparse: bool,
    /// How the query is being answered, where it is to be explained.
    pub(crate) explanation: Option<Box<Explanation>>,
}

impl Progress {
    /// Whether the caller still waits, by `terms`; remembers if not.
    pub(crate) fn go_on(&mut self, terms: &Terms) -> bool {
        self.end = self.end.or_else(|| terms.end());
        self.end.is_none()
    }

    /// At the beginning of a query.
    pub(crate) fn begin(&mut self, plan: &QueryPlan, started: Instant) {
        self.work = Work::default();
        self.missing = Missing::default();
        (self.chosen, self.unsearched) = (0, 0);
        self.bytes_left = plan.stop.bytes_max;
        self.limited_by = None;
        (self.over_bytes, self.is_uncompared) = (0, false);
        self.is_below = false;
        self.end = None;
        self.filtered = plan.filtered.map(FilteredPlan::filtered);
        self.is_sparse = false;
        self.near.begin(plan.filtered.is_some_and(|filtered| filtered.aim.is_some()), plan.stop.followed);
        self.clock.begin(plan.times.then_some(started));
        let explanation = || Explanation {
            epsilon: plan.epsilon(),
            lists_planned: plan.lists(),
            min_head_score: plan.min_head_score,
            rerank: plan.rerank(),
            filter: plan.filtered.map(FilteredPlan::explained),
            ..Explanation::default()
        };
        self.explanation = plan.explain.then(|| Box::new(explanation()));
    }

    /// Goes over to comparing the codes of all vectors that match: the lists planned for hold few of these.
    pub(crate) fn compare_codes(&mut self) {
        (self.work.lists, self.chosen) = (0, 0);
        if let Some(filtered) = &mut self.filtered {
            filtered.plan = FilterPlan::Codes;
        }
        let Some(explanation) = &mut self.explanation else { return };
        explanation.shared_lists = 0;
        if let Some(told) = &mut explanation.filter {
            (told.plan, told.reason) = (FilterPlan::Codes, PlanReason::Sparse);
        }
    }

    /// Counts vectors of a list that were compared, or estimated from their codes.
    pub(crate) fn scanned(&mut self, list: (u16, u32), vectors: u64) {
        self.work.vectors_scanned += vectors;
        let Some(explanation) = &mut self.explanation else { return };
        let mut told = explanation.lists.items.iter_mut();
        if let Some(told) = told.find(|told| (told.segment, told.list) == list) {
            told.scanned += vectors as u32; // CAST: a list has fewer than 2^32 vectors
        }
    }

    /// Asks for parts of files, numbered from `first` on, in one round.
    pub(crate) fn ask(&mut self, first: usize, extents: impl Iterator<Item = Extent>, out: &mut Outbox<'_>) {
        let (mut count, before, mut part) = (0, self.work.read_bytes, None);
        for extent in extents {
            part.get_or_insert(extent.part());
            let read = out.push(extent, first + count);
            self.work.pages += pages_touched(&read);
            self.work.read_bytes += u64::from(read.bytes);
            count += 1;
        }
        self.reads_left += count;
        self.work.reads += count as u32; // CAST: at most one per list or page
        self.work.rounds += u32::from(count > 0);
        if let (Some(explanation), Some(part)) = (&mut self.explanation, part) {
            let (reads, bytes) = (count as u32, self.work.read_bytes - before); // CAST: at most one per list or page
            explanation.asked(Round { part, reads, bytes });
        }
    }
}
