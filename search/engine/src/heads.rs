//! Heads that are compared one by one.
use std::ops::Range;

use spandrel_index::for_each_element;

use crate::fetch::NearList;
use crate::subject::Query;
use crate::terms::PIECE_BYTES;

/// Compares the query with the heads of lists, which are given by the number of their segment and their own. `go_on` says
/// after each piece of heads whether to go on.
pub(crate) fn compare_heads(
    query: &Query<'_>,
    lists: impl Iterator<Item = (u16, Range<u32>)>,
    distances: &mut Vec<f32>,
    out: &mut Vec<NearList>,
    go_on: &mut dyn FnMut() -> bool,
) {
    let mut bytes = 0;
    for (number, mut lists) in lists {
        let heads = &query.segment(number).heads;
        let row_bytes = heads.row_bytes();
        while !lists.is_empty() {
            let count = ((PIECE_BYTES - bytes) / row_bytes).clamp(1, lists.len());
            let piece = lists.start..lists.start + count as u32; // CAST: no more than the lists
            let rows = piece.start as usize * row_bytes..piece.end as usize * row_bytes;
            distances.clear();
            distances.resize(count, 0.0);
            heads.kernel().score_rows(query.head_row, &heads.rows()[rows], distances);
            let found = piece.clone().zip(&*distances);
            out.extend(found.map(|(list, &distance)| NearList { distance, segment: number, list }));
            lists.start = piece.end;
            bytes += count * row_bytes;
            if bytes >= PIECE_BYTES {
                if !go_on() {
                    return;
                }
                bytes = 0;
            }
        }
    }
}

/// Inner products of a query with heads, as they were given: no element lifts them, and no scale.
#[derive(Debug, Default)]
pub(crate) struct HeadProducts {
    query: Vec<f32>,
}

impl HeadProducts {
    /// Takes up a query.
    pub(crate) fn begin(&mut self, query: &Query<'_>) {
        self.query.clear();
        for_each_element(query.index.dtype(), query.exact.row, |x| self.query.push(x));
    }

    /// With the head of a list.
    pub(crate) fn of(&self, query: &Query<'_>, near: &NearList) -> f32 {
        let heads = &query.segment(near.segment).heads;
        let row = &heads.rows()[near.list as usize * heads.row_bytes()..][..heads.row_bytes()];
        let (mut at, mut sum) = (0, 0.0);
        for_each_element(query.index.space().dtype(query.index.dtype()), row, |x| {
            // The last element of a head is the one that lifts it.
            sum += self.query.get(at).map_or(0.0, |&q| f64::from(q) * f64::from(x));
            at += 1;
        });
        sum as f32 // CAST: rounds
    }
}

#[cfg(test)]
mod tests {
    use spandrel_index::testing::TestIndex;
    use spandrel_index::{DType, Index, Metric};

    use super::*;
    use crate::accept::Accepted;
    use crate::subject::Subject;

    #[test]
    fn heads_that_are_compared_one_by_one_are_left_within_a_piece() {
        let folder = tempfile::tempdir().unwrap();
        TestIndex::random(Metric::L2, DType::F32, 100, 200).write(folder.path());
        let index = Index::open(folder.path()).unwrap();
        let (row, accept, mut subject) =
            (vec![0; index.row_bytes()], Accepted::default(), Subject::default());
        subject.set(&index, &row);
        let query = subject.query(&index, &row, &accept);
        let (all, row_bytes) = (index.lists(), index.segments()[0].heads.row_bytes());
        let in_piece = PIECE_BYTES.div_ceil(row_bytes);
        // The lists of an index, time after time, as runs of many places would have them.
        let times = 5 * in_piece / all as usize;
        let lists = || std::iter::repeat_n((0, 0..all), times);
        let (mut distances, mut out, mut looks) = (Vec::new(), Vec::new(), 0);
        compare_heads(&query, lists(), &mut distances, &mut out, &mut || {
            looks += 1;
            true
        });
        assert!((4..=5).contains(&looks) && out.len() == times * all as usize, "{looks}");
        assert!(out.iter().map(|near| near.list).eq(std::iter::repeat_n(0..all, times).flatten()));
        let first = out[..all as usize].to_vec();
        assert!(out.chunks(all as usize).all(|again| again == first), "each as the first time");
        out.clear();
        compare_heads(&query, lists(), &mut distances, &mut out, &mut || false);
        assert_eq!(out.len(), in_piece);
    }
}
