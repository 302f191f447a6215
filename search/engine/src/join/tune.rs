//! How thoroughly groups have to be searched for a recall, by a sample of the queries that is compared with all vectors.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use spandrel_index::{Index, Location};

use super::error::JoinError;
use super::groups::{GroupAt, GroupRows, Queries, SAMPLE_ROWS, SAMPLE_RUNS, group_rows, sample};
use super::lists::{ListAt, Lists};
use super::memory::NEAR_MAX;
use super::nearest::RowNearest;
use super::reach::Reach;
use super::sample::{RowBuckets, RowDistances, TrueNeighbour, budget_of, mean_of};
use super::scan::{ScanWork, Scanner, Spend};
use crate::collect::Key;

/// Rows that have neighbours, below which a sample says nothing.
const ROWS_MIN: usize = 100;
/// Lists near a group that its rows choose from, at least.
const LISTS: u32 = 128;
/// Powers that are tried, as squarings: 0, 2, 4 and so on up to 32. Which of them takes the least differs with the data: without one on Gaussian
/// noise, the eighth or sixteenth on descriptors and embeddings, the thirty-second for foreign queries.
const POWERS: [Option<u32>; 6] = [None, Some(1), Some(2), Some(3), Some(4), Some(5)];
/// Vectors that are compared in the time that a list near a group takes of each row, looked into or not.
const VECTORS_PER_LIST: u64 = 2;

/// What a recall takes, as a sample of the queries says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tuned {
    pub(super) spend: Spend,
    /// Queries of the sample.
    pub queries: usize,
    /// Mean recall of the sample under these settings.
    pub recall: f64,
    /// One standard error of that, as if one neighbour more had been missed: that none was says little of a small sample.
    pub error: f64,
    /// Whether neighbours within the radius were counted. Where few queries have any, the `k` nearest at any distance are.
    pub within_radius: bool,
}

impl Tuned {
    /// Lists near a group that its rows choose from; none where they look into all lists.
    pub fn lists(&self) -> Option<u32> {
        match self.spend {
            Spend::All => None,
            Spend::Near { lists, .. } | Spend::Within { lists } => Some(lists),
        }
    }

    /// The power of the rule by which rows choose lists; none where another does.
    pub fn power(&self) -> Option<u32> {
        let Spend::Near { reach, .. } = self.spend else { return None };
        Some(reach.squarings.map_or(0, |squarings| 1 << squarings))
    }

    /// The budget of the rule by which rows choose lists; none where another does.
    pub fn budget(&self) -> Option<f64> {
        let Spend::Near { reach, .. } = self.spend else { return None };
        Some(reach.budget)
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
    rows: GroupRows,
    /// The true neighbours of its rows.
    truth: Vec<Vec<TrueNeighbour>>,
}

impl Tuning<'_> {
    /// The least that finds `recall`, by one standard error of the sample's; everything where the sample is too small to say.
    pub(super) fn tune(self, groups: &[GroupAt], recall: f64) -> Result<(Tuned, ScanWork), JoinError> {
        let everything =
            Tuned { spend: Spend::All, queries: 0, recall: 1.0, error: 0.0, within_radius: true };
        if recall >= 1.0 {
            return Ok((everything, ScanWork::default()));
        }
        let nearest = Tuning { limit: f32::INFINITY, ..self };
        let (mut examples, mut work) = nearest.examples(groups)?;
        let truths = || examples.iter().flat_map(|example| &example.truth);
        let within =
            |truth: &&Vec<TrueNeighbour>| truth.first().is_some_and(|first| first.score <= self.limit);
        if truths().filter(|truth| !truth.is_empty()).count() < ROWS_MIN {
            return Ok((everything, work));
        }
        let within_radius = truths().filter(within).count() >= ROWS_MIN;
        if within_radius {
            let truths = examples.iter_mut().flat_map(|of| &mut of.truth);
            truths.for_each(|truth| truth.retain(|neighbour| neighbour.score <= self.limit));
        }
        let all = self.index.lists().min(NEAR_MAX);
        let mut lists = LISTS.min(all);
        let mut best: Option<Least> = None;
        loop {
            let (found, took) = self.least(&examples, lists, recall)?;
            work.add(took);
            let is_better = |found: &Least| best.as_ref().is_none_or(|best| found.cost < best.cost);
            match found.filter(is_better) {
                None if best.is_some() => break,
                found => best = found.or(best),
            }
            if lists == all {
                break;
            }
            lists = lists.saturating_mul(2).min(all);
        }
        while let Some(Least { lists, reach, .. }) = best {
            let spend = match within_radius {
                true => Spend::Near { lists, reach },
                false => Spend::Within { lists },
            };
            let (tuned, took) = self.measure(&examples, spend)?;
            work.add(took);
            if tuned.reaches(recall) {
                return Ok((Tuned { within_radius, ..tuned }, work));
            }
            // A walk over a graph finds other lists than the one before, and the bound is none of wider lists.
            let mut lists = lists;
            best = None;
            while best.is_none() && lists < all {
                lists = lists.saturating_mul(2).min(all);
                let (found, took) = self.least(&examples, lists, recall)?;
                work.add(took);
                best = found;
            }
        }
        Ok((everything, work))
    }

    /// The sample with its true neighbours.
    fn examples(&self, groups: &[GroupAt]) -> Result<(Vec<Example>, ScanWork), JoinError> {
        let rows = SAMPLE_ROWS / SAMPLE_RUNS;
        let chosen = sample(groups, rows);
        // Each thread compares its share with all vectors at once.
        let most = (group_rows(self.k) / rows).max(1) as usize; // CAST: at most the rows of a group
        let share = chosen.len().div_ceil(self.threads).clamp(1, most);
        let shares: Vec<&[GroupAt]> = chosen.chunks(share).collect();
        let (examples, work) = self.each(&shares, |share, scanner| {
            let read = share.iter().map(|group| self.queries.rows(self.lists, group));
            let groups = read.collect::<Result<Vec<GroupRows>, JoinError>>()?;
            let mut found = scanner.truth(&groups)?.into_iter();
            let example = |rows: GroupRows| {
                let truth = found.by_ref().take(rows.numbers.len()).map(|truth| self.neighbours(&truth));
                Example { truth: truth.collect(), rows }
            };
            Ok(groups.into_iter().map(example).collect::<Vec<_>>())
        })?;
        Ok((examples.into_iter().flatten().collect(), work))
    }

    /// Neighbours that are named by their locations.
    fn neighbours(&self, found: &RowNearest) -> Vec<TrueNeighbour> {
        let one = |key: &Key| {
            let at = Location::of_bits(key.id);
            let directory = &self.index.segments()[usize::from(at.segment())].directory;
            let list = ListAt { segment: at.segment(), list: directory.list_of(at.position(), 0) };
            TrueNeighbour { score: key.score(), list }
        };
        found.keys().iter().map(one).collect()
    }

    /// What choosing from `lists` lists near a group takes for a recall, by the distances of heads alone; none where they are too few.
    fn least(
        &self,
        examples: &[Example],
        lists: u32,
        recall: f64,
    ) -> Result<(Option<Least>, ScanWork), JoinError> {
        let (distances, work) =
            self.each(examples, |example, scanner| Ok(scanner.row_distances(&example.rows, lists)))?;
        let rows: Vec<(&RowDistances, &[TrueNeighbour])> = distances
            .iter()
            .zip(examples)
            .flat_map(|(rows, of)| rows.iter().zip(of.truth.iter().map(Vec::as_slice)))
            .collect();
        let sum: f64 = rows.iter().map(|(row, _)| f64::from(row.first)).sum();
        let offset = (sum / rows.len().max(1) as f64) as f32; // CAST: a mean, rounded
        let sizes = |at: ListAt| {
            let positions = self.index.segments()[usize::from(at.segment)].directory.positions(at.list);
            positions.len() as u64 // CAST: widening
        };
        let rows: Vec<RowBuckets> =
            rows.iter().map(|(row, truth)| RowBuckets::of(row, truth, offset, sizes)).collect();
        if self.stop.load(Ordering::Relaxed) {
            return Err(JoinError::Stopped { groups: 0 });
        }
        let least = |squarings| {
            let budget = budget_of(&rows, squarings, recall)?;
            let reach = Reach { squarings, offset, budget };
            let vectors: u64 = rows.iter().map(|row| row.vectors_within(&reach)).sum();
            let cost = vectors + rows.len() as u64 * u64::from(lists) * VECTORS_PER_LIST; // CAST: widening
            Some(Least { lists, reach, cost })
        };
        Ok((POWERS.into_iter().filter_map(least).min_by_key(|least| least.cost), work))
    }

    /// What a search of the sample finds.
    fn measure(&self, examples: &[Example], spend: Spend) -> Result<(Tuned, ScanWork), JoinError> {
        let (recalls, took) = self.each(examples, |example, scanner| {
            let last = |truth: &Vec<TrueNeighbour>| truth.last().map(|last| last.score);
            // Rows without neighbours want none.
            let limits: Vec<f32> =
                example.truth.iter().map(|truth| last(truth).unwrap_or(f32::NEG_INFINITY)).collect();
            let found = match spend {
                Spend::Within { .. } => scanner.scan_within(&example.rows, spend, &limits)?,
                _ => scanner.scan(&example.rows, spend)?,
            };
            let recall = |(found, truth): (&RowNearest, &Vec<TrueNeighbour>)| {
                Some((recall_of(found, last(truth)?, truth.len()), truth.len()))
            };
            Ok(found.iter().zip(&example.truth).filter_map(recall).collect::<Vec<_>>())
        })?;
        let (recalls, neighbours): (Vec<f64>, Vec<usize>) = recalls.into_iter().flatten().unzip();
        let (mean, error) = mean_of(&recalls, &neighbours);
        Ok((Tuned { spend, queries: recalls.len(), recall: mean, error, within_radius: true }, took))
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

/// What a recall takes where rows choose from `lists` lists near a group, and what that costs the sample, in vectors compared.
struct Least {
    lists: u32,
    reach: Reach,
    cost: u64,
}

impl Tuned {
    fn reaches(&self, recall: f64) -> bool {
        self.recall - self.error >= recall
    }
}

/// The share of `count` true neighbours, the last of them with a score of `last`, that was found, ties at the last one counted.
fn recall_of(found: &RowNearest, last: f32, count: usize) -> f64 {
    let hits = found.keys().iter().filter(|key| key.score() <= last).count();
    hits as f64 / count as f64 // CAST: small counts
}
