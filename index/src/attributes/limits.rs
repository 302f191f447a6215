//! What compiling a filter may take, and why it was not compiled.
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use spandrel_names::{size_left, size_needed};

use crate::format::OpenError;

/// What compiling a filter may take.
#[derive(Debug, Clone, Copy)]
pub struct CompileLimits<'a> {
    /// Bytes of sets of positions, what they come to included.
    pub memory_bytes: usize,
    /// When to give up.
    pub deadline: Option<Instant>,
    /// Set to true to stop.
    pub stop: &'a AtomicBool,
}

/// Why a filter was not compiled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The filter is bound to another schema than that of the index.
    #[error(
        "the filter asks for attribute number {attribute} and the index has {attributes}; bind it to the index's schema"
    )]
    Schema {
        /// Number of the attribute in the schema, from 0.
        attribute: usize,
        /// Attributes of the index.
        attributes: usize,
    },
    /// Its sets of positions take too much memory.
    #[error("the filter needs {} of memory and may use {}; ask for less, or allow more", size_needed(*needed as u64), size_left(*allowed as u64))]
    Memory {
        /// Bytes it would take.
        needed: usize,
        /// Bytes it may take.
        allowed: usize,
    },
    /// There was no time left.
    #[error("the filter was not compiled before the deadline")]
    Deadline,
    /// A stop was asked for.
    #[error("compiling the filter was stopped")]
    Stopped,
    /// An attribute could not be read, or is damaged.
    #[error(transparent)]
    Open(#[from] OpenError),
}
