//! The flat scan: every row, exactly.
use super::beam::{key_of, node_of, score_of};
use super::{HeadQuery, Heads, Scratch};

/// Rows scored before their scores are looked at.
const BLOCK_ROWS: usize = 256;

/// Scores compared with the bound at once.
const GROUP: usize = 8;

/// Scans all heads. Same promise as [`HnswGraph::search`](super::HnswGraph::search), and exact.
///
/// Keeps the keys below a bound in a buffer of twice `k`; when it is full the `k`-th smallest becomes the
/// new bound and the rest is dropped.
pub(super) fn search(
    heads: &Heads,
    query: &HeadQuery<'_>,
    scratch: &mut Scratch,
    out: &mut Vec<(f32, u32)>,
) -> u32 {
    out.clear();
    let k = query.k.min(heads.len());
    if k == 0 {
        return 0;
    }
    let keys = &mut scratch.keys;
    keys.clear();
    let full = 2 * k + BLOCK_ROWS;
    keys.reserve(full + GROUP);
    if scratch.scores.len() < BLOCK_ROWS {
        scratch.scores.resize(BLOCK_ROWS, 0.0);
    }
    let mut bound = u64::MAX;
    // Scores are never negative, so they are ordered as their bits are; NaN comes last.
    let bits_of = |score: f32| score.to_bits() & 0x7fff_ffff;
    let mut bound_bits = u32::MAX;
    let mut first = 0;
    for rows in heads.rows().chunks(BLOCK_ROWS * heads.row_bytes()) {
        let scores = &mut scratch.scores[..rows.len() / heads.row_bytes()];
        heads.kernel().score_rows(query.row, rows, scores);
        for (group, scores) in scores.chunks(GROUP).enumerate() {
            if scores.iter().all(|&s| bits_of(s) > bound_bits) {
                continue;
            }
            for (i, &score) in scores.iter().enumerate() {
                let key = key_of(score, first + (group * GROUP + i) as u32); // CAST: below the head count
                if key < bound {
                    keys.push(key);
                }
            }
            if keys.len() >= full {
                keys.select_nth_unstable(k - 1);
                keys.truncate(k);
                bound = keys[k - 1];
                bound_bits = bits_of(score_of(bound));
            }
        }
        first += scores.len() as u32; // CAST: below the head count
    }
    if keys.len() > k {
        keys.select_nth_unstable(k - 1);
        keys.truncate(k);
    }
    keys.sort_unstable();
    out.extend(keys.iter().map(|&key| (score_of(key), node_of(key))));
    heads.count()
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
