//! The interface of a code family.
//!
//! A family trains a model, codes vectors, makes a query ready, and scans blocks of sixteen codes for estimates; what
//! it states besides is bytes, memory and its bytes in the section `model`. Families differ in what a code is, not in
//! what becomes of it: every one ends in a whole number for each vector, which factors turn into an estimate. An enum
//! rather than a trait, since a file says which family it is of; the match is made once a list.
use std::path::Path;

use super::aware::QueryMoments;
use super::error::TrainError;
use super::frame::{Centre, Frame};
use super::planes::PlaneModel;
use super::products::{Codebooks, CodebooksError, ProductModel, Quantisers};
use super::query::CodeQuery;
use super::recurrent::{Binariser, BinariserError, RecurrentModel, RecurrentShape};
use super::spec::CodeSpec;
use crate::format::OpenError;
use crate::kernels::scan::{Blocks, ScanKernel, ScanTerms};
use crate::spread::shorten;

/// Least ratio of a query's errors to those that codes state. It comes from what codes of a sample lose on average where the query
/// lies; some vectors lose far more there, and would be missed by queries that seem to have no errors.
const ERROR_RATIO_MIN: f32 = 0.25;

/// What a code family learns once for an index, and needs to code vectors and prepare queries.
#[derive(Debug, Clone)]
pub enum CodeModel {
    /// Bit planes: `rabitq`, `axes`, `binary`.
    Planes(PlaneModel),
    /// Product quantisation: `pq`.
    Products(ProductModel),
    /// Recurrent binary codes: `bits`.
    Recurrent(RecurrentModel),
}

impl CodeModel {
    /// Trains a code for vectors of `mean.len()` elements.
    ///
    /// `residuals` are sampled vectors less the heads of their lists, back to back; `mean` is the mean of the
    /// vectors that are not outliers. Residuals that are far longer than others count as shorter. The same input gives
    /// the same model.
    ///
    /// # Errors
    /// [`TrainError`].
    ///
    /// # Panics
    /// For [`CodeSpec::Full`], which has no model.
    pub fn train(
        spec: CodeSpec,
        mean: Vec<f32>,
        residuals: Vec<f32>,
        seed: u64,
    ) -> Result<CodeModel, TrainError> {
        CodeModel::train_for(spec, mean, residuals, seed, None)
    }

    /// As [`CodeModel::train`], for queries that are like `moments`, where [`CodeSpec::knows_queries`]. Where a moment has no inverse, or
    /// no moments are given, the code is the plain one.
    ///
    /// # Errors
    /// [`TrainError`].
    ///
    /// # Panics
    /// For [`CodeSpec::Full`], which has no model, and for moments of another dimension.
    pub fn train_for(
        spec: CodeSpec,
        mean: Vec<f32>,
        mut residuals: Vec<f32>,
        seed: u64,
        moments: Option<&QueryMoments>,
    ) -> Result<CodeModel, TrainError> {
        let moments = moments.filter(|_| spec.knows_queries(mean.len()));
        spec.check(mean.len())?;
        shorten(&mut residuals, mean.len());
        Ok(match spec {
            CodeSpec::Products { quantisers, bits, rotated, uniform } => {
                let parts = Quantisers { count: quantisers as usize, bits, uniform };
                CodeModel::Products(ProductModel::train(parts, rotated, mean, &residuals, seed, moments))
            }
            _ => match RecurrentShape::of(spec) {
                Some(shape) => CodeModel::Recurrent(RecurrentModel::train(shape, mean, &residuals, seed)),
                None => CodeModel::Planes(PlaneModel::train(spec, mean, &residuals, seed, moments)?),
            },
        })
    }

    /// Takes codebooks in place of trained ones; otherwise as [`CodeModel::train`].
    ///
    /// # Errors
    /// [`TrainError`], also when they are not those of the code.
    pub fn import(
        spec: CodeSpec,
        codebooks: &Codebooks,
        mean: Vec<f32>,
        mut residuals: Vec<f32>,
    ) -> Result<CodeModel, TrainError> {
        spec.check(mean.len())?;
        codebooks.check(spec, mean.len())?;
        shorten(&mut residuals, mean.len());
        match spec {
            CodeSpec::Products { quantisers, bits, .. } => {
                let parts = Quantisers { count: quantisers as usize, bits, uniform: false };
                Ok(CodeModel::Products(ProductModel::import(codebooks, parts, mean, &residuals)))
            }
            _ => Err(CodebooksError::Code(spec).into()),
        }
    }

    /// Takes matrices that were learned elsewhere; `centred` are some vectors less their [`Binariser::centre`], back to back, and `centre` is that.
    ///
    /// # Errors
    /// [`BinariserError`].
    pub fn given(
        binariser: &Binariser<'_>,
        centre: Vec<f32>,
        centred: &[f32],
    ) -> Result<CodeModel, BinariserError> {
        RecurrentModel::given(binariser, centre, centred).map(CodeModel::Recurrent)
    }

    /// Reads a model of the family `spec` for vectors of `dim` elements.
    ///
    /// # Errors
    /// [`OpenError::Field`] for a value that cannot be.
    pub fn from_bytes(path: &Path, bytes: &[u8], spec: CodeSpec, dim: usize) -> Result<CodeModel, OpenError> {
        match spec {
            CodeSpec::Products { .. } => {
                ProductModel::from_bytes(path, bytes, spec, dim).map(CodeModel::Products)
            }
            CodeSpec::Recurrent { .. } => {
                RecurrentModel::from_bytes(path, bytes, spec, dim).map(CodeModel::Recurrent)
            }
            _ => PlaneModel::from_bytes(path, bytes, spec, dim).map(CodeModel::Planes),
        }
    }

    /// The model as stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            CodeModel::Planes(model) => model.to_bytes(),
            CodeModel::Products(model) => model.to_bytes(),
            CodeModel::Recurrent(model) => model.to_bytes(),
        }
    }

    /// Elements of a vector.
    pub fn dim(&self) -> usize {
        self.frame().dim
    }

    /// Bytes of the codes of sixteen vectors, without factors.
    pub(crate) fn block_bytes(&self) -> usize {
        match self {
            CodeModel::Planes(model) => model.layout().block_bytes(),
            CodeModel::Products(model) => model.block_bytes(),
            CodeModel::Recurrent(model) => model.layout().block_bytes(),
        }
    }

    /// Memory it takes.
    pub fn memory_bytes(&self) -> usize {
        match self {
            CodeModel::Planes(model) => model.memory_bytes(),
            CodeModel::Products(model) => model.memory_bytes(),
            CodeModel::Recurrent(model) => model.memory_bytes(),
        }
    }

    /// Whether it was made for queries that it knows, and queries go through a matrix of their own.
    pub fn knows_queries(&self) -> bool {
        self.frame().queries.is_some()
    }

    /// What the bits of a code are spent on: `dimensions x bits 32x4 32x2 64x1`, or `16 x 8 bits for 8 of 128 dimensions`.
    pub fn allotment(&self) -> String {
        match self {
            CodeModel::Planes(model) => model.allotment(),
            CodeModel::Products(model) => model.allotment(),
            CodeModel::Recurrent(model) => model.allotment(),
        }
    }

    pub(super) fn frame(&self) -> Frame<'_> {
        match self {
            CodeModel::Planes(model) => model.frame(),
            CodeModel::Products(model) => model.frame(),
            CodeModel::Recurrent(model) => model.frame(),
        }
    }

    /// Estimates of the squared distances from `query` to the vectors of `blocks`, into `out`, which has room for them exactly.
    /// `terms` are the query's for the head of their list.
    ///
    /// # Panics
    /// When lengths do not agree.
    #[inline]
    pub fn scan(
        &self,
        kernel: &ScanKernel,
        query: &CodeQuery,
        blocks: Blocks<'_>,
        terms: ScanTerms,
        out: &mut [f32],
    ) {
        let layout = match self {
            CodeModel::Planes(model) => model.layout(),
            CodeModel::Recurrent(model) => model.layout(),
            CodeModel::Products(_) => return kernel.look_up(query.lookups(), blocks, terms, out),
        };
        kernel.scan(layout.runs(), query.table(), blocks, terms, out);
    }
}

impl CodeQuery {
    /// Takes in a query and the head nearest to it: their elements in head space, without that of lifted inner
    /// product.
    pub fn prepare(&mut self, model: &CodeModel, row: &[f32], nearest: &[f32]) {
        let frame = model.frame();
        assert_eq!((row.len(), nearest.len()), (frame.dim, frame.dim));
        let is_uneven = match model {
            CodeModel::Planes(model) => model.is_uneven(),
            CodeModel::Products(_) => true,
            CodeModel::Recurrent(_) => false,
        };
        let is_uneven = is_uneven || frame.queries.is_some();
        let centres = [frame.mean, frame.anchor().unwrap_or(nearest)];
        self.rotate(&frame, row, if is_uneven { &centres } else { &centres[..1] });
        let (_, around) = self.rotated.split_at(frame.dims);
        let seen = self.centred.get(frame.dim..).unwrap_or_default();
        let length = seen.iter().map(|x| x * x).sum::<f32>();
        let error_ratio = match model {
            _ if !is_uneven => 1.0,
            CodeModel::Planes(model) => model.error_ratio(&self.centred[frame.dim..], around),
            CodeModel::Products(model) => model.error_ratio(around, frame.queries.map(|_| length)),
            CodeModel::Recurrent(_) => 1.0,
        };
        self.anchor_distance = frame.anchor().map(|_| length);
        self.error_ratio = error_ratio.max(ERROR_RATIO_MIN);
        self.centred.truncate(frame.dim);
        self.rotated.truncate(frame.dims);
        self.mean_distance = match frame.centre {
            Centre::Head => None,
            Centre::Mean => Some(self.centred.iter().map(|x| x * x).sum()),
        };
        match model {
            CodeModel::Planes(model) => model.prepare(self),
            CodeModel::Recurrent(model) => model.prepare(self),
            CodeModel::Products(model) => {
                let terms = model.tables(&self.rotated, &mut self.products, &mut self.lookups);
                (self.offset, self.scale, self.rounding) = (terms.offset, terms.scale, terms.variance);
                self.product_max = terms.product_max;
            }
        }
    }
}
