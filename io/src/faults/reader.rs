//! A reader that fails by schedule.
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::{Fault, Schedule};
use crate::read::{Intake, Transfer};
use crate::{Backend, Completion, Fallback, Read, ReadBuf, ReadError, ReadFile, Reader};

/// Carries reads over another reader as a backend does over the kernel, and lets its answers go wrong.
///
/// Short answers and interruptions go through the same code that mends them in the real backends, so they
/// must not show above; errors, flipped bytes and odd orders do. The depth is that of the reader beneath.
pub struct FaultyReader<R> {
    inner: R,
    schedule: Schedule,
    intake: Intake,
    /// Requests the reader beneath has, by the tag they carry there.
    issued: BTreeMap<u64, (Transfer, Fault)>,
    held: Vec<Held>,
    next_tag: u64,
    answers: Vec<Completion>,
}

struct Held {
    transfer: Transfer,
    result: Result<(), ReadError>,
    /// Completions to hand out before.
    others: usize,
}

impl<R: Reader> FaultyReader<R> {
    /// Wraps a reader that has no files yet.
    pub fn new(inner: R, schedule: Schedule) -> FaultyReader<R> {
        FaultyReader {
            inner,
            schedule,
            intake: Intake::default(),
            issued: BTreeMap::new(),
            held: Vec::new(),
            next_tag: 0,
            answers: Vec::new(),
        }
    }

    /// Sends the next request of a transfer, or lets it fail here.
    fn issue(&mut self, mut transfer: Transfer) -> Result<(), ReadError> {
        loop {
            let fault = self.schedule.next();
            let errno = match fault {
                Fault::Error(errno) => errno,
                Fault::Interrupted => libc::EINTR,
                _ => return self.send(transfer, fault),
            };
            let file = self.intake.file(transfer.read().file);
            let end = transfer.advance(file, Err(io::Error::from_raw_os_error(errno)));
            if let Some(result) = end {
                self.intake.deliver(transfer, result);
                return Ok(());
            }
        }
    }

    fn send(&mut self, mut transfer: Transfer, fault: Fault) -> Result<(), ReadError> {
        let tag = self.next_tag;
        self.next_tag += 1;
        let file = transfer.read().file;
        let offset = transfer.offset();
        // CAST: at most READ_BYTES_MAX.
        let bytes = transfer.target().len() as u32;
        self.issued.insert(tag, (transfer, fault));
        self.inner.submit(&[Read { file, offset, bytes, tag }])
    }

    /// Takes in what the reader beneath says.
    fn answer(&mut self, completion: Completion) -> Result<(), ReadError> {
        let Some((mut transfer, fault)) = self.issued.remove(&completion.tag) else { return Ok(()) };
        let buf = match completion.result {
            Ok(buf) => buf,
            Err(error) => {
                self.end(transfer, Err(error), fault);
                return Ok(());
            }
        };
        let mut bytes = buf.len();
        if let Fault::Short(most) = fault {
            bytes = bytes.min(most.max(1) as usize);
        }
        let target = transfer.target();
        for (to, from) in target.iter_mut().zip(buf.iter()).take(bytes) {
            *to = *from;
        }
        if let Fault::Flip(at) = fault
            && let Some(byte) = target.get_mut(at as usize % bytes.max(1))
        {
            *byte ^= 1;
        }
        self.inner.recycle(buf);
        let file = self.intake.file(transfer.read().file);
        match transfer.advance(file, Ok(bytes)) {
            Some(result) => self.end(transfer, result, fault),
            None => self.issue(transfer)?,
        }
        Ok(())
    }

    fn end(&mut self, transfer: Transfer, result: Result<(), ReadError>, fault: Fault) {
        match fault {
            Fault::Hold(others) => self.held.push(Held { transfer, result, others: others as usize }),
            _ => self.intake.deliver(transfer, result),
        }
    }

    /// Lets go of what was held back long enough, now that `count` more have been handed out.
    fn release(&mut self, count: usize) {
        for held in &mut self.held {
            held.others = held.others.saturating_sub(count);
        }
        for held in self.held.extract_if(.., |held| held.others == 0) {
            self.intake.deliver(held.transfer, held.result);
        }
    }
}

impl<R: Reader> Reader for FaultyReader<R> {
    fn add_file(&mut self, file: Arc<ReadFile>) -> u32 {
        let slot = self.inner.add_file(Arc::clone(&file));
        assert_eq!(slot, self.intake.add_file(file), "the reader beneath had files already");
        slot
    }

    fn remove_file(&mut self, slot: u32) {
        self.inner.remove_file(slot);
        self.intake.remove_file(slot);
    }

    fn submit(&mut self, reads: &[Read]) -> Result<(), ReadError> {
        self.intake.accept(reads);
        // Not widened here: the reader beneath does that.
        while let Some(transfer) = self.intake.next_unaligned() {
            self.issue(transfer)?;
        }
        Ok(())
    }

    fn complete(&mut self, at_least: usize, out: &mut Vec<Completion>) -> Result<(), ReadError> {
        let target = at_least.min(self.in_flight());
        let mut got = 0;
        loop {
            let count = self.intake.hand_out(out);
            got += count;
            self.release(count);
            if count > 0 {
                continue;
            }
            let mut answers = std::mem::take(&mut self.answers);
            self.inner.complete(usize::from(got < target), &mut answers)?;
            let quiet = answers.is_empty();
            for completion in answers.drain(..) {
                self.answer(completion)?;
            }
            self.answers = answers;
            if !quiet {
                continue;
            }
            let starved = self.issued.is_empty() && !self.held.is_empty();
            if got >= target && (got > 0 || !starved) {
                return Ok(());
            }
            // Nothing is left beneath: what is held back comes now, the least held first.
            let least = self.held.iter().map(|held| held.others).min().unwrap_or(0);
            self.release(least);
        }
    }

    fn in_flight(&self) -> usize {
        self.intake.waiting() + self.issued.len() + self.held.len()
    }

    fn recycle(&mut self, buf: ReadBuf) {
        self.intake.recycle(buf);
    }

    fn backend(&self) -> Backend {
        self.inner.backend()
    }

    fn fallback(&self) -> Option<&Fallback> {
        self.inner.fallback()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BackendChoice, Direct, open_reader};

    /// One read of 4096 bytes, all 7, per tag.
    fn run(faults: &[Fault], reads: u64) -> Vec<Completion> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        std::fs::write(&path, [7; 8192]).unwrap();
        let inner = open_reader(BackendChoice::Auto, 8).unwrap();
        let mut reader = FaultyReader::new(inner, Schedule::script(faults.iter().copied()));
        let file = reader.add_file(ReadFile::open(&path, Direct::Auto).unwrap());
        let reads: Vec<Read> = (0..reads).map(|tag| Read { file, offset: 512, bytes: 4096, tag }).collect();
        reader.submit(&reads).unwrap();
        let mut out = Vec::new();
        reader.complete(reads.len(), &mut out).unwrap();
        assert_eq!((out.len(), reader.in_flight()), (reads.len(), 0));
        out
    }

    #[test]
    fn short_and_interrupted_reads_are_mended() {
        use Fault::{Interrupted, Short};
        let out = run(&[Interrupted, Short(1), Interrupted, Short(700), Short(0), Short(5000)], 1);
        assert_eq!(out.first().unwrap().result.as_ref().unwrap()[..], [7; 4096]);
    }

    #[test]
    fn errors_and_flipped_bytes_show() {
        let out = run(&[Fault::Error(libc::EIO), Fault::Flip(4099)], 2);
        for completion in out {
            match (completion.tag, completion.result) {
                (0, Err(ReadError::Io { source, .. })) => assert_eq!(source.raw_os_error(), Some(libc::EIO)),
                (1, Ok(buf)) => {
                    let wrong: Vec<usize> = (0..4096).filter(|&at| buf.get(at) != Some(&7)).collect();
                    assert_eq!(wrong, [3]);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn held_reads_come_late_but_come() {
        let tags = |out: Vec<Completion>| out.iter().map(|c| c.tag).collect::<Vec<_>>();
        assert_eq!(
            tags(run(&[Fault::Hold(3)], 8)).iter().position(|&tag| tag == 0).map(|at| at >= 3),
            Some(true)
        );
        assert_eq!(tags(run(&[Fault::Hold(9), Fault::Hold(2)], 2)), [1, 0]);
    }
}
