//! What searches find, and how long each takes.
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spandrel_benches::filters::compiled;
use spandrel_benches::set::{K, Set};
use spandrel_engine::{Engine, FilterPlan, SearchParams};
use spandrel_index::VectorSource as _;
use spandrel_index::kernels::{Operation, PairKernel};

use crate::sizes::Tenants;

/// Tenants of a line at most, at equal distances.
const TENANTS: usize = 50;

#[derive(Debug, Default)]
pub(crate) struct Measured {
    what: String,
    plans: BTreeMap<FilterPlan, usize>,
    found: usize,
    wanted: usize,
    /// Sums over the queries.
    codes: u64,
    lists: u64,
    vectors: u64,
    reads: u64,
    /// Microseconds of each query, and of each filter that was compiled.
    times: Vec<f64>,
    compiled: Vec<f64>,
}

impl Measured {
    pub(crate) const HEAD: &str = "vectors of a tenant   recall    p50 us    p99 us  compile us     codes   lists  compared   reads  plans";

    fn take(&mut self, engine: &Engine, query: &[u8], params: &SearchParams, limit: f32) -> Result<()> {
        let start = Instant::now();
        let answer = engine.search(query, params)?.remove(0);
        self.times.push(1e6 * start.elapsed().as_secs_f64());
        let slack = 1e-6 + 1e-6 * limit.abs();
        self.found += answer.neighbours.iter().filter(|near| near.distance <= limit + slack).count();
        self.wanted += answer.neighbours.len();
        self.codes += answer.work.vectors_scanned;
        self.lists += u64::from(answer.work.lists);
        self.vectors += u64::from(answer.work.reranked);
        self.reads += u64::from(answer.work.reads);
        if let Some(filtered) = answer.filtered {
            *self.plans.entry(filtered.plan).or_default() += 1;
        }
        Ok(())
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |times: &[f64], share: usize| {
            let mut sorted = times.to_vec();
            sorted.sort_by(f64::total_cmp);
            sorted.get(sorted.len().saturating_sub(1) * share / 100).copied().unwrap_or_default()
        };
        let mean = |sum: u64| sum as f64 / self.times.len().max(1) as f64; // CAST: shown rounded
        let plans: Vec<String> = self.plans.iter().map(|(plan, count)| format!("{plan} {count}")).collect();
        write!(
            f,
            "{:<19} {:>8.4} {:>9.1} {:>9.1} {:>11.1} {:>9.0} {:>7.1} {:>9.1} {:>7.1}  {}",
            self.what,
            self.found as f64 / self.wanted.max(1) as f64, // CAST: a ratio
            of(&self.times, 50),
            of(&self.times, 99),
            of(&self.compiled, 50),
            mean(self.codes),
            mean(self.lists),
            mean(self.vectors),
            mean(self.reads),
            plans.join(" ")
        )
    }
}

/// Searches without a filter.
pub(crate) fn all(engine: &Engine, set: &Set, queries: usize) -> Result<Measured> {
    let mut measured = Measured { what: "all".to_owned(), ..Measured::default() };
    let count = usize::try_from(set.queries.len())?;
    let truth = set.truth();
    let kernel = PairKernel::new(Operation::SquaredL2, set.base.dtype(), set.base.dim());
    let params = SearchParams::new(K);
    // The first make room.
    for number in 0..queries + 100 {
        let query = set.queries.row(number % count);
        let kth = truth.ids[(number % count) * truth.columns + K - 1];
        let kth = kernel.score(query, set.base.row(usize::try_from(kth)?));
        let limit = engine.index().metric().distance_of_score(kth);
        measured.take(engine, query, &params, limit)?;
        if number == 99 {
            measured = Measured { what: measured.what, ..Measured::default() };
        }
    }
    Ok(measured)
}

/// Searches of some tenants: each has the same number of queries.
pub(crate) fn of_tenants(
    engine: &Engine,
    set: &Set,
    tenants: &Tenants,
    some: &[usize],
    queries: usize,
) -> Result<Measured> {
    let sizes = |tenant: Option<&usize>| tenant.map_or(0, |&tenant| tenants.rows(tenant).len());
    let what = format!("{}..={}", sizes(some.last()), sizes(some.first()));
    let mut measured = Measured { what, ..Measured::default() };
    let kernel = PairKernel::new(Operation::SquaredL2, set.base.dtype(), set.base.dim());
    let (count, taken) = (usize::try_from(set.queries.len())?, some.len().min(TENANTS));
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for at in 0..taken {
        let tenant = some[(2 * at + 1) * some.len() / (2 * taken)];
        let start = Instant::now();
        let filter = Some(Arc::new(compiled(engine.index(), &Tenants::filter(tenant))?));
        measured.compiled.push(1e6 * start.elapsed().as_secs_f64());
        let params = SearchParams { filter, ..SearchParams::new(K) };
        engine.search(set.queries.row(0), &params)?;
        for _ in 0..queries.div_ceil(taken) {
            let query = set.queries.row(rng.random_range(0..count));
            let rows = tenants.rows(tenant).iter();
            let mut scores: Vec<f32> =
                rows.map(|&row| kernel.score(query, set.base.row(row as usize))).collect();
            scores.sort_by(f32::total_cmp);
            let kth = scores[K.min(scores.len()) - 1];
            measured.take(engine, query, &params, engine.index().metric().distance_of_score(kth))?;
        }
    }
    Ok(measured)
}
