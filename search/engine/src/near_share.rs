//! Whether the vectors nearest to a query match its filter as often as all vectors do.
use crate::collect::{Front, FrontState};
use crate::kept;

/// Fewer match near the query where their share is lower by more than this many standard deviations of chance.
const CHANCE: f64 = 3.0;

/// Estimates of distances, of vectors in lists that are searched whole.
#[derive(Debug, Default)]
pub(crate) struct NearShare {
    is_counted: bool,
    matching: Vec<f32>,
    others: Vec<f32>,
    /// The nearest of both, where the search ends by these.
    front: Front,
    /// Matches before which it does not end.
    wanted: usize,
}

/// What a search of whole lists follows, to end when it is found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Followed {
    /// Nearest vectors, whether they match or not.
    pub(crate) nearest: usize,
    /// Matches wanted.
    pub(crate) matches: usize,
}

impl NearShare {
    pub(crate) fn begin(&mut self, is_counted: bool, followed: Option<Followed>) {
        self.is_counted = is_counted;
        self.front.reset(followed.map_or(0, |followed| followed.nearest));
        self.wanted = followed.map_or(0, |followed| followed.matches);
        kept::clear(&mut self.matching);
        kept::clear(&mut self.others);
    }

    /// Whether this query counts them.
    pub(crate) fn is_counted(&self) -> bool {
        self.is_counted
    }

    /// Adds a vector near the query, if such are counted.
    #[inline]
    pub(crate) fn add(&mut self, estimate: f32, is_match: bool) {
        if self.is_counted {
            if is_match { &mut self.matching } else { &mut self.others }.push(estimate);
            if self.front.is_on() {
                self.front.offer(estimate);
            }
        }
    }

    /// Before the list that `searched` nearer ones were searched before.
    pub(crate) fn begin_list(&mut self, searched: u32) {
        self.front.begin_list(searched);
    }

    /// How the search for the nearest goes, matches or not, where that is followed and there are more matches than are wanted: the
    /// query itself may be one that is left out.
    pub(crate) fn front(&self) -> Option<FrontState> {
        if self.matching.len() > self.wanted { self.front.state() } else { None }
    }

    /// The share of matches among the vectors estimated to be no farther than the `k`-th match, where it is lower than `share` not by
    /// chance.
    pub(crate) fn lacking(&mut self, k: usize, share: f64) -> Option<f64> {
        let kth = k.min(self.matching.len()).checked_sub(1)?;
        let (_, &mut kth, _) = self.matching.select_nth_unstable_by(kth, f32::total_cmp);
        // CAST: counts, exact
        let near = |estimates: &[f32]| estimates.iter().filter(|&&estimate| estimate <= kth).count() as f64;
        let matching = near(&self.matching);
        let all = matching + near(&self.others);
        let chance = CHANCE * (share * (1.0 - share) / all).sqrt();
        (matching / all < share - chance).then(|| matching / all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A search for 3 matches ended after 4 near vectors of which none matched, with an empty answer.
    #[test]
    fn no_search_ends_before_it_has_the_matches_that_are_wanted() {
        let mut near = NearShare::default();
        near.begin(true, Some(Followed { nearest: 4, matches: 3 }));
        for at in 0..4_u8 {
            near.add(at.into(), false);
        }
        for at in 4..8_u8 {
            assert_eq!(near.front(), None, "{} matches", at - 4);
            near.add(at.into(), true);
        }
        assert_eq!(near.front().map(|front| front.kth), Some(3.0));
        near.begin(true, None);
        near.add(0.0, true);
        assert_eq!(near.front(), None, "nothing is followed");
    }

    #[test]
    fn fewer_matches_near_the_query_are_told_from_chance() {
        let of = |matching: u16, others: u16| {
            let mut near = NearShare::default();
            near.begin(true, None);
            (0..matching).for_each(|at| near.add(f32::from(at), true));
            (0..others).for_each(|at| near.add(f32::from(at) / 100.0, false));
            near
        };
        // Of 20 vectors, half of which are expected to match, 4 or more may do so by chance.
        assert_eq!(of(4, 16).lacking(10, 0.5), None);
        assert_eq!(of(3, 17).lacking(10, 0.5), Some(0.15));
        // Those that are farther than the tenth match do not count.
        assert_eq!(of(90, 2).lacking(10, 0.9), None);
        assert_eq!(of(90, 5000).lacking(10, 0.9), Some(10.0 / 911.0));
        assert_eq!(of(0, 900).lacking(10, 0.5), None, "nothing is known");
        let mut none = of(3, 17);
        none.begin(false, None);
        none.add(0.0, true);
        assert!(!none.is_counted() && none.lacking(10, 0.5).is_none());
    }
}
