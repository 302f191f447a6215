//! The short form of the sweep; `spandrel-sweep` runs the long one.
use spandrel_tests::sweep::{Fault, sweep};

const CASES: u64 = 300;
/// Faults that are known and not mended yet.
const KNOWN: [Fault; 2] = [Fault::RefusedK, Fault::TooFew];

#[test]
fn small_cases_agree_with_brute_force() {
    let report = sweep(1, 0..CASES, 2, &|_| {}).unwrap();
    assert_eq!(report.cases, CASES);
    let new = report.faults.keys().any(|fault| !KNOWN.contains(fault));
    let falls = report.falling().iter().any(|trend| !trend.contains("estimates by a count"));
    assert!(!new && !falls, "{report}");
}
