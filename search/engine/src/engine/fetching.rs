//! The ways to hand in ids whose vectors or attributes are wanted.
use std::sync::Arc;

use crossbeam_channel::bounded;
use spandrel_index::format::VectorsOf;

use super::Engine;
use crate::error::SearchError;
use crate::ids::{FetchContent, FetchRequest, Fetched, Ids, Piece};
use crate::job::Job;
use crate::lookup::Lookup;
use crate::plan::check_held;
use crate::terms::Terms;

impl Engine {
    /// Hands in ids whose vectors or attributes are wanted, without waiting. `reply` is called once, as by [`Engine::submit`].
    /// A damaged page or block costs the ids in it and no others.
    ///
    /// # Errors
    /// As [`Engine::submit`].
    ///
    /// # Panics
    /// When the lookup is of another index, or an attribute or a column is none of the index's.
    pub fn submit_fetch(
        &self,
        request: FetchRequest,
        reply: impl FnOnce(Result<Fetched, SearchError>) + Send + 'static,
    ) -> Result<(), SearchError> {
        let FetchRequest { lookup, ids, content, deadline, stop } = request;
        assert!(Arc::ptr_eq(lookup.index(), self.index()), "a lookup goes with the index it was opened for");
        if ids.is_empty() {
            reply(Ok(Fetched::default()));
            return Ok(());
        }
        let (known, bytes_max) = (self.index().schema().attributes().len(), content.cell_bytes_max);
        assert!(
            content.attributes.iter().all(|&number| number < known),
            "an attribute is one of the index's"
        );
        let cell_bytes = content.cell_bytes(ids.len());
        if cell_bytes > bytes_max {
            return Err(SearchError::Cells { bytes_max });
        }
        let vectors = content.vectors.unwrap_or_default();
        // What is fetched of a document is its tokens.
        let are_tokens = vectors == VectorsOf::Column && self.index().documents().is_some();
        if content.vectors.is_some() && !are_tokens {
            check_held(vectors, self.index())?;
        }
        let (row_bytes, attributes) = (self.index().shape_of(vectors).row_bytes(), content.attributes.len());
        let reply = move |result: Result<Vec<Piece>, _>| {
            reply(result.map(|pieces| Fetched::of(pieces, row_bytes, attributes)));
        };
        let ids = Ids { lookup, ids, content, cell_bytes: cell_bytes.into() };
        let job = Job::new(ids, &self.searched, Terms { deadline, stop }, Box::new(reply));
        self.hand_in(job, true)
    }

    /// Fetches vectors by id. Blocks until all are there.
    ///
    /// # Errors
    /// [`SearchError`].
    ///
    /// # Panics
    /// When the lookup is of another index.
    pub fn fetch(&self, lookup: &Arc<Lookup>, ids: &[u64]) -> Result<Fetched, SearchError> {
        self.fetch_content(lookup, ids, FetchContent::VECTORS)
    }

    /// Fetches what is wanted of ids. Blocks until all is there.
    ///
    /// # Errors
    /// [`SearchError`].
    ///
    /// # Panics
    /// As [`Engine::submit_fetch`].
    pub fn fetch_content(
        &self,
        lookup: &Arc<Lookup>,
        ids: &[u64],
        content: FetchContent,
    ) -> Result<Fetched, SearchError> {
        let (sender, receiver) = bounded(1);
        let (lookup, ids) = (Arc::clone(lookup), ids.to_vec());
        let request = FetchRequest { lookup, ids, content, deadline: None, stop: None };
        self.submit_fetch(request, move |result| drop(sender.send(result)))?;
        receiver.recv().unwrap_or(Err(SearchError::Closed))
    }
}
