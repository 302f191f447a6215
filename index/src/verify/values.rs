//! Whether a stored vector is one that a build takes.
use crate::{DType, Metric, Segment, for_each_element, inverse_norm};

/// A stored norm may differ from ours by the rounding of a sum.
const NORM_TOLERANCE: f32 = 1e-5;

/// Checks that the elements are numbers and the norm is theirs: what was found and expected if not.
pub(super) fn check_values(
    segment: &Segment,
    vector: &[u8],
    norm: Option<f32>,
) -> Result<(), (String, String)> {
    let (metric, dtype) = (segment.shape().metric, segment.shape().dtype);
    if matches!(dtype, DType::F32 | DType::F16) {
        let mut wrong = None;
        for_each_element(dtype, vector, |x| {
            if !x.is_finite() {
                wrong = Some(x);
            }
        });
        if let Some(x) = wrong {
            return Err((format!("an element {x}"), "finite elements".into()));
        }
    }
    if metric == Metric::Cosine {
        let (found, expected) = (norm.unwrap_or_default(), inverse_norm(dtype, vector));
        if !(expected > 0.0 && (found - expected).abs() <= expected * NORM_TOLERANCE) {
            return Err((format!("an inverse norm of {found}"), format!("{expected}, above 0")));
        }
    }
    Ok(())
}
