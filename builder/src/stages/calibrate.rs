//! Lets the caller find the default of queries, on a sample of the input.
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spandrel_index::format::Manifest;

use super::seed_of;
use crate::config::Params;
use crate::progress::Context;
use crate::{BuildError, Calibrate, Calibration, Input, Target, Unpublished};

/// Vectors of which one is in the sample, between the least and the most: 500 rows know a recall of 0.95 to half a
/// percent, and calibrating is to take a tenth of the build.
const VECTORS_PER_ROW: u64 = 2000;
const ROWS_MIN: u64 = 400;
const ROWS_MAX: u64 = 1000;

pub(crate) fn calibrate(
    params: &Params,
    input: Input<'_>,
    manifest: &Manifest,
    by: &dyn Calibrate,
    target: Target<'_>,
    context: Context<'_>,
) -> Result<Calibration, BuildError> {
    context.progress.phase("calibrate", 0, "queries");
    let picks = picks(params);
    let row_bytes = params.row_bytes();
    let mut rows = vec![0; picks.len() * row_bytes];
    let mut ids = picks.clone();
    for ((&row, vector), id) in picks.iter().zip(rows.chunks_exact_mut(row_bytes)).zip(&mut ids) {
        input.vectors.read_rows(row, vector)?;
        if let Some(own) = input.ids {
            own.read_ids(row, std::slice::from_mut(id))?;
        }
    }
    let index = Unpublished { dir: target.dir, manifest, rows: &rows, ids: &ids };
    let found = by.calibrate(index, context.progress, context.stop);
    context.check_stop()?;
    let usual = || Calibration {
        search_default: manifest.search_default,
        search_in_memory: None,
        points: Vec::new(),
    };
    Ok(found.map_err(BuildError::Calibrate)?.unwrap_or_else(usual))
}

/// Row numbers of the sample, ascending: one from each of equal stretches of the input.
fn picks(params: &Params) -> Vec<u64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed_of(params, 5, 0));
    let count = (params.vectors / VECTORS_PER_ROW).clamp(ROWS_MIN, ROWS_MAX).min(params.vectors);
    let edge = |i: u64| i * params.vectors / count;
    (0..count).map(|i| rng.random_range(edge(i)..edge(i + 1))).collect()
}
