//! Sums that are the same on every machine.

/// The sum of squares. Adds up side by side, so that no sum waits for the one before, in an order that no instruction set changes.
pub(super) fn squared_length(values: &[f32]) -> f64 {
    const LANES: usize = 16;
    let mut sums = [0.0; LANES];
    for chunk in values.chunks(LANES) {
        sums.iter_mut().zip(chunk).for_each(|(sum, &x)| *sum += f64::from(x) * f64::from(x));
    }
    sums.iter().sum()
}
