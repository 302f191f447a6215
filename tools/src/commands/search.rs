//! What `query`, `bench` and `demo` share: flags of reading, queries that fit an index, an open engine.
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use spandrel_datasets::{Converted, VectorFile};
use spandrel_engine::paging::CachePolicy;
use spandrel_engine::{Distances, Engine, EngineConfig};
use spandrel_index::{DType, Index, OpenOptions, Tier, VectorSource, VectorsShape};
use spandrel_io::{BackendChoice, Direct};

use super::input::InputArgs;
use crate::figures::PointParams;
use crate::values::{ByteSize, parse_epsilon};
use crate::{Advised, Session};

/// Heading of the flags that trade recall for work.
pub(super) const KNOBS: &str = "How thoroughly to search";

/// Heading of the flags that say where an index is kept and how it is read.
pub(super) const READING: &str = "How the index is read";

/// How thoroughly to search; what is not given is left to the index.
#[derive(Debug, Clone, Copy, Args)]
pub struct KnobArgs {
    /// A list is read if its head is at most 1 + epsilon times as far as the nearest one [default: the index's own].
    #[arg(long, value_name = "E", help_heading = KNOBS, value_parser = parse_epsilon)]
    pub epsilon: Option<f32>,
    /// Most lists read [default: the index's own].
    #[arg(long, value_name = "N", help_heading = KNOBS, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_lists: Option<u32>,
    /// Vectors compared exactly after their codes were scanned, the likeliest to be near [default: by the errors of their
    /// estimates].
    #[arg(long, value_name = "N", help_heading = KNOBS, value_parser = clap::value_parser!(u32).range(1..))]
    pub rerank: Option<u32>,
    /// Compare exactly each vector whose estimate, less half of this number of its standard errors, may be among
    /// the k best: more find more and read more [default: the index's own].
    #[arg(long, value_name = "E", conflicts_with = "rerank", help_heading = KNOBS, value_parser = parse_epsilon)]
    pub rerank_errors: Option<f32>,
}

impl KnobArgs {
    /// As the settings of a point, with the recall wanted.
    pub(super) fn point(self, recall: Option<f64>) -> PointParams {
        let KnobArgs { epsilon, max_lists, rerank, rerank_errors } = self;
        PointParams { recall, epsilon, max_lists, min_head_score: None, rerank, rerank_errors }
    }
}

/// How lists are read.
#[derive(Debug, Clone, Copy, Args)]
pub struct IoArgs {
    /// How reads are done: auto takes io_uring where the kernel grants it, and positioned reads otherwise.
    #[arg(long, help_heading = READING, value_name = "auto|uring|pread", default_value_t = BackendChoice::Auto)]
    pub io: BackendChoice,
    /// Whether reads bypass the page cache: auto does where the file system allows.
    #[arg(long, help_heading = READING, value_name = "auto|on|off", default_value_t = Direct::Auto)]
    pub direct: Direct,
}

/// Where parts of an index are kept while it is searched.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct PlaceArgs {
    /// Where codes are: memory or ssd [default: what the index was built for].
    #[arg(long, help_heading = READING, value_name = "memory|ssd")]
    pub codes: Option<Tier>,
    /// Where the vectors that are compared exactly are: ssd or memory [default: ssd].
    #[arg(long, help_heading = READING, value_name = "ssd|memory")]
    pub vectors: Option<Tier>,
    /// Which distances are given: exact, or any. With any, a vector whose estimate decides that it is among the nearest is not
    /// read, and the estimate is given; that keeps ids in memory.
    #[arg(long, help_heading = READING, value_name = "exact|any", default_value_t)]
    pub distances: Distances,
    /// Memory for a cache of pages of vectors, which several indexes share evenly [default: none].
    #[arg(long, help_heading = READING, value_name = "SIZE")]
    pub cache: Option<ByteSize>,
    /// Which page leaves a full cache: with clock one that was not used lately, with predicted one that is not expected to be
    /// used again soon [default: predicted].
    #[arg(long, help_heading = READING, value_name = "clock|predicted", requires = "cache")]
    pub cache_policy: Option<CachePolicy>,
}

impl PlaceArgs {
    /// How much is cached, and how, besides what `config` says.
    pub(super) fn with_cache(&self, config: EngineConfig) -> EngineConfig {
        EngineConfig {
            cache_bytes: self.cache.map_or(0, |size| size.0),
            cache_policy: self.cache_policy.unwrap_or_default(),
            ..config
        }
    }
}

/// Opens an index for search.
pub(super) fn open_index(dir: &Path, places: &PlaceArgs) -> anyhow::Result<Arc<Index>> {
    let ids = places.distances == Distances::Any;
    let options = OpenOptions { codes: places.codes, vectors: places.vectors, ids };
    Ok(Arc::new(Index::open_with(dir, options)?))
}

/// Starts an engine, and tells if it reads in a slower way than might be expected.
pub(super) fn open_engine(
    index: &Arc<Index>,
    config: EngineConfig,
    session: &Session,
) -> anyhow::Result<Engine> {
    let engine = Engine::open(Arc::clone(index), config)?;
    tell_reading(&engine, config, session);
    Ok(engine)
}

/// Tells if an engine reads in a slower way than might be expected.
pub(super) fn tell_reading(engine: &Engine, config: EngineConfig, session: &Session) {
    if let Some(why) = &engine.io().fallback {
        session.note(&format!("note: reading with {} because {why}", engine.io().backend));
    }
    if !engine.io().direct && config.direct == Direct::Auto {
        session.note("note: the file system allows no direct reads, reading through the page cache");
    }
}

/// What queries have to be like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fit {
    pub(super) dim: usize,
    pub(super) dtype: DType,
}

impl Fit {
    /// As the vectors of an index, or the tokens of its documents.
    pub(super) fn of(index: &Index) -> Fit {
        let VectorsShape { dim, dtype, .. } = index.query_shape();
        Fit { dim, dtype }
    }
}

/// A file of queries that fit an index, converted to its type if they are of another.
pub(super) fn open_queries(
    fit: Fit,
    input: &InputArgs,
    path: &Path,
    session: &Session,
) -> anyhow::Result<Converted<VectorFile>> {
    let file = input.open(path)?;
    if file.dim() != fit.dim {
        let (found, expected) = (file.dim(), fit.dim);
        let message = format!("{}: queries of {found} elements, the index has {expected}", path.display());
        return Err(Advised::new(message, "search with vectors of the kind that was indexed").into());
    }
    if file.is_empty() {
        return Err(Advised::new(format!("{}: no queries", path.display()), "give at least one").into());
    }
    let queries = Converted::new(file, fit.dtype);
    note_rounding(&queries, session);
    Ok(queries)
}

/// `count` rows of a file from `first` on.
pub(super) fn read_batch(file: &Converted<VectorFile>, first: u64, count: u64) -> anyhow::Result<Vec<u8>> {
    let mut rows = vec![0; count as usize * file.row_bytes()]; // CAST: a few thousand
    file.read_rows(first, &mut rows)?;
    Ok(rows)
}

/// Says so where values are rounded.
pub(super) fn note_rounding<S: VectorSource>(queries: &Converted<S>, session: &Session) {
    if queries.rounds() {
        session
            .note(&format!("note: {}: queries of f32 are rounded to f16, which is searched", queries.name()));
    }
}

/// Fails if lists or pages had to be left out: the answers are not whole.
pub(super) fn refuse_damage(engine: &Engine, incomplete: usize) -> anyhow::Result<()> {
    if incomplete == 0 {
        return Ok(());
    }
    let answers = if incomplete == 1 { "1 answer is" } else { &format!("{incomplete} answers are") };
    Err(damaged(engine, format!("{answers} not whole")).into())
}

/// What damage leads to, where it is, and what to do.
pub(super) fn damaged(engine: &Engine, what: String) -> Advised {
    let damage = engine.damage();
    let message = match (&damage[..], damage.first()) {
        ([one], _) => format!("{what}: damaged: {one}"),
        (all, Some(first)) => format!("{what}: {} lists or pages are damaged, the first: {first}", all.len()),
        // A part that was read whole since is forgotten.
        (_, None) => format!("{what}: a list or page could not be read"),
    };
    let help =
        format!("`spandrel verify {}` says more; build the index anew", engine.index().dir().display());
    Advised::new(message, help)
}
