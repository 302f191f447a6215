//! What is known of the vectors: hashed when the input is checked, gathered by position once vectors have one, and written
//! value by value.
//!
//! Gathering scans the rows once, and finds their positions by their ids. Values with their positions are sorted in memory and
//! written as runs whenever they fill it, so that an attribute may have any number of values. Writing merges the runs of an
//! attribute, which gives its postings, and sorts the numbers of its values by position, which gives its forward array.
mod collector;
mod forward;
mod gather;
mod hash;
mod merge;
mod partition;
mod runs;
mod scan;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use forward::memory_bytes as sorting_bytes;
pub(crate) use gather::gather;
pub(crate) use hash::{glance, hash_attributes};
pub(crate) use partition::partition;
pub(crate) use write::attributes;
