//! The rows of one query that are kept so far: the best, or those within a radius.
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
}

/// What is kept of the rows that a query meets.
#[derive(Debug)]
pub(super) enum Kept {
    /// The best.
    Nearest(Best),
    /// Those whose key is at most `limit`.
    Within { limit: f64, neighbours: Vec<Neighbour> },
}

impl Kept {
    pub(super) fn offer(&mut self, neighbour: Neighbour) {
        match self {
            Kept::Nearest(best) => best.offer(neighbour),
            Kept::Within { limit, neighbours } if neighbour.key <= *limit => neighbours.push(neighbour),
            Kept::Within { .. } => {}
        }
    }

    /// The key that a row must not exceed to be kept. None while any row is.
    pub(super) fn worst_key(&self) -> Option<f64> {
        match self {
            Kept::Nearest(best) => best.worst_key(),
            Kept::Within { limit, .. } => Some(*limit),
        }
    }

    /// Whether a row whose key is the worst one is kept, although it comes after the others.
    pub(super) fn keeps_equals(&self) -> bool {
        matches!(self, Kept::Within { .. })
    }

    /// Rows kept.
    pub(super) fn len(&self) -> usize {
        match self {
            Kept::Nearest(best) => best.heap.len(),
            Kept::Within { neighbours, .. } => neighbours.len(),
        }
    }

    /// The neighbours kept, nearest first.
    pub(super) fn into_sorted(self) -> Vec<Neighbour> {
        match self {
            Kept::Nearest(best) => best.heap.into_sorted_vec(),
            Kept::Within { mut neighbours, .. } => {
                neighbours.sort_unstable();
                neighbours
            }
        }
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
        let rows: Vec<u32> = Kept::Nearest(best).into_sorted().iter().map(|n| n.row).collect();
        assert_eq!(rows, [8, 1, 7]);
    }
}
