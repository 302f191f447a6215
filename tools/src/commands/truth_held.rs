//! Whether a truth is that of an index, or of several as one: by what these hold under the ids that it names.
use std::sync::Arc;

use spandrel_datasets::{RangeTruth, Truth};
use spandrel_engine::{Engine, EngineConfig, FetchContent, FetchState, Fetched, Lookup};
use spandrel_index::{Index, VectorSource as _};

use super::filter::Compiler;
use super::measure::{Examples, check_truth};
use super::running::Setup;
use super::search::damaged;
use super::truth_check::{Held, Sample, Stored, check_held};

/// Queries of a truth within a radius that are looked at, and results of each.
const QUERIES: usize = 16;
const RESULTS: usize = 10;

/// Refuses a truth that is not that of the queries, or does not fit what `indexes` hold.
pub(super) fn check_examples(
    indexes: &[Arc<Index>],
    examples: Examples<'_>,
    k: usize,
    setup: &Setup,
) -> anyhow::Result<()> {
    let Examples { truth, filters, .. } = examples;
    check_truth(truth, examples.queries.len(), k, filters.is_some())?;
    let Some(first) = indexes.first() else { return Ok(()) };
    let (sample, metric) = (Sample::of(truth), first.shape_of(examples.compared()).metric);
    let queries = examples.column.unwrap_or(examples.queries);
    let attributes = filters.map_or_else(Vec::new, |_| (0..first.schema().attributes().len()).collect());
    let content = FetchContent { vectors: Some(examples.compared()), attributes, cell_bytes_max: usize::MAX };
    let mut found: Option<Held> = None;
    for index in indexes {
        let held = Ids::of(index, setup)?.held(&sample.ids(), &content)?;
        found = Some(match found {
            Some(before) => sample.nearer(metric, queries, filters.map(Compiler::asked), [before, held]),
            None => held,
        });
    }
    let found = found.unwrap_or_default();
    for (ids, held) in sample.ids().iter().zip(&found) {
        check_held(ids.iter().zip(held.iter().map(Option::is_some)), indexes.len())?;
    }
    Ok(sample.check(metric, queries, filters.map(Compiler::asked), &found)?)
}

/// Refuses a truth of documents that the index does not hold.
pub(super) fn check_documents(index: &Arc<Index>, truth: &Truth, setup: &Setup) -> anyhow::Result<()> {
    check_ids(std::slice::from_ref(index), &Sample::of(truth).ids().concat(), setup)
}

/// Refuses a truth within a radius of vectors that the indexes do not hold.
pub(super) fn check_range(indexes: &[Arc<Index>], truth: &RangeTruth, setup: &Setup) -> anyhow::Result<()> {
    let count = QUERIES.min(truth.queries());
    let queries = (0..count).map(|number| number * truth.queries() / count.max(1));
    let nearest = queries.flat_map(|query| truth.of(query).0.iter().take(RESULTS));
    let largest = (0..truth.queries()).filter_map(|query| truth.of(query).0.iter().max()).max();
    let ids: Vec<u64> = nearest.chain(largest).map(|&id| id.into()).collect();
    check_ids(indexes, &ids, setup)
}

fn check_ids(indexes: &[Arc<Index>], ids: &[u64], setup: &Setup) -> anyhow::Result<()> {
    let content = FetchContent { vectors: None, attributes: Vec::new(), cell_bytes_max: 0 };
    let mut is_held = vec![false; ids.len()];
    for index in indexes {
        let fetched = Ids::of(index, setup)?.fetch(ids, &content)?;
        for (is_held, state) in is_held.iter_mut().zip(fetched.states) {
            *is_held |= state == FetchState::Found;
        }
    }
    Ok(check_held(ids.iter().zip(is_held), indexes.len())?)
}

/// An index whose vectors are found by their ids.
struct Ids {
    engine: Engine,
    lookup: Arc<Lookup>,
}

impl Ids {
    fn of(index: &Arc<Index>, setup: &Setup) -> anyhow::Result<Ids> {
        let lookup = Arc::new(Lookup::open(Arc::clone(index))?);
        let config = EngineConfig { threads: 1, cache_bytes: 0, ..setup.engine_config(1) };
        Ok(Ids { engine: Engine::open(Arc::clone(index), config)?, lookup })
    }

    /// What is there of some ids; damage is an error.
    fn fetch(&self, ids: &[u64], content: &FetchContent) -> anyhow::Result<Fetched> {
        let fetched = self.engine.fetch_content(&self.lookup, ids, content.clone())?;
        let state = ids.iter().zip(&fetched.states).find(|(_, state)| **state == FetchState::Damaged);
        if let Some((id, _)) = state {
            return Err(damaged(&self.engine, format!("{id}, which the truth names, cannot be read")).into());
        }
        Ok(fetched)
    }

    fn held(&self, parts: &[Vec<u64>], content: &FetchContent) -> anyhow::Result<Held> {
        let index = self.engine.index();
        let row_bytes = index.shape_of(content.vectors.unwrap_or_default()).row_bytes();
        let mut held = Vec::new();
        for ids in parts {
            let Fetched { rows, cells, states, .. } = self.fetch(ids, content)?;
            let (mut rows, mut cells) = (rows.chunks_exact(row_bytes), cells.into_iter());
            let one = |(&id, state): (&u64, FetchState)| {
                let vector = if state == FetchState::Found { rows.next()?.to_vec() } else { return None };
                Some(Stored { id, vector, cells: cells.by_ref().take(content.attributes.len()).collect() })
            };
            held.push(ids.iter().zip(states).map(one).collect());
        }
        Ok(held)
    }
}
