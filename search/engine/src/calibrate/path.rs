//! The curve of one number of neighbours: what to expect at places of a path of growing work.
use std::rc::Rc;

use spandrel_index::Tier;
use spandrel_index::format::{RecallCurve, RecallPoint};
use spandrel_index::math::ln;

use super::error::CalibrateError;
use super::part::Part;
use super::rule::Rule;
use super::setting::Setting;
use super::trials::{Trial, Trials};
use crate::pruning::{RECALL_DEFAULT, RECALL_LEAST};

/// Places of the path from one point to the next at most: half an octave of lists, while errors grow too.
const PLACES_MAX: usize = 16;
/// By how much the logarithm of what is missed falls from one place to the next, until it is known: 0.02 to 0.06 on SIFT
/// descriptors and sentence embeddings.
const FALL: f64 = 0.04;
/// Where it falls by less than this from one point to the next, more work does not help, or pruning by distance is in the way.
const FALL_LEAST: f64 = 0.05;

/// Below this recall, which few ask for, points lie farther apart: the share of the recall missed from one to the next, and
/// the ratio of lists.
const RECALL_LOW: f64 = 0.75;
const SHARE_LOW: f64 = 0.4;
const LISTS_RATIO_LOW: f64 = 2.0;

/// What to expect along the path through `start`, of queries that did not choose the path.
///
/// `pruned` of the start holds up to the first point that reaches the default recall. Each query counts with its worst loss at a point
/// or further on, so that what is expected never falls.
pub(super) fn trace(
    trials: &mut Trials<'_>,
    k: u32,
    vectors: Tier,
    start: Setting,
) -> Result<RecallCurve, CalibrateError> {
    let path = Path::through(trials, start);
    let mut measured = down(trials, k, &path)?;
    measured.extend(up(trials, k, &path)?);
    let queries = measured[0].trial.losses.len() as u32; // CAST: at most the queries
    let codes_per_compared = trials.codes_per_compared(vectors);
    let stop = measured.iter().find_map(|found| found.trial.stop).map(|rule| rule.weights);
    let points = points(&measured, trials.rule(k), trials.has_codes());
    Ok(RecallCurve { vectors, k, queries, codes_per_compared, stop, points })
}

/// A setting, and what it came to.
struct Measured {
    setting: Setting,
    trial: Rc<Trial>,
}

impl Measured {
    fn of(trials: &mut Trials<'_>, k: u32, setting: Setting) -> Result<Measured, CalibrateError> {
        Ok(Measured { setting, trial: trials.outcome(k, Part::Rest, setting)? })
    }
}

/// From the start on, until queries miss nothing that matters or more work does not help.
fn up(trials: &mut Trials<'_>, k: u32, path: &Path) -> Result<Vec<Measured>, CalibrateError> {
    let (mut at, last) = (path.start, path.settings.len() - 1);
    let mut measured = vec![Measured::of(trials, k, path.settings[at])?];
    let (mut fall, mut level) = (FALL, 0);
    loop {
        let Measured { setting, trial } = &measured[measured.len() - 1];
        let missed = trial.missed();
        let is_most = trials.rule(k).expected(&trial.losses) >= trials.recall_most(k);
        // What one query misses is what any further query counts as.
        if at == last || missed < 1.0 || is_most || level == 2 {
            return Ok(measured);
        }
        let pruned = setting.pruned && level == 0 && trials.rule(k).expected(&trial.losses) < RECALL_DEFAULT;
        let next = path.next(at, (at + places(shares(k).1, fall)).min(last), lists_ratio(k));
        let better = Measured::of(trials, k, Setting { pruned, ..path.settings[next] })?;
        let fell = ln(missed / better.trial.missed().max(f64::MIN_POSITIVE));
        level = if fell < FALL_LEAST { level + 1 } else { 0 };
        fall = fell / (next - at) as f64; // CAST: a few places
        at = next;
        measured.push(better);
    }
}

/// From the lowest point up to the start, which is left out.
fn down(trials: &mut Trials<'_>, k: u32, path: &Path) -> Result<Vec<Measured>, CalibrateError> {
    let (mut at, mut fall) = (path.start, FALL);
    let mut found = Measured::of(trials, k, path.settings[at])?;
    let mut measured = Vec::new();
    while at > 0 && found.trial.recall() > RECALL_LEAST {
        let (share, ratio) = match found.trial.recall() {
            ..RECALL_LOW => (SHARE_LOW.min(shares(k).0), LISTS_RATIO_LOW),
            _ => (shares(k).0, lists_ratio_before(k)),
        };
        let next = path.next(at, at.saturating_sub(places(share, fall)), ratio);
        let worse = Measured::of(trials, k, path.settings[next])?;
        // CAST: a few places
        fall = ln(worse.trial.missed().max(1.0) / found.trial.missed().max(1.0)) / (at - next) as f64;
        at = next;
        // Fewer lists would hold fewer vectors than are wanted, so that more of them are searched.
        let is_least = worse.setting.steps == 0 && worse.trial == found.trial;
        if is_least {
            break;
        }
        measured.push(std::mem::replace(&mut found, worse));
    }
    measured.push(found);
    measured.reverse();
    measured.pop();
    Ok(measured)
}

/// Places to the next point, where the logarithm of what is missed falls by `fall` with each until it is `share` of what it
/// was.
fn places(share: f64, fall: f64) -> usize {
    let places = -ln(share) / fall.max(f64::MIN_POSITIVE);
    (places.ceil() as usize).clamp(1, PLACES_MAX) // CAST: `as` saturates, and `clamp` bounds it
}

/// To what share the recall missed falls from one point to the next, below the start and above. Searches of many lists or for
/// many neighbours take long, and where little is missed an eighth of it is nothing.
const fn shares(k: u32) -> (f64, f64) {
    match k {
        ..1000 => (0.65, 0.5),
        1000..10_000 => (0.4, 0.4),
        10_000.. => (0.25, 0.25),
    }
}

/// Lists of a point to those of the one before at most, unless a place is more.
const fn lists_ratio(k: u32) -> f64 {
    if k < 1000 { 1.5 } else { 2.0 }
}

/// The same below the start, where few lists hold much.
const fn lists_ratio_before(k: u32) -> f64 {
    if k < 1000 { 1.25 } else { 1.5 }
}

/// The points of what was measured, those left out that give no more than one of less work.
fn points(measured: &[Measured], rule: Rule, has_codes: bool) -> Vec<RecallPoint> {
    let mut worst = vec![0.0; measured[0].trial.losses.len()];
    let expect = |measured: &Measured| {
        worst
            .iter_mut()
            .zip(&measured.trial.losses)
            .for_each(|(loss, &found)| *loss = f64::max(*loss, found));
        rule.expected(&worst)
    };
    let mut recalls: Vec<f64> = measured.iter().rev().map(expect).collect();
    recalls.reverse();
    let mut points: Vec<RecallPoint> = Vec::new();
    for (&Measured { setting, ref trial }, recall) in measured.iter().zip(recalls) {
        let before = points.last();
        if before.is_some_and(|before| before.recall >= recall) {
            continue;
        }
        let more =
            |work: f64, of: fn(&RecallPoint) -> f64| before.map_or(work, |before| work.max(of(before)));
        points.push(RecallPoint {
            lists: setting.lists,
            rerank_errors: if has_codes { setting.errors() } else { 0.0 },
            epsilon: setting.epsilon(),
            log_odds: trial.stop.map(|rule| rule.threshold),
            recall,
            vectors_scanned: more(trial.vectors_scanned, |point| point.vectors_scanned),
            reranked: more(trial.reranked, |point| point.reranked),
        });
    }
    points
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

    /// The next place to measure on the way from one place to another: lists are at most `most` times more or fewer there, since
    /// few lists grow fast.
    fn next(&self, at: usize, to: usize, most: f64) -> usize {
        let lists = |place: usize| f64::from(self.settings[place].lists);
        let is_near = |&place: &usize| {
            let (few, many) = (lists(place.min(at)), lists(place.max(at)));
            many <= most * few || place.abs_diff(at) == 1
        };
        if to > at {
            (at + 1..=to).take_while(is_near).last().unwrap_or(to)
        } else {
            (to..at).rev().take_while(is_near).last().unwrap_or(to)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(lists: u32, losses: &[f64]) -> Measured {
        let trial = Trial {
            stop: None,
            losses: losses.to_vec(),
            reranked: 9.0,
            vectors_scanned: 10.0 * f64::from(lists),
        };
        Measured { setting: Setting::new(lists, 20), trial: Rc::new(trial) }
    }

    #[test]
    fn a_query_counts_with_its_worst_loss_further_on() {
        let losses = [[0.2, 0.4], [0.0, 0.1], [0.1, 0.1], [0.0, 0.1]];
        let measured: Vec<_> = (1..).zip(&losses).map(|(lists, losses)| measured(lists, losses)).collect();
        let rule = Rule::of_rows(None);
        let points = points(&measured, rule, true);
        let of = |losses: [f64; 2]| rule.expected(&losses);
        let found: Vec<_> = points.iter().map(|point| (point.lists, point.recall)).collect();
        // The third place is worse than the second said, and gives no more than the second then does.
        assert_eq!(found, [(1, of([0.2, 0.4])), (2, of([0.1, 0.1])), (4, of([0.0, 0.1]))]);
        assert_eq!((points[2].vectors_scanned, points[2].rerank_errors), (40.0, 1.0));
    }

    #[test]
    fn few_lists_are_measured_one_by_one() {
        let setting = |lists| Setting::new(lists, 0);
        let path = Path { settings: [1, 2, 3, 4, 5, 6, 7, 8].map(setting).to_vec(), start: 7 };
        assert_eq!([7, 4, 2, 1].map(|at| path.next(at, 0, 1.25)), [6, 3, 1, 0]);
        assert_eq!([0, 1, 3, 5].map(|at| path.next(at, 7, 1.5)), [1, 2, 5, 7]);
        assert_eq!((path.next(7, 6, 1.25), path.next(5, 6, 1.5)), (6, 6));
    }

    #[test]
    fn points_lie_closer_where_misses_fall_faster() {
        assert_eq!([0.0, 0.01, 0.04, 0.1, 9.0].map(|fall| places(0.5, fall)), [16, 16, 16, 7, 1]);
        assert_eq!([0.65, 0.4, 0.25].map(|share| places(share, 0.1)), [5, 10, 14]);
    }
}
