//! What a further query is to expect, after the losses of others.
use spandrel_index::math::ln;

/// What a query misses, divided by what a row of the index misses, which has shaped its own list: 0.97 to 1.04 on descriptors of other
/// photographs and sentences of other texts (decision 060).
const STRANGER_MISSES: f64 = 1.05;
/// From this number of neighbours on a row misses what others miss: few of its neighbours are in the list that it has shaped.
const K_AS_STRANGERS: u32 = 100;
/// Halvings of the interval that an upper bound lies in.
const HALVINGS: usize = 40;

/// How the losses of some queries say what others are to expect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rule {
    /// What a further query misses, divided by what these miss.
    misses: f64,
    /// Confidence of an upper bound, in place of an expectation.
    confidence: Option<f64>,
}

impl Rule {
    /// Of rows of the index.
    pub(super) const fn of_rows(confidence: Option<f64>) -> Rule {
        Rule { misses: STRANGER_MISSES, confidence }
    }

    /// Of queries from the same source.
    pub(super) const fn of_queries(confidence: Option<f64>) -> Rule {
        Rule { misses: 1.0, confidence }
    }

    /// For searches for `k` neighbours.
    pub(super) const fn of_neighbours(self, k: u32) -> Rule {
        if k < K_AS_STRANGERS { self } else { Rule { misses: 1.0, ..self } }
    }

    /// The recall that a further query is to expect at least. The allowance takes no more than there is.
    pub(super) fn expected(&self, losses: &[f64]) -> f64 {
        let count = losses.len() as f64; // CAST: exact
        let missed = match self.confidence {
            None => (self.misses * losses.iter().sum::<f64>() + 1.0) / (count + 1.0),
            Some(confidence) => self.misses * upper_bound(losses, confidence),
        };
        (1.0 - missed).max(0.0)
    }

    /// The mean recall that these queries must have for others to have this one.
    pub(super) fn wanted(&self, recall: f64) -> f64 {
        1.0 - (1.0 - recall) / self.misses
    }
}

/// The recall that a further query from the same source is to expect at least, after the losses of others: the share of its
/// true neighbours that each missed. `1 - (sum of losses + 1) / (queries + 1)`; with a confidence, between 0 and 1, one less
/// the upper bound of the mean loss.
pub fn expected_recall(losses: &[f64], confidence: Option<f64>) -> f64 {
    Rule::of_queries(confidence).expected(losses)
}

/// An upper bound of the mean that losses between 0 and 1 are drawn from, which holds with a confidence: the least mean
/// against which a gambler, who bets on less and knows only the losses before, would have won `1 / (1 - confidence)` times
/// his stake (Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", 2024).
fn upper_bound(losses: &[f64], confidence: f64) -> f64 {
    let count = losses.len();
    let goal = ln(1.0 / (1.0 - confidence));
    let bets = bets(losses, goal);
    let is_refuted = |mean: f64| {
        let mut won = 0.0;
        bets.iter().any(|&(loss, bet)| {
            won += ln(1.0 - bet * (loss - mean));
            won > goal
        })
    };
    let (mut low, mut high) = (0.0, 1.0);
    if count == 0 || !is_refuted(high) {
        return 1.0;
    }
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        if is_refuted(middle) { high = middle } else { low = middle }
    }
    high
}

/// The losses in an order that leaves no neighbours together, and the bet made before each.
fn bets(losses: &[f64], goal: f64) -> Vec<(f64, f64)> {
    let count = losses.len();
    let step = (1..=count).rev().find(|&step| 8 * step <= 5 * count && gcd(step, count) == 1).unwrap_or(1);
    let (mut sum, mut squares) = (0.5, 0.25);
    let mut bets = Vec::with_capacity(count);
    for number in 0..count {
        let loss = losses[number * step % count];
        let variance = squares / (number as f64 + 1.0); // CAST: exact, here and below
        let bet = (2.0 * goal / (count as f64 * variance)).sqrt().min(1.0);
        // A loss of 1 against a mean of 0 leaves a little of the stake.
        bets.push((loss, bet.min(1.0 - 1e-9)));
        sum += loss;
        squares += (loss - sum / (number as f64 + 2.0)).powi(2);
    }
    bets
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pseudo-random numbers between 0 and 1 (splitmix64).
    fn random(state: &mut u64) -> f64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }

    #[test]
    fn a_further_query_counts_as_a_miss() {
        let expected = |losses: &[f64]| Rule::of_rows(None).expected(losses);
        assert_eq!(expected(&[0.0; 19]), 0.95);
        assert_eq!(expected(&[1.0; 50]), 0.0, "no recall is less than none");
        let (few, many) = (expected(&[0.02; 50]), expected(&[0.02; 5000]));
        assert!(few < many && many < 1.0 - 0.02 * STRANGER_MISSES, "{few} {many}");
        assert!(expected_recall(&[0.02; 5000], None) > many);
        let of = |k| Rule::of_rows(None).of_neighbours(k).expected(&[0.02; 5000]);
        assert_eq!((of(10), of(99), of(100)), (many, many, expected_recall(&[0.02; 5000], None)));
    }

    #[test]
    fn an_upper_bound_holds_as_often_as_it_says_and_is_near() {
        let mut state = 5;
        for (mean, count) in [(0.05, 600), (0.01, 600), (0.3, 100)] {
            let bounds = [(); 400].map(|()| {
                let losses: Vec<f64> =
                    (0..count).map(|_| if random(&mut state) < mean { 1.0 } else { 0.0 }).collect();
                upper_bound(&losses, 0.9)
            });
            let below = bounds.iter().filter(|&&bound| bound < mean).count();
            let width = bounds.iter().sum::<f64>() / 400.0 - mean;
            // One in ten may fail; four standard errors more never do here.
            assert!(below <= 40 + 24, "{mean}, {count}: {below} of 400");
            let error = (mean * (1.0 - mean) / f64::from(count)).sqrt();
            assert!(width < 4.0 * error + 4.0 / f64::from(count), "{mean}, {count}: {width}, error {error}");
        }
        assert_eq!((upper_bound(&[], 0.9), upper_bound(&[1.0; 9], 0.9)), (1.0, 1.0));
        let none = upper_bound(&[0.0; 1000], 0.95);
        assert!((0.002..0.008).contains(&none), "{none}");
    }
}
