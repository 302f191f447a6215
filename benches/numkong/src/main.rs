//! Kernels of this project beside those of numkong, for every metric, element type and a range of dimensions.
//!
//! A row gives nanoseconds a pair for two tasks. One query against 64 rows: ours over rows as they lie, as candidates do, and
//! over packed rows, as heads are; numkong's kernel for a pair, and its batch kernel over packed rows. Then 64 queries against
//! 256 packed rows, as when vectors are filed: ours and numkong's batch kernel. The last column is the largest difference of values.
//!
//! `max-sim` compares a query of 32 tokens with a document of 128, and `truth` many queries with many rows as exact truth does.
//!
//! ```text
//! cargo run --release --locked --manifest-path benches/numkong/Cargo.toml [-- pairs max-sim truth]
//! ```
mod element;
mod max_sim;
mod timing;
mod truth;

use std::hint::black_box;

use numkong::{Angulars, Euclideans, PackedMatrix, StorageElement, Tensor, capabilities, f16};
use spandrel_index::kernels::{BlockKernel, Operation, PairKernel, Variant};
use spandrel_index::{DType, Metric};

use element::{Element, rows};
use timing::{PAIR_ROWS, medians};

const DIMS: [usize; 9] = [16, 32, 96, 100, 128, 384, 768, 1024, 4096];
/// Rows and queries of a product.
const ROWS: usize = 256;
const QUERIES: usize = 64;

/// Times one batch kernel of numkong: it fills its output.
fn packed<O: StorageElement + Into<f64>, F: Fn(&mut Tensor<O>)>(
    shape: [usize; 2],
    values: &mut [f64],
    fill: F,
) -> impl FnMut() + use<O, F> {
    let mut out = Tensor::<O>::try_full(&shape, O::default()).expect("memory");
    fill(&mut out);
    values.iter_mut().zip(out.as_slice()).for_each(|(value, &found)| *value = found.into());
    move || fill(black_box(&mut out))
}

/// The batch kernel of a metric, after its values were written down.
fn batch<'a, T>(
    metric: Metric,
    queries: &'a Tensor<T>,
    base: &'a PackedMatrix<T>,
    values: &mut [f64],
) -> Box<dyn FnMut() + 'a>
where
    T: Element,
    T::Accumulator: Into<f64> + 'a,
    <T as Euclideans>::SpatialResult: Into<f64> + 'a,
    <T as Angulars>::SpatialResult: Into<f64> + 'a,
{
    let shape = [queries.shape()[0], values.len() / queries.shape()[0]];
    match metric {
        Metric::L2 => Box::new(packed(shape, values, |out| {
            queries.try_euclideans_packed_into(base, out).expect("shapes fit");
        })),
        Metric::InnerProduct => Box::new(packed(shape, values, |out| {
            queries.try_dots_packed_into(base, out).expect("shapes fit");
        })),
        Metric::Cosine => Box::new(packed(shape, values, |out| {
            queries.try_angulars_packed_into(base, out).expect("shapes fit");
        })),
    }
}

/// One over the length of each row, as an index stores it.
fn inverse_norms(dtype: DType, dim: usize, rows: &[u8]) -> Vec<f32> {
    rows.chunks_exact(dtype.row_bytes(dim)).map(|row| spandrel_index::inverse_norm(dtype, row)).collect()
}

/// Turns inner products into cosine distances.
fn to_cosine(values: &mut [f32], query: f32, rows: &[f32]) {
    values.iter_mut().zip(rows).for_each(|(value, row)| *value = 1.0 - *value * query * row);
}

/// The largest difference of values of ours and theirs, relative to numbers above 1.
fn difference(ours: &[f32], theirs: &[f64]) -> f64 {
    let pairs = ours.iter().zip(theirs);
    pairs.fold(0.0, |most, (&a, &b)| most.max((f64::from(a) - b).abs() / b.abs().max(1.0)))
}

/// The rows of a table's line.
struct Task<T> {
    metric: Metric,
    dim: usize,
    operation: Operation,
    queries: Vec<T>,
    base: Vec<T>,
    query_bytes: Vec<u8>,
    base_bytes: Vec<u8>,
    /// Of queries and of rows.
    norms: [Vec<f32>; 2],
}

impl<T> Task<T>
where
    T: Element,
    T::Accumulator: Into<f64>,
    <T as Euclideans>::SpatialResult: Into<f64>,
    <T as Angulars>::SpatialResult: Into<f64>,
{
    fn new(metric: Metric, dim: usize) -> Task<T> {
        let operation = if metric == Metric::L2 { Operation::SquaredL2 } else { Operation::InnerProduct };
        let (queries, base) = (rows::<T>(QUERIES, dim, 1), rows::<T>(ROWS, dim, 77_777));
        let (query_bytes, base_bytes) = (T::bytes(&queries), T::bytes(&base));
        let norms = [&query_bytes, &base_bytes].map(|rows| inverse_norms(T::DTYPE, dim, rows));
        Task { metric, dim, operation, queries, base, query_bytes, base_bytes, norms }
    }

    /// Turns the products of queries with the first rows into what the metric asks for.
    fn finish(&self, values: &mut [f32], rows: usize) {
        if self.metric == Metric::Cosine {
            for (values, &query) in values.chunks_exact_mut(rows).zip(&self.norms[0]) {
                to_cosine(values, query, &self.norms[1]);
            }
        }
    }

    /// One query: ours, ours over packed rows, theirs a pair, theirs over packed rows; and how far values differ.
    fn one(&self) -> ([f64; 4], f64) {
        let (dim, row_bytes) = (self.dim, T::DTYPE.row_bytes(self.dim));
        let (query, rows) = (&self.query_bytes[..row_bytes], &self.base_bytes[..PAIR_ROWS * row_bytes]);
        let kernel = PairKernel::new(self.operation, T::DTYPE, dim);
        let ours = |values: &mut Vec<f32>| {
            kernel.score_rows(black_box(query), black_box(rows), values);
            self.finish(values, PAIR_ROWS);
        };
        let theirs = |values: &mut Vec<f64>| {
            for (value, row) in values.iter_mut().zip(black_box(&self.base).chunks_exact(dim)) {
                *value = T::pair(self.metric, black_box(&self.queries[..dim]), row);
            }
        };
        let (mut values, mut their_values) = (vec![0.0; PAIR_ROWS], vec![0.0; PAIR_ROWS]);
        ours(&mut values);
        theirs(&mut their_values);
        let off = difference(&values, &their_values);
        let block = BlockKernel::new(T::DTYPE, dim);
        let (left, right) = (block.pack_left(query), block.pack_right(rows));
        let mut packed_values = vec![0.0; PAIR_ROWS];
        let first = Tensor::from_slice(&self.queries[..dim], &[1, dim]);
        let few = Tensor::<T>::from_slice(&self.base[..PAIR_ROWS * dim], &[PAIR_ROWS, dim]);
        let few = PackedMatrix::pack(&few);
        let mut their_packed = batch(self.metric, &first, &few, &mut vec![0.0; PAIR_ROWS]);
        let nanoseconds = medians(
            dim,
            PAIR_ROWS,
            [
                &mut || ours(&mut values),
                &mut || {
                    block.scores(
                        self.operation,
                        black_box(&left).all(),
                        black_box(&right).all(),
                        &mut packed_values,
                    );
                    self.finish(&mut packed_values, PAIR_ROWS);
                },
                &mut || theirs(&mut their_values),
                &mut *their_packed,
            ],
        );
        (nanoseconds, off)
    }

    /// All queries, over packed rows: ours and theirs; and how far values differ.
    fn many(&self) -> ([f64; 2], f64) {
        let block = BlockKernel::new(T::DTYPE, self.dim);
        let (left, right) = (block.pack_left(&self.query_bytes), block.pack_right(&self.base_bytes));
        let ours = |values: &mut Vec<f32>| {
            block.scores(self.operation, black_box(&left).all(), black_box(&right).all(), values);
            self.finish(values, ROWS);
        };
        let mut values = vec![0.0; QUERIES * ROWS];
        ours(&mut values);
        let queries = Tensor::from_slice(&self.queries, &[QUERIES, self.dim]);
        let base = PackedMatrix::pack(&Tensor::<T>::from_slice(&self.base, &[ROWS, self.dim]));
        let mut their_values = vec![0.0; QUERIES * ROWS];
        let mut theirs = batch(self.metric, &queries, &base, &mut their_values);
        if self.metric == Metric::L2 {
            // The batch kernels give distances, not their squares.
            their_values.iter_mut().for_each(|value| *value *= *value);
        }
        let off = difference(&values, &their_values);
        (medians(self.dim, QUERIES * ROWS, [&mut || ours(&mut values), &mut *theirs]), off)
    }

    /// Prints the line.
    fn print(&self) {
        let ([ours, ours_packed, pair, packed], off_one) = self.one();
        let ([ours_many, packed_many], off_many) = self.many();
        let (dtype, metric, dim, off) = (T::DTYPE, self.metric, self.dim, off_one.max(off_many));
        println!(
            "| {dtype} | {metric} | {dim} | {ours:.2} | {ours_packed:.2} | {pair:.2} | {packed:.2} | {ours_many:.2} | {packed_many:.2} | {off:.0e} |"
        );
    }
}

fn pairs() {
    println!(
        "| type | metric | dim | ours 1:64 | ours 1:64, packed | numkong a pair | numkong 1:64, packed | ours 64:256 | numkong 64:256 | off |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for dim in DIMS {
        for metric in Metric::ALL {
            Task::<u8>::new(metric, dim).print();
            Task::<i8>::new(metric, dim).print();
            Task::<f16>::new(metric, dim).print();
            Task::<f32>::new(metric, dim).print();
        }
    }
}

fn main() {
    // Lets the thread use what the kernels of batches need, such as matrix registers.
    let configured = capabilities::configure_thread();
    println!("kernels here: {}; numkong configured: {configured}", Variant::best());
    let blocks: [(&str, fn()); 3] = [("pairs", pairs), ("max-sim", max_sim::print), ("truth", truth::print)];
    let mut wanted: Vec<String> = std::env::args().skip(1).collect();
    if wanted.is_empty() {
        wanted = blocks.iter().map(|&(name, _)| name.to_owned()).collect();
    }
    for name in wanted {
        let block = blocks.iter().find(|(known, _)| *known == name);
        let Some((_, print)) = block else { panic!("{name}: pairs, max-sim and truth are known") };
        println!();
        print();
    }
}
