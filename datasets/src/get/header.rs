//! The header of the files that are fetched.
use std::fmt;

use crate::catalogue::RemoteFile;

/// Rows and elements of a row, as a file's first 8 bytes give them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileHeader {
    /// Row count in the header, at offset 0.
    pub rows: u32,
    /// Elements of a row.
    pub width: u32,
}

impl fmt::Display for FileHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a header of {} rows of {}", self.rows, self.width)
    }
}

impl FileHeader {
    /// The header of the fetched file.
    pub(super) fn finished(file: &RemoteFile) -> FileHeader {
        FileHeader { rows: file.rows, width: file.width }
    }

    /// The header of the published file.
    pub(super) fn published(file: &RemoteFile) -> FileHeader {
        FileHeader { rows: file.source_rows, width: file.width }
    }

    pub(super) fn from_bytes(bytes: [u8; 8]) -> FileHeader {
        let [a, b, c, d, e, f, g, h] = bytes;
        FileHeader { rows: u32::from_le_bytes([a, b, c, d]), width: u32::from_le_bytes([e, f, g, h]) }
    }

    pub(super) fn to_bytes(self) -> [u8; 8] {
        let [a, b, c, d] = self.rows.to_le_bytes();
        let [e, f, g, h] = self.width.to_le_bytes();
        [a, b, c, d, e, f, g, h]
    }
}
