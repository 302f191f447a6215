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
    /// The shares of the vectors that values with lists of their own are expected to have, where all vectors are like the first.
    pub(crate) own: Vec<f64>,
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
        let own = of_it.shares_of_large(vectors, super::OWN_ROWS_MIN);
        Ok(Some(PartitionParams { attribute, name: name.to_owned(), own }))
    }

    /// The share of the vectors whose values are expected to have no lists of their own.
    pub(crate) fn shared(&self) -> f64 {
        (1.0 - self.own.iter().sum::<f64>()).max(0.0)
    }

    /// Lists that are expected where a build without a partition forms `lists`: each value with lists of its own has one at
    /// least.
    pub(crate) fn lists(&self, lists: u64) -> u64 {
        let wanted = lists as f64; // CAST: an estimate
        let own = self.own.iter().map(|share| (share * wanted).max(1.0)).sum::<f64>();
        (own + self.shared() * wanted).round() as u64 // CAST: `as` saturates, and the sum is not negative
    }
}
