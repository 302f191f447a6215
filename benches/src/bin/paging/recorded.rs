//! Pages that queries of a set ask for.
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spandrel_benches::set::{Effort, K, Set};
use spandrel_builder::{Choice, Input, Silent, VectorShape, build};
use spandrel_engine::{Engine, EngineConfig, SearchParams};
use spandrel_index::format::VectorsOf;
use spandrel_index::{Index, Metric};

use super::traces::{Trace, Zipf};

/// Bytes of memory for each vector of the index.
const MEMORY_PER_VECTOR: f64 = 40.0;

/// Traces of queries drawn from a set's: by Zipf's law, and all alike.
pub(crate) fn traces(
    data: &Path,
    (name, metric): (&str, Metric),
    effort: Effort,
    requests: usize,
) -> Result<Vec<Trace>> {
    let set = Set::open(data, name, metric, effort.queries)?;
    let pages = pages_of_queries(&set, effort.threads)?;
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let zipf = Zipf::new(pages.len(), 0.9);
    let mut drawn = |query: &mut dyn FnMut(&mut ChaCha8Rng) -> usize| {
        let mut trace = Vec::with_capacity(requests);
        while trace.len() < requests {
            trace.extend(&pages[query(&mut rng)]);
        }
        trace
    };
    let skewed = drawn(&mut |rng| zipf.draw(rng));
    let alike = drawn(&mut |rng| rng.random_range(0..pages.len()));
    Ok(vec![Trace::new("queries by Zipf 0.9", skewed), Trace::new("queries alike", alike)])
}

/// Of each query, the pages with the vectors that it compares, by a default search.
fn pages_of_queries(set: &Set, threads: usize) -> Result<Vec<Vec<u64>>> {
    let folder = tempfile::tempdir().context("a folder for an index")?;
    let out = folder.path().join("index");
    let choice = Choice::for_memory(VectorShape::of(&set.base, set.metric), MEMORY_PER_VECTOR);
    let config = set.config(&choice, &out, threads);
    build(Input::of(&set.base), &config, &Silent, &AtomicBool::new(false)).context("building")?;
    let index = Arc::new(Index::open(&out)?);
    let layout = index.shape_of(VectorsOf::Main).pages;
    let engine = Engine::open(index, EngineConfig { threads, ..EngineConfig::default() })?;
    let params = SearchParams { explain: true, ..SearchParams::new(K) };
    let answers = engine.search(set.queries.bytes(), &params)?;
    let pages = answers.iter().map(|answer| {
        let compared = answer.explanation.iter().flat_map(|explanation| &explanation.compared.items);
        let mut pages: Vec<u64> = compared.map(|vector| layout.place(vector.location.position()).0).collect();
        pages.sort_unstable();
        pages.dedup();
        pages
    });
    Ok(pages.filter(|pages| !pages.is_empty()).collect())
}
