//! Opening an index: everything that stays in memory is read once and verified as it is read.
//!
//! Rebuilds nothing. Sections that stay on disk are checked by length and header here, and list by list
//! where they are read.
#![deny(clippy::indexing_slicing)]

mod distinct;
mod documents;
pub(crate) mod each;
mod files;
pub(crate) mod ids;
mod memory;
mod options;
mod recall;
mod resident;
pub(crate) mod section;
mod segment;
mod shape;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use spandrel_filter::Schema;
use spandrel_io::{FolderStore, Merging, Store};

use crate::attributes::{CACHE_BYTES, PostingCache};
use crate::codes::CodeSpec;
use crate::format::{
    ColumnEntry, ListLayout, Manifest, OpenError, PageLayout, RecallCurves, VectorsOf, approved, current,
    manifest_name, versions,
};
use crate::{DType, HeadSpace, Location, Metric, Tier};
pub use documents::Documents;
use files::Opening;
pub use ids::IdFinder;
pub use memory::Memory;
pub use options::OpenOptions;
use recall::StoredRecall;
pub use recall::read_recall;
pub use resident::{CodeRange, ResidentCodes, ResidentIds, ResidentVectors};
use section::UNSTOPPED;
pub use segment::{Segment, Stored, StoredVectors};
use shape::Shape;
pub use shape::VectorsShape;

/// One version of an index, open for search. Never changes; a newer version is another `Index`.
#[derive(Debug)]
pub struct Index {
    dir: PathBuf,
    manifest: Manifest,
    shape: Shape,
    options: OpenOptions,
    /// At least one. Shared with other versions of the same sections.
    segments: Arc<Vec<Segment>>,
    schema: Arc<Schema>,
    postings: Arc<PostingCache>,
    recall: Option<StoredRecall>,
}

impl Index {
    /// Opens the version in force of the index in `dir`.
    ///
    /// When another version is published while this one is being opened, and its files go, the new one is
    /// opened instead.
    ///
    /// # Errors
    /// [`OpenError`] naming the file that is missing, damaged, or not of this index.
    pub fn open(dir: &Path) -> Result<Index, OpenError> {
        Index::open_with(dir, OpenOptions::default())
    }

    /// As [`Index::open`], with parts kept where the caller says.
    ///
    /// # Errors
    /// As [`Index::open`]; [`OpenError::Tier`] when a part cannot be used from there.
    pub fn open_with(dir: &Path, options: OpenOptions) -> Result<Index, OpenError> {
        Index::open_until(dir, options, &UNSTOPPED)
    }

    /// As [`Index::open_with`], given up within one piece of reading after `stop` is set.
    ///
    /// # Errors
    /// As [`Index::open_with`]; [`OpenError::Stopped`].
    pub(crate) fn open_until(
        dir: &Path,
        options: OpenOptions,
        stop: &AtomicBool,
    ) -> Result<Index, OpenError> {
        Index::open_from(&FolderStore::new(dir), options, stop)
    }

    /// As [`Index::open_until`], out of any store.
    ///
    /// # Errors
    /// As [`Index::open_until`].
    pub fn open_from(store: &dyn Store, options: OpenOptions, stop: &AtomicBool) -> Result<Index, OpenError> {
        let open = |current| Index::open_manifest(store, Manifest::open(store, current)?, options, stop);
        let first = current(store)?;
        let refused = match open(first) {
            Ok(index) => return Ok(index),
            Err(stopped @ OpenError::Stopped { .. }) => return Err(stopped),
            Err(refused) => refused,
        };
        match current(store) {
            Ok(now) if now != first => open(now),
            _ => Err(refused),
        }
    }

    /// As [`Index::open_from`], of the version that was approved, where one was, else of the one in force.
    ///
    /// # Errors
    /// As [`Index::open_until`]; [`OpenError::Approved`].
    pub fn open_approved_from(
        store: &dyn Store,
        options: OpenOptions,
        stop: &AtomicBool,
    ) -> Result<Index, OpenError> {
        let Some(approved) = approved(store)? else { return Index::open_from(store, options, stop) };
        let manifest = Manifest::open(store, approved);
        let opened = manifest.and_then(|manifest| Index::open_manifest(store, manifest, options, stop));
        opened.map_err(|error| match error {
            OpenError::Stopped { .. } => error,
            source => OpenError::Approved {
                path: store.root().to_owned(),
                version: approved.version,
                source: Box::new(source),
            },
        })
    }

    /// As [`Index::open_until`], of a version that need not be in force; [`versions`](crate::versions) says which there are.
    ///
    /// # Errors
    /// As [`Index::open_until`]; [`OpenError::NoVersion`].
    pub fn open_version(
        dir: &Path,
        version: u64,
        options: OpenOptions,
        stop: &AtomicBool,
    ) -> Result<Index, OpenError> {
        Index::open_version_from(&FolderStore::new(dir), version, options, stop)
    }

    /// As [`Index::open_version`], out of any store.
    ///
    /// # Errors
    /// As [`Index::open_version`].
    pub fn open_version_from(
        store: &dyn Store,
        version: u64,
        options: OpenOptions,
        stop: &AtomicBool,
    ) -> Result<Index, OpenError> {
        let there: Vec<u64> = versions(store)?.iter().map(|there| there.number).collect();
        if !there.contains(&version) {
            return Err(OpenError::NoVersion { path: store.root().to_owned(), version, there });
        }
        Index::open_manifest(store, Manifest::open_version(store, version)?, options, stop)
    }

    /// Opens the sections in `dir` that a manifest names before it is published, or without regard to what is in
    /// force.
    ///
    /// # Errors
    /// As [`Index::open_with`].
    pub fn open_unpublished(
        dir: &Path,
        manifest: Manifest,
        options: OpenOptions,
    ) -> Result<Index, OpenError> {
        Index::open_manifest(&FolderStore::new(dir), manifest, options, &UNSTOPPED)
    }

    fn open_manifest(
        store: &dyn Store,
        manifest: Manifest,
        options: OpenOptions,
        stop: &AtomicBool,
    ) -> Result<Index, OpenError> {
        let manifest_path = store.path(&manifest_name(manifest.version));
        let shape = Shape::of(&manifest_path, &manifest)?;
        let postings = Arc::new(PostingCache::new(CACHE_BYTES));
        let opening = Opening {
            store,
            manifest: &manifest,
            manifest_path: &manifest_path,
            shape,
            options,
            stop,
            postings: Arc::clone(&postings),
        };
        let mut segments = Vec::with_capacity(manifest.segments.len());
        for entry in &manifest.segments {
            segments.push(Segment::open(&opening, entry, &segments)?);
        }
        if segments.len() > 1 {
            distinct::check(&segments, stop)?;
        }
        let recall = StoredRecall::open(store, &manifest, shape, stop)?;
        let segments = Arc::new(segments);
        // The same in all segments, which was checked.
        let schema = manifest.segments.first().map(|first| first.schema(&manifest_path)).transpose()?;
        let (dir, schema) = (store.root().to_owned(), Arc::new(schema.unwrap_or_default()));
        Ok(Index { dir, manifest, shape, options, segments, schema, postings, recall })
    }

    /// Another version of this index that is of the same sections, but for what it says of recall: only that is read, and
    /// everything else is shared. None where other sections differ, or where parts would be kept elsewhere.
    ///
    /// # Errors
    /// [`OpenError`] of what is read.
    pub fn recalibrated(
        &self,
        store: &dyn Store,
        manifest: Manifest,
        options: OpenOptions,
        stop: &AtomicBool,
    ) -> Result<Option<Index>, OpenError> {
        let Manifest { version, recall, .. } = self.manifest.clone();
        // The same version again may be of files that were restored.
        let is_another = manifest.version != version && store.root() == self.dir && options == self.options;
        if !is_another || (Manifest { version, recall, ..manifest.clone() }) != self.manifest {
            return Ok(None);
        }
        let recall = StoredRecall::open(store, &manifest, self.shape, stop)?;
        let (dir, segments) = (self.dir.clone(), Arc::clone(&self.segments));
        let (schema, postings) = (Arc::clone(&self.schema), Arc::clone(&self.postings));
        Ok(Some(Index { dir, manifest, shape: self.shape, options, segments, schema, postings, recall }))
    }

    /// The directory it was opened from.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What the index says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// How its vectors are compared.
    pub fn metric(&self) -> Metric {
        self.shape.metric
    }

    /// Element type of its vectors.
    pub fn dtype(&self) -> DType {
        self.shape.dtype
    }

    /// Elements of a vector.
    pub fn dim(&self) -> usize {
        self.shape.dim
    }

    /// Bytes of a vector.
    pub fn row_bytes(&self) -> usize {
        self.shape.row_bytes()
    }

    /// The column by whose vectors candidates are compared, if it has one. An index of documents has none: see [`Index::documents`].
    pub fn column(&self) -> Option<&ColumnEntry> {
        self.manifest.column.as_ref().filter(|_| self.manifest.documents.is_none())
    }

    /// Which vectors are one document, if that is so. Then [`VectorsOf::Column`] is the tokens of documents: record `i` of their pages is row
    /// `i` of the input. Those that are searched are these, or encodings of documents.
    pub fn documents(&self) -> Option<&Documents> {
        self.first().documents()
    }

    /// Whether these vectors can be read: those that are searched may be there by a column alone.
    pub fn holds(&self, vectors: VectorsOf) -> bool {
        self.first().held(vectors).is_some()
    }

    /// What the vectors that are searched are like, or those of the column, which it has.
    pub fn shape_of(&self, vectors: VectorsOf) -> VectorsShape {
        self.shape.vectors(vectors)
    }

    /// What the vectors of queries are like: those that are searched, or tokens of documents, of which encodings may be searched.
    pub fn query_shape(&self) -> VectorsShape {
        self.shape_of(if self.documents().is_some() { VectorsOf::Column } else { VectorsOf::Main })
    }

    /// What its lists hold.
    pub fn code(&self) -> CodeSpec {
        self.shape.code
    }

    /// How vectors and queries become rows of head space.
    pub fn space(&self) -> HeadSpace {
        self.shape.space
    }

    /// What is searched together, in the order of the manifest: one or more.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The id of the vector there, where ids are in memory. The index has such a location.
    pub fn id(&self, location: Location) -> Option<u64> {
        let segment = self.segments.get(usize::from(location.segment()))?;
        segment.ids.resident.as_ref().map(|ids| ids.id(location.position()))
    }

    /// The attributes that filters know, in the order of their numbers; none where it was built without.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Which requests for ranges of its files it pays to make one of: all lie in one store.
    pub fn merging(&self) -> Merging {
        self.first().codes.blob.merging()
    }

    /// Number of vectors.
    pub fn vectors(&self) -> u64 {
        self.segments.iter().map(|segment| segment.count).sum()
    }

    /// Number of what answers are, and what attributes and filters are of: documents where it has some, or vectors.
    pub fn items(&self) -> u64 {
        self.segments.iter().map(Segment::items).sum()
    }

    /// Number of lists.
    pub fn lists(&self) -> u32 {
        self.segments.iter().map(Segment::lists).sum()
    }

    /// Number of lists that are found by their heads.
    pub fn found_lists(&self) -> u32 {
        self.segments.iter().map(Segment::found_lists).sum()
    }

    /// Number of vectors in these lists, copies not counted.
    pub fn found_vectors(&self) -> u64 {
        self.segments.iter().map(Segment::found_vectors).sum()
    }

    /// What the index is known by.
    pub fn uuid(&self) -> u128 {
        self.manifest.uuid()
    }

    /// What recall queries are to expect, by what they spend; none where the index was not calibrated.
    pub fn recall(&self) -> Option<&RecallCurves> {
        self.recall.as_ref().map(|stored| &stored.curves)
    }

    /// The open file of that.
    pub(crate) fn stored_recall(&self) -> Option<&StoredRecall> {
        self.recall.as_ref()
    }

    /// Where its codes are.
    pub fn codes_tier(&self) -> Tier {
        self.first().codes.tier()
    }

    /// Where its vectors are.
    pub fn vectors_tier(&self) -> Tier {
        // All that are held are kept in one place.
        let held = [VectorsOf::Main, VectorsOf::Column].map(|of| self.first().held(of));
        held.into_iter().flatten().next().map_or(Tier::Ssd, StoredVectors::tier)
    }

    /// Whether the ids of all vectors are in memory.
    pub fn has_ids(&self) -> bool {
        self.first().ids.resident.is_some()
    }

    /// All segments are opened with the same options, so that the first says where parts are.
    fn first(&self) -> &Segment {
        match self.segments.first() {
            Some(segment) => segment,
            None => unreachable!("the manifest was checked to have a segment"),
        }
    }

    /// Shape of the lists of all segments.
    pub fn list_layout(&self) -> ListLayout {
        self.shape.lists
    }

    /// Shape of the pages of the vectors that are searched, kept or not, of all segments.
    pub fn page_layout(&self) -> PageLayout {
        self.shape.pages
    }
}
