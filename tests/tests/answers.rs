//! `k` answers, also where pruning left fewer, unless a limit given with the query forbids them and is named.
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spandrel_builder::BuildConfig;
use spandrel_datasets::Rows;
use spandrel_engine::{Limit, SearchParams};
use spandrel_index::codes::CodeSpec;
use spandrel_index::{DType, Metric, Tier, VectorSource};
use spandrel_tests::{Base, clustered, coded, config, count};
use tempfile::TempDir;

use crate::support::{TIERS, assert_true, open_engine, open_engine_with};

const K: usize = 10;

fn rows(dim: usize, values: Vec<f32>) -> Base {
    let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    Base::new(Rows::new(DType::F32, dim, bytes).unwrap())
}

/// A standard normal value.
fn normal(rng: &mut ChaCha8Rng) -> f32 {
    let (u, v) = (rng.random_range(f32::MIN_POSITIVE..1.0), rng.random_range(0.0..std::f32::consts::TAU));
    (-2.0 * u.ln()).sqrt() * v.cos()
}

/// Positive measurements in units of their own: a few columns are most of every length.
fn table(dim: usize, count: usize) -> Base {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let scales: Vec<f32> = (0..dim).map(|column| 10_f32.powi(column as i32 % 7 - 3)).collect();
    rows(dim, (0..count).flat_map(|_| scales.clone()).map(|scale| scale * normal(&mut rng).exp()).collect())
}

/// A cloud, and three rows far from it near each other.
fn three_far_away(dim: usize, count: usize) -> Base {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let shift = |row: usize| if row < 3 { 40.0 } else { 0.0 };
    let mut values = Vec::with_capacity(dim * count);
    for row in 0..count {
        values.extend((0..dim).map(|_| normal(&mut rng) + shift(row)));
    }
    rows(dim, values)
}

/// Ways to build an index of rows of `dim` elements.
fn configs(metric: Metric, dim: usize, dir: &TempDir) -> Vec<BuildConfig> {
    let products =
        CodeSpec::Products { quantisers: dim.min(5) as u32, bits: 4, rotated: false, uniform: false }; // CAST: at most 5
    let codes =
        [CodeSpec::RaBitQ { bits: 1 }, CodeSpec::Axes { bytes: dim.div_ceil(32) as u32 * 8 }, products];
    let number = std::cell::Cell::new(0);
    let next = || {
        number.set(number.get() + 1);
        dir.path().join(number.get().to_string())
    };
    let coded = |code| [Tier::Memory, Tier::Ssd].map(|tier| coded(metric, code, tier, &next()));
    [vec![config(metric, &next())], codes.into_iter().flat_map(coded).collect()].concat()
}

/// The first ten rows as queries of an index built in each way.
#[track_caller]
fn check(name: &str, metric: Metric, base: &Base) {
    let dir = tempfile::tempdir().unwrap();
    let queries = &base.rows.bytes()[..10 * base.rows.row_bytes()];
    for config in configs(metric, base.rows.dim(), &dir) {
        let what = format!("{name}, {metric}, {} on {}", config.code, config.codes);
        base.build(&config).unwrap_or_else(|e| panic!("{what}: {e}"));
        let engine = open_engine(&config.out);
        let usual = || SearchParams::new(K);
        for params in [
            usual(),
            SearchParams { epsilon: Some(0.0), ..usual() },
            SearchParams { epsilon: Some(0.6), max_lists: Some(u32::MAX), ..usual() },
            SearchParams { effort: 0.01, ..usual() },
            SearchParams { k: count(&base.rows) + 5, ..usual() },
        ] {
            for (query, answer) in engine.search(queries, &params).unwrap().iter().enumerate() {
                let what = format!("{what}, query {query}: {params:?}");
                let wanted = params.k.min(count(&base.rows));
                assert_eq!((answer.neighbours.len(), answer.limited_by), (wanted, None), "{what}");
                assert_true(metric, base, base.rows.row(query), answer, &what);
            }
        }
        std::fs::remove_dir_all(&config.out).unwrap();
    }
}

#[test]
fn k_are_found_where_one_head_is_much_nearer_than_all_others() {
    check("a table", Metric::InnerProduct, &table(30, 569));
    check("three far away", Metric::L2, &three_far_away(16, 1500));
    check("one element", Metric::InnerProduct, &three_far_away(1, 800));
}

/// Pages of the best candidates are read before lists take all of the bytes.
#[test]
fn bytes_are_set_aside_for_the_candidates() {
    let dir = tempfile::tempdir().unwrap();
    let base = Base::new(clustered(DType::F32, 64, 3000, 1));
    base.build(&coded(Metric::L2, CodeSpec::RaBitQ { bits: 4 }, Tier::Ssd, dir.path())).unwrap();
    let queries = clustered(DType::F32, 64, 20, 2);
    let engine = open_engine_with(dir.path(), TIERS[0]);
    let search = |max_bytes| {
        let params = SearchParams { max_bytes, max_lists: Some(u32::MAX), ..SearchParams::new(K) };
        engine.search(queries.bytes(), &params).unwrap()
    };
    let page_bytes = engine.index().page_layout().page_bytes() as u64;
    let all = search(None);
    assert!(all.iter().all(|a| a.limited_by.is_none() && a.neighbours.len() == K));
    let most = all.iter().map(|a| a.work.read_bytes).min().unwrap();
    for max_bytes in [2 * K as u64 * page_bytes, most / 2] {
        for answer in search(Some(max_bytes)) {
            assert_eq!((answer.neighbours.len(), answer.limited_by), (K, Some(Limit::MaxBytes)));
            assert!(answer.work.lists > 1, "{:?}", answer.work);
        }
    }
    for answer in search(Some(1)) {
        assert_eq!(answer.limited_by, Some(Limit::MaxBytes));
        assert!(answer.work.vectors_scanned > 0, "the nearest list is read");
        assert!(!answer.neighbours.is_empty() && answer.work.reads == 2, "and the page of the best");
    }
}
