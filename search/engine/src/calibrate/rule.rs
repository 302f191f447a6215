//! What a further query is to expect, after the losses of others.

/// A query misses so much more than a row of the index, in whose list it lies itself: 1.06 times on SIFT descriptors,
/// 1.13 to 1.2 on sentence embeddings.
pub(super) const STRANGER_MISSES: f64 = 1.15;

/// The recall that a further query is to expect at least, after losses of rows of the index.
pub(super) fn expected(losses: &[f64]) -> f64 {
    let missed = STRANGER_MISSES * losses.iter().sum::<f64>();
    // The allowance for strangers takes no more than there is.
    (1.0 - (missed + 1.0) / (losses.len() as f64 + 1.0)).max(0.0) // CAST: exact
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_further_query_counts_as_a_miss() {
        assert_eq!(expected(&[0.0; 19]), 0.95);
        assert_eq!(expected(&[1.0; 50]), 0.0, "no recall is less than none");
        let (few, many) = (expected(&[0.02; 50]), expected(&[0.02; 5000]));
        assert!(few < many && many < 1.0 - 0.02 * STRANGER_MISSES, "{few} {many}");
    }
}
