//! What is known of an index's vectors besides their elements, in short.
use std::cmp::Reverse;
use std::collections::BTreeSet;

use spandrel_filter::AttributeType;
use spandrel_index::Index;
use spandrel_index::attributes::{StoredAttribute, ValueCount};

/// Values of an attribute that are told, and bytes of one.
const VALUES_MAX: usize = 10;
const VALUE_BYTES_MAX: usize = 128;

/// An attribute of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AttributeSummary {
    pub(crate) name: String,
    pub(crate) kind: AttributeType,
    /// Different values of the segment that has most of them; 0 of numbers.
    pub(crate) values: u64,
    /// Vectors without a value.
    pub(crate) nulls: u64,
    /// The values that most vectors have, the most frequent first, and how many these are; none of numbers, and none that are
    /// long.
    pub(crate) most_frequent: Vec<(String, u64)>,
}

/// The attributes of an index, in its order. Goes through their dictionaries.
pub(crate) fn attributes(index: &Index) -> Vec<AttributeSummary> {
    let numbered = index.schema().attributes().iter().enumerate();
    let summary = |(number, attribute): (usize, &spandrel_filter::Attribute)| {
        let segments: Vec<&StoredAttribute> =
            index.segments().iter().filter_map(|segment| segment.attribute(number)).collect();
        AttributeSummary {
            name: attribute.name.clone(),
            kind: attribute.kind,
            values: segments.iter().map(|segment| segment.values().into()).max().unwrap_or_default(),
            nulls: segments.iter().map(|segment| segment.null_count()).sum(),
            most_frequent: most_frequent(&segments),
        }
    };
    numbered.map(summary).collect()
}

fn most_frequent(segments: &[&StoredAttribute]) -> Vec<(String, u64)> {
    let of_segments = segments.iter().flat_map(|segment| segment.most_frequent(VALUES_MAX));
    let is_short = |value: &String| value.len() <= VALUE_BYTES_MAX;
    let values: BTreeSet<String> =
        of_segments.map(|ValueCount { value, .. }| value).filter(is_short).collect();
    let counted = values.into_iter().map(|value| {
        let vectors = segments.iter().map(|segment| u64::from(segment.cardinality(&value))).sum();
        (value, vectors)
    });
    let mut counted: Vec<(String, u64)> = counted.collect();
    counted.sort_by_key(|(_, vectors)| Reverse(*vectors));
    counted.truncate(VALUES_MAX);
    counted
}
