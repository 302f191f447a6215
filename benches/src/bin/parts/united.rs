//! The vectors of a set in several indexes.
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use spandrel_benches::Calibrator;
use spandrel_benches::set::{K, MEMORY_BYTES, Set};
use spandrel_builder::{Caller, Choice, IdSource, Input, Silent, VectorShape, build_for};
use spandrel_datasets::Rows;
use spandrel_engine::{
    Answer, CalibrateLimits, CalibrateParams, Duplicates, Engine, EngineConfig, Executor, Rerank,
    SearchParams, recall, union,
};
use spandrel_index::{Index, Metric, OpenOptions, SourceError, Tier, VectorSource as _};
use tempfile::TempDir;

/// Memory to search in that the default build aims at, in bytes a vector.
const SEARCH_BYTES: f64 = 40.0;

/// Indexes of runs of rows, whose threads are the same.
pub(crate) struct United {
    engines: Vec<Engine>,
    metric: Metric,
    _folder: TempDir,
}

/// Row numbers in the set.
struct RowNumbers {
    first: u64,
    count: u64,
}

impl IdSource for RowNumbers {
    fn len(&self) -> u64 {
        self.count
    }

    fn read_ids(&self, first: u64, out: &mut [u64]) -> Result<(), SourceError> {
        (self.first + first..).zip(out).for_each(|(id, out)| *out = id);
        Ok(())
    }
}

impl United {
    /// Rows in `parts` runs of the same length, each as the command builds by default.
    pub(crate) fn build(set: &Set, parts: usize, threads: usize) -> Result<United> {
        let folder = tempfile::tempdir().context("a folder for indexes")?;
        let executor = Executor::new(EngineConfig { threads, ..EngineConfig::default() })?;
        let (vectors, row_bytes) = (usize::try_from(set.base.len())?, set.base.row_bytes());
        let options = OpenOptions { vectors: Some(Tier::Memory), ..OpenOptions::default() };
        let mut engines = Vec::new();
        for part in 0..parts {
            let (first, end) = (vectors * part / parts, vectors * (part + 1) / parts);
            let bytes = set.base.bytes()[first * row_bytes..end * row_bytes].to_vec();
            let rows = Rows::new(set.base.dtype(), set.base.dim(), bytes)?;
            // CAST: widening
            let ids = RowNumbers { first: first as u64, count: (end - first) as u64 };
            let dir = folder.path().join(part.to_string());
            let choice = Choice::for_memory(VectorShape::of(&rows, set.metric), SEARCH_BYTES);
            let limits = CalibrateLimits { threads, memory_bytes: MEMORY_BYTES };
            let calibrator = Calibrator(CalibrateParams::new(limits));
            let stop = AtomicBool::new(false);
            let caller = Caller { progress: &Silent, stop: &stop, calibrate: Some(&calibrator) };
            let input = Input { ids: Some(&ids), ..Input::of(&rows) };
            build_for(input, &set.config(&choice, &dir, threads), caller).context("building")?;
            engines.push(executor.register(Arc::new(Index::open_with(&dir, options)?))?);
        }
        Ok(United { engines, metric: set.metric, _folder: folder })
    }

    /// Lists of all.
    pub(crate) fn lists(&self) -> u64 {
        self.engines.iter().map(|engine| u64::from(engine.index().lists())).sum()
    }

    /// The first index.
    pub(crate) fn first(&self) -> Result<&Engine> {
        self.engines.first().context("no index")
    }

    /// Asks all indexes at the same time.
    pub(crate) fn search(&self, queries: &Rows, question: &Question) -> Result<Found> {
        let started = Instant::now();
        let answers: Vec<Result<Vec<Answer>>> = thread::scope(|scope| {
            let ask = |engine| scope.spawn(move || ask(engine, queries, question));
            let threads: Vec<_> = self.engines.iter().map(ask).collect();
            let broken = |_| Err(anyhow!("a search broke down"));
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(broken)).collect()
        });
        let parts = answers.into_iter().collect::<Result<Vec<_>>>()?;
        let merged = |query: usize| {
            let of_query = parts.iter().map(|part| part[query].clone()).collect();
            union(of_query, self.metric, question.params.k, Duplicates::Best).answer
        };
        let answers = (0..usize::try_from(queries.len())?).map(merged).collect();
        Ok(Found { answers, parts, seconds: started.elapsed().as_secs_f64() })
    }
}

fn ask(engine: &Engine, queries: &Rows, question: &Question) -> Result<Vec<Answer>> {
    Ok(engine.search(queries.bytes(), &question.params)?)
}

/// What is asked of each index.
pub(crate) struct Question {
    pub(crate) params: SearchParams,
}

impl Question {
    /// All vectors of all lists are compared.
    pub(crate) fn all() -> Question {
        let (max_lists, rerank) = (Some(u32::MAX), Some(Rerank::Count(u32::MAX)));
        Question { params: SearchParams { max_lists, rerank, ..SearchParams::new(K) } }
    }

    /// A recall.
    pub(crate) fn recall(asked: f64) -> Question {
        Question { params: SearchParams { recall: Some(asked), ..SearchParams::new(K) } }
    }
}

/// What was found.
pub(crate) struct Found {
    /// Of all indexes together.
    pub(crate) answers: Vec<Answer>,
    /// Of each index.
    pub(crate) parts: Vec<Vec<Answer>>,
    seconds: f64,
}

impl Found {
    /// Recall and what it took.
    pub(crate) fn row(&self, set: &Set) -> Result<String> {
        let recall = recall(set.metric, &self.answers, set.truth(), K)?;
        let count = self.answers.len() as f64; // CAST: small
        let mean = |of: fn(&Answer) -> f64| self.answers.iter().map(of).sum::<f64>() / count;
        Ok(format!(
            "{recall:.3} | {:.0} | {:.0} | {:.0}",
            count / self.seconds,
            mean(|answer| answer.work.vectors_scanned as f64), // CAST: shown rounded
            mean(|answer| answer.work.reranked.into()),
        ))
    }
}
