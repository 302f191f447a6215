use super::*;
use crate::kernels::reference::{Fill, OPERATIONS, dims, exact, random_rows};

/// All values of some rows against others.
fn all(kernel: &BlockKernel, operation: Operation, left: &[u8], right: &[u8]) -> Vec<f32> {
    let (left, right) = (kernel.pack_left(left), kernel.pack_right(right));
    let mut out = vec![f32::NAN; left.len() * right.len()];
    kernel.scores(operation, left.all(), right.all(), &mut out);
    out
}

fn check(variant: Variant, dtype: DType, dim: usize, shape: (usize, usize), fill: Fill) {
    check_kernel(&BlockKernel::with_variant(dtype, dim, variant), shape, fill, variant.name());
}

fn check_kernel(kernel: &BlockKernel, (lefts, rights): (usize, usize), fill: Fill, name: &str) {
    let (dtype, dim) = (kernel.dtype, kernel.dim);
    let left = random_rows(dtype, dim, lefts, fill, 3);
    let right = random_rows(dtype, dim, rights, fill, 4);
    for operation in OPERATIONS {
        let out = all(kernel, operation, &left, &right);
        for (i, a) in left.chunks_exact(dtype.row_bytes(dim)).enumerate() {
            for (j, b) in right.chunks_exact(dtype.row_bytes(dim)).enumerate() {
                let got = out[i * rights + j];
                let (want, _) = exact(operation, dtype, a, b);
                let context = format!("{name} {operation:?} {dtype} {dim} {fill:?} row {i} and {j}");
                if dtype.is_integer() {
                    assert_eq!(got, want as f32, "{context}");
                    continue;
                }
                // Each of the sums is wrong by at most a rounding per step.
                let product = |x, y| exact(Operation::InnerProduct, dtype, x, y).1;
                let size = match operation {
                    Operation::SquaredL2 => product(a, a) + product(b, b) + 2.0 * product(a, b),
                    Operation::InnerProduct => product(a, b),
                };
                let bound = size * (dim as f64 + 4.0) * f64::from(f32::EPSILON) / 2.0;
                assert!((f64::from(got) - want).abs() <= bound, "{context}: {got}, exactly {want}");
            }
        }
    }
}

#[test]
fn every_variant_agrees_with_the_reference_in_every_dimension() {
    for variant in Variant::available() {
        for dtype in DType::ALL {
            dims().for_each(|dim| check(variant, dtype, dim, (3, 5), Fill::Random));
        }
    }
}

#[test]
fn every_variant_widens_every_half() {
    let all: Vec<half::f16> =
        (0..=u16::MAX).map(half::f16::from_bits).filter(|half| !half.is_nan()).collect();
    for variant in Variant::available() {
        for count in (1..70).chain([all.len()]) {
            let bytes: Vec<u8> =
                all[all.len() - count..].iter().flat_map(|half| half.to_le_bytes()).collect();
            let packed = BlockKernel::with_variant(DType::F16, 1, variant).pack_left(&bytes);
            let floats: Vec<u32> =
                all[all.len() - count..].iter().map(|half| half.to_f32_const().to_bits()).collect();
            assert!(packed.units == floats, "{} {count}", variant.name());
        }
    }
}

#[test]
fn every_variant_agrees_with_the_reference_in_every_shape() {
    for variant in Variant::available() {
        for dtype in DType::ALL {
            for lefts in (0..=14).chain([25]) {
                for rights in (0..=34).chain([63, 65]) {
                    check(variant, dtype, 11, (lefts, rights), Fill::Random);
                }
            }
        }
    }
}

#[test]
fn integers_stay_exact_at_their_extremes() {
    for variant in Variant::available() {
        for dim in [1, 2, 3, 5, 64, 100, 1024, 4096, DIM_MAX] {
            for dtype in [DType::U8, DType::I8] {
                for fill in [Fill::Byte(0xff), Fill::Byte(0x80), Fill::Byte(0x7f), Fill::Ends] {
                    check(variant, dtype, dim, (3, 3), fill);
                }
            }
        }
    }
}

#[test]
fn bytes_are_packed_so_that_values_stay_exact() {
    for dim in (1..=9).chain([128, 4095, DIM_MAX]) {
        for dtype in [DType::U8, DType::I8] {
            let kernel = BlockKernel { dtype, dim, fns: scalar::block_of_bytes() };
            for fill in [Fill::Random, Fill::Byte(0xff), Fill::Byte(0x80), Fill::Byte(0), Fill::Ends] {
                check_kernel(&kernel, (3, 9), fill, "bytes");
            }
        }
    }
}

#[test]
fn a_value_does_not_depend_on_the_ranges_nor_on_the_blocks() {
    let (lefts, rights) = (41, 75);
    for (dtype, dim) in [(DType::F32, 131), (DType::F16, 64), (DType::U8, 67), (DType::F32, 4099)] {
        let left = random_rows(dtype, dim, lefts, Fill::Random, 5);
        let right = random_rows(dtype, dim, rights, Fill::Random, 6);
        for (variant, operation) in Variant::available().into_iter().flat_map(|v| OPERATIONS.map(|o| (v, o)))
        {
            let kernel = BlockKernel::with_variant(dtype, dim, variant);
            let whole = all(&kernel, operation, &left, &right);
            let (left_rows, right_rows) = (kernel.pack_left(&left), kernel.pack_right(&right));
            for (l, r) in [(0..1, 0..1), (3..8, 5..7), (40..41, 15..33), (7..40, 31..75), (5..5, 2..9)] {
                let mut out = vec![f32::NAN; l.len() * r.len()];
                kernel.scores(operation, left_rows.range(l.clone()), right_rows.range(r.clone()), &mut out);
                let row_bytes = dtype.row_bytes(dim);
                let bytes = |rows: &Range<usize>| rows.start * row_bytes..rows.end * row_bytes;
                let cut = all(&kernel, operation, &left[bytes(&l)], &right[bytes(&r)]);
                for (i, row) in l.clone().enumerate() {
                    for (j, column) in r.clone().enumerate() {
                        let want = whole[row * rights + column].to_bits();
                        let at = i * r.len() + j;
                        assert_eq!(out[at].to_bits(), want, "{variant} {dtype} {l:?} {r:?}");
                        assert_eq!(cut[at].to_bits(), want, "{variant} {dtype} packed {l:?} {r:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn equal_rows_have_no_distance() {
    for variant in Variant::available() {
        for (dtype, dim) in DType::ALL.into_iter().flat_map(|t| [1, 37, 128, 777].map(|d| (t, d))) {
            let rows = random_rows(dtype, dim, 19, Fill::Random, 7);
            let kernel = BlockKernel::with_variant(dtype, dim, variant);
            let out = all(&kernel, Operation::SquaredL2, &rows, &rows);
            assert!((0..19).all(|i| out[i * 20] == 0.0), "{variant} {dtype} {dim}");
        }
    }
}

#[test]
fn rows_packed_into_used_memory_have_the_values_of_others() {
    for dtype in DType::ALL {
        let mut packed = RightRows::default();
        // More rows, fewer, another dimension.
        for (dim, rows) in [(19, 75), (19, 7), (19, 70), (5, 33)] {
            let kernel = BlockKernel::new(dtype, dim);
            let (left, right) = [(9, 3), (rows, 4)]
                .map(|(count, seed)| random_rows(dtype, dim, count, Fill::Random, seed))
                .into();
            kernel.pack_right_into(&right, &mut packed);
            for operation in OPERATIONS {
                let mut out = vec![0.0; 9 * rows];
                kernel.scores(operation, kernel.pack_left(&left).all(), packed.all(), &mut out);
                assert_eq!(out, all(&kernel, operation, &left, &right), "{dtype} {operation:?} {dim} {rows}");
            }
        }
    }
}

#[test]
#[should_panic(expected = "packed by another kernel")]
fn rows_of_another_dimension_are_refused() {
    let (four, eight) = (BlockKernel::new(DType::U8, 4), BlockKernel::new(DType::U8, 8));
    let (left, right) = (four.pack_left(&[0; 8]), eight.pack_right(&[0; 8]));
    eight.scores(Operation::SquaredL2, left.all(), right.all(), &mut [0.0]);
}

#[test]
fn gathered_rows_have_the_values_of_the_rows() {
    for dtype in DType::ALL {
        let kernel = BlockKernel::new(dtype, 19);
        let left = kernel.pack_left(&random_rows(dtype, 19, 9, Fill::Random, 3));
        let right = kernel.pack_right(&random_rows(dtype, 19, 7, Fill::Random, 4));
        let values = |left: &LeftRows, operation| {
            let mut out = vec![0.0; left.len() * right.len()];
            kernel.scores(operation, left.all(), right.all(), &mut out);
            out
        };
        let mut gathered = LeftRows::default();
        for numbers in [&[8, 0, 3, 3][..], &[5], &[]] {
            left.gather(numbers, &mut gathered);
            for operation in OPERATIONS {
                let all = values(&left, operation);
                let expected: Vec<f32> =
                    numbers.iter().flat_map(|&row| &all[row as usize * 7..][..7]).copied().collect();
                assert_eq!(values(&gathered, operation), expected, "{dtype} {operation:?}");
            }
        }
    }
}
