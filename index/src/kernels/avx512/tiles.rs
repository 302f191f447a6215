//! Registers of products: sixteen columns, each unit four bytes or one f32.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use crate::kernels::tile::Tile;

/// Rows and registers of columns multiplied together: twenty-four sums and two loads of thirty-two registers.
pub(super) const ROWS: usize = 12;
pub(super) const COLUMNS: usize = 2;

/// Bytes, four to a unit, unsigned on the left and signed on the right.
pub(super) struct Integer;

impl Tile for Integer {
    type Sum = __m512i;
    type Units = __m512i;
    const LANES: usize = 16;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn zero() -> __m512i {
        _mm512_setzero_si512()
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn load(at: *const u32) -> __m512i {
        // SAFETY: by the contract.
        unsafe { _mm512_loadu_si512(at.cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn splat(unit: u32) -> __m512i {
        _mm512_set1_epi32(unit.cast_signed())
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn multiply_add(sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
        _mm512_dpbusd_epi32(sum, a, b)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn store<const SQUARED: bool>(sum: __m512i, left: u32, right: *const u32, out: *mut f32) {
        // SAFETY: by the contract.
        unsafe {
            let terms = _mm512_add_epi32(Self::splat(left), Self::load(right));
            let value = if SQUARED {
                _mm512_sub_epi32(terms, _mm512_slli_epi32::<1>(sum))
            } else {
                _mm512_add_epi32(terms, sum)
            };
            _mm512_storeu_ps(out, _mm512_cvtepi32_ps(value));
        }
    }
}

/// Floats, one to a unit.
pub(super) struct Float;

impl Tile for Float {
    type Sum = __m512;
    type Units = __m512;
    const LANES: usize = 16;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn zero() -> __m512 {
        _mm512_setzero_ps()
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn load(at: *const u32) -> __m512 {
        // SAFETY: by the contract.
        unsafe { _mm512_loadu_ps(at.cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn splat(unit: u32) -> __m512 {
        _mm512_set1_ps(f32::from_bits(unit))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn multiply_add(sum: __m512, a: __m512, b: __m512) -> __m512 {
        _mm512_fmadd_ps(a, b, sum)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn store<const SQUARED: bool>(sum: __m512, left: u32, right: *const u32, out: *mut f32) {
        // SAFETY: by the contract.
        unsafe {
            let terms = _mm512_add_ps(Self::splat(left), Self::load(right));
            let value = if SQUARED {
                _mm512_fnmadd_ps(_mm512_set1_ps(2.0), sum, terms)
            } else {
                _mm512_add_ps(terms, sum)
            };
            _mm512_storeu_ps(out, value);
        }
    }
}
