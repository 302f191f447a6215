//! Which page is in which slot.

/// No slot.
const NONE: u32 = u32::MAX;

/// Pages in slots, found by their numbers in a hash table of chains. It takes all its memory when it is made; a table that
/// marks what was removed would grow under pages that come and go.
#[derive(Debug)]
pub(super) struct Places {
    slots: usize,
    /// The page in each slot that was filled.
    pages: Vec<u64>,
    /// The next slot with the same hash as each.
    next: Vec<u32>,
    /// The first slot of each hash, a power of two of them.
    first: Vec<u32>,
}

impl Places {
    /// # Panics
    /// If there is no slot, or not fewer than 2^32.
    pub(super) fn new(slots: usize) -> Places {
        assert!(slots > 0 && u32::try_from(slots).is_ok(), "a cache of {slots} slots");
        Places {
            slots,
            pages: Vec::with_capacity(slots),
            next: Vec::with_capacity(slots),
            first: vec![NONE; slots.next_power_of_two()],
        }
    }

    /// Bytes of memory.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.pages.capacity() * 8 + (self.next.capacity() + self.first.capacity()) * 4
    }

    /// The slot of a page.
    pub(super) fn find(&self, page: u64) -> Option<u32> {
        let mut slot = self.first[self.hash(page)];
        while slot != NONE && self.pages[slot as usize] != page {
            slot = self.next[slot as usize];
        }
        (slot != NONE).then_some(slot)
    }

    /// Pages, by slot.
    pub(super) fn pages(&self) -> &[u64] {
        &self.pages
    }

    /// Puts a page into a slot that was never filled, if there is one.
    pub(super) fn fill(&mut self, page: u64) -> Option<u32> {
        let slot = self.pages.len();
        if slot == self.slots {
            return None;
        }
        self.pages.push(page);
        self.next.push(NONE);
        let slot = slot as u32; // CAST: slots are fewer than 2^32
        self.link(slot);
        Some(slot)
    }

    /// Puts a page into a slot instead of another, which it returns.
    pub(super) fn replace(&mut self, slot: u32, page: u64) -> u64 {
        let left = self.pages[slot as usize];
        let hash = self.hash(left);
        let after = self.next[slot as usize];
        let mut at = self.first[hash];
        if at == slot {
            self.first[hash] = after;
        } else {
            while self.next[at as usize] != slot {
                at = self.next[at as usize];
            }
            self.next[at as usize] = after;
        }
        self.pages[slot as usize] = page;
        self.link(slot);
        left
    }

    fn link(&mut self, slot: u32) {
        let hash = self.hash(self.pages[slot as usize]);
        self.next[slot as usize] = std::mem::replace(&mut self.first[hash], slot);
    }

    fn hash(&self, page: u64) -> usize {
        let spread = page.wrapping_mul(0xff51_afd7_ed55_8ccd);
        (spread ^ (spread >> 32)) as usize & (self.first.len() - 1) // CAST: the low bits are wanted
    }
}
