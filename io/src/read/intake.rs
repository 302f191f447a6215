//! What every backend does alike: files, buffers, the queue before the depth limit and the results after it.
use std::collections::VecDeque;
use std::sync::Arc;

use super::pool::BufPool;
use super::{Completion, Read, ReadBuf, ReadError, ReadFile, Transfer};

/// Reads before and after a backend has them.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    /// By slot; none where it is free.
    files: Vec<Option<Arc<ReadFile>>>,
    pool: BufPool,
    /// Accepted, without a buffer yet.
    backlog: VecDeque<Read>,
    /// Ended, not yet handed out.
    ended: VecDeque<Completion>,
}

impl Intake {
    pub(crate) fn add_file(&mut self, file: Arc<ReadFile>) -> u32 {
        let free = self.files.iter().position(Option::is_none);
        let slot = free.unwrap_or(self.files.len());
        match self.files.get_mut(slot) {
            Some(place) => *place = Some(file),
            None => self.files.push(Some(file)),
        }
        u32::try_from(slot).expect("fewer than 2^32 files")
    }

    /// Frees the slot of a file that no read in the backlog is for.
    pub(crate) fn remove_file(&mut self, slot: u32) {
        assert!(self.backlog.iter().all(|read| read.file != slot), "a file is let go of before it was read");
        let file = self.files.get_mut(slot as usize).and_then(Option::take);
        assert!(file.is_some(), "slot {slot} has no file to let go of");
    }

    pub(crate) fn file(&self, slot: u32) -> &Arc<ReadFile> {
        self.files.get(slot as usize).and_then(Option::as_ref).expect("the slot came from add_file")
    }

    /// Takes reads in; those that cannot succeed or have nothing to read end at once.
    pub(crate) fn accept(&mut self, reads: &[Read]) {
        for read in reads {
            if let Err(error) = self.file(read.file).check(read) {
                self.end(read.tag, Err(error));
            } else {
                self.backlog.push_back(*read);
            }
        }
    }

    /// The next read to issue, with its buffer, widened to the alignment of its file.
    pub(crate) fn next_transfer(&mut self) -> Option<Transfer> {
        self.next_where(ReadFile::alignment)
    }

    /// The next read to issue, with its buffer, exactly as it was asked for.
    #[cfg(any(test, feature = "faults"))]
    pub(crate) fn next_unaligned(&mut self) -> Option<Transfer> {
        self.next_where(|_| 1)
    }

    fn next_where(&mut self, alignment: impl Fn(&ReadFile) -> u32) -> Option<Transfer> {
        while let Some(read) = self.backlog.pop_front() {
            let align = alignment(self.file(read.file));
            match Transfer::new(read, align, |bytes| self.pool.take(bytes)) {
                Ok(transfer) if read.bytes == 0 => self.deliver(transfer, Ok(())),
                Ok(transfer) => return Some(transfer),
                Err(error) => self.end(read.tag, Err(error.into())),
            }
        }
        None
    }

    /// Ends a transfer.
    pub(crate) fn deliver(&mut self, transfer: Transfer, result: Result<(), ReadError>) {
        let tag = transfer.read().tag;
        match result {
            Ok(()) => self.end(tag, Ok(transfer.into_buf())),
            Err(error) => {
                self.pool.put(transfer.into_aligned());
                self.end(tag, Err(error));
            }
        }
    }

    /// Ends the reads that were not issued so far and are not wanted.
    pub(crate) fn withdraw(&mut self, is_wanted: &dyn Fn(&Read) -> bool) {
        let Intake { backlog, ended, .. } = self;
        backlog.retain(|read| {
            let is_wanted = is_wanted(read);
            if !is_wanted {
                ended.push_back(Completion { tag: read.tag, result: Err(ReadError::Withdrawn) });
            }
            is_wanted
        });
    }

    fn end(&mut self, tag: u64, result: Result<ReadBuf, ReadError>) {
        self.ended.push_back(Completion { tag, result });
    }

    /// Moves everything that has ended to `out` and says how many that were.
    pub(crate) fn hand_out(&mut self, out: &mut Vec<Completion>) -> usize {
        let count = self.ended.len();
        out.extend(self.ended.drain(..));
        count
    }

    pub(crate) fn recycle(&mut self, buf: ReadBuf) {
        self.pool.recycle(buf);
    }

    /// Reads here, on either side of the backend.
    pub(crate) fn waiting(&self) -> usize {
        self.backlog.len() + self.ended.len()
    }

    /// How many completions to sleep for when `missing` are still to come and `issued` are under way.
    ///
    /// With more reads waiting for a place, wakes early so that the disk's queue does not run dry.
    pub(crate) fn wait_for(&self, missing: usize, issued: usize) -> usize {
        if self.has_backlog() { missing.min((issued / 4).max(1)) } else { missing.min(issued) }
    }

    pub(crate) fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }
}
