//! Which positions of a segment match a filter: a bit for each where many do, and the positions themselves where few do.
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::kernels::scan::BLOCK_VECTORS;

/// A segment of which fewer than one position in this many matches keeps the positions that do: a quarter of the memory of
/// bits, or less.
const SPARSE: u64 = 128;
/// Positions to a stretch of a sparse segment, whose matches are found at once and looked through: 32 at most on average.
const STRETCH: u32 = 4096;
const WORD: u32 = u64::BITS;
/// Positions without a match between two runs of matches, at least.
const RUN_GAP: u32 = 1024;
/// Runs of a segment at most: matches in more do not lie together.
const RUNS_MAX: usize = 16;

/// Which positions of a segment match. Copies share their memory.
#[derive(Clone, PartialEq, Eq)]
pub struct SegmentMatches {
    /// Positions of the segment.
    positions: u64,
    /// Those that match.
    count: u64,
    blocks: u64,
    /// Where they lie, ascending; nothing where that is in more runs than [`RUNS_MAX`].
    runs: Vec<Range<u32>>,
    form: Form,
}

#[derive(Clone, PartialEq, Eq)]
enum Form {
    /// A bit for each position, 64 a word; those beyond the last are 0.
    Dense(Arc<Vec<u64>>),
    /// Positions, ascending, and the number of them before each stretch and in all.
    Sparse { sorted: Arc<Vec<u32>>, before: Arc<Vec<u32>> },
}

/// Some positions of a segment.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PositionsView<'a> {
    /// A bit for each position of the segment, 64 a word.
    Words(&'a [u64]),
    /// Ascending.
    Sorted(&'a [u32]),
}

impl SegmentMatches {
    /// Those of a segment of `positions` vectors, ascending.
    ///
    /// # Panics
    /// When they do not ascend, or one is beyond the last.
    pub(crate) fn from_sorted(sorted: Vec<u32>, positions: u64) -> SegmentMatches {
        assert!(sorted.is_sorted_by(|a, b| a < b), "positions that match ascend");
        assert!(sorted.last().is_none_or(|&last| u64::from(last) < positions), "a match is a position");
        if is_sparse(sorted.len() as u64, positions) {
            return SegmentMatches::sparse(sorted, positions);
        }
        let mut words = vec![0; words_of(positions)];
        sorted.iter().for_each(|&at| words[(at / WORD) as usize] |= 1 << (at % WORD));
        SegmentMatches::from_words(words, positions)
    }

    /// Those of a segment of `positions` vectors whose bits are set: bit `p % 64` of word `p / 64`.
    ///
    /// # Panics
    /// When there are not words for exactly these positions, or a bit beyond the last is set.
    pub fn from_words(words: Vec<u64>, positions: u64) -> SegmentMatches {
        assert_eq!(words.len(), words_of(positions), "words for {positions} positions");
        let beyond = positions % u64::from(WORD);
        assert!(beyond == 0 || words.last().is_none_or(|last| last >> beyond == 0), "a match is a position");
        let count = words.iter().map(|word| u64::from(word.count_ones())).sum();
        if is_sparse(count, positions) {
            let mut sorted = Vec::with_capacity(count as usize); // CAST: usize is 64 bits
            for (&word, first) in words.iter().zip((0..).step_by(WORD as usize)) {
                let mut left = word;
                while left != 0 {
                    sorted.push(first + left.trailing_zeros());
                    left &= left - 1;
                }
            }
            return SegmentMatches::sparse(sorted, positions);
        }
        let blocks = blocks_of(&words);
        let ends = |(word, at): (&u64, u32)| {
            let first = at * WORD;
            (*word > 0).then(|| first + word.trailing_zeros()..first + (WORD - word.leading_zeros()))
        };
        let runs = joined(words.iter().zip(0..).filter_map(ends));
        SegmentMatches { positions, count, blocks, runs, form: Form::Dense(Arc::new(words)) }
    }

    fn sparse(sorted: Vec<u32>, positions: u64) -> SegmentMatches {
        // CAST: a segment has fewer than 2^32 positions
        let stretches = positions.div_ceil(STRETCH.into()) as u32;
        let mut counted = 0;
        let mut before = |stretch: u32| {
            counted += sorted[counted..].iter().take_while(|&&at| at / STRETCH < stretch).count();
            counted as u32 // CAST: no more than positions
        };
        let before = (0..=stretches).map(&mut before).collect();
        let block = |at: &u32| *at as usize / BLOCK_VECTORS;
        let blocks = sorted.chunk_by(|a, b| block(a) == block(b)).count() as u64; // CAST: widening
        SegmentMatches {
            positions,
            count: sorted.len() as u64,
            blocks,
            runs: joined(sorted.iter().map(|&at| at..at + 1)),
            form: Form::Sparse { sorted: Arc::new(sorted), before: Arc::new(before) },
        }
    }

    /// The positions, as they are held.
    pub(crate) fn view(&self) -> PositionsView<'_> {
        match &self.form {
            Form::Dense(words) => PositionsView::Words(words),
            Form::Sparse { sorted, .. } => PositionsView::Sorted(sorted),
        }
    }

    /// Positions of the segment.
    pub fn positions(&self) -> u64 {
        self.positions
    }

    /// Positions that match.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Blocks of sixteen positions that hold one or more.
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// The runs of positions that hold all matches, ascending; between two of them 1 024 positions or more have none. Nothing
    /// where there are more than 16 runs, or no match.
    pub fn runs(&self) -> &[Range<u32>] {
        &self.runs
    }

    /// Whether a position matches.
    #[inline]
    pub fn contains(&self, position: u32) -> bool {
        match &self.form {
            Form::Dense(words) => {
                words.get((position / WORD) as usize).is_some_and(|word| word >> (position % WORD) & 1 == 1)
            }
            Form::Sparse { sorted, .. } => sorted.get(self.first_at(position)) == Some(&position),
        }
    }

    /// Matches among some positions.
    #[inline]
    pub(crate) fn count_in(&self, positions: Range<u32>) -> u64 {
        let end = self.end_of(&positions);
        if positions.start >= end {
            return 0;
        }
        match &self.form {
            Form::Dense(words) => {
                let mut count = 0;
                words_with(positions.start..end, |at, mask| {
                    count += u64::from((words[at] & mask).count_ones())
                });
                count
            }
            // CAST: widening
            Form::Sparse { .. } => (self.first_at(end) - self.first_at(positions.start)) as u64,
        }
    }

    /// Which of the 16 positions from `first` on match: bit `i` for position `first + i`.
    #[inline]
    pub fn mask(&self, first: u32) -> u16 {
        match &self.form {
            Form::Dense(words) => {
                let (at, shift) = ((first / WORD) as usize, first % WORD);
                let word = |at: usize| words.get(at).copied().unwrap_or_default();
                // Shifted twice, since a shift by 64 is none.
                let mask = word(at) >> shift | word(at + 1) << 1 << (WORD - 1 - shift);
                mask as u16 // CAST: the first 16
            }
            Form::Sparse { sorted, .. } => {
                let end = u64::from(first) + BLOCK_VECTORS as u64;
                let from = sorted[self.first_at(first)..].iter();
                from.take_while(|&&at| u64::from(at) < end).fold(0, |mask, &at| mask | 1 << (at - first))
            }
        }
    }

    /// The matches among some positions, ascending.
    pub fn within(&self, positions: Range<u32>) -> Within<'_> {
        let (start, end) = (positions.start, self.end_of(&positions).max(positions.start));
        match &self.form {
            Form::Sparse { sorted, .. } => {
                Within::Sparse(sorted[self.first_at(start)..self.first_at(end)].iter())
            }
            Form::Dense(words) => {
                let at = (start / WORD) as usize;
                let word = words.get(at).map_or(0, |word| word & u64::MAX << (start % WORD));
                Within::Dense { words, at, word, end }
            }
        }
    }

    /// Memory that they take.
    pub fn memory_bytes(&self) -> usize {
        let form = match &self.form {
            Form::Dense(words) => size_of_val(&words[..]),
            Form::Sparse { sorted, before } => size_of_val(&sorted[..]) + size_of_val(&before[..]),
        };
        form + size_of_val(&self.runs[..])
    }

    /// Where some positions end, within the segment.
    fn end_of(&self, positions: &Range<u32>) -> u32 {
        u64::from(positions.end).min(self.positions) as u32 // CAST: no more than `end`
    }

    /// Of a sparse segment, the number of matches before a position; of a dense one, none.
    #[inline]
    fn first_at(&self, position: u32) -> usize {
        let Form::Sparse { sorted, before } = &self.form else { return 0 };
        let stretch = (position / STRETCH) as usize;
        let Some(&[from, to]) = before.get(stretch..).and_then(|rest| rest.first_chunk()) else {
            return sorted.len();
        };
        // CAST: widenings
        from as usize + sorted[from as usize..to as usize].partition_point(|&at| at < position)
    }
}

impl fmt::Debug for SegmentMatches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} positions", self.count, self.positions)
    }
}

/// Matches of a segment, ascending.
#[derive(Debug, Clone)]
pub enum Within<'a> {
    /// Bits.
    Dense {
        /// Those of the segment.
        words: &'a [u64],
        /// Number of the word that is gone through.
        at: usize,
        /// What is left of it.
        word: u64,
        /// Position after the last.
        end: u32,
    },
    /// Positions.
    Sparse(std::slice::Iter<'a, u32>),
}

impl Iterator for Within<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        match self {
            Within::Sparse(sorted) => sorted.next().copied(),
            Within::Dense { words, at, word, end } => {
                while *word == 0 {
                    *at += 1;
                    if *at >= (*end).div_ceil(WORD) as usize {
                        return None;
                    }
                    *word = words[*at];
                }
                let position = *at as u32 * WORD + word.trailing_zeros(); // CAST: words start below `end`, which is a u32
                *word &= *word - 1;
                (position < *end).then_some(position)
            }
        }
    }
}

/// Ranges of matches, which ascend, as runs; none where these are too many.
fn joined(ranges: impl Iterator<Item = Range<u32>>) -> Vec<Range<u32>> {
    let mut runs: Vec<Range<u32>> = Vec::new();
    for range in ranges {
        let count = runs.len();
        match runs.last_mut() {
            Some(last) if range.start - last.end < RUN_GAP => last.end = range.end,
            _ if count == RUNS_MAX => return Vec::new(),
            _ => runs.push(range),
        }
    }
    runs
}

/// Whether `count` of `positions` are held as sorted positions.
pub(crate) fn is_sparse(count: u64, positions: u64) -> bool {
    count < positions / SPARSE
}

/// Blocks of sixteen bits that hold one or more.
fn blocks_of(words: &[u64]) -> u64 {
    const LOW: u64 = 0x7fff_7fff_7fff_7fff;
    // Adds up one bit for each block in four counters of sixteen bits, which do not overflow within a chunk.
    let of_chunk = |chunk: &[u64]| {
        let counters: u64 = chunk.iter().map(|&word| ((((word & LOW) + LOW) | word) & !LOW) >> 15).sum();
        (0..4).map(|block| counters >> (16 * block) & 0xffff).sum::<u64>()
    };
    words.chunks(0x8000).map(of_chunk).sum()
}

/// Words of a bit for each position.
pub(crate) fn words_of(positions: u64) -> usize {
    positions.div_ceil(WORD.into()) as usize // CAST: usize is 64 bits
}

/// Calls `each` with the number of every word that has bits of `positions`, which are not empty, and with these bits.
#[inline]
pub(crate) fn words_with(positions: Range<u32>, mut each: impl FnMut(usize, u64)) {
    let last = positions.end - 1;
    let (first_word, last_word) = (positions.start / WORD, last / WORD);
    for at in first_word..=last_word {
        let mut mask = u64::MAX;
        if at == first_word {
            mask &= u64::MAX << (positions.start % WORD);
        }
        if at == last_word {
            mask &= u64::MAX >> (WORD - 1 - last % WORD);
        }
        each(at as usize, mask);
    }
}

#[cfg(test)]
mod tests;
