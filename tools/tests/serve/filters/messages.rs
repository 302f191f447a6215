//! Filters as messages.
use spandrel_proto::v1;
use spandrel_proto::v1::condition::Kind;
use spandrel_proto::v1::value::Kind as ValueKind;

use super::rows::{DIM, made};

pub(super) const K: u32 = 10;
/// Every vector is nearer.
pub(super) const FAR: f32 = 1e9;

pub(super) fn as_text(text: &str) -> Option<v1::Filter> {
    Some(v1::Filter::text(text))
}

pub(super) fn as_json(json: &str) -> Option<v1::Filter> {
    Some(v1::Filter::json(json))
}

pub(super) fn as_tree(kind: Kind) -> Option<v1::Filter> {
    Some(kind.into())
}

pub(super) fn all_of(kinds: impl IntoIterator<Item = Kind>) -> Kind {
    Kind::AllOf(kinds.into_iter().collect())
}

pub(super) fn any_of(kinds: impl IntoIterator<Item = Kind>) -> Kind {
    Kind::AnyOf(kinds.into_iter().collect())
}

pub(super) fn not(kind: Kind) -> Kind {
    Kind::Negation(Box::new(kind.into()))
}

pub(super) fn value(kind: ValueKind) -> Option<v1::Value> {
    Some(v1::Value { kind: Some(kind) })
}

pub(super) fn word(text: &str) -> ValueKind {
    ValueKind::Text(text.to_owned())
}

pub(super) fn compare(attribute: &str, operator: v1::Operator, with: ValueKind) -> Kind {
    let (attribute, operator) = (attribute.to_owned(), operator as i32);
    Kind::Comparison(v1::Comparison { attribute, operator, value: value(with) })
}

pub(super) fn contains(tags: &[&str], all: bool) -> Kind {
    let tags = tags.iter().map(|&tag| tag.to_owned()).collect();
    Kind::Contains(v1::Contains { attribute: "tags".to_owned(), tags, all })
}

/// Leaves nothing out, so that answers are those of brute force.
pub(super) fn options(filter: Option<v1::Filter>) -> Option<v1::SearchOptions> {
    Some(v1::SearchOptions { max_lists: Some(4096), rerank: Some(10_000), filter, ..Default::default() })
}

pub(super) fn raw(query: usize) -> v1::Vectors {
    v1::Vectors::raw(DIM as u32, v1::Dtype::U8, made().row(query).to_vec())
}

pub(super) fn request(query: usize, filter: Option<v1::Filter>) -> v1::SearchRequest {
    v1::SearchRequest { query: Some(raw(query)), k: K, options: options(filter), ..Default::default() }
}

pub(super) fn pairs(ids: &[u64], distances: &[f32]) -> Vec<(u64, f32)> {
    ids.iter().copied().zip(distances.iter().copied()).collect()
}

/// A filter that takes long to compile. Filters of different numbers have no comparison of a price in common.
pub(super) fn costly(number: usize, pairs: usize) -> Option<v1::Filter> {
    let pair = |at: usize| format!("(price<{at}.{number:04} and stock<{})", at % 89);
    as_text(&(0..pairs).map(pair).collect::<Vec<_>>().join(" or "))
}
