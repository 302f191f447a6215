use std::ops::ControlFlow;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spandrel_filter::{Attribute, AttributeType, Cell, Filter, Schema};
use spandrel_index::{AttributeSource, AttributeSourceError, DIM_MAX, DType, decode, encode};

use super::*;
use crate::Rows;
use crate::attributes::{BaseRows, BoundFilters};
use crate::values::CheckError;

/// Random rows with some zeros' worth of spread, every eighth a copy of an earlier one.
fn rows(dtype: DType, dim: usize, count: usize, seed: u64) -> Rows {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut values: Vec<f32> = Vec::new();
    for row in 0..count {
        if row % 8 == 7 {
            let from = rng.random_range(0..row) * dim;
            values.extend_from_within(from..from + dim);
            continue;
        }
        let value = |_| match dtype {
            DType::U8 => rng.random_range(0..=255_u8).into(),
            DType::I8 => rng.random_range(-128..=127_i8).into(),
            DType::F32 | DType::F16 => rng.random_range(-1.0..1.0_f32) + 0.25,
        };
        values.extend((0..dim).map(value));
    }
    let mut bytes = Vec::new();
    encode(dtype, &values, &mut bytes).unwrap();
    Rows::new(dtype, dim, bytes).unwrap()
}

fn values(rows: &Rows) -> Vec<Vec<f64>> {
    let decoded = decode(rows.dtype(), rows.bytes());
    decoded.chunks_exact(rows.dim()).map(|row| row.iter().map(|&v| f64::from(v)).collect()).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// What every query's list must be, the plain way.
fn naive(base: &Rows, queries: &Rows, metric: Metric, k: usize) -> (Vec<u64>, Vec<f64>) {
    let (base, mut ids, mut distances) = (values(base), Vec::new(), Vec::new());
    for query in values(queries) {
        let mut all: Vec<(f64, u64)> = (0..)
            .zip(&base)
            .map(|(id, row)| {
                let key = match metric {
                    Metric::L2 => query.iter().zip(row).map(|(x, y)| (x - y) * (x - y)).sum(),
                    Metric::InnerProduct => -dot(&query, row),
                    Metric::Cosine => 1.0 - dot(&query, row) / (dot(&query, &query) * dot(row, row)).sqrt(),
                };
                (key, id)
            })
            .collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        ids.extend(all[..k].iter().map(|n| n.1));
        distances.extend(all[..k].iter().map(|n| if metric == Metric::InnerProduct { -n.0 } else { n.0 }));
    }
    (ids, distances)
}

fn compute(base: &Rows, queries: &Rows, metric: Metric, k: usize, threads: usize) -> Truth {
    compute_truth(base, queries, None, TruthParams { metric, k, threads }, Watch::none()).unwrap()
}

fn assert_same(truth: &Truth, (ids, distances): (Vec<u64>, Vec<f64>), what: &str) {
    assert_eq!(truth.ids, ids, "{what}");
    for (&found, expected) in truth.distances.as_ref().unwrap().iter().zip(distances) {
        let error = (f64::from(found) - expected).abs();
        assert!(error <= 1e-6 * expected.abs().max(1.0), "{what}: {found} {expected}");
    }
}

#[test]
fn every_type_and_metric_agrees_with_a_plain_loop() {
    for dtype in DType::ALL {
        for metric in Metric::ALL {
            for (dim, count, query_count, k) in
                [(1, 1, 1, 1), (7, 100, 9, 100), (33, 700, 40, 10), (128, 600, 150, 5)]
            {
                let (base, queries) = (rows(dtype, dim, count, 1), rows(dtype, dim, query_count, 2));
                if dim == 1 && metric == Metric::Cosine {
                    continue; // two directions only: everything ties but for rounding
                }
                let truth = compute(&base, &queries, metric, k, 2);
                let what = format!("{dtype} {metric} dim {dim}");
                assert_same(&truth, naive(&base, &queries, metric, k), &what);
            }
        }
    }
}

/// The truth within a radius, by one walk and by several.
fn within(base: &Rows, queries: &Rows, metric: Metric, radius: f32) -> RangeTruth {
    compute_range_truth(base, queries, None, RangeTruthParams { metric, radius, threads: 2 }, Watch::none())
        .unwrap()
}

#[test]
fn all_within_a_radius_agree_with_the_nearest() {
    for dtype in DType::ALL {
        for metric in Metric::ALL {
            let (base, queries) = (rows(dtype, 33, 700, 1), rows(dtype, 33, 40, 2));
            let all = compute(&base, &queries, metric, 700, 2);
            let distances = all.distances.as_ref().unwrap();
            // That of a neighbour itself, which counts, of a far one, and of none.
            let none = if metric == Metric::InnerProduct { 1e9 } else { 0.0 };
            for radius in [distances[5], distances[33 * 700 + 200], distances[699], none] {
                let found = within(&base, &queries, metric, radius);
                assert_eq!(found.queries(), 40);
                for query in 0..40 {
                    let range = query * 700..(query + 1) * 700;
                    let count = distances[range.clone()].partition_point(|&d| metric.is_within(d, radius));
                    let expected: Vec<u32> =
                        all.ids[range.clone()][..count].iter().map(|&id| id as u32).collect();
                    let what = format!("{dtype} {metric} {radius} query {query}");
                    assert_eq!(found.of(query), (&expected[..], &distances[range][..count]), "{what}");
                }
            }
        }
    }
}

#[test]
fn a_radius_that_is_none_is_refused() {
    let base = rows(DType::F32, 4, 50, 1);
    for radius in [f32::NAN, f32::INFINITY, -1.0] {
        let params = RangeTruthParams { metric: Metric::L2, radius, threads: 1 };
        let refused = compute_range_truth(&base, &base, None, params, Watch::none()).unwrap_err();
        assert!(matches!(refused, ComputeTruthError::Radius(_)), "{refused}");
    }
}

#[test]
fn large_integers_are_not_merged_by_rounding() {
    // Values near 2^29, where f32 keeps every 32nd whole number, that differ by less.
    let row = |first: u8, rest: u8| [vec![first], vec![rest; 8191]].concat();
    let base = (0..16).flat_map(|i| row(15 - i, 255)).collect();
    let base = Rows::new(DType::U8, 8192, base).unwrap();
    let queries = Rows::new(DType::U8, 8192, [row(0, 0), row(1, 255)].concat()).unwrap();
    for metric in [Metric::L2, Metric::InnerProduct] {
        for k in [3, 16] {
            let truth = compute(&base, &queries, metric, k, 2);
            assert_same(&truth, naive(&base, &queries, metric, k), metric.name());
        }
    }
}

#[test]
fn tiny_huge_and_opposite_floats_are_ranked() {
    for scale in [1e-25_f32, 1e-17, 1e-3, 1e17] {
        let shift = |rows: &Rows| {
            let scaled: Vec<f32> = decode(DType::F32, rows.bytes()).iter().map(|v| v * scale).collect();
            let mut bytes = Vec::new();
            encode(DType::F32, &scaled, &mut bytes).unwrap();
            Rows::new(DType::F32, rows.dim(), bytes).unwrap()
        };
        let (base, queries) = (shift(&rows(DType::F32, 24, 400, 5)), shift(&rows(DType::F32, 24, 10, 6)));
        for metric in Metric::ALL {
            let truth = compute(&base, &queries, metric, 20, 2);
            let (ids, _) = naive(&base, &queries, metric, 20);
            assert_eq!(truth.ids, ids, "{metric} {scale}");
        }
    }
}

#[test]
fn nearly_equal_floats_are_ranked_exactly() {
    // Far from the origin, norms and products in f32 cannot tell these apart.
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut near = |count: usize| {
        let values: Vec<f32> = (0..count * 16).map(|_| 1000.0 + rng.random_range(-0.01..0.01_f32)).collect();
        let mut bytes = Vec::new();
        encode(DType::F32, &values, &mut bytes).unwrap();
        Rows::new(DType::F32, 16, bytes).unwrap()
    };
    let (base, queries) = (near(2000), near(8));
    for metric in Metric::ALL {
        let truth = compute(&base, &queries, metric, 10, 2);
        let (ids, _) = naive(&base, &queries, metric, 10);
        assert_eq!(truth.ids, ids, "{metric}");
    }
}

#[test]
fn ties_go_to_the_smaller_row() {
    for dtype in DType::ALL {
        let mut bytes = Vec::new();
        encode(dtype, &[1.0, 2.0].repeat(500), &mut bytes).unwrap();
        let base = Rows::new(dtype, 2, bytes).unwrap();
        for metric in Metric::ALL {
            let truth = compute(&base, &base, metric, 4, 2);
            assert_eq!(truth.ids, [0, 1, 2, 3].repeat(500), "{dtype} {metric}");
        }
    }
    // In the same direction at any length.
    let base = Rows::new(DType::U8, 2, vec![9, 21, 1, 1, 3, 7, 6, 14]).unwrap();
    let query = Rows::new(DType::U8, 2, vec![30, 70]).unwrap();
    let truth = compute(&base, &query, Metric::Cosine, 3, 1);
    assert_eq!((truth.ids, truth.distances), (vec![0, 2, 3], Some(vec![0.0; 3])));
}

#[test]
fn a_base_of_fewer_rows_than_k_gives_them_all() {
    let (base, queries) = (rows(DType::F32, 4, 5, 1), rows(DType::F32, 4, 3, 2));
    let all = compute(&base, &queries, Metric::L2, 100, 2);
    assert_eq!((all.queries, all.k), (3, 5));
    assert_eq!(all, compute(&base, &queries, Metric::L2, 5, 2));
}

#[test]
fn threads_do_not_change_the_answer() {
    let (base, queries) = (rows(DType::F16, 48, 3000, 8), rows(DType::F16, 48, 77, 9));
    let one = compute(&base, &queries, Metric::Cosine, 12, 1);
    assert_eq!(one, compute(&base, &queries, Metric::Cosine, 12, 5));
}

#[test]
fn queries_of_another_type_are_converted() {
    let (base, queries) = (rows(DType::U8, 16, 500, 8), rows(DType::U8, 16, 20, 9));
    let floats = Rows::read(&Converted::new(&queries, DType::F32)).unwrap();
    let expected = compute(&base, &queries, Metric::L2, 5, 2);
    assert_eq!(compute(&base, &floats, Metric::L2, 5, 2), expected);
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let base = rows(DType::F32, 4, 50, 1);
    let run = |base: &Rows, queries: &Rows, metric, k| {
        compute_truth(base, queries, None, TruthParams { metric, k, threads: 1 }, Watch::none()).unwrap_err()
    };
    let bytes = rows(DType::U8, 4, 5, 1);
    let fractions = run(&bytes, &base, Metric::L2, 1).to_string();
    assert!(
        fractions.contains("row 0, element 0 is ") && fractions.contains("which u8 cannot hold"),
        "{fractions}"
    );
    let dim = run(&base, &rows(DType::F32, 5, 5, 1), Metric::L2, 1);
    assert!(matches!(dim, ComputeTruthError::Dim { base: 4, queries: 5 }));
    for k in [0, K_MAX + 1] {
        assert!(matches!(run(&base, &base, Metric::L2, k), ComputeTruthError::K { .. }));
    }
    let none = Rows::new(DType::F32, 4, Vec::new()).unwrap();
    assert!(matches!(run(&base, &none, Metric::L2, 1), ComputeTruthError::NoQueries));
    let mut spoiled = base.bytes().to_vec();
    spoiled[40 * 16 + 8..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    spoiled[45 * 16..46 * 16].fill(0);
    let spoiled = Rows::new(DType::F32, 4, spoiled).unwrap();
    for (base, queries) in [(&base, &spoiled), (&spoiled, &base)] {
        let message = run(base, queries, Metric::L2, 1).to_string();
        assert!(message.ends_with("row 40: element 2 is NaN, not a finite number"), "{message}");
    }
    let mut zero = base.bytes().to_vec();
    zero[45 * 16..46 * 16].fill(0);
    let zero = Rows::new(DType::F32, 4, zero).unwrap();
    let message = run(&zero, &base, Metric::Cosine, 1).to_string();
    assert!(message.contains("row 45: a zero vector"), "{message}");
    let stop = true.into();
    let params = TruthParams { metric: Metric::L2, k: 1, threads: 1 };
    let stopped = compute_truth(&base, &base, None, params, Watch { stop: &stop, ..Watch::none() });
    assert!(matches!(stopped, Err(ComputeTruthError::Check(CheckError::Stopped(_)))));
}

#[test]
fn the_largest_dimension_works() {
    let base = rows(DType::U8, DIM_MAX, 40, 1);
    let truth = compute(&base, &base, Metric::L2, 1, 2);
    let first_copy = |row: usize| (0..40).find(|&other| base.row(other) == base.row(row)).unwrap();
    assert_eq!(truth.ids, (0..40).map(|row| first_copy(row) as u64).collect::<Vec<u64>>());
}

/// A number for each row.
struct Numbered {
    schema: Schema,
    numbers: Vec<i64>,
}

impl AttributeSource for Numbered {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn len(&self) -> u64 {
        self.numbers.len() as u64
    }

    fn scan(
        &self,
        each: &mut dyn FnMut(u64, &[Cell]) -> ControlFlow<()>,
    ) -> Result<(), AttributeSourceError> {
        let rows = (0..).zip(&self.numbers);
        let _ = rows.map(|(row, &number)| each(row, &[Cell::I64(number)])).find(ControlFlow::is_break);
        Ok(())
    }

    fn name(&self) -> String {
        "numbers".to_owned()
    }
}

/// Filters `n < limit`, one for each query.
pub(super) fn below(limits: &[i64], numbers: &[i64]) -> RowFilters {
    let attribute = Attribute { name: "n".to_owned(), kind: AttributeType::I64 };
    let made = Numbered { schema: Schema::new(vec![attribute]).unwrap(), numbers: numbers.to_vec() };
    let mut filters = BoundFilters::default();
    for limit in limits {
        let bound = Filter::parse(&format!("n < {limit}")).unwrap().bind(&made.schema).unwrap();
        let number = filters.distinct.iter().position(|other| *other == bound).unwrap_or_else(|| {
            filters.distinct.push(bound);
            filters.distinct.len() - 1
        });
        filters.of_query.push(number);
    }
    RowFilters::read(&made, filters, BaseRows { rows: made.len(), ids: None }, Watch::none()).unwrap()
}

/// The rows of a truth of all rows that a query may find, and then none.
fn kept(all: &Truth, query: usize, k: usize, may: impl Fn(u64) -> bool) -> (Vec<u64>, Vec<f32>) {
    let row = query * all.k..(query + 1) * all.k;
    let distances = all.distances.as_ref().unwrap()[row.clone()].iter().copied();
    let mut found: Vec<(u64, f32)> =
        all.ids[row].iter().copied().zip(distances).filter(|n| may(n.0)).collect();
    found.resize(k.max(found.len()), (Truth::NONE, f32::INFINITY));
    found.truncate(k);
    found.into_iter().unzip()
}

#[test]
fn filters_leave_the_nearest_of_the_rows_that_match() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    for (dtype, dim, count) in [(DType::U8, 33, 3000), (DType::F32, 7, 700)] {
        let (base, queries) = (rows(dtype, dim, count, 1), rows(dtype, dim, 300, 2));
        let numbers: Vec<i64> = (0..count).map(|_| rng.random_range(0..1000)).collect();
        // Many filters and few, of no row, of one in a thousand, of half, and of all.
        let limits: Vec<i64> = (0..300)
            .map(|query| if query < 200 { query * 7 } else { [0, 1, 500, 1000][query as usize % 4] })
            .collect();
        let filters = below(&limits, &numbers);
        for metric in [Metric::L2, Metric::Cosine] {
            let all = compute(&base, &queries, metric, count, 2);
            let params = TruthParams { metric, k: 10, threads: 3 };
            let truth = compute_truth(&base, &queries, Some(&filters), params, Watch::none()).unwrap();
            assert_eq!((truth.queries, truth.k), (300, 10));
            for (query, &limit) in limits.iter().enumerate() {
                let (ids, distances) = kept(&all, query, 10, |row| numbers[row as usize] < limit);
                assert_eq!(truth.ids[query * 10..][..10], ids, "query {query}");
                assert_eq!(truth.distances.as_ref().unwrap()[query * 10..][..10], distances, "query {query}");
            }
            let radius = all.distances.as_ref().unwrap()[count / 3];
            let params = RangeTruthParams { metric, radius, threads: 2 };
            let truth = compute_range_truth(&base, &queries, Some(&filters), params, Watch::none()).unwrap();
            for (query, &limit) in limits.iter().enumerate() {
                let (ids, distances) = kept(&all, query, count, |row| numbers[row as usize] < limit);
                let within = distances.iter().take_while(|&&distance| distance <= radius).count();
                let found: Vec<u64> = truth.of(query).0.iter().map(|&id| id.into()).collect();
                assert_eq!(found, &ids[..within], "query {query}");
            }
        }
    }
}

#[test]
fn a_query_without_matches_has_no_neighbour_and_inner_products_are_infinitely_small() {
    let (base, queries) = (rows(DType::F32, 4, 9, 1), rows(DType::F32, 4, 2, 2));
    let filters = below(&[0, 5], &[9, 9, 4, 9, 9, 9, 9, 9, 9]);
    let params = TruthParams { metric: Metric::InnerProduct, k: 3, threads: 1 };
    let truth = compute_truth(&base, &queries, Some(&filters), params, Watch::none()).unwrap();
    assert_eq!(truth.ids, [Truth::NONE, Truth::NONE, Truth::NONE, 2, Truth::NONE, Truth::NONE]);
    assert_eq!((truth.ids_of(0), truth.ids_of(1)), (&[][..], &[2][..]));
    assert!(truth.distances.unwrap()[4..].iter().all(|&product| product == f32::NEG_INFINITY));
}

#[test]
fn filters_of_other_queries_are_refused() {
    let (base, queries) = (rows(DType::F32, 4, 9, 1), rows(DType::F32, 4, 2, 2));
    let params = TruthParams { metric: Metric::L2, k: 3, threads: 1 };
    let refused = |filters: &RowFilters| {
        compute_truth(&base, &queries, Some(filters), params, Watch::none()).unwrap_err().to_string()
    };
    assert_eq!(
        refused(&below(&[1], &[1; 9])),
        "filters of 1 queries over 9 rows, there are 2 queries and a base of 9 rows"
    );
    assert_eq!(
        refused(&below(&[1; 2], &[1; 8])),
        "filters of 2 queries over 8 rows, there are 2 queries and a base of 9 rows"
    );
}
