//! What recall queries are to expect of an index, by what they spend.
//!
//! Rows of the index are searched as queries that leave themselves out, or queries that are given. Their true neighbours are found by comparison
//! with every vector. A third of the queries finds the settings of least work, a path of lists and errors that grow in turn.
//! The others say what to expect along it: `1 - (sum of losses + 1) / (queries + 1)` is the least that a further query is to
//! expect (Angelopoulos et al., "Conformal Risk Control", 2022). Only what answers and counts of work say decides, never a
//! time, so the result depends on the index and the kind of kernels alone: floats round differently under another kind.
mod error;
mod given;
mod least;
mod lists;
mod part;
mod path;
mod placement;
mod queries;
mod ranges;
mod recordings;
mod replay;
mod rule;
mod scores;
mod seen;
mod setting;
mod stopping;
mod trials;
mod truth;

pub use error::CalibrateError;
pub use given::GivenQueries;
pub use placement::CalibrateLimits;
pub(crate) use queries::Pages;
pub use rule::expected_recall;

use std::path::Path;

use rayon::ThreadPoolBuilder;
use spandrel_index::format::{Manifest, RecallCurve, RecallCurves, RecallSource, VectorsOf};
use spandrel_index::{Index, Tier};

use least::{least_work, prunes};
use path::trace;
use placement::Placement;
use queries::Queries;
use rule::Rule;
use setting::{STEPS_USUAL, Setting};
use trials::{Given, Trials};

use crate::error::SearchError;
use crate::plan::check_held;

/// Number of neighbours for which the least work is looked for; other numbers start from its errors.
const K: u32 = 10;
/// Numbers of neighbours that have a curve of their own.
const CELLS: [u32; 6] = [K, 1, 3, 100, 1000, 10_000];
/// From here on vectors in memory take the curve of those on SSD: searches for it take most of the time.
const K_SHARED: u32 = 1000;

/// What an index is calibrated with.
#[derive(Debug, Clone, Copy)]
pub struct CalibrateParams<'a> {
    /// Queries that stand for those to come; rows of the index if none are given.
    pub given: Option<GivenQueries<'a>>,
    /// Recalls are reached with this confidence, more than 0 and less than 1; without it they are expectations.
    pub confidence: Option<f64>,
    /// What calibrating may use.
    pub limits: CalibrateLimits,
}

impl CalibrateParams<'_> {
    /// With rows of the index.
    pub const fn new(limits: CalibrateLimits) -> Self {
        CalibrateParams { given: None, confidence: None, limits }
    }
}

/// Finds what recall to expect of the index in `dir` that `manifest` describes, published or not, for 1 to 10 000
/// neighbours: with vectors on SSD, and for codes meant for memory with vectors there too. A curve ends where more work
/// does not help; by rows of the index at 0.995, or 0.96 from 1 000 neighbours on. A truth that is given tells of no more neighbours than it has.
/// Nothing is found for an index of one vector.
///
/// Finds as well which lists hold what share of the vectors within a radius.
///
/// `tell` hears how many queries were answered since it was last called, and says whether to go on.
///
/// # Errors
/// [`CalibrateError`].
pub fn calibrate(
    dir: &Path,
    manifest: &Manifest,
    params: CalibrateParams<'_>,
    tell: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<RecallCurves>, CalibrateError> {
    let CalibrateParams { given, confidence, limits } = params;
    if let Some(found) = confidence.filter(|&share| !(share > 0.0 && share < 1.0)) {
        return Err(CalibrateError::Confidence { found });
    }
    let placement = Placement::of(manifest, limits);
    let threads = placement.threads;
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|source| CalibrateError::Threads { threads, source })?;
    let index = Index::open_unpublished(dir, manifest.clone(), placement.open)?;
    let memory = index.memory();
    let placement = placement.beside(memory.attributes + memory.documents);
    check_held(VectorsOf::Main, &index).map_err(SearchError::from)?;
    let known = given.map_or(usize::MAX, |given| given.neighbours_max());
    let is_wanted = |&k: &u32| u64::from(k) < index.vectors() && k as usize <= known;
    let ks: Vec<u32> = CELLS.into_iter().filter(is_wanted).collect();
    if ks.is_empty() {
        return Ok(None);
    }
    let (queries, rule, source) = match given {
        Some(given) => (given.queries(&index)?, Rule::of_queries(confidence), RecallSource::Queries),
        None => (Queries::read(&index)?, Rule::of_rows(confidence), RecallSource::Rows),
    };
    let given = Given { queries: &queries, given, rule };
    let mut trials = Trials::new(&index, given, placement, &pool, &ks, tell)?;
    let mut tiers = vec![Tier::Ssd];
    if trials.has_codes() && manifest.build.codes == Tier::Memory {
        tiers.push(Tier::Memory);
    }
    let starts = match ks.contains(&K) {
        true => least_work(&mut trials, K, &tiers)?,
        false => vec![Setting::new(1, STEPS_USUAL); tiers.len()],
    };
    let mut curves: Vec<RecallCurve> = Vec::new();
    for (vectors, mut near) in tiers.into_iter().zip(starts) {
        let first = curves.len();
        near.pruned = ks.contains(&K) && prunes(&mut trials, K, near)?;
        for &k in &ks {
            let on_ssd = curves.iter().find(|curve| curve.k == k && k >= K_SHARED);
            let curve = match on_ssd {
                Some(curve) => RecallCurve { vectors, ..curve.clone() },
                None => {
                    let start = if k == K { near } else { trials.start(k, near) };
                    let stops = trials.learn_to_stop(k)?;
                    // One way to leave lists out is enough.
                    let start = Setting { pruned: start.pruned && k < K_SHARED && !stops, stops, ..start };
                    trace(&mut trials, k, vectors, start)?
                }
            };
            curves.push(curve);
        }
        curves[first..].sort_by_key(|curve| curve.k);
    }
    let ranges = trials.ranges()?;
    Ok(Some(RecallCurves { source, confidence, curves, ranges }))
}
