//! The least work that reaches a recall.
use std::rc::Rc;

use spandrel_index::Tier;

use super::error::CalibrateError;
use super::goal::{Goal, Part, STRANGER_MISSES, expected};
use super::trials::{Setting, Trial, Trials};

/// Numbers of lists skipped from one to the next while errors are weighed against lists: work is flat around its least.
const LISTS_STRIDE: usize = 8;
/// Steps of errors skipped from one to the next meanwhile; what lies between is interpolated.
const ERRORS_STRIDE: u8 = 5;
/// Numbers of lists that may come out worse before the search ends.
const WORSE_MAX: u32 = 1;
/// Share of what may be missed that pruning by distance may miss.
const PRUNING_LOSES: f64 = 0.1;
/// By how much the logarithm of what is missed falls from one place of a path to the next, until it is known: 0.02 to 0.06
/// on SIFT descriptors and sentence embeddings.
const FALL: f64 = 0.04;

/// A setting and what it came to.
pub(super) struct Settled {
    pub(super) setting: Setting,
    pub(super) trial: Rc<Trial>,
    /// The recall that a further query is to expect at least.
    pub(super) recall: f64,
}

/// For each place of vectors, the setting of least work that reaches the recall at `k` on the queries set apart for that, or
/// the most that is tried.
pub(super) fn least_work(
    trials: &mut Trials<'_>,
    (k, recall): (u32, f64),
    tiers: &[Tier],
) -> Result<Vec<Setting>, CalibrateError> {
    let most = trials.steps_max();
    let wanted = 1.0 - (1.0 - recall) / STRANGER_MISSES;
    let grid = trials.grid().to_vec();
    let tried = |trials: &mut Trials<'_>, lists: u32, steps: u8| {
        trials.outcome(k, Part::Curve, Setting { lists, steps, pruned: false })
    };
    // Fewer lists than hold the neighbours cannot reach it.
    let mut at = trials.fewest_lists(k, Part::Curve, |losses| {
        1.0 - losses.iter().sum::<f64>() / losses.len() as f64 >= wanted // CAST: exact
    });
    while at < grid.len() && tried(trials, grid[at], most)?.recall() < wanted {
        at += 1;
    }
    let (mut steps, mut least) = (most, vec![Least::default(); tiers.len()]);
    for &lists in grid.iter().skip(at).step_by(LISTS_STRIDE) {
        let high = fewest(steps / ERRORS_STRIDE, |number| {
            Ok(tried(trials, lists, number * ERRORS_STRIDE)?.recall() >= wanted)
        })?;
        steps = high * ERRORS_STRIDE;
        let enough = tried(trials, lists, steps)?;
        let before = steps.checked_sub(ERRORS_STRIDE);
        let before = before.map(|steps| tried(trials, lists, steps)).transpose()?;
        // How far from the steps before, which are too few, to these the recall is reached.
        let part = before.as_ref().map_or(1.0, |few| {
            let (few, enough) = (few.recall(), enough.recall());
            if enough > few { ((wanted - few) / (enough - few)).clamp(0.0, 1.0) } else { 1.0 }
        });
        let saved = ((1.0 - part) * f64::from(ERRORS_STRIDE)) as u8; // CAST: at most the stride
        let setting = Setting { lists, steps: steps.saturating_sub(saved), pruned: false };
        for (least, &vectors) in least.iter_mut().zip(tiers) {
            let work = trials.work(&enough, vectors);
            let fewer = before.as_ref().map_or(work, |trial| trials.work(trial, vectors));
            least.see(setting, fewer + part * (work - fewer));
        }
        // Without errors to save, more lists have nothing left to save.
        if steps == 0 || least.iter().all(|least| least.worse > WORSE_MAX) {
            break;
        }
    }
    let all = Setting { lists: grid[grid.len() - 1], steps: most, pruned: false };
    Ok(least.into_iter().map(|least| least.setting.map_or(all, |(setting, _)| setting)).collect())
}

/// The setting of least work so far.
#[derive(Debug, Clone, Copy, Default)]
struct Least {
    setting: Option<(Setting, f64)>,
    /// Settings since then.
    worse: u32,
}

impl Least {
    fn see(&mut self, setting: Setting, work: f64) {
        match self.setting {
            Some((_, least)) if work >= least => self.worse += 1,
            _ => *self = Least { setting: Some((setting, work)), worse: 0 },
        }
    }
}

/// Whether leaving lists out by distance too saves codes and loses next to nothing; rows of the index lie nearer to the
/// nearest head than other queries, so that it leaves out more of theirs.
pub(super) fn prunes(trials: &mut Trials<'_>, goal: Goal, setting: Setting) -> Result<bool, CalibrateError> {
    let all = trials.outcome(goal.k, Part::Curve, setting)?;
    let pruned = trials.outcome(goal.k, Part::Curve, Setting { pruned: true, ..setting })?;
    let lost = all.recall() - pruned.recall();
    Ok(lost <= PRUNING_LOSES * (1.0 - goal.recall) && pruned.vectors_scanned < all.vectors_scanned)
}

/// The fewest of 0 to `most` that do, where `most` do.
fn fewest(
    most: u8,
    mut do_they: impl FnMut(u8) -> Result<bool, CalibrateError>,
) -> Result<u8, CalibrateError> {
    let (mut low, mut high) = (0, most);
    while low < high {
        let middle = low + (high - low) / 2;
        if do_they(middle)? {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(high)
}

/// The least setting on the path through `start` after which queries are to expect the recall, or one little above it; the
/// most where none is enough. Along the path errors and lists grow in turn, so that every step costs more and finds more;
/// where a search finds less than one with less work did not miss, its loss is taken.
pub(super) fn settle(trials: &mut Trials<'_>, goal: Goal, start: Setting) -> Result<Settled, CalibrateError> {
    let path = Path::through(trials, start);
    let (mut at, last) = (path.start, path.settings.len() - 1);
    let mut seen = Seen { trials, goal, path, tried: Vec::new() };
    // `low` is not enough, `high` is enough.
    let mut bracket = Bracket::default();
    loop {
        let expected = seen.expected(at)?;
        bracket.narrow(at, expected, goal.recall);
        match bracket.next(goal, last) {
            Some(next) => at = next,
            None => break,
        }
    }
    let at = bracket.high.map_or(last, |(at, _)| at);
    let recall = seen.expected(at)?;
    let setting = seen.path.settings[at];
    Ok(Settled { setting, trial: seen.trials.outcome(goal.k, goal.part, setting)?, recall })
}

/// Places of a path between which the recall is reached, and what queries expect there.
#[derive(Debug, Default)]
struct Bracket {
    /// The last known not to be enough.
    low: Option<(usize, f64)>,
    /// The first known to be enough.
    high: Option<(usize, f64)>,
    /// Tries that left one of them open.
    open: u32,
}

impl Bracket {
    fn narrow(&mut self, at: usize, expected: f64, wanted: f64) {
        let side = if expected >= wanted { &mut self.high } else { &mut self.low };
        *side = Some((at, expected));
        self.open += 1;
    }

    /// Where to look next, if anywhere: what is missed is taken to fall alike with every place.
    fn next(&self, goal: Goal, last: usize) -> Option<usize> {
        let wanted = goal.recall + 0.5 * goal.slack;
        // Places from one where so much is expected to where the recall is.
        let fall_to = |expected: f64| ((1.0 - expected).max(1e-9) / (1.0 - wanted)).ln();
        // Twice as far with every try that did not get there.
        let places = |expected: f64| {
            let places = fall_to(expected).abs() / FALL * f64::from(1_u32 << self.open.min(16)) / 2.0;
            (places.ceil() as usize).max(1) // CAST: saturates
        };
        match (self.low, self.high) {
            (_, Some((_, expected))) if expected <= goal.recall + goal.slack => None,
            (Some((low, _)), Some((high, _))) if low + 1 == high => None,
            (Some((low, few)), Some((high, many))) => {
                let (before, all) = (fall_to(few), fall_to(few) - fall_to(many));
                let share = if all > 0.0 { before / all } else { 0.5 };
                let between = (share * (high - low) as f64).ceil() as usize; // CAST: a few places
                Some((low + between).clamp(low + 1, high - 1))
            }
            (Some((low, expected)), None) => {
                (low < last).then(|| low.saturating_add(places(expected)).min(last))
            }
            (None, Some((high, expected))) => (high > 0).then(|| high.saturating_sub(places(expected))),
            (None, None) => None,
        }
    }
}

/// Settings of growing work.
struct Path {
    settings: Vec<Setting>,
    start: usize,
}

impl Path {
    fn through(trials: &Trials<'_>, start: Setting) -> Path {
        let grid = trials.grid();
        let at = grid.partition_point(|&lists| lists < start.lists).min(grid.len() - 1);
        let most = trials.steps_max();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let (mut lists, mut steps) = (at, start.steps);
        while lists > 0 || steps > 0 {
            if steps > 0 {
                steps -= 1;
                before.push(Setting { lists: grid[lists], steps, ..start });
            }
            if lists > 0 {
                lists -= 1;
                before.push(Setting { lists: grid[lists], steps, ..start });
            }
        }
        (lists, steps) = (at, start.steps);
        while lists + 1 < grid.len() || steps < most {
            if steps < most {
                steps += 1;
                after.push(Setting { lists: grid[lists], steps, ..start });
            }
            if lists + 1 < grid.len() {
                lists += 1;
                after.push(Setting { lists: grid[lists], steps, ..start });
            }
        }
        before.reverse();
        let first = before.len();
        before.push(Setting { lists: grid[at], ..start });
        before.extend(after);
        Path { settings: before, start: first }
    }
}

/// What was tried on a path.
struct Seen<'t, 'a> {
    trials: &'t mut Trials<'a>,
    goal: Goal,
    path: Path,
    tried: Vec<usize>,
}

impl Seen<'_, '_> {
    /// The recall to expect at a place of the path: each query counts with its worst loss there or further on.
    fn expected(&mut self, at: usize) -> Result<f64, CalibrateError> {
        if !self.tried.contains(&at) {
            self.tried.push(at);
        }
        let mut losses = Vec::new();
        for &place in self.tried.iter().filter(|&&place| place >= at) {
            let trial = self.trials.outcome(self.goal.k, self.goal.part, self.path.settings[place])?;
            losses.resize(trial.losses.len(), 0.0);
            losses.iter_mut().zip(&trial.losses).for_each(|(loss, &found)| *loss = f64::max(*loss, found));
        }
        Ok(expected(&losses))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fewest_errors_are_found() {
        for least in 0..=25 {
            let found = fewest(25, |errors| Ok(errors >= least)).unwrap();
            assert_eq!(found, least);
        }
    }

    #[test]
    fn a_place_is_found_in_few_tries_wherever_it_is() {
        let goal = Goal { k: 10, part: Part::All, recall: 0.95, slack: 0.0 };
        for (last, start) in [(0, 0), (1, 0), (1, 1), (200, 0), (200, 90), (200, 200)] {
            for fall in [0.001, 0.02, 0.06, 0.5] {
                let expected = |at: usize| 1.0 - 0.5 * (-fall * at as f64).exp();
                let first = (0..=last).find(|&at| expected(at) >= goal.recall);
                let (mut bracket, mut at, mut tries) = (Bracket::default(), start, 1);
                loop {
                    bracket.narrow(at, expected(at), goal.recall);
                    let Some(next) = bracket.next(goal, last) else { break };
                    assert!(next <= last && next != at, "{next} of {last} after {at}");
                    (at, tries) = (next, tries + 1);
                }
                assert_eq!(bracket.high.map(|(at, _)| at), first, "{last} places from {start}, fall {fall}");
                assert!(tries <= 12, "{tries} tries of {last} places from {start}, fall {fall}");
            }
        }
        let slack = Goal { slack: 0.01, ..goal };
        let mut bracket = Bracket::default();
        bracket.narrow(50, 0.955, slack.recall);
        assert_eq!((bracket.next(slack, 200), bracket.next(goal, 200).is_some()), (None, true));
    }
}
