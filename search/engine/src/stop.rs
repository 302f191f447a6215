//! Whether a search has found enough before it has searched all the lists that it may.
//!
//! How much of the `k` nearest is still missing is told by how the search goes: by logistic regression on the number of
//! lists, on how long ago one of them was of use, and on how far the next one is, beside the `k`-th nearest and beside the
//! first (after Li et al., "Improving Approximate Nearest Neighbor Search through Learned Adaptive Early Termination",
//! SIGMOD 2020, with fewer inputs). A search ends at a threshold. Weights and threshold come from calibration.
use std::f32::consts::LN_2;

use spandrel_index::format::STOP_WEIGHTS;

use crate::collect::FrontState;

/// Numbers of lists after which a search may end are multiples of this: to look takes 400 instructions, as a dozen codes do (SIFT).
const STRIDE: usize = 4;
/// Inputs of the regression.
pub(crate) const INPUTS: usize = 5;
/// Weights are those of a constant, of the inputs, and of the products of any two.
const _: () = assert!(STOP_WEIGHTS == 1 + INPUTS + INPUTS * (INPUTS + 1) / 2);
/// Inputs are bounded: nothing that a search meets is worth more.
const LOG_MAX: f32 = 12.0;

/// Lists that a search may take, where a constant number finds as much. More would go to searches that hardly gain by them.
pub(crate) fn cap(lists: u32) -> u32 {
    lists.saturating_add(lists / 2)
}

/// When a search ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct StopRule {
    pub(crate) weights: [f32; STOP_WEIGHTS],
    /// It ends where the logarithm of the odds that a neighbour is missing is below this.
    pub(crate) threshold: f32,
}

/// Squared distances of two heads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadDistances {
    /// Of the first list.
    pub(crate) first: f32,
    /// Of the next to be searched.
    pub(crate) next: f32,
}

impl StopRule {
    /// A share of the way from this rule, for fewer neighbours, to another: what tells whether one is missing changes little with
    /// their number.
    pub(crate) fn towards(self, other: StopRule, share: f32) -> StopRule {
        let between = |a: f32, b: f32| a + share * (b - a);
        let mut weights = self.weights;
        weights.iter_mut().zip(other.weights).for_each(|(a, b)| *a = between(*a, b));
        StopRule { weights, threshold: between(self.threshold, other.threshold) }
    }

    /// Whether `lists` lists were enough.
    #[inline]
    pub(crate) fn is_enough(
        &self,
        lists: usize,
        heads: HeadDistances,
        front: impl FnOnce() -> Option<FrontState>,
    ) -> bool {
        let inputs = inputs_after(lists, heads, front);
        inputs.is_some_and(|inputs| log_odds(&self.weights, &inputs) < self.threshold)
    }
}

/// What tells whether `lists` lists were enough, where a search looks after them.
#[inline]
pub(crate) fn inputs_after(
    lists: usize,
    heads: HeadDistances,
    front: impl FnOnce() -> Option<FrontState>,
) -> Option<[f32; INPUTS]> {
    if lists == 0 || !lists.is_multiple_of(STRIDE) {
        return None;
    }
    Some(inputs(lists, heads, front()?))
}

/// The logarithm of the odds that a neighbour is missing.
pub(crate) fn log_odds(weights: &[f32; STOP_WEIGHTS], inputs: &[f32; INPUTS]) -> f32 {
    terms(inputs).iter().zip(weights).map(|(term, weight)| term * weight).sum()
}

/// What weights are of.
pub(crate) fn terms(inputs: &[f32; INPUTS]) -> [f32; STOP_WEIGHTS] {
    let mut terms = [1.0; STOP_WEIGHTS];
    terms[1..=INPUTS].copy_from_slice(inputs);
    let mut at = 1 + INPUTS;
    for (number, &a) in inputs.iter().enumerate() {
        for &b in &inputs[number..] {
            terms[at] = a * b;
            at += 1;
        }
    }
    terms
}

fn inputs(lists: usize, heads: HeadDistances, front: FrontState) -> [f32; INPUTS] {
    let HeadDistances { first, next } = heads;
    let count = |count: u32| ln(1.0 + count as f32); // CAST: numbers of lists and neighbours
    let ratio = |a: f32, b: f32| (ln(a) - ln(b)).clamp(-LOG_MAX, LOG_MAX);
    [
        count(lists as u32), // CAST: lists are numbered by u32
        ratio(next, front.kth),
        count(front.idle),
        count(front.recent),
        ratio(next, first),
    ]
}

/// The natural logarithm to seven digits, of what is too small that of the smallest positive number. Computed here, since
/// that of the system's library differs by its version, and weights are to depend on the index alone.
fn ln(x: f32) -> f32 {
    // Also of what is no number.
    let x = if x > f32::MIN_POSITIVE { x.min(f32::MAX) } else { f32::MIN_POSITIVE };
    let bits = x.to_bits();
    // The mantissa between the root of a half and the root of two.
    let exponent = (bits as i32 - 0x3f35_04f3) >> 23; // CAST: a positive float's bits
    let mantissa = f32::from_bits((bits as i32 - (exponent << 23)) as u32); // CAST: back to the bits of a positive float
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let square = t * t;
    let series = 1.0 + square * (1.0 / 3.0 + square * (0.2 + square * (1.0 / 7.0)));
    exponent as f32 * LN_2 + 2.0 * t * series // CAST: exact
}

/// A step of a search, as calibration learns from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TracedStep {
    pub(crate) lists: u32,
    pub(crate) inputs: [f32; INPUTS],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_those_of_the_library() {
        for x in [2e-38_f32, 1e-9, 0.3, 0.7, 0.7072, 1.0, 1.42, 1.5, 3.0, 1e9, 3e38] {
            assert!((ln(x) - x.ln()).abs() <= 2e-7 * x.ln().abs().max(1.0), "{x}: {} {}", ln(x), x.ln());
        }
        assert_eq!((ln(0.0), ln(-1.0), ln(f32::NAN)), (ln(f32::MIN_POSITIVE), ln(0.0), ln(0.0)));
        assert!(ln(f32::INFINITY) < 89.0);
    }

    #[test]
    fn any_search_has_inputs_that_are_numbers() {
        let front = FrontState { kth: -3.0, idle: 7, recent: 2 };
        for (first, next) in [(0.0, 0.0), (0.0, f32::MAX), (f32::NAN, 1.0), (1e-30, f32::INFINITY)] {
            let inputs = inputs(8, HeadDistances { first, next }, front);
            assert!(inputs.iter().all(|x| x.abs() <= LOG_MAX), "{inputs:?}");
        }
    }

    #[test]
    fn all_pairs_of_inputs_have_a_weight() {
        let terms = terms(&[2.0, 3.0, 5.0, 7.0, 11.0]);
        let products =
            [4.0, 6.0, 10.0, 14.0, 22.0, 9.0, 15.0, 21.0, 33.0, 25.0, 35.0, 55.0, 49.0, 77.0, 121.0];
        assert_eq!(terms[..6], [1.0, 2.0, 3.0, 5.0, 7.0, 11.0]);
        assert_eq!(terms[6..], products);
    }
}
