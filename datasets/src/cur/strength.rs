//! How strongly small singular values are held down: by what is best for anchor queries that are held back.
use rand::SeedableRng;
use rand::seq::SliceRandom as _;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use spandrel_index::DType;
use spandrel_index::kernels::{BlockKernel, Operation};

use super::error::CurError;
use super::scores::ScoreMatrix;
use super::spectrum::{Spectrum, Strength};
use crate::watch::Watch;

/// Most of them that are held back where no number is given; a fifth of fewer.
const HELD_MAX: usize = 100;
/// Items that strengths are compared on, at most.
pub(super) const ITEMS_COMPARED: usize = 20_000;
/// The share of these that is to be found by estimates: the best.
const BEST_SHARE: usize = 100;
/// The fewest.
const BEST_MIN: usize = 10;
/// Ridges that are tried, the strongest first.
const RIDGES: [f64; 17] =
    [10.0, 3.0, 1.0, 0.3, 0.1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6, 1e-8, 0.0];

/// Anchor queries that are held back to choose a strength by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HeldOut {
    /// How many; a fifth, 100 at most, if it is not given.
    pub queries: Option<usize>,
    /// Whether numbers of singular values are tried as well as ridges.
    pub ranks: bool,
}

/// What strengths are tried on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trial {
    /// Queries held back.
    pub(super) held: usize,
    /// Whether numbers of singular values are tried as well.
    pub(super) ranks: bool,
    /// What the queries are chosen by.
    pub(super) seed: u64,
}

/// A strength, and how well it did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tried {
    /// Strength of the ridge that was tried.
    pub strength: Strength,
    /// Of the best hundredth of the items of each query held back, the share that is in the best hundredth by estimates, from 0 to 1.
    pub found: f64,
}

/// Number of queries held back of `queries`.
///
/// # Errors
/// [`CurError::HoldOut`].
pub(super) fn held_count(held: HeldOut, queries: usize) -> Result<usize, CurError> {
    let count = held.queries.unwrap_or_else(|| (queries / 5).clamp(1, HELD_MAX));
    if count == 0 || count > queries / 2 {
        return Err(CurError::HoldOut { found: count, queries });
    }
    Ok(count)
}

/// Tries strengths on queries held back, the strongest first.
///
/// # Errors
/// [`CurError::NoScores`], [`CurError::Stopped`].
pub(super) fn try_strengths(
    scores: &ScoreMatrix,
    anchors: &[usize],
    trial: Trial,
    watch: Watch<'_>,
) -> Result<Vec<Tried>, CurError> {
    let mut rng = ChaCha8Rng::seed_from_u64(trial.seed);
    let mut queries: Vec<usize> = (0..scores.rows()).collect();
    queries.shuffle(&mut rng);
    let (held, taught) = queries.split_at(trial.held);
    let compared = ITEMS_COMPARED.min(scores.columns());
    let items = sample(&mut rng, scores.columns(), compared).into_vec();
    let spectrum = Spectrum::of(&scores.picked(taught, anchors), watch)?;
    let on_anchors = scores.picked(held, anchors);
    let kernel = BlockKernel::new(DType::F32, taught.len());
    let right = kernel.pack_right(&scores.item_bytes(taught, items.iter().copied()));
    let wanted = (compared / BEST_SHARE).max(BEST_MIN).min(compared);
    let mut order: Vec<u32> = Vec::new();
    let mut best_of = |score: &dyn Fn(usize) -> f32| {
        order.clear();
        order.extend(0..compared as u32); // CAST: at most `ITEMS_COMPARED`
        let by_score = |&a: &u32, &b: &u32| score(b as usize).total_cmp(&score(a as usize)).then(a.cmp(&b));
        order.select_nth_unstable_by(wanted - 1, by_score);
        let mut best = order[..wanted].to_vec();
        best.sort_unstable();
        best
    };
    let best: Vec<Vec<u32>> = held
        .iter()
        .map(|&query| {
            let row = scores.row(query);
            best_of(&|item| row[items[item]])
        })
        .collect();
    let mut tried = Vec::new();
    let mut estimates = vec![0.0_f32; held.len() * compared];
    let strengths = strengths(spectrum.rank(), trial.ranks);
    for (at, &strength) in strengths.iter().enumerate() {
        watch.step(at as u64, strengths.len() as u64)?; // CAST: widening
        let vectors = spectrum.vectors(&on_anchors, strength).transpose();
        // A column is a query. CAST: rounds
        let bytes: Vec<u8> = vectors.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect();
        kernel.scores(Operation::InnerProduct, kernel.pack_left(&bytes).all(), right.all(), &mut estimates);
        let mut found = 0;
        for (best, estimates) in best.iter().zip(estimates.chunks_exact(compared)) {
            let among = best_of(&|item| estimates[item]);
            found += best.iter().filter(|item| among.binary_search(item).is_ok()).count();
        }
        tried.push(Tried { strength, found: found as f64 / (held.len() * wanted) as f64 }); // CAST: exact
    }
    watch.step(strengths.len() as u64, strengths.len() as u64)?; // CAST: widening
    Ok(tried)
}

/// What is tried, the strongest of each kind first.
fn strengths(rank: usize, ranks: bool) -> Vec<Strength> {
    let mut all: Vec<Strength> = RIDGES.into_iter().map(Strength::Ridge).collect();
    if ranks {
        let mut steps: Vec<usize> = (1..=16).map(|step| (rank * step / 16).max(1)).collect();
        steps.dedup();
        all.extend(steps.into_iter().map(Strength::Rank));
    }
    all
}
