//! What reading every list would give, measured on a few of the queries: whether more lists or more exact comparisons help.
use std::sync::Arc;

use spandrel_datasets::{Rows, Truth};
use spandrel_engine::{Engine, EngineConfig, Rerank, SearchParams, recall};
use spandrel_index::codes::CodeSpec;
use spandrel_index::{Index, Tier, VectorSource as _};

use super::measure::{Examples, Sweep};
use crate::Session;
use crate::figures::OperatingPoint;

/// Queries asked, spread over all.
const QUERIES: usize = 200;
/// Fewest worth asking.
const QUERIES_MIN: u64 = 10;
/// Codes scanned in memory at most, each time: about a second of one thread.
const CODES_MAX: u64 = 500_000_000;
/// Bytes read from SSD at most, each time.
const BYTES_MAX: u64 = 4 << 30;
/// What is compared exactly in the second pass: these errors more, or as many times the vectors.
const ERRORS_MORE: f32 = 2.0;
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
    /// With every list and more compared exactly, where lists hold codes.
    rerank: Option<f64>,
}

/// Says what the best of the points leaves to be had, and by which flag; nothing where reading every list takes too long.
pub(super) fn words(
    index: &Arc<Index>,
    examples: Examples<'_>,
    sweep: &Sweep,
    points: &[OperatingPoint],
    session: &Session,
) -> anyhow::Result<Option<String>> {
    let best = points.iter().max_by(|a, b| a.recall.total_cmp(&b.recall));
    let Some(best) = best else { return Ok(None) };
    let queries = affordable(index).min(examples.queries.len());
    if queries < QUERIES_MIN.min(examples.queries.len()) {
        return Ok(None);
    }
    let (rows, truth) = sample(examples, queries as usize)?; // CAST: at most QUERIES
    let config = EngineConfig {
        threads: sweep.threads,
        io: sweep.io,
        direct: sweep.direct,
        ..EngineConfig::default()
    };
    let engine = Engine::open(Arc::clone(index), config)?;
    let rule = best.params.rerank.map(Rerank::Count).or(best.params.rerank_errors.map(Rerank::Errors));
    let meter = session.meter();
    meter.phase("searching every list", "queries");
    let of = |max_lists: Option<u32>, rerank: Option<Rerank>| -> anyhow::Result<f64> {
        let params = SearchParams {
            epsilon: if max_lists.is_none() { best.params.epsilon } else { None },
            max_lists: max_lists.or(best.params.max_lists),
            rerank,
            distances: sweep.distances,
            ..SearchParams::new(sweep.k)
        };
        let answers = engine.search_until(rows.bytes(), &params, &session.stop)?;
        let known = spandrel_engine::Truth {
            ids: &truth.ids,
            distances: truth.distances.as_deref().unwrap_or_default(),
            columns: truth.k,
        };
        Ok(recall(index.metric(), &answers, known, sweep.k)?)
    };
    let more = rule.map(|rule| match rule {
        Rerank::Count(count) => Rerank::Count(count.saturating_mul(COUNT_TIMES)),
        Rerank::Errors(errors) => Rerank::Errors(errors + ERRORS_MORE),
    });
    let ceiling = Ceiling {
        queries: truth.queries,
        point: of(None, rule)?,
        lists: of(Some(index.lists()), rule)?,
        rerank: more.map(|more| of(Some(index.lists()), Some(more))).transpose()?,
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

/// Every so many queries, and their neighbours.
fn sample(examples: Examples<'_>, count: usize) -> anyhow::Result<(Rows, Truth)> {
    let Examples { queries, truth } = examples;
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
        let Ceiling { queries, point, lists, rerank } = *self;
        let (named, flag) = match rule {
            None => ("exact vectors".to_owned(), ""),
            Some(Rerank::Count(count)) => (format!("{count} reranked"), "--rerank"),
            Some(Rerank::Errors(errors)) => (format!("{errors} errors"), "--rerank-errors"),
        };
        let mut text = format!(
            "every list with {named}: recall {lists:.4} ({queries} queries, where the best row above has {point:.4})"
        );
        let more = rerank.map(|rerank| (rerank, rerank - lists));
        if let Some((rerank, _)) = more {
            let raised = match rule {
                Some(Rerank::Count(count)) => format!("{} reranked", count.saturating_mul(COUNT_TIMES)),
                Some(Rerank::Errors(errors)) => format!("{} errors", errors + ERRORS_MORE),
                None => String::new(),
            };
            text += &format!("; with {raised} {rerank:.4}");
        }
        let by_lists = lists - point >= GAIN_MIN;
        let by_rerank = more.is_some_and(|(_, gain)| gain >= GAIN_MIN);
        text += &match (by_lists, by_rerank) {
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
        let errors = Some(Rerank::Errors(1.0));
        for (point, lists, rerank, words) in [
            (0.9, 0.95, Some(0.9501), "raise --max-lists for"),
            (0.95, 0.951, Some(0.99), "more lists cannot help, raise --rerank-errors"),
            (0.8, 0.95, Some(0.99), "and --rerank-errors where it has to pass 0.9500"),
            (0.99, 0.9905, Some(0.991), "neither"),
        ] {
            let text = Ceiling { queries: 200, point, lists, rerank }.words(errors);
            assert!(text.contains(words) && text.contains("every list with 1 errors: recall 0.9"), "{text}");
            assert!(text.contains("with 3 errors 0.9"), "{text}");
        }
        let counted =
            Ceiling { queries: 9, point: 0.9, lists: 0.9, rerank: Some(1.0) }.words(Some(Rerank::Count(20)));
        assert!(
            counted.contains("with 80 reranked 1.0000") && counted.contains("raise --rerank for"),
            "{counted}"
        );
        let exact = Ceiling { queries: 9, point: 0.9, lists: 1.0, rerank: None }.words(None);
        assert!(exact.contains("exact vectors") && !exact.contains("rerank"), "{exact}");
    }
}
