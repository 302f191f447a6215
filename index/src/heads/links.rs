//! The links of one layer: a fixed number of places per node, in one allocation.
use super::lines::LineVec;

/// Marks an unused place; only unused places follow it.
pub(super) const NONE: u32 = u32::MAX;

/// For each node up to `stride` links. A list that is not full ends at the first [`NONE`].
#[derive(Debug)]
pub(super) struct Links {
    stride: usize,
    words: LineVec<u32>,
}

impl Links {
    /// No links yet.
    pub(super) fn new(node_count: usize, stride: usize) -> Links {
        Links { stride, words: LineVec::new(NONE, node_count * stride) }
    }

    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    /// All places of a node.
    #[inline]
    pub(super) fn places(&self, node: u32) -> &[u32] {
        let at = node as usize * self.stride;
        &self.words.as_slice()[at..at + self.stride]
    }

    /// The links of a node.
    pub(super) fn of(&self, node: u32) -> &[u32] {
        let places = self.places(node);
        let len = places.iter().position(|&l| l == NONE).unwrap_or(places.len());
        &places[..len]
    }

    /// Replaces the links of a node.
    pub(super) fn set(&mut self, node: u32, links: &[u32]) {
        let at = node as usize * self.stride;
        let places = &mut self.words.as_mut_slice()[at..at + self.stride];
        let (used, free) = places.split_at_mut(links.len());
        used.copy_from_slice(links);
        free.fill(NONE);
    }

    /// Every place of every node, node by node.
    pub(super) fn words(&self) -> &[u32] {
        self.words.as_slice()
    }

    pub(super) fn words_mut(&mut self) -> &mut [u32] {
        self.words.as_mut_slice()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.words.memory_bytes()
    }
}

/// A layer to walk on: its links, and which head each of its nodes is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layer<'a> {
    pub(super) links: &'a Links,
    /// Upper layers number their nodes by rank; the base layer by head number, and has no names.
    pub(super) names: Option<&'a [u32]>,
}

impl Layer<'_> {
    /// The head of a node.
    #[inline]
    pub(super) fn head(&self, node: u32) -> u32 {
        match self.names {
            Some(names) => names[node as usize],
            None => node,
        }
    }
}
