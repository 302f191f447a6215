//! The few system calls the standard library lacks.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

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
    let mut stat = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: the path is an empty C string, which with `AT_EMPTY_PATH` means the descriptor itself, open
    // for as long as `file` is borrowed; `stat` has room for one `statx`.
    let rc = unsafe {
        libc::statx(
            file.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            libc::STATX_DIOALIGN,
            stat.as_mut_ptr(),
        )
    };
    if rc != 0 {
        return DirectAlignment::Unknown;
    }
    // SAFETY: zeroed above, and every field of `statx` is an integer.
    let stat = unsafe { stat.assume_init() };
    if stat.stx_mask & libc::STATX_DIOALIGN == 0 {
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
/// When the path does not exist or its file system does not answer.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let c_path = CString::new(path.as_os_str().as_bytes())?;
    let mut stat = MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: `c_path` ends in a zero byte and outlives the call; `stat` has room for one `statvfs`.
    let rc = unsafe { libc::statvfs(c_path.as_ptr(), stat.as_mut_ptr()) };
    if rc != 0 {
        let error = io::Error::last_os_error();
        return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display())));
    }
    // SAFETY: zeroed above, and every field of `statvfs` is an integer.
    let stat = unsafe { stat.assume_init() };
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Processor time this process has used, in all its threads.
pub(crate) fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` has room for one `timespec`; the clock exists on every Linux.
    let rc = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    debug_assert_eq!(rc, 0);
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
