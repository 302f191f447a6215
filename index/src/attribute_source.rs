//! Where a builder or a measurement takes attributes from.
use std::error::Error;
use std::ops::ControlFlow;

use spandrel_filter::{Cell, Schema};

/// Attributes of the rows of a [`VectorSource`](crate::VectorSource), in the order of these rows. Two scans give the same.
pub trait AttributeSource: Send + Sync {
    /// Names and types of the attributes, in the order of a row's cells.
    fn schema(&self) -> &Schema;

    /// Number of rows, those without a value included: that of the vectors.
    fn len(&self) -> u64;

    /// Whether there is no row at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `each` for rows in ascending order, with the row's number and its cells by the attribute's number. Rows left out
    /// are null in every attribute.
    ///
    /// Each cell fits its attribute's type, texts and tags are within the limits of `spandrel_filter`, no tag is in a cell
    /// twice, and no number is NaN or infinite. Memory does not grow with the rows. A `Break` ends the scan and is no error.
    ///
    /// # Errors
    /// A file that cannot be read, or that changed since it was opened.
    fn scan(&self, each: &mut dyn FnMut(u64, &[Cell]) -> ControlFlow<()>)
    -> Result<(), AttributeSourceError>;

    /// What to call this source in a message, such as its path.
    fn name(&self) -> String;
}

/// Why attributes could not be had. The source's own error, which names the file and the place in it.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct AttributeSourceError(Box<dyn Error + Send + Sync>);

impl AttributeSourceError {
    /// An error of the source.
    pub fn new(source: impl Error + Send + Sync + 'static) -> AttributeSourceError {
        AttributeSourceError(Box::new(source))
    }
}
