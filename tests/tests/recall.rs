//! Recall and work for every element type, metric and kind of list on seeded vectors, by the manifest's default pruning
//! and with so few lists that a worse choice of them costs recall.
//!
//! `trace/recall.tsv` holds, for each, the recall@10 and the mean work of a query, so that a change in either
//! shows in review: for exact vectors of integers under l2 they must be equal; elsewhere, where kernels round
//! differently, near. `SPANDREL_WRITE_TRACE=1 cargo test -p spandrel-tests recall` writes the file anew after a change
//! that is meant.
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::thread;

use spandrel_builder::{BuildConfig, Choice, ListCount, VectorShape};
use spandrel_datasets::{TruthParams, Watch, compute_truth};
use spandrel_engine::{Answer, SearchParams, Truth, recall};
use spandrel_index::codes::CodeSpec;
use spandrel_index::{DType, Metric, Tier};
use spandrel_tests::{Base, clustered, coded, config};

use crate::support::open_engine;

const DIM: usize = 24;
const VECTORS: usize = 6000;
const QUERIES: usize = 100;
const K: usize = 10;
/// How far recall may move where it depends on the rounding of floats.
const RECALL_TOLERANCE: f64 = 0.003;
/// How far the other columns may move there, relative to themselves.
const WORK_TOLERANCE: f64 = 0.02;
const HEADER: &str = "metric\tdtype\tcode\tmax_lists\trecall\tlists\treads\tpages\tread_bytes\tvectors_scanned\t\
                      reranked\thead_distances";

/// What lists hold, and where codes are.
struct Kind {
    code: CodeSpec,
    codes: Tier,
    /// Lists read by each way of pruning (`None` is the manifest's default), and the recall@10 that no type or metric
    /// may fall under.
    points: [(Option<u32>, f64); 2],
}

const PRODUCTS: CodeSpec = CodeSpec::Products { quantisers: 16, bits: 4, rotated: true, uniform: false };

const KINDS: [Kind; 4] = [
    Kind { code: CodeSpec::Full, codes: Tier::Ssd, points: [(None, 0.99), (Some(8), 0.92)] },
    Kind { code: CodeSpec::RaBitQ { bits: 4 }, codes: Tier::Ssd, points: [(None, 0.97), (Some(4), 0.88)] },
    Kind { code: CodeSpec::Axes { bytes: 12 }, codes: Tier::Memory, points: [(None, 0.95), (Some(5), 0.9)] },
    Kind { code: PRODUCTS, codes: Tier::Memory, points: [(None, 0.95), (Some(5), 0.88)] },
];

impl Kind {
    fn config(&self, shape: VectorShape, out: &Path) -> BuildConfig {
        match self.code {
            CodeSpec::Full => config(shape.metric, out),
            code => {
                let list_size = Choice::of(shape, code, self.codes).list_size;
                BuildConfig {
                    lists: ListCount::Size(list_size),
                    ..coded(shape.metric, code, self.codes, out)
                }
            }
        }
    }
}

fn trace_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("trace/recall.tsv")
}

/// Mean figures of a query, in the order of the header.
fn figures(recall: f64, answers: &[Answer]) -> [f64; 8] {
    let mean = |of: fn(&Answer) -> f64| answers.iter().map(of).sum::<f64>() / answers.len() as f64;
    [
        recall,
        mean(|a| f64::from(a.work.lists)),
        mean(|a| f64::from(a.work.reads)),
        mean(|a| f64::from(a.work.pages)),
        mean(|a| a.work.read_bytes as f64),
        mean(|a| a.work.vectors_scanned as f64),
        mean(|a| f64::from(a.work.reranked)),
        mean(|a| f64::from(a.work.head_distances)),
    ]
}

/// The lines of the trace as they come out now.
fn trace() -> Vec<String> {
    // A build waits for the disk more than it works, so they wait together.
    let lines = thread::scope(|scope| {
        let metrics = Metric::ALL.map(|metric| scope.spawn(move || lines(metric)));
        metrics.map(|thread| thread.join().unwrap())
    });
    [vec![HEADER.to_owned()], lines.concat()].concat()
}

fn lines(metric: Metric) -> Vec<String> {
    DType::ALL.into_iter().flat_map(|dtype| lines_of(metric, dtype)).collect()
}

fn lines_of(metric: Metric, dtype: DType) -> Vec<String> {
    let base = Base::new(clustered(dtype, DIM, VECTORS, 1));
    let queries = clustered(dtype, DIM, QUERIES, 2);
    // More columns than neighbours, since there are ties.
    let columns = 3 * K;
    let params = TruthParams { metric, k: columns, threads: 2 };
    let truth = compute_truth(&base.rows, &queries, None, params, Watch::none()).unwrap();
    let distances = truth.distances.as_deref().unwrap();
    let truth = Truth { ids: &truth.ids, distances, columns };
    let mut lines = Vec::new();
    for kind in &KINDS {
        let dir = tempfile::tempdir().unwrap();
        base.build(&kind.config(VectorShape::of(&base.rows, metric), dir.path())).unwrap();
        let engine = open_engine(dir.path());
        for (max_lists, floor) in kind.points {
            let params = SearchParams { max_lists, ..SearchParams::new(K) };
            let answers = engine.search(queries.bytes(), &params).unwrap();
            let [recall, work @ ..] = figures(recall(metric, &answers, truth, K).unwrap(), &answers);
            let point = max_lists.map_or("default".to_owned(), |lists| lists.to_string());
            let case = format!("{metric}\t{dtype}\t{}\t{point}", kind.code);
            assert!(recall >= floor, "{case}: recall {recall}, expected {floor}");
            let work = work.map(|figure| format!("{figure:.2}")).join("\t");
            lines.push(format!("{case}\t{recall:.4}\t{work}"));
        }
    }
    lines
}

#[test]
fn recall_and_work_are_as_recorded() {
    let lines = trace();
    if std::env::var_os("SPANDREL_WRITE_TRACE").is_some() {
        std::fs::create_dir_all(trace_path().parent().unwrap()).unwrap();
        std::fs::write(trace_path(), lines.join("\n") + "\n").unwrap();
        return;
    }
    let recorded = std::fs::read_to_string(trace_path()).unwrap();
    assert_eq!(recorded.lines().count(), lines.len(), "lines of the trace");
    let mut moved = String::new();
    for (line, expected) in lines.iter().zip(recorded.lines()) {
        let exact = ["l2\ti8\tfull", "l2\tu8\tfull"].iter().any(|case| line.starts_with(case));
        if !(line == expected || !exact && near(line, expected)) {
            let _ = writeln!(moved, "  found    {line}\n  recorded {expected}");
        }
    }
    assert!(moved.is_empty(), "{HEADER}\n{moved}if that is meant, run with SPANDREL_WRITE_TRACE=1");
}

/// Columns that name a case; recall follows, then work.
const NAMES: usize = 4;

/// Whether two lines name the same case and their figures are near.
fn near(line: &str, recorded: &str) -> bool {
    let (line, recorded): (Vec<_>, Vec<_>) = (line.split('\t').collect(), recorded.split('\t').collect());
    line.len() == recorded.len()
        && line.iter().zip(&recorded).enumerate().all(|(column, (a, b))| {
            let figure = |text: &str| text.parse::<f64>().unwrap();
            match column {
                ..NAMES => a == b,
                NAMES => (figure(a) - figure(b)).abs() <= RECALL_TOLERANCE,
                _ => (figure(a) - figure(b)).abs() <= WORK_TOLERANCE * figure(b),
            }
        })
}

#[test]
fn lines_are_near_within_the_tolerance_of_each_column() {
    let recorded = "l2\tf32\tfull\t8\t0.9910\t8.00\t4.20\t11.78\t33786.88\t316.82\t0.00\t300.00";
    assert!(near(recorded, recorded));
    assert!(near(&recorded.replace("0.9910", "0.9935"), recorded));
    assert!(!near(&recorded.replace("0.9910", "0.9875"), recorded), "recall");
    assert!(near(&recorded.replace("316.82", "320.00"), recorded));
    assert!(!near(&recorded.replace("316.82", "325.00"), recorded), "work");
    assert!(!near(&recorded.replace("\t0.00\t", "\t0.01\t"), recorded), "work where there was none");
    assert!(!near(&recorded.replace("\t8\t", "\t9\t"), recorded), "another case");
}
