//! The scan of codes, list by list, from cache and from memory, beside a plain sum over the same bytes.
//!
//! Times are those of one code; bytes are those of its bits and factors, rounded up.
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{Bencher, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use spandrel_index::codes::{PlaneLayout, PlaneSegment};
use spandrel_index::kernels::Variant;
use spandrel_index::kernels::lookup::LookupTables;
use spandrel_index::kernels::scan::{BLOCK_VECTORS, Blocks, FACTOR_BYTES, ROW_BYTES, ScanKernel, ScanTerms};
use spandrel_io::AlignedBuf;

const DIMS: [usize; 3] = [128, 384, 768];
/// Blocks scanned by one call: lists of 128 codes, near those of an index.
const LIST_BLOCKS: usize = 8;
const LIST_CODES: usize = LIST_BLOCKS * BLOCK_VECTORS;
/// Where codes are, by how many bytes they are walked through: well inside a core's L2 cache, and far more than
/// the last one.
const PLACES: [(&str, usize); 2] = [("cache", 256 << 10), ("memory", 256 << 20)];

/// Layouts by name: uniform ones, and bits falling along the axes, two a dimension on average.
fn layouts(dim: usize) -> Vec<(String, PlaneLayout)> {
    let segment = |dims, bits| PlaneSegment { dims, bits };
    let uniform = |bits: u8| (format!("rabitq:{bits}"), PlaneLayout::new(vec![segment(dim, bits)]));
    let falling = PlaneLayout::new(vec![segment(dim / 4, 4), segment(dim / 4, 2), segment(dim / 2, 1)]);
    let mut layouts: Vec<_> = [1, 2, 4, 8].map(uniform).into();
    layouts.push((format!("axes:{}", dim / 4), falling));
    layouts
}

/// Bytes for every layout.
struct Memory {
    rows: AlignedBuf,
    factors: AlignedBuf,
}

impl Memory {
    fn new() -> Memory {
        let bytes = PLACES[1].1;
        let least =
            LIST_BLOCKS * PlaneLayout::new(vec![PlaneSegment { dims: DIMS[0], bits: 1 }]).block_bytes();
        let factor_bytes = bytes / least * LIST_BLOCKS * FACTOR_BYTES;
        let zeroed = |bytes| AlignedBuf::zeroed_huge(bytes).expect("memory for codes");
        let (mut rows, mut factors) = (zeroed(bytes), zeroed(factor_bytes));
        for (at, chunk) in rows.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            *chunk = (at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
        }
        // Numbers of an ordinary size, since very small ones take other paths through a processor.
        factors.fill(0x3f);
        Memory { rows, factors }
    }

    /// Lists of blocks of `block_bytes`, up to `bytes` in all.
    fn lists(&self, block_bytes: usize, bytes: usize) -> Lists<'_> {
        let (row_bytes, factor_bytes) = (LIST_BLOCKS * block_bytes, LIST_BLOCKS * FACTOR_BYTES);
        let count = bytes / (row_bytes + factor_bytes);
        Lists {
            rows: &self.rows[..count * row_bytes],
            factors: &self.factors[..count * factor_bytes],
            row_bytes,
            factor_bytes,
        }
    }
}

/// Lists of codes back to back.
struct Lists<'a> {
    rows: &'a [u8],
    factors: &'a [u8],
    row_bytes: usize,
    factor_bytes: usize,
}

impl Lists<'_> {
    /// Calls `scan` with rows and factors of one list after the other, on from where the call before ended, and
    /// reports the time of a code.
    fn walk(&self, b: &mut Bencher<'_>, mut scan: impl FnMut(&[u8], &[u8])) {
        let mut lists =
            self.rows.chunks_exact(self.row_bytes).zip(self.factors.chunks_exact(self.factor_bytes)).cycle();
        b.iter_custom(|codes| {
            let count = codes.div_ceil(LIST_CODES as u64);
            let start = Instant::now();
            for _ in 0..count {
                if let Some((rows, factors)) = lists.next() {
                    scan(black_box(rows), black_box(factors));
                }
            }
            start.elapsed().mul_f64(codes as f64 / (count * LIST_CODES as u64) as f64)
        });
    }
}

fn scans(c: &mut Criterion) {
    let memory = Memory::new();
    for (place, bytes) in PLACES {
        for variant in Variant::available() {
            let kernel = ScanKernel::with_variant(variant);
            let terms = ScanTerms { base: 3.5, offset: 100.5, scale: 0.25 };
            let mut out = [0.0; LIST_CODES];
            each_layout(c, &format!("scan/{place}/{variant}"), |b, layout| {
                let values: Vec<i8> = (0..layout.dims()).map(|i| (i * 37 % 255) as i8).collect();
                let mut table = Vec::new();
                layout.table(&values, &mut table);
                memory.lists(layout.block_bytes(), bytes).walk(b, |rows, factors| {
                    kernel.scan(layout.runs(), &table, Blocks { rows, factors }, terms, &mut out);
                    black_box(&out);
                });
            });
        }
        each_layout(c, &format!("scan/{place}/bound"), |b, layout| {
            memory.lists(layout.block_bytes(), bytes).walk(b, |rows, factors| {
                black_box(sum(rows).wrapping_add(sum(factors)));
            });
        });
        // As a scan would walk a list whose planes lie one after the other, each of all blocks.
        each_layout(c, &format!("scan/{place}/bound by planes"), |b, layout| {
            let planes: Vec<usize> = layout.runs().iter().map(|run| run.rows * ROW_BYTES).collect();
            memory.lists(layout.block_bytes(), bytes).walk(b, |rows, factors| {
                let mut total = sum(factors);
                for block in 0..LIST_BLOCKS {
                    let mut start = 0;
                    for &bytes in &planes {
                        total = total.wrapping_add(sum(&rows[start + block * bytes..][..bytes]));
                        start += LIST_BLOCKS * bytes;
                    }
                }
                black_box(total);
            });
        });
    }
}

/// Product codes of 16 and 32 bytes: `axes` has 32 for 128 dimensions.
const PRODUCTS: [(usize, u8); 4] = [(32, 4), (64, 4), (16, 8), (32, 8)];

fn lookups(c: &mut Criterion) {
    let memory = Memory::new();
    for (place, bytes) in PLACES {
        for variant in Variant::available() {
            let kernel = ScanKernel::with_variant(variant);
            let terms = ScanTerms { base: 3.5, offset: 100.5, scale: 0.25 };
            let mut out = [0.0; LIST_CODES];
            let mut group = group(c, &format!("scan/{place}/{variant}"));
            for (quantisers, bits) in PRODUCTS {
                let mut tables = LookupTables::default();
                tables.reset(quantisers, bits);
                for quantiser in 0..quantisers {
                    let table = tables.of_mut(quantiser).iter_mut().enumerate();
                    table.for_each(|(at, value)| *value = (at * 37 + quantiser * 11) as u8);
                }
                let block_bytes = quantisers * usize::from(bits) / 8 * BLOCK_VECTORS;
                group.throughput(throughput(block_bytes));
                group.bench_function(format!("pq:{quantisers}x{bits}"), |b| {
                    memory.lists(block_bytes, bytes).walk(b, |rows, factors| {
                        kernel.look_up(&tables, Blocks { rows, factors }, terms, &mut out);
                        black_box(&out);
                    });
                });
            }
        }
    }
}

fn each_layout(c: &mut Criterion, name: &str, mut bench: impl FnMut(&mut Bencher<'_>, &PlaneLayout)) {
    let mut group = group(c, name);
    for dim in DIMS {
        for (name, layout) in layouts(dim) {
            group.throughput(throughput(layout.block_bytes()));
            group.bench_function(format!("{name}/{dim}"), |b| bench(b, &layout));
        }
    }
}

fn group<'a>(c: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = c.benchmark_group(name);
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(200));
    group
}

/// Bytes of a code and its factors.
fn throughput(block_bytes: usize) -> Throughput {
    Throughput::Bytes((block_bytes + FACTOR_BYTES).div_ceil(BLOCK_VECTORS) as u64)
}

/// The least that can be done with bytes: no scan is faster than reading them.
fn sum(bytes: &[u8]) -> u64 {
    let mut sums = [0_u64; 16];
    for chunk in bytes.as_chunks::<128>().0 {
        for (sum, word) in sums.iter_mut().zip(chunk.as_chunks::<8>().0) {
            *sum = sum.wrapping_add(u64::from_le_bytes(*word));
        }
    }
    sums.iter().fold(0, |all, sum| all.wrapping_add(*sum))
}

criterion_group!(benches, scans, lookups);
criterion_main!(benches);
