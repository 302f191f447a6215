//! Registers of products: four columns, each unit a pair of i16 or one f32.
#![allow(unsafe_code)]

use std::arch::aarch64::*;

use crate::kernels::tile::Tile;

/// Integers widened to pairs of i16.
pub(super) struct Integer;

impl Tile for Integer {
    type Sum = int32x4_t;
    type Units = int16x8_t;
    const LANES: usize = 4;

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn zero() -> int32x4_t {
        vdupq_n_s32(0)
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn load(at: *const u32) -> int16x8_t {
        // SAFETY: by the contract.
        vreinterpretq_s16_u32(unsafe { vld1q_u32(at) })
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn splat(unit: u32) -> int16x8_t {
        vreinterpretq_s16_u32(vdupq_n_u32(unit))
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn multiply_add(sum: int32x4_t, a: int16x8_t, b: int16x8_t) -> int32x4_t {
        let low = vmull_s16(vget_low_s16(a), vget_low_s16(b));
        vaddq_s32(sum, vpaddq_s32(low, vmull_high_s16(a, b)))
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn store<const SQUARED: bool>(sum: int32x4_t, left: u32, right: *const u32, out: *mut f32) {
        // SAFETY: by the contract.
        unsafe {
            let terms = vreinterpretq_s32_u32(vaddq_u32(vdupq_n_u32(left), vld1q_u32(right)));
            let value = if SQUARED { vsubq_s32(terms, vshlq_n_s32::<1>(sum)) } else { vaddq_s32(terms, sum) };
            vst1q_f32(out, vcvtq_f32_s32(value));
        }
    }
}

/// Floats, one to a unit.
pub(super) struct Float;

impl Tile for Float {
    type Sum = float32x4_t;
    type Units = float32x4_t;
    const LANES: usize = 4;

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn zero() -> float32x4_t {
        vdupq_n_f32(0.0)
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn load(at: *const u32) -> float32x4_t {
        // SAFETY: by the contract.
        vreinterpretq_f32_u32(unsafe { vld1q_u32(at) })
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn splat(unit: u32) -> float32x4_t {
        vdupq_n_f32(f32::from_bits(unit))
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn multiply_add(sum: float32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        vfmaq_f32(sum, a, b)
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn store<const SQUARED: bool>(sum: float32x4_t, left: u32, right: *const u32, out: *mut f32) {
        // SAFETY: by the contract.
        unsafe {
            let terms = vaddq_f32(Self::splat(left), Self::load(right));
            let value = if SQUARED { vfmsq_f32(terms, vdupq_n_f32(2.0), sum) } else { vaddq_f32(terms, sum) };
            vst1q_f32(out, value);
        }
    }
}
