//! What the rows of a sample tell of rules by which rows choose lists, by the distances of heads alone.
use std::collections::HashMap;

use super::lists::ListAt;
use super::reach::{BUCKETS, Reach, Scale};

/// A true neighbour.
#[derive(Clone, Copy)]
pub(super) struct Neighbour {
    pub(super) score: f32,
    pub(super) list: ListAt,
}

/// What a row of the sample knows of the lists near its group.
pub(super) struct RowDistances {
    /// Squared distance to the nearest head.
    pub(super) first: f32,
    /// The lists and their squared distances.
    lists: Vec<(ListAt, f32)>,
}

impl RowDistances {
    /// Of each of `count` rows, from the distances of all of them list by list.
    pub(super) fn of(near: &[ListAt], distances: &[f32], count: usize) -> Vec<RowDistances> {
        let one = |row: usize| {
            let of_row = distances.iter().skip(row).step_by(count);
            let lists: Vec<(ListAt, f32)> = near.iter().copied().zip(of_row.copied()).collect();
            let first = lists.iter().map(|(_, distance)| distance.max(0.0)).fold(f32::INFINITY, f32::min);
            RowDistances { first, lists }
        };
        (0..count).map(one).collect()
    }
}

/// The lists near a row of the sample, by buckets of distance.
pub(super) struct RowBuckets {
    /// Lists.
    counts: Vec<u16>,
    /// Vectors of these.
    vectors: Vec<u64>,
    /// Of each true neighbour, the bucket and the rank of its list; none of a list that is not near.
    neighbours: Vec<Option<(usize, u32)>>,
}

impl RowBuckets {
    pub(super) fn of(
        row: &RowDistances,
        truth: &[Neighbour],
        offset: f32,
        size: impl Fn(ListAt) -> u64,
    ) -> RowBuckets {
        let scale = Scale::new(row.first, offset);
        let (mut counts, mut vectors) = (vec![0; BUCKETS], vec![0; BUCKETS]);
        let mut places = HashMap::new();
        for &(list, distance) in &row.lists {
            let bucket = scale.bucket(distance);
            counts[bucket] += 1;
            vectors[bucket] += size(list);
            places.insert(list, bucket);
        }
        let ranks: Vec<u32> = counts
            .iter()
            .scan(0, |rank, &count| {
                *rank += u32::from(count);
                Some(*rank)
            })
            .collect();
        let place = |neighbour: &Neighbour| places.get(&neighbour.list).map(|&at: &usize| (at, ranks[at]));
        RowBuckets { neighbours: truth.iter().map(place).collect(), counts, vectors }
    }

    /// Vectors of the lists that the row looks into.
    pub(super) fn vectors_within(&self, reach: &Reach) -> u64 {
        let buckets = reach.buckets(&self.counts);
        self.vectors[..buckets].iter().sum()
    }
}

/// The least budget that finds `recall`, by one standard error; none where the lists near rows hold too few of their neighbours.
pub(super) fn budget_of(rows: &[RowBuckets], squarings: Option<u32>, recall: f64) -> Option<f64> {
    let of_row = |row: &RowBuckets| -> Vec<f64> {
        // All of the first bucket are looked into.
        let cost = |&(bucket, rank): &(usize, u32)| match bucket {
            0 => 0.0,
            _ => Reach::cost(squarings, rank, bucket),
        };
        row.neighbours.iter().map(|at| at.as_ref().map_or(f64::INFINITY, cost)).collect()
    };
    let costs: Vec<Vec<f64>> = rows.iter().map(of_row).filter(|costs| !costs.is_empty()).collect();
    let neighbours: Vec<usize> = costs.iter().map(Vec::len).collect();
    let mut budgets: Vec<f64> = costs.iter().flatten().copied().filter(|cost| cost.is_finite()).collect();
    budgets.sort_unstable_by(f64::total_cmp);
    budgets.dedup();
    let is_short = |&budget: &f64| {
        let found = |costs: &Vec<f64>| {
            let found = costs.iter().filter(|&&cost| cost <= budget).count();
            found as f64 / costs.len() as f64 // CAST: small counts
        };
        let recalls: Vec<f64> = costs.iter().map(found).collect();
        let (mean, error) = mean_of(&recalls, &neighbours);
        mean - error < recall
    };
    let enough = budgets.partition_point(is_short);
    budgets.get(enough).copied()
}

/// The mean of the recalls of rows with these numbers of neighbours, and one standard error of it.
pub(super) fn mean_of(recalls: &[f64], neighbours: &[usize]) -> (f64, f64) {
    let count = recalls.len().max(1) as f64; // CAST: small counts, here and below
    let mean = recalls.iter().sum::<f64>() / count;
    let neighbours = neighbours.iter().map(|&neighbours| neighbours as f64).sum::<f64>() / count;
    (mean, error_of(recalls.iter().copied(), mean, neighbours))
}

/// One standard error of the mean of the recalls of rows that have `neighbours` each, as if a row more had missed one of them.
fn error_of(recalls: impl ExactSizeIterator<Item = f64>, mean: f64, neighbours: f64) -> f64 {
    let count = recalls.len() as f64 + 1.0; // CAST: a small count
    let missed = (1.0 / neighbours.max(1.0)).powi(2);
    let squares = recalls.map(|recall| (recall - mean).powi(2)).sum::<f64>() + missed;
    squares.sqrt() / count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_sample_without_a_miss_is_not_certain() {
        let error = |recalls: &[f64], mean, neighbours| error_of(recalls.iter().copied(), mean, neighbours);
        assert_eq!(error(&[1.0; 99], 1.0, 1.0), 0.01);
        assert_eq!(error(&[1.0; 99], 1.0, 10.0), 0.001);
        assert_eq!(error(&[], 0.0, 0.0), 1.0);
        // (2 x 0.5^2 + 0.5^2)^1/2 / 3.
        assert!((error(&[1.0, 0.0], 0.5, 2.0) - 0.75_f64.sqrt() / 3.0).abs() < 1e-12);
    }
}
