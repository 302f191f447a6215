//! One query on its way through a worker: probe, prune, fetch, scan, top k.
use std::sync::Arc;
use std::time::Instant;

use spandrel_index::heads::{HeadIndexKind, HeadQuery, Scratch};
use spandrel_index::{Index, Metric, inverse_norm};
use spandrel_io::{Read, ReadBuf, ReadError};

use crate::damage::DamageLog;
use crate::fetch::{ListPlace, ListRead, plan};
use crate::job::Job;
use crate::scan::{Prepared, Scanner};
use crate::top::TopK;
use crate::{Answer, DamageReason, Neighbour, ResolvedParams, Work};

/// What a worker shares among its queries.
pub(crate) struct Tools {
    pub(crate) index: Arc<Index>,
    pub(crate) scanner: Scanner,
    pub(crate) scratch: Scratch,
    /// Nearest heads of the query being started.
    pub(crate) nearest: Vec<(f32, u32)>,
    pub(crate) damage: Arc<DamageLog>,
}

/// A place for a query in flight. Its buffers are used again by the queries that follow.
#[derive(Default)]
pub(crate) struct QuerySlot {
    /// The query, while there is one.
    pub(crate) running: Option<Running>,
    /// Its row in head space.
    head_row: Vec<u8>,
    inverse_norm: f32,
    /// Lists chosen, in file order.
    places: Vec<ListPlace>,
    reads: Vec<ListRead>,
    /// Reads not yet back.
    pub(crate) reads_left: usize,
    top: TopK,
    work: Work,
    damaged: u32,
}

/// Which query it is.
pub(crate) struct Running {
    pub(crate) job: Arc<Job>,
    pub(crate) number: usize,
    pub(crate) started: Instant,
}

impl QuerySlot {
    /// Probes and prunes, and appends the reads that the query needs, tagged `tag` and their number.
    pub(crate) fn start(&mut self, running: Running, tools: &mut Tools, tag: u32, out: &mut Vec<Read>) {
        let index = &*tools.index;
        let params = running.job.params;
        let row = running.job.row(running.number);
        self.work = Work::default();
        self.damaged = 0;
        self.top.reset(params.k());
        self.inverse_norm =
            if index.metric() == Metric::Cosine { inverse_norm(index.dtype(), row) } else { 0.0 };
        self.head_row.clear();
        index.space().map_query(index.dtype(), row, &mut self.head_row);

        let query = HeadQuery {
            row: &self.head_row,
            k: params.max_lists() as usize,
            ef: probe_width(index.head_index().kind(), params.max_lists()),
        };
        self.work.head_distances =
            index.head_index().search(index.heads(), &query, &mut tools.scratch, &mut tools.nearest);
        let chosen = prune(&tools.nearest, &params);

        self.places.clear();
        let (directory, layout) = (index.directory(), index.list_layout());
        self.places.extend(chosen.iter().map(|&(_, list)| ListPlace::of(list, directory, &layout)));
        // Lists lie in the order of their numbers.
        self.places.sort_unstable_by_key(|place| place.list);
        self.work.lists = self.places.len() as u32; // CAST: at most `max_lists`
        self.places.retain(|place| place.bytes > 0);
        self.reads.clear();
        plan(&self.places, &mut self.reads);
        self.request(0, tag, out);
        self.running = Some(running);
    }

    /// Appends the reads from number `first` on, as one round.
    fn request(&mut self, first: usize, tag: u32, out: &mut Vec<Read>) {
        for (number, read) in self.reads.iter().enumerate().skip(first) {
            // A list too long for one read is refused by the reader, and counts as damaged.
            let bytes = u32::try_from(read.bytes).unwrap_or(u32::MAX);
            out.push(Read { file: 0, offset: read.offset, bytes, tag: tag_of(tag, number) });
            self.work.pages += u32::try_from(read.pages()).unwrap_or(u32::MAX);
            self.work.read_bytes += read.bytes;
        }
        let count = self.reads.len() - first;
        self.reads_left += count;
        self.work.reads += count as u32; // CAST: at most one per list
        self.work.rounds += u32::from(count > 0);
    }

    /// Takes in one read; what could not be merged into one is asked for again, list by list.
    pub(crate) fn arrive(
        &mut self,
        tag: u64,
        result: &Result<ReadBuf, ReadError>,
        tools: &mut Tools,
        out: &mut Vec<Read>,
    ) {
        let Some(running) = &self.running else { unreachable!("a query waits for all of its reads") };
        let read = self.reads[number_of(tag)];
        self.reads_left -= 1;
        let places = &self.places[read.first..read.end];
        match result {
            Ok(bytes) => {
                let query =
                    Prepared { row: running.job.row(running.number), inverse_norm: self.inverse_norm };
                for place in places {
                    let from = (place.offset - read.offset) as usize; // CAST: inside a read
                    let bytes = &bytes[from..from + place.bytes as usize]; // CAST: inside a read
                    match tools.scanner.check(place, bytes) {
                        Ok(()) => {
                            tools.scanner.scan(place.count, bytes, query, &mut self.top);
                            self.work.vectors_scanned += place.count as u64;
                        }
                        Err(reason) => {
                            self.damaged += 1;
                            tools.damage.add(place.list, place.offset, place.bytes, reason);
                        }
                    }
                }
            }
            Err(_) if places.len() > 1 => {
                // One bad sector should cost one list.
                let first = self.reads.len();
                self.reads.extend((read.first..read.end).map(|at| ListRead::single(&self.places, at)));
                self.request(first, slot_of(tag), out);
            }
            Err(error) => {
                for place in places {
                    self.damaged += 1;
                    let reason = DamageReason::Read(with_cause(error));
                    tools.damage.add(place.list, place.offset, place.bytes, reason);
                }
            }
        }
    }

    /// When nothing is awaited any more: hands in the answer. Says whether that freed the slot.
    pub(crate) fn finish_if_done(&mut self, metric: Metric) -> bool {
        if self.reads_left > 0 {
            return false;
        }
        let Some(running) = self.running.take() else { return false };
        let keys = self.top.finish();
        let neighbours =
            keys.iter().map(|key| Neighbour { id: key.id, distance: key.distance(metric) }).collect();
        let latency_us = running.started.elapsed().as_nanos() as f32 / 1000.0; // CAST: rounds
        let answer = Answer { neighbours, work: self.work, latency_us, damaged: self.damaged };
        running.job.finish(running.number, answer);
        true
    }
}

/// Heads followed in a graph beyond those wanted.
///
/// On 1 000 000 SIFT vectors with 125 000 heads, 48 more lose 0.0015 of recall at 40 lists and 0.0006 at 96
/// against an exact search among the heads; 10 more lose 0.005 at 40 and save a sixth of the processor time.
const EXTRA_HEADS: usize = 48;

/// How many heads have their links followed to find this many.
fn probe_width(kind: HeadIndexKind, heads: u32) -> usize {
    match kind {
        HeadIndexKind::Flat => heads as usize,
        HeadIndexKind::Graph => heads as usize + EXTRA_HEADS,
    }
}

/// The heads whose lists are read, of the nearest in ascending order.
fn prune<'a>(nearest: &'a [(f32, u32)], params: &ResolvedParams) -> &'a [(f32, u32)] {
    let Some(&(first, _)) = nearest.first() else { return nearest };
    let bound = params.head_bound(first);
    let kept = nearest.partition_point(|&(distance, _)| distance <= bound);
    // The nearest list is read even where a distance is no number.
    &nearest[..kept.max(1)]
}

/// An error and what caused it, on one line.
fn with_cause(error: &ReadError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn tag_of(slot: u32, number: usize) -> u64 {
    u64::from(slot) << 32 | number as u64
}

/// The slot that a tag belongs to.
pub(crate) fn slot_of(tag: u64) -> u32 {
    (tag >> 32) as u32 // CAST: the upper half
}

fn number_of(tag: u64) -> usize {
    (tag & u64::from(u32::MAX)) as usize // CAST: the lower half
}
