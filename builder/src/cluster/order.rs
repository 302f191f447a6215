//! Orders in which neighbours are near.
use spandrel_index::kernels::{Operation, PairKernel};

use crate::Rows;

/// Rows so that near ones stand near: recursive bisection between two far rows.
///
/// Returns row numbers. Equal rows keep their order. Takes `O(n log n)` distances.
pub fn bisect_order(rows: Rows<'_>) -> Vec<u32> {
    let len = u32::try_from(rows.len()).expect("a list has fewer than 2^32 rows");
    let kernel = PairKernel::new(Operation::SquaredL2, rows.dtype, rows.dim);
    let mut order: Vec<u32> = (0..len).collect();
    let mut keyed = Vec::new();
    let mut open = Vec::new();
    open.push(0..order.len());
    while let Some(range) = open.pop() {
        if range.len() <= 2 {
            continue;
        }
        // A half begins where the half before it ends; the very first keeps its end.
        let before = order[range.start.saturating_sub(1)];
        sort_along_axis(&kernel, rows, &mut order[range.clone()], before, &mut keyed);
        let middle = range.start + range.len() / 2;
        open.push(middle..range.end);
        open.push(range.start..middle);
    }
    order
}

/// Sorts `picks` from one of two far rows to the other, beginning with the one nearer to `before`.
fn sort_along_axis(
    kernel: &PairKernel,
    rows: Rows<'_>,
    picks: &mut [u32],
    before: u32,
    keyed: &mut Vec<(f32, u32)>,
) {
    let row = |at: u32| rows.row(at as usize);
    let farthest = |from: u32| {
        let mut best = (f32::NEG_INFINITY, from);
        for &pick in picks.iter() {
            let distance = kernel.score(row(from), row(pick));
            if distance > best.0 {
                best = (distance, pick);
            }
        }
        best.1
    };
    let mut start = farthest(picks[0]);
    let mut end = farthest(start);
    if kernel.score(row(before), row(end)) < kernel.score(row(before), row(start)) {
        std::mem::swap(&mut start, &mut end);
    }
    keyed.clear();
    keyed.extend(picks.iter().map(|&pick| {
        let key = kernel.score(row(pick), row(start)) - kernel.score(row(pick), row(end));
        (key, pick)
    }));
    keyed.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    for (pick, &(_, to)) in picks.iter_mut().zip(keyed.iter()) {
        *pick = to;
    }
}

/// Rows as a chain, each next the nearest left, beginning with the row nearest to `start`.
///
/// Takes `O(n^2)` distances: for the children of one node.
pub(super) fn chain(rows: Rows<'_>, start: Option<&[u8]>) -> Vec<u32> {
    let kernel = PairKernel::new(Operation::SquaredL2, rows.dtype, rows.dim);
    let mut left: Vec<u32> = (0..rows.len() as u32).collect(); // CAST: at most the branching
    let mut order = Vec::with_capacity(left.len());
    let mut last = start;
    while !left.is_empty() {
        let nearest = match last {
            None => 0,
            Some(last) => nearest_of(&kernel, rows, &left, last),
        };
        let next = left.remove(nearest);
        last = Some(rows.row(next as usize));
        order.push(next);
    }
    order
}

fn nearest_of(kernel: &PairKernel, rows: Rows<'_>, picks: &[u32], to: &[u8]) -> usize {
    let mut best = (f32::INFINITY, 0);
    for (at, &pick) in picks.iter().enumerate() {
        let distance = kernel.score(to, rows.row(pick as usize));
        if distance < best.0 {
            best = (distance, at);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use spandrel_index::DType;

    use super::*;

    #[test]
    fn a_line_is_ordered_end_to_end() {
        let bytes: Vec<u8> = (0..=255_u32).map(|at| (at * 167 % 256) as u8).collect();
        let rows = Rows { dtype: DType::U8, dim: 1, bytes: &bytes };
        let values: Vec<u8> = bisect_order(rows).into_iter().map(|at| bytes[at as usize]).collect();
        let steps: u32 = values.windows(2).map(|w| u32::from(w[0].abs_diff(w[1]))).sum();
        let mut sorted = values.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), 256, "every row once");
        assert!(steps <= 300, "{steps} steps, 255 is least");
    }

    #[test]
    fn equal_rows_keep_their_order() {
        let bytes = [7_u8; 30];
        let rows = Rows { dtype: DType::U8, dim: 3, bytes: &bytes };
        assert_eq!(bisect_order(rows), (0..10).collect::<Vec<u32>>());
        assert_eq!(bisect_order(rows.with_bytes(&[])), Vec::<u32>::new());
    }

    #[test]
    fn a_chain_begins_near_its_start() {
        let bytes = [50_u8, 10, 40, 20, 30];
        let rows = Rows { dtype: DType::U8, dim: 1, bytes: &bytes };
        assert_eq!(chain(rows, Some(&[12])), [1, 3, 4, 2, 0]);
        assert_eq!(chain(rows, None), [0, 2, 4, 3, 1]);
    }
}
