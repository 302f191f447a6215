//! Whether a promised recall is kept: random halves of some queries calibrate, the other halves measure.
//!
//! What each query misses is recorded once at places along a curve, by searches as users make them: a version of the index is published whose
//! curve names these places. A half then chooses its place by the rule of calibration, and what the other half missed there is read off.
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use spandrel_builder::{Calibrate, Silent, Unpublished, recalibrate};
use spandrel_datasets::Rows;
use spandrel_engine::{Engine, EngineConfig, SearchParams, Truth, expected_recall, recalls};
use spandrel_index::format::{RecallCurve, RecallCurves, RecallPoint};
use spandrel_index::{Index, OpenOptions, Tier, VectorSource as _};

/// Places from one point of a curve to the next.
const PLACES: usize = 4;

/// What queries missed at places along a curve.
#[derive(Debug, Clone)]
pub struct Losses {
    /// By place, [`PLACES`] to a point of the curve and the first at its first point, then by query.
    losses: Vec<Vec<f64>>,
    /// Codes scanned per query, by place.
    scanned: Vec<f64>,
    /// Bytes read per query, by place.
    read: Vec<f64>,
}

/// An index whose curves are tried.
#[derive(Debug, Clone, Copy)]
pub struct Tried<'a> {
    /// Its folder, where versions are published.
    pub dir: &'a Path,
    /// Recall curves of the index, one a number of neighbours.
    pub curves: &'a RecallCurves,
    /// Where vectors are searched.
    pub vectors: Tier,
    /// Threads to search with.
    pub threads: usize,
    /// Whether searches end early where the curve says when, or take its constant numbers of lists.
    pub stops: bool,
}

/// What came of calibrating with halves of the queries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kept {
    /// Recall less what was promised, the target or the most that a half can promise, on the halves that measure: mean, its standard error,
    /// least and most.
    pub margin: f64,
    /// Standard error of the margin.
    pub error: f64,
    /// Least margin of a half.
    pub least: f64,
    /// Most margin of a half.
    pub most: f64,
    /// Share of halves under what was promised.
    pub under: f64,
    /// Share of halves that could promise the target.
    pub reached: f64,
    /// Share of halves for which the first point, of least work, was enough.
    pub cheapest: f64,
    /// Codes scanned per query.
    pub scanned: f64,
    /// Bytes read per query.
    pub read: f64,
}

/// Publishes these curves.
struct Says<'a>(&'a RecallCurves);

impl Calibrate for Says<'_> {
    fn calibrate(
        &self,
        _: Unpublished<'_>,
        _: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<RecallCurves>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Some(self.0.clone()))
    }
}

impl Losses {
    /// Searches for `k` neighbours at places along the curve for them.
    ///
    /// # Errors
    /// The version cannot be published or searched.
    ///
    /// # Panics
    /// When the truth is not that of the queries.
    pub fn measure(tried: Tried<'_>, queries: &Rows, truth: Truth<'_>, k: u32) -> Result<Losses> {
        let Tried { dir, curves, vectors, threads, stops } = tried;
        let curve = curves.of(vectors).find(|curve| curve.k == k).context("no curve for that k")?;
        let points = curve.points.len();
        let curve = if stops { curve.clone() } else { constant(curve) };
        recalibrate(dir, &Says(&labelled(curves, curve)), &Silent, &AtomicBool::new(false))?;
        let options = OpenOptions { vectors: Some(vectors), ..OpenOptions::default() };
        let index = Arc::new(Index::open_with(dir, options)?);
        let engine = Engine::open(Arc::clone(&index), EngineConfig { threads, ..EngineConfig::default() })?;
        let (mut losses, mut scanned, mut read) = (Vec::new(), Vec::new(), Vec::new());
        for place in 0..=(points - 1) * PLACES {
            let label = (1.0 + place as f64 / PLACES as f64) / points as f64;
            let params = SearchParams { recall: Some(label.min(1.0)), ..SearchParams::new(k as usize) };
            let answers = engine.search(queries.bytes(), &params)?;
            let found =
                recalls(index.metric(), &answers, truth, k as usize).expect("the truth of the queries");
            losses.push(found.iter().map(|recall| 1.0 - recall).collect());
            let codes: u64 = answers.iter().map(|answer| answer.work.vectors_scanned).sum();
            scanned.push(codes as f64 / queries.len() as f64);
            let bytes: u64 = answers.iter().map(|answer| answer.work.read_bytes).sum();
            read.push(bytes as f64 / queries.len() as f64);
        }
        Ok(Losses { losses, scanned, read })
    }

    /// Calibrates for a target with `halves` random halves of the queries, and measures with the others.
    pub fn halves(&self, target: f64, confidence: Option<f64>, halves: usize, seed: u64) -> Kept {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut queries: Vec<usize> = (0..self.losses[0].len()).collect();
        let (mut margins, mut cheapest, mut reached) = (Vec::new(), 0, 0);
        let (mut scanned, mut read) = (0.0, 0.0);
        for _ in 0..halves {
            queries.shuffle(&mut rng);
            let (calibrating, measuring) = queries.split_at(queries.len() / 2);
            let Place { at: place, promised } = self.place(calibrating, target, confidence);
            let between = |of: &dyn Fn(usize) -> f64| {
                let (low, share) = (place.floor() as usize, place.fract());
                let high = (low + 1).min(self.losses.len() - 1);
                of(low) + share * (of(high) - of(low))
            };
            let missed = between(&|place| mean(measuring.iter().map(|&query| self.losses[place][query])));
            margins.push(1.0 - missed - promised);
            reached += usize::from(promised == target);
            scanned += between(&|place| self.scanned[place]);
            read += between(&|place| self.read[place]);
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
            reached: reached as f64 / count,
            cheapest: cheapest as f64 / count,
            scanned: scanned / count,
            read: read / count,
        }
    }

    /// Where queries like some are to expect the target, between points as the engine takes it; the end where they are to expect less.
    fn place(&self, some: &[usize], target: f64, confidence: Option<f64>) -> Place {
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
        let last = expected.len() - 1;
        let Some(after) = expected.iter().position(|&expected| expected >= target) else {
            return Place { at: (last * PLACES) as f64, promised: expected[last] };
        };
        let Some(before) = after.checked_sub(1) else { return Place { at: 0.0, promised: target } };
        let share = (target - expected[before]) / (expected[after] - expected[before]);
        Place { at: (before as f64 + share) * PLACES as f64, promised: target }
    }
}

/// A place along the curve, and what is promised there.
struct Place {
    at: f64,
    promised: f64,
}

/// The curve for searches that do not end early.
fn constant(curve: &RecallCurve) -> RecallCurve {
    let point = |point: &RecallPoint| RecallPoint { log_odds: None, ..*point };
    RecallCurve { stop: None, points: curve.points.iter().map(point).collect(), ..*curve }
}

/// The curve with its points at equal steps of recall, so that a recall names a place between them.
fn labelled(curves: &RecallCurves, mut labelled: RecallCurve) -> RecallCurves {
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
