//! Several indexes searched as one: whether they can be, and what is made of their answers.
//!
//! Each index is searched for the `k` nearest at the recall that is asked for. A neighbour of all indexes together is one of the `k`
//! nearest of its own, where no more are nearer: the union finds it as often as its own index does.
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use spandrel_filter::Schema;
use spandrel_index::format::VectorsOf;
use spandrel_index::{DType, Index, Metric, VectorsShape};
use spandrel_names::named;

use crate::StageTimes;
use crate::answer::{Answer, Limit, Neighbour};
use crate::collect::Key;
use crate::filter_plan::Filtered;
use crate::pruning::Promise;

/// What the same id in two indexes means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Duplicates {
    /// The same thing: an answer has it once, with the best of its scores, an exact one before an estimate.
    #[default]
    Best,
    /// Two things: an answer has both.
    Keep,
}

named! { Duplicates, "duplicates", Best => "best", Keep => "keep" }

/// Why indexes cannot be searched as one. They are numbered from 1.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UnionError {
    /// Distances of two metrics have no common order. Search them apart, and fuse the answers by rank.
    #[error(
        "index {number} compares by {found}, the first by {expected}: search them apart and fuse the answers"
    )]
    Metric {
        /// Number of the index, from 1.
        number: usize,
        /// Metric of that index.
        found: Metric,
        /// Metric of the first index.
        expected: Metric,
    },
    /// A query is no vector of both. Search them apart.
    #[error(
        "index {number} holds vectors of {found_dim} x {found}, the first of {expected_dim} x {expected}: search them apart and fuse \
         the answers"
    )]
    Vectors {
        /// Number of the index, from 1.
        number: usize,
        /// Elements of its vectors.
        found_dim: usize,
        /// Element type of that index.
        found: DType,
        /// Elements of the first one's vectors.
        expected_dim: usize,
        /// Element type of the first index.
        expected: DType,
    },
    /// A column is not in all of them. Leave out the queries of the column.
    #[error(
        "index {number} has no column {column}, which the first has; search without queries of the column"
    )]
    Column {
        /// Number of the index, from 1.
        number: usize,
        /// The column of the first.
        column: String,
    },
    /// A filter, or attributes of answers, are asked of indexes with other attributes.
    #[error(
        "index {number} has the attributes {found}, the first {expected}: build them with the same --attributes"
    )]
    Schema {
        /// Number of the index, from 1.
        number: usize,
        /// Names and types of its attributes.
        found: String,
        /// Those of the first.
        expected: String,
    },
}

/// Checks that indexes can be searched as one, comparing by these vectors; `attributes` says whether attributes are asked of.
///
/// # Errors
/// [`UnionError`] of the first index that differs from the first one.
pub fn check_union(
    indexes: &[Arc<Index>],
    compare_by: VectorsOf,
    attributes: bool,
) -> Result<(), UnionError> {
    let Some(first) = indexes.first() else { return Ok(()) };
    for (number, index) in (1..).zip(indexes).skip(1) {
        check_shapes(number, index.shape_of(VectorsOf::Main), first.shape_of(VectorsOf::Main))?;
        if compare_by == VectorsOf::Column
            && let Some(column) = first.column()
        {
            let is_same = index.column().is_some_and(|of| of.name == column.name);
            if !is_same {
                return Err(UnionError::Column { number, column: column.name.clone() });
            }
            check_shapes(number, index.shape_of(VectorsOf::Column), first.shape_of(VectorsOf::Column))?;
        }
        if attributes && index.schema() != first.schema() {
            let (found, expected) = (names(index.schema()), names(first.schema()));
            return Err(UnionError::Schema { number, found, expected });
        }
    }
    Ok(())
}

fn check_shapes(number: usize, found: VectorsShape, first: VectorsShape) -> Result<(), UnionError> {
    if (found.dim, found.dtype) != (first.dim, first.dtype) {
        return Err(UnionError::Vectors {
            number,
            found_dim: found.dim,
            found: found.dtype,
            expected_dim: first.dim,
            expected: first.dtype,
        });
    }
    if found.metric != first.metric {
        return Err(UnionError::Metric { number, found: found.metric, expected: first.metric });
    }
    Ok(())
}

/// Names and types, as a message shows them.
fn names(schema: &Schema) -> String {
    let all: Vec<String> = schema.attributes().iter().map(|of| format!("{}: {}", of.name, of.kind)).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

/// An answer of several indexes together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UnionAnswer {
    /// As if one index had given it.
    pub answer: Answer,
    /// For each of its neighbours the number of the index that it is of, from 0.
    pub indexes: Vec<u32>,
    /// For each of its neighbours its place in the answer of that index.
    pub places: Vec<u32>,
    /// Where the query is explained, the answer of each index without its neighbours: its explanation, what it took, and its times by stage.
    pub explained: Vec<Answer>,
    /// Neighbours left out since another index has the same id at another distance, where neither is an estimate: ids that mean other things in each index, as row
    /// numbers do, are taken for duplicates.
    pub unlike: u32,
}

/// Puts the answers of several indexes to one query together, given in the order of the indexes: by score, then id, then index.
///
/// Work is added up, and what is missing. The latency runs from the first that was begun to the last that was done. Of the promise the
/// least is left to expect, and nothing where one index promises nothing. A limit on bytes that cut one short cuts the union short, and a limit
/// on lists where fewer than `k` were found. Of filters the matches are added up; the plan is that of the index with the most of them.
pub fn union(parts: Vec<Answer>, metric: Metric, k: usize, duplicates: Duplicates) -> UnionAnswer {
    merged(parts, metric, k, duplicates).0
}

/// The same of all vectors within a radius, or of the best of them: [`Limit::MaxResults`] where there are more.
pub fn union_within(
    parts: Vec<Answer>,
    metric: Metric,
    max_results: Option<usize>,
    duplicates: Duplicates,
) -> UnionAnswer {
    let (mut united, found) = merged(parts, metric, max_results.unwrap_or(usize::MAX), duplicates);
    let is_cut = max_results.is_some_and(|max| found > max);
    united.answer.limited_by = united.answer.limited_by.or(is_cut.then_some(Limit::MaxResults));
    united
}

/// The `k` best, and how many there are.
fn merged(mut parts: Vec<Answer>, metric: Metric, k: usize, duplicates: Duplicates) -> (UnionAnswer, usize) {
    let score = |neighbour: &Neighbour| metric.score_of_distance(neighbour.distance);
    let mut found: Vec<(Key, u32, usize)> = Vec::new();
    for (index, part) in (0..).zip(&parts) {
        let keys = part.neighbours.iter().enumerate();
        found.extend(keys.map(|(at, near)| (Key::new(score(near), near.id), index, at)));
    }
    found.sort_unstable();
    let mut unlike = 0;
    if duplicates == Duplicates::Best {
        let is_estimated = |index: u32, at: usize| parts[index as usize].neighbours[at].estimated;
        let mut best = HashMap::new();
        for &(key, index, at) in &found {
            let candidate = (is_estimated(index, at), key, index, at);
            let kept = best.entry(key.id).or_insert(candidate);
            *kept = candidate.min(*kept);
        }
        found.retain(|&(key, index, at)| {
            let Some(&(estimated, of_best, of_index, of_at)) = best.get(&key.id) else { return false };
            let is_best = (of_index, of_at) == (index, at);
            unlike += u32::from(!is_best && !estimated && !is_estimated(index, at) && of_best != key);
            is_best
        });
    }
    let all = found.len();
    found.truncate(k);
    let neighbours: Vec<Neighbour> =
        found.iter().map(|&(_, index, at)| parts[index as usize].neighbours[at]).collect();
    let cells = found.iter().flat_map(|&(_, index, at)| {
        let part = &parts[index as usize];
        let width = part.cells.len() / part.neighbours.len().max(1);
        part.cells[at * width..(at + 1) * width].iter().cloned()
    });
    let mut answer = Answer { cells: cells.collect(), ..together(&parts) };
    let is_short = neighbours.len() < k;
    let limited = |limit| parts.iter().any(|part| part.limited_by == Some(limit));
    answer.limited_by = match () {
        () if limited(Limit::MaxBytes) => Some(Limit::MaxBytes),
        () if is_short && limited(Limit::MaxLists) => Some(Limit::MaxLists),
        () if limited(Limit::MaxResults) => Some(Limit::MaxResults),
        () => None,
    };
    answer.neighbours = neighbours;
    let explained = match parts.iter().all(|part| part.explanation.is_some()) {
        true => parts.iter_mut().map(without_neighbours).collect(),
        false => Vec::new(),
    };
    let united = UnionAnswer {
        answer,
        indexes: found.iter().map(|&(_, index, _)| index).collect(),
        places: found.iter().map(|&(_, _, at)| at as u32).collect(), // CAST: an answer has fewer than 2^32 neighbours
        explained,
        unlike,
    };
    (united, all)
}

fn without_neighbours(part: &mut Answer) -> Answer {
    Answer { neighbours: Vec::new(), cells: Vec::new(), ..std::mem::take(part) }
}

/// What does not depend on which neighbours are kept.
fn together(parts: &[Answer]) -> Answer {
    let mut answer = Answer::default();
    for part in parts {
        answer.work.add(&part.work);
        answer.missing.lists += part.missing.lists;
        answer.missing.pages += part.missing.pages;
    }
    answer.taken = parts.iter().filter_map(|part| part.taken).min();
    answer.latency_us = latency_us(parts, answer.taken);
    answer.stages = stages(parts);
    answer.filtered = filtered(parts);
    let promises: Option<Vec<Promise>> = parts.iter().map(|part| part.promise).collect();
    answer.promise = promises.and_then(|promises| {
        let target = promises.first()?.target;
        let expected: Option<Vec<f64>> = promises.iter().map(|promise| promise.expected).collect();
        let least = |expected: Vec<f64>| expected.into_iter().fold(1.0, f64::min);
        Some(Promise { target, expected: expected.map(least) })
    });
    answer
}

fn latency_us(parts: &[Answer], first: Option<Instant>) -> f32 {
    let after = |part: &Answer| {
        let waited = part.taken.zip(first).map_or(Duration::ZERO, |(taken, first)| taken - first);
        waited.as_secs_f32() * 1e6 + part.latency_us
    };
    parts.iter().map(after).fold(0.0, f32::max)
}

/// Times of all, where all have them.
fn stages(parts: &[Answer]) -> Option<StageTimes> {
    let all: Option<Vec<StageTimes>> = parts.iter().map(|part| part.stages).collect();
    all.map(|all| {
        let mut sum = StageTimes::default();
        all.iter().for_each(|part| sum.add(part));
        sum
    })
}

fn filtered(parts: &[Answer]) -> Option<Filtered> {
    let all: Option<Vec<Filtered>> = parts.iter().map(|part| part.filtered).collect();
    let all = all?;
    let most = all.iter().max_by_key(|of| of.matches)?;
    Some(Filtered {
        matches: all.iter().map(|of| of.matches).sum(),
        plan: most.plan,
        widened: all.iter().any(|of| of.widened),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{Missing, Work};
    use crate::explain::Explanation;
    use crate::filter_plan::FilterPlan;

    fn answer(found: &[(u64, f32)]) -> Answer {
        let neighbours = found.iter().map(|&(id, distance)| Neighbour { id, distance, estimated: false });
        Answer { neighbours: neighbours.collect(), ..Answer::default() }
    }

    fn ids(union: &UnionAnswer) -> Vec<(u64, u32)> {
        union.answer.neighbours.iter().map(|near| near.id).zip(union.indexes.iter().copied()).collect()
    }

    #[test]
    fn the_best_of_all_come_first_and_ties_go_by_id() {
        let parts = || vec![answer(&[(5, 1.0), (9, 2.0)]), answer(&[(3, 1.0), (9, 2.0)]), answer(&[])];
        let best = union(parts(), Metric::L2, 4, Duplicates::Best);
        assert_eq!((ids(&best), best.unlike), (vec![(3, 1), (5, 0), (9, 0)], 0));
        let keep = union(parts(), Metric::L2, 4, Duplicates::Keep);
        assert_eq!(ids(&keep), [(3, 1), (5, 0), (9, 0), (9, 1)]);
        // Inner products are nearer where they are larger.
        let product = union(parts(), Metric::InnerProduct, 2, Duplicates::Best);
        assert_eq!(ids(&product), [(9, 0), (3, 1)]);
        let other = union(vec![answer(&[(9, 2.0)]), answer(&[(9, 1.0)])], Metric::L2, 4, Duplicates::Best);
        assert_eq!((ids(&other), other.unlike), (vec![(9, 1)], 1));
    }

    #[test]
    fn within_a_radius_all_are_kept_or_the_best_and_that_is_said() {
        let parts = || vec![answer(&[(5, 1.0), (9, 2.0)]), answer(&[(3, 1.0), (9, 3.0)])];
        let all = union_within(parts(), Metric::L2, None, Duplicates::Best);
        assert_eq!((ids(&all), all.answer.limited_by), (vec![(3, 1), (5, 0), (9, 0)], None));
        let just = union_within(parts(), Metric::L2, Some(3), Duplicates::Best);
        assert_eq!((just.answer.neighbours.len(), just.answer.limited_by), (3, None));
        let keep = union_within(parts(), Metric::L2, Some(3), Duplicates::Keep);
        assert_eq!(
            (ids(&keep), keep.answer.limited_by),
            (vec![(3, 1), (5, 0), (9, 0)], Some(Limit::MaxResults))
        );
        assert_eq!(keep.places, [0, 0, 1]);
    }

    #[test]
    fn each_index_keeps_its_own_explanation() {
        let part = |lists_planned| Answer {
            explanation: Some(Box::new(Explanation { lists_planned, ..Explanation::default() })),
            ..answer(&[(u64::from(lists_planned), 1.0)])
        };
        let both = union(vec![part(3), part(4)], Metric::L2, 2, Duplicates::Best);
        let planned: Vec<u32> =
            both.explained.iter().map(|of| of.explanation.as_ref().unwrap().lists_planned).collect();
        assert_eq!((planned, ids(&both)), (vec![3, 4], vec![(3, 0), (4, 1)]));
        assert!(
            both.explained.iter().all(|of| of.neighbours.is_empty()) && both.answer.explanation.is_none()
        );
        let one = union(vec![part(3), answer(&[])], Metric::L2, 2, Duplicates::Best);
        assert!(one.explained.is_empty());
    }

    #[test]
    fn estimates_of_one_id_are_not_taken_for_two_things() {
        let estimated = |found| {
            let mut answer = answer(found);
            answer.neighbours.iter_mut().for_each(|near| near.estimated = true);
            answer
        };
        let parts = vec![estimated(&[(9, 1.0), (7, 1.5)]), answer(&[(9, 2.0)]), estimated(&[(7, 1.25)])];
        let best = union(parts, Metric::L2, 4, Duplicates::Best);
        assert_eq!((ids(&best), best.unlike), (vec![(7, 2), (9, 1)], 0));
        assert!(!best.answer.neighbours[1].estimated);
    }

    #[test]
    fn what_was_spent_and_what_is_missing_is_told_of_all() {
        let promise = |expected| Some(Promise { target: 0.9, expected });
        let work = |lists| Work { lists, ..Work::default() };
        let a = Answer { work: work(3), promise: promise(Some(0.95)), ..answer(&[(1, 1.0)]) };
        let missing = Missing { lists: 1, pages: 2 };
        let b = Answer { work: work(4), missing, promise: promise(Some(0.91)), ..answer(&[(2, 2.0)]) };
        let both = union(vec![a.clone(), b.clone()], Metric::L2, 2, Duplicates::Best).answer;
        assert_eq!((both.work.lists, both.missing, both.promise), (7, missing, promise(Some(0.91))));
        let none = Answer { promise: promise(None), ..b.clone() };
        let unknown = union(vec![a.clone(), none], Metric::L2, 2, Duplicates::Best).answer;
        assert_eq!(unknown.promise, promise(None));
        // A limit on lists cuts short where fewer than k are found, one on bytes in any case.
        let limited = |limit, k| {
            let b = Answer { limited_by: Some(limit), ..b.clone() };
            union(vec![a.clone(), b], Metric::L2, k, Duplicates::Best).answer.limited_by
        };
        assert_eq!(limited(Limit::MaxLists, 2), None);
        assert_eq!(limited(Limit::MaxLists, 3), Some(Limit::MaxLists));
        assert_eq!(limited(Limit::MaxBytes, 2), Some(Limit::MaxBytes));
    }

    #[test]
    fn matches_of_filters_are_added_up() {
        let of = |matches, plan, widened| Answer {
            filtered: Some(Filtered { matches, plan, widened }),
            ..Answer::default()
        };
        let parts = vec![of(3, FilterPlan::Exact, true), of(40, FilterPlan::Lists, false)];
        let both = union(parts, Metric::L2, 2, Duplicates::Best).answer;
        assert_eq!(both.filtered, Some(Filtered { matches: 43, plan: FilterPlan::Lists, widened: true }));
    }
}
