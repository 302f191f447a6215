//! Aligned buffers, direct reads and durable writes. Knows bytes and files, never vectors.
//!
//! Files of an index are blobs of a [`Store`]. Promises: a read gives exactly the bytes asked for or an error that names
//! the file and the place; no thread spins while it waits; what [`FileWriter`], [`Store::publish`] and [`Store::replace`]
//! finish survives a crash whole or not at all. It does not cache, does not check hashes of what it reads, and does not know what the bytes mean.
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!("Spandrel runs on Linux on x86-64 and aarch64 only");

mod aligned;
#[cfg(any(test, feature = "disk"))]
pub mod disk;
#[cfg(any(test, feature = "faults"))]
pub mod faults;
mod read;
mod store;
mod sys;
mod write;

pub use aligned::{AlignedBuf, BufferError};
pub use read::{
    Backend, BackendChoice, Completion, Direct, Fallback, OpenError, PreadReader, Read, ReadBuf, ReadError,
    ReadFile, Reader, ReaderError, Unavailable, UringReader, open_reader,
};
pub use store::{Blob, FolderStore, Merging, Store, StoreError};
pub use sys::free_bytes;
pub use write::{
    FileWriter, FolderLock, LockError, Naming, Sink, WriteError, Written, hash_blob, lock_file, sync_folder,
    sync_name,
};

/// Largest single read: larger ones are refused, so that no offset table can ask for all memory.
pub const READ_BYTES_MAX: u32 = 256 << 20;
