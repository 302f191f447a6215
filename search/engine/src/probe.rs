//! Which lists a query reads: those of the nearest heads, pruned, but enough of them to hold `k` vectors.
use spandrel_index::codes::CodeSpec;
use spandrel_index::heads::{HeadIndexKind, HeadQuery, Scratch};
use spandrel_index::order::{PIECE, sort_while};
use spandrel_index::{Index, Tier};

use crate::fetch::{ListPlace, NearList};
use crate::kept;
use crate::plan::{ProbePlan, QueryPlan};
use crate::subject::Query;
use crate::terms::End;

/// Heads followed in a graph beyond those wanted.
///
/// On 1 000 000 SIFT vectors with 125 000 heads, 48 more lose 0.0015 of recall at 40 lists and 0.0006 at 96
/// against an exact search among the heads; 10 more lose 0.005 at 40 and save a sixth of the processor time.
const EXTRA_HEADS: usize = 48;

/// Lists hold few matches that hold less than this share of those that they would hold of a filter that is independent of the
/// query.
const SPARSE: f64 = 0.5;
/// More lists are then searched until they hold this many times those.
const RELEVANT: f64 = 6.0;

/// Finds the lists of queries. One per worker.
#[derive(Debug, Default)]
pub(crate) struct Prober {
    scratch: Scratch,
    /// Heads of one segment nearest to the query, ascending by distance.
    heads: Vec<(f32, u32)>,
    /// The nearest head of each segment that has heads of its own.
    first: Vec<(u16, u32)>,
    /// The lists of all segments whose heads are nearest to the last query, ascending by distance.
    nearest: Vec<NearList>,
}

/// What a probe found.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Probed {
    /// Lists chosen, empty and unreadable ones included.
    pub(crate) lists: u32,
    /// Distances to heads computed.
    pub(crate) head_distances: u32,
    /// Lists chosen that cannot be read.
    pub(crate) unreadable: u32,
    /// Vectors that may be answers whose own list was chosen and can be read: no more than there are, since copies are not
    /// counted.
    pub(crate) vectors: u64,
    /// Whether the lists planned for hold fewer than half of the matches that they would hold of a filter that is independent
    /// of the query.
    pub(crate) is_sparse: bool,
    /// Why the search for heads was given up, if it was; nothing is chosen then.
    pub(crate) end: Option<End>,
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
    /// Those within epsilon among the nearest `lists` of the plan are chosen in any case, and then the next nearest until
    /// those that can be read hold `k` vectors that may be answers, or there are `lists_max`. `end` is asked now and then
    /// whether to go on.
    pub(crate) fn choose(
        &mut self,
        query: &Query<'_>,
        plan: &QueryPlan,
        is_unreadable: impl Fn((u16, u32)) -> bool,
        mut end: impl FnMut() -> Option<End>,
        out: &mut Vec<ListPlace>,
    ) -> Probed {
        let (index, k) = (query.index, plan.k() as u64);
        let guard = Guard::of(plan);
        kept::clear(&mut self.nearest);
        if k == 0 {
            out.clear();
            return Probed::default();
        }
        // Whether lists say where their copies lie, which may be answers too.
        let has_copies = index.code() != CodeSpec::Full && index.codes_tier() == Tier::Ssd;
        let mut lists = plan.probe.lists;
        let mut head_distances = 0_u32;
        loop {
            let mut ended = None;
            let mut go_on = || {
                ended = ended.or_else(&mut end);
                ended.is_none()
            };
            let computed = self.search(index, query.head_row, lists, &mut go_on);
            head_distances = head_distances.saturating_add(computed);
            if ended.is_some() {
                out.clear();
                return Probed { head_distances, end: ended, ..Probed::default() };
            }
            let within = self.within_epsilon(&plan.probe);
            let mut probed = Probed { head_distances, ..Probed::default() };
            // Vectors of the lists planned for, and those wanted that may be answers.
            let (mut passed, mut wanted) = (0, None);
            out.clear();
            for (at, &near) in self.nearest.iter().enumerate() {
                if at >= within
                    && probed.vectors >= *wanted.get_or_insert_with(|| guard.wanted(&probed, passed))
                {
                    break;
                }
                if at % PIECE == PIECE - 1
                    && let Some(end) = end()
                {
                    out.clear();
                    return Probed { head_distances, end: Some(end), ..Probed::default() };
                }
                probed.lists += 1;
                let segment = query.segment(near.segment);
                let positions = segment.directory.positions(near.list);
                passed += positions.len() as u64; // CAST: widening
                let accepted = query.accept.count(near.segment, positions);
                // Most lists of a filter that few vectors match end here.
                if accepted == 0 && !query.accept.is_all() && !has_copies {
                    continue;
                }
                let place = ListPlace { accepted, ..ListPlace::of(near, segment) };
                if accepted == 0 && !query.accept.is_all() && place.replicas == 0 {
                    continue;
                }
                if place.bytes == 0 {
                    continue;
                }
                if is_unreadable(place.key()) {
                    probed.unreadable += 1;
                    continue;
                }
                probed.vectors += place.accepted;
                out.push(place);
            }
            let wanted = wanted.unwrap_or_else(|| guard.wanted(&probed, passed));
            probed.is_sparse = wanted > k;
            let missing = wanted.saturating_sub(probed.vectors);
            if missing == 0 || lists >= plan.stop.lists_max || probed.is_sparse && guard.gives_up {
                return probed;
            }
            let mean = (index.vectors() / u64::from(index.lists())).max(1);
            // At least twice the number, so that lists much shorter than most take few turns.
            let more = (2 * missing.div_ceil(mean)).max(lists.into());
            let wanted = u64::from(lists) + more;
            lists = wanted.min(plan.stop.lists_max.into()) as u32; // CAST: at most `lists_max`
        }
    }

    /// Finds the nearest head of each segment with heads of its own: how many distances that took.
    pub(crate) fn choose_none(&mut self, query: &Query<'_>, mut end: impl FnMut() -> Option<End>) -> Probed {
        let mut ended = None;
        let mut go_on = || {
            ended = ended.or_else(&mut end);
            ended.is_none()
        };
        let head_distances = self.search(query.index, query.head_row, 1, &mut go_on);
        Probed { head_distances, end: ended, ..Probed::default() }
    }

    /// Finds the nearest lists of all segments together: how many distances that took.
    fn search(&mut self, index: &Index, row: &[u8], lists: u32, go_on: &mut dyn FnMut() -> bool) -> u32 {
        let Prober { scratch, heads, first, nearest } = self;
        let mut computed = 0_u32;
        nearest.clear();
        first.clear();
        for (number, owner) in (0..).zip(index.segments()) {
            if owner.heads_of != number {
                continue;
            }
            let count = lists.min(owner.lists());
            let ef = probe_width(owner.head_index.kind(), count);
            let query = HeadQuery { row, k: count as usize, ef };
            let found = owner.head_index.search_while(&owner.heads, &query, scratch, heads, go_on);
            computed = computed.saturating_add(found);
            first.extend(heads.first().map(|&(_, head)| (number, head)));
            // Each segment with these heads has a list under each of them.
            let sharing = (0..).zip(index.segments()).filter(|(_, segment)| segment.heads_of == number);
            for (segment, _) in sharing {
                nearest.extend(heads.iter().map(|&(distance, list)| NearList { distance, segment, list }));
            }
        }
        if index.segments().len() > 1 {
            let key = |near: &NearList| (near.segment, near.list);
            let order =
                |a: &NearList, b: &NearList| a.distance.total_cmp(&b.distance).then(key(a).cmp(&key(b)));
            sort_while(nearest, order, go_on);
            nearest.truncate(lists as usize);
        }
        computed
    }

    /// How many of the nearest heads are within epsilon, among those to be read: at least one, so that the nearest
    /// list is read even where a distance is no number.
    pub(crate) fn within_epsilon(&self, plan: &ProbePlan) -> usize {
        let few = &self.nearest[..self.nearest.len().min(plan.lists as usize)];
        let Some(first) = few.first() else { return 0 };
        let bound = plan.head_bound(first.distance);
        few.partition_point(|near| near.distance <= bound).max(1)
    }
}

/// What says whether the lists planned for hold enough matches of a filter.
#[derive(Debug, Clone, Copy)]
struct Guard {
    k: u64,
    /// Vectors that match.
    matches: u64,
    /// Share of all vectors that match, where fewer near the query count.
    share: Option<f64>,
    /// Whether lists are given up where they hold too few.
    gives_up: bool,
}

impl Guard {
    fn of(plan: &QueryPlan) -> Guard {
        // A query that names its own pruning gets what it names.
        let filtered = plan.filtered.filter(|of| of.plan.has_lists() && plan.promise().is_some());
        Guard {
            k: plan.k() as u64, // CAST: widening
            matches: filtered.map_or(u64::MAX, |filtered| filtered.matches),
            share: filtered.map(|filtered| filtered.share),
            gives_up: filtered.is_some_and(|filtered| filtered.may_change),
        }
    }

    /// How many vectors that may be answers are wanted, where the lists planned for are `probed` and have `passed` vectors.
    fn wanted(&self, probed: &Probed, passed: u64) -> u64 {
        let expected = self.share.map_or(0.0, |share| share * passed as f64); // CAST: below 2^53, here and below
        if probed.vectors as f64 >= SPARSE * expected {
            return self.k;
        }
        self.k.max((RELEVANT * expected).ceil() as u64).min(self.matches)
    }
}

/// How many heads have their links followed to find this many.
pub(crate) fn probe_width(kind: HeadIndexKind, heads: u32) -> usize {
    match kind {
        HeadIndexKind::Flat => heads as usize,
        HeadIndexKind::Graph => heads as usize + EXTRA_HEADS,
    }
}
