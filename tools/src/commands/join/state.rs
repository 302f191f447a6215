//! How far a join is: a folder beside its output.
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use spandrel_engine::JoinParams;
use spandrel_io::FolderLock;

use super::answers::{Answers, Cut, FileState};
use crate::{Advised, write_file};

/// Version of the folder's content.
const VERSION: u32 = 3;
/// Files of answers at most: each has a buffer.
const FILES_MAX: u64 = 256;

/// What a join was begun with, and how far it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    version: u32,
    /// Of the index.
    uuid: String,
    /// Hash of given queries; 0 of an index that is joined with itself.
    queries: String,
    pub(super) rows: u64,
    groups: u64,
    pub(super) k: usize,
    radius: Option<f32>,
    recall: f64,
    /// Rows of each file of answers.
    pub(super) file_rows: u64,
    /// Groups whose answers are in the files.
    pub(super) done: u64,
    /// What each file of answers holds.
    pub(super) files: Vec<FileState>,
}

/// What a join is of.
pub(super) struct JoinOf {
    /// Of the index.
    pub(super) uuid: u128,
    pub(super) queries_hash: u64,
    pub(super) rows: u64,
    pub(super) groups: u64,
}

impl State {
    /// `order_bytes` is the memory that answers may take while they are put in order.
    pub(super) fn new(of: JoinOf, params: &JoinParams, order_bytes: u64) -> State {
        let JoinOf { uuid, queries_hash, rows, groups } = of;
        let record = Answers::record_bytes(params.k) as u64; // CAST: widening
        let in_memory = (order_bytes / record).max(1);
        let file_rows = in_memory.max(rows.div_ceil(FILES_MAX)).min(rows.max(1));
        State {
            version: VERSION,
            uuid: format!("{uuid:032x}"),
            queries: format!("{queries_hash:016x}"),
            rows,
            groups,
            k: params.k,
            radius: params.radius,
            recall: params.recall,
            file_rows,
            done: 0,
            files: vec![FileState::default(); rows.div_ceil(file_rows) as usize], // CAST: at most FILES_MAX
        }
    }

    fn cut(&self) -> Cut<'_> {
        Cut { files: &self.files, file_rows: self.file_rows, k: self.k }
    }

    /// What differs from the join that was begun, if anything does. How its files are cut may: it goes on with those that are there.
    fn unlike(&self, begun: &State) -> Option<&'static str> {
        match () {
            () if self.version != begun.version => Some("release"),
            () if self.uuid != begun.uuid => Some("index"),
            () if (&self.queries, self.rows) != (&begun.queries, begun.rows) => Some("queries"),
            () if self.groups != begun.groups => Some("index"),
            () if self.k != begun.k => Some("--k"),
            () if self.radius != begun.radius => Some("--radius"),
            () if self.recall != begun.recall => Some("--recall"),
            () => None,
        }
    }

    /// What cannot be in a state that was written for this join, if anything is: a file of another length than its rows, groups that it does not have.
    /// `queries_before` says how many rows the groups before one have.
    fn odd(&self, queries_before: &dyn Fn(usize) -> u64) -> Option<String> {
        let record = Answers::record_bytes(self.k) as u64; // CAST: widening, here and below
        if self.done > self.groups {
            return Some(format!("{} groups are done, of {}", self.done, self.groups));
        }
        if self.file_rows == 0 {
            return Some("files of 0 rows".to_owned());
        }
        let files = self.rows.div_ceil(self.file_rows);
        if files > FILES_MAX || self.files.len() as u64 != files {
            return Some(format!(
                "{} files, for {} rows of {} each",
                self.files.len(),
                self.rows,
                self.file_rows
            ));
        }
        if let Some(of) = self.files.iter().find(|of| of.bytes % record != 0) {
            return Some(format!("a file of {} bytes, with records of {record}", of.bytes));
        }
        let answered: u64 = self.files.iter().map(|of| of.bytes / record).fold(0, u64::saturating_add);
        let expected = queries_before(self.done as usize); // CAST: at most the groups in memory
        (answered != expected)
            .then(|| format!("answers to {answered} rows, of {} groups with {expected}", self.done))
    }
}

pub(super) struct StateFolder {
    dir: PathBuf,
    /// Once it is open.
    lock: Option<FolderLock>,
}

impl StateFolder {
    pub(super) fn of(out: &Path) -> StateFolder {
        let mut name = out.as_os_str().to_owned();
        name.push(".join");
        StateFolder { dir: name.into(), lock: None }
    }

    fn file(&self) -> PathBuf {
        self.dir.join("state.json")
    }

    /// Refuses to begin anew over a join that can go on, before anything else is done. Whether there is one.
    pub(super) fn check(&self, resume: bool) -> anyhow::Result<bool> {
        let is_begun = self.file().exists();
        if is_begun && !resume {
            let message = format!("{}: a join was begun here and not finished", self.dir.display());
            let help = "go on with --resume, or remove that folder to begin anew";
            return Err(Advised::new(message, help).into());
        }
        Ok(is_begun)
    }

    /// Begins a join, or goes on with the one that is there. `queries_before` says how many rows the groups before one have.
    pub(super) fn open(
        &mut self,
        fresh: State,
        resume: bool,
        queries_before: &dyn Fn(usize) -> u64,
    ) -> anyhow::Result<(State, Answers)> {
        fs_err::create_dir_all(&self.dir)?;
        self.lock = Some(FolderLock::acquire(&self.dir)?);
        let begun = self.file().exists() && resume;
        if !begun {
            let mut answers = Answers::open(&self.dir, fresh.cut())?;
            self.checkpoint_of(&fresh, &mut answers)?;
            return Ok((fresh, answers));
        }
        let path = self.file();
        let bytes = fs_err::read(&path)?;
        let read = serde_json::from_slice::<State>(&bytes);
        let state = read.with_context(|| format!("{}: not the state of a join", path.display()))?;
        if let Some(what) = fresh.unlike(&state) {
            let message = format!("{}: a join of another {what} was begun here", self.dir.display());
            let help = "give what it was begun with, or remove that folder to begin anew";
            return Err(Advised::new(message, help).into());
        }
        if let Some(what) = state.odd(queries_before) {
            let message = format!("{}: not the state of this join: {what}", path.display());
            return Err(Advised::new(message, "remove that folder to begin anew").into());
        }
        let answers = Answers::open(&self.dir, state.cut())?;
        Ok((state, answers))
    }

    /// Makes durable what was done.
    pub(super) fn checkpoint(&self, state: &mut State, answers: &mut Answers) -> anyhow::Result<()> {
        state.files = answers.sync()?;
        self.checkpoint_of(state, answers)
    }

    fn checkpoint_of(&self, state: &State, answers: &mut Answers) -> anyhow::Result<()> {
        answers.sync()?;
        Ok(write_file(&self.file(), &serde_json::to_vec_pretty(state)?)?)
    }

    /// Removes the folder, once the output is there.
    pub(super) fn remove(&self) -> anyhow::Result<()> {
        Ok(fs_err::remove_dir_all(&self.dir)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> JoinParams {
        JoinParams { k: 2, radius: None, recall: 0.95, threads: 1, memory_bytes: 1 << 20 }
    }

    fn of(uuid: u128, queries_hash: u64) -> JoinOf {
        JoinOf { uuid, queries_hash, rows: 10, groups: 3 }
    }

    #[test]
    fn answers_are_cut_so_that_a_part_fits_in_memory() {
        let state =
            |rows, order_bytes| State::new(JoinOf { rows, groups: 1, ..of(7, 0) }, &params(), order_bytes);
        assert_eq!((state(10, 1 << 18).file_rows, state(10, 1 << 18).files.len()), (10, 1));
        // 32 bytes a row.
        let cut = state(100_000, 1 << 18);
        assert_eq!((cut.file_rows, cut.files.len()), (8192, 13));
        assert!(state(100_000_000, 1 << 18).files.len() <= FILES_MAX as usize);
    }

    #[test]
    fn another_join_is_not_gone_on_with() {
        let begun = State::new(of(7, 5), &params(), 1 << 20);
        let other =
            |k, recall, radius| State::new(of(7, 5), &JoinParams { k, recall, radius, ..params() }, 1 << 20);
        assert_eq!(other(2, 0.95, None).unlike(&begun), None);
        assert_eq!(other(3, 0.95, None).unlike(&begun), Some("--k"));
        assert_eq!(other(2, 0.9, None).unlike(&begun), Some("--recall"));
        assert_eq!(other(2, 0.95, Some(1.0)).unlike(&begun), Some("--radius"));
        assert_eq!(State::new(of(8, 5), &params(), 1 << 20).unlike(&begun), Some("index"));
        assert_eq!(State::new(of(7, 6), &params(), 1 << 20).unlike(&begun), Some("queries"));
        let more = JoinParams { memory_bytes: 1 << 30, threads: 9, ..params() };
        assert_eq!(State::new(of(7, 5), &more, 1 << 30).unlike(&begun), None);
    }

    #[test]
    fn a_state_that_cannot_be_is_refused() {
        let good = State { done: 1, ..State::new(of(7, 5), &params(), 4 * 32) };
        assert_eq!((good.file_rows, good.files.len()), (4, 3));
        let of = |bytes| FileState { bytes, hash: 0 };
        let good = State { files: vec![of(64), of(32), of(0)], ..good };
        let odd = |state: &State| state.odd(&|group| [0, 3, 6, 10][group]).unwrap_or_default();
        assert_eq!(odd(&good), "");
        assert_eq!(odd(&State { file_rows: 0, ..good.clone() }), "files of 0 rows");
        assert_eq!(odd(&State { file_rows: 1, ..good.clone() }), "3 files, for 10 rows of 1 each");
        assert_eq!(odd(&State { done: 9999, ..good.clone() }), "9999 groups are done, of 3");
        assert_eq!(odd(&State { done: 2, ..good.clone() }), "answers to 3 rows, of 2 groups with 6");
        let short = vec![of(64), of(31), of(0)];
        assert_eq!(odd(&State { files: short, ..good }), "a file of 31 bytes, with records of 32");
    }
}
