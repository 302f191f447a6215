//! Why an index did not pass.
use crate::format::OpenError;

/// Why an index did not pass.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A file is missing, damaged or contradicts another; it names the file and the place.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It was told to stop before the end. Nothing wrong was found up to there.
    #[error("stopped after {done_bytes} of {total_bytes} bytes, nothing wrong so far")]
    Stopped {
        /// Bytes read so far.
        done_bytes: u64,
        /// Bytes to read in all.
        total_bytes: u64,
    },
}
