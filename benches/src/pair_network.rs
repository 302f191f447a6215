//! A stand-in for a cross-encoder: a small network over a query and an item together, made from a seed.
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spandrel_index::DType;
use spandrel_index::kernels::{BlockKernel, Operation};

/// Units of the hidden layer.
const HIDDEN: usize = 64;
/// Weight of the inner product of query and item, which the encoder of both knows too.
const OF_PRODUCT: f32 = 4.0;
/// What the network is made from. It was chosen before anything was measured with it, and a test holds its scores.
pub const PAIR_NETWORK_SEED: u64 = 1;

/// Scores pairs of vectors of unit length: `4 <q, d> + sum over j of v_j tanh(a_j . q + b_j . d + c_j . (q * d))`.
///
/// All weights are uniform, of a size that gives each of the three terms the same variance where elements of vectors are independent.
/// No vector of an item has inner products that order items so: that is what a cross-encoder is to its encoder.
#[derive(Debug, Clone)]
pub struct PairNetwork {
    dim: usize,
    /// Of queries, of items and of their elementwise products: `HIDDEN` rows of `dim`.
    of_query: Vec<f32>,
    of_item: Vec<f32>,
    of_pair: Vec<f32>,
    out: Vec<f32>,
}

/// Items packed for products, and the part of hidden units that no query changes.
#[derive(Debug)]
pub struct PairItems {
    rows: spandrel_index::kernels::RightRows,
    /// `HIDDEN` rows of a value for each item.
    hidden: Vec<f32>,
    count: usize,
}

impl PairNetwork {
    /// The network of a seed for vectors of `dim` elements.
    pub fn new(dim: usize, seed: u64) -> PairNetwork {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut weights = |count: usize, deviation: f32| -> Vec<f32> {
            // A uniform number from -1 to 1 has a variance of a third.
            let most = deviation * 3.0_f32.sqrt();
            (0..count).map(|_| most * rng.random_range(-1.0..1.0)).collect()
        };
        let third = (1.0_f32 / 3.0).sqrt();
        let (of_query, of_item) = (weights(HIDDEN * dim, third), weights(HIDDEN * dim, third));
        // Elements of a product are smaller by the root of `dim`.
        let of_pair = weights(HIDDEN * dim, third * (dim as f32).sqrt());
        let out = weights(HIDDEN, (1.0 / HIDDEN as f32).sqrt());
        PairNetwork { dim, of_query, of_item, of_pair, out }
    }

    /// Items, as f32 rows back to back, to score many queries with.
    pub fn items(&self, rows: &[f32]) -> PairItems {
        let kernel = BlockKernel::new(DType::F32, self.dim);
        let (rows, count) = (kernel.pack_right(&bytes(rows)), rows.len() / self.dim);
        let mut hidden = vec![0.0; HIDDEN * count];
        let left = kernel.pack_left(&bytes(&self.of_item));
        kernel.scores(Operation::InnerProduct, left.all(), rows.all(), &mut hidden);
        PairItems { rows, hidden, count }
    }

    /// The scores of a query with all items.
    pub fn scores(&self, query: &[f32], items: &PairItems) -> Vec<f32> {
        let kernel = BlockKernel::new(DType::F32, self.dim);
        // The products with what the query makes of the weights, and last with the query itself.
        let mut left: Vec<f32> = Vec::with_capacity((HIDDEN + 1) * self.dim);
        for weights in self.of_pair.chunks_exact(self.dim) {
            left.extend(weights.iter().zip(query).map(|(weight, x)| weight * x));
        }
        left.extend(query);
        let left = kernel.pack_left(&bytes(&left));
        let mut products = vec![0.0; (HIDDEN + 1) * items.count];
        kernel.scores(Operation::InnerProduct, left.all(), items.rows.all(), &mut products);
        let (pairs, encoded) = products.split_at(HIDDEN * items.count);
        let mut scores: Vec<f32> = encoded.iter().map(|product| OF_PRODUCT * product).collect();
        let units = self.of_query.chunks_exact(self.dim).zip(&self.out);
        let of_items = items.hidden.chunks_exact(items.count).zip(pairs.chunks_exact(items.count));
        for ((weights, out), (hidden, pairs)) in units.zip(of_items) {
            let of_query: f32 = weights.iter().zip(query).map(|(weight, x)| weight * x).sum();
            for ((score, hidden), pair) in scores.iter_mut().zip(hidden).zip(pairs) {
                *score += out * (of_query + hidden + pair).tanh();
            }
        }
        scores
    }
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
