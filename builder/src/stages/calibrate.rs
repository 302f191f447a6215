//! Lets the caller find the default of queries.
use super::publish::manifest;
use crate::state::BuildState;
use crate::{BuildError, Calibrate, Calibration, Unpublished};

pub(crate) fn calibrate(state: &BuildState<'_>, by: &dyn Calibrate) -> Result<Calibration, BuildError> {
    let context = state.context;
    context.progress.phase("calibrate", 0, "queries");
    let index = Unpublished { dir: state.target().dir, manifest: &manifest(state) };
    let found = by.calibrate(index, context.progress, context.stop);
    context.check_stop()?;
    let none = || Calibration { cells: Vec::new(), points: Vec::new() };
    Ok(found.map_err(BuildError::Calibrate)?.unwrap_or_else(none))
}
