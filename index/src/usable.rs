//! Which vectors have a distance to others.
use crate::{DType, Metric, for_each_element, norm_squared};

/// Largest squared length of a vector or a query: the squared distance of two, at most four times as much, and
/// their inner product then stay finite in single precision.
pub const NORM_SQUARED_MAX: f64 = 8e37;
/// Least squared length under cosine: what is shorter has too few digits left in its inner products.
const NORM_SQUARED_MIN: f64 = 1.0 / NORM_SQUARED_MAX;

/// Why a vector has no distance to others.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum Unusable {
    /// NaN or an infinity.
    #[error("element {element} is {value}, not a finite number")]
    NotFinite {
        /// Number of the element.
        element: usize,
        /// Value of the element: NaN or an infinity.
        value: f32,
    },
    /// Distances might overflow single precision. Scale vectors and queries down together.
    #[error("values too large to square, expected a length of at most 8.9e18")]
    TooLong,
    /// Too few digits would be left of its cosines. Scale it up: that changes no cosine.
    #[error("values too small to square, expected a length of at least 1.2e-19 under cosine")]
    TooShort,
    /// A zero vector has no direction.
    #[error("a zero vector, which has no cosine")]
    Zero,
}

/// The squared length of a vector that has a distance to others.
///
/// # Errors
/// [`Unusable`].
pub fn check_vector(metric: Metric, dtype: DType, vector: &[u8]) -> Result<f64, Unusable> {
    let squared = norm_squared(dtype, vector);
    if !squared.is_finite() {
        return Err(first_not_finite(dtype, vector));
    }
    match metric {
        _ if squared > NORM_SQUARED_MAX => Err(Unusable::TooLong),
        Metric::Cosine if squared == 0.0 => Err(Unusable::Zero),
        Metric::Cosine if squared < NORM_SQUARED_MIN => Err(Unusable::TooShort),
        _ => Ok(squared),
    }
}

/// As [`check_vector`], for rows back to back: the first that has none, with its number.
///
/// # Errors
/// [`Unusable`].
pub fn check_vectors(
    metric: Metric,
    dtype: DType,
    row_bytes: usize,
    rows: &[u8],
) -> Result<(), (usize, Unusable)> {
    // Bytes are long enough unless they are all zero, and never too long.
    if dtype.is_integer() && metric != Metric::Cosine {
        return Ok(());
    }
    let check = |(row, vector)| check_vector(metric, dtype, vector).map_err(|found| (row, found)).map(drop);
    rows.chunks_exact(row_bytes).enumerate().try_for_each(check)
}

/// Of a vector that has one: squares of single precision are finite in double precision.
fn first_not_finite(dtype: DType, vector: &[u8]) -> Unusable {
    let (mut element, mut found) = (0, None);
    for_each_element(dtype, vector, |value| {
        if !value.is_finite() {
            found.get_or_insert(Unusable::NotFinite { element, value });
        }
        element += 1;
    });
    match found {
        Some(found) => found,
        None => unreachable!("a sum of squares that are finite"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(metric: Metric, row: &[f32]) -> Result<f64, Unusable> {
        let bytes: Vec<u8> = row.iter().flat_map(|x| x.to_le_bytes()).collect();
        check_vector(metric, DType::F32, &bytes)
    }

    #[test]
    fn values_without_a_distance_are_named() {
        assert_eq!(check(Metric::L2, &[3.0, 4.0]), Ok(25.0));
        assert!(matches!(check(Metric::L2, &[0.0, f32::NAN]), Err(Unusable::NotFinite { element: 1, .. })));
        for value in [f32::INFINITY, f32::NEG_INFINITY] {
            let found = check(Metric::InnerProduct, &[value, f32::INFINITY]);
            assert_eq!(found, Err(Unusable::NotFinite { element: 0, value }));
        }
        assert_eq!(check(Metric::L2, &[3e38, 0.0]), Err(Unusable::TooLong));
        assert_eq!(check(Metric::L2, &[8e18, 5e18]), Err(Unusable::TooLong));
        assert_eq!(check(Metric::Cosine, &[0.0, -0.0]), Err(Unusable::Zero));
        assert_eq!(check(Metric::Cosine, &[1e-19, 0.0]), Err(Unusable::TooShort));
        assert!(check(Metric::Cosine, &[1.2e-19, 0.0]).is_ok());
        assert_eq!(check(Metric::L2, &[0.0, 0.0]), Ok(0.0));
    }

    #[test]
    fn the_first_of_rows_is_named() {
        for dtype in DType::ALL {
            let one = match dtype {
                DType::F32 => 1.0_f32.to_le_bytes().to_vec(),
                DType::F16 => half::f16::ONE.to_le_bytes().to_vec(),
                DType::I8 | DType::U8 => vec![1],
            };
            let zero = vec![0; dtype.bytes()];
            let rows = [&one, &zero, &zero, &zero, &zero, &zero].map(|x| x.as_slice()).concat();
            let check = |metric| check_vectors(metric, dtype, dtype.row_bytes(2), &rows);
            assert_eq!(check(Metric::Cosine), Err((1, Unusable::Zero)), "{dtype}");
            assert_eq!((check(Metric::L2), check(Metric::InnerProduct)), (Ok(()), Ok(())), "{dtype}");
        }
    }
}
