//! What a worker shares among its queries.
use std::sync::Arc;

use spandrel_index::Index;

use crate::cache::PageCache;
use crate::damage::DamageLog;
use crate::probe::Prober;
use crate::rerank::Reranker;
use crate::scan::{Scan, scan_of};

/// Tools for the queries of one index.
pub(crate) struct Tools {
    pub(crate) index: Arc<Index>,
    pub(super) prober: Prober,
    pub(super) scan: Box<dyn Scan>,
    pub(super) reranker: Reranker,
    pub(crate) damage: Arc<DamageLog>,
    pub(crate) cache: Option<Arc<PageCache>>,
}

impl Tools {
    pub(crate) fn new(index: Arc<Index>, damage: Arc<DamageLog>, cache: Option<Arc<PageCache>>) -> Tools {
        let (prober, scan, reranker) = (Prober::default(), scan_of(&index), Reranker::new(&index));
        Tools { index, prober, scan, reranker, damage, cache }
    }
}
