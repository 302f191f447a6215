//! What a share within a radius finds once an index was calibrated.
use std::collections::BTreeSet;

use spandrel_builder::Silent;
use spandrel_datasets::{GenerateParams, Kind, Watch, generate_rows};
use spandrel_engine::{CalibrateParams, Engine, GivenQueries, RangeParams};
use spandrel_index::codes::CodeSpec;
use spandrel_index::{DType, Metric, OpenOptions, Tier, VectorSource};
use spandrel_tests::{Base, CALIBRATOR, Calibrator, coded};

use super::{VECTORS, search};
use crate::support::open_engine_with;

/// What queries that calibration never saw find of all within a radius, for some shares.
#[derive(Debug)]
struct Found {
    share: f32,
    /// Mean over the queries that have any, and its standard error.
    mean: f64,
    error: f64,
    /// Of all results together.
    together: f64,
    codes: u64,
}

/// Searches within a radius for some shares, the last of which is all.
fn found_of(engine: &Engine, queries: &[&[u8]], radius: f32, shares: &[f32]) -> Vec<Found> {
    let ids_of = |share: f32| {
        let params = RangeParams { completeness: share, ..RangeParams::new(radius) };
        let mut codes = 0;
        let ids: Vec<BTreeSet<u64>> = queries
            .iter()
            .map(|query| {
                let (parts, summary) = search(engine, query, params.clone());
                codes += summary.answer.work.vectors_scanned;
                let ids: BTreeSet<u64> = parts.iter().flatten().map(|neighbour| neighbour.id).collect();
                assert_eq!(ids.len(), parts.iter().map(Vec::len).sum::<usize>(), "repeated");
                ids
            })
            .collect();
        (ids, codes)
    };
    let (all, _) = ids_of(1.0);
    let of = |&share: &f32| {
        let (ids, codes) = ids_of(share);
        assert!(ids.iter().zip(&all).all(|(ids, all)| ids.is_subset(all)));
        let some = ids.iter().zip(&all).filter(|(_, all)| !all.is_empty());
        let shares: Vec<f64> = some.map(|(ids, all)| ids.len() as f64 / all.len() as f64).collect();
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        let variance = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / shares.len() as f64;
        let sum = |ids: &[BTreeSet<u64>]| ids.iter().map(BTreeSet::len).sum::<usize>() as f64;
        let error = (variance / shares.len() as f64).sqrt();
        Found { share, mean, error, together: sum(&ids) / sum(&all), codes }
    };
    shares.iter().map(of).collect()
}

#[test]
fn a_share_that_is_asked_for_is_found_by_queries_never_used_and_scans_fewer_codes() {
    const ASKED: usize = 150;
    let mut saved = Vec::new();
    for (kind, metric, dtype, dim) in [
        (Kind::Sift, Metric::L2, DType::U8, 64),
        (Kind::Embedding, Metric::Cosine, DType::F32, 48),
        (Kind::Ood, Metric::InnerProduct, DType::F16, 32),
    ] {
        let params =
            GenerateParams { kind, vectors: VECTORS as u64, queries: 750, dim, dtype, seed: 3, threads: 2 };
        let (base, queries) = generate_rows(params, Watch::none()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let code = CodeSpec::Axes { bytes: dim as u32 / 2 };
        let config = coded(metric, code, Tier::Memory, dir.path());
        // Rows say nothing of foreign queries.
        let (given, asked) = queries.bytes().split_at(600 * queries.row_bytes());
        let given = (kind == Kind::Ood).then_some(GivenQueries { rows: given, truth: None });
        let calibrator = Calibrator(CalibrateParams { given, ..CALIBRATOR.0 });
        Base::new(base).build_watched(&config, Some(&calibrator), &Silent).unwrap();
        let engine = open_engine_with(dir.path(), OpenOptions::default());
        let ranges = engine.index().recall().unwrap().ranges.clone();
        assert!(ranges.len() == 6 && ranges.iter().all(|range| range.points.len() > 3), "{ranges:?}");
        let asked: Vec<&[u8]> = asked.chunks_exact(queries.row_bytes()).take(ASKED).collect();
        for range in &ranges[2..] {
            let [most @ .., all] = &found_of(&engine, &asked, range.radius, &[0.6, 0.8, 0.9, 0.95, 1.0])[..]
            else {
                unreachable!()
            };
            assert!(all.mean == 1.0);
            for found in most {
                let what = format!("{kind}, radius {}: {found:?} of {} codes", range.radius, all.codes);
                println!("{what}");
                let least = f64::from(found.share) - 3.0 * found.error;
                assert!(found.mean >= least && found.together >= least, "{what}");
                saved.push((found.share, found.codes as f64 / all.codes as f64));
            }
        }
    }
    let mean = |of: f32| {
        let of: Vec<f64> = saved.iter().filter(|(share, _)| *share == of).map(|(_, codes)| *codes).collect();
        of.iter().sum::<f64>() / of.len() as f64
    };
    let means = [0.6, 0.8, 0.95].map(mean);
    assert!(means.is_sorted() && means[1] < 0.7 && means[2] < 0.9, "{means:?} of the codes of all");
}
