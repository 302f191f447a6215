//! Lets the caller find what recall to expect.
use spandrel_index::format::Manifest;
use spandrel_index::read_recall;

use super::publish::manifest;
use crate::calibrate::{calibrated, write_recall};
use crate::checkpoint::Calibrated;
use crate::state::BuildState;
use crate::{BuildError, Calibrate, Unpublished};

pub(crate) fn calibrate(state: &BuildState<'_>, by: &dyn Calibrate) -> Result<Calibrated, BuildError> {
    let (context, target) = (state.context, state.target());
    let manifest = manifest(state);
    let index = Unpublished { dir: target.dir, manifest: &manifest };
    let found = calibrated(by, index, context.progress, context.stop);
    context.check_stop()?;
    let Some(curves) = found? else {
        context.progress.note("not calibrated: queries get the usual default");
        return Ok(Calibrated { recall: None });
    };
    let recall = Some(write_recall(target.store, &manifest, target.version, &curves)?);
    // Read back, as every section is.
    read_recall(target.store, &Manifest { recall: recall.clone(), ..manifest })?;
    Ok(Calibrated { recall })
}
