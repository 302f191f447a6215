//! Indexes of many tenants.
use std::fs;

use serde_json::Value;

use crate::support::{Server, run, spandrel, text};

const VECTORS: u64 = 6000;

/// Three quarters of the vectors are of two tenants, the others of ten.
fn tenant(id: u64) -> String {
    match (id % 4, id / 4) {
        (0, number) => format!("small {}", number % 10),
        (_, number) => format!("large {}", number % 2),
    }
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&run(&[args, &["--format", "json"]].concat())).unwrap()
}

#[test]
fn each_tenant_has_a_place_of_its_own_and_what_it_costs_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let [base, queries, known, index] = ["base.u8bin", "queries.u8bin", "known.jsonl", "index"]
        .map(|name| folder.path().join(name).to_str().unwrap().to_owned());
    let generate = ["data", "generate", "sift", "--vectors", "6000", "--dim", "16", "--queries", "5"];
    run(&[&generate[..], &["--out", &base, "--queries-out", &queries]].concat());
    let line = |id| format!("{{\"id\": {id}, \"tenant\": \"{}\", \"tags\": [\"a\"]}}\n", tenant(id));
    fs::write(&known, (0..VECTORS).map(line).collect::<String>()).unwrap();

    let by = ["--metric", "l2", "--attributes", &known, "--partition-by", "tenant"];
    let plan = json(&[&["plan", "--base", &base], &by[..]].concat());
    let planned = plan["partition"]["shared_vectors"].as_u64().unwrap();
    assert!(planned.abs_diff(1500) < 30 && plan["partition"]["attribute"] == "tenant", "{plan}");
    let told = run(&[&["plan", "--base", &base], &by[..]].concat());
    assert!(told.contains("every query without tenant scans them"), "{told}");

    let build = [&["build", "--base", &base, "--no-calibrate", "--out", &index], &by[..]].concat();
    let built = json(&build);
    let warning = built["warnings"].to_string();
    assert!(warning.contains("1 500 of 6 000 vectors (25.0 %)"), "{built}");
    let partition = &json(&["inspect", &index])["partitions"][0];
    let numbers =
        ["own_vectors_min", "own_values", "shared_vectors"].map(|key| partition[key].as_u64().unwrap());
    assert_eq!(numbers, [2000, 2, 1500], "{partition}");
    let told = run(&["inspect", &index]);
    assert!(told.contains("by tenant: 2 values of 2 000 vectors or more"), "{told}");
    run(&["verify", &index, "--deep"]);

    let query = ["query", "--queries", &queries, "--explain", "--format", "json"];
    let answers_of = |flags: &[&str]| -> Vec<Value> {
        let said = run(&[&query[..], flags].concat());
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let answers = |filter: &[&str]| answers_of(&[&["--index", &index], filter].concat());
    let shared = partition["shared_lists"].as_u64().unwrap();
    let local = answers(&[]);
    for answer in &local {
        assert_eq!(answer["explanation"]["shared_lists"].as_u64(), Some(shared), "{answer}");
    }
    let server = Server::of(&format!("tenants={index}"));
    let shared_there = answers_of(&["--server", &server.address]);
    assert!(
        shared_there.len() == local.len()
            && shared_there.iter().all(|answer| answer["explanation"]["shared_lists"] == shared)
    );
    for wanted in ["small 3", "large 1"] {
        for answer in answers(&["--filter", &format!("tenant = \"{wanted}\"")]) {
            let ids =
                answer["neighbours"].as_array().unwrap().iter().map(|near| near["id"].as_u64().unwrap());
            assert_eq!(ids.map(tenant).filter(|tenant| tenant == wanted).count(), 10, "{answer}");
            let explanation = &answer["explanation"];
            let is_exact = explanation["filter"]["plan"] == "exact";
            // Those of a large value may be cheaper to compare exactly too.
            assert!(is_exact || wanted.starts_with("large"), "{answer}");
            assert_eq!(explanation["shared_lists"], 0, "{answer}");
        }
    }
    let told = run(&["query", "--index", &index, "--queries", &queries, "--explain"]);
    assert!(told.contains("lists scanned besides, which small values of the partition share"), "{told}");
}

#[test]
fn partitions_that_cannot_be_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [base, known, index] = ["base.u8bin", "known.jsonl", "index"]
        .map(|name| folder.path().join(name).to_str().unwrap().to_owned());
    crate::support::write_u8bin(base.as_ref(), 50);
    fs::write(&known, "{\"id\": 0, \"tags\": [\"a\"], \"tenant\": \"x\"}\n").unwrap();
    let build = ["build", "--base", &base, "--metric", "l2", "--out", &index, "--partition-by"];
    let refused = |flags: &[&str]| {
        let output = spandrel(&[&build[..], flags].concat());
        (output.status.code(), text(&output.stderr).to_owned())
    };
    let (code, alone) = refused(&["tenant"]);
    assert!(code == Some(2) && alone.contains("--attributes"), "{alone}");
    for (name, expected) in [("colour", "expected one of "), ("tags", "which is tags, expected a keyword")] {
        let (code, told) = refused(&[name, "--attributes", &known]);
        assert!(code == Some(1) && told.contains(expected) && told.contains("--partition-by is"), "{told}");
    }
    assert!(!folder.path().join("index").exists());
}
