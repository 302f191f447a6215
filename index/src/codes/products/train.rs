//! Learning centroids from a sample of residuals.
use rand::SeedableRng;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::encode::ProductCoder;
use super::import::Codebooks;
use super::model::ProductModel;
use super::nearest::NearestCentroid;
use super::{opq, uniform};
use crate::codes::aware::{QueryMoments, Weighting};
use crate::codes::pool::on_this_pool;
use crate::codes::rotation::{DenseRotation, Rotation};
use crate::codes::sample::measured_rows;

/// Rounds of k-means. Decision 002.
const ROUNDS: usize = 20;
/// Share of the distance from query to head that counts as spread over all dimensions alike: what a sample has not seen
/// may still come. Decision 002.
const EVEN: f64 = 0.02;

/// The sub-quantisers of a code.
#[derive(Debug, Clone, Copy)]
pub(in crate::codes) struct Quantisers {
    pub(in crate::codes) count: usize,
    /// Of the number of a centroid.
    pub(in crate::codes) bits: u8,
    /// Whether each centroid learns from an equal share of the residuals.
    pub(in crate::codes) uniform: bool,
}

impl ProductModel {
    /// Trains centroids on residuals of length 1, since the code of each vector has a scale of its own: on residuals as
    /// they are, long ones lie beyond all centroids and short ones between them. Sub-quantisers are trained side by side, on
    /// the pool in which this is called, each in one order, so that the same input gives the same model.
    pub(in crate::codes) fn train(
        parts: Quantisers,
        rotated: bool,
        mut mean: Vec<f32>,
        residuals: &[f32],
        seed: u64,
        moments: Option<&QueryMoments>,
    ) -> ProductModel {
        let dim = mean.len();
        let (quantisers, dims) = (parts.count, dim.next_multiple_of(parts.count));
        let weighting = moments.filter(|_| rotated).and_then(QueryMoments::whitening);
        let (rotation, queries) = match (&weighting, rotated) {
            (Some(weighting), _) => {
                let rows = opq::rotation(dim, quantisers, &weighting.map(residuals));
                let (rotation, queries) = weighting.rotated(&rows);
                (rotation, Some(queries))
            }
            (None, true) => {
                let rows = opq::rotation(dim, quantisers, residuals);
                (Rotation::Dense(DenseRotation::new(&rows, dim)), None)
            }
            (None, false) => (Rotation::Identity, None),
        };
        let shares = weighting.as_ref().zip(queries.as_ref()).map(|(weighting, map)| weighting.shares(map));
        if let Some(anchor) = weighting.as_ref().and_then(Weighting::anchor) {
            mean = anchor.to_vec();
        }
        let mut model = ProductModel { queries, ..ProductModel::untrained(parts, rotation, mean) };
        let sample = model.rotated(residuals);
        let (width, entries) = (model.width(), model.entries());
        let scales: Vec<f32> = sample.chunks_exact(dims).map(|row| model.scale_of(row)).collect();
        let of_quantiser = |quantiser: usize| {
            let mut rows = Vec::with_capacity(sample.len() / quantisers);
            for (row, scale) in sample.chunks_exact(dims).zip(&scales) {
                rows.extend(row[quantiser * width..][..width].iter().map(|x| x * scale));
            }
            let mut centroids = k_means(&rows, width, entries, seed.wrapping_add(quantiser as u64)); // CAST: widening
            if parts.uniform {
                uniform::spread(&rows, width, &mut centroids);
            }
            centroids
        };
        let centroids: Vec<Vec<f32>> = (0..quantisers).into_par_iter().map(of_quantiser).collect();
        model.centroids = centroids.concat();
        model.measure(&sample, residuals, shares);
        model
    }

    /// Takes centroids, and their rotation, as they were given. They must have been checked.
    pub(in crate::codes) fn import(
        codebooks: &Codebooks,
        parts: Quantisers,
        mean: Vec<f32>,
        residuals: &[f32],
    ) -> ProductModel {
        let rotation = match &codebooks.rotation {
            Some(rotation) => Rotation::Dense(DenseRotation::new(&rotation.values, mean.len())),
            None => Rotation::Identity,
        };
        let mut model = ProductModel::untrained(parts, rotation, mean);
        (model.centroids, model.unit_length) = (codebooks.centroids.clone(), false);
        let sample = model.rotated(residuals);
        model.measure(&sample, residuals, None);
        model
    }

    fn untrained(parts: Quantisers, rotation: Rotation, mean: Vec<f32>) -> ProductModel {
        let (dim, Quantisers { count: quantisers, bits, .. }) = (mean.len(), parts);
        let dims = dim.next_multiple_of(quantisers);
        let zeros = || vec![0.0; dims];
        ProductModel {
            dim,
            quantisers,
            bits,
            unit_length: true,
            rotation,
            queries: None,
            mean,
            centroids: Vec::new(),
            gain: vec![1.0; dims],
            columns: Vec::new(),
            weight: zeros(),
            lost: zeros(),
        }
    }

    fn rotated(&self, residuals: &[f32]) -> Vec<f32> {
        const TOGETHER: usize = 4096;
        let (frame, dim, dims) = (self.frame(), self.dim, self.dims());
        let rotation = frame.batch_rotation();
        let mut rotated = vec![0.0; residuals.len() / dim * dims];
        on_this_pool(&mut rotated, dims, |first, out| {
            let (rows, mut some) = (residuals[first * dim..].chunks(TOGETHER * dim), Vec::new());
            for (rows, out) in rows.zip(out.chunks_mut(TOGETHER * dims)) {
                rotation.apply(&rows[..out.len() / dims * dim], &mut some);
                out.copy_from_slice(&some);
            }
        });
        rotated
    }

    /// Learns from a sample, rotated already, how residuals and their errors are spread over the dimensions, and what
    /// centroids fall short of. `shares` are those of queries in the dimensions, where they are not spread as residuals are.
    fn measure(&mut self, sample: &[f32], residuals: &[f32], shares: Option<Vec<f64>>) {
        let dims = self.dims();
        let mut squares = vec![0.0_f64; dims];
        match shares {
            Some(shares) => squares = shares,
            None => sample.chunks_exact(dims).for_each(|row| {
                squares.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x) * f64::from(x));
            }),
        }
        let all: f64 = squares.iter().sum();
        let share = |sum: f64| if all > 0.0 { (1.0 - EVEN) * sum / all } else { 1.0 - EVEN };
        let even = EVEN / dims as f64; // CAST: exact
        let weight = squares.into_iter().map(|sum| (share(sum) + even) as f32); // CAST: rounds
        self.weight = weight.collect();
        let rows = self.rotated(&measured_rows(residuals, self.dim));
        let count = (rows.len() / dims).max(1) as f64; // CAST: exact
        let gain = ProductCoder::new(self).gain(&rows);
        self.set_gain(gain);
        let lost = ProductCoder::new(self).observe(&rows);
        self.lost = lost.into_iter().map(|sum| (sum / count) as f32).collect(); // CAST: rounds
    }
}

/// Lloyd's algorithm from rows drawn at random.
fn k_means(rows: &[f32], width: usize, entries: usize, seed: u64) -> Vec<f32> {
    let count = rows.len() / width;
    if count == 0 {
        return vec![0.0; entries * width];
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let drawn = sample(&mut rng, count, entries.min(count)).into_vec();
    let row = |at: usize| &rows[at * width..][..width];
    let mut centroids: Vec<f32> =
        (0..entries).flat_map(|entry| row(drawn[entry % drawn.len()])).copied().collect();
    let packed = NearestCentroid::pack(rows, width);
    for _ in 0..ROUNDS {
        let mut clusters = vec![Cluster::default(); entries];
        let mut sums = vec![0.0_f64; entries * width];
        let mut at = 0;
        NearestCentroid::new(&centroids, width).each(&packed, |nearest, distance| {
            let entry = usize::from(nearest);
            clusters[entry].add(at, distance);
            let sums = &mut sums[entry * width..][..width];
            sums.iter_mut().zip(row(at)).for_each(|(sum, &x)| *sum += f64::from(x));
            at += 1;
        });
        for (entry, cluster) in clusters.iter().enumerate().filter(|(_, cluster)| cluster.rows > 0) {
            let means = sums[entry * width..][..width].iter().map(|sum| sum / f64::from(cluster.rows));
            centroids[entry * width..][..width].iter_mut().zip(means).for_each(|(x, mean)| *x = mean as f32); // CAST: rounds
        }
        for entry in 0..entries {
            if clusters[entry].rows == 0
                && let Some(at) = farthest_of_worst(&mut clusters)
            {
                centroids[entry * width..][..width].copy_from_slice(row(at));
            }
        }
    }
    centroids
}

/// What one round saw of the rows nearest to a centroid.
#[derive(Debug, Clone, Copy, Default)]
struct Cluster {
    rows: u32,
    /// Sum of their squared distances.
    cost: f64,
    /// The one farthest away, and its squared distance.
    farthest: (usize, f32),
}

impl Cluster {
    fn add(&mut self, row: usize, distance: f32) {
        self.rows += 1;
        self.cost += f64::from(distance.max(0.0));
        if distance > self.farthest.1 {
            self.farthest = (row, distance);
        }
    }
}

/// The farthest row of the cluster of the highest cost, for a centroid that has none. Each cluster gives one a round;
/// none where all rows lie on their centroids.
fn farthest_of_worst(clusters: &mut [Cluster]) -> Option<usize> {
    // Of equals the last, which is as good.
    let worst = clusters.iter_mut().max_by(|a, b| a.cost.total_cmp(&b.cost))?;
    let (row, distance) = worst.farthest;
    worst.cost = 0.0;
    (distance > 0.0).then_some(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_distinct_rows_become_centroids() {
        let rows: Vec<f32> = (0..400).flat_map(|at| [(at % 10) as f32, (at % 5) as f32]).collect();
        let centroids = k_means(&rows, 2, 16, 1);
        for row in rows.chunks(2).take(10) {
            let near = |c: &&[f32]| (c[0] - row[0]).abs() + (c[1] - row[1]).abs() < 0.05;
            assert!(centroids.chunks(2).any(|c| near(&c)), "{row:?} of {centroids:?}");
        }
        assert_eq!(k_means(&[], 2, 16, 1), [0.0; 32]);
        assert_eq!(k_means(&[3.0; 2], 2, 16, 1).len(), 32);
    }
}
