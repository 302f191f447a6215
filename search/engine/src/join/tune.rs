//! How thoroughly groups have to be searched for a recall, by a sample of the queries that is compared with all vectors.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use spandrel_index::Index;

use super::error::JoinError;
use super::groups::{GroupAt, GroupRows, Queries, sample};
use super::lists::Lists;
use super::memory::NEAR_MAX;
use super::nearest::Nearest;
use super::scan::{ScanWork, Scanner, Spend};

/// Groups of the sample, and rows of each at most.
const GROUPS: usize = 128;
const GROUP_ROWS: u64 = 4;
/// Lists near a group that its rows choose from, at first.
const LISTS: u32 = 128;
/// Margins that are tried: from lists that are hardly farther than the nearest to twice the bound.
const MARGINS: (f32, f32) = (-1.0, 2.0);
/// Halvings of that.
const HALVINGS: usize = 8;

/// What a recall takes, as a sample of the queries says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tuned {
    pub(super) spend: Spend,
    /// Queries of the sample.
    pub queries: usize,
    /// Their recall.
    pub recall: f64,
    /// One standard error of that.
    pub error: f64,
}

impl Tuned {
    /// Lists near a group that its rows choose from; none where they look into all lists.
    pub fn lists(&self) -> Option<u32> {
        (self.spend != Spend::ALL).then_some(self.spend.lists)
    }

    /// How much farther than the nearest a list may be that a row looks into; none where they look into all lists.
    pub fn margin(&self) -> Option<f32> {
        (self.spend != Spend::ALL).then_some(self.spend.margin)
    }
}

/// What tuning works with.
#[derive(Clone, Copy)]
pub(super) struct Tuning<'a> {
    pub(super) index: &'a Arc<Index>,
    pub(super) lists: &'a Lists,
    pub(super) queries: &'a Queries<'a>,
    pub(super) k: usize,
    /// Score of the radius.
    pub(super) limit: f32,
    pub(super) threads: usize,
    pub(super) stop: &'a AtomicBool,
}

/// A group of the sample.
struct Example {
    group: GroupAt,
    rows: GroupRows,
    /// The true neighbours of its rows.
    truth: Vec<Nearest>,
}

impl Tuning<'_> {
    /// The least that finds `recall`, by one standard error of the sample's.
    pub(super) fn tune(self, groups: &[GroupAt], recall: f64) -> Result<(Tuned, ScanWork), JoinError> {
        let everything = Tuned { spend: Spend::ALL, queries: 0, recall: 1.0, error: 0.0 };
        if recall >= 1.0 {
            return Ok((everything, ScanWork::default()));
        }
        let all = self.index.lists().min(NEAR_MAX);
        let (examples, mut work) = self.examples(groups)?;
        let mut lists = LISTS.min(all);
        loop {
            let widest = self.measure(&examples, Spend { lists, margin: MARGINS.1 }, &mut work)?;
            if widest.reaches(recall) {
                break;
            }
            if lists == all {
                return Ok((everything, work));
            }
            lists = lists.saturating_mul(2).min(all);
        }
        let (mut low, mut high) = MARGINS;
        let mut best = self.measure(&examples, Spend { lists, margin: high }, &mut work)?;
        for _ in 0..HALVINGS {
            let margin = 0.5 * (low + high);
            let found = self.measure(&examples, Spend { lists, margin }, &mut work)?;
            if found.reaches(recall) {
                (high, best) = (margin, found);
            } else {
                low = margin;
            }
        }
        Ok((best, work))
    }

    /// The sample with its true neighbours.
    fn examples(&self, groups: &[GroupAt]) -> Result<(Vec<Example>, ScanWork), JoinError> {
        let chosen = sample(groups, GROUPS, GROUP_ROWS);
        self.each(&chosen, |group, scanner| {
            let rows = self.queries.rows(self.lists, group)?;
            let truth = scanner.scan(group, &rows, Spend::ALL)?;
            Ok(Example { group: group.clone(), rows, truth })
        })
    }

    fn measure(&self, examples: &[Example], spend: Spend, work: &mut ScanWork) -> Result<Tuned, JoinError> {
        let (recalls, took) = self.each(examples, |example, scanner| {
            let found = scanner.scan(&example.group, &example.rows, spend)?;
            Ok(found
                .iter()
                .zip(&example.truth)
                .filter_map(|(found, truth)| recall_of(found, truth))
                .collect::<Vec<f64>>())
        })?;
        work.add(took);
        let recalls: Vec<f64> = recalls.into_iter().flatten().collect();
        let count = recalls.len().max(1) as f64; // CAST: a small count
        let mean = if recalls.is_empty() { 1.0 } else { recalls.iter().sum::<f64>() / count };
        let variance = recalls.iter().map(|recall| (recall - mean).powi(2)).sum::<f64>() / count;
        Ok(Tuned { spend, queries: recalls.len(), recall: mean, error: (variance / count).sqrt() })
    }

    /// Does something with each of some things, by all threads, in their order.
    fn each<T: Sync, R: Send>(
        &self,
        things: &[T],
        one: impl Fn(&T, &mut Scanner<'_>) -> Result<R, JoinError> + Sync,
    ) -> Result<(Vec<R>, ScanWork), JoinError> {
        let next = AtomicUsize::new(0);
        let work = || -> Result<(Vec<(usize, R)>, ScanWork), JoinError> {
            let mut scanner = Scanner::new(self.index, self.lists, self.k, self.limit);
            let mut done = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(thing) = things.get(number) else { return Ok((done, scanner.work)) };
                if self.stop.load(Ordering::Relaxed) {
                    return Err(JoinError::Stopped { groups: 0 });
                }
                done.push((number, one(thing, &mut scanner)?));
            }
        };
        let parts: Vec<_> = thread::scope(|scope| {
            let running: Vec<_> = (0..self.threads).map(|_| scope.spawn(work)).collect();
            running.into_iter().map(|thread| thread.join().unwrap_or(Err(JoinError::Broken))).collect()
        });
        let (mut all, mut took) = (Vec::new(), ScanWork::default());
        for part in parts {
            let (done, work) = part?;
            all.extend(done);
            took.add(work);
        }
        all.sort_unstable_by_key(|(number, _)| *number);
        Ok((all.into_iter().map(|(_, result)| result).collect(), took))
    }
}

impl Tuned {
    fn reaches(&self, recall: f64) -> bool {
        self.recall - self.error >= recall
    }
}

/// The share of the true neighbours of a row that was found, ties at the last one counted; none of a row without any.
fn recall_of(found: &Nearest, truth: &Nearest) -> Option<f64> {
    let last = truth.keys().last()?.score();
    let hits = found.keys().iter().filter(|key| key.score() <= last).count();
    Some(hits as f64 / truth.keys().len() as f64) // CAST: small counts
}
