//! Indexes whose codes are made for the queries of a sample.
use std::path::Path;
use std::sync::Arc;

use spandrel_builder::BuildConfig;
use spandrel_engine::{Answer, Distances, Engine, Rerank, SearchParams};
use spandrel_index::codes::CodeSpec;
use spandrel_index::{DType, Index, Metric, OpenOptions, Tier};
use spandrel_tests::{Base, clustered, coded, config, foreign};

use crate::filter;
use crate::support::{assert_exact, engine_config, every_list, exact_distance, verify_index};

const DIM: usize = 12;
const K: usize = 10;
const AXES: CodeSpec = CodeSpec::Axes { bytes: 8 };
const PRODUCTS: CodeSpec = CodeSpec::Products { quantisers: 6, bits: 4, rotated: true, uniform: false };

/// What is built.
struct Case {
    metric: Metric,
    code: CodeSpec,
    tier: Tier,
    copied: bool,
}

impl Case {
    fn config(&self, out: &Path) -> BuildConfig {
        let plain = coded(self.metric, self.code, self.tier, out);
        if self.copied { BuildConfig { replicas: config(self.metric, out).replicas, ..plain } } else { plain }
    }
}

fn open(dir: &Path) -> Engine {
    let options = OpenOptions { ids: true, ..OpenOptions::default() };
    Engine::open(Arc::new(Index::open_with(dir, options).unwrap()), engine_config()).unwrap()
}

/// The nearest by all lists, as far as codes state their errors.
fn by_errors(distances: Distances) -> SearchParams {
    let rerank = Some(Rerank::Errors(3.0));
    SearchParams { max_lists: Some(u32::MAX), rerank, distances, ..SearchParams::new(K) }
}

fn compared(answers: &[Answer]) -> u32 {
    answers.iter().map(|answer| answer.work.reranked).sum()
}

/// Codes that are made for queries find what plain codes find, and fewer vectors have to be compared exactly.
#[test]
fn codes_for_queries_leave_fewer_vectors_to_compare() {
    for (metric, dtype, code, tier, copied) in [
        (Metric::InnerProduct, DType::F32, AXES, Tier::Memory, false),
        (Metric::InnerProduct, DType::F16, PRODUCTS, Tier::Ssd, true),
        (Metric::Cosine, DType::F32, AXES, Tier::Ssd, true),
        (Metric::Cosine, DType::F16, PRODUCTS, Tier::Memory, false),
        (Metric::L2, DType::U8, AXES, Tier::Ssd, true),
        (Metric::L2, DType::I8, PRODUCTS, Tier::Memory, false),
    ] {
        let (case, what) = (Case { metric, code, tier, copied }, format!("{metric} {dtype} {code}"));
        let dir = tempfile::tempdir().unwrap();
        let [made, plain] = ["made", "plain"].map(|name| dir.path().join(name));
        let sample = Some(foreign(dtype, DIM, 2400, 3));
        let base = Base { query_sample: sample, ..Base::new(clustered(dtype, DIM, 2000, 1)) };
        base.build(&case.config(&made)).unwrap();
        base.build(&BuildConfig { plain_codes: true, ..case.config(&plain) }).unwrap();
        let report = verify_index(&made, true).unwrap();
        assert_eq!(report.replicas > 0, copied, "{what}");
        let [made, plain] = [open(&made), open(&plain)];
        let knows = |engine: &Engine| engine.index().segments()[0].model.as_ref().unwrap().knows_queries();
        let record = made.index().manifest().build.query_sample.clone().unwrap().code;
        assert!(knows(&made) && !knows(&plain), "{what}: {record:?}");

        let queries = foreign(dtype, DIM, 40, 4);
        for of in [&queries, &clustered(dtype, DIM, 10, 5)] {
            let answers = made.search(of.bytes(), &every_list(K)).unwrap();
            for (query, answer) in answers.iter().enumerate() {
                assert_exact(metric, &base, of.row(query), answer, &format!("{what}, query {query}"));
            }
        }
        let [by_made, by_plain] = [&made, &plain]
            .map(|engine| engine.search(queries.bytes(), &by_errors(Distances::Exact)).unwrap());
        let (few, many) = (compared(&by_made), compared(&by_plain));
        assert!(few * 10 < many * 9, "{what}: {few} compared, {many} with plain codes, {record:?}");
        let exact = made.search(queries.bytes(), &every_list(K)).unwrap();
        let any = made.search(queries.bytes(), &by_errors(Distances::Any)).unwrap();
        let same = |answers: &[Answer]| {
            let pairs = answers.iter().zip(&exact);
            pairs.map(|(answer, exact)| hits(answer, exact)).sum::<usize>()
        };
        let found = [&by_made, &by_plain, &any].map(|answers| same(answers));
        assert!(found.iter().all(|&found| found >= 40 * K * 98 / 100), "{what}: {found:?}");
        for (answer, row) in any.iter().zip(0..) {
            for neighbour in &answer.neighbours {
                let vector = base.rows.row(neighbour.id as usize); // CAST: a row number
                let truth = exact_distance(metric, dtype, queries.row(row), vector);
                let off = (f64::from(neighbour.distance) - truth).abs();
                assert!(off <= 0.1 * (1.0 + truth.abs()), "{what}: {neighbour:?}, truly {truth}");
            }
        }
        filter::check(metric, &base, &made, &what);
    }
}

fn hits(answer: &Answer, exact: &Answer) -> usize {
    let ids = exact.neighbours.iter().map(|n| n.id);
    ids.filter(|&id| answer.neighbours.iter().any(|n| n.id == id)).count()
}
