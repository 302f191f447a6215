//! Read buffers, used again and again.
use std::ops::Deref;

use crate::aligned::{BLOCK_BYTES, BlockRest};
use crate::{AlignedBuf, BufferError};

/// Bytes of free buffers kept; more are given back to the allocator.
const FREE_BYTES_MAX: usize = 64 << 20;
const SMALLEST: usize = 4096;

/// The bytes of one finished read. Give it back with [`super::Reader::recycle`].
#[derive(Debug)]
pub struct ReadBuf {
    buf: AlignedBuf,
    from: usize,
    bytes: usize,
}

impl ReadBuf {
    /// `bytes` bytes of `buf`, starting at `from`.
    pub(super) fn new(buf: AlignedBuf, from: usize, bytes: usize) -> ReadBuf {
        assert!(from <= buf.len() && bytes <= buf.len() - from);
        ReadBuf { buf, from, bytes }
    }

    fn into_aligned(self) -> AlignedBuf {
        self.buf
    }
}

impl Deref for ReadBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // The range was checked in `new`, so the default is never taken.
        self.buf.get(self.from..self.from + self.bytes).unwrap_or_default()
    }
}

/// Free buffers by size: powers of two from 4096 on, carved from blocks unless they are large.
#[derive(Debug, Default)]
pub(crate) struct BufPool {
    free: Vec<Vec<AlignedBuf>>,
    free_bytes: usize,
    rest: Option<BlockRest>,
}

impl BufPool {
    /// A buffer of at least `bytes` bytes; what it holds is not defined.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<AlignedBuf, BufferError> {
        let size = bytes.max(SMALLEST).next_power_of_two();
        if let Some(buf) = self.free.get_mut(class(size)).and_then(Vec::pop) {
            self.free_bytes -= buf.len();
            return Ok(buf);
        }
        if size > BLOCK_BYTES / 4 {
            return AlignedBuf::zeroed(size);
        }
        if let Some(buf) = self.rest.as_mut().and_then(|rest| rest.carve(size)) {
            return Ok(buf);
        }
        let mut rest = BlockRest::new()?;
        let buf = rest.carve(size).ok_or(BufferError { bytes: size })?;
        self.rest = Some(rest);
        Ok(buf)
    }

    /// Takes back a buffer that `take` gave out.
    pub(crate) fn put(&mut self, buf: AlignedBuf) {
        let size = buf.len();
        if size < SMALLEST || !size.is_power_of_two() || self.free_bytes + size > FREE_BYTES_MAX {
            return;
        }
        let class = class(size);
        if self.free.len() <= class {
            self.free.resize_with(class + 1, Vec::new);
        }
        if let Some(list) = self.free.get_mut(class) {
            self.free_bytes += size;
            list.push(buf);
        }
    }

    pub(crate) fn recycle(&mut self, buf: ReadBuf) {
        self.put(buf.into_aligned());
    }
}

fn class(size: usize) -> usize {
    (size / SMALLEST).ilog2() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_and_the_pool_is_bounded() {
        let mut pool = BufPool::default();
        let first = pool.take(5000).unwrap();
        assert_eq!(first.len(), 8192);
        let at = first.as_ptr();
        pool.put(first);
        assert_eq!(pool.free_bytes, 8192);
        assert_ne!(pool.take(4096).unwrap().as_ptr(), at);
        assert_eq!(pool.take(8192).unwrap().as_ptr(), at);
        assert_eq!(pool.free_bytes, 0);
        let many: Vec<_> = (0..5).map(|_| pool.take(16 << 20).unwrap()).collect();
        many.into_iter().for_each(|buf| pool.put(buf));
        assert_eq!(pool.free_bytes, FREE_BYTES_MAX);
    }
}
