//! A thread that owns one reader and keeps several queries going.
use std::sync::Arc;

use spandrel_io::{Completion, Read, ReadError, Reader};

use crate::error::{SearchError, with_cause};
use crate::job::Started;
use crate::query::{QuerySlot, Tools};
use crate::queue::Queue;
use crate::reads::slot_of;
use crate::vectors::FetchSlot;

/// While the reads of one query are out, another probes or scans; with nothing to do the thread sleeps.
pub(crate) struct Worker {
    tools: Tools,
    reader: Box<dyn Reader>,
    queue: Arc<Queue>,
    slots: Vec<Slot>,
    /// Slots without work.
    free: Vec<u32>,
    reads: Vec<Read>,
    completions: Vec<Completion>,
}

/// A place for a query or a piece of a fetch.
#[derive(Default)]
struct Slot {
    query: QuerySlot,
    fetch: FetchSlot,
}

impl Worker {
    /// The reader has the files of lists and vectors in their slots.
    pub(crate) fn new(tools: Tools, reader: Box<dyn Reader>, queue: Arc<Queue>, in_flight: u32) -> Worker {
        Worker {
            tools,
            reader,
            queue,
            slots: (0..in_flight).map(|_| Slot::default()).collect(),
            free: (0..in_flight).rev().collect(),
            reads: Vec::new(),
            completions: Vec::new(),
        }
    }

    /// Answers queries until the engine closes. What was handed in before is answered first.
    ///
    /// # Errors
    /// When the reader breaks down; the queries in flight have then failed.
    pub(crate) fn run(mut self) -> Result<(), ReadError> {
        let served = self.serve();
        if let Err(error) = &served {
            let reason = with_cause(error);
            let error = || SearchError::Broken { reason: reason.clone() };
            for Slot { query, fetch } in &mut self.slots {
                query.fail(error);
                fetch.running.take().into_iter().for_each(|running| running.fail(error()));
            }
        }
        served
    }

    fn serve(&mut self) -> Result<(), ReadError> {
        loop {
            let started = self.start_one()?;
            let busy = self.free.len() < self.slots.len();
            if !started && !busy {
                return Ok(());
            }
            // With a free slot, see whether a query can be started before sleeping. Waking for each read
            // measured no dearer than waking for several, and scans lists while they are in the cache.
            let may_start = started && !self.free.is_empty();
            if busy {
                self.take_in(usize::from(!may_start))?;
            }
        }
    }

    /// Starts one query. Sleeps for it only when there is nothing else to do; `false` if there is none.
    fn start_one(&mut self) -> Result<bool, ReadError> {
        let Some(&slot) = self.free.last() else { return Ok(false) };
        let idle = self.free.len() == self.slots.len();
        let Some(started) = self.queue.next(idle) else { return Ok(false) };
        self.free.pop();
        let Slot { query, fetch } = &mut self.slots[slot as usize];
        match started {
            Started::Query(running) => query.start(running, &mut self.tools, slot, &mut self.reads),
            Started::Fetch(running) => fetch.start(running, &self.tools, slot, &mut self.reads),
        }
        self.submit()?;
        self.free_if_done(slot);
        Ok(true)
    }

    /// Takes in what has been read, sleeping until there are at least that many.
    fn take_in(&mut self, at_least: usize) -> Result<(), ReadError> {
        let mut completions = std::mem::take(&mut self.completions);
        let read = self.reader.complete(at_least, &mut completions);
        for Completion { tag, result } in completions.drain(..) {
            let slot = slot_of(tag);
            let Slot { query, fetch } = &mut self.slots[slot as usize];
            if fetch.running.is_some() {
                fetch.arrive(tag, &result, &self.tools, &mut self.reads);
            } else {
                query.arrive(tag, &result, &mut self.tools, &mut self.reads);
            }
            if let Ok(buf) = result {
                self.reader.recycle(buf);
            }
            self.free_if_done(slot);
        }
        self.completions = completions;
        read?;
        self.submit()
    }

    fn submit(&mut self) -> Result<(), ReadError> {
        if self.reads.is_empty() {
            return Ok(());
        }
        let submitted = self.reader.submit(&self.reads);
        self.reads.clear();
        submitted
    }

    fn free_if_done(&mut self, slot: u32) {
        let Slot { query, fetch } = &mut self.slots[slot as usize];
        if query.finish_if_done(&self.tools) || fetch.finish_if_done() {
            self.free.push(slot);
        }
    }
}
