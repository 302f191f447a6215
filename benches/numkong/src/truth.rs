//! Many queries with many rows, as exact truth compares them: rows in tiles, each packed once and compared with groups of queries.
use std::hint::black_box;

use numkong::{Euclideans, PackedMatrix, StorageElement, Tensor, f16};
use spandrel_index::Metric;
use spandrel_index::kernels::{BlockKernel, Operation};

use crate::element::{Element, rows};
use crate::timing::medians;

const DIM: usize = 128;
/// A group of queries.
const QUERIES: usize = 128;
const GROUPS: usize = 8;
/// Rows of a tile, as exact truth has them for bytes of this dimension.
const TILE_ROWS: usize = 256;
const TILES: usize = 8;

fn zeros<O: StorageElement + Default>() -> Tensor<O> {
    Tensor::try_full(&[QUERIES, TILE_ROWS], O::default()).expect("memory")
}

fn line<T: Element>(metric: Metric)
where
    <T as Euclideans>::SpatialResult: Default,
{
    let (queries, base) = (rows::<T>(QUERIES * GROUPS, DIM, 1), rows::<T>(TILE_ROWS * TILES, DIM, 77_777));
    let (query_bytes, base_bytes) = (T::bytes(&queries), T::bytes(&base));
    let row_bytes = T::DTYPE.row_bytes(DIM);
    let kernel = BlockKernel::new(T::DTYPE, DIM);
    let operation = if metric == Metric::L2 { Operation::SquaredL2 } else { Operation::InnerProduct };
    let groups: Vec<_> =
        query_bytes.chunks_exact(QUERIES * row_bytes).map(|group| kernel.pack_left(group)).collect();
    let mut values = vec![0.0; QUERIES * TILE_ROWS];
    let mut ours = || {
        for tile in black_box(&base_bytes).chunks_exact(TILE_ROWS * row_bytes) {
            let tile = kernel.pack_right(tile);
            groups.iter().for_each(|group| kernel.scores(operation, group.all(), tile.all(), &mut values));
        }
    };
    let tensors = |all: &[T], rows: usize| -> Vec<Tensor<T>> {
        all.chunks_exact(rows * DIM).map(|rows_of| Tensor::from_slice(rows_of, &[rows, DIM])).collect()
    };
    let (their_groups, their_tiles) = (tensors(&queries, QUERIES), tensors(&base, TILE_ROWS));
    let mut products = zeros::<T::Accumulator>();
    let mut distances = zeros::<<T as Euclideans>::SpatialResult>();
    let mut theirs = || {
        for tile in black_box(&their_tiles) {
            let tile = PackedMatrix::pack(tile);
            for group in &their_groups {
                match metric {
                    Metric::L2 => group.try_euclideans_packed_into(&tile, &mut distances),
                    _ => group.try_dots_packed_into(&tile, &mut products),
                }
                .expect("shapes fit");
            }
        }
    };
    let pairs = QUERIES * GROUPS * TILE_ROWS * TILES;
    let [ours, theirs] = medians(DIM, pairs, [&mut ours, &mut theirs]);
    println!("| {} | {metric} | {ours:.3} | {theirs:.3} |", T::DTYPE);
}

/// Prints nanoseconds a pair.
pub(crate) fn print() {
    println!("| type | metric | ours | numkong |");
    println!("|---|---|---|---|");
    for metric in [Metric::L2, Metric::InnerProduct] {
        line::<u8>(metric);
        line::<i8>(metric);
        line::<f16>(metric);
        line::<f32>(metric);
    }
}
