//! Matrices of a code that were learned elsewhere: their flag and their file.
use std::path::PathBuf;

use clap::Args;
use spandrel_datasets::NpzFile;

/// Matrices of a code that were learned elsewhere.
#[derive(Debug, Clone, Args)]
pub struct BinariserArgs {
    /// Matrices to take for --code bits:MxU instead of training them: npz of numpy.savez (<f4 or <f8) with W0 to W(U-1) of M x dimension,
    /// R0 to R(U-2) of dimension x M, and `center`, of the dimension, if vectors are coded less a point. Vectors are coded as the metric
    /// compares them: for cosine in length 1.
    #[arg(long, value_name = "FILE", requires = "code")]
    pub binariser: Option<PathBuf>,
}

impl BinariserArgs {
    /// The file, if there is one.
    pub(super) fn open(&self) -> anyhow::Result<Option<NpzFile>> {
        Ok(self.binariser.as_deref().map(NpzFile::open).transpose()?)
    }
}
