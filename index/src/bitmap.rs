//! Which positions were met.
#![deny(clippy::indexing_slicing)]

/// A bit per position.
pub(crate) struct Bitmap {
    words: Vec<u64>,
    bits: u64,
}

impl Bitmap {
    pub(crate) fn new(bits: u64) -> Bitmap {
        // CAST: at most 2^32 positions.
        Bitmap { words: vec![0; bits.div_ceil(64) as usize], bits }
    }

    /// Sets a bit; `false` when it was set before or is out of range.
    pub(crate) fn set(&mut self, position: u32) -> bool {
        if u64::from(position) >= self.bits {
            return false;
        }
        let Some(word) = self.words.get_mut(position as usize / 64) else { return false };
        let bit = 1 << (position % 64);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}
