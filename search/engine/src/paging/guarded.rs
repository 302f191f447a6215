//! Predictions, as long as they do not cost much.
use super::clock::Clock;
use super::places::Places;
use super::requested::Requested;
use super::trusting::Trusting;

/// Pages in slots, chosen as [`Trusting`] or as [`Clock`] would. Both are run beside, on numbers of pages alone. The cache follows one until
/// that has missed more often than the other, by twice the number of slots `k` since it was ahead by the most. What it holds then changes as
/// pages are asked for.
///
/// - Consistent: with the bits of an optimal cache it misses what that misses. It starts with [`Trusting`], which is never behind then.
/// - Robust: at most three times the misses of [`Clock`] and `4 k` more, with any bits. [`Clock`] misses at most `k` times what any
///   policy without knowledge of the future has to.
/// - Smooth: at most three times the misses of [`Trusting`] and `4 k` more; these grow with the number of wrong bits.
///
/// The argument: between two changes of the one that is followed, `2 k` misses of the followed one pass in which the other had none. A change costs `k`
/// misses more at most, those of pages that only the new one holds.
#[derive(Debug)]
pub struct Guarded {
    trusting: Trusting,
    clock: Clock,
    follows_trusting: bool,
    /// Misses of the one followed beyond those of the other; negative where it is ahead.
    behind: i64,
    slots: usize,
    places: Places,
    /// Pages that the one followed gave up and that may be held still.
    pub(super) spare: Vec<u64>,
}

impl Guarded {
    /// An empty one of that many slots.
    ///
    /// # Panics
    /// If there is no slot, or not fewer than 2^32.
    pub fn new(slots: usize) -> Guarded {
        Guarded {
            trusting: Trusting::new(slots),
            clock: Clock::new(slots),
            follows_trusting: true,
            behind: 0,
            slots,
            places: Places::new(slots),
            spare: Vec::with_capacity(2 * slots),
        }
    }

    /// Bytes of its tables.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.places.bytes() + self.spare.capacity() * 8 + self.trusting.bytes() + self.clock.bytes()
    }

    /// The slot of a page that is held.
    pub fn slot_of(&self, page: u64) -> Option<u32> {
        self.places.find(page)
    }

    /// Asks for a page, which is held afterwards, with the prediction whether it will be asked for `again` before it would
    /// have to leave.
    pub fn request(&mut self, page: u64, again: bool) -> Requested {
        let left = self.run_both(page, again);
        if let Some(slot) = self.slot_of(page) {
            self.spare_if_held(left);
            return Requested { slot, held: true, left: None };
        }
        self.spare_if_held(left);
        if let Some(slot) = self.places.fill(page) {
            return Requested { slot, held: false, left: None };
        }
        let slot = self.take_spare();
        let left = self.places.replace(slot, page);
        Requested { slot, held: false, left: Some(left) }
    }

    /// What the one followed gives up for a page.
    fn run_both(&mut self, page: u64, again: bool) -> Option<u64> {
        let trusting = self.trusting.request(page, again);
        let clock = self.clock.request(page);
        let (followed, other) = if self.follows_trusting { (trusting, clock) } else { (clock, trusting) };
        let margin = self.slots as i64; // CAST: slots are fewer than 2^32
        self.behind = (self.behind + i64::from(!followed.held) - i64::from(!other.held)).max(-margin);
        if self.behind < margin {
            return followed.left;
        }
        self.follows_trusting = !self.follows_trusting;
        self.behind = -margin;
        self.spare.clear();
        let mut spare = std::mem::take(&mut self.spare);
        spare.extend(self.places.pages().iter().filter(|&&page| !self.followed_holds(page)));
        self.spare = spare;
        None
    }

    fn followed_holds(&self, page: u64) -> bool {
        if self.follows_trusting { self.trusting.holds(page) } else { self.clock.slot_of(page).is_some() }
    }

    fn is_spare(&self, page: u64) -> bool {
        self.places.find(page).is_some() && !self.followed_holds(page)
    }

    fn spare_if_held(&mut self, left: Option<u64>) {
        let Some(left) = left.filter(|&left| self.is_spare(left)) else { return };
        if self.spare.len() == 2 * self.slots {
            // At most one entry a slot is left: pages that came back to the one followed, or left the cache, are not spare, and none is twice.
            let mut spare = std::mem::take(&mut self.spare);
            spare.sort_unstable();
            spare.dedup();
            spare.retain(|&page| self.is_spare(page));
            self.spare = spare;
        }
        self.spare.push(left);
    }

    /// The slot of a page that the one followed does not hold: there is one, since that holds the page asked for.
    fn take_spare(&mut self) -> u32 {
        loop {
            let page = self.spare.pop().expect("each page held that is not followed is noted");
            if let Some(slot) = self.places.find(page).filter(|_| !self.followed_holds(page)) {
                return slot;
            }
        }
    }
}
