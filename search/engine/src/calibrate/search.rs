//! The least work that reaches a recall.
use spandrel_index::Tier;

use super::CalibrateError;
use super::trials::{On, Outcome, Setting, Trials};

/// Most tenths of standard errors tried: nearly all true neighbours lie inside, and the count of vectors compared
/// exactly has a bound of its own.
const TENTHS_MAX: u8 = 25;
/// Numbers of lists skipped from one to the next while errors are weighed against lists: work is flat around its least.
const STRIDE: usize = 2;
/// Numbers of lists that may come out worse before the search ends.
const WORSE_MAX: u32 = 1;

/// The setting of least work whose recall of the rows held out is `wanted`, and what it came to on all of them; none
/// where nothing tried reaches it.
pub(super) fn least_work(
    trials: &mut Trials<'_>,
    (wanted, vectors): (f64, Tier),
) -> Result<Option<(Setting, Outcome)>, CalibrateError> {
    let lists = trials.lists();
    let tenths_max = if trials.has_codes() { TENTHS_MAX } else { 0 };
    let Some(fewest) = fewest_lists(trials, &lists, tenths_max, wanted)? else { return Ok(None) };
    let first = Setting { lists: lists[fewest], tenths: tenths_max };
    let outcome = trials.outcome(On::Few, first)?;
    let mut best = (first, trials.work(outcome, vectors));
    let (mut tenths, mut worse) = (tenths_max, 0);
    for &lists in lists[fewest..].iter().skip(1).step_by(STRIDE) {
        if tenths == 0 {
            // More lists have nothing left to save.
            break;
        }
        tenths = fewest_tenths(trials, lists, tenths, wanted)?;
        let setting = Setting { lists, tenths };
        let outcome = trials.outcome(On::Few, setting)?;
        let work = trials.work(outcome, vectors);
        if work < best.1 {
            (best, worse) = ((setting, work), 0);
        } else {
            worse += 1;
        }
        if worse > WORSE_MAX {
            break;
        }
    }
    confirm(trials, &lists, best.0, wanted)
}

/// Where the first number of lists stands that reaches the recall with so many errors.
fn fewest_lists(
    trials: &mut Trials<'_>,
    lists: &[u32],
    tenths: u8,
    wanted: f64,
) -> Result<Option<usize>, CalibrateError> {
    let (mut low, mut high) = (0, lists.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let setting = Setting { lists: lists[middle], tenths };
        if trials.outcome(On::Few, setting)?.recall >= wanted {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok((low < lists.len()).then_some(low))
}

/// The fewest errors that reach the recall, where `most` do.
fn fewest_tenths(trials: &mut Trials<'_>, lists: u32, most: u8, wanted: f64) -> Result<u8, CalibrateError> {
    let (mut low, mut high) = (0, most);
    while low < high {
        let tenths = low + (high - low) / 2;
        if trials.outcome(On::Few, Setting { lists, tenths })?.recall >= wanted {
            high = tenths;
        } else {
            low = tenths + 1;
        }
    }
    Ok(high)
}

/// Moves a setting found on a few rows to where all of them reach the recall.
fn confirm(
    trials: &mut Trials<'_>,
    lists: &[u32],
    mut setting: Setting,
    wanted: f64,
) -> Result<Option<(Setting, Outcome)>, CalibrateError> {
    let mut outcome = trials.outcome(On::All, setting)?;
    if outcome.recall >= wanted {
        while let Some(less) = less_work(trials, lists, setting) {
            let found = trials.outcome(On::All, less)?;
            if found.recall < wanted {
                break;
            }
            (setting, outcome) = (less, found);
        }
        return Ok(Some((setting, outcome)));
    }
    while let Some(more) = more_work(trials, lists, setting) {
        (setting, outcome) = (more, trials.outcome(On::All, more)?);
        if outcome.recall >= wanted {
            return Ok(Some((setting, outcome)));
        }
    }
    Ok(None)
}

/// A step down: fewer errors, or where there are no codes fewer lists.
fn less_work(trials: &Trials<'_>, lists: &[u32], setting: Setting) -> Option<Setting> {
    if trials.has_codes() {
        return setting.tenths.checked_sub(1).map(|tenths| Setting { tenths, ..setting });
    }
    let fewer = lists.iter().rev().find(|&&fewer| fewer < setting.lists)?;
    Some(Setting { lists: *fewer, ..setting })
}

/// A step up: more errors while there are, then more lists.
fn more_work(trials: &Trials<'_>, lists: &[u32], setting: Setting) -> Option<Setting> {
    if trials.has_codes() && setting.tenths < TENTHS_MAX {
        return Some(Setting { tenths: setting.tenths + 1, ..setting });
    }
    let more = lists.iter().find(|&&more| more > setting.lists)?;
    Some(Setting { lists: *more, ..setting })
}
