//! Recall of what a server answers, as it measures it.
use std::error::Error;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use serde_json::Value;
use spandrel_builder::{Calibrate, Silent, Unpublished, recalibrate};
use spandrel_index::Index;
use spandrel_index::format::RecallCurves;
use spandrel_proto::v1;

use crate::support::{DIM, QUERIES, Server, bytes, copy_folder, http_get, made, run};

const K: usize = 10;

/// The true neighbours of a query among the vectors of the index: their distances, ascending.
fn nearest(query: &[u8]) -> Vec<u32> {
    let base = std::fs::read(made().path("base.u8bin")).unwrap();
    let distance =
        |row: &[u8]| -> u32 { row.iter().zip(query).map(|(&a, &b)| u32::from(a.abs_diff(b)).pow(2)).sum() };
    let mut all: Vec<u32> = base[8..].chunks_exact(DIM).map(distance).collect();
    all.sort_unstable();
    all.truncate(K);
    all
}

/// Asks for the first queries of the file: the recall of each.
async fn asked(server: &Server, queries: usize, options: Option<v1::SearchOptions>) -> Vec<f64> {
    let rows = &made().queries()[..queries * DIM];
    let batch = v1::SearchBatchRequest {
        queries: Some(bytes(rows.to_vec())),
        k: K as u32,
        options,
        ..Default::default()
    };
    let response = server.client().search_batch(batch).await.unwrap();
    let found = response.distances.chunks(K).zip(rows.chunks(DIM)).map(|(found, row)| {
        let kth = *nearest(row).last().unwrap() as f32;
        found.iter().filter(|&&distance| distance <= kth).count() as f64 / K as f64
    });
    found.collect()
}

fn status(server: &Server) -> Value {
    let text = http_get(server.metrics.as_ref().unwrap(), "/api/status");
    serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// Waits until the recall of this number of queries was measured.
fn measured(server: &Server, queries: usize) -> Value {
    let begun = Instant::now();
    loop {
        let of = status(server)["indexes"][0]["recall"][0].clone();
        if of["queries"] == queries {
            return of;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{of}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn recall_is_measured_and_shown_wherever_an_index_is_described() {
    const QUERIES: usize = 16;
    let mut server =
        Server::start(&["--metrics", "127.0.0.1:0", "--measure-recall", "1", "--queue-delay-ms", "60000"]);
    let recalls = run(async {
        // What names its own pruning has the recall that it asked for.
        let own = v1::SearchOptions { max_lists: Some(1), ..Default::default() };
        asked(&server, 100, Some(own)).await;
        // What reads no more than some bytes, what these find.
        let cut = v1::SearchOptions { max_bytes: Some(1), ..Default::default() };
        asked(&server, 100, Some(cut)).await;
        asked(&server, QUERIES, None).await
    });
    let mean = recalls.iter().sum::<f64>() / QUERIES as f64;
    let measured = measured(&server, QUERIES);
    let of = |name: &str| measured[name].as_f64().unwrap();
    assert!((of("recall") - mean).abs() < 1e-9, "{measured}, truly {mean}");
    assert!(of("low") <= mean && mean <= of("high") && of("high") - of("low") < 0.4, "{measured}");
    assert_eq!((&measured["k"], &measured["target"]), (&10.into(), &0.95.into()), "{measured}");
    let labels = "{index=\"index\",k=\"10\",target=\"0.95\"}";
    let metric = |name: &str| server.metric(&format!("spandrel_{name}{labels}"));
    assert!((metric("recall") - mean).abs() < 1e-9 && (metric("recall_low") - of("low")).abs() < 1e-9);
    assert!((metric("recall_queries") - 16.0).abs() < 1e-9 && metric("recall_under_target") < 0.5);
    let described = run(async { server.client().describe_index("").await.unwrap().measured_recall });
    assert_eq!(described.len(), 1);
    let v1::MeasuredRecall { k, target, recall, queries, .. } = described[0];
    assert_eq!((k, target, queries), (10, 0.95, 16));
    assert!((recall - mean).abs() < 1e-9);
    server.terminate();
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn nothing_is_measured_where_that_is_off() {
    let flags = |share| ["--metrics", "127.0.0.1:0", "--queue-delay-ms", "60000", "--measure-recall", share];
    let [server, measuring] = ["0", "1"].map(|share| Server::start(&flags(share)));
    run(asked(&server, 16, None));
    // Another that was asked the same has looked twice.
    for rounds in 1..=2 {
        run(asked(&measuring, 16, None));
        measured(&measuring, 16 * rounds);
    }
    let (told, metrics) = (status(&server), http_get(server.metrics.as_ref().unwrap(), "/metrics"));
    assert_eq!(told["indexes"][0]["recall"], Value::Array(Vec::new()), "{told}");
    assert!(!metrics.contains("spandrel_recall{"), "{metrics}");
}

/// The recall that is asked for where the curves promise too much.
const TARGET: f64 = 0.99;

/// Says that queries miss a tenth of what they do.
struct Boasts(RecallCurves);

impl Boasts {
    fn publish(dir: &Path) {
        let mut curves = Index::open(dir).unwrap().recall().unwrap().clone();
        let points = curves.curves.iter_mut().flat_map(|curve| &mut curve.points);
        points.for_each(|point| point.recall = 1.0 - (1.0 - point.recall) / 10.0);
        recalibrate(dir, &Boasts(curves), &Silent, &AtomicBool::new(false)).unwrap().unwrap();
    }
}

impl Calibrate for Boasts {
    fn calibrate(
        &self,
        _: Unpublished<'_>,
        _: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<RecallCurves>, Box<dyn Error + Send + Sync>> {
        Ok(Some(self.0.clone()))
    }
}

/// Asks until recall was found to be under its target: the recall of the first queries, and of those after that.
fn before_and_after(server: &Server, is_seen: impl Fn() -> bool) -> [f64; 2] {
    let mean = |recalls: Vec<f64>| recalls.iter().sum::<f64>() / recalls.len() as f64;
    let options = || Some(v1::SearchOptions { recall: Some(TARGET), ..Default::default() });
    let (begun, before) = (Instant::now(), mean(run(asked(server, QUERIES, options()))));
    while !is_seen() {
        let (told, waited) = (status(server), begun.elapsed());
        assert!(waited < Duration::from_secs(60), "{before}: {}", told["indexes"][0]["recall"]);
        run(asked(server, QUERIES, options()));
        std::thread::sleep(Duration::from_millis(20));
    }
    [before, mean(run(asked(server, QUERIES, options())))]
}

#[test]
fn queries_aim_higher_where_their_recall_is_under_its_target_and_that_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live");
    copy_folder(&made().path("index"), &live);
    Boasts::publish(&live);
    let flags = ["--metrics", "127.0.0.1:0", "--measure-recall", "1", "--queue-delay-ms", "60000"];
    let index = format!("index={}", live.display());
    let labels = "{index=\"index\",k=\"10\",target=\"0.99\"}";
    let metric = |server: &Server, name: &str| server.metric_or_zero(&format!("spandrel_{name}{labels}"));
    let server = Server::of(&index, &flags);
    let [before, after] = before_and_after(&server, || metric(&server, "recall_under_target") > 0.5);
    assert!(before < 0.97 && (before - after).abs() < 1e-9, "{before}, {after}: it is not to be corrected");
    let server = Server::of(&index, &[&flags[..], &["--recall-correct"]].concat());
    let [before, after] = before_and_after(&server, || metric(&server, "recall_misses") > 1.0);
    assert!(before < 0.97 && after > before + 0.01, "{before} before and {after} after");
    // It expects no more than was asked for, though the curve says that much of the higher point.
    let options = Some(v1::SearchOptions { recall: Some(TARGET), ..Default::default() });
    let request = v1::SearchRequest { k: K as u32, options, ..crate::support::request(0) };
    let promise = run(async { server.client().search(request).await.unwrap().promise.unwrap() });
    let expected = promise.expected_recall.unwrap();
    assert!(promise.target == TARGET && (expected - TARGET).abs() < 0.01, "{promise:?}");
    let log = server.log.text();
    assert_eq!(log.matches("recall is under its target").count(), 1, "{log}");
}

#[test]
fn measuring_takes_its_share_of_the_search_threads_and_no_more() {
    const SHARE: f64 = 0.02;
    let share = SHARE.to_string();
    let flags = ["--metrics", "127.0.0.1:0", "--measure-recall", &share, "--queue-delay-ms", "60000"];
    let server =
        Server::of(&format!("index={}", made().text("index")), &[&flags[..], &["--threads", "1"]].concat());
    let begun = Instant::now();
    let seconds = loop {
        run(asked(&server, QUERIES, None));
        let seconds = server.metric_or_zero("spandrel_recall_measuring_seconds_total{index=\"index\"}");
        if begun.elapsed() > Duration::from_secs(4) {
            break seconds;
        }
    };
    // A piece is paid for by the rest that follows it.
    let most = SHARE * begun.elapsed().as_secs_f64() + 0.05;
    assert!(seconds > 0.0 && seconds < most, "{seconds} seconds, {most} at most");
}
