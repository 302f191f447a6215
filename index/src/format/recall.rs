//! What recall queries are to expect of an index, by what they spend: the section `recall`.
//!
//! ```text
//!  0  4 queries  1 rows, 3 given (2 is not in use)     16  4 curves
//!  4  4 zero                                           20  4 radii
//!  8  8 confidence f64, 0 for the mean
//! then each curve:
//!  0  4 k                        8  4 queries          16  8 codes f64 scanned in the time of one vector compared
//!  4  4 vectors  1 memory, 2 ssd 12 4 points           24  4 weights, 0 or 21   28  4 zero
//! 32  4 each weight f32
//! then each of its points:
//!  0  4 lists                    8  4 epsilon f32, infinity for none    16  8 recall f64
//!  4  4 errors f32              12  4 log-odds f32, -infinity for none, at which a search ends
//! 24  8 codes scanned f64       32  8 vectors compared f64
//! ```
//! Then each radius (`RangeCurve`, in `range_recall`), the nearest first. Curves ascend by place of vectors, SSD first, and then
//! by k. The points of a curve ascend in everything but log-odds.
use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::OpenError;
use super::fields::Fields;
use super::range_recall::{RADII_MAX, RANGE_BYTES_MAX, RangeCurve};
use crate::Tier;

/// Curves of an index at most.
const CURVES_MAX: usize = 64;
/// Points of a curve at most.
const POINTS_MAX: usize = 256;
const HEAD_BYTES: usize = 24;
/// With all weights.
const CURVE_BYTES: usize = 32 + 4 * STOP_WEIGHTS;
/// Weights by which a search tells how much is missing: of a constant, of five inputs, and of the products of any two.
pub const STOP_WEIGHTS: usize = 21;
const POINT_BYTES: usize = 40;
/// Bytes of the body at most.
pub(crate) const RECALL_BYTES_MAX: u64 =
    (HEAD_BYTES + CURVES_MAX * (CURVE_BYTES + POINTS_MAX * POINT_BYTES) + RADII_MAX * RANGE_BYTES_MAX) as u64;

/// The queries that stand behind an expected recall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RecallSource {
    /// Rows of the index.
    Rows,
    /// Queries that the user gave.
    Queries,
}

impl RecallSource {
    const ALL: [RecallSource; 2] = [RecallSource::Rows, RecallSource::Queries];

    const fn code(self) -> u32 {
        match self {
            RecallSource::Rows => 1,
            RecallSource::Queries => 3,
        }
    }
}

impl fmt::Display for RecallSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            RecallSource::Rows => "rows of the index",
            RecallSource::Queries => "queries given",
        })
    }
}

/// What queries are to expect, by what they spend.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecallCurves {
    /// The queries that say so.
    pub source: RecallSource,
    /// The expected recall is reached with this confidence, between 0 and 1; none where it is an expectation.
    pub confidence: Option<f64>,
    /// One for each place of vectors and number of neighbours, in this order: SSD first, `k` ascending.
    pub curves: Vec<RecallCurve>,
    /// Those of searches within a radius, the nearest radius first: inner products fall, other distances grow.
    pub ranges: Vec<RangeCurve>,
}

/// The same for one number of neighbours.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecallCurve {
    /// Where vectors are.
    pub vectors: Tier,
    /// Neighbours wanted.
    pub k: u32,
    /// Queries that say so.
    pub queries: u32,
    /// Codes scanned in the time that one vector takes to be compared: how the two are added up.
    pub codes_per_compared: f64,
    /// By which a search of codes in memory tells how much is missing, where it is to end early.
    pub stop: Option<[f32; STOP_WEIGHTS]>,
    /// One or more, ascending in everything but log-odds.
    pub points: Vec<RecallPoint>,
}

/// What to spend, and what to expect of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RecallPoint {
    /// Lists searched; where searches end early, those that find as much.
    pub lists: u32,
    /// Standard errors of estimates within which vectors are compared exactly; 0 for lists of exact vectors.
    pub rerank_errors: f32,
    /// A list is searched iff its head is no farther than `1 + epsilon` times the nearest head; no such limit if none.
    pub epsilon: Option<f32>,
    /// Logarithm of the odds that a neighbour is missing below which a search ends early; none where it does not.
    pub log_odds: Option<f32>,
    /// Recall that a further query is to expect at least.
    pub recall: f64,
    /// Vectors compared, or estimated from their codes, per query.
    pub vectors_scanned: f64,
    /// Vectors compared exactly after their codes were scanned, per query.
    pub reranked: f64,
}

impl RecallCurves {
    /// The curves for a place of vectors, `k` ascending. Where those in memory have none, those on SSD count.
    pub fn of(&self, vectors: Tier) -> impl Iterator<Item = &RecallCurve> {
        let has = |tier| self.curves.iter().any(|curve| curve.vectors == tier);
        let tier = if has(vectors) { vectors } else { Tier::Ssd };
        self.curves.iter().filter(move |curve| curve.vectors == tier)
    }

    /// The body of the section.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let count = |count: usize| (count as u32).to_le_bytes(); // CAST: curves, ranges and points have limits of at most 256
        out.extend_from_slice(&self.source.code().to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.confidence.unwrap_or_default().to_le_bytes());
        out.extend_from_slice(&count(self.curves.len()));
        out.extend_from_slice(&count(self.ranges.len()));
        for curve in &self.curves {
            out.extend_from_slice(&curve.k.to_le_bytes());
            out.extend_from_slice(&tier_code(curve.vectors).to_le_bytes());
            out.extend_from_slice(&curve.queries.to_le_bytes());
            out.extend_from_slice(&count(curve.points.len()));
            out.extend_from_slice(&curve.codes_per_compared.to_le_bytes());
            let weights = curve.stop.as_ref().map_or(&[][..], |weights| weights);
            out.extend_from_slice(&count(weights.len()));
            out.extend_from_slice(&[0; 4]);
            weights.iter().for_each(|weight| out.extend_from_slice(&weight.to_le_bytes()));
            for point in &curve.points {
                out.extend_from_slice(&point.lists.to_le_bytes());
                out.extend_from_slice(&point.rerank_errors.to_le_bytes());
                out.extend_from_slice(&point.epsilon.unwrap_or(f32::INFINITY).to_le_bytes());
                out.extend_from_slice(&point.log_odds.unwrap_or(f32::NEG_INFINITY).to_le_bytes());
                out.extend_from_slice(&point.recall.to_le_bytes());
                out.extend_from_slice(&point.vectors_scanned.to_le_bytes());
                out.extend_from_slice(&point.reranked.to_le_bytes());
            }
        }
        self.ranges.iter().for_each(|range| range.write(&mut out));
        out
    }

    /// Reads the body of the section of an index of `lists` lists; `path` is for messages.
    ///
    /// # Errors
    /// [`OpenError::Field`] for anything that cannot be.
    pub(crate) fn from_bytes(path: &Path, body: &[u8], lists: u64) -> Result<RecallCurves, OpenError> {
        let mut fields = Fields { path, left: body };
        let source = fields.u32()?;
        let Some(source) = RecallSource::ALL.into_iter().find(|known| known.code() == source) else {
            return Err(fields.refused("queries", source, "1 or 3"));
        };
        fields.zero()?;
        let confidence = fields.f64()?;
        if !(0.0..1.0).contains(&confidence) {
            return Err(fields.refused("confidence", confidence, "0, or less than 1"));
        }
        let count = fields.count("curves", CURVES_MAX)?;
        let radii = fields.u32()? as usize; // CAST: widening
        if radii > RADII_MAX {
            return Err(fields.refused("radii", radii, &format!("at most {RADII_MAX}")));
        }
        let curves =
            (0..count).map(|_| RecallCurve::take(&mut fields, lists)).collect::<Result<Vec<_>, _>>()?;
        let ranges = (0..radii).map(|_| RangeCurve::take(&mut fields)).collect::<Result<Vec<_>, _>>()?;
        fields.end(body.len())?;
        let order = |curve: &RecallCurve| (curve.vectors == Tier::Memory, curve.k);
        if !curves.is_sorted_by(|a, b| order(a) < order(b)) {
            return Err(fields.refused("curves", "others", "places of vectors apart, k ascending"));
        }
        let radii = ranges.iter().map(|range| range.radius);
        if !radii.clone().is_sorted() && !radii.rev().is_sorted() {
            return Err(fields.refused("radii", "others", "radii in order"));
        }
        let confidence = (confidence > 0.0).then_some(confidence);
        Ok(RecallCurves { source, confidence, curves, ranges })
    }
}

impl RecallCurve {
    fn take(fields: &mut Fields<'_>, lists: u64) -> Result<RecallCurve, OpenError> {
        let (k, vectors, queries) = (fields.u32()?, fields.u32()?, fields.u32()?);
        if k == 0 {
            return Err(fields.refused("k", k, "1 or more"));
        }
        let vectors = match vectors {
            1 => Tier::Memory,
            2 => Tier::Ssd,
            found => return Err(fields.refused("vectors", found, "1 or 2")),
        };
        let count = fields.count("points", POINTS_MAX)?;
        let codes_per_compared = fields.f64()?;
        if !(codes_per_compared > 0.0 && codes_per_compared.is_finite()) {
            return Err(fields.refused("codes a vector", codes_per_compared, "more than 0"));
        }
        let of_stop = fields.u32()? as usize; // CAST: widening
        fields.zero()?;
        let stop = match of_stop {
            0 => None,
            STOP_WEIGHTS => Some(weights(fields)?),
            found => return Err(fields.refused("weights", found, &format!("0 or {STOP_WEIGHTS}"))),
        };
        let points = (0..count).map(|_| RecallPoint::take(fields, lists)).collect::<Result<Vec<_>, _>>()?;
        let ascends = |a: &RecallPoint, b: &RecallPoint| {
            let loosens = b.epsilon.is_none_or(|b| a.epsilon.is_some_and(|a| a <= b));
            a.lists <= b.lists
                && a.rerank_errors <= b.rerank_errors
                && loosens
                && a.recall <= b.recall
                && a.vectors_scanned <= b.vectors_scanned
                && a.reranked <= b.reranked
        };
        if !points.is_sorted_by(ascends) {
            return Err(fields.refused("points", "others", "points that ascend"));
        }
        Ok(RecallCurve { vectors, k, queries, codes_per_compared, stop, points })
    }

    /// What a point takes, in vectors compared exactly.
    pub fn work(&self, point: &RecallPoint) -> f64 {
        point.reranked + point.vectors_scanned / self.codes_per_compared
    }
}

impl RecallPoint {
    fn take(fields: &mut Fields<'_>, lists_max: u64) -> Result<RecallPoint, OpenError> {
        let (lists, rerank_errors, epsilon) = (fields.u32()?, fields.f32()?, fields.f32()?);
        let log_odds = fields.f32()?;
        let (recall, vectors_scanned, reranked) = (fields.f64()?, fields.f64()?, fields.f64()?);
        let is_amount = |x: f64| x >= 0.0 && x.is_finite();
        let usable = (1..=lists_max).contains(&lists.into())
            && is_amount(rerank_errors.into())
            && epsilon >= 0.0
            && log_odds < f32::INFINITY
            && (0.0..=1.0).contains(&recall)
            && is_amount(vectors_scanned)
            && is_amount(reranked);
        let epsilon = epsilon.is_finite().then_some(epsilon);
        let log_odds = log_odds.is_finite().then_some(log_odds);
        let point =
            RecallPoint { lists, rerank_errors, epsilon, log_odds, recall, vectors_scanned, reranked };
        if usable { Ok(point) } else { Err(fields.refused("point", format!("{point:?}"), "a usable one")) }
    }
}

/// The weights of a stop.
fn weights(fields: &mut Fields<'_>) -> Result<[f32; STOP_WEIGHTS], OpenError> {
    let mut weights = [0.0; STOP_WEIGHTS];
    for weight in &mut weights {
        *weight = fields.f32()?;
    }
    if weights.iter().all(|weight| weight.is_finite()) {
        return Ok(weights);
    }
    Err(fields.refused("weights", "others", "numbers"))
}

fn tier_code(tier: Tier) -> u32 {
    match tier {
        Tier::Memory => 1,
        Tier::Ssd => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curves() -> RecallCurves {
        let point = |lists: u32, epsilon| RecallPoint {
            lists,
            rerank_errors: 0.05 * lists as f32,
            epsilon,
            log_odds: epsilon.is_none().then_some(-3.5),
            recall: 1.0 - 1.0 / f64::from(lists),
            vectors_scanned: 120.0 * f64::from(lists),
            reranked: f64::from(lists),
        };
        let points = vec![point(2, Some(0.6)), point(4, Some(0.6)), point(9, None)];
        let curve = |vectors, k| RecallCurve {
            vectors,
            k,
            queries: 800,
            codes_per_compared: 6000.0,
            stop: (k > 1).then_some([0.5; STOP_WEIGHTS]),
            points: points.clone(),
        };
        let curves = vec![curve(Tier::Ssd, 1), curve(Tier::Ssd, 10), curve(Tier::Memory, 10)];
        let ranges = vec![RangeCurve::example(10.0), RangeCurve::example(20.0)];
        RecallCurves { source: RecallSource::Queries, confidence: Some(0.95), curves, ranges }
    }

    fn read(curves: &RecallCurves) -> Result<RecallCurves, OpenError> {
        RecallCurves::from_bytes(Path::new("f"), &curves.to_bytes(), 9)
    }

    #[test]
    fn round_trips() {
        assert_eq!(read(&curves()).unwrap(), curves());
        let mean = RecallCurves { confidence: None, ..curves() };
        assert_eq!(read(&mean).unwrap(), mean);
        assert!(curves().to_bytes().len() as u64 <= RECALL_BYTES_MAX);
        let none = RecallCurves { ranges: Vec::new(), ..curves() };
        assert_eq!(read(&none).unwrap(), none);
        assert_eq!(curves().of(Tier::Memory).map(|curve| curve.k).collect::<Vec<_>>(), [10]);
        let ssd = RecallCurves { curves: curves().curves[..2].to_vec(), ..curves() };
        assert_eq!(ssd.of(Tier::Memory).count(), 2, "those on SSD stand in");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let changes: [fn(&mut RecallCurves); 28] = [
            |c| c.confidence = Some(1.0),
            |c| c.confidence = Some(f64::NAN),
            |c| c.curves.clear(),
            |c| c.curves.swap(0, 1),
            |c| c.curves[1].k = 1,
            |c| c.curves[0].k = 0,
            |c| c.curves[0].points.clear(),
            |c| c.curves[0].codes_per_compared = 0.0,
            |c| c.curves[0].points[2].lists = 10,
            |c| c.curves[0].points[0].lists = 0,
            |c| c.curves[0].points[0].rerank_errors = f32::NAN,
            |c| c.curves[0].points[2].epsilon = Some(0.1),
            |c| c.curves[0].points[0].recall = 1.5,
            |c| c.curves[0].points[2].recall = 0.1,
            |c| c.curves[0].points[2].reranked = f64::INFINITY,
            |c| c.curves[0].points[0].vectors_scanned = -1.0,
            |c| c.curves[1].stop = Some([f32::NAN; STOP_WEIGHTS]),
            |c| c.curves[1].points[0].log_odds = Some(f32::INFINITY),
            |c| c.curves[1].points[0].log_odds = Some(f32::NAN),
            |c| c.ranges[1].radius = f32::INFINITY,
            |c| c.ranges.push(RangeCurve::example(15.0)),
            |c| c.ranges[1].points.clear(),
            |c| c.ranges[1].points[0].completeness = 0.0,
            |c| c.ranges[1].points[0].completeness = 1.5,
            |c| c.ranges[1].points[2].completeness = 0.1,
            |c| c.ranges[1].points[2].cosine = f32::NAN,
            |c| c.ranges[1].points[2].cosine = -1.0,
            |c| c.ranges[1].points[0].vectors_scanned = -1.0,
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut wrong = curves();
            change(&mut wrong);
            assert!(matches!(read(&wrong), Err(OpenError::Field { .. })), "change {number}");
        }
        let good = curves().to_bytes();
        for at in 0..good.len() {
            let error = RecallCurves::from_bytes(Path::new("f"), &good[..at], 9).unwrap_err();
            assert!(matches!(error, OpenError::Field { .. }), "{at}: {error}");
        }
        for at in [4, 52] {
            let mut wrong = good.clone();
            wrong[at] = 1;
            let error = RecallCurves::from_bytes(Path::new("f"), &wrong, 9).unwrap_err();
            assert!(error.to_string().contains("not in use"), "{at}: {error}");
        }
        let mut wrong = good.clone();
        wrong[48] = 20;
        let error = RecallCurves::from_bytes(Path::new("f"), &wrong, 9).unwrap_err();
        assert!(error.to_string().contains("weights"), "{error}");
        let longer = [&good[..], &[0]].concat();
        assert!(RecallCurves::from_bytes(Path::new("f"), &longer, 9).is_err());
    }
}
