//! Why searches of an index with a partition end.
use std::path::Path;
use std::sync::Arc;

use spandrel_engine::{Engine, EngineConfig, FilterPlan, SearchParams, Stop};
use spandrel_index::{Index, OpenOptions, Tier, VectorSource as _};
use spandrel_io::faults::{FaultRates, FaultyReader, Schedule};
use spandrel_io::open_reader;
use spandrel_tests::CALIBRATOR;

use super::{K, QUERIES, base, codes, generated, matches, open, values_of};
use crate::support::engine_config;

/// All lists of a value that shares lists with others are searched, and there is no other.
#[test]
fn a_search_of_a_value_in_shared_lists_ends_after_all_of_them() {
    let (base, dir) = (base(400), tempfile::tempdir().unwrap());
    base.build_watched(&codes(dir.path()), Some(&CALIBRATOR), &spandrel_builder::Silent).unwrap();
    let queries = generated(base.rows.len()).1;
    for codes in [Tier::Memory, Tier::Ssd] {
        let engine = open(dir.path(), OpenOptions { codes: Some(codes), ..OpenOptions::default() });
        let small = values_of(&base, 0).into_iter().filter(|&(.., count)| count < 2000);
        for (cell, filter, count) in small {
            for plan in [FilterPlan::Lists, FilterPlan::Post] {
                let params = SearchParams {
                    filter: Some(matches(engine.index(), &filter)),
                    filter_plan: Some(plan),
                    explain: true,
                    ..SearchParams::new(K)
                };
                for answer in engine.search(queries.bytes(), &params).unwrap() {
                    let told = answer.explanation.as_ref().unwrap();
                    let what = format!("codes {codes}, {plan}: {cell:?} of {count}");
                    assert_eq!((told.stop, answer.limited_by), (Stop::All, None), "{what}");
                    assert!(told.shared_lists > 0 && told.shared_lists == answer.work.lists, "{what}");
                }
            }
        }
    }
}

/// An engine that can read no page.
fn pageless(dir: &Path) -> Engine {
    let options =
        OpenOptions { codes: Some(Tier::Memory), vectors: Some(Tier::Ssd), ..OpenOptions::default() };
    let index = Arc::new(Index::open_with(dir, options).unwrap());
    let config = EngineConfig { threads: 1, ..engine_config() };
    let rates = FaultRates { error: 1.0, ..FaultRates::default() };
    Engine::open_with(index, config, move || {
        Ok(Box::new(FaultyReader::new(open_reader(config.io, 32)?, Schedule::seeded(1, rates))))
    })
    .unwrap()
}

/// Lists that values share are searched in any case: with them, more lists may be searched than `max_lists`.
#[test]
fn lists_that_values_share_do_not_count_towards_a_limit() {
    let (base, dir) = (base(400), tempfile::tempdir().unwrap());
    base.build_watched(&codes(dir.path()), Some(&CALIBRATOR), &spandrel_builder::Silent).unwrap();
    let engine = pageless(dir.path());
    let queries = generated(base.rows.len()).1;
    let params = SearchParams { recall: Some(0.8), max_lists: Some(100), ..SearchParams::new(K) };
    assert!(engine.index().found_lists() > 100);
    let answers = engine.search(queries.bytes(), &params).unwrap();
    assert_eq!(answers.len(), QUERIES);
    for answer in &answers {
        assert!(answer.neighbours.is_empty() && answer.missing.pages > 0, "nothing could be read");
        assert_eq!(answer.limited_by, None, "{:?}", answer.work);
    }
    assert!(answers.iter().all(|answer| answer.work.lists > 100), "lists that are shared come besides");
}
