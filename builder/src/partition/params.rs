//! The attribute that a build is partitioned by.
use spandrel_filter::AttributeType;

use crate::attributes::AttributeParams;
use crate::{Attributes, BuildError};

/// The attribute that a build is partitioned by.
#[derive(Debug, Clone)]
pub(crate) struct PartitionParams {
    /// Its number in the schema.
    pub(crate) attribute: usize,
    pub(crate) name: String,
    /// The share of the vectors whose values are expected to have no lists of their own, where all vectors are like the first.
    pub(crate) shared: f64,
}

impl PartitionParams {
    /// What `attributes` ask for.
    ///
    /// # Errors
    /// [`BuildError::Parameter`] for a name that no attribute has, or for an attribute that is not a keyword, a bool or an i64.
    pub(crate) fn of(
        attributes: Option<Attributes<'_>>,
        all: &[AttributeParams],
        vectors: u64,
    ) -> Result<Option<PartitionParams>, BuildError> {
        let Some(name) = attributes.and_then(|attributes| attributes.partition_by) else { return Ok(None) };
        let refused = |found: String, expected: String| {
            Err(BuildError::Parameter { parameter: "--partition-by", found, expected })
        };
        let Some(attribute) = all.iter().position(|attribute| attribute.name == name) else {
            let names: Vec<&str> = all.iter().map(|attribute| attribute.name.as_str()).collect();
            return refused(name.to_owned(), format!("one of {}", names.join(", ")));
        };
        let of_it = &all[attribute];
        if !matches!(of_it.kind, AttributeType::Keyword | AttributeType::Bool | AttributeType::I64) {
            let expected = "a keyword, a bool or an i64, of which a vector has one value";
            return refused(format!("{name}, which is {}", of_it.kind), expected.to_owned());
        }
        let shared = of_it.share_of_small(vectors, super::OWN_ROWS_MIN);
        Ok(Some(PartitionParams { attribute, name: name.to_owned(), shared }))
    }
}
