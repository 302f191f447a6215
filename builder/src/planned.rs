//! What attributes, and an order by one of them, are expected to take: as the first rows say.
use spandrel_filter::AttributeType;
use spandrel_index::documents::EncodingSpec;
use spandrel_index::format::{BODY_AT, IdBytes, PageLayout};

use crate::attributes::AttributeParams;
use crate::config::Params;
use crate::query_sample::held_back_rows;

/// An attribute, and what it is expected to take where all vectors are like the first 4 096. Bytes throughout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedAttribute {
    /// Name of the attribute in the schema.
    pub name: String,
    /// Type of its values.
    pub kind: AttributeType,
    /// Whether all of it is kept in memory while searching.
    pub resident: bool,
    /// On disk; counted in [`Plan::index_bytes`](crate::Plan::index_bytes).
    pub index_bytes: u64,
    /// In memory while searching, without postings that were read; counted in [`Plan::search_memory`](crate::Plan::search_memory).
    pub search_memory: u64,
}

/// A column of vectors by which candidates are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedColumn {
    /// Name of the column.
    pub name: String,
    /// Its pages on disk, in bytes; counted in [`Plan::index_bytes`](crate::Plan::index_bytes).
    pub index_bytes: u64,
    /// Whether the vectors that are searched are kept as well.
    pub keep_main: bool,
}

/// Documents of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedDocuments {
    /// Number of documents.
    pub count: u64,
    /// How they are encoded, where lists are made of encodings.
    pub encoding: Option<EncodingSpec>,
    /// Pages of their tokens and what leads to them on disk, in bytes; counted in [`Plan::index_bytes`](crate::Plan::index_bytes).
    pub index_bytes: u64,
    /// The document of each vector that is searched and what encodes queries in memory, in bytes; counted in [`Plan::search_memory`](crate::Plan::search_memory).
    pub search_memory: u64,
}

/// What is expected of a partition where all vectors are like the first 4 096.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedPartition {
    /// Name of the attribute.
    pub attribute: String,
    /// Vectors of values with too few to have lists of their own: queries without the attribute scan all of them.
    pub shared_vectors: u64,
}

impl PlannedColumn {
    pub(crate) fn of(params: &Params, id_bytes: IdBytes) -> Option<PlannedColumn> {
        let column = params.column.as_ref()?;
        let pages = PageLayout::new(column.row_bytes(), column.metric, id_bytes);
        let index_bytes = pages.body_bytes(params.vectors) + BODY_AT;
        Some(PlannedColumn { name: column.name.clone(), index_bytes, keep_main: column.keep_main })
    }
}

impl PlannedDocuments {
    pub(crate) fn of(params: &Params, id_bytes: IdBytes) -> Option<PlannedDocuments> {
        let (documents, column) = params.documents.as_ref().zip(params.column.as_ref())?;
        let pages = PageLayout::new(column.row_bytes(), column.metric, id_bytes);
        let section = documents.entry().body_bytes(params.vectors);
        let index_bytes = pages.body_bytes(documents.tokens) + section + 2 * BODY_AT;
        // Ids are found by their order.
        let sorted = if documents.ids_hash.is_some() { 4 * documents.count } else { 0 };
        let search_memory = section + sorted + documents.encoder_bytes(column.dim);
        let encoding = documents.encoding.map(|of| of.spec);
        Some(PlannedDocuments { count: documents.count, encoding, index_bytes, search_memory })
    }
}

impl PlannedAttribute {
    /// An attribute, and the bytes of its scratch files.
    pub(crate) fn of(attribute: &AttributeParams, vectors: u64) -> (PlannedAttribute, u64) {
        let bytes = attribute.bytes(vectors);
        let planned = PlannedAttribute {
            name: attribute.name.clone(),
            kind: attribute.kind,
            resident: attribute.resident,
            index_bytes: bytes.index + BODY_AT,
            search_memory: bytes.memory,
        };
        (planned, bytes.scratch)
    }
}

impl PlannedPartition {
    pub(crate) fn of(params: &Params) -> Option<PlannedPartition> {
        let partition = params.partition.as_ref()?;
        Some(PlannedPartition {
            attribute: partition.name.clone(),
            shared_vectors: (partition.shared() * params.vectors as f64) as u64, // CAST: an estimate
        })
    }
}

/// What is done with a sample of queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedQuerySample {
    /// Rows of the sample.
    pub queries: u64,
    /// Of these, held back for calibration.
    pub held_back: u64,
    /// Lists to form at most, before splitting: those of vectors that queries want are shorter.
    pub lists_most: u64,
}

impl PlannedQuerySample {
    pub(crate) fn of(params: &Params) -> Option<PlannedQuerySample> {
        let queries = params.query_sample?.queries;
        let held_back = held_back_rows(queries).count() as u64; // CAST: widening
        Some(PlannedQuerySample { queries, held_back, lists_most: params.lists_most(params.lists) })
    }
}
