//! What queries get that name no pruning: found by the caller, who knows how to search.
use std::error::Error;
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};
use spandrel_index::format::{CalibrationPoint, Manifest, SearchCell};

use crate::Progress;

/// An index that is whole but not published.
#[derive(Debug, Clone, Copy)]
pub struct Unpublished<'a> {
    /// Folder of its sections.
    pub dir: &'a std::path::Path,
    /// Its manifest, so far with the default that is usual.
    pub manifest: &'a Manifest,
}

/// What calibrating came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// What the manifest will say.
    pub cells: Vec<SearchCell>,
    /// Pruning for several recalls, for the statistics.
    pub points: Vec<CalibrationPoint>,
}

/// Finds the default of an index before it is published. The same index must give the same bytes.
pub trait Calibrate: Sync {
    /// The default, or none to keep the usual one.
    ///
    /// `progress` receives the number of queries done; soon after `stop` is set it fails, with any error.
    ///
    /// # Errors
    /// Any; the build then fails, and can be resumed.
    fn calibrate(
        &self,
        index: Unpublished<'_>,
        progress: &dyn Progress,
        stop: &AtomicBool,
    ) -> Result<Option<Calibration>, Box<dyn Error + Send + Sync>>;
}
