//! Learning bit planes from a sample of residuals.
use nalgebra::DMatrix;

use super::encode::PlaneCoder;
use super::layout::{PlaneLayout, PlaneSegment, SEGMENT_DIMS};
use super::model::{PlaneModel, QueryForm, SegmentModel};
use crate::codes::CodeSpec;
use crate::codes::aware::QueryMoments;
use crate::codes::axes::principal_axes;
use crate::codes::error::TrainError;
use crate::codes::frame::Centre;
use crate::codes::rotation::{DenseRotation, Rotation, RotationScratch};
use crate::codes::sample::measured_rows;

/// Step of the best uniform quantiser of a unit Gaussian, by bits (Max, "Quantizing for minimum distortion", 1960).
/// One bit is a sign at any step. At this one its product with the number is 1 on average, so that beside segments
/// of more bits it is not too small for estimates of near neighbours: the least error, at 1.596, takes it for 0.64.
pub(in crate::codes) const STEP: [f32; 9] =
    [0.0, 2.5066, 0.9957, 0.5860, 0.3352, 0.1881, 0.1041, 0.0569, 0.0308];
/// Its mean squared error, by bits.
const DISTORTION: [f64; 9] =
    [1.0, 0.3634, 0.1188, 0.037_44, 0.011_54, 0.003_495, 0.001_04, 0.000_304, 0.000_087_7];
/// Squared cosine between residuals of neighbours, on axes that are not coded. Decision 002.
const LIKENESS: f64 = 0.25;
impl PlaneModel {
    /// See [`CodeModel::train`](crate::codes::CodeModel::train).
    pub(in crate::codes) fn train(
        spec: CodeSpec,
        mut mean: Vec<f32>,
        residuals: &[f32],
        seed: u64,
        moments: Option<&QueryMoments>,
    ) -> Result<PlaneModel, TrainError> {
        let dim = mean.len();
        spec.check(dim)?;
        let dims = dim.next_multiple_of(SEGMENT_DIMS);
        let uniform = |bits: u8| {
            let weight = 1.0 / dims as f32; // CAST: exact
            let model = SegmentModel { step: STEP[bits as usize], spread: 1.0, weight, lost: 1.0 };
            (PlaneLayout::new(vec![PlaneSegment { dims, bits }]), vec![model])
        };
        let (centre, query) = match spec {
            CodeSpec::Binary => (Centre::Mean, QueryForm::Signs),
            _ => (Centre::Head, QueryForm::Bytes),
        };
        let mut queries = None;
        let ((layout, mut segments), rotation) = match spec {
            CodeSpec::Full | CodeSpec::Products { .. } | CodeSpec::Recurrent { .. } => {
                panic!("{spec} has no bit planes")
            }
            CodeSpec::RaBitQ { bits } => (uniform(bits), Rotation::hadamard(dims, seed)),
            CodeSpec::Binary => (uniform(1), Rotation::Identity),
            CodeSpec::Axes { bytes } => {
                let weighting = moments.and_then(|moments| moments.balancing(residuals));
                let mapped = weighting.as_ref().map(|weighting| weighting.map(residuals));
                let (axes, variances) = principal_axes(dim, mapped.as_deref().unwrap_or(residuals));
                let segments = allot(&variances, dims, 8 * bytes as usize);
                let rotation = mix(&axes, dim, &segments.0, seed);
                match weighting {
                    Some(weighting) => {
                        let (rotation, map) = weighting.rotated(&rotation);
                        queries = Some((weighting, map));
                        (segments, rotation)
                    }
                    None => (segments, Rotation::Dense(DenseRotation::new(&rotation, dim))),
                }
            }
        };
        if let Some((weighting, map)) = &queries {
            weigh(&layout, &mut segments, &weighting.shares(map));
            mean = weighting.anchor().map_or(mean, <[f32]>::to_vec);
        }
        let queries = queries.map(|(_, map)| map);
        let (energy, dropped) = (0.0, 0.0);
        let mut model =
            PlaneModel { dim, layout, segments, rotation, queries, centre, query, mean, energy, dropped };
        model.measure(residuals);
        Ok(model)
    }
}

/// Gives `bits` to segments of axes with these falling variances.
///
/// What counts is the error of `<residual, query - head>`: both are spread over the axes alike. Axes with the same
/// number of bits are one segment and mixed with each other, which evens out their variances: `n` dimensions of mean
/// variance `m` then lose `n m^2` times the distortion of their bits, less than the sum of the squares that each
/// would lose alone. Of all cuts into segments of falling bits the one that loses least is taken; that of a single
/// segment is RaBitQ. Every axis gets a bit where there are enough, since what is not coded at all biases the
/// estimates of true neighbours.
fn allot(variances: &[f64], dims: usize, bits: usize) -> (PlaneLayout, Vec<SegmentModel>) {
    let total: f64 = variances.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let count = dims / SEGMENT_DIMS;
    // Variance of the first groups of axes, relative to the mean of all groups.
    let mut sums = vec![0.0; count + 1];
    for group in 0..count {
        let end = ((group + 1) * SEGMENT_DIMS).min(variances.len());
        let sum: f64 = variances[group * SEGMENT_DIMS..end].iter().sum();
        sums[group + 1] = sums[group] + sum / total * count as f64; // CAST: exact
    }
    let cuts = cut(&sums, bits / SEGMENT_DIMS);
    let (mut segments, mut models) = (Vec::new(), Vec::new());
    for &(start, end, bits) in &cuts {
        let spread = (sums[end] - sums[start]) / (end - start) as f64; // CAST: exact
        let spread = (spread as f32).max(f32::MIN_POSITIVE); // CAST: rounds
        let step = STEP[bits] * spread.sqrt();
        segments.push(PlaneSegment { dims: (end - start) * SEGMENT_DIMS, bits: bits as u8 }); // CAST: at most 8
        models.push(SegmentModel { step, spread, weight: spread / dims as f32, lost: 0.0 }); // CAST: exact
    }
    (PlaneLayout::new(segments), models)
}

/// Cuts groups of axes, whose variances add up to `sums`, into segments `(start, end, bits)` of falling bits: a bit
/// for each of a group's axes counted once, `budget` in all.
fn cut(sums: &[f64], budget: usize) -> Vec<(usize, usize, usize)> {
    let (count, width) = (sums.len() - 1, budget + 1);
    let loss = |start: usize, end: usize, bits: usize| {
        let sum = sums[end] - sums[start];
        let alone = DISTORTION[bits] * sum * sum / (end - start) as f64; // CAST: exact
        // What true neighbours lose is not random there: it adds up.
        if bits == 0 { alone + SEGMENT_DIMS as f64 * LIKENESS * sum * sum } else { alone }
    };
    // The least loss of the first `end` groups with `used` bits, in segments of at least the current number of bits a
    // dimension; and for each number of bits, where the segment of that number that ends there begins, if there is one.
    let mut least = vec![f64::INFINITY; (count + 1) * width];
    least[0] = 0.0;
    let mut begins: Vec<Vec<Option<usize>>> = Vec::new();
    let fewest = usize::from(budget >= count);
    for bits in (fewest..=8).rev() {
        let mut next = least.clone();
        let mut begin = vec![None; least.len()];
        for start in 0..count {
            for used in 0..=budget {
                let before = least[start * width + used];
                for end in start + 1..=count {
                    let used = used + (end - start) * bits;
                    if before == f64::INFINITY || used > budget {
                        break;
                    }
                    let after = before + loss(start, end, bits);
                    if after < next[end * width + used] {
                        next[end * width + used] = after;
                        begin[end * width + used] = Some(start);
                    }
                }
            }
        }
        begins.push(begin);
        least = next;
    }
    let (mut end, mut used) = (count, budget);
    let mut cuts = Vec::new();
    for (bits, begin) in (fewest..).zip(begins.iter().rev()) {
        if let Some(start) = begin[end * width + used] {
            cuts.push((start, end, bits));
            used -= (end - start) * bits;
            end = start;
        }
    }
    cuts.retain(|&(_, _, bits)| bits > 0);
    cuts.reverse();
    cuts
}

/// Gives segments the weight of queries in them, which have these shares in each dimension.
fn weigh(layout: &PlaneLayout, segments: &mut [SegmentModel], shares: &[f64]) {
    let mut rest = shares;
    for (segment, model) in layout.segments().iter().zip(segments) {
        let (here, after) = rest.split_at(segment.dims);
        model.weight = (here.iter().sum::<f64>() / segment.dims as f64) as f32; // CAST: exact, and rounds
        rest = after;
    }
}

/// Rows that first turn to the axes, then mix those of each segment at random.
fn mix(axes: &DMatrix<f64>, dim: usize, layout: &PlaneLayout, seed: u64) -> Vec<f32> {
    let mut rows = vec![0.0; layout.dims() * dim];
    let mut first = 0;
    for (number, segment) in layout.segments().iter().enumerate() {
        let mixing = Rotation::hadamard(segment.dims, seed.wrapping_add(number as u64)); // CAST: widening
        let coded = segment.dims.min(dim.saturating_sub(first));
        let mut mixed = vec![0.0; segment.dims];
        for column in 0..dim {
            let of_axes: Vec<f32> = (first..first + coded).map(|row| axes[(row, column)] as f32).collect(); // CAST: rounds
            mixing.apply(&of_axes, coded, &mut RotationScratch::default(), &mut mixed);
            for (row, &x) in mixed.iter().enumerate() {
                rows[(first + row) * dim + column] = x;
            }
        }
        first += segment.dims;
    }
    rows
}

impl PlaneModel {
    /// Codes a sample to learn what codes are like.
    fn measure(&mut self, residuals: &[f32]) {
        let rows = measured_rows(residuals, self.dim);
        let count = rows.len() / self.dim;
        let seen = PlaneCoder::new(self).observe(&rows);
        let mean = |sum: f64, of: usize| if of == 0 { 0.0 } else { (sum / of as f64) as f32 }; // CAST: rounds
        self.energy = mean(seen.energy, count);
        let left = self.dim.saturating_sub(self.layout.dims());
        self.dropped = mean(seen.dropped, count * left);
        let dims: Vec<usize> = self.layout.segments().iter().map(|segment| segment.dims).collect();
        for ((model, lost), dims) in self.segments.iter_mut().zip(seen.lost).zip(dims) {
            model.lost = mean(lost, count * dims);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::codes::sample::MEASURED_ROWS;

    #[test]
    fn bits_go_to_strong_axes() {
        let bits = |variances: &[f64], bytes: usize| -> Vec<(usize, u8)> {
            let layout = allot(variances, variances.len(), 8 * bytes).0;
            assert_eq!(layout.block_bytes(), 16 * bytes);
            layout.segments().iter().map(|s| (s.dims, s.bits)).collect()
        };
        assert_eq!(bits(&[1.0; 128], 32), [(128, 2)]);
        let falling: Vec<f64> = (0..128).map(|i| 0.95_f64.powi(i)).collect();
        assert_eq!(bits(&falling, 32), [(32, 5), (96, 1)]);
        // Too few for every axis: the weakest are left out.
        let slowly: Vec<f64> = (0..128).map(|i| 0.99_f64.powi(i)).collect();
        assert_eq!(bits(&slowly, 8), [(64, 1)]);
        assert_eq!(bits(&[0.0; 64], 64), [(64, 8)]);
    }

    /// No other cut loses less, by trying all of them.
    #[test]
    fn the_best_cut_is_found() {
        fn all(count: usize, budget: usize, most: u8) -> Vec<Vec<u8>> {
            if count == 0 {
                return if budget == 0 { vec![Vec::new()] } else { Vec::new() };
            }
            let mut found = Vec::new();
            for bits in 1..=most.min(budget as u8) {
                for rest in all(count - 1, budget - bits as usize, bits) {
                    found.push([vec![bits], rest].concat());
                }
            }
            found
        }
        for (ratio, budget) in [(0.9, 8), (0.6, 8), (0.4, 13), (0.7, 20), (0.8, 5), (0.3, 30)] {
            let variances: Vec<f64> = (0..5).map(|i| f64::powi(ratio, i)).collect();
            let sums: Vec<f64> = (0..=5).map(|end| variances[..end].iter().sum()).collect();
            let loss = |given: &[u8]| -> f64 {
                let mut start = 0;
                let groups = given.chunk_by(|a, b| a == b).map(|same| {
                    let end = start + same.len();
                    let sum = sums[end] - sums[start];
                    start = end;
                    DISTORTION[same[0] as usize] * sum * sum / same.len() as f64
                });
                groups.sum()
            };
            let best = all(5, budget, 8).iter().map(|given| loss(given)).fold(f64::INFINITY, f64::min);
            let cuts = cut(&sums, budget);
            let given: Vec<u8> = cuts.iter().flat_map(|&(a, b, bits)| vec![bits as u8; b - a]).collect();
            assert!(given.len() == 5 && loss(&given) <= best * (1.0 + 1e-12), "{given:?}");
        }
    }

    #[test]
    fn codes_are_measured_all_over_the_sample() {
        // A quarter of the residuals, the first, are four times as long as the others.
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let long = 32 * MEASURED_ROWS;
        let residuals: Vec<f32> = (0..4 * long)
            .map(|at| {
                let length = if at < long { 4.0 } else { 1.0 };
                length * rng.random_range(-1.0..1.0)
            })
            .collect();
        let lost = |residuals: &[f32]| {
            let axes = CodeSpec::Axes { bytes: 4 };
            PlaneModel::train(axes, vec![0.0; 32], residuals, 1, None).unwrap().segments[0].lost
        };
        let ratio = lost(&residuals) / lost(&residuals[..long]);
        let expected = (0.25 * 16.0 + 0.75) / 16.0;
        assert!((ratio / expected - 1.0).abs() < 0.05, "{ratio}, expected {expected}");
    }
}
