//! Searches over a reader that fails by schedule: the right answer, or one that says what it lacks.
use std::sync::Arc;

use spandrel_datasets::Rows;
use spandrel_engine::{Answer, Engine, EngineConfig, SearchParams};
use spandrel_index::{DType, Index, Metric, for_each_element};
use spandrel_io::faults::{FaultRates, FaultyReader, Schedule};
use spandrel_io::open_reader;
use spandrel_tests::{Base, clustered, config};

use crate::support::{engine_config, found, open_engine};

const PARAMS: SearchParams = SearchParams { max_lists: Some(25), ..SearchParams::new(10) };

/// An engine whose workers meet faults, each by a schedule of its own.
fn faulty(index: &Arc<Index>, config: EngineConfig, seed: u64, rates: FaultRates) -> Engine {
    let mut worker = 0;
    Engine::open_with(Arc::clone(index), config, &mut || {
        worker += 1;
        let inner = open_reader(config.io, 32)?;
        Ok(Box::new(FaultyReader::new(inner, Schedule::seeded(seed + 1000 * worker, rates))))
    })
    .unwrap()
}

fn values(dtype: DType, row: &[u8]) -> Vec<f64> {
    let mut values = Vec::new();
    for_each_element(dtype, row, |x| values.push(f64::from(x)));
    values
}

/// Fails unless every neighbour has the distance that its vector truly has, in order, each once.
fn assert_true(dtype: DType, rows: &Rows, query: &[u8], answer: &Answer) {
    let query = values(dtype, query);
    for neighbour in &answer.neighbours {
        let row = values(dtype, rows.row(neighbour.id as usize));
        let exact: f64 = query.iter().zip(&row).map(|(a, b)| (a - b) * (a - b)).sum();
        let near = (f64::from(neighbour.distance) - exact).abs() <= 1e-5 * (1.0 + exact);
        assert!(near, "{neighbour:?}, truly at {exact}");
    }
    let keys = answer.neighbours.iter().map(|n| (n.distance, n.id)).collect::<Vec<_>>();
    assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "{keys:?}");
}

#[test]
fn faults_that_can_be_mended_do_not_show() {
    let dir = tempfile::tempdir().unwrap();
    Base::new(clustered(DType::U8, 16, 3000, 1)).build(&config(Metric::L2, dir.path())).unwrap();
    let queries = clustered(DType::U8, 16, 60, 2);
    let whole = open_engine(dir.path());
    let expected = found(&whole.search(queries.bytes(), &PARAMS).unwrap());
    let rates = FaultRates { interrupted: 0.2, short: 0.3, hold: 0.3, ..FaultRates::default() };
    for seed in 0..4 {
        for in_flight in [1, 8] {
            let config = EngineConfig { in_flight, ..engine_config() };
            let engine = faulty(whole.index(), config, seed, rates);
            assert_eq!(found(&engine.search(queries.bytes(), &PARAMS).unwrap()), expected, "seed {seed}");
            assert!(engine.damage().is_empty());
        }
    }
}

#[test]
fn faults_that_cannot_be_mended_are_counted_and_what_is_left_is_true() {
    for dtype in [DType::U8, DType::F32] {
        let dir = tempfile::tempdir().unwrap();
        let base = Base::new(clustered(dtype, 16, 3000, 1));
        base.build(&config(Metric::L2, dir.path())).unwrap();
        let queries = clustered(dtype, 16, 60, 2);
        let whole = open_engine(dir.path());
        let expected = whole.search(queries.bytes(), &PARAMS).unwrap();
        let rates = FaultRates { error: 0.05, flip: 0.05, short: 0.1, hold: 0.2, interrupted: 0.1 };
        let (mut complete, mut damaged) = (0, 0);
        for seed in 0..4 {
            let engine = faulty(whole.index(), engine_config(), seed, rates);
            let answers = engine.search(queries.bytes(), &PARAMS).unwrap();
            for (at, (answer, expected)) in answers.iter().zip(&expected).enumerate() {
                assert_true(dtype, &base.rows, queries.row(at), answer);
                if answer.damaged == 0 {
                    complete += 1;
                    assert_eq!(answer.neighbours, expected.neighbours, "seed {seed}, query {at}");
                } else {
                    damaged += 1;
                    let missed = answer.work.vectors_scanned < expected.work.vectors_scanned;
                    assert!(missed, "seed {seed}, query {at}");
                }
            }
            assert!(!engine.damage().is_empty());
        }
        assert!(complete > 20 && damaged > 20, "{dtype}: {complete} complete, {damaged} damaged");
    }
}

#[test]
fn a_disk_that_answers_nothing_gives_empty_answers_that_say_so() {
    let dir = tempfile::tempdir().unwrap();
    Base::new(clustered(DType::U8, 16, 1000, 1)).build(&config(Metric::L2, dir.path())).unwrap();
    let index = Arc::new(Index::open(dir.path()).unwrap());
    let engine = faulty(&index, engine_config(), 1, FaultRates { error: 1.0, ..FaultRates::default() });
    for answer in engine.search(clustered(DType::U8, 16, 20, 2).bytes(), &PARAMS).unwrap() {
        assert!(answer.neighbours.is_empty());
        assert_eq!((answer.damaged, answer.work.vectors_scanned), (answer.work.lists, 0));
    }
}
