//! Medians of runs in turn.
use std::time::Instant;

/// Rows that one query is compared with.
pub(crate) const PAIR_ROWS: usize = 64;
/// The median of this number of runs is taken, one kernel after the other in each.
const RUNS: usize = 15;
const ELEMENTS_A_RUN: usize = 1 << 21;

/// Nanoseconds a pair of each kernel, which compares `pairs` pairs of `dim` elements a call.
pub(crate) fn medians<const N: usize>(
    dim: usize,
    pairs: usize,
    mut kernels: [&mut dyn FnMut(); N],
) -> [f64; N] {
    let calls = (ELEMENTS_A_RUN / ((dim + 64) * pairs)).max(1);
    let mut runs = [const { Vec::new() }; N];
    for _ in 0..RUNS {
        for (kernel, runs) in kernels.iter_mut().zip(&mut runs) {
            let start = Instant::now();
            (0..calls).for_each(|_| kernel());
            runs.push(start.elapsed().as_nanos() as f64 / (calls * pairs) as f64);
        }
    }
    runs.map(|mut runs| {
        runs.sort_by(f64::total_cmp);
        runs[runs.len() / 2]
    })
}
