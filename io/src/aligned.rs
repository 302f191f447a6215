//! Heap buffers that direct I/O accepts.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Alignment of every buffer: covers the memory alignment of all common block devices.
const ALIGN: usize = 4096;

/// Zeroed bytes on the heap, starting at a multiple of 4096.
///
/// The heap block does not move when the buffer itself does, so a transfer may point into it.
pub struct AlignedBuf {
    ptr: NonNull<u8>,
    len: usize,
}

/// The allocator refused a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no memory for a buffer of {bytes} bytes")]
pub struct BufferError {
    /// Bytes asked for.
    pub bytes: usize,
}

impl AlignedBuf {
    /// A buffer of `bytes` zero bytes.
    ///
    /// # Errors
    /// [`BufferError`] when the allocator has no such block.
    pub fn zeroed(bytes: usize) -> Result<AlignedBuf, BufferError> {
        if bytes == 0 {
            return Ok(AlignedBuf { ptr: NonNull::dangling(), len: 0 });
        }
        let layout = Layout::from_size_align(bytes, ALIGN).map_err(|_| BufferError { bytes })?;
        // SAFETY: the layout's size is not zero, checked above.
        let ptr = unsafe { alloc_zeroed(layout) };
        match NonNull::new(ptr) {
            Some(ptr) => Ok(AlignedBuf { ptr, len: bytes }),
            None => Err(BufferError { bytes }),
        }
    }
}

// SAFETY: the buffer owns its block alone; nothing about it is tied to a thread.
unsafe impl Send for AlignedBuf {}
// SAFETY: a shared reference only gives out shared slices.
unsafe impl Sync for AlignedBuf {}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `ptr` points to `len` bytes initialised by `alloc_zeroed` (or is dangling with `len` 0),
        // freed only in `Drop`; the borrow of `self` keeps writers out.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `&mut self` makes the slice the only one.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        if self.len == 0 {
            return;
        }
        // SAFETY: `zeroed` accepted this very size and alignment, and allocated the block with them.
        unsafe { dealloc(self.ptr.as_ptr(), Layout::from_size_align_unchecked(self.len, ALIGN)) }
    }
}

impl std::fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AlignedBuf({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_zeroed_aligned_and_writable() {
        for bytes in [1, 511, 512, 4096, 4097, 1 << 20] {
            let mut buf = AlignedBuf::zeroed(bytes).unwrap();
            assert_eq!(buf.as_ptr() as usize % 4096, 0);
            assert_eq!(buf.len(), bytes);
            assert!(buf.iter().all(|&b| b == 0));
            buf[bytes - 1] = 7;
            assert_eq!(buf.last(), Some(&7));
        }
        assert!(AlignedBuf::zeroed(0).unwrap().is_empty());
    }

    #[test]
    fn an_impossible_size_is_an_error() {
        assert_eq!(AlignedBuf::zeroed(usize::MAX).unwrap_err(), BufferError { bytes: usize::MAX });
        assert!(AlignedBuf::zeroed(1 << 60).is_err());
    }
}
