//! Which groups of the spill of parts hold which rows of a partition.
use super::{Keys, RowKey};
use crate::config::Params;

/// Groups of rows. A group holds whole values, a piece of one large value, or consecutive rows of the values that share lists.
pub(crate) struct PartGroups {
    /// Of each value with lists of its own, its first group.
    first: Vec<u32>,
    /// Number of its groups: more than one where its rows are too many for a part.
    pieces: Vec<u32>,
    /// First group of the rows that share lists, and the rows of each such group.
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
        groups.shared_rows = (part_rows / list).max(1) as u32 * list as u32; // CAST: at most the rows of a part, below 2^32
        groups.count += keys.shared.div_ceil(groups.shared_rows);
        groups
    }

    /// Number of groups, at least one.
    pub(crate) fn len(&self) -> usize {
        self.count as usize
    }

    /// The values whose rows are in more groups than one, ascending, and the number of these groups.
    pub(crate) fn divided(&self) -> impl Iterator<Item = (u32, u32)> {
        (0..).zip(&self.pieces).filter(|(_, pieces)| **pieces > 1).map(|(value, &pieces)| (value, pieces))
    }

    /// The value of a row, if it is divided.
    pub(crate) fn divided_value(&self, key: RowKey) -> Option<u32> {
        match key {
            RowKey::Own(value) => Some(value).filter(|&value| self.pieces[value as usize] > 1),
            RowKey::Shared(_) => None,
        }
    }

    /// The group of a row; of a divided value the first.
    pub(crate) fn of_row(&self, key: RowKey) -> u32 {
        match key {
            RowKey::Own(value) => self.first[value as usize],
            RowKey::Shared(place) => self.shared_first + place / self.shared_rows,
        }
    }
}

#[cfg(test)]
mod tests {
    use roaring::RoaringBitmap;
    use spandrel_io::FolderStore;

    use super::*;
    use crate::Input;
    use crate::partition::KeyBuilder;
    use crate::run::tests::{clustered, config};

    #[test]
    fn groups_hold_whole_values_or_pieces_of_one() {
        let dir = tempfile::tempdir().unwrap();
        let store = FolderStore::new(dir.path());
        // Of the shape of the vectors alone: 2^18 rows make a part.
        let params = Params::check(&config(dir.path()), Input::of(&clustered(300, 16))).unwrap();
        assert_eq!(params.part_rows(), 1 << 18);
        let sizes = [3000, 1000, 2000, 600_000, 2500];
        let rows = sizes.iter().sum::<u32>();
        let (mut keys, mut first) = (KeyBuilder::new(rows.into()), 0);
        for size in sizes {
            keys.push(&(first..first + size).collect::<RoaringBitmap>());
            first += size;
        }
        let keys = Keys::read(&keys.finish(&store).unwrap(), rows.into(), &store).unwrap();
        let groups = PartGroups::of(&keys, &params);
        assert_eq!((&groups.first[..], &groups.pieces[..]), (&[0, 0, 1, 4][..], &[1, 1, 3, 1][..]));
        assert_eq!((groups.divided().collect::<Vec<_>>(), groups.len()), (vec![(2, 3)], 6));
        let keys = [1, 2, 3].map(RowKey::Own).into_iter().chain([RowKey::Shared(999)]);
        let of = |key| (groups.of_row(key), groups.divided_value(key));
        assert_eq!(keys.map(of).collect::<Vec<_>>(), [(0, None), (1, Some(2)), (4, None), (5, None)]);
    }
}
