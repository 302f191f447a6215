//! The runs of an attribute as one.
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use roaring::RoaringBitmap;

use super::runs::RunReader;
use crate::BuildError;
use crate::spill::SpillReader;

/// Hands every text with its positions, in ascending order of texts, to `take`.
pub(super) fn texts(
    spill: &SpillReader,
    runs: &[usize],
    mut take: impl FnMut(&str, &RoaringBitmap) -> Result<(), BuildError>,
) -> Result<(), BuildError> {
    let mut readers: Vec<RunReader<'_>> = runs.iter().map(|&run| RunReader::new(spill, run)).collect();
    let mut heads = BinaryHeap::new();
    for (number, reader) in readers.iter_mut().enumerate() {
        next_text(reader, number, Vec::new(), &mut heads)?;
    }
    while let Some(Reverse((text, number))) = heads.pop() {
        let mut positions = RoaringBitmap::new();
        let mut of_run = |reader: &mut RunReader<'_>| reader.positions(|piece| add(&mut positions, piece));
        of_run(&mut readers[number])?;
        let mut others = Vec::new();
        while let Some(Reverse((_, other))) = heads.peek().filter(|Reverse((next, _))| *next == text) {
            let other = *other;
            of_run(&mut readers[other])?;
            others.extend(heads.pop().map(|Reverse(head)| head));
        }
        let as_text = std::str::from_utf8(&text).map_err(std::io::Error::other)?;
        take(as_text, &positions)?;
        others.push((text, number));
        for (text, number) in others {
            next_text(&mut readers[number], number, text, &mut heads)?;
        }
    }
    Ok(())
}

/// Adds positions, which ascend: at the end where they lie there, as those of a first run do.
fn add(positions: &mut RoaringBitmap, piece: &[u32]) {
    let is_after = positions.max().zip(piece.first()).is_none_or(|(last, first)| last < *first);
    let added = if is_after { positions.append(piece.iter().copied()).is_ok() } else { false };
    if !added {
        positions.extend(piece.iter().copied());
    }
}

type Heads = BinaryHeap<Reverse<(Vec<u8>, usize)>>;

/// Puts the next text of a run among the heads, in the memory of another.
fn next_text(
    reader: &mut RunReader<'_>,
    number: usize,
    mut text: Vec<u8>,
    heads: &mut Heads,
) -> Result<(), BuildError> {
    if !reader.is_at_end() {
        reader.text(&mut text)?;
        heads.push(Reverse((text, number)));
    }
    Ok(())
}

/// Hands every position with its key, ascending, to `take`.
pub(super) fn numbers(
    spill: &SpillReader,
    runs: &[usize],
    mut take: impl FnMut(u32, u64) -> Result<(), BuildError>,
) -> Result<(), BuildError> {
    let mut readers: Vec<RunReader<'_>> = runs.iter().map(|&run| RunReader::new(spill, run)).collect();
    let mut heads = BinaryHeap::new();
    for (number, reader) in readers.iter_mut().enumerate() {
        if !reader.is_at_end() {
            heads.push(Reverse((reader.number()?, number)));
        }
    }
    while let Some(Reverse(((position, key), number))) = heads.pop() {
        take(position, key)?;
        let reader = &mut readers[number];
        if !reader.is_at_end() {
            heads.push(Reverse((reader.number()?, number)));
        }
    }
    Ok(())
}
