//! Clusters of clusters in a space of few dimensions, carried into the space of the vectors by a linear map.
//!
//! A row picks a top cluster, a middle one inside it and a leaf inside that, each with power-law sizes; its place is
//! the sum of their centres and of a deviation of its own. All four are normal in every latent dimension, with
//! variances that sum to one; the map's columns shrink by a power law, which makes the spectrum anisotropic and
//! keeps the local intrinsic dimension far below the number of elements.
use rand_chacha::ChaCha8Rng;

use super::noise::{Skewed, normal, normals, uniform};

/// Clusters at the top, in each of those, and in each of those again.
const BRANCHES: [usize; 3] = [32, 32, 16];
/// Columns of the map that are summed at once.
const LANES: usize = 8;

/// What a mixture is like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recipe {
    /// Latent dimensions, a multiple of 8.
    pub(super) latent: usize,
    /// Shares of the variance: between top clusters, middle ones, leaves, and within a leaf.
    pub(super) variance: [f32; 4],
    /// Deviations within leaves lie between these two, times their share: some leaves are dense, some wide.
    pub(super) spread: [f32; 2],
}

/// Weight of the latent dimension of a rank, `rank^(-3/8)`: square roots alone, which are the same on every machine.
fn weight(rank: usize) -> f32 {
    let root = (rank as f32).sqrt(); // CAST: small
    1.0 / (root * root.sqrt()).sqrt()
}

/// A cluster tree and a map.
#[derive(Debug)]
pub(super) struct Mixture {
    recipe: Recipe,
    dim: usize,
    /// Centres of each level, `latent` elements each, relative to the level above.
    centres: [Vec<f32>; 3],
    /// For each leaf.
    spreads: Vec<f32>,
    picks: [Skewed; 3],
    /// `latent` rows of `dim` elements.
    map: Vec<f32>,
}

impl Mixture {
    /// `column` shapes a random column of the map before it gets its weight.
    pub(super) fn new(
        recipe: Recipe,
        dim: usize,
        rng: &mut ChaCha8Rng,
        column: impl Fn(&mut [f32]),
    ) -> Mixture {
        let latent = recipe.latent;
        let mut count = 1;
        let centres = [0, 1, 2].map(|level| {
            count *= BRANCHES[level];
            let mut centres = vec![0.0; count * latent];
            normals(rng, &mut centres);
            let deviation = recipe.variance[level].sqrt();
            centres.iter_mut().for_each(|x| *x *= deviation);
            centres
        });
        let [low, high] = recipe.spread;
        let within = recipe.variance[3].sqrt();
        let spreads = (0..count).map(|_| within * (low + (high - low) * uniform(rng))).collect();

        let mut map = vec![0.0; latent * dim];
        let mut weights = 0.0;
        for (rank, row) in (1..).zip(map.chunks_exact_mut(dim)) {
            normals(rng, row);
            column(row);
            let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
            let weight = weight(rank);
            weights += weight * weight;
            row.iter_mut().for_each(|x| *x *= weight / norm);
        }
        // Elements get variance 1 on average.
        let scale = (dim as f32 / weights).sqrt(); // CAST: small
        map.iter_mut().for_each(|x| *x *= scale);
        Mixture { recipe, dim, centres, spreads, picks: BRANCHES.map(Skewed::new), map }
    }

    /// Draws a place in the latent space.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng, place: &mut Vec<f32>) {
        let latent = self.recipe.latent;
        let mut cluster = 0;
        place.clear();
        place.resize(latent, 0.0);
        for ((centres, picks), branches) in self.centres.iter().zip(&self.picks).zip(BRANCHES) {
            cluster = cluster * branches + picks.pick(rng);
            let centre = &centres[cluster * latent..(cluster + 1) * latent];
            place.iter_mut().zip(centre).for_each(|(x, c)| *x += c);
        }
        let spread = self.spreads[cluster];
        place.iter_mut().for_each(|x| *x += spread * normal(rng));
    }

    /// Adds the vector of a place to `out`.
    pub(super) fn map(&self, place: &[f32], out: &mut [f32]) {
        for (place, rows) in place.chunks_exact(LANES).zip(self.map.chunks_exact(LANES * self.dim)) {
            let mut rows = rows.chunks_exact(self.dim);
            let rows: [&[f32]; LANES] = std::array::from_fn(|_| rows.next().unwrap_or_default());
            for (j, out) in out.iter_mut().enumerate() {
                let mut sum = 0.0;
                for lane in 0..LANES {
                    sum += place[lane] * rows[lane][j];
                }
                *out += sum;
            }
        }
    }
}
