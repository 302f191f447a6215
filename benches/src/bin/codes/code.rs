//! What all codes compared have in common.
use spandrel_index::VectorSource;

use crate::lists::Lists;
use spandrel_benches::set::Set;

/// An estimate of a squared distance, and its standard error.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Estimate {
    pub(crate) distance: f32,
    pub(crate) error: f32,
}

/// The vectors of all lists, coded in one way.
pub(crate) trait Code: Sync {
    /// A query made ready.
    type Query: Default;

    fn lists(&self) -> &Lists;

    /// Bytes of a vector beyond the 5.5 of factors.
    fn bytes(&self) -> usize;

    /// What bits are spent on.
    fn allotment(&self) -> String;

    fn prepare(&self, set: &Set, query: usize, out: &mut Self::Query);

    /// Estimates for the vectors of a list whose head is at squared distance `head_distance`.
    fn scan(&self, query: &Self::Query, list: u32, head_distance: f32, out: &mut Vec<Estimate>);

    /// Compares the estimates of each query's nearest vectors with their true distances.
    fn accuracy(&self, set: &Set) -> Accuracy {
        let (mut sums, mut prepared, mut estimates) =
            (Accuracy::default(), Self::Query::default(), Vec::new());
        let (lists, index) = (self.lists(), &self.lists().index);
        let mut distance_of = vec![0.0; index.lists() as usize];
        let (mut row, mut vector) = (Vec::new(), Vec::new());
        for query in 0..set.queries.len() as usize {
            self.prepare(set, query, &mut prepared);
            row.clear();
            index.space().float_query(index.dtype(), set.queries.row(query), &mut row);
            for &(distance, list) in &lists.ranked[query] {
                distance_of[list as usize] = distance;
            }
            for &near in set.near(query) {
                let position = lists.positions[near as usize];
                let list = lists.list_of(position);
                self.scan(&prepared, list, distance_of[list as usize], &mut estimates);
                vector.clear();
                lists.vector(position, &mut vector);
                let truth: f64 =
                    row.iter().zip(&vector).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
                sums.add(estimates[(position - lists.range(list).0) as usize], truth);
            }
        }
        sums
    }
}

/// Estimates against true distances.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Accuracy {
    count: f64,
    relative: f64,
    squared: f64,
    inside: [f64; 3],
}

/// Standard errors within which estimates are counted.
const INSIDE: [f64; 3] = [1.9, 2.5, 3.0];

impl Accuracy {
    fn add(&mut self, estimate: Estimate, truth: f64) {
        if truth <= 0.0 {
            return;
        }
        let difference = f64::from(estimate.distance) - truth;
        self.count += 1.0;
        self.relative += difference / truth;
        self.squared += (difference / truth).powi(2);
        for (inside, errors) in self.inside.iter_mut().zip(INSIDE) {
            *inside += f64::from(u8::from(difference.abs() <= errors * f64::from(estimate.error)));
        }
    }

    /// Mean of `(estimate - truth) / truth`.
    pub(crate) fn bias(&self) -> f64 {
        self.relative / self.count
    }

    /// Its standard deviation.
    pub(crate) fn deviation(&self) -> f64 {
        (self.squared / self.count - self.bias().powi(2)).max(0.0).sqrt()
    }

    /// Shares of the estimates within 1.9, 2.5 and 3 standard errors.
    pub(crate) fn inside(&self) -> [f64; 3] {
        self.inside.map(|inside| inside / self.count)
    }
}
