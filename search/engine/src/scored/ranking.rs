//! Candidates put in the order of a scorer.
use std::collections::HashSet;

use bytes::Bytes;

use super::error::{ScoreError, ScoreFailure};
use super::params::ScoredParams;
use super::scorer::{ScoredItem, Scorer};
use crate::answer::Answer;
use crate::engine::{Engine, QueryRows, Request};
use crate::error::SearchError;
use crate::params::SearchParams;

/// What a scorer found best.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScoredAnswer {
    /// The best, highest score first, ties by id: `k`, or all that were scored and may be answers.
    pub best: Vec<ScoredItem>,
    /// Items scored, what was known before among them: at most the budget.
    pub scored: usize,
    /// The search for candidates, nearest first: up to the budget.
    pub candidates: Answer,
}

impl Engine {
    /// Searches for what a scorer finds best: the nearest vectors by the index's own search are candidates, and they are scored in their
    /// order until the budget is spent. `params` says how to search; its `k` is not used, for the budget is the number of candidates. Blocks until it is
    /// done; the scorer runs on this thread.
    ///
    /// # Errors
    /// [`ScoreFailure`], with what was scored. Parameters are checked before anything is searched or scored.
    pub fn search_scored(
        &self,
        query: QueryRows<'_>,
        params: &SearchParams,
        scored: &ScoredParams,
        scorer: &mut dyn Scorer,
    ) -> Result<ScoredAnswer, ScoreFailure> {
        let failure = |error| ScoreFailure { error, scored: scored.known.clone() };
        scored.check().map_err(failure)?;
        scored.check_time(scored.known.len()).map_err(failure)?;
        // No more than there are, however many are allowed.
        let vectors = usize::try_from(self.index().vectors()).unwrap_or(usize::MAX);
        let request = Request {
            queries: Bytes::copy_from_slice(query.main),
            column_queries: query.column.map(Bytes::copy_from_slice),
            params: SearchParams { k: scored.budget.min(vectors).max(1), ..params.clone() },
            deadline: scored.deadline,
            stop: scored.stop.clone(),
        };
        let found = self.candidates(request).map_err(|error| {
            let scored = scored.known.len();
            failure(match error {
                SearchError::Deadline { .. } => ScoreError::Deadline { scored },
                SearchError::Stopped { .. } => ScoreError::Stopped { scored },
                other => ScoreError::Search(other),
            })
        })?;
        ranked(found, scored, params.filter.is_some(), scorer)
    }

    fn candidates(&self, request: Request) -> Result<Answer, SearchError> {
        match self.check(&request.queries)? {
            1 => Ok(self.search_request(request, Vec::new())?.pop().unwrap_or_default()),
            found => Err(SearchError::ScoredQueries { found }),
        }
    }
}

/// Puts the candidates of an answer in the order of a scorer: of one index, or of several searched as one
/// ([`UnionAnswer::answer`](crate::UnionAnswer::answer)), where an id that two of them have is one item. Candidates that were searched with a
/// filter need [`ScoredParams::is_filtered`], where items are known.
///
/// # Errors
/// [`ScoreFailure`], with what was scored.
pub fn score_answer(
    candidates: Answer,
    params: &ScoredParams,
    scorer: &mut dyn Scorer,
) -> Result<ScoredAnswer, ScoreFailure> {
    ranked(candidates, params, params.is_filtered, scorer)
}

fn ranked(
    candidates: Answer,
    params: &ScoredParams,
    is_filtered: bool,
    scorer: &mut dyn Scorer,
) -> Result<ScoredAnswer, ScoreFailure> {
    let mut scored = params.known.clone();
    match ask(&candidates, params, scorer, &mut scored) {
        Err(error) => Err(ScoreFailure { error, scored }),
        Ok(()) => {
            let count = scored.len();
            if is_filtered {
                let matches: HashSet<u64> = candidates.neighbours.iter().map(|near| near.id).collect();
                scored.retain(|item| matches.contains(&item.id));
            }
            scored.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
            scored.truncate(params.k);
            Ok(ScoredAnswer { best: scored, scored: count, candidates })
        }
    }
}

/// Asks for the scores of candidates, as far as the budget goes, and appends them.
fn ask(
    candidates: &Answer,
    params: &ScoredParams,
    scorer: &mut dyn Scorer,
    scored: &mut Vec<ScoredItem>,
) -> Result<(), ScoreError> {
    params.check()?;
    let mut seen: HashSet<u64> = scored.iter().map(|item| item.id).collect();
    let unknown = candidates.neighbours.iter().map(|near| near.id).filter(|&id| seen.insert(id));
    let ids: Vec<u64> = unknown.take(params.budget - scored.len()).collect();
    for batch in ids.chunks(params.batch) {
        params.check_time(scored.len())?;
        let scores = scorer.score(batch).map_err(ScoreError::Scorer)?;
        if scores.len() != batch.len() {
            return Err(ScoreError::Count { found: scores.len(), expected: batch.len() });
        }
        let items = batch.iter().zip(&scores).map(|(&id, &score)| ScoredItem { id, score });
        if let Some(ScoredItem { id, score }) = items.clone().find(|item| !item.score.is_finite()) {
            return Err(ScoreError::NotFinite { id, score });
        }
        scored.extend(items);
    }
    Ok(())
}
