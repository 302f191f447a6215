//! Learns when a search of codes in memory has found enough, from searches that went on.
use spandrel_index::format::STOP_WEIGHTS;
use spandrel_index::math::exp;

use crate::stop::{TracedStep, cap, log_odds, terms};

/// Steps that weights are learned from at most: 21 weights are known well enough.
const LEARNED_MAX: usize = 8000;
/// Newton's steps at most. Five are usual.
const NEWTON_MAX: usize = 20;
/// Keeps weights of standardised terms finite where terms do not tell queries apart.
const RIDGE: f64 = 1.0;
/// Halvings by which a threshold is found, between log-odds that no search has.
const HALVINGS: u32 = 32;
const LOG_ODDS_MAX: f32 = 64.0;
/// A share of lists at most that is searched, of a constant number, for it to be worth while.
const WORTH: f64 = 0.9;

/// How the searches for a number of neighbours went that did not end early.
#[derive(Debug)]
pub(super) struct Stopping {
    pub(super) weights: [f32; STOP_WEIGHTS],
    searches: Vec<Search>,
    /// Lists of each.
    lists: u32,
}

/// One of these.
#[derive(Debug)]
struct Search {
    /// Numbers of lists after which it might have ended, ascending, each with the smallest log-odds so far.
    steps: Vec<(u32, f32)>,
    /// Lists searched before each of its neighbours is found, ascending.
    ranks: Vec<u32>,
}

/// A search as it was traced.
#[derive(Debug)]
pub(super) struct Traced {
    pub(super) steps: Vec<TracedStep>,
    /// Lists searched before each of its neighbours is found.
    pub(super) ranks: Vec<u32>,
}

impl Stopping {
    /// From searches of `lists` lists each. None where nothing is to be learned: none had a step, or weights are no numbers.
    pub(super) fn learn(traced: Vec<Traced>, lists: u32) -> Option<Stopping> {
        let steps: usize = traced.iter().map(|search| search.steps.len()).sum();
        let every = steps.div_ceil(LEARNED_MAX).max(1);
        let labelled = traced.iter().flat_map(|search| {
            search.steps.iter().map(|step| Labelled {
                terms: terms(&step.inputs).map(f64::from),
                missing: missing(&search.ranks, step.lists, lists),
            })
        });
        let weights = weights(&labelled.step_by(every).collect::<Vec<_>>())?;
        let searches = traced.into_iter().map(|Traced { steps, mut ranks }| {
            ranks.sort_unstable();
            let mut least = f32::INFINITY;
            let steps = steps.iter().map(|step| {
                least = least.min(log_odds(&weights, &step.inputs));
                (step.lists, least)
            });
            Search { steps: steps.collect(), ranks }
        });
        Some(Stopping { weights, searches: searches.collect(), lists })
    }

    /// The threshold with which searches miss no more than with a constant number of lists; none where that saves no lists,
    /// or may take more than were traced.
    pub(super) fn threshold(&self, lists: u32) -> Option<f32> {
        if cap(lists) > self.lists {
            return None;
        }
        let missed = self.mean(|search| search.missed(lists));
        let (mut low, mut high) = (-LOG_ODDS_MAX, LOG_ODDS_MAX);
        for _ in 0..HALVINGS {
            let middle = 0.5 * (low + high);
            let misses = self.mean(|search| search.missed(search.ends(middle, lists)));
            if misses <= missed { low = middle } else { high = middle }
        }
        (self.share(low, lists) < 1.0).then_some(low)
    }

    /// Whether it takes a tenth fewer lists at least to find as much as a constant number does.
    pub(super) fn is_worth(&self, lists: u32) -> bool {
        self.threshold(lists).is_some_and(|threshold| self.share(threshold, lists) <= WORTH)
    }

    /// Lists taken with a threshold, to those of a constant number.
    fn share(&self, threshold: f32, lists: u32) -> f64 {
        self.mean(|search| f64::from(search.ends(threshold, lists))) / f64::from(lists)
    }

    fn mean(&self, of: impl Fn(&Search) -> f64) -> f64 {
        self.searches.iter().map(of).sum::<f64>() / self.searches.len().max(1) as f64 // CAST: a mean
    }
}

impl Search {
    /// Lists it takes with a threshold, where a constant number would be `lists`.
    fn ends(&self, threshold: f32, lists: u32) -> u32 {
        let at = self.steps.partition_point(|&(_, least)| least >= threshold);
        self.steps.get(at).map_or(cap(lists), |&(ended, _)| ended.min(cap(lists)))
    }

    /// The share of its neighbours that a number of lists does not find.
    fn missed(&self, lists: u32) -> f64 {
        let found = self.ranks.partition_point(|&rank| rank < lists);
        (self.ranks.len() - found) as f64 / self.ranks.len().max(1) as f64 // CAST: a share
    }
}

/// The share of neighbours that `lists` do not find and `all` do.
fn missing(ranks: &[u32], lists: u32, all: u32) -> f64 {
    let missing = ranks.iter().filter(|&&rank| (lists..all).contains(&rank)).count();
    missing as f64 / ranks.len().max(1) as f64 // CAST: a share
}

/// A step of a search, and the share of its neighbours that was missing.
struct Labelled {
    terms: [f64; STOP_WEIGHTS],
    missing: f64,
}

/// Weights by which the logistic function of the terms comes nearest to what was missing, in likelihood: Newton's method on
/// standardised terms, in the order of the steps.
fn weights(labelled: &[Labelled]) -> Option<[f32; STOP_WEIGHTS]> {
    if labelled.is_empty() {
        return None;
    }
    let count = labelled.len() as f64; // CAST: exact
    let mean_of = |of: &dyn Fn(&Labelled) -> f64| labelled.iter().map(of).sum::<f64>() / count;
    let (mut means, mut scales) = ([0.0; STOP_WEIGHTS], [1.0; STOP_WEIGHTS]);
    // The first term is constant.
    for at in 1..STOP_WEIGHTS {
        means[at] = mean_of(&|step| step.terms[at]);
        let variance = mean_of(&|step| (step.terms[at] - means[at]).powi(2));
        scales[at] = variance.sqrt().max(1e-6);
    }
    let standardised = |step: &Labelled| {
        let mut terms = step.terms;
        for ((term, mean), scale) in terms.iter_mut().zip(&means).zip(&scales) {
            *term = (*term - mean) / scale;
        }
        terms
    };
    let mut found = [0.0; STOP_WEIGHTS];
    for _ in 0..NEWTON_MAX {
        let (mut slope, mut bend) = ([0.0; STOP_WEIGHTS], [[0.0; STOP_WEIGHTS]; STOP_WEIGHTS]);
        for step in labelled {
            let terms = standardised(step);
            let odds: f64 = terms.iter().zip(&found).map(|(term, weight)| term * weight).sum();
            let chance = 1.0 / (1.0 + exp(-odds));
            let certainty = chance * (1.0 - chance);
            for (row, &a) in terms.iter().enumerate() {
                slope[row] += a * (step.missing - chance);
                for (column, &b) in terms[..=row].iter().enumerate() {
                    bend[row][column] += a * b * certainty;
                }
            }
        }
        for at in 0..STOP_WEIGHTS {
            slope[at] -= RIDGE * found[at];
            bend[at][at] += RIDGE;
        }
        let step = solve(bend, slope);
        let largest = step.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
        found.iter_mut().zip(&step).for_each(|(weight, step)| *weight += step);
        if largest < 1e-6 {
            break;
        }
    }
    // Back to terms as they are.
    let mut weights = [0.0; STOP_WEIGHTS];
    for at in 1..STOP_WEIGHTS {
        weights[at] = found[at] / scales[at];
        weights[0] -= weights[at] * means[at];
    }
    weights[0] += found[0];
    let weights = weights.map(|weight| weight as f32); // CAST: rounds
    weights.iter().all(|weight| weight.is_finite()).then_some(weights)
}

/// Solves for a positive definite matrix, of which the lower half is given, by Cholesky's method.
fn solve(
    mut matrix: [[f64; STOP_WEIGHTS]; STOP_WEIGHTS],
    mut right: [f64; STOP_WEIGHTS],
) -> [f64; STOP_WEIGHTS] {
    for row in 0..STOP_WEIGHTS {
        for column in 0..=row {
            let products = |at: usize| matrix[row][at] * matrix[column][at];
            let left = matrix[row][column] - (0..column).map(products).sum::<f64>();
            matrix[row][column] = if row == column { left.sqrt() } else { left / matrix[column][column] };
        }
        let before: f64 = (0..row).map(|at| matrix[row][at] * right[at]).sum();
        right[row] = (right[row] - before) / matrix[row][row];
    }
    for row in (0..STOP_WEIGHTS).rev() {
        let after: f64 = (row + 1..STOP_WEIGHTS).map(|at| matrix[at][row] * right[at]).sum();
        right[row] = (right[row] - after) / matrix[row][row];
    }
    right
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches whose neighbours lie in the first `reach` lists, of which the last input tells.
    fn traced(count: u32) -> Vec<Traced> {
        let search = |number: u32| {
            let reach = 4 + number * 7919 % 97;
            let inputs = |lists: u32| {
                [(lists as f32).ln(), (lists as f32 / reach as f32).ln(), 0.3, 0.0, (reach as f32).ln()]
            };
            let steps = (4..300).step_by(4).map(|lists| TracedStep { lists, inputs: inputs(lists) });
            let ranks = (0..10).map(|at| at * reach / 10).collect();
            Traced { steps: steps.collect(), ranks }
        };
        (0..count).map(search).collect()
    }

    #[test]
    fn what_is_learned_saves_lists_and_misses_no_more() {
        let stopping = Stopping::learn(traced(300), 300).unwrap();
        for lists in [60, 80] {
            let threshold = stopping.threshold(lists).unwrap();
            let missed = stopping.mean(|search| search.missed(search.ends(threshold, lists)));
            assert!(missed <= stopping.mean(|search| search.missed(lists)), "{lists}");
            assert!(stopping.is_worth(lists), "{lists}: {}", stopping.share(threshold, lists));
        }
        assert!(stopping.threshold(80) < stopping.threshold(60));
        // Where half of the neighbours are enough, all searches take about the same.
        assert!(!stopping.is_worth(10));
        // More may be taken than were traced.
        assert_eq!(stopping.threshold(201), None);
    }

    #[test]
    fn nothing_is_gained_where_nothing_tells_searches_apart() {
        let flat = traced(300).into_iter().map(|mut search| {
            search.steps.iter_mut().for_each(|step| step.inputs = [1.0; 5]);
            search
        });
        let stopping = Stopping::learn(flat.collect(), 300).unwrap();
        assert!(!stopping.is_worth(40));
        assert!(Stopping::learn(Vec::new(), 300).is_none());
    }
}
