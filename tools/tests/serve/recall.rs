//! Recall of what a server answers, as it measures it.
use std::time::{Duration, Instant};

use serde_json::Value;
use spandrel_proto::v1;

use crate::support::{DIM, Server, bytes, http_get, made, run};

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
