//! Which lists hold what share of the vectors within a radius, in the section `recall`.
//!
//! ```text
//!  0  4 radius f32      4  4 queries      8  4 points     12  4 zero
//! then each of its points:
//!  0  8 completeness f64   8  8 codes scanned f64   16  4 cosine f32   20  4 zero
//! ```
//! The points of a radius ascend in everything.
use serde::Serialize;

use super::OpenError;
use super::fields::Fields;

/// Radii of an index at most.
pub(super) const RADII_MAX: usize = 16;
/// Points of a radius at most.
const POINTS_MAX: usize = 32;
const HEAD_BYTES: usize = 16;
const POINT_BYTES: usize = 24;
/// Bytes of a radius at most.
pub(super) const RANGE_BYTES_MAX: usize = HEAD_BYTES + POINTS_MAX * POINT_BYTES;

/// Which lists hold what share of the vectors within a radius.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RangeCurve {
    /// In the unit that answers show.
    pub radius: f32,
    /// Queries that say so: those with a vector within it.
    pub queries: u32,
    /// One or more, ascending.
    pub points: Vec<RangePoint>,
}

/// Lists that are searched, and what to expect of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RangePoint {
    /// Share of the vectors within the radius that they hold, of a further query at least.
    pub completeness: f64,
    /// Largest cosine of the angle at a list's head between the query and a vector on the radius. Lists in which every such vector
    /// needs a larger one are left out.
    pub cosine: f32,
    /// Vectors that these lists hold, per query.
    pub vectors_scanned: f64,
}

impl RangeCurve {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.radius.to_le_bytes());
        out.extend_from_slice(&self.queries.to_le_bytes());
        out.extend_from_slice(&(self.points.len() as u32).to_le_bytes()); // CAST: at most `POINTS_MAX`
        out.extend_from_slice(&[0; 4]);
        for point in &self.points {
            out.extend_from_slice(&point.completeness.to_le_bytes());
            out.extend_from_slice(&point.vectors_scanned.to_le_bytes());
            out.extend_from_slice(&point.cosine.to_le_bytes());
            out.extend_from_slice(&[0; 4]);
        }
    }

    pub(super) fn take(fields: &mut Fields<'_>) -> Result<RangeCurve, OpenError> {
        let (radius, queries) = (fields.f32()?, fields.u32()?);
        if !radius.is_finite() {
            return Err(fields.refused("radius", radius, "a finite one"));
        }
        let count = fields.count("points of a radius", POINTS_MAX)?;
        fields.zero()?;
        let points = (0..count).map(|_| RangePoint::take(fields)).collect::<Result<Vec<_>, _>>()?;
        let ascends = |a: &RangePoint, b: &RangePoint| {
            a.completeness < b.completeness && a.cosine <= b.cosine && a.vectors_scanned <= b.vectors_scanned
        };
        if !points.is_sorted_by(ascends) {
            return Err(fields.refused("points of a radius", "others", "points that ascend"));
        }
        Ok(RangeCurve { radius, queries, points })
    }

    /// One of three points.
    #[cfg(test)]
    pub(super) fn example(radius: f32) -> RangeCurve {
        let point = |completeness, cosine| RangePoint { completeness, cosine, vectors_scanned: 100.0 };
        RangeCurve { radius, queries: 7, points: vec![point(0.5, -0.1), point(0.9, 0.1), point(1.0, 0.5)] }
    }
}

impl RangePoint {
    fn take(fields: &mut Fields<'_>) -> Result<RangePoint, OpenError> {
        let (completeness, vectors_scanned, cosine) = (fields.f64()?, fields.f64()?, fields.f32()?);
        fields.zero()?;
        let point = RangePoint { completeness, cosine, vectors_scanned };
        let is_usable = completeness > 0.0
            && completeness <= 1.0
            && vectors_scanned >= 0.0
            && vectors_scanned.is_finite()
            && cosine.is_finite();
        if is_usable {
            Ok(point)
        } else {
            Err(fields.refused("point of a radius", format!("{point:?}"), "a usable one"))
        }
    }
}
