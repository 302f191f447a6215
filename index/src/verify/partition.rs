//! Whether lists follow the values of an attribute as the manifest says.
use std::collections::BTreeSet;
use std::path::Path;

use super::error::VerifyError;
use super::watch::Watch;
use crate::attributes::each_value;
use crate::format::{OpenError, PartitionEntry, manifest_name};
use crate::{Index, Segment};

/// A value in order: those without one come last.
type Value = (bool, u64);

/// Reads the value of every vector, and compares it with those beside it and with the list that it is in.
pub(super) fn check(index: &Index, segment: &Segment, watch: &mut Watch<'_>) -> Result<(), VerifyError> {
    let Some(partition) = segment.partition() else { return Ok(()) };
    let attribute = index.schema().find(&partition.attribute).and_then(|number| segment.attribute(number));
    let Some(attribute) = attribute else { unreachable!("was checked with the manifest") };
    let mut walk = Walk {
        segment,
        partition,
        path: &index.dir().join(manifest_name(index.manifest().version)),
        shared_from: (segment.count - partition.shared_vectors) as u32, // CAST: a segment has fewer than 2^32 vectors
        own: BTreeSet::new(),
        last: None,
        list: 0,
    };
    each_value(attribute, &mut || watch.step(0), &mut |position, value| {
        Ok(walk.push(position, value.map_or((true, 0), |value| (false, value)))?)
    })?;
    Ok(walk.finish()?)
}

struct Walk<'a> {
    segment: &'a Segment,
    partition: &'a PartitionEntry,
    path: &'a Path,
    /// First position of the lists that values share.
    shared_from: u32,
    /// Values that have lists of their own.
    own: BTreeSet<Value>,
    /// The last value, and how many vectors had it one after the other.
    last: Option<(Value, u64)>,
    /// The list in which it began.
    list: u32,
}

impl Walk<'_> {
    fn push(&mut self, position: u32, value: Value) -> Result<(), OpenError> {
        let begins_shared = position == self.shared_from;
        if let Some((_, count)) = self.last.as_mut().filter(|(last, _)| *last == value && !begins_shared) {
            *count += 1;
            return Ok(());
        }
        let before = self.last.filter(|_| !begins_shared).map(|(before, _)| before);
        self.end_value(position)?;
        self.last = Some((value, 1));
        self.list = self.segment.directory.list_of(position, self.list);
        let refused = |found: String, expected: &str| {
            let list = format!("list {} of the partition", self.list);
            Err(OpenError::field(self.path, list, found, expected))
        };
        if before.is_some_and(|before| before > value) {
            return refused(format!("a lesser value at position {position}"), "values in ascending order");
        }
        let begins_list = position == self.segment.directory.first_position(self.list);
        if position < self.shared_from && !begins_list {
            return refused(format!("another value from position {position} on"), "vectors of one value");
        }
        Ok(())
    }

    /// The vectors before `position` were all that have the last value.
    fn end_value(&mut self, position: u32) -> Result<(), OpenError> {
        let Some((value, count)) = self.last.take() else { return Ok(()) };
        let least = self.partition.own_vectors_min;
        let is_own = position <= self.shared_from;
        if is_own != (count >= least) || !is_own && self.own.contains(&value) {
            let found = format!("{count} vectors of a value before position {position}");
            let expected = format!("{least} or more in lists of a value's own, and fewer in shared ones");
            return Err(OpenError::field(self.path, "lists of the partition", found, expected));
        }
        if is_own {
            self.own.insert(value);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), OpenError> {
        self.end_value(self.segment.count as u32)?; // CAST: a segment has fewer than 2^32 vectors
        let found = self.own.len() as u64; // CAST: widening
        if found != self.partition.own_values {
            let expected = format!("{found}, as the lists have");
            return Err(OpenError::field(self.path, "own_values", self.partition.own_values, expected));
        }
        Ok(())
    }
}
