//! Calibrates an index for the builder, which knows nothing of queries, by the engine, which knows nothing of builds.
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};

use spandrel_builder::{BuildConfig, Calibrate, Calibration, Progress, Unpublished};
use spandrel_engine::{CalibrateLimits, HeldOut, calibrate};
use spandrel_index::Tier;

/// An index of fewer vectors keeps the usual default: its queries are quick anyway.
const VECTORS_MIN: u64 = 10_000;
/// Recall@10 that queries get which name no pruning.
const RECALL_DEFAULT: f64 = 0.95;

/// Finds the least work for a recall@10 of 0.95, within what the build may use.
#[derive(Debug, Clone, Copy)]
pub struct Calibrator {
    limits: CalibrateLimits,
}

impl Calibrator {
    /// For a build that uses so many threads and so much memory.
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
        let vectors: u64 = index.manifest.segments.iter().map(|segment| segment.vectors).sum();
        if vectors < VECTORS_MIN {
            return Ok(None);
        }
        let mut tell = |queries| {
            progress.advance(queries);
            !stop.load(Ordering::Relaxed)
        };
        let held_out = HeldOut { rows: index.rows, ids: index.ids };
        let found = calibrate(index.dir, index.manifest, held_out, self.limits, &mut tell)?;
        let usual = index.manifest.search_default;
        let of = |vectors| usual.calibrated(&found, RECALL_DEFAULT, vectors);
        if of(Tier::Ssd).is_none() {
            progress.note("no setting tried gives a recall@10 of 0.95: queries get the usual default");
        }
        let (search_default, search_in_memory) = (of(Tier::Ssd).unwrap_or(usual), of(Tier::Memory));
        Ok(Some(Calibration { search_default, search_in_memory, points: found }))
    }
}
