//! Durable output: hashed files that appear whole or not at all, and one writer for each name.
#![deny(clippy::indexing_slicing)]

use std::io;
use std::path::Path;

mod error;
mod file;
mod hash;
mod lock;
mod partial;

pub use error::WriteError;
pub use file::FileWriter;
pub use hash::{Written, hash_blob};
pub use lock::{FolderLock, LockError, lock_file};
pub use partial::{Naming, Sink};

/// Makes the names in a folder survive a crash.
///
/// # Errors
/// When the folder cannot be opened or synced; the error names it.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    fs_err::File::open(path)?.sync_all()
}

/// Makes the name of a file survive a crash.
///
/// # Errors
/// As [`sync_folder`], of the folder that it is in.
pub fn sync_name(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    sync_folder(folder.unwrap_or(Path::new(".")))
}
