//! Whole searches over small indexes.
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use crossbeam_channel::bounded;
use spandrel_index::format::{OpenError, VectorsOf};
use spandrel_index::testing::{TestIndex, random_rows};
use spandrel_index::{DType, Index, Metric, Unusable, for_each_element};
use spandrel_io::faults::{Fault, FaultRates, FaultyReader, Schedule};
use spandrel_io::{BackendChoice, Direct, open_reader};

use super::*;

mod attributes;
mod damage;
mod ending;
mod fetching;
mod filtered;
mod head_score;
mod hooked;
mod refused;
mod scored;
mod threads;

struct Made {
    input: TestIndex,
    index: Arc<Index>,
    dir: tempfile::TempDir,
}

fn made(input: TestIndex) -> Made {
    let dir = tempfile::tempdir().unwrap();
    input.write(dir.path());
    let index = Arc::new(Index::open(dir.path()).unwrap());
    Made { input, index, dir }
}

fn config(threads: usize, in_flight: usize) -> EngineConfig {
    EngineConfig { threads, in_flight, ..EngineConfig::default() }
}

fn engine(made: &Made) -> Engine {
    Engine::open(Arc::clone(&made.index), config(2, 2)).unwrap()
}

/// An engine whose one worker meets these faults.
fn faulty(made: &Made, schedule: Schedule) -> Engine {
    let mut schedule = Some(schedule);
    Engine::open_with(Arc::clone(&made.index), config(1, 4), move || {
        let inner = open_reader(BackendChoice::Auto, 16)?;
        Ok(Box::new(FaultyReader::new(inner, schedule.take().unwrap())))
    })
    .unwrap()
}

fn all_lists(made: &Made, k: usize) -> SearchParams {
    SearchParams { max_lists: Some(made.index.lists()), ..SearchParams::new(k) }
}

/// What must not depend on how the engine runs.
fn found(answers: &[Answer]) -> Vec<(Vec<(u64, u32)>, Work)> {
    let bits = |a: &Answer| a.neighbours.iter().map(|n| (n.id, n.distance.to_bits())).collect();
    answers.iter().map(|a| (bits(a), a.work)).collect()
}

fn floats(dtype: DType, row: &[u8]) -> Vec<f64> {
    let mut out = Vec::new();
    for_each_element(dtype, row, |x| out.push(f64::from(x)));
    out
}

fn true_distance(metric: Metric, a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    match metric {
        Metric::L2 => a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum(),
        Metric::InnerProduct => dot(a, b),
        Metric::Cosine => 1.0 - dot(a, b) / (dot(a, a) * dot(b, b)).sqrt(),
    }
}

#[test]
fn queries_taken_together_find_what_each_finds_alone() {
    for (metric, dtype) in [
        (Metric::L2, DType::U8),
        (Metric::L2, DType::I8),
        (Metric::Cosine, DType::I8),
        (Metric::L2, DType::F32),
    ] {
        let made = made(TestIndex::random(metric, dtype, 12, 600));
        let queries = random_rows(dtype, 12, 13, 5);
        let answers = |in_flight| {
            let engine = Engine::open(Arc::clone(&made.index), config(1, in_flight)).unwrap();
            // Once with the lists planned for and once with more, which are looked for again.
            [1, 300].map(|k| {
                let params = SearchParams { max_lists: Some(3), ..SearchParams::new(k) };
                found(&engine.search(&queries, &params).unwrap())
            })
        };
        assert_eq!(answers(5), answers(1), "{metric} {dtype}");
    }
}

#[test]
fn reading_every_list_gives_the_exact_neighbours() {
    for metric in Metric::ALL {
        for dtype in DType::ALL {
            let made = made(TestIndex::random(metric, dtype, 12, 600));
            let queries = random_rows(dtype, 12, 5, 9);
            let answers = engine(&made).search(&queries, &all_lists(&made, 20)).unwrap();
            for (query, answer) in queries.chunks(made.input.row_bytes()).zip(&answers) {
                let query = floats(dtype, query);
                let mut exact: Vec<(f64, u64)> = (0..600)
                    .map(|at| {
                        let row = floats(dtype, made.input.row(at));
                        (true_distance(metric, &query, &row), made.input.ids[at])
                    })
                    .collect();
                exact.sort_by(|a, b| a.0.total_cmp(&b.0));
                if metric == Metric::InnerProduct {
                    exact.reverse();
                }
                assert_eq!(answer.neighbours.len(), 20);
                assert_eq!(answer.work.vectors_scanned, 1200, "every vector and its copy");
                for (neighbour, (distance, id)) in answer.neighbours.iter().zip(exact) {
                    let found = f64::from(neighbour.distance);
                    let close = (found - distance).abs() <= 1e-5 * (1.0 + distance.abs());
                    assert!(close, "{metric} {dtype}: {found} for {distance}");
                    // Random floats have no ties; bytes may.
                    assert!(neighbour.id == id || dtype.is_integer(), "{metric} {dtype}");
                }
            }
        }
    }
}

#[test]
fn answers_do_not_depend_on_how_the_engine_runs() {
    let mut input = TestIndex::random(Metric::L2, DType::F16, 10, 2000);
    input.graph = true;
    let made = made(input);
    let queries = random_rows(DType::F16, 10, 60, 3);
    let params = SearchParams { epsilon: Some(0.4), max_lists: Some(30), ..SearchParams::new(10) };
    let mut expected = None;
    for io in [BackendChoice::Auto, BackendChoice::Pread] {
        for direct in [Direct::Auto, Direct::Off] {
            for (threads, in_flight) in [(1, 1), (2, 8), (4, 1)] {
                let config = EngineConfig { threads, in_flight, io, direct, ..EngineConfig::default() };
                let engine = Engine::open(Arc::clone(&made.index), config).unwrap();
                let answers = found(&engine.search(&queries, &params).unwrap());
                assert_eq!(*expected.get_or_insert_with(|| answers.clone()), answers, "{config:?}");
            }
        }
    }
    let expected = expected.unwrap();
    let engine = engine(&made);
    for (query, expected) in queries.chunks(20).zip(&expected) {
        assert_eq!(found(&engine.search(query, &params).unwrap())[0], *expected, "one at a time");
    }
}

#[test]
fn epsilon_reads_the_lists_within_it() {
    let made = made(TestIndex::random(Metric::L2, DType::F32, 4, 800));
    let engine = engine(&made);
    let queries = random_rows(DType::F32, 4, 20, 3);
    for epsilon in [0.0, 0.3, 1.0] {
        let params = SearchParams { epsilon: Some(epsilon), ..SearchParams::new(1) };
        for (query, answer) in queries.chunks(16).zip(engine.search(&queries, &params).unwrap()) {
            let query = floats(DType::F32, query);
            let distances: Vec<f64> = (0..made.index.lists())
                .map(|head| {
                    true_distance(
                        Metric::L2,
                        &query,
                        &floats(DType::F32, made.index.segments()[0].heads.row(head)),
                    )
                    .sqrt()
                })
                .collect();
            let nearest = distances.iter().copied().fold(f64::INFINITY, f64::min);
            let within =
                distances.iter().filter(|&&d| d <= nearest * (1.0 + f64::from(epsilon)) * (1.0 + 1e-6));
            assert_eq!(answer.work.lists as usize, within.count(), "epsilon {epsilon}");
        }
    }
    let capped = SearchParams { epsilon: Some(1e9), max_lists: Some(7), ..SearchParams::new(1) };
    assert!(engine.search(&queries, &capped).unwrap().iter().all(|a| a.work.lists == 7));
    let alone = SearchParams { max_lists: Some(9), ..SearchParams::new(1) };
    assert!(engine.search(&queries, &alone).unwrap().iter().all(|a| a.work.lists == 9));
    let default = engine.search(&queries, &SearchParams::new(1)).unwrap();
    assert!(default.iter().all(|a| (1..=8).contains(&a.work.lists)), "the manifest's cap is 8");
}

#[test]
fn k_are_found_unless_a_limit_that_was_given_says_otherwise() {
    for graph in [false, true] {
        let mut input = TestIndex::random(Metric::L2, DType::U8, 8, 200);
        input.graph = graph;
        let made = made(input);
        let engine = engine(&made);
        let query = random_rows(DType::U8, 8, 1, 3);
        let one = |params: SearchParams| engine.search(&query, &params).unwrap().remove(0);
        // The manifest's cap is 8 lists, of 10 vectors each.
        let usual = || SearchParams::new(150);
        for params in [
            usual(),
            SearchParams { epsilon: Some(0.0), ..usual() },
            SearchParams { effort: 0.0, ..usual() },
            SearchParams { max_lists: Some(20), effort: 0.1, ..usual() },
        ] {
            let answer = one(params.clone());
            assert_eq!((answer.neighbours.len(), answer.limited_by), (150, None), "{params:?}");
            assert!(answer.work.lists < 20, "{params:?}: {:?}", answer.work);
        }
        let few = one(SearchParams { max_lists: Some(1), ..SearchParams::new(200) });
        assert_eq!(few.neighbours.len() as u64, few.work.vectors_scanned);
        assert!(few.neighbours.len() < 200);
        assert_eq!(few.limited_by, Some(Limit::MaxLists));
        let some = one(SearchParams { max_lists: Some(1), ..SearchParams::new(1) });
        assert_eq!((some.neighbours.len(), some.limited_by), (1, None), "enough was found in one list");
        for k in [200, 201, usize::MAX] {
            for params in [SearchParams::new(k), all_lists(&made, k)] {
                let answer = one(params);
                assert_eq!((answer.neighbours.len(), answer.limited_by), (200, None), "k {k}");
            }
        }
    }
}

#[test]
fn k_are_found_in_spite_of_damaged_lists() {
    let made = made(TestIndex::random(Metric::L2, DType::U8, 16, 300));
    let whole = engine(&made);
    let query = random_rows(DType::U8, 16, 1, 3);
    // Reads nearest lists until they hold ten vectors.
    let params = SearchParams { epsilon: Some(0.0), ..SearchParams::new(10) };
    let lists = whole.search(&query, &params).unwrap()[0].work.lists;
    let mut bytes = std::fs::read(&made.index.segments()[0].codes.path).unwrap();
    for list in 0..made.index.lists() {
        let entry = made.index.segments()[0].directory.entry(list);
        // One list in three is left.
        if list % 3 != 0 {
            bytes[4096 + 512 * entry.offset_units as usize] ^= 1;
        }
    }
    std::fs::write(&made.index.segments()[0].codes.path, bytes).unwrap();
    let engine = engine(&made);
    for time in 0..12 {
        let answer = engine.search(&query, &params).unwrap().remove(0);
        assert_eq!((answer.neighbours.len(), answer.limited_by), (10, None), "time {time}");
        assert!(answer.missing.parts() > 0 && answer.work.lists > lists, "time {time}: {answer:?}");
        let limited = SearchParams { max_lists: Some(lists), ..params.clone() };
        let answer = engine.search(&query, &limited).unwrap().remove(0);
        assert!(answer.missing.parts() > 0 && answer.neighbours.len() < 10, "time {time}: {answer:?}");
        assert_eq!((answer.work.lists, answer.limited_by), (lists, Some(Limit::MaxLists)), "time {time}");
    }
}

#[test]
fn duplicates_and_the_smallest_indexes_work() {
    // All vectors alike: every list is as far, the answers are the smallest ids.
    let mut input = TestIndex::random(Metric::Cosine, DType::I8, 3, 100);
    input.rows = [5, 250, 9].repeat(100);
    input.graph = true;
    let made = made(input);
    let answer = engine(&made).search(&[5, 250, 9], &all_lists(&made, 10)).unwrap().remove(0);
    let mut ids = made.input.ids.clone();
    ids.sort_unstable();
    assert_eq!(answer.neighbours.iter().map(|n| n.id).collect::<Vec<_>>(), ids[..10]);
    assert!(answer.neighbours.iter().all(|n| (0.0..1e-6).contains(&n.distance)));

    let mut input = TestIndex::random(Metric::InnerProduct, DType::F32, 1, 1);
    input.copies = 1;
    input.ids = vec![u64::MAX - 3];
    let made = self::made(input);
    let answer = engine(&made).search(&2.0_f32.to_le_bytes(), &SearchParams::new(1)).unwrap().remove(0);
    assert_eq!(answer.neighbours[0].id, u64::MAX - 3);
}

#[test]
fn distances_stay_finite_at_the_limits_of_length() {
    let bytes = |rows: &[f32]| -> Vec<u8> { rows.iter().flat_map(|x| x.to_le_bytes()).collect() };
    let longest = spandrel_index::NORM_SQUARED_MAX.sqrt() as f32 * 0.999_999;
    let shortest = 1.2e-19;
    for metric in Metric::ALL {
        let least = if metric == Metric::Cosine { shortest } else { 0.0 };
        for scale in [longest, shortest] {
            let mut input = TestIndex::random(metric, DType::F32, 2, 4);
            input.rows = bytes(&[scale, 0.0, 0.0, scale, -scale, 0.0, scale * 0.6, scale * 0.8]);
            (input.lists, input.copies) = (2, 1);
            let made = made(input);
            let rows = bytes(&[longest, 0.0, -longest, 0.0, 0.0, shortest, least, 0.0]);
            let answers = engine(&made).search(&rows, &all_lists(&made, 4)).unwrap();
            for answer in &answers {
                assert_eq!(answer.neighbours.len(), 4);
                assert!(answer.neighbours.iter().all(|n| n.distance.is_finite()), "{metric}: {answer:?}");
            }
            if metric == Metric::Cosine {
                let distances: Vec<f32> = answers[0].neighbours.iter().map(|n| n.distance).collect();
                let expected = [0.0, 0.4, 1.0, 2.0];
                assert!(distances.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{distances:?}");
            }
        }
    }
    let made = made(TestIndex::random(Metric::L2, DType::F32, 2, 50));
    for query in [[3e38_f32, 0.0], [7e18, 7e18]] {
        let refused = engine(&made).search(&bytes(&query), &SearchParams::new(1));
        assert!(
            matches!(
                refused,
                Err(SearchError::Query(QueryError::Unusable { query: 0, found: Unusable::TooLong }))
            ),
            "{refused:?}"
        );
    }
}

#[test]
fn bytes_are_limited_to_what_was_asked_for() {
    let made = made(TestIndex::random(Metric::L2, DType::U8, 64, 3000));
    let engine = engine(&made);
    let queries = random_rows(DType::U8, 64, 20, 3);
    let limited = |bytes| SearchParams { max_bytes: Some(bytes), ..all_lists(&made, 5) };
    let all = engine.search(&queries, &all_lists(&made, 5)).unwrap();
    for bytes in [50_000, 20_000] {
        let answers = engine.search(&queries, &limited(bytes)).unwrap();
        assert!(answers.iter().all(|a| a.work.read_bytes <= bytes && a.work.read_bytes > bytes / 2));
        assert!(answers.iter().zip(&all).all(|(a, all)| a.work.read_bytes < all.work.read_bytes));
        assert!(answers.iter().all(|a| a.limited_by == Some(Limit::MaxBytes)));
    }
    assert!(all.iter().all(|a| a.limited_by.is_none()));
    let least = engine.search(&queries, &limited(1)).unwrap();
    assert!(least.iter().all(|a| a.work.reads == 1 && !a.neighbours.is_empty()), "the nearest list is read");
    assert!(least.iter().all(|a| a.limited_by == Some(Limit::MaxBytes)));
    let refused = engine.search(&queries, &limited(0));
    assert!(matches!(refused, Err(SearchError::Params(ParamsError::ZeroBytes))));
}
