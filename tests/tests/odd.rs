//! Inputs at the edges of what is accepted, end to end, against an exact scan.
mod coded;

use std::path::Path;
use std::sync::Arc;

use spandrel_builder::filing::ReplicaRule;
use spandrel_builder::{BuildConfig, BuildError, ListCount};
use spandrel_datasets::Rows;
use spandrel_engine::{Engine, EngineConfig, ParamsError, SearchError, SearchParams};
use spandrel_index::format::IdBytes;
use spandrel_index::{DType, Index, Metric, OpenOptions};
use spandrel_io::{BackendChoice, Direct};
use spandrel_tests::{Base, bytes_rows, clustered, config, count};

use crate::support::{every_list, found, open_engine, open_engine_with, verify_index};

/// Builds, verifies, and compares the answers to the base's own first rows with an exact scan.
fn check(name: &str, base: &Base, adjust: impl FnOnce(&mut BuildConfig)) {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(Metric::L2, dir.path());
    adjust(&mut config);
    base.build(&config).unwrap_or_else(|e| panic!("{name}: {e}"));
    verify_index(dir.path(), true).unwrap_or_else(|e| panic!("{name}: {e}"));
    let rows = count(&base.rows);
    let (k, queries) = (rows.min(7), rows.min(20));
    let row_bytes = base.rows.bytes().len() / rows;
    let answers =
        open_engine(dir.path()).search(&base.rows.bytes()[..queries * row_bytes], &every_list(k)).unwrap();
    for (query, answer) in answers.iter().enumerate() {
        let mut exact: Vec<(u64, u64)> = (0..rows)
            .map(|row| (squared_l2(base.rows.row(query), base.rows.row(row)), base.id(row)))
            .collect();
        exact.sort_unstable();
        let found: Vec<(u64, u64)> = answer.neighbours.iter().map(|n| (n.distance as u64, n.id)).collect();
        assert_eq!(found, exact[..k], "{name}: query {query}");
    }
}

/// Rounded like every distance that is shown.
fn squared_l2(a: &[u8], b: &[u8]) -> u64 {
    let exact: u64 = a.iter().zip(b).map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2)).sum();
    exact as f32 as u64
}

#[test]
fn odd_shapes_are_built_and_searched_exactly() {
    check("one vector", &Base::new(bytes_rows(4, 1, |_, at| at as u8)), |_| {});
    check("two vectors", &Base::new(bytes_rows(4, 2, |row, _| row as u8)), |_| {});
    check("all identical", &Base::new(bytes_rows(8, 3000, |_, _| 9)), |_| {});
    check("few distinct", &Base::new(bytes_rows(8, 3000, |row, _| (row % 3 * 50) as u8)), |_| {});
    check("one element", &Base::new(bytes_rows(1, 2000, |row, _| (row * row % 251) as u8)), |_| {});
    check("4096 elements", &Base::new(bytes_rows(4096, 90, |row, at| (row * at % 255) as u8)), |_| {});
    let zeros = Base::new(bytes_rows(5, 100, |_, _| 0));
    check("all zero", &zeros, |_| {});
}

#[test]
fn odd_parameters_are_built_and_searched_exactly() {
    let base = Base::new(clustered(DType::U8, 6, 400, 4));
    check("one list", &base, |config| config.lists = ListCount::Lists(1));
    check("a list for each vector", &base, |config| config.lists = ListCount::Lists(400));
    check("many copies", &base, |config| {
        (config.replicas, config.max_replicas) = (ReplicaRule::Rng, 64);
    });
    for rule in ReplicaRule::ALL {
        check(rule.name(), &base, |config| (config.replicas, config.max_replicas) = (rule, 4));
    }
}

#[test]
fn ids_of_any_size_come_back() {
    let rows = clustered(DType::U8, 6, 500, 4);
    let largest: [(u64, IdBytes); 3] = [
        (u64::from(u32::MAX), IdBytes::Four),
        (u64::from(u32::MAX) + 1, IdBytes::Eight),
        (u64::MAX, IdBytes::Eight),
    ];
    for (largest, id_bytes) in largest {
        // Neither ascending nor dense.
        let ids = (0..500_u64).map(|row| largest - row * 7919 % 500).collect();
        let base = Base::with_ids(rows.clone(), ids);
        check(&format!("ids up to {largest}"), &base, |_| {});
        let dir = tempfile::tempdir().unwrap();
        let manifest = base.build(&config(Metric::L2, dir.path())).unwrap().manifest;
        assert_eq!(manifest.id_bytes, id_bytes.get(), "ids up to {largest}");
    }
}

#[test]
fn an_id_given_twice_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut ids: Vec<u64> = (0..500).map(|row| row << 40).collect();
    ids[499] = ids[3];
    let base = Base::with_ids(clustered(DType::U8, 6, 500, 4), ids.clone());
    let refused = base.build(&config(Metric::L2, dir.path())).unwrap_err();
    assert!(matches!(refused, BuildError::DuplicateId { id } if id == 3 << 40), "{refused}");
    assert!(Index::open(dir.path()).is_err(), "nothing was published");
    ids.pop();
    let base = Base { ids: Some(ids), ..base };
    let other = dir.path().join("other");
    let refused = base.build(&config(Metric::L2, &other)).unwrap_err();
    assert!(matches!(refused, BuildError::Parameter { .. }), "{refused}");
    assert!(!other.exists());
}

/// Floats with one element of one row replaced.
fn with_value(rows: &Rows, dim: usize, row: usize, values: &[f32]) -> Base {
    let mut bytes = rows.bytes().to_vec();
    for (at, value) in values.iter().enumerate() {
        bytes[4 * (row * dim + at)..][..4].copy_from_slice(&value.to_le_bytes());
    }
    Base::new(Rows::new(DType::F32, dim, bytes).unwrap())
}

#[test]
fn vectors_without_a_distance_are_refused_by_row() {
    let dir = tempfile::tempdir().unwrap();
    let rows = clustered(DType::F32, 4, 300, 1);
    let build = |name: &str, metric, row, values: &[f32]| {
        let out = dir.path().join(name);
        let result = with_value(&rows, 4, row, values).build(&config(metric, &out));
        assert_eq!(Index::open(&out).is_ok(), result.is_ok(), "{name}");
        result
    };
    let refused_at = |result: Result<_, BuildError>| match result {
        Err(BuildError::Value { row, .. }) => row,
        other => panic!("{:?}", other.map(|_| "built").map_err(|e| e.to_string())),
    };
    assert_eq!(refused_at(build("nan", Metric::L2, 17, &[f32::NAN])), 17);
    assert_eq!(refused_at(build("infinity", Metric::InnerProduct, 299, &[f32::INFINITY])), 299);
    assert_eq!(refused_at(build("minus", Metric::Cosine, 0, &[f32::NEG_INFINITY])), 0);
    assert_eq!(refused_at(build("huge", Metric::L2, 5, &[3e38])), 5);
    assert_eq!(refused_at(build("zero", Metric::Cosine, 5, &[0.0; 4])), 5);
    // Zero has distances and inner products, only no direction.
    assert!(build("zero-l2", Metric::L2, 5, &[0.0; 4]).is_ok());
    assert!(build("zero-ip", Metric::InnerProduct, 5, &[0.0; 4]).is_ok());
}

#[test]
fn k_and_queries_that_make_no_sense_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    Base::new(clustered(DType::U8, 6, 50, 4)).build(&config(Metric::L2, dir.path())).unwrap();
    let engine = open_engine(dir.path());
    let search = |queries: &[u8], k| engine.search(queries, &every_list(k));
    assert!(matches!(search(&[0; 6], 0), Err(SearchError::Params(ParamsError::ZeroK))));
    assert!(matches!(search(&[0; 7], 5), Err(SearchError::Query(_))));
    for k in [50, 51, usize::MAX] {
        assert_eq!(search(&[0; 6], k).unwrap()[0].neighbours.len(), 50, "k {k}");
    }
    assert!(search(&[], 5).unwrap().is_empty());
}

#[test]
fn answers_do_not_depend_on_threads_backend_or_batch() {
    for (metric, dtype) in [(Metric::L2, DType::U8), (Metric::InnerProduct, DType::F16)] {
        let dir = tempfile::tempdir().unwrap();
        Base::new(clustered(dtype, 12, 3000, 1)).build(&config(metric, dir.path())).unwrap();
        let params = SearchParams { epsilon: Some(0.5), max_lists: Some(20), ..SearchParams::new(10) };
        answers_agree(dir.path(), OpenOptions::default(), &clustered(dtype, 12, 40, 2), &params);
    }
}

/// Searches in every way that must not matter.
fn answers_agree(dir: &Path, options: OpenOptions, queries: &Rows, params: &SearchParams) {
    let reference = found(&open_engine_with(dir, options).search(queries.bytes(), params).unwrap());
    let last = reference.len() - 1;
    for io in [BackendChoice::Auto, BackendChoice::Pread] {
        for direct in [Direct::Auto, Direct::Off] {
            for (threads, in_flight) in [(1, 1), (3, 5)] {
                let config = EngineConfig { threads, in_flight, io, direct, ..EngineConfig::default() };
                let index = Arc::new(Index::open_with(dir, options).unwrap());
                let engine = Engine::open(index, config).unwrap();
                let together = found(&engine.search(queries.bytes(), params).unwrap());
                assert_eq!(together, reference, "{config:?}, {options:?}");
                let single = engine.search(queries.row(last), params).unwrap();
                assert_eq!(found(&single)[0], reference[last], "{config:?}, {options:?}, alone");
            }
        }
    }
}
