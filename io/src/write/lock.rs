//! One writer per directory.
use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek, Write};
use std::path::{Path, PathBuf};

/// Why a directory could not be locked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process works on it. Wait for that one, or stop it.
    #[error("{path}: another process{} works on this directory", holder(.pid))]
    Held {
        /// The lock file.
        path: PathBuf,
        /// The process, if it is written there.
        pid: Option<u32>,
    },
    /// The lock file cannot be made or locked.
    #[error("{path}: cannot be locked")]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn holder(pid: &Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

/// An exclusive lock on a directory, held until dropped or until the process ends in any way.
///
/// It is an `flock` on a file `LOCK`, which stays behind: removing it would let two processes lock two
/// files of one name.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Name of the lock file.
    pub const NAME: &'static str = "LOCK";

    /// Locks `dir`, without waiting.
    ///
    /// # Errors
    /// [`LockError::Held`] when another process, or another lock of this one, has it.
    pub fn acquire(dir: &Path) -> Result<FolderLock, LockError> {
        let path = dir.join(Self::NAME);
        let failed = |source| LockError::Io { path: path.clone(), source };
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = read_pid(&mut file);
                return Err(LockError::Held { path, pid });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        // The number only serves the message, so a full disk is no reason to fail.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes()));
        Ok(FolderLock { _file: file })
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_with_the_holder_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("LOCK"), "a stale text that is longer than a number").unwrap();
        let lock = FolderLock::acquire(dir.path()).unwrap();
        let error = FolderLock::acquire(dir.path()).unwrap_err();
        assert!(matches!(error, LockError::Held { pid, .. } if pid == Some(std::process::id())));
        assert!(error.to_string().contains(&format!("process {}", std::process::id())));
        drop(lock);
        drop(FolderLock::acquire(dir.path()).unwrap());
        assert!(matches!(FolderLock::acquire(Path::new("/no/such/dir")), Err(LockError::Io { .. })));
    }
}
