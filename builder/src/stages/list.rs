//! From the copies filed under one head to the lists that are written.
use spandrel_index::HeadSpace;
use spandrel_index::kernels::{Operation, PairKernel};

use super::records::{REPLICA_BIT, RecordLayout, head_rows};
use crate::Rows;
use crate::cluster::{bisect_order, representative, split};
use crate::config::Params;
use crate::measured::cluster::CUT_ROUNDS;
use crate::partition::{Keys, RowKey};

/// One list: records of its group by number, in the order they are written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FormedList {
    pub(super) head: Vec<u8>,
    pub(super) primaries: Vec<u32>,
    pub(super) replicas: Vec<u32>,
    /// Replicas left out because the list was full.
    pub(super) trimmed: u64,
    /// Whether values of a partition share it.
    pub(super) is_shared: bool,
}

/// What it takes to form lists out of the records of a group.
pub(super) struct Former<'a> {
    pub(super) params: &'a Params,
    pub(super) space: HeadSpace,
    pub(super) records: &'a [u8],
    /// Most entries of a list.
    pub(super) cap: usize,
}

impl Former<'_> {
    /// Forms the lists of one head from its records: none without a primary, several when over the cap.
    ///
    /// `picks` are the records filed under the head, ordered by row with primaries first.
    pub(super) fn form(&self, head: &[u8], picks: &[u32]) -> Vec<FormedList> {
        let layout = RecordLayout::of_filed(self.params);
        let record = |pick: u32| layout.record(self.records, pick);
        let split_at = picks.partition_point(|&pick| layout.list(record(pick)) & REPLICA_BIT == 0);
        let (primaries, replicas) = picks.split_at(split_at);
        if primaries.is_empty() {
            return Vec::new();
        }
        let rows = self.head_rows(primaries);
        let rows = Rows { dtype: self.params.head_dtype(), dim: self.params.head_dim(), bytes: &rows };
        let pieces = picks.len().div_ceil(self.cap).min(primaries.len());
        let mut lists = Vec::with_capacity(pieces);
        for members in if pieces == 1 {
            vec![(0..primaries.len() as u32).collect()]
        } else {
            split(rows, pieces, CUT_ROUNDS)
        } {
            let mut member_rows = Vec::new();
            rows.gather(&members, &mut member_rows);
            let member_rows = Rows { bytes: &member_rows, ..rows };
            let head =
                if pieces == 1 { head.to_vec() } else { representative(member_rows, self.params.heads) };
            let order = bisect_order(member_rows);
            let primaries = order.iter().map(|&at| primaries[members[at as usize] as usize]).collect();
            lists.push(FormedList { head, primaries, replicas: Vec::new(), trimmed: 0, is_shared: false });
        }
        self.add_replicas(&mut lists, replicas);
        lists
    }

    /// Forms the list that values of a partition share: its records in the order of their places.
    pub(super) fn shared(&self, head: &[u8], picks: &[u32], keys: &Keys) -> FormedList {
        let layout = RecordLayout::of_filed(self.params);
        let place = |&pick: &u32| match keys.of(layout.row(layout.record(self.records, pick))) {
            RowKey::Shared(place) => place,
            RowKey::Own(value) => unreachable!("value {value} has lists of its own"),
        };
        let mut primaries = picks.to_vec();
        primaries.sort_unstable_by_key(place);
        FormedList { head: head.to_vec(), primaries, replicas: Vec::new(), trimmed: 0, is_shared: true }
    }

    fn head_rows(&self, picks: &[u32]) -> Vec<u8> {
        let layout = RecordLayout::of_filed(self.params);
        let picked = picks.iter().map(|&pick| layout.record(self.records, pick));
        head_rows(self.params, self.space, layout, picked)
    }

    /// Gives each replica to the nearest piece; a piece that overflows keeps its nearest ones.
    fn add_replicas(&self, lists: &mut [FormedList], replicas: &[u32]) {
        let kernel = PairKernel::new(Operation::SquaredL2, self.params.head_dtype(), self.params.head_dim());
        let rows = self.head_rows(replicas);
        let mut near: Vec<Vec<(f32, u32)>> = vec![Vec::new(); lists.len()];
        for (row, &replica) in rows.chunks_exact(self.params.head_row_bytes()).zip(replicas) {
            let (mut best, mut best_score) = (0, f32::INFINITY);
            for (at, list) in lists.iter().enumerate() {
                let score = kernel.score(row, &list.head);
                if score < best_score {
                    (best, best_score) = (at, score);
                }
            }
            near[best].push((best_score, replica));
        }
        for (list, mut near) in lists.iter_mut().zip(near) {
            let room = self.cap.saturating_sub(list.primaries.len());
            if near.len() > room {
                list.trimmed = (near.len() - room) as u64;
                near.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                near.truncate(room);
            }
            list.replicas = near.into_iter().map(|(_, replica)| replica).collect();
            list.replicas.sort_unstable();
        }
    }
}
