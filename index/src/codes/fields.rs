//! Values of a stored model, one after the other.
use std::path::Path;

use super::rotation::DenseRotation;
use crate::DIM_MAX;
use crate::format::OpenError;

/// Takes values off a stored model.
pub(super) struct Fields<'a> {
    pub(super) path: &'a Path,
    pub(super) rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Of a model that begins with the dimensions of its vectors, which must be `dim`.
    pub(super) fn of_model(path: &'a Path, bytes: &'a [u8], dim: usize) -> Result<Fields<'a>, OpenError> {
        let mut fields = Fields { path, rest: bytes };
        match fields.number("dim", 1..=DIM_MAX)? {
            found if found == dim => Ok(fields),
            found => Err(OpenError::field(path, "dim", found, dim)),
        }
    }

    pub(super) fn take(&mut self, what: &str, bytes: usize) -> Result<&'a [u8], OpenError> {
        match self.rest.split_at_checked(bytes) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => {
                let found = format!("{} bytes", self.rest.len());
                Err(OpenError::field(self.path, what, found, format!("{bytes} bytes")))
            }
        }
    }

    fn word(&mut self, what: &str) -> Result<[u8; 4], OpenError> {
        Ok(self.take(what, 4)?.try_into().unwrap_or_default())
    }

    pub(super) fn number(
        &mut self,
        what: &str,
        range: std::ops::RangeInclusive<usize>,
    ) -> Result<usize, OpenError> {
        let found = u32::from_le_bytes(self.word(what)?) as usize;
        if range.contains(&found) {
            return Ok(found);
        }
        Err(OpenError::field(self.path, what, found, format!("{} to {}", range.start(), range.end())))
    }

    pub(super) fn float(&mut self, what: &str) -> Result<f32, OpenError> {
        let found = f32::from_le_bytes(self.word(what)?);
        if found.is_finite() && found >= 0.0 {
            return Ok(found);
        }
        Err(OpenError::field(self.path, what, found, "a number of 0 or more"))
    }

    /// A number above 0.
    pub(super) fn positive(&mut self, what: &str) -> Result<f32, OpenError> {
        let found = self.float(what)?;
        if found > 0.0 {
            return Ok(found);
        }
        Err(OpenError::field(self.path, what, found, "a number above 0"))
    }

    pub(super) fn floats(&mut self, what: &str, count: usize) -> Result<Vec<f32>, OpenError> {
        let bytes = self.take(what, 4 * count)?;
        let values: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        match values.iter().find(|x| !x.is_finite()) {
            Some(x) => Err(OpenError::field(self.path, what, x, "finite numbers")),
            None => Ok(values),
        }
    }

    /// Numbers of 0 or more.
    pub(super) fn lengths(&mut self, what: &str, count: usize) -> Result<Vec<f32>, OpenError> {
        let values = self.floats(what, count)?;
        match values.iter().find(|x| **x < 0.0) {
            Some(x) => Err(OpenError::field(self.path, what, x, "numbers of 0 or more")),
            None => Ok(values),
        }
    }

    /// The steps of a rotation from `dim` elements to `dims`.
    pub(super) fn matrix(&mut self, dim: usize, dims: usize) -> Result<DenseRotation, OpenError> {
        let bytes = self.take("matrix", 2 * dim * dims)?;
        let values: Vec<i16> = bytes.as_chunks::<2>().0.iter().map(|&b| i16::from_le_bytes(b)).collect();
        Ok(DenseRotation::from_steps(&values, dim))
    }

    /// Refuses what is left.
    pub(super) fn finish(self) -> Result<(), OpenError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(OpenError::field(self.path, "bytes after the model", self.rest.len(), 0))
    }
}
