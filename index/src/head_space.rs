//! The space in which lists are formed and heads are searched: distances there are squared L2.
//!
//! L2 uses vectors as they are. Cosine uses normalised copies. Inner product is lifted (Bachrach et al.,
//! "Speeding up the Xbox recommender system using a Euclidean transformation", 2014): with M the largest
//! norm, `x' = (x, sqrt(M^2 - |x|^2))` and `q' = (q M / |q|, 0)`, so that the nearest `x'` has the largest
//! inner product. Scaling q changes no order among vectors and makes distances comparable across queries.
use half::f16;
use half::slice::HalfFloatSliceExt;
use serde::{Deserialize, Serialize};

use crate::{DType, Metric};

/// How vectors of an index become rows of its head space.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadSpace {
    /// Vectors as they are.
    Same,
    /// Vectors divided by their length.
    Normalised,
    /// Vectors with one more element that makes every length `norm_max`.
    Lifted {
        /// The largest length of a vector.
        norm_max: f32,
    },
}

impl HeadSpace {
    /// The space for a metric; `norm_max` is the largest length of a vector, used by inner product alone.
    pub fn of(metric: Metric, norm_max: f32) -> HeadSpace {
        match metric {
            Metric::L2 => HeadSpace::Same,
            Metric::Cosine => HeadSpace::Normalised,
            Metric::InnerProduct => HeadSpace::Lifted { norm_max },
        }
    }

    /// Element type of rows in this space.
    ///
    /// Bytes become half precision, which holds them exactly before scaling; a half keeps its type only
    /// where its length is one, since a lifted element may exceed its range.
    pub fn dtype(self, dtype: DType) -> DType {
        match (self, dtype) {
            (HeadSpace::Same, _) | (_, DType::F32) => dtype,
            (HeadSpace::Normalised, _) | (_, DType::I8 | DType::U8) => DType::F16,
            (HeadSpace::Lifted { .. }, DType::F16) => DType::F32,
        }
    }

    /// Elements of a row in this space.
    pub fn dim(self, dim: usize) -> usize {
        match self {
            HeadSpace::Same | HeadSpace::Normalised => dim,
            HeadSpace::Lifted { .. } => dim + 1,
        }
    }

    /// Appends the row of a stored vector.
    pub fn map_vector(self, dtype: DType, vector: &[u8], out: &mut Vec<u8>) {
        match self {
            HeadSpace::Same => out.extend_from_slice(vector),
            HeadSpace::Normalised => {
                let scale = inverse_norm(dtype, vector);
                self.push(dtype, vector, |x| x * scale, None, out);
            }
            HeadSpace::Lifted { norm_max } => {
                let gap = f64::from(norm_max).powi(2) - norm_squared(dtype, vector);
                self.push(dtype, vector, |x| x, Some(gap.max(0.0).sqrt() as f32), out); // CAST: rounds
            }
        }
    }

    /// Appends the row of a query. A zero query stays zero.
    pub fn map_query(self, dtype: DType, query: &[u8], out: &mut Vec<u8>) {
        match self {
            HeadSpace::Same => out.extend_from_slice(query),
            HeadSpace::Normalised => self.map_vector(dtype, query, out),
            HeadSpace::Lifted { norm_max } => {
                let scale = lift_scale(norm_max, dtype, query);
                self.push(dtype, query, |x| (f64::from(x) * scale) as f32, Some(0.0), out); // CAST: rounds
            }
        }
    }

    /// Appends a stored vector in this space as floats, not rounded to the space's own type.
    pub fn float_vector(self, dtype: DType, vector: &[u8], out: &mut Vec<f32>) {
        match self {
            HeadSpace::Same => for_each_element(dtype, vector, |x| out.push(x)),
            HeadSpace::Normalised => {
                let scale = inverse_norm(dtype, vector);
                for_each_element(dtype, vector, |x| out.push(x * scale));
            }
            HeadSpace::Lifted { norm_max } => {
                for_each_element(dtype, vector, |x| out.push(x));
                let gap = f64::from(norm_max).powi(2) - norm_squared(dtype, vector);
                out.push(gap.max(0.0).sqrt() as f32); // CAST: rounds
            }
        }
    }

    /// Appends a query in this space as floats, without the last element of lifted inner product, which is 0.
    pub fn float_query(self, dtype: DType, query: &[u8], out: &mut Vec<f32>) {
        match self {
            HeadSpace::Same | HeadSpace::Normalised => self.float_vector(dtype, query, out),
            HeadSpace::Lifted { norm_max } => {
                let scale = lift_scale(norm_max, dtype, query);
                for_each_element(dtype, query, |x| out.push((f64::from(x) * scale) as f32)); // CAST: rounds
            }
        }
    }

    /// Squared distance in this space of a vector whose score (smaller is closer, as metrics order them) against
    /// `query` is `score`.
    pub fn distance_of_score(self, score: f32, dtype: DType, query: &[u8]) -> f32 {
        match self {
            HeadSpace::Same => score,
            // Unit vectors: |q - x|^2 = 2 (1 - cos).
            HeadSpace::Normalised => 2.0 * score,
            // Both of length M: |q - x|^2 = 2 M^2 - 2 <q M / |q|, x>.
            HeadSpace::Lifted { norm_max } => {
                let (norm, scale) = (f64::from(norm_max), lift_scale(norm_max, dtype, query));
                (2.0 * norm * norm + 2.0 * scale * f64::from(score)) as f32 // CAST: rounds
            }
        }
    }

    /// The score of a vector at squared distance `distance` from `query` in this space: the inverse of
    /// [`HeadSpace::distance_of_score`].
    pub fn score_of_distance(self, distance: f32, dtype: DType, query: &[u8]) -> f32 {
        match self {
            HeadSpace::Same => distance,
            HeadSpace::Normalised => 0.5 * distance,
            HeadSpace::Lifted { norm_max } => {
                let (norm, scale) = (f64::from(norm_max), lift_scale(norm_max, dtype, query));
                let score = (f64::from(distance) - 2.0 * norm * norm) / (2.0 * scale);
                if scale > 0.0 { score as f32 } else { 0.0 } // CAST: rounds
            }
        }
    }

    fn push(
        self,
        dtype: DType,
        vector: &[u8],
        map: impl Fn(f32) -> f32,
        last: Option<f32>,
        out: &mut Vec<u8>,
    ) {
        let to = self.dtype(dtype);
        let mut put = |x: f32| match to {
            DType::F16 => out.extend_from_slice(&f16::from_f32(x).to_le_bytes()),
            _ => out.extend_from_slice(&x.to_le_bytes()),
        };
        for_each_element(dtype, vector, |x| put(map(x)));
        if let Some(last) = last {
            put(last);
        }
    }
}

/// What a query is multiplied with to be as long as the longest vector. A short query against long vectors takes a
/// scale that single precision does not hold.
fn lift_scale(norm_max: f32, dtype: DType, query: &[u8]) -> f64 {
    let squared = norm_squared(dtype, query);
    if squared > 0.0 { f64::from(norm_max) / squared.sqrt() } else { 0.0 }
}

/// Calls `f` with each element of a vector as `f32`.
pub fn for_each_element(dtype: DType, vector: &[u8], mut f: impl FnMut(f32)) {
    for_each_stretch(dtype, vector, |stretch| stretch.iter().for_each(|&x| f(x)));
}

/// Elements converted at a time.
const STRETCH: usize = 16;

/// Calls `f` with the elements of a vector in order, at most [`STRETCH`] at a time.
fn for_each_stretch(dtype: DType, vector: &[u8], mut f: impl FnMut(&[f32])) {
    fn stretches<const BYTES: usize>(
        vector: &[u8],
        convert: impl Fn(&[[u8; BYTES]], &mut [f32]),
        f: &mut impl FnMut(&[f32]),
    ) {
        let mut elements = [0.0; STRETCH];
        for stretch in vector.as_chunks::<BYTES>().0.chunks(STRETCH) {
            let elements = &mut elements[..stretch.len()];
            convert(stretch, elements);
            f(elements);
        }
    }
    fn each<const BYTES: usize>(of: impl Fn([u8; BYTES]) -> f32) -> impl Fn(&[[u8; BYTES]], &mut [f32]) {
        move |stretch, out| out.iter_mut().zip(stretch).for_each(|(out, &x)| *out = of(x))
    }
    match dtype {
        DType::U8 => stretches(vector, each(|[x]| f32::from(x)), &mut f),
        DType::I8 => stretches(vector, each(|[x]| f32::from(x.cast_signed())), &mut f),
        DType::F32 => stretches(vector, each(f32::from_le_bytes), &mut f),
        DType::F16 => stretches(vector, halves, &mut f),
    }
}

/// Converts f16 to f32, with the processor's instruction (F16C) where it has one. That pays only for many numbers at a time.
fn halves(stretch: &[[u8; 2]], out: &mut [f32]) {
    let mut halves = [f16::ZERO; STRETCH];
    let halves = &mut halves[..stretch.len()];
    halves.iter_mut().zip(stretch).for_each(|(half, &x)| *half = f16::from_le_bytes(x));
    halves.convert_to_f32_slice(out);
}

/// Squared length of a vector.
pub fn norm_squared(dtype: DType, vector: &[u8]) -> f64 {
    // Side by side, so that no sum waits for the one before; in an order that no instruction set changes.
    let mut sums = [0.0; STRETCH];
    for_each_stretch(dtype, vector, |stretch| {
        sums.iter_mut().zip(stretch).for_each(|(sum, &x)| *sum += f64::from(x) * f64::from(x));
    });
    sums.iter().sum()
}

/// One over the length of a vector, 0 for a zero vector.
pub fn inverse_norm(dtype: DType, vector: &[u8]) -> f32 {
    let squared = norm_squared(dtype, vector);
    if squared > 0.0 { (1.0 / squared.sqrt()) as f32 } else { 0.0 } // CAST: rounds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(bytes: &[u8]) -> Vec<f32> {
        bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
    }

    #[test]
    fn lifted_rows_have_one_length_and_keep_the_order() {
        let space = HeadSpace::of(Metric::InnerProduct, 5.0);
        let vector: Vec<u8> = [3.0_f32, 0.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let mut row = Vec::new();
        space.map_vector(DType::F32, &vector, &mut row);
        assert_eq!(floats(&row), [3.0, 0.0, 4.0]);
        row.clear();
        space.map_query(DType::F32, &vector, &mut row);
        assert_eq!(floats(&row), [5.0, 0.0, 0.0]);
    }

    #[test]
    fn queries_of_any_length_are_lifted_to_the_longest_vector() {
        let norm_max = crate::NORM_SQUARED_MAX.sqrt() as f32;
        let space = HeadSpace::of(Metric::InnerProduct, norm_max);
        for length in [0.0_f32, 1e-45, 1e-38, 1.0, 8.9e18] {
            let query: Vec<u8> = [0.0, length].iter().flat_map(|x| x.to_le_bytes()).collect();
            let mut row = Vec::new();
            space.map_query(DType::F32, &query, &mut row);
            let expected = if length > 0.0 { norm_max } else { 0.0 };
            assert_eq!(floats(&row), [0.0, expected, 0.0], "{length}");
        }
    }

    #[test]
    fn scores_are_distances_of_the_space() {
        let bytes = |row: &[f32]| -> Vec<u8> { row.iter().flat_map(|x| x.to_le_bytes()).collect() };
        let (vector, query) = (bytes(&[3.0, 1.0]), bytes(&[1.0, 2.0]));
        let (product, lengths) = (5.0, (10.0_f32 * 5.0).sqrt());
        for (metric, score) in
            [(Metric::L2, 5.0), (Metric::Cosine, 1.0 - product / lengths), (Metric::InnerProduct, -product)]
        {
            let space = HeadSpace::of(metric, 4.0);
            let (mut row, mut query_row) = (Vec::new(), Vec::new());
            space.float_vector(DType::F32, &vector, &mut row);
            space.float_query(DType::F32, &query, &mut query_row);
            query_row.resize(row.len(), 0.0);
            let expected: f32 = row.iter().zip(&query_row).map(|(a, b)| (a - b) * (a - b)).sum();
            let found = space.distance_of_score(score, DType::F32, &query);
            assert!((found - expected).abs() < 1e-4, "{metric}: {found} {expected}");
            assert!((space.score_of_distance(found, DType::F32, &query) - score).abs() < 1e-4, "{metric}");
        }
    }

    #[test]
    fn normalised_bytes_become_halves() {
        let space = HeadSpace::of(Metric::Cosine, 0.0);
        assert_eq!(space.dtype(DType::U8), DType::F16);
        let mut row = Vec::new();
        space.map_vector(DType::U8, &[3, 4], &mut row);
        assert_eq!(row.len(), 4);
        assert!((norm_squared(DType::F16, &row) - 1.0).abs() < 1e-3);
    }
}
