//! Elements as numbers: those of every type, and into a type where it holds them.
use half::f16;

use crate::DType;

/// The least number that rounds to an infinity as f16.
const F16_OVERFLOWS: f32 = 65_520.0;

/// The elements of rows as f32, which holds those of every type exactly.
pub fn decode(dtype: DType, bytes: &[u8]) -> Vec<f32> {
    let mut out = Vec::new();
    decode_into(dtype, bytes, &mut out);
    out
}

/// Replaces `out` with the elements of rows.
pub fn decode_into(dtype: DType, bytes: &[u8], out: &mut Vec<f32>) {
    out.clear();
    match dtype {
        DType::F32 => out.extend(bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b))),
        DType::F16 => out.extend(bytes.as_chunks::<2>().0.iter().map(|&b| f16::from_le_bytes(b).to_f32())),
        DType::I8 => out.extend(bytes.iter().map(|&b| f32::from(b.cast_signed()))),
        DType::U8 => out.extend(bytes.iter().map(|&b| f32::from(b))),
    }
}

/// Appends numbers as elements of a type: f16 rounds to nearest, bytes hold whole numbers in their range. NaN and infinities
/// stay what they are as floats.
///
/// # Errors
/// The place of the first number that the type cannot hold; nothing is appended.
pub fn encode(dtype: DType, numbers: &[f32], out: &mut Vec<u8>) -> Result<(), usize> {
    match dtype {
        DType::F32 => out.extend(numbers.iter().flat_map(|x| x.to_le_bytes())),
        DType::F16 => {
            check(numbers, |x| !x.is_finite() || x.abs() < F16_OVERFLOWS)?;
            out.extend(numbers.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()));
        }
        DType::I8 => {
            check(numbers, |x| (-128.0..=127.0).contains(&x) && x.fract() == 0.0)?;
            out.extend(numbers.iter().map(|&x| (x as i8).cast_unsigned())); // CAST: `check` lets whole numbers from -128 to 127 through
        }
        DType::U8 => {
            check(numbers, |x| (0.0..=255.0).contains(&x) && x.fract() == 0.0)?;
            out.extend(numbers.iter().map(|&x| x as u8)); // CAST: `check` lets whole numbers from 0 to 255 through
        }
    }
    Ok(())
}

/// The place of the first number that does not hold, as an error.
fn check(numbers: &[f32], holds: impl Fn(f32) -> bool) -> Result<(), usize> {
    numbers.iter().position(|&x| !holds(x)).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused() {
        let refused = |dtype, value| {
            let mut out = vec![7];
            let refused = encode(dtype, &[1.0, value], &mut out) == Err(1);
            assert_eq!(refused, out == [7]);
            refused
        };
        for value in [-1.0, 256.0, 0.5, f32::NAN, f32::INFINITY] {
            assert!(refused(DType::U8, value), "{value}");
        }
        for value in [-129.0, 128.0, -0.5, f32::NAN] {
            assert!(refused(DType::I8, value), "{value}");
        }
        for value in [70_000.0, -70_000.0, F16_OVERFLOWS] {
            assert!(refused(DType::F16, value), "{value}");
        }
        for value in [0.1, f32::NAN, f32::NEG_INFINITY, F16_OVERFLOWS.next_down(), -65_504.0] {
            assert!(!refused(DType::F16, value), "{value}");
        }
    }

    #[test]
    fn every_element_survives() {
        let bytes: Vec<u8> = (0..=255).collect();
        for dtype in [DType::U8, DType::I8] {
            let mut out = Vec::new();
            encode(dtype, &decode(dtype, &bytes), &mut out).unwrap();
            assert_eq!(out, bytes);
        }
        let halves: Vec<u8> =
            (0..=u16::MAX).filter(|&x| !f16::from_bits(x).is_nan()).flat_map(u16::to_le_bytes).collect();
        let mut out = Vec::new();
        encode(DType::F16, &decode(DType::F16, &halves), &mut out).unwrap();
        assert_eq!(out, halves);
    }
}
