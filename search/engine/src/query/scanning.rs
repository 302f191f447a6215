//! Lists are scanned: in memory at once, those on SSD as they arrive.
use spandrel_index::Tier;
use spandrel_io::{Merging, ReadBuf, ReadError};

use crate::damage::{DamageReason, DamagedPart};
use crate::error::with_cause;
use crate::fetch::{ListRead, plan};
use crate::filter_plan::FilterPlan;
use crate::kept;
use crate::query::explaining;
use crate::query::probed::ProbedLists;
use crate::query::step::Step;
use crate::scan::{ReadList, Sink};

/// The reads of lists.
#[derive(Debug, Default)]
pub(super) struct Scanning {
    requests: Vec<ListRead>,
}

impl Scanning {
    /// Scans the lists chosen where they are in memory, and asks for them where they are not.
    pub(super) fn begin(&mut self, probed: &mut ProbedLists, step: &mut Step<'_>) {
        self.clear();
        if step.filter_plan() == Some(FilterPlan::Codes) {
            let (running, query) = (step.running, step.query);
            let (scan, sink) = step.scan();
            step.progress.end = scan.scan_matches(&query, sink, &mut || running.job.end());
        } else if step.query.index.codes_tier() == Tier::Memory {
            scan_resident(probed, step);
            if step.progress.end.is_none() && probed.widen(step) {
                scan_resident(probed, step);
            }
        }
        step.progress.clock.lap(|times| &mut times.scan_us);
        self.ask(probed, step);
    }

    /// Asks for the lists that were chosen.
    fn ask(&mut self, probed: &ProbedLists, step: &mut Step<'_>) {
        let first = self.requests.len();
        let merging = step.query.index.merging();
        let merging = Merging { gap_bytes: step.scan.gap_bytes(merging), ..merging };
        plan(&probed.places, merging, |read| self.requests.push(read));
        self.submit(first, step);
    }

    fn submit(&self, first: usize, step: &mut Step<'_>) {
        let extents = self.requests[first..].iter().map(|read| read.extent);
        step.progress.ask(first, extents, &mut step.out);
    }

    /// With nothing under way: asks for more lists in place of unreadable ones, where the others hold fewer than `k` vectors, or where few near
    /// the query match.
    pub(super) fn replace(&mut self, probed: &mut ProbedLists, step: &mut Step<'_>) {
        if probed.is_short(step) {
            probed.choose(step);
            self.ask(probed, step);
        } else if probed.widen(step) {
            self.ask(probed, step);
        }
    }

    /// Takes in one read; what could not be merged into one is asked for again, list by list.
    pub(super) fn arrive(
        &mut self,
        number: usize,
        result: &Result<ReadBuf, ReadError>,
        probed: &mut ProbedLists,
        step: &mut Step<'_>,
    ) {
        let read = self.requests[number];
        match result {
            Ok(bytes) => scan_read(read, bytes, probed, step),
            // One bad sector should cost one list.
            Err(_) if read.end - read.first > 1 => {
                let first = self.requests.len();
                let singles = (read.first..read.end).map(|at| ListRead::single(&probed.places, at));
                self.requests.extend(singles);
                self.submit(first, step);
            }
            Err(error) => {
                for at in read.first..read.end {
                    probed.leave_out(at, DamageReason::Read(with_cause(error)), step);
                }
            }
        }
    }

    pub(super) fn clear(&mut self) {
        kept::clear(&mut self.requests);
    }
}

/// Scans the lists chosen last, which are in memory.
fn scan_resident(probed: &mut ProbedLists, step: &mut Step<'_>) {
    let (running, query) = (step.running, step.query);
    let (shared, near) = probed.places.split_at(probed.shared);
    let mut end = None;
    if !shared.is_empty() {
        let (scan, sink) = step.scan();
        let sink = Sink { stop: None, is_beside: true, ..sink };
        end = scan.scan_resident(&query, shared, sink, &mut || running.job.end());
    }
    if end.is_none() {
        let (scan, sink) = step.scan();
        end = scan.scan_resident(&query, near, sink, &mut || running.job.end());
    }
    step.progress.end = end;
    explaining::enough(&probed.places, step);
    probed.end_turn(step);
}

/// Scans the lists of a read, each checked before.
fn scan_read(read: ListRead, bytes: &[u8], probed: &mut ProbedLists, step: &mut Step<'_>) {
    for at in read.first..read.end {
        let place = probed.places[at];
        let from = (place.offset - read.extent.offset) as usize; // CAST: usize is 64 bits
        let bytes = &bytes[from..from + place.bytes as usize]; // CAST: usize is 64 bits
        let (running, query) = (step.running, step.query);
        let (scan, sink) = step.scan();
        match scan.scan_read(&query, ReadList { place: &place, bytes }, sink, &mut || running.job.end()) {
            Ok(Some(end)) => {
                step.progress.end = Some(end);
                return;
            }
            Ok(None) => step.damage.whole(place.segment, DamagedPart::List(place.list)),
            Err(reason) => probed.leave_out(at, reason, step),
        }
    }
}
