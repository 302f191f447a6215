//! How many of the true neighbours were found, counting ties fairly.
//!
//! A returned id is a hit when its true distance is no worse than the k-th true one, within 1e-6 relative
//! and absolute: of several vectors at the k-th distance any may be returned. The same rule for everyone
//! compared.
use std::collections::HashMap;

use spandrel_index::Metric;

use crate::{Answer, Neighbour};

const TOLERANCE: f64 = 1e-6;

/// True neighbours of some queries, best first.
#[derive(Debug, Clone, Copy)]
pub struct Truth<'a> {
    /// Ids, `columns` for each query.
    pub ids: &'a [u64],
    /// Their distances, of the same shape, or empty where they are not known; then ties do not count.
    pub distances: &'a [f32],
    /// Neighbours known of each query, at least k.
    pub columns: usize,
}

/// Why recall cannot be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecallError {
    /// The number of answers is not the number of queries with known neighbours.
    #[error("{answers} answers, but true neighbours of {queries} queries")]
    Queries {
        /// Answers given.
        answers: usize,
        /// Rows of true neighbours.
        queries: usize,
    },
    /// Fewer true neighbours are known than are asked for.
    #[error("recall at {k} asked for, but {columns} true neighbours are known per query")]
    Columns {
        /// Neighbours asked for.
        k: usize,
        /// Neighbours known.
        columns: usize,
    },
    /// Ids and distances are not of one shape.
    #[error("{ids} ids and {distances} distances of true neighbours, {columns} per query")]
    Shape {
        /// Ids given.
        ids: usize,
        /// Distances given.
        distances: usize,
        /// Neighbours per query.
        columns: usize,
    },
}

/// The share of the `k` true neighbours of each query that was returned, on average; 1 without any query.
///
/// Distances of the truth may be in another form than the metric's own, such as `1 - ip`, as long as they
/// are sorted: then ties that run past the last column are compared with the distances of returned hits.
///
/// # Errors
/// [`RecallError`].
pub fn recall(metric: Metric, answers: &[Answer], truth: Truth<'_>, k: usize) -> Result<f64, RecallError> {
    let hits = hits(metric, answers, truth, k)?;
    if hits.is_empty() {
        return Ok(1.0);
    }
    Ok(hits.iter().sum::<usize>() as f64 / (hits.len() * k) as f64)
}

/// As [`recall`], of each query.
///
/// # Errors
/// [`RecallError`].
pub fn recalls(
    metric: Metric,
    answers: &[Answer],
    truth: Truth<'_>,
    k: usize,
) -> Result<Vec<f64>, RecallError> {
    Ok(hits(metric, answers, truth, k)?.into_iter().map(|hits| hits as f64 / k as f64).collect())
}

/// The recall of one query by its exact neighbours, best first: the share found of the first `k`, or of all where there are
/// fewer; 1 where there is none.
pub fn recall_of(metric: Metric, found: &[Neighbour], nearest: &[Neighbour], k: usize) -> f64 {
    let k = k.min(nearest.len());
    if k == 0 {
        return 1.0;
    }
    let (ids, distances): (Vec<u64>, Vec<f32>) = nearest.iter().map(|near| (near.id, near.distance)).unzip();
    row_hits(metric, found, &ids, &distances, k) as f64 / k as f64
}

/// Hits of each query, at most `k`.
fn hits(metric: Metric, answers: &[Answer], truth: Truth<'_>, k: usize) -> Result<Vec<usize>, RecallError> {
    let Truth { ids, distances, columns } = truth;
    if k == 0 || columns < k {
        return Err(RecallError::Columns { k, columns });
    }
    if ids.len() % columns != 0 || !(distances.is_empty() || distances.len() == ids.len()) {
        return Err(RecallError::Shape { ids: ids.len(), distances: distances.len(), columns });
    }
    let queries = ids.len() / columns;
    if answers.len() != queries {
        return Err(RecallError::Queries { answers: answers.len(), queries });
    }
    let of_query = |(query, answer): (usize, &Answer)| {
        let row = query * columns..(query + 1) * columns;
        let distances = distances.get(row.clone()).unwrap_or_default();
        row_hits(metric, &answer.neighbours, &ids[row], distances, k)
    };
    Ok(answers.iter().enumerate().map(of_query).collect())
}

/// Hits of one query: at most `k`, each id once.
fn row_hits(metric: Metric, found: &[Neighbour], ids: &[u64], distances: &[f32], k: usize) -> usize {
    let order = Order::of(distances);
    // Columns whose vectors are as good as the k-th.
    let good = match distances.get(k - 1) {
        Some(&kth) => distances.iter().take_while(|&&d| order.no_worse(d, kth)).count(),
        None => k,
    };
    let columns: HashMap<u64, usize> = ids.iter().enumerate().map(|(column, &id)| (id, column)).collect();
    let mut hits: Vec<u64> = Vec::with_capacity(k);
    let mut strangers = Vec::new();
    let mut worst_hit: Option<f32> = None;
    for neighbour in found.iter().take(k) {
        match columns.get(&neighbour.id) {
            Some(&column) if column < good => {
                hits.push(neighbour.id);
                let order = Order::of_metric(metric);
                if worst_hit.is_none_or(|worst| !order.no_worse(neighbour.distance, worst)) {
                    worst_hit = Some(neighbour.distance);
                }
            }
            Some(_) => {}
            // An estimate says nothing of the true distance.
            None if neighbour.estimated => {}
            None => strangers.push(neighbour),
        }
    }
    if good == ids.len() && !distances.is_empty() {
        // The ties may run on past the last column: the returned distance decides.
        let metric_order = Order::of_metric(metric);
        let kth = distances.get(k - 1).copied();
        let limit = match order {
            Order::Level => worst_hit.or(kth),
            order if order == metric_order => kth,
            _ => worst_hit,
        };
        if let Some(limit) = limit {
            hits.extend(strangers.iter().filter(|n| metric_order.no_worse(n.distance, limit)).map(|n| n.id));
        }
    }
    hits.sort_unstable();
    hits.dedup();
    hits.len().min(k)
}

/// Whether a distance is no worse than the k-th true one, within the tolerance.
pub(crate) fn no_worse(metric: Metric, distance: f32, kth: f32) -> bool {
    Order::of_metric(metric).no_worse(distance, kth)
}

/// Which way distances get worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Ascending,
    Descending,
    /// All are the same.
    Level,
}

impl Order {
    /// The order that sorted distances are in.
    fn of(distances: &[f32]) -> Order {
        match (distances.first(), distances.last()) {
            (Some(first), Some(last)) if first < last => Order::Ascending,
            (Some(first), Some(last)) if first > last => Order::Descending,
            _ => Order::Level,
        }
    }

    fn of_metric(metric: Metric) -> Order {
        if metric == Metric::InnerProduct { Order::Descending } else { Order::Ascending }
    }

    /// Whether `distance` is no worse than `limit`, within the tolerance.
    fn no_worse(self, distance: f32, limit: f32) -> bool {
        let (distance, limit) = (f64::from(distance), f64::from(limit));
        let slack = TOLERANCE + TOLERANCE * limit.abs();
        match self {
            Order::Ascending => distance <= limit + slack,
            Order::Descending => distance >= limit - slack,
            Order::Level => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(found: &[(u64, f32)]) -> Answer {
        let neighbours =
            found.iter().map(|&(id, distance)| Neighbour { id, distance, estimated: false }).collect();
        Answer { neighbours, ..Answer::default() }
    }

    fn of(metric: Metric, found: &[(u64, f32)], ids: &[u64], distances: &[f32], k: usize) -> f64 {
        let truth = Truth { ids, distances, columns: ids.len() };
        recall(metric, &[answer(found)], truth, k).unwrap()
    }

    #[test]
    fn counts_each_id_once() {
        let (ids, distances) = ([1, 2, 3, 4], [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(of(Metric::L2, &[(1, 1.0), (2, 2.0)], &ids, &distances, 2), 1.0);
        assert_eq!(of(Metric::L2, &[(1, 1.0), (1, 1.0)], &ids, &distances, 2), 0.5);
        assert_eq!(of(Metric::L2, &[(1, 1.0), (3, 3.0)], &ids, &distances, 2), 0.5);
        assert_eq!(of(Metric::L2, &[], &ids, &distances, 2), 0.0);
        let [exact, found] = [&[(1, 1.0), (2, 2.0), (3, 3.0)][..], &[(1, 1.0), (3, 3.0)]].map(answer);
        let of = |k| recall_of(Metric::L2, &found.neighbours, &exact.neighbours, k);
        assert_eq!((of(0), of(1), of(2), of(9)), (1.0, 1.0, 0.5, 2.0 / 3.0));
    }

    #[test]
    fn ties_at_the_kth_distance_are_hits() {
        let (ids, distances) = ([1, 2, 3, 4], [1.0, 2.0, 2.000_001, 4.0]);
        assert_eq!(of(Metric::L2, &[(1, 1.0), (3, 2.0)], &ids, &distances, 2), 1.0);
        assert_eq!(of(Metric::L2, &[(1, 1.0), (4, 4.0)], &ids, &distances, 2), 0.5);
        // Without distances only the first k ids count.
        assert_eq!(of(Metric::L2, &[(1, 1.0), (3, 2.0)], &ids, &[], 2), 0.5);
    }

    #[test]
    fn ties_past_the_last_column_go_by_the_returned_distance() {
        let (ids, distances) = ([1, 2, 3], [1.0, 2.0, 2.0]);
        assert_eq!(of(Metric::L2, &[(1, 1.0), (9, 2.0)], &ids, &distances, 2), 1.0);
        assert_eq!(of(Metric::L2, &[(1, 1.0), (9, 2.1)], &ids, &distances, 2), 0.5);
        // No tie at the last column: an id that is not in the truth is no hit at any distance.
        assert_eq!(of(Metric::L2, &[(1, 1.0), (9, 1.0)], &ids, &[1.0, 2.0, 3.0], 2), 0.5);
        // All true neighbours are one vector.
        assert_eq!(of(Metric::L2, &[(7, 0.0), (8, 0.0)], &ids, &[0.0; 3], 2), 1.0);
    }

    #[test]
    fn inner_products_may_come_either_way_round() {
        let ids = [1, 2, 3];
        for distances in [[9.0, 5.0, 5.0], [-8.0, -4.0, -4.0]] {
            assert_eq!(of(Metric::InnerProduct, &[(1, 9.0), (3, 5.0)], &ids, &distances, 2), 1.0);
            assert_eq!(of(Metric::InnerProduct, &[(3, 5.0), (8, 5.0)], &ids, &distances, 2), 1.0);
            assert_eq!(of(Metric::InnerProduct, &[(3, 5.0), (8, 4.0)], &ids, &distances, 2), 0.5);
        }
    }

    #[test]
    fn shapes_are_checked() {
        let truth = Truth { ids: &[1, 2, 3], distances: &[], columns: 3 };
        let one = [answer(&[])];
        assert!(matches!(recall(Metric::L2, &one, truth, 4), Err(RecallError::Columns { .. })));
        assert!(matches!(recall(Metric::L2, &one, truth, 0), Err(RecallError::Columns { .. })));
        assert!(matches!(recall(Metric::L2, &[], truth, 1), Err(RecallError::Queries { .. })));
        let uneven = Truth { columns: 2, ..truth };
        assert!(matches!(recall(Metric::L2, &one, uneven, 1), Err(RecallError::Shape { .. })));
    }
}
