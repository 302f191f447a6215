//! Positions whose numbers are in ranges: frames are taken or left out whole by their least and largest where these decide.
use std::ops::Range;
use std::sync::Arc;

use spandrel_filter::KeyRange;

use super::cache::{CachedPart, Piece};
use super::frames::{FRAME, Frames, Meets};
use super::positions::{self, Positions};
use super::slices::{Frame, WORDS};
use super::stored::{Content, READ_BYTES, StoredAttribute};
use crate::format::{CRC_BYTES, OpenError};
use crate::segment_matches::{PositionsView, words_of};

/// Frames that are read and kept together.
const CHUNK: u32 = 16;

/// Positions of a frame.
const POSITIONS: u32 = FRAME as u32; // CAST: `FRAME` is below 2^32

impl StoredAttribute {
    /// Positions whose numbers are in `ranges`, which are sorted and have gaps between them; none of an attribute without
    /// numbers. Positions that are not `within` may be left out. `between` is called before each read, and ends the search with
    /// its error.
    pub(super) fn in_ranges<E: From<OpenError>>(
        &self,
        ranges: &[KeyRange],
        within: Option<PositionsView<'_>>,
        between: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<Positions, E> {
        let Content::Numbers(frames) = &self.content else { return Ok(Positions::none()) };
        let search = Search { attribute: self, frames, ranges };
        let found = match within {
            Some(PositionsView::Sorted(sorted)) => search.among(sorted, between)?,
            Some(PositionsView::Words(words)) => search.anywhere(Some(words), between)?,
            None => search.anywhere(None, between)?,
        };
        if self.null_count() == 0 {
            return Ok(found);
        }
        Ok(found.and_not(&Positions::Shared(self.nulls()?)))
    }
}

struct Search<'a> {
    attribute: &'a StoredAttribute,
    frames: &'a Frames,
    ranges: &'a [KeyRange],
}

type Between<'a, E> = &'a mut dyn FnMut() -> Result<(), E>;

impl Search<'_> {
    fn meets(&self, frame: u32) -> Meets {
        self.frames.span(frame as usize).meets(self.ranges)
    }

    /// Looked for in all frames that have a position of `within`.
    fn anywhere<E: From<OpenError>>(
        &self,
        within: Option<&[u64]>,
        between: Between<'_, E>,
    ) -> Result<Positions, E> {
        let positions = self.attribute.positions;
        let mut words = vec![0; words_of(positions.into())];
        let (mut wanted, mut frame) = (Vec::new(), 0);
        for first in (0..positions).step_by(FRAME) {
            match self.meets(frame) {
                Meets::Nothing => {}
                Meets::All => {
                    let end = positions.min(first.saturating_add(POSITIONS));
                    positions::set_range(&mut words, first..end);
                }
                Meets::Some => {
                    let of_frame = within.map(|within| within.chunks(WORDS).nth(frame as usize));
                    let is_left = |words: Option<&[u64]>| {
                        words.is_some_and(|words| words.iter().any(|&word| word != 0))
                    };
                    wanted.extend(Some(frame).filter(|_| of_frame.is_none_or(is_left)));
                }
            }
            frame += 1;
        }
        self.look_into(&wanted, between, &mut |frame, bits| {
            let here = words.chunks_mut(WORDS).nth(frame as usize).unwrap_or_default();
            here.iter_mut().zip(bits).for_each(|(word, bits)| *word = *bits);
        })?;
        Ok(Positions::Words(words))
    }

    /// Looked for among a few positions.
    fn among<E: From<OpenError>>(&self, sorted: &[u32], between: Between<'_, E>) -> Result<Positions, E> {
        let groups = || {
            let groups = sorted.chunk_by(|a, b| a / POSITIONS == b / POSITIONS);
            groups.map(|group| (group.first().map_or(0, |first| first / POSITIONS), group))
        };
        let wanted: Vec<u32> =
            groups().map(|(frame, _)| frame).filter(|&frame| self.meets(frame) == Meets::Some).collect();
        let (mut left, mut found) = (groups(), Vec::new());
        // Takes what comes before the next frame that was looked into, and what is found in that; or all that is left.
        let mut take = |bits: Option<&[u64; WORDS]>| {
            for (frame, group) in left.by_ref() {
                match self.meets(frame) {
                    Meets::Nothing => {}
                    Meets::All => found.extend_from_slice(group),
                    Meets::Some => {
                        let word = |at: u32| bits.and_then(|bits| bits.get((at % POSITIONS / 64) as usize));
                        let is_found = |at: &u32| word(*at).is_some_and(|word| word >> (at % 64) & 1 == 1);
                        found.extend(group.iter().copied().filter(is_found));
                        return;
                    }
                }
            }
        };
        self.look_into(&wanted, between, &mut |_, bits| take(Some(bits)))?;
        take(None);
        Ok(Positions::Sorted(found))
    }

    /// Hands what is found in each of some frames, which ascend, to `take`. Chunks of frames that are not in the cache and lie
    /// next to each other are read together.
    fn look_into<E: From<OpenError>>(
        &self,
        wanted: &[u32],
        between: Between<'_, E>,
        take: &mut dyn FnMut(u32, &[u64; WORDS]),
    ) -> Result<(), E> {
        let chunks: Vec<&[u32]> = wanted.chunk_by(|a, b| a / CHUNK == b / CHUNK).collect();
        let mut chunks = chunks.as_slice();
        while let Some((&first, others)) = chunks.split_first() {
            if let Some(bytes) = self.cached(first) {
                self.look_into_chunk(first, &bytes, take);
                chunks = others;
                continue;
            }
            between()?;
            let start = self.range_of(first).start;
            let fits = |pair: &&[&[u32]]| match *pair {
                [before, next] => {
                    number(next) == number(before) + 1
                        && self.range_of(next).end - start <= READ_BYTES
                        && self.cached(next).is_none()
                }
                _ => false,
            };
            let (now, later) = chunks.split_at(1 + chunks.windows(2).take_while(fits).count());
            let end = now.last().map_or(start, |last| self.range_of(last).end);
            let bytes = self.attribute.bytes(start..end)?;
            for chunk in now {
                let Range { start: from, end: to } = self.range_of(chunk);
                let (from, to) = ((from - start) as usize, (to - start) as usize); // CAST: usize is 64 bits
                let bytes = bytes.get(from..to).unwrap_or_default();
                self.keep(chunk, bytes)?;
                self.look_into_chunk(chunk, bytes, take);
            }
            chunks = later;
        }
        Ok(())
    }

    /// The frames of a chunk.
    fn frames_of(&self, chunk: &[u32]) -> Range<usize> {
        let first = (number(chunk) * CHUNK) as usize;
        first..self.frames.count().min(first + CHUNK as usize)
    }

    /// Where a chunk is in the body.
    fn range_of(&self, chunk: &[u32]) -> Range<u64> {
        let frames = self.frames_of(chunk);
        let place = |frame| self.attribute.frame_range(self.frames, frame);
        place(frames.start).start..place(frames.end - 1).end
    }

    fn cached(&self, chunk: &[u32]) -> Option<Arc<[u8]>> {
        match self.attribute.cache.get(self.attribute.key(CachedPart::Frames(number(chunk)))) {
            Some(Piece::Frames(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// Checks the sums of a chunk, and keeps it where all chunks have room: others would leave before they are asked for again.
    /// The whole of what is in memory was checked before.
    fn keep(&self, chunk: &[u32], bytes: &[u8]) -> Result<(), OpenError> {
        let attribute = self.attribute;
        if attribute.is_resident() {
            return Ok(());
        }
        let mut rest = bytes;
        for frame in self.frames_of(chunk) {
            let place = self.frames.place(frame);
            let (piece, after) =
                rest.split_at_checked((place.end - place.start) as usize).unwrap_or_default(); // CAST: usize is 64 bits
            attribute.checked_frame(frame, piece)?;
            rest = after;
        }
        if attribute.cache.has_room_for(attribute.foot.block_bytes()) {
            attribute
                .cache
                .put(attribute.key(CachedPart::Frames(number(chunk))), Piece::Frames(bytes.into()));
        }
        Ok(())
    }

    /// Hands what is found in each frame of a chunk to `take`.
    fn look_into_chunk(&self, chunk: &[u32], bytes: &[u8], take: &mut dyn FnMut(u32, &[u64; WORDS])) {
        let start = self.range_of(chunk).start;
        for &number in chunk {
            let frame = number as usize;
            let place = self.attribute.frame_range(self.frames, frame);
            let (from, to) = ((place.start - start) as usize, (place.end - start) as usize); // CAST: usize is 64 bits
            let bytes = bytes.get(from..to.saturating_sub(CRC_BYTES)).unwrap_or_default();
            let (span, positions) = (self.frames.span(frame), self.frames.positions_in(frame));
            take(number, &Frame { bytes, span, positions }.in_ranges(self.ranges));
        }
    }
}

/// The number of a chunk, of which some frames are named.
fn number(chunk: &[u32]) -> u32 {
    chunk.first().map_or(0, |frame| frame / CHUNK)
}
