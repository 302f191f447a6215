//! A least score of heads, asked of a server.
use spandrel_proto::v1;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{Server, made, run, spandrel};

const VECTORS: usize = 3000;
const DIM: usize = 8;

/// An index by inner product of queries that are unlike its vectors, and the queries.
fn build(name: &str) -> (String, String) {
    let [base, queries, index] =
        ["base.fbin", "queries.fbin", "index"].map(|file| made().text(&format!("{name}-{file}")));
    let (vectors, dim) = (VECTORS.to_string(), DIM.to_string());
    let size = ["--vectors", &vectors, "--dim", &dim, "--queries", "50"];
    spandrel(&[&["data", "generate", "ood", "--out", &base, "--queries-out", &queries][..], &size].concat());
    let fixed = ["build", "--quiet", "--base", &base, "--metric", "ip", "--out", &index];
    spandrel(&[&fixed[..], &["--list-size", "32", "--no-calibrate"]].concat());
    (index, queries)
}

fn request(queries: &str, least: f32) -> v1::SearchRequest {
    let row = std::fs::read(queries).unwrap()[8..8 + 4 * DIM].to_vec();
    let options = v1::SearchOptions {
        min_head_score: Some(least),
        with_work: true,
        explain: true,
        ..Default::default()
    };
    let query = Some(v1::Vectors::raw(DIM as u32, v1::Dtype::F32, row));
    v1::SearchRequest { query, k: 10, options: Some(options), ..Default::default() }
}

#[test]
fn a_least_head_score_holds_over_every_call() {
    let (index, queries) = build("scores");
    let server = Server::of(&format!("index={index}"), &["--queue-delay-ms", "60000", "--max-lists", "10"]);
    let ask = |flags: &[&str]| {
        let all = ["query", "--quiet", "--queries", &queries, "--min-head-score"];
        spandrel(&[&all[..], flags].concat())
    };
    // The best product with a head of the first query, by what is explained.
    let told = ask(&["-1e9", "--index", &index, "--format", "json", "--explain"]);
    let first: serde_json::Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
    assert_eq!(first["explanation"]["stop"], "all", "{first}");
    let best = first["neighbours"][0]["distance"].as_f64().unwrap().to_string();
    for least in [&best, "1e9", "0.5"] {
        let expected = ask(&[least, "--max-lists", "7", "--index", &index]);
        for rpc in ["unary", "batch", "stream"] {
            let found = ask(&[least, "--max-lists", "7", "--server", &server.address, "--rpc", rpc]);
            assert!(found == expected, "{least} {rpc}");
        }
    }
    let none = ask(&["1e9", "--server", &server.address, "--format", "json", "--explain"]);
    let first: serde_json::Value = serde_json::from_str(none.lines().next().unwrap()).unwrap();
    assert_eq!(first["limited_by"], "min_head_score", "{first}");
    assert_eq!(first["explanation"]["stop"], "min_head_score", "{first}");
    assert_eq!(first["explanation"]["min_head_score"], 1e9, "{first}");
    run(async {
        let client = server.client();
        // Alone it would read every list: the server's limit holds all the same.
        let all = client.search(request(&queries, -1e9)).await.unwrap();
        let work = all.work.unwrap();
        assert_eq!(work.lists, 10);
        assert!((work.scanned_share - work.codes as f64 / VECTORS as f64).abs() < 1e-12, "{work:?}");
        assert!(work.scanned_share > 0.01 && all.promise.is_none(), "{work:?}");
        let told = all.explanation.unwrap();
        assert_eq!((told.min_head_score, told.stop()), (Some(-1e9), v1::Stop::MaxLists));
        assert_eq!((all.ids.len(), all.limited_by), (10, v1::Limit::MaxLists as i32));
        // Fewer lists than that are those that the score leaves.
        let some = client.search(request(&queries, best.parse::<f32>().unwrap())).await.unwrap();
        assert!(some.work.unwrap().lists < 10 && some.limited_by() != v1::Limit::MaxLists);
        let none = client.search(request(&queries, 1e9)).await.unwrap();
        assert_eq!((none.ids.len(), none.limited_by()), (0, v1::Limit::MinHeadScore));
        assert_eq!(none.explanation.unwrap().stop(), v1::Stop::MinHeadScore);
    });
    let truth = made().text("scores-truth.ibin");
    let base = made().text("scores-base.fbin");
    spandrel(&["data", "truth", "--base", &base, "--queries", &queries, "--metric", "ip", "--out", &truth]);
    let bench = |from: [&str; 2]| {
        let all = ["bench", "--quiet", "--format", "json", "--queries", &queries, "--truth", &truth];
        let more = ["--seconds", "0", "--max-lists", "7", "--min-head-score", "0.5"];
        let points = spandrel(&[&all[..], &more, &from].concat());
        let points: serde_json::Value = serde_json::from_str(&points).unwrap();
        let of = |key: &str| points[0][key].as_f64().unwrap();
        assert_eq!(points[0]["params"]["min_head_score"], 0.5);
        (of("recall"), of("vectors_scanned"), of("scanned_share"))
    };
    let measured = bench(["--server", &server.address]);
    assert_eq!(measured, bench(["--index", &index]));
    assert!(measured.2 > 0.0, "{measured:?}");
}

#[test]
fn a_head_score_that_means_nothing_is_refused() {
    let by_distance = Server::start(&[]);
    let (index, queries) = build("refused-scores");
    let server = Server::of(&format!("index={index}"), &[]);
    run(async {
        let client = server.client();
        let filter = Some(v1::Filter::text("id in (3)"));
        let filtered = v1::SearchOptions { min_head_score: Some(1.0), filter, ..Default::default() };
        let cases = [
            (server.client(), request(&queries, f32::NAN), "is NaN, expected a finite number"),
            (
                server.client(),
                v1::SearchRequest { options: Some(filtered), ..request(&queries, 1.0) },
                "and a filter are both given",
            ),
            (by_distance.client(), by_l2(), "compares by l2, expected ip"),
        ];
        for (client, request, words) in cases {
            let status = client.search(request).await.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument, "{status}");
            assert!(status.message().contains(words), "{status}");
            let details = status.get_details_bad_request().unwrap();
            assert_eq!(details.field_violations[0].field, "options.min_head_score", "{status}");
        }
        client.search(request(&queries, 1.0)).await.unwrap();
    });
}

fn by_l2() -> v1::SearchRequest {
    let options = v1::SearchOptions { min_head_score: Some(1.0), ..Default::default() };
    v1::SearchRequest { options: Some(options), ..crate::support::request(0) }
}
