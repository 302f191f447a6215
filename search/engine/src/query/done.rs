//! The last state of a query: its answer is put together.
use spandrel_index::Index;
use spandrel_index::order::PIECE;

use crate::answer::{Answer, Limit, Neighbour};
use crate::collect::{Collect, Found, Key};
use crate::job::Running;
use crate::plan::CollectPlan;
use crate::progress::Progress;
use crate::pruning::Promise;
use crate::terms::End;

/// What a query found, and what it took; why not, where the caller gave up while it was put in order.
pub(super) fn answer(
    running: &Running,
    index: &Index,
    found: &mut dyn Collect,
    progress: &mut Progress,
) -> Result<Answer, End> {
    let plan = &running.job.plan;
    let Found { keys, estimated } = found.finish();
    let (of_tokens, keys) = match plan.collect {
        CollectPlan::Tokens { .. } => (documents_of(running, index, keys), &[][..]),
        _ => (Vec::new(), keys),
    };
    let mut neighbours = of_tokens;
    neighbours.reserve_exact(keys.len());
    for (number, keys) in keys.chunks(PIECE).enumerate() {
        if number > 0 && !progress.go_on(running.job.terms()) {
            break;
        }
        neighbours.extend(keys.iter().map(|key| Neighbour {
            id: key.id,
            distance: key.distance(index.shape_of(plan.compare_by).metric),
            estimated: estimated.binary_search(&key.id).is_ok(),
        }));
    }
    if let Some(end) = found.end().or(progress.end) {
        return Err(end);
    }
    // Lists that are searched in any case do not count towards the limit.
    let shared = progress.work.lists.saturating_sub(progress.chosen);
    let all = plan.probe.together.map_or(index.found_lists(), |lists| lists.saturating_sub(shared));
    let is_limited =
        neighbours.len() < plan.best() && plan.stop.lists_max < all && progress.chosen >= plan.stop.lists_max;
    let is_below = neighbours.len() < plan.best() && progress.is_below;
    let limited_by = progress
        .limited_by
        .or(is_limited.then_some(Limit::MaxLists))
        .or(is_below.then_some(Limit::MinHeadScore));
    // What was left out may be what the curve counts on, and where matches lie far from the query it says nothing.
    let is_unknown = progress.is_uncompared || progress.missing.parts() > 0 || progress.is_sparse;
    let expected = |promise: Promise| match limited_by {
        _ if is_unknown => None,
        // Lists that are searched in any case may be among those left out.
        Some(Limit::MaxBytes) if shared > 0 => None,
        Some(Limit::MaxBytes) => plan.expected_of(progress.chosen.saturating_sub(progress.over_bytes), index),
        _ => promise.expected,
    };
    let promise = plan.promise.map(|promise| Promise { expected: expected(promise), ..promise });
    progress.clock.lap(|times| &mut times.rerank_us);
    Ok(Answer {
        cells: Vec::new(),
        neighbours,
        work: progress.work,
        taken: Some(running.started),
        latency_us: running.started.elapsed().as_nanos() as f32 / 1000.0, // CAST: rounds
        stages: progress.clock.times(),
        explanation: progress.explanation.take(),
        missing: progress.missing,
        limited_by,
        filtered: progress.filtered,
        promise,
    })
}

/// The vectors that a token has kept, with the number of the document of each and the inner product that is estimated: by document, the largest
/// first. Keys are estimates and positions.
fn documents_of(running: &Running, index: &Index, keys: &[Key]) -> Vec<Neighbour> {
    let Some(documents) = index.documents() else { unreachable!("tokens are those of documents") };
    let of = |key: &Key| (documents.of_positions()[key.id as usize], *key); // CAST: usize is 64 bits
    let mut found: Vec<(u32, Key)> = keys.iter().map(of).collect();
    found.sort_unstable();
    // Scores are estimates, times and plus a constant of the query that takes its length to find.
    let score = |distance: f32| index.space().score_of_distance(distance, index.dtype(), running.row());
    let far = found.iter().map(|(_, key)| key.score()).fold(1.0, f32::max);
    let (least, slope) =
        (f64::from(score(0.0)), (f64::from(score(far)) - f64::from(score(0.0))) / f64::from(far));
    let neighbour = |(document, key): (u32, Key)| {
        let score = (least + slope * f64::from(key.score())) as f32; // CAST: rounds
        Neighbour { id: document.into(), distance: index.metric().distance_of_score(score), estimated: true }
    };
    found.into_iter().map(neighbour).collect()
}
