//! Filters: which rows may be answers, by the values of their attributes.
//!
//! A [`Schema`] names attributes and their types. A [`Filter`] is an expression over names, read from text or JSON. [`Filter::bind`] turns it into a
//! [`Bound`]: attributes by number, values in the types of the attributes, in a normal form that caches use as key.
//!
//! Every comparison of a null is false: neither `a = 1` nor `a != 1` matches a row where `a` is null. AND, OR and NOT work on
//! true and false alone: `not (a = 1)` matches that row.
//!
//! It knows no index, no file and no wire.
mod attribute;
mod bind;
mod bound;
mod cell;
mod expression;
mod json;
mod limits;
pub mod order;
mod text;
mod timestamp;

pub use attribute::{Attribute, AttributeType, ID, Schema, SchemaError};
pub use bind::BindError;
pub use bound::{Bound, KeyRange, Predicate, Row};
pub use cell::{Cell, Tags};
pub use expression::{Comparison, Filter, TagMode, Value};
pub use json::{FromJsonError, Json, JsonError, JsonProblem};
pub use limits::{
    ATTRIBUTES_MAX, FILTER_BYTES_MAX, NAME_BYTES_MAX, NESTING_MAX, TAGS_MAX, TERMS_MAX, VALUE_BYTES_MAX,
    VALUES_MAX,
};
pub use text::{ParseError, Problem};
pub use timestamp::{TimestampError, format_timestamp, parse_timestamp};
