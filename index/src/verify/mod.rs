//! Reading an index from end to end to see whether it is whole.
//!
//! Shallow: what opening checks, and the hash of every file. Deep: besides, that the files say the same
//! about every vector. Files are read front to back once, those of attributes once more where they are compared; memory is
//! bounded by [`replicas::BATCH`] and a few bits per vector.
#![deny(clippy::indexing_slicing)]

mod codes;
mod column;
mod damage;
mod documents;
mod encodings;
mod error;
mod ids;
mod lists;
mod partition;
mod primaries;
mod radii;
mod records;
mod replicas;
mod values;
mod watch;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use spandrel_io::FolderStore;

use crate::attributes;
use crate::format::{Manifest, SectionKind, VectorsOf, current};
use crate::kernels::Variant;
use crate::open::each::each_section;
use crate::open::section::{PIECE_BYTES, SectionReader};
use crate::{Index, OpenOptions, Segment, Tier};
pub use error::VerifyError;
pub use watch::VerifyProgress;
use watch::Watch;

/// What was checked, all of it good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// Version of the index.
    pub version: u64,
    /// Whether the content was compared, not the hashes alone.
    pub deep: bool,
    /// Section files.
    pub files: usize,
    /// Bytes of the files read.
    pub bytes: u64,
    /// Vectors in the index.
    pub vectors: u64,
    /// Lists in the index.
    pub lists: u64,
    /// Entries of all lists, primaries and replicas.
    pub copies: u64,
    /// Lists, pages of vectors and of ids, and pieces of attributes whose own hash was checked: 0 unless deep.
    pub hashes: u64,
    /// Replicas compared with their vector: 0 unless deep, and 0 for codes that the kernels of another machine rounded.
    pub replicas: u64,
}

/// Verifies the version in force of the index in `dir`.
///
/// # Errors
/// [`VerifyError::Open`] for the first thing found wrong, [`VerifyError::Several`] where several files are damaged, which are then all
/// read once more, [`VerifyError::Stopped`] soon after `stop` becomes true.
pub fn verify(
    dir: &Path,
    deep: bool,
    progress: &mut dyn FnMut(VerifyProgress<'_>),
    stop: &AtomicBool,
) -> Result<VerifyReport, VerifyError> {
    // Codes and vectors are read piece by piece below.
    let options = OpenOptions { codes: Some(Tier::Ssd), ..OpenOptions::default() };
    let opened = Index::open_with(dir, options).map_err(VerifyError::from);
    let checked = opened.and_then(|index| {
        check(&index, deep, true, Watch::new(progress, stop, index.manifest().index_bytes()))
    });
    checked.map_err(|first| {
        let store = FolderStore::new(dir);
        let Ok(manifest) = current(&store).and_then(|current| Manifest::open(&store, current)) else {
            return first;
        };
        match each_section(&store, &manifest, stop) {
            Ok(sections) => damage::with_others(first, sections),
            Err(_) => first,
        }
    })
}

/// Verifies the files that `index` was opened from, even if its folder holds another version by now.
///
/// # Errors
/// As [`verify`].
pub fn verify_open(
    index: &Index,
    deep: bool,
    progress: &mut dyn FnMut(VerifyProgress<'_>),
    stop: &AtomicBool,
) -> Result<VerifyReport, VerifyError> {
    check(index, deep, false, Watch::new(progress, stop, index.manifest().index_bytes()))
        .map_err(|first| damage::with_others(first, index.each_open(stop)))
}

/// Verifies an index; `just_opened` says that opening has read what stays in memory a moment ago.
fn check(
    index: &Index,
    deep: bool,
    just_opened: bool,
    mut watch: Watch<'_>,
) -> Result<VerifyReport, VerifyError> {
    let manifest = index.manifest();
    let mut report = VerifyReport {
        version: manifest.version,
        deep,
        files: manifest.files().count(),
        bytes: manifest.index_bytes(),
        vectors: index.vectors(),
        lists: u64::from(index.lists()),
        copies: index.segments().iter().map(|segment| segment.directory.copies()).sum(),
        hashes: 0,
        replicas: 0,
    };
    // Elsewhere codes are rounded otherwise.
    let same_kernels = manifest.build.kernels == Variant::best().name();
    if let Some(recall) = index.stored_recall() {
        watch.name("memory");
        let section = recall.read(watch.stop())?;
        if just_opened { watch.step(section.file_bytes())? } else { hash(section, &mut watch)? }
    }
    for segment in index.segments() {
        watch.name("memory");
        let resident = [
            SectionKind::Heads,
            SectionKind::Graph,
            SectionKind::Directory,
            SectionKind::Model,
            SectionKind::Documents,
        ];
        for kind in resident.into_iter().filter(|&kind| segment.has(kind)) {
            let section = segment.read(kind)?;
            if just_opened { watch.step(section.file_bytes())? } else { hash(section, &mut watch)? }
        }
        if deep {
            let first_ids = ids::check(segment, &mut watch)?;
            let pages =
                held(segment).map(|of| segment.vectors(of).layout.pages(segment.records(of))).sum::<u64>();
            let pages = pages + segment.ids.layout.pages(segment.count);
            report.hashes += pages + u64::from(segment.lists());
            report.replicas += lists::check(segment, &first_ids, same_kernels, &mut watch)?;
            match segment.documents() {
                Some(documents) => documents::check(segment, documents, &mut watch)?,
                None if segment.held(VectorsOf::Column).is_some() => {
                    column::check(segment, &first_ids, &mut watch)?;
                }
                None => {}
            }
        } else {
            for kind in [SectionKind::Codes, SectionKind::Ids] {
                watch.name(kind.name());
                hash(segment.read(kind)?, &mut watch)?;
            }
            for of in held(segment) {
                watch.name(SectionKind::Vectors.name());
                hash(segment.read_vectors(of)?, &mut watch)?;
            }
        }
        watch.name("attributes");
        for (attribute, section) in segment.attributes().iter().zip(segment.read_attributes()) {
            hash(section?, &mut watch)?;
            if deep {
                report.hashes += attributes::check(attribute, &mut || watch.step(0))?;
            }
        }
        if deep {
            partition::check(index, segment, &mut watch)?;
        }
    }
    Ok(report)
}

/// The vectors that a segment holds.
fn held(segment: &Segment) -> impl Iterator<Item = VectorsOf> {
    [VectorsOf::Main, VectorsOf::Column].into_iter().filter(|&of| segment.held(of).is_some())
}

/// Reads a section to its end.
fn hash(mut section: SectionReader<'_>, watch: &mut Watch<'_>) -> Result<(), VerifyError> {
    let mut piece = vec![0; PIECE_BYTES];
    while section.left() > 0 {
        let bytes = section.left().min(PIECE_BYTES as u64);
        let piece = piece.get_mut(..bytes as usize).unwrap_or_default(); // CAST: at most PIECE_BYTES
        section.read(piece)?;
        watch.step(bytes)?;
    }
    Ok(section.finish()?)
}

#[cfg(test)]
mod tests;
