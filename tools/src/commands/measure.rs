//! Measuring operating points of an index.
use std::sync::Arc;

use anyhow::Context as _;
use spandrel_datasets::{Rows, Truth};
use spandrel_engine::{Answer, Distances, QueryPlan, QueryRows, Rerank, SearchParams, recall};
use spandrel_index::format::VectorsOf;
use spandrel_index::{Index, Metric, VectorSource as _};

use super::attention::Attention;
use super::filter::{Compiler, Searching};
use super::running::Setup;
use super::truth_check::{check_count, nearer_than_truth, note_nearer};
use crate::figures::{Params, Point, PointParams};
use crate::{Advised, Session};

/// What to measure of the nearest.
#[derive(Debug, Clone)]
pub(super) struct Sweep {
    pub(super) setup: Setup,
    pub(super) k: usize,
    /// Pruning, one entry for each point.
    pub(super) params: Vec<PointParams>,
    pub(super) distances: Distances,
    /// Whether the time of queries is taken stage by stage.
    pub(super) stages: bool,
}

/// Queries and their true neighbours.
#[derive(Clone, Copy)]
pub(super) struct Examples<'a> {
    pub(super) queries: &'a Rows,
    /// Their vectors in the column, where candidates are compared by it; the truth is then of the column.
    pub(super) column: Option<&'a Rows>,
    pub(super) truth: &'a Truth,
    /// Filters of the queries, by which the truth was computed.
    pub(super) filters: Option<&'a Compiler<'a>>,
    /// What all vectors weigh, where the share that answers hold is asked for.
    pub(super) attention: Option<&'a Attention>,
}

/// Values to be measured; an empty list leaves a setting to the index.
#[derive(Debug, Clone, Default)]
pub(super) struct Pruning {
    pub(super) recall: Vec<f64>,
    pub(super) epsilon: Vec<f32>,
    pub(super) max_lists: Vec<u32>,
    pub(super) min_head_score: Vec<f32>,
    pub(super) rerank: Vec<u32>,
    pub(super) rerank_errors: Vec<f32>,
}

/// Every combination of the values; one point that leaves all to the index where there are none.
pub(super) fn cross(values: &Pruning) -> Vec<PointParams> {
    fn or_none<T: Copy>(values: &[T]) -> Vec<Option<T>> {
        if values.is_empty() { vec![None] } else { values.iter().copied().map(Some).collect() }
    }
    let mut params = vec![PointParams::default()];
    params = with_each(&params, &or_none(&values.recall), |of, recall| PointParams { recall, ..of });
    params = with_each(&params, &or_none(&values.epsilon), |of, epsilon| PointParams { epsilon, ..of });
    params = with_each(&params, &or_none(&values.max_lists), |of, max_lists| PointParams { max_lists, ..of });
    let scores = or_none(&values.min_head_score);
    params = with_each(&params, &scores, |of, min_head_score| PointParams { min_head_score, ..of });
    params = with_each(&params, &or_none(&values.rerank), |of, rerank| PointParams { rerank, ..of });
    let errors = or_none(&values.rerank_errors);
    with_each(&params, &errors, |of, rerank_errors| PointParams { rerank_errors, ..of })
}

/// Each of the points with each of the values.
fn with_each<T: Copy>(
    points: &[PointParams],
    values: &[T],
    set: impl Fn(PointParams, T) -> PointParams,
) -> Vec<PointParams> {
    points
        .iter()
        .flat_map(|&point| values.iter().map(move |&value| (point, value)))
        .map(|(p, v)| set(p, v))
        .collect()
}

/// Refuses a truth that cannot be that of the queries, or is too narrow.
pub(super) fn check_truth(truth: &Truth, queries: u64, k: usize, is_filtered: bool) -> anyhow::Result<()> {
    match is_filtered {
        true => truth.validate_filtered(queries, u64::MAX)?,
        false => truth.validate(queries, u64::MAX)?,
    }
    if truth.k < k {
        let message =
            format!("recall at {k} asked for, the truth holds the {} nearest of each query", truth.k);
        let help = "ask for fewer with --k, or compute more with `spandrel data truth`";
        return Err(Advised::new(message, help).into());
    }
    Ok(())
}

/// Measures every point, of examples that [`check_examples`](super::truth_held::check_examples) takes.
pub(super) fn measure<'a>(
    index: &Arc<Index>,
    examples: Examples<'a>,
    sweep: &Sweep,
    session: &Session,
) -> anyhow::Result<Vec<Point>> {
    let Examples { queries, column, truth, filters, attention } = examples;
    let metric = index.shape_of(examples.compared()).metric;
    let known = spandrel_engine::Truth {
        ids: &truth.ids,
        distances: truth.distances.as_deref().unwrap_or_default(),
        columns: truth.k,
    };
    if let Some(filters) = filters {
        filters.compile_all(sweep.setup.engine.threads, session)?;
    }
    let compile_us = filters.map(Compiler::compile_us).transpose()?;
    sweep.setup.points(index, &sweep.params, session, |running, params| {
        let search = SearchParams {
            compare_by: examples.compared(),
            distances: sweep.distances,
            times: sweep.stages,
            ..params.search(sweep.k)
        };
        let plan = QueryPlan::of(&search, index)?;
        let callers = sweep.setup.engine.threads * running.in_flight;
        let searching = Searching { engine: running.engine(), filters, callers, session };
        let run = running.run(&params.to_string(), queries.len() as usize, |count| {
            // CAST: in memory
            let rows = |of: &'a Rows| &of.bytes()[..count * of.row_bytes()];
            searching.answers(0, QueryRows { main: rows(queries), column: column.map(rows) }, &search)
        })?;
        let recall = match filters {
            None => recall(metric, &run.answers, known, sweep.k)?,
            Some(_) => filtered_recall(metric, (0..).zip(&run.answers), truth, sweep.k)?,
        };
        let attention_mass = attention.map(|attention| attention.mass(&run.answers));
        let nearer = nearer_than_truth(metric, (0..).zip(&run.answers), truth, sweep.k);
        note_nearer(nearer, session);
        let point = Point { k: Some(sweep.k as u64), recall, ..running.point(run) }; // CAST: widening
        // Each thread compiles the filters of the queries that it searches for.
        let uncached = |us: f64| (point.qps.recip() + us / 1e6 / sweep.setup.engine.threads as f64).recip(); // CAST: exact
        Ok(Point {
            compile_us,
            uncached_qps: compile_us.map(uncached),
            distances: Some(sweep.distances.to_string()),
            scanned_share: point.vectors_scanned.map(|scanned| scanned / index.vectors() as f64), // CAST: exact to 2^53
            attention_mass,
            params: Params::Ours(PointParams {
                recall: search.recall,
                epsilon: plan.epsilon(),
                max_lists: Some(plan.lists()),
                min_head_score: search.min_head_score,
                rerank: if let Some(Rerank::Count(count)) = plan.rerank() { Some(count) } else { None },
                rerank_errors: if let Some(Rerank::Errors(errors)) = plan.rerank() {
                    Some(errors)
                } else {
                    None
                },
            }),
            ..point
        })
    })
}

/// The mean recall of queries that may have fewer than `k` neighbours: the share found of those that there are, 1 where there
/// is none. Answers come with the numbers of their queries.
pub(super) fn filtered_recall<'a>(
    metric: Metric,
    answers: impl Iterator<Item = (usize, &'a Answer)>,
    truth: &Truth,
    k: usize,
) -> anyhow::Result<f64> {
    let (mut sum, mut count) = (0.0, 0_u32);
    for (query, answer) in answers {
        count += 1;
        if let Some(filtered) = answer.filtered {
            check_count(truth, query, filtered.matches)?;
        }
        let ids = truth.ids_of(query);
        let distances = truth.distances.as_deref().unwrap_or_default();
        let known = spandrel_engine::Truth {
            ids,
            distances: distances.get(query * truth.k..query * truth.k + ids.len()).unwrap_or_default(),
            columns: ids.len(),
        };
        sum += match k.min(ids.len()) {
            0 => 1.0,
            k => recall(metric, std::slice::from_ref(answer), known, k)?,
        };
    }
    Ok(sum / f64::from(count.max(1)))
}

impl Examples<'_> {
    /// By which vectors candidates are compared.
    pub(super) fn compared(&self) -> VectorsOf {
        if self.column.is_some() { VectorsOf::Column } else { VectorsOf::Main }
    }
}

/// The file that `--json` asks for.
pub(super) fn json(points: &[Point]) -> anyhow::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(points).context("writing operating points as JSON")?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_crossed() {
        let none = Pruning::default();
        assert_eq!(cross(&none), [PointParams::default()]);
        let lists = Pruning { max_lists: vec![8, 16], ..none.clone() };
        let point = |max_lists| PointParams { max_lists: Some(max_lists), ..PointParams::default() };
        assert_eq!(cross(&lists), [point(8), point(16)]);
        let all = Pruning { epsilon: vec![0.5, 1.0], rerank: vec![10, 20, 30], ..lists };
        assert_eq!(cross(&all).len(), 12);
    }

    #[test]
    fn truth_must_fit() {
        let truth =
            |queries: usize, k: usize| Truth { queries, k, ids: vec![0; queries * k], distances: None };
        assert!(check_truth(&truth(2, 3), 2, 3, false).is_ok());
        assert!(check_truth(&truth(3, 3), 2, 3, false).is_err());
        assert!(check_truth(&truth(2, 2), 2, 3, false).unwrap_err().to_string().contains("recall at 3"));
    }
}
