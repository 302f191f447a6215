//! The candidates of one walk: an array kept sorted, as in NSG and DiskANN. Where that array would be long, and to move
//! it for each batch of candidates would take longer than to score them, two heaps.
//!
//! A candidate is one `u64` whose order is (score, node): the 31 bits of a score that is never negative,
//! 32 bits of node, and a last bit that says whether the node's links have been followed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Candidates up to which an array is kept sorted: 8 KiB to be moved at most.
const ARRAY_MAX: usize = 1024;

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
    /// Of a wide beam: candidates not yet followed, nearest first.
    open: BinaryHeap<Reverse<u64>>,
    /// Of a wide beam: candidates kept, farthest first. They become `keys` at the end.
    kept: BinaryHeap<u64>,
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

    /// Whether heaps hold it. They do not know the place of a candidate in the order, so all kept are followed.
    fn is_wide(&self) -> bool {
        self.kept > ARRAY_MAX && self.followed >= self.kept
    }
}

impl Beam {
    /// Empties the beam, from now on of another size.
    pub(super) fn reset(&mut self, size: BeamSize) {
        self.keys.clear();
        // What a wide beam left.
        self.keys.shrink_to(2 * ARRAY_MAX);
        self.size = size;
        self.cursor = 0;
    }

    /// Ends a walk: all candidates are now in order.
    pub(super) fn settle(&mut self) {
        if self.size.is_wide() {
            self.open = BinaryHeap::new();
            self.keys = std::mem::take(&mut self.kept).into_sorted_vec();
        }
    }

    /// The candidates, ascending. Of a wide beam after a walk only.
    pub(super) fn keys(&self) -> &[u64] {
        &self.keys
    }

    /// The nearest candidate not yet followed, which from now on counts as followed.
    #[inline]
    pub(super) fn follow(&mut self) -> Option<u32> {
        if self.size.is_wide() {
            let Reverse(key) = self.open.pop()?;
            let is_kept =
                self.kept.len() < self.size.kept || self.kept.peek().is_some_and(|&last| key <= last);
            return is_kept.then(|| node_of(key));
        }
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
        if self.size.is_wide() {
            return self.offer_wide(nodes, scores);
        }
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

    fn offer_wide(&mut self, nodes: &[u32], scores: &[f32]) {
        for (&node, &score) in nodes.iter().zip(scores) {
            let key = key_of(score, node);
            if self.kept.len() < self.size.kept {
                self.kept.push(key);
            } else if let Some(mut last) = self.kept.peek_mut()
                && key < *last
            {
                *last = key;
            } else {
                continue;
            }
            self.open.push(Reverse(key));
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

    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        let heaps = self.open.capacity() + self.kept.capacity();
        (self.keys.capacity() + self.fresh.capacity() + heaps) * size_of::<u64>()
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
    fn a_wide_beam_keeps_and_follows_what_a_narrow_one_would() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        let limit = ARRAY_MAX + 300;
        // `wanted` beyond reach makes an array of the other, which follows everything.
        let sizes = [BeamSize::of(limit), BeamSize { kept: limit, followed: limit - 1, wanted: usize::MAX }];
        assert_eq!(sizes.map(|size| size.is_wide()), [true, false]);
        let mut beams = sizes.map(|size| {
            let mut beam = Beam::default();
            beam.reset(size);
            beam
        });
        for round in 0..400u32 {
            let nodes: Vec<u32> = (0..rng.random_range(0..16)).map(|i| round * 16 + i).collect();
            let scores: Vec<f32> = nodes.iter().map(|_| rng.random_range(0..9000) as f32).collect();
            let followed = beams.each_mut().map(|beam| {
                beam.offer(&nodes, &scores);
                [beam.follow(), beam.follow(), beam.follow(), beam.follow()]
            });
            assert_eq!(followed[0], followed[1], "round {round}");
        }
        let kept = beams.each_mut().map(|beam| {
            beam.settle();
            beam.keys().iter().map(|key| key & !FOLLOWED).collect::<Vec<_>>()
        });
        assert_eq!(kept[0].len(), limit);
        assert_eq!(kept[0], kept[1]);
    }

    /// Head searches took time with the square of the number of lists: each batch moved the whole array. 600 000
    /// candidates that come farthest first moved 1.4 TB; as heaps they take a fraction of a second.
    #[test]
    fn a_wide_beam_does_not_move_its_candidates_for_each_batch() {
        let begun = std::time::Instant::now();
        let mut beam = Beam::default();
        beam.reset(BeamSize::of(600_000));
        for node in 0..600_000 {
            beam.offer(&[node], &[(600_000 - node) as f32]);
        }
        beam.settle();
        assert!(beam.keys().is_sorted() && beam.keys().len() == 600_000);
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
        beam.reset(BeamSize::of(10));
        assert!(beam.memory_bytes() <= 2 * ARRAY_MAX * 8);
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
