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

use self::hooked::{Event, Hooked};
use super::*;

mod attributes;
mod filtered;
mod hooked;
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
    EngineConfig { threads, in_flight, io: BackendChoice::Auto, direct: Direct::Auto, cache_bytes: 0 }
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
                let config = EngineConfig { threads, in_flight, io, direct, cache_bytes: 0 };
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
fn faults_give_the_same_answer_or_counted_damage() {
    let made = made(TestIndex::random(Metric::L2, DType::U8, 16, 1500));
    let queries = random_rows(DType::U8, 16, 40, 3);
    let params = SearchParams { max_lists: Some(40), ..SearchParams::new(10) };
    let whole = engine(&made).search(&queries, &params).unwrap();

    let harmless = FaultRates { interrupted: 0.2, short: 0.3, hold: 0.3, ..FaultRates::default() };
    let engine = faulty(&made, Schedule::seeded(1, harmless));
    assert_eq!(found(&engine.search(&queries, &params).unwrap()), found(&whole));
    assert!(engine.damage().is_empty());

    let harmful = FaultRates { error: 0.1, flip: 0.1, hold: 0.2, ..FaultRates::default() };
    let engine = faulty(&made, Schedule::seeded(2, harmful));
    let answers = engine.search(&queries, &params).unwrap();
    let damaged = answers.iter().filter(|a| a.missing.parts() > 0).count();
    assert!(damaged > 10, "{damaged} answers met damage");
    for (answer, whole) in answers.iter().zip(&whole) {
        if answer.missing.parts() == 0 {
            assert_eq!(answer.neighbours, whole.neighbours);
        }
        // What is left out is left out; what is returned is true.
        for neighbour in &answer.neighbours {
            let at = made.input.ids.iter().position(|&id| id == neighbour.id).unwrap();
            assert!(neighbour.distance >= whole.neighbours[0].distance);
            assert!(at < 1500);
        }
        for pair in answer.neighbours.windows(2) {
            assert!((pair[0].distance, pair[0].id) < (pair[1].distance, pair[1].id));
        }
    }
    let damage = engine.damage();
    assert!(damage.iter().any(|d| matches!(d.reason, DamageReason::Hash { .. })));
    assert!(damage.iter().any(|d| matches!(d.reason, DamageReason::Read(_))));
    assert!(damage[0].to_string().contains("codes-1: list "));
}

#[test]
fn a_failed_merged_read_is_repeated_list_by_list() {
    let made = made(TestIndex::random(Metric::L2, DType::U8, 16, 300));
    let queries = random_rows(DType::U8, 16, 1, 3);
    let whole = engine(&made).search(&queries, &all_lists(&made, 5)).unwrap();
    assert_eq!((whole[0].work.reads, whole[0].work.rounds), (1, 1), "all lists are neighbours");

    let broken = faulty(&made, Schedule::script([Fault::Error(5)]));
    let again = broken.search(&queries, &all_lists(&made, 5)).unwrap();
    assert_eq!((again[0].work.reads, again[0].work.rounds, again[0].missing.parts()), (31, 2, 0));
    assert_eq!(again[0].neighbours, whole[0].neighbours);

    let broken = faulty(&made, Schedule::script([Fault::Error(5), Fault::None, Fault::Error(5)]));
    let again = broken.search(&queries, &all_lists(&made, 5)).unwrap();
    assert_eq!(again[0].missing.parts(), 1);
    assert_eq!(broken.damage()[0].part, DamagedPart::List(1));
}

#[test]
fn a_damaged_list_is_left_out_and_the_rest_keeps_serving() {
    let made = made(TestIndex::random(Metric::L2, DType::U8, 16, 300));
    let entry = made.index.segments()[0].directory.entry(0);
    let mut bytes = std::fs::read(&made.index.segments()[0].codes.path).unwrap();
    bytes[4096 + 512 * entry.offset_units as usize] ^= 1;
    std::fs::write(&made.index.segments()[0].codes.path, bytes).unwrap();
    let engine = engine(&made);
    let queries = random_rows(DType::U8, 16, 12, 3);
    let first = engine.search(&queries, &all_lists(&made, 5)).unwrap();
    for answer in &first {
        assert_eq!((answer.missing.parts(), answer.neighbours.len()), (1, 5));
        assert_eq!(answer.work.vectors_scanned, 600 - entry.count() as u64);
    }
    let damage = engine.damage();
    assert_eq!((damage.len(), damage[0].part), (1, DamagedPart::List(0)), "remembered once");
    let again = engine.search(&queries, &all_lists(&made, 5)).unwrap();
    let most = first.iter().map(|answer| answer.work.read_bytes).max().unwrap();
    for (again, first) in again.iter().zip(&first) {
        assert_eq!((&again.neighbours, again.missing.parts()), (&first.neighbours, 1));
        assert!(again.work.read_bytes < most, "a list that failed again and again is not read any more");
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
fn parameters_that_make_no_sense_are_refused() {
    let made = made(TestIndex::random(Metric::L2, DType::U8, 8, 200));
    let engine = engine(&made);
    let query = random_rows(DType::U8, 8, 1, 3);
    let refused = |params| match engine.search(&query, &params) {
        Err(SearchError::Params(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(all_lists(&made, 0)), ParamsError::ZeroK);
    for epsilon in [f32::NAN, -0.1, f32::INFINITY] {
        let params = SearchParams { epsilon: Some(epsilon), ..SearchParams::new(1) };
        assert!(matches!(refused(params), ParamsError::Epsilon { .. }));
    }
    for effort in [f32::NAN, -0.1, 1.1] {
        let params = SearchParams { effort, ..SearchParams::new(1) };
        assert!(matches!(refused(params), ParamsError::Effort { .. }));
    }
    assert_eq!(refused(SearchParams { max_lists: Some(0), ..SearchParams::new(1) }), ParamsError::ZeroLists);
    for recall in [0.0, -0.5, 1.01, f64::NAN, f64::INFINITY] {
        let params = SearchParams { recall: Some(recall), ..SearchParams::new(1) };
        assert!(matches!(refused(params), ParamsError::Recall { .. }), "{recall}");
    }
    let both = SearchParams { recall: Some(0.9), epsilon: Some(0.5), ..SearchParams::new(1) };
    assert_eq!(refused(both), ParamsError::RecallAndEpsilon);
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
fn queries_that_are_no_vectors_are_refused_by_number() {
    let made = made(TestIndex::random(Metric::Cosine, DType::F32, 2, 50));
    let engine = engine(&made);
    let search = |queries: &[f32]| {
        let bytes: Vec<u8> = queries.iter().flat_map(|x| x.to_le_bytes()).collect();
        match engine.search(&bytes, &SearchParams::new(1)) {
            Err(SearchError::Query(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    for (queries, query, found) in [
        (&[f32::INFINITY, 0.0][..], 0, Unusable::NotFinite { element: 0, value: f32::INFINITY }),
        (&[1.0, 0.0, 0.0, -0.0], 1, Unusable::Zero),
        (&[1.0, 0.0, 3e38, 0.0], 1, Unusable::TooLong),
        (&[0.0, -1e-19], 0, Unusable::TooShort),
    ] {
        assert_eq!(search(queries), QueryError::Unusable { query, found });
    }
    assert!(matches!(search(&[1.0]), QueryError::Length { found: 4, row_bytes: 8, .. }));
    assert!(engine.search(&[], &SearchParams::new(1)).unwrap().is_empty());
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
fn a_batch_stops_when_told_and_at_its_deadline() {
    let made = made(TestIndex::random(Metric::L2, DType::U8, 8, 200));
    let engine = engine(&made);
    let queries = random_rows(DType::U8, 8, 100, 3);
    let stop = Arc::new(AtomicBool::new(true));
    let stopped = engine.search_until(queries[..].into(), &SearchParams::new(1), &stop);
    assert!(matches!(stopped, Err(SearchError::Stopped { answered: 0, queries: 100 })));
    stop.store(false, Ordering::Relaxed);
    assert_eq!(engine.search_until(queries[..].into(), &SearchParams::new(1), &stop).unwrap().len(), 100);

    let (sender, receiver) = bounded(1);
    let deadline = Some(Instant::now());
    let request = Request {
        queries: queries.clone().into(),
        column_queries: None,
        params: SearchParams::new(1),
        deadline,
        stop: None,
    };
    engine.submit(request, move |result| sender.send(result).unwrap()).unwrap();
    assert!(matches!(receiver.recv().unwrap(), Err(SearchError::Deadline { .. })));

    // Dropping the engine answers what was handed in.
    let (sender, receiver) = bounded(1);
    let request = Request {
        queries: queries.into(),
        column_queries: None,
        params: SearchParams::new(1),
        deadline: None,
        stop: None,
    };
    engine.submit(request, move |result| sender.send(result).unwrap()).unwrap();
    drop(engine);
    assert_eq!(receiver.recv().unwrap().unwrap().len(), 100);
}

#[test]
fn a_query_under_way_is_given_up_within_a_burst() {
    let made = made(TestIndex::random(Metric::L2, DType::U8, 8, 2000));
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let [carried_out, withdrawn] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
    let counters = (Arc::clone(&carried_out), Arc::clone(&withdrawn));
    let engine = Engine::open_with(Arc::clone(&made.index), config(1, 4), move || {
        let stop = Arc::clone(&told);
        let (carried_out, all_withdrawn) = counters.clone();
        Hooked::boxed(open_reader(BackendChoice::Auto, 16)?, move |event| {
            match event {
                Event::Submit => {
                    assert!(!stop.load(Ordering::Relaxed), "reads for a search that was stopped")
                }
                // The search is asked to stop when the first bytes come in.
                Event::Completed { reads, withdrawn } if reads > 0 => {
                    carried_out.fetch_add(reads - withdrawn, Ordering::Relaxed);
                    all_withdrawn.fetch_add(withdrawn, Ordering::Relaxed);
                    stop.store(true, Ordering::Relaxed);
                }
                _ => {}
            }
            Ok(())
        })
    })
    .unwrap();
    let queries = random_rows(DType::U8, 8, 100, 3);
    // Every other list, so that many reads are asked for at once.
    let params = SearchParams { max_lists: Some(made.index.lists() / 2), ..SearchParams::new(1) };
    let stopped = engine.search_until(queries[..].into(), &params, &stop);
    assert!(matches!(stopped, Err(SearchError::Stopped { answered: 0, queries: 100 })), "{stopped:?}");
    // Each of four queries asked for about fifty, of which sixteen were under way; those that took their places meanwhile were
    // read, the others not any more.
    drop(engine);
    let [carried_out, withdrawn] = [carried_out, withdrawn].map(|count| count.load(Ordering::Relaxed));
    assert!(withdrawn >= 40, "{carried_out} read, {withdrawn} withdrawn");
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

#[test]
fn vectors_are_found_by_id() {
    for (dtype, metric) in [(DType::U8, Metric::L2), (DType::F16, Metric::Cosine)] {
        let made = made(TestIndex::random(metric, dtype, 24, 3000));
        let lookup = Arc::new(Lookup::open(Arc::clone(&made.index)).unwrap());
        let absent = (0..).find(|id| !made.input.ids.contains(id)).unwrap();
        let cached = EngineConfig { cache_bytes: 1 << 20, ..config(2, 3) };
        for config in [config(1, 1), config(2, 3), cached] {
            let engine = Engine::open(Arc::clone(&made.index), config).unwrap();
            assert_eq!(engine.fetch(&lookup, &[]).unwrap(), Fetched::default());
            for count in [1, 15, 16, 17, 3000] {
                // Others in between, and one twice.
                let ids = &made.input.ids[..count];
                let mut asked = vec![absent];
                asked.extend(ids);
                asked.extend([u64::MAX, ids[0]]);
                let Fetched { rows, states, .. } = engine.fetch(&lookup, &asked).unwrap();
                let expected: Vec<u8> =
                    (0..count).chain([0]).flat_map(|at| made.input.row(at)).copied().collect();
                assert_eq!(rows, expected, "{count}");
                let gone = [0, count + 1];
                for (at, state) in states.iter().enumerate() {
                    let found = if gone.contains(&at) { FetchState::Absent } else { FetchState::Found };
                    assert_eq!(*state, found, "{at} of {count}");
                }
            }
            assert_eq!(engine.damage_count(), 0);
        }
    }
}

#[test]
fn a_damaged_page_costs_its_own_vectors_alone_and_is_counted() {
    let made = made(TestIndex::random(Metric::L2, DType::U8, 24, 3000));
    let lookup = Arc::new(Lookup::open(Arc::clone(&made.index)).unwrap());
    let flip = |path: &Path, at: usize| {
        let mut bytes = std::fs::read(path).unwrap();
        bytes[at] ^= 1;
        std::fs::write(path, &bytes).unwrap();
    };
    let lost = |engine: &Engine| {
        let Fetched { rows, states, .. } = engine.fetch(&lookup, &made.input.ids).unwrap();
        let mut rows = rows.chunks(24);
        for (at, &state) in states.iter().enumerate() {
            match state {
                FetchState::Found => assert_eq!(rows.next().unwrap(), made.input.row(at)),
                FetchState::Damaged => {}
                FetchState::Absent => panic!("{at} is in the index"),
            }
        }
        assert!(rows.next().is_none());
        states.iter().filter(|&&state| state == FetchState::Damaged).count()
    };
    // A page of vectors in the middle.
    flip(
        &made.index.segments()[0].vectors(VectorsOf::Main).path,
        4096 + 5 * made.index.page_layout().page_bytes() + 77,
    );
    let records = made.index.page_layout().page_records();
    let engine = engine(&made);
    // Also once it is not read any more.
    for _ in 0..10 {
        assert_eq!(lost(&engine), records);
    }
    assert!(
        matches!(engine.damage()[..], [Damage { part: DamagedPart::Page(5), .. }]),
        "{:?}",
        engine.damage()
    );
    // And a page of ids.
    flip(&made.index.segments()[0].ids.path, 4096 + 4096 + 77);
    let entries = made.index.segments()[0].ids.layout.page_entries();
    for _ in 0..10 {
        assert!((entries..=entries + records).contains(&lost(&engine)), "{}", lost(&engine));
    }
    assert_eq!(engine.damage_count(), 2);
    assert!(engine.damage().iter().any(|damage| damage.part == DamagedPart::IdPage(1)));

    let path = &made.index.segments()[0].ids.path;
    flip(path, std::fs::metadata(path).unwrap().len() as usize - 12);
    let refused = Lookup::open(Arc::new(Index::open(made.dir.path()).unwrap()));
    assert!(matches!(refused, Err(OpenError::Checksum { .. })), "{refused:?}");
}

#[test]
fn fetches_meet_faults_deadlines_and_the_end() {
    let made = made(TestIndex::random(Metric::L2, DType::U8, 24, 3000));
    let lookup = Arc::new(Lookup::open(Arc::clone(&made.index)).unwrap());
    let rates = FaultRates { error: 0.1, interrupted: 0.1, short: 0.1, hold: 0.2, flip: 0.1 };
    for seed in 0..5 {
        let engine = faulty(&made, Schedule::seeded(seed, rates));
        let mut damaged = 0;
        for ids in made.input.ids.chunks(100) {
            let Fetched { rows, states, .. } = engine.fetch(&lookup, ids).unwrap();
            let mut rows = rows.chunks(24);
            for (state, id) in states.iter().zip(ids) {
                let at = made.input.ids.iter().position(|known| known == id).unwrap();
                match state {
                    FetchState::Found => assert_eq!(rows.next().unwrap(), made.input.row(at)),
                    FetchState::Damaged => damaged += 1,
                    FetchState::Absent => panic!("{id} is in the index"),
                }
            }
        }
        assert!(damaged > 0);
    }
    let engine = engine(&made);
    let request = |deadline, stop| FetchRequest {
        lookup: Arc::clone(&lookup),
        ids: made.input.ids.clone(),
        content: FetchContent::VECTORS,
        deadline,
        stop,
    };
    let (sender, receiver) = bounded(2);
    for (deadline, stop) in [(Some(Instant::now()), None), (None, Some(Arc::new(AtomicBool::new(true))))] {
        let sender = sender.clone();
        let reply = move |result: Result<Fetched, SearchError>| sender.send(result).unwrap();
        engine.submit_fetch(request(deadline, stop), reply).unwrap();
    }
    let ends = [receiver.recv().unwrap(), receiver.recv().unwrap()];
    assert!(ends.iter().any(|end| matches!(end, Err(SearchError::Deadline { .. }))), "{ends:?}");
    assert!(ends.iter().any(|end| matches!(end, Err(SearchError::Stopped { .. }))), "{ends:?}");
    // Handed in before the end, answered before it.
    let reply = move |result: Result<Fetched, SearchError>| sender.send(result).unwrap();
    engine.submit_fetch(request(None, None), reply).unwrap();
    drop(engine);
    assert_eq!(receiver.recv().unwrap().unwrap().states.len(), 3000);
}

#[test]
fn what_does_not_fit_is_refused_at_opening() {
    let made = made(TestIndex::random(Metric::L2, DType::U8, 8, 200));
    for (threads, in_flight) in [(0, 1), (1, 0), (5000, 1)] {
        let refused = Engine::open(Arc::clone(&made.index), config(threads, in_flight));
        assert!(matches!(refused, Err(EngineError::Config { .. })));
    }
    let codes: &Path = &made.index.segments()[0].codes.path;
    let bytes = std::fs::read(codes).unwrap();
    std::fs::write(codes, &bytes[..bytes.len() - 512]).unwrap();
    let refused = Engine::open(Arc::clone(&made.index), config(1, 1));
    assert!(matches!(refused, Err(EngineError::Changed { .. })));
    // A file that has lost its name is still that of the open index.
    std::fs::write(codes, &bytes).unwrap();
    std::fs::remove_file(codes).unwrap();
    assert!(Engine::open(Arc::clone(&made.index), config(1, 1)).is_ok());
}
