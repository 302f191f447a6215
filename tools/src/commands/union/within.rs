//! All vectors within a radius of queries, in several indexes.
use bytes::Bytes;
use spandrel_engine::{RangeParams, UnionAnswer, union_within};
use spandrel_index::attributes::CompileError;

use super::Together;
use crate::commands::within;

impl Together<'_> {
    /// The answers of all indexes together to queries back to back, of which the first is number `first` of all. All are asked at the same
    /// time.
    ///
    /// # Errors
    /// As [`within::answers`], of the first index that has none.
    pub(super) fn within(
        &self,
        first: usize,
        rows: &Bytes,
        params: &RangeParams,
    ) -> anyhow::Result<Vec<UnionAnswer>> {
        let Some(index) = self.union.indexes.first() else { return Ok(Vec::new()) };
        let merge = |parts| union_within(parts, index.metric(), params.max_results, self.union.duplicates);
        self.merged(|at| within::answers(self.parts[at], first, rows, params), merge)
    }

    /// Vectors of all indexes that match the filter of a query, if it has one.
    pub(super) fn matches(&self, query: usize) -> Result<Option<u64>, CompileError> {
        let mut all = None;
        for part in &self.parts {
            if let Some(matches) = part.filter(query)? {
                all = Some(all.unwrap_or(0) + matches.count());
            }
        }
        Ok(all)
    }
}
