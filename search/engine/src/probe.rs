//! Which lists a query reads: those of the nearest heads, pruned, but enough of them to hold `k` vectors.
use spandrel_index::heads::{HeadIndexKind, HeadQuery, Scratch};

use crate::fetch::{ListPlace, SEGMENT};
use crate::kept;
use crate::plan::{ProbePlan, QueryPlan};
use crate::subject::Query;

/// Heads followed in a graph beyond those wanted.
///
/// On 1 000 000 SIFT vectors with 125 000 heads, 48 more lose 0.0015 of recall at 40 lists and 0.0006 at 96
/// against an exact search among the heads; 10 more lose 0.005 at 40 and save a sixth of the processor time.
const EXTRA_HEADS: usize = 48;

/// Finds the lists of queries. One per worker.
#[derive(Debug, Default)]
pub(crate) struct Prober {
    scratch: Scratch,
    /// The heads nearest to the last query, ascending by distance.
    nearest: Vec<(f32, u32)>,
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
}

impl Prober {
    /// The head nearest to the last query.
    pub(crate) fn nearest(&self) -> Option<u32> {
        self.nearest.first().map(|&(_, head)| head)
    }

    /// Chooses lists for a query, into `out`, nearest first.
    ///
    /// Those within epsilon among the nearest `lists` of the plan are chosen in any case, and then the next nearest until
    /// those that can be read hold `k` vectors that may be answers, or there are `lists_max`.
    pub(crate) fn choose(
        &mut self,
        query: &Query<'_>,
        plan: &QueryPlan,
        is_unreadable: impl Fn(u32) -> bool,
        out: &mut Vec<ListPlace>,
    ) -> Probed {
        let (index, k) = (query.index, plan.collect.k as u64);
        let (directory, layout) = (index.directory(), index.list_layout());
        kept::clear(&mut self.nearest);
        if k == 0 {
            out.clear();
            return Probed::default();
        }
        // Whether lists say where their copies lie, which may be answers too.
        let has_copies = index.model().is_some() && index.resident_codes().is_none();
        let mut heads = plan.probe.lists;
        let mut head_distances = 0_u32;
        loop {
            let head_query = HeadQuery {
                row: query.head_row,
                k: heads as usize,
                ef: probe_width(index.head_index().kind(), heads),
            };
            let computed =
                index.head_index().search(index.heads(), &head_query, &mut self.scratch, &mut self.nearest);
            head_distances = head_distances.saturating_add(computed);
            let within = self.within_epsilon(&plan.probe);
            let mut probed = Probed { head_distances, ..Probed::default() };
            out.clear();
            for (at, &near) in self.nearest.iter().enumerate() {
                if at >= within && probed.vectors >= k {
                    break;
                }
                probed.lists += 1;
                let mut place = ListPlace::of(near, directory, &layout);
                if !query.accept.is_all() {
                    let start = directory.first_position(place.list);
                    place.accepted = query.accept.count(SEGMENT, start..start + place.primaries);
                    if place.accepted == 0 && !(has_copies && place.replicas > 0) {
                        continue;
                    }
                }
                if place.bytes == 0 {
                    continue;
                }
                if is_unreadable(place.list) {
                    probed.unreadable += 1;
                    continue;
                }
                probed.vectors += place.accepted;
                out.push(place);
            }
            let missing = (k).saturating_sub(probed.vectors);
            if missing == 0 || heads >= plan.stop.lists_max {
                return probed;
            }
            let mean = (index.vectors() / u64::from(index.lists())).max(1);
            // Twice as many at least, so that lists much shorter than most take few turns.
            let more = (2 * missing.div_ceil(mean)).max(heads.into());
            let wanted = u64::from(heads) + more;
            heads = wanted.min(plan.stop.lists_max.into()) as u32; // CAST: at most `lists_max`
        }
    }

    /// How many of the nearest heads are within epsilon, of as many as are to be read: at least one, so that the nearest
    /// list is read even where a distance is no number.
    fn within_epsilon(&self, plan: &ProbePlan) -> usize {
        let few = &self.nearest[..self.nearest.len().min(plan.lists as usize)];
        let Some(&(first, _)) = few.first() else { return 0 };
        let bound = plan.head_bound(first);
        few.partition_point(|&(distance, _)| distance <= bound).max(1)
    }
}

/// How many heads have their links followed to find this many.
pub(crate) fn probe_width(kind: HeadIndexKind, heads: u32) -> usize {
    match kind {
        HeadIndexKind::Flat => heads as usize,
        HeadIndexKind::Graph => heads as usize + EXTRA_HEADS,
    }
}
