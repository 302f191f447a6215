//! What a case is made of, by its number alone.
use std::fmt;
use std::path::Path;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spandrel_builder::cluster::HeadKind;
use spandrel_builder::filing::ReplicaRule;
use spandrel_builder::{BuildConfig, ListCount};
use spandrel_datasets::{Rows, RowsError};
use spandrel_index::codes::CodeSpec;
use spandrel_index::{DType, Metric, Tier};

use super::data::{Shape, encode, normal};
use crate::{Base, config};

/// Queries of a case.
pub(super) const QUERIES: usize = 6;
/// Most vectors of a case.
const VECTORS_MAX: usize = 3000;
/// Most dimensions of a case.
const DIM_MAX: usize = 64;

/// A small set of vectors, and the index that is built of it.
#[derive(Debug, Clone)]
pub struct Case {
    /// Seed of the sweep.
    pub seed: u64,
    /// Number in the sweep.
    pub number: u64,
    /// Vectors of the base, at most 3 000.
    pub vectors: usize,
    /// Elements of each.
    pub dim: usize,
    /// Neighbours wanted, up to five more than there are vectors.
    pub k: usize,
    /// How vectors are compared.
    pub metric: Metric,
    /// Their element type.
    pub dtype: DType,
    /// How they lie.
    pub shape: Shape,
    /// What lists hold.
    pub code: CodeSpec,
    /// Vectors in a list.
    pub list_size: u32,
    /// What heads are.
    pub heads: HeadKind,
    /// Rule of the index with copies.
    pub replicas: ReplicaRule,
    /// Whether ids are the caller's rather than row numbers.
    pub own_ids: bool,
    /// Whether the build calibrates.
    pub calibrated: bool,
    /// Whether reads are carried out at once, which is much cheaper, or by the usual backend.
    pub inline: bool,
    /// Random choices of the searches follow it.
    pub searches_seed: u64,
    data_seed: u64,
}

impl Case {
    /// The case of a number.
    pub fn of(seed: u64, number: u64) -> Case {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(number);
        // Most faults of shape show in small sets, which are quick.
        let vectors = (VECTORS_MAX as f64).powf(rng.random_range(0.0..=1.0)).round() as usize; // CAST: 1 to 3000
        let dim = match rng.random_range(0..4) {
            0 => rng.random_range(1..=4),
            _ => rng.random_range(1..=DIM_MAX),
        };
        let k = match rng.random_range(0..4) {
            0 => rng.random_range(1..=vectors + 5),
            1 => rng.random_range(vectors..=vectors + 5),
            _ => rng.random_range(1..=vectors.min(20)),
        };
        let code = loop {
            let code = any_code(dim, &mut rng);
            if code.check(dim).is_ok() {
                break code;
            }
        };
        Case {
            seed,
            number,
            vectors,
            dim,
            k,
            metric: any(&Metric::ALL, &mut rng),
            dtype: any(&DType::ALL, &mut rng),
            shape: any(&Shape::ALL, &mut rng),
            code,
            list_size: any(&[4, 16, 32, 64, 120], &mut rng),
            heads: if rng.random_range(0..4) == 0 { HeadKind::Vectors } else { HeadKind::Means },
            replicas: if rng.random() { ReplicaRule::Soar } else { ReplicaRule::Rng },
            own_ids: rng.random_range(0..4) == 0,
            calibrated: rng.random_range(0..10) == 0,
            inline: rng.random_range(0..16) != 0,
            searches_seed: rng.random(),
            data_seed: rng.random(),
        }
    }

    /// Its vectors with their ids, and its queries: rows, rows moved a little, and strangers from where the rows lie.
    ///
    /// # Errors
    /// None for a dimension of an index.
    pub fn data(&self) -> Result<(Base, Rows), RowsError> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.data_seed);
        let strangers = 3;
        let values = self.shape.rows(self.dim, self.vectors + strangers, &mut rng);
        // The last rows, so that what is rare comes first and is in the index.
        let (rows, rest) = values.split_at(self.vectors * self.dim);
        let mut queries = rest.to_vec();
        while queries.len() < QUERIES * self.dim {
            let start = rng.random_range(0..self.vectors) * self.dim;
            let moved = if queries.len() % 2 == 0 { 0.0 } else { 0.1 };
            queries.extend(rows[start..start + self.dim].iter().map(|x| x + moved * normal(&mut rng)));
        }
        let ids = self
            .own_ids
            .then(|| (0..self.vectors as u64).map(|row| (row * 7919 % 10_007) << 33 | 5).collect());
        let rows = Rows::new(self.dtype, self.dim, encode(self.dtype, self.dim, rows))?;
        Ok((
            Base { ids, ..Base::new(rows) },
            Rows::new(self.dtype, self.dim, encode(self.dtype, self.dim, &queries))?,
        ))
    }

    /// How its index is built, with two copies of each vector or one, for codes where `codes` says.
    pub fn build(&self, out: &Path, two_copies: bool, codes: Tier) -> BuildConfig {
        BuildConfig {
            lists: ListCount::Size(self.list_size),
            replicas: if two_copies { self.replicas } else { ReplicaRule::None },
            heads: self.heads,
            code: self.code,
            codes: if self.code == CodeSpec::Full { Tier::Ssd } else { codes },
            threads: 1,
            ..config(self.metric, out)
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Case { vectors, dim, k, metric, dtype, shape, code, list_size, heads, .. } = self;
        let calibrated = if self.calibrated { ", calibrated" } else { "" };
        write!(
            f,
            "--seed {} --case {}: {vectors} x {dim} {dtype} {metric} {shape:?}, k {k}, {code}, lists of {list_size} \
             by {heads}, copies by {}{calibrated}",
            self.seed, self.number, self.replicas
        )
    }
}

fn any<T: Copy>(values: &[T], rng: &mut ChaCha8Rng) -> T {
    values[rng.random_range(0..values.len())]
}

fn any_code(dim: usize, rng: &mut ChaCha8Rng) -> CodeSpec {
    match rng.random_range(0..5) {
        0 => CodeSpec::Full,
        // Draws nothing, so that other cases stay what they were.
        1 if dim.is_multiple_of(2) => CodeSpec::Recurrent {
            bits: 32 * (1 + dim / 2 % dim.div_ceil(32).min(3)) as u32, // CAST: at most 96
            codes: 1 + (dim / 2 % 4) as u8,                            // CAST: at most 4
            symmetric: dim.is_multiple_of(4),
        },
        1 => CodeSpec::Binary,
        2 => CodeSpec::RaBitQ { bits: rng.random_range(1..=8) },
        3 => CodeSpec::Axes { bytes: 4 * rng.random_range(1..=16) },
        _ => CodeSpec::Products {
            quantisers: rng.random_range(1..=dim.min(16)) as u32, // CAST: at most 16
            bits: any(&[4, 8], rng),
            rotated: rng.random(),
            uniform: dim.is_multiple_of(3),
        },
    }
}
