//! A thread that owns one reader and keeps several queries going, of any index.
use std::collections::VecDeque;
use std::sync::Arc;

use spandrel_io::{Completion, Read, ReadError, ReadFile, Reader};

use crate::ahead::TOGETHER;
use crate::documents::DocumentSlot;
use crate::error::{SearchError, with_cause};
use crate::exact::ExactSlot;
use crate::job::{Running, Started};
use crate::query::{QuerySlot, Tools};
use crate::queue::{Next, Queue};
use crate::reads::slot_of;
use crate::searched::{Held, Searched};
use crate::vectors::FetchSlot;

/// While the reads of one query are out, another probes or scans; with nothing to do the thread sleeps.
pub(crate) struct Worker {
    /// What it has of each index, by the index's number.
    attached: Vec<Option<Attached>>,
    reader: Box<dyn Reader>,
    queue: Arc<Queue>,
    slots: Vec<Slot>,
    /// Slots without work.
    free: Vec<u32>,
    /// Pieces that were taken and are about to start.
    taken: VecDeque<Started>,
    reads: Vec<Read>,
    completions: Vec<Completion>,
    /// Closed indexes that it has let go of.
    let_go: u64,
}

/// An index that this thread has worked on.
struct Attached {
    tools: Tools,
    held: Held,
}

/// A place for a query, or a piece of a fetch or of an exact search.
#[derive(Default)]
struct Slot {
    /// Number of the index that it works on.
    index: usize,
    query: QuerySlot,
    fetch: FetchSlot,
    exact: ExactSlot,
    document: DocumentSlot,
}

impl Worker {
    /// The reader has no files.
    pub(crate) fn new(reader: Box<dyn Reader>, queue: Arc<Queue>, in_flight: u32) -> Worker {
        Worker {
            attached: Vec::new(),
            reader,
            queue,
            slots: (0..in_flight).map(|_| Slot::default()).collect(),
            free: (0..in_flight).rev().collect(),
            taken: VecDeque::new(),
            reads: Vec::new(),
            completions: Vec::new(),
            let_go: 0,
        }
    }

    /// Answers queries until the queue is closed. What was handed in before is answered first.
    ///
    /// # Errors
    /// When the reader breaks down; the queries in flight have then failed.
    pub(crate) fn run(mut self) -> Result<(), ReadError> {
        let served = self.serve();
        if let Err(error) = &served {
            let reason = with_cause(error);
            let error = || SearchError::Broken { reason: reason.clone() };
            self.taken.drain(..).for_each(|started| started.fail(error()));
            for Slot { query, fetch, exact, document, .. } in &mut self.slots {
                query.fail(error);
                fetch.running.take().into_iter().for_each(|running| running.fail(error()));
                exact.running.take().into_iter().for_each(|running| running.fail(error()));
                document.running.take().into_iter().for_each(|running| running.fail(error()));
            }
        }
        served
    }

    fn serve(&mut self) -> Result<(), ReadError> {
        loop {
            let started = match self.next() {
                Next::Piece(started) => {
                    self.start_together(started)?;
                    true
                }
                Next::Nothing => false,
                Next::LetGo => {
                    self.let_go();
                    continue;
                }
                Next::End => return Ok(()),
            };
            // With a free slot, see whether a query can be started before sleeping. Waking for each read
            // measured no dearer than waking for several, and scans lists while they are in the cache.
            let may_start = started && !self.free.is_empty();
            if self.free.len() < self.slots.len() {
                self.take_in(usize::from(!may_start))?;
            }
        }
    }

    /// What to do next. Sleeps for it only when there is nothing else to do.
    fn next(&mut self) -> Next {
        if self.free.is_empty() {
            return Next::Nothing;
        }
        let is_idle = self.free.len() == self.slots.len();
        self.queue.next(is_idle, &mut self.let_go)
    }

    /// Starts a piece, and those that wait after it, as far as they are no other thread's: queries of one index have their heads scored
    /// together.
    fn start_together(&mut self, first: Started) -> Result<(), ReadError> {
        let index = first.searched().number;
        self.taken.push_back(first);
        while self.taken.len() < self.free.len().min(TOGETHER) {
            let Some(another) = self.queue.another(self.taken.len()) else { break };
            self.taken.push_back(another);
        }
        let are_scored = self.score_ahead(index);
        let (mut numbers, mut is_first) = (0.., true);
        while let Some(mut started) = self.taken.pop_front() {
            if !std::mem::take(&mut is_first) {
                started.begin();
            }
            let is_scored = are_scored && started.query_of(index).is_some();
            let number = if is_scored { numbers.next() } else { None };
            self.start(started, number)?;
        }
        Ok(())
    }

    /// Scores heads for the queries of an index among what is about to start, which it is the first of, if there are several: whether that
    /// was done.
    fn score_ahead(&mut self, index: usize) -> bool {
        let Worker { attached, reader, taken, .. } = self;
        let queries = || taken.iter().filter_map(|started| started.query_of(index));
        if queries().count() < 2 {
            return false;
        }
        let tools = attach(attached, &mut **reader, taken[0].searched());
        tools.prober.ahead.score(&tools.index, queries().map(Running::row))
    }

    /// Starts a piece; `number` is that among the queries whose heads were scored.
    fn start(&mut self, started: Started, number: Option<usize>) -> Result<(), ReadError> {
        let Some(slot) = self.free.pop() else { unreachable!("work is asked for where a slot is free") };
        let index = started.searched().number;
        let tools = attach(&mut self.attached, &mut *self.reader, started.searched());
        let place = &mut self.slots[slot as usize];
        place.index = index;
        match started {
            Started::Query(running) => {
                tools.prober.ahead.set_started(number);
                place.query.start(running, tools, slot, &mut self.reads);
                tools.prober.ahead.set_started(None);
            }
            Started::Fetch(running) => place.fetch.start(running, tools, slot, &mut self.reads),
            Started::Exact(running) => place.exact.start(running, tools, slot, &mut self.reads),
            Started::Document(running) => place.document.start(running, tools, slot, &mut self.reads),
        }
        self.submit()?;
        self.free_if_done(slot);
        Ok(())
    }

    /// Takes in what has been read, sleeping until there are at least that many.
    fn take_in(&mut self, at_least: usize) -> Result<(), ReadError> {
        let mut completions = std::mem::take(&mut self.completions);
        let read = self.reader.complete(at_least, &mut completions);
        for Completion { tag, result } in completions.drain(..) {
            let slot = slot_of(tag);
            let Slot { index, query, fetch, exact, document } = &mut self.slots[slot as usize];
            let tools = tools_of(&mut self.attached, *index);
            let ended = if fetch.running.is_some() {
                fetch.arrive(tag, &result, tools, &mut self.reads)
            } else if exact.running.is_some() {
                exact.arrive(&result, tools);
                false
            } else if document.running.is_some() {
                document.arrive(tag, &result, tools, &mut self.reads)
            } else {
                query.arrive(tag, &result, tools, &mut self.reads)
            };
            if ended {
                self.reader.withdraw(&|read| slot_of(read.tag) != slot);
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
        let Slot { index, query, fetch, exact, document } = &mut self.slots[slot as usize];
        let tools = tools_of(&mut self.attached, *index);
        let is_done = query.finish_if_done(tools) || document.finish_if_done();
        if is_done || fetch.finish_if_done() || exact.finish_if_done() {
            self.free.push(slot);
        }
    }

    /// Lets go of the indexes that are closing: no query works on them any more.
    fn let_go(&mut self) {
        for place in &mut self.attached {
            if let Some(Attached { tools, .. }) =
                place.take_if(|attached| attached.held.searched().is_closing())
            {
                tools.files.into_iter().flatten().for_each(|file| self.reader.remove_file(file));
            }
        }
    }
}

/// The tools for an index, which are made when its first query comes.
fn attach<'a>(
    attached: &'a mut Vec<Option<Attached>>,
    reader: &mut dyn Reader,
    searched: &Arc<Searched>,
) -> &'a mut Tools {
    if attached.len() <= searched.number {
        attached.resize_with(searched.number + 1, || None);
    }
    let place = &mut attached[searched.number];
    let attached = place.get_or_insert_with(|| {
        let held = searched.hold_for_thread();
        let mut add = |file: &Option<Arc<ReadFile>>| Some(reader.add_file(Arc::clone(file.as_ref()?)));
        let files = searched.files.iter().map(&mut add).collect();
        Attached { tools: Tools::new(searched, files), held }
    });
    &mut attached.tools
}

fn tools_of(attached: &mut [Option<Attached>], index: usize) -> &mut Tools {
    match attached.get_mut(index) {
        Some(Some(attached)) => &mut attached.tools,
        _ => unreachable!("queries work on an index that is attached"),
    }
}
