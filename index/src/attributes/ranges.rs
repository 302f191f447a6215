//! Positions whose numbers are in ranges: frames are taken or left out whole by their least and largest where these decide.
use roaring::RoaringBitmap;
use spandrel_filter::KeyRange;

use super::frames::{FRAME, Frames, Meets};
use super::stored::{Content, READ_BYTES, StoredAttribute};
use crate::format::OpenError;

impl StoredAttribute {
    /// Positions whose numbers are in `ranges`, which are sorted and have gaps between them; none of an attribute without
    /// numbers. Frames without a position of `within` may be left out. `between` is called before each read, and ends the
    /// search with its error.
    pub(super) fn in_ranges<E: From<OpenError>>(
        &self,
        ranges: &[KeyRange],
        within: Option<&RoaringBitmap>,
        between: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<RoaringBitmap, E> {
        let mut found = RoaringBitmap::new();
        let Content::Numbers(frames) = &self.content else { return Ok(found) };
        let meets = |frame: usize| match frames.span(frame).meets(ranges) {
            Meets::Some if within.is_some_and(|within| !meet(within, positions_of(frames, frame))) => {
                Meets::Nothing
            }
            meets => meets,
        };
        let mut frame = 0;
        while frame < frames.count() {
            match meets(frame) {
                Meets::Nothing => frame += 1,
                Meets::All => {
                    found.insert_range(positions_of(frames, frame));
                    frame += 1;
                }
                Meets::Some => {
                    between()?;
                    let end = self.run_end(frames, frame, |frame| meets(frame) == Meets::Some);
                    self.search_run(frames, frame..end, ranges, &mut found)?;
                    frame = end;
                }
            }
        }
        if self.null_count() > 0 {
            found -= &*self.nulls()?;
        }
        Ok(found)
    }

    /// Where the frames end that are read together with `first`: all have to be looked into, and are no more than fit one read.
    fn run_end(&self, frames: &Frames, first: usize, is_read: impl Fn(usize) -> bool) -> usize {
        let start = self.frame_range(frames, first).start;
        let fits =
            |&frame: &usize| self.frame_range(frames, frame).end - start <= READ_BYTES && is_read(frame);
        let more = (first + 1..frames.count()).take_while(fits).count();
        first + 1 + more
    }

    fn search_run(
        &self,
        frames: &Frames,
        run: std::ops::Range<usize>,
        ranges: &[KeyRange],
        found: &mut RoaringBitmap,
    ) -> Result<(), OpenError> {
        let start = self.frame_range(frames, run.start).start;
        let bytes = self.bytes(start..self.frame_range(frames, run.end - 1).end)?;
        let first = positions_of(frames, run.start).start;
        let (mut keys, mut inside) = (Vec::new(), Vec::new());
        for frame in run {
            let place = self.frame_range(frames, frame);
            let (from, to) = ((place.start - start) as usize, (place.end - start) as usize); // CAST: was read
            self.decode_frame(frames, frame, bytes.get(from..to).unwrap_or_default(), &mut keys)?;
            match ranges {
                [one] => push_bits(&keys, |key| one.contains(key), &mut inside),
                _ => push_bits(&keys, |key| are_in(ranges, key), &mut inside),
            }
        }
        *found |= RoaringBitmap::from_lsb0_bytes(first, &inside);
        Ok(())
    }
}

/// Appends a bit for each key, low ones first: whether it is inside.
fn push_bits(keys: &[u64], is_inside: impl Fn(u64) -> bool, out: &mut Vec<u8>) {
    let byte_of = |keys: &[u64]| keys.iter().rev().fold(0, |byte, &key| byte << 1 | u8::from(is_inside(key)));
    out.extend(keys.chunks(8).map(byte_of));
}

fn positions_of(frames: &Frames, frame: usize) -> std::ops::Range<u32> {
    let first = (frame * FRAME) as u32; // CAST: a position
    first..first + frames.positions_in(frame) as u32 // CAST: a frame is small
}

fn meet(set: &RoaringBitmap, positions: std::ops::Range<u32>) -> bool {
    set.range_cardinality(positions) > 0
}

fn are_in(ranges: &[KeyRange], key: u64) -> bool {
    let after = ranges.partition_point(|range| range.first <= key);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|range| range.contains(key))
}
