//! The short form of the sweep; `spandrel-sweep` runs the long one.
use spandrel_tests::sweep::sweep;

const CASES: u64 = 300;

#[test]
fn small_cases_agree_with_brute_force() {
    let report = sweep(1, 0..CASES, 2, &|_, _| {}).unwrap();
    assert_eq!(report.cases, CASES);
    assert!(report.faults.is_empty() && report.falling().is_empty(), "{report}");
}
