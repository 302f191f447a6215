//! What a search writes to while it runs.
use super::Heads;
use super::beam::Beam;
use super::links::{Layer, NONE};
use super::nearest::NearestHeads;
use crate::kernels::LeftRows;

/// Candidates whose links are followed together: their neighbours are scored as one batch.
const FOLLOWED_TOGETHER: usize = 4;
/// Batches after which a walk asks whether to go on: about 20 us.
const BATCHES_PER_ASK: usize = 16;

/// Working memory of searches, one per thread. It grows to what the usual search needs and stays.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) visited: Visited,
    pub(super) beam: Beam,
    pub(super) picks: Vec<u32>,
    pub(super) names: Vec<u32>,
    pub(super) scores: Vec<f32>,
    /// Candidates carried from one layer to the next.
    pub(super) keys: Vec<u64>,
    /// Scores of all heads, where all are scored.
    pub(super) nearest: NearestHeads,
    /// The query as packed heads want it.
    pub(super) query: LeftRows,
}

impl Scratch {
    /// Nothing allocated yet.
    pub fn new() -> Scratch {
        Scratch::default()
    }

    /// Bytes allocated.
    #[cfg(test)]
    pub(crate) fn memory_bytes(&self) -> usize {
        let words = self.picks.capacity() + self.names.capacity() + self.scores.capacity();
        self.visited.memory_bytes()
            + self.beam.memory_bytes()
            + words * 4
            + self.keys.capacity() * 8
            + self.nearest.memory_bytes()
            + self.query.memory_bytes()
    }

    /// Walks a layer from the candidates in the beam until no nearer one is left to follow.
    ///
    /// Every node of the beam must be marked as visited. Ends early where `go_on` says no, which is asked now and then.
    /// Returns the distances computed.
    pub(super) fn walk(
        &mut self,
        heads: &Heads,
        layer: Layer<'_>,
        query: &[u8],
        go_on: &mut dyn FnMut() -> bool,
    ) -> u32 {
        let room = layer.links.stride() * FOLLOWED_TOGETHER;
        if self.picks.len() < room {
            self.picks.resize(room, 0);
            self.names.resize(room, 0);
            self.scores.resize(room, 0.0);
        }
        let mut computed = 0;
        for batch in 1_usize.. {
            if batch.is_multiple_of(BATCHES_PER_ASK) && !go_on() {
                break;
            }
            let (mut followed, mut count) = (0, 0);
            while followed < FOLLOWED_TOGETHER
                && let Some(node) = self.beam.follow()
            {
                followed += 1;
                count = self.visited.pick_new(layer.links.places(node), &mut self.picks, count);
            }
            if followed == 0 {
                break;
            }
            if count == 0 {
                continue;
            }
            computed += count as u32; // CAST: at most a few strides
            let picks = &self.picks[..count];
            let names = match layer.names {
                None => picks,
                Some(names) => {
                    for (name, &pick) in self.names.iter_mut().zip(picks) {
                        *name = names[pick as usize];
                    }
                    &self.names[..count]
                }
            };
            let scores = &mut self.scores[..count];
            heads.kernel().score_picks(query, heads.rows(), names, scores);
            self.beam.offer(picks, scores);
        }
        self.beam.settle();
        computed
    }
}

/// Which nodes a walk has met: one bit each, so that even 256K nodes stay in the first-level cache.
#[derive(Debug, Default)]
pub(super) struct Visited {
    words: Vec<u64>,
    node_count: usize,
}

impl Visited {
    /// Forgets everything, from now on for nodes below `node_count`.
    pub(super) fn reset(&mut self, node_count: usize) {
        self.words.clear();
        self.words.resize(node_count.div_ceil(64), 0);
        self.node_count = node_count;
    }

    /// Marks a node; whether it was new.
    #[inline]
    pub(super) fn mark(&mut self, node: u32) -> bool {
        let word = &mut self.words[node as usize / 64];
        let bit = 1 << (node % 64);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// Marks links up to the first unused place and writes the new ones to `picks` from `count` on;
    /// returns the new count.
    #[inline]
    pub(super) fn pick_new(&mut self, links: &[u32], picks: &mut [u32], mut count: usize) -> usize {
        for &link in links {
            if link == NONE {
                break;
            }
            // Written without a branch: about half of the links were met before.
            picks[count] = link;
            count += usize::from(self.mark(link));
        }
        count
    }

    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        self.words.capacity() * 8
    }
}
