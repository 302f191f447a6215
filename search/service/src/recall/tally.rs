//! What the queries that were compared say of recall.
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use spandrel_engine::RecallEstimate;

use super::kept::Asked;

/// Queries of a kind that an estimate is made of: the last that were compared.
const QUERIES: usize = 1024;
/// Kinds of a caller's queries told apart; a further one takes the place of the one that had a query the longest ago.
const KINDS: usize = 16;
/// Callers told apart, in the same way: by the names that tokens and certificates have. What one asks changes nothing for others.
const CALLERS: usize = 16;
/// What queries are taken to miss at most, divided by what those miss that the index was calibrated with.
const MISSES_MAX: f64 = 32.0;

/// Recall of the last queries, by what they asked for; the kind of the last query is the last.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Vec<Kind>>);

#[derive(Debug)]
struct Kind {
    caller: Arc<str>,
    /// Its misses are those that the next queries are searched with.
    asked: Asked,
    compared: VecDeque<Compared>,
    is_warned: bool,
}

/// What came of a query that was compared with every vector.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Compared {
    pub(crate) recall: f64,
    /// Whether the index said that it reaches its target. One where it did not falls under nothing.
    pub(crate) is_promised: bool,
}

/// A correction of the queries of a caller.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Correction {
    pub(crate) caller: Arc<str>,
    /// As it was measured before.
    pub(crate) measured: Measured,
    pub(crate) misses: f64,
}

/// The recall of queries that asked for the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Measured {
    pub(crate) asked: Asked,
    pub(crate) estimate: RecallEstimate,
    /// Of those among them that were promised their target.
    pub(crate) promised: RecallEstimate,
}

impl Measured {
    fn of(asked: Asked, compared: &[Compared]) -> Measured {
        let recalls: Vec<f64> = compared.iter().map(|of| of.recall).collect();
        let promised: Vec<f64> = compared.iter().filter(|of| of.is_promised).map(|of| of.recall).collect();
        Measured { asked, estimate: RecallEstimate::of(&recalls), promised: RecallEstimate::of(&promised) }
    }

    /// Whether the recall of queries that were promised their target is under it with confidence.
    pub(crate) fn is_under(&self) -> bool {
        self.promised.high < self.asked.target
    }
}

impl Tally {
    /// Counts a query of a caller, unless it was searched before its kind was corrected.
    pub(crate) fn add(&self, caller: &Arc<str>, asked: Asked, compared: Compared) {
        let mut kinds = self.lock();
        let is_same = |kind: &Kind| kind.is(caller, asked.k, asked.target);
        let mut kind = match kinds.iter().position(is_same) {
            Some(at) if kinds[at].asked.misses != asked.misses => return,
            Some(at) => kinds.remove(at),
            None => {
                make_room(&mut kinds, caller);
                Kind { caller: Arc::clone(caller), asked, compared: VecDeque::new(), is_warned: false }
            }
        };
        if kind.compared.len() == QUERIES {
            kind.compared.pop_front();
        }
        kind.compared.push_back(compared);
        kinds.push(kind);
    }

    /// What is known of the queries of all callers, by `k` and then by target; with the misses of the caller who has the most.
    pub(crate) fn measured(&self) -> Vec<Measured> {
        let kinds = self.lock();
        let known = kinds.iter().filter(|kind| !kind.compared.is_empty());
        let mut known: Vec<(Asked, Vec<Compared>)> =
            known.map(|kind| (kind.asked, kind.compared.iter().copied().collect())).collect();
        drop(kinds);
        known.sort_by(|(a, _), (b, _)| a.k.cmp(&b.k).then(a.target.total_cmp(&b.target)));
        known.dedup_by(|(asked, compared), (before, all)| {
            let is_same = (asked.k, asked.target) == (before.k, before.target);
            if is_same {
                *before = Asked { misses: before.misses.max(asked.misses), ..*asked };
                all.append(compared);
            }
            is_same
        });
        known.into_iter().map(|(asked, compared)| Measured::of(asked, &compared)).collect()
    }

    /// What a caller's queries of a kind are taken to miss, divided by what those miss that the index was calibrated with.
    pub(crate) fn misses(&self, caller: &str, k: usize, target: f64) -> f64 {
        let kinds = self.lock();
        let kind = kinds.iter().find(|kind| kind.is(caller, k, target));
        kind.map_or(1.0, |kind| kind.asked.misses)
    }

    /// Raises the misses of kinds that fell under their targets, lowers those of kinds that stay above, and forgets the recalls of both.
    /// Gives each as it was measured, with its new misses.
    ///
    /// Misses are raised as soon as chance does not explain the fall. They are lowered once [`QUERIES`] queries were compared since, by
    /// the lower end of their recall's interval: queries that were hard for a while do not raise the work of later ones for good.
    pub(crate) fn correct(&self) -> Vec<Correction> {
        let mut kinds = self.lock();
        let changed = kinds.iter_mut().filter_map(|kind| {
            let measured = kind.measured();
            let Measured { asked: Asked { target, misses, .. }, estimate, promised } = measured;
            let missed = match measured.is_under() {
                true => 1.0 - promised.recall,
                false if estimate.queries == QUERIES && estimate.low > target => 1.0 - estimate.low,
                false => return None,
            };
            let next = (missed / (1.0 - target) * misses).clamp(1.0, MISSES_MAX);
            // A target of 1 allows no misses to be measured by.
            if next == misses || target >= 1.0 {
                return None;
            }
            kind.asked.misses = next;
            kind.compared.clear();
            Some(Correction { caller: Arc::clone(&kind.caller), measured, misses: next })
        });
        changed.collect()
    }

    /// What fell under its target and was not told before.
    pub(crate) fn to_warn_of(&self) -> Vec<(Arc<str>, Measured)> {
        let mut kinds = self.lock();
        let fallen = kinds.iter_mut().filter(|kind| !kind.is_warned).filter_map(|kind| {
            let measured = kind.measured();
            kind.is_warned = measured.is_under();
            kind.is_warned.then(|| (Arc::clone(&kind.caller), measured))
        });
        fallen.collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Kind>> {
        // Whole at every step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes room for one more kind of a caller's queries.
fn make_room(kinds: &mut Vec<Kind>, caller: &str) {
    let own = kinds.iter().filter(|kind| &*kind.caller == caller).count();
    if own >= KINDS {
        let oldest = kinds.iter().position(|kind| &*kind.caller == caller);
        oldest.map(|at| kinds.remove(at));
        return;
    }
    // Of each caller, the last kind.
    let is_last = |at: usize| kinds[at + 1..].iter().all(|kind| kind.caller != kinds[at].caller);
    let last: Vec<usize> = (0..kinds.len()).filter(|&at| is_last(at)).collect();
    if own == 0
        && last.len() >= CALLERS
        && let Some(&at) = last.first()
    {
        let gone = Arc::clone(&kinds[at].caller);
        kinds.retain(|kind| kind.caller != gone);
    }
}

impl Kind {
    fn is(&self, caller: &str, k: usize, target: f64) -> bool {
        (&*self.caller, self.asked.k, self.asked.target) == (caller, k, target)
    }

    fn measured(&mut self) -> Measured {
        Measured::of(self.asked, self.compared.make_contiguous())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(name: &str) -> Arc<str> {
        Arc::from(name)
    }

    fn kept(recall: f64) -> Compared {
        Compared { recall, is_promised: true }
    }

    #[test]
    fn the_last_queries_of_each_kind_count() {
        let tally = Tally::default();
        let asked = |k| Asked { k, target: 0.95, misses: 1.0 };
        let (ten, hundred) = (asked(10), asked(100));
        (0..3 * QUERIES).for_each(|_| tally.add(&caller("one"), ten, kept(0.5)));
        (0..QUERIES).for_each(|_| tally.add(&caller("one"), ten, kept(1.0)));
        tally.add(&caller("one"), hundred, kept(0.25));
        let measured = tally.measured();
        assert_eq!(measured.iter().map(|of| of.asked).collect::<Vec<_>>(), [ten, hundred]);
        assert_eq!((measured[0].estimate.recall, measured[0].estimate.queries), (1.0, QUERIES));
        assert_eq!((measured[1].estimate.recall, measured[1].estimate.queries), (0.25, 1));
        // However many others there are, one that goes on being asked stays.
        for k in 1000..2000 {
            tally.add(&caller("one"), asked(k), kept(1.0));
            tally.add(&caller("one"), hundred, kept(0.25));
        }
        let measured = tally.measured();
        let last = (2000 - KINDS + 1..2000).map(asked);
        assert!(measured.iter().map(|of| of.asked).eq([hundred].into_iter().chain(last)), "{measured:?}");
        assert_eq!(measured[0].estimate.queries, 1001);
    }

    #[test]
    fn a_fall_is_told_once() {
        let tally = Tally::default();
        let asked = Asked { k: 10, target: 0.95, misses: 1.0 };
        (0..100).for_each(|_| tally.add(&caller("one"), asked, kept(0.97)));
        assert!(tally.to_warn_of().is_empty());
        (0..100).for_each(|_| tally.add(&caller("one"), asked, kept(0.7)));
        let told = tally.to_warn_of();
        assert!(told.len() == 1 && told[0].1.is_under(), "{told:?}");
        assert!(tally.to_warn_of().is_empty() && tally.measured()[0].is_under());
        // Without a promise nothing can fall under it.
        let none = Asked { k: 11, ..asked };
        let unpromised = Compared { recall: 0.1, is_promised: false };
        (0..100).for_each(|_| tally.add(&caller("one"), none, unpromised));
        assert!(tally.to_warn_of().is_empty() && tally.correct().len() == 1);
    }

    /// Whether the last query was promised its target decided for all before it.
    #[test]
    fn queries_without_a_promise_neither_fall_nor_hide_a_fall() {
        let asked = Asked { k: 10, target: 0.95, misses: 1.0 };
        let of = |recall, is_promised| Compared { recall, is_promised };
        for last in [true, false] {
            let tally = Tally::default();
            (0..200).for_each(|_| tally.add(&caller("one"), asked, of(0.7, true)));
            (0..10).for_each(|_| tally.add(&caller("two"), asked, of(1.0, last)));
            tally.add(&caller("one"), asked, of(1.0, last));
            assert!(tally.measured()[0].is_under(), "{last}: {:?}", tally.measured());
            assert_eq!((tally.measured()[0].estimate.queries, tally.to_warn_of().len()), (211, 1));
            let corrected = tally.correct();
            let [Correction { measured, misses, .. }] = &corrected[..] else { panic!("{corrected:?}") };
            assert!((misses - (1.0 - measured.promised.recall) / 0.05).abs() < 1e-9, "{corrected:?}");
            let tally = Tally::default();
            (0..200).for_each(|_| tally.add(&caller("one"), asked, of(0.5, false)));
            (0..20).for_each(|_| tally.add(&caller("one"), asked, of(1.0, true)));
            tally.add(&caller("one"), asked, of(1.0, last));
            assert!(!tally.measured()[0].is_under() && tally.to_warn_of().is_empty());
        }
    }

    #[test]
    fn a_correction_aims_higher_by_what_is_missed_too_much() {
        let tally = Tally::default();
        let asked = Asked { k: 10, target: 0.95, misses: 1.0 };
        (0..100).for_each(|_| tally.add(&caller("one"), asked, kept(0.9375)));
        assert!(tally.correct().is_empty(), "a fall that chance explains is not corrected");
        (0..500).for_each(|_| tally.add(&caller("one"), asked, kept(0.9)));
        let missed = (100.0 * 0.0625 + 500.0 * 0.1) / 600.0;
        let corrected = tally.correct();
        assert!(corrected.len() == 1 && (corrected[0].misses - missed / 0.05).abs() < 1e-9, "{corrected:?}");
        assert!((tally.misses("one", 10, 0.95) - missed / 0.05).abs() < 1e-9);
        assert!(
            tally.misses("one", 11, 0.95) == 1.0 && tally.misses("one", 10, 0.9) == 1.0,
            "others stay as they are"
        );
        // Queries that were searched before say nothing of how it goes now.
        tally.add(&caller("one"), asked, kept(0.1));
        assert!(tally.measured().is_empty() && tally.correct().is_empty());
        let now = Asked { misses: tally.misses("one", 10, 0.95), ..asked };
        (0..600).for_each(|_| tally.add(&caller("one"), now, kept(0.96)));
        assert!(tally.correct().is_empty() && tally.measured().len() == 1);
        // What goes on falling is corrected up to a limit.
        for _ in 0..20 {
            let now = Asked { misses: tally.misses("one", 10, 0.95), ..asked };
            (0..1024).for_each(|_| tally.add(&caller("one"), now, kept(0.5)));
            tally.correct();
        }
        assert!(tally.misses("one", 10, 0.95) == MISSES_MAX);
    }

    #[test]
    fn a_correction_is_taken_back_where_queries_stay_above_their_target() {
        let tally = Tally::default();
        let asked = || Asked { k: 10, target: 0.95, misses: tally.misses("one", 10, 0.95) };
        let add =
            |count: usize, recall| (0..count).for_each(|_| tally.add(&caller("one"), asked(), kept(recall)));
        // Hard queries for a while.
        add(QUERIES, 0.5);
        assert!(tally.correct().len() == 1 && (asked().misses - 10.0).abs() < 1e-9);
        add(QUERIES - 1, 1.0);
        assert!(tally.correct().is_empty(), "fewer than are kept say nothing yet");
        let mut before = asked().misses;
        for _ in 0..10 {
            add(QUERIES, 1.0);
            let lowered = tally.correct();
            assert!(lowered.len() == usize::from(before > 1.0) && asked().misses <= before, "{lowered:?}");
            before = asked().misses;
        }
        assert_eq!(asked().misses, 1.0);
        // A correction is kept where recall with it is not above the target with confidence.
        add(QUERIES, 0.9);
        tally.correct();
        let raised = asked().misses;
        (0..3).for_each(|_| {
            add(QUERIES / 2, 0.9);
            add(QUERIES / 2, 1.0);
            assert!(tally.correct().is_empty());
        });
        assert!(raised > 1.9 && asked().misses == raised, "{raised}");
    }

    /// A caller with hard queries made those of all others cost more, and one who asked for many kinds had the others' forgotten.
    #[test]
    fn what_one_caller_asks_changes_nothing_for_others() {
        let tally = Tally::default();
        let asked = Asked { k: 10, target: 0.95, misses: 1.0 };
        let (hard, usual) = (caller("hard"), caller("usual"));
        for _ in 0..QUERIES {
            tally.add(&hard, asked, kept(0.5));
            tally.add(&usual, asked, kept(0.97));
        }
        let together = tally.measured();
        assert_eq!((together.len(), together[0].estimate.queries), (1, 2 * QUERIES));
        assert!((together[0].estimate.recall - 0.735).abs() < 1e-9);
        let told = tally.to_warn_of();
        assert!(told.len() == 1 && told[0].0 == hard, "{told:?}");
        let corrected = tally.correct();
        assert!(corrected.len() == 1 && corrected[0].caller == hard, "{corrected:?}");
        let raised = tally.misses("hard", 10, 0.95);
        assert!((raised - 10.0).abs() < 1e-9 && tally.misses("usual", 10, 0.95) == 1.0, "{raised}");
        assert_eq!((tally.misses("third", 10, 0.95), tally.measured()[0].estimate.queries), (1.0, QUERIES));
        for k in 1000..1100 {
            tally.add(&usual, Asked { k, ..asked }, kept(1.0));
        }
        assert_eq!(tally.misses("hard", 10, 0.95), raised);
        // Callers that have not asked for the longest time are forgotten; how many there are is bounded.
        for number in 0..4 * CALLERS {
            tally.add(&caller(&number.to_string()), asked, kept(1.0));
            tally.add(&hard, Asked { misses: raised, ..asked }, kept(0.95));
        }
        assert_eq!(tally.misses("hard", 10, 0.95), raised);
        assert_eq!(tally.lock().len(), CALLERS);
    }
}
