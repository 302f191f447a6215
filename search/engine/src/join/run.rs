//! A join from end to end: groups by all threads, handed out in their order.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use spandrel_index::format::{BODY_AT, ID_PAGE_BYTES, VectorsOf};
use spandrel_index::{Index, VectorSource};

use super::assign::{Assigned, assign};
use super::error::JoinError;
use super::gate::{AHEAD, Gate};
use super::groups::{GroupAt, Queries, groups};
use super::lists::Lists;
use super::memory::JoinMemory;
use super::scan::{ScanWork, Scanner, Spend};
use super::tune::{Tuned, Tuning};
use crate::answer::Neighbour;
use crate::params::ParamsError;
use crate::plan::check_held;

/// What is asked of a join.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JoinParams {
    /// Neighbours of each query, 1 or more.
    pub k: usize,
    /// Neighbours farther than this are left out.
    pub radius: Option<f32>,
    /// Recall wanted, more than 0 and at most 1: 1 compares every query with every vector.
    pub recall: f64,
    /// Threads, 1 or more.
    pub threads: usize,
    /// Memory to keep to, in bytes.
    pub memory_bytes: u64,
}

/// What a join took so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JoinWork {
    /// Pairs of a query and a vector that were compared.
    pub pairs: u64,
    /// Pairs of a query and a head.
    pub head_distances: u64,
    /// Lists that queries looked into, each query counted.
    pub looks: u64,
    /// Reads of a list; a list that is read twice counts twice.
    pub lists_read: u64,
    /// Bytes read.
    pub read_bytes: u64,
}

/// The neighbours of a group of queries.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct JoinGroup {
    /// Row numbers of the queries; ids, where an index is joined with itself.
    pub queries: Vec<u64>,
    /// The neighbours of each, best first, ties by id: `k`, or those there are.
    pub neighbours: Vec<Vec<Neighbour>>,
}

/// Joins queries with an index.
pub struct Join<'a> {
    index: Arc<Index>,
    params: JoinParams,
    /// Score of the radius.
    limit: f32,
    queries: Queries<'a>,
    groups: Vec<GroupAt>,
    lists: Lists,
    memory: JoinMemory,
    work: ScanWork,
    stop: Arc<AtomicBool>,
}

impl<'a> Join<'a> {
    /// What a join of an index with `queries` queries, or with itself, keeps in memory.
    pub fn memory_of(index: &Index, queries: Option<u64>, params: &JoinParams) -> JoinMemory {
        JoinMemory::of(index, queries, params.k, params.threads)
    }

    /// Prepares to join `queries` with an index, or the index with itself. It is stopped by `stop`; `tell` hears how many queries were
    /// assigned to lists.
    ///
    /// # Errors
    /// [`JoinError`], before any query is searched for.
    pub fn new(
        index: &Arc<Index>,
        queries: Option<&'a dyn VectorSource>,
        params: JoinParams,
        stop: &Arc<AtomicBool>,
        tell: &(dyn Fn(u64) + Sync),
    ) -> Result<Join<'a>, JoinError> {
        check(index, queries, &params)?;
        let memory = JoinMemory::of(index, queries.map(VectorSource::len), params.k, params.threads);
        let Some(cache) = params.memory_bytes.checked_sub(memory.least()) else {
            return Err(JoinError::Memory { allowed: params.memory_bytes, needed: memory.least() });
        };
        let lists = Lists::open(index, cache)?;
        let queries = match queries {
            None => Queries::Own,
            Some(rows) => Queries::Given { rows, order: assign(index, rows, params.threads, stop, tell)? },
        };
        let radius = params.radius.map(|radius| index.metric().score_of_distance(radius));
        let mut work = ScanWork::default();
        if let Queries::Given { order: Assigned { head_distances, .. }, .. } = &queries {
            work.head_distances = *head_distances;
        }
        Ok(Join {
            groups: groups(index, &queries, params.k),
            index: Arc::clone(index),
            params,
            limit: radius.unwrap_or(f32::INFINITY),
            queries,
            lists,
            memory,
            work,
            stop: Arc::clone(stop),
        })
    }

    /// What it keeps in memory.
    pub fn memory(&self) -> JoinMemory {
        self.memory
    }

    /// Groups of queries.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// Hash of given queries; 0 where an index is joined with itself.
    pub fn queries_hash(&self) -> u64 {
        match &self.queries {
            Queries::Own => 0,
            Queries::Given { order, .. } => order.hash,
        }
    }

    /// Queries in the groups before group `group`.
    pub fn queries_before(&self, group: usize) -> u64 {
        self.groups[..group].iter().map(|group| group.members.end - group.members.start).sum()
    }

    /// All ids of the index, ascending.
    ///
    /// # Errors
    /// [`JoinError::Read`] and [`JoinError::Damaged`].
    pub fn ids(&self) -> Result<Vec<u64>, JoinError> {
        let mut all = Vec::new();
        for segment in self.index.segments() {
            let (layout, path) = (segment.ids.layout, &segment.ids.path);
            let mut page = vec![0; ID_PAGE_BYTES];
            for number in 0..layout.pages(segment.count) {
                segment.ids.blob.read_into(BODY_AT + number * ID_PAGE_BYTES as u64, &mut page)?;
                let pairs = layout.read_page(number, &page, layout.pairs_on(number, segment.count));
                let pairs = pairs.map_err(|(found, expected)| JoinError::Damaged {
                    path: path.clone(),
                    page: number,
                    found,
                    expected,
                })?;
                all.extend(pairs.into_iter().map(|(id, _)| id));
            }
        }
        all.sort_unstable();
        Ok(all)
    }

    /// Finds by a sample of the queries what the recall takes.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn tune(&mut self) -> Result<Tuned, JoinError> {
        let tuning = Tuning {
            index: &self.index,
            lists: &self.lists,
            queries: &self.queries,
            k: self.params.k,
            limit: self.limit,
            threads: self.params.threads,
            stop: &self.stop,
        };
        let (tuned, work) = tuning.tune(&self.groups, self.params.recall)?;
        self.work.add(work);
        Ok(tuned)
    }

    /// Drops the vectors that are kept ready, once all groups are joined.
    pub fn forget(&mut self) {
        self.lists.forget();
    }

    /// Joins the groups from number `first` on, and hands them to `take` in their order, each with its number; `take` says whether to go
    /// on. What it took.
    ///
    /// # Errors
    /// [`JoinError`]; [`JoinError::Stopped`] where it was told to stop, after the groups that were handed out.
    pub fn run(
        &mut self,
        tuned: Tuned,
        first: usize,
        take: &mut dyn FnMut(usize, JoinGroup) -> bool,
    ) -> Result<JoinWork, JoinError> {
        let threads = self.params.threads;
        let gate = Gate::new(first, threads * AHEAD, &self.stop);
        let (sender, receiver) = bounded(threads * AHEAD);
        let this = &*self;
        let ended = thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|_| {
                    let sender = sender.clone();
                    let gate = &gate;
                    scope.spawn(move || this.work(tuned.spend, gate, &sender))
                })
                .collect();
            drop(sender);
            let handed = hand_out(&receiver, &gate, take);
            gate.close();
            drop(receiver);
            let mut work = ScanWork::default();
            for worker in workers {
                work.add(worker.join().map_err(|_| JoinError::Broken)?);
            }
            handed.map(|handed| (handed, work))
        });
        let (handed, work) = ended?;
        self.work.add(work);
        if handed < self.groups.len() {
            return Err(JoinError::Stopped { groups: handed });
        }
        Ok(self.done())
    }

    /// What it took so far.
    pub fn done(&self) -> JoinWork {
        let (lists_read, read_bytes) = self.lists.reads();
        let ScanWork { pairs, head_distances, looks } = self.work;
        JoinWork { pairs, head_distances, looks, lists_read, read_bytes }
    }

    /// One thread: takes groups until there are no more.
    fn work(
        &self,
        spend: Spend,
        gate: &Gate<'_>,
        sender: &Sender<(usize, Result<JoinGroup, JoinError>)>,
    ) -> ScanWork {
        let mut scanner = Scanner::new(&self.index, &self.lists, self.params.k, self.limit, &self.stop);
        let _closing = gate.closing_on_panic();
        loop {
            let Some(number) = gate.enter() else { return scanner.work };
            let Some(group) = self.groups.get(number) else { return scanner.work };
            let found = self.one(group, spend, &mut scanner);
            if sender.send((number, found)).is_err() {
                return scanner.work;
            }
        }
    }

    fn one(&self, group: &GroupAt, spend: Spend, scanner: &mut Scanner<'_>) -> Result<JoinGroup, JoinError> {
        let rows = self.queries.rows(&self.lists, group)?;
        let found = scanner.scan(&rows, spend)?;
        let metric = self.index.metric();
        let neighbour = |key: crate::collect::Key| Neighbour {
            id: key.id,
            distance: key.distance(metric),
            estimated: false,
        };
        let neighbours =
            found.into_iter().map(|of| of.into_keys().into_iter().map(neighbour).collect()).collect();
        Ok(JoinGroup { queries: rows.numbers, neighbours })
    }
}

/// Hands groups out in their order: the number of the first that was not.
fn hand_out(
    receiver: &Receiver<(usize, Result<JoinGroup, JoinError>)>,
    gate: &Gate<'_>,
    take: &mut dyn FnMut(usize, JoinGroup) -> bool,
) -> Result<usize, JoinError> {
    let (mut next, mut waiting) = (gate.handed(), BTreeMap::new());
    for (number, found) in receiver {
        match found {
            Err(JoinError::Stopped { .. }) => return Ok(next),
            found => waiting.insert(number, found?),
        };
        while let Some(group) = waiting.remove(&next) {
            let goes_on = take(next, group);
            next += 1;
            gate.hand_out(next);
            if !goes_on {
                return Ok(next);
            }
        }
    }
    Ok(next)
}

/// Refuses what cannot be joined.
fn check(index: &Index, queries: Option<&dyn VectorSource>, params: &JoinParams) -> Result<(), JoinError> {
    if params.k == 0 {
        return Err(ParamsError::ZeroK.into());
    }
    if !(params.recall > 0.0 && params.recall <= 1.0) {
        return Err(ParamsError::Recall { found: params.recall }.into());
    }
    if let Some(radius) = params.radius {
        index.metric().check_radius(radius).map_err(ParamsError::from)?;
    }
    if index.documents().is_some() {
        return Err(JoinError::Documents);
    }
    check_held(VectorsOf::Main, index)?;
    let Some(queries) = queries else { return Ok(()) };
    if queries.is_empty() {
        return Err(JoinError::Empty);
    }
    if (queries.dim(), queries.dtype()) != (index.dim(), index.dtype()) {
        return Err(JoinError::Shape {
            found_dim: queries.dim(),
            found: queries.dtype(),
            dim: index.dim(),
            dtype: index.dtype(),
        });
    }
    Ok(())
}
