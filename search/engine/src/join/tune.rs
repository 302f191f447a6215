//! How thoroughly groups have to be searched for a recall, by a sample of the queries that is compared with all vectors.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use spandrel_index::Index;

use super::error::JoinError;
use super::groups::{GroupAt, GroupRows, Queries, SAMPLE_ROWS, sample};
use super::lists::Lists;
use super::memory::NEAR_MAX;
use super::nearest::Nearest;
use super::scan::{ScanWork, Scanner, Spend};

/// Groups of the sample.
const GROUPS: usize = 128;
/// Rows that have neighbours, below which a sample says nothing.
const ROWS_MIN: usize = 100;
/// Lists near a group that its rows choose from, at first.
const LISTS: u32 = 128;
/// Margins that are tried: from lists that are hardly farther than the nearest to twice the bound.
const MARGINS: (f32, f32) = (-1.0, 2.0);
/// The least of them where neighbours within a radius are few: what the nearest at any distance take says little of these, and less
/// may leave out even the list of a row's own head.
const BOUND: f32 = 1.0;
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
    /// One standard error of that, as if one neighbour more had been missed: that none was says little of a small sample.
    pub error: f64,
    /// Whether neighbours within the radius were counted. Where few queries have any, the `k` nearest at any distance are.
    pub within_radius: bool,
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
    /// The least that finds `recall`, by one standard error of the sample's; everything where the sample is too small to say.
    pub(super) fn tune(self, groups: &[GroupAt], recall: f64) -> Result<(Tuned, ScanWork), JoinError> {
        let everything =
            Tuned { spend: Spend::ALL, queries: 0, recall: 1.0, error: 0.0, within_radius: true };
        if recall >= 1.0 {
            return Ok((everything, ScanWork::default()));
        }
        let all = self.index.lists().min(NEAR_MAX);
        let nearest = Tuning { limit: f32::INFINITY, ..self };
        let (mut examples, mut work) = nearest.examples(groups)?;
        let truths = || examples.iter().flat_map(|example| &example.truth);
        let within = |truth: &&Nearest| truth.keys().first().is_some_and(|key| key.score() <= self.limit);
        if truths().filter(|truth| !truth.keys().is_empty()).count() < ROWS_MIN {
            return Ok((everything, work));
        }
        if self.limit < f32::INFINITY && truths().filter(within).count() < ROWS_MIN {
            let (tuned, took) = nearest.least(&examples, all, recall)?;
            work.add(took);
            let Some(mut tuned) = tuned else { return Ok((everything, work)) };
            if tuned.spend.margin < BOUND {
                let spend = Spend { margin: BOUND, ..tuned.spend };
                tuned = nearest.measure(&examples, spend, &mut work)?;
            }
            return Ok((Tuned { within_radius: false, ..tuned }, work));
        }
        examples.iter_mut().flat_map(|of| &mut of.truth).for_each(|truth| truth.keep_within(self.limit));
        let (tuned, took) = self.least(&examples, all, recall)?;
        work.add(took);
        Ok((tuned.unwrap_or(everything), work))
    }

    /// The least that finds `recall` in the sample; none where all lists that may be chosen from are too few.
    fn least(
        &self,
        examples: &[Example],
        all: u32,
        recall: f64,
    ) -> Result<(Option<Tuned>, ScanWork), JoinError> {
        let mut work = ScanWork::default();
        let mut lists = LISTS.min(all);
        let mut best;
        loop {
            best = self.measure(examples, Spend { lists, margin: MARGINS.1 }, &mut work)?;
            if best.reaches(recall) {
                break;
            }
            if lists == all {
                return Ok((None, work));
            }
            lists = lists.saturating_mul(2).min(all);
        }
        let (mut low, mut high) = MARGINS;
        for _ in 0..HALVINGS {
            let margin = 0.5 * (low + high);
            let found = self.measure(examples, Spend { lists, margin }, &mut work)?;
            if found.reaches(recall) {
                (high, best) = (margin, found);
            } else {
                low = margin;
            }
        }
        Ok((Some(best), work))
    }

    /// The sample with its true neighbours.
    fn examples(&self, groups: &[GroupAt]) -> Result<(Vec<Example>, ScanWork), JoinError> {
        let count = groups.len().clamp(1, GROUPS) as u64; // CAST: widening
        let chosen = sample(groups, GROUPS, SAMPLE_ROWS.div_ceil(count));
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
                .filter_map(|(found, truth)| Some((recall_of(found, truth)?, truth.keys().len())))
                .collect::<Vec<(f64, usize)>>())
        })?;
        work.add(took);
        let recalls: Vec<(f64, usize)> = recalls.into_iter().flatten().collect();
        let count = recalls.len().max(1) as f64; // CAST: small counts, here and below
        let mean = recalls.iter().map(|(recall, _)| recall).sum::<f64>() / count;
        let neighbours = recalls.iter().map(|&(_, neighbours)| neighbours as f64).sum::<f64>() / count;
        let error = error_of(recalls.iter().map(|&(recall, _)| recall), mean, neighbours);
        Ok(Tuned { spend, queries: recalls.len(), recall: mean, error, within_radius: true })
    }

    /// Does something with each of some things, by all threads, in their order.
    fn each<T: Sync, R: Send>(
        &self,
        things: &[T],
        one: impl Fn(&T, &mut Scanner<'_>) -> Result<R, JoinError> + Sync,
    ) -> Result<(Vec<R>, ScanWork), JoinError> {
        let next = AtomicUsize::new(0);
        let work = || -> Result<(Vec<(usize, R)>, ScanWork), JoinError> {
            let mut scanner = Scanner::new(self.index, self.lists, self.k, self.limit, self.stop);
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

/// One standard error of the mean of the recalls of rows that have `neighbours` each, as if a row more had missed one of them.
fn error_of(recalls: impl ExactSizeIterator<Item = f64>, mean: f64, neighbours: f64) -> f64 {
    let count = recalls.len() as f64 + 1.0; // CAST: a small count
    let missed = (1.0 / neighbours.max(1.0)).powi(2);
    let squares = recalls.map(|recall| (recall - mean).powi(2)).sum::<f64>() + missed;
    squares.sqrt() / count
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_sample_without_a_miss_is_not_certain() {
        let error = |recalls: &[f64], mean, neighbours| error_of(recalls.iter().copied(), mean, neighbours);
        assert_eq!(error(&[1.0; 99], 1.0, 1.0), 0.01);
        assert_eq!(error(&[1.0; 99], 1.0, 10.0), 0.001);
        assert_eq!(error(&[], 0.0, 0.0), 1.0);
        // (2 x 0.5^2 + 0.5^2)^1/2 / 3.
        assert!((error(&[1.0, 0.0], 0.5, 2.0) - 0.75_f64.sqrt() / 3.0).abs() < 1e-12);
    }
}
