//! A vector that begins on a cache line, in safe code.

/// Bytes of a cache line.
const LINE_BYTES: usize = 64;

/// A slice of fixed length that begins on a cache line, so that a row of 128 bytes touches two lines and
/// never three.
#[derive(Debug)]
pub(super) struct LineVec<T> {
    buffer: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Copy> LineVec<T> {
    /// `len` copies of `value`.
    pub(super) fn new(value: T, len: usize) -> LineVec<T> {
        let buffer = vec![value; len + LINE_BYTES / size_of::<T>()];
        let start = buffer.as_ptr().align_offset(LINE_BYTES);
        // The standard library may decline to answer; only speed rests on it.
        let start = if start <= buffer.len() - len { start } else { 0 };
        LineVec { buffer, start, len }
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[T] {
        &self.buffer[self.start..self.start + self.len]
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.buffer[self.start..self.start + self.len]
    }

    /// Bytes allocated.
    pub(super) fn memory_bytes(&self) -> usize {
        self.buffer.capacity() * size_of::<T>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_on_a_line() {
        for len in [0, 1, 3, 64, 1000, 100_000] {
            let bytes = LineVec::new(7u8, len);
            assert_eq!(bytes.as_slice(), vec![7u8; len]);
            assert_eq!(bytes.as_slice().as_ptr().addr() % LINE_BYTES, 0);
            let words = LineVec::new(7u32, len);
            assert_eq!(words.as_slice().as_ptr().addr() % LINE_BYTES, 0);
            assert!(words.memory_bytes() <= len * 4 + LINE_BYTES);
        }
    }
}
