//! How many lists to read, and how much to compare exactly, for a wanted recall.
//!
//! Rows of the index are searched as queries that leave themselves out. What a very wide search finds is taken for
//! the truth; then the least work is looked for that finds enough of it, on a few of the rows first and checked on all.
//! Only what answers and counts of work say decides, never a time, so the result depends on the index and the rows alone.
mod placement;
mod search;
mod trials;

pub use placement::CalibrateLimits;

use std::path::Path;
use std::sync::Arc;

use spandrel_index::format::{CalibrationPoint, Manifest, OpenError};
use spandrel_index::{Index, Tier};

use crate::{Engine, EngineError, SearchError};
use placement::Placement;
use search::least_work;
use trials::Trials;

/// Neighbours that recall counts.
const K: usize = 10;
/// Recalls looked for.
const RECALLS: [f64; 3] = [0.90, 0.95, 0.99];
/// A query misses so much more than a row of the index, in whose list it lies itself: 1.06 times on SIFT descriptors,
/// 1.13 to 1.2 on sentence embeddings.
const STRANGER_MISSES: f64 = 1.15;

/// Rows of an index, each used as a query that leaves itself out.
#[derive(Debug, Clone, Copy)]
pub struct HeldOut<'a> {
    /// Rows of the index's element type, back to back.
    pub rows: &'a [u8],
    /// Their ids in the index.
    pub ids: &'a [u64],
}

/// Why an index could not be calibrated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrateError {
    /// It cannot be opened.
    #[error("the index cannot be opened")]
    Open(#[from] OpenError),
    /// It cannot be searched.
    #[error("the index cannot be searched")]
    Engine(#[from] EngineError),
    /// A search gave no answer.
    #[error("the index cannot be searched")]
    Search(#[from] SearchError),
    /// There are not as many ids as rows.
    #[error("{rows} rows held out with {ids} ids")]
    HeldOut {
        /// Rows given.
        rows: usize,
        /// Ids given.
        ids: usize,
    },
    /// Lists or pages of the index are damaged or cannot be read.
    #[error("{parts} damaged lists or pages were met")]
    Damaged {
        /// How often.
        parts: u64,
    },
    /// The caller wished to stop.
    #[error("stopped")]
    Stopped,
}

/// Finds the least work for recall@10 of 0.90, 0.95 and 0.99 in the index in `dir` that `manifest` describes,
/// published or not: with vectors on SSD, and for codes meant for memory with vectors there too. What cannot be reached
/// is left out, and all of it where there are more codes with replicas meant for memory than are kept there meanwhile.
///
/// `tell` hears how many queries were answered since it was last called, and says whether to go on.
///
/// # Errors
/// [`CalibrateError`].
pub fn calibrate(
    dir: &Path,
    manifest: &Manifest,
    held_out: HeldOut<'_>,
    limits: CalibrateLimits,
    tell: &mut dyn FnMut(u64) -> bool,
) -> Result<Vec<CalibrationPoint>, CalibrateError> {
    let Some(placement) = Placement::of(manifest, limits) else { return Ok(Vec::new()) };
    let index = Arc::new(Index::open_unpublished(dir, manifest.clone(), placement.open)?);
    let rows = held_out.rows.len() / index.row_bytes();
    if rows != held_out.ids.len() {
        return Err(CalibrateError::HeldOut { rows, ids: held_out.ids.len() });
    }
    if rows == 0 || index.vectors() <= K as u64 {
        return Ok(Vec::new());
    }
    let engine = Engine::open(index, placement.engine)?;
    let mut trials = Trials::new(&engine, held_out, placement.reference_lists, tell)?;
    let mut points = Vec::new();
    let mut looked_for: Vec<(f64, Tier)> = RECALLS.iter().map(|&recall| (recall, Tier::Ssd)).collect();
    if trials.has_codes() && manifest.build.codes == Tier::Memory {
        looked_for.extend(RECALLS.iter().map(|&recall| (recall, Tier::Memory)));
    }
    for (recall, vectors) in looked_for {
        let wanted = 1.0 - (1.0 - recall) / STRANGER_MISSES;
        if let Some((setting, outcome)) = least_work(&mut trials, (wanted, vectors))? {
            points.push(CalibrationPoint {
                recall,
                vectors,
                max_lists: setting.lists,
                rerank_errors: trials.has_codes().then(|| setting.errors()),
                held_out_recall: outcome.recall,
                reranked: outcome.reranked,
                vectors_scanned: outcome.vectors_scanned,
            });
        }
    }
    Ok(points)
}
