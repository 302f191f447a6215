//! All damaged files of an index, where one is.
use super::error::VerifyError;
use crate::format::OpenError;
use crate::open::each::Each;
use crate::open::section::{PIECE_BYTES, SectionReader};

/// Damaged files that are told of at most; the others are counted.
const TOLD_MAX: usize = 20;

/// What was found first, together with the other files that are damaged, if there are some. What is wrong with one file says nothing
/// of the others: each is read by itself.
pub(super) fn with_others<'a>(first: VerifyError, sections: impl Iterator<Item = Each<'a>>) -> VerifyError {
    let VerifyError::Open(first) = first else { return first };
    let (mut told, mut more) = (Vec::new(), 0);
    for section in sections {
        match section.and_then(read_whole) {
            Ok(()) => {}
            // It is late enough: what was found so far is told another time.
            Err(OpenError::Stopped { .. }) => return VerifyError::Open(first),
            Err(error) if told.len() < TOLD_MAX => told.push(error),
            Err(_) => more += 1,
        }
    }
    // What contradicts another file is damaged in no way of its own.
    let is_told = told.iter().any(|error| error.path() == first.path());
    if told.len() + usize::from(!is_told) == 1 {
        return VerifyError::Open(first);
    }
    if !is_told {
        if told.len() == TOLD_MAX {
            told.pop();
            more += 1;
        }
        told.insert(0, first);
    }
    VerifyError::Several { damaged: told, more }
}

/// Reads a section to its end.
fn read_whole(mut section: SectionReader<'_>) -> Result<(), OpenError> {
    let mut piece = vec![0; PIECE_BYTES];
    while section.left() > 0 {
        let bytes = section.left().min(PIECE_BYTES as u64) as usize; // CAST: at most PIECE_BYTES
        section.read(piece.get_mut(..bytes).unwrap_or_default())?;
    }
    section.finish()
}
