//! Element types of both sides.
use numkong::{Angular, Angulars, Dot, Dots, Euclidean, Euclideans, f16};
use spandrel_index::{DType, Metric};

/// An element type of ours and what it is called there.
pub(crate) trait Element: Dots + Euclideans + Angulars + Dot + Euclidean + Angular {
    const DTYPE: DType;

    /// Of a small number: itself, its amount, or a part.
    fn of(number: i32) -> Self;
    fn bytes(rows: &[Self]) -> Vec<u8>;
    /// By numkong's kernel for a pair.
    fn pair(metric: Metric, a: &[Self], b: &[Self]) -> f64;
}

macro_rules! element {
    ($of:ty, $dtype:ident, $make:expr, $bytes:expr) => {
        impl Element for $of {
            const DTYPE: DType = DType::$dtype;

            fn of(number: i32) -> $of {
                ($make)(number)
            }

            fn bytes(rows: &[$of]) -> Vec<u8> {
                rows.iter().flat_map($bytes).collect()
            }

            fn pair(metric: Metric, a: &[$of], b: &[$of]) -> f64 {
                match metric {
                    Metric::L2 => f64::from(<$of>::sqeuclidean(a, b).expect("equal lengths")),
                    Metric::InnerProduct => f64::from(<$of>::dot(a, b).expect("equal lengths")),
                    Metric::Cosine => f64::from(<$of>::angular(a, b).expect("equal lengths")),
                }
            }
        }
    };
}

element!(u8, U8, |x: i32| x.unsigned_abs() as u8, |x: &u8| x.to_le_bytes());
element!(i8, I8, |x: i32| x as i8, |x: &i8| x.to_le_bytes());
element!(f16, F16, |x: i32| f16::from_f32(x as f32 / 64.0), |x: &f16| x.0.to_le_bytes());
element!(f32, F32, |x: i32| x as f32 / 64.0, |x: &f32| x.to_le_bytes());

/// Small numbers with both signs that follow no pattern.
pub(crate) fn random_rows<T: Element>(count: usize, dim: usize, seed: u64) -> Vec<T> {
    let mut state = seed;
    let mut next = || {
        // The generator splitmix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        T::of(((mixed >> 33) % 121) as i32 - 60)
    };
    (0..count * dim).map(|_| next()).collect()
}

/// Small numbers with both signs.
pub(crate) fn rows<T: Element>(count: usize, dim: usize, first: usize) -> Vec<T> {
    let number = |i: usize| ((i + first).wrapping_mul(2_654_435_761) >> 7) as i32 % 61;
    (0..count * dim).map(|i| T::of(number(i))).collect()
}
