//! Slots in the order of their last use.

/// No slot.
const NONE: u32 = u32::MAX;

/// Two queues over the same slots, each slot in at most one of them: the least recently added first. All operations take
/// constant time.
#[derive(Debug)]
pub(super) struct Order {
    /// Neighbours of each slot, then those of the ends of both queues, which are rings.
    links: Vec<Link>,
    /// Which of the two last links is the end of which queue.
    ends: [u32; 2],
}

#[derive(Debug, Clone, Copy)]
struct Link {
    before: u32,
    after: u32,
}

impl Order {
    /// Two empty queues.
    pub(super) fn new(slots: usize) -> Order {
        let ends = [slots as u32, slots as u32 + 1]; // CAST: a cache has fewer slots than 2^32
        let mut links = Vec::with_capacity(slots + ends.len());
        links.resize(slots, Link { before: NONE, after: NONE });
        links.extend(ends.map(|end| Link { before: end, after: end }));
        Order { links, ends }
    }

    /// Bytes of both.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.links.capacity() * size_of::<Link>()
    }

    /// Puts a slot at the end of a queue, out of the one it was in.
    pub(super) fn add(&mut self, queue: usize, slot: u32) {
        self.remove(slot);
        let end = self.ends[queue];
        let last = self.links[end as usize].before;
        self.links[slot as usize] = Link { before: last, after: end };
        self.links[last as usize].after = slot;
        self.links[end as usize].before = slot;
    }

    /// The slot that is longest in a queue.
    pub(super) fn first(&self, queue: usize) -> Option<u32> {
        let end = self.ends[queue];
        let first = self.links[end as usize].after;
        (first != end).then_some(first)
    }

    /// Gives each queue the slots of the other.
    pub(super) fn swap(&mut self) {
        self.ends.swap(0, 1);
    }

    fn remove(&mut self, slot: u32) {
        let Link { before, after } = self.links[slot as usize];
        if before != NONE {
            self.links[before as usize].after = after;
            self.links[after as usize].before = before;
        }
    }
}
