//! What must be read to reach a recall: the engine's rerank, on codes that no index holds.
//!
//! Follows `spandrel_engine`'s `candidates`, `query`, `rerank` and `params`: the first burst takes what may be as
//! near as the k-th estimate, the second what may be nearer than the k-th exact distance, and what lies in pages that
//! are read is compared as well.
use rayon::ThreadPool;
use rayon::prelude::*;
use spandrel_engine::{KEPT_MORE, SECOND_LESS, compared_most};
use spandrel_index::format::VectorsOf;
use spandrel_index::kernels::{Operation, PairKernel};
use spandrel_index::{Metric, VectorSource, inverse_norm};
use spandrel_io::Merging;

use crate::code::{Code, Estimate};
use spandrel_benches::set::{K, Set};

/// Standard errors, in the engine's words `rerank-errors`, from 0 in steps.
const STEP: f32 = 0.25;
const STEPS: usize = 17;

/// How candidates are chosen: by default as the engine does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rules {
    /// Standard errors by which the second burst trusts estimates more than the first.
    pub(crate) second_less: f32,
    /// Standard errors by which a vector may be farther that is compared because its page is read for another.
    pub(crate) kept_more: f32,
    /// Vectors compared at most.
    pub(crate) compared_most: usize,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules { second_less: SECOND_LESS, kept_more: KEPT_MORE, compared_most: compared_most(K) }
    }
}

/// Means over queries at one number of standard errors.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) errors: f64,
    pub(crate) recall: f64,
    /// Distinct pages wanted.
    pub(crate) pages: f64,
    /// Pages read, with those between that a merged read takes along.
    pub(crate) pages_touched: f64,
    pub(crate) reads: f64,
    pub(crate) rounds: f64,
}

impl Outcome {
    fn each(&mut self, other: &Outcome, f: impl Fn(f64, f64) -> f64) {
        self.errors = f(self.errors, other.errors);
        self.recall = f(self.recall, other.recall);
        self.pages = f(self.pages, other.pages);
        self.pages_touched = f(self.pages_touched, other.pages_touched);
        self.reads = f(self.reads, other.reads);
        self.rounds = f(self.rounds, other.rounds);
    }
}

/// Outcomes by rising number of standard errors.
pub(crate) struct Sweep(Vec<Outcome>);

impl Sweep {
    pub(crate) fn new(set: &Set, code: &impl Code, rules: Rules, pool: &ThreadPool) -> Sweep {
        let queries = set.queries.len() as usize;
        let of_query = |query: usize| Query::new(set, code, query, rules).sweep();
        let all: Vec<Vec<Outcome>> = pool.install(|| (0..queries).into_par_iter().map(of_query).collect());
        let mut sums = vec![Outcome::default(); STEPS];
        for outcomes in &all {
            sums.iter_mut().zip(outcomes).for_each(|(sum, outcome)| sum.each(outcome, |a, b| a + b));
        }
        sums.iter_mut().for_each(|sum| {
            let all = *sum;
            sum.each(&all, |a, _| a / queries as f64);
        });
        Sweep(sums)
    }

    /// At a number of standard errors that is one of the steps.
    pub(crate) fn at_errors(&self, errors: f64) -> Option<Outcome> {
        self.0.iter().find(|outcome| (outcome.errors - errors).abs() < 1e-6).copied()
    }

    /// At a recall, between the steps on both sides; the first step where it reaches that already.
    pub(crate) fn at_recall(&self, recall: f64) -> Option<Outcome> {
        let at = self.0.iter().position(|outcome| outcome.recall >= recall)?;
        let mut found = self.0[at];
        if let Some(before) = at.checked_sub(1).map(|at| self.0[at]) {
            let share = (recall - before.recall) / (found.recall - before.recall);
            found.each(&before, |after, before| before + share * (after - before));
        }
        Some(found)
    }
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    estimate: f32,
    error: f32,
    position: u32,
    page: u64,
    /// In head space.
    exact: f32,
    hit: bool,
}

/// Everything about one query that no number of standard errors changes.
struct Query {
    /// By estimate.
    candidates: Vec<Candidate>,
    /// The k-th smallest estimate.
    bound: f32,
    /// Pages there are, and bytes of each.
    pages: u64,
    page_bytes: u64,
    rules: Rules,
}

impl Query {
    fn new<C: Code>(set: &Set, code: &C, query: usize, rules: Rules) -> Query {
        let lists = code.lists();
        let most = STEP * (STEPS - 1) as f32 + rules.kept_more; // CAST: exact
        let layout = lists.index.page_layout();
        let mut prepared = C::Query::default();
        code.prepare(set, query, &mut prepared);
        let (mut candidates, mut estimates) = (Vec::new(), Vec::new());
        let mut smallest = Vec::new();
        for &(distance, list) in &lists.ranked[query][..lists.searched] {
            code.scan(&prepared, list, distance, &mut estimates);
            let bound = kth(&mut smallest, &estimates);
            for (position, &Estimate { distance, error }) in (lists.range(list).0..).zip(&estimates) {
                if distance - most * error <= bound {
                    let page = layout.place(position).0;
                    let (exact, hit) = (0.0, false);
                    candidates.push(Candidate { estimate: distance, error, position, page, exact, hit });
                }
            }
        }
        let bound = kth(&mut smallest, &[]);
        candidates.retain(|c| c.estimate - most * c.error <= bound);
        candidates
            .sort_unstable_by(|a, b| a.estimate.total_cmp(&b.estimate).then(a.position.cmp(&b.position)));
        let index = &lists.index;
        let row = set.queries.row(query);
        let operation = if set.metric == Metric::L2 { Operation::SquaredL2 } else { Operation::InnerProduct };
        let kernel = PairKernel::new(operation, index.dtype(), index.dim());
        let inverse = inverse_norm(index.dtype(), row);
        let vectors =
            lists.segment().vectors(VectorsOf::Main).resident.as_ref().expect("vectors are in memory");
        let hits = set.hits(query);
        for candidate in &mut candidates {
            let record = vectors.record(candidate.position);
            let value = kernel.score(row, record.vector);
            candidate.exact = match record.inverse_norm {
                Some(norm) => 2.0 * (1.0 - value * norm * inverse),
                None => value,
            };
            candidate.hit = hits.contains(&record.id);
        }
        let pages = layout.pages(index.vectors());
        Query { candidates, bound, pages, page_bytes: layout.page_bytes() as u64, rules }
    }

    fn sweep(&self) -> Vec<Outcome> {
        let mut read = vec![false; self.pages as usize];
        (0..STEPS).map(|step| self.outcome(STEP * step as f32, &mut read)).collect() // CAST: exact
    }

    /// `read` has a place for each page.
    fn outcome(&self, errors: f32, read: &mut [bool]) -> Outcome {
        let Rules { second_less, kept_more, compared_most } = self.rules;
        let kept = errors + kept_more;
        let mut compared = vec![false; self.candidates.len()];
        let mut outcome = Outcome { errors: errors.into(), ..Outcome::default() };
        let mut exact: Vec<(f32, bool)> = Vec::new();
        for burst in 0..2 {
            let (limit, by) = match burst {
                0 => (self.bound, errors),
                _ => (exact.get(K - 1).map_or(f32::INFINITY, |kth| kth.0), errors - second_less),
            };
            let room = compared_most.saturating_sub(exact.len());
            let wanted = self.candidates.iter().zip(&mut compared).filter(|(candidate, compared)| {
                !**compared && candidate.least(kept) <= self.bound && candidate.least(by) <= limit
            });
            let mut pages = Vec::new();
            for (candidate, compared) in wanted.take(room) {
                *compared = true;
                exact.push((candidate.exact, candidate.hit));
                pages.push(candidate.page);
            }
            pages.sort_unstable();
            pages.dedup();
            let reads = merge(&pages, self.page_bytes);
            read.fill(false);
            reads.iter().for_each(|&(first, end)| read[first as usize..end as usize].fill(true));
            for (candidate, compared) in self.candidates.iter().zip(&mut compared) {
                if read[candidate.page as usize] && !*compared && candidate.least(kept) <= self.bound {
                    *compared = true;
                    exact.push((candidate.exact, candidate.hit));
                }
            }
            exact.sort_by(|a, b| a.0.total_cmp(&b.0));
            outcome.pages += pages.len() as f64;
            outcome.pages_touched += reads.iter().map(|&(first, end)| end - first).sum::<u64>() as f64;
            outcome.reads += reads.len() as f64;
            outcome.rounds += f64::from(u8::from(!reads.is_empty()));
        }
        outcome.recall = exact.iter().take(K).filter(|found| found.1).count() as f64 / K as f64;
        outcome
    }
}

impl Candidate {
    fn least(&self, errors: f32) -> f32 {
        self.estimate - errors * self.error
    }
}

/// Adds estimates to the `K` smallest so far: the largest of them.
fn kth(smallest: &mut Vec<f32>, estimates: &[Estimate]) -> f32 {
    let bound = if smallest.len() < K { f32::INFINITY } else { smallest[K - 1] };
    smallest.extend(estimates.iter().map(|estimate| estimate.distance).filter(|&distance| distance < bound));
    smallest.sort_by(f32::total_cmp);
    smallest.truncate(K);
    if smallest.len() < K { f32::INFINITY } else { smallest[K - 1] }
}

/// Reads for ascending pages, as first and end.
fn merge(pages: &[u64], page_bytes: u64) -> Vec<(u64, u64)> {
    let mut reads: Vec<(u64, u64)> = Vec::new();
    for &page in pages {
        match reads.last_mut() {
            Some(read) if (page + 1 - read.0) * page_bytes <= Merging::SSD.scattered_bytes_max => {
                read.1 = page + 1
            }
            _ => reads.push((page, page + 1)),
        }
    }
    reads
}
