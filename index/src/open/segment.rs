//! A part of an index with lists and vectors of its own.
use std::ops::Range;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::thread::{self, Scope};

use spandrel_io::Blob;

use super::documents::Documents;
use super::files::{Centres, Files, OpenSection, Opening, read_directory};
use super::ids::IdFinder;
use super::resident::{ResidentCodes, ResidentIds, ResidentVectors};
use super::section::{SectionReader, UNSTOPPED};
use super::shape::{SegmentShape, Shape};
use crate::Tier;
use crate::attributes::StoredAttribute;
use crate::codes::CodeModel;
use crate::format::{
    Directory, IdPages, ListLayout, MAIN_COLUMN, OpenError, PageLayout, PartitionEntry, SectionKind,
    SegmentEntry, VectorsOf,
};
use crate::heads::{HeadIndex, Heads};

/// A section that stays on disk, and what of it is in memory.
#[derive(Debug)]
#[non_exhaustive]
pub struct Stored<L, R> {
    /// Its file, kept open; the body starts at [`BODY_AT`](crate::format::BODY_AT).
    pub blob: Arc<dyn Blob>,
    /// What messages call it.
    pub path: PathBuf,
    /// What the hashes of its lists or pages are seeded with.
    pub uuid: u128,
    /// Bytes of the body.
    pub body_bytes: u64,
    /// Shape of its lists or pages.
    pub layout: L,
    /// What it holds, where that is in memory.
    pub resident: Option<R>,
}

impl<L, R> Stored<L, R> {
    /// Where its content is searched.
    pub(crate) fn tier(&self) -> Tier {
        if self.resident.is_some() { Tier::Memory } else { Tier::Ssd }
    }
}

/// A part of an index: heads, the lists under them, and the vectors in these. Positions and lists are numbered within it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Segment {
    /// What the hashes of its lists and pages are seeded with, those of its column apart.
    pub uuid: u128,
    /// Number of its vectors.
    pub count: u64,
    /// Number of the segment whose heads, head index and model these are: its own unless it shares those of another.
    pub heads_of: u16,
    /// Centres of the lists, in head space.
    pub heads: Arc<Heads>,
    /// Finds the nearest heads.
    pub head_index: Arc<HeadIndex>,
    /// How codes are made; none for lists of exact vectors.
    pub model: Option<Arc<CodeModel>>,
    /// Where each list lies.
    pub directory: Directory,
    /// Lists: their place on SSD, or their codes in memory.
    pub codes: Stored<ListLayout, ResidentCodes>,
    /// The vectors that are searched, in the order of positions, where they are kept.
    vectors: Option<StoredVectors>,
    /// Those of the other column, in the same order.
    column: Option<StoredVectors>,
    /// Pairs of id and position.
    pub ids: Stored<IdPages, ResidentIds>,
    /// Which vectors are one document.
    documents: Option<Documents>,
    /// What is known of the vectors beside them, in the order of the schema.
    attributes: Vec<StoredAttribute>,
    id_finder: OnceLock<IdFinder>,
    partition: Option<PartitionEntry>,
    shape: SegmentShape,
    sections: Vec<OpenSection>,
}

/// Pages of vectors.
pub type StoredVectors = Stored<PageLayout, ResidentVectors>;

impl Segment {
    /// Opens the segment of `entry`, after those `before` it.
    pub(super) fn open(
        opening: &Opening<'_>,
        entry: &SegmentEntry,
        before: &[Segment],
    ) -> Result<Segment, OpenError> {
        let shape = opening.shape.segment(entry);
        let mut files = Files { opening, entry, shape: &shape, sections: Vec::new() };
        let codes = files.open(SectionKind::Codes)?;
        let (vectors, column) = (files.vectors()?, files.column()?);
        let ids = files.open(SectionKind::Ids)?;
        let centres = match entry.heads_of.and_then(|of| before.get(usize::from(of))) {
            Some(other) => other.centres(),
            None => files.centres(before.len() as u16)?, // CAST: fewer segments were checked
        };
        let directory = read_directory(files.open(SectionKind::Directory)?, &shape, codes.body_bytes())?;
        if let Some(partition) = &entry.partition {
            partition.check_directory(opening.manifest_path, entry.lists, &directory)?;
        }
        let attributes = files.attributes(before.len() as u16)?; // CAST: fewer segments were checked
        let documents = files.documents()?;
        let Files { sections, .. } = files;

        let (options, built_for) = (opening.options, opening.manifest.build.codes);
        let codes_in_memory = opening.in_memory("codes", options.codes.unwrap_or(built_for))?;
        let vectors_in_memory = opening.in_memory("vectors", options.vectors.unwrap_or(Tier::Ssd))?;
        let (lists, id_pages) = (shape.index.lists, shape.ids());
        let read_codes = || {
            stored(codes, lists, shape.uuid, |codes| match lists {
                ListLayout::Coded(layout) if codes_in_memory => {
                    ResidentCodes::read(codes, &directory, layout).map(Some)
                }
                _ => Ok(None),
            })
        };
        let read_pages = |vectors, of: &SegmentShape| {
            let pages = of.index.pages;
            stored(vectors, pages, of.uuid, |vectors| {
                vectors_in_memory.then(|| ResidentVectors::read(vectors, pages)).transpose()
            })
        };
        let read_vectors = || vectors.map(|vectors| read_pages(vectors, &shape)).transpose();
        let read_column = || column.map(|(vectors, shape)| read_pages(vectors, &shape)).transpose();
        let read_ids = || {
            stored(ids, id_pages, shape.uuid, |ids| {
                options.ids.then(|| ResidentIds::read(ids, id_pages, shape.vectors)).transpose()
            })
        };
        // Those that are large are read side by side: hashing and page faults keep one processor busy with each.
        let path = opening.manifest_path;
        let (codes, vectors, column, ids) = thread::scope(|scope| {
            let vectors = beside(scope, path, vectors_in_memory, read_vectors);
            let column = beside(scope, path, vectors_in_memory, read_column);
            let ids = beside(scope, path, options.ids, read_ids);
            (read_codes(), vectors(), column(), ids())
        });
        let (codes, vectors, column, ids) = (codes?, vectors?, column?, ids?);
        Ok(Segment {
            uuid: shape.uuid,
            count: shape.vectors,
            heads_of: centres.of,
            heads: centres.heads,
            head_index: centres.head_index,
            model: centres.model,
            directory,
            codes,
            vectors,
            column,
            ids,
            documents,
            attributes,
            id_finder: OnceLock::new(),
            partition: entry.partition.clone(),
            shape,
            sections,
        })
    }

    fn centres(&self) -> Centres {
        Centres {
            of: self.heads_of,
            heads: Arc::clone(&self.heads),
            head_index: Arc::clone(&self.head_index),
            model: self.model.clone(),
        }
    }

    /// Pages of the vectors that are searched, or of those of the column. It holds them, as [`Index::holds`](crate::Index::holds) says.
    pub fn vectors(&self, of: VectorsOf) -> &StoredVectors {
        match self.held(of) {
            Some(vectors) => vectors,
            None => unreachable!("vectors that the index does not hold"),
        }
    }

    /// Which vectors are one document, if that is so.
    pub(crate) fn documents(&self) -> Option<&Documents> {
        self.documents.as_ref()
    }

    /// What answers are, and what attributes and filters are of: its documents where it has some, each at the position of its number, or
    /// its vectors.
    pub fn items(&self) -> u64 {
        self.documents.as_ref().map_or(self.count, |documents| documents.offsets().documents() as u64) // CAST: widening
    }

    /// Number of the vectors that are searched, or of those of the column.
    pub(crate) fn records(&self, of: VectorsOf) -> u64 {
        match (of, &self.documents) {
            (VectorsOf::Column, Some(documents)) => documents.offsets().rows(),
            _ => self.count,
        }
    }

    /// As [`Segment::vectors`], where it holds them.
    pub(crate) fn held(&self, of: VectorsOf) -> Option<&StoredVectors> {
        match of {
            VectorsOf::Main => self.vectors.as_ref(),
            VectorsOf::Column => self.column.as_ref(),
        }
    }

    /// Number of its lists, and of heads over them.
    pub fn lists(&self) -> u32 {
        self.heads.count()
    }

    /// Finds positions of ids. The first id of each page is read when this is first called, and stays in memory: 8 bytes for
    /// about 500 vectors.
    ///
    /// # Errors
    /// [`OpenError`] when they cannot be read or are damaged.
    pub fn id_finder(&self) -> Result<&IdFinder, OpenError> {
        if let Some(finder) = self.id_finder.get() {
            return Ok(finder);
        }
        let finder = IdFinder::open(Arc::clone(&self.ids.blob), self.ids.layout, self.count)?;
        Ok(self.id_finder.get_or_init(|| finder))
    }

    /// Its lists that are found by their heads: all, but for those that values of a partition share.
    pub fn found_lists(&self) -> u32 {
        self.heads.found()
    }

    /// Vectors in these lists, copies not counted.
    pub(crate) fn found_vectors(&self) -> u64 {
        let after = self.found_lists();
        if after == self.lists() { self.count } else { self.directory.first_position(after).into() }
    }

    /// The lists that values of a partition share and that are not found by their heads: to be searched beside those that are.
    pub fn shared_lists(&self) -> Range<u32> {
        self.found_lists()..self.lists()
    }

    /// How its lists follow the values of an attribute, if they do.
    pub fn partition(&self) -> Option<&PartitionEntry> {
        self.partition.as_ref()
    }

    /// What is known of its vectors in attribute number `attribute` of the [schema](crate::Index::schema).
    pub fn attribute(&self, attribute: usize) -> Option<&StoredAttribute> {
        self.attributes.get(attribute)
    }

    /// What is known of its vectors beside them, in the order of the schema.
    pub fn attributes(&self) -> &[StoredAttribute] {
        &self.attributes
    }

    /// What its index is in the main.
    pub(crate) fn shape(&self) -> &Shape {
        &self.shape.index
    }

    /// The sections of attributes, from their beginnings, in the order of the schema.
    pub(crate) fn read_attributes(&self) -> impl Iterator<Item = Result<SectionReader<'static>, OpenError>> {
        let sections = self.sections.iter().filter(|section| section.kind == SectionKind::Attributes);
        sections.map(|section| section.read(&UNSTOPPED))
    }

    /// Every section, from its beginning.
    pub(super) fn read_each<'a>(
        &'a self,
        stop: &'a AtomicBool,
    ) -> impl Iterator<Item = Result<SectionReader<'a>, OpenError>> {
        self.sections.iter().map(move |section| section.read(stop))
    }

    /// Whether it has a file of a kind.
    pub(crate) fn has(&self, kind: SectionKind) -> bool {
        self.sections.iter().any(|section| section.kind == kind)
    }

    /// The open file of a section that it has.
    pub(crate) fn file(&self, kind: SectionKind) -> &Arc<dyn Blob> {
        &self.section(kind).blob
    }

    /// A section that it has, from its beginning.
    pub(crate) fn read(&self, kind: SectionKind) -> Result<SectionReader<'static>, OpenError> {
        self.read_until(kind, &UNSTOPPED)
    }

    /// As [`Segment::read`], given up after `stop` is set.
    pub(super) fn read_until<'a>(
        &self,
        kind: SectionKind,
        stop: &'a AtomicBool,
    ) -> Result<SectionReader<'a>, OpenError> {
        self.section(kind).read(stop)
    }

    /// The pages of vectors that it holds, from their beginning.
    pub(crate) fn read_vectors(&self, of: VectorsOf) -> Result<SectionReader<'static>, OpenError> {
        let is_wanted = |section: &&OpenSection| {
            let is_main = section.entry.column == MAIN_COLUMN;
            section.kind == SectionKind::Vectors && is_main == (of == VectorsOf::Main)
        };
        match self.sections.iter().find(is_wanted) {
            Some(section) => section.read(&UNSTOPPED),
            None => unreachable!("vectors that the index does not hold"),
        }
    }

    fn section(&self, kind: SectionKind) -> &OpenSection {
        match self.sections.iter().find(|section| section.kind == kind) {
            Some(section) => section,
            None => unreachable!("a section that was not opened"),
        }
    }
}

/// Does something in a thread of its own, if `is_long`; else where the outcome is asked for.
fn beside<'scope, R: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    path: &'scope Path,
    is_long: bool,
    work: impl FnOnce() -> Result<R, OpenError> + Send + 'scope,
) -> Box<dyn FnOnce() -> Result<R, OpenError> + 'scope> {
    if !is_long {
        return Box::new(work);
    }
    // The system may have no thread left.
    let running = thread::Builder::new().spawn_scoped(scope, work);
    Box::new(move || {
        running.map_err(|e| OpenError::read(path, e))?.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// A section, and what `read` keeps of it.
fn stored<'a, L, R>(
    section: SectionReader<'a>,
    layout: L,
    uuid: u128,
    read: impl FnOnce(SectionReader<'a>) -> Result<Option<R>, OpenError>,
) -> Result<Stored<L, R>, OpenError> {
    let (blob, body_bytes) = (Arc::clone(section.blob()), section.body_bytes());
    Ok(Stored { path: blob.path().to_owned(), blob, uuid, body_bytes, layout, resident: read(section)? })
}
