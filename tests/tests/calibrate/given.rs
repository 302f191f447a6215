//! Calibration with queries that are given.
use std::error::Error as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use spandrel_builder::{BuildError, Silent, recalibrate};
use spandrel_datasets::Rows;
use spandrel_engine::{Answer, CalibrateParams, GivenQueries, SearchParams, Truth};
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::{RecallCurves, RecallSource};
use spandrel_index::{DType, Metric, Tier};
use spandrel_tests::{Base, Calibrator, LIMITS, clustered, coded};

use super::{build, recall};
use crate::support::{every_list, open_engine};

/// `count` queries around the centres of the base, but much farther from them.
fn foreign(count: usize, seed: u64) -> Rows {
    let rows = clustered(DType::U8, 16, count, seed);
    let other = clustered(DType::U8, 16, count, seed + 100);
    let far = rows.bytes().iter().zip(other.bytes());
    let bytes = far.map(|(&a, &b)| (u16::from(a) / 2 + u16::from(b) / 2) as u8).collect();
    Rows::new(DType::U8, 16, bytes).unwrap()
}

#[test]
fn foreign_queries_keep_their_recall_once_they_were_given() {
    let dir = tempfile::tempdir().unwrap();
    let base = Base::new(clustered(DType::U8, 16, 12_000, 1));
    build(&base, &coded(Metric::L2, CodeSpec::Axes { bytes: 12 }, Tier::Memory, dir.path()));
    let further = foreign(600, 50);
    let by = |dir: &Path| {
        let engine = open_engine(dir);
        let truth = engine.search(further.bytes(), &every_list(10)).unwrap();
        let ask = |params: SearchParams| {
            recall(Metric::L2, &engine.search(further.bytes(), &params).unwrap(), &truth)
        };
        let asked = |target| ask(SearchParams { recall: Some(target), ..SearchParams::new(10) });
        (engine.index().recall().unwrap().clone(), [0.8, 0.9, 0.95].map(asked))
    };
    let (rows, before) = by(dir.path());
    assert!(before[2] < 0.93, "rows know too little of these queries: {before:?}");
    // A truth for 100 does not tell what is as near as the last, and which of these is named makes a difference.
    let (more, is_told) =
        (foreign(1700, 60), |a: &Answer| a.neighbours[99].distance < a.neighbours[100].distance);
    let answers = open_engine(dir.path()).search(more.bytes(), &every_list(101)).unwrap();
    let told = answers.iter().zip(more.bytes().chunks(16)).filter(|(answer, _)| is_told(answer));
    let untied: Vec<u8> = told.flat_map(|(_, row)| row).copied().take(1500 * 16).collect();
    let given = Rows::new(DType::U8, 16, untied).unwrap();
    let again = |truth: Option<Truth<'_>>, confidence| {
        let given = Some(GivenQueries { rows: given.bytes(), truth });
        let params = CalibrateParams { given, confidence, limits: LIMITS };
        let stop = AtomicBool::new(false);
        recalibrate(dir.path(), &Calibrator(params), &Silent, &stop).map(Option::unwrap)
    };
    again(None, None).unwrap();
    let (computed, found) = by(dir.path());
    assert_eq!((rows.source, computed.source), (RecallSource::Rows, RecallSource::Queries));
    assert_eq!(computed.curves.iter().find(|curve| curve.k == 10).unwrap().queries, 1000);
    for (found, target) in found.into_iter().zip([0.8, 0.9, 0.95]) {
        // Three standard errors at 600 queries, and what lies between two points.
        assert!((target - 0.015..target + 0.03).contains(&found), "{target}: {found}");
    }
    // The same with a truth that is given, for each number of neighbours up to its own.
    let exact = open_engine(dir.path()).search(given.bytes(), &every_list(100)).unwrap();
    let neighbours: Vec<_> = exact.iter().flat_map(|answer| &answer.neighbours).collect();
    let mut ids: Vec<u64> = neighbours.iter().map(|n| n.id).collect();
    let distances: Vec<f32> = neighbours.iter().map(|n| n.distance).collect();
    fn truth<'a>(ids: &'a [u64], distances: &'a [f32]) -> Option<Truth<'a>> {
        Some(Truth { ids, distances, columns: 100 })
    }
    let told = again(truth(&ids, &distances), None).unwrap().recall;
    let up_to_100 = |curves: &RecallCurves| {
        curves.curves.iter().filter(|curve| curve.k <= 100).cloned().collect::<Vec<_>>()
    };
    assert_eq!((up_to_100(&told), told.curves.len()), (up_to_100(&computed), 8));
    // A bound is more than an expectation.
    let bound = again(truth(&ids, &distances), Some(0.95)).unwrap().recall;
    let at =
        |curves: &RecallCurves| curves.curves[1].points.iter().map(|point| point.recall).fold(0.0, f64::max);
    assert!(bound.confidence == Some(0.95) && at(&bound) < at(&told), "{} {}", at(&bound), at(&told));
    // A truth of something else.
    let reason = |error: BuildError| error.source().unwrap().to_string();
    let good = ids[99];
    ids[99] = 77_777;
    assert!(
        reason(again(truth(&ids, &distances), None).unwrap_err())
            .ends_with("names the id 77777, which no vector of the index has")
    );
    ids[99] = ids[98];
    assert!(reason(again(truth(&ids, &distances), None).unwrap_err()).ends_with("twice"));
    ids[99] = good;
    ids.iter_mut().for_each(|id| *id = (*id + 1) % 12_000);
    assert!(reason(again(truth(&ids, &distances), None).unwrap_err()).contains("by an exact search"));
    let fewer = again(truth(&ids[100..], &distances), None).unwrap_err();
    assert!(reason(fewer).contains("149900 true neighbours are given, expected 100 for each of 1500"));
    assert!(reason(again(None, Some(1.0)).unwrap_err()).starts_with("confidence is 1,"));
}
