//! A few vectors far from all others cost the others nothing.
//!
//! Codes round a query to bytes around the middle of the data. When a handful of vectors moved that middle, rounding
//! drowned every estimate: with 30 of 30 000 vectors scaled by 10 000, a search of all lists found none of the
//! neighbours. The middle is now that of the vectors that are not outliers.
use spandrel_builder::filing::ReplicaRule;
use spandrel_builder::{BuildConfig, Silent};
use spandrel_datasets::Rows;
use spandrel_engine::SearchParams;
use spandrel_index::codes::CodeSpec;
use spandrel_index::{DType, Metric, Tier};
use spandrel_tests::{Base, clustered, coded, count};

use crate::support::open_engine;

const K: usize = 10;
const OUTLIERS: usize = 6;

fn floats(row: &[u8]) -> Vec<f32> {
    row.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

/// Vectors of which every thousandth is ten thousand times as far away.
fn with_outliers() -> Rows {
    let rows = clustered(DType::F32, 16, 1000 * OUTLIERS, 1);
    let scaled = (0..count(&rows)).flat_map(|row| {
        let scale = if row % 1000 == 500 { 1e4 } else { 1.0 };
        floats(rows.row(row)).into_iter().flat_map(move |x| (scale * x).to_le_bytes())
    });
    Rows::new(DType::F32, 16, scaled.collect()).unwrap()
}

/// Squared distance of the k-th neighbour.
fn kth(base: &Rows, query: &[f32]) -> f64 {
    let squared = |row: usize| -> f64 {
        floats(base.row(row)).iter().zip(query).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
    };
    let mut distances: Vec<f64> = (0..count(base)).map(squared).collect();
    distances.sort_by(f64::total_cmp);
    distances[K - 1]
}

#[test]
fn outliers_cost_no_recall() {
    let base = Base::new(with_outliers());
    let queries = clustered(DType::F32, 16, 60, 2);
    let kth: Vec<f64> =
        (0..count(&queries)).map(|query| kth(&base.rows, &floats(queries.row(query)))).collect();
    let products = CodeSpec::Products { quantisers: 8, bits: 4, rotated: true, uniform: false };
    for (code, codes) in [
        (CodeSpec::Axes { bytes: 12 }, Tier::Memory),
        (CodeSpec::RaBitQ { bits: 3 }, Tier::Memory),
        (CodeSpec::RaBitQ { bits: 3 }, Tier::Ssd),
        (products, Tier::Memory),
        (CodeSpec::Recurrent { bits: 32, codes: 2, symmetric: false }, Tier::Memory),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let replicas = if codes == Tier::Ssd { ReplicaRule::Soar } else { ReplicaRule::None };
        let config = BuildConfig { replicas, ..coded(Metric::L2, code, codes, dir.path()) };
        let report = base.build_watched(&config, None, &Silent).unwrap();
        let outliers = report.lists.unwrap().outliers;
        assert_eq!(outliers.count, OUTLIERS as u64, "{outliers}");
        assert!(outliers.farthest > 1000.0, "{outliers}");
        let params = SearchParams { max_lists: Some(u32::MAX), ..SearchParams::new(K) };
        let answers = open_engine(dir.path()).search(queries.bytes(), &params).unwrap();
        let hits = answers.iter().zip(&kth).map(|(answer, kth)| {
            answer.neighbours.iter().filter(|n| f64::from(n.distance) <= kth * (1.0 + 1e-5)).count()
        });
        let recall = hits.sum::<usize>() as f64 / (K * count(&queries)) as f64;
        assert!(recall > 0.95, "{code}, codes in {codes}: {recall}");
    }
}
