//! Work on rows by the threads of the pool that it is called in.
use rayon::prelude::*;

/// Fills rows of `width` values, a part by each thread of the pool that this is called in, if any. `fill` is told the number of the first row.
pub(super) fn on_this_pool(rows: &mut [f32], width: usize, fill: impl Fn(usize, &mut [f32]) + Sync) {
    let threads = rayon::current_thread_index().map_or(1, |_| rayon::current_num_threads());
    if threads == 1 {
        return fill(0, rows);
    }
    let together = (rows.len() / width).div_ceil(threads).max(1);
    let parts = rows.par_chunks_mut(together * width).enumerate();
    parts.for_each(|(number, rows)| fill(number * together, rows));
}
