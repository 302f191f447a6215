//! What is known of the searches of one query: which lists are nearest, and what a search may keep of each.
use spandrel_index::Location;

use crate::collect::Recording;
use crate::fetch::{ListPlace, NearList};

/// Of the nearest lists of a query, nearest first.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) heads: Vec<NearList>,
    /// Vectors in it and in those before it.
    pub(super) counts: Vec<Counts>,
    /// Of lists of codes.
    pub(super) recording: Recording,
    /// Exact scores that were needed so far, ascending by location.
    pub(super) scores: Vec<(Location, f32)>,
    /// Where there is a graph of heads: the lists that were last looked for by it.
    pub(super) walked: Walked,
}

/// Vectors in some lists.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    /// That a search of them scans.
    pub(super) scanned: u64,
    /// Copies not counted.
    pub(super) vectors: u64,
}

/// Lists that a walk over a graph of heads finds, which may miss some of the nearest.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// Lists that it looked for.
    pub(super) lists: usize,
    /// Their places among the nearest, ascending, of those that are known.
    pub(super) places: Vec<u32>,
}

impl Counts {
    /// Adds the vectors of one more list.
    pub(super) fn add(&mut self, list: &ListPlace) {
        self.scanned += u64::from(list.scanned);
        self.vectors += u64::from(list.primaries);
    }
}

impl Seen {
    /// Lists known.
    pub(super) fn lists(&self) -> usize {
        self.heads.len()
    }

    /// Of the first lists.
    pub(super) fn counts(&self, lists: usize) -> Counts {
        lists.checked_sub(1).map_or(Counts::default(), |last| self.counts[last])
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        let lists =
            self.heads.capacity() * size_of::<NearList>() + self.counts.capacity() * size_of::<Counts>();
        let scores = self.scores.capacity() * size_of::<(Location, f32)>();
        lists + scores + self.recording.bytes() + self.walked.places.capacity() * size_of::<u32>()
    }
}
