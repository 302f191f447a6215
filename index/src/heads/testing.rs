//! Data for the tests of this room.
use half::f16;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{HeadIndex, HeadQuery, Heads, HnswGraph, HnswParams, Scratch};
use crate::DType;

/// Rows around `count / 40 + 1` centres, so that near rows have structure.
pub(super) fn clustered(dtype: DType, dim: usize, count: usize, seed: u64) -> Vec<u8> {
    let mut centres_rng = ChaCha8Rng::seed_from_u64(7);
    let centres: Vec<Vec<f32>> = (0..count / 40 + 1)
        .map(|_| (0..dim).map(|_| centres_rng.random_range(-90.0..90.0)).collect())
        .collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut rows = Vec::new();
    for _ in 0..count {
        let centre = &centres[rng.random_range(0..centres.len())];
        for &c in centre {
            push(dtype, c + rng.random_range(-30.0..30.0), &mut rows);
        }
    }
    rows
}

/// Appends one element.
pub(super) fn push(dtype: DType, value: f32, rows: &mut Vec<u8>) {
    match dtype {
        DType::F32 => rows.extend(value.to_le_bytes()),
        DType::F16 => rows.extend(f16::from_f32(value).to_le_bytes()),
        DType::I8 => rows.push((value.round() as i8).cast_unsigned()),
        DType::U8 => rows.push((value + 128.0).round() as u8),
    }
}

/// A graph built on `threads` threads.
pub(super) fn build(heads: &Heads, params: &HnswParams, threads: usize) -> HnswGraph {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    HnswGraph::build(heads, params, &pool, &|_| {}, &false.into()).unwrap()
}

/// The heads found; by a graph those it finds itself, however many are wanted.
pub(super) fn found(index: &HeadIndex, heads: &Heads, query: &HeadQuery<'_>) -> Vec<(f32, u32)> {
    let mut out = vec![(9.0, 9)];
    let scratch = &mut Scratch::new();
    match index {
        HeadIndex::Graph(graph) => graph.search(heads, query, scratch, &mut out),
        index => index.search(heads, query, scratch, &mut out),
    };
    out
}
