//! Vectors of a small case: what real tables and embeddings do to an index, in a few shapes.
use half::f16;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use spandrel_index::DType;

/// How the vectors of a case lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// One Gaussian cloud around the origin.
    Gaussian,
    /// A cube around the origin, filled evenly.
    Uniform,
    /// Gaussian clouds of different widths around far centres.
    Clusters,
    /// A Gaussian cloud, each row multiplied by a number between 0.01 and 100.
    Scales,
    /// A Gaussian cloud with some rows multiplied by 10 000.
    Outliers,
    /// A Gaussian cloud with three rows at +40 in every column.
    FarFew,
    /// Clusters in which each row has about twelve equal copies.
    Duplicates,
    /// Columns with units of their own, from 0.01 to 1 000, all values positive.
    Table,
    /// A Gaussian cloud in which half of the columns hold one value.
    Constant,
}

impl Shape {
    /// Every shape.
    pub const ALL: [Shape; 9] = [
        Shape::Gaussian,
        Shape::Uniform,
        Shape::Clusters,
        Shape::Scales,
        Shape::Outliers,
        Shape::FarFew,
        Shape::Duplicates,
        Shape::Table,
        Shape::Constant,
    ];

    /// `count` rows of `dim` values, back to back.
    pub fn rows(self, dim: usize, count: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let centres: Vec<f32> = (0..12 * dim).map(|_| 10.0 * normal(rng)).collect();
        let units: Vec<f32> = (0..dim).map(|_| 10_f32.powf(rng.random_range(-2.0..3.0))).collect();
        let outliers = count.div_ceil(1000).max(3);
        let mut values: Vec<f32> = Vec::with_capacity(count * dim);
        for row in 0..count {
            if self == Shape::Duplicates && row > 0 && rng.random_range(0..12) != 0 {
                let copied = rng.random_range(0..row) * dim;
                values.extend_from_within(copied..copied + dim);
                continue;
            }
            let centre = rng.random_range(0..12) * dim;
            let scale = match self {
                Shape::Scales => 10_f32.powf(rng.random_range(-2.0..2.0)),
                Shape::Clusters => rng.random_range(0.2..3.0),
                Shape::Outliers if row < outliers => 1e4,
                _ => 1.0,
            };
            values.extend((0..dim).map(|column| match self {
                Shape::Gaussian | Shape::Scales | Shape::Outliers => scale * normal(rng),
                Shape::Uniform => rng.random_range(-2.0..2.0),
                Shape::Clusters | Shape::Duplicates => centres[centre + column] + scale * normal(rng),
                Shape::FarFew => normal(rng) + if row < 3 { 40.0 } else { 0.0 },
                Shape::Table => units[column] * (0.5 * normal(rng)).exp(),
                Shape::Constant if column % 2 == 0 => units[column].min(50.0),
                Shape::Constant => normal(rng),
            }));
        }
        values
    }
}

/// A normally distributed number (Box and Muller).
pub fn normal(rng: &mut ChaCha8Rng) -> f32 {
    let (radius, angle) =
        (rng.random_range(f32::MIN_POSITIVE..1.0), rng.random_range(0.0..std::f32::consts::TAU));
    (-2.0 * radius.ln()).sqrt() * angle.cos()
}

/// Rows of an element type, little-endian; values out of its range become its ends. No row is all zeros, which
/// cosine would refuse.
pub fn encode(dtype: DType, dim: usize, values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(dtype.row_bytes(1) * values.len());
    for row in values.chunks(dim) {
        let start = bytes.len();
        for &value in row {
            match dtype {
                DType::F32 => bytes.extend(value.to_le_bytes()),
                DType::F16 => bytes.extend(f16::from_f32(value.clamp(-6e4, 6e4)).to_le_bytes()),
                // CAST: saturates.
                DType::I8 => bytes.extend(((value * 8.0).round() as i8).to_le_bytes()),
                DType::U8 => bytes.push((value * 8.0 + 100.0).round() as u8), // CAST: saturates
            }
        }
        if bytes[start..].iter().all(|&byte| byte & 0x7f == 0) {
            // The exponent of a float, or an integer: a number other than 0 in each type.
            let first_end = start + dtype.row_bytes(1);
            bytes[first_end - 1] = 0x3c;
        }
    }
    bytes
}
