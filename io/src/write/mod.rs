//! Durable output: hashed files, one atomic switch, one writer per directory.
#![deny(clippy::indexing_slicing)]

mod file;
mod folder;
mod lock;

pub use file::{FileWriter, WriteError, Written, hash_file, hash_file_from};
pub use folder::{Folder, FolderError, RealFolder, publish, sync_folder};
pub use lock::{FolderLock, LockError};
