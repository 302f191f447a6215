//! The flat scan: every row, exactly.
use super::{HeadQuery, Heads, Scratch};

/// Bytes of rows after which a scan asks whether to go on: about 0.1 ms.
const PIECE_BYTES: usize = 1 << 20;

/// Scans all heads that are to be found. Same promise as [`HnswGraph::search`](super::HnswGraph::search), and exact. Finds none
/// where `go_on` says no, which is asked now and then.
pub(super) fn search(
    heads: &Heads,
    query: &HeadQuery<'_>,
    scratch: &mut Scratch,
    out: &mut Vec<(f32, u32)>,
    go_on: &mut dyn FnMut() -> bool,
) -> u32 {
    let piece = (PIECE_BYTES / heads.row_bytes()).max(1);
    let scores = scratch.nearest.scores(heads.found() as usize);
    let rows = heads.found_rows().chunks(piece * heads.row_bytes());
    for (number, (rows, scores)) in rows.zip(scores.chunks_mut(piece)).enumerate() {
        if number > 0 && !go_on() {
            out.clear();
            return (number * piece) as u32; // CAST: fewer than the heads
        }
        heads.kernel().score_rows(query.row, rows, scores);
    }
    scratch.nearest.select_while(query.k, out, go_on);
    heads.found()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{clustered, found};
    use super::super::{HeadIndex, HeadQuery, Heads};
    use crate::DType;

    #[test]
    fn is_exact() {
        for dtype in DType::ALL {
            let mut rows = clustered(dtype, 6, 1500, 1);
            rows.extend_from_within(..300 * dtype.row_bytes(6));
            let heads = Heads::from_rows(dtype, 6, &rows).unwrap();
            let queries = clustered(dtype, 6, 20, 2);
            for row in queries.chunks(heads.row_bytes()) {
                let mut expected: Vec<(f32, u32)> =
                    (0..heads.count()).map(|h| (heads.kernel().score(row, heads.row(h)), h)).collect();
                expected.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                for k in [1, 2, 100, 1799, 1800, 5000] {
                    let all = found(&HeadIndex::Flat, &heads, &HeadQuery { row, k, ef: 0 });
                    assert_eq!(all, expected[..k.min(1800)]);
                }
                assert_eq!(found(&HeadIndex::Flat, &heads, &HeadQuery { row, k: 0, ef: 0 }), []);
            }
        }
    }

    #[test]
    fn not_a_number_comes_last() {
        let values = [f32::INFINITY, 3.0, f32::NAN, 1.0, f32::NEG_INFINITY];
        let rows: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let heads = Heads::from_rows(DType::F32, 1, &rows).unwrap();
        let query = HeadQuery { row: &1.0f32.to_le_bytes(), k: 5, ef: 0 };
        let order: Vec<u32> = found(&HeadIndex::Flat, &heads, &query).iter().map(|f| f.1).collect();
        assert_eq!(order, [3, 1, 0, 4, 2]);
    }
}
