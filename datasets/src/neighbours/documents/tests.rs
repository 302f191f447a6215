//! The exact nearest documents against brute force.
use super::*;
use spandrel_index::decode;

use crate::neighbours::tests::below;
use crate::rows::Rows;

/// Seeded numbers from -6 to 6, so that documents tie often.
fn rows(dtype: DType, dim: usize, count: usize, seed: u32) -> Rows {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 16) % 13) as i8 - 6
    };
    let values = (0..count * dim).map(|_| next());
    let bytes: Vec<u8> = match dtype {
        DType::I8 => values.map(i8::cast_unsigned).collect(),
        DType::U8 => values.map(i8::unsigned_abs).collect(),
        DType::F16 => values.flat_map(|x| half::f16::from_f32(f32::from(x) / 3.0).to_le_bytes()).collect(),
        DType::F32 => values.flat_map(|x| (f32::from(x) / 3.0).to_le_bytes()).collect(),
    };
    Rows::new(dtype, dim, bytes).unwrap()
}

fn score(base: &[f32], query: &[f32], dim: usize) -> f64 {
    let product =
        |q: &[f32], d: &[f32]| q.iter().zip(d).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let largest = |q: &[f32]| base.chunks(dim).map(|d| product(q, d)).fold(f64::NEG_INFINITY, f64::max);
    query.chunks(dim).map(largest).sum()
}

#[test]
fn products_beyond_the_range_of_f32_are_compared_too() {
    let rows = |values: &[f32]| {
        Rows::new(DType::F32, 1, values.iter().flat_map(|value| value.to_le_bytes()).collect()).unwrap()
    };
    let offsets = DocumentOffsets::new(&[0, 1, 2, 3], 3).unwrap();
    let one = DocumentOffsets::new(&[0, 1], 1).unwrap();
    for (base, query) in [([-3e20, -2e20, -1e20], 1e20), ([1e-25, 2e-25, 3e-25], 1e-25)] {
        let (base, query) = (rows(&base), rows(&[query]));
        let base = Documents { tokens: &base, offsets: &offsets };
        let queries = Documents { tokens: &query, offsets: &one };
        let params = DocumentTruthParams { k: 1, threads: 1 };
        assert_eq!(compute_document_truth(base, queries, None, params, Watch::none()).unwrap().ids, [2]);
    }
}

#[test]
fn the_best_documents_by_max_sim_are_found_and_ties_go_by_number() {
    for (dtype, dim) in DType::ALL.into_iter().flat_map(|dtype| [3, 300].map(|dim| (dtype, dim))) {
        let base_offsets: Vec<u64> = (0..=40).map(|i| i * i / 4 + i).collect();
        let query_offsets = [0, 1, 4, 40, 41];
        let (base_rows, query_rows) = (*base_offsets.last().unwrap(), 41);
        let base = rows(dtype, dim, base_rows as usize, 1);
        let queries = rows(dtype, dim, query_rows as usize, 2);
        let offsets = DocumentOffsets::new(&base_offsets, base_rows).unwrap();
        let query_documents = DocumentOffsets::new(&query_offsets, query_rows).unwrap();
        let of_base = Documents { tokens: &base, offsets: &offsets };
        let of_queries = Documents { tokens: &queries, offsets: &query_documents };
        let truth = |k, threads| {
            let params = DocumentTruthParams { k, threads };
            compute_document_truth(of_base, of_queries, None, params, Watch::none()).unwrap()
        };
        let found = truth(7, 2);
        assert_eq!(found, truth(7, 1));
        assert_eq!((truth(99, 1).k, found.queries), (40, 4));
        let (base, queries) = (decode(dtype, base.bytes()), decode(dtype, queries.bytes()));
        for query in 0..4 {
            let of = query_documents.rows_of(query);
            let query_values = &queries[of.start as usize * dim..of.end as usize * dim];
            let mut wanted: Vec<(f64, u64)> = (0..40)
                .map(|document| {
                    let of = offsets.rows_of(document);
                    let values = &base[of.start as usize * dim..of.end as usize * dim];
                    (-score(values, query_values, dim), document as u64)
                })
                .collect();
            wanted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let ids: Vec<u64> = wanted.iter().take(7).map(|&(_, id)| id).collect();
            if dtype.is_integer() {
                assert_eq!(found.ids_of(query), ids, "{dtype} {dim} query {query}");
            }
            let distances = &found.distances.as_ref().unwrap()[query * 7..][..7];
            for (&(key, _), &distance) in wanted.iter().zip(distances) {
                let slack = key.abs() * 1e-6;
                assert!((f64::from(distance) + key).abs() <= slack, "{dtype} {dim} query {query}");
            }
        }
    }
}

#[test]
fn offsets_of_other_vectors_are_refused() {
    let base = rows(DType::I8, 4, 6, 1);
    let [whole, less] = [6, 5].map(|rows| DocumentOffsets::new(&[0, 2, rows], rows).unwrap());
    let params = DocumentTruthParams { k: 1, threads: 1 };
    let truth = |base_offsets, query_offsets| {
        let of = |offsets| Documents { tokens: &base, offsets };
        compute_document_truth(of(base_offsets), of(query_offsets), None, params, Watch::none())
    };
    assert!(truth(&whole, &whole).is_ok());
    let refused = [truth(&less, &whole), truth(&whole, &less)];
    for error in refused.map(Result::unwrap_err) {
        assert!(matches!(error, ComputeTruthError::Offsets { covered: 5, rows: 6 }), "{error:?}");
    }
}

#[test]
fn filters_leave_the_best_of_the_documents_that_match() {
    let base = rows(DType::I8, 5, 60, 1);
    let queries = rows(DType::I8, 5, 12, 2);
    let offsets = DocumentOffsets::new(&(0..=20).map(|i| 3 * i).collect::<Vec<u64>>(), 60).unwrap();
    let of_queries = DocumentOffsets::new(&[0, 2, 5, 9, 12], 12).unwrap();
    let base = Documents { tokens: &base, offsets: &offsets };
    let queries = Documents { tokens: &queries, offsets: &of_queries };
    let truth = |filters: Option<&RowFilters>, k| {
        let params = DocumentTruthParams { k, threads: 2 };
        compute_document_truth(base, queries, filters, params, Watch::none())
    };
    let all = truth(None, 20).unwrap();
    // Documents are numbered backwards.
    let numbers: Vec<i64> = (0..20).rev().collect();
    let limits = [7, 20, 7, -3];
    let found = truth(Some(&below(&limits, &numbers)), 9).unwrap();
    for (query, limit) in limits.into_iter().enumerate() {
        let is_match = |&document: &u64| numbers[document as usize] < limit;
        let wanted: Vec<u64> = all.ids_of(query).iter().copied().filter(is_match).take(9).collect();
        assert_eq!(found.ids_of(query), wanted, "query {query}");
        let all_of = &found.ids[query * 9..(query + 1) * 9];
        assert!(all_of[wanted.len()..].iter().all(|&id| id == Truth::NONE), "query {query}");
    }
    // Of queries, not of their tokens; over documents, not over theirs.
    for wrong in [below(&[7; 12], &numbers), below(&limits, &[1; 60])] {
        let error = truth(Some(&wrong), 3).unwrap_err();
        assert!(matches!(error, ComputeTruthError::Filters { queries: 4, rows: 20, .. }), "{error}");
    }
}
