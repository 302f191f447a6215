//! Vectors wanted by id, and what became of them.
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use crate::lookup::Lookup;

/// Ids of a piece: about the reads of one query, so that fetches and queries take turns of one length.
pub(crate) const PIECE: usize = 16;

/// Vectors wanted by id, together with their own terms.
#[derive(Debug)]
pub struct FetchRequest {
    /// Of the engine's index.
    pub lookup: Arc<Lookup>,
    /// Ids, any number of times each.
    pub ids: Vec<u64>,
    /// When to give up.
    pub deadline: Option<Instant>,
    /// Set to true to give up.
    pub stop: Option<Arc<AtomicBool>>,
}

impl FetchRequest {
    /// Pieces that ids are fetched in, each of about the work of a query.
    pub fn pieces(ids: usize) -> usize {
        ids.div_ceil(PIECE)
    }
}

/// Vectors by id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fetched {
    /// Those that were found, exactly as given, back to back in the order of the ids.
    pub rows: Vec<u8>,
    /// What became of each id.
    pub states: Vec<FetchState>,
}

impl Fetched {
    pub(crate) fn of(pieces: Vec<Piece>, row_bytes: usize) -> Fetched {
        let mut fetched = Fetched::default();
        for piece in pieces {
            for (row, &state) in piece.rows.chunks_exact(row_bytes).zip(&piece.states) {
                if state == FetchState::Found {
                    fetched.rows.extend_from_slice(row);
                }
            }
            fetched.states.extend(piece.states);
        }
        fetched
    }
}

/// Ids whose vectors are wanted.
pub(crate) struct Ids {
    pub(crate) lookup: Arc<Lookup>,
    pub(crate) ids: Vec<u64>,
}

/// What became of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FetchState {
    /// The index has no such id.
    #[default]
    Absent,
    /// Its vector is there.
    Found,
    /// A page that is needed for it could not be read or is damaged.
    Damaged,
}

/// The vectors of a piece.
#[derive(Debug, Clone, Default)]
pub(crate) struct Piece {
    /// Rows by the place of their id; zeros where there is none.
    pub(crate) rows: Vec<u8>,
    pub(crate) states: Vec<FetchState>,
}

impl Piece {
    /// Puts in the vector of the id in place `at`.
    pub(crate) fn put(&mut self, at: usize, vector: &[u8]) {
        self.rows[at * vector.len()..(at + 1) * vector.len()].copy_from_slice(vector);
        self.states[at] = FetchState::Found;
    }
}
