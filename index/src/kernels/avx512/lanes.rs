//! Registers of row elements: integers widened to thirty-two i16, floats to sixteen f32.
//!
//! The end of a row is loaded under a mask, so rows of any length are served.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use crate::kernels::avx2::lanes::{totals_f32, totals_i32};
use crate::kernels::lane::Lane;

/// A lane of thirty-two i16, made from 32 bytes by the named widening.
macro_rules! integer_lane {
    ($name:ident, $widen:ident) => {
        pub(super) struct $name;

        impl Lane for $name {
            type Wide = __m512i;
            type Sum = __m512i;
            const BYTES: usize = 32;
            const LEAST: usize = 1;

            #[inline]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
            unsafe fn zero() -> __m512i {
                _mm512_setzero_si512()
            }

            #[inline]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
            unsafe fn load(at: *const u8) -> __m512i {
                // SAFETY: by the contract.
                $widen(unsafe { _mm256_loadu_si256(at.cast()) })
            }

            #[inline]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
            unsafe fn load_end(end: *const u8, bytes: usize) -> __m512i {
                let mask = (1u32 << bytes) - 1;
                // SAFETY: by the contract; bytes outside the mask are not read.
                $widen(unsafe { _mm256_maskz_loadu_epi8(mask, end.sub(bytes).cast()) })
            }

            #[inline]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
            unsafe fn add_square(sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
                let d = _mm512_sub_epi16(a, b);
                _mm512_dpwssd_epi32(sum, d, d)
            }

            #[inline]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
            unsafe fn add_product(sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
                _mm512_dpwssd_epi32(sum, a, b)
            }

            #[inline]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
            unsafe fn totals(even: [__m512i; 4], odd: [__m512i; 4]) -> [f32; 4] {
                let half = |i: usize| {
                    let sum = _mm512_add_epi32(even[i], odd[i]);
                    _mm256_add_epi32(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64::<1>(sum))
                };
                totals_i32([half(0), half(1), half(2), half(3)])
            }

            #[inline]
            fn prefetch(at: *const u8) {
                // SAFETY: a hint, which reads nothing, on an instruction of every x86-64.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
            }
        }
    };
}

integer_lane!(U8, _mm512_cvtepu8_epi16);
integer_lane!(I8, _mm512_cvtepi8_epi16);

/// A lane of sixteen f32, loaded by the named functions.
macro_rules! float_lane {
    ($name:ident, $bytes:expr, $at:ident => $load:expr, ($end:ident, $count:ident) => $load_end:expr) => {
        pub(super) struct $name;

        impl Lane for $name {
            type Wide = __m512;
            type Sum = __m512;
            const BYTES: usize = $bytes;
            const LEAST: usize = 1;

            #[inline]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
            unsafe fn zero() -> __m512 {
                _mm512_setzero_ps()
            }

            #[inline]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
            unsafe fn load($at: *const u8) -> __m512 {
                // SAFETY: by the contract.
                unsafe { $load }
            }

            #[inline]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
            unsafe fn load_end($end: *const u8, $count: usize) -> __m512 {
                // SAFETY: by the contract; elements outside the mask are not read.
                unsafe { $load_end }
            }

            #[inline]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
            unsafe fn add_square(sum: __m512, a: __m512, b: __m512) -> __m512 {
                let d = _mm512_sub_ps(a, b);
                _mm512_fmadd_ps(d, d, sum)
            }

            #[inline]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
            unsafe fn add_product(sum: __m512, a: __m512, b: __m512) -> __m512 {
                _mm512_fmadd_ps(a, b, sum)
            }

            #[inline]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
            unsafe fn totals(even: [__m512; 4], odd: [__m512; 4]) -> [f32; 4] {
                let sum = |i: usize| _mm512_add_ps(even[i], odd[i]);
                let sums = [sum(0), sum(1), sum(2), sum(3)];
                let low = |i: usize| _mm512_castps512_ps256(sums[i]);
                let high = |i: usize| _mm512_extractf32x8_ps::<1>(sums[i]);
                totals_f32([low(0), low(1), low(2), low(3)], [high(0), high(1), high(2), high(3)])
            }

            #[inline]
            fn prefetch(at: *const u8) {
                // SAFETY: a hint, which reads nothing, on an instruction of every x86-64.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
            }
        }
    };
}

float_lane!(F16, 32,
    at => _mm512_cvtph_ps(_mm256_loadu_si256(at.cast())),
    (end, count) => _mm512_cvtph_ps(
        _mm256_maskz_loadu_epi16((1u16 << (count / 2)) - 1, end.sub(count).cast())));
float_lane!(F32, 64,
    at => _mm512_loadu_ps(at.cast()),
    (end, count) => _mm512_maskz_loadu_ps((1u16 << (count / 4)) - 1, end.sub(count).cast()));
