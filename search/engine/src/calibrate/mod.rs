//! How many lists to read, and how much to compare exactly, for a wanted recall.
//!
//! Rows of the index are searched as queries that leave themselves out. Their true neighbours are found by comparison
//! with every vector, and how many lists hold them follows from that without a search; how much must be compared exactly
//! is found by searches. What is chosen keeps `1 - (sum of losses + 1) / (queries + 1)` at the recall wanted, which is
//! then the least that a further query is to expect (Angelopoulos et al., "Conformal Risk Control", 2022). Only what
//! answers and counts of work say decides, never a time, so the result depends on the index alone.
mod error;
mod goal;
mod lists;
mod placement;
mod queries;
mod search;
mod trials;
mod truth;

pub use error::CalibrateError;
pub use placement::CalibrateLimits;
pub(crate) use queries::Pages;

use std::path::Path;
use std::sync::Arc;

use spandrel_index::format::{CalibrationPoint, Manifest, SearchCell};
use spandrel_index::{Index, Tier};

use crate::Engine;
use goal::{Goal, Part, expected};
use placement::Placement;
use queries::Queries;
use search::{Settled, least_work, prunes, settle};
use trials::{STEPS_USUAL, Setting, Trials};

/// Number of neighbours for which the least work is looked for; other numbers start from its errors.
const K: u32 = 10;
/// Numbers of neighbours that have a default of their own.
const CELLS: [u32; 5] = [K, 1, 100, 1000, 10_000];
/// From here on vectors in memory take the setting of those on SSD: searches for it take most of the time.
const K_SHARED: u32 = 1000;
/// Recall of queries that ask for no pruning.
const RECALL_DEFAULT: f64 = 0.95;
/// Recalls looked for besides, at [`K`].
const RECALLS: [f64; 3] = [0.90, RECALL_DEFAULT, 0.99];
/// What calibrating came to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Calibrated {
    /// Defaults for numbers of neighbours, by place of vectors and then ascending.
    pub cells: Vec<SearchCell>,
    /// Settings for several recalls at 10 neighbours, those that can be reached.
    pub points: Vec<CalibrationPoint>,
}

/// Finds the least work for recall@10 of 0.90, 0.95 and 0.99 in the index in `dir` that `manifest` describes, published
/// or not, and what keeps a recall of 0.95 for 1 to 10 000 neighbours: with vectors on SSD, and for codes meant for
/// memory with vectors there too. A default that cannot reach its recall is the best that was tried, and says what it
/// reaches. Nothing is found for an index of several segments, nor where there are more codes with replicas meant for memory
/// than are kept there meanwhile.
///
/// `tell` hears how many queries were answered since it was last called, and says whether to go on.
///
/// # Errors
/// [`CalibrateError`].
pub fn calibrate(
    dir: &Path,
    manifest: &Manifest,
    limits: CalibrateLimits,
    tell: &mut dyn FnMut(u64) -> bool,
) -> Result<Calibrated, CalibrateError> {
    let Some(placement) = Placement::of(manifest, limits) else { return Ok(Calibrated::default()) };
    if manifest.segments.len() > 1 {
        return Ok(Calibrated::default());
    }
    let index = Arc::new(Index::open_unpublished(dir, manifest.clone(), placement.open)?);
    let ks: Vec<u32> = CELLS.into_iter().filter(|&k| u64::from(k) < index.vectors()).collect();
    if ks.is_empty() {
        return Ok(Calibrated::default());
    }
    let queries = Queries::read(&index)?;
    let engine = Engine::open(index, placement.engine)?;
    let mut trials = Trials::new(&engine, &queries, placement, &ks, tell)?;
    let mut tiers = vec![Tier::Ssd];
    if trials.has_codes() && manifest.build.codes == Tier::Memory {
        tiers.push(Tier::Memory);
    }
    let starts = match ks.contains(&K) {
        true => least_work(&mut trials, (K, RECALL_DEFAULT), &tiers)?,
        false => vec![Setting { lists: 1, steps: STEPS_USUAL, pruned: false }; tiers.len()],
    };
    let mut found = Calibrated::default();
    for (vectors, start) in tiers.into_iter().zip(starts) {
        let (mut near, mut cells) = (start, Vec::new());
        for &k in &ks {
            let on_ssd = found.cells.iter().find(|cell| cell.k == k && k >= K_SHARED);
            if let Some(&cell) = on_ssd {
                cells.push(SearchCell { vectors, ..cell });
                continue;
            }
            let goal = Goal::of(k);
            let settled = if k == K {
                near.pruned = prunes(&mut trials, goal, start)?;
                let settled = settle_pruned(&mut trials, goal, near)?;
                near.steps = settled.setting.steps;
                found.points.extend(points(&mut trials, vectors, start, settled.setting)?);
                settled
            } else {
                let start = trials.start(goal, near);
                settle_pruned(&mut trials, goal, Setting { pruned: near.pruned && k < K_SHARED, ..start })?
            };
            cells.push(cell(&trials, k, vectors, &settled));
        }
        cells.sort_by_key(|cell: &SearchCell| cell.k);
        found.cells.extend(cells);
    }
    Ok(found)
}

impl Goal {
    /// The default for `k` neighbours. Where each query takes long, less is done to come close to the recall.
    fn of(k: u32) -> Goal {
        let part = if k == K { Part::Rest } else { Part::All };
        let slack = match k {
            ..100 => 0.0005,
            100..1000 => 0.001,
            1000..10_000 => 0.004,
            10_000.. => 0.015,
        };
        Goal { k, part, recall: RECALL_DEFAULT, slack }
    }
}

/// As [`settle`], pruned only if that reaches the recall.
fn settle_pruned(trials: &mut Trials<'_>, goal: Goal, start: Setting) -> Result<Settled, CalibrateError> {
    let settled = settle(trials, goal, start)?;
    if settled.recall >= goal.recall || !start.pruned {
        return Ok(settled);
    }
    settle(trials, goal, Setting { pruned: false, ..start })
}

/// Settings without pruning for several recalls at [`K`], those that are reached: the default's own, and others on the path
/// that starts at the least work for that recall.
fn points(
    trials: &mut Trials<'_>,
    vectors: Tier,
    start: Setting,
    default: Setting,
) -> Result<Vec<CalibrationPoint>, CalibrateError> {
    let mut points = Vec::new();
    for recall in RECALLS {
        let (setting, trial, reached) = if recall == RECALL_DEFAULT {
            let setting = Setting { pruned: false, ..default };
            let trial = trials.outcome(K, Part::Rest, setting)?;
            let reached = expected(&trial.losses);
            (setting, trial, reached)
        } else {
            let goal = Goal { k: K, part: Part::Curve, recall, slack: 0.1 * (1.0 - recall) };
            let Settled { setting, trial, recall } = settle(trials, goal, start)?;
            (setting, trial, recall)
        };
        if reached >= recall {
            points.push(CalibrationPoint {
                recall,
                vectors,
                max_lists: setting.lists,
                rerank_errors: trials.has_codes().then(|| setting.errors()),
                held_out_recall: trial.recall(),
                reranked: trial.reranked,
                vectors_scanned: trial.vectors_scanned,
            });
        }
    }
    Ok(points)
}

fn cell(trials: &Trials<'_>, k: u32, vectors: Tier, settled: &Settled) -> SearchCell {
    SearchCell {
        k,
        vectors,
        epsilon: settled.setting.epsilon(),
        max_lists: settled.setting.lists,
        rerank_errors: trials.has_codes().then(|| settled.setting.errors()),
        target: RECALL_DEFAULT,
        recall: settled.recall,
        queries: settled.trial.losses.len() as u32, // CAST: at most the queries
    }
}
