//! Registers of row elements: integers widened to eight i16, floats to four f32.
#![allow(unsafe_code)]

use std::arch::aarch64::*;
use std::arch::asm;

use crate::kernels::lane::Lane;

/// Ones after zeros: an AND with 16 bytes from `n` on keeps the last `n` bytes of a register.
static KEEP_LAST: [u8; 32] = {
    let mut table = [0; 32];
    let mut i = 16;
    while i < 32 {
        table[i] = 0xff;
        i += 1;
    }
    table
};

/// Loads 8 bytes before `end` and zeroes all but the last `bytes`.
///
/// # Safety
/// 8 bytes can be read before `end`, and `bytes <= 8`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load_end_8(end: *const u8, bytes: usize) -> uint8x8_t {
    // SAFETY: by the contract; the table has 32 bytes and `8 + bytes + 8 <= 24`.
    unsafe { vand_u8(vld1_u8(end.sub(8)), vld1_u8(KEEP_LAST.as_ptr().add(8 + bytes))) }
}

/// Eight i16 of eight unsigned bytes.
#[inline]
#[target_feature(enable = "neon")]
fn widen_u8(bytes: uint8x8_t) -> int16x8_t {
    vreinterpretq_s16_u16(vmovl_u8(bytes))
}

/// Eight i16 of eight signed bytes.
#[inline]
#[target_feature(enable = "neon")]
fn widen_i8(bytes: uint8x8_t) -> int16x8_t {
    vmovl_s8(vreinterpret_s8_u8(bytes))
}

/// Four f32 of four f16. The intrinsic came to Rust later than the instruction.
#[inline]
#[target_feature(enable = "neon")]
fn widen_f16(bytes: uint8x8_t) -> float32x4_t {
    let wide: float32x4_t;
    // SAFETY: one instruction of the base set from one register to another.
    unsafe {
        asm!("fcvtl {w:v}.4s, {n:v}.4h", w = out(vreg) wide, n = in(vreg) bytes,
            options(pure, nomem, nostack, preserves_flags));
    }
    wide
}

#[inline(always)]
fn prefetch_line(at: *const u8) {
    // SAFETY: a hint, which reads nothing.
    unsafe {
        asm!("prfm pldl1keep, [{at}]", at = in(reg) at, options(readonly, nostack, preserves_flags));
    }
}

/// A lane of eight i16, made from 8 bytes by the named widening.
macro_rules! integer_lane {
    ($name:ident, $widen:ident) => {
        pub(super) struct $name;

        impl Lane for $name {
            type Wide = int16x8_t;
            type Sum = int32x4_t;
            const BYTES: usize = 8;

            #[inline]
            #[target_feature(enable = "neon")]
            unsafe fn zero() -> int32x4_t {
                vdupq_n_s32(0)
            }

            #[inline]
            #[target_feature(enable = "neon")]
            unsafe fn load(at: *const u8) -> int16x8_t {
                // SAFETY: by the contract.
                $widen(unsafe { vld1_u8(at) })
            }

            #[inline]
            #[target_feature(enable = "neon")]
            unsafe fn load_end(end: *const u8, bytes: usize) -> int16x8_t {
                // SAFETY: by the contract.
                $widen(unsafe { load_end_8(end, bytes) })
            }

            #[inline]
            #[target_feature(enable = "neon")]
            unsafe fn add_square(sum: int32x4_t, a: int16x8_t, b: int16x8_t) -> int32x4_t {
                let d = vsubq_s16(a, b);
                vmlal_high_s16(vmlal_s16(sum, vget_low_s16(d), vget_low_s16(d)), d, d)
            }

            #[inline]
            #[target_feature(enable = "neon")]
            unsafe fn add_product(sum: int32x4_t, a: int16x8_t, b: int16x8_t) -> int32x4_t {
                vmlal_high_s16(vmlal_s16(sum, vget_low_s16(a), vget_low_s16(b)), a, b)
            }

            #[inline]
            #[target_feature(enable = "neon")]
            unsafe fn totals(even: [int32x4_t; 4], odd: [int32x4_t; 4]) -> [f32; 4] {
                let sum = |i: usize| vaddq_s32(even[i], odd[i]);
                let total = vpaddq_s32(vpaddq_s32(sum(0), sum(1)), vpaddq_s32(sum(2), sum(3)));
                let mut out = [0.0; 4];
                // SAFETY: four floats fit the array.
                unsafe { vst1q_f32(out.as_mut_ptr(), vcvtq_f32_s32(total)) };
                out
            }

            #[inline]
            fn prefetch(at: *const u8) {
                prefetch_line(at);
            }
        }
    };
}

integer_lane!(U8, widen_u8);
integer_lane!(I8, widen_i8);

/// A lane of four f32, loaded by the named functions.
macro_rules! float_lane {
    ($name:ident, $bytes:expr, $at:ident => $load:expr, ($end:ident, $count:ident) => $load_end:expr) => {
        pub(super) struct $name;

        impl Lane for $name {
            type Wide = float32x4_t;
            type Sum = float32x4_t;
            const BYTES: usize = $bytes;

            #[inline]
            #[target_feature(enable = "neon")]
            unsafe fn zero() -> float32x4_t {
                vdupq_n_f32(0.0)
            }

            #[inline]
            #[target_feature(enable = "neon")]
            unsafe fn load($at: *const u8) -> float32x4_t {
                // SAFETY: by the contract.
                unsafe { $load }
            }

            #[inline]
            #[target_feature(enable = "neon")]
            unsafe fn load_end($end: *const u8, $count: usize) -> float32x4_t {
                // SAFETY: by the contract; the mask table has 32 bytes and at most `count + 16` are used.
                unsafe { $load_end }
            }

            #[inline]
            #[target_feature(enable = "neon")]
            unsafe fn add_square(sum: float32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
                let d = vsubq_f32(a, b);
                vfmaq_f32(sum, d, d)
            }

            #[inline]
            #[target_feature(enable = "neon")]
            unsafe fn add_product(sum: float32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
                vfmaq_f32(sum, a, b)
            }

            #[inline]
            #[target_feature(enable = "neon")]
            unsafe fn totals(even: [float32x4_t; 4], odd: [float32x4_t; 4]) -> [f32; 4] {
                let sum = |i: usize| vaddq_f32(even[i], odd[i]);
                let total = vpaddq_f32(vpaddq_f32(sum(0), sum(1)), vpaddq_f32(sum(2), sum(3)));
                let mut out = [0.0; 4];
                // SAFETY: four floats fit the array.
                unsafe { vst1q_f32(out.as_mut_ptr(), total) };
                out
            }

            #[inline]
            fn prefetch(at: *const u8) {
                prefetch_line(at);
            }
        }
    };
}

float_lane!(F16, 8, at => widen_f16(vld1_u8(at)), (end, count) => widen_f16(load_end_8(end, count)));
float_lane!(F32, 16,
    at => vreinterpretq_f32_u8(vld1q_u8(at)),
    (end, count) => vreinterpretq_f32_u8(
        vandq_u8(vld1q_u8(end.sub(16)), vld1q_u8(KEEP_LAST.as_ptr().add(count)))));
