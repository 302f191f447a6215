//! What a worker shares among its queries.
use std::sync::Arc;

use spandrel_index::Index;
use spandrel_index::documents::MaxSim;
use spandrel_index::format::VectorsOf;

use crate::damage::DamageLog;
use crate::documents::Ranking;
use crate::files::attribute_files;
use crate::paging::{PageCache, cached};
use crate::probe::Prober;
use crate::rerank::{Reranker, Rerankers};
use crate::scan::{Scan, scan_of};
use crate::searched::Searched;

/// Tools for the queries of one index.
pub(crate) struct Tools {
    pub(crate) index: Arc<Index>,
    pub(crate) prober: Prober,
    pub(super) scan: Box<dyn Scan>,
    pub(super) rerankers: Rerankers,
    /// Compares documents, where the index has some, and puts them in order before.
    pub(crate) max_sim: Option<MaxSim>,
    pub(crate) ranking: Ranking,
    pub(crate) damage: Arc<DamageLog>,
    pub(super) cache: Option<Arc<PageCache>>,
    /// Whose pages that holds.
    pub(super) cached: VectorsOf,
    /// Slots of the index's files in the reader, by number; none of vectors that it does not hold.
    pub(crate) files: Vec<Option<u32>>,
    /// Numbers of the files of attributes, by segment and attribute.
    pub(crate) attribute_files: Vec<Vec<u32>>,
}

impl Tools {
    /// What compares single vectors.
    pub(crate) fn reranker(&self, vectors: VectorsOf) -> &Reranker {
        self.rerankers.of(vectors)
    }

    /// The cache of these vectors' pages, if they are cached.
    pub(crate) fn cache_of(&self, vectors: VectorsOf) -> Option<&PageCache> {
        self.cache.as_deref().filter(|_| vectors == self.cached)
    }

    pub(crate) fn new(searched: &Searched, files: Vec<Option<u32>>) -> Tools {
        let Searched { index, damage, cache, .. } = searched;
        Tools {
            prober: Prober::default(),
            scan: scan_of(index),
            rerankers: Rerankers::new(index),
            max_sim: index.documents().map(|_| {
                let tokens = index.query_shape();
                MaxSim::new(tokens.dtype, tokens.dim)
            }),
            ranking: Ranking::default(),
            index: Arc::clone(index),
            damage: Arc::clone(damage),
            cache: cache.clone(),
            cached: cached(index),
            files,
            attribute_files: attribute_files(index),
        }
    }
}
