//! Codebooks and rotations that were learned elsewhere.
use std::path::Path;
use std::sync::Arc;

use spandrel_builder::{BuildConfig, BuildError};
use spandrel_engine::SearchParams;
use spandrel_index::codes::{CodeSpec, Codebooks, CodebooksError};
use spandrel_index::{DType, Index, Metric, Tier};
use spandrel_tests::{Base, clustered, coded};

use crate::support::{assert_exact, every_list, identity, open_engine, verify_index};

const DIM: usize = 10;
/// Three sub-quantisers of four dimensions, two of which are padding.
const SHAPE: [usize; 3] = [3, 16, 4];
const PLAIN: CodeSpec = CodeSpec::Products { quantisers: 3, bits: 4, rotated: false, uniform: false };
const UNIFORM: CodeSpec = CodeSpec::Products { quantisers: 3, bits: 4, rotated: false, uniform: true };
const ROTATED: CodeSpec = CodeSpec::Products { quantisers: 3, bits: 4, rotated: true, uniform: false };

/// Centroids all over the space of residuals.
fn centroids(seed: usize) -> Vec<f32> {
    (0..SHAPE.iter().product()).map(|i| ((i * 37 + seed * 11) % 101) as f32 - 50.0).collect()
}

/// Turns every other pair of elements, and leaves the padding empty.
fn rotation() -> ([usize; 2], Vec<f32>) {
    let mut rows = vec![0.0; 12 * DIM];
    for pair in 0..DIM / 2 {
        let (sine, cosine) = if pair % 2 == 0 { (0.6, 0.8) } else { (0.0, 1.0) };
        let (a, b) = (2 * pair, 2 * pair + 1);
        (rows[a * DIM + a], rows[a * DIM + b]) = (cosine, -sine);
        (rows[b * DIM + a], rows[b * DIM + b]) = (sine, cosine);
    }
    ([12, DIM], rows)
}

fn with(code: CodeSpec, codebooks: Codebooks, out: &Path) -> BuildConfig {
    BuildConfig { codebooks: Some(Arc::new(codebooks)), ..coded(Metric::L2, code, Tier::Memory, out) }
}

fn base() -> Base {
    Base::new(clustered(DType::U8, DIM, 2000, 3))
}

#[test]
fn imported_codebooks_are_searched_and_decide_the_identity() {
    let (dir, base) = (tempfile::tempdir().unwrap(), base());
    let books = [
        (PLAIN, Codebooks::new(SHAPE, centroids(1), None).unwrap()),
        (PLAIN, Codebooks::new(SHAPE, centroids(2), None).unwrap()),
        (ROTATED, Codebooks::new(SHAPE, centroids(1), Some(rotation())).unwrap()),
    ];
    let mut uuids = Vec::new();
    for (number, (code, codebooks)) in books.into_iter().enumerate() {
        let out = dir.path().join(number.to_string());
        base.build(&with(code, codebooks.clone(), &out)).unwrap();
        verify_index(&out, true).unwrap();
        let engine = open_engine(&out);
        let queries = &base.rows.bytes()[..20 * DIM];
        for (query, answer) in engine.search(queries, &every_list(5)).unwrap().iter().enumerate() {
            assert_exact(
                Metric::L2,
                &base,
                base.rows.row(query),
                answer,
                &format!("{number}: query {query}"),
            );
        }
        let usual = engine.search(queries, &SearchParams::new(5)).unwrap();
        assert!(usual.iter().all(|answer| answer.neighbours[0].distance == 0.0), "{number}");
        let index = Index::open(&out).unwrap();
        assert_eq!(index.manifest().build.codebooks, Some(format!("{:032x}", codebooks.hash())));
        uuids.push(index.uuid());
    }
    let trained = dir.path().join("trained");
    base.build(&coded(Metric::L2, PLAIN, Tier::Memory, &trained)).unwrap();
    uuids.push(Index::open(&trained).unwrap().uuid());
    uuids.sort_unstable();
    uuids.dedup();
    assert_eq!(uuids.len(), 4);
}

#[test]
fn a_finished_build_is_not_taken_for_one_with_other_codebooks() {
    let (dir, base) = (tempfile::tempdir().unwrap(), base());
    let config = |seed| {
        let codebooks = Codebooks::new(SHAPE, centroids(seed), None).unwrap();
        BuildConfig { resume: true, ..with(PLAIN, codebooks, dir.path()) }
    };
    base.build(&config(1)).unwrap();
    let before = identity(dir.path());
    base.build(&config(1)).unwrap();
    assert!(matches!(base.build(&config(2)), Err(BuildError::Exists { .. })));
    assert_eq!(identity(dir.path()), before);
}

#[test]
fn what_is_no_codebook_of_the_code_is_refused() {
    let (dir, base) = (tempfile::tempdir().unwrap(), base());
    let plain = || Codebooks::new(SHAPE, centroids(1), None).unwrap();
    let rotated = |values| Codebooks::new(SHAPE, centroids(1), Some(([12, DIM], values))).unwrap();
    let (mut long, mut slanted) = (rotation().1, rotation().1);
    long[DIM + 1] = 1.5;
    slanted[2] = 0.5;
    let eight = CodeSpec::Products { quantisers: 3, bits: 8, rotated: false, uniform: false };
    let square = Codebooks::new(SHAPE, centroids(1), Some(([DIM, DIM], vec![0.0; DIM * DIM]))).unwrap();
    let wrong = [
        ("8 bits", eight, plain()),
        ("uniform", UNIFORM, plain()),
        ("axes", CodeSpec::Axes { bytes: 4 }, plain()),
        ("no rotation", ROTATED, plain()),
        ("a rotation", PLAIN, rotated(rotation().1)),
        ("a long row", ROTATED, rotated(long)),
        ("a slanted row", ROTATED, rotated(slanted)),
        ("no padding", ROTATED, square),
    ];
    for (name, code, codebooks) in wrong {
        let refused = base.build(&with(code, codebooks, &dir.path().join("x"))).unwrap_err();
        assert!(
            matches!(refused, BuildError::Parameter { parameter: "--codebooks", .. }),
            "{name}: {refused}"
        );
        assert!(!dir.path().join("x").exists(), "{name}");
    }
    let short = Codebooks::new(SHAPE, vec![0.0; 100], None).unwrap_err();
    assert!(matches!(short, CodebooksError::Shape { .. }));
    let mut infinite = centroids(1);
    infinite[7] = f32::INFINITY;
    let infinite = Codebooks::new(SHAPE, infinite, None).unwrap_err();
    assert!(matches!(infinite, CodebooksError::Value { at: 7, .. }));
}
