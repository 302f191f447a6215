//! Odd inputs in lists of codes. Scanning every list and comparing every vector must be exact for all codes
//! worth; so must what the index's own parameters find be true, if not complete.
use spandrel_builder::ListCount;
use spandrel_datasets::Rows;
use spandrel_engine::{Rerank, SearchParams};
use spandrel_index::codes::CodeSpec;
use spandrel_index::{DType, Metric, Tier, VectorSource};
use spandrel_tests::{Base, bytes_rows, clustered, coded, count};

use super::answers_agree;
use crate::support::{
    TIERS, assert_exact, assert_true, every_list, open_engine, open_engine_with, verify_index,
};

/// Principal axes of more dimensions take too long to find in a test.
const AXES_DIM: usize = 512;

/// Codes of each family that vectors of `dim` elements can have.
fn codes(dim: usize) -> Vec<CodeSpec> {
    let mut codes = vec![CodeSpec::RaBitQ { bits: 1 }, CodeSpec::RaBitQ { bits: 4 }, CodeSpec::Binary];
    if dim <= AXES_DIM {
        codes.push(CodeSpec::Recurrent { bits: 64, codes: 2, symmetric: false });
        codes.push(CodeSpec::Recurrent { bits: 32, codes: 3, symmetric: true });
        // Less than a bit for each dimension of the widest, two for the others.
        let bytes = (dim.next_multiple_of(32) / 4).min(36);
        codes.push(CodeSpec::Axes { bytes: bytes as u32 }); // CAST: at most 36
        codes.push(CodeSpec::Products {
            quantisers: dim.min(3) as u32,
            bits: 8,
            rotated: true,
            uniform: false,
        }); // CAST: at most 3
    }
    // No number of dimensions but 1, 5 and so on is a multiple of this.
    codes.push(CodeSpec::Products { quantisers: dim.min(5) as u32, bits: 4, rotated: false, uniform: false }); // CAST: at most 5
    codes
}

/// Builds with each code, verifies, and compares the answers to the base's own first rows with an exact scan.
fn check(name: &str, metric: Metric, base: &Base) {
    for (number, code) in codes(base.rows.dim()).into_iter().enumerate() {
        let name = format!("{name}, {metric}, {code}");
        let dir = tempfile::tempdir().unwrap();
        let tier = if number % 2 == 0 { Tier::Memory } else { Tier::Ssd };
        base.build(&coded(metric, code, tier, dir.path())).unwrap_or_else(|e| panic!("{name}: {e}"));
        verify_index(dir.path(), true).unwrap_or_else(|e| panic!("{name}: {e}"));
        let rows = count(&base.rows);
        let (k, queries) = (rows.min(7), rows.min(10));
        let bytes = &base.rows.bytes()[..queries * base.rows.row(0).len()];
        let engine = open_engine(dir.path());
        for (params, exact) in [(every_list(k), true), (SearchParams::new(k), false)] {
            let answers = engine.search(bytes, &params).unwrap();
            for (query, answer) in answers.iter().enumerate() {
                let (what, row) = (format!("{name}: query {query}"), base.rows.row(query));
                assert_eq!(answer.missing.parts(), 0, "{what}");
                assert_eq!((answer.neighbours.len(), answer.limited_by), (k, None), "{what}");
                if exact {
                    assert_exact(metric, base, row, answer, &what);
                } else {
                    assert_true(metric, base, row, answer, &what);
                }
            }
        }
    }
}

#[test]
fn odd_shapes_are_built_and_searched_exactly() {
    let l2 = |name, rows| check(name, Metric::L2, &Base::new(rows));
    l2("one vector", bytes_rows(4, 1, |_, at| at as u8));
    l2("two vectors", bytes_rows(4, 2, |row, _| row as u8));
    l2("all identical", bytes_rows(8, 1000, |_, _| 9));
    l2("few distinct", bytes_rows(8, 1000, |row, _| (row % 3 * 50) as u8));
    l2("one element", bytes_rows(1, 1000, |row, _| (row * row % 251) as u8));
    l2("4096 elements", bytes_rows(4096, 60, |row, at| (row * at % 255) as u8));
    l2("260 elements", bytes_rows(260, 200, |row, at| (row * at % 255) as u8));
    l2("all zero", bytes_rows(5, 100, |_, _| 0));
    l2(
        "constant elements",
        bytes_rows(40, 600, |row, at| if at % 8 == 0 { (row * at % 249) as u8 } else { 200 }),
    );
    l2("one element varies", bytes_rows(40, 600, |row, at| if at == 33 { (row % 256) as u8 } else { 77 }));
}

/// Floats that a function of row and element gives.
fn floats(dim: usize, count: usize, value: impl Fn(usize, usize) -> f32) -> Base {
    let value = &value;
    let values = (0..count).flat_map(|row| (0..dim).map(move |at| value(row, at)));
    Base::new(Rows::new(DType::F32, dim, values.flat_map(f32::to_le_bytes).collect()).unwrap())
}

#[test]
fn odd_floats_are_built_and_searched_exactly_under_every_metric() {
    let wave = |row: usize, at: usize| ((row * 37 + at * 11) % 101) as f32 / 50.0 - 1.01;
    for metric in Metric::ALL {
        check("one vector", metric, &floats(3, 1, |_, at| at as f32 + 0.5));
        check("all identical", metric, &floats(6, 300, |_, at| at as f32 - 2.25));
        check("opposite", metric, &floats(6, 300, |row, _| if row % 2 == 0 { 1.5 } else { -1.5 }));
        check("one element", metric, &floats(1, 300, |row, _| row as f32 - 149.5));
        check("far from the origin", metric, &floats(12, 300, |row, at| 5000.0 + wave(row, at)));
    }
    check(
        "one long vector",
        Metric::L2,
        &floats(12, 300, |row, at| wave(row, at) * if row == 7 { 1e6 } else { 1.0 }),
    );
    let lengths = floats(12, 300, |row, at| wave(row, at) * 1.1_f32.powi(row as i32 % 100));
    check("many lengths", Metric::InnerProduct, &lengths);
    check("many lengths", Metric::Cosine, &lengths);
}

#[test]
fn magnitudes_at_the_ends_of_floats_are_built_and_searched_exactly() {
    let wave = |row: usize, at: usize| ((row * 37 + at * 11) % 101) as f32 / 50.0 - 1.01;
    for code in codes(12) {
        let mut usual = Vec::new();
        for scale in [1.0_f32, 1e-18, 1e-9, 1e9, 1e18] {
            let name = format!("{scale}, {code}");
            let base = floats(12, 300, |row, at| scale * wave(row, at));
            let dir = tempfile::tempdir().unwrap();
            base.build(&coded(Metric::L2, code, Tier::Memory, dir.path())).unwrap();
            verify_index(dir.path(), true).unwrap_or_else(|e| panic!("{name}: {e}"));
            let engine = open_engine(dir.path());
            let queries = &base.rows.bytes()[..50 * 48];
            for (row, answer) in engine.search(queries, &every_list(5)).unwrap().iter().enumerate() {
                assert_eq!(answer.neighbours.len(), 5, "{name}: row {row}");
                assert_eq!(answer.neighbours[0].distance, 0.0, "{name}: row {row}");
            }
            let answers = engine.search(queries, &SearchParams::new(5)).unwrap();
            usual.push(answers.iter().filter(|answer| answer.neighbours[0].distance == 0.0).count());
        }
        // The index's own parameters find as much as at any other scale.
        assert!(usual.iter().all(|found| found.abs_diff(usual[0]) <= 3), "{code}: {usual:?} of 50 rows");
    }
}

#[test]
fn lists_as_short_or_long_as_can_be_are_searched_exactly() {
    let base = Base::new(clustered(DType::U8, 6, 400, 4));
    for code in codes(6) {
        for (name, lists) in [("one list", 1), ("a list for each vector", 400), ("lists of 17", 400 / 17)] {
            let dir = tempfile::tempdir().unwrap();
            let mut config = coded(Metric::L2, code, Tier::Memory, dir.path());
            config.lists = ListCount::Lists(lists);
            base.build(&config).unwrap();
            verify_index(dir.path(), true).unwrap_or_else(|e| panic!("{name}, {code}: {e}"));
            for options in TIERS {
                let engine = open_engine_with(dir.path(), options);
                let answers = engine.search(&base.rows.bytes()[..60], &every_list(9)).unwrap();
                for (query, answer) in answers.iter().enumerate() {
                    let what = format!("{name}, {code}, {options:?}: query {query}");
                    assert_exact(Metric::L2, &base, base.rows.row(query), answer, &what);
                }
            }
        }
    }
}

#[test]
fn ids_of_any_size_come_back() {
    let rows = clustered(DType::I8, 6, 500, 4);
    for largest in [u64::from(u32::MAX), u64::MAX] {
        // Neither ascending nor dense.
        let ids = (0..500_u64).map(|row| largest - row * 7919 % 500).collect();
        check(&format!("ids up to {largest}"), Metric::L2, &Base::with_ids(rows.clone(), ids));
    }
}

#[test]
fn codes_that_cannot_be_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let base = Base::new(clustered(DType::U8, 6, 100, 4));
    let axes = CodeSpec::Axes { bytes: 36 };
    let products = |quantisers, rotated| CodeSpec::Products { quantisers, bits: 8, rotated, uniform: false };
    let wrong = [
        ("more sub-quantisers than elements", coded(Metric::L2, products(7, false), Tier::Ssd, dir.path())),
        ("more than 8 bits for each element", coded(Metric::L2, axes, Tier::Ssd, dir.path())),
        (
            "more bits than are trained",
            coded(
                Metric::L2,
                CodeSpec::Recurrent { bits: 160, codes: 1, symmetric: false },
                Tier::Ssd,
                dir.path(),
            ),
        ),
        ("exact vectors in memory", coded(Metric::L2, CodeSpec::Full, Tier::Memory, dir.path())),
    ];
    for (name, config) in wrong {
        let refused = base.build(&config).unwrap_err();
        assert!(matches!(refused, spandrel_builder::BuildError::Parameter { .. }), "{name}: {refused}");
    }
    let wide = Base::new(bytes_rows(2049, 20, |row, at| (row * at % 255) as u8));
    let recurrent = CodeSpec::Recurrent { bits: 64, codes: 1, symmetric: false };
    for code in [axes, products(8, true), recurrent] {
        let refused = wide.build(&coded(Metric::L2, code, Tier::Ssd, dir.path())).unwrap_err();
        assert!(matches!(refused, spandrel_builder::BuildError::Parameter { .. }), "{refused}");
    }
}

#[test]
fn answers_do_not_depend_on_threads_backend_batch_or_where_vectors_are() {
    let products = CodeSpec::Products { quantisers: 6, bits: 4, rotated: true, uniform: false };
    let recurrent = |codes, symmetric| CodeSpec::Recurrent { bits: 32, codes, symmetric };
    let codes = [
        CodeSpec::RaBitQ { bits: 2 },
        CodeSpec::Axes { bytes: 8 },
        products,
        recurrent(2, false),
        recurrent(3, true),
    ];
    let shapes = [
        (Metric::L2, DType::U8),
        (Metric::InnerProduct, DType::F16),
        (Metric::Cosine, DType::F32),
        (Metric::InnerProduct, DType::I8),
        (Metric::L2, DType::F32),
    ];
    for (code, (metric, dtype)) in codes.into_iter().zip(shapes) {
        let dir = tempfile::tempdir().unwrap();
        let base = Base::new(clustered(dtype, 12, 3000, 1));
        base.build(&coded(metric, code, Tier::Ssd, dir.path())).unwrap();
        let queries = clustered(dtype, 12, 40, 2);
        let rules = [None, Some(Rerank::Count(30)), Some(Rerank::Errors(2.5))];
        for (options, rerank) in TIERS.into_iter().flat_map(|tiers| rules.map(|rule| (tiers, rule))) {
            let params =
                SearchParams { epsilon: Some(0.5), max_lists: Some(20), rerank, ..SearchParams::new(10) };
            answers_agree(dir.path(), options, &queries, &params);
        }
        // Vectors are the same wherever they are; codes in memory have their factors rounded anew.
        let params = SearchParams::new(10);
        let neighbours = |options| {
            let answers = open_engine_with(dir.path(), options).search(queries.bytes(), &params).unwrap();
            answers.into_iter().map(|answer| (answer.neighbours, answer.work.reranked)).collect::<Vec<_>>()
        };
        for pair in TIERS.chunks(2) {
            assert_eq!(neighbours(pair[0]), neighbours(pair[1]), "{code}: {pair:?}");
        }
    }
}
