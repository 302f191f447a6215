//! Sets of vectors to measure on, and how indexes of them are built.
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spandrel_builder::cluster::HeadKind;
use spandrel_builder::{BuildConfig, COPIES_DEFAULT, Choice, ListCount};
use spandrel_datasets::{
    GenerateParams, Kind, Rows, Truth, TruthParams, VectorFile, Watch, compute_truth, generate_rows,
};
use spandrel_index::{DType, Metric, VectorSource};

/// Neighbours a query is asked for.
pub const K: usize = 10;
/// Neighbours known of each query, whose estimates are measured.
pub const NEAR: usize = 100;
/// Memory to build in.
pub const MEMORY_BYTES: u64 = 4 << 30;

/// What a measurement of a set spends.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Effort {
    /// Queries used, from the first
    #[arg(long, default_value_t = 2000)]
    pub queries: usize,
    /// Threads
    #[arg(long, default_value_t = 2)]
    pub threads: usize,
}

/// Vectors, queries and true neighbours.
pub struct Set {
    /// Name of its folder.
    pub name: String,
    /// How its vectors are compared.
    pub metric: Metric,
    /// What is searched.
    pub base: Rows,
    /// What is searched for.
    pub queries: Rows,
    truth: Truth,
}

impl Set {
    /// The set in a folder with `base.*bin`, `query.*bin` and `truth.ibin`, and at most `queries_max` queries of it.
    ///
    /// # Errors
    /// Files that are missing, or do not fit each other.
    pub fn open(folder: &Path, name: &str, metric: Metric, queries_max: usize) -> Result<Set> {
        let folder = folder.join(name);
        let base = Rows::read(&VectorFile::open(find(&folder, "base")?)?)?;
        let queries = Rows::read(&VectorFile::open(find(&folder, "query")?)?)?;
        let mut truth = Truth::open(folder.join("truth.ibin"))?;
        truth.validate(queries.len(), base.len())?;
        ensure!(truth.k >= NEAR, "the truth has {} neighbours, {NEAR} needed", truth.k);
        let count = truth.queries.min(queries_max);
        let kept = queries.bytes()[..count * queries.row_bytes()].to_vec();
        let queries = Rows::new(queries.dtype(), queries.dim(), kept)?;
        truth.queries = count;
        truth.ids.truncate(count * truth.k);
        if let Some(distances) = &mut truth.distances {
            distances.truncate(count * truth.k);
        }
        Ok(Set { name: name.to_owned(), metric, base, queries, truth })
    }

    /// A generated set. `shape` is a kind, in its usual shape, or `KIND:METRIC:DTYPExDIM`.
    ///
    /// # Errors
    /// A shape that is none of these, or more numbers than a set can have.
    pub fn generated(shape: &str, vectors: u64, queries: u64) -> Result<Set> {
        let (kind, given) = match shape.split_once(':') {
            Some((kind, given)) => (kind.parse()?, Some(given)),
            None => (shape.parse()?, None),
        };
        let (metric, dtype, dim) = match (given, kind) {
            (Some(given), _) => {
                metric_and_row(given).with_context(|| format!("{shape}: KIND:METRIC:DTYPExDIM expected"))?
            }
            (None, Kind::Sift) => (Metric::L2, DType::U8, 128),
            (None, Kind::Embedding) => (Metric::Cosine, DType::F32, 96),
            (None, Kind::Ood) => (Metric::InnerProduct, DType::F16, 64),
        };
        let params = GenerateParams { kind, vectors, queries, dim, dtype, seed: 1, threads: 2 };
        let (base, queries) = generate_rows(params, Watch::none())?;
        let params = TruthParams { metric, k: NEAR, threads: 2 };
        let truth = compute_truth(&base, &queries, None, params, Watch::none())?;
        Ok(Set { name: shape.to_owned(), metric, base, queries, truth })
    }

    /// Normal numbers in every dimension: no axis is stronger than another.
    ///
    /// # Errors
    /// More numbers than a set can have.
    pub fn isotropic(vectors: usize, dim: usize, queries: usize, threads: usize) -> Result<Set> {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut rows = |count: usize| {
            let mut bytes = Vec::with_capacity(4 * count * dim);
            for _ in 0..(count * dim).div_ceil(2) {
                // Box and Muller, "A note on the generation of random normal deviates", 1958.
                let radius = (-2.0 * (1.0 - rng.random::<f32>()).ln()).sqrt();
                let (sine, cosine) = (std::f32::consts::TAU * rng.random::<f32>()).sin_cos();
                bytes.extend_from_slice(&(radius * sine).to_le_bytes());
                bytes.extend_from_slice(&(radius * cosine).to_le_bytes());
            }
            bytes.truncate(4 * count * dim);
            Rows::new(DType::F32, dim, bytes)
        };
        let (base, queries) = (rows(vectors)?, rows(queries)?);
        let params = TruthParams { metric: Metric::L2, k: NEAR, threads };
        let truth = compute_truth(&base, &queries, None, params, Watch::none())?;
        Ok(Set { name: "isotropic".to_owned(), metric: Metric::L2, base, queries, truth })
    }

    /// How an index of the set with a layout is built in `out`, the rest as the command builds by default.
    pub fn config(&self, choice: &Choice, out: &Path, threads: usize) -> BuildConfig {
        config(self.metric, choice, out, threads)
    }

    /// The true neighbours of all queries.
    pub fn truth(&self) -> spandrel_engine::Truth<'_> {
        engine_truth(&self.truth)
    }

    /// Some of the queries, with their true neighbours.
    ///
    /// # Errors
    /// Those of [`Rows::new`].
    pub fn some(&self, is_one: impl Fn(usize) -> bool) -> Result<SomeQueries> {
        let (row_bytes, k) = (self.queries.row_bytes(), self.truth.k);
        let numbers: Vec<usize> = (0..self.truth.queries).filter(|&number| is_one(number)).collect();
        let rows = numbers.iter().flat_map(|&at| &self.queries.bytes()[at * row_bytes..][..row_bytes]);
        let rows = Rows::new(self.queries.dtype(), self.queries.dim(), rows.copied().collect())?;
        let of = |at: usize| at * k..(at + 1) * k;
        let ids = numbers.iter().flat_map(|&at| &self.truth.ids[of(at)]).copied().collect();
        let distances = self
            .truth
            .distances
            .as_ref()
            .map(|distances| numbers.iter().flat_map(|&at| &distances[of(at)]).copied().collect());
        Ok(SomeQueries { rows, truth: Truth { queries: numbers.len(), k, ids, distances } })
    }

    /// Other queries, and their true neighbours.
    ///
    /// # Errors
    /// Queries that cannot be compared with the vectors.
    pub fn compared(&self, rows: Rows, threads: usize) -> Result<SomeQueries> {
        let params = TruthParams { metric: self.metric, k: NEAR, threads };
        let truth = compute_truth(&self.base, &rows, None, params, Watch::none())?;
        Ok(SomeQueries { rows, truth })
    }

    /// The nearest rows of a query, nearest first.
    pub fn near(&self, query: usize) -> &[u64] {
        &self.truth.ids_of(query)[..NEAR]
    }

    /// Rows that count as a hit of a query: no farther than the k-th true neighbour.
    pub fn hits(&self, query: usize) -> &[u64] {
        let ids = self.truth.ids_of(query);
        let Some(distances) = &self.truth.distances else { return &ids[..K] };
        let distances = &distances[query * self.truth.k..(query + 1) * self.truth.k];
        let limit = distances[K - 1] + 1e-6 + 1e-6 * distances[K - 1].abs();
        &ids[..distances.partition_point(|&distance| distance <= limit)]
    }
}

/// Of `METRIC:DTYPExDIM`.
fn metric_and_row(text: &str) -> Option<(Metric, DType, usize)> {
    let (metric, row) = text.split_once(':')?;
    let (dtype, dim) = row.split_once('x')?;
    Some((metric.parse().ok()?, dtype.parse().ok()?, dim.parse().ok()?))
}

/// Queries of a set.
pub struct SomeQueries {
    /// One row a query, in the set's element type.
    pub rows: Rows,
    truth: Truth,
}

impl SomeQueries {
    /// Their true neighbours.
    pub fn truth(&self) -> spandrel_engine::Truth<'_> {
        engine_truth(&self.truth)
    }
}

fn engine_truth(truth: &Truth) -> spandrel_engine::Truth<'_> {
    let distances = truth.distances.as_deref().unwrap_or_default();
    spandrel_engine::Truth { ids: &truth.ids, distances, columns: truth.k }
}

/// How an index of a choice is built.
pub fn config(metric: Metric, choice: &Choice, out: &Path, threads: usize) -> BuildConfig {
    BuildConfig {
        metric,
        out: out.to_owned(),
        lists: ListCount::Size(choice.list_size),
        replicas: choice.replicas,
        max_replicas: COPIES_DEFAULT,
        heads: HeadKind::Means,
        code: choice.code,
        codebooks: None,
        codes: choice.codes,
        memory_bytes: MEMORY_BYTES,
        threads,
        seed: 1,
        scratch: None,
        resume: false,
        replace: false,
        keep_previous: 0,
        plain_codes: false,
        embedding: None,
    }
}

/// The file of vectors of a folder with this name before its extension.
///
/// # Errors
/// There is none.
pub fn find(folder: &Path, stem: &str) -> Result<PathBuf> {
    let names =
        ["u8bin", "i8bin", "f16bin", "fbin"].map(|extension| folder.join(format!("{stem}.{extension}")));
    let expected = format!("no {stem}.u8bin, .i8bin, .f16bin or .fbin in {}", folder.display());
    names.into_iter().find(|path| path.exists()).context(expected)
}
