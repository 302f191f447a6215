//! Which lists a query reads: those of the nearest heads, pruned, but enough of them to hold `k` vectors.
use spandrel_index::heads::{HeadIndexKind, HeadQuery, Scratch};
use spandrel_index::order::{PIECE, sort_while};
use spandrel_index::{Index, Tier};

use crate::ahead::Ahead;
use crate::fetch::{ListPlace, NearList};
use crate::guard::Guard;
use crate::heads::{HeadProducts, compare_heads};
use crate::kept;
use crate::plan::QueryPlan;
use crate::spend::ProbePlan;
use crate::subject::Query;
use crate::terms::End;
use crate::together::{RunLists, runs_of, shared_from};

/// Heads followed in a graph beyond those wanted.
///
/// On 1 000 000 SIFT vectors with 125 000 heads, 48 more lose 0.0015 of recall at 40 lists and 0.0006 at 96
/// against an exact search among the heads; 10 more lose 0.005 at 40 and save a sixth of the processor time.
const EXTRA_HEADS: usize = 48;

/// Finds the lists of queries. One per worker.
#[derive(Debug, Default)]
pub(crate) struct Prober {
    scratch: Scratch,
    /// Heads scored for the next queries.
    pub(crate) ahead: Ahead,
    /// Heads of one segment nearest to the query, ascending by distance.
    heads: Vec<(f32, u32)>,
    /// The nearest head of each segment that has heads of its own.
    first: Vec<(u16, u32)>,
    /// The lists that values of a partition share, of those that are looked at.
    shared: Vec<NearList>,
    /// Of heads that are compared one by one.
    distances: Vec<f32>,
    /// Inner products of the query with heads, where they decide.
    products: HeadProducts,
    /// The lists of all segments whose heads are nearest to the last query, ascending by distance.
    nearest: Vec<NearList>,
    /// How far the first of them was, before any was left out.
    nearest_distance: Option<f32>,
}

/// What a probe found.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Probed {
    /// Lists chosen by nearness, empty and unreadable ones included.
    pub(crate) lists: u32,
    /// Lists that are searched besides, since small values of a partition share them; they come first.
    pub(crate) shared: u32,
    /// Distances to heads computed.
    pub(crate) head_distances: u32,
    /// Lists chosen that cannot be read.
    pub(crate) unreadable: u32,
    /// Vectors that may be answers whose own list was chosen and can be read: no more than there are, since copies are not
    /// counted.
    pub(crate) vectors: u64,
    /// Whether the lists planned for hold fewer of the matches than they would hold of a filter that is independent of the query.
    pub(crate) is_sparse: bool,
    /// Whether fewer than half.
    pub(crate) is_far: bool,
    /// Whether more lists were chosen for that.
    pub(crate) is_widened: bool,
    /// Whether lists are given up for that.
    pub(crate) is_given_up: bool,
    /// Whether lists were left out since their heads' scores are too small.
    pub(crate) is_below: bool,
    /// Why the search for heads was given up, if it was; nothing is chosen then.
    pub(crate) end: Option<End>,
}

/// The lists to take in place of `lists`, in which `missing` of the vectors wanted are missing.
fn more_lists(index: &Index, lists: u32, missing: u64) -> u32 {
    let mean = (index.vectors() / u64::from(index.lists())).max(1);
    // At least twice the number, so that lists much shorter than most take few turns.
    let more = (2 * missing.div_ceil(mean)).max(lists.into());
    u32::try_from(u64::from(lists) + more).unwrap_or(u32::MAX)
}

impl Prober {
    /// Of each segment with heads of its own, by number, the head nearest to the last query.
    pub(crate) fn nearest_heads(&self) -> &[(u16, u32)] {
        &self.first
    }

    /// Takes over what is known of the heads nearest to the next query.
    pub(crate) fn set_nearest_heads(&mut self, heads: &[(u16, u32)]) {
        self.first.clear();
        self.first.extend_from_slice(heads);
    }

    /// The lists whose heads were found nearest to the last query, ascending by distance: at least those that were chosen.
    pub(crate) fn nearest(&self) -> &[NearList] {
        &self.nearest
    }

    /// Chooses lists for a query, into `out`, nearest first.
    ///
    /// Those within epsilon among the nearest `lists` of `probe` are chosen in any case, and then the next nearest until
    /// those that can be read hold `k` vectors that may be answers, or there are `lists_max`. `end` is asked now and then
    /// whether to go on.
    #[expect(clippy::too_many_lines, reason = "one loop, whose parts share its counts")]
    pub(crate) fn choose(
        &mut self,
        query: &Query<'_>,
        plan: &QueryPlan,
        probe: &ProbePlan,
        is_unreadable: impl Fn((u16, u32)) -> bool,
        mut end: impl FnMut() -> Option<End>,
        out: &mut Vec<ListPlace>,
    ) -> Probed {
        let (index, k) = (query.index, plan.k() as u64); // CAST: widening
        // Whether vectors near the query match is told by all of these.
        let keeps_empty =
            index.codes_tier() == Tier::Memory && plan.filtered.is_some_and(|of| of.aim.is_some());
        kept::clear(&mut self.nearest);
        kept::clear(&mut self.shared);
        out.clear();
        if k == 0 {
            return Probed::default();
        }
        let mut lists = probe.lists.saturating_add(probe.beyond).min(plan.stop.lists_max);
        let mut ended = None;
        let mut go_on = || {
            ended = ended.or_else(&mut end);
            ended.is_none()
        };
        let mut head_distances = self.find_shared(query, probe, &mut go_on);
        let are_below = self.leave_out_below(query, plan, &mut go_on);
        if ended.is_some() {
            return Probed { head_distances, end: ended, ..Probed::default() };
        }
        // Those of a partition's small values are searched in any case, and come first.
        let shared = self.take_shared(query, keeps_empty, &is_unreadable, out);
        let shared_places = out.len();
        let guard = Guard::of(plan, probe, query, shared.vectors);
        loop {
            let mut ended = None;
            let mut go_on = || {
                ended = ended.or_else(&mut end);
                ended.is_none()
            };
            let computed = self.find(query, probe, lists, &mut go_on);
            head_distances = head_distances.saturating_add(computed);
            let is_below = self.leave_out_below(query, plan, &mut go_on) || are_below;
            if ended.is_some() {
                out.clear();
                return Probed { head_distances, end: ended, ..Probed::default() };
            }
            let within = self.within_epsilon(probe);
            let mut probed = Probed { head_distances, is_below, ..Probed::default() };
            // Vectors of the lists planned for, and those wanted that may be answers.
            let (mut passed, mut wanted) = (0, None);
            out.truncate(shared_places);
            for (at, &near) in self.nearest.iter().enumerate() {
                if at >= within {
                    let wanted = wanted.get_or_insert_with(|| guard.wanted(probed.vectors, passed));
                    let is_settled = wanted.is_none || wanted.vectors > guard.k;
                    let beyond = if is_settled { 0 } else { probe.beyond as usize }; // CAST: widening
                    if probed.vectors >= wanted.vectors && at >= within + beyond {
                        break;
                    }
                }
                if at % PIECE == PIECE - 1
                    && let Some(end) = end()
                {
                    out.clear();
                    return Probed { head_distances, end: Some(end), ..Probed::default() };
                }
                probed.lists += 1;
                let segment = query.segment(near.segment);
                if guard.share.is_some() {
                    passed += segment.directory.positions(near.list).len() as u64; // CAST: widening
                }
                let Some(place) = place_of(query, near, keeps_empty) else { continue };
                if is_unreadable(place.key()) {
                    probed.unreadable += 1;
                    continue;
                }
                probed.vectors += place.accepted;
                out.push(place);
            }
            let wanted = wanted.unwrap_or_else(|| guard.wanted(probed.vectors, passed));
            (probed.is_sparse, probed.is_given_up) = (wanted.vectors > guard.k, wanted.is_none);
            probed.is_far = wanted.is_far;
            probed.is_widened = probed.is_sparse && probed.lists as usize > within; // CAST: widening
            let missing = wanted.vectors.saturating_sub(probed.vectors);
            if missing == 0 || lists >= plan.stop.lists_max {
                return Probed {
                    shared: shared.shared,
                    unreadable: probed.unreadable + shared.unreadable,
                    vectors: probed.vectors + shared.vectors,
                    ..probed
                };
            }
            lists = more_lists(index, lists, missing).min(plan.stop.lists_max);
        }
    }

    /// Leaves out lists whose heads' scores are too small: whether there were some. The others stay once `go_on` says no.
    fn leave_out_below(
        &mut self,
        query: &Query<'_>,
        plan: &QueryPlan,
        go_on: &mut dyn FnMut() -> bool,
    ) -> bool {
        let Some(least) = plan.min_head_score else { return false };
        let Prober { nearest, shared, products, .. } = self;
        let found = nearest.len() + shared.len();
        products.begin(query);
        let (mut at, mut goes_on) = (0, true);
        for lists in [&mut *nearest, &mut *shared] {
            lists.retain(|near| {
                at += 1;
                goes_on = goes_on && (at % PIECE > 0 || go_on());
                !goes_on || products.of(query, near) >= least
            });
        }
        nearest.len() + shared.len() < found
    }

    /// Takes the lists that values of a partition share, those that can be read.
    fn take_shared(
        &self,
        query: &Query<'_>,
        keeps_empty: bool,
        is_unreadable: impl Fn((u16, u32)) -> bool,
        out: &mut Vec<ListPlace>,
    ) -> Probed {
        let mut taken = Probed { shared: self.shared.len() as u32, ..Probed::default() }; // CAST: lists are numbered by u32
        for place in self.shared.iter().filter_map(|&near| place_of(query, near, keeps_empty)) {
            if is_unreadable(place.key()) {
                taken.unreadable += 1;
                continue;
            }
            taken.vectors += place.accepted;
            out.push(place);
        }
        taken
    }

    /// Finds the nearest head of each segment with heads of its own: how many distances that took.
    pub(crate) fn choose_none(
        &mut self,
        query: &Query<'_>,
        plan: &ProbePlan,
        mut end: impl FnMut() -> Option<End>,
    ) -> Probed {
        let mut ended = None;
        let mut go_on = || {
            ended = ended.or_else(&mut end);
            ended.is_none()
        };
        kept::clear(&mut self.shared);
        // Where matches lie together, these lists may be all.
        let shared = if plan.together.is_some() { self.find_shared(query, plan, &mut go_on) } else { 0 };
        let head_distances = shared.saturating_add(self.find(query, plan, 1, &mut go_on));
        Probed { head_distances, end: ended, ..Probed::default() }
    }

    /// All lists that values of a partition share, unless `go_on` says meanwhile that they are not wanted any more.
    pub(crate) fn all_shared(&mut self, query: &Query<'_>, go_on: &mut dyn FnMut() -> bool) -> &[NearList] {
        self.shared.clear();
        let lists =
            (0..).zip(query.index.segments()).map(|(number, segment)| (number, segment.shared_lists()));
        compare_heads(query, lists, &mut self.distances, &mut self.shared, go_on);
        &self.shared
    }

    /// Finds the lists that values of a partition share, of those that are looked at: how many distances that took.
    fn find_shared(&mut self, query: &Query<'_>, plan: &ProbePlan, go_on: &mut dyn FnMut() -> bool) -> u32 {
        match (plan.together, query.accept.matches()) {
            (Some(_), Some(matches)) => {
                let lists = runs_of(matches, query.index).map(|RunLists { number, segment, lists }| {
                    (number, lists.start.max(shared_from(segment))..lists.end)
                });
                compare_heads(query, lists, &mut self.distances, &mut self.shared, go_on);
            }
            _ => {
                self.all_shared(query, go_on);
            }
        }
        self.shared.len() as u32 // CAST: lists are numbered by u32
    }

    /// Finds the nearest of the lists that are looked at: how many distances that took.
    fn find(
        &mut self,
        query: &Query<'_>,
        plan: &ProbePlan,
        lists: u32,
        go_on: &mut dyn FnMut() -> bool,
    ) -> u32 {
        let computed = match plan.together {
            Some(_) => self.search_together(query, lists, go_on),
            None => self.search(query.index, query.head_row, lists, go_on),
        };
        self.nearest_distance = self.nearest.first().map(|near| near.distance);
        computed
    }

    /// Finds the nearest lists of all segments together: how many distances that took.
    pub(crate) fn search(
        &mut self,
        index: &Index,
        row: &[u8],
        lists: u32,
        go_on: &mut dyn FnMut() -> bool,
    ) -> u32 {
        let Prober { scratch, ahead, heads, first, nearest, .. } = self;
        let mut computed = 0_u32;
        nearest.clear();
        first.clear();
        for (number, owner) in (0..).zip(index.segments()) {
            if owner.heads_of != number {
                continue;
            }
            let count = lists.min(owner.found_lists());
            let ef = probe_width(owner.head_index.kind(), count);
            let query = HeadQuery { row, k: count as usize, ef };
            let scored = ahead.nearest(query.k, scratch, heads, go_on);
            let found = scored.unwrap_or_else(|| {
                owner.head_index.search_while(&owner.heads, &query, scratch, heads, go_on)
            });
            computed = computed.saturating_add(found);
            first.extend(heads.first().map(|&(_, head)| (number, head)));
            // Each segment with these heads has a list under each of them.
            let sharing = (0..).zip(index.segments()).filter(|(_, segment)| segment.heads_of == number);
            for (segment, _) in sharing {
                nearest.extend(heads.iter().map(|&(distance, list)| NearList { distance, segment, list }));
            }
        }
        if index.segments().len() > 1 {
            sort_while(nearest, NearList::order, go_on);
            nearest.truncate(lists as usize);
        }
        computed
    }

    /// Finds the nearest of the lists that hold the matches of the query's filter, which lie together: how many distances that took.
    fn search_together(&mut self, query: &Query<'_>, lists: u32, go_on: &mut dyn FnMut() -> bool) -> u32 {
        let Prober { first, nearest, shared, distances, .. } = self;
        nearest.clear();
        first.clear();
        let Some(matches) = query.accept.matches() else { return 0 };
        let of_run = |RunLists { number, segment, lists }: RunLists<'_>| {
            (number, lists.start..lists.end.min(shared_from(segment)))
        };
        compare_heads(query, runs_of(matches, query.index).map(of_run), distances, nearest, go_on);
        for (number, _) in (0..).zip(query.index.segments()) {
            let all = nearest.iter().chain(&*shared);
            let owned = all.filter(|near| query.segment(near.segment).heads_of == number);
            first.extend(owned.min_by(|a, b| NearList::order(a, b)).map(|near| (number, near.list)));
        }
        let computed = nearest.len() as u32; // CAST: lists are numbered by u32
        let count = (lists as usize).min(nearest.len());
        if count < nearest.len() {
            nearest.select_nth_unstable_by(count, NearList::order);
            nearest.truncate(count);
        }
        sort_while(nearest, NearList::order, go_on);
        computed
    }

    /// How many of the nearest heads are within epsilon, among those to be read: at least one, so that the nearest
    /// list is read even where a distance is no number.
    pub(crate) fn within_epsilon(&self, plan: &ProbePlan) -> usize {
        let few = &self.nearest[..self.nearest.len().min(plan.lists as usize)];
        let (Some(first), false) = (self.nearest_distance, few.is_empty()) else { return 0 };
        let bound = plan.head_bound(first);
        few.partition_point(|near| near.distance <= bound).max(1)
    }
}

/// Where a list lies that holds a vector which may be an answer, or may hold one, or any list but those of no vector.
fn place_of(query: &Query<'_>, near: NearList, keeps_empty: bool) -> Option<ListPlace> {
    let (index, segment) = (query.index, query.segment(near.segment));
    if query.accept.is_all() {
        return Some(ListPlace::of(near, segment)).filter(|place| place.bytes > 0);
    }
    // Lists on SSD say where their copies lie, which may be answers too.
    let has_copies = index.codes_tier() == Tier::Ssd;
    let accepted = query.accept.count(near.segment, segment.directory.positions(near.list));
    // Most lists end here where few vectors match.
    if accepted == 0 && !has_copies && !keeps_empty {
        return None;
    }
    let place = ListPlace { accepted, ..ListPlace::of(near, segment) };
    (place.bytes > 0 && (accepted > 0 || place.replicas > 0 || keeps_empty)).then_some(place)
}

/// How many heads have their links followed to find this many.
pub(crate) fn probe_width(kind: HeadIndexKind, heads: u32) -> usize {
    match kind {
        HeadIndexKind::Flat => heads as usize,
        HeadIndexKind::Graph => heads as usize + EXTRA_HEADS,
    }
}

#[cfg(test)]
mod tests;
