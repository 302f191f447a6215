//! Searches made again, beside those of search threads.
use std::path::Path;
use std::sync::atomic::AtomicBool;

use crossbeam_channel::bounded;
use spandrel_builder::cluster::HeadKind;
use spandrel_builder::filing::ReplicaRule;
use spandrel_builder::{BuildConfig, Caller, Input, ListCount, Silent, build_for};
use spandrel_datasets::Rows;
use spandrel_index::format::STOP_WEIGHTS;
use spandrel_index::testing::random_rows;
use spandrel_index::{DType, Metric, OpenOptions};

use super::*;
use crate::calibrate::lists::{RanksOf, ranks};
use crate::calibrate::truth::nearest;
use crate::job::Queries as JobQueries;
use crate::{Answer, Engine, EngineConfig, Rerank, SearchParams};

const DIM: usize = 16;
const QUERIES: usize = 24;

/// How an index is laid out.
#[derive(Clone, Copy)]
struct Layout {
    metric: Metric,
    dtype: DType,
    code: CodeSpec,
    codes: Tier,
    replicas: ReplicaRule,
    lists: u64,
}

fn open(dir: &Path, layout: Layout) -> Arc<Index> {
    let Layout { metric, dtype, code, codes, replicas, lists } = layout;
    let config = BuildConfig {
        metric,
        out: dir.join("index"),
        lists: ListCount::Lists(lists),
        replicas,
        max_replicas: if replicas == ReplicaRule::None { 1 } else { 4 },
        heads: HeadKind::Means,
        code,
        codebooks: None,
        codes,
        memory_bytes: 1 << 30,
        threads: 2,
        seed: 7,
        scratch: None,
        resume: false,
        replace: false,
        keep_previous: 0,
        plain_codes: false,
        embedding: None,
    };
    let rows = random_rows(dtype, DIM, 9000, 1);
    let rows = Rows::new(dtype, DIM, rows).unwrap();
    let input = Input::of(&rows);
    let caller = Caller { progress: &Silent, stop: &AtomicBool::new(false), calibrate: None };
    build_for(input, &config, caller).unwrap();
    Arc::new(Index::open_with(&config.out, OpenOptions::default()).unwrap())
}

/// The answers of search threads.
fn answers(engine: &Engine, rows: &[u8], plan: &QueryPlan) -> Vec<Answer> {
    let (sender, receiver) = bounded(1);
    let queries = JobQueries::new(rows.to_vec().into(), engine.index().row_bytes(), plan.clone());
    let reply = Box::new(move |result| drop(sender.send(result)));
    engine.submit_queries(queries, Terms::default(), false, reply).unwrap();
    receiver.recv().unwrap().unwrap()
}

fn pool() -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap()
}

fn check(layout: Layout) {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path(), layout);
    let rows = random_rows(layout.dtype, DIM, QUERIES, 2);
    let queries = Queries { rows: rows.clone(), count: QUERIES, own: None, times: 1 };
    let nearest = nearest(&index, &queries, &[100; QUERIES], &pool(), &mut || true).unwrap();
    let of = RanksOf { index: &index, queries: &queries, lists_max: index.lists() };
    let ranks = ranks(of, &nearest, &pool(), &mut || true).unwrap();
    let config = EngineConfig { threads: 1, in_flight: 1, ..EngineConfig::default() };
    let engine = Engine::open(Arc::clone(&index), config).unwrap();
    let field = Field { queries: &queries, nearest: &nearest, ranks: &ranks, lists_max: index.lists() };
    let mut replayer = Replayer::open(&index).unwrap();
    let mut seen: Vec<Seen> = (0..QUERIES).map(|_| Seen::default()).collect();
    let in_memory = layout.code != CodeSpec::Full && layout.codes == Tier::Memory;
    let copies = layout.codes == Tier::Ssd && layout.replicas != ReplicaRule::None;
    // Ends most searches before their last list.
    let rule = StopRule { weights: [0.01; STOP_WEIGHTS], threshold: 0.3 };
    let cases = [(10, 8, 1.0, None), (10, 3, 2.5, None), (100, 40, 0.5, Some(0.2)), (1, 90, 0.0, None)];
    for (k, lists, errors, epsilon) in cases.into_iter().chain([(100, 1, 1.5, None), (10, 250, 2.0, None)]) {
        let params = SearchParams {
            epsilon,
            max_lists: Some(lists),
            rerank: Some(Rerank::Errors(errors)),
            ..SearchParams::new(k)
        };
        for rule in [None, Some(rule).filter(|_| in_memory)] {
            let mut plan = QueryPlan::of(&params, &index).unwrap();
            plan.stop.rule = rule;
            // As where a recall is asked for: more lists where these hold too few vectors.
            plan.stop.lists_max = index.lists();
            let keep = Keep { k: 100, errors: Some(4.0), compared_max: usize::MAX, copies };
            let found = answers(&engine, &rows, &plan);
            let asked = Asked { plan, keep, rule, is_traced: false };
            for (query, (answer, seen)) in found.iter().zip(&mut seen).enumerate() {
                let what = format!("{k} of {lists} lists, {errors} errors, query {query}, {rule:?}");
                let outcome = replayer.search(field, query, seen, &asked).unwrap();
                assert_eq!(outcome.vectors_scanned, answer.work.vectors_scanned, "{what}");
                assert_eq!(outcome.reranked, u64::from(answer.work.reranked), "{what}");
                let kth = nearest[query].distances[k - 1];
                let is_hit = |distance| no_worse(layout.metric, distance, kth);
                let hits = answer.neighbours.iter().filter(|found| is_hit(found.distance)).count();
                assert_eq!(outcome.found, hits, "{what}");
            }
        }
    }
}

#[test]
fn searches_made_again_are_those_of_search_threads() {
    let axes = CodeSpec::Axes { bytes: 8 };
    let usual = Layout {
        metric: Metric::L2,
        dtype: DType::F32,
        code: axes,
        codes: Tier::Memory,
        replicas: ReplicaRule::None,
        lists: 300,
    };
    check(usual);
    check(Layout { codes: Tier::Ssd, replicas: ReplicaRule::Soar, ..usual });
    check(Layout { metric: Metric::Cosine, dtype: DType::F16, ..usual });
    check(Layout { metric: Metric::InnerProduct, code: CodeSpec::Full, codes: Tier::Ssd, ..usual });
    // Enough heads for a graph, which misses some of the nearest.
    check(Layout { lists: 4500, ..usual });
}

#[test]
fn codes_meant_for_memory_are_scanned_from_files_without_their_copies() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout {
        metric: Metric::L2,
        dtype: DType::F32,
        code: CodeSpec::Axes { bytes: 8 },
        codes: Tier::Memory,
        replicas: ReplicaRule::Soar,
        lists: 300,
    };
    let in_memory = open(dir.path(), layout);
    let options = OpenOptions { codes: Some(Tier::Ssd), ..OpenOptions::default() };
    let in_file = Index::open_with(in_memory.dir(), options).unwrap();
    let rows = random_rows(layout.dtype, DIM, QUERIES, 2);
    let queries = Queries { rows, count: QUERIES, own: None, times: 1 };
    let nearest = nearest(&in_memory, &queries, &[10; QUERIES], &pool(), &mut || true).unwrap();
    let params =
        SearchParams { max_lists: Some(20), rerank: Some(Rerank::Errors(1.0)), ..SearchParams::new(10) };
    let [memory, file] = [&*in_memory, &in_file].map(|index| {
        let field = Field { queries: &queries, nearest: &nearest, ranks: &[], lists_max: index.lists() };
        let mut replayer = Replayer::open(index).unwrap();
        let plan = QueryPlan::of(&params, index).unwrap();
        let keep = Keep { k: 10, errors: Some(2.5), compared_max: usize::MAX, copies: false };
        let asked = Asked { plan, keep, rule: None, is_traced: false };
        let search = |query| replayer.search(field, query, &mut Seen::default(), &asked).unwrap();
        (0..QUERIES).map(search).collect::<Vec<_>>()
    });
    let scanned = |of: &[Outcome]| of.iter().map(|found| found.vectors_scanned).collect::<Vec<_>>();
    assert_eq!(scanned(&memory), scanned(&file));
    // Codes in memory are rounded a little otherwise.
    let found = |of: &[Outcome]| of.iter().map(|found| found.found).sum::<usize>();
    assert!(found(&memory).abs_diff(found(&file)) <= 2, "{} {}", found(&memory), found(&file));
    assert!(found(&file) > 5 * QUERIES, "{}", found(&file));
}
