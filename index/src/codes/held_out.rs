//! Vectors that train no code where there are few, so that they can stand for queries.
use xxhash_rust::xxh3::xxh3_64;

use super::spec::CodeSpec;

/// Of fewer vectors than this many times their dimension some are held out. A code fits the rows that it was trained with: along the first
/// principal axes of `n` rows of `d` normal numbers, these rows are spread up to `(1 + sqrt(d / n))^2` times as much as others (Marchenko and
/// Pastur, "Distribution of eigenvalues for some sets of random matrices", 1967), and as queries they are told apart better.
const ROWS_PER_DIM: u64 = 32;
/// Fewer vectors would leave too few queries.
const VECTORS_MIN: u64 = 400;
/// One vector in this many is held out.
const ONE_OF: u64 = 4;

impl CodeSpec {
    /// Whether some of `vectors` vectors of `dim` elements, those of [`is_held_out`], train no code.
    pub fn holds_out(self, vectors: u64, dim: usize) -> bool {
        let is_trained = match self {
            CodeSpec::Axes { .. } | CodeSpec::Products { .. } | CodeSpec::Recurrent { .. } => true,
            CodeSpec::Full | CodeSpec::RaBitQ { .. } | CodeSpec::Binary => false,
        };
        is_trained && (VECTORS_MIN..ROWS_PER_DIM * dim as u64).contains(&vectors) // CAST: widening
    }
}

/// Whether a vector is one of those that are held out, by its bytes: equal vectors are alike in this.
pub fn is_held_out(vector: &[u8]) -> bool {
    xxh3_64(vector).is_multiple_of(ONE_OF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_vectors_hold_a_quarter_out() {
        let axes = CodeSpec::Axes { bytes: 32 };
        assert!(axes.holds_out(4095, 128) && !axes.holds_out(4096, 128) && !axes.holds_out(399, 128));
        assert!(!CodeSpec::RaBitQ { bits: 4 }.holds_out(1000, 128));
        let held = (0..4000_u32).filter(|row| is_held_out(&row.to_le_bytes())).count();
        assert!((900..1100).contains(&held), "{held}");
    }
}
