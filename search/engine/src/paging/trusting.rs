//! Pages leave as predictions say.
use super::order::Order;
use super::places::Places;
use super::requested::Requested;

/// Queues of the order: pages predicted to leave, and those predicted to be asked for again.
const LEAVING: usize = 0;
const STAYING: usize = 1;

/// Pages in slots, of which those leave that were predicted to, the least recently asked for first. Where no page was, all
/// are taken to leave (Antoniadis et al., "Paging with Succinct Predictions", 2023: the rule that flushes when all are to stay).
///
/// With the bits of an optimal cache (Belady, 1966) it misses what that misses. A bit that is wrong the one way costs one miss
/// more, the other way at most one less than there are slots.
#[derive(Debug)]
pub struct Trusting {
    places: Places,
    order: Order,
}

impl Trusting {
    /// An empty one of that many slots.
    ///
    /// # Panics
    /// If there is no slot, or not fewer than 2^32.
    pub fn new(slots: usize) -> Trusting {
        Trusting { places: Places::new(slots), order: Order::new(slots) }
    }

    /// Bytes of its tables.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.places.bytes() + self.order.bytes()
    }

    /// Whether a page is held.
    pub fn holds(&self, page: u64) -> bool {
        self.places.find(page).is_some()
    }

    /// Asks for a page, which is held afterwards, with the prediction whether it will be asked for `again` before it would
    /// have to leave.
    pub fn request(&mut self, page: u64, again: bool) -> Requested {
        let requested = match self.places.find(page) {
            Some(slot) => Requested { slot, held: true, left: None },
            None => self.take_in(page),
        };
        self.order.add(if again { STAYING } else { LEAVING }, requested.slot);
        requested
    }

    fn take_in(&mut self, page: u64) -> Requested {
        if let Some(slot) = self.places.fill(page) {
            return Requested { slot, held: false, left: None };
        }
        let slot = self.oldest();
        let left = self.places.replace(slot, page);
        Requested { slot, held: false, left: Some(left) }
    }

    fn oldest(&mut self) -> u32 {
        if let Some(slot) = self.order.first(LEAVING) {
            return slot;
        }
        self.order.swap();
        self.order.first(LEAVING).expect("all slots are full, and each is in a queue")
    }
}
