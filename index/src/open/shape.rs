//! What a manifest says, in the types that the rest of the crate works with.
use std::path::Path;

use crate::codes::CodeSpec;
use crate::format::{
    CodedLayout, ColumnEntry, FullLayout, Header, ID_PAGE_BYTES, IdBytes, IdPages, ListLayout, Manifest,
    OpenError, PageLayout, SectionKind, SegmentEntry, UNIT_BYTES, VectorsOf, column_uuid, hash_hex,
};
use crate::{DIM_MAX, DType, HeadSpace, Metric};

/// What vectors are like, and their pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct VectorsShape {
    /// How they are compared.
    pub metric: Metric,
    /// Element type of the vectors.
    pub dtype: DType,
    /// Elements of each.
    pub dim: usize,
    /// Shape of their pages.
    pub pages: PageLayout,
}

impl VectorsShape {
    /// Bytes of a vector.
    pub fn row_bytes(&self) -> usize {
        self.dtype.row_bytes(self.dim)
    }

    fn of_column(path: &Path, column: &ColumnEntry, id_bytes: IdBytes) -> Result<VectorsShape, OpenError> {
        let metric = column.metric().map_err(|e| OpenError::field(path, "metric", &e.found, e.choice()))?;
        let dtype = column.dtype().map_err(|e| OpenError::field(path, "dtype", &e.found, e.choice()))?;
        let pages = PageLayout::new(dtype.row_bytes(column.dim), metric, id_bytes);
        Ok(VectorsShape { metric, dtype, dim: column.dim, pages })
    }
}

/// What all segments of an index have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) metric: Metric,
    pub(crate) dtype: DType,
    pub(crate) dim: usize,
    pub(crate) space: HeadSpace,
    pub(crate) code: CodeSpec,
    pub(crate) lists: ListLayout,
    pub(crate) pages: PageLayout,
    /// The vectors of its other column, if it has one.
    pub(crate) column: Option<VectorsShape>,
    /// How many these are, where not one for each vector that is searched.
    tokens: Option<u64>,
    id_bytes: IdBytes,
}

impl Shape {
    /// Takes a manifest, read from `path`, at its word where that can be.
    pub(crate) fn of(path: &Path, manifest: &Manifest) -> Result<Shape, OpenError> {
        let metric = manifest.metric().map_err(|e| OpenError::field(path, "metric", &e.found, e.choice()))?;
        let dtype = manifest.dtype().map_err(|e| OpenError::field(path, "dtype", &e.found, e.choice()))?;
        let space = manifest.head_space;
        let fits = match space {
            HeadSpace::Same => metric == Metric::L2,
            HeadSpace::Normalised => metric == Metric::Cosine,
            HeadSpace::Lifted { norm_max } => {
                metric == Metric::InnerProduct && norm_max.is_finite() && norm_max >= 0.0
            }
        };
        if !fits {
            let expected = format!("the space of {metric}");
            return Err(OpenError::field(path, "head_space", format!("{space:?}"), expected));
        }
        if space.dim(manifest.dim) > DIM_MAX {
            let expected = format!("at most {} for {metric}", DIM_MAX - 1);
            return Err(OpenError::field(path, "dim", manifest.dim, expected));
        }
        let id_bytes = if manifest.id_bytes == 4 { IdBytes::Four } else { IdBytes::Eight };
        let row_bytes = dtype.row_bytes(manifest.dim);
        let code = manifest.code().map_err(|e| OpenError::field(path, "code", e.0, "a code family"))?;
        let lists = match code {
            CodeSpec::Full => ListLayout::Full(FullLayout::new(row_bytes, metric, id_bytes)),
            _ => ListLayout::Coded(CodedLayout::of(code, manifest.dim)),
        };
        let pages = PageLayout::new(row_bytes, metric, id_bytes);
        let column = manifest.column.as_ref();
        let column = column.map(|column| VectorsShape::of_column(path, column, id_bytes)).transpose()?;
        let encoding = manifest.documents.as_ref().and_then(|documents| documents.encoding.as_ref());
        let tokens = encoding.map(|encoding| encoding.tokens);
        Ok(Shape { metric, dtype, dim: manifest.dim, space, code, lists, pages, column, tokens, id_bytes })
    }

    /// Bytes of a vector.
    pub(crate) fn row_bytes(&self) -> usize {
        self.dtype.row_bytes(self.dim)
    }

    /// The vectors that are searched, or those of the column, which it has.
    pub(crate) fn vectors(&self, of: VectorsOf) -> VectorsShape {
        let &Shape { metric, dtype, dim, pages, .. } = self;
        match (of, self.column) {
            (VectorsOf::Main, _) => VectorsShape { metric, dtype, dim, pages },
            (VectorsOf::Column, Some(column)) => column,
            (VectorsOf::Column, None) => unreachable!("vectors of a column that the index does not have"),
        }
    }

    /// The shape of one of the index's segments.
    pub(crate) fn segment(&self, entry: &SegmentEntry) -> SegmentShape {
        let found_lists = entry.found_lists();
        SegmentShape {
            index: *self,
            uuid: entry.uuid(),
            vectors: entry.vectors,
            lists: entry.lists,
            found_lists,
        }
    }
}

/// What the sections of one segment must agree with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SegmentShape {
    pub(crate) index: Shape,
    pub(crate) uuid: u128,
    pub(crate) vectors: u64,
    pub(crate) lists: u64,
    /// Of these, the first, which are found by their heads.
    pub(crate) found_lists: u64,
}

impl SegmentShape {
    pub(crate) fn ids(&self) -> IdPages {
        IdPages { id_bytes: self.index.id_bytes, uuid: self.uuid }
    }

    /// What the vectors of a column must agree with, which it has.
    pub(super) fn of_column(&self, name: &str) -> SegmentShape {
        let VectorsShape { metric, dtype, dim, pages } = self.index.vectors(VectorsOf::Column);
        let index = Shape { metric, dtype, dim, pages, ..self.index };
        let vectors = self.index.tokens.unwrap_or(self.vectors);
        SegmentShape { index, uuid: column_uuid(self.uuid, name), vectors, ..*self }
    }

    /// Refuses a header that contradicts the manifest.
    pub(super) fn check(&self, path: &Path, header: &Header) -> Result<(), OpenError> {
        let Shape { metric, dtype, dim, space, code, pages, .. } = self.index;
        let differs = |field: &str, found: String, expected: String| {
            if found == expected { Ok(()) } else { Err(OpenError::field(path, field, found, expected)) }
        };
        differs("uuid", hash_hex(header.uuid), hash_hex(self.uuid))?;
        differs("metric", header.metric.to_string(), metric.to_string())?;
        let rows = match header.kind {
            SectionKind::Heads => Some((space.dtype(dtype), space.dim(dim))),
            SectionKind::Codes | SectionKind::Vectors => Some((dtype, dim)),
            // These hold no rows.
            SectionKind::Graph
            | SectionKind::Directory
            | SectionKind::Ids
            | SectionKind::Model
            | SectionKind::Recall
            | SectionKind::Attributes
            | SectionKind::Documents => None,
        };
        if let Some((dtype, dim)) = rows {
            differs("dtype", header.dtype.to_string(), dtype.to_string())?;
            differs("dim", header.dim.to_string(), dim.to_string())?;
        }
        let family = match header.kind {
            SectionKind::Codes | SectionKind::Model => code.family(),
            _ => 0,
        };
        differs("family", header.family.to_string(), family.to_string())?;
        let unit_bytes = match header.kind {
            SectionKind::Codes => UNIT_BYTES,
            SectionKind::Vectors => pages.page_bytes(),
            SectionKind::Ids => ID_PAGE_BYTES,
            SectionKind::Heads
            | SectionKind::Graph
            | SectionKind::Directory
            | SectionKind::Model
            | SectionKind::Recall
            | SectionKind::Attributes
            | SectionKind::Documents => 0,
        };
        differs("unit_bytes", header.unit_bytes.to_string(), unit_bytes.to_string())?;
        let count = match header.kind {
            SectionKind::Vectors
            | SectionKind::Ids
            | SectionKind::Model
            | SectionKind::Attributes
            | SectionKind::Documents => self.vectors,
            SectionKind::Graph => self.found_lists,
            _ => self.lists,
        };
        differs("count", header.count.to_string(), count.to_string())?;
        let body_bytes = match header.kind {
            SectionKind::Heads => {
                let row_bytes = space.dtype(dtype).row_bytes(space.dim(dim));
                Some(self.lists * row_bytes as u64)
            }
            SectionKind::Vectors => Some(pages.body_bytes(self.vectors)),
            SectionKind::Ids => Some(self.ids().body_bytes(self.vectors)),
            // Checked entry by entry where they are read.
            SectionKind::Graph
            | SectionKind::Directory
            | SectionKind::Codes
            | SectionKind::Model
            | SectionKind::Recall
            | SectionKind::Attributes
            | SectionKind::Documents => None,
        };
        match body_bytes {
            Some(bytes) => differs("body_bytes", header.body_bytes.to_string(), bytes.to_string()),
            None => Ok(()),
        }
    }
}
