//! Whether a section says the same of values as of positions.
use roaring::RoaringBitmap;
use spandrel_filter::AttributeType;
use xxhash_rust::xxh3::xxh3_64;

use super::dictionary::{Dictionary, Place};
use super::forward::{BLOCK, Blocks};
use super::frames::{self, FRAME, Frames, Span};
use super::malformed::Malformed;
use super::postings::posting_range;
use super::seal::Part;
use super::stored::{Content, StoredAttribute};
use super::window::Window;
use crate::format::OpenError;

/// Values of positions, added up in any order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Pairs {
    count: u64,
    sum: u64,
}

impl Pairs {
    fn add(&mut self, value: u32, position: u32) {
        self.count += 1;
        let pair = u64::from(value) << 32 | u64::from(position);
        self.sum = self.sum.wrapping_add(xxh3_64(&pair.to_le_bytes()));
    }
}

/// Reads every posting and block of an attribute, compares what the one says of values with what the others say of positions,
/// and returns the number of sums that were checked. `between` is called before each read and ends the check with its error.
pub(crate) fn check<E: From<OpenError>>(
    attribute: &StoredAttribute,
    between: &mut dyn FnMut() -> Result<(), E>,
) -> Result<u64, E> {
    // Foot, places, dictionary and nulls.
    let mut sums = 4;
    let (nulls, pairs) = match &attribute.content {
        Content::Numbers(frames) => check_frames(attribute, frames, &mut sums, between)?,
        Content::Values { dictionary, blocks } => {
            let (nulls, by_position) = read_blocks(attribute, dictionary, blocks, &mut sums, between)?;
            let by_value = read_postings(attribute, dictionary, &mut sums, between)?;
            if by_position != by_value {
                let found = format!("{} values of positions", by_position.count);
                let expected = format!("the {} of the postings", by_value.count);
                return Err(attribute.malformed("forward array", Malformed::new(found, expected)).into());
            }
            (nulls, by_value.count)
        }
    };
    if !attribute.nulls()?.within(0..u32::MAX).eq(&nulls) {
        let expected = format!("the {} without a value", nulls.len());
        let malformed = Malformed::new("other positions", expected);
        return Err(attribute.malformed("positions without a value", malformed).into());
    }
    if pairs != attribute.pairs() {
        let malformed = Malformed::new(attribute.pairs(), pairs);
        return Err(attribute.malformed("values in the foot", malformed).into());
    }
    Ok(sums)
}

fn read_postings<E: From<OpenError>>(
    attribute: &StoredAttribute,
    dictionary: &Dictionary,
    sums: &mut u64,
    between: &mut dyn FnMut() -> Result<(), E>,
) -> Result<Pairs, E> {
    let (mut pairs, mut last): (Pairs, Option<Vec<u8>>) = Default::default();
    let (mut entries, mut window) = (dictionary.entries(), Window::new(attribute));
    let mut number = 0;
    while let Some((value, held)) = entries.next() {
        let wrong = |expected: &str| {
            let found = String::from_utf8_lossy(value).into_owned();
            attribute.malformed(&format!("value {number}"), Malformed::new(found, expected))
        };
        if last.as_deref().is_some_and(|last| last >= value) {
            return Err(wrong("values in ascending order, each once").into());
        }
        let is_bool = attribute.spec.kind == AttributeType::Bool;
        if std::str::from_utf8(value).is_err() || is_bool && ![&b"true"[..], b"false"].contains(&value) {
            return Err(wrong(if is_bool { "true or false" } else { "UTF-8" }).into());
        }
        between()?;
        *sums += u64::from(matches!(held.place, Place::Posting { .. }));
        let positions = attribute.decode(number, held, window.get(posting_range(held))?)?;
        let positions = positions.into_matches(u64::from(attribute.positions));
        positions.within(0..u32::MAX).for_each(|position| pairs.add(number, position));
        last = Some(value.to_vec());
        number += 1;
    }
    Ok(pairs)
}

fn read_blocks<E: From<OpenError>>(
    attribute: &StoredAttribute,
    dictionary: &Dictionary,
    blocks: &Blocks,
    sums: &mut u64,
    between: &mut dyn FnMut() -> Result<(), E>,
) -> Result<(RoaringBitmap, Pairs), E> {
    let (mut nulls, mut pairs) = (RoaringBitmap::new(), Pairs::default());
    let mut window = Window::new(attribute);
    for block in 0..blocks.count() {
        between()?;
        let piece = window.get(attribute.block_range(blocks, block))?;
        let content = attribute.checked(Part::Block, block as u64, piece)?;
        *sums += 1;
        let failed = |malformed| attribute.malformed(&format!("block {block}"), malformed);
        let mut reader = attribute.block_reader(content, dictionary);
        let first = (block * BLOCK) as u32; // CAST: a position, below 2^32
        for position in first..first + blocks.positions_in(block) as u32 {
            let values = reader.next().map_err(failed)?;
            if values.is_empty() {
                nulls.insert(position);
            }
            values.iter().for_each(|&value| pairs.add(value, position));
        }
        reader.finish().map_err(failed)?;
    }
    Ok((nulls, pairs))
}

/// Numbers are there once: their frames are compared with what is said of them, and with the positions without one.
fn check_frames<E: From<OpenError>>(
    attribute: &StoredAttribute,
    frames: &Frames,
    sums: &mut u64,
    between: &mut dyn FnMut() -> Result<(), E>,
) -> Result<(RoaringBitmap, u64), E> {
    let (nulls, mut keys, mut pairs) = (attribute.nulls()?, Vec::new(), 0);
    let mut window = Window::new(attribute);
    for frame in 0..frames.count() {
        between()?;
        let range = attribute.frame_range(frames, frame);
        *sums += u64::from(!range.is_empty());
        let content = attribute.checked_frame(frame, window.get(range)?)?;
        let (found, count) = (frames.span(frame), frames.positions_in(frame));
        frames::read(content, found, count, &mut keys);
        let first = (frame * FRAME) as u32; // CAST: a position, below 2^32
        let numbers: Vec<Option<u64>> =
            (first..).zip(&keys).map(|(at, key)| Some(*key).filter(|_| !nulls.contains(at))).collect();
        let there = || numbers.iter().copied().flatten();
        pairs += there().count() as u64;
        let expected = Span::of(there());
        let mut written = Vec::new();
        frames::write(&numbers, expected, &mut written);
        if found != expected || written != content {
            let malformed =
                Malformed::new(format!("{found:?}"), format!("{expected:?}, and 0 where there is none"));
            return Err(attribute.malformed(&format!("numbers of block {frame}"), malformed).into());
        }
    }
    Ok((nulls.within(0..u32::MAX).collect(), pairs))
}
