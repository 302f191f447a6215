//! Whether a stored vector is one that a build takes.
use crate::{Metric, VectorsShape, check_vector, inverse_norm};

/// A stored norm may differ from ours by the rounding of a sum.
const NORM_TOLERANCE: f32 = 1e-5;

/// Checks that a vector has a distance to others and the norm is its own: what was found and expected if not.
pub(super) fn check_values(
    shape: VectorsShape,
    vector: &[u8],
    norm: Option<f32>,
) -> Result<(), (String, String)> {
    let VectorsShape { metric, dtype, .. } = shape;
    check_vector(metric, dtype, vector)
        .map_err(|found| (format!("unusable ({found})"), "a vector with a distance to others".into()))?;
    if metric == Metric::Cosine {
        let (found, expected) = (norm.unwrap_or_default(), inverse_norm(dtype, vector));
        if !(expected > 0.0 && (found - expected).abs() <= expected * NORM_TOLERANCE) {
            return Err((format!("an inverse norm of {found}"), format!("{expected}, above 0")));
        }
    }
    Ok(())
}
