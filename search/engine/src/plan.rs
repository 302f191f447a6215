//! What a query does in one index: made once from what was asked for.
use std::sync::Arc;

use spandrel_index::format::VectorsOf;
use spandrel_index::{Index, Matches, Metric, SegmentMatches, Tier};

use crate::accept::Accepted;
use crate::costs::lists_are_masked;
use crate::filter_plan::FilterPlan;
use crate::filtered::FilteredPlan;
use crate::near_share::Followed;
use crate::params::{Distances, ParamsError, Rerank, SearchParams};
use crate::pruning::{Aim, Promise, Pruning, RECALL_DEFAULT};
use crate::range_params::RangeParams;
use crate::range_plan::RangePlan;
use crate::range_pruning::RangePruning;
use crate::spend::{Demand, ProbePlan, Spend};
use crate::stop::{StopRule, cap};
use crate::together::Together;
use crate::verify_plan::VerifyPlan;

/// How queries are answered from one index.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryPlan {
    pub(crate) probe: ProbePlan,
    pub(crate) stop: StopPlan,
    /// Lists whose head has a smaller inner product with the query are not searched.
    pub(crate) min_head_score: Option<f32>,
    /// Which vectors may be answers.
    pub(crate) accept: Accepted,
    /// How they are searched, where they are those that match a filter.
    pub(crate) filtered: Option<FilteredPlan>,
    pub(crate) collect: CollectPlan,
    /// By which vectors candidates are compared.
    pub(crate) compare_by: VectorsOf,
    /// None where lists hold exact vectors: what is found in them needs no second look.
    pub(crate) verify: Option<VerifyPlan>,
    /// None where the query names its own pruning.
    pub(crate) promise: Option<Promise>,
    /// What queries miss, divided by what those missed that the index was calibrated with.
    pub(crate) misses: f64,
    /// Whether answers say where their time went.
    pub(crate) times: bool,
    /// Whether answers say how they were found.
    pub(crate) explain: bool,
}

/// Where a search ends in any case.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct StopPlan {
    /// Lists searched at most, no more than there are.
    pub(crate) lists_max: u32,
    /// Bytes asked of the disk at most.
    pub(crate) bytes_max: u64,
    /// When a search of codes in memory ends before.
    pub(crate) rule: Option<StopRule>,
    /// Under a filter, what is followed for it.
    pub(crate) followed: Option<Followed>,
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum CollectPlan {
    /// That many nearest neighbours, no more than there are vectors that may be answers; and of these the `best`: fewer where another column
    /// tells which they are.
    Nearest { k: usize, best: usize },
    /// The next of all vectors within a radius.
    Within(RangePlan),
    /// That many vectors whose codes are nearest to a token of a query document, none of them compared exactly.
    Tokens { keep: usize },
}

impl QueryPlan {
    /// Checks parameters against an index and fills in what they leave open.
    ///
    /// # Errors
    /// [`ParamsError`].
    pub fn of(params: &SearchParams, index: &Index) -> Result<QueryPlan, ParamsError> {
        if params.k == 0 {
            return Err(ParamsError::ZeroK);
        }
        let matches = checked(params, index)?;
        let acceptable = matches.map_or(index.vectors(), |matches| matches.count());
        check_held(params.compare_by, index)?;
        let least = |wanted: usize| usize::try_from(acceptable).map_or(wanted, |vectors| wanted.min(vectors));
        let by_column = params.compare_by == VectorsOf::Column;
        let best = least(params.k);
        let k = if by_column { least(params.column_candidates()?) } else { best };
        check_pruning(params)?;
        check_head_score(params, index)?;
        let is_named =
            params.epsilon.is_some() || params.max_lists.is_some() || params.min_head_score.is_some();
        let target = match params.recall {
            None if is_named => None,
            asked => Some(asked.unwrap_or(RECALL_DEFAULT)),
        };
        let lists_max = params.max_lists.unwrap_or(u32::MAX).min(index.found_lists());
        let together = matches.and_then(|matches| Together::of(matches, index));
        let share = match together {
            Some(together) => together.share,
            None => acceptable as f64 / index.vectors() as f64, // CAST: a ratio
        };
        let share = (acceptable < index.vectors()).then_some(share);
        let demand = Demand { params, index, k, share, together, target, lists_max };
        let spend = match matches {
            Some(matches) => demand.spend_among(matches),
            None => demand.spend(params.effort.into()),
        };
        let filtered = matches.map(|matches| FilteredPlan::of(params, matches, &spend, index)).transpose()?;
        let lists_max = lists_max.min(spend.probe.together.unwrap_or(u32::MAX));
        let plan = filtered.map(|filtered| filtered.plan);
        // Lists that are searched whole for a filter that all vectors match are searched without one.
        let is_all = plan == Some(FilterPlan::Post) && acceptable == index.vectors();
        let accept =
            Accepted::new(matches.filter(|_| !is_all).map(Arc::clone), plan == Some(FilterPlan::Lists));
        let Spend { pruning, probe, .. } = spend;
        // What was learned of all vectors tells when those are found that the nearest matches are among, where lists are searched whole.
        let is_watched = filtered.is_some_and(|filtered| filtered.aim.is_some());
        // It says nothing of another column.
        let learned =
            pruning.stop.filter(|_| target.is_some() && (accept.is_all() || is_watched) && !by_column);
        let cap = cap(pruning.max_lists).min(index.found_lists());
        let learned = learned.filter(|_| index.codes_tier() == Tier::Memory && cap <= lists_max);
        let probe = match learned {
            None => probe,
            Some(_) if is_watched => ProbePlan { beyond: cap - probe.lists.min(cap), ..probe },
            Some(_) => ProbePlan { lists: cap, last: 1.0, ..probe },
        };
        let followed =
            learned.filter(|_| is_watched).map(|_| Followed { nearest: wide(k, share), matches: k });
        let bytes_max = params.max_bytes.unwrap_or(u64::MAX);
        if bytes_max == 0 {
            return Err(ParamsError::ZeroBytes);
        }
        let verify = match by_column {
            // CAST: at most the vectors
            true => VerifyPlan::with(Rerank::Count(k as u32), false, index)?,
            false => VerifyPlan::of(params, index, pruning.rerank_errors)?,
        };
        let expected = expected(params, &pruning, plan);
        let promise = target.filter(|_| params.min_head_score.is_none());
        Ok(QueryPlan {
            probe,
            stop: StopPlan { lists_max, bytes_max, rule: learned, followed },
            min_head_score: params.min_head_score,
            accept,
            filtered,
            collect: CollectPlan::Nearest { k, best },
            compare_by: params.compare_by,
            verify,
            times: params.times || params.explain,
            explain: params.explain,
            promise: promise.map(|target| Promise { target, expected }),
            misses: params.misses,
        })
    }

    /// What a search within a radius does in an index.
    ///
    /// # Errors
    /// [`ParamsError`].
    pub fn within(params: &RangeParams, index: &Index) -> Result<QueryPlan, ParamsError> {
        index.metric().check_radius(params.radius)?;
        params.filter.as_ref().map_or(Ok(()), |matches| check_shape(matches, index))?;
        check_held(VectorsOf::Main, index)?;
        if !(0.0..=1.0).contains(&params.completeness) {
            return Err(ParamsError::Completeness { found: params.completeness });
        }
        if params.max_results == Some(0) {
            return Err(ParamsError::ZeroResults);
        }
        let bytes_max = params.max_bytes.unwrap_or(u64::MAX);
        if bytes_max == 0 {
            return Err(ParamsError::ZeroBytes);
        }
        let estimates = params.distances == Distances::Any;
        let pruning = RangePruning::of(params, index);
        let score = index.metric().score_of_distance(params.radius);
        Ok(QueryPlan {
            probe: ProbePlan { epsilon: None, lists: index.lists(), last: 1.0, beyond: 0, together: None },
            stop: StopPlan { lists_max: index.lists(), bytes_max, rule: None, followed: None },
            min_head_score: None,
            accept: within_filter(params, index),
            filtered: None,
            collect: CollectPlan::Within(RangePlan::new(score, pruning, bytes_max)),
            compare_by: VectorsOf::Main,
            verify: VerifyPlan::with(Rerank::Errors(pruning.errors), estimates, index)?,
            promise: None,
            misses: 1.0,
            times: false,
            explain: false,
        })
    }

    /// How vectors that match a filter are searched; none without one.
    pub fn filter_plan(&self) -> Option<FilterPlan> {
        self.filtered.map(|filtered| filtered.plan)
    }

    /// The recall to be expected of a search without a filter that ended after `lists` lists found by nearness; none where nothing is known.
    pub(crate) fn expected_of(&self, lists: u32, index: &Index) -> Option<f64> {
        let promise = self.promise.filter(|_| self.filtered.is_none())?;
        let aim = Aim { recall: promise.target, effort: 1.0, lists_max: lists };
        let recall = Pruning::of(index, self.k(), aim).recall?;
        Some(promise.expected?.min(with_misses(recall, self.misses)))
    }

    /// Nearest neighbours looked for, candidates among them where another column decides; none where all within a radius are wanted.
    pub(crate) fn k(&self) -> usize {
        match &self.collect {
            CollectPlan::Nearest { k, .. } => *k,
            CollectPlan::Within(_) => 0,
            // The lists that are named are searched, but for one that holds something.
            CollectPlan::Tokens { .. } => 1,
        }
    }

    /// Nearest neighbours wanted; none where all within a radius are.
    pub(crate) fn best(&self) -> usize {
        match &self.collect {
            CollectPlan::Nearest { best, .. } => *best,
            CollectPlan::Within(_) | CollectPlan::Tokens { .. } => 0,
        }
    }

    /// Vectors compared exactly at most, where lists hold codes.
    pub(crate) fn compared_max(&self, verify: &VerifyPlan) -> usize {
        match &self.collect {
            CollectPlan::Nearest { k, .. } => verify.compared_max(*k),
            CollectPlan::Within(_) => usize::MAX,
            CollectPlan::Tokens { .. } => 0,
        }
    }

    /// Pruning by distance, if any.
    pub fn epsilon(&self) -> Option<f32> {
        self.probe.epsilon
    }

    /// The recall asked for, and what is to be expected; none where the query names its own pruning.
    pub fn promise(&self) -> Option<Promise> {
        self.promise
    }

    /// Lists searched at most where they hold enough vectors, no more than there are.
    pub fn lists(&self) -> u32 {
        self.probe.lists.saturating_add(self.probe.beyond)
    }

    /// Which vectors are compared exactly; none where lists hold exact vectors.
    pub fn rerank(&self) -> Option<Rerank> {
        self.verify.map(|verify| verify.rerank)
    }

    /// Bytes set aside for pages of vectors before lists are chosen: a page for each of the neighbours wanted, but at
    /// most half of what may be asked, which is set aside where their number is not known.
    pub(crate) fn bytes_for_pages(&self, index: &Index) -> u64 {
        if self.verify.is_none() || index.vectors_tier() == Tier::Memory {
            return 0;
        }
        let half = self.stop.bytes_max / 2;
        match &self.collect {
            // CAST: widening
            CollectPlan::Nearest { k, .. } => {
                half.min((k * index.shape_of(self.compare_by).pages.page_bytes()) as u64)
            }
            CollectPlan::Within(_) => half,
            CollectPlan::Tokens { .. } => 0,
        }
    }
}

/// The nearest vectors that `k` matches are among, where a share of all match, wherever they lie.
fn wide(k: usize, share: Option<f64>) -> usize {
    share.map_or(k, |share| (k as f64 / share).round() as usize) // CAST: a number of vectors
}

/// Refuses to compare by vectors that are not there.
pub(crate) fn check_held(compare_by: VectorsOf, index: &Index) -> Result<(), ParamsError> {
    match index.column() {
        _ if index.documents().is_some() => Err(ParamsError::Documents),
        _ if index.holds(compare_by) => Ok(()),
        Some(column) => Err(ParamsError::NotKept { column: column.name.clone() }),
        None => Err(ParamsError::NoColumn),
    }
}

/// The filter of a query, which must be of the index.
fn checked<'a>(params: &'a SearchParams, index: &Index) -> Result<Option<&'a Arc<Matches>>, ParamsError> {
    let matches = params.filter.as_ref();
    match matches {
        None if params.filter_plan.is_some() => return Err(ParamsError::PlanAlone),
        None => {}
        Some(matches) => check_shape(matches, index)?,
    }
    Ok(matches)
}

/// The vectors that may be within a radius.
fn within_filter(params: &RangeParams, index: &Index) -> Accepted {
    let share = |matches: &Arc<Matches>| matches.count() as f64 / index.vectors().max(1) as f64; // CAST: a ratio
    let skips = params.filter.as_ref().is_some_and(|matches| lists_are_masked(share(matches), index));
    Accepted::new(params.filter.clone(), skips)
}

/// Refuses matches of an index of other segments.
fn check_shape(matches: &Matches, index: &Index) -> Result<(), ParamsError> {
    let found = matches.segments().iter().map(SegmentMatches::positions);
    if found.clone().eq(index.segments().iter().map(|segment| segment.count)) {
        return Ok(());
    }
    Err(ParamsError::FilterShape { found: found.sum(), expected: index.vectors() })
}

/// Refuses what says nothing of how lists are to be pruned.
fn check_pruning(params: &SearchParams) -> Result<(), ParamsError> {
    if let Some(found) = params.recall
        && !(found > 0.0 && found <= 1.0)
    {
        return Err(ParamsError::Recall { found });
    }
    if !(params.misses >= 1.0 && params.misses.is_finite()) {
        return Err(ParamsError::Misses { found: params.misses });
    }
    if params.recall.is_some() && params.epsilon.is_some() {
        return Err(ParamsError::RecallAndEpsilon);
    }
    if let Some(found) = params.epsilon
        && !(found >= 0.0 && found.is_finite())
    {
        return Err(ParamsError::Epsilon { found });
    }
    if params.max_lists == Some(0) {
        return Err(ParamsError::ZeroLists);
    }
    if !(0.0..=1.0).contains(&params.effort) {
        return Err(ParamsError::Effort { found: params.effort });
    }
    Ok(())
}

fn check_head_score(params: &SearchParams, index: &Index) -> Result<(), ParamsError> {
    match params.min_head_score {
        None => Ok(()),
        Some(found) if !found.is_finite() => Err(ParamsError::HeadScore { found }),
        Some(_) if index.metric() != Metric::InnerProduct => {
            Err(ParamsError::HeadScoreMetric { metric: index.metric() })
        }
        Some(_) if params.filter.is_some() => Err(ParamsError::HeadScoreFilter),
        Some(_) => Ok(()),
    }
}

/// Recall to be expected; none where nothing is known.
fn expected(params: &SearchParams, pruning: &Pruning, plan: Option<FilterPlan>) -> Option<f64> {
    match plan {
        Some(FilterPlan::Exact) => Some(1.0),
        // The curve is of other vectors.
        _ if params.compare_by == VectorsOf::Column => None,
        _ => {
            let recall = pruning.recall.filter(|_| !compares_less(params.rerank, pruning));
            recall.map(|recall| with_misses(recall, params.misses))
        }
    }
}

/// A recall, where `misses` times as much is missed.
fn with_misses(recall: f64, misses: f64) -> f64 {
    (1.0 - misses * (1.0 - recall)).max(0.0)
}

/// Whether a rule given with the query may compare fewer vectors than the recall takes.
fn compares_less(rerank: Option<Rerank>, pruning: &Pruning) -> bool {
    match rerank {
        None => false,
        Some(Rerank::Errors(errors)) => errors < pruning.rerank_errors,
        Some(Rerank::Count(_)) => true,
    }
}
