//! Heads whose rows are equal.
//!
//! Equal rows would fill each other's links and cut themselves off from everything else, and fill the beam
//! of a search near them. So the graph is over one representative of each class, the lowest head number; the
//! copies stand in a table beside it, and a search adds them when it is done.
use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::Heads;
use super::beam::{node_of, score_of};

/// The classes of equal rows.
pub(super) struct Classes {
    /// One head of each class, the lowest, ascending.
    pub(super) representatives: Vec<u32>,
    /// Every other head.
    pub(super) copies: Vec<Twin>,
}

/// A head and the representative it is equal to. A table of them ascends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Twin {
    pub(super) representative: u32,
    pub(super) head: u32,
}

impl Classes {
    /// Finds them; runs in the pool of the caller.
    pub(super) fn find(heads: &Heads) -> Classes {
        let mut sorted: Vec<(u64, u32)> =
            (0..heads.count()).into_par_iter().map(|h| (xxh3_64(heads.row(h)), h)).collect();
        let row = |entry: &(u64, u32)| heads.row(entry.1);
        // Rows are compared only where hashes agree, so colliding hashes cost time but never an error.
        sorted.par_sort_unstable_by(|a, b| {
            a.0.cmp(&b.0).then_with(|| row(a).cmp(row(b))).then_with(|| a.1.cmp(&b.1))
        });
        let mut representatives = Vec::new();
        let mut copies = Vec::new();
        for class in sorted.chunk_by(|a, b| a.0 == b.0 && row(a) == row(b)) {
            let representative = class[0].1;
            representatives.push(representative);
            copies.extend(class[1..].iter().map(|e| Twin { representative, head: e.1 }));
        }
        representatives.par_sort_unstable();
        copies.par_sort_unstable();
        copies.shrink_to_fit();
        Classes { representatives, copies }
    }
}

/// The `k` nearest heads of ascending candidates and their copies, into `out`.
pub(super) fn with_copies(keys: &[u64], copies: &[Twin], k: usize, out: &mut Vec<(f32, u32)>) {
    for &key in keys {
        let (score, node) = (score_of(key), node_of(key));
        if out.len() >= k && out.last().is_some_and(|last| last.0 != score) {
            break;
        }
        out.push((score, node));
        let first = copies.partition_point(|c| c.representative < node);
        let own = copies[first..].iter().take_while(|c| c.representative == node).take(k);
        out.extend(own.map(|c| (score, c.head)));
    }
    out.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    // Only a damaged file makes a copy a candidate as well.
    out.dedup_by_key(|o| o.1);
    out.truncate(k);
}

#[cfg(test)]
mod tests {
    use super::super::beam::key_of;
    use super::*;
    use crate::DType;

    #[test]
    fn each_copy_knows_the_lowest() {
        let values = [5u8, 9, 5, 7, 9, 5];
        let heads = Heads::from_rows(DType::U8, 1, &values).unwrap();
        let classes = Classes::find(&heads);
        assert_eq!(classes.representatives, [0, 1, 3]);
        let pairs: Vec<(u32, u32)> = classes.copies.iter().map(|c| (c.representative, c.head)).collect();
        assert_eq!(pairs, [(0, 2), (0, 5), (1, 4)]);

        let keys = [key_of(1.0, 1), key_of(1.0, 3), key_of(2.0, 0)];
        let nearest = |k| {
            let mut out = Vec::new();
            with_copies(&keys, &classes.copies, k, &mut out);
            out.iter().map(|o| o.1).collect::<Vec<u32>>()
        };
        assert_eq!(nearest(1), [1]);
        assert_eq!(nearest(2), [1, 3]);
        assert_eq!(nearest(4), [1, 3, 4, 0]);
        assert_eq!(nearest(9), [1, 3, 4, 0, 2, 5]);
    }
}
