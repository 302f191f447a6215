//! Registers of products: eight columns, each unit a pair of i16 or one f32.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use crate::kernels::tile::Tile;

/// Integers widened to pairs of i16.
pub(super) struct Integer;

impl Tile for Integer {
    type Sum = __m256i;
    type Units = __m256i;
    const LANES: usize = 8;

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn zero() -> __m256i {
        _mm256_setzero_si256()
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn load(at: *const u32) -> __m256i {
        // SAFETY: by the contract.
        unsafe { _mm256_loadu_si256(at.cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn splat(unit: u32) -> __m256i {
        _mm256_set1_epi32(unit.cast_signed())
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn multiply_add(sum: __m256i, a: __m256i, b: __m256i) -> __m256i {
        _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn store<const SQUARED: bool>(sum: __m256i, left: u32, right: *const u32, out: *mut f32) {
        // SAFETY: by the contract.
        unsafe {
            let terms = _mm256_add_epi32(Self::splat(left), Self::load(right));
            let value = if SQUARED {
                _mm256_sub_epi32(terms, _mm256_slli_epi32::<1>(sum))
            } else {
                _mm256_add_epi32(terms, sum)
            };
            _mm256_storeu_ps(out, _mm256_cvtepi32_ps(value));
        }
    }
}

/// Floats, one to a unit.
pub(super) struct Float;

impl Tile for Float {
    type Sum = __m256;
    type Units = __m256;
    const LANES: usize = 8;

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn zero() -> __m256 {
        _mm256_setzero_ps()
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn load(at: *const u32) -> __m256 {
        // SAFETY: by the contract.
        unsafe { _mm256_loadu_ps(at.cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn splat(unit: u32) -> __m256 {
        _mm256_set1_ps(f32::from_bits(unit))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn multiply_add(sum: __m256, a: __m256, b: __m256) -> __m256 {
        _mm256_fmadd_ps(a, b, sum)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn store<const SQUARED: bool>(sum: __m256, left: u32, right: *const u32, out: *mut f32) {
        // SAFETY: by the contract.
        unsafe {
            let terms = _mm256_add_ps(Self::splat(left), Self::load(right));
            let value = if SQUARED {
                _mm256_fnmadd_ps(_mm256_set1_ps(2.0), sum, terms)
            } else {
                _mm256_add_ps(terms, sum)
            };
            _mm256_storeu_ps(out, value);
        }
    }
}
