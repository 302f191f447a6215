//! Attributes of the ids of a piece of a fetch: the blocks that hold them are read in one burst, beside pages of vectors.
use std::collections::BTreeMap;
use std::ops::Range;

use spandrel_filter::Cell;
use spandrel_index::Location;
use spandrel_index::attributes::{CellPiece, NoNumber, NullsAt, StoredAttribute};
use spandrel_index::format::OpenError;
use spandrel_io::{Read, ReadBuf, ReadError};

use crate::damage::{DamageReason, DamagedPart};
use crate::error::with_cause;
use crate::ids::{FetchState, Ids, Piece};
use crate::job::Job;
use crate::query::Tools;
use crate::reads::{Extent, Outbox};
use crate::terms::End;

/// Set in the number of a read of a block, not in that of a read of a page.
const CELLS: usize = 1 << 31;

/// The number among reads of blocks; none for a read of a page.
pub(crate) fn cells_number(number: usize) -> Option<usize> {
    (number & CELLS != 0).then_some(number & !CELLS)
}

/// An attribute of a segment, by numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Source {
    segment: u16,
    attribute: usize,
}

/// A value that is looked for.
#[derive(Debug, Clone, Copy)]
struct WantedCell {
    source: Source,
    piece: CellPiece,
    position: u32,
    /// Place of its id among the ids of the piece.
    at: usize,
    /// Place of the value among the cells of the piece.
    cell: usize,
}

/// A block or the positions without a number, and the values that are looked for there.
#[derive(Debug, Clone)]
struct CellRead {
    source: Source,
    piece: CellPiece,
    wanted: Range<usize>,
}

/// The attributes of one piece of a fetch.
#[derive(Default)]
pub(crate) struct CellReads {
    /// By attribute, block and position.
    wanted: Vec<WantedCell>,
    requests: Vec<CellRead>,
    /// Positions without a number, of those attributes of numbers that are wanted.
    nulls: BTreeMap<Source, NoNumber>,
}

/// Why no more values of a piece are taken.
enum Halt {
    Damaged(OpenError),
    Ended(End),
}

impl From<OpenError> for Halt {
    fn from(error: OpenError) -> Halt {
        Halt::Damaged(error)
    }
}

impl Source {
    fn stored(self, tools: &Tools) -> &StoredAttribute {
        let attribute = tools.index.segments()[usize::from(self.segment)].attribute(self.attribute);
        attribute.unwrap_or_else(|| unreachable!("the attributes of a fetch were checked"))
    }

    fn part(self, piece: CellPiece) -> DamagedPart {
        DamagedPart::Block { attribute: self.attribute as u16, block: piece.block } // CAST: at most 1000
    }

    fn extent(self, piece: CellPiece, tools: &Tools) -> Extent {
        let file = tools.attribute_files[usize::from(self.segment)][self.attribute];
        Extent { file, offset: piece.offset, bytes: piece.bytes }
    }
}

impl CellReads {
    /// Takes the values that are in memory, for the ids whose places and locations are given. Appends reads for the rest, tagged with
    /// `tag` and their number. Returns the number of reads.
    ///
    /// # Errors
    /// Why no more is wanted.
    pub(crate) fn begin(
        &mut self,
        located: impl Iterator<Item = (usize, Location)>,
        job: &Job<Ids>,
        piece: &mut Piece,
        tools: &Tools,
        (tag, out): (u32, &mut Vec<Read>),
    ) -> Result<usize, End> {
        self.wanted.clear();
        self.requests.clear();
        self.nulls.clear();
        let attributes = &job.content.attributes;
        for (at, location) in located {
            for (number, &attribute) in attributes.iter().enumerate() {
                let (source, position) =
                    (Source { segment: location.segment(), attribute }, location.position());
                let cell_piece = source.stored(tools).cell_piece(position);
                let cell = at * attributes.len() + number;
                self.wanted.push(WantedCell { source, piece: cell_piece, position, at, cell });
            }
        }
        self.wanted
            .sort_unstable_by_key(|wanted| (wanted.source, wanted.piece, wanted.position, wanted.cell));
        self.take_resident(job, piece, tools)?;
        let mut outbox = Outbox { slot: tag, files: &tools.files, reads: out };
        for (number, read) in self.requests.iter().enumerate() {
            outbox.push(read.source.extent(read.piece, tools), CELLS | number);
        }
        Ok(self.requests.len())
    }

    /// Takes what is in memory, and makes requests of the rest.
    fn take_resident(&mut self, job: &Job<Ids>, piece: &mut Piece, tools: &Tools) -> Result<(), End> {
        let mut first = 0;
        let mut source = None;
        while let Some(&wanted) = self.wanted.get(first) {
            let key = |wanted: &WantedCell| (wanted.source, wanted.piece);
            let end = first + self.wanted[first..].partition_point(|other| key(other) == key(&wanted));
            if source.replace(wanted.source) != Some(wanted.source) {
                self.find_nulls(wanted.source, piece, tools);
            }
            if let Some(end) = job.end() {
                return Err(end);
            }
            let read = CellRead { source: wanted.source, piece: wanted.piece, wanted: first..end };
            let resident = read.source.stored(tools).resident(read.piece);
            match resident.or((read.piece.bytes == 0).then_some(&[])) {
                Some(bytes) => self.take_in(&read, bytes, job, piece, tools)?,
                None => self.request(read, piece, tools),
            }
            first = end;
        }
        Ok(())
    }

    /// Takes the positions of an attribute without a number where they are in memory, else asks for them.
    fn find_nulls(&mut self, source: Source, piece: &mut Piece, tools: &Tools) {
        let of_source = self.of_source(source);
        match source.stored(tools).nulls_at() {
            Ok(NullsAt::Hand(nulls)) => {
                self.nulls.insert(source, nulls);
            }
            Ok(NullsAt::Ssd(at)) => {
                self.request(CellRead { source, piece: at, wanted: of_source }, piece, tools)
            }
            // In memory: no part of a file to read again.
            Err(_) => self.mark_damaged(of_source, piece),
        }
    }

    fn of_source(&self, source: Source) -> Range<usize> {
        let first = self.wanted.partition_point(|wanted| wanted.source < source);
        first..first + self.wanted[first..].partition_point(|wanted| wanted.source == source)
    }

    /// Asks for a piece, unless that has failed too often.
    fn request(&mut self, read: CellRead, piece: &mut Piece, tools: &Tools) {
        if tools.damage.is_quarantined(read.source.segment, read.source.part(read.piece)) {
            self.mark_damaged(read.wanted, piece);
        } else {
            self.requests.push(read);
        }
    }

    fn mark_damaged(&self, wanted: Range<usize>, piece: &mut Piece) {
        self.wanted[wanted].iter().for_each(|wanted| piece.states[wanted.at] = FetchState::Damaged);
    }

    /// Takes in the read of a number.
    ///
    /// # Errors
    /// Why no more is wanted.
    pub(crate) fn arrive(
        &mut self,
        number: usize,
        result: &Result<ReadBuf, ReadError>,
        job: &Job<Ids>,
        piece: &mut Piece,
        tools: &Tools,
    ) -> Result<(), End> {
        let read = self.requests[number].clone();
        match result {
            Ok(bytes) => self.take_in(&read, bytes, job, piece, tools),
            Err(error) => {
                self.damaged(&read, DamageReason::Read(with_cause(error)), piece, tools);
                Ok(())
            }
        }
    }

    /// Checks a piece, and takes what is wanted of it.
    fn take_in(
        &mut self,
        read: &CellRead,
        bytes: &[u8],
        job: &Job<Ids>,
        piece: &mut Piece,
        tools: &Tools,
    ) -> Result<(), End> {
        let stored = read.source.stored(tools);
        let reason = match stored.check_piece(read.piece, bytes) {
            Err((found, expected)) => {
                Some(DamageReason::Hash { found: found.into(), expected: expected.into() })
            }
            Ok(content) if read.piece.block.is_none() => match stored.nulls_in(content) {
                Ok(nulls) => {
                    self.nulls.insert(read.source, nulls);
                    None
                }
                Err(error) => Some(malformed(&error)),
            },
            Ok(content) => {
                let wanted = &self.wanted[read.wanted.clone()];
                let positions = wanted.iter().map(|wanted| wanted.position);
                let taken = stored.cells_in(positions, content, |number, cell| {
                    job.count(&cell).map_err(Halt::Ended)?;
                    piece.cells[wanted[number].cell] = cell;
                    Ok(())
                });
                match taken {
                    Ok(()) => None,
                    Err(Halt::Damaged(error)) => Some(malformed(&error)),
                    Err(Halt::Ended(end)) => return Err(end),
                }
            }
        };
        match reason {
            Some(reason) => self.damaged(read, reason, piece, tools),
            None => tools.damage.whole(read.source.segment, read.source.part(read.piece)),
        }
        Ok(())
    }

    /// Gives up what is wanted of a piece, and remembers why.
    fn damaged(&self, read: &CellRead, reason: DamageReason, piece: &mut Piece, tools: &Tools) {
        let CellRead { source, piece: at, wanted } = read;
        tools.damage.add(source.segment, source.part(*at), source.extent(*at, tools), reason);
        self.mark_damaged(wanted.clone(), piece);
    }

    /// Sets the values of positions without a number to null. To be called with no read under way.
    pub(crate) fn finish(&self, piece: &mut Piece) {
        for wanted in &self.wanted {
            if self.nulls.get(&wanted.source).is_some_and(|nulls| nulls.contains(wanted.position)) {
                piece.cells[wanted.cell] = Cell::Null;
            }
        }
    }
}

fn malformed(error: &OpenError) -> DamageReason {
    DamageReason::Read(with_cause(error))
}
