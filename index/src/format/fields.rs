//! Fields of a small body that is read whole.
use std::fmt;
use std::path::Path;

use super::OpenError;

/// Takes fields off a body in order.
pub(super) struct Fields<'a> {
    pub(super) path: &'a Path,
    pub(super) left: &'a [u8],
}

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], OpenError> {
        let Some((field, rest)) = self.left.split_first_chunk::<N>() else {
            return Err(self.refused("bytes", "an end", "more of them"));
        };
        self.left = rest;
        Ok(*field)
    }

    pub(super) fn u32(&mut self) -> Result<u32, OpenError> {
        self.take().map(u32::from_le_bytes)
    }

    pub(super) fn f32(&mut self) -> Result<f32, OpenError> {
        self.take().map(f32::from_le_bytes)
    }

    pub(super) fn f64(&mut self) -> Result<f64, OpenError> {
        self.take().map(f64::from_le_bytes)
    }

    pub(super) fn zero(&mut self) -> Result<(), OpenError> {
        match self.u32()? {
            0 => Ok(()),
            found => Err(self.refused("a word not in use", found, "0")),
        }
    }

    /// A number of things, 1 to `most`.
    pub(super) fn count(&mut self, what: &str, most: usize) -> Result<usize, OpenError> {
        let found = self.u32()? as usize; // CAST: widening
        let expected = || format!("1 to {most}");
        if (1..=most).contains(&found) { Ok(found) } else { Err(self.refused(what, found, &expected())) }
    }

    pub(super) fn refused(&self, field: &str, found: impl fmt::Display, expected: &str) -> OpenError {
        OpenError::field(self.path, field, found, expected)
    }

    /// Refuses what is left of a body of `bytes`.
    pub(super) fn end(&self, bytes: usize) -> Result<(), OpenError> {
        if self.left.is_empty() {
            return Ok(());
        }
        Err(self.refused("bytes", bytes, &(bytes - self.left.len()).to_string()))
    }
}
