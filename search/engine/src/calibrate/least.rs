//! The least work that reaches a recall.
use spandrel_index::Tier;

use super::error::CalibrateError;
use super::part::Part;
use super::setting::Setting;
use super::trials::Trials;
use crate::pruning::RECALL_DEFAULT;

/// Numbers of lists skipped from one to the next while errors are weighed against lists: work is flat around its least.
const LISTS_STRIDE: usize = 8;
/// Steps of errors skipped from one to the next meanwhile; what lies between is interpolated.
const ERRORS_STRIDE: u8 = 5;
/// Numbers of lists that may come out worse before the search ends.
const WORSE_MAX: u32 = 1;
/// Share of what may be missed that pruning by distance may miss.
const PRUNING_LOSES: f64 = 0.1;

/// For each place of vectors, the setting of least work that reaches the default recall at `k` on the queries set apart for that, or
/// the most that is tried.
pub(super) fn least_work(
    trials: &mut Trials<'_>,
    k: u32,
    tiers: &[Tier],
) -> Result<Vec<Setting>, CalibrateError> {
    let most = trials.steps_max();
    let wanted = trials.rule(k).wanted(RECALL_DEFAULT);
    let grid = trials.grid().to_vec();
    let tried = |trials: &mut Trials<'_>, lists: u32, steps: u8| {
        trials.outcome(k, Part::Path, Setting::new(lists, steps))
    };
    // Fewer lists than hold the neighbours cannot reach it.
    let mut at = trials.fewest_lists(k, wanted);
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
        let setting = Setting::new(lists, steps.saturating_sub(saved));
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
    let all = Setting::new(grid[grid.len() - 1], most);
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

/// Whether leaving lists out by distance too saves codes and loses next to nothing of the default recall; rows of the index lie
/// nearer to the nearest head than other queries, so that it leaves out more of theirs.
pub(super) fn prunes(trials: &mut Trials<'_>, k: u32, setting: Setting) -> Result<bool, CalibrateError> {
    let all = trials.outcome(k, Part::Path, setting)?;
    let pruned = trials.outcome(k, Part::Path, Setting { pruned: true, ..setting })?;
    let lost = all.recall() - pruned.recall();
    Ok(lost <= PRUNING_LOSES * (1.0 - RECALL_DEFAULT) && pruned.vectors_scanned < all.vectors_scanned)
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
}
