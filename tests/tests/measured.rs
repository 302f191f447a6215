//! Recall as it is measured: against exact search, with an interval.
use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spandrel_engine::{
    Answer, Engine, ExactNearest, ExactSearch, RecallEstimate, Rerank, Sample, SearchError, SearchParams,
    recall_of,
};
use spandrel_index::codes::CodeSpec;
use spandrel_index::{DType, Metric, OpenOptions, Tier};
use spandrel_io::faults::{FaultRates, FaultyReader, Schedule};
use spandrel_io::open_reader;
use spandrel_tests::{Base, clustered, coded, config};
use tempfile::TempDir;

use crate::support::{TIERS, assert_exact, engine_config, every_list, open_engine_with};

const K: usize = 10;

fn exact(engine: &Engine, search: ExactSearch) -> ExactNearest {
    engine.exact(&Arc::new(search), &mut |_| true).unwrap()
}

/// The recall of each answer, by the exact neighbours.
fn recalls_of(engine: &Engine, answers: &[Answer], nearest: &ExactNearest, k: usize) -> Vec<f64> {
    let of = |(answer, nearest): (&Answer, &Vec<_>)| {
        recall_of(engine.index().metric(), &answer.neighbours, nearest, k)
    };
    answers.iter().zip(&nearest.neighbours).map(of).collect()
}

#[test]
fn exact_neighbours_are_exact_wherever_vectors_are() {
    for metric in Metric::ALL {
        for dtype in DType::ALL {
            let dir = tempfile::tempdir().unwrap();
            let base = Base::new(clustered(dtype, 24, 1500, 1));
            base.build(&coded(metric, CodeSpec::RaBitQ { bits: 2 }, Tier::Memory, dir.path())).unwrap();
            let queries = clustered(dtype, 24, 12, 5);
            for options in [TIERS[2], TIERS[3]] {
                let engine = open_engine_with(dir.path(), options);
                let rows = || queries.bytes().to_vec().into();
                let nearest =
                    exact(&engine, ExactSearch::new(engine.index(), rows(), K, Vec::new()).unwrap());
                assert_eq!(nearest.missing_pages, 0);
                for (query, neighbours) in nearest.neighbours.into_iter().enumerate() {
                    assert_eq!(neighbours.len(), K);
                    let answer = Answer { neighbours, ..Answer::default() };
                    assert_exact(metric, &base, queries.row(query), &answer, &format!("{metric} {dtype}"));
                }
                // Of an index with fewer vectors all; scores are those of searches, bit for bit.
                let all = exact(&engine, ExactSearch::new(engine.index(), rows(), 4000, Vec::new()).unwrap());
                let found = engine.search(queries.bytes(), &every_list(1500)).unwrap();
                for (all, found) in all.neighbours.iter().zip(found) {
                    assert_eq!(*all, found.neighbours, "{metric} {dtype}");
                }
            }
        }
    }
}

#[test]
fn rows_of_the_index_leave_themselves_out() {
    let [codes, full] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let base = Base::new(clustered(DType::F32, 24, 1500, 1));
    base.build(&coded(Metric::L2, CodeSpec::RaBitQ { bits: 2 }, Tier::Memory, codes.path())).unwrap();
    base.build(&config(Metric::L2, full.path())).unwrap();
    for dir in [codes, full] {
        let engine = open_engine_with(dir.path(), OpenOptions::default());
        let sample = Sample::of_index(engine.index(), 60).unwrap();
        assert_eq!(sample.rows.len(), 60 * engine.index().row_bytes());
        let nearest = exact(&engine, sample.exact(engine.index(), K, 0..60).unwrap());
        assert!(nearest.neighbours.iter().flatten().all(|neighbour| neighbour.distance > 0.0));
        let answers = sample.answers(&engine, &every_list(K), 0..60).unwrap();
        for (answer, nearest) in answers.iter().zip(&nearest.neighbours) {
            assert_eq!(answer.neighbours, *nearest);
        }
        // Parts are the same queries.
        assert_eq!(
            sample.answers(&engine, &every_list(K), 20..25).unwrap()[4].neighbours,
            nearest.neighbours[24]
        );
        assert_eq!(sample.neighbours_max(engine.index()), 1499);
        assert_eq!(Sample::of_index(engine.index(), 9999).unwrap().rows.len(), base.rows.bytes().len());
    }
}

#[test]
fn damage_is_counted_and_a_stop_is_heard() {
    let dir = tempfile::tempdir().unwrap();
    let base = Base::new(clustered(DType::F32, 24, 3000, 1));
    base.build(&coded(Metric::L2, CodeSpec::RaBitQ { bits: 2 }, Tier::Memory, dir.path())).unwrap();
    let whole = open_engine_with(dir.path(), OpenOptions::default());
    let rates = FaultRates { error: 0.2, flip: 0.2, ..FaultRates::default() };
    let config = engine_config();
    let engine = Engine::open_with(Arc::clone(whole.index()), config, move || {
        Ok(Box::new(FaultyReader::new(open_reader(config.io, 32)?, Schedule::seeded(1, rates))))
    })
    .unwrap();
    let sample = Sample::of_index(whole.index(), 300).unwrap();
    let nearest = exact(&engine, sample.exact(whole.index(), K, 0..300).unwrap());
    assert!(nearest.missing_pages > 0 && !engine.damage().is_empty());
    let search = Arc::new(sample.exact(whole.index(), K, 0..300).unwrap());
    assert!(search.pieces() > 10);
    let stopped = whole.exact(&search, &mut |_| false);
    assert!(matches!(stopped, Err(SearchError::Stopped { answered: 0, .. })));
}

/// An index of which queries miss some neighbours, and the recall of each of many queries.
fn population(dir: &TempDir, k: usize) -> Vec<f64> {
    let base = Base::new(clustered(DType::U8, 24, 6000, 1));
    base.build(&coded(Metric::L2, CodeSpec::RaBitQ { bits: 1 }, Tier::Memory, dir.path())).unwrap();
    let engine = open_engine_with(dir.path(), TIERS[3]);
    let sample = Sample::of_index(engine.index(), 3000).unwrap();
    let params =
        SearchParams { max_lists: Some(14), rerank: Some(Rerank::Errors(1.0)), ..SearchParams::new(k) };
    let nearest = exact(&engine, sample.exact(engine.index(), k, 0..3000).unwrap());
    let answers = sample.answers(&engine, &params, 0..3000).unwrap();
    recalls_of(&engine, &answers, &nearest, k)
}

#[test]
fn the_interval_covers_the_recall_of_all_queries() {
    const RUNS: usize = 200;
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for k in [1, 10] {
        let population = population(&tempfile::tempdir().unwrap(), k);
        let truth = population.iter().sum::<f64>() / population.len() as f64;
        assert!((0.8..0.999).contains(&truth), "k {k}: {truth}");
        for queries in [100, 400] {
            let (mut covered, mut width) = (0, 0.0);
            for _ in 0..RUNS {
                let sample: Vec<f64> =
                    (0..queries).map(|_| population[rng.random_range(0..population.len())]).collect();
                let RecallEstimate { low, high, .. } = RecallEstimate::of(&sample);
                covered += usize::from((low..=high).contains(&truth));
                width += (high - low) / RUNS as f64;
            }
            let what =
                format!("k {k}, {queries} queries: {covered} of {RUNS}, {width:.4} wide, recall {truth:.4}");
            assert!(covered as f64 >= 0.93 * RUNS as f64, "{what}");
            // Not by saying nothing: a yes-or-no answer a query would be the widest.
            let widest = 5.0 * (truth * (1.0 - truth) / queries as f64).sqrt() + 4.0 / queries as f64;
            assert!(width < widest, "{what}");
        }
    }
}
