//! Calibrates an index for the builder, which knows nothing of queries, by the engine, which knows nothing of builds.
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};

use spandrel_builder::{BuildConfig, Calibrate, Calibration, Progress, Unpublished};
use spandrel_engine::{CalibrateLimits, calibrate};

/// Finds defaults that keep a recall of 0.95, within what the build may use.
#[derive(Debug, Clone, Copy)]
pub struct Calibrator {
    limits: CalibrateLimits,
}

impl Calibrator {
    /// With the threads and the memory of a build.
    pub fn of(config: &BuildConfig) -> Calibrator {
        Calibrator { limits: CalibrateLimits { threads: config.threads, memory_bytes: config.memory_bytes } }
    }
}

impl Calibrate for Calibrator {
    fn calibrate(
        &self,
        index: Unpublished<'_>,
        progress: &dyn Progress,
        stop: &AtomicBool,
    ) -> Result<Option<Calibration>, Box<dyn Error + Send + Sync>> {
        let mut tell = |queries| {
            progress.advance(queries);
            !stop.load(Ordering::Relaxed)
        };
        let found = calibrate(index.dir, index.manifest, self.limits, &mut tell)?;
        if found.cells.is_empty() {
            progress.note("not calibrated: queries get the usual default");
        }
        Ok(Some(Calibration { cells: found.cells, points: found.points }))
    }
}
