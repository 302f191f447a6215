//! Products of bytes by tiles (AMX): an instruction adds 64 products to each of 16 x 16 sums.
//!
//! Sums are exact, so values are those of the registers of [`tiles::Integer`]. Panels lie as the instructions want them: a unit of four bytes of
//! each of sixteen right rows, unit by unit.
#![allow(unsafe_code)]

use std::arch::asm;
use std::arch::x86_64::{__cpuid_count, __m512i, _mm512_load_si512};
use std::sync::OnceLock;

use super::tiles::{COLUMNS, Integer, ROWS};
use crate::kernels::tile::{self, Product, Tile};

/// Left rows, and right rows, that are multiplied together: two tiles by two.
const TOGETHER: usize = 32;
/// Units of four bytes in a row of a tile.
const TILE_UNITS: usize = 16;
/// Bytes from a unit of a panel to the next.
const PANEL_STRIDE: usize = 4 * TOGETHER;

/// Whether the processor has AMX for bytes, and the system lets this process use it. Asked once.
pub(super) fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| has_instructions() && is_permitted())
}

/// Whether the processor has the instructions, and the system keeps their registers.
fn has_instructions() -> bool {
    const OSXSAVE: u32 = 1 << 27;
    const TILE_AND_INT8: u32 = 0b11 << 24;
    const TILE_STATE: u32 = 0b11 << 17;
    // SAFETY: every x86-64 processor has `cpuid`; leaf 7 is there where AVX-512 is.
    #[allow(unused_unsafe, reason = "newer compilers call it safe")]
    let (first, seventh) = unsafe { (__cpuid_count(1, 0), __cpuid_count(7, 0)) };
    if first.ecx & OSXSAVE == 0 || seventh.edx & TILE_AND_INT8 != TILE_AND_INT8 {
        return false;
    }
    let state: u32;
    // SAFETY: the system has turned `xgetbv` on, as the bit says.
    unsafe {
        asm!("xgetbv", in("ecx") 0, out("eax") state, out("edx") _, options(nomem, nostack, preserves_flags))
    };
    state & TILE_STATE == TILE_STATE
}

/// Asks Linux for the registers, 8 KiB, which a process has only after it has asked. Refused where a thread has a signal stack that
/// is too small for them.
fn is_permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_ulong = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_ulong = 18;
    // SAFETY: the call takes two numbers and touches no memory.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

/// How the eight tiles are cut: all have sixteen rows of 64 bytes.
#[repr(C, align(64))]
struct TileConfig {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

static CONFIG: TileConfig = TileConfig {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// Sums of the rows and the columns that are multiplied together.
#[repr(C, align(64))]
struct Sums([[i32; TOGETHER]; TOGETHER]);

/// See [`ProductFn`](crate::kernels::tile::ProductFn).
///
/// # Safety
/// [`is_available`] said so, and the machine has the other instructions of this folder.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) unsafe fn product<const SQUARED: bool>(job: &Product<'_>, out: &mut [f32]) {
    let rows = job.left_terms.len() / TOGETHER * TOGETHER;
    let (multiplied, rest) = out.split_at_mut(rows * job.range.len());
    if job.steps >= TILE_UNITS && rows > 0 {
        let (left, left_terms) = (&job.left[..rows * job.steps], &job.left_terms[..rows]);
        // SAFETY: the same contract.
        unsafe {
            by_tiles::<SQUARED>(&Product { left, left_terms, range: job.range.clone(), ..*job }, multiplied)
        };
        let (left, left_terms) = (&job.left[rows * job.steps..], &job.left_terms[rows..]);
        let job = Product { left, left_terms, range: job.range.clone(), ..*job };
        // SAFETY: the same contract.
        unsafe { tile::product::<Integer, SQUARED, ROWS, COLUMNS>(&job, rest) };
    } else {
        // SAFETY: the same contract.
        unsafe { tile::product::<Integer, SQUARED, ROWS, COLUMNS>(job, out) };
    }
}

/// The product of a multiple of [`TOGETHER`] rows that fill a tile at least.
///
/// # Safety
/// As for [`product`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn by_tiles<const SQUARED: bool>(job: &Product<'_>, out: &mut [f32]) {
    let panels = job.panels(TOGETHER, out);
    let (rows, chunk) = (job.left_terms.len(), job.chunk(TOGETHER));
    assert!(rows.is_multiple_of(TOGETHER) && job.steps >= TILE_UNITS);
    let mut sums = Sums([[0; TOGETHER]; TOGETHER]);
    // SAFETY: the configuration is one that the instructions take.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &CONFIG, options(nostack, preserves_flags)) };
    for chunk_start in (0..rows).step_by(chunk) {
        for p in panels.clone() {
            for row in (chunk_start..rows.min(chunk_start + chunk)).step_by(TOGETHER) {
                // SAFETY: `TOGETHER` rows are left from `row` on and `p` is a panel, as `Product::panels` has checked.
                unsafe {
                    multiply(job, row, p, &mut sums);
                    write::<SQUARED>(job, row, p, &sums, out);
                }
            }
        }
    }
    // SAFETY: the tiles are in no further use; without them a switch of threads takes less time.
    unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) };
}

/// Sums over the units that fill tiles.
///
/// # Safety
/// The tiles are configured; the rows from `row` on and panel `p` lie inside the slices, and hold [`TILE_UNITS`] units at least.
unsafe fn multiply(job: &Product<'_>, row: usize, p: usize, sums: &mut Sums) {
    let row_bytes = 4 * job.steps;
    // SAFETY: there are `steps / 16` turns. Each reads 16 units of each of 32 left rows, and 16 units of a panel; rows and panel have
    // `steps` units. Tiles 0 to 3 are stored to the quarters of `sums`.
    unsafe {
        let left = job.left.as_ptr().add(row * job.steps);
        let right = job.right.as_ptr().add(p * TOGETHER * job.steps);
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            "tileloadd tmm4, [{upper} + {row_bytes}]",
            "tileloadd tmm6, [{right} + {stride}]",
            "tileloadd tmm7, [{right} + {stride} + 64]",
            "tileloadd tmm5, [{lower} + {row_bytes}]",
            "tdpbusd tmm0, tmm4, tmm6",
            "tdpbusd tmm1, tmm4, tmm7",
            "tdpbusd tmm2, tmm5, tmm6",
            "tdpbusd tmm3, tmm5, tmm7",
            "add {upper}, 64",
            "add {lower}, 64",
            "add {right}, {panel_bytes}",
            "dec {turns}",
            "jnz 2b",
            "tilestored [{sums} + {stride}], tmm0",
            "tilestored [{sums} + {stride} + 64], tmm1",
            "tilestored [{sums} + {stride} + {half}], tmm2",
            "tilestored [{sums} + {stride} + {half} + 64], tmm3",
            upper = inout(reg) left => _,
            lower = inout(reg) left.add(TOGETHER / 2 * job.steps) => _,
            right = inout(reg) right => _,
            turns = inout(reg) job.steps / TILE_UNITS => _,
            sums = in(reg) sums.0.as_mut_ptr(),
            row_bytes = in(reg) row_bytes,
            stride = in(reg) PANEL_STRIDE,
            panel_bytes = const TILE_UNITS * PANEL_STRIDE,
            half = const TOGETHER / 2 * PANEL_STRIDE,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

/// Adds the units that fill no tile to the sums, and writes values.
///
/// # Safety
/// As for [`multiply`], and the machine has the instructions.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn write<const SQUARED: bool>(job: &Product<'_>, row: usize, p: usize, sums: &Sums, out: &mut [f32]) {
    let whole = job.steps / TILE_UNITS * TILE_UNITS;
    for (row, sums) in (row..).zip(&sums.0) {
        // SAFETY: a row of sums fills two registers and starts a cache line. The row and the panel lie inside the slices.
        unsafe {
            let mut sums: [__m512i; COLUMNS] =
                std::array::from_fn(|c| _mm512_load_si512(sums.as_ptr().add(c * Integer::LANES).cast()));
            for step in whole..job.steps {
                let unit = Integer::splat(*job.left.get_unchecked(row * job.steps + step));
                let at = job.right.as_ptr().add((p * job.steps + step) * TOGETHER);
                for (c, sum) in sums.iter_mut().enumerate() {
                    *sum = Integer::multiply_add(*sum, unit, Integer::load(at.add(c * Integer::LANES)));
                }
            }
            tile::write::<Integer, SQUARED, COLUMNS>(job, row, p, sums, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;
    use crate::kernels::reference::{Fill, OPERATIONS, random_rows};
    use crate::kernels::{BlockKernel, Operation, Variant};

    /// A machine whose flags say that it has AMX uses it.
    #[test]
    fn tiles_are_used_where_the_flags_allow() {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap();
        let has = |flag: &str| info.split_whitespace().any(|word| word == flag);
        assert_eq!(is_available(), has("amx_tile") && has("amx_int8"));
    }

    #[test]
    fn values_are_those_of_registers() {
        if !is_available() || !Variant::available().contains(&Variant::Avx512) {
            eprintln!("not run: this machine has no AMX");
            return;
        }
        for dtype in [DType::U8, DType::I8] {
            for dim in [1, 63, 64, 67, 96, 128, 200, 1024] {
                let kernel = BlockKernel::with_variant(dtype, dim, Variant::Avx512);
                for (rows, columns) in [(1, 40), (31, 33), (32, 32), (33, 64), (70, 75), (300, 7)] {
                    for fill in [Fill::Random, Fill::Ends] {
                        let left = kernel.pack_left(&random_rows(dtype, dim, rows, fill, 5));
                        let right = kernel.pack_right(&random_rows(dtype, dim, columns, fill, 6));
                        for (operation, start) in OPERATIONS.into_iter().flat_map(|o| [(o, 0), (o, 3)]) {
                            let job = kernel.job(operation, left.all(), right.range(start..columns));
                            let (mut tiles, mut registers) = (
                                vec![f32::NAN; rows * (columns - start)],
                                vec![f32::NAN; rows * (columns - start)],
                            );
                            // SAFETY: the machine has the instructions, as was asked.
                            unsafe {
                                match operation {
                                    Operation::SquaredL2 => {
                                        product::<true>(&job, &mut tiles);
                                        tile::product::<Integer, true, ROWS, COLUMNS>(&job, &mut registers);
                                    }
                                    Operation::InnerProduct => {
                                        product::<false>(&job, &mut tiles);
                                        tile::product::<Integer, false, ROWS, COLUMNS>(&job, &mut registers);
                                    }
                                }
                            }
                            assert_eq!(tiles, registers, "{dtype} {dim} {rows} x {columns} {operation:?}");
                        }
                    }
                }
            }
        }
    }
}
