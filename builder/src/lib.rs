//! Turns a file of vectors into an index: sampling, clustering, filing, writing, publishing.
//!
//! Promises: peak memory stays within what was allowed; the bytes written depend on input, parameters and
//! seed alone, not on threads, memory or interruption; an index that was there stays in force until the new
//! one is whole. Input comes through [`VectorSource`] only. It knows nothing of queries.
mod attributes;
mod binariser;
mod calibrate;
mod checkpoint;
mod choice;
pub mod cluster;
mod coding;
mod column;
mod config;
mod documents;
mod embedding;
mod encoded;
mod error;
pub mod filing;
mod folders;
#[cfg(test)]
mod interrupted;
mod kept;
mod made;
mod measured;
mod partition;
mod phase_memory;
mod phases;
mod plan;
mod planned;
mod progress;
mod query_sample;
mod recalibrate;
mod rows;
mod run;
mod spill;
mod stages;
mod state;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod vector_shape;

pub use calibrate::{Calibrate, Unpublished};
pub use checkpoint::ListStats;
pub use choice::{Choice, QueryCost};
pub use config::{BuildConfig, ListCount, Params};
pub use error::BuildError;
pub use measured::{COPIES_DEFAULT, LIST_SIZE_DEFAULT};
pub use plan::Plan;
pub use planned::{PlannedAttribute, PlannedColumn, PlannedDocuments, PlannedPartition, PlannedQuerySample};
pub use progress::{Progress, Silent};
pub use query_sample::calibrating_rows;
pub use recalibrate::{Recalibrated, recalibrate};
pub use rows::Rows;
pub use run::{BuildReport, Caller, build, build_for};
pub use vector_shape::VectorShape;

use std::path::Path;

use spandrel_index::documents::{DocumentOffsets, EncodingSpec};
use spandrel_index::format::{BODY_AT, SectionKind, attribute_name, column_name, section_name};
use spandrel_index::{ArraySource, AttributeSource, Metric, SourceError, VectorSource};
use spandrel_io::{FileWriter, Store, WriteError};

/// The caller's numbers for the vectors, row by row.
pub trait IdSource: Send + Sync {
    /// Number of ids.
    fn len(&self) -> u64;

    /// Whether there is no id at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `out` with the ids of the rows from `first` on.
    ///
    /// # Errors
    /// [`SourceError`] when they cannot be read.
    fn read_ids(&self, first: u64, out: &mut [u64]) -> Result<(), SourceError>;
}

/// What an index is built from.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// Vectors to build from. They are read several times, and must not change meanwhile.
    pub vectors: &'a dyn VectorSource,
    /// Their ids; row numbers if not given.
    pub ids: Option<&'a dyn IdSource>,
    /// What is known of them beside, for filters.
    pub attributes: Option<Attributes<'a>>,
    /// Other vectors of the same things, by which candidates are compared in their place.
    pub column: Option<Column<'a>>,
    /// Which of the vectors are one document, where they are tokens: answers are then documents.
    pub documents: Option<&'a DocumentOffsets>,
    /// How documents are encoded as one vector each, of which lists and codes are made; if not given, they are made of tokens.
    pub document_encoding: Option<EncodingSpec>,
    /// Real queries, or a sample of them, of the vectors' dimension and element type: lists are learned from most of them.
    /// [`calibrating_rows`] says which calibrate.
    pub query_sample: Option<&'a dyn VectorSource>,
    /// Matrices that a code `bits:MxU` takes in place of training its own: see [`Binariser`](spandrel_index::codes::Binariser).
    pub binariser: Option<&'a dyn ArraySource>,
}

impl<'a> Input<'a> {
    /// Vectors with row numbers as ids, and nothing beside.
    pub fn of(vectors: &'a dyn VectorSource) -> Input<'a> {
        Input {
            vectors,
            ids: None,
            attributes: None,
            column: None,
            documents: None,
            document_encoding: None,
            query_sample: None,
            binariser: None,
        }
    }
}

/// What is known of the vectors.
#[derive(Clone, Copy)]
pub struct Attributes<'a> {
    /// Their attributes, row by row.
    pub source: &'a dyn AttributeSource,
    /// Names of those that are kept in memory as a whole.
    pub resident: &'a [String],
    /// Name of the one by whose values vectors are put in lists, if any: a keyword, a bool or an i64.
    pub partition_by: Option<&'a str>,
}

/// Vectors by which candidates are compared in place of those that lists and codes are made of: row by row of the same things, of any
/// dimension, element type and metric.
#[derive(Clone, Copy)]
pub struct Column<'a> {
    /// What queries call it: see [`ColumnEntry::is_name`](spandrel_index::format::ColumnEntry::is_name).
    pub name: &'a str,
    /// Vectors of the column, one for each of the input.
    pub vectors: &'a dyn VectorSource,
    /// How they are compared.
    pub metric: Metric,
    /// Whether the vectors that are searched are kept as well, so that queries without a vector of the column are answered by them.
    pub keep_main: bool,
}

/// The version being written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) dir: &'a Path,
    pub(crate) version: u64,
    pub(crate) uuid: u128,
}

impl Target<'_> {
    /// Starts the file of a section, room left for its header.
    pub(crate) fn create(&self, kind: SectionKind) -> Result<FileWriter, WriteError> {
        self.store.create(&section_name(kind, self.version))?.with_head(BODY_AT)
    }

    /// Starts the file of the section of attribute number `attribute`.
    pub(crate) fn create_attribute(&self, attribute: u16) -> Result<FileWriter, WriteError> {
        self.store.create(&attribute_name(attribute, self.version))?.with_head(BODY_AT)
    }

    /// Starts the file of the vectors of a column.
    pub(crate) fn create_column(&self, column: &str) -> Result<FileWriter, WriteError> {
        self.store.create(&column_name(column, self.version))?.with_head(BODY_AT)
    }
}
