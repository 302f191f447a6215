//! A thread that owns one reader and keeps several queries going.
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, TryRecvError};
use spandrel_io::{Completion, Read, ReadError, Reader};

use crate::SearchError;
use crate::job::Job;
use crate::query::{QuerySlot, Running, Tools, slot_of};

/// While the reads of one query are out, another probes or scans; with nothing to do the thread sleeps.
pub(crate) struct Worker {
    tools: Tools,
    reader: Box<dyn Reader>,
    jobs: Receiver<Arc<Job>>,
    /// The job that queries are taken from.
    current: Option<Arc<Job>>,
    slots: Vec<QuerySlot>,
    /// Slots without a query.
    free: Vec<u32>,
    reads: Vec<Read>,
    completions: Vec<Completion>,
}

impl Worker {
    /// The reader has the files of lists and vectors in their slots.
    pub(crate) fn new(
        tools: Tools,
        reader: Box<dyn Reader>,
        jobs: Receiver<Arc<Job>>,
        in_flight: u32,
    ) -> Worker {
        Worker {
            tools,
            reader,
            jobs,
            current: None,
            slots: (0..in_flight).map(|_| QuerySlot::default()).collect(),
            free: (0..in_flight).rev().collect(),
            reads: Vec::new(),
            completions: Vec::new(),
        }
    }

    /// Answers queries until the engine closes. What was handed in before is answered first.
    pub(crate) fn run(mut self) {
        if let Err(error) = self.serve() {
            self.give_up(error);
        }
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
        let Some((job, number)) = self.next_query() else { return Ok(false) };
        self.free.pop();
        let running = Running { job, number, started: Instant::now() };
        self.slots[slot as usize].start(running, &mut self.tools, slot, &mut self.reads);
        self.submit()?;
        self.free_if_done(slot);
        Ok(true)
    }

    fn next_query(&mut self) -> Option<(Arc<Job>, usize)> {
        loop {
            if let Some(job) = &self.current {
                if let Some(number) = job.take() {
                    return Some((Arc::clone(job), number));
                }
                self.current = None;
            }
            let idle = self.free.len() == self.slots.len();
            let job = match self.jobs.try_recv() {
                Ok(job) => job,
                Err(TryRecvError::Empty) if idle => self.jobs.recv().ok()?,
                Err(_) => return None,
            };
            self.current = Some(job);
        }
    }

    /// Takes in what has been read, sleeping until there are at least that many.
    fn take_in(&mut self, at_least: usize) -> Result<(), ReadError> {
        let mut completions = std::mem::take(&mut self.completions);
        let read = self.reader.complete(at_least, &mut completions);
        for Completion { tag, result } in completions.drain(..) {
            let slot = slot_of(tag);
            self.slots[slot as usize].arrive(tag, &result, &mut self.tools, &mut self.reads);
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
        if self.slots[slot as usize].finish_if_done(self.tools.index.metric()) {
            self.free.push(slot);
        }
    }

    /// The reader broke down: fails the queries in flight and leaves the others to the other workers.
    fn give_up(&mut self, error: ReadError) {
        let mut error = Some(SearchError::Reader(error));
        for slot in &mut self.slots {
            if let Some(running) = slot.running.take() {
                running.job.fail(error.take().unwrap_or(SearchError::Closed));
            }
        }
    }
}
