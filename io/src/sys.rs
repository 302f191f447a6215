//! System calls that the standard library lacks.
use std::fs::File;
use std::io;
use std::path::Path;
#[cfg(any(test, feature = "disk"))]
use std::time::Duration;

use rustix::fs::{AtFlags, StatxFlags, statvfs, statx};
#[cfg(any(test, feature = "disk"))]
use rustix::time::{ClockId, clock_gettime};

/// What the file system says about direct I/O on an open file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DirectAlignment {
    /// It does not say (kernel before 6.1, or a file system that does not answer).
    Unknown,
    /// Direct I/O is not possible on this file.
    Never,
    /// Offsets, lengths and buffers must be multiples of this many bytes.
    Multiple(u32),
}

/// Asks the file system for the alignment that direct I/O on `file` needs.
pub(crate) fn direct_alignment(file: &File) -> DirectAlignment {
    let Ok(stat) = statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN) else {
        return DirectAlignment::Unknown;
    };
    if stat.stx_mask & StatxFlags::DIOALIGN.bits() == 0 {
        return DirectAlignment::Unknown;
    }
    match stat.stx_dio_offset_align.max(stat.stx_dio_mem_align) {
        0 => DirectAlignment::Never,
        bytes => DirectAlignment::Multiple(bytes),
    }
}

/// Bytes an ordinary user can still write on the file system that holds `path`.
///
/// # Errors
/// When the path does not exist or its file system does not answer; the error names the path.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = statvfs(path).map_err(|error| {
        let error = io::Error::from(error);
        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    })?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Processor time this process has used, in all its threads.
#[cfg(any(test, feature = "disk"))]
pub(crate) fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    // CAST: nanoseconds are below 10^9.
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_space_is_known_and_a_missing_path_is_named() {
        assert!(free_bytes(Path::new("/")).unwrap() > 0);
        let error = free_bytes(Path::new("/no/such/place")).unwrap_err();
        assert!(error.to_string().contains("/no/such/place"));
    }
}
