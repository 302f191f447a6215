//! One node of the tree: balanced k-means with a price on every centre.
//!
//! Balanced clustering minimises `sum |x-c|^2 + lambda sum (|X_i| - N/k)^2` (SPANN, Chen et al. 2021). Here the
//! second term is a price added to every distance from a centre, `price_i ~ lambda (|X_i| - N/k)`, moved a
//! step towards its fixed point after each count. Prices are held still while rows are assigned, so equal
//! rows always share a centre and the order of rows does not matter.
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use spandrel_index::kernels::{BlockKernel, LeftRows, Operation, RightRows};

use crate::rows::{MeanSums, Rows};

/// Rows scored at a time: the block of scores stays in the second-level cache.
pub(crate) const CHUNK_ROWS: usize = 1024;

/// How one node is clustered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FlatParams {
    /// Centres wanted.
    pub(crate) centres: usize,
    /// Weight of balance: the price, in mean distances, of a centre with twice its share of rows.
    pub(crate) balance: f32,
    /// Rounds of Lloyd's algorithm.
    pub(crate) rounds: usize,
    /// How often prices move between two computations of distances.
    pub(crate) price_steps: usize,
    /// Share of the way to its fixed point that a price moves in a step.
    pub(crate) price_damping: f32,
}

/// Centres with their prices.
#[derive(Debug, Clone)]
pub(crate) struct PricedCentres {
    /// Centre rows, back to back.
    pub(crate) bytes: Vec<u8>,
    /// What is added to the distance from each centre.
    pub(crate) prices: Vec<f32>,
    packed: RightRows,
}

impl PricedCentres {
    pub(crate) fn new(kernel: &BlockKernel, bytes: Vec<u8>, prices: Vec<f32>) -> PricedCentres {
        let packed = kernel.pack_right(&bytes);
        assert_eq!(packed.len(), prices.len());
        PricedCentres { bytes, prices, packed }
    }

    pub(crate) fn len(&self) -> usize {
        self.prices.len()
    }

    pub(crate) fn packed(&self) -> &RightRows {
        &self.packed
    }

    /// The cheapest centre of each row lying back to back in `rows`.
    pub(crate) fn assign(&self, kernel: &BlockKernel, rows: &[u8], scores: &mut Vec<f32>, out: &mut [u32]) {
        let left = kernel.pack_left(rows);
        assert_eq!(left.len(), out.len());
        score_all(kernel, &left, &self.packed, scores);
        for (row_scores, out) in scores.chunks_exact(self.len()).zip(out) {
            *out = cheapest(row_scores, &self.prices).0;
        }
    }
}

/// Clusters `rows`; fewer centres come back when there are fewer distinct rows. At least one row is needed.
pub(crate) fn train(
    kernel: &BlockKernel,
    rows: Rows<'_>,
    params: FlatParams,
    rng: &mut ChaCha8Rng,
) -> PricedCentres {
    let row_count = rows.len();
    assert!(row_count > 0 && params.centres > 0);
    let wanted = params.centres.min(row_count);
    let left = kernel.pack_left(rows.bytes);
    let mut centres = Vec::new();
    rows.gather(&pick_distinct(row_count, wanted, rng), &mut centres);
    let mut prices = vec![0.0; wanted];
    let mut scores = Vec::new();
    let mut owner = vec![0_u32; row_count];
    let mut sums = vec![MeanSums::new(rows.dtype, rows.dim); wanted];
    for round in 0..params.rounds.max(1) {
        let packed = kernel.pack_right(&centres);
        score_all(kernel, &left, &packed, &mut scores);
        assign_balanced(&scores, params, &mut prices, &mut owner);
        sums.iter_mut().for_each(MeanSums::clear);
        for (at, &owner) in owner.iter().enumerate() {
            sums[owner as usize].add(rows.row(at));
        }
        let row_bytes = rows.row_bytes();
        for (sums, centre) in sums.iter().zip(centres.chunks_exact_mut(row_bytes)) {
            if sums.count() > 0 {
                sums.write_mean(centre);
            }
        }
        let last = round + 1 == params.rounds.max(1);
        if !last {
            revive_empty(rows, &scores, &owner, &sums, &mut centres, &mut prices);
        }
    }
    // Prices once more for the centres as they now are.
    let packed = kernel.pack_right(&centres);
    score_all(kernel, &left, &packed, &mut scores);
    assign_balanced(&scores, params, &mut prices, &mut owner);
    drop_empty(kernel, rows, &owner, centres, prices)
}

/// Keeps the centres that own a row.
fn drop_empty(
    kernel: &BlockKernel,
    rows: Rows<'_>,
    owner: &[u32],
    centres: Vec<u8>,
    prices: Vec<f32>,
) -> PricedCentres {
    let mut owned = vec![false; prices.len()];
    for &owner in owner {
        owned[owner as usize] = true;
    }
    let row_bytes = rows.row_bytes();
    let kept: Vec<usize> = (0..prices.len()).filter(|&at| owned[at]).collect();
    let bytes =
        kept.iter().flat_map(|&at| centres[at * row_bytes..(at + 1) * row_bytes].iter().copied()).collect();
    let prices = kept.iter().map(|&at| prices[at]).collect();
    PricedCentres::new(kernel, bytes, prices)
}

/// Moves centres without rows onto the rows farthest from their own centre.
fn revive_empty(
    rows: Rows<'_>,
    scores: &[f32],
    owner: &[u32],
    sums: &[MeanSums],
    centres: &mut [u8],
    prices: &mut [f32],
) {
    let empty: Vec<usize> = (0..sums.len()).filter(|&at| sums[at].count() == 0).collect();
    if empty.is_empty() {
        return;
    }
    let width = sums.len();
    let distance = |at: usize| scores[at * width + owner[at] as usize];
    let mut farthest: Vec<usize> = (0..owner.len()).filter(|&at| distance(at) > 0.0).collect();
    farthest.sort_unstable_by(|&a, &b| distance(b).total_cmp(&distance(a)).then(a.cmp(&b)));
    farthest.dedup_by(|a, b| rows.row(*a) == rows.row(*b));
    let row_bytes = rows.row_bytes();
    for (at, from) in empty.into_iter().zip(farthest) {
        centres[at * row_bytes..(at + 1) * row_bytes].copy_from_slice(rows.row(from));
        prices[at] = 0.0;
    }
}

/// Assigns every row to its cheapest centre, moving the prices towards balance on the way.
fn assign_balanced(scores: &[f32], params: FlatParams, prices: &mut [f32], owner: &mut [u32]) {
    let FlatParams { balance, price_steps, price_damping, .. } = params;
    let width = prices.len();
    let share = owner.len() as f32 / width as f32; // CAST: an approximate share will do
    let mut counts = vec![0_u32; width];
    for step in 0..=price_steps {
        counts.fill(0);
        let mut total = 0.0_f64;
        for (row_scores, owner) in scores.chunks_exact(width).zip(owner.iter_mut()) {
            let (at, _) = cheapest(row_scores, prices);
            *owner = at;
            counts[at as usize] += 1;
            total += f64::from(row_scores[at as usize]);
        }
        if step == price_steps || balance == 0.0 {
            return;
        }
        let unit = balance * (total / owner.len() as f64) as f32; // CAST: a scale, not a sum
        for (price, &count) in prices.iter_mut().zip(&counts) {
            let fixed_point = unit * (count as f32 / share - 1.0); // CAST: counts stay below 2^24 or nearly so
            *price += price_damping * (fixed_point - *price);
        }
    }
}

/// All rows of one side against all of the other, `scores[l * right.len() + r]`.
pub(crate) fn score_all(kernel: &BlockKernel, left: &LeftRows, right: &RightRows, scores: &mut Vec<f32>) {
    scores.clear();
    scores.resize(left.len() * right.len(), 0.0);
    kernel.scores(Operation::SquaredL2, left.all(), right.all(), scores);
}

/// The first column with the least `score + price`, and that sum.
#[inline]
pub(crate) fn cheapest(scores: &[f32], prices: &[f32]) -> (u32, f32) {
    const LANES: usize = 8;
    let mut best = [f32::INFINITY; LANES];
    let mut best_at = [0_u32; LANES];
    let (score_lanes, score_rest) = scores.as_chunks::<LANES>();
    let (price_lanes, price_rest) = prices.as_chunks::<LANES>();
    let mut first = 0_u32;
    for (scores, prices) in score_lanes.iter().zip(price_lanes) {
        for lane in 0..LANES {
            let sum = scores[lane] + prices[lane];
            let less = sum < best[lane];
            best[lane] = if less { sum } else { best[lane] };
            best_at[lane] = if less { first } else { best_at[lane] };
        }
        first += LANES as u32; // CAST: 8
    }
    let (mut at, mut least) = (u32::MAX, f32::INFINITY);
    for lane in 0..LANES {
        let column = best_at[lane] + lane as u32; // CAST: below 8
        if best[lane] < least || (best[lane] == least && column < at) {
            (at, least) = (column, best[lane]);
        }
    }
    for (rest, (score, price)) in score_rest.iter().zip(price_rest).enumerate() {
        let sum = score + price;
        if sum < least {
            (at, least) = (first + rest as u32, sum); // CAST: below 8
        }
    }
    (if at == u32::MAX { 0 } else { at }, least)
}

/// `wanted` different numbers below `len`, ascending.
pub(crate) fn pick_distinct(len: usize, wanted: usize, rng: &mut ChaCha8Rng) -> Vec<u32> {
    assert!(wanted <= len);
    let len = u32::try_from(len).expect("a part has fewer than 2^32 rows");
    let mut picks = Vec::with_capacity(wanted);
    // Floyd's sampling needs memory for the picks only.
    let mut seen = std::collections::HashSet::with_capacity(wanted);
    for upper in len - wanted as u32..len {
        // CAST: at most len
        let drawn = rng.random_range(0..=upper);
        let pick = if seen.insert(drawn) { drawn } else { upper };
        seen.insert(pick);
        picks.push(pick);
    }
    picks.sort_unstable();
    picks
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use spandrel_index::DType;

    use super::*;

    fn params(centres: usize, rounds: usize) -> FlatParams {
        FlatParams { centres, balance: 0.5, rounds, price_steps: 4, price_damping: 0.15 }
    }

    #[test]
    fn cheapest_is_the_first_of_the_least() {
        for width in 1..40 {
            let scores: Vec<f32> = (0..width).map(|at| ((at * 7 + 3) % 5) as f32).collect();
            let prices: Vec<f32> = (0..width).map(|at| ((at * 3) % 2) as f32).collect();
            let sums: Vec<f32> = scores.iter().zip(&prices).map(|(a, b)| a + b).collect();
            let least = sums.iter().copied().fold(f32::INFINITY, f32::min);
            let at = sums.iter().position(|&x| x == least).unwrap();
            assert_eq!(cheapest(&scores, &prices), (at as u32, least));
        }
    }

    #[test]
    fn picks_are_distinct_and_within() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for (len, wanted) in [(1, 1), (10, 10), (1000, 37)] {
            let picks = pick_distinct(len, wanted, &mut rng);
            assert_eq!(picks.len(), wanted);
            assert!(picks.windows(2).all(|w| w[0] < w[1]));
            assert!(picks.iter().all(|&p| (p as usize) < len));
        }
    }

    #[test]
    fn far_groups_get_a_centre_each() {
        let bytes: Vec<u8> = (0..60_u8).map(|at| (at % 3) * 100 + at / 20).collect();
        let rows = Rows { dtype: DType::U8, dim: 1, bytes: &bytes };
        let kernel = BlockKernel::new(DType::U8, 1);
        let found = train(&kernel, rows, params(3, 8), &mut ChaCha8Rng::seed_from_u64(3));
        let mut centres = found.bytes;
        centres.sort_unstable();
        assert_eq!(centres, [1, 101, 201]);
    }

    #[test]
    fn equal_rows_share_one_centre() {
        let bytes = [9_u8; 50];
        let rows = Rows { dtype: DType::U8, dim: 5, bytes: &bytes };
        let kernel = BlockKernel::new(DType::U8, 5);
        let found = train(&kernel, rows, params(4, 4), &mut ChaCha8Rng::seed_from_u64(3));
        assert_eq!(found.bytes, [9; 5]);
    }
}
