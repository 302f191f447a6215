//! Where a builder takes matrices from that were learned elsewhere.
use std::error::Error;

/// Arrays of numbers by name, in C order. Reading one twice gives the same.
pub trait ArraySource: Send + Sync {
    /// The arrays that there are: what they are called, and their sizes, the slowest first. Sizes were checked against what is there.
    fn arrays(&self) -> &[ArrayShape];

    /// Reads all values of one array. Takes eight bytes of memory for each, and little beside.
    ///
    /// # Errors
    /// [`ArraySourceError`] for an array that is not there, for one that cannot be read, and where the source is not as it was when its
    /// hash was taken.
    fn read(&self, name: &str) -> Result<Vec<f64>, ArraySourceError>;

    /// Identifies the content of the whole source.
    fn hash(&self) -> u128;

    /// What to call this source in a message, such as its path.
    fn name(&self) -> String;
}

/// An array of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrayShape {
    /// What it is called.
    pub name: String,
    /// Its sizes, the slowest first.
    pub sizes: Vec<usize>,
}

/// Why an array could not be had. The source's own error, which names the file and the place in it.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ArraySourceError(Box<dyn Error + Send + Sync>);

impl ArraySourceError {
    /// An error of the source.
    pub fn new(source: impl Error + Send + Sync + 'static) -> ArraySourceError {
        ArraySourceError(Box::new(source))
    }
}
