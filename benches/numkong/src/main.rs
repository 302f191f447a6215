//! One query against rows that stay in the L1 cache or the L2 cache: this project's kernels beside numkong's.
//!
//! Prints one row for each element type, operation and dimension: nanoseconds a pair, the ratio, and the largest
//! relative difference of the two values.
use std::hint::black_box;
use std::time::Instant;

use numkong::{Dot, Euclidean, f16};
use spandrel_index::DType;
use spandrel_index::kernels::{Operation, PairKernel, Variant};

const DIMS: [usize; 9] = [16, 32, 96, 100, 128, 384, 768, 1024, 4096];
const ROWS: usize = 64;
/// The median of this number of runs is taken, ours and theirs in turn.
const RUNS: usize = 15;
const PAIRS_A_RUN: usize = 1 << 15;

/// Small numbers with both signs where the type has them.
fn number(i: usize) -> i32 {
    (i.wrapping_mul(2_654_435_761) >> 7) as i32 % 61
}

fn rows<T>(count: usize, dim: usize, of: impl Fn(i32) -> T) -> Vec<T> {
    (0..count * dim).map(|i| of(number(i))).collect()
}

/// Nanoseconds a pair.
fn nanoseconds(dim: usize, mut all_rows: impl FnMut()) -> f64 {
    let turns = (PAIRS_A_RUN * 32 / (dim + 64)).div_ceil(ROWS);
    let start = Instant::now();
    for _ in 0..turns {
        all_rows();
    }
    start.elapsed().as_nanos() as f64 / (turns * ROWS) as f64
}

fn median(mut runs: Vec<f64>) -> f64 {
    runs.sort_by(f64::total_cmp);
    runs[runs.len() / 2]
}

/// How the numbers of one type are made, written as bytes, and compared by numkong.
struct Numbers<T, const BYTES: usize> {
    of: fn(i32) -> T,
    bytes: fn(T) -> [u8; BYTES],
    inner_product: fn(&[T], &[T]) -> f64,
    squared_l2: fn(&[T], &[T]) -> f64,
}

fn compare<T: Copy, const BYTES: usize>(dtype: DType, dim: usize, numbers: &Numbers<T, BYTES>) {
    let query = rows(1, dim, |x| (numbers.of)(x + 1));
    let base = rows(ROWS, dim, numbers.of);
    let bytes = |rows: &[T]| -> Vec<u8> { rows.iter().flat_map(|&x| (numbers.bytes)(x)).collect() };
    let (query_bytes, base_bytes) = (bytes(&query), bytes(&base));
    let theirs = [numbers.inner_product, numbers.squared_l2];
    for (operation, their) in [Operation::InnerProduct, Operation::SquaredL2].into_iter().zip(theirs) {
        let kernel = PairKernel::new(operation, dtype, dim);
        let mut ours = vec![0.0f32; ROWS];
        let mut theirs = vec![0.0f64; ROWS];
        let (mut our_runs, mut their_runs) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            our_runs.push(nanoseconds(dim, || {
                kernel.score_rows(black_box(&query_bytes), black_box(&base_bytes), &mut ours);
            }));
            their_runs.push(nanoseconds(dim, || {
                for (value, row) in theirs.iter_mut().zip(black_box(&base).chunks_exact(dim)) {
                    *value = their(black_box(&query), row);
                }
            }));
        }
        let largest = ours.iter().zip(&theirs).fold(0.0f64, |m, (&a, &b)| {
            // Inner products are negated here, so that smaller is nearer.
            let a = f64::from(a).abs();
            m.max((a - b.abs()).abs() / b.abs().max(1.0))
        });
        let (our, their) = (median(our_runs), median(their_runs));
        println!(
            "| {dtype} | {operation:?} | {dim} | {our:.1} | {their:.1} | {:.2} | {largest:.1e} |",
            their / our
        );
    }
}

fn main() {
    println!("kernels here: {}\n", Variant::best());
    println!("| type | operation | dim | ours, ns | numkong, ns | numkong / ours | difference |");
    println!("|---|---|---|---|---|---|---|");
    for dim in DIMS {
        compare(
            DType::U8,
            dim,
            &Numbers {
                of: |x| x.unsigned_abs() as u8,
                bytes: u8::to_le_bytes,
                inner_product: |a, b| f64::from(u8::dot(a, b).expect("equal lengths")),
                squared_l2: |a, b| f64::from(u8::sqeuclidean(a, b).expect("equal lengths")),
            },
        );
        compare(
            DType::I8,
            dim,
            &Numbers {
                of: |x| x as i8,
                bytes: i8::to_le_bytes,
                inner_product: |a, b| f64::from(i8::dot(a, b).expect("equal lengths")),
                squared_l2: |a, b| f64::from(i8::sqeuclidean(a, b).expect("equal lengths")),
            },
        );
        compare(
            DType::F16,
            dim,
            &Numbers {
                of: |x| f16::from_f32(x as f32 / 64.0),
                bytes: |x| x.0.to_le_bytes(),
                inner_product: |a, b| f64::from(f16::dot(a, b).expect("equal lengths")),
                squared_l2: |a, b| f64::from(f16::sqeuclidean(a, b).expect("equal lengths")),
            },
        );
        compare(
            DType::F32,
            dim,
            &Numbers {
                of: |x| x as f32 / 64.0,
                bytes: f32::to_le_bytes,
                inner_product: |a, b| f32::dot(a, b).expect("equal lengths"),
                squared_l2: |a, b| f32::sqeuclidean(a, b).expect("equal lengths"),
            },
        );
    }
}
