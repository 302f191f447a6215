//! Queries that are searched for together.
use std::ops::Range;
use std::sync::Arc;

use spandrel_index::{Index, VectorSource};

use super::assign::Assigned;
use super::error::JoinError;
use super::lists::{ListAt, Lists};

/// Rows of a group at most.
pub(super) const GROUP_ROWS: u32 = 256;
/// Groups of a sample, at most.
pub(super) const SAMPLE_GROUPS: usize = 128;
/// Rows of a sample, of all its groups: up to a row of each more.
pub(super) const SAMPLE_ROWS: u64 = 512;

/// A group: entries of a list that are joined with their own index, or some of the queries that were given.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct GroupAt {
    /// The list near them.
    pub(super) list: ListAt,
    /// Entries of the list, or places among the queries in the order of lists.
    pub(super) members: Range<u64>,
}

/// Which queries there are.
pub(super) enum Queries<'a> {
    /// The vectors of the index, each left out of its own neighbours.
    Own,
    /// Others, in the order of the lists that they are near.
    Given { rows: &'a dyn VectorSource, order: Assigned },
}

/// The rows of a group.
#[derive(Debug, Default)]
pub(super) struct GroupRows {
    pub(super) rows: Vec<u8>,
    /// Ids of the index where it is joined with itself, else row numbers.
    pub(super) numbers: Vec<u64>,
    /// Entry of the first of them in the list near it, where the index is joined with itself.
    pub(super) own_from: Option<u32>,
}

/// The groups, in the order of lists.
pub(super) fn groups(index: &Index, queries: &Queries<'_>) -> Vec<GroupAt> {
    let mut all = Vec::new();
    match queries {
        Queries::Own => {
            for (segment, of) in (0..).zip(index.segments()) {
                for list in 0..of.lists() {
                    let count = of.directory.positions(list).len() as u64; // CAST: widening
                    cut(ListAt { segment, list }, 0..count, &mut all);
                }
            }
        }
        Queries::Given { order, .. } => {
            let mut first = 0;
            for of_list in order.places.chunk_by(|a, b| a.list == b.list) {
                let end = first + of_list.len() as u64; // CAST: widening
                cut(of_list[0].list, first..end, &mut all);
                first = end;
            }
        }
    }
    all
}

/// Cuts the members near a list into groups of about equal numbers.
fn cut(list: ListAt, members: Range<u64>, out: &mut Vec<GroupAt>) {
    let count = members.end - members.start;
    let pieces = count.div_ceil(GROUP_ROWS.into());
    for piece in 0..pieces {
        let at = |piece: u64| members.start + piece * count / pieces;
        out.push(GroupAt { list, members: at(piece)..at(piece + 1) });
    }
}

impl Queries<'_> {
    /// The rows of a group; of `some` of them alone, by their places in it.
    pub(super) fn rows(&self, lists: &Lists, group: &GroupAt) -> Result<GroupRows, JoinError> {
        match self {
            Queries::Own => {
                // CAST: entries of a list
                let (first, end) = (group.members.start as u32, group.members.end as u32);
                let raw = lists.read(group.list, Some(first..end))?;
                Ok(GroupRows { rows: raw.rows, numbers: raw.ids, own_from: Some(first) })
            }
            Queries::Given { rows, order } => {
                // CAST: places in memory
                let places = &order.places[group.members.start as usize..group.members.end as usize];
                let row_bytes = rows.row_bytes();
                let mut out = vec![0; places.len() * row_bytes];
                for (place, out) in places.iter().zip(out.chunks_exact_mut(row_bytes)) {
                    rows.read_rows(place.row, out)?;
                }
                Ok(GroupRows {
                    rows: out,
                    numbers: places.iter().map(|place| place.row).collect(),
                    own_from: None,
                })
            }
        }
    }
}

/// Groups of a sample: some of the groups, evenly, and of each some of its members.
pub(super) fn sample(groups: &[GroupAt], groups_max: usize, rows_max: u64) -> Vec<GroupAt> {
    let count = groups_max.min(groups.len());
    let one = |number: usize| {
        let group = &groups[number * groups.len() / count.max(1)];
        let members = group.members.clone();
        // A run in the middle, at another place of each group.
        let room = (members.end - members.start).saturating_sub(rows_max);
        let first = members.start + (number as u64 * 7919) % (room + 1); // CAST: widening
        GroupAt { members: first..members.end.min(first + rows_max), ..group.clone() }
    };
    (0..count).map(one).collect()
}

/// All lists of an index that hold vectors.
pub(super) fn all_lists(index: &Arc<Index>) -> Vec<ListAt> {
    let of_segment = |(segment, of): (u16, &spandrel_index::Segment)| {
        let holds = |list: &u32| !of.directory.positions(*list).is_empty();
        (0..of.lists()).filter(holds).map(|list| ListAt { segment, list }).collect::<Vec<_>>()
    };
    (0..).zip(index.segments()).flat_map(of_segment).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut_evenly() {
        let list = ListAt { segment: 1, list: 7 };
        let mut all = Vec::new();
        cut(list, 10..10, &mut all);
        assert!(all.is_empty());
        cut(list, 10..11 + 2 * u64::from(GROUP_ROWS), &mut all);
        let sizes: Vec<u64> = all.iter().map(|group| group.members.end - group.members.start).collect();
        assert_eq!(sizes, [171, 171, 171]);
        assert!(all.windows(2).all(|pair| pair[0].members.end == pair[1].members.start));
        let some = sample(&all, 2, 4);
        assert!(some.iter().all(|group| group.members.end - group.members.start == 4 && group.list == list));
        assert_ne!(some[0], some[1]);
    }
}
