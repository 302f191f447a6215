//! Bytes that were written once and are read in ranges.
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::{Direct, OpenError, ReadError, ReadFile};

/// An open blob. Its bytes never change.
pub trait Blob: fmt::Debug + Send + Sync {
    /// What messages call it.
    fn path(&self) -> &Path;

    /// Bytes in it.
    fn len(&self) -> u64;

    /// Whether it holds nothing.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `out` from `offset` on, blocking. A range that passes [`Blob::len`] is refused before anything is read.
    ///
    /// # Errors
    /// [`ReadError`].
    fn read_into(&self, offset: u64, out: &mut [u8]) -> Result<(), ReadError>;

    /// Which requests it pays to make one of.
    fn merging(&self) -> Merging;

    /// What a [`Reader`](crate::Reader) reads it by.
    ///
    /// # Errors
    /// [`OpenError`]; with [`Direct::On`] also where there are no direct reads.
    fn for_queries(&self, direct: Direct) -> Result<Arc<ReadFile>, OpenError>;
}

/// Which requests it pays to make one of: reading a little for nothing costs less than asking twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merging {
    /// Bytes between two neighbours that are read for nothing to save a request.
    pub gap_bytes: u64,
    /// Bytes up to which requests grow that are merged across such gaps; a single one may be longer.
    pub merged_bytes_max: u64,
    /// Bytes up to which single pages are read together across any gap.
    pub scattered_bytes_max: u64,
}

impl Merging {
    /// For a local SSD. On 1 000 000 SIFT vectors, gaps of 8 KiB between lists of codes saved 11 to 18 % of the requests for
    /// 7 to 17 % more bytes, and gave more queries per second where requests were the limit; a request costs more
    /// than a few pages.
    pub const SSD: Merging =
        Merging { gap_bytes: 8 << 10, merged_bytes_max: 256 << 10, scattered_bytes_max: 16 << 10 };
}
