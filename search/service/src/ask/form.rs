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
    /// In the column, of one query.
    ColumnOne,
    /// In the column, of those of a batch.
    ColumnBatch,
    /// The tokens of one document.
    TokensOne,
    /// Those of the documents of a batch.
    TokensBatch,
}

impl Form {
    /// The field of a request that holds what is searched for.
    pub(crate) fn field(self) -> &'static str {
        match self {
            Form::One => "query",
            Form::Batch => "queries",
            Form::TokensOne => "query.documents",
            Form::TokensBatch => "queries.documents",
            Form::ColumnOne | Form::ColumnBatch => "column_queries.vectors",
        }
    }

    /// What has the vectors that they are compared with, in messages.
    pub(crate) fn holder(self) -> &'static str {
        match self {
            Form::One | Form::Batch | Form::TokensOne | Form::TokensBatch => "the index",
            Form::ColumnOne | Form::ColumnBatch => "the column",
        }
    }

    /// The same of the queries' vectors in the column.
    pub(crate) fn of_column(self) -> Form {
        if self.is_one() { Form::ColumnOne } else { Form::ColumnBatch }
    }

    /// The same of the tokens of documents.
    pub(crate) fn of_tokens(self) -> Form {
        if self.is_one() { Form::TokensOne } else { Form::TokensBatch }
    }

    /// Whether there is one.
    pub(crate) fn is_one(self) -> bool {
        matches!(self, Form::One | Form::ColumnOne | Form::TokensOne)
    }

    /// Refuses no queries, and more than there may be.
    pub(crate) fn check(self, count: usize, limits: &Limits) -> Result<(), Refusal> {
        let batch_max = limits.batch_max as usize; // CAST: widening
        match (self.is_one(), count) {
            (_, 0) if matches!(self, Form::TokensOne | Form::TokensBatch) => {
                Err(Refusal::field(self.field(), "no elements; set floats or raw"))
            }
            // How many are of a document its offsets say.
            _ if matches!(self, Form::TokensOne | Form::TokensBatch) => Ok(()),
            (_, 0) => Err(Refusal::field(self.field(), "no elements; set floats, raw or ids")),
            (true, 1) => Ok(()),
            (true, _) => {
                let message = format!("{count} vectors, expected one; send many with SearchBatch");
                Err(Refusal::field(self.field(), message))
            }
            (false, _) if count > batch_max => Err(Refusal::limit(self.field(), count, batch_max)),
            (false, _) => Ok(()),
        }
    }
}
