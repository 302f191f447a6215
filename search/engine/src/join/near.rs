//! The lists near the rows of a group.
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use spandrel_index::kernels::{BlockKernel, LeftRows, Operation, RightRows};
use spandrel_index::{HeadSpace, Index};

use super::groups::{GroupRows, Part};
use super::lists::ListAt;
use crate::probe::Prober;

/// Finds the lists near parts of a group.
pub(super) struct NearFinder<'a> {
    index: &'a Arc<Index>,
    kernel: BlockKernel,
    prober: Prober,
    /// All rows of the group, in head space.
    rows: LeftRows,
    row_bytes: Vec<u8>,
    lists: Vec<ListAt>,
    head_bytes: Vec<u8>,
    heads: RightRows,
    distances: Vec<f32>,
    /// Pairs of a row and a head.
    pub(super) computed: u64,
}

/// Lists near a part.
#[derive(Clone, Copy)]
pub(super) struct NearLists<'a> {
    /// The part's own, then the nearest first.
    pub(super) lists: &'a [ListAt],
    /// Squared distances of the part's rows to their heads, 0 or more, those of a row together.
    distances: &'a [f32],
}

impl<'a> NearLists<'a> {
    /// The squared distances of each row.
    pub(super) fn of_rows(self) -> impl Iterator<Item = &'a [f32]> {
        self.distances.chunks_exact(self.lists.len())
    }
}

impl<'a> NearFinder<'a> {
    pub(super) fn new(index: &'a Arc<Index>) -> NearFinder<'a> {
        let heads = &index.segments()[0].heads;
        NearFinder {
            index,
            kernel: BlockKernel::new(heads.dtype(), heads.dim()),
            prober: Prober::default(),
            rows: LeftRows::default(),
            row_bytes: Vec::new(),
            lists: Vec::new(),
            head_bytes: Vec::new(),
            heads: RightRows::default(),
            distances: Vec::new(),
            computed: 0,
        }
    }

    /// Takes the rows of a group, whose parts are asked for next.
    pub(super) fn set(&mut self, rows: &GroupRows) {
        let (space, dtype) = (self.index.space(), self.index.dtype());
        self.row_bytes.clear();
        let all = rows.rows.chunks_exact(self.index.row_bytes());
        all.for_each(|row| space.map_query(dtype, row, &mut self.row_bytes));
        self.rows = self.kernel.pack_left(&self.row_bytes);
    }

    /// The `lists` lists nearest to the list of a part, that list before them; and those that values of a partition share.
    pub(super) fn of_part(&mut self, part: &Part, lists: u32) -> NearLists<'_> {
        self.find(part, lists);
        self.head_bytes.clear();
        for at in &self.lists {
            let segment = &self.index.segments()[usize::from(at.segment)];
            let heads = &self.index.segments()[usize::from(segment.heads_of)].heads;
            self.head_bytes.extend_from_slice(heads.row(at.list));
        }
        self.kernel.pack_right_into(&self.head_bytes, &mut self.heads);
        // What is there is written over.
        self.distances.resize(part.rows.len() * self.lists.len(), 0.0);
        let rows = self.rows.range(part.rows.clone());
        self.kernel.scores(Operation::SquaredL2, rows, self.heads.all(), &mut self.distances);
        self.computed += self.distances.len() as u64; // CAST: widening
        // Into a list whose distance is no number a row looks first.
        self.distances.iter_mut().for_each(|distance| *distance = distance.max(0.0));
        NearLists { lists: &self.lists, distances: &self.distances }
    }

    fn find(&mut self, part: &Part, lists: u32) {
        let segment = &self.index.segments()[usize::from(part.list.segment)];
        let heads = &self.index.segments()[usize::from(segment.heads_of)].heads;
        let middle = match self.index.space() {
            HeadSpace::Same | HeadSpace::Normalised => heads.row(part.list.list),
            // Heads are lifted as vectors are, not as queries.
            HeadSpace::Lifted { .. } => {
                &self.row_bytes[part.rows.start * heads.row_bytes()..][..heads.row_bytes()]
            }
        };
        let computed = self.prober.search(self.index, middle, lists, &mut || true);
        self.computed += u64::from(computed);
        self.lists.clear();
        self.lists.push(part.list);
        let is_other = |at: &ListAt| *at != part.list;
        let found = self.prober.nearest().iter();
        let found = found.map(|near| ListAt { segment: near.segment, list: near.list });
        self.lists.extend(found.filter(is_other));
        for (segment, of) in (0..).zip(self.index.segments()) {
            let shared = of.shared_lists().map(|list| ListAt { segment, list });
            self.lists.extend(shared.filter(is_other));
        }
    }
}

/// The lists that rows of a group look into, with these rows.
#[derive(Default)]
pub(super) struct Looks {
    /// Those in use stand first.
    all: Vec<Look>,
    used: usize,
    /// Places among them.
    of_list: HashMap<ListAt, usize>,
    /// Those of the lists near a part, by rank; [`UNKNOWN`] until a row looks.
    of_rank: Vec<usize>,
}

/// A list, and the rows that look into it.
pub(super) struct Look {
    pub(super) list: ListAt,
    /// Lists that are nearer to the part to which it is nearest.
    rank: usize,
    /// Numbers of rows, in the order in which they were added.
    pub(super) rows: Vec<u32>,
}

/// No place.
const UNKNOWN: usize = usize::MAX;

impl Looks {
    pub(super) fn clear(&mut self) {
        self.used = 0;
        self.of_list.clear();
    }

    /// The rows that come next are of another part.
    pub(super) fn begin_part(&mut self, lists: usize) {
        self.of_rank.clear();
        self.of_rank.resize(lists, UNKNOWN);
    }

    /// A row looks into a list, which is the one of rank `rank` near its part.
    #[inline]
    pub(super) fn add(&mut self, list: ListAt, rank: usize, row: u32) {
        let mut at = self.of_rank[rank];
        if at == UNKNOWN {
            at = self.place(list, rank);
            self.of_rank[rank] = at;
        }
        self.all[at].rows.push(row);
    }

    fn place(&mut self, list: ListAt, rank: usize) -> usize {
        match self.of_list.entry(list) {
            Entry::Occupied(at) => {
                let look = &mut self.all[*at.get()];
                look.rank = look.rank.min(rank);
                *at.get()
            }
            Entry::Vacant(free) => {
                if self.used == self.all.len() {
                    self.all.push(Look { list, rank, rows: Vec::new() });
                }
                let look = &mut self.all[self.used];
                (look.list, look.rank) = (list, rank);
                look.rows.clear();
                self.used += 1;
                *free.insert(self.used - 1)
            }
        }
    }

    /// The lists, those that are near first: a row soon knows how near its neighbours are.
    pub(super) fn in_order(&mut self) -> &[Look] {
        self.of_list.clear();
        let used = &mut self.all[..self.used];
        used.sort_unstable_by_key(|look| (look.rank, look.list));
        used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_by_the_least_rank_with_all_of_their_rows() {
        let at = |list| ListAt { segment: 0, list };
        let mut looks = Looks::default();
        let mut found = |adds: &[(u32, usize, u32)]| {
            looks.clear();
            for of_row in adds.chunk_by(|a, b| a.2 == b.2) {
                looks.begin_part(10);
                of_row.iter().for_each(|&(list, rank, row)| looks.add(at(list), rank, row));
            }
            let found = looks.in_order().iter();
            found.map(|look| (look.list.list, look.rows.clone())).collect::<Vec<_>>()
        };
        let first = found(&[(7, 0, 0), (9, 1, 0), (9, 0, 1), (7, 3, 1), (8, 2, 1)]);
        assert_eq!(first, [(7, vec![0, 1]), (9, vec![0, 1]), (8, vec![1])]);
        assert_eq!(found(&[(8, 5, 4)]), [(8, vec![4])]);
        assert_eq!(found(&[]), []);
    }
}
