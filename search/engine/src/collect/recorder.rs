//! What searches of one query may keep, in the order in which it is found, so that they are made again without a scan.
use spandrel_index::Location;

use super::candidates::{Candidates, Keep};
use super::contract::{Collect, Estimated, Found, Undecided};
use crate::subject::Query;
use crate::terms::{End, Terms};

/// What was recorded of one query.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    estimated: Vec<Estimated>,
    /// Number of candidates before each list, nearest list first.
    starts: Vec<u32>,
}

/// Records every candidate that a search of any number of the lists may keep, for at most this number of neighbours and errors. A
/// candidate that the lists up to its own rule out is ruled out by more lists too.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    candidates: Candidates,
    recording: Recording,
}

impl Recording {
    /// Lists recorded.
    pub(crate) fn lists(&self) -> usize {
        self.starts.len()
    }

    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.estimated.capacity() * size_of::<Estimated>() + self.starts.capacity() * size_of::<u32>()
    }

    /// What was found in a list, by its number in the order of distances.
    pub(crate) fn of(&self, list: usize) -> &[Estimated] {
        let of = |list: usize| self.starts.get(list).map_or(self.estimated.len(), |&start| start as usize);
        &self.estimated[of(list)..of(list + 1)]
    }
}

impl Recorder {
    /// Goes on with the recording of a query that leaves out the vectors at some locations, which ascend.
    pub(crate) fn begin(&mut self, keep: Keep, left_out: &[Location], recording: Recording) {
        self.candidates.reset(keep, &Terms::default());
        self.candidates.leave_out(left_out);
        self.recording = recording;
        for list in 0..self.recording.lists() {
            self.recording.of(list).iter().for_each(|found| self.candidates.offer(found.candidate()));
            self.candidates.tighten();
        }
    }

    /// The recording.
    pub(crate) fn take(&mut self) -> Recording {
        std::mem::take(&mut self.recording)
    }
}

impl Collect for Recorder {
    fn limit(&self, error: f32) -> f32 {
        self.candidates.limit(error)
    }

    fn offer(&mut self, estimated: &[Estimated]) {
        for &found in estimated {
            let candidate = found.candidate();
            if self.candidates.may_be_kept(&candidate) {
                self.recording.estimated.push(found);
                self.candidates.offer(candidate);
            }
        }
        self.candidates.tighten();
    }

    fn begin_list(&mut self, _: u32) {
        self.recording.starts.push(self.recording.estimated.len() as u32); // CAST: at most the vectors
    }

    fn exact_limit(&self) -> f32 {
        f32::NEG_INFINITY
    }

    /// Lists of exact vectors are not recorded.
    fn exact(&mut self, _: f32, _: u64) {}

    fn end(&self) -> Option<End> {
        self.candidates.end()
    }

    fn is_undecided(&self) -> bool {
        false
    }

    fn undecided(&mut self, _: &Query<'_>, _: usize) -> Undecided<'_> {
        self.uncompared()
    }

    fn uncompared(&mut self) -> Undecided<'_> {
        Undecided { kept: [].iter_mut(), errors: 0.0, limit: 0.0 }
    }

    fn candidates(&self) -> u32 {
        0
    }

    fn finish(&mut self) -> Found<'_> {
        Found { keys: &[], estimated: &[] }
    }
}
