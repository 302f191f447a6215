//! How far the estimates of a code are off, for vectors that queries want.
use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use spandrel_index::codes::{CodeBlocks, CodeModel, CodeQuery, Encoder};
use spandrel_index::kernels::scan::{BLOCK_VECTORS, ScanKernel};

use super::training::{CodingQueries, Training};
use crate::BuildError;
use crate::coding::JUDGES_MAX;
use crate::progress::Context;

/// Lists, or queries, between two looks at whether to stop.
const CHUNK: usize = 256;

/// Sampled vectors of one list.
struct Group {
    /// The head, that of lifted inner product included.
    head: Vec<f32>,
    /// The vectors, likewise, back to back.
    rows: Vec<f32>,
}

/// A vector that a query wants: its group, and its place there.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    group: usize,
    at: usize,
}

/// A query with the vectors that it wants, nearest first.
struct Case {
    row: Vec<f32>,
    wanted: Vec<Wanted>,
}

/// Queries by whose nearest sampled vectors codes are compared.
pub(super) struct Judge {
    groups: Vec<Group>,
    cases: Vec<Case>,
    dim: usize,
}

impl Judge {
    /// By some of the queries.
    pub(super) fn new(training: &Training<'_>, queries: &CodingQueries, some: &[usize]) -> Judge {
        let dim = training.params.dim;
        let count = some.len().min(JUDGES_MAX);
        let judges: Vec<usize> = (0..count).map(|at| some[at * some.len() / count]).collect();
        let judged: BTreeSet<u32> = judges.iter().flat_map(|&at| queries.nearest(at)).copied().collect();
        let mut by_list: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for number in judged {
            by_list.entry(training.sample.lists[number as usize]).or_default().push(number);
        }
        let (mut groups, mut places) = (Vec::new(), BTreeMap::new());
        for (list, numbers) in by_list {
            let rows = numbers.iter().flat_map(|&number| training.vector(number)).collect();
            let group = groups.len();
            places.extend(numbers.iter().enumerate().map(|(at, &number)| (number, Wanted { group, at })));
            groups.push(Group { head: training.head(list), rows });
        }
        let case = |&at: &usize| Case {
            row: queries.row(at, dim).to_vec(),
            wanted: queries.nearest(at).iter().filter_map(|number| places.get(number).copied()).collect(),
        };
        Judge { cases: judges.iter().map(case).collect(), groups, dim }
    }

    /// The root of the mean squared error of estimates, as a share of the mean distance; none where nothing is judged, or all of it
    /// lies at no distance.
    pub(super) fn error(&self, model: &CodeModel, context: Context<'_>) -> Result<Option<f64>, BuildError> {
        let encode = |encoder: &mut Encoder<'_>, group: &Group| {
            let mut blocks = CodeBlocks::default();
            encoder.encode(&group.rows, &group.head, &mut blocks);
            blocks
        };
        let mut codes: Vec<CodeBlocks> = Vec::with_capacity(self.groups.len());
        for groups in self.groups.chunks(CHUNK) {
            context.check_stop()?;
            let encoded = || groups.par_iter().map_init(|| Encoder::new(model), encode).collect::<Vec<_>>();
            codes.extend(context.pool.install(encoded));
        }
        let (mut squares, mut distances, mut count) = (0.0, 0.0, 0.0);
        for cases in self.cases.chunks(CHUNK) {
            context.check_stop()?;
            let judged = || cases.par_iter().map(|case| self.judge(model, &codes, case)).collect::<Vec<_>>();
            for of in context.pool.install(judged) {
                squares += of.squares;
                distances += of.distances;
                count += of.count;
            }
        }
        let error = (squares / count).sqrt() / (distances / count);
        Ok(Some(error).filter(|error| error.is_finite()))
    }

    fn judge(&self, model: &CodeModel, codes: &[CodeBlocks], case: &Case) -> Sums {
        let (mut sums, mut query, mut estimates) = (Sums::default(), CodeQuery::default(), Vec::new());
        let Some(nearest) = case.wanted.first() else { return sums };
        query.prepare(model, &case.row, &self.groups[nearest.group].head[..self.dim]);
        for &Wanted { group, at } in &case.wanted {
            let Group { head, rows } = &self.groups[group];
            let (stride, terms) = (head.len(), query.terms(squared(&case.row, head) as f32)); // CAST: rounds
            estimates.clear();
            estimates.resize((rows.len() / stride).next_multiple_of(BLOCK_VECTORS), 0.0);
            model.scan(&ScanKernel::default(), &query, codes[group].all(), terms, &mut estimates);
            let distance = squared(&case.row, &rows[at * stride..][..stride]);
            sums.squares += (f64::from(estimates[at]) - distance).powi(2);
            sums.distances += distance;
            sums.count += 1.0;
        }
        sums
    }
}

/// Sums over the vectors of one query.
#[derive(Debug, Default)]
struct Sums {
    squares: f64,
    distances: f64,
    count: f64,
}

/// The squared distance of a query, whose elements beyond its own are 0.
fn squared(query: &[f32], row: &[f32]) -> f64 {
    let elements = query.iter().copied().chain(std::iter::repeat(0.0));
    row.iter().zip(elements).map(|(&x, q)| (f64::from(x) - f64::from(q)).powi(2)).sum()
}
