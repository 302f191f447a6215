//! The values of an attribute in the order of positions.
use std::ops::Range;

use super::forward::BLOCK;
use super::frames::{self, FRAME, Frames};
use super::seal::Part;
use super::stored::{Content, StoredAttribute};
use super::window::Window;
use crate::format::OpenError;

/// What is done with the value at a position.
type Each<'a, E> = &'a mut dyn FnMut(u32, Option<u64>) -> Result<(), E>;

/// Hands the value of every position, in order, to `each`: its number in the dictionary or its key, which ascend as values do, or
/// none. Of an attribute of which a position has one value at most. `between` is called before each read and ends it with its
/// error.
pub(crate) fn each_value<E: From<OpenError>>(
    attribute: &StoredAttribute,
    between: &mut dyn FnMut() -> Result<(), E>,
    each: Each<'_, E>,
) -> Result<(), E> {
    match &attribute.content {
        Content::Numbers(frames) => each_number(attribute, frames, between, each),
        Content::Values { dictionary, blocks } => {
            let mut window = Window::new(attribute);
            for block in 0..blocks.count() {
                between()?;
                let failed = |malformed| attribute.malformed(&format!("block {block}"), malformed);
                let piece = window.get(attribute.block_range(blocks, block))?;
                let content = attribute.checked(Part::Block, block as u64, piece)?;
                let mut reader = attribute.block_reader(content, dictionary);
                for position in positions(block, BLOCK, blocks.positions_in(block)) {
                    let values = reader.next().map_err(failed)?;
                    each(position, values.first().map(|&value| u64::from(value)))?;
                }
            }
            Ok(())
        }
    }
}

fn each_number<E: From<OpenError>>(
    attribute: &StoredAttribute,
    frames: &Frames,
    between: &mut dyn FnMut() -> Result<(), E>,
    each: Each<'_, E>,
) -> Result<(), E> {
    let (nulls, mut keys, mut window) = (attribute.nulls()?, Vec::new(), Window::new(attribute));
    for frame in 0..frames.count() {
        between()?;
        let range = attribute.frame_range(frames, frame);
        let content = attribute.checked_frame(frame, window.get(range)?)?;
        frames::read(content, frames.span(frame), frames.positions_in(frame), &mut keys);
        for (position, &key) in positions(frame, FRAME, frames.positions_in(frame)).zip(&keys) {
            each(position, (!nulls.contains(position)).then_some(key))?;
        }
    }
    Ok(())
}

/// Positions of a block or frame by its number.
fn positions(number: usize, size: usize, count: usize) -> Range<u32> {
    let first = (number * size) as u32; // CAST: a position, below 2^32
    first..first + count as u32 // CAST: at most `size`
}
