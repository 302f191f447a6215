//! Opening an index: everything that stays in memory is read once and verified as it is read.
//!
//! Rebuilds nothing. Sections that stay on disk are checked by length and header here, and list by list
//! where they are read.
#![deny(clippy::indexing_slicing)]

mod resident;
pub(crate) mod section;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use fs_err::File;

use crate::codes::{CodeModel, CodeSpec};
use crate::format::{
    Current, Directory, DirectoryShape, IdPages, ListLayout, Manifest, OpenError, PageLayout, SearchDefault,
    SectionKind, current, manifest_name,
};
use crate::heads::{HeadIndex, Heads, HnswGraph};
use crate::{DType, HeadSpace, Metric, Tier};
pub use resident::{CodeRange, ResidentCodes, ResidentIds, ResidentVectors};
use section::{SectionReader, Shape, UNSTOPPED, only_segment};

/// One version of an index, open for search. Never changes; a newer version is another `Index`.
#[derive(Debug)]
pub struct Index {
    dir: PathBuf,
    manifest: Manifest,
    shape: Shape,
    heads: Heads,
    head_index: HeadIndex,
    directory: Directory,
    model: Option<CodeModel>,
    resident_codes: Option<ResidentCodes>,
    resident_vectors: Option<ResidentVectors>,
    resident_ids: Option<ResidentIds>,
    codes: PathBuf,
    codes_bytes: u64,
    vectors: PathBuf,
    ids: PathBuf,
    /// Every section's file, kept open: its name may go, or another version take its place.
    files: Vec<(SectionKind, Arc<File>)>,
}

/// Where parts of an index are kept while it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenOptions {
    /// Codes of the lists; where the index was built for if not given.
    pub codes: Option<Tier>,
    /// The vectors themselves; on SSD if not given.
    pub vectors: Option<Tier>,
    /// Whether the ids of all vectors are kept in memory, which answering with estimates needs.
    pub ids: bool,
}

/// Bytes of memory that an open index holds, by what they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// Rows of the heads.
    pub heads: usize,
    /// Graph over the heads.
    pub head_index: usize,
    /// Where each list lies, and its hash.
    pub directory: usize,
    /// Ids of all vectors, where they were asked for.
    pub resident_ids: usize,
    /// Codes in memory, and what is needed to use codes anywhere.
    pub codes: usize,
    /// Vectors in memory.
    pub vectors: usize,
}

impl Memory {
    /// All of them together.
    pub fn total(&self) -> usize {
        self.heads + self.head_index + self.directory + self.resident_ids + self.codes + self.vectors
    }
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
    pub fn open_until(dir: &Path, options: OpenOptions, stop: &AtomicBool) -> Result<Index, OpenError> {
        let first = current(dir)?;
        let refused = match Index::open_version(dir, first, options, stop) {
            Ok(index) => return Ok(index),
            Err(stopped @ OpenError::Stopped { .. }) => return Err(stopped),
            Err(refused) => refused,
        };
        match current(dir) {
            Ok(now) if now != first => Index::open_version(dir, now, options, stop),
            _ => Err(refused),
        }
    }

    pub(crate) fn open_version(
        dir: &Path,
        version: Current,
        options: OpenOptions,
        stop: &AtomicBool,
    ) -> Result<Index, OpenError> {
        Index::open_manifest(dir, Manifest::open(dir, version)?, options, stop)
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
        Index::open_manifest(dir, manifest, options, &UNSTOPPED)
    }

    fn open_manifest(
        dir: &Path,
        manifest: Manifest,
        options: OpenOptions,
        stop: &AtomicBool,
    ) -> Result<Index, OpenError> {
        let shape = Shape::of(dir, &manifest)?;
        let manifest_path = dir.join(manifest_name(manifest.version));
        let segment = only_segment(&manifest_path, &manifest)?;
        let mut files = Vec::new();
        let mut open = |kind| -> Result<SectionReader<'_>, OpenError> {
            let entry = segment.required(&manifest_path, kind)?;
            let section = SectionReader::open(dir, entry, kind, &shape, stop)?;
            files.push((kind, Arc::clone(section.file())));
            Ok(section)
        };

        let codes = open(SectionKind::Codes)?;
        let vectors = open(SectionKind::Vectors)?;
        let ids = open(SectionKind::Ids)?;
        let heads = read_heads(open(SectionKind::Heads)?, &shape)?;
        let head_index = match segment.section(SectionKind::Graph) {
            Some(_) => read_graph(open(SectionKind::Graph)?, &heads)?,
            None => HeadIndex::flat(&heads),
        };
        let directory = read_directory(open(SectionKind::Directory)?, &shape, codes.body_bytes())?;
        let model = match shape.code {
            CodeSpec::Full => None,
            code => Some(read_model(open(SectionKind::Model)?, code, shape.dim)?),
        };
        let in_memory = |part, tier| match tier {
            Tier::Memory if model.is_none() => {
                Err(OpenError::Tier { path: manifest_path.clone(), part, tier })
            }
            tier => Ok(tier == Tier::Memory),
        };
        let codes_in_memory = in_memory("codes", options.codes.unwrap_or(manifest.build.codes))?;
        let vectors_in_memory = in_memory("vectors", options.vectors.unwrap_or(Tier::Ssd))?;
        let (codes_path, codes_bytes) = (codes.path().to_owned(), codes.body_bytes());
        let vectors_path = vectors.path().to_owned();
        let resident_codes = match shape.lists_layout {
            ListLayout::Coded(layout) if codes_in_memory => {
                Some(ResidentCodes::read(codes, &directory, layout)?)
            }
            _ => None,
        };
        let resident_vectors =
            if vectors_in_memory { Some(ResidentVectors::read(vectors, shape.pages)?) } else { None };
        let ids_path = ids.path().to_owned();
        let resident_ids = match options.ids {
            true => Some(ResidentIds::read(ids, &shape.ids, shape.vectors)?),
            false => None,
        };
        Ok(Index {
            dir: dir.to_owned(),
            codes: codes_path,
            codes_bytes,
            vectors: vectors_path,
            ids: ids_path,
            files,
            heads,
            head_index,
            directory,
            model,
            resident_codes,
            resident_vectors,
            resident_ids,
            shape,
            manifest,
        })
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
        self.shape.dtype.row_bytes(self.shape.dim)
    }

    /// What its lists hold.
    pub fn code(&self) -> CodeSpec {
        self.shape.code
    }

    /// How codes are made; none for lists of exact vectors.
    pub fn model(&self) -> Option<&CodeModel> {
        self.model.as_ref()
    }

    /// The codes, where they are in memory.
    pub fn resident_codes(&self) -> Option<&ResidentCodes> {
        self.resident_codes.as_ref()
    }

    /// What queries for `k` neighbours get that name no pruning.
    pub fn search_default(&self, k: usize) -> SearchDefault {
        self.manifest.search_default(k, self.vectors_tier())
    }

    /// The vectors, where they are in memory.
    pub fn resident_vectors(&self) -> Option<&ResidentVectors> {
        self.resident_vectors.as_ref()
    }

    /// The ids of all vectors, where they are in memory.
    pub fn resident_ids(&self) -> Option<&ResidentIds> {
        self.resident_ids.as_ref()
    }

    /// Where its codes are.
    pub fn codes_tier(&self) -> Tier {
        if self.resident_codes.is_some() { Tier::Memory } else { Tier::Ssd }
    }

    /// Where its vectors are.
    pub fn vectors_tier(&self) -> Tier {
        if self.resident_vectors.is_some() { Tier::Memory } else { Tier::Ssd }
    }

    /// Number of vectors.
    pub fn vectors(&self) -> u64 {
        self.shape.vectors
    }

    /// Number of lists, and of heads.
    pub fn lists(&self) -> u32 {
        self.heads.count()
    }

    /// What the hashes of its lists and pages are seeded with.
    pub fn uuid(&self) -> u128 {
        self.shape.uuid
    }

    /// How vectors and queries become rows of head space.
    pub fn space(&self) -> HeadSpace {
        self.shape.space
    }

    /// Centres of the lists, in head space.
    pub fn heads(&self) -> &Heads {
        &self.heads
    }

    /// Finds the nearest heads.
    pub fn head_index(&self) -> &HeadIndex {
        &self.head_index
    }

    /// Where each list lies.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Shape of the lists.
    pub fn list_layout(&self) -> ListLayout {
        self.shape.lists_layout
    }

    /// Shape of the pages of vectors.
    pub fn page_layout(&self) -> PageLayout {
        self.shape.pages
    }

    /// Shape of the pages of ids.
    pub fn id_pages(&self) -> IdPages {
        self.shape.ids
    }

    /// The file of the lists; its body starts at [`BODY_AT`](crate::format::BODY_AT).
    pub fn codes_path(&self) -> &Path {
        &self.codes
    }

    /// Bytes of the body of the lists' file.
    pub fn codes_bytes(&self) -> u64 {
        self.codes_bytes
    }

    /// The file of the vectors' pages.
    pub fn vectors_path(&self) -> &Path {
        &self.vectors
    }

    /// Bytes of the body of the vectors' file.
    pub fn vectors_bytes(&self) -> u64 {
        self.shape.pages.pages(self.shape.vectors) * self.shape.pages.page_bytes() as u64
    }

    /// The file of the ids' pages.
    pub fn ids_path(&self) -> &Path {
        &self.ids
    }

    /// Bytes of memory it holds.
    pub fn memory(&self) -> Memory {
        Memory {
            heads: self.heads.memory_bytes(),
            head_index: self.head_index.memory_bytes(),
            directory: self.directory.memory_bytes(),
            codes: self.model.as_ref().map_or(0, CodeModel::memory_bytes)
                + self.resident_codes.as_ref().map_or(0, ResidentCodes::memory_bytes),
            resident_ids: self.resident_ids.as_ref().map_or(0, ResidentIds::memory_bytes),
            vectors: self.resident_vectors.as_ref().map_or(0, ResidentVectors::memory_bytes),
        }
    }

    /// The open file of a section that it has.
    pub(crate) fn file(&self, kind: SectionKind) -> &Arc<File> {
        match self.files.iter().find(|(of, _)| *of == kind) {
            Some((_, file)) => file,
            None => unreachable!("a section that was not opened"),
        }
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }
}

fn read_heads(mut section: SectionReader<'_>, shape: &Shape) -> Result<Heads, OpenError> {
    let refused = |e: crate::heads::HeadsError, path: &Path| {
        OpenError::field(path, "heads", e, "heads of the manifest")
    };
    // The header's check has compared count, dimension and type with the body's length.
    let (dtype, dim) = (shape.space.dtype(shape.dtype), shape.space.dim(shape.dim));
    let Ok(count) = usize::try_from(shape.lists) else {
        return Err(OpenError::field(
            section.path(),
            "count",
            shape.lists,
            "a number this machine can count",
        ));
    };
    let mut heads = Heads::zeroed(dtype, dim, count).map_err(|e| refused(e, section.path()))?;
    section.read(heads.rows_mut())?;
    section.finish()?;
    Ok(heads)
}

fn read_graph(mut section: SectionReader<'_>, heads: &Heads) -> Result<HeadIndex, OpenError> {
    let path = section.path().to_owned();
    let body = section.read_all()?;
    section.finish()?;
    let graph = HnswGraph::from_bytes(&body, heads.count())
        .map_err(|e| OpenError::field(&path, "graph", e, format!("a graph over {} heads", heads.count())))?;
    Ok(HeadIndex::Graph(graph))
}

fn read_directory(
    mut section: SectionReader<'_>,
    shape: &Shape,
    codes_bytes: u64,
) -> Result<Directory, OpenError> {
    let path = section.path().to_owned();
    let expected = DirectoryShape {
        lists: shape.lists,
        vectors: shape.vectors,
        layout: shape.lists_layout,
        codes_bytes,
    };
    let body_bytes = section.body_bytes();
    let directory = Directory::read(&path, body_bytes, expected, &mut |out| section.read(out));
    // Damage is told as damage, whatever sense it made as a directory.
    if directory.is_err() {
        section.read_all()?;
    }
    section.finish()?;
    directory
}

fn read_model(mut section: SectionReader<'_>, code: CodeSpec, dim: usize) -> Result<CodeModel, OpenError> {
    let path = section.path().to_owned();
    let body = section.read_all()?;
    // Damage is told as damage, whatever sense it made as a model.
    section.finish()?;
    CodeModel::from_bytes(&path, &body, code, dim)
}
