//! Codes and vectors kept in memory.
use std::io;
use std::ops::Range;
use std::path::Path;

use spandrel_io::AlignedBuf;

use super::ids::IdReader;
use super::section::SectionReader;
use crate::bitmap::Bitmap;
use crate::codes::{Factors, Lane, Steps, copy_lane, factor_block};
use crate::format::{CodedLayout, Directory, IdBytes, IdPages, ListLayout, OpenError, PageLayout, Record};
use crate::kernels::scan::{BLOCK_VECTORS, FACTOR_BYTES, prefetch};

/// The codes of every vector once, in position order: vector `p` is in lane `p % 16` of block `p / 16`, so that
/// blocks run on across the ends of lists and no position is stored.
#[derive(Debug)]
pub struct ResidentCodes {
    rows: AlignedBuf,
    factors: AlignedBuf,
    block_bytes: usize,
}

/// Blocks that hold some positions.
#[derive(Debug, Clone, Copy)]
pub struct CodeRange<'a> {
    /// Position of the first vector of the first block.
    pub first: u32,
    /// Rows of the blocks.
    pub rows: &'a [u8],
    /// Factors of the same positions.
    pub factors: &'a [u8],
}

impl ResidentCodes {
    /// Takes the primaries out of the lists.
    pub(super) fn read(
        mut section: SectionReader<'_>,
        directory: &Directory,
        layout: CodedLayout,
    ) -> Result<ResidentCodes, OpenError> {
        let lists = 0..directory.lists() as u32; // CAST: lists are numbered by u32
        let vectors: usize = lists.clone().map(|list| directory.entry(list).primaries as usize).sum();
        let blocks = vectors.div_ceil(BLOCK_VECTORS);
        let mut filling = Filling {
            rows: memory(section.path(), blocks * layout.block_bytes)?,
            factors: memory(section.path(), blocks * FACTOR_BYTES)?,
            layout,
            block: 0,
            pending: Vec::with_capacity(BLOCK_VECTORS),
            steps: Steps::default(),
        };
        let mut bytes = Vec::new();
        for list in lists {
            let entry = directory.entry(list);
            bytes.resize(ListLayout::Coded(layout).list_bytes(entry.primaries, entry.replicas), 0);
            section.read(&mut bytes)?;
            let view = match layout.view(&bytes, entry.primaries, entry.replicas, vectors as u64) {
                Ok(view) => view,
                Err(stray) => {
                    let error = OpenError::stray(section.path(), list, stray, vectors as u64);
                    // Where the hash of the section fails too, that is the error to tell: damaged bytes hold no positions.
                    section.read_all()?;
                    section.finish()?;
                    return Err(error);
                }
            };
            let blocks = view.rows.chunks_exact(layout.block_bytes);
            let blocks = blocks.zip(view.factors.as_chunks::<FACTOR_BYTES>().0);
            let entries = blocks.flat_map(|block| (0..BLOCK_VECTORS).map(move |lane| (block, lane)));
            for ((rows, factors), lane) in entries.take(entry.primaries as usize) {
                filling.push(Lane { rows, lane }, factors);
            }
        }
        section.finish()?;
        filling.finish_block();
        let Filling { rows, factors, .. } = filling;
        Ok(ResidentCodes { rows, factors, block_bytes: layout.block_bytes })
    }

    /// The blocks that hold `positions`, which must exist; they may hold others before and after.
    #[inline]
    #[expect(
        clippy::indexing_slicing,
        reason = "positions come from the directory, which was checked at open"
    )]
    pub fn range(&self, positions: Range<u32>) -> CodeRange<'_> {
        let blocks =
            positions.start as usize / BLOCK_VECTORS..(positions.end as usize).div_ceil(BLOCK_VECTORS);
        CodeRange {
            first: (blocks.start * BLOCK_VECTORS) as u32, // CAST: a position, below 2^32
            rows: &self.rows[blocks.start * self.block_bytes..blocks.end * self.block_bytes],
            factors: &self.factors[blocks.start * FACTOR_BYTES..blocks.end * FACTOR_BYTES],
        }
    }

    /// Bytes allocated.
    pub fn memory_bytes(&self) -> usize {
        self.rows.len() + self.factors.len()
    }
}

/// Resident codes while they are being filled.
struct Filling {
    rows: AlignedBuf,
    factors: AlignedBuf,
    layout: CodedLayout,
    /// Block being filled.
    block: usize,
    /// Factors of the vectors in it.
    pending: Vec<Factors>,
    /// The coarsest steps that these were rounded to.
    steps: Steps,
}

impl Filling {
    /// Takes in a code, and its factors out of its block's.
    fn push(&mut self, code: Lane<'_>, factors: &[u8; FACTOR_BYTES]) {
        let CodedLayout { block_bytes, lane_bytes } = self.layout;
        let at = self.block * block_bytes;
        let Some(block) = self.rows.get_mut(at..at + block_bytes) else {
            unreachable!("there are blocks for all primaries")
        };
        self.pending.push(Factors::of(factors, code.lane));
        self.steps = self.steps.coarser(Steps::of(factors));
        copy_lane(lane_bytes, code, block, self.pending.len() - 1);
        if self.pending.len() == BLOCK_VECTORS {
            self.finish_block();
        }
    }

    /// Factors are rounded for a block together, so those of a block made of parts are rounded anew, to steps that are as coarse as
    /// those that they come from.
    fn finish_block(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        if let Some(block) = self.factors.as_chunks_mut::<FACTOR_BYTES>().0.get_mut(self.block) {
            *block = factor_block(&self.pending, self.steps);
        }
        self.pending.clear();
        self.steps = Steps::default();
        self.block += 1;
    }
}

/// The pages of vectors.
#[derive(Debug)]
pub struct ResidentVectors {
    pages: AlignedBuf,
    layout: PageLayout,
}

impl ResidentVectors {
    pub(super) fn read(
        mut section: SectionReader<'_>,
        layout: PageLayout,
    ) -> Result<ResidentVectors, OpenError> {
        let bytes = usize::try_from(section.body_bytes()).unwrap_or(usize::MAX);
        let mut pages = memory(section.path(), bytes)?;
        section.read(&mut pages)?;
        section.finish()?;
        Ok(ResidentVectors { pages, layout })
    }

    /// The record at a position, which must exist.
    #[inline]
    pub fn record(&self, position: u32) -> Record<'_> {
        let (page, slot) = self.page(position);
        self.layout.record(page, slot)
    }

    /// Asks for the record at a position, which must exist, without waiting for it.
    #[inline]
    pub fn prefetch(&self, position: u32) {
        let (page, slot) = self.page(position);
        let bytes = self.layout.record_bytes();
        prefetch(page.get(slot * bytes..).and_then(|rest| rest.get(..bytes)).unwrap_or_default());
    }

    /// The page of a position, and the record's slot in it.
    #[expect(
        clippy::indexing_slicing,
        reason = "positions come from the directory, which was checked at open"
    )]
    fn page(&self, position: u32) -> (&[u8], usize) {
        let (page, slot) = self.layout.place(position);
        let at = page as usize * self.layout.page_bytes(); // CAST: usize is 64 bits
        (&self.pages[at..at + self.layout.page_bytes()], slot)
    }

    /// Bytes allocated.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.pages.len()
    }
}

/// The id of every position.
#[derive(Debug)]
pub struct ResidentIds {
    ids: Vec<u8>,
    id_bytes: IdBytes,
}

impl ResidentIds {
    pub(super) fn read(
        section: SectionReader<'_>,
        layout: IdPages,
        vectors: u64,
    ) -> Result<ResidentIds, OpenError> {
        let id_bytes = layout.id_bytes;
        let mut ids = vec![0; usize::try_from(vectors).unwrap_or(usize::MAX) * id_bytes.get()];
        let mut positions = Bitmap::new(vectors);
        let path = section.path().to_owned();
        let mut pages = IdReader::new(section, layout, vectors);
        while let Some(page) = pages.next()? {
            for (id, position) in page.pairs {
                if !positions.set(position) {
                    let expected = format!("a position below {vectors} that no other id has");
                    return Err(OpenError::field(&path, "position of an id", position, expected));
                }
                let at = position as usize * id_bytes.get();
                let Some(out) = ids.get_mut(at..at + id_bytes.get()) else {
                    unreachable!("the position was just found to be below their number")
                };
                out.copy_from_slice(id.to_le_bytes().get(..id_bytes.get()).unwrap_or_default());
            }
        }
        // The first ids of pages, which are read for their hash.
        pages.tail()?;
        pages.finish()?;
        Ok(ResidentIds { ids, id_bytes })
    }

    /// The id at a position, which must exist.
    pub fn id(&self, position: u32) -> u64 {
        self.id_bytes.read(&self.ids, position as usize)
    }

    /// Bytes allocated.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.ids.len()
    }
}

fn memory(path: &Path, bytes: usize) -> Result<AlignedBuf, OpenError> {
    AlignedBuf::zeroed_huge(bytes)
        .map_err(|e| OpenError::read(path, io::Error::new(io::ErrorKind::OutOfMemory, e)))
}
