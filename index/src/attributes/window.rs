//! Reading a body from front to back, many pieces at once.
use std::borrow::Cow;
use std::ops::Range;

use super::stored::{READ_BYTES, StoredAttribute};
use crate::format::OpenError;

/// Reads pieces of a body from front to back, many at once.
pub(super) struct Window<'a> {
    attribute: &'a StoredAttribute,
    range: Range<u64>,
    bytes: Cow<'a, [u8]>,
}

impl<'a> Window<'a> {
    pub(super) fn new(attribute: &'a StoredAttribute) -> Window<'a> {
        Window { attribute, range: 0..0, bytes: Cow::Borrowed(&[]) }
    }

    /// The bytes of a range of the body.
    pub(super) fn get(&mut self, range: Range<u64>) -> Result<&[u8], OpenError> {
        if range.start < self.range.start || range.end > self.range.end {
            let end = (range.start + READ_BYTES).min(self.attribute.body_bytes).max(range.end);
            self.bytes = self.attribute.bytes(range.start..end)?;
            self.range = range.start..end;
        }
        let at = (range.start - self.range.start) as usize; // CAST: usize is 64 bits
        let bytes = (range.end - range.start) as usize; // CAST: usize is 64 bits
        Ok(self.bytes.get(at..).and_then(|rest| rest.get(..bytes)).unwrap_or_default())
    }
}
