//! The saved form of a graph. Integers little-endian, 32 bits unless said otherwise, offsets in bytes.
//!
//! ```text
//! 0        4     6            8       12      16                                                      end
//! +--------+-----+------------+-------+-------+--------+--------+--------------+------------+--------+
//! | count  | m   | level      | entry | copy  | level  | ranked | upper links, | base links | copies |
//! |        | u16 | count, u16 |       | count | counts |        | lowest first |            |        |
//! +--------+-----+------------+-------+-------+--------+--------+--------------+------------+--------+
//!
//! level counts   level_count x u32   nodes of each upper layer, lowest first, never growing
//! ranked         counts[0] x u32     the head of each rank (none without upper layers)
//! upper links    for each layer, for each of its nodes: m x u32 ranks below the layer's count
//! base links     for each head: 2m x u32 heads below count
//! copies         copy count x { representative: u32, head: u32 }, both below count, ascending
//! ```
//! A list of links that is not full ends with places of `FFFF FFFF`. `entry` is the head a walk of the base
//! layer may begin at, which is `ranked[0]` if there are upper layers, and `FFFF FFFF` if `count` is 0.
//! A copy is a head with the same row as its representative; it has no links.
//!
//! The file around it carries version and hash. All the same nothing here is believed: a graph that opens
//! has every number in range, for any bytes. That all heads can be reached is not checked.
#![deny(clippy::indexing_slicing)]
use std::io::{self, Write};

use super::HnswGraph;
use super::build::M_RANGE;
use super::duplicates::Twin;
use super::links::{Links, NONE};

/// Bytes before the level counts.
const FIXED_BYTES: u64 = 16;

/// A count of 32 bits has no more upper layers, as each is at most half of the one below.
const LEVELS_MAX: u16 = 32;

/// Bytes that are no saved graph over the heads at hand. Rebuild the index, or restore the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// Shorter or longer than its own counts say.
    #[error("head graph: {found} bytes, expected {expected}")]
    Length {
        /// Bytes of the section.
        found: u64,
        /// Bytes the counts ask for.
        expected: u64,
    },
    /// The graph is over other heads.
    #[error("head graph: over {found} heads, expected {expected}")]
    Heads {
        /// Heads in the graph.
        found: u32,
        /// Heads there are.
        expected: u32,
    },
    /// A field of the fixed part is out of range.
    #[error("head graph: {field} at byte {offset} is {found}, expected {expected}")]
    Field {
        /// Name of the field.
        field: &'static str,
        /// Byte of the section at which it stands.
        offset: u64,
        /// The value in the file.
        found: u64,
        /// The values it may have.
        expected: String,
    },
    /// A link or a rank names a node that does not exist.
    #[error("head graph: {part} at byte {offset} is {found}, expected below {limit}")]
    Node {
        /// Which part of the graph.
        part: &'static str,
        /// Where the number lies.
        offset: u64,
        /// Node number found.
        found: u32,
        /// Number of nodes.
        limit: u32,
    },
    /// The copies do not ascend.
    #[error("head graph: copy {copy} of {copies} does not follow the one before it")]
    Order {
        /// Number of the copy.
        copy: usize,
        /// Copies in the graph.
        copies: usize,
    },
    /// A link follows an unused place.
    #[error("head graph: {part} at byte {offset} is {found} after the end of its list, expected {NONE}")]
    Gap {
        /// Which part of the graph.
        part: &'static str,
        /// Where the number lies.
        offset: u64,
        /// Number found where `NONE` is expected.
        found: u32,
    },
}

impl HnswGraph {
    /// Bytes of the saved form.
    pub(crate) fn saved_bytes(&self) -> u64 {
        let upper: usize = self.upper.iter().map(|l| l.words().len()).sum();
        let words = self.upper.len() + self.ranked.len() + upper + self.base.words().len();
        FIXED_BYTES + 4 * (words + 2 * self.copies.len()) as u64
    }

    /// Writes the saved form.
    ///
    /// # Errors
    /// Those of the writer.
    pub(crate) fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(FIXED_BYTES as usize);
        buffer.extend(self.count.to_le_bytes());
        buffer.extend((self.m as u16).to_le_bytes()); // CAST: at most 256
        buffer.extend((self.upper.len() as u16).to_le_bytes()); // CAST: at most 32
        buffer.extend(self.entry.to_le_bytes());
        buffer.extend((self.copies.len() as u32).to_le_bytes()); // CAST: below the head count
        for layer in &self.upper {
            buffer.extend(((layer.words().len() / self.m) as u32).to_le_bytes()); // CAST: below the head count
        }
        out.write_all(&buffer)?;
        write_words(out, &self.ranked)?;
        for layer in &self.upper {
            write_words(out, layer.words())?;
        }
        write_words(out, self.base.words())?;
        let copies: Vec<u32> = self.copies.iter().flat_map(|c| [c.representative, c.head]).collect();
        write_words(out, &copies)
    }

    /// The saved form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.saved_bytes() as usize); // CAST: it is in memory already
        // A vector never refuses bytes.
        let _ = self.write_to(&mut bytes);
        bytes
    }

    /// Opens a saved graph over `head_count` heads, checking all of it. It allocates no more than the
    /// bytes given.
    ///
    /// # Errors
    /// [`GraphError`] for anything that is not a graph over that many heads.
    pub fn from_bytes(bytes: &[u8], head_count: u32) -> Result<HnswGraph, GraphError> {
        let mut reader = Reader { bytes, at: 0, total: FIXED_BYTES };
        let count = reader.u32()?;
        if count != head_count {
            return Err(GraphError::Heads { found: count, expected: head_count });
        }
        let m = usize::from(reader.u16()?);
        reader.check("links per node", 4, m as u64, M_RANGE.contains(&m), || "2 to 256".to_owned())?;
        let level_count = reader.u16()?;
        let level_range = || format!("0 to {LEVELS_MAX}");
        reader.check("level count", 6, level_count.into(), level_count <= LEVELS_MAX, level_range)?;
        let entry = reader.u32()?;
        let entry_fits = if count == 0 { entry == NONE } else { entry < count };
        let entry_range = || if count == 0 { format!("{NONE}") } else { format!("below {count}") };
        reader.check("entry", 8, entry.into(), entry_fits, entry_range)?;
        let copy_count = reader.u32()?;
        let copy_range = || format!("below {count}");
        reader.check("copy count", 12, copy_count.into(), copy_count < count.max(1), copy_range)?;

        reader.total += 4 * u64::from(level_count);
        let mut counts = Vec::new();
        let mut below = count;
        for _ in 0..level_count {
            let offset = reader.at;
            let nodes = reader.u32()?;
            let range = || format!("1 to {below}");
            reader.check("nodes of a layer", offset, nodes.into(), (1..=below).contains(&nodes), range)?;
            counts.push(nodes);
            below = nodes;
        }
        let ranked_count = counts.first().copied().unwrap_or(0);
        // At most 2^32 lists of 512 links and 32 layers of 256: far from overflowing.
        let upper_words: u64 = counts.iter().map(|&c| u64::from(c) * m as u64).sum();
        let base_words = 2 * m as u64 * u64::from(count);
        reader.total += 4 * (u64::from(ranked_count) + upper_words + base_words + 2 * u64::from(copy_count));
        if bytes.len() as u64 != reader.total {
            return Err(GraphError::Length { found: bytes.len() as u64, expected: reader.total });
        }

        let ranked = reader.heads("rank", ranked_count as usize, count)?;
        if let Some(&first) = ranked.first() {
            reader.check("entry", 8, entry.into(), entry == first, || format!("the first rank, {first}"))?;
        }
        let mut upper = Vec::with_capacity(counts.len());
        for &nodes in &counts {
            upper.push(reader.links("upper link", nodes, m)?);
        }
        let base = reader.links("base link", count, 2 * m)?;
        let pairs = reader.heads("copy", 2 * copy_count as usize, count)?;
        let (pairs, _) = pairs.as_chunks::<2>();
        let copies: Vec<Twin> =
            pairs.iter().map(|&[representative, head]| Twin { representative, head }).collect();
        let disorder = copies.iter().zip(copies.iter().skip(1)).position(|(a, b)| a >= b);
        if let Some(before) = disorder {
            return Err(GraphError::Order { copy: before + 1, copies: copies.len() });
        }
        Ok(HnswGraph { m, count, entry, ranked, upper, base, copies })
    }
}

/// Takes numbers off the front of the bytes.
struct Reader<'a> {
    bytes: &'a [u8],
    at: u64,
    /// Bytes known to be needed so far.
    total: u64,
}

impl Reader<'_> {
    fn take(&mut self, len: usize) -> Result<&[u8], GraphError> {
        let short = GraphError::Length { found: self.at + self.bytes.len() as u64, expected: self.total };
        let (front, rest) = self.bytes.split_at_checked(len).ok_or(short)?;
        self.bytes = rest;
        self.at += len as u64;
        Ok(front)
    }

    fn u16(&mut self) -> Result<u16, GraphError> {
        Ok(self.take(2)?.iter().rev().fold(0, |n, &b| n << 8 | u16::from(b)))
    }

    fn u32(&mut self) -> Result<u32, GraphError> {
        Ok(self.take(4)?.iter().rev().fold(0, |n, &b| n << 8 | u32::from(b)))
    }

    fn check(
        &self,
        field: &'static str,
        offset: u64,
        found: u64,
        fits: bool,
        expected: impl Fn() -> String,
    ) -> Result<(), GraphError> {
        if fits { Ok(()) } else { Err(GraphError::Field { field, offset, found, expected: expected() }) }
    }

    fn words(&mut self, out: &mut [u32]) -> Result<(), GraphError> {
        let bytes = self.take(out.len() * 4)?;
        for (word, bytes) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        Ok(())
    }

    /// Head numbers, each below `limit`.
    fn heads(&mut self, part: &'static str, len: usize, limit: u32) -> Result<Vec<u32>, GraphError> {
        let first = self.at;
        let mut heads = vec![0; len];
        self.words(&mut heads)?;
        match heads.iter().zip(0u64..).find(|(h, _)| **h >= limit) {
            Some((&found, at)) => Err(GraphError::Node { part, offset: first + 4 * at, found, limit }),
            None => Ok(heads),
        }
    }

    fn links(&mut self, part: &'static str, node_count: u32, stride: usize) -> Result<Links, GraphError> {
        let mut links = Links::new(node_count as usize, stride);
        self.words(links.words_mut())?;
        check_lists(part, self.at, links.words(), stride, node_count)?;
        Ok(links)
    }
}

/// Checks lists of links, `stride` places each, that end at byte `end`.
fn check_lists(
    part: &'static str,
    end: u64,
    words: &[u32],
    stride: usize,
    limit: u32,
) -> Result<(), GraphError> {
    let offset_of = |list: usize, place: usize| end - 4 * (words.len() - list * stride - place) as u64;
    for (list, places) in words.chunks_exact(stride).enumerate() {
        let mut ended = false;
        for (place, &found) in places.iter().enumerate() {
            if found == NONE {
                ended = true;
            } else if ended {
                return Err(GraphError::Gap { part, offset: offset_of(list, place), found });
            } else if found >= limit {
                return Err(GraphError::Node { part, offset: offset_of(list, place), found, limit });
            }
        }
    }
    Ok(())
}

/// Writes words little-endian through a small buffer.
fn write_words(out: &mut impl Write, words: &[u32]) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(1 << 16);
    for words in words.chunks(1 << 14) {
        buffer.clear();
        buffer.extend(words.iter().flat_map(|w| w.to_le_bytes()));
        out.write_all(&buffer)?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "tests cut bytes where they know them")]
mod tests;
