//! Queries of a sample, and a least score of heads.
use serde_json::Value;

use crate::support::{run, spandrel, text};

#[test]
fn an_index_is_calibrated_with_its_sample_and_searched_by_head_scores() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (base, queries, index) = (path("b.fbin"), path("q.fbin"), path("index"));
    let size = ["--vectors", "3000", "--dim", "8", "--out", &base, "--queries", "2000"];
    run(&[&["data", "generate", "ood"], &size[..], &["--queries-out", &queries]].concat());
    run(&["build", "--base", &base, "--metric", "ip", "--query-sample", &queries, "--out", &index]);
    let told: Value = serde_json::from_str(&run(&["inspect", &index, "--format", "json"])).unwrap();
    assert_eq!(told["recall"]["source"], "queries", "{}", told["recall"]);
    let query = ["query", "--index", &index, "--queries", &queries, "--k", "10", "--format", "json"];
    let limited = |least: &str| {
        let lines = run(&[&query[..], &["--min-head-score", least]].concat());
        let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        (first["limited_by"].clone(), first["neighbours"].as_array().unwrap().len())
    };
    assert_eq!(limited("1e9"), ("min_head_score".into(), 0));
    assert_eq!(limited("-1e9"), (Value::Null, 10));
    let mass = ["bench", "--index", &index, "--queries", &queries, "--truth", "none", "--attention-mass"];
    let output = spandrel(&[&mass[..], &["--base", &base, "--distances", "any"]].concat());
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--distances is any, expected exact"), "{}", text(&output.stderr));
}
