//! Whether a promised recall is kept: random halves of some queries calibrate, the other halves measure.
//!
//! What each query misses is recorded once at places along a curve. A half then chooses its place by the rule of
//! calibration, and what the other half missed there is read off.
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use spandrel_datasets::Rows;
use spandrel_engine::{
    Aim, Calibrated, Engine, Pruning, Rerank, SearchError, SearchParams, Truth, expected_recall, recalls,
};
use spandrel_index::VectorSource as _;
use spandrel_index::format::{RecallCurve, RecallCurves};

/// Places from one point of a curve to the next.
const PLACES: usize = 4;

/// What queries missed at places along a curve.
#[derive(Debug, Clone)]
pub struct Losses {
    /// By place, [`PLACES`] to a point of the curve and the first at its first point, then by query.
    losses: Vec<Vec<f64>>,
    /// Codes scanned per query, by place.
    scanned: Vec<f64>,
}

/// What came of calibrating with halves of the queries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kept {
    /// Recall less the target, on the halves that measure: mean, its standard error, least and most.
    pub margin: f64,
    /// Standard error of the margin.
    pub error: f64,
    /// Least margin of a half.
    pub least: f64,
    /// Most.
    pub most: f64,
    /// Share of halves under the target.
    pub under: f64,
    /// Share of halves that could promise the target; the figures are theirs.
    pub reached: f64,
    /// Share of halves for which the first point, of least work, was enough.
    pub cheapest: f64,
    /// Codes scanned per query.
    pub scanned: f64,
}

impl Losses {
    /// Searches for `k` neighbours at places along the curve that the engine's index has for them.
    ///
    /// # Errors
    /// [`SearchError`].
    ///
    /// # Panics
    /// When the index has no curve for `k`, or the truth is not that of the queries.
    pub fn measure(engine: &Engine, queries: &Rows, truth: Truth<'_>, k: u32) -> Result<Losses, SearchError> {
        let index = engine.index();
        let curves = index.recall().expect("an index that was calibrated");
        let curve = curves.of(index.vectors_tier()).find(|curve| curve.k == k).expect("a curve for k");
        let places = labelled(curves, curve);
        let vectors = index.vectors_tier();
        let calibrated = Calibrated { manifest: index.manifest(), recall: Some(&places), vectors };
        let (mut losses, mut scanned) = (Vec::new(), Vec::new());
        let points = curve.points.len();
        for place in 0..=(points - 1) * PLACES {
            let label = (1.0 + place as f64 / PLACES as f64) / points as f64;
            let Pruning { epsilon, max_lists, rerank_errors, .. } =
                calibrated.pruning(k as usize, Aim::at(label.min(1.0)));
            let params = SearchParams {
                epsilon,
                max_lists: Some(max_lists),
                rerank: Some(Rerank::Errors(rerank_errors)),
                ..SearchParams::new(k as usize)
            };
            let answers = engine.search(queries.bytes(), &params)?;
            let found =
                recalls(index.metric(), &answers, truth, k as usize).expect("the truth of the queries");
            losses.push(found.iter().map(|recall| 1.0 - recall).collect());
            let codes: u64 = answers.iter().map(|answer| answer.work.vectors_scanned).sum();
            scanned.push(codes as f64 / queries.len() as f64);
        }
        Ok(Losses { losses, scanned })
    }

    /// Calibrates for a target with `halves` random halves of the queries, and measures with the others.
    pub fn halves(&self, target: f64, confidence: Option<f64>, halves: usize, seed: u64) -> Kept {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut queries: Vec<usize> = (0..self.losses[0].len()).collect();
        let (mut margins, mut cheapest, mut scanned) = (Vec::new(), 0, 0.0);
        for _ in 0..halves {
            queries.shuffle(&mut rng);
            let (calibrating, measuring) = queries.split_at(queries.len() / 2);
            let Some(place) = self.place(calibrating, target, confidence) else { continue };
            let between = |of: &dyn Fn(usize) -> f64| {
                let (low, share) = (place.floor() as usize, place.fract());
                let high = (low + 1).min(self.losses.len() - 1);
                of(low) + share * (of(high) - of(low))
            };
            let missed = between(&|place| mean(measuring.iter().map(|&query| self.losses[place][query])));
            margins.push(1.0 - missed - target);
            scanned += between(&|place| self.scanned[place]);
            cheapest += usize::from(place == 0.0);
        }
        let count = margins.len().max(1) as f64;
        let margin = mean(margins.iter().copied());
        let variance = margins.iter().map(|m| (m - margin).powi(2)).sum::<f64>() / count;
        Kept {
            margin,
            error: (variance / count).sqrt(),
            least: margins.iter().copied().fold(f64::INFINITY, f64::min),
            most: margins.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            under: margins.iter().filter(|&&margin| margin < 0.0).count() as f64 / count,
            reached: margins.len() as f64 / halves as f64,
            cheapest: cheapest as f64 / count,
            scanned: scanned / count,
        }
    }

    /// Where queries like some are to expect the target, between points as the engine takes it.
    fn place(&self, some: &[usize], target: f64, confidence: Option<f64>) -> Option<f64> {
        let points = self.losses.iter().step_by(PLACES);
        let mut worst = vec![0.0; some.len()];
        let mut expected: Vec<f64> = points
            .rev()
            .map(|losses| {
                worst
                    .iter_mut()
                    .zip(some)
                    .for_each(|(worst, &query)| *worst = f64::max(*worst, losses[query]));
                expected_recall(&worst, confidence)
            })
            .collect();
        expected.reverse();
        let after = expected.iter().position(|&expected| expected >= target)?;
        let Some(before) = after.checked_sub(1) else { return Some(0.0) };
        let share = (target - expected[before]) / (expected[after] - expected[before]);
        Some((before as f64 + share) * PLACES as f64)
    }
}

/// The curve with its points at equal steps of recall, so that a recall names a place between them.
fn labelled(curves: &RecallCurves, curve: &RecallCurve) -> RecallCurves {
    let mut labelled = curve.clone();
    let count = labelled.points.len() as f64;
    for (number, point) in labelled.points.iter_mut().enumerate() {
        point.recall = (number as f64 + 1.0) / count;
    }
    RecallCurves { curves: vec![labelled], ..curves.clone() }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len().max(1) as f64;
    values.sum::<f64>() / count
}
