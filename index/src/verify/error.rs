//! Why an index did not pass.
use crate::format::OpenError;

/// Why an index did not pass.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A file is missing, damaged or contradicts another; it names the file and the place.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Several files are missing or damaged, each by itself.
    #[error("{} files are damaged: {}", .damaged.len() + .more, listed(.damaged, *.more))]
    Several {
        /// What is wrong with the first of them, one error for each file.
        damaged: Vec<OpenError>,
        /// Files that are damaged besides.
        more: usize,
    },
    /// It was told to stop before the end. Nothing wrong was found up to there.
    #[error("stopped after {done_bytes} of {total_bytes} bytes, nothing wrong so far")]
    Stopped {
        /// Bytes read so far.
        done_bytes: u64,
        /// Bytes to read in all.
        total_bytes: u64,
    },
}

fn listed(damaged: &[OpenError], more: usize) -> String {
    let mut told: Vec<String> = damaged.iter().map(OpenError::without_advice).collect();
    told.extend((more > 0).then(|| format!("and {more} more")));
    told.join("; ") + "; restore the files from a copy or rebuild"
}
