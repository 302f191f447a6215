//! One read on its way: widened to the file's alignment, asked for again until it is whole.
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::{Read, ReadBuf, ReadError, ReadFile};
use crate::aligned::Block;
use crate::{AlignedBuf, BufferError};

/// How often a read may be interrupted, or told to try again, in a row.
const TRIES_MAX: u32 = 1000;

/// Where one read stands.
///
/// ```text
/// start                 next     filled                        span
/// |---------------------|--------|------------------------------|   widened to `align`
///      |<- read.bytes, from read.offset ->|
/// ```
/// `next` is `filled` rounded down: a short answer that ends off the alignment is asked for once more from
/// the last boundary, which also tells the end of the file from a short read.
#[derive(Debug)]
pub(crate) struct Transfer {
    read: Read,
    buf: AlignedBuf,
    start: u64,
    span: usize,
    next: usize,
    filled: usize,
    align: usize,
    tries: u32,
}

impl Transfer {
    /// Prepares a read that `ReadFile::check` has accepted.
    ///
    /// `allocate` gives a buffer of at least that many bytes.
    pub(crate) fn new(
        read: Read,
        align: u32,
        allocate: impl FnOnce(usize) -> Result<AlignedBuf, BufferError>,
    ) -> Result<Transfer, BufferError> {
        let unit = u64::from(align);
        let start = read.offset - read.offset % unit;
        let end = (read.offset + u64::from(read.bytes)).next_multiple_of(unit);
        // CAST: at most READ_BYTES_MAX and twice the alignment.
        let span = (end - start) as usize;
        let buf = allocate(span)?;
        Ok(Transfer { read, buf, start, span, next: 0, filled: 0, align: align as usize, tries: 0 })
    }

    /// The block that its buffer is a part of, if it is.
    pub(crate) fn block(&self) -> Option<&Arc<Block>> {
        self.buf.block()
    }

    pub(crate) fn read(&self) -> &Read {
        &self.read
    }

    /// Place in the file of the next request.
    pub(crate) fn offset(&self) -> u64 {
        self.start + self.next as u64
    }

    /// Where the next request puts its bytes: `offset` on, to the end of the span.
    pub(crate) fn target(&mut self) -> &mut [u8] {
        self.buf.get_mut(self.next..self.span).unwrap_or_default()
    }

    /// Takes in the answer to the last request: `None` to ask again, otherwise the end of the read.
    pub(crate) fn advance(
        &mut self,
        file: &ReadFile,
        answer: io::Result<usize>,
    ) -> Option<Result<(), ReadError>> {
        let bytes = match answer {
            Ok(bytes) => bytes,
            Err(error) if is_transient(&error) && self.tries < TRIES_MAX => {
                self.tries += 1;
                return None;
            }
            Err(error) => return Some(Err(file.failed(&self.read, error))),
        };
        self.tries = 0;
        let reached = (self.next + bytes).min(self.span);
        if reached >= self.needed() {
            return Some(Ok(()));
        }
        if reached <= self.filled {
            // Nothing beyond what was there: the file ends here, although it was longer when it was opened.
            return Some(Err(file.short(&self.read, self.start + self.filled as u64)));
        }
        self.filled = reached;
        self.next = reached - reached % self.align;
        None
    }

    /// Bytes from `start` to the end of what the caller wants.
    fn needed(&self) -> usize {
        self.lead() + self.read.bytes as usize
    }

    /// Bytes that the widening put before what the caller wants.
    fn lead(&self) -> usize {
        // CAST: less than the alignment.
        (self.read.offset - self.start) as usize
    }

    /// Carries the read to its end with positioned reads, blocking.
    pub(crate) fn run(&mut self, file: &ReadFile) -> Result<(), ReadError> {
        if self.read.bytes == 0 {
            return Ok(());
        }
        loop {
            let offset = self.offset();
            let answer = file.as_file().read_at(self.target(), offset);
            if let Some(result) = self.advance(file, answer) {
                return result;
            }
        }
    }

    /// The bytes of a read that has ended well.
    pub(crate) fn into_buf(self) -> ReadBuf {
        let lead = self.lead();
        ReadBuf::new(self.buf, lead, self.read.bytes as usize)
    }

    pub(crate) fn into_aligned(self) -> AlignedBuf {
        self.buf
    }
}

/// `ECANCELED` is how io_uring ends the reads of a thread that has exited; another thread asks again.
fn is_transient(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::ECANCELED))
}

impl ReadFile {
    /// Reads `bytes` bytes at `offset`, blocking. For opening and checking files; queries use a reader.
    ///
    /// # Errors
    /// As a completion's.
    pub fn read_at(&self, offset: u64, bytes: u32) -> Result<ReadBuf, ReadError> {
        let read = Read { file: 0, offset, bytes, tag: 0 };
        self.check(&read)?;
        let mut transfer = Transfer::new(read, self.alignment(), AlignedBuf::zeroed)?;
        transfer.run(self)?;
        Ok(transfer.into_buf())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::Direct;

    fn transfer(offset: u64, bytes: u32, align: u32) -> Transfer {
        let read = Read { file: 0, offset, bytes, tag: 0 };
        Transfer::new(read, align, AlignedBuf::zeroed).unwrap()
    }

    fn any_file() -> std::sync::Arc<ReadFile> {
        ReadFile::open(Path::new("/proc/self/status"), Direct::Off).unwrap()
    }

    /// What a file of these bytes would answer, never more than `limit` bytes at once.
    fn answer(bytes: &[u8], transfer: &mut Transfer, limit: usize) -> usize {
        let offset = transfer.offset() as usize;
        let target = transfer.target();
        let there = bytes.get(offset..).unwrap_or_default();
        let n = there.len().min(target.len()).min(limit);
        target[..n].copy_from_slice(&there[..n]);
        n
    }

    #[test]
    fn transient_errors_are_retried_but_not_for_ever() {
        let file = any_file();
        let mut t = transfer(0, 512, 512);
        for _ in 0..TRIES_MAX {
            assert!(t.advance(&file, Err(io::Error::from_raw_os_error(libc::EINTR))).is_none());
        }
        let end = t.advance(&file, Err(io::Error::from_raw_os_error(libc::EAGAIN)));
        assert!(matches!(end, Some(Err(ReadError::Io { .. }))));
        let end = transfer(0, 512, 512).advance(&file, Err(io::Error::from_raw_os_error(libc::EIO)));
        assert!(matches!(end, Some(Err(ReadError::Io { offset: 0, bytes: 512, .. }))));
    }

    #[test]
    fn a_short_answer_off_the_boundary_is_asked_for_from_the_boundary() {
        let file = any_file();
        let mut t = transfer(1024, 4096, 4096);
        assert_eq!((t.offset(), t.target().len()), (0, 8192));
        assert!(t.advance(&file, Ok(4100)).is_none());
        assert_eq!((t.offset(), t.target().len()), (4096, 4096));
        assert!(matches!(t.advance(&file, Ok(1024)), Some(Ok(()))));
        assert_eq!(t.into_buf().len(), 4096);
    }

    proptest! {
        #[test]
        fn any_run_of_short_answers_gives_the_bytes_or_the_end(
            file_bytes in 1usize..20_000,
            offset in 0u64..20_000,
            bytes in 1u32..9_000,
            align in prop::sample::select(vec![1u32, 512, 4096]),
            limits in prop::collection::vec(1usize..6_000, 1..40),
        ) {
            let file = any_file();
            let content: Vec<u8> = (0..file_bytes).map(|i| (i * 31 % 253) as u8).collect();
            let mut t = transfer(offset, bytes, align);
            let mut limits = limits.into_iter().cycle();
            let end = loop {
                // Direct reads answer in whole blocks, except at the end of the file.
                let limit = limits.next().unwrap().next_multiple_of(align as usize);
                let n = answer(&content, &mut t, limit);
                if let Some(end) = t.advance(&file, Ok(n)) {
                    break end;
                }
            };
            let wanted = content.get(offset as usize..offset as usize + bytes as usize);
            match (end, wanted) {
                (Ok(()), Some(wanted)) => prop_assert_eq!(&t.into_buf()[..], wanted),
                (Err(ReadError::ShortFile { .. }), None) => {}
                (end, wanted) => prop_assert!(false, "{:?} but wanted {:?}", end, wanted.is_some()),
            }
        }
    }
}
