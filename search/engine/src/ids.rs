//! Vectors wanted by id, and what became of them.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use spandrel_filter::Cell;
use spandrel_index::format::VectorsOf;

use crate::answer::Answer;
use crate::lookup::Lookup;
use crate::terms::End;

/// Ids of a piece: about the reads of one query, so that fetches of vectors and queries take turns of one length. Those of documents are as
/// much longer as these have vectors, up to the largest message.
pub(crate) const PIECE: usize = 16;

/// Vectors wanted by id, together with their own terms.
#[derive(Debug)]
pub struct FetchRequest {
    /// Of the engine's index.
    pub lookup: Arc<Lookup>,
    /// Ids, any number of times each.
    pub ids: Vec<u64>,
    /// What is wanted of each.
    pub content: FetchContent,
    /// When to give up.
    pub deadline: Option<Instant>,
    /// Set to true to give up.
    pub stop: Option<Arc<AtomicBool>>,
}

/// What is wanted of ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchContent {
    /// Which of their vectors are, if any; those of a document are its tokens, [`VectorsOf::Column`].
    pub vectors: Option<VectorsOf>,
    /// Attributes, by their numbers in the index's schema, in the order wanted.
    pub attributes: Vec<usize>,
    /// Memory that the values of attributes may take, in bytes.
    pub cell_bytes_max: usize,
}

impl FetchContent {
    /// Vectors that are searched alone.
    pub const VECTORS: FetchContent =
        FetchContent { vectors: Some(VectorsOf::Main), attributes: Vec::new(), cell_bytes_max: 0 };

    /// Memory that the values of attributes of some ids take at least, in bytes.
    pub fn cell_bytes(&self, ids: usize) -> usize {
        ids.saturating_mul(self.attributes.len()).saturating_mul(size_of::<Cell>())
    }
}

impl FetchRequest {
    /// Pieces that ids are fetched in, each of about the work of a query.
    pub fn pieces(ids: usize) -> usize {
        ids.div_ceil(PIECE)
    }
}

/// What is there of ids.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fetched {
    /// Vectors of those that were found, exactly as given, back to back in the order of the ids, where they were wanted.
    pub rows: Vec<u8>,
    /// How many of them are of each id that was found: one, or those of a document.
    pub row_counts: Vec<u32>,
    /// What those that were found have in the attributes wanted: id by id, in the order of the attributes.
    pub cells: Vec<Cell>,
    /// What became of each id.
    pub states: Vec<FetchState>,
}

impl Fetched {
    /// `attributes` were wanted of each id.
    pub(crate) fn of(pieces: Vec<Piece>, row_bytes: usize, attributes: usize) -> Fetched {
        let bytes = pieces.iter().map(|piece| piece.rows.len()).sum();
        // At once: what grows is held twice meanwhile.
        let mut fetched = Fetched { rows: Vec::with_capacity(bytes), ..Fetched::default() };
        for Piece { rows, row_counts, cells, states } in pieces {
            let mut rows = &rows[..];
            for (&count, &state) in row_counts.iter().zip(&states) {
                let (of_id, rest) = rows.split_at(count as usize * row_bytes); // CAST: widening
                rows = rest;
                if state == FetchState::Found {
                    fetched.rows.extend_from_slice(of_id);
                    fetched.row_counts.push(count);
                }
            }
            let of_id = states.iter().flat_map(|&state| std::iter::repeat_n(state, attributes));
            let found = cells.into_iter().zip(of_id).filter(|(_, state)| *state == FetchState::Found);
            fetched.cells.extend(found.map(|(cell, _)| cell));
            fetched.states.extend(states);
        }
        fetched
    }

    /// What answers get of it, one after the other: its ids were those of their neighbours, with `attributes` values each.
    pub fn hand_out(&mut self, attributes: usize) -> HandOut {
        let (states, cells) = (std::mem::take(&mut self.states), std::mem::take(&mut self.cells));
        HandOut { states: states.into_iter(), cells: cells.into_iter(), attributes }
    }
}

/// What was fetched for the neighbours of answers, on its way to them.
pub struct HandOut {
    states: std::vec::IntoIter<FetchState>,
    cells: std::vec::IntoIter<Cell>,
    attributes: usize,
}

impl HandOut {
    /// Gives the next answer the values of its neighbours. Those of which something could not be read are left out; each is a page
    /// that is missing.
    pub fn give(&mut self, answer: &mut Answer) {
        let before = answer.neighbours.len();
        answer.neighbours.retain(|_| self.states.next() == Some(FetchState::Found));
        let lost = (before - answer.neighbours.len()) as u32; // CAST: at most k
        answer.missing.pages += lost;
        if let Some(promise) = answer.promise.as_mut().filter(|_| lost > 0) {
            promise.expected = None;
        }
        answer.cells = self.cells.by_ref().take(answer.neighbours.len() * self.attributes).collect();
    }
}

/// Ids of which something is wanted.
pub(crate) struct Ids {
    pub(crate) lookup: Arc<Lookup>,
    pub(crate) ids: Vec<u64>,
    pub(crate) content: FetchContent,
    /// Memory that the values of attributes take so far.
    pub(crate) cell_bytes: AtomicUsize,
}

impl Ids {
    /// Counts what a value takes beside its place: why no more is wanted if that is too much.
    pub(crate) fn count(&self, cell: &Cell) -> Result<(), End> {
        let (bytes, bytes_max) = (cell.heap_bytes(), self.content.cell_bytes_max);
        match self.cell_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > bytes_max {
            true => Err(End::Cells { bytes_max }),
            false => Ok(()),
        }
    }
}

/// What became of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FetchState {
    /// The index has no such id.
    #[default]
    Absent,
    /// What is wanted of it is there.
    Found,
    /// A page or block that is needed for it could not be read or is damaged.
    Damaged,
}

/// What is there of the ids of a piece.
#[derive(Debug, Clone, Default)]
pub(crate) struct Piece {
    /// Rows in the order of their ids; zeros where there is none.
    pub(crate) rows: Vec<u8>,
    /// How many rows there are of each id; nothing where they are not wanted.
    pub(crate) row_counts: Vec<u32>,
    /// Values of attributes by the place of their id, each id's together.
    pub(crate) cells: Vec<Cell>,
    pub(crate) states: Vec<FetchState>,
}

impl Piece {
    /// Puts in a vector as row number `row`.
    pub(crate) fn put(&mut self, row: usize, vector: &[u8]) {
        self.rows[row * vector.len()..(row + 1) * vector.len()].copy_from_slice(vector);
    }
}
