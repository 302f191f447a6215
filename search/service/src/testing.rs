//! What a server reads of peers and of files, for tests and for fuzzing.
use std::path::Path;
use std::sync::LazyLock;

use spandrel_filter::{Attribute, AttributeType, Schema};
use spandrel_index::testing::shape;
use spandrel_index::{DType, Metric, VectorsShape};

use crate::ask::{Fit, Form};
use crate::limits::Limits;
use crate::method::Method;
use crate::tokens::Tokens;
use crate::wire::Reading;

/// Names of the methods, in the order of their numbers.
pub fn methods() -> impl Iterator<Item = &'static str> {
    Method::ALL.into_iter().map(Method::name)
}

/// Whether a message to a method is a request that could be answered from an index of vectors of four bytes, with an attribute of each type: as a
/// server reads it, up to the search.
pub fn read_request(method: u8, message: &[u8]) -> bool {
    static TO: LazyLock<(Schema, VectorsShape)> =
        LazyLock::new(|| (schema(), shape(Metric::L2, DType::U8, 4)));
    let (schema, shape) = &*TO;
    let limits = Limits { message_bytes: 1 << 20, ..Limits::default() };
    let reading = Reading { schema, fit: Fit { form: Form::One, to: *shape, limits: &limits } };
    let method = Method::ALL[usize::from(method) % Method::ALL.len()];
    reading.request(method, message).is_some()
}

/// Whether this is a file of tokens.
pub fn read_tokens(path: &Path) -> bool {
    Tokens::open(path).is_ok()
}

fn schema() -> Schema {
    let names = AttributeType::ALL.into_iter().zip(["k", "t", "b", "i", "f", "s"]);
    let attributes = names.map(|(kind, name)| Attribute { name: name.to_owned(), kind });
    match Schema::new(attributes.collect()) {
        Ok(schema) => schema,
        Err(error) => unreachable!("names that differ: {error}"),
    }
}
