//! The files of a segment while it is opened.
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use spandrel_io::{Blob, Store};

use super::documents::Documents;
use super::options::OpenOptions;
use super::section::SectionReader;
use super::shape::{SegmentShape, Shape};
use crate::Tier;
use crate::attributes::{AttributeSpec, Opened, PostingCache, StoredAttribute};
use crate::codes::{CodeModel, CodeSpec};
use crate::format::{
    Directory, DirectoryShape, MAIN_COLUMN, Manifest, OpenError, SectionEntry, SectionKind, SegmentEntry,
    VectorsOf,
};
use crate::heads::{HeadIndex, Heads, HeadsError, HnswGraph};

/// A section's file, kept open: its name may go, or another version take its place.
#[derive(Debug)]
pub(super) struct OpenSection {
    pub(super) kind: SectionKind,
    pub(super) entry: SectionEntry,
    /// What it agrees with.
    shape: SegmentShape,
    pub(super) blob: Arc<dyn Blob>,
}

/// What the segments of an index are opened with.
pub(super) struct Opening<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) manifest: &'a Manifest,
    pub(super) manifest_path: &'a Path,
    pub(super) shape: Shape,
    pub(super) options: OpenOptions,
    pub(super) stop: &'a AtomicBool,
    /// Of the attributes of all segments.
    pub(super) postings: Arc<PostingCache>,
}

impl Opening<'_> {
    /// Whether a part that is to be kept in `tier` is kept in memory.
    pub(super) fn in_memory(&self, part: &'static str, tier: Tier) -> Result<bool, OpenError> {
        if tier == Tier::Memory && self.shape.code == CodeSpec::Full {
            return Err(OpenError::Tier { path: self.manifest_path.to_owned(), part, tier });
        }
        Ok(tier == Tier::Memory)
    }
}

/// What a segment may share with another.
#[derive(Clone)]
pub(super) struct Centres {
    pub(super) of: u16,
    pub(super) heads: Arc<Heads>,
    pub(super) head_index: Arc<HeadIndex>,
    pub(super) model: Option<Arc<CodeModel>>,
}

impl OpenSection {
    /// It from its beginning.
    pub(super) fn read<'a>(&self, stop: &'a AtomicBool) -> Result<SectionReader<'a>, OpenError> {
        SectionReader::of(Arc::clone(&self.blob), &self.entry, self.kind, &self.shape, stop)
    }
}

/// The files of a segment while it is opened.
pub(super) struct Files<'a> {
    pub(super) opening: &'a Opening<'a>,
    pub(super) entry: &'a SegmentEntry,
    pub(super) shape: &'a SegmentShape,
    pub(super) sections: Vec<OpenSection>,
}

impl<'a> Files<'a> {
    pub(super) fn open(&mut self, kind: SectionKind) -> Result<SectionReader<'a>, OpenError> {
        let entry = self.entry.required(self.opening.manifest_path, kind, MAIN_COLUMN)?;
        self.open_with(kind, entry, *self.shape)
    }

    /// The vectors that are searched. Only a column may stand in for them.
    pub(super) fn vectors(&mut self) -> Result<Option<SectionReader<'a>>, OpenError> {
        match self.opening.manifest.holds(VectorsOf::Main) {
            false if self.opening.manifest.column.is_some() => Ok(None),
            _ => self.open(SectionKind::Vectors).map(Some),
        }
    }

    /// The vectors of the column, if the index has one, and what they agree with.
    pub(super) fn column(&mut self) -> Result<Option<(SectionReader<'a>, SegmentShape)>, OpenError> {
        let Some(column) = &self.opening.manifest.column else { return Ok(None) };
        let kind = SectionKind::Vectors;
        let entry = self.entry.required(self.opening.manifest_path, kind, &column.name)?;
        let shape = self.shape.of_column(&column.name);
        Ok(Some((self.open_with(kind, entry, shape)?, shape)))
    }

    /// Which vectors are one document, if the index says so.
    pub(super) fn documents(&mut self) -> Result<Option<Documents>, OpenError> {
        let Some(entry) = &self.opening.manifest.documents else { return Ok(None) };
        let section = self.open(SectionKind::Documents)?;
        let tokens = self.shape.index.vectors(VectorsOf::Column);
        Documents::read(section, entry, self.shape.vectors, tokens).map(Some)
    }

    fn open_with(
        &mut self,
        kind: SectionKind,
        entry: &SectionEntry,
        shape: SegmentShape,
    ) -> Result<SectionReader<'a>, OpenError> {
        let Opening { store, stop, .. } = self.opening;
        let blob = store.open(&entry.file);
        let blob = blob.map_err(|e| OpenError::store(&store.path(&entry.file), e))?;
        let section = SectionReader::of(Arc::clone(&blob), entry, kind, &shape, stop)?;
        self.sections.push(OpenSection { kind, entry: entry.clone(), shape, blob });
        Ok(section)
    }

    /// The attributes of segment number `segment`.
    pub(super) fn attributes(&mut self, segment: u16) -> Result<Vec<StoredAttribute>, OpenError> {
        let schema = self.entry.schema(self.opening.manifest_path)?;
        let mut of_items = *self.shape;
        if let Some(documents) = &self.opening.manifest.documents {
            of_items.vectors = documents.count;
        }
        let mut attributes = Vec::new();
        for (number, (section, attribute)) in self.entry.attributes().enumerate() {
            let Some(kind) = schema.attributes().get(number).map(|attribute| attribute.kind) else {
                unreachable!("the schema is of these attributes")
            };
            let opened = Opened {
                spec: AttributeSpec { uuid: self.shape.uuid, attribute: number as u16, kind }, // CAST: at most `ATTRIBUTES_MAX`, 1 000
                segment,
                positions: of_items.vectors as u32, // CAST: checked with the manifest
                resident: attribute.resident,
                cache: Arc::clone(&self.opening.postings),
            };
            let section = self.open_with(SectionKind::Attributes, section, of_items)?;
            attributes.push(StoredAttribute::open(section, opened)?);
        }
        Ok(attributes)
    }

    /// Heads and model of segment number `of`, which has its own.
    pub(super) fn centres(&mut self, of: u16) -> Result<Centres, OpenError> {
        let heads = read_heads(self.open(SectionKind::Heads)?, self.shape)?;
        let head_index = match self.entry.section(SectionKind::Graph, MAIN_COLUMN) {
            Some(_) => read_graph(self.open(SectionKind::Graph)?, &heads)?,
            None => HeadIndex::flat(&heads),
        };
        let model = match self.shape.index.code {
            CodeSpec::Full => None,
            code => Some(read_model(self.open(SectionKind::Model)?, code, self.shape.index.dim)?),
        };
        Ok(Centres {
            of,
            heads: Arc::new(heads),
            head_index: Arc::new(head_index),
            model: model.map(Arc::new),
        })
    }
}

fn read_heads(mut section: SectionReader<'_>, shape: &SegmentShape) -> Result<Heads, OpenError> {
    let refused = |e: HeadsError, path: &Path| OpenError::field(path, "heads", e, "heads of the manifest");
    // The header's check has compared count, dimension and type with the body's length.
    let space = shape.index.space;
    let (dtype, dim) = (space.dtype(shape.index.dtype), space.dim(shape.index.dim));
    let Ok(count) = usize::try_from(shape.lists) else {
        return Err(OpenError::field(
            section.path(),
            "count",
            shape.lists,
            "a number this machine can count",
        ));
    };
    let mut heads = Heads::zeroed(dtype, dim, count).map_err(|e| refused(e, section.path()))?;
    heads.find_first(shape.found_lists as u32); // CAST: at most the heads
    section.read(heads.rows_mut())?;
    section.finish()?;
    Ok(heads)
}

fn read_graph(mut section: SectionReader<'_>, heads: &Heads) -> Result<HeadIndex, OpenError> {
    let path = section.path().to_owned();
    let body = section.read_all()?;
    section.finish()?;
    let graph = HnswGraph::from_bytes(&body, heads.found())
        .map_err(|e| OpenError::field(&path, "graph", e, format!("a graph over {} heads", heads.found())))?;
    Ok(HeadIndex::Graph(graph))
}

pub(super) fn read_directory(
    mut section: SectionReader<'_>,
    shape: &SegmentShape,
    codes_bytes: u64,
) -> Result<Directory, OpenError> {
    let path = section.path().to_owned();
    let expected =
        DirectoryShape { lists: shape.lists, vectors: shape.vectors, layout: shape.index.lists, codes_bytes };
    let body_bytes = section.body_bytes();
    let directory = Directory::read(&path, body_bytes, expected, &mut |out| section.read(out));
    // Damage is reported as damage, also where the bytes parse as a directory.
    if directory.is_err() {
        section.read_all()?;
    }
    section.finish()?;
    directory
}

fn read_model(mut section: SectionReader<'_>, code: CodeSpec, dim: usize) -> Result<CodeModel, OpenError> {
    let path = section.path().to_owned();
    let body = section.read_all()?;
    // Damage is reported as damage, also where the bytes parse as a model.
    section.finish()?;
    CodeModel::from_bytes(&path, &body, code, dim)
}
