//! Batched reads from immutable files: the request, its completion, and the backends that carry it.
#![deny(clippy::indexing_slicing)]

mod backend;
mod choice;
#[cfg(test)]
mod contract;
mod error;
mod file;
mod intake;
mod pool;
mod pread;
mod reader;
mod request;
mod transfer;
mod uring;

pub use backend::{Backend, BackendChoice, Fallback, Unavailable};
pub use choice::open_reader;
pub use error::{OpenError, ReadError, ReaderError};
pub use file::{Direct, ReadFile};
pub use pool::ReadBuf;
pub use pread::PreadReader;
pub use reader::{Completion, Reader};
pub use request::Read;
pub use uring::UringReader;

pub(crate) use file::by_descriptor;
pub(crate) use intake::Intake;
pub(crate) use transfer::Transfer;
