//! The data set: base, queries and their true neighbours.
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use spandrel_builder::Rows;
use spandrel_datasets::{Truth, VectorFile};
use spandrel_index::VectorSource;

/// Neighbours a query is asked for.
pub(crate) const K: usize = 10;

/// A data set in memory.
pub(crate) struct Data {
    base: spandrel_datasets::Rows,
    queries: spandrel_datasets::Rows,
    /// For each query the rows that count as a hit: no farther than the k-th true neighbour.
    hits: Vec<Vec<u32>>,
}

impl Data {
    pub(crate) fn open(folder: &Path, queries_max: usize) -> Result<Data> {
        let base = spandrel_datasets::Rows::read(&VectorFile::open(find(folder, "base")?)?)?;
        let queries = spandrel_datasets::Rows::read(&VectorFile::open(find(folder, "query")?)?)?;
        let truth = Truth::open(folder.join("truth.ibin"))?;
        truth.validate(queries.len(), base.len())?;
        ensure!(truth.k >= K, "the truth has {} neighbours, {K} needed", truth.k);
        let count = truth.queries.min(queries_max);
        let kept = queries.bytes()[..count * queries.row_bytes()].to_vec();
        let queries = spandrel_datasets::Rows::new(queries.dtype(), queries.dim(), kept)?;
        let hits = (0..count).map(|query| hits_of(&truth, query)).collect();
        Ok(Data { base, queries, hits })
    }

    pub(crate) fn base(&self) -> Rows<'_> {
        Rows { dtype: self.base.dtype(), dim: self.base.dim(), bytes: self.base.bytes() }
    }

    pub(crate) fn queries(&self) -> Rows<'_> {
        Rows { dtype: self.queries.dtype(), dim: self.queries.dim(), bytes: self.queries.bytes() }
    }

    /// Rows that count as a hit of a query, at least [`K`].
    pub(crate) fn hits(&self, query: usize) -> &[u32] {
        &self.hits[query]
    }
}

fn hits_of(truth: &Truth, query: usize) -> Vec<u32> {
    let ids: Vec<u32> = truth.ids_of(query).iter().map(|&id| id as u32).collect(); // CAST: rows of a base in memory
    let Some(distances) = &truth.distances else { return ids[..K].to_vec() };
    let distances = &distances[query * truth.k..(query + 1) * truth.k];
    let limit = distances[K - 1] + 1e-6 + 1e-6 * distances[K - 1].abs();
    ids.iter().zip(distances).filter(|&(_, &distance)| distance <= limit).map(|(&id, _)| id).collect()
}

fn find(folder: &Path, stem: &str) -> Result<PathBuf> {
    let names =
        ["u8bin", "i8bin", "f16bin", "fbin"].map(|extension| folder.join(format!("{stem}.{extension}")));
    let expected = format!("no {stem}.u8bin, .i8bin, .f16bin or .fbin in {}", folder.display());
    names.into_iter().find(|path| path.exists()).context(expected)
}
