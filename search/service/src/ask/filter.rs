//! Which vectors may be answers, as it was asked for.
use std::sync::Arc;

use spandrel_filter::{
    BindError, Bound, Filter, FromJsonError, ID, JsonError, JsonProblem, ParseError, Schema,
};

use crate::filter_fault::{FilterFault, cut};
use crate::refusal::Refusal;

/// A filter of a request.
#[derive(Debug, Clone)]
pub(crate) struct AskFilter {
    /// The field that holds it.
    pub(crate) field: &'static str,
    pub(crate) form: FilterForm,
    /// Bytes that it has as a message.
    pub(crate) bytes: usize,
}

/// How a filter is written.
#[derive(Debug, Clone)]
pub(crate) enum FilterForm {
    Text(String),
    Json(String),
    Tree(Filter),
}

/// A filter as it was written.
#[derive(Debug)]
pub(crate) struct Written {
    /// Its beginning, if it is long.
    pub(crate) text: Arc<str>,
    pub(crate) filter: Filter,
}

/// Bytes of the text of a filter that are shown.
const TEXT_BYTES_MAX: usize = 4096;
/// Bytes of a filter that is read in about a tenth of a millisecond or less.
const SHORT_BYTES: usize = 1024;

impl AskFilter {
    /// Whether it is read in next to no time.
    pub(crate) fn is_short(&self) -> bool {
        self.bytes <= SHORT_BYTES
    }

    /// What it says of rows with these attributes and, where that is wanted, the same as it was written.
    pub(crate) fn bind(self, schema: &Schema, explained: bool) -> Result<(Bound, Option<Written>), Refusal> {
        let field = self.field;
        let (form, filter) = match self.form {
            FilterForm::Text(text) => ("text", Filter::parse(&text).map_err(FilterFault::from)),
            FilterForm::Json(json) => {
                ("json", Filter::from_json(&json).map_err(|error| fault_in_json(&json, &error)))
            }
            FilterForm::Tree(tree) => ("tree", Ok(tree)),
        };
        let bound = filter.and_then(|filter| {
            let bound = filter.bind(schema)?;
            let text = explained.then(|| cut(filter.to_string(), TEXT_BYTES_MAX).into());
            Ok((bound, text.map(|text| Written { text, filter })))
        });
        bound.map_err(|fault| Refusal::Filter { field: format!("{field}.{form}"), fault })
    }
}

impl From<ParseError> for FilterFault {
    fn from(error: ParseError) -> FilterFault {
        FilterFault { position: Some(error.offset), ..FilterFault::new(error.to_string()) }
    }
}

impl From<BindError> for FilterFault {
    fn from(error: BindError) -> FilterFault {
        let fault = FilterFault::new(error.to_string());
        let attribute = match error {
            BindError::Unknown { name, .. }
            | BindError::Value { name, .. }
            | BindError::Operator { name, .. }
            | BindError::NotFinite { name, .. }
            | BindError::Timestamp { name, .. } => Some(name),
            BindError::Id => Some(ID.to_owned()),
            _ => None,
        };
        FilterFault { attribute, ..fault }
    }
}

/// Of text that is no JSON, with the place where it ends to be.
fn fault_in_json(json: &str, error: &FromJsonError) -> FilterFault {
    let position = match error.problem {
        JsonProblem::Json(JsonError { line, column, .. }) => {
            let before: usize = json.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
            Some(before + column.saturating_sub(1))
        }
        _ => None,
    };
    FilterFault { position, ..FilterFault::new(error.to_string()) }
}
