//! Answers that carry estimated distances.
use std::sync::Arc;

use spandrel_engine::{Distances, Engine, ParamsError, Rerank, SearchError, SearchParams};
use spandrel_index::codes::CodeSpec;
use spandrel_index::{DType, Index, Metric, OpenOptions, Tier};
use spandrel_tests::{Base, clustered, coded};

use crate::support::{engine_config, exact_distance};

const K: usize = 10;

fn open(dir: &std::path::Path, ids: bool) -> Engine {
    let options = OpenOptions { ids, ..OpenOptions::default() };
    Engine::open(Arc::new(Index::open_with(dir, options).unwrap()), engine_config()).unwrap()
}

fn params(distances: Distances) -> SearchParams {
    let rerank = Some(Rerank::Errors(2.0));
    SearchParams { max_lists: Some(u32::MAX), rerank, distances, ..SearchParams::new(K) }
}

/// Vectors that are surely among the nearest come back flagged, near their true distances, and cost no read.
#[test]
fn what_codes_decide_is_not_read() {
    for metric in Metric::ALL {
        for tier in [Tier::Memory, Tier::Ssd] {
            let dir = tempfile::tempdir().unwrap();
            let mut base = Base::new(clustered(DType::F32, 32, 2000, 1));
            base.ids = Some((0..2000).map(|row| row * 3 + 7).collect());
            base.build(&coded(metric, CodeSpec::RaBitQ { bits: 8 }, tier, dir.path())).unwrap();
            let queries = clustered(DType::F32, 32, 50, 2);
            let engine = open(dir.path(), true);
            let exact = engine.search(queries.bytes(), &params(Distances::Exact)).unwrap();
            let any = engine.search(queries.bytes(), &params(Distances::Any)).unwrap();
            let (mut estimated, mut same) = (0, 0);
            for ((exact, any), row) in exact.iter().zip(&any).zip(0..) {
                assert!(exact.neighbours.iter().all(|n| !n.estimated));
                assert!(any.work.reranked < exact.work.reranked, "{metric} {tier}");
                for neighbour in &any.neighbours {
                    let vector = base.rows.row((neighbour.id as usize - 7) / 3);
                    let truth = exact_distance(metric, DType::F32, queries.row(row), vector);
                    let off = (f64::from(neighbour.distance) - truth).abs();
                    let allowed = if neighbour.estimated { 0.05 } else { 1e-5 };
                    assert!(
                        off <= allowed * (1.0 + truth.abs()),
                        "{metric} {tier}: {neighbour:?}, truly {truth}"
                    );
                    estimated += usize::from(neighbour.estimated);
                    same += usize::from(exact.neighbours.iter().any(|n| n.id == neighbour.id));
                }
            }
            assert!(estimated > 50 * K / 2, "{metric} {tier}: {estimated} estimated");
            assert!(same >= 50 * K * 97 / 100, "{metric} {tier}: {same} the same");
        }
    }
}

#[test]
fn estimates_need_ids_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let base = Base::new(clustered(DType::U8, 16, 300, 1));
    base.build(&coded(Metric::L2, CodeSpec::RaBitQ { bits: 2 }, Tier::Memory, dir.path())).unwrap();
    let refused = open(dir.path(), false).search(base.rows.row(0), &params(Distances::Any)).unwrap_err();
    assert!(matches!(refused, SearchError::Params(ParamsError::NoIds)), "{refused}");
    let engine = open(dir.path(), true);
    assert_eq!(engine.index().memory().resident_ids, 4 * 300);
    assert_eq!(engine.search(base.rows.row(0), &params(Distances::Any)).unwrap()[0].neighbours[0].id, 0);
}
