//! All vectors within a radius as they are found, in one index or in several as one.
use std::mem;

use spandrel_engine::{Answer, Duplicates, Neighbour, UnionAnswer, union_within};
use spandrel_index::Metric;

use super::ranging::Ranging;
use crate::ask::EndOfRange;
use crate::call::Call;
use crate::refusal::Refusal;

/// Bytes of a result that is held.
const HELD_BYTES: usize = size_of::<Neighbour>();
/// The same while those of several indexes are put together: as it was found, by its score, by its id, and as it is handed out.
const MERGED_BYTES: usize = 144;

/// Some of the vectors within a radius.
#[derive(Debug, Default)]
pub(crate) struct RangeFound {
    pub(crate) neighbours: Vec<Neighbour>,
    /// For each the number of its index, where several are searched as one.
    pub(crate) indexes: Vec<u32>,
}

/// A search within a radius on its way: in one index, or in several, one after the other.
pub(crate) struct Ranges {
    parts: Vec<Ranging>,
    /// The one that is searched.
    at: usize,
    /// Where several are searched as one.
    union: Option<RangeUnion>,
}

/// How what is found in several indexes is put together.
struct RangeUnion {
    names: Vec<String>,
    metric: Metric,
    duplicates: Duplicates,
    /// Where the number of results is bounded: what each index found is held to the end.
    held: Option<Held>,
    /// Vectors handed out.
    results: u64,
    unlike: u32,
    /// What all took and miss, once it was put together.
    whole: Option<Answer>,
}

/// How several indexes are searched as one.
pub(super) struct RangeTerms {
    pub(super) names: Vec<String>,
    pub(super) metric: Metric,
    pub(super) duplicates: Duplicates,
    pub(super) max_results: Option<usize>,
}

struct Held {
    max_results: usize,
    found: Vec<Vec<Neighbour>>,
}

impl Ranges {
    /// Of one index.
    pub(super) fn of_one(part: Ranging) -> Ranges {
        Ranges { parts: vec![part], at: 0, union: None }
    }

    /// Of several, one after the other.
    pub(super) fn of_several(parts: Vec<Ranging>, terms: RangeTerms) -> Ranges {
        let RangeTerms { names, metric, duplicates, max_results } = terms;
        let held = max_results.map(|max_results| Held { max_results, found: vec![Vec::new(); parts.len()] });
        let union = RangeUnion { names, metric, duplicates, held, results: 0, unlike: 0, whole: None };
        Ranges { parts, at: 0, union: Some(union) }
    }

    /// Bytes of the results that are held until the end, at most: the best of each index, where their number is bounded.
    pub(crate) fn held_bytes(&self) -> usize {
        let each = if self.union.is_some() { MERGED_BYTES } else { HELD_BYTES };
        self.parts.iter().map(Ranging::held_max).sum::<usize>().saturating_mul(each)
    }

    /// Number of the index that is searched, and the bytes of the numbers of lists that it holds to its end; none before its first part.
    pub(crate) fn lists(&self) -> (usize, usize) {
        (self.at, self.parts.get(self.at).map_or(0, Ranging::list_bytes))
    }

    /// Searches the next part: the vectors to be handed out; none once all parts were searched.
    pub(crate) async fn next(&mut self) -> Result<Option<RangeFound>, Refusal> {
        while let Some(part) = self.parts.get_mut(self.at) {
            if let Some(neighbours) = part.next().await? {
                return Ok(Some(self.found(neighbours)));
            }
            self.at += 1;
        }
        self.merged().await
    }

    /// What is handed out of what the index that is searched has found.
    fn found(&mut self, neighbours: Vec<Neighbour>) -> RangeFound {
        let Some(union) = &mut self.union else { return RangeFound { neighbours, indexes: Vec::new() } };
        if let Some(held) = &mut union.held {
            held.found[self.at].extend(neighbours);
            return RangeFound::default();
        }
        union.results += neighbours.len() as u64; // CAST: widening
        RangeFound { indexes: vec![self.at as u32; neighbours.len()], neighbours } // CAST: a few indexes
    }

    /// All that was held, put together; once.
    async fn merged(&mut self) -> Result<Option<RangeFound>, Refusal> {
        let Some(union) = &mut self.union else { return Ok(None) };
        let Some(Held { max_results, found }) = union.held.take() else { return Ok(None) };
        let answers = self.parts.iter().zip(found);
        let answers = answers.map(|(part, neighbours)| Answer { neighbours, ..part.answer().clone() });
        let (answers, metric, duplicates) = (answers.collect(), union.metric, union.duplicates);
        let merging =
            tokio::task::spawn_blocking(move || union_within(answers, metric, Some(max_results), duplicates));
        let united = merging.await.map_err(Refusal::broken("merging answers"))?;
        let UnionAnswer { mut answer, indexes, unlike, .. } = united;
        let neighbours = mem::take(&mut answer.neighbours);
        union.results = neighbours.len() as u64; // CAST: widening
        (union.unlike, union.whole) = (unlike, Some(answer));
        Ok(Some(RangeFound { neighbours, indexes }))
    }

    /// What is to be said at the end.
    pub(crate) fn end(&mut self, call: Call<'_>) -> Result<EndOfRange, Refusal> {
        let mut ends: Vec<EndOfRange> = self.parts.iter().map(|part| part.end(call)).collect();
        if let Some(union) = &mut self.union {
            return union.end(ends).ok_or_else(none_given);
        }
        ends.pop().ok_or_else(none_given)
    }
}

fn none_given() -> Refusal {
    Refusal::field("indexes", "none given")
}

impl RangeUnion {
    /// What is to be said of all indexes together.
    fn end(&mut self, ends: Vec<EndOfRange>) -> Option<EndOfRange> {
        let versions = self.names.iter().cloned().zip(ends.iter().map(|end| end.version.clone())).collect();
        let answers = ends.iter().map(|end| end.answer.clone()).collect();
        let matches = ends.iter().filter_map(|end| end.matches).reduce(|a, b| a + b);
        let vectors = ends.iter().map(|end| end.vectors).sum();
        let whole = self.whole.take();
        let answer =
            whole.unwrap_or_else(|| union_within(answers, self.metric, None, self.duplicates).answer);
        let first = ends.into_iter().next()?;
        Some(EndOfRange {
            results: self.results,
            unlike: self.unlike,
            answer,
            matches,
            versions,
            vectors,
            ..first
        })
    }
}
