//! What a query spends for a recall: a place on the curves of its index.
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::{
    MAIN_COLUMN, Manifest, RecallCurve, RecallCurves, RecallPoint, SectionKind, SegmentEntry,
};
use spandrel_index::{Index, Tier};

use crate::stop::StopRule;

/// Recall of queries that name no pruning.
pub const RECALL_DEFAULT: f64 = 0.95;

/// Of fewer vectors all lists are searched, and all vectors may be compared exactly: where codes tell next to nothing
/// apart, as of normal numbers in 768 dimensions, that alone finds the neighbours.
pub(crate) const SMALL_INDEX: u64 = 10_000;

/// Recall that less effort leaves at least, and about that of the first point of a curve.
pub(crate) const RECALL_LEAST: f64 = 0.5;
/// Of an index that is not calibrated, the number of lists grows as this power of the neighbours wanted: on SIFT descriptors and
/// sentence embeddings it grew as powers of 0.26 to 0.44.
const UNKNOWN_GROWTH: f64 = 0.5;
/// Between this number of neighbours and more, what tells whether one is missing changes little. Between 1 and this it does: by the rules
/// of 1 and 10 neighbours, sentence embeddings found 0.947 of 0.95 for 3, which have a rule of their own.
const K_BETWEEN_LEAST: u32 = 3;
/// Under a filter errors are those of a recall that misses this share of what may be missed: matches far from the query are told
/// apart less well. The hundredth of sentence embeddings that lies farthest from the query found 0.940 for 0.95 with it, 0.9315 with
/// half, and 0.947 with 0.35. Decision 013.
const STRICTER: f64 = 0.4;
/// The logarithm of how many times the neighbours wanted are compared shrinks as this power of the share that matches. Of sentence
/// embeddings 5.6 times are expected of all; 3.1 were compared of a hundredth and 2.1 of a thousandth. Decision 013.
const THINNING: f64 = 0.12;
/// Of more lists than this, one more makes no difference to speak of.
const FEW_LISTS: u32 = 32;
/// Rounding of an expected recall between two points.
const ROUNDING: f64 = 1e-9;

/// What a query aims at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Aim {
    /// Recall, more than 0 and at most 1.
    pub recall: f64,
    /// The share of the work for that which is spent, from 0 to 1, but no less than a recall of a half takes.
    pub effort: f64,
    /// Lists searched at most.
    pub lists_max: u32,
}

impl Aim {
    /// A recall, with no limit on effort or lists.
    pub const fn at(recall: f64) -> Aim {
        Aim { recall, effort: 1.0, lists_max: u32::MAX }
    }
}

/// What a query spends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pruning {
    /// A list is searched iff its head is no farther than `1 + epsilon` times the nearest head; no such limit if none.
    pub epsilon: Option<f32>,
    /// Lists searched at most, no more than there are.
    pub max_lists: u32,
    /// Share of the queries that search the last of these lists too, where the recall falls between two numbers of lists.
    pub(crate) last: f64,
    /// Standard errors of estimates within which vectors are compared exactly. Lists of exact vectors do not use it.
    pub rerank_errors: f32,
    /// When a search of codes in memory ends early, or goes on beyond `max_lists`, to find as much as these.
    pub(crate) stop: Option<StopRule>,
    /// Vectors compared exactly after codes were scanned, to be expected; `k` where the index is not calibrated for it.
    pub(crate) reranked: f64,
    /// Recall that a query is to expect, on average over queries like those the index was calibrated with; none where the
    /// index is not calibrated, or not for this many neighbours.
    pub recall: Option<f64>,
}

/// The recall that a query asked for, and what it is to expect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Promise {
    /// Recall asked for; [`RECALL_DEFAULT`] of a query that names no pruning.
    pub target: f64,
    /// Recall to be expected of what was spent, on average over queries like those the index was calibrated with. None
    /// where nothing is known: the index is not calibrated or not for this many neighbours, some vectors may be no
    /// answers, `rerank` asks for less, `max_bytes` left out vectors of lists that were searched or lists of a search under a filter, or parts are damaged.
    pub expected: Option<f64>,
}

impl Promise {
    /// Whether the target at least is to be expected.
    pub fn reached(&self) -> bool {
        self.expected.is_some_and(|expected| expected + ROUNDING >= self.target)
    }
}

impl Pruning {
    /// What a query for `k` neighbours spends: what `aim` takes, or the most that is known to help where that is less.
    pub fn of(index: &Index, k: usize, aim: Aim) -> Pruning {
        let (manifest, recall, vectors) = (index.manifest(), index.recall(), index.vectors_tier());
        Calibrated { manifest, recall, vectors }.pruning(k, aim)
    }

    /// As [`Calibrated::among`].
    pub(crate) fn among(index: &Index, k: usize, share: f64, aim: Aim) -> Pruning {
        let (manifest, recall, vectors) = (index.manifest(), index.recall(), index.vectors_tier());
        Calibrated { manifest, recall, vectors }.among(k, share, aim)
    }
}

/// What an index says of its recall, open or not.
#[derive(Debug, Clone, Copy)]
pub struct Calibrated<'a> {
    /// What it says of itself.
    pub manifest: &'a Manifest,
    /// Its curves, where it was calibrated.
    pub recall: Option<&'a RecallCurves>,
    /// Where its vectors are searched.
    pub vectors: Tier,
}

impl Calibrated<'_> {
    /// As [`Pruning::of`].
    ///
    /// Between two curves the number of lists grows as a power of k; errors and epsilon are the larger of both. Fewer
    /// neighbours than the first curve's take what it says, more than the last's take all lists. So do all where values of a
    /// partition share every list.
    pub fn pruning(&self, k: usize, aim: Aim) -> Pruning {
        let lists = u32::try_from(self.manifest.found_lists()).unwrap_or(u32::MAX);
        let share = |lists: u32| (f64::from(lists) * aim.effort).ceil() as u32; // CAST: effort is at most 1, so at most `lists`
        let curves = || self.recall.into_iter().flat_map(|recall| recall.of(self.vectors));
        let takes_all = self.manifest.shares_all_lists();
        let before = curves().take_while(|curve| takes_all || (curve.k as usize) < k).last();
        let after = curves().find(|curve| !takes_all && curve.k as usize >= k);
        let wanted = k as f64; // CAST: below 2^53
        let unknown = |epsilon, max_lists, rerank_errors| Pruning {
            epsilon,
            max_lists,
            last: 1.0,
            rerank_errors,
            stop: None,
            reranked: wanted,
            recall: None,
        };
        let pruning = match (before, after) {
            (None, None) => {
                let usual = self.manifest.search_default;
                let (epsilon, most) =
                    if takes_all { (None, lists) } else { (usual.epsilon, usual.max_lists) };
                unknown(epsilon, share(most.min(lists)), usual.rerank_errors)
            }
            (Some(last), None) => {
                let rerank_errors = last.points.last().map_or(0.0, |point| point.rerank_errors);
                unknown(None, share(lists), rerank_errors)
            }
            (Some(before), Some(after)) if after.k as usize > k => {
                let share = way(before.k.into(), wanted, after.k.into());
                Spot::of(before, aim).towards(Spot::of(after, aim), share).pruning()
            }
            (_, Some(curve)) => Spot::of(curve, aim).pruning(),
        };
        let max_lists = pruning.max_lists.min(aim.lists_max).clamp(1, lists);
        let last = if max_lists < pruning.max_lists { 1.0 } else { pruning.last };
        let takes_all = max_lists == lists && last >= 1.0 && pruning.epsilon.is_none();
        let recall = if takes_all && self.finds_all_of_all_lists() { Some(1.0) } else { pruning.recall };
        Pruning { max_lists, last, recall, ..pruning }
    }

    /// What a query spends for `k` neighbours among the vectors that match a filter, `share` of all.
    ///
    /// Where what matches is independent of where vectors lie, these neighbours are some of the `k / share` nearest of all: lists
    /// that hold a share of these hold that share of the `k`. Beyond the last curve the number of lists grows as a power up
    /// to all lists for all vectors. Errors are those of `k / share`, or those of `k` and a stricter recall if they are more. A search
    /// ends where one of all vectors for `k / share` would, between two curves; none leaves lists out by their distance.
    pub(crate) fn among(&self, k: usize, share: f64, aim: Aim) -> Pruning {
        let own = self.pruning(k, Aim { recall: 1.0 - STRICTER * (1.0 - aim.recall), ..aim });
        if self.manifest.shares_all_lists() {
            return own;
        }
        let lists = u32::try_from(self.manifest.found_lists()).unwrap_or(u32::MAX);
        let (vectors, all) = (self.manifest.vectors() as f64, f64::from(lists) * aim.effort); // CAST: below 2^53
        let wide = (k as f64 / share).min(vectors);
        let curves = || self.recall.into_iter().flat_map(|recall| recall.of(self.vectors));
        let before = curves().take_while(|curve| f64::from(curve.k) <= wide).last();
        let after = curves().find(|curve| f64::from(curve.k) >= wide);
        let is_between = before.is_some() && after.is_some();
        let spot = match (before, after) {
            (None, None) => {
                let grown = f64::from(own.max_lists) * share.powf(-UNKNOWN_GROWTH);
                let max_lists = (grown.ceil() as u32).min(aim.lists_max).clamp(1, lists); // CAST: `as` saturates, and `min` bounds it
                return Pruning { max_lists, last: 1.0, epsilon: None, stop: None, recall: None, ..own };
            }
            (Some(last), None) => {
                let spot = Spot::of(last, aim);
                spot.towards(Spot { lists: all, epsilon: None, ..spot }, way(last.k.into(), wide, vectors))
            }
            (Some(before), Some(after)) => {
                let part = way(before.k.into(), wide, after.k.into());
                Spot::of(before, aim).towards(Spot::of(after, aim), part)
            }
            (None, Some(first)) => Spot::of(first, aim),
        };
        let found = spot.pruning();
        let max_lists = found.max_lists.min(aim.lists_max).clamp(1, lists);
        Pruning {
            max_lists,
            last: 1.0,
            epsilon: None,
            rerank_errors: found.rerank_errors.max(own.rerank_errors),
            stop: found.stop.filter(|_| is_between),
            reranked: thinned(own.reranked, k, share),
            recall: found.recall.filter(|_| max_lists >= found.max_lists.min(lists)),
        }
    }

    /// Whether searching all lists finds all: they hold exact vectors, and no graph may miss a list.
    fn finds_all_of_all_lists(&self) -> bool {
        let has_graph = |segment: &SegmentEntry| segment.section(SectionKind::Graph, MAIN_COLUMN).is_some();
        self.manifest.code() == Ok(CodeSpec::Full) && !self.manifest.segments.iter().any(has_graph)
    }
}

/// Vectors to be compared for `k` among a share of all, where among all it is `compared`: the fewer match, the farther the `k`-th is, and
/// the fewer are as far as it within the errors.
fn thinned(compared: f64, k: usize, share: f64) -> f64 {
    let least = k as f64; // CAST: below 2^53
    least * (compared / least).max(1.0).powf(share.powf(THINNING))
}

/// The share of the octaves between two numbers of neighbours that lie before `at`, at most 1.
fn way(from: f64, at: f64, to: f64) -> f64 {
    if to > from { ((at / from).log2() / (to / from).log2()).min(1.0) } else { 0.0 }
}

/// A place on a curve. Before its first point a curve goes on straight to nothing for no work.
#[derive(Debug, Clone, Copy)]
struct Spot {
    k: u32,
    lists: f64,
    errors: f32,
    epsilon: Option<f32>,
    stop: Option<StopRule>,
    reranked: f64,
    recall: f64,
}

impl Spot {
    fn of(curve: &RecallCurve, aim: Aim) -> Spot {
        let mut place = Place::of(curve, aim.recall, |point| point.recall);
        if aim.effort < 1.0 {
            let work = |point: &RecallPoint| curve.work(point);
            // Most of that work is what no answer can do without.
            let least = Place::of(curve, RECALL_LEAST, |point| point.recall).value(curve, work);
            let allowed = (aim.effort * place.value(curve, work)).max(least);
            place = place.before(Place::within(curve, allowed, work));
        }
        let lists = |point: &RecallPoint| f64::from(point.lists);
        place = place.before(Place::within(curve, aim.lists_max.into(), lists));
        let after = &curve.points[place.after];
        let errors = |point: &RecallPoint| f64::from(point.rerank_errors);
        let errors = if place.after == 0 { errors(after) } else { place.value(curve, errors) };
        Spot {
            k: curve.k,
            lists: place.value(curve, lists),
            errors: errors as f32, // CAST: between two f32
            epsilon: after.epsilon,
            stop: place.stop(curve),
            reranked: place.value(curve, |point| point.reranked),
            recall: place.value(curve, |point| point.recall),
        }
    }

    /// A share of the way from this spot, of fewer neighbours, to another.
    fn towards(self, other: Spot, share: f64) -> Spot {
        let growth = (other.lists.max(1.0) / self.lists.max(1.0)).powf(share);
        let rules = self.stop.zip(other.stop).filter(|_| self.k >= K_BETWEEN_LEAST);
        Spot {
            k: self.k,
            lists: self.lists.max(1.0) * growth,
            errors: self.errors.max(other.errors),
            epsilon: self.epsilon.zip(other.epsilon).map(|(a, b)| a.max(b)),
            stop: rules.map(|(a, b)| a.towards(b, share as f32)), // CAST: a share
            reranked: self.reranked.max(other.reranked),
            recall: self.recall.min(other.recall),
        }
    }

    fn pruning(self) -> Pruning {
        // A rounding more is no list more.
        let max_lists = (self.lists - ROUNDING).ceil() as u32; // CAST: `as` saturates at 0 and `u32::MAX`
        let Spot { lists, epsilon, errors: rerank_errors, stop, reranked, recall, .. } = self;
        let is_shared = (2..=FEW_LISTS).contains(&max_lists) && stop.is_none();
        let last = if is_shared { 1.0 - (f64::from(max_lists) - lists).max(0.0) } else { 1.0 };
        Pruning { epsilon, max_lists, last, rerank_errors, stop, reranked, recall: Some(recall) }
    }
}

/// A share of the way from the point before to a point. What is missed falls ever more slowly with work, so that between
/// two points less is missed than the straight line between them says.
#[derive(Debug, Clone, Copy)]
struct Place {
    after: usize,
    share: f64,
}

impl Place {
    /// The first place where an ascending `value` is reached, or the end.
    fn of(curve: &RecallCurve, wanted: f64, value: impl Fn(&RecallPoint) -> f64) -> Place {
        let Some(after) = curve.points.iter().position(|point| value(point) >= wanted) else {
            return Place { after: curve.points.len() - 1, share: 1.0 };
        };
        let high = value(&curve.points[after]);
        let low = after.checked_sub(1).map_or(0.0, |before| value(&curve.points[before]));
        let share = if high > low { ((wanted - low) / (high - low)).clamp(0.0, 1.0) } else { 1.0 };
        Place { after, share }
    }

    /// The last place where a `value` that never falls is at most `most`: points may take equal numbers of lists.
    fn within(curve: &RecallCurve, most: f64, value: impl Fn(&RecallPoint) -> f64) -> Place {
        let Some(after) = curve.points.iter().position(|point| value(point) > most) else {
            return Place { after: curve.points.len() - 1, share: 1.0 };
        };
        let low = after.checked_sub(1).map_or(0.0, |before| value(&curve.points[before]));
        match after.checked_sub(1) {
            Some(before) if most <= low => Place { after: before, share: 1.0 },
            _ => Place { after, share: ((most - low) / (value(&curve.points[after]) - low)).max(0.0) },
        }
    }

    fn value(self, curve: &RecallCurve, value: impl Fn(&RecallPoint) -> f64) -> f64 {
        let low = self.after.checked_sub(1).map_or(0.0, |before| value(&curve.points[before]));
        low + self.share * (value(&curve.points[self.after]) - low)
    }

    /// When a search ends early that spends what is spent here. Where that is so at one of the two points alone, between them
    /// none does.
    fn stop(self, curve: &RecallCurve) -> Option<StopRule> {
        let weights = curve.stop?;
        let high = curve.points[self.after].log_odds?;
        let threshold = match self.after.checked_sub(1) {
            Some(before) if self.share < 1.0 => {
                let low = curve.points[before].log_odds?;
                low + self.share as f32 * (high - low) // CAST: a share
            }
            _ => high,
        };
        Some(StopRule { weights, threshold })
    }

    fn before(self, other: Place) -> Place {
        if (other.after, other.share) < (self.after, self.share) { other } else { self }
    }
}

#[cfg(test)]
mod tests;
