//! How many queries a request may hold.
use crate::limits::Limits;
use crate::refusal::Refusal;

/// How many queries there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One.
    One,
    /// One to the largest number in a batch.
    Batch,
}

impl Form {
    /// The field of a request that holds what is searched for.
    pub(crate) fn field(self) -> &'static str {
        match self {
            Form::One => "query",
            Form::Batch => "queries",
        }
    }

    /// Refuses no queries, and more than there may be.
    pub(crate) fn check(self, count: usize, limits: &Limits) -> Result<(), Refusal> {
        let batch_max = limits.batch as usize; // CAST: widening
        match (self, count) {
            (_, 0) => Err(Refusal::field(self.field(), "no elements; set floats, raw or ids")),
            (Form::One, 1) => Ok(()),
            (Form::One, _) => {
                let message = format!("{count} vectors, expected one; send many with SearchBatch");
                Err(Refusal::field(self.field(), message))
            }
            (Form::Batch, _) if count > batch_max => Err(Refusal::limit(self.field(), count, batch_max)),
            (Form::Batch, _) => Ok(()),
        }
    }
}
