//! Searches whose answers a scorer decides.
use std::time::Duration;

use spandrel_index::Matches;

use super::*;

/// 600 vectors with ids that are not their positions, and a query.
fn searched() -> (Made, Engine, Vec<u8>) {
    let made = made(TestIndex { copies: 1, ..TestIndex::random(Metric::L2, DType::U8, 8, 600) });
    let (engine, query) = (engine(&made), random_rows(DType::U8, 8, 1, 9));
    (made, engine, query)
}

/// A score that has nothing to do with distances.
fn score_of(id: u64) -> f32 {
    (id * 7919 % 1009) as f32
}

/// What a search of all lists finds, nearest first.
fn nearest(made: &Made, engine: &Engine, query: &[u8], params: &SearchParams) -> Vec<u64> {
    let params = SearchParams { max_lists: Some(made.index.lists()), ..params.clone() };
    engine.search(query, &params).unwrap()[0].neighbours.iter().map(|near| near.id).collect()
}

fn best_of(ids: impl Iterator<Item = u64>, k: usize) -> Vec<ScoredItem> {
    let mut items: Vec<ScoredItem> = ids.map(|id| ScoredItem { id, score: score_of(id) }).collect();
    items.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
    items.truncate(k);
    items
}

#[test]
fn the_best_by_score_of_the_nearest_are_found_within_the_budget() {
    let (made, engine, query) = searched();
    let all = all_lists(&made, 1);
    let near = nearest(&made, &engine, &query, &SearchParams::new(50));
    let mut batches: Vec<Vec<u64>> = Vec::new();
    let params = ScoredParams { batch: 16, ..ScoredParams::new(5, 50) };
    let mut scorer = |ids: &[u64]| {
        batches.push(ids.to_vec());
        Ok::<_, String>(ids.iter().map(|&id| score_of(id)).collect())
    };
    let answer = engine.search_scored((&query[..]).into(), &all, &params, &mut scorer).unwrap();
    assert_eq!((answer.scored, answer.best), (50, best_of(near.iter().copied(), 5)));
    assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [16, 16, 16, 2]);
    assert_eq!(batches.concat(), near);
    // What is known counts, is not scored again, and may be an answer wherever it lies.
    let far = nearest(&made, &engine, &query, &SearchParams::new(600))[599];
    let known: Vec<ScoredItem> = [near[3], far]
        .map(|id| ScoredItem { id, score: if id == far { 1e6 } else { score_of(id) } })
        .to_vec();
    let params = ScoredParams { known, ..ScoredParams::new(50, 50) };
    let mut asked = Vec::new();
    let mut scorer = |ids: &[u64]| {
        asked.extend_from_slice(ids);
        Ok::<_, String>(ids.iter().map(|&id| score_of(id)).collect())
    };
    let answer = engine.search_scored((&query[..]).into(), &all, &params, &mut scorer).unwrap();
    let expected: Vec<u64> = near.iter().copied().filter(|&id| id != near[3]).take(48).collect();
    assert_eq!((answer.scored, asked), (50, expected));
    assert_eq!(answer.best[0], ScoredItem { id: far, score: 1e6 });
    assert_eq!(answer.best.len(), 50);
}

#[test]
fn a_budget_beyond_all_vectors_scores_each_once() {
    let (made, engine, query) = searched();
    let scored = ScoredParams::new(7, usize::MAX);
    let mut scorer = |ids: &[u64]| Ok::<_, String>(ids.iter().map(|&id| score_of(id)).collect());
    let answer =
        engine.search_scored((&query[..]).into(), &all_lists(&made, 1), &scored, &mut scorer).unwrap();
    assert_eq!((answer.scored, answer.best), (600, best_of(made.input.ids.iter().copied(), 7)));
}

#[test]
fn a_filter_holds_for_what_is_known_too() {
    let (made, engine, query) = searched();
    let matches = Matches::of(&made.index, |at| at.position() % 3 == 0);
    let filter = Some(Arc::new(matches));
    let params = SearchParams { filter, ..all_lists(&made, 1) };
    let matching = nearest(&made, &engine, &query, &SearchParams { k: 600, ..params.clone() });
    assert!(matching.len() < 300, "{}", matching.len());
    let all = nearest(&made, &engine, &query, &SearchParams::new(600));
    let other = all.iter().copied().find(|id| !matching.contains(id)).unwrap();
    let known = [matching[7], other].map(|id| ScoredItem { id, score: 2e6 }).to_vec();
    let scored = ScoredParams { known, ..ScoredParams::new(600, 600) };
    let mut scorer = |ids: &[u64]| Ok::<_, String>(ids.iter().map(|&id| score_of(id)).collect());
    let answer = engine.search_scored((&query[..]).into(), &params, &scored, &mut scorer).unwrap();
    let mut found: Vec<u64> = answer.best.iter().map(|item| item.id).collect();
    assert_eq!(found[0], matching[7]);
    found.sort_unstable();
    let mut expected = matching;
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn a_scorer_that_fails_loses_nothing() {
    let (made, engine, query) = searched();
    let all = all_lists(&made, 1);
    let near = nearest(&made, &engine, &query, &SearchParams::new(50));
    let params = ScoredParams { batch: 20, ..ScoredParams::new(5, 50) };
    let right = |ids: &[u64]| ids.iter().map(|&id| score_of(id)).collect::<Vec<f32>>();
    type Wrong = fn(Vec<f32>) -> Result<Vec<f32>, String>;
    let wrong: [(Wrong, &str); 5] = [
        (|_| Err("no model".to_owned()), "the scorer failed"),
        (|scores| Ok(scores[1..].to_vec()), "the scorer gave 19 scores for 20 items"),
        (|scores| Ok([&scores[..], &[1.0]].concat()), "the scorer gave 21 scores for 20 items"),
        (|scores| Ok([&scores[1..], &[f32::NAN]].concat()), "is NaN, expected a finite number"),
        (|scores| Ok([&scores[1..], &[f32::INFINITY]].concat()), "is inf, expected a finite number"),
    ];
    for (wrong, says) in wrong {
        let mut calls = 0;
        let mut scorer = |ids: &[u64]| {
            calls += 1;
            if calls == 2 { wrong(right(ids)) } else { Ok(right(ids)) }
        };
        let failed = engine.search_scored((&query[..]).into(), &all, &params, &mut scorer).unwrap_err();
        assert!(failed.to_string().contains(says), "{failed}");
        let source = std::error::Error::source(&failed).map(ToString::to_string);
        assert_eq!(source, (says == "the scorer failed").then(|| "no model".to_owned()));
        assert_eq!(failed.scored.iter().map(|item| item.id).collect::<Vec<_>>(), near[..20]);
        // Given back, it is not scored again.
        let params = ScoredParams { known: failed.scored, ..params.clone() };
        let mut asked = Vec::new();
        let mut scorer = |ids: &[u64]| {
            asked.extend_from_slice(ids);
            Ok::<_, String>(right(ids))
        };
        let answer = engine.search_scored((&query[..]).into(), &all, &params, &mut scorer).unwrap();
        assert_eq!((answer.scored, &asked[..]), (50, &near[20..]));
        assert_eq!(answer.best, best_of(near.iter().copied(), 5));
    }
}

#[test]
fn deadlines_and_stopping_end_it_between_batches() {
    let (made, engine, query) = searched();
    let all = all_lists(&made, 1);
    let stop = Arc::new(AtomicBool::new(false));
    let params = ScoredParams { batch: 10, stop: Some(Arc::clone(&stop)), ..ScoredParams::new(5, 50) };
    let mut scorer = |ids: &[u64]| {
        stop.store(ids.len() == 10, Ordering::Relaxed);
        Ok::<_, String>(vec![0.0; ids.len()])
    };
    let stopped = engine.search_scored((&query[..]).into(), &all, &params, &mut scorer).unwrap_err();
    assert!(matches!(stopped.error, ScoreError::Stopped { scored: 10 }), "{stopped}");
    assert_eq!(stopped.scored.len(), 10);
    // A deadline that has passed once the first batch is scored.
    let deadline = Instant::now() + Duration::from_secs(3600);
    let found = engine.search(&query, &SearchParams { k: 50, ..all.clone() }).unwrap().remove(0);
    let late = ScoredParams { deadline: Some(deadline), batch: 10, ..ScoredParams::new(5, 50) };
    assert_eq!(score_answer(found.clone(), &late, &mut scorer).unwrap().scored, 50);
    let late = ScoredParams { deadline: Some(Instant::now()), ..late };
    let error = score_answer(found, &late, &mut scorer).unwrap_err().error;
    assert!(matches!(error, ScoreError::Deadline { scored: 0 }), "{error}");
    let error = engine.search_scored((&query[..]).into(), &all, &late, &mut scorer).unwrap_err().error;
    assert!(matches!(error, ScoreError::Deadline { scored: 0 }), "{error}");
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_scored() {
    let (made, engine, query) = searched();
    let all = all_lists(&made, 1);
    let mut scorer = |_: &[u64]| -> Result<Vec<f32>, String> { panic!("nothing is to be scored") };
    let item = |id, score| ScoredItem { id, score };
    let of = |k, budget, known: &[ScoredItem]| ScoredParams {
        known: known.to_vec(),
        ..ScoredParams::new(k, budget)
    };
    let cases = [
        (of(0, 50, &[]), "k is 0"),
        (of(5, 4, &[]), "budget is 4, expected at least k, 5"),
        (of(1, 1, &[item(3, 1.0), item(4, 1.0)]), "the 2 items that are scored already"),
        (of(5, 50, &[item(3, 1.0), item(4, 1.0), item(3, 2.0)]), "item 3 is given twice"),
        (of(5, 50, &[item(3, f32::NAN)]), "the score of item 3 is NaN"),
        (ScoredParams { batch: 0, ..of(5, 50, &[]) }, "batch is 0"),
    ];
    for (params, says) in cases {
        let error = engine.search_scored((&query[..]).into(), &all, &params, &mut scorer).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert!(score_answer(Answer::default(), &params, &mut scorer).is_err(), "{says}");
    }
    let two = [&query[..], &query].concat();
    let error = engine.search_scored((&two[..]).into(), &all, &of(5, 50, &[]), &mut scorer).unwrap_err();
    assert!(error.to_string().contains("2 queries for a scored search"), "{error}");
    let wrong = SearchParams { epsilon: Some(-1.0), ..SearchParams::new(1) };
    let error = engine.search_scored((&query[..]).into(), &wrong, &of(5, 50, &[]), &mut scorer).unwrap_err();
    assert!(error.to_string().contains("epsilon is -1"), "{error}");
}

#[test]
fn indexes_searched_as_one_are_scored_as_one() {
    let (made, engine, query) = searched();
    let all = all_lists(&made, 30);
    let answer = engine.search(&query, &all).unwrap().remove(0);
    let both = union(vec![answer.clone(), answer.clone()], Metric::L2, 30, Duplicates::Keep).answer;
    assert_eq!(both.neighbours.len(), 30);
    let mut asked = Vec::new();
    let mut scorer = |ids: &[u64]| {
        asked.extend_from_slice(ids);
        Ok::<_, String>(ids.iter().map(|&id| score_of(id)).collect())
    };
    let scored = score_answer(both, &ScoredParams::new(5, 30), &mut scorer).unwrap();
    let expected: Vec<u64> = answer.neighbours[..15].iter().map(|near| near.id).collect();
    assert_eq!(asked, expected);
    assert_eq!((scored.scored, scored.best), (15, best_of(expected.into_iter(), 5)));
}

#[test]
fn a_filter_of_several_indexes_holds_where_one_of_them_tells_none() {
    let (made, engine, query) = searched();
    let filter = Some(Arc::new(Matches::of(&made.index, |at| at.position() % 3 == 0)));
    let filtered = SearchParams { filter, ..all_lists(&made, 600) };
    let answer = engine.search(&query, &filtered).unwrap().remove(0);
    let mut other = nearest(&made, &engine, &query, &SearchParams::new(600));
    other.retain(|&id| answer.neighbours.iter().all(|near| near.id != id));
    // As that of an index with no vector that matches.
    let both = union(vec![answer, Answer::default()], Metric::L2, 600, Duplicates::Best).answer;
    assert_eq!(both.filtered, None);
    let known = vec![ScoredItem { id: other[0], score: 2e6 }];
    let params = ScoredParams { known, is_filtered: true, ..ScoredParams::new(600, 600) };
    let mut scorer = |ids: &[u64]| Ok::<_, String>(ids.iter().map(|&id| score_of(id)).collect());
    let best = score_answer(both.clone(), &params, &mut scorer).unwrap().best;
    assert_eq!(best, best_of(both.neighbours.iter().map(|near| near.id), 600));
    let params = ScoredParams { is_filtered: false, ..params };
    assert_eq!(score_answer(both, &params, &mut scorer).unwrap().best[0].id, other[0]);
}
