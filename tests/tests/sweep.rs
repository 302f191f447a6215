//! The short form of the sweep; `spandrel-sweep` runs the long one.
use bytes::Bytes;
use spandrel_engine::{RangeParams, RangeRequest};
use spandrel_index::{Metric, OpenOptions, Tier};
use spandrel_tests::sweep::{Case, exact_distance, sweep};

use crate::support::open_engine_with;

const CASES: u64 = 300;

#[test]
fn small_cases_agree_with_brute_force() {
    let report = sweep(1, 0..CASES, 2, &|_, _| {}).unwrap();
    assert_eq!(report.cases, CASES);
    assert!(report.faults.is_empty() && report.falling().is_empty(), "{report}");
}

/// Half of the columns are constant, and a few vectors lose far more there than others: estimates were wrong by ten of their errors,
/// and searches within a radius missed these vectors.
#[test]
fn vectors_within_a_radius_are_found_though_columns_are_constant() {
    for number in [9_257, 11_521, 13_663, 13_758] {
        let report = sweep(12, number..number + 1, 1, &|_, _| {}).unwrap();
        assert!(report.faults.is_empty(), "{report}");
    }
}

/// Codes in memory lie in other blocks than in the lists, and steps as coarse as an outlier makes them were taken for finer ones there:
/// estimates were wrong by three thousand of their errors. Errors that are small on average where a query lies were wrong by nine for a vector
/// whose code loses most there.
#[test]
fn every_vector_is_found_within_its_own_distance() {
    for number in [39, 472, 992, 1190] {
        let case = Case::of(901, number);
        let (base, queries) = case.data().unwrap();
        let dir = tempfile::tempdir().unwrap();
        base.build(&case.build(dir.path(), false, Tier::Memory)).unwrap();
        let options = OpenOptions { vectors: Some(Tier::Memory), ..OpenOptions::default() };
        let engine = open_engine_with(dir.path(), options);
        for query in 0..spandrel_tests::count(&queries) {
            for row in 0..case.vectors {
                let distance =
                    exact_distance(case.metric, case.dtype, queries.row(query), base.rows.row(row));
                // Single precision is off by less.
                let more = if case.metric == Metric::Cosine { 1e-5 } else { 1e-5 * distance };
                let params = RangeParams::new((distance + more) as f32);
                let query = Bytes::copy_from_slice(queries.row(query));
                let request = RangeRequest { query, params, deadline: None, stop: None };
                let mut search = engine.range(request).unwrap();
                let mut is_found = false;
                while let Some(part) = search.next(&engine).unwrap() {
                    is_found |= part.iter().any(|found| found.id == base.id(row));
                }
                assert!(is_found, "{case}, row {row} at {distance}");
            }
        }
    }
}
