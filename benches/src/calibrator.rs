//! Calibrates an index for the builder by the engine.
use std::error::Error;

use spandrel_builder::{Calibrate, Unpublished};
use spandrel_engine::{CalibrateParams, calibrate};
use spandrel_index::format::RecallCurves;

/// Calibrates as these parameters say.
#[derive(Debug, Clone, Copy)]
pub struct Calibrator<'a>(pub CalibrateParams<'a>);

impl Calibrate for Calibrator<'_> {
    fn calibrate(
        &self,
        index: Unpublished<'_>,
        tell: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<RecallCurves>, Box<dyn Error + Send + Sync>> {
        Ok(calibrate(index.dir, index.manifest, self.0, tell)?)
    }
}
