//! Registers of row elements: integers widened to sixteen i16, floats to eight f32.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use crate::kernels::lane::Lane;

/// Ones after zeros: an AND with 32 bytes from `n` on keeps the last `n` bytes of a register.
static KEEP_LAST: [u8; 64] = {
    let mut table = [0; 64];
    let mut i = 32;
    while i < 64 {
        table[i] = 0xff;
        i += 1;
    }
    table
};

/// Loads 16 bytes before `end` and zeroes all but the last `bytes`.
///
/// # Safety
/// 16 bytes can be read before `end`, and `bytes <= 16`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load_end_16(end: *const u8, bytes: usize) -> __m128i {
    // SAFETY: by the contract; the table has 64 bytes and `16 + bytes + 16 <= 48`.
    unsafe {
        let keep = _mm_loadu_si128(KEEP_LAST.as_ptr().add(16 + bytes).cast());
        _mm_and_si128(_mm_loadu_si128(end.sub(16).cast()), keep)
    }
}

/// The four totals of four registers of four sums each, both halves added first.
#[inline]
#[target_feature(enable = "avx2")]
pub(in crate::kernels) fn totals_i32(sums: [__m256i; 4]) -> [f32; 4] {
    let ab = _mm256_hadd_epi32(sums[0], sums[1]);
    let cd = _mm256_hadd_epi32(sums[2], sums[3]);
    let abcd = _mm256_hadd_epi32(ab, cd);
    let total = _mm_add_epi32(_mm256_castsi256_si128(abcd), _mm256_extracti128_si256::<1>(abcd));
    let mut out = [0.0; 4];
    // SAFETY: four floats fit the array.
    unsafe { _mm_storeu_ps(out.as_mut_ptr(), _mm_cvtepi32_ps(total)) };
    out
}

#[inline]
#[target_feature(enable = "avx2")]
pub(in crate::kernels) fn totals_f32(even: [__m256; 4], odd: [__m256; 4]) -> [f32; 4] {
    let sum = |i: usize| _mm256_add_ps(even[i], odd[i]);
    let ab = _mm256_hadd_ps(sum(0), sum(1));
    let cd = _mm256_hadd_ps(sum(2), sum(3));
    let abcd = _mm256_hadd_ps(ab, cd);
    let total = _mm_add_ps(_mm256_castps256_ps128(abcd), _mm256_extractf128_ps::<1>(abcd));
    let mut out = [0.0; 4];
    // SAFETY: four floats fit the array.
    unsafe { _mm_storeu_ps(out.as_mut_ptr(), total) };
    out
}

/// A lane of sixteen i16, made from 16 bytes by the named widening. Sums are exact: a square or product of
/// two elements stays below 2^16, and `DIM_MAX` of them below 2^31.
macro_rules! integer_lane {
    ($name:ident, $widen:ident) => {
        pub(super) struct $name;

        impl Lane for $name {
            type Wide = __m256i;
            type Sum = __m256i;
            const BYTES: usize = 16;

            #[inline]
            #[target_feature(enable = "avx2")]
            unsafe fn zero() -> __m256i {
                _mm256_setzero_si256()
            }

            #[inline]
            #[target_feature(enable = "avx2")]
            unsafe fn load(at: *const u8) -> __m256i {
                // SAFETY: by the contract.
                $widen(unsafe { _mm_loadu_si128(at.cast()) })
            }

            #[inline]
            #[target_feature(enable = "avx2")]
            unsafe fn load_end(end: *const u8, bytes: usize) -> __m256i {
                // SAFETY: by the contract.
                $widen(unsafe { load_end_16(end, bytes) })
            }

            #[inline]
            #[target_feature(enable = "avx2")]
            unsafe fn add_square(sum: __m256i, a: __m256i, b: __m256i) -> __m256i {
                let d = _mm256_sub_epi16(a, b);
                _mm256_add_epi32(sum, _mm256_madd_epi16(d, d))
            }

            #[inline]
            #[target_feature(enable = "avx2")]
            unsafe fn add_product(sum: __m256i, a: __m256i, b: __m256i) -> __m256i {
                _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))
            }

            #[inline]
            #[target_feature(enable = "avx2")]
            unsafe fn totals(even: [__m256i; 4], odd: [__m256i; 4]) -> [f32; 4] {
                let sum = |i: usize| _mm256_add_epi32(even[i], odd[i]);
                totals_i32([sum(0), sum(1), sum(2), sum(3)])
            }

            #[inline]
            fn prefetch(at: *const u8) {
                // SAFETY: a hint, which reads nothing, on an instruction of every x86-64.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
            }
        }
    };
}

integer_lane!(U8, _mm256_cvtepu8_epi16);
integer_lane!(I8, _mm256_cvtepi8_epi16);

/// A lane of eight f32, loaded by the named functions.
macro_rules! float_lane {
    ($name:ident, $bytes:expr, $at:ident => $load:expr, ($end:ident, $count:ident) => $load_end:expr) => {
        pub(super) struct $name;

        impl Lane for $name {
            type Wide = __m256;
            type Sum = __m256;
            const BYTES: usize = $bytes;

            #[inline]
            #[target_feature(enable = "avx2,fma,f16c")]
            unsafe fn zero() -> __m256 {
                _mm256_setzero_ps()
            }

            #[inline]
            #[target_feature(enable = "avx2,fma,f16c")]
            unsafe fn load($at: *const u8) -> __m256 {
                // SAFETY: by the contract.
                unsafe { $load }
            }

            #[inline]
            #[target_feature(enable = "avx2,fma,f16c")]
            unsafe fn load_end($end: *const u8, $count: usize) -> __m256 {
                // SAFETY: by the contract; the mask table has 64 bytes and at most `count + 32` are used.
                unsafe { $load_end }
            }

            #[inline]
            #[target_feature(enable = "avx2,fma,f16c")]
            unsafe fn add_square(sum: __m256, a: __m256, b: __m256) -> __m256 {
                let d = _mm256_sub_ps(a, b);
                _mm256_fmadd_ps(d, d, sum)
            }

            #[inline]
            #[target_feature(enable = "avx2,fma,f16c")]
            unsafe fn add_product(sum: __m256, a: __m256, b: __m256) -> __m256 {
                _mm256_fmadd_ps(a, b, sum)
            }

            #[inline]
            #[target_feature(enable = "avx2,fma,f16c")]
            unsafe fn totals(even: [__m256; 4], odd: [__m256; 4]) -> [f32; 4] {
                totals_f32(even, odd)
            }

            #[inline]
            fn prefetch(at: *const u8) {
                // SAFETY: a hint, which reads nothing, on an instruction of every x86-64.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
            }
        }
    };
}

float_lane!(F16, 16,
    at => _mm256_cvtph_ps(_mm_loadu_si128(at.cast())),
    (end, count) => _mm256_cvtph_ps(load_end_16(end, count)));
float_lane!(F32, 32,
    at => _mm256_loadu_ps(at.cast()),
    (end, count) => _mm256_and_ps(
        _mm256_loadu_ps(end.sub(32).cast()),
        _mm256_loadu_ps(KEEP_LAST.as_ptr().add(count).cast())));
