//! Whether a page will be asked for again soon.

/// Requests, by slot, within which a page has to come back for it to be expected again. Measured: `benches --bin paging`.
const WITHIN: u32 = 4;
/// Pages that are remembered, by slot.
const REMEMBERED: usize = 4;

/// Predicts that a page comes again as soon as it came the last time. It learns from the requests alone: a page that was asked for within the last four
/// requests a slot is expected again. Pages are remembered in a table of fixed size, the last of those that fall on one entry.
#[derive(Debug)]
pub struct Predictor {
    /// By hash: a mark of the page, and when it was last asked for.
    last: Vec<(u32, u32)>,
    now: u32,
    within: u32,
}

impl Predictor {
    /// One for a cache of that many slots.
    pub fn new(slots: usize) -> Predictor {
        let within = u32::try_from(slots).unwrap_or(u32::MAX).saturating_mul(WITHIN);
        Predictor { last: vec![(0, 0); (slots * REMEMBERED).max(1)], now: 0, within }
    }

    /// Bytes of its table.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.last.capacity() * size_of::<(u32, u32)>()
    }

    /// Notes a request for a page and says whether the page is expected to be asked for again before it would have to leave.
    pub fn again(&mut self, page: u64) -> bool {
        self.now = self.now.wrapping_add(1);
        let hash = page.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let hash = hash ^ (hash >> 32);
        let at =
            ((u128::from(hash.wrapping_mul(0xff51_afd7_ed55_8ccd)) * self.last.len() as u128) >> 64) as usize; // CAST: below the length
        let mark = hash as u32 | 1; // CAST: the low half is wanted; never that of an empty entry
        let (known, then) = std::mem::replace(&mut self.last[at], (mark, self.now));
        known == mark && self.now.wrapping_sub(then) <= self.within
    }
}
