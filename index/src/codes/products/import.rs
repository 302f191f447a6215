//! Centroids and a rotation that were learned elsewhere.
use xxhash_rust::xxh3::Xxh3;

use crate::codes::CodeSpec;

/// How far the rows of a rotation may be from orthonormal: products of single precision come to less.
const ORTHONORMAL_TOLERANCE: f64 = 1e-3;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Matrix {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) values: Vec<f32>,
}

/// Centroids of residuals, taken in place of trained ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Codebooks {
    /// Sub-quantisers, centroids of each, dimensions of those.
    shape: [usize; 3],
    pub(super) centroids: Vec<f32>,
    pub(super) rotation: Option<Matrix>,
}

/// Codebooks that cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CodebooksError {
    /// Another shape than the code asks for.
    #[error("{what} of shape {found}, expected {expected}")]
    Shape {
        /// The codebooks or the rotation.
        what: &'static str,
        /// Shape of the arrays given.
        found: String,
        /// What it must be.
        expected: String,
    },
    /// A NaN or an infinity.
    #[error("{what} with {found} at {at}, expected finite numbers")]
    Value {
        /// The codebooks or the rotation.
        what: &'static str,
        /// NaN or an infinity.
        found: f32,
        /// Its place, counted over all values.
        at: usize,
    },
    /// Rows that are not of length 1, or not at right angles to each other.
    #[error("a rotation whose rows {first} and {second} have product {found}, expected {expected}")]
    NotOrthonormal {
        /// First of two rows, from 0.
        first: usize,
        /// The same or another.
        second: usize,
        /// Inner product of the two rows.
        found: f64,
        /// What it must be.
        expected: f64,
    },
    /// A code that has no codebooks.
    #[error("codebooks for {0}, expected a code pq:MxN")]
    Code(CodeSpec),
    /// A rotated code without a rotation.
    #[error("codebooks without a rotation for {0}: give it, or take the code without +opq")]
    NoRotation(CodeSpec),
    /// Codebooks for a code that says how its own are learned.
    #[error("codebooks for {0}: they are learned already, take the code without +uniform")]
    Uniform(CodeSpec),
    /// A rotation for a code without one.
    #[error("codebooks with a rotation for {0}: take the code with +opq")]
    Rotation(CodeSpec),
}

impl Codebooks {
    /// Centroids of `shape` sub-quantisers x centroids x dimensions, and a rotation with its rows and columns.
    ///
    /// # Errors
    /// [`CodebooksError`] when the number of values is not that of the shape, or not all are finite.
    pub fn new(
        shape: [usize; 3],
        centroids: Vec<f32>,
        rotation: Option<([usize; 2], Vec<f32>)>,
    ) -> Result<Codebooks, CodebooksError> {
        finite("codebooks", &centroids)?;
        count("codebooks", &shape, centroids.len())?;
        let rotation = match rotation {
            Some(([rows, columns], values)) => {
                finite("a rotation", &values)?;
                count("a rotation", &[rows, columns], values.len())?;
                Some(Matrix { rows, columns, values })
            }
            None => None,
        };
        Ok(Codebooks { shape, centroids, rotation })
    }

    /// Whether they are those of a code for vectors of `dim` elements.
    ///
    /// # Errors
    /// [`CodebooksError`].
    pub fn check(&self, spec: CodeSpec, dim: usize) -> Result<(), CodebooksError> {
        let CodeSpec::Products { quantisers, bits, rotated, uniform } = spec else {
            return Err(CodebooksError::Code(spec));
        };
        if uniform {
            return Err(CodebooksError::Uniform(spec));
        }
        let dims = dim.next_multiple_of(quantisers as usize);
        let expected = [quantisers as usize, 1 << bits, dims / quantisers as usize];
        if self.shape != expected {
            return Err(wrong_shape("codebooks", &self.shape, &expected));
        }
        match (&self.rotation, rotated) {
            (None, true) => Err(CodebooksError::NoRotation(spec)),
            (Some(_), false) => Err(CodebooksError::Rotation(spec)),
            (None, false) => Ok(()),
            (Some(rotation), true) => rotation.check(dims, dim),
        }
    }

    /// Identifies their content.
    pub fn hash(&self) -> u128 {
        let mut hash = Xxh3::new();
        let mut add = |shape: &[usize], values: &[f32]| {
            shape.iter().for_each(|&size| hash.update(&(size as u64).to_le_bytes())); // CAST: widening
            values.iter().for_each(|value| hash.update(&value.to_le_bytes()));
        };
        add(&self.shape, &self.centroids);
        if let Some(Matrix { rows, columns, values }) = &self.rotation {
            add(&[*rows, *columns], values);
        }
        hash.digest128()
    }
}

impl Matrix {
    /// Rotated residuals must keep their lengths and products: columns are orthonormal.
    fn check(&self, dims: usize, dim: usize) -> Result<(), CodebooksError> {
        if [self.rows, self.columns] != [dims, dim] {
            return Err(wrong_shape("a rotation", &[self.rows, self.columns], &[dims, dim]));
        }
        let mut columns = vec![0.0; self.values.len()];
        for (row, values) in self.values.chunks_exact(dim).enumerate() {
            values.iter().enumerate().for_each(|(column, &x)| columns[column * dims + row] = x);
        }
        let column = |at: usize| &columns[at * dims..][..dims];
        for first in 0..dim {
            for second in 0..=first {
                let found = product(column(first), column(second));
                let expected = if first == second { 1.0 } else { 0.0 };
                if (found - expected).abs() > ORTHONORMAL_TOLERANCE {
                    return Err(CodebooksError::NotOrthonormal { first, second, found, expected });
                }
            }
        }
        Ok(())
    }
}

fn product(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

fn wrong_shape(what: &'static str, found: &[usize], expected: &[usize]) -> CodebooksError {
    CodebooksError::Shape { what, found: shape_text(found), expected: shape_text(expected) }
}

fn shape_text(shape: &[usize]) -> String {
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    sizes.join(" x ")
}

fn finite(what: &'static str, values: &[f32]) -> Result<(), CodebooksError> {
    match values.iter().position(|x| !x.is_finite()) {
        Some(at) => Err(CodebooksError::Value { what, found: values[at], at }),
        None => Ok(()),
    }
}

fn count(what: &'static str, shape: &[usize], values: usize) -> Result<(), CodebooksError> {
    let product = shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
    if product == Some(values) {
        return Ok(());
    }
    Err(CodebooksError::Shape { what, found: format!("{values} values"), expected: shape_text(shape) })
}
