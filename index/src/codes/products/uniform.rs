//! Centroids that learn from equal shares.
use super::nearest::NearestCentroid;

/// Rows that equal shares are dealt out of.
const ROWS: usize = 16_384;
/// Rounds in which centroids move.
const ROUNDS: usize = 8;
/// Steps by which shares are evened out in a round.
const EVENINGS: usize = 16;
/// Squared distance beyond that of the nearest centroid that makes a centroid `e` times less likely, over the mean squared
/// distance to the nearest.
const TEMPERATURE: f32 = 0.25;
/// Floats that are added up side by side.
const LANES: usize = 16;

/// Bytes that [`spread`] takes for `rows` rows of `width` dimensions: rows, as they are and packed, and how near each is to each centroid.
pub(in crate::codes) fn uniform_bytes(rows: usize, width: usize, bits: u8) -> usize {
    rows.min(ROWS) * 4 * (2 * width + (1 << bits))
}

/// Moves centroids to the means of equal shares of the rows, as RepCONC (Zhan et al., WSDM 2022) assigns: of the
/// ways to give all centroids a share of about the same size, nearly the one of the least squared distance, by Sinkhorn's iteration
/// (Cuturi, NIPS 2013). Centroids of fewer rows than two each stay where they are.
pub(super) fn spread(rows: &[f32], width: usize, centroids: &mut [f32]) {
    let entries = centroids.len() / width;
    let step = (rows.len() / width).div_ceil(ROWS).max(1);
    let rows: Vec<f32> = rows.chunks_exact(width).step_by(step).flatten().copied().collect();
    let count = rows.len() / width;
    if count < 2 * entries {
        return;
    }
    let packed = NearestCentroid::pack(&rows, width);
    let mut near = vec![0.0; count * entries];
    // Each round goes on from those before.
    let mut weights = vec![1.0; entries];
    for _ in 0..ROUNDS {
        let scorer = NearestCentroid::new(centroids, width);
        scorer.distances(&packed, &mut near);
        nearness(&mut near, entries);
        even(&near, &mut weights);
        let mut sums = vec![0.0_f64; centroids.len()];
        let mut shares = vec![0_u32; entries];
        for (near, row) in near.chunks_exact(entries).zip(rows.chunks_exact(width)) {
            let entry = largest_product(near, &weights);
            shares[entry] += 1;
            let sums = &mut sums[entry * width..][..width];
            sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        let moved = centroids.chunks_exact_mut(width).zip(sums.chunks_exact(width)).zip(&shares);
        for ((centroid, sums), &share) in moved.filter(|(_, share)| **share > 0) {
            centroid.iter_mut().zip(sums).for_each(|(x, sum)| *x = (sum / f64::from(share)) as f32); // CAST: rounds
        }
    }
}

/// How likely each centroid is to take a row, 1 for the nearest, from squared distances. In place of `e^-x` it is `(1 - x / 64)^64`,
/// which has the same bits on every machine.
fn nearness(distances: &mut [f32], entries: usize) {
    let least = |row: &[f32]| row.iter().copied().fold(f32::INFINITY, f32::min);
    let rows = distances.len() / entries;
    let sum: f64 = distances.chunks_exact(entries).map(|row| f64::from(least(row).max(0.0))).sum();
    let unit = 64.0 * TEMPERATURE * (sum / rows as f64) as f32; // CAST: rounds
    let unit = unit.max(f32::MIN_POSITIVE);
    for row in distances.chunks_exact_mut(entries) {
        let least = least(row);
        for near in row {
            let mut power = (1.0 - (*near - least) / unit).max(0.0);
            for _ in 0..6 {
                power *= power;
            }
            *near = power;
        }
    }
}

/// Changes what the nearness of each centroid is multiplied with, so that all take about the same share.
fn even(near: &[f32], weights: &mut [f32]) {
    let entries = weights.len();
    let rows = near.len() / entries;
    let share = rows as f32 / entries as f32; // CAST: exact
    for _ in 0..EVENINGS {
        let mut taken = vec![0.0_f32; entries];
        for near in near.chunks_exact(entries) {
            let of_row = 1.0 / product(near, weights).max(f32::MIN_POSITIVE);
            taken.iter_mut().zip(near).for_each(|(taken, near)| *taken += near * of_row);
        }
        for (weight, taken) in weights.iter_mut().zip(taken) {
            *weight = (share / taken.max(f32::MIN_POSITIVE)).clamp(1e-12, 1e12);
        }
    }
}

fn product(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (a, b) = (a.as_chunks::<LANES>().0, b.as_chunks::<LANES>().0);
    for (a, b) in a.iter().zip(b) {
        sums.iter_mut().zip(a).zip(b).for_each(|((sum, a), b)| *sum += a * b);
    }
    sums.iter().sum()
}

/// Of equals the first.
fn largest_product(a: &[f32], b: &[f32]) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for (at, (a, b)) in a.iter().zip(b).enumerate() {
        if a * b > best.1 {
            best = (at, a * b);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows that crowd around 0, in [-1, 1] x [-1, 1].
    fn crowded() -> Vec<f32> {
        let spread = |i: usize| (i % 1009) as f32 / 504.5 - 1.0;
        (0..4000).flat_map(|i| [spread(i * 7919).powi(3), spread(i * 31 + 7).powi(3)]).collect()
    }

    fn shares(rows: &[f32], centroids: &[f32]) -> Vec<usize> {
        let mut shares = vec![0; centroids.len() / 2];
        NearestCentroid::new(centroids, 2)
            .each(&NearestCentroid::pack(rows, 2), |entry, _| shares[usize::from(entry)] += 1);
        shares
    }

    #[test]
    fn shares_become_alike() {
        let rows = crowded();
        let mut centroids: Vec<f32> =
            (0..16).flat_map(|i| [(i % 4) as f32, (i / 4) as f32]).map(|x| x / 2.0 - 0.75).collect();
        let before = shares(&rows, &centroids);
        spread(&rows, 2, &mut centroids);
        let after = shares(&rows, &centroids);
        // Of shares of 250.
        assert!(before.iter().max() > Some(&600) && before.iter().min() < Some(&10), "{before:?}");
        assert!(after.iter().max() < Some(&480) && after.iter().min() > Some(&120), "{after:?}");
    }

    #[test]
    fn few_rows_and_rows_in_one_place_move_nothing_to_nowhere() {
        let mut centroids: Vec<f32> = (0..32).map(|i| i as f32).collect();
        let same = centroids.clone();
        spread(&same[..20], 2, &mut centroids);
        assert_eq!(centroids, same);
        spread(&[3.0; 4000], 2, &mut centroids);
        assert!(centroids.iter().all(|x| x.is_finite()), "{centroids:?}");
    }
}
