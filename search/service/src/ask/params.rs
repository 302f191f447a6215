//! How to search: what is refused, and what load makes of it.
use spandrel_engine::{Answer, Limit, ParamsError, QueryPlan, Rerank, SearchParams, Stop};
use spandrel_index::Index;

use super::found::Lowered;
use crate::limits::Limits;
use crate::refusal::Refusal;

/// Refuses parameters that are over the server's limits, or that no index takes. To ask for more than there is asks for all.
pub(crate) fn check(params: &SearchParams, index: &Index, limits: &Limits) -> Result<(), Refusal> {
    let k_max = limits.k_max as usize; // CAST: widening
    if params.k > k_max {
        return Err(Refusal::limit("k", params.k, k_max));
    }
    let rerank = match params.rerank {
        Some(Rerank::Count(0)) => {
            return Err(Refusal::field("options.rerank", "rerank is 0, expected at least 1"));
        }
        Some(Rerank::Count(count)) => count,
        Some(Rerank::Errors(_)) | None => 0,
    };
    for (field, found, all, limit) in [
        ("options.max_lists", params.max_lists.unwrap_or_default(), index.lists().into(), limits.lists_max),
        ("options.rerank", rerank, index.vectors(), limits.rerank_max),
    ] {
        let found = u64::from(found).min(all);
        if found > limit.into() {
            return Err(Refusal::limit(field, found as usize, limit as usize)); // CAST: widening
        }
    }
    Ok(())
}

/// Most lists of a query that names no number, where the server has a say: a score of heads that alone decides would let it read all there
/// are.
pub(crate) fn lists_cap(params: &SearchParams, index: &Index, limits: &Limits) -> Option<u32> {
    let is_alone = params.recall.is_none() && params.epsilon.is_none() && params.max_lists.is_none();
    (params.min_head_score.is_some() && is_alone && index.lists() > limits.lists_max)
        .then_some(limits.lists_max)
}

/// Tells of answers that the server's own number of lists ended: their caller named none, and would take them for whole.
pub(crate) fn tell_cap(answers: &mut [Answer], cap: Option<u32>) {
    let Some(cap) = cap else { return };
    for answer in answers.iter_mut().filter(|answer| answer.work.lists >= cap && answer.limited_by.is_none())
    {
        answer.limited_by = Some(Limit::MaxLists);
        if let Some(explanation) = answer.explanation.as_mut().filter(|of| of.stop == Stop::Count) {
            explanation.stop = Stop::MaxLists;
        }
    }
}

/// What the server, under load, lowers a query's lists to; none if it asks for all of them.
///
/// # Errors
/// The parameters do not fit the index.
pub(crate) fn lowered(params: &SearchParams, index: &Index) -> Result<Option<Lowered>, ParamsError> {
    if params.effort >= 1.0 {
        return Ok(None);
    }
    let asked = QueryPlan::of(&SearchParams { effort: 1.0, ..params.clone() }, index)?;
    let expected = asked.promise().and_then(|promise| promise.expected);
    Ok(Some(Lowered { asked: asked.lists(), allowed: QueryPlan::of(params, index)?.lists(), expected }))
}
