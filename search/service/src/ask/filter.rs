//! Which vectors may be answers, as it was asked for.
use std::borrow::Cow;
use std::sync::Arc;

use spandrel_filter::{
    BindError, Bound, Filter, FromJsonError, ID, JsonError, JsonProblem, ParseError, Schema,
};

use crate::filter_fault::{FilterFault, cut};
use crate::refusal::Refusal;

/// A filter of a request.
#[derive(Debug)]
pub(crate) struct AskFilter {
    /// The field that holds it.
    pub(crate) field: &'static str,
    pub(crate) form: FilterForm,
    /// Bytes that it has as a message.
    pub(crate) bytes: usize,
}

/// How a filter is written.
#[derive(Debug)]
pub(crate) enum FilterForm {
    Text(String),
    Json(String),
    Tree(Filter),
    /// Parsed from a form, which messages name.
    Parsed {
        form: &'static str,
        filter: Filter,
    },
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

    /// Whether it is yet to be parsed.
    pub(crate) fn is_unparsed(&self) -> bool {
        matches!(self.form, FilterForm::Text(_) | FilterForm::Json(_))
    }

    /// The same, parsed, so that several indexes need not do so one after the other.
    pub(crate) fn parsed(&self) -> Result<AskFilter, Refusal> {
        let (form, filter) = (self.form_name(), self.parse()?.into_owned());
        Ok(AskFilter { form: FilterForm::Parsed { form, filter }, ..*self })
    }

    /// What it says of rows with these attributes and, where that is wanted, the same as it was written.
    pub(crate) fn bind(&self, schema: &Schema, explained: bool) -> Result<(Bound, Option<Written>), Refusal> {
        let filter = self.parse()?;
        let bound = filter.bind(schema).map_err(|error| self.refusal(error.into()))?;
        let text = explained.then(|| cut(filter.to_string(), TEXT_BYTES_MAX).into());
        Ok((bound, text.map(|text| Written { text, filter: filter.into_owned() })))
    }

    fn form_name(&self) -> &'static str {
        match self.form {
            FilterForm::Text(_) => "text",
            FilterForm::Json(_) => "json",
            FilterForm::Tree(_) => "tree",
            FilterForm::Parsed { form, .. } => form,
        }
    }

    fn parse(&self) -> Result<Cow<'_, Filter>, Refusal> {
        let parsed = match &self.form {
            FilterForm::Text(text) => Filter::parse(text).map_err(FilterFault::from),
            FilterForm::Json(json) => Filter::from_json(json).map_err(|error| fault_in_json(json, &error)),
            FilterForm::Tree(filter) | FilterForm::Parsed { filter, .. } => return Ok(Cow::Borrowed(filter)),
        };
        parsed.map(Cow::Owned).map_err(|fault| self.refusal(fault))
    }

    fn refusal(&self, fault: FilterFault) -> Refusal {
        Refusal::Filter { field: format!("{}.{}", self.field, self.form_name()), fault }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_was_parsed_says_the_same_and_names_what_was_written() {
        let ask = |form| AskFilter { field: "options.filter", form, bytes: 10 };
        let text = |text: &str| ask(FilterForm::Text(text.to_owned()));
        let json = ask(FilterForm::Json(r#"{"price": 3}"#.to_owned()));
        let parsed = text("id in [3]").parsed().unwrap();
        assert!(text("id in [3]").is_unparsed() && !parsed.is_unparsed());
        let schema = Schema::default();
        let (bound, _) = parsed.bind(&schema, false).unwrap();
        assert_eq!(bound, text("id in [3]").bind(&schema, false).unwrap().0);
        let field_of = |refusal| match refusal {
            Refusal::Filter { field, .. } => field,
            other => panic!("{other}"),
        };
        let unknown = json.parsed().unwrap().bind(&schema, false).map(|_| ()).unwrap_err();
        assert_eq!(field_of(unknown), "options.filter.json");
        assert_eq!(field_of(text("id in").parsed().map(|_| ()).unwrap_err()), "options.filter.text");
    }
}
