//! What the rows of a sample tell of rules by which rows choose lists, by the distances of heads alone.
use std::collections::HashMap;

use super::lists::ListAt;
use super::reach::{BUCKETS, Reach, Scale};

/// A true neighbour.
#[derive(Clone, Copy)]
pub(super) struct TrueNeighbour {
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
    /// From the distances of a row, 0 or more.
    pub(super) fn of(near: &[ListAt], distances: &[f32]) -> RowDistances {
        let lists = near.iter().copied().zip(distances.iter().copied()).collect();
        RowDistances { first: distances.iter().copied().fold(f32::INFINITY, f32::min), lists }
    }
}

/// The lists near a row of the sample, by buckets of distance.
pub(super) struct RowBuckets {
    /// Lists of each bucket.
    counts: Vec<u16>,
    /// Vectors of each bucket's lists.
    vectors: Vec<u64>,
    /// True neighbours in these.
    found: Vec<u32>,
    /// True neighbours in all lists.
    neighbours: usize,
}

impl RowBuckets {
    pub(super) fn of(
        row: &RowDistances,
        truth: &[TrueNeighbour],
        offset: f32,
        size: impl Fn(ListAt) -> u64,
    ) -> RowBuckets {
        let scale = Scale::new(row.first, offset);
        let (mut counts, mut vectors, mut found) = (vec![0_u16; BUCKETS], vec![0; BUCKETS], vec![0; BUCKETS]);
        let mut wanted: HashMap<ListAt, u32> = HashMap::new();
        for neighbour in truth {
            *wanted.entry(neighbour.list).or_default() += 1;
        }
        for (list, distance) in &row.lists {
            let bucket = scale.bucket(*distance);
            counts[bucket] = counts[bucket].saturating_add(1);
            vectors[bucket] += size(*list);
            found[bucket] += wanted.get(list).copied().unwrap_or_default();
        }
        RowBuckets { counts, vectors, found, neighbours: truth.len() }
    }

    /// Vectors of the lists that the row looks into.
    pub(super) fn vectors_within(&self, reach: &Reach) -> u64 {
        let buckets = reach.buckets(&self.counts);
        self.vectors[..buckets].iter().sum()
    }

    /// Budgets that find more neighbours than any smaller one, with the number that each finds.
    fn budgets(&self, squarings: Option<u32>) -> Vec<(f64, u32)> {
        let (mut rank, mut found) = (0, 0);
        let mut budgets = Vec::new();
        for (bucket, (&count, &more)) in self.counts.iter().zip(&self.found).enumerate() {
            rank += u32::from(count);
            found += more;
            if more > 0 {
                // Into all of the first bucket a row looks anyway.
                let budget = if bucket == 0 { 0.0 } else { Reach::cost(squarings, rank, bucket) };
                budgets.push((budget, found));
            }
        }
        budgets
    }
}

/// The least budget that finds `recall`, by one standard error; none where the lists near rows hold too few of their neighbours.
pub(super) fn budget_of(rows: &[RowBuckets], squarings: Option<u32>, recall: f64) -> Option<f64> {
    let rows: Vec<&RowBuckets> = rows.iter().filter(|row| row.neighbours > 0).collect();
    let neighbours: Vec<usize> = rows.iter().map(|row| row.neighbours).collect();
    let of_rows: Vec<Vec<(f64, u32)>> = rows.iter().map(|row| row.budgets(squarings)).collect();
    let mut budgets: Vec<f64> = of_rows.iter().flatten().map(|&(budget, _)| budget).collect();
    budgets.sort_unstable_by(f64::total_cmp);
    budgets.dedup();
    let is_short = |&budget: &f64| {
        let found = |(of_row, &neighbours): (&Vec<(f64, u32)>, &usize)| {
            let within = of_row.partition_point(|&(needed, _)| needed <= budget);
            let found = within.checked_sub(1).map_or(0, |last| of_row[last].1);
            f64::from(found) / neighbours as f64 // CAST: a small count
        };
        let recalls: Vec<f64> = of_rows.iter().zip(&neighbours).map(found).collect();
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

    /// Rows with a list in each of some buckets, and neighbours in some of these lists.
    fn rows() -> Vec<RowBuckets> {
        let one = |row: usize| {
            let mut of = RowBuckets {
                counts: vec![0; BUCKETS],
                vectors: vec![0; BUCKETS],
                found: vec![0; BUCKETS],
                neighbours: 4,
            };
            for list in 0..12 {
                let bucket = (list * (37 + row % 5) + row) % BUCKETS;
                of.counts[bucket] += 1;
                of.vectors[bucket] += 10;
                of.found[bucket] += u32::from((list + row).is_multiple_of(4));
            }
            // One of each third row lies in no list that is near.
            of.neighbours = of.found.iter().sum::<u32>() as usize + usize::from(row.is_multiple_of(3));
            of
        };
        (0..200).map(one).collect()
    }

    #[test]
    fn the_least_budget_reaches_the_recall() {
        let rows = rows();
        for squarings in [None, Some(1), Some(3)] {
            let recall = |budget: f64| {
                let reach = Reach { squarings, offset: 0.0, budget };
                let found = |row: &RowBuckets| {
                    let found: u32 = row.found[..reach.buckets(&row.counts)].iter().sum();
                    f64::from(found) / row.neighbours as f64
                };
                let recalls: Vec<f64> = rows.iter().map(found).collect();
                let neighbours: Vec<usize> = rows.iter().map(|row| row.neighbours).collect();
                let (mean, error) = mean_of(&recalls, &neighbours);
                mean - error
            };
            for wanted in [0.3, 0.6, 0.85] {
                let budget = budget_of(&rows, squarings, wanted).unwrap();
                assert!(recall(budget) >= wanted, "{squarings:?} {wanted}");
                assert!(recall(budget.next_down()) < wanted || budget == 0.0, "{squarings:?} {wanted}");
            }
            assert_eq!(budget_of(&rows, squarings, 0.99), None, "more than near lists hold");
        }
        assert_eq!(budget_of(&[], None, 0.5), None);
    }
}
