//! The candidates of one walk: an array kept sorted, as in NSG and DiskANN, instead of two heaps.
//!
//! A candidate is one `u64` whose order is (score, node): the 31 bits of a score that is never negative,
//! 32 bits of node, and a last bit that says whether the node's links have been followed.

/// Set once a candidate's links have been followed. Nodes differ, so it never decides an order.
const FOLLOWED: u64 = 1;

/// A candidate whose links have not been followed.
#[inline]
pub(super) fn key_of(score: f32, node: u32) -> u64 {
    // A squared distance is not negative, so its bits are ordered as it is; NaN comes last.
    let bits = score.to_bits() & 0x7fff_ffff;
    u64::from(bits) << 33 | u64::from(node) << 1
}

/// The score of a candidate.
#[inline]
pub(super) fn score_of(key: u64) -> f32 {
    f32::from_bits((key >> 33) as u32) // CAST: 31 bits are left
}

/// The node of a candidate.
#[inline]
pub(super) fn node_of(key: u64) -> u32 {
    (key >> 1) as u32 // CAST: the low 32 of the bits left are the node
}

/// How large a beam is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct BeamSize {
    /// Candidates kept.
    pub(super) kept: usize,
    /// How many of the nearest have their links followed, when `wanted` are there. Fewer than `kept` make
    /// a walk shorter that has to return many.
    pub(super) followed: usize,
    /// Candidates below which the walk goes on in any case.
    pub(super) wanted: usize,
}

/// Candidates, ascending.
#[derive(Debug, Default)]
pub(super) struct Beam {
    keys: Vec<u64>,
    fresh: Vec<u64>,
    size: BeamSize,
    /// Everything before it has been followed.
    cursor: usize,
}

impl BeamSize {
    /// Keeps `ef` and follows all of them.
    pub(super) fn of(ef: usize) -> BeamSize {
        BeamSize { kept: ef, followed: ef, wanted: 0 }
    }
}

impl Beam {
    /// Empties the beam, from now on of another size.
    pub(super) fn reset(&mut self, size: BeamSize) {
        self.keys.clear();
        self.size = size;
        self.cursor = 0;
    }

    /// The candidates, ascending.
    pub(super) fn keys(&self) -> &[u64] {
        &self.keys
    }

    /// The nearest candidate not yet followed, which from now on counts as followed.
    #[inline]
    pub(super) fn follow(&mut self) -> Option<u32> {
        let enough = self.keys.len() >= self.size.wanted;
        let end = if enough { self.size.followed } else { usize::MAX };
        while self.cursor < end
            && let Some(key) = self.keys.get_mut(self.cursor)
        {
            self.cursor += 1;
            if *key & FOLLOWED == 0 {
                *key |= FOLLOWED;
                return Some(node_of(*key));
            }
        }
        None
    }

    /// Takes in nodes that were never offered before, as far as they are among the nearest.
    #[inline]
    pub(super) fn offer(&mut self, nodes: &[u32], scores: &[f32]) {
        let bound = match self.keys.last() {
            Some(&last) if self.keys.len() >= self.size.kept => last,
            _ => u64::MAX,
        };
        if self.fresh.len() < nodes.len() {
            self.fresh.resize(nodes.len(), 0);
        }
        let mut count = 0;
        for ((&node, &score), _) in nodes.iter().zip(scores).zip(0..self.fresh.len()) {
            // Written without a branch: which nodes pass is hard to foresee.
            let key = key_of(score, node);
            self.fresh[count] = key;
            count += usize::from(key < bound);
        }
        if count > 0 {
            self.fresh[..count].sort_unstable();
            self.merge(count);
        }
    }

    /// Merges the first `count` of `fresh`, ascending; each key already here moves at most once.
    fn merge(&mut self, count: usize) {
        let mut end = self.keys.len();
        self.keys.resize(end + count, 0);
        for (before, &key) in self.fresh[..count].iter().enumerate().rev() {
            let at = self.keys[..end].partition_point(|&k| k < key);
            self.keys.copy_within(at..end, at + before + 1);
            self.keys[at + before] = key;
            end = at;
        }
        self.cursor = self.cursor.min(end);
        self.keys.truncate(self.size.kept);
    }

    pub(super) fn memory_bytes(&self) -> usize {
        (self.keys.capacity() + self.fresh.capacity()) * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn keys_order_by_score_then_node() {
        let tiny = f32::from_bits(1);
        let ascending =
            [(0.0, 0), (0.0, 9), (tiny, 3), (1.0, u32::MAX - 1), (2.5, 0), (f32::INFINITY, 4), (f32::NAN, 1)];
        for pair in ascending.windows(2) {
            assert!(key_of(pair[0].0, pair[0].1) < key_of(pair[1].0, pair[1].1), "{pair:?}");
        }
        for (score, node) in ascending.into_iter().filter(|p| !p.0.is_nan()) {
            let key = key_of(score, node) | FOLLOWED;
            assert_eq!((score_of(key), node_of(key)), (score, node));
        }
        assert_eq!(key_of(-0.0, 5), key_of(0.0, 5));
    }

    #[test]
    fn keeps_the_nearest_and_follows_in_order() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        for limit in [1, 2, 7, 64] {
            let mut beam = Beam::default();
            beam.reset(BeamSize::of(limit));
            let (mut seen, mut followed) = (Vec::new(), Vec::new());
            for round in 0..40u32 {
                let nodes: Vec<u32> = (0..rng.random_range(0..9)).map(|i| round * 16 + i).collect();
                let scores: Vec<f32> = nodes.iter().map(|_| rng.random_range(0..50) as f32).collect();
                beam.offer(&nodes, &scores);
                seen.extend(scores.iter().zip(&nodes).map(|(&s, &n)| key_of(s, n)));
                seen.sort_unstable();
                let expected: Vec<u64> = seen.iter().copied().take(limit).collect();
                let keys: Vec<u64> = beam.keys().iter().map(|k| k & !FOLLOWED).collect();
                assert_eq!(keys, expected);
                let next = expected.iter().map(|&k| node_of(k)).find(|n| !followed.contains(n));
                assert_eq!(beam.follow(), next);
                followed.extend(next);
            }
        }
    }
}
