//! Requests for pages.
use std::collections::HashSet;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Pages that made traces ask for.
const PAGES: usize = 40_000;

/// Pages in the order in which they are asked for.
pub(crate) struct Trace {
    pub(crate) name: &'static str,
    pub(crate) requests: Vec<u64>,
    pages: usize,
}

impl Trace {
    pub(crate) fn new(name: &'static str, requests: Vec<u64>) -> Trace {
        let pages = requests.iter().collect::<HashSet<_>>().len();
        Trace { name, requests, pages }
    }

    /// Different pages.
    pub(crate) fn pages(&self) -> usize {
        self.pages
    }

    /// Share of the requests that `held` says are hits.
    pub(crate) fn hits(&self, mut held: impl FnMut(usize, u64) -> bool) -> f64 {
        let hits = self.requests.iter().enumerate().filter(|&(at, &page)| held(at, page)).count();
        hits as f64 / self.requests.len().max(1) as f64 // CAST: exact below 2^53
    }
}

/// Numbers from 0, of which number `i` is drawn in proportion to `(i + 1)^-exponent`.
pub(crate) struct Zipf {
    sums: Vec<f64>,
}

impl Zipf {
    pub(crate) fn new(numbers: usize, exponent: f64) -> Zipf {
        let mut sum = 0.0;
        let weight = |i| (i as f64).powf(-exponent); // CAST: exact below 2^53
        Zipf {
            sums: (1..=numbers)
                .map(|i| {
                    sum += weight(i);
                    sum
                })
                .collect(),
        }
    }

    pub(crate) fn draw(&self, rng: &mut ChaCha8Rng) -> usize {
        let at = rng.random::<f64>() * self.sums.last().copied().unwrap_or(0.0);
        self.sums.partition_point(|&sum| sum <= at)
    }
}

/// Traces that are made: pages alike, skewed, skewed with favourites that change, skewed with scans of pages that never come again, and
/// in a circle of more pages than the smallest cache holds.
pub(crate) fn made(requests: usize) -> Vec<Trace> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let zipf = Zipf::new(PAGES, 0.9);
    let pages = PAGES as u64; // CAST: widening, here and below
    let uniform = (0..requests).map(|_| rng.random_range(0..pages)).collect();
    let skewed: Vec<u64> = (0..requests).map(|_| zipf.draw(&mut rng) as u64).collect();
    let drift = |(at, page): (usize, &u64)| (page + (at as u64 * pages / requests as u64)) % pages;
    let drifting = skewed.iter().enumerate().map(drift).collect();
    let scan = |(at, &page): (usize, &u64)| if at / 2000 % 3 == 0 { pages + at as u64 } else { page };
    let scans = skewed.iter().take(requests / 4).enumerate().map(scan).collect();
    let circle = (0..requests as u64).map(|at| at % pages).collect();
    vec![
        Trace::new("uniform", uniform),
        Trace::new("Zipf 0.9", skewed),
        Trace::new("Zipf 0.9, drifting", drifting),
        Trace::new("Zipf 0.9, with scans", scans),
        Trace::new("circle", circle),
    ]
}

/// Bits of which a share is turned round.
pub(crate) fn with_errors(bits: &[bool], share: f64) -> Vec<bool> {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    bits.iter().map(|&bit| bit != (rng.random::<f64>() < share)).collect()
}
