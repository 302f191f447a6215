//! Distance kernels on data that stays in the cache.
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use spandrel_index::DType;
use spandrel_index::documents::{DocumentTokens, MaxSim};
use spandrel_index::kernels::{BlockKernel, Operation, PairKernel, Variant, below_with};

const DIMS: [usize; 6] = [96, 100, 128, 384, 768, 1024];

/// Rows of small numbers, valid for every element type.
fn rows(dtype: DType, dim: usize, count: usize) -> Vec<u8> {
    let numbers = (0..dim * count).map(|i| (i * 7 + i / 13) % 97);
    match dtype {
        DType::U8 | DType::I8 => numbers.map(|x| x as u8).collect(),
        DType::F16 => numbers.flat_map(|x| (0x3c00 + 8 * x as u16).to_le_bytes()).collect(),
        DType::F32 => numbers.flat_map(|x| (x as f32).to_le_bytes()).collect(),
    }
}

/// One query against 256 rows back to back, and against 256 rows picked out of order.
fn pairs(c: &mut Criterion) {
    const ROWS: usize = 256;
    for variant in Variant::available() {
        let mut group = c.benchmark_group(format!("pair/{variant}"));
        group.warm_up_time(Duration::from_millis(50)).measurement_time(Duration::from_millis(200));
        for (dtype, dim) in DType::ALL.into_iter().flat_map(|t| DIMS.map(|d| (t, d))) {
            let query = rows(dtype, dim, 1);
            let rows = rows(dtype, dim, ROWS);
            let picks: Vec<u32> = (0..ROWS as u32).map(|i| (i * 89 + 5) % ROWS as u32).collect();
            let mut out = vec![0.0; ROWS];
            group.throughput(Throughput::Bytes(rows.len() as u64));
            for operation in [Operation::SquaredL2, Operation::InnerProduct] {
                let kernel = PairKernel::with_variant(operation, dtype, dim, variant);
                group.bench_function(format!("rows/{operation:?}/{dtype}x{dim}"), |b| {
                    b.iter(|| kernel.score_rows(black_box(&query), black_box(&rows), &mut out));
                });
            }
            let kernel = PairKernel::with_variant(Operation::SquaredL2, dtype, dim, variant);
            group.bench_function(format!("picks/SquaredL2/{dtype}x{dim}"), |b| {
                b.iter(|| kernel.score_picks(black_box(&query), black_box(&rows), &picks, &mut out));
            });
        }
    }
}

/// 256 rows against 4096: elements per second are multiply-adds per second.
fn blocks(c: &mut Criterion) {
    const LEFT: usize = 256;
    const RIGHT: usize = 4096;
    for variant in Variant::available() {
        let mut group = c.benchmark_group(format!("block/{variant}"));
        group.sample_size(10).warm_up_time(Duration::from_millis(50));
        group.measurement_time(Duration::from_millis(200));
        for (dtype, dim) in DType::ALL.into_iter().flat_map(|t| DIMS.map(|d| (t, d))) {
            let kernel = BlockKernel::with_variant(dtype, dim, variant);
            let left = kernel.pack_left(&rows(dtype, dim, LEFT));
            let rows = rows(dtype, dim, RIGHT);
            let right = kernel.pack_right(&rows);
            let mut out = vec![0.0; LEFT * RIGHT];
            group.throughput(Throughput::Elements((LEFT * RIGHT * dim) as u64));
            group.bench_function(format!("scores/{dtype}x{dim}"), |b| {
                b.iter(|| {
                    let (left, right) = (black_box(&left).all(), black_box(&right).all());
                    kernel.scores(Operation::SquaredL2, left, right, &mut out);
                });
            });
            group.throughput(Throughput::Bytes(rows.len() as u64));
            group.bench_function(format!("pack/{dtype}x{dim}"), |b| {
                b.iter(|| kernel.pack_right(black_box(&rows)));
            });
        }
    }
}

/// Choosing one score in a thousand.
fn choosing(c: &mut Criterion) {
    let scores: Vec<f32> = (0..4096u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32).collect();
    let mut sorted = scores.clone();
    sorted.sort_by(f32::total_cmp);
    let mut out = Vec::new();
    for variant in Variant::available() {
        let mut group = c.benchmark_group(format!("below/{variant}"));
        group.throughput(Throughput::Elements(scores.len() as u64));
        group.bench_function("4 of 4096", |b| {
            b.iter(|| {
                out.clear();
                below_with(variant, black_box(&scores), sorted[3], &mut out);
            });
        });
    }
}

/// MaxSim of 32 tokens of a query with 128 of a document as it is read, beside the products alone and the packing alone: elements per second
/// are multiply-adds per second.
fn documents(c: &mut Criterion) {
    const QUERY: usize = 32;
    const DOCUMENT: usize = 128;
    const DIM: usize = 128;
    let mut group = c.benchmark_group("max_sim");
    group.warm_up_time(Duration::from_millis(50)).measurement_time(Duration::from_millis(500));
    group.throughput(Throughput::Elements((QUERY * DOCUMENT * DIM) as u64));
    for dtype in DType::ALL {
        let (max_sim, kernel) = (MaxSim::new(dtype, DIM), BlockKernel::new(dtype, DIM));
        let (query_rows, document_rows) = (rows(dtype, DIM, QUERY), rows(dtype, DIM, DOCUMENT));
        let query = max_sim.query(&query_rows);
        let (mut document, mut maxima) = (DocumentTokens::default(), Vec::new());
        group.bench_function(format!("score/{dtype}x{DIM}"), |b| {
            b.iter(|| {
                max_sim.document(black_box(&document_rows), &mut document);
                max_sim.score(black_box(&query), &mut document, &mut maxima)
            });
        });
        let (left, right) = (kernel.pack_left(&document_rows), kernel.pack_right(&query_rows));
        let mut products = vec![0.0; QUERY * DOCUMENT];
        group.bench_function(format!("products/{dtype}x{DIM}"), |b| {
            b.iter(|| {
                let (left, right) = (black_box(&left).all(), black_box(&right).all());
                kernel.scores(Operation::InnerProduct, left, right, &mut products);
            });
        });
        group.bench_function(format!("pack/{dtype}x{DIM}"), |b| {
            b.iter(|| max_sim.document(black_box(&document_rows), &mut document));
        });
    }
}

criterion_group!(benches, pairs, blocks, choosing, documents);
criterion_main!(benches);
