//! Coarse parts: a partition of space, learned from a sample, into pieces that fit in memory.
use std::sync::atomic::AtomicBool;

use rayon::ThreadPool;
use rayon::prelude::*;
use spandrel_index::kernels::BlockKernel;

use super::flat::{CHUNK_ROWS, PricedCentres, cheapest, score_all};
use super::{ClusterParams, HeadKind, Stopped, cluster};
use crate::Rows;
use crate::measured::parts::{BALANCE, DAMPING, PRICE_STEPS};

/// Centres with a price each, so that parts come out nearly equal in size.
///
/// Part numbers follow the clustering tree: neighbouring numbers are close in space.
#[derive(Debug, Clone)]
pub struct CoarseParts {
    kernel: BlockKernel,
    row_bytes: usize,
    centres: PricedCentres,
}

impl CoarseParts {
    /// Learns at most `parts` parts from a sample (a few hundred rows for each). At least one row is needed.
    ///
    /// Fewer come out when the sample has fewer distinct rows. Takes `24 sample x parts` distances as matrix
    /// products. The result depends on the sample, `parts` and `seed` alone.
    ///
    /// # Errors
    /// [`Stopped`] once `stop` is true.
    pub fn train(
        sample: Rows<'_>,
        parts: usize,
        seed: u64,
        pool: &ThreadPool,
        stop: &AtomicBool,
    ) -> Result<CoarseParts, Stopped> {
        let params = ClusterParams { heads: HeadKind::Means, seed, ..ClusterParams::new(parts) };
        let found = cluster(sample, &params, pool, stop)?;
        let kernel = BlockKernel::new(sample.dtype, sample.dim);
        let prices = vec![0.0; found.count as usize];
        let centres = PricedCentres::new(&kernel, found.heads, prices);
        let mut parts = CoarseParts { kernel, row_bytes: sample.row_bytes(), centres };
        for _ in 0..PRICE_STEPS {
            if stop.load(std::sync::atomic::Ordering::Relaxed) {
                return Err(Stopped);
            }
            parts.step_prices(sample, pool);
        }
        Ok(parts)
    }

    /// The parts written by [`CoarseParts::centres`] and [`CoarseParts::prices`].
    ///
    /// # Panics
    /// When `centres` and `prices` differ in count.
    pub fn from_stored(centres: Rows<'_>, prices: &[f32]) -> CoarseParts {
        let kernel = BlockKernel::new(centres.dtype, centres.dim);
        let priced = PricedCentres::new(&kernel, centres.bytes.to_vec(), prices.to_vec());
        CoarseParts { kernel, row_bytes: centres.row_bytes(), centres: priced }
    }

    /// Number of parts.
    pub fn len(&self) -> usize {
        self.centres.len()
    }

    /// Never: there is at least one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The centres, one row a part.
    pub fn centres(&self) -> &[u8] {
        &self.centres.bytes
    }

    /// What is added to the distance from each centre.
    pub fn prices(&self) -> &[f32] {
        &self.centres.prices
    }

    /// The part of each row, on the calling thread.
    pub fn assign(&self, rows: Rows<'_>, out: &mut [u32]) {
        let mut scores = Vec::new();
        for (rows, out) in rows.bytes.chunks(self.chunk_bytes()).zip(out.chunks_mut(CHUNK_ROWS)) {
            self.centres.assign(&self.kernel, rows, &mut scores, out);
        }
    }

    fn chunk_bytes(&self) -> usize {
        CHUNK_ROWS * self.row_bytes
    }

    fn step_prices(&mut self, sample: Rows<'_>, pool: &ThreadPool) {
        let count = self.len();
        let chunks: Vec<(Vec<u32>, f64)> = pool.install(|| {
            let chunks = sample.bytes.par_chunks(self.chunk_bytes());
            chunks.map_init(Vec::new, |scores, rows| self.count_chunk(rows, scores)).collect()
        });
        // Summed in the order of the chunks, so that rounding is the same for every pool.
        let mut sizes = vec![0_u32; count];
        let mut total = 0.0;
        for (chunk_sizes, chunk_total) in chunks {
            sizes.iter_mut().zip(chunk_sizes).for_each(|(size, more)| *size += more);
            total += chunk_total;
        }
        let share = sample.len() as f32 / count as f32; // CAST: an approximate share will do
        let unit = BALANCE * (total / sample.len() as f64) as f32; // CAST: a scale, not a sum
        let mut prices = self.centres.prices.clone();
        for (price, size) in prices.iter_mut().zip(sizes) {
            let fixed_point = unit * (size as f32 / share - 1.0); // CAST: an approximate price will do
            *price += DAMPING * (fixed_point - *price);
        }
        self.centres.prices = prices;
    }

    /// How many rows each part gets, and the sum of their distances.
    fn count_chunk(&self, rows: &[u8], scores: &mut Vec<f32>) -> (Vec<u32>, f64) {
        let left = self.kernel.pack_left(rows);
        score_all(&self.kernel, &left, self.centres.packed(), scores);
        let mut sizes = vec![0; self.len()];
        let mut total = 0.0;
        for row_scores in scores.chunks_exact(self.len()) {
            let (at, _) = cheapest(row_scores, &self.centres.prices);
            sizes[at as usize] += 1;
            total += f64::from(row_scores[at as usize]);
        }
        (sizes, total)
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use spandrel_index::DType;

    use super::*;

    #[test]
    fn parts_are_nearly_equal_and_can_be_stored() {
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        // Denser towards one corner.
        let bytes: Vec<u8> = (0..8 * 8000).map(|_| (rng.random::<f32>().powi(3) * 255.0) as u8).collect();
        let rows = Rows { dtype: DType::U8, dim: 8, bytes: &bytes };
        let stop = AtomicBool::new(false);
        let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let parts = CoarseParts::train(rows, 40, 1, &pool(1), &stop).unwrap();
        assert_eq!(parts.len(), 40);
        let mut of_row = vec![0; rows.len()];
        parts.assign(rows, &mut of_row);
        let mut sizes = [0; 40];
        of_row.iter().for_each(|&part| sizes[part as usize] += 1);
        assert!(sizes.iter().all(|&size| (120..320).contains(&size)), "{sizes:?}");

        let other = CoarseParts::train(rows, 40, 1, &pool(3), &stop).unwrap();
        assert_eq!((other.centres(), other.prices()), (parts.centres(), parts.prices()));
        let stored = CoarseParts::from_stored(rows.with_bytes(parts.centres()), parts.prices());
        let mut again = vec![0; rows.len()];
        stored.assign(rows, &mut again);
        assert_eq!(again, of_row);
    }
}
