//! What is asked of a reader.

/// One request: `bytes` bytes from `offset` of a registered file.
///
/// Any offset and length is served, but with direct I/O what is not a multiple of the file's alignment is
/// widened to it, so multiples of 512 are usually read exactly and multiples of 4096 always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// Slot from [`Reader::add_file`](crate::Reader::add_file).
    pub file: u32,
    /// First byte.
    pub offset: u64,
    /// Number of bytes, at most [`crate::READ_BYTES_MAX`].
    pub bytes: u32,
    /// The caller's own number, handed back with the completion. Need not be unique.
    pub tag: u64,
}
