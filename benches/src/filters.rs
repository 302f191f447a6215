//! Searches under filters, by how many vectors match and where these lie from the query.
//!
//! A cell is a share of vectors that match, and a correlation. At 0 they are drawn at random. At 1 they are those nearest to an
//! anchor, a row drawn at random, and each query has the filter of its nearest anchor; at -1 that of its farthest.
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spandrel_datasets::{Rows, TruthParams, Watch, compute_truth};
use spandrel_engine::{Answer, Engine, FilterPlan, SearchParams, Truth, recalls};
use spandrel_filter::Filter;
use spandrel_index::attributes::{CompileLimits, compile};
use spandrel_index::kernels::{Operation, PairKernel};
use spandrel_index::{Index, Matches, Metric, VectorSource as _};

/// Filters of a cell whose matches lie around an anchor.
const ANCHORS: usize = 20;

/// The vectors that a filter matches.
///
/// # Errors
/// The filter does not fit the schema, or attributes cannot be read.
pub fn compiled(index: &Index, filter: &Filter) -> Result<Matches> {
    let limits = CompileLimits { memory_bytes: 1 << 30, deadline: None, stop: &AtomicBool::new(false) };
    Ok(compile(index, &filter.bind(index.schema())?, limits)?)
}

/// What is searched.
#[derive(Clone, Copy)]
pub struct Searched<'a> {
    /// The index; its ids are in memory, and are row numbers.
    pub engine: &'a Engine,
    /// Vectors that the index was built from, in the order of their ids.
    pub base: &'a Rows,
    /// What is searched for.
    pub queries: &'a Rows,
}

/// What matches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    /// Share of the vectors that match.
    pub share: f64,
    /// -1, 0 or 1.
    pub correlation: i8,
}

/// A filter, and the queries that it comes with.
#[derive(Debug, Clone)]
pub struct Group {
    rows: Vec<u32>,
    queries: Vec<usize>,
}

/// What the searches of a cell came to.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// Recall of each query.
    pub recalls: Vec<f64>,
    /// Answers with fewer vectors than there are matches, up to `k`.
    pub short: usize,
    /// Queries answered by each plan.
    pub plans: BTreeMap<FilterPlan, usize>,
    /// Queries that searched more lists than planned, since these held few matches.
    pub widened: usize,
    /// Lists searched, a mean over the queries as all that follow.
    pub lists: f64,
    /// Codes scanned.
    pub codes: f64,
    /// Vectors compared.
    pub vectors: f64,
    /// Requests to the disk.
    pub reads: f64,
    /// Microseconds of processor time.
    pub cpu_us: f64,
}

impl Cell {
    /// Its filters: one at correlation 0, else one for each anchor that a query is nearest to, or farthest from.
    pub fn groups(self, searched: Searched<'_>, seed: u64) -> Vec<Group> {
        let Searched { engine, base, queries } = searched;
        let rows = base.len() as u32; // CAST: rows in memory
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let all = 0..queries.len() as usize; // CAST: rows in memory
        if self.correlation == 0 {
            let rows = (0..rows).filter(|_| rng.random_bool(self.share)).collect();
            return vec![Group { rows, queries: all.collect() }];
        }
        let kept = ((f64::from(rows) * self.share).round() as usize).max(1); // CAST: a share of rows
        let anchors: Vec<&[u8]> =
            (0..ANCHORS).map(|_| base.row(rng.random_range(0..rows as usize))).collect();
        let metric = engine.index().metric();
        let mut groups: Vec<Group> = anchors
            .iter()
            .map(|anchor| {
                let mut order: Vec<(f32, u32)> = scores(metric, base, anchor).into_iter().zip(0..).collect();
                order.select_nth_unstable_by(kept - 1, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                let mut rows: Vec<u32> = order[..kept].iter().map(|&(_, row)| row).collect();
                rows.sort_unstable();
                Group { rows, queries: Vec::new() }
            })
            .collect();
        let anchors = Rows::new(base.dtype(), base.dim(), anchors.concat()).expect("whole rows");
        for query in all {
            let far = scores(metric, &anchors, queries.row(query));
            let wanted = |at: &usize| far[*at] * f32::from(self.correlation);
            let anchor = (0..ANCHORS).min_by(|a, b| wanted(a).total_cmp(&wanted(b))).expect("anchors");
            groups[anchor].queries.push(query);
        }
        groups.retain(|group| !group.queries.is_empty());
        groups
    }
}

impl Group {
    /// Rows that match, ascending, and numbers of queries.
    pub fn new(rows: Vec<u32>, queries: Vec<usize>) -> Group {
        Group { rows, queries }
    }

    /// The queries that it comes with.
    pub fn queries(&self) -> &[usize] {
        &self.queries
    }

    /// The rows that match.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// Where they lie.
    pub fn matches(&self, index: &Index) -> Arc<Matches> {
        let is_match = |location: spandrel_index::Location| {
            let id = index.id(location).expect("ids in memory");
            self.rows.binary_search(&(id as u32)).is_ok() // CAST: a row number
        };
        Arc::new(Matches::of(index, is_match))
    }
}

/// Searches the groups of a cell, and compares with all vectors that match.
///
/// # Errors
/// Searches that fail.
pub fn measure(searched: Searched<'_>, groups: &[Group], params: &SearchParams) -> Result<Measured> {
    let Searched { engine, base, queries } = searched;
    let metric = engine.index().metric();
    let mut measured = Measured::default();
    for group in groups {
        let of = |rows: &mut dyn Iterator<Item = &[u8]>| {
            Rows::new(base.dtype(), base.dim(), rows.flatten().copied().collect())
        };
        let asked = of(&mut group.queries.iter().map(|&query| queries.row(query)))?;
        let matches = group.matches(engine.index());
        let params = SearchParams { filter: Some(matches), ..params.clone() };
        engine.search(asked.bytes(), &params)?;
        let before = cpu_seconds();
        let answers = engine.search(asked.bytes(), &params)?;
        // Threads that computed a truth before are gone meanwhile.
        let taken = |(task, seconds): (_, f64)| seconds - before.get(&task).copied().unwrap_or_default();
        measured.cpu_us += 1e6 * cpu_seconds().into_iter().map(taken).sum::<f64>();
        let k = params.k.min(group.rows.len());
        measured.short += answers.iter().filter(|answer| answer.neighbours.len() < k).count();
        if k > 0 {
            let some = of(&mut group.rows.iter().map(|&row| base.row(row as usize)))?;
            let truth =
                compute_truth(&some, &asked, None, TruthParams { metric, k, threads: 2 }, Watch::none())?;
            let ids: Vec<u64> = truth.ids.iter().map(|&row| group.rows[row as usize].into()).collect();
            let distances = truth.distances.as_deref().unwrap_or_default();
            let truth = Truth { ids: &ids, distances, columns: truth.k };
            measured.recalls.extend(recalls(metric, &answers, truth, k)?);
        }
        answers.iter().for_each(|answer| measured.add(answer));
    }
    measured.divide(groups.iter().map(|group| group.queries.len()).sum());
    Ok(measured)
}

impl Measured {
    fn add(&mut self, answer: &Answer) {
        if let Some(filtered) = answer.filtered {
            *self.plans.entry(filtered.plan).or_default() += 1;
            self.widened += usize::from(filtered.widened);
        }
        self.lists += f64::from(answer.work.lists);
        self.codes += answer.work.vectors_scanned as f64;
        self.vectors += f64::from(answer.work.reranked);
        self.reads += f64::from(answer.work.reads);
    }

    fn divide(&mut self, queries: usize) {
        let Measured { lists, codes, vectors, reads, cpu_us, .. } = self;
        for sum in [lists, codes, vectors, reads, cpu_us] {
            *sum /= queries as f64; // CAST: a mean
        }
    }

    /// Mean recall, and its standard error.
    pub fn recall(&self) -> (f64, f64) {
        mean_and_error(&self.recalls)
    }
}

/// The mean of some values, and its standard error.
pub fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let count = values.len().max(1) as f64; // CAST: exact
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    (mean, (variance / count).sqrt())
}

/// Of every row, how far it is from a query: smaller is nearer. Vectors compared by cosine are taken to be of one length.
pub fn scores(metric: Metric, rows: &Rows, query: &[u8]) -> Vec<f32> {
    let operation = match metric {
        Metric::L2 => Operation::SquaredL2,
        Metric::InnerProduct | Metric::Cosine => Operation::InnerProduct,
    };
    let mut scores = vec![0.0; rows.len() as usize]; // CAST: rows in memory
    PairKernel::new(operation, rows.dtype(), rows.dim()).score_rows(query, rows.bytes(), &mut scores);
    if metric != Metric::L2 {
        scores.iter_mut().for_each(|score| *score = -*score);
    }
    scores
}

/// Processor time of each thread of this process.
fn cpu_seconds() -> HashMap<OsString, f64> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let time = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        Some((task.file_name(), 1e-9 * text.split(' ').next()?.parse::<f64>().ok()?))
    };
    tasks.filter_map(time).collect()
}
