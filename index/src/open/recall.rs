//! What an index says of the recall of its queries.
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use spandrel_io::{Blob, Store};

use super::section::{SectionReader, UNSTOPPED};
use super::shape::{SegmentShape, Shape};
use crate::format::{
    Manifest, OpenError, RECALL_BYTES_MAX, RecallCurves, SectionEntry, SectionKind, manifest_name,
};

/// The curves of an index, and the open file that they are from.
#[derive(Debug)]
pub(crate) struct StoredRecall {
    pub(crate) curves: RecallCurves,
    entry: SectionEntry,
    blob: Arc<dyn Blob>,
    shape: SegmentShape,
}

/// Reads the curves of the index in a store that a manifest describes, published or not; none where it is not calibrated.
///
/// # Errors
/// [`OpenError`] naming what is missing, damaged, or not of this index.
pub fn read_recall(store: &dyn Store, manifest: &Manifest) -> Result<Option<RecallCurves>, OpenError> {
    let shape = Shape::of(&store.path(&manifest_name(manifest.version)), manifest)?;
    let stored = StoredRecall::open(store, manifest, shape, &UNSTOPPED)?;
    Ok(stored.map(|stored| stored.curves))
}

impl StoredRecall {
    pub(super) fn open(
        store: &dyn Store,
        manifest: &Manifest,
        shape: Shape,
        stop: &AtomicBool,
    ) -> Result<Option<StoredRecall>, OpenError> {
        let Some(entry) = &manifest.recall else { return Ok(None) };
        let blob = store.open(&entry.file).map_err(|e| OpenError::store(&store.path(&entry.file), e))?;
        let (uuid, vectors, lists) = (manifest.uuid(), manifest.vectors(), manifest.lists());
        let shape = SegmentShape { index: shape, uuid, vectors, lists, found_lists: lists };
        let mut section = SectionReader::of(Arc::clone(&blob), entry, SectionKind::Recall, &shape, stop)?;
        let (path, body_bytes) = (section.path().to_owned(), section.body_bytes());
        if body_bytes > RECALL_BYTES_MAX {
            let expected = format!("at most {RECALL_BYTES_MAX}");
            return Err(OpenError::field(&path, "body_bytes", body_bytes, expected));
        }
        let body = section.read_all()?;
        // Damage is reported as damage, also where the bytes parse.
        section.finish()?;
        let curves = RecallCurves::from_bytes(&path, &body, lists)?;
        Ok(Some(StoredRecall { curves, entry: entry.clone(), blob, shape }))
    }

    /// The section from its beginning.
    pub(crate) fn read<'a>(&self, stop: &'a AtomicBool) -> Result<SectionReader<'a>, OpenError> {
        let blob = Arc::clone(&self.blob);
        SectionReader::of(blob, &self.entry, SectionKind::Recall, &self.shape, stop)
    }
}
