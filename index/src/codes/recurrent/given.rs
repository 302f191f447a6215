//! Matrices that were learned elsewhere.
use super::model::RecurrentModel;
use super::shape::RecurrentShape;
use crate::codes::CodeSpec;
use crate::codes::frame::Centre;
use crate::codes::rotation::{DenseRotation, Rotation};
use crate::{ArraySource, ArraySourceError, NORM_SQUARED_MAX};

/// What the point that vectors are measured from is called.
const CENTRE: &str = "center";
/// Largest number of an array: squares of rows stay in the range of numbers.
const LARGEST: f64 = 1e30;
/// A matrix has a number of this size or more.
const SMALLEST: f64 = 1e-30;
/// A row of `W0` is no shorter than this share of the longest: shorter ones would be a few steps of the matrix as it is kept.
const SHORTEST: f64 = 1.0 / 256.0;

/// Matrices that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BinariserError {
    /// A code that has no such matrices.
    #[error("{name}: matrices for {code}, expected a code bits:MxU")]
    Code {
        /// Name of the source of the matrices, such as a path.
        name: String,
        /// The code asked for.
        code: CodeSpec,
    },
    /// An array that the code needs is not there.
    #[error("{name}: no array {array}, expected one of shape {expected}")]
    Missing {
        /// Name of the source of the matrices.
        name: String,
        /// What it is called.
        array: String,
        /// The shape it must have.
        expected: String,
    },
    /// An array that the code has no use for.
    #[error("{name}: array {array}, expected none but {expected}")]
    Extra {
        /// Name of the source of the matrices.
        name: String,
        /// What it is called.
        array: String,
        /// Those that are used.
        expected: String,
    },
    /// Another shape than the code asks for.
    #[error("{name}: array {array} of shape {found}, expected {expected}")]
    Shape {
        /// Name of the source of the matrices.
        name: String,
        /// Name of the array.
        array: String,
        /// Shape of the array given.
        found: String,
        /// The shape it must have.
        expected: String,
    },
    /// A NaN, an infinity, or a number out of all proportion.
    #[error("{name}: array {array} with {found} at {at}, expected numbers from -1e30 to 1e30")]
    Value {
        /// Name of the source of the matrices.
        name: String,
        /// Name of the array.
        array: String,
        /// Value out of range.
        found: f64,
        /// Its place, counted over all values.
        at: usize,
    },
    /// Nothing but zeros: no bit would depend on the vector.
    #[error("{name}: array {array} of zeros, expected numbers of 1e-30 or more")]
    Zeros {
        /// Name of the source of the matrices.
        name: String,
        /// Name of the array.
        array: String,
    },
    /// A row of zeros: its bit would not depend on the vector.
    #[error("{name}: array {array} with a row {row} of zeros, expected numbers of 1e-30 or more")]
    ZeroRow {
        /// Name of the source of the matrices.
        name: String,
        /// Name of the array.
        array: String,
        /// Row of the array, from 0.
        row: usize,
    },
    /// A row that is too short beside others.
    #[error(
        "{name}: array {array} with a row {row} of {share:.0e} of the length of the longest, expected 1/256 of it or more"
    )]
    ShortRow {
        /// Name of the source of the matrices.
        name: String,
        /// Name of the array.
        array: String,
        /// Row of the array, from 0.
        row: usize,
        /// Its length, as a share of that of the longest.
        share: f64,
    },
    /// A point that no vector may lie as far out as.
    #[error("{name}: array {CENTRE} of length {length:.1e}, expected at most {:.1e}", NORM_SQUARED_MAX.sqrt())]
    CentreLength {
        /// Name of the source of the matrices.
        name: String,
        /// Euclidean length of the point.
        length: f64,
    },
    /// An array could not be read.
    #[error(transparent)]
    Source(#[from] ArraySourceError),
}

/// An array that a code needs or may have.
struct Wanted {
    name: String,
    sizes: Vec<usize>,
    is_optional: bool,
}

/// The matrices of a code, which were learned elsewhere.
#[derive(Clone, Copy)]
pub struct Binariser<'a> {
    source: &'a dyn ArraySource,
    shape: RecurrentShape,
    dim: usize,
}

impl<'a> Binariser<'a> {
    /// Those that `source` has for a code of vectors of `dim` elements: `W0` to `W(U-1)` of M x dim, `R0` to `R(U-2)` of dim x M, and
    /// `center` of dim if vectors are measured from another point than 0. Looks at names and shapes alone.
    ///
    /// # Errors
    /// [`BinariserError`].
    pub fn new(
        source: &'a dyn ArraySource,
        code: CodeSpec,
        dim: usize,
    ) -> Result<Binariser<'a>, BinariserError> {
        let Some(shape) = RecurrentShape::of(code) else {
            return Err(BinariserError::Code { name: source.name(), code });
        };
        let binariser = Binariser { source, shape, dim };
        let wanted = binariser.wanted();
        for want in &wanted {
            binariser.check(want)?;
        }
        let is_extra = |name: &str| wanted.iter().all(|want| want.name != name);
        if let Some(extra) = source.arrays().iter().find(|array| is_extra(&array.name)) {
            let names: Vec<&str> = wanted.iter().map(|want| want.name.as_str()).collect();
            let (name, array) = (source.name(), extra.name.chars().take(60).collect());
            return Err(BinariserError::Extra { name, array, expected: names.join(", ") });
        }
        Ok(binariser)
    }

    fn wanted(&self) -> Vec<Wanted> {
        let RecurrentShape { bits, codes, .. } = self.shape;
        let array =
            |name: String, sizes: &[usize], is_optional| Wanted { name, sizes: sizes.to_vec(), is_optional };
        let projections = (0..codes).map(|at| array(projection(at), &[bits, self.dim], false));
        let back = (1..codes).map(|at| array(reconstruction(at - 1), &[self.dim, bits], false));
        projections.chain(back).chain([array(CENTRE.to_owned(), &[self.dim], true)]).collect()
    }

    fn check(&self, want: &Wanted) -> Result<(), BinariserError> {
        let (name, array, expected) = (self.source.name(), want.name.clone(), shape_text(&want.sizes));
        match self.source.arrays().iter().find(|array| array.name == want.name) {
            None if want.is_optional => Ok(()),
            None => Err(BinariserError::Missing { name, array, expected }),
            Some(found) if found.sizes == want.sizes => Ok(()),
            Some(found) => {
                Err(BinariserError::Shape { name, array, found: shape_text(&found.sizes), expected })
            }
        }
    }

    /// Reads every array once and looks at its values, one array at a time.
    ///
    /// # Errors
    /// [`BinariserError`].
    pub fn check_values(&self) -> Result<(), BinariserError> {
        let RecurrentShape { codes, .. } = self.shape;
        self.centre()?;
        (0..codes).try_for_each(|at| self.projection(at).map(|_| ()))?;
        (1..codes).try_for_each(|at| self.read(&reconstruction(at - 1)).map(|_| ()))
    }

    /// The point that vectors are measured from.
    ///
    /// # Errors
    /// [`BinariserError`].
    pub fn centre(&self) -> Result<Vec<f32>, BinariserError> {
        if !self.has(CENTRE) {
            return Ok(vec![0.0; self.dim]);
        }
        let centre = self.read(CENTRE)?;
        let length = length_of(&centre);
        if length * length > NORM_SQUARED_MAX {
            return Err(BinariserError::CentreLength { name: self.source.name(), length });
        }
        Ok(centre.into_iter().map(|x| x as f32).collect()) // CAST: rounds
    }

    fn has(&self, name: &str) -> bool {
        self.source.arrays().iter().any(|array| array.name == name)
    }

    fn read(&self, array: &str) -> Result<Vec<f64>, BinariserError> {
        let values = self.source.read(array)?;
        if let Some(at) = values.iter().position(|x| x.is_nan() || x.abs() > LARGEST) {
            let (name, array) = (self.source.name(), array.to_owned());
            return Err(BinariserError::Value { name, array, found: values[at], at });
        }
        if array != CENTRE && values.iter().all(|x| x.abs() < SMALLEST) {
            return Err(BinariserError::Zeros { name: self.source.name(), array: array.to_owned() });
        }
        Ok(values)
    }

    /// `W_t`, of which no product is wanted but in proportion: all rows of one length where signs alone are, and else the longest of
    /// length 1.
    fn projection(&self, at: usize) -> Result<Rotation, BinariserError> {
        let array = projection(at);
        let mut values = self.read(&array)?;
        let longest = values.chunks_exact(self.dim).map(length_of).fold(0.0, f64::max);
        for (row, values) in values.chunks_exact_mut(self.dim).enumerate() {
            let length = length_of(values);
            if length < SMALLEST {
                return Err(BinariserError::ZeroRow { name: self.source.name(), array, row });
            }
            let share = length / longest;
            if at == 0 && share < SHORTEST {
                return Err(BinariserError::ShortRow { name: self.source.name(), array, row, share });
            }
            let unit = if at == 0 { longest } else { length };
            values.iter_mut().for_each(|x| *x /= unit);
        }
        let mut matrix = DenseRotation::scaled(&values, self.dim);
        matrix.set_scale(1.0);
        Ok(Rotation::Dense(matrix))
    }
}

impl RecurrentModel {
    /// Takes matrices as they were given, for vectors less their centre. `sample` are some of these.
    pub(in crate::codes) fn given(
        of: &Binariser<'_>,
        mean: Vec<f32>,
        sample: &[f32],
    ) -> Result<RecurrentModel, BinariserError> {
        let RecurrentShape { bits, codes, is_symmetric } = of.shape;
        let projections = (0..codes).map(|at| of.projection(at)).collect::<Result<_, _>>()?;
        let back = |at: usize| {
            let values = of.read(&reconstruction(at - 1))?;
            Ok(Rotation::Dense(DenseRotation::scaled(&values, bits)))
        };
        let reconstructions = (1..codes).map(back).collect::<Result<_, BinariserError>>()?;
        let mut model = RecurrentModel {
            dim: of.dim,
            layout: RecurrentModel::layout_of(bits, codes),
            is_symmetric,
            centre: Centre::Mean,
            unit_length: false,
            energy: 0.0,
            mean,
            projections,
            reconstructions,
        };
        model.measure(sample);
        Ok(model)
    }
}

fn length_of(row: &[f64]) -> f64 {
    row.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn projection(at: usize) -> String {
    format!("W{at}")
}

fn reconstruction(at: usize) -> String {
    format!("R{at}")
}

fn shape_text(sizes: &[usize]) -> String {
    let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
    sizes.join(" x ")
}
