//! Pages that were not used lately leave first.
use super::places::Places;
use super::requested::Requested;

/// Pages in slots, of which the hand of a clock takes the next that was not used since it last came by (Corbató, "A Paging
/// Experiment with the Multics System", 1968).
#[derive(Debug)]
pub struct Clock {
    places: Places,
    /// Whether the page in each slot was used since the hand went by.
    used: Vec<bool>,
    hand: usize,
}

impl Clock {
    /// An empty one of that many slots.
    ///
    /// # Panics
    /// If there is no slot, or not fewer than 2^32.
    pub fn new(slots: usize) -> Clock {
        Clock { places: Places::new(slots), used: vec![false; slots], hand: 0 }
    }

    /// Bytes of its tables.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.places.bytes() + self.used.capacity()
    }

    /// The slot of a page that is held.
    pub fn slot_of(&self, page: u64) -> Option<u32> {
        self.places.find(page)
    }

    /// Asks for a page, which is held afterwards.
    pub fn request(&mut self, page: u64) -> Requested {
        if let Some(slot) = self.slot_of(page) {
            self.used[slot as usize] = true;
            return Requested { slot, held: true, left: None };
        }
        if let Some(slot) = self.places.fill(page) {
            return Requested { slot, held: false, left: None };
        }
        // Ends: a mark that was seen is gone the second time round.
        while std::mem::take(&mut self.used[self.hand]) {
            self.hand = (self.hand + 1) % self.used.len();
        }
        let slot = self.hand as u32; // CAST: slots are fewer than 2^32
        self.hand = (self.hand + 1) % self.used.len();
        let left = self.places.replace(slot, page);
        Requested { slot, held: false, left: Some(left) }
    }
}
