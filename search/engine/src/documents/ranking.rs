//! Documents in the order of what the tokens of a query have found.
use crate::answer::Neighbour;

/// Sums estimates by document. One per worker; its memory, 4 bytes a document, is used again.
#[derive(Debug, Default)]
pub(crate) struct Ranking {
    /// By how much the estimates of each document are above those of a document that no token has found; zero between queries.
    gains: Vec<f32>,
    /// Documents that a token has found.
    found: Vec<u32>,
}

impl Ranking {
    /// The best of `documents` documents by what each token has found: vectors by their document, the best of each first. At most `count`, the
    /// best first, ties by number. Those of `others` that no token has found come last, in their order. And how many were found.
    pub(crate) fn best<'a>(
        &mut self,
        documents: usize,
        tokens: impl Iterator<Item = &'a [Neighbour]>,
        count: usize,
        others: impl Iterator<Item = u32>,
    ) -> (Vec<u32>, usize) {
        self.gains.resize(documents, 0.0);
        self.found.clear();
        for token in tokens {
            // Of a document that this token has not found: the worst that it has.
            let floor = token.iter().map(|of| of.distance).fold(f32::INFINITY, f32::min);
            for of in token.chunk_by(|a, b| a.id == b.id).filter_map(<[Neighbour]>::first) {
                let gain = &mut self.gains[of.id as usize]; // CAST: a document of the index
                if *gain == 0.0 {
                    self.found.push(of.id as u32); // CAST: a document's number, a u32
                }
                // Never zero again, so that each is found once.
                *gain += (of.distance - floor).max(f32::MIN_POSITIVE);
            }
        }
        let Ranking { gains, found } = self;
        let order = |a: &u32, b: &u32| gains[*b as usize].total_cmp(&gains[*a as usize]).then(a.cmp(b));
        let all = found.len();
        let mut best = found.clone();
        if best.len() > count {
            best.select_nth_unstable_by(count - 1, order);
            best.truncate(count);
        }
        best.sort_unstable_by(order);
        let others = others.filter(|&of| gains[of as usize] == 0.0); // CAST: widening
        best.extend(others.take(count - best.len()));
        found.iter().for_each(|&of| gains[of as usize] = 0.0);
        (best, all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_that_a_token_has_not_found_count_with_its_worst() {
        let found = |of: &[(u64, f32)]| -> Vec<Neighbour> {
            of.iter().map(|&(id, distance)| Neighbour { id, distance, estimated: true }).collect()
        };
        let first = found(&[(1, 5.0), (3, 9.0), (7, 4.0)]);
        let second = found(&[(1, -1.0), (5, -4.0), (7, -6.0)]);
        let mut ranking = Ranking::default();
        // Gains: 1 has 1 + 5, 3 has 5, 5 has 2, 7 has next to nothing, others none.
        for _ in 0..2 {
            let mut best = |count| ranking.best(9, [&first[..], &second[..]].into_iter(), count, 0..9);
            assert_eq!(best(3), (vec![1, 3, 5], 4));
            assert_eq!(best(6), (vec![1, 3, 5, 7, 0, 2], 4));
            assert_eq!(best(9).0, [1, 3, 5, 7, 0, 2, 4, 6, 8]);
        }
        assert_eq!(ranking.best(9, std::iter::empty(), 2, 0..9), (vec![0, 1], 0));
        assert_eq!(ranking.best(9, [&first[..]].into_iter(), 9, [3, 7].into_iter()).0, [3, 1, 7]);
        // All that the first token has kept is of document 2, which gains by it what its best vector is above its worst.
        let (one, all) = (found(&[(2, 120.0), (2, 90.0), (2, 20.0)]), found(&[(2, 40.0), (4, 70.0)]));
        assert_eq!(ranking.best(9, [&one[..], &all[..]].into_iter(), 1, 0..9), (vec![2], 2));
    }
}
