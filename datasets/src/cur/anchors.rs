//! Which items a query is scored on before it is searched for.
use rand::SeedableRng;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use spandrel_names::named;

use super::error::CurError;
use super::scores::ScoreMatrix;
use crate::watch::Watch;

/// How anchor items are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AnchorChoice {
    /// Any items, by the seed.
    Random,
    /// One after the other the item whose scores the anchors before explain least: by the largest rest of its column (QR with column
    /// pivoting).
    #[default]
    Pivoted,
}

named! { AnchorChoice, "anchor choice", Random => "random", Pivoted => "pivoted" }

/// Which anchor items are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnchorParams {
    /// Anchor items to choose.
    pub count: usize,
    /// How they are chosen.
    pub choice: AnchorChoice,
    /// What random ones are chosen by.
    pub seed: u64,
}

impl AnchorParams {
    /// Checks what can be said before any score is read, of scores of this shape.
    ///
    /// # Errors
    /// [`CurError::AnchorCount`], [`CurError::AnchorsAlike`].
    pub fn check(&self, queries: usize, items: usize) -> Result<(), CurError> {
        match *self {
            AnchorParams { count, .. } if count == 0 || count > items => {
                Err(CurError::AnchorCount { found: count, items })
            }
            // Columns of that length have no more pivots.
            AnchorParams { count, choice: AnchorChoice::Pivoted, .. } if count > queries => {
                Err(CurError::AnchorsAlike { found: queries, wanted: count })
            }
            _ => Ok(()),
        }
    }
}

/// What is left of a column, in share of the largest, that is taken for rounding.
const NOTHING_LEFT: f64 = 1e-10;

/// Checks anchor items that were given: there are such items, and each stands once.
///
/// # Errors
/// [`CurError::AnchorCount`], [`CurError::AnchorRange`], [`CurError::AnchorTwice`].
pub fn check_anchors(anchors: &[u64], items: usize) -> Result<(), CurError> {
    if anchors.is_empty() || anchors.len() > items {
        return Err(CurError::AnchorCount { found: anchors.len(), items });
    }
    // CAST: widening
    if let Some(at) = anchors.iter().position(|&anchor| anchor >= items as u64) {
        return Err(CurError::AnchorRange { at, anchor: anchors[at], items });
    }
    let mut order: Vec<usize> = (0..anchors.len()).collect();
    order.sort_unstable_by_key(|&at| (anchors[at], at));
    let alike = order.windows(2).filter(|pair| anchors[pair[0]] == anchors[pair[1]]);
    match alike.min_by_key(|pair| pair[1]) {
        Some(pair) => {
            Err(CurError::AnchorTwice { anchor: anchors[pair[0]], first: pair[0], second: pair[1] })
        }
        None => Ok(()),
    }
}

/// Chooses anchor items, ascending.
///
/// # Errors
/// [`CurError::AnchorCount`], [`CurError::AnchorsAlike`], [`CurError::NoScores`], [`CurError::Stopped`].
pub fn choose_anchors(
    scores: &ScoreMatrix,
    params: AnchorParams,
    watch: Watch<'_>,
) -> Result<Vec<u64>, CurError> {
    let (AnchorParams { count, choice, seed }, items) = (params, scores.columns());
    params.check(scores.rows(), items)?;
    let mut chosen = match choice {
        AnchorChoice::Random => sample(&mut ChaCha8Rng::seed_from_u64(seed), items, count).into_vec(),
        AnchorChoice::Pivoted => pivots(scores, count, watch)?,
    };
    chosen.sort_unstable();
    Ok(chosen.into_iter().map(|item| item as u64).collect()) // CAST: widening
}

/// The first pivots of the columns.
fn pivots(scores: &ScoreMatrix, count: usize, watch: Watch<'_>) -> Result<Vec<usize>, CurError> {
    let (queries, items) = (scores.rows(), scores.columns());
    // Squared lengths of what the pivots so far leave of each column.
    let mut left = vec![0.0_f64; items];
    for query in 0..queries {
        left.iter_mut().zip(scores.row(query)).for_each(|(sum, &score)| *sum += f64::from(score).powi(2));
    }
    let enough = NOTHING_LEFT * left.iter().copied().fold(0.0, f64::max);
    let mut basis: Vec<Vec<f64>> = Vec::new();
    let (mut chosen, mut products) = (Vec::with_capacity(count), vec![0.0_f64; items]);
    while chosen.len() < count {
        watch.step(chosen.len() as u64, count as u64)?; // CAST: widening
        let largest = (0..items).max_by(|&a, &b| left[a].total_cmp(&left[b]).then(b.cmp(&a)));
        let Some(pivot) = largest.filter(|&item| left[item] > enough) else {
            return Err(match chosen.len() {
                0 => CurError::NoScores,
                found => CurError::AnchorsAlike { found, wanted: count },
            });
        };
        let mut axis: Vec<f64> = (0..queries).map(|query| f64::from(scores.row(query)[pivot])).collect();
        // Twice, since what rounding leaves of the first pass is small beside the column, not beside its rest.
        for other in basis.iter().chain(&basis) {
            let along: f64 = axis.iter().zip(other).map(|(a, b)| a * b).sum();
            axis.iter_mut().zip(other).for_each(|(a, b)| *a -= along * b);
        }
        let length = axis.iter().map(|a| a * a).sum::<f64>().sqrt();
        axis.iter_mut().for_each(|a| *a /= length);
        products.fill(0.0);
        for (query, &weight) in axis.iter().enumerate() {
            let scores = scores.row(query);
            products.iter_mut().zip(scores).for_each(|(sum, &score)| *sum += weight * f64::from(score));
        }
        left.iter_mut().zip(&products).for_each(|(left, along)| *left = (*left - along * along).max(0.0));
        left[pivot] = 0.0;
        basis.push(axis);
        chosen.push(pivot);
    }
    Ok(chosen)
}
