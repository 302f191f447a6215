//! One writer per directory.
use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
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
/// It is an `flock` on a file `LOCK`, which stays behind unless [`FolderLock::remove`] is called. A lock on a file
/// that lost its name meanwhile does not count: two processes would lock two files of one name.
#[derive(Debug)]
pub struct FolderLock {
    file: File,
    path: PathBuf,
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
        let mut file = lock_file(&path)?;
        // The number only serves the message, so a full disk is no reason to fail.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes()));
        Ok(FolderLock { file, path })
    }

    /// Removes the lock file, while it is locked: for the holder who removes the directory as well.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn remove(&self) -> io::Result<()> {
        if is_named(&self.file, &self.path)? { std::fs::remove_file(&self.path) } else { Ok(()) }
    }
}

/// Opens a file for reading and writing, or makes an empty one, and locks it until it is closed, without waiting.
///
/// The lock counts while the file has this name: one that lost it to a rename or removal meanwhile is not taken. A symbolic link is
/// not followed: whoever may write to the folder could have any other file written over.
///
/// # Errors
/// [`LockError::Held`] when another process, or another lock of this one, has it.
pub fn lock_file(path: &Path) -> Result<File, LockError> {
    let failed = |source| LockError::Io { path: path.to_owned(), source };
    loop {
        let mut file = open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held { path: path.to_owned(), pid: read_pid(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        if is_named(&file, path).map_err(failed)? {
            return Ok(file);
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).custom_flags(libc::O_NOFOLLOW).open(path)
}

/// Whether an open file is the one that has its name.
fn is_named(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(named) => Ok((open.dev(), open.ino()) == (named.dev(), named.ino())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
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

    /// A process that had opened the lock file before its holder removed it locked a file without a name, and another
    /// one a new file: two locks on one directory.
    #[test]
    fn a_lock_on_a_file_that_lost_its_name_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FolderLock::NAME);
        let first = FolderLock::acquire(dir.path()).unwrap();
        let opened = open(&path).unwrap();
        first.remove().unwrap();
        assert!(!is_named(&opened, &path).unwrap());
        let second = FolderLock::acquire(dir.path()).unwrap();
        assert!(!is_named(&opened, &path).unwrap(), "the name is that of another file");
        // Whoever lost the name does not take it from the one that has it now.
        first.remove().unwrap();
        assert!(is_named(&second.file, &path).unwrap());
        assert!(matches!(FolderLock::acquire(dir.path()), Err(LockError::Held { .. })));
    }
}
