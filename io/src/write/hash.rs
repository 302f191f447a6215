//! Length and hash of files.
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

const BUFFER_BYTES: usize = 1 << 20;

/// Length and hash of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Bytes in the file.
    pub bytes: u64,
    /// XXH3-128 of them, seed 0.
    pub hash: u128,
}

/// Length and hash of a file, read once from front to end through a small buffer.
///
/// # Errors
/// When it cannot be read; the error names the file.
pub fn hash_file(path: &Path) -> io::Result<Written> {
    hash_file_from(path, 0)
}

/// As [`hash_file`], the hash leaving out the first `head_bytes`; the length counts them.
///
/// # Errors
/// When it cannot be read; the error names the file.
pub fn hash_file_from(path: &Path, head_bytes: u64) -> io::Result<Written> {
    let mut file = fs_err::File::open(path)?;
    let head_bytes = file.seek(SeekFrom::Start(head_bytes.min(file.metadata()?.len())))?;
    let mut hash = HashOnly(Xxh3::new());
    let mut buffered = io::BufReader::with_capacity(BUFFER_BYTES, &mut file);
    let bytes = io::copy(&mut buffered, &mut hash)?;
    Ok(Written { bytes: head_bytes + bytes, hash: hash.0.digest128() })
}

struct HashOnly(Xxh3);

impl Write for HashOnly {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
