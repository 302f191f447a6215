//! What reading every list would give, measured on a few of the queries: whether more lists or more exact comparisons help.
use std::sync::Arc;

use spandrel_datasets::{Rows, Truth};
use spandrel_engine::{Engine, EngineConfig, Rerank, SearchParams, recall};
use spandrel_index::codes::CodeSpec;
use spandrel_index::{Index, Tier, VectorSource as _};

use super::measure::{Examples, Sweep};
use crate::Session;
use crate::figures::Point;

/// Queries asked, spread over all.
const QUERIES: usize = 200;
/// Fewest worth asking.
const QUERIES_MIN: u64 = 10;
/// Codes scanned in memory at most, each time: about a second of one thread.
const CODES_MAX: u64 = 500_000_000;
/// Bytes read from SSD at most, each time.
const BYTES_MAX: u64 = 4 << 30;
/// Errors more than the point's in another pass.
const ERRORS_MORE: f32 = 2.0;
/// Vectors compared exactly in a pass that errors do not bound, for each neighbour; or this many times those of the point.
const COUNT_OF_K: usize = 100;
const COUNT_TIMES: u32 = 4;
/// Recall that is worth a remark.
const GAIN_MIN: f64 = 0.002;

/// Recall of a sample of the queries.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Ceiling {
    queries: usize,
    /// With the point's own settings.
    point: f64,
    /// With every list.
    lists: f64,
    /// With every list and more errors, where errors bound what is compared exactly.
    errors: Option<(f32, f64)>,
    /// With every list and this number of vectors compared exactly, where lists hold codes.
    count: Option<(u32, f64)>,
}

/// Says what the best of the points leaves to be had, and by which flag; nothing where reading every list takes too long, and of
/// queries with filters or a column.
pub(super) fn words(
    index: &Arc<Index>,
    examples: Examples<'_>,
    sweep: &Sweep,
    points: &[Point],
    session: &Session,
) -> anyhow::Result<Option<String>> {
    if examples.filters.is_some() || examples.column.is_some() {
        return Ok(None);
    }
    let best = points.iter().max_by(|a, b| a.recall.total_cmp(&b.recall));
    let Some(params) = best.map(|best| best.params.ours()) else { return Ok(None) };
    let queries = affordable(index).min(examples.queries.len());
    if queries < QUERIES_MIN.min(examples.queries.len()) {
        return Ok(None);
    }
    let (rows, truth) = sample(examples, queries as usize)?; // CAST: at most QUERIES
    let config = sweep.setup.engine_config(EngineConfig::default().in_flight);
    let config = EngineConfig { cache_bytes: 0, ..config };
    let engine = Engine::open(Arc::clone(index), config)?;
    let rule = params.rerank.map(Rerank::Count).or(params.rerank_errors.map(Rerank::Errors));
    let meter = session.meter();
    meter.phase("searching every list", "queries");
    let of = |max_lists: Option<u32>, rerank: Option<Rerank>| -> anyhow::Result<f64> {
        let search = SearchParams {
            epsilon: if max_lists.is_none() { params.epsilon } else { None },
            max_lists: max_lists.or(params.max_lists),
            rerank,
            distances: sweep.distances,
            ..SearchParams::new(sweep.k)
        };
        let answers = engine.search_until(rows.bytes().into(), &search, &session.stop)?;
        let known = spandrel_engine::Truth {
            ids: &truth.ids,
            distances: truth.distances.as_deref().unwrap_or_default(),
            columns: truth.k,
        };
        Ok(recall(index.metric(), &answers, known, sweep.k)?)
    };
    let every = |rerank| of(Some(index.lists()), Some(rerank));
    let (errors, count) = match rule {
        Some(Rerank::Errors(errors)) => {
            let most = (COUNT_OF_K * sweep.k) as u64; // CAST: widening
            (Some(errors + ERRORS_MORE), Some(most.min(index.vectors()) as u32)) // CAST: at most the vectors
        }
        Some(Rerank::Count(count)) => (None, Some(count.saturating_mul(COUNT_TIMES))),
        None => (None, None),
    };
    let ceiling = Ceiling {
        queries: truth.queries,
        point: of(None, rule)?,
        lists: of(Some(index.lists()), rule)?,
        errors: errors.map(|e| every(Rerank::Errors(e)).map(|recall| (e, recall))).transpose()?,
        count: count.map(|n| every(Rerank::Count(n)).map(|recall| (n, recall))).transpose()?,
    };
    meter.finish();
    Ok(Some(ceiling.words(rule)))
}

/// Queries that can search every list in a moment.
fn affordable(index: &Index) -> u64 {
    let memory = index.codes_tier() == Tier::Memory
        || index.code() == CodeSpec::Full && index.vectors_tier() == Tier::Memory;
    let queries = match memory {
        true => CODES_MAX / index.vectors().max(1),
        false => BYTES_MAX / index.manifest().index_bytes().max(1),
    };
    queries.min(QUERIES as u64)
}

/// `count` queries, evenly spaced, and their neighbours.
fn sample(examples: Examples<'_>, count: usize) -> anyhow::Result<(Rows, Truth)> {
    let Examples { queries, truth, .. } = examples;
    let mut bytes = Vec::with_capacity(count * queries.row_bytes());
    let (mut ids, mut distances) = (Vec::new(), truth.distances.as_ref().map(|_| Vec::new()));
    for number in 0..count {
        let query = number * truth.queries / count;
        bytes.extend_from_slice(queries.row(query));
        ids.extend_from_slice(truth.ids_of(query));
        if let (Some(some), Some(all)) = (&mut distances, &truth.distances) {
            some.extend_from_slice(&all[query * truth.k..(query + 1) * truth.k]);
        }
    }
    let rows = Rows::new(queries.dtype(), queries.dim(), bytes)?;
    Ok((rows, Truth { queries: count, k: truth.k, ids, distances }))
}

impl Ceiling {
    fn words(&self, rule: Option<Rerank>) -> String {
        let Ceiling { queries, point, lists, errors, count } = *self;
        let named = match rule {
            None => "exact vectors".to_owned(),
            Some(Rerank::Count(count)) => format!("{count} reranked"),
            Some(Rerank::Errors(errors)) => format!("{errors} errors"),
        };
        let mut text = format!(
            "every list with {named}: recall {lists:.4} ({queries} queries, of which the best row above finds {point:.4})"
        );
        text +=
            &errors.map_or_else(String::new, |(errors, recall)| format!("; {errors} errors: {recall:.4}"));
        text += &count.map_or_else(String::new, |(count, recall)| format!("; {count} reranked: {recall:.4}"));
        let (by_errors, by_count) = (errors.map_or(lists, |(_, r)| r), count.map_or(lists, |(_, r)| r));
        // Errors compare no more than they have to, as long as their cap does not cut them short.
        let flag =
            if errors.is_some() && by_errors + GAIN_MIN >= by_count { "--rerank-errors" } else { "--rerank" };
        let lists_help = lists - point >= GAIN_MIN;
        let rerank_helps = by_errors.max(by_count) - lists >= GAIN_MIN;
        text += &match (lists_help, rerank_helps) {
            (false, false) => "; neither more lists nor more exact comparisons find more\n".to_owned(),
            (true, false) => "; raise --max-lists for more recall\n".to_owned(),
            (false, true) => format!("; more lists cannot help, raise {flag} for more recall\n"),
            (true, true) => {
                format!("; raise --max-lists for more recall, and {flag} where it has to pass {lists:.4}\n")
            }
        };
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_knob_that_helps_is_named() {
        let rule = Some(Rerank::Errors(1.0));
        for (point, lists, errors, count, words) in [
            (0.9, 0.95, 0.9501, 0.9502, "raise --max-lists for"),
            (0.95, 0.951, 0.99, 0.991, "more lists cannot help, raise --rerank-errors"),
            (0.62, 0.62, 0.63, 0.98, "more lists cannot help, raise --rerank for"),
            (0.8, 0.95, 0.99, 0.99, "and --rerank-errors where it has to pass 0.9500"),
            (0.99, 0.9905, 0.991, 0.9, "neither"),
        ] {
            let (errors, count) = (Some((3.0, errors)), Some((1000, count)));
            let text = Ceiling { queries: 200, point, lists, errors, count }.words(rule);
            assert!(text.contains(words), "{text}");
            assert!(text.starts_with(&format!("every list with 1 errors: recall {lists:.4}")), "{text}");
            assert!(text.contains("; 3 errors: 0.") && text.contains("; 1000 reranked: 0."), "{text}");
        }
        let counted = Ceiling { queries: 9, point: 0.9, lists: 0.9, errors: None, count: Some((80, 1.0)) };
        let text = counted.words(Some(Rerank::Count(20)));
        assert!(
            text.contains("every list with 20 reranked") && text.contains("raise --rerank for"),
            "{text}"
        );
        let exact = Ceiling { queries: 9, point: 0.9, lists: 1.0, errors: None, count: None }.words(None);
        assert!(exact.contains("exact vectors") && !exact.contains("rerank"), "{exact}");
    }
}
