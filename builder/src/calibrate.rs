//! What recall queries are to expect: found by the caller, who knows how to search.
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};

use spandrel_index::format::{
    BODY_AT, Header, Manifest, RecallCurves, SectionEntry, SectionKind, hash_hex, section_name,
};
use spandrel_io::Store;

use crate::{BuildError, Progress};

/// An index that is whole but not published.
#[derive(Debug, Clone, Copy)]
pub struct Unpublished<'a> {
    /// Folder of its sections.
    pub dir: &'a std::path::Path,
    /// Its manifest, so far with the default that is usual.
    pub manifest: &'a Manifest,
}

/// Finds what recall to expect of an index before it is published. The same index must give the same bytes.
pub trait Calibrate: Sync {
    /// The curves, or none to keep the usual default.
    ///
    /// `tell` hears how many queries were done since it was last called, and says whether to go on; where not, this fails, with
    /// any error.
    ///
    /// # Errors
    /// Any; the build then fails, and can be resumed.
    fn calibrate(
        &self,
        index: Unpublished<'_>,
        tell: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<RecallCurves>, Box<dyn Error + Send + Sync>>;
}

/// Calibrates while the caller of a build wishes it to go on.
pub(crate) fn calibrated(
    by: &dyn Calibrate,
    index: Unpublished<'_>,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<Option<RecallCurves>, BuildError> {
    progress.phase("calibrate", 0, "queries");
    let mut tell = |queries| {
        progress.advance(queries);
        !stop.load(Ordering::Relaxed)
    };
    by.calibrate(index, &mut tell).map_err(BuildError::Calibrate)
}

/// Writes the curves as a section of version `version` of the index of `manifest`.
pub(crate) fn write_recall(
    store: &dyn Store,
    manifest: &Manifest,
    version: u64,
    curves: &RecallCurves,
) -> Result<SectionEntry, BuildError> {
    let kind = SectionKind::Recall;
    let file = section_name(kind, version);
    let (Ok(dtype), Ok(metric)) = (manifest.dtype(), manifest.metric()) else {
        unreachable!("a manifest is checked where it is read or made");
    };
    let mut writer = store.create(&file)?.with_head(BODY_AT)?;
    writer.append(&curves.to_bytes())?;
    let header = Header {
        kind,
        dtype,
        metric,
        family: 0,
        dim: manifest.dim as u32, // CAST: at most DIM_MAX
        unit_bytes: 0,
        count: manifest.lists(),
        uuid: manifest.uuid(),
        body_bytes: writer.bytes(),
    };
    let written = writer.finish_with_head(&header.to_bytes())?;
    Ok(SectionEntry {
        kind: kind.name().to_owned(),
        attribute: None,
        column: String::new(),
        required: false,
        file,
        bytes: written.bytes,
        hash: hash_hex(written.hash),
    })
}
