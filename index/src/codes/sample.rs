//! Which residuals are coded to learn what codes are like.

/// Residuals that are coded to learn what codes are like.
pub(super) const MEASURED_ROWS: usize = 2048;

/// Residuals to be coded to learn what codes are like: from all over, since neighbours in a sample come from lists near
/// each other.
pub(super) fn measured_rows(residuals: &[f32], dim: usize) -> Vec<f32> {
    let all = residuals.len() / dim;
    let count = all.min(MEASURED_ROWS);
    (0..count).flat_map(|at| &residuals[at * all / count * dim..][..dim]).copied().collect()
}
