//! What a worker shares among its queries.
use std::sync::Arc;

use spandrel_index::Index;

use crate::cache::PageCache;
use crate::damage::DamageLog;
use crate::files::attribute_files;
use crate::probe::Prober;
use crate::rerank::Reranker;
use crate::scan::{Scan, scan_of};
use crate::searched::Searched;

/// Tools for the queries of one index.
pub(crate) struct Tools {
    pub(crate) index: Arc<Index>,
    pub(super) prober: Prober,
    pub(super) scan: Box<dyn Scan>,
    pub(super) reranker: Reranker,
    pub(crate) damage: Arc<DamageLog>,
    pub(crate) cache: Option<Arc<PageCache>>,
    /// Slots of the index's files in the reader, by number.
    pub(crate) files: Vec<u32>,
    /// Numbers of the files of attributes, by segment and attribute.
    pub(crate) attribute_files: Vec<Vec<u32>>,
}

impl Tools {
    /// What compares single vectors.
    pub(crate) fn reranker(&self) -> &Reranker {
        &self.reranker
    }

    pub(crate) fn new(searched: &Searched, files: Vec<u32>) -> Tools {
        let Searched { index, damage, cache, .. } = searched;
        Tools {
            prober: Prober::default(),
            scan: scan_of(index),
            reranker: Reranker::new(index),
            index: Arc::clone(index),
            damage: Arc::clone(damage),
            cache: cache.clone(),
            files,
            attribute_files: attribute_files(index),
        }
    }
}
