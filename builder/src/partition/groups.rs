//! Which groups of the spill of parts hold which rows of a partition.
use super::{Keys, RowKey};
use crate::config::Params;

/// Groups of rows, each of whole values, of a part of one, or of a stretch of the rows that share lists.
pub(crate) struct PartGroups {
    /// Of each value with lists of its own, its first group.
    first: Vec<u32>,
    /// How many groups it has: more than one where its rows are too many for a part.
    pieces: Vec<u32>,
    /// First group of the rows that share lists, and how many of them are in one.
    shared_first: u32,
    shared_rows: u32,
    count: u32,
}

impl PartGroups {
    pub(crate) fn of(keys: &Keys, params: &Params) -> PartGroups {
        let part_rows = params.part_rows();
        let mut groups =
            PartGroups { first: Vec::new(), pieces: Vec::new(), shared_first: 0, shared_rows: 0, count: 0 };
        // Rows of the group that the last value is in, if others may come to it.
        let mut open = None;
        for rows in keys.sizes() {
            let pieces = rows.div_ceil(part_rows) as u32; // CAST: no more than values
            match open.map(|open| open + rows).filter(|&rows| rows <= part_rows) {
                Some(rows) => open = Some(rows),
                None => {
                    groups.count += pieces;
                    open = (pieces == 1).then_some(rows);
                }
            }
            groups.first.push(groups.count - pieces);
            groups.pieces.push(pieces);
        }
        groups.shared_first = groups.count;
        let list = params.shared_list_rows();
        groups.shared_rows = (part_rows / list).max(1) as u32 * list as u32; // CAST: a part's
        groups.count += keys.shared.div_ceil(groups.shared_rows);
        groups
    }

    /// Number of groups, at least one.
    pub(crate) fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether the rows of a value are in more groups than one.
    pub(crate) fn are_divided(&self) -> bool {
        self.pieces.iter().any(|&pieces| pieces > 1)
    }

    /// The group of a row that lies in part `part` of `parts` of space.
    pub(crate) fn of_row(&self, key: RowKey, part: u32, parts: u32) -> u32 {
        match key {
            RowKey::Own(value) => {
                let (first, pieces) = (self.first[value as usize], self.pieces[value as usize]);
                // Neighbouring parts lie close together. CAST: fewer than `pieces`
                first + (u64::from(part) * u64::from(pieces) / u64::from(parts)) as u32
            }
            RowKey::Shared(place) => self.shared_first + place / self.shared_rows,
        }
    }
}
