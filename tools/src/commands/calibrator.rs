//! Calibrates an index for the builder, which knows nothing of queries, by the engine, which knows nothing of builds.
use std::error::Error;

use spandrel_builder::{BuildConfig, Calibrate, Unpublished};
use spandrel_engine::{CalibrateLimits, CalibrateParams, calibrate};
use spandrel_index::format::RecallCurves;

/// Finds what recall to expect, within what the build may use.
#[derive(Debug, Clone, Copy)]
pub struct Calibrator<'a>(pub CalibrateParams<'a>);

impl Calibrator<'_> {
    /// With rows of the index, and with the threads and the memory of a build.
    pub fn of(config: &BuildConfig) -> Calibrator<'static> {
        let limits = CalibrateLimits { threads: config.threads, memory_bytes: config.memory_bytes };
        Calibrator(CalibrateParams::new(limits))
    }
}

impl Calibrate for Calibrator<'_> {
    fn calibrate(
        &self,
        index: Unpublished<'_>,
        tell: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<RecallCurves>, Box<dyn Error + Send + Sync>> {
        Ok(calibrate(index.dir, index.manifest, self.0, tell)?)
    }
}
