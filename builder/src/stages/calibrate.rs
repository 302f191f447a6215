//! Lets the caller find the default of queries.
use spandrel_index::format::Manifest;

use crate::progress::Context;
use crate::{BuildError, Calibrate, Calibration, Target, Unpublished};

pub(crate) fn calibrate(
    manifest: &Manifest,
    by: &dyn Calibrate,
    target: Target<'_>,
    context: Context<'_>,
) -> Result<Calibration, BuildError> {
    context.progress.phase("calibrate", 0, "queries");
    let index = Unpublished { dir: target.dir, manifest };
    let found = by.calibrate(index, context.progress, context.stop);
    context.check_stop()?;
    let none = || Calibration { cells: Vec::new(), points: Vec::new() };
    Ok(found.map_err(BuildError::Calibrate)?.unwrap_or_else(none))
}
