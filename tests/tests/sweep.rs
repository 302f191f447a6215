//! The short form of the sweep; `spandrel-sweep` runs the long one.
use spandrel_tests::sweep::sweep;

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
