//! Backends by name, and why one may be missing.
use std::fmt;
use std::io;

use spandrel_names::named;

/// What carries reads to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backend {
    /// One io_uring: a batch of reads costs one system call.
    Uring,
    /// A few threads that issue positioned reads.
    Pread,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Backend::Uring => "uring",
            Backend::Pread => "pread",
        })
    }
}

/// Which backend is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum BackendChoice {
    /// io_uring where the kernel grants it, positioned reads otherwise.
    #[default]
    Auto,
    /// io_uring or an error.
    Uring,
    /// Positioned reads.
    Pread,
}

named! { BackendChoice, "choice", Auto => "auto", Uring => "uring", Pread => "pread" }

/// Why io_uring cannot be had here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// A container's seccomp profile or the sysctl `kernel.io_uring_disabled` forbids it.
    #[error(
        "this process may not use io_uring (a container's seccomp profile or the sysctl \
         kernel.io_uring_disabled forbids it)"
    )]
    Forbidden,
    /// The kernel was built without it, is older than 5.1, or a sandbox hides it.
    #[error("this kernel has no io_uring")]
    Missing,
    /// The kernel's limit on locked memory is too small for the ring (before Linux 5.12).
    #[error("the ring does not fit the limit on locked memory (raise `ulimit -l`)")]
    LockedMemory,
    /// Older than Linux 5.6.
    #[error("this kernel's io_uring has no plain read operation (Linux 5.6 has)")]
    NoReadOperation,
    /// Any other refusal.
    #[error("the ring cannot be set up: {0}")]
    Other(io::Error),
}

impl Unavailable {
    pub(super) fn from_setup(error: io::Error) -> Unavailable {
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Unavailable::Forbidden,
            Some(libc::ENOSYS) => Unavailable::Missing,
            Some(libc::ENOMEM) => Unavailable::LockedMemory,
            _ => Unavailable::Other(error),
        }
    }
}

/// The wish that was not granted: positioned reads instead of io_uring. Its text is one warning.
#[derive(Debug, thiserror::Error)]
#[error("reading with positioned reads, which costs more processor time: {0}")]
pub struct Fallback(pub Unavailable);
