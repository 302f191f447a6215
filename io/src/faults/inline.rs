//! A reader without threads or rings.
use std::sync::Arc;

use crate::read::Intake;
use crate::{Backend, Completion, Read, ReadBuf, ReadError, ReadFile, Reader};

/// Carries reads out at once, in the thread that asks, and completes each batch last first: for tests of many small searches,
/// where waking a thread for a read costs more than the search.
#[derive(Debug, Default)]
pub struct InlineReader {
    intake: Intake,
}

impl Reader for InlineReader {
    fn add_file(&mut self, file: Arc<ReadFile>) -> u32 {
        self.intake.add_file(file)
    }

    fn remove_file(&mut self, slot: u32) {
        self.intake.remove_file(slot);
    }

    fn submit(&mut self, reads: &[Read]) -> Result<(), ReadError> {
        self.intake.accept(reads);
        let mut ended = Vec::new();
        while let Some(mut transfer) = self.intake.next_transfer() {
            let result = transfer.run(self.intake.file(transfer.read().file));
            ended.push((transfer, result));
        }
        ended.into_iter().rev().for_each(|(transfer, result)| self.intake.deliver(transfer, result));
        Ok(())
    }

    fn complete(&mut self, _at_least: usize, out: &mut Vec<Completion>) -> Result<(), ReadError> {
        self.intake.hand_out(out);
        Ok(())
    }

    fn in_flight(&self) -> usize {
        self.intake.waiting()
    }

    fn recycle(&mut self, buf: ReadBuf) {
        self.intake.recycle(buf);
    }

    fn backend(&self) -> Backend {
        Backend::Pread
    }
}
