//! Searches of the queries under one setting after the other, each made once.
use std::collections::HashMap;
use std::rc::Rc;

use rayon::ThreadPool;
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::RangeCurve;
use spandrel_index::{Index, Segment, Tier};

use super::error::CalibrateError;
use super::given::{GivenQueries, GivenTo};
use super::lists::{RanksOf, ranks};
use super::part::{Part, part_of};
use super::placement::Placement;
use super::queries::Queries;
use super::ranges::{RangesOf, ranges};
use super::recordings::Recordings;
use super::replay::{Asked, Field, Outcome};
use super::rule::Rule;
use super::setting::{STEPS_MAX, STEPS_MAX_SMALL, Setting};
use super::stopping::{Stopping, Traced};
use super::truth::{TrueNeighbours, nearest};
use crate::collect::Keep;
use crate::costs::{CODES_PER_PAGE, CODES_PER_VECTOR};
use crate::pruning::{RECALL_DEFAULT, SMALL_INDEX};
use crate::stop::{StopRule, cap};
use crate::{ParamsError, QueryPlan, Rerank, SearchParams};

/// Bytes of a page on which codes lie on SSD.
const PAGE_BYTES: f64 = 4096.0;

/// Numbers of neighbours at most for which searches end early: more are kept in order too slowly.
const STOP_K_MAX: u32 = 100;
/// Recall at which it is to save lists.
const STOP_RECALL: f64 = 0.99;
/// Searches are traced over this many times the lists that this recall takes.
const TRACED: u32 = 4;

/// When searches end early, or that their steps are traced instead.
#[derive(Clone, Copy)]
enum Watch {
    Rule(Option<StopRule>),
    Traced,
}

/// What a setting came to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Trial {
    /// When its searches ended early.
    pub(super) stop: Option<StopRule>,
    /// Of each query, the share of its true neighbours that was not found.
    pub(super) losses: Vec<f64>,
    /// Means over the queries.
    pub(super) reranked: f64,
    pub(super) vectors_scanned: f64,
}

impl Trial {
    /// Mean recall of the rows themselves.
    pub(super) fn recall(&self) -> f64 {
        1.0 - self.missed() / self.losses.len() as f64 // CAST: exact
    }

    /// What all queries together missed, in queries.
    pub(super) fn missed(&self) -> f64 {
        self.losses.iter().sum()
    }
}

/// The queries, and how their losses say what to expect.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) queries: &'a Queries,
    /// Where they are from, unless they are rows of the index.
    pub(super) given: Option<GivenQueries<'a>>,
    pub(super) rule: Rule,
}

pub(super) struct Trials<'a> {
    index: &'a Index,
    queries: &'a Queries,
    nearest: Vec<TrueNeighbours>,
    /// How many lists are read before each of a query's neighbours is found.
    ranks: Vec<Vec<u32>>,
    /// Numbers of neighbours that are asked for.
    ks: Vec<u32>,
    lists_max: u32,
    recordings: Recordings<'a>,
    /// Numbers of lists worth trying, ascending.
    grid: Vec<u32>,
    pool: &'a ThreadPool,
    codes_per_page: f64,
    /// How losses say what to expect.
    rule: Rule,
    tried: HashMap<(u32, Part, Setting), Rc<Trial>>,
    /// When searches end early, by number of neighbours; none where that saves too few lists.
    stopping: HashMap<u32, Option<Stopping>>,
    tell: &'a mut dyn FnMut(u64) -> bool,
}

impl<'a> Trials<'a> {
    /// Finds the true neighbours, up to the largest number in `ks`.
    pub(super) fn new(
        index: &'a Index,
        given: Given<'a>,
        placement: Placement,
        pool: &'a ThreadPool,
        ks: &[u32],
        tell: &'a mut dyn FnMut(u64) -> bool,
    ) -> Result<Trials<'a>, CalibrateError> {
        let Given { queries, given, rule } = given;
        let codes_per_page = match index.manifest().build.codes {
            Tier::Memory => CODES_PER_PAGE,
            Tier::Ssd => {
                let entries = |segment: &Segment| -> usize {
                    (0..segment.lists()).map(|list| segment.directory.entry(list).count()).sum()
                };
                let entries: usize = index.segments().iter().map(entries).sum();
                let bytes: u64 = index.segments().iter().map(|segment| segment.codes.body_bytes).sum();
                PAGE_BYTES * entries as f64 / bytes as f64 // CAST: a ratio
            }
        };
        let depth = |query: usize| {
            let wanted = ks.iter().filter(|&&k| query.is_multiple_of(queries.step(k)));
            wanted.max().map_or(0, |&k| k as usize)
        };
        let depths: Vec<usize> = (0..queries.len()).map(depth).collect();
        let mut go_on = || tell(0);
        let told = given
            .map(|given| given.nearest(&GivenTo { index, queries, pool }, &depths, &mut go_on))
            .transpose()?;
        let nearest = match told.flatten() {
            Some(told) => told,
            None => nearest(index, queries, &depths, pool, &mut go_on)?,
        };
        let to = RanksOf { index, queries, lists_max: placement.lists_max };
        let ranks = ranks(to, &nearest, pool, &mut go_on)?;
        Ok(Trials {
            index,
            queries,
            nearest,
            ranks,
            ks: ks.to_vec(),
            lists_max: placement.lists_max,
            recordings: Recordings::new(index, pool, placement.recordings_bytes),
            grid: grid(index.vectors(), placement.lists_max),
            pool,
            codes_per_page,
            rule,
            tried: HashMap::new(),
            stopping: HashMap::new(),
            tell,
        })
    }

    /// The recall at which a curve ends. Rows cannot tell more, and searches for many neighbours take long; queries that are
    /// given tell all they can.
    pub(super) fn recall_most(&self, k: u32) -> f64 {
        match k {
            _ if self.queries.own.is_none() => 1.0,
            ..1000 => 0.995,
            1000.. => 0.96,
        }
    }

    /// How losses of searches for `k` neighbours say what to expect.
    pub(super) fn rule(&self, k: u32) -> Rule {
        self.rule.of_neighbours(k)
    }

    pub(super) fn has_codes(&self) -> bool {
        self.index.code() != CodeSpec::Full
    }

    pub(super) fn grid(&self) -> &[u32] {
        &self.grid
    }

    /// Queries of a part for a number of neighbours: fewer where each has many.
    fn part(&self, k: u32, part: Part) -> impl Iterator<Item = usize> + use<> {
        let Queries { count: all, times, .. } = *self.queries;
        let (step, is_given) = (self.queries.step(k), self.queries.own.is_none());
        let every = step.max(times);
        (0..all).step_by(step).filter(move |query| {
            let number = query.is_multiple_of(every).then_some(query / every);
            // Those that are asked for one neighbour alone only say what to expect.
            number.map_or(Part::Rest, |number| part_of(number, all.div_ceil(every), is_given)) == part
        })
    }

    /// The place in the grid of the fewest lists that hold a share of the neighbours; its end when none do.
    pub(super) fn fewest_lists(&self, k: u32, wanted: f64) -> usize {
        self.grid.partition_point(|&lists| {
            let held = |query: usize| {
                let ranks = first(&self.ranks[query], k);
                share(ranks.iter().filter(|&&rank| rank < lists).count(), ranks.len())
            };
            let held: Vec<f64> = self.part(k, Part::Path).map(held).collect();
            held.iter().sum::<f64>() / (held.len() as f64) < wanted // CAST: exact
        })
    }

    /// Most steps of errors.
    pub(super) fn steps_max(&self) -> u8 {
        if !self.has_codes() {
            0
        } else if self.index.vectors() < SMALL_INDEX {
            STEPS_MAX_SMALL
        } else {
            STEPS_MAX
        }
    }

    /// Where to begin for another number of neighbours than `near` is for: errors and pruning alike, and the lists that
    /// hold enough of the neighbours for the default recall.
    pub(super) fn start(&self, k: u32, near: Setting) -> Setting {
        let at = self.fewest_lists(k, self.rule(k).wanted(RECALL_DEFAULT));
        let lists = self.grid[at.min(self.grid.len() - 1)];
        Setting { lists, steps: near.steps.min(self.steps_max()), ..near }
    }

    /// Searches under a setting, unless that was done before.
    pub(super) fn outcome(
        &mut self,
        k: u32,
        part: Part,
        setting: Setting,
    ) -> Result<Rc<Trial>, CalibrateError> {
        if let Some(trial) = self.tried.get(&(k, part, setting)) {
            return Ok(Rc::clone(trial));
        }
        let picks: Vec<usize> = self.part(k, part).collect();
        let stop = self.stop_rule(k, setting);
        let outcomes = self.search(&picks, k, setting, Watch::Rule(stop))?;
        let (mut losses, mut reranked, mut vectors_scanned) = (Vec::new(), 0, 0);
        for (outcome, &query) in outcomes.iter().zip(&picks) {
            let neighbours = first(&self.nearest[query].distances, k).len();
            losses.push(share(neighbours - outcome.found, neighbours));
            reranked += outcome.reranked;
            vectors_scanned += outcome.vectors_scanned;
        }
        let count = picks.len() as f64; // CAST: a mean, here and below
        let (reranked, vectors_scanned) = (reranked as f64 / count, vectors_scanned as f64 / count);
        let trial = Rc::new(Trial { stop, losses, reranked, vectors_scanned });
        self.tried.insert((k, part, setting), Rc::clone(&trial));
        Ok(trial)
    }

    /// Work in vectors compared exactly. With vectors on SSD that is about a page for each, and codes scanned are worth what
    /// they take of the time of one, or where they lie on SSD the pages that they lie on.
    pub(super) fn work(&self, trial: &Trial, vectors: Tier) -> f64 {
        trial.reranked + trial.vectors_scanned / self.codes_per_compared(vectors)
    }

    /// Codes scanned in the time that one vector takes to be compared.
    pub(super) fn codes_per_compared(&self, vectors: Tier) -> f64 {
        match vectors {
            Tier::Ssd => self.codes_per_page,
            Tier::Memory => CODES_PER_VECTOR,
        }
    }

    /// Which lists hold what share of the vectors within a radius.
    pub(super) fn ranges(self) -> Result<Vec<RangeCurve>, CalibrateError> {
        let Trials { index, queries, nearest, ks, rule, pool, tell, recordings, .. } = self;
        // Makes room for what each thread counts.
        drop(recordings);
        let of = RangesOf { index, queries, nearest: &nearest, ks: &ks, rule, pool };
        ranges(&of, &mut || tell(0))
    }

    /// Learns when searches for `k` neighbours have found enough: whether that saves lists.
    pub(super) fn learn_to_stop(&mut self, k: u32) -> Result<bool, CalibrateError> {
        if let Some(learned) = self.stopping.get(&k) {
            return Ok(learned.is_some());
        }
        let index = self.index;
        let in_memory = index.manifest().build.codes == Tier::Memory;
        if k > STOP_K_MAX || !self.has_codes() || !in_memory || self.grid.len() == 1 {
            return Ok(false);
        }
        let enough = self.fewest_lists(k, self.rule(k).wanted(STOP_RECALL));
        let Some(&enough) = self.grid.get(enough) else { return Ok(false) };
        let lists = enough.saturating_mul(TRACED).min(index.found_lists());
        let picks: Vec<usize> = self.part(k, Part::Path).collect();
        let outcomes = self.search(&picks, k, Setting::new(lists, 0), Watch::Traced)?;
        let traced = outcomes.into_iter().zip(&picks).map(|(outcome, &query)| {
            let ranks = first(&self.ranks[query], k).to_vec();
            Traced { steps: outcome.steps, ranks }
        });
        // Nothing is left to take after all lists.
        let traced_lists = if lists == index.found_lists() { u32::MAX } else { lists };
        let learned =
            Stopping::learn(traced.collect(), traced_lists).filter(|stopping| stopping.is_worth(enough));
        let is_worth = learned.is_some();
        self.stopping.insert(k, learned);
        Ok(is_worth)
    }

    /// When searches end early under a setting.
    fn stop_rule(&self, k: u32, setting: Setting) -> Option<StopRule> {
        let stopping = self.stopping.get(&k)?.as_ref().filter(|_| setting.stops)?;
        let threshold = stopping.threshold(setting.lists)?;
        Some(StopRule { weights: stopping.weights, threshold })
    }

    fn search(
        &mut self,
        picks: &[usize],
        k: u32,
        setting: Setting,
        watch: Watch,
    ) -> Result<Vec<Outcome>, CalibrateError> {
        let (rule, is_traced) = match watch {
            Watch::Rule(rule) => (rule, false),
            Watch::Traced => (None, true),
        };
        let params = SearchParams {
            epsilon: setting.epsilon(),
            max_lists: Some(if rule.is_some() { cap(setting.lists) } else { setting.lists }),
            rerank: Some(Rerank::Errors(setting.errors())),
            ..SearchParams::new(k as usize) // CAST: widening
        };
        let refused = |error: ParamsError| CalibrateError::Search(error.into());
        let plan = QueryPlan::of(&params, self.index).map_err(refused)?;
        let errors_max = Setting { steps: self.steps_max(), ..setting }.errors();
        let most = SearchParams { rerank: Some(Rerank::Errors(errors_max)), ..params };
        let most = QueryPlan::of(&most, self.index).map_err(refused)?;
        let errors = most.verify.and_then(|verify| verify.kept_errors());
        let build = &self.index.manifest().build;
        let copies = build.codes == Tier::Ssd && build.max_replicas > 1;
        let (queries, recorded) = (self.queries, Recordings::recorded(k));
        let deepest = |query: usize| {
            let asked = self.ks.iter().filter(|&&k| k <= recorded && query.is_multiple_of(queries.step(k)));
            asked.max().map_or(k, |&most| most.max(k)) as usize // CAST: widening
        };
        let asked = |query| Asked {
            plan: plan.clone(),
            keep: Keep { k: deepest(query), errors, compared_max: usize::MAX, copies },
            rule,
            is_traced,
        };
        let field = Field {
            queries: self.queries,
            nearest: &self.nearest,
            ranks: &self.ranks,
            lists_max: self.lists_max,
        };
        self.recordings.search(field, picks, &asked, self.tell)
    }
}

/// Numbers of lists worth trying, sixteen to an octave, and the most; of a small index all lists alone.
fn grid(vectors: u64, lists_max: u32) -> Vec<u32> {
    let octaves = (0..27).map(|octave| 1_u32 << octave);
    let steps = octaves.flat_map(|sixteenth| (16..32).map(move |sixteenths| sixteenths * sixteenth));
    let fewer = (1..16).chain(steps).take_while(|&lists| lists < lists_max && vectors >= SMALL_INDEX);
    fewer.chain([lists_max]).collect()
}

/// The first `k`, or all where there are fewer.
fn first<T>(values: &[T], k: u32) -> &[T] {
    &values[..values.len().min(k as usize)]
}

/// A share of some; 0 of none.
fn share(part: usize, all: usize) -> f64 {
    part as f64 / all.max(1) as f64 // CAST: exact
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_lists_end_with_the_most() {
        assert_eq!(grid(9_999, 400), [400]);
        assert_eq!(grid(10_000, 3), [1, 2, 3]);
        assert_eq!(grid(10_000, 35), (1..33).chain([34, 35]).collect::<Vec<u32>>());
        let many = grid(u64::from(u32::MAX), u32::MAX);
        assert!(many.is_sorted() && many.last() == Some(&u32::MAX));
    }
}
