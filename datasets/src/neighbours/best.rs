//! The best rows of one query so far.
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A row with its exact key: smaller is nearer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Neighbour {
    pub(super) key: f64,
    pub(super) row: u32,
}

impl Ord for Neighbour {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.total_cmp(&other.key).then(self.row.cmp(&other.row))
    }
}

impl PartialOrd for Neighbour {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Neighbour {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Neighbour {}

/// The `k` smallest of the neighbours offered.
#[derive(Debug)]
pub(super) struct Best {
    heap: BinaryHeap<Neighbour>,
    k: usize,
}

impl Best {
    pub(super) fn new(k: usize) -> Best {
        Best { heap: BinaryHeap::new(), k }
    }

    pub(super) fn offer(&mut self, neighbour: Neighbour) {
        if self.heap.len() < self.k {
            self.heap.push(neighbour);
        } else if let Some(mut worst) = self.heap.peek_mut()
            && neighbour < *worst
        {
            *worst = neighbour;
        }
    }

    /// The key that a row must not exceed to be among the best. None while any row is.
    pub(super) fn worst_key(&self) -> Option<f64> {
        if self.heap.len() < self.k { None } else { self.heap.peek().map(|n| n.key) }
    }

    /// The neighbours kept, nearest first.
    pub(super) fn into_sorted(self) -> Vec<Neighbour> {
        self.heap.into_sorted_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_smallest_and_breaks_ties_by_row() {
        let mut best = Best::new(3);
        for (row, key) in [(9, 1.0), (8, 0.5), (7, 1.0), (6, 2.0)] {
            best.offer(Neighbour { key, row });
        }
        assert_eq!(best.worst_key(), Some(1.0));
        best.offer(Neighbour { key: 1.0, row: 1 });
        let rows: Vec<u32> = best.into_sorted().iter().map(|n| n.row).collect();
        assert_eq!(rows, [8, 1, 7]);
    }
}
