//! Making [`Filter`]s.
use crate::v1::condition::Kind;
use crate::v1::filter::Form;
use crate::v1::{Condition, Conditions, Filter};

impl Filter {
    /// A filter as text, such as `price < 1500 and tags contains "red"`.
    pub fn text(text: impl Into<String>) -> Filter {
        Filter { form: Some(Form::Text(text.into())) }
    }

    /// A filter as JSON, such as `{"price": {"$lt": 1500}}`.
    pub fn json(json: impl Into<String>) -> Filter {
        Filter { form: Some(Form::Json(json.into())) }
    }
}

/// A filter as a tree.
impl From<Kind> for Filter {
    fn from(kind: Kind) -> Filter {
        Filter { form: Some(Form::Tree(kind.into())) }
    }
}

impl From<Kind> for Condition {
    fn from(kind: Kind) -> Condition {
        Condition { kind: Some(kind) }
    }
}

impl FromIterator<Kind> for Conditions {
    fn from_iter<T: IntoIterator<Item = Kind>>(kinds: T) -> Conditions {
        Conditions { conditions: kinds.into_iter().map(Condition::from).collect() }
    }
}
