//! Searches over a reader that fails by schedule: the right answer, or one that says what it lacks.
use std::sync::Arc;

use spandrel_builder::BuildConfig;
use spandrel_datasets::Rows;
use spandrel_engine::{DamagedPart, Engine, EngineConfig, SearchParams};
use spandrel_index::codes::CodeSpec;
use spandrel_index::{DType, Index, Metric, OpenOptions, Tier, VectorSource};
use spandrel_io::faults::{FaultRates, FaultyReader, Schedule};
use spandrel_io::open_reader;
use spandrel_tests::{Base, clustered, coded, config};
use tempfile::TempDir;

use crate::support::{TIERS, assert_true, engine_config, found, open_engine_with};

fn params() -> SearchParams {
    SearchParams { max_lists: Some(25), ..SearchParams::new(10) }
}

/// An engine whose workers meet faults, each by a schedule of its own.
fn faulty(index: &Arc<Index>, config: EngineConfig, seed: u64, rates: FaultRates) -> Engine {
    let mut worker = 0;
    Engine::open_with(Arc::clone(index), config, move || {
        worker += 1;
        let inner = open_reader(config.io, 32)?;
        Ok(Box::new(FaultyReader::new(inner, Schedule::seeded(seed + 1000 * worker, rates))))
    })
    .unwrap()
}

/// An index in a folder of its own, and the ways to keep it that leave something on disk.
struct Case {
    dir: TempDir,
    base: Base,
    metric: Metric,
    options: &'static [OpenOptions],
}

impl Case {
    fn new(dtype: DType, metric: Metric, code: CodeSpec) -> Case {
        let dir = tempfile::tempdir().unwrap();
        let base = Base::new(clustered(dtype, 16, 3000, 1));
        let (config, options): (BuildConfig, &[OpenOptions]) = match code {
            CodeSpec::Full => {
                (config(metric, dir.path()), &[OpenOptions { codes: None, vectors: None, ids: false }])
            }
            _ => (coded(metric, code, Tier::Ssd, dir.path()), &TIERS[..3]),
        };
        base.build(&config).unwrap();
        Case { dir, base, metric, options }
    }

    fn queries(&self) -> Rows {
        clustered(self.base.rows.dtype(), 16, 60, 2)
    }
}

fn cases() -> Vec<Case> {
    vec![
        Case::new(DType::U8, Metric::L2, CodeSpec::Full),
        Case::new(DType::F32, Metric::L2, CodeSpec::Full),
        Case::new(DType::U8, Metric::L2, CodeSpec::RaBitQ { bits: 2 }),
        Case::new(DType::F32, Metric::Cosine, CodeSpec::Axes { bytes: 8 }),
    ]
}

#[test]
fn faults_that_can_be_mended_do_not_show() {
    let rates = FaultRates { interrupted: 0.2, short: 0.3, hold: 0.3, ..FaultRates::default() };
    for case in cases() {
        let queries = case.queries();
        for &options in case.options {
            let whole = open_engine_with(case.dir.path(), options);
            let expected = found(&whole.search(queries.bytes(), &params()).unwrap());
            for (seed, in_flight) in [(0, 1), (1, 8), (2, 1), (3, 8)] {
                let config = EngineConfig { in_flight, ..engine_config() };
                let engine = faulty(whole.index(), config, seed, rates);
                let answers = engine.search(queries.bytes(), &params()).unwrap();
                assert_eq!(found(&answers), expected, "{options:?}, seed {seed}");
                assert!(engine.damage().is_empty());
            }
        }
    }
}

#[test]
fn faults_that_cannot_be_mended_are_counted_and_what_is_left_is_true() {
    let rates = FaultRates { error: 0.05, flip: 0.05, short: 0.1, hold: 0.2, interrupted: 0.1 };
    for case in cases() {
        let queries = case.queries();
        for &options in case.options {
            let whole = open_engine_with(case.dir.path(), options);
            let expected = whole.search(queries.bytes(), &params()).unwrap();
            let name = format!("{}, {options:?}", whole.index().code());
            let lists_read = whole.index().codes_tier() == Tier::Ssd;
            let pages_read =
                whole.index().code() != CodeSpec::Full && whole.index().vectors_tier() == Tier::Ssd;
            let (mut complete, mut damaged, mut parts) = (0, 0, Vec::new());
            // Enough that each kind of part is met, whichever thread takes which query.
            for seed in 0..12 {
                let engine = faulty(whole.index(), engine_config(), seed, rates);
                let answers = engine.search(queries.bytes(), &params()).unwrap();
                for (at, (answer, expected)) in answers.iter().zip(&expected).enumerate() {
                    let what = format!("{name}, seed {seed}, query {at}");
                    assert_true(case.metric, &case.base, queries.row(at), answer, &what);
                    let missed = answer.work.vectors_scanned < expected.work.vectors_scanned;
                    if answer.missing.parts() == 0 {
                        complete += 1;
                        assert!(!missed && answer.neighbours == expected.neighbours, "{what}");
                    } else {
                        damaged += 1;
                        assert!(missed || pages_read, "{what}");
                    }
                }
                parts.extend(engine.damage().iter().map(|damage| damage.part));
            }
            assert!(complete > 10 && damaged > 20, "{name}: {complete} complete, {damaged} damaged");
            assert_eq!(parts.iter().any(|part| matches!(part, DamagedPart::List(_))), lists_read, "{name}");
            assert_eq!(parts.iter().any(|part| matches!(part, DamagedPart::Page(_))), pages_read, "{name}");
        }
    }
}

#[test]
fn a_disk_that_answers_nothing_gives_empty_answers_that_say_so() {
    for case in cases() {
        for &options in case.options {
            let index = Arc::new(Index::open_with(case.dir.path(), options).unwrap());
            let rates = FaultRates { error: 1.0, ..FaultRates::default() };
            let engine = faulty(&index, engine_config(), 1, rates);
            for answer in engine.search(case.queries().bytes(), &params()).unwrap() {
                assert!(answer.neighbours.is_empty());
                if index.codes_tier() == Tier::Ssd {
                    assert_eq!((answer.missing.parts(), answer.work.vectors_scanned), (answer.work.lists, 0));
                } else {
                    // Only the pages of candidates were wanted.
                    assert!(answer.missing.parts() > 0 && answer.missing.parts() <= answer.work.candidates);
                    assert!(answer.work.vectors_scanned > 0);
                }
            }
        }
    }
}
