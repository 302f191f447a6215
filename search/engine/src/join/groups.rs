//! Queries that are searched for together.
use std::ops::Range;
use std::sync::Arc;

use spandrel_index::format::Directory;
use spandrel_index::{Index, VectorSource};

use super::assign::{Assigned, Place};
use super::error::JoinError;
use super::lists::{ListAt, Lists};

/// Rows of a group at most: a list that was brought to the processor's cache serves all rows of the group that look into it.
const GROUP_ROWS: u64 = 1024;
/// Groups that few rows are cut into at least, where each has [`GROUP_ROWS_LEAST`] of them: work for many threads.
const GROUPS: u64 = 64;
/// Rows of a group at least, where there are more.
const GROUP_ROWS_LEAST: u64 = 128;
/// Neighbours of all rows of a group at most, beyond these rows: they stay in the L2 cache. With 8 times this number a join for 1 000 neighbours took
/// 1.4 times the time.
const GROUP_NEIGHBOURS: u64 = 1 << 17;
/// Rows of a part at most.
pub(super) const PART_ROWS: usize = 256;
/// Runs of rows of a sample, at most.
pub(super) const SAMPLE_RUNS: u64 = 128;
/// Rows of a sample, of all its runs.
pub(super) const SAMPLE_ROWS: u64 = 512;

/// Rows of a group at most, for `k` neighbours of each.
pub(super) fn group_rows(k: usize) -> u64 {
    (GROUP_NEIGHBOURS / (k as u64).max(1)).clamp(GROUP_ROWS_LEAST, GROUP_ROWS) // CAST: widening
}

/// A group: vectors of an index that is joined with itself, or some of the queries that were given.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct GroupAt {
    /// The segment of vectors.
    pub(super) segment: u16,
    /// Positions in it, or places among the queries in the order of lists.
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
    /// Runs of rows that are near the same list.
    pub(super) parts: Vec<Part>,
}

/// Rows of a group that are near the same list.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    pub(super) list: ListAt,
    pub(super) rows: Range<usize>,
    /// Entry of the first of them in the list, where the index is joined with itself.
    pub(super) own_from: Option<usize>,
}

/// The groups, in the order of lists, for `k` neighbours of each row.
pub(super) fn groups(index: &Index, queries: &Queries<'_>, k: usize) -> Vec<GroupAt> {
    let most = group_rows(k);
    match queries {
        Queries::Own => {
            let segments = (0..).zip(index.segments());
            segments.flat_map(|(segment, of)| cut(segment, of.count, most)).collect()
        }
        Queries::Given { order, .. } => cut(0, order.places.len() as u64, most).collect(), // CAST: widening
    }
}

/// Cuts members into groups of about equal numbers, `most` at most.
fn cut(segment: u16, count: u64, most: u64) -> impl Iterator<Item = GroupAt> {
    let pieces = count.div_ceil(most.min(count.div_ceil(GROUPS).max(GROUP_ROWS_LEAST)));
    let at = move |piece: u64| (u128::from(piece) * u128::from(count) / u128::from(pieces)) as u64; // CAST: at most the count
    (0..pieces).map(move |piece| GroupAt { segment, members: at(piece)..at(piece + 1) })
}

impl Queries<'_> {
    /// The rows of a group.
    pub(super) fn rows(&self, lists: &Lists, group: &GroupAt) -> Result<GroupRows, JoinError> {
        match self {
            Queries::Own => {
                // CAST: positions of a segment
                let positions = group.members.start as u32..group.members.end as u32;
                let raw = lists.read(group.segment, positions.clone())?;
                let parts = own_parts(lists.directory(group.segment), group.segment, positions);
                Ok(GroupRows { rows: raw.rows, numbers: raw.ids, parts })
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
                    parts: given_parts(places),
                })
            }
        }
    }
}

/// The parts of vectors of a segment.
fn own_parts(directory: &Directory, segment: u16, positions: Range<u32>) -> Vec<Part> {
    let (mut parts, mut at, mut list) = (Vec::new(), positions.start, 0);
    while at < positions.end {
        list = directory.list_of(at, list);
        let of_list = directory.positions(list);
        let end = of_list.end.min(positions.end).min(at.saturating_add(PART_ROWS as u32)); // CAST: a small constant
        // CAST: widening
        let rows = (at - positions.start) as usize..(end - positions.start) as usize;
        let own_from = Some((at - of_list.start) as usize);
        parts.push(Part { list: ListAt { segment, list }, rows, own_from });
        at = end;
    }
    parts
}

/// The parts of queries.
fn given_parts(places: &[Place]) -> Vec<Part> {
    let mut first = 0;
    let of_lists = places.chunk_by(|a, b| a.list == b.list).flat_map(|of_list| of_list.chunks(PART_ROWS));
    let part = |of_list: &[Place]| {
        let rows = first..first + of_list.len();
        first = rows.end;
        Part { list: of_list[0].list, rows, own_from: None }
    };
    of_lists.map(part).collect()
}

/// Runs of `rows` members of the groups for a sample, evenly: fewer where a group ends.
pub(super) fn sample(groups: &[GroupAt], rows: u64) -> Vec<GroupAt> {
    let mut before = 0;
    let starts = groups.iter().map(|group| {
        before += group.members.end - group.members.start;
        before - (group.members.end - group.members.start)
    });
    let starts: Vec<u64> = starts.collect();
    let runs = SAMPLE_RUNS.min(before.div_ceil(rows));
    let one = |run: u64| {
        let at = (u128::from(run) * u128::from(before) / u128::from(runs)) as u64; // CAST: below the members of all groups
        let number = starts.partition_point(|&start| start <= at) - 1;
        let GroupAt { segment, members } = &groups[number];
        let first = members.start + at - starts[number];
        GroupAt { segment: *segment, members: first..members.end.min(first + rows) }
    };
    (0..runs).map(one).collect()
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
    fn members_are_cut_evenly() {
        let sizes = |count| {
            let groups: Vec<GroupAt> = cut(1, count, group_rows(10)).collect();
            assert!(groups.windows(2).all(|pair| pair[0].members.end == pair[1].members.start));
            assert!(groups.iter().all(|group| group.segment == 1));
            groups.iter().map(|group| group.members.end - group.members.start).collect::<Vec<_>>()
        };
        assert_eq!(sizes(0), [0; 0]);
        assert_eq!(sizes(GROUP_ROWS_LEAST), [GROUP_ROWS_LEAST]);
        assert_eq!(sizes(1 + 2 * GROUP_ROWS_LEAST), [85, 86, 86]);
        assert_eq!(sizes(300 * GROUP_ROWS_LEAST).len() as u64, GROUPS);
        assert_eq!(sizes(300 * GROUP_ROWS), [GROUP_ROWS; 300]);
        // Groups of many neighbours are small.
        assert_eq!([0, 1, 128, 512, 10_000, usize::MAX].map(group_rows), [1024, 1024, 1024, 256, 128, 128]);
    }

    #[test]
    fn a_sample_is_spread_over_all_groups() {
        let groups: Vec<GroupAt> = cut(0, 3000, 1024).chain(cut(1, 10, 1024)).collect();
        let runs = sample(&groups, 4);
        assert_eq!(runs.len() as u64, SAMPLE_RUNS);
        assert_eq!(runs[0], GroupAt { segment: 0, members: 0..4 });
        assert!(runs.iter().all(|run| run.members.end - run.members.start <= 4 && !run.members.is_empty()));
        assert!(runs.windows(2).all(|pair| pair[0].members.end <= pair[1].members.start));
        let all = sample(&groups[groups.len() - 1..], 4);
        assert_eq!(all.iter().map(|run| run.members.clone()).collect::<Vec<_>>(), [0..4, 3..7, 6..10]);
        assert!(sample(&[], 4).is_empty());
    }

    #[test]
    fn queries_near_a_list_are_a_part() {
        let place = |(row, list)| Place { list: ListAt { segment: 0, list }, row };
        let mut places: Vec<Place> = [(5, 1), (9, 1), (0, 4)].map(place).to_vec();
        places.extend((0..PART_ROWS as u64 + 1).map(|row| place((row, 8))));
        let parts = given_parts(&places);
        let found: Vec<_> = parts.iter().map(|part| (part.list.list, part.rows.clone())).collect();
        let end = 3 + PART_ROWS;
        assert_eq!(found, [(1, 0..2), (4, 2..3), (8, 3..end), (8, end..end + 1)]);
    }
}
