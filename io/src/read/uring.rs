//! Reads through an io_uring.
//!
//! The kernel holds at most `depth` requests, and the completion queue has room for twice that number, so it
//! cannot overflow. A transfer and its buffer stay in `slots`, keyed by the request's user data, from the
//! moment its request is pushed until its completion is reaped.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use io_uring::{IoUring, Probe, opcode, squeue, types};

use super::{
    Backend, Completion, Intake, Read, ReadBuf, ReadError, ReadFile, Reader, ReaderError, Transfer,
    Unavailable,
};
use crate::aligned::{BLOCK_BYTES, Block};

/// The kernel takes rings of up to 32768 entries.
const DEPTH_MAX: usize = 4096;
/// Files registered with the kernel, which then need not count references per read. Further ones work too.
const FIXED_FILES: u32 = 64;
/// Blocks of buffers registered with the kernel, which then need not look up and pin their pages at every read. Further
/// ones work too.
const FIXED_BLOCKS: usize = 16;
/// How often the kernel may refuse to take anything before the ring counts as broken.
const STALLS_MAX: u32 = 200;

/// A reader on one io_uring.
///
/// May move to another thread at any time; reads in flight when their submitting thread ends are repeated.
pub struct UringReader {
    ring: IoUring,
    intake: Intake,
    slots: Vec<Option<Transfer>>,
    /// Empty slots.
    free: Vec<u32>,
    /// Slots whose transfer has to ask again.
    again: Vec<u32>,
    /// Requests pushed and not yet reaped.
    issued: usize,
    /// Registered files: slots below this are fixed.
    fixed: u32,
    /// Registered blocks, by number. Kept for as long as the kernel may write to them.
    blocks: Vec<Arc<Block>>,
    /// Blocks that may be registered.
    blocks_max: usize,
}

impl UringReader {
    /// Sets up a ring that keeps up to `depth` reads going at once.
    ///
    /// # Errors
    /// [`ReaderError::Uring`] when the kernel does not grant a ring with the read operation.
    pub fn new(depth: usize) -> Result<UringReader, ReaderError> {
        if depth == 0 || depth > DEPTH_MAX {
            return Err(ReaderError::Depth { depth, max: DEPTH_MAX });
        }
        // CAST: at most DEPTH_MAX.
        let entries = depth as u32;
        let ring = set_up(entries).map_err(|error| ReaderError::Uring(Unavailable::from_setup(error)))?;
        let mut probe = Probe::new();
        let probed = ring.submitter().register_probe(&mut probe);
        if probed.is_err() || !probe.is_supported(opcode::Read::CODE) {
            return Err(ReaderError::Uring(Unavailable::NoReadOperation));
        }
        // Optional: without the table, requests carry plain descriptors.
        let empty = [-1 as RawFd; FIXED_FILES as usize];
        let fixed = if ring.submitter().register_files(&empty).is_ok() { FIXED_FILES } else { 0 };
        // Optional as well; the memory of blocks counts against `ulimit -l` where that is enforced.
        let sparse = ring.submitter().register_buffers_sparse(FIXED_BLOCKS as u32); // CAST: 16
        let blocks_max = if sparse.is_ok() { FIXED_BLOCKS } else { 0 };
        let mut slots = Vec::new();
        slots.resize_with(depth, || None);
        Ok(UringReader {
            blocks: Vec::with_capacity(blocks_max),
            blocks_max,
            ring,
            intake: Intake::default(),
            slots,
            free: (0..entries).rev().collect(),
            again: Vec::with_capacity(depth),
            issued: 0,
            fixed,
        })
    }

    /// Pushes requests while slots are free.
    fn fill(&mut self) {
        while let Some(slot) = self.again.pop().or_else(|| self.next_slot()) {
            let Some(Some(transfer)) = self.slots.get_mut(slot as usize) else {
                unreachable!("slot {slot} was filled just now or waits to ask again");
            };
            let file_slot = transfer.read().file;
            let offset = transfer.offset();
            let block = number_of(transfer, &self.ring, &mut self.blocks, &mut self.blocks_max);
            let target = transfer.target();
            let at = target.as_mut_ptr();
            // CAST: at most READ_BYTES_MAX and twice the alignment.
            let bytes = target.len() as u32;
            let fd = || types::Fd(self.intake.file(file_slot).raw_fd());
            let fixed = types::Fixed(file_slot);
            let entry = match (file_slot < self.fixed, block) {
                (true, None) => opcode::Read::new(fixed, at, bytes).offset(offset).build(),
                (true, Some(block)) => opcode::ReadFixed::new(fixed, at, bytes, block).offset(offset).build(),
                (false, None) => opcode::Read::new(fd(), at, bytes).offset(offset).build(),
                (false, Some(block)) => opcode::ReadFixed::new(fd(), at, bytes, block).offset(offset).build(),
            };
            if !self.push(entry.user_data(u64::from(slot))) {
                self.again.push(slot);
                return;
            }
        }
    }

    /// Puts the next waiting read into a free slot.
    fn next_slot(&mut self) -> Option<u32> {
        let slot = *self.free.last()?;
        let transfer = self.intake.next_transfer()?;
        self.free.pop();
        *self.slots.get_mut(slot as usize)? = Some(transfer);
        Some(slot)
    }

    fn push(&mut self, entry: squeue::Entry) -> bool {
        // SAFETY: the entry's buffer belongs to the transfer in the slot that its user data names. `fill`
        // leaves it there, `reap` takes it out only after this request's completion, and `Drop` waits for
        // all completions or leaks the slots. The heap block does not move and nothing else touches it
        // meanwhile. The file is open as long as `intake` holds it, which `remove_file` ends only while no slot reads it.
        let pushed = unsafe { self.ring.submission().push(&entry) }.is_ok();
        self.issued += usize::from(pushed);
        pushed
    }

    /// Takes completions off the ring.
    fn reap(&mut self) {
        for cqe in self.ring.completion() {
            let Ok(slot) = u32::try_from(cqe.user_data()) else { continue };
            let Some(place) = self.slots.get_mut(slot as usize) else { continue };
            let Some(mut transfer) = place.take() else { continue };
            self.issued -= 1;
            // The kernel answers with the bytes read or a negative errno.
            let answer = usize::try_from(cqe.result())
                .map_err(|_| io::Error::from_raw_os_error(cqe.result().saturating_neg()));
            let file = self.intake.file(transfer.read().file);
            match transfer.advance(file, answer) {
                None => {
                    *place = Some(transfer);
                    self.again.push(slot);
                }
                Some(result) => {
                    self.free.push(slot);
                    self.intake.deliver(transfer, result);
                }
            }
        }
    }

    /// Hands pushed requests to the kernel and waits for `want` completions. `false`: it took nothing for
    /// now (interrupted, out of memory, completions to be reaped first).
    fn enter(&mut self, want: usize) -> Result<bool, ReadError> {
        match self.ring.submit_and_wait(want) {
            Ok(_) => Ok(true),
            Err(error) => match error.raw_os_error() {
                Some(libc::EINTR) => Ok(true),
                Some(libc::EAGAIN | libc::EBUSY) => Ok(false),
                _ => Err(ReadError::Ring { source: error }),
            },
        }
    }

    /// Lets the kernel post completions that it holds back until we enter it.
    fn poll_kernel(&mut self) -> Result<(), ReadError> {
        if self.ring.completion().is_empty() && self.ring.submission().taskrun() {
            // SAFETY: no argument is passed; `GETEVENTS` with a minimum of 0 returns at once.
            let done = unsafe { self.ring.submitter().enter::<libc::sigset_t>(0, 0, GETEVENTS, None) };
            if let Err(error) = done
                && error.raw_os_error() != Some(libc::EINTR)
            {
                return Err(ReadError::Ring { source: error });
            }
        }
        Ok(())
    }
}

/// The number of the registered block that a transfer's buffer is a part of; registers it if it is new.
fn number_of(
    transfer: &Transfer,
    ring: &IoUring,
    blocks: &mut Vec<Arc<Block>>,
    blocks_max: &mut usize,
) -> Option<u16> {
    let block = transfer.block()?;
    let known = blocks.iter().position(|known| Arc::ptr_eq(known, block));
    if let Some(number) = known {
        return Some(number as u16); // CAST: at most FIXED_BLOCKS
    }
    if blocks.len() >= *blocks_max {
        return None;
    }
    let number = blocks.len() as u32; // CAST: as above
    let all = libc::iovec { iov_base: block.start().cast(), iov_len: BLOCK_BYTES };
    // SAFETY: the block's memory is allocated, and stays so while the ring lives: `blocks` keeps it.
    match unsafe { ring.submitter().register_buffers_update(number, &[all], None) } {
        Ok(()) => {
            blocks.push(Arc::clone(block));
            Some(number as u16) // CAST: as above
        }
        Err(_) => {
            // From here on only those registered before.
            *blocks_max = blocks.len();
            None
        }
    }
}

/// `IORING_ENTER_GETEVENTS`.
const GETEVENTS: u32 = 1;

/// A ring whose completions do not interrupt the running thread, where the kernel (5.19) can do that.
fn set_up(entries: u32) -> io::Result<IoUring> {
    let quiet = IoUring::builder().setup_coop_taskrun().setup_taskrun_flag().build(entries);
    match quiet {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => IoUring::builder().build(entries),
        other => other,
    }
}

impl Reader for UringReader {
    fn add_file(&mut self, file: Arc<ReadFile>) -> u32 {
        let fd = file.raw_fd();
        let slot = self.intake.add_file(file);
        if slot < self.fixed && self.ring.submitter().register_files_update(slot, &[fd]).is_err() {
            // From here on plain descriptors; slots below stay registered.
            self.fixed = slot;
        }
        slot
    }

    fn remove_file(&mut self, slot: u32) {
        let is_read = |transfer: &Transfer| transfer.read().file == slot;
        assert!(!self.slots.iter().flatten().any(is_read), "a file is let go of while it is read");
        self.intake.remove_file(slot);
        if slot < self.fixed && self.ring.submitter().register_files_update(slot, &[-1]).is_err() {
            // From here on plain descriptors, so that the old file is not read in place of the next.
            self.fixed = slot;
        }
    }

    fn submit(&mut self, reads: &[Read]) -> Result<(), ReadError> {
        self.intake.accept(reads);
        self.fill();
        if !self.ring.submission().is_empty() {
            // What the kernel does not take now, `complete` offers again.
            self.enter(0)?;
        }
        Ok(())
    }

    fn complete(&mut self, at_least: usize, out: &mut Vec<Completion>) -> Result<(), ReadError> {
        let target = at_least.min(self.in_flight());
        let mut got = 0;
        let mut stalls = 0;
        if target == 0 {
            self.poll_kernel()?;
        }
        loop {
            self.reap();
            self.fill();
            got += self.intake.hand_out(out);
            let missing = target.saturating_sub(got);
            let unsent = !self.ring.submission().is_empty();
            if missing == 0 && !unsent {
                return Ok(());
            }
            let taken = self.enter(self.intake.wait_for(missing, self.issued))?;
            if missing == 0 {
                return Ok(());
            }
            stalls = if taken { 0 } else { stalls + 1 };
            if stalls > STALLS_MAX {
                return Err(ReadError::Ring { source: io::Error::from_raw_os_error(libc::EAGAIN) });
            }
            if stalls > 0 {
                thread::sleep(Duration::from_millis(1));
            }
        }
    }

    fn withdraw(&mut self, is_wanted: &dyn Fn(&Read) -> bool) {
        self.intake.withdraw(is_wanted);
    }

    fn in_flight(&self) -> usize {
        self.intake.waiting() + self.again.len() + self.issued
    }

    fn recycle(&mut self, buf: ReadBuf) {
        self.intake.recycle(buf);
    }

    fn backend(&self) -> Backend {
        Backend::Uring
    }
}

impl Drop for UringReader {
    fn drop(&mut self) {
        let mut stalls = 0;
        while self.issued > 0 {
            match self.enter(self.issued) {
                Ok(true) => {}
                Ok(false) if stalls < STALLS_MAX => {
                    stalls += 1;
                    thread::sleep(Duration::from_millis(1));
                }
                // The kernel may still write to these buffers: leak them rather than free them.
                _ => {
                    mem::forget(mem::take(&mut self.slots));
                    return;
                }
            }
            self.reap();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_checked() {
        assert!(matches!(UringReader::new(0), Err(ReaderError::Depth { .. })));
        assert!(matches!(UringReader::new(DEPTH_MAX + 1), Err(ReaderError::Depth { .. })));
    }
}
