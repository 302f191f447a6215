//! Lists by the values of an attribute: each value of many rows has lists of its own, and the rows of all others share lists in
//! the order of their values.
//!
//! Values are in the order of the attribute's dictionary, rows without a value last. Values of [`OWN_ROWS_MIN`] rows or more come
//! first, in that order; then the rows of the others, by value and row.
mod groups;
mod keys;
mod params;

pub(crate) use groups::PartGroups;
pub(crate) use keys::{KeyBuilder, Keys, RowKey};
pub(crate) use params::PartitionParams;

/// Rows from which on a value has lists of its own: fewer are compared exactly in less time than the lists are found.
pub(crate) const OWN_ROWS_MIN: u64 = 2000;
