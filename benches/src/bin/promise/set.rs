//! Sets of vectors, their queries and true neighbours.
use std::path::Path;

use anyhow::{Context, Result};
use spandrel_datasets::{
    GenerateParams, Kind, Rows, Truth, TruthParams, VectorFile, Watch, compute_truth, generate_rows,
};
use spandrel_index::{DType, Metric, VectorSource};

/// Neighbours known of each query.
const NEAR: usize = 100;

/// Vectors, queries and true neighbours.
pub(crate) struct Set {
    pub(crate) name: String,
    pub(crate) metric: Metric,
    pub(crate) base: Rows,
    pub(crate) queries: Rows,
    truth: Truth,
}

impl Set {
    /// A generated set, or one in a folder of `data`; with at most `queries` queries.
    pub(crate) fn named(data: Option<&Path>, name: &str, vectors: u64, queries: usize) -> Result<Set> {
        if let Ok(kind) = name.parse::<Kind>() {
            return Set::generated(name, kind, vectors, queries);
        }
        let folder = data.with_context(|| format!("--data is needed for {name}"))?.join(name);
        let base = Rows::read(&VectorFile::open(find(&folder, "base")?)?)?;
        let all = Rows::read(&VectorFile::open(find(&folder, "query")?)?)?;
        let count = queries.min(usize::try_from(all.len())?);
        let kept = all.bytes()[..count * all.row_bytes()].to_vec();
        let mut truth = Truth::open(folder.join("truth.ibin"))?;
        truth.validate(all.len(), base.len())?;
        truth.queries = count;
        truth.ids.truncate(count * truth.k);
        if let Some(distances) = &mut truth.distances {
            distances.truncate(count * truth.k);
        }
        let metric = if all.dtype() == DType::F16 { Metric::InnerProduct } else { Metric::L2 };
        let queries = Rows::new(all.dtype(), all.dim(), kept)?;
        Ok(Set { name: name.to_owned(), metric, base, queries, truth })
    }

    fn generated(name: &str, kind: Kind, vectors: u64, queries: usize) -> Result<Set> {
        let (metric, dtype, dim) = match kind {
            Kind::Sift => (Metric::L2, DType::U8, 128),
            Kind::Embedding => (Metric::Cosine, DType::F32, 96),
            Kind::Ood => (Metric::InnerProduct, DType::F16, 64),
        };
        let queries = queries as u64;
        let params = GenerateParams { kind, vectors, queries, dim, dtype, seed: 1, threads: 2 };
        let (base, queries) = generate_rows(params, Watch::none())?;
        let params = TruthParams { metric, k: NEAR, threads: 2 };
        let truth = compute_truth(&base, &queries, params, Watch::none())?;
        Ok(Set { name: name.to_owned(), metric, base, queries, truth })
    }

    pub(crate) fn truth(&self) -> spandrel_engine::Truth<'_> {
        spandrel_engine::Truth {
            ids: &self.truth.ids,
            distances: self.truth.distances.as_deref().unwrap_or_default(),
            columns: self.truth.k,
        }
    }
}

fn find(folder: &Path, stem: &str) -> Result<std::path::PathBuf> {
    let names =
        ["u8bin", "i8bin", "f16bin", "fbin"].map(|extension| folder.join(format!("{stem}.{extension}")));
    let expected = format!("no {stem}.u8bin, .i8bin, .f16bin or .fbin in {}", folder.display());
    names.into_iter().find(|path| path.exists()).context(expected)
}
