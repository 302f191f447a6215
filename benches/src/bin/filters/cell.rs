//! One cell of the table.
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use serde_json::{Value, json};
use spandrel_benches::filters::{compiled, mean_and_error};
use spandrel_benches::set::{K, Set};
use spandrel_datasets::{Rows, Truth};
use spandrel_engine::{Answer, Engine, FilterPlan, SearchParams, recalls};
use spandrel_index::{Index, Matches, Tier, VectorSource as _};

use crate::kinds::{self, Kind, SHARES};
use crate::orders::{self, Correlation, Order, picked};

/// Recall asked for.
const TARGET: f64 = 0.95;
/// Shortest time to take a rate for, in seconds.
const SECONDS: f64 = 0.3;
/// Times that each filter is compiled.
const COMPILED: u32 = 10;

/// What measuring may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Queries of a cell, at most.
    pub(crate) queries: usize,
    pub(crate) threads: usize,
}

/// The queries of a cell and their true neighbours, the same for every kind of filter.
pub(crate) struct Asked {
    correlation: Correlation,
    /// Number of the share.
    share: usize,
    vectors: usize,
    /// Vectors that match each filter.
    matches: usize,
    threads: usize,
    groups: Vec<Group>,
}

/// Queries with one filter.
struct Group {
    order: usize,
    queries: Rows,
    /// Their true neighbours among those that match.
    truth: Truth,
}

impl Asked {
    pub(crate) fn of(
        set: &Set,
        all: &[Order],
        correlation: Correlation,
        share: usize,
        limits: Limits,
    ) -> Result<Asked> {
        let Limits { queries, threads } = limits;
        let vectors = set.base.len() as usize; // CAST: sets are in memory
        let matches = kinds::matches(SHARES[share], vectors);
        let count = queries.div_ceil(orders::of(all, correlation).count());
        let group = |(number, order): (usize, &Order)| {
            let asking = picked(&set.queries, order.queries(correlation, count).iter().copied())?;
            let truth = order.truth(set, matches, &asking, threads)?;
            Ok(Group { order: number, queries: asking, truth })
        };
        let groups = orders::of(all, correlation).map(group).collect::<Result<_>>()?;
        Ok(Asked { correlation, share, vectors, matches, threads, groups })
    }

    /// Measures filters of a kind.
    pub(crate) fn measure(&self, engine: &Engine, kind: Kind) -> Result<Figures> {
        let index = engine.index();
        let begun = Instant::now();
        let mut compiled = Vec::new();
        for group in &self.groups {
            for _ in 1..COMPILED {
                self.compile(index, kind, group)?;
            }
            compiled.push(Arc::new(self.compile(index, kind, group)?));
        }
        let compiles = f64::from(COMPILED) * self.groups.len() as f64; // CAST: a mean
        let compile_s = begun.elapsed().as_secs_f64() / compiles;
        for matches in &compiled {
            let (found, matches) = (matches.count(), self.matches as u64); // CAST: widening
            anyhow::ensure!(found == matches, "{} matches {found} vectors, {matches} expected", kind.name());
        }
        let plain = self.rate(engine, &vec![None; self.groups.len()])?;
        let filters: Vec<_> = compiled.into_iter().map(Some).collect();
        let cached = self.rate(engine, &filters)?;
        let mut figures = Figures {
            kind,
            correlation: self.correlation,
            share: SHARES[self.share],
            matches: self.matches,
            plain,
            cached,
            // A thread compiles what it then searches.
            uncached: (cached.recip() + compile_s / self.threads as f64).recip(), // CAST: exact
            compile_us: 1e6 * compile_s,
            recalls: Vec::new(),
            short: 0,
            widened: 0,
            plans: [0; FilterPlan::ALL.len()],
            codes: 0.0,
            reads: 0.0,
        };
        for (group, filter) in self.groups.iter().zip(&filters) {
            figures.add(group, &self.search(engine, group, filter)?, index)?;
        }
        Ok(figures)
    }

    fn compile(&self, index: &Index, kind: Kind, group: &Group) -> Result<Matches> {
        compiled(index, &kinds::filter(kind, group.order, self.share, self.vectors))
    }

    /// Queries a second.
    fn rate(&self, engine: &Engine, filters: &[Option<Arc<Matches>>]) -> Result<f64> {
        let pass = || {
            let groups = self.groups.iter().zip(filters);
            groups.map(|(group, filter)| Ok(self.search(engine, group, filter)?.len())).sum::<Result<usize>>()
        };
        pass()?;
        let (begun, mut queries) = (Instant::now(), 0);
        while begun.elapsed().as_secs_f64() < SECONDS {
            queries += pass()?;
        }
        Ok(queries as f64 / begun.elapsed().as_secs_f64()) // CAST: exact to 2^53
    }

    fn search(&self, engine: &Engine, group: &Group, filter: &Option<Arc<Matches>>) -> Result<Vec<Answer>> {
        let params = SearchParams { recall: Some(TARGET), filter: filter.clone(), ..SearchParams::new(K) };
        Ok(engine.search(group.queries.bytes(), &params)?)
    }
}

/// What was measured of a cell.
pub(crate) struct Figures {
    kind: Kind,
    correlation: Correlation,
    share: f64,
    matches: usize,
    /// Queries a second without filters.
    plain: f64,
    /// With filters that were compiled before.
    cached: f64,
    /// With a filter compiled for each query.
    uncached: f64,
    compile_us: f64,
    /// Of each query.
    recalls: Vec<f64>,
    /// Queries with fewer results than there are.
    short: usize,
    widened: usize,
    /// Queries by their plan, in the order of [`FilterPlan::ALL`].
    plans: [usize; FilterPlan::ALL.len()],
    codes: f64,
    reads: f64,
}

impl Figures {
    pub(crate) const HEAD: &str = "kind   corr    share  matches  recall   error  short   plain QPS  of plain  \
                                   uncached  compile us    codes   reads  widened  plans";

    fn add(&mut self, group: &Group, answers: &[Answer], index: &Index) -> Result<()> {
        let k = group.truth.k;
        let truth = spandrel_engine::Truth {
            ids: &group.truth.ids,
            distances: group.truth.distances.as_deref().unwrap_or_default(),
            columns: k,
        };
        self.recalls.extend(recalls(index.metric(), answers, truth, k)?);
        for answer in answers {
            self.short += usize::from(answer.neighbours.len() < k);
            self.codes += answer.work.vectors_scanned as f64; // CAST: exact to 2^53
            self.reads += f64::from(answer.work.reads);
            let Some(filtered) = answer.filtered else { continue };
            self.widened += usize::from(filtered.widened);
            for (plan, count) in FilterPlan::ALL.iter().zip(&mut self.plans) {
                *count += usize::from(*plan == filtered.plan);
            }
        }
        Ok(())
    }

    /// Mean recall, and its standard error.
    fn recall(&self) -> (f64, f64) {
        mean_and_error(&self.recalls)
    }

    /// Queries by the plan that they took.
    fn plans(&self) -> impl Iterator<Item = (FilterPlan, usize)> {
        FilterPlan::ALL.into_iter().zip(self.plans).filter(|(_, count)| *count > 0)
    }

    /// A line for programs.
    pub(crate) fn json(&self, set: &str, codes: Tier, vectors: Tier) -> Value {
        let (recall, error) = self.recall();
        let count = self.recalls.len().max(1) as f64; // CAST: exact to 2^53
        let plans: serde_json::Map<String, Value> =
            self.plans().map(|(plan, count)| (plan.to_string(), count.into())).collect();
        json!({
            "set": set,
            "codes": codes.to_string(),
            "vectors": vectors.to_string(),
            "kind": self.kind.name(),
            "correlation": self.correlation.number(),
            "share": self.share,
            "matches": self.matches,
            "queries": self.recalls.len(),
            "recall": recall,
            "recall_error": error,
            "short": self.short,
            "plain_qps": self.plain,
            "cached_of_plain": self.cached / self.plain,
            "uncached_of_plain": self.uncached / self.plain,
            "compile_us": self.compile_us,
            "vectors_scanned": self.codes / count,
            "reads": self.reads / count,
            "widened": self.widened,
            "plans": plans,
        })
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (recall, error) = self.recall();
        let count = self.recalls.len().max(1) as f64; // CAST: exact to 2^53
        // With at most `K` matches all are returned, which says little of recall.
        let few = if self.matches <= K { '*' } else { ' ' };
        write!(
            f,
            "{:<6} {:>4} {:>8} {:>8}{few}{recall:>7.4} {error:>7.4} {:>6} {:>11.0} {:>9.2} {:>9.2} {:>11.1} {:>8.0} {:>7.1} {:>8}  ",
            self.kind.name(),
            self.correlation.number(),
            self.share,
            self.matches,
            self.short,
            self.plain,
            self.cached / self.plain,
            self.uncached / self.plain,
            self.compile_us,
            self.codes / count,
            self.reads / count,
            self.widened,
        )?;
        self.plans().try_for_each(|(plan, count)| write!(f, "{plan} {count} "))
    }
}
