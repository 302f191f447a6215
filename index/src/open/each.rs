//! The sections of an index, each opened by itself: damage of one keeps no other from being read.
use std::sync::atomic::AtomicBool;

use spandrel_io::Store;

use super::Index;
use super::section::SectionReader;
use super::shape::{SegmentShape, Shape};
use crate::format::{MAIN_COLUMN, Manifest, OpenError, SectionEntry, SectionKind, manifest_name};

/// A section from its beginning, or why it cannot be read.
pub(crate) type Each<'a> = Result<SectionReader<'a>, OpenError>;

/// The sections that a manifest names in a store, opened one after the other. Those of a kind that is not known here are passed over.
///
/// # Errors
/// What the manifest says of all of them cannot be.
pub(crate) fn each_section<'a>(
    store: &'a dyn Store,
    manifest: &'a Manifest,
    stop: &'a AtomicBool,
) -> Result<impl Iterator<Item = Each<'a>>, OpenError> {
    let all = Shape::of(&store.path(&manifest_name(manifest.version)), manifest)?;
    let of_segments = manifest.segments.iter().flat_map(move |segment| {
        let shape = all.segment(segment);
        segment.sections.iter().map(move |entry| (entry, shape))
    });
    let (uuid, vectors, lists) = (manifest.uuid(), manifest.vectors(), manifest.lists());
    let whole = SegmentShape { index: all, uuid, vectors, lists, found_lists: lists };
    let sections = of_segments.chain(manifest.recall.iter().map(move |entry| (entry, whole)));
    Ok(sections.filter_map(move |(entry, shape)| {
        let kind = SectionKind::ALL.into_iter().find(|kind| kind.name() == entry.kind)?;
        let shape = of_kind(kind, entry, shape, manifest);
        let blob = store.open(&entry.file).map_err(|e| OpenError::store(&store.path(&entry.file), e));
        Some(blob.and_then(|blob| SectionReader::of(blob, entry, kind, &shape, stop)))
    }))
}

/// What a section agrees with.
fn of_kind(
    kind: SectionKind,
    entry: &SectionEntry,
    shape: SegmentShape,
    manifest: &Manifest,
) -> SegmentShape {
    match (kind, &manifest.documents) {
        (SectionKind::Vectors, _) if entry.column != MAIN_COLUMN => shape.of_column(&entry.column),
        (SectionKind::Attributes, Some(documents)) => SegmentShape { vectors: documents.count, ..shape },
        _ => shape,
    }
}

impl Index {
    /// Its sections, of the files that are open.
    pub(crate) fn each_open<'a>(&'a self, stop: &'a AtomicBool) -> impl Iterator<Item = Each<'a>> {
        let recall = self.stored_recall().into_iter().map(move |recall| recall.read(stop));
        self.segments().iter().flat_map(move |segment| segment.read_each(stop)).chain(recall)
    }
}
