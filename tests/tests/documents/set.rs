//! Documents that are built and searched here.
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use spandrel_builder::{
    Attributes, BuildConfig, BuildError, BuildReport, Caller, IdSource, Input, Silent, build_for,
};
use spandrel_datasets::{DocumentTruthParams, Documents, Rows, Truth, Watch, compute_document_truth};
use spandrel_engine::{Answer, DocumentParams, Engine, SearchError};
use spandrel_index::codes::CodeSpec;
use spandrel_index::documents::{DocumentOffsets, EncodingSpec};
use spandrel_index::{DType, Metric, Tier};
use spandrel_tests::{CellRows, Ids, clustered, coded};

pub(crate) const DIM: usize = 12;
pub(crate) const CODE: CodeSpec = CodeSpec::RaBitQ { bits: 4 };

/// Tokens, which of them are one document, and what is known of documents.
#[derive(Clone)]
pub(crate) struct Set {
    pub(crate) rows: Rows,
    pub(crate) offsets: DocumentOffsets,
    pub(crate) ids: Option<Vec<u64>>,
    pub(crate) attributes: Option<CellRows>,
    /// How documents are encoded, where lists are made of that.
    pub(crate) encoding: Option<EncodingSpec>,
}

/// `count` documents of 1 to 40 tokens each, one of 300.
pub(crate) fn set(dtype: DType, count: u64, seed: u64) -> Set {
    let mut offsets = vec![0];
    for document in 0..count {
        let tokens = if document == 5 { 300 } else { 1 + (document * 7919 + seed) % 40 };
        offsets.push(offsets[document as usize] + tokens);
    }
    let rows = offsets[count as usize];
    let offsets = DocumentOffsets::new(&offsets, rows).unwrap();
    let rows = clustered(dtype, DIM, rows as usize, seed);
    Set { rows, offsets, ids: None, attributes: None, encoding: None }
}

pub(crate) fn config(out: &Path) -> BuildConfig {
    coded(Metric::InnerProduct, CODE, Tier::Memory, out)
}

impl Set {
    /// Tokens and documents alone.
    pub(crate) fn input(&self) -> Input<'_> {
        let (documents, document_encoding) = (Some(&self.offsets), self.encoding);
        Input { documents, document_encoding, ..Input::of(&self.rows) }
    }

    pub(crate) fn build_for(
        &self,
        config: &BuildConfig,
        caller: Caller<'_>,
    ) -> Result<BuildReport, BuildError> {
        let ids = self.ids.as_ref().map(|ids| Ids(ids));
        let attributes = self.attributes.as_ref().map(|cells| Attributes {
            source: cells,
            resident: &cells.resident,
            partition_by: cells.partition_by.as_deref(),
        });
        let ids = ids.as_ref().map(|ids| ids as &dyn IdSource);
        build_for(Input { ids, attributes, ..self.input() }, config, caller)
    }

    pub(crate) fn build(&self, config: &BuildConfig) -> Result<BuildReport, BuildError> {
        let stop = AtomicBool::new(false);
        let caller = Caller { progress: &Silent, stop: &stop, calibrate: Some(&spandrel_tests::CALIBRATOR) };
        self.build_for(config, caller)
    }

    /// Numbers of documents.
    pub(crate) fn truth(&self, queries: &Set, k: usize) -> Truth {
        let base = Documents { tokens: &self.rows, offsets: &self.offsets };
        let queries = Documents { tokens: &queries.rows, offsets: &queries.offsets };
        let params = DocumentTruthParams { k, threads: 1 };
        compute_document_truth(base, queries, None, params, Watch::none()).unwrap()
    }

    /// The id of a document.
    pub(crate) fn id(&self, document: usize) -> u64 {
        self.ids.as_ref().map_or(document as u64, |ids| ids[document])
    }
}

pub(crate) fn search(
    engine: &Engine,
    queries: &Set,
    params: &DocumentParams,
) -> Result<Vec<Answer>, SearchError> {
    engine.search_documents(queries.rows.bytes(), &queries.offsets, params, &Arc::new(AtomicBool::new(false)))
}

/// A search that compares every document.
pub(crate) fn all(k: usize) -> DocumentParams {
    DocumentParams { rerank: Some(u32::MAX), ..DocumentParams::new(k) }
}
