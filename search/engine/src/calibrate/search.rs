//! The least work that reaches a recall.
use std::rc::Rc;

use spandrel_index::Tier;

use super::trials::{Part, Setting, TENTHS_MAX, Trial, Trials};
use super::{CalibrateError, STRANGER_MISSES};

/// Numbers of lists skipped from one to the next while errors are weighed against lists: work is flat around its least.
const STRIDE: usize = 4;
/// Numbers of lists that may come out worse before the search ends.
const WORSE_MAX: u32 = 1;

/// Share of what may be missed that pruning by distance may miss.
const PRUNING_LOSES: f64 = 0.1;

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Goal {
    pub(super) k: u32,
    pub(super) recall: f64,
    /// Where vectors are when work is weighed.
    pub(super) vectors: Tier,
}

/// A setting and what it came to.
pub(super) struct Settled {
    pub(super) setting: Setting,
    pub(super) trial: Rc<Trial>,
    /// The recall that a further query is to expect at least.
    pub(super) recall: f64,
}

/// The recall that a further query is to expect at least, after losses of rows of the index.
pub(super) fn expected(losses: &[f64]) -> f64 {
    let missed = STRANGER_MISSES * losses.iter().sum::<f64>();
    // The allowance for strangers takes no more than there is.
    (1.0 - (missed + 1.0) / (losses.len() as f64 + 1.0)).max(0.0) // CAST: exact
}

/// The setting of least work that reaches the recall on the queries set apart for that, or the most that is tried.
pub(super) fn least_work(trials: &mut Trials<'_>, goal: Goal) -> Result<Setting, CalibrateError> {
    let Goal { k, recall, vectors } = goal;
    let most = if trials.has_codes() { TENTHS_MAX } else { 0 };
    let wanted = 1.0 - (1.0 - recall) / STRANGER_MISSES;
    let lists = trials.grid().to_vec();
    let reaches = |trials: &mut Trials<'_>, lists: u32, tenths: u8| -> Result<bool, CalibrateError> {
        Ok(trials.outcome(k, Part::Curve, Setting { lists, tenths, pruned: false })?.recall() >= wanted)
    };
    // Fewer lists than hold the neighbours cannot reach it.
    let mut at = trials.fewest_lists(k, Part::Curve, |losses| {
        1.0 - losses.iter().sum::<f64>() / losses.len() as f64 >= wanted // CAST: exact
    });
    while at < lists.len() && !reaches(trials, lists[at], most)? {
        at += 1;
    }
    let Some(&fewest) = lists.get(at) else {
        return Ok(Setting { lists: lists[lists.len() - 1], tenths: most, pruned: false });
    };
    let (mut tenths, mut worse) = (most, 0);
    let mut best: Option<(Setting, f64)> = None;
    for &lists in [fewest].iter().chain(lists[at..].iter().skip(1).step_by(STRIDE)) {
        tenths = fewest_tenths(tenths, |tenths| reaches(trials, lists, tenths))?;
        let setting = Setting { lists, tenths, pruned: false };
        let trial = trials.outcome(k, Part::Curve, setting)?;
        let work = trials.work(&trial, vectors);
        match best {
            Some((_, least)) if work >= least => worse += 1,
            _ => (best, worse) = (Some((setting, work)), 0),
        }
        // Without errors to save, more lists have nothing left to save.
        if worse > WORSE_MAX || tenths == 0 {
            break;
        }
    }
    let Some((setting, _)) = best else { unreachable!("one number of lists was tried") };
    Ok(setting)
}

/// The same recall with lists left out by distance too, where that saves codes and loses next to nothing; rows of the index lie
/// nearer to the nearest head than other queries, so that it leaves out more of theirs.
pub(super) fn prune(
    trials: &mut Trials<'_>,
    goal: Goal,
    part: Part,
    settled: Settled,
) -> Result<Settled, CalibrateError> {
    let pruned = Setting { pruned: true, ..settled.setting };
    let trial = trials.outcome(goal.k, part, pruned)?;
    let lost = settled.trial.recall() - trial.recall();
    if lost > PRUNING_LOSES * (1.0 - goal.recall) || settled.recall < goal.recall {
        return Ok(settled);
    }
    let found = settle(trials, goal, part, pruned)?;
    let saves = found.trial.vectors_scanned < settled.trial.vectors_scanned;
    Ok(if found.recall >= goal.recall && saves { found } else { settled })
}

/// The fewest errors that do, where `most` do.
fn fewest_tenths(
    most: u8,
    mut do_they: impl FnMut(u8) -> Result<bool, CalibrateError>,
) -> Result<u8, CalibrateError> {
    let (mut low, mut high) = (0, most);
    while low < high {
        let tenths = low + (high - low) / 2;
        if do_they(tenths)? {
            high = tenths;
        } else {
            low = tenths + 1;
        }
    }
    Ok(high)
}

/// The least setting on the path through `start` after which queries are to expect the recall; the most where none is
/// enough. Along the path errors and lists grow in turn, so that every step costs more and finds more; where a search finds
/// less than one with less work did not miss, its loss is taken.
pub(super) fn settle(
    trials: &mut Trials<'_>,
    goal: Goal,
    part: Part,
    start: Setting,
) -> Result<Settled, CalibrateError> {
    let path = Path::through(trials, start);
    let mut seen = Seen { trials, goal, part, path, tried: Vec::new() };
    // Steps grow, then the last is halved: `low` is not enough or one less than there is, `high` is enough.
    let (mut low, mut high);
    if seen.is_enough(seen.path.start)? {
        (low, high) = (None, seen.path.start);
        let mut stride = 1;
        while high > 0 {
            let next = high.saturating_sub(stride);
            if !seen.is_enough(next)? {
                low = Some(next);
                break;
            }
            (high, stride) = (next, 2 * stride);
        }
    } else {
        (low, high) = (Some(seen.path.start), seen.path.start);
        let (last, mut stride) = (seen.path.settings.len() - 1, 1);
        loop {
            if high == last {
                break;
            }
            high = (high + stride).min(last);
            if seen.is_enough(high)? {
                break;
            }
            (low, stride) = (Some(high), 2 * stride);
        }
    }
    while let Some(known) = low.filter(|&low| low + 1 < high) {
        let middle = known + (high - known) / 2;
        if seen.is_enough(middle)? {
            high = middle;
        } else {
            low = Some(middle);
        }
    }
    let recall = seen.expected(high)?;
    let setting = seen.path.settings[high];
    Ok(Settled { setting, trial: seen.trials.outcome(goal.k, part, setting)?, recall })
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
        let most = if trials.has_codes() { TENTHS_MAX } else { 0 };
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let (mut lists, mut tenths) = (at, start.tenths);
        while lists > 0 || tenths > 0 {
            if tenths > 0 {
                tenths -= 1;
                before.push(Setting { lists: grid[lists], tenths, ..start });
            }
            if lists > 0 {
                lists -= 1;
                before.push(Setting { lists: grid[lists], tenths, ..start });
            }
        }
        (lists, tenths) = (at, start.tenths);
        while lists + 1 < grid.len() || tenths < most {
            if tenths < most {
                tenths += 1;
                after.push(Setting { lists: grid[lists], tenths, ..start });
            }
            if lists + 1 < grid.len() {
                lists += 1;
                after.push(Setting { lists: grid[lists], tenths, ..start });
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
    part: Part,
    path: Path,
    tried: Vec<usize>,
}

impl Seen<'_, '_> {
    fn is_enough(&mut self, at: usize) -> Result<bool, CalibrateError> {
        Ok(self.expected(at)? >= self.goal.recall)
    }

    /// The recall to expect at a place of the path: each query counts with its worst loss there or further on.
    fn expected(&mut self, at: usize) -> Result<f64, CalibrateError> {
        if !self.tried.contains(&at) {
            self.tried.push(at);
        }
        let mut losses = Vec::new();
        for &place in self.tried.iter().filter(|&&place| place >= at) {
            let trial = self.trials.outcome(self.goal.k, self.part, self.path.settings[place])?;
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
    fn a_further_query_counts_as_a_miss() {
        assert_eq!(expected(&[0.0; 19]), 0.95);
        assert_eq!(expected(&[1.0; 50]), 0.0, "no recall is less than none");
        let (few, many) = (expected(&[0.02; 50]), expected(&[0.02; 5000]));
        assert!(few < many && many < 1.0 - 0.02 * STRANGER_MISSES, "{few} {many}");
    }

    #[test]
    fn the_fewest_errors_are_found() {
        for fewest in 0..=25 {
            let found = fewest_tenths(25, |tenths| Ok(tenths >= fewest)).unwrap();
            assert_eq!(found, fewest);
        }
    }
}
