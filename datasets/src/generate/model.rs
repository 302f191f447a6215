//! The three kinds of sets: how the place of a row becomes its elements.
use rand_chacha::ChaCha8Rng;
use spandrel_index::{DType, encode};

use super::kind::Kind;
use super::mixture::{Mixture, Recipe};
use super::noise::{Purpose, below, normal, normals, row_rng, uniform};

/// Orientations of a cell of a gradient histogram.
const ORIENTATIONS: usize = 8;
/// How much of a random pattern spreads to the next orientation: neighbouring bins share gradients.
const ORIENTATION_BLUR: f32 = 0.5;
/// How much of it spreads to the next cell: descriptors weigh gradients across cell borders.
const CELL_BLUR: f32 = 0.4;
/// How much of a cell's mean is taken out: strong orientations go with weak opposite ones.
const CELL_CONTRAST: f32 = 0.7;
/// Size of the pattern that all descriptors share: the middle cells are the strongest.
const COMMON_PATTERN: f32 = 0.35;
/// Level before the cube: bins at or below zero are empty, a fifth of them as in real descriptors.
const GRADIENT_LEVEL: f32 = 1.25;
/// Norm of a descriptor, as OpenCV scales it.
const DESCRIPTOR_NORM: f32 = 512.0;
/// Largest share of the norm that one bin keeps, as in Lowe's descriptor.
const DESCRIPTOR_CLIP: f32 = 0.2;

/// Chosen so that neighbour distances, local dimension and inverted-file recall come out as on real SIFT.
const SIFT: Recipe = Recipe { latent: 96, variance: [0.15, 0.2, 0.15, 0.5], spread: [0.25, 1.3] };
/// Noise of single bins, relative to the mixture's deviation.
const SIFT_NOISE: f32 = 0.15;

/// Chosen to come near sentence embeddings: a flatter spectrum, stronger clusters.
const EMBEDDING: Recipe = Recipe { latent: 128, variance: [0.15, 0.15, 0.2, 0.5], spread: [0.3, 1.2] };
/// Noise of single elements, relative to the mixture's deviation.
const EMBEDDING_NOISE: f32 = 0.4;
/// Norm of the mean that all embeddings share, relative to the deviation from it.
const EMBEDDING_MEAN: f32 = 0.33;
/// Norms of the vectors of the out-of-distribution kind lie within this share of 1, so that inner product and
/// squared distance differ.
const OOD_NORM_SPREAD: f32 = 0.1;
/// Norm of the queries' own mean, as [`EMBEDDING_MEAN`]: it keeps them away from the base.
const OOD_QUERY_MEAN: f32 = 0.9;
/// Share of a query that lies in the base's clusters, so that its neighbours mean something.
const OOD_SHARED: f32 = 0.6;
/// Share of a query that lies in directions of its own.
const OOD_OWN: f32 = 0.7;
/// Whole numbers for a standard deviation of an embedding stored as bytes: four deviations fit.
const BYTE_SCALE: f32 = 30.0;

/// Rows that repeat an earlier one exactly, as scraped collections have them.
const COPIES: f32 = 0.001;
/// Rows that nearly repeat an earlier one.
const NEAR_COPIES: f32 = 0.01;
/// How far near copies lie, relative to the deviation of an element.
const NEAR_COPY_NOISE: f32 = 0.2;

/// How elements end.
#[derive(Debug, Clone, Copy)]
enum Head {
    /// A clipped histogram of gradients, whole numbers.
    Gradients,
    /// A vector of norm 1, give or take this share.
    Norm(f32),
}

/// Makes rows of one set.
#[derive(Debug)]
pub(super) struct Model {
    seed: u64,
    dtype: DType,
    dim: usize,
    mixture: Mixture,
    /// A second mixture and the shares of the first and of it.
    second: Option<(Mixture, f32, f32)>,
    /// Added to every row.
    common: Vec<f32>,
    noise: f32,
    head: Head,
}

/// Room for a row being made.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    place: Vec<f32>,
    row: Vec<f32>,
}

impl Model {
    /// The model of the base, and of queries that come from the same distribution.
    pub(super) fn base(kind: Kind, dim: usize, dtype: DType, seed: u64) -> Model {
        let rng = &mut row_rng(seed, Purpose::Model, 0);
        match kind {
            Kind::Sift => {
                let mixture = Mixture::new(SIFT, dim, rng, smooth);
                let mut common = vec![0.0; dim];
                normals(rng, &mut common);
                smooth(&mut common);
                common.iter_mut().for_each(|x| *x = GRADIENT_LEVEL + COMMON_PATTERN * *x);
                let head = Head::Gradients;
                Model { seed, dtype, dim, mixture, second: None, common, noise: SIFT_NOISE, head }
            }
            Kind::Embedding | Kind::Ood => {
                let mixture = Mixture::new(EMBEDDING, dim, rng, |_| {});
                let common = direction(dim, EMBEDDING_MEAN, rng);
                let head = Head::Norm(if kind == Kind::Ood { OOD_NORM_SPREAD } else { 0.0 });
                Model { seed, dtype, dim, mixture, second: None, common, noise: EMBEDDING_NOISE, head }
            }
        }
    }

    /// The model of the queries.
    pub(super) fn queries(kind: Kind, dim: usize, dtype: DType, seed: u64) -> Model {
        let mut model = Model::base(kind, dim, dtype, seed);
        if kind == Kind::Ood {
            let rng = &mut row_rng(seed, Purpose::QueryModel, 0);
            let own = Mixture::new(EMBEDDING, dim, rng, |_| {});
            model.second = Some((own, OOD_SHARED, OOD_OWN));
            model.common = direction(dim, OOD_QUERY_MEAN, rng);
        }
        model
    }

    /// Appends one row of the base or the queries.
    pub(super) fn row(&self, purpose: Purpose, number: u64, scratch: &mut Scratch, out: &mut Vec<u8>) {
        let mut original = number;
        let mut near = None;
        if matches!(purpose, Purpose::Base) && number > 0 {
            let mut rng = row_rng(self.seed, Purpose::Copies, number);
            let chance = uniform(&mut rng);
            if chance < COPIES + NEAR_COPIES {
                original = below(&mut rng, number);
                near = (chance >= COPIES).then_some(rng);
            }
        }
        let mut rng = row_rng(self.seed, purpose, original);
        let Scratch { place, row } = scratch;
        row.clear();
        row.resize(self.dim, 0.0);
        self.mixture.draw(&mut rng, place);
        if let Some((second, shared, own)) = &self.second {
            place.iter_mut().for_each(|x| *x *= shared);
            self.mixture.map(place, row);
            second.draw(&mut rng, place);
            place.iter_mut().for_each(|x| *x *= own);
            second.map(place, row);
        } else {
            self.mixture.map(place, row);
        }
        for (x, common) in row.iter_mut().zip(&self.common) {
            *x += common + self.noise * normal(&mut rng);
        }
        if let Some(mut rng) = near {
            row.iter_mut().for_each(|x| *x += NEAR_COPY_NOISE * normal(&mut rng));
        }
        self.finish(row, &mut rng, out);
    }

    fn finish(&self, row: &mut [f32], rng: &mut ChaCha8Rng, out: &mut Vec<u8>) {
        match self.head {
            Head::Gradients => {
                let root = (self.dim as f32).sqrt(); // CAST: at most DIM_MAX
                row.iter_mut().for_each(|x| *x = x.max(0.0) * *x * *x);
                // A flat patch still has noise: no descriptor is all zeros.
                if row.iter().all(|&x| x == 0.0) {
                    row.fill(1.0);
                }
                scale_to(row, 1.0);
                // In few dimensions every bin is a large share: clip no lower than twice the even share.
                let clip = DESCRIPTOR_CLIP.max(2.0 / root);
                row.iter_mut().for_each(|x| *x = x.min(clip));
                scale_to(row, DESCRIPTOR_NORM);
                row.iter_mut().for_each(|x| *x = x.round_ties_even().min(255.0));
                if self.dtype == DType::I8 {
                    row.iter_mut().for_each(|x| *x -= 128.0);
                }
            }
            Head::Norm(spread) => {
                let norm = 1.0 + spread * (2.0 * uniform(rng) - 1.0);
                return encode_norm(self.dtype, row, norm, out);
            }
        }
        let encoded = encode(self.dtype, row, out);
        assert!(encoded.is_ok(), "a head keeps its values within the type");
    }
}

/// Appends a row scaled to a norm near 1; in whole numbers for bytes.
fn encode_norm(dtype: DType, row: &mut [f32], norm: f32, out: &mut Vec<u8>) {
    scale_to(row, norm);
    if dtype.is_integer() {
        let root = (row.len() as f32).sqrt(); // CAST: at most DIM_MAX
        let whole = |x: f32| (x * root * BYTE_SCALE).round_ties_even().clamp(-127.0, 127.0);
        let shift = if dtype == DType::U8 { 128.0 } else { 0.0 };
        row.iter_mut().for_each(|x| *x = whole(*x) + shift);
    }
    let encoded = encode(dtype, row, out);
    assert!(encoded.is_ok(), "values near those of a unit vector are within the type");
}

/// Appends a row scaled to a unit vector; in whole numbers for bytes, of which 30 are a standard deviation.
pub(super) fn encode_unit(dtype: DType, row: &mut [f32], out: &mut Vec<u8>) {
    encode_norm(dtype, row, 1.0, out);
}

/// Adds a row scaled to a length.
pub(super) fn add_unit(out: &mut [f32], row: &[f32], length: f32) {
    let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    out.iter_mut().zip(row).for_each(|(x, of)| *x += length / norm * of);
}

/// Scales a row to a norm. A row of zeros gets that norm in its first element.
fn scale_to(row: &mut [f32], norm: f32) {
    let found = row.iter().map(|x| x * x).sum::<f32>().sqrt();
    if found > 0.0 {
        row.iter_mut().for_each(|x| *x *= norm / found);
    } else if let Some(first) = row.first_mut() {
        *first = norm;
    }
}

/// A random vector whose elements have this deviation.
fn direction(dim: usize, deviation: f32, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let mut out = vec![0.0; dim];
    normals(rng, &mut out);
    out.iter_mut().for_each(|x| *x *= deviation);
    out
}

/// Blurs a pattern over neighbouring orientations and over a square of cells, and evens out each cell.
fn smooth(pattern: &mut [f32]) {
    let blur_ring = |cell: &mut [f32]| {
        let before = cell.to_vec();
        let n = before.len();
        for (i, x) in cell.iter_mut().enumerate() {
            *x += ORIENTATION_BLUR * (before[(i + 1) % n] + before[(i + n - 1) % n]);
        }
    };
    pattern.chunks_mut(ORIENTATIONS).for_each(blur_ring);

    let cells = pattern.len().div_ceil(ORIENTATIONS);
    let side = (1..).find(|side| side * side >= cells).unwrap_or(1);
    for (step, along_row) in [(1, true), (side, false)] {
        let before = pattern.to_vec();
        for (at, x) in pattern.iter_mut().enumerate() {
            let cell = at / ORIENTATIONS;
            let has_previous = if along_row { !cell.is_multiple_of(side) } else { cell >= step };
            let has_next = !along_row || cell % side + 1 < side;
            if has_previous {
                *x += CELL_BLUR * before[at - step * ORIENTATIONS];
            }
            if has_next && let Some(next) = before.get(at + step * ORIENTATIONS) {
                *x += CELL_BLUR * next;
            }
        }
    }
    for cell in pattern.chunks_mut(ORIENTATIONS) {
        let mean = cell.iter().sum::<f32>() / ORIENTATIONS as f32; // CAST: small
        cell.iter_mut().for_each(|x| *x -= CELL_CONTRAST * mean);
    }
}
