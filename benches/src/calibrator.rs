//! Calibrates an index for the builder by the engine.
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};

use spandrel_builder::{Calibrate, Progress, Unpublished};
use spandrel_engine::{CalibrateParams, calibrate};
use spandrel_index::format::RecallCurves;

/// Calibrates as these parameters say.
#[derive(Debug, Clone, Copy)]
pub struct Calibrator<'a>(pub CalibrateParams<'a>);

impl Calibrate for Calibrator<'_> {
    fn calibrate(
        &self,
        index: Unpublished<'_>,
        progress: &dyn Progress,
        stop: &AtomicBool,
    ) -> Result<Option<RecallCurves>, Box<dyn Error + Send + Sync>> {
        let mut tell = |queries| {
            progress.advance(queries);
            !stop.load(Ordering::Relaxed)
        };
        Ok(calibrate(index.dir, index.manifest, self.0, &mut tell)?)
    }
}
