//! What the names of files of vectors do not say, as flags.
use std::path::Path;

use clap::Args;
use spandrel_datasets::{FileError, Format, InFile, VectorFile};
use spandrel_index::DType;

/// Heading of the flags that say how files are read.
const HEADING: &str = "How files of vectors are read";

/// How files of vectors are read.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct InputArgs {
    /// Format of vectors to read whose file names tell none: fbin, f16bin, i8bin, u8bin, fvecs, bvecs or npy.
    #[arg(long, help_heading = HEADING, value_name = "FORMAT")]
    pub input_format: Option<Format>,
    /// Element type of such vectors behind two counts (rows, elements), as .bin files often hold them: f32, f16, i8 or u8.
    #[arg(long, help_heading = HEADING, value_name = "T", conflicts_with = "input_format")]
    pub dtype: Option<DType>,
    /// Where a header counts more rows than the file holds, take those that are there: the first rows of a larger set.
    #[arg(long, help_heading = HEADING)]
    pub allow_truncated: bool,
}

impl InputArgs {
    /// A file, with what was said of it.
    pub(super) fn of<'a>(&self, path: &'a Path) -> InFile<'a> {
        InFile {
            path,
            format: self.input_format.or(self.dtype.map(Format::bin_of)),
            truncated: self.allow_truncated,
        }
    }

    /// Opens a file of vectors.
    pub(super) fn open(&self, path: &Path) -> Result<VectorFile, FileError> {
        VectorFile::open_as(self.of(path))
    }
}
