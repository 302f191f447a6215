//! Files that are read again when they change.
use std::error::Error;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

use crate::causes::with_causes;

/// How often files are looked at: a call to the system each.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Files, and what they looked like. To be taken before they are read: a change that comes while they are being read, or before
/// somebody watches, then shows at the next look.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Stamps {
    files: Vec<PathBuf>,
    seen: Vec<Option<Stamp>>,
}

/// Changes with every new content: device and file, when data and when the entry changed, length.
type Stamp = (u64, u64, (i64, i64), (i64, i64), u64);

impl Stamps {
    /// Looks at files.
    pub(crate) fn of(files: Vec<PathBuf>) -> Stamps {
        let stamp = |path: &PathBuf| {
            let meta = fs_err::metadata(path).ok()?;
            let (data, entry) = ((meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec()));
            Some((meta.dev(), meta.ino(), data, entry, meta.len()))
        };
        let seen = files.iter().map(stamp).collect();
        Stamps { files, seen }
    }
}

/// Calls `read` when one of the files has changed since `seen`, for ever; `what` is in them. What cannot be read leaves
/// things as they are.
pub(crate) async fn keep_fresh<E: Error + 'static>(
    what: &'static str,
    mut seen: Stamps,
    mut read: impl FnMut() -> Result<(), E>,
) {
    // Of the last failure, which is told once.
    let mut failed = None;
    loop {
        let now = Stamps::of(seen.files.clone());
        if now != seen {
            match read() {
                Ok(()) => {
                    tracing::info!(files = ?now.files, "{what} read again");
                    (seen, failed) = (now, None);
                }
                // Perhaps half of the files are in place: look again.
                Err(error) => {
                    if failed.as_ref() != Some(&now) {
                        let error = with_causes(&error);
                        tracing::warn!(error, "{what} changed and cannot be used; keeping the old ones");
                    }
                    failed = Some(now);
                }
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_change_between_reading_and_watching_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "old").unwrap();
        let stamps = Stamps::of(vec![path.clone()]);
        // Of the same length, as a rotated token is.
        std::fs::write(folder.path().join("new"), "new").unwrap();
        std::fs::rename(folder.path().join("new"), &path).unwrap();
        let mut times = 0;
        let read = || {
            times += 1;
            Ok::<_, Infallible>(())
        };
        let watching = keep_fresh("test", stamps, read);
        drop(tokio::time::timeout(Duration::from_secs(10), watching).await);
        assert_eq!(times, 1, "read once, and not again without a change");
    }
}
