//! Files that are read again when they change.
use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::refusal::with_causes;

/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Calls `read` when one of the files has changed, for ever; `what` is in them. What cannot be read leaves things as they
/// are.
pub(crate) async fn keep_fresh<E: Error + 'static>(
    what: &'static str,
    files: Vec<PathBuf>,
    mut read: impl FnMut() -> Result<(), E>,
) {
    let mut seen = stamps(&files);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = stamps(&files);
        if now == seen {
            continue;
        }
        match read() {
            Ok(()) => {
                seen = now;
                tracing::info!(files = ?files, "{what} read again");
            }
            Err(error) => {
                // Perhaps half of the files are in place: look again.
                let error = with_causes(&error);
                tracing::warn!(error, "{what} changed and cannot be used; keeping the old ones");
            }
        }
    }
}

/// When each file was changed last.
fn stamps(files: &[PathBuf]) -> Vec<Option<(SystemTime, u64)>> {
    let stamp = |path: &PathBuf| {
        let meta = fs_err::metadata(path).ok()?;
        Some((meta.modified().ok()?, meta.len()))
    };
    files.iter().map(stamp).collect()
}
