//! Calibrates an index for the builder, which knows nothing of queries, by the engine, which knows nothing of builds.
use std::error::Error;

use spandrel_builder::{BuildConfig, Calibrate, Unpublished};
use spandrel_engine::{CalibrateLimits, CalibrateParams, GivenQueries, calibrate};
use spandrel_index::format::RecallCurves;

/// Finds what recall to expect, within what the build may use.
#[derive(Debug, Clone, Copy)]
pub struct Calibrator<'a>(pub CalibrateParams<'a>);

impl Calibrator<'_> {
    /// With queries that were held back, or rows of the index without any, and with the threads and the memory of a build.
    pub fn of<'a>(config: &BuildConfig, held_back: Option<&'a [u8]>) -> Calibrator<'a> {
        let limits = CalibrateLimits { threads: config.threads, memory_bytes: config.memory_bytes };
        let given = held_back.map(|rows| GivenQueries { rows, truth: None });
        Calibrator(CalibrateParams { given, ..CalibrateParams::new(limits) })
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
