//! `--format json` of every command: standard output is JSON alone, and every key is explained in docs/json.md.
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{run, spandrel, text};

/// Keys whose own keys are values: names of phases, of settings, of recalls.
const OPEN: [&str; 4] = ["seconds", "params", "qps_at", "stages"];

/// Every key of a value and of those in it.
fn keys(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                found.insert(key.clone());
                if !OPEN.contains(&key.as_str()) {
                    keys(value, found);
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|value| keys(value, found)),
        _ => {}
    }
}

/// What a command prints with `--format json`, every key of it explained under the heading of the command.
fn json(args: &[&str]) -> Value {
    let printed = run(&[args, &["--format", "json"]].concat());
    let value = serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{args:?}: {error}: {printed}"));
    explained(args[0], &value);
    value
}

pub(crate) fn explained(command: &str, value: &Value) {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/json.md");
    let document = fs::read_to_string(document).unwrap();
    let heading = format!("\n## `spandrel {command}");
    let part: String =
        document.split(&heading).skip(1).map(|part| part.split("\n## ").next().unwrap()).collect();
    assert!(!part.is_empty(), "docs/json.md has no part on {command}");
    as_written(command, value);
    let mut found = BTreeSet::new();
    keys(value, &mut found);
    let points = if part.contains("(#operating-points)") {
        document.split("\n## Operating points").nth(1)
    } else {
        None
    };
    for key in found {
        let quoted = format!("`{key}`");
        let is_told = part.contains(&quoted) || points.is_some_and(|points| points.contains(&quoted));
        assert!(is_told, "docs/json.md does not explain `{key}` of `spandrel {command}`");
    }
}

/// No number of 32 bits has the digits of 64, as 0.949999988079071.
fn as_written(key: &str, value: &Value) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| as_written(key, value)),
        Value::Array(all) => all.iter().for_each(|value| as_written(key, value)),
        Value::Number(number) => {
            let (text, number) = (number.to_string(), number.as_f64().unwrap());
            let digits =
                text.trim_start_matches(['-', '0', '.']).chars().filter(char::is_ascii_digit).count();
            let is_narrow = f64::from(number as f32) == number;
            // A budget is a number of 64 bits that came of one of 32.
            let is_short = digits < 13 || number.fract() == 0.0 || key == "budget";
            assert!(!is_narrow || is_short, "{key}: {text} is a number of 32 bits");
        }
        _ => {}
    }
}

#[test]
fn every_command_prints_json() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (base, queries, truth, index) = (path("b.u8bin"), path("q.u8bin"), path("t.ibin"), path("index"));
    let size = ["--vectors", "2000", "--dim", "32", "--out", &base];
    let made = json(
        &[&["data", "generate", "sift"], &size[..], &["--queries", "50", "--queries-out", &queries]].concat(),
    );
    assert_eq!(made["files"][0]["rows"], 2000);
    assert_eq!(json(&["data", "convert", &base, &path("b.fbin")])["rows"], 2000);
    assert_eq!(json(&["data", "crop", &base, &path("c.u8bin"), "--rows", "5..9"])["rows"], 4);
    let info = json(&["data", "info", &base, "--scan"]);
    assert_eq!((&info["dtype"], &info["scan"]["nan"]), (&Value::from("u8"), &Value::from(0)));
    assert!(json(&["data", "get", "--list"])["sets"].as_array().unwrap().len() > 3);
    let of = ["--base", &base, "--metric", "l2"];
    let told =
        json(&[&["data", "truth", "--queries", &queries, "--k", "10", "--out", &truth], &of[..]].concat());
    assert_eq!((&told["k"], &told["queries"]), (&Value::from(10), &Value::from(50)));
    assert_eq!(json(&["data", "info", &truth])["distances"], true);
    assert_eq!(json(&["fuse", &truth, &truth, "--out", &path("f.ibin")])["depth"], 10);

    let plan = json(&["plan", "--base", &base]);
    assert_eq!((&plan["vectors"], &plan["indexes"]), (&Value::from(2000), &Value::from(1)));
    assert!(
        plan["alternatives"].as_array().unwrap().len() > 2 && plan["build_seconds"].as_f64().unwrap() > 0.0
    );
    let described = json(&["plan", "--vectors", "2000", "--dim", "32", "--dtype", "u8"]);
    assert_eq!(described["index_bytes"], plan["index_bytes"], "as the file says");
    let dry = json(&[&["build", "--out", &index, "--dry-run"], &of[..]].concat());
    assert_eq!(dry["lists"], plan["lists"]);
    let built = json(&[&["build", "--out", &index], &of[..]].concat());
    assert_eq!((&built["vectors"], &built["version"]), (&Value::from(2000), &Value::from(1)));
    assert!(built["seconds"]["train"].as_f64().is_some() && built["memory_peak"].as_u64().unwrap() > 1 << 20);
    let inspected = json(&["inspect", &index]);
    assert_eq!((&inspected["uuid"], &inspected["lists"]), (&built["uuid"], &built["lists"]));
    assert_eq!(json(&["verify", &index, "--deep"])["vectors"], 2000);
    let calibrate = ["calibrate", "--index", &index, "--queries", &queries, "--truth", &truth];
    let calibrated = json(&[&calibrate[..], &["--recall", "0.9,1"]].concat());
    assert_eq!((&calibrated["source"], &calibrated["points"][1]["recall"]), (&"queries".into(), &1.0.into()));
    assert_eq!(
        (&calibrated["version"], &calibrated["points"][0]["queries"]),
        (&Value::from(2), &Value::from(30))
    );

    let joined = json(&["join", "--index", &index, "--self", "--out", &path("j.npy"), "--recall", "0.8"]);
    assert_eq!((&joined["rows"], &joined["k"]), (&Value::from(2000), &Value::from(10)));

    let bench = ["bench", "--index", &index, "--queries", &queries, "--truth", &truth, "--seconds", "0"];
    let points = json(&[&bench[..], &["--max-lists", "1,2000"]].concat());
    assert_eq!(points[1]["params"]["max_lists"], inspected["lists"]);
    assert!(points[1]["recall"].as_f64().unwrap() > 0.9);
    let ranges = path("t.range");
    json(
        &[&["data", "truth", "--queries", &queries, "--radius", "6543.21", "--out", &ranges], &of[..]]
            .concat(),
    );
    let within = ["bench", "--index", &index, "--queries", &queries, "--truth", &ranges, "--seconds", "0"];
    let within = json(&[&within[..], &["--radius", "6543.21", "--completeness", "0.95"]].concat());
    assert_eq!(within[0]["params"].to_string(), r#"{"completeness":0.95,"radius":6543.21}"#);
    fs::write(path("f.json"), points.to_string()).unwrap();
    let report = json(&["report", &path("f.json")]);
    assert_eq!(report["runs"][0]["points"].as_array().unwrap().len(), 2);
    let disk = json(&["bench", "--disk", folder.path().to_str().unwrap(), "--io", "pread"]);
    assert!(disk["loads"][0]["reads_per_s"].as_f64().unwrap() > 0.0);
    assert_eq!(json(&["serve", "--check", "--index", &format!("a={index}")])["indexes"][0]["vectors"], 2000);
    let pages = json(&["man", &path("man")]);
    assert!(pages["pages"].as_array().unwrap().len() > 15);

    // A line for each query.
    let lines = run(&["query", "--index", &index, "--queries", &queries, "--k", "3", "--format", "json"]);
    assert_eq!(lines.lines().count(), 50);
    for (query, line) in lines.lines().enumerate() {
        let line: Value = serde_json::from_str(line).unwrap();
        explained("query", &line);
        assert_eq!(
            (line["query"].as_u64(), line["neighbours"].as_array().unwrap().len()),
            (Some(query as u64), 3)
        );
    }
    let wrong = spandrel(&["completions", "bash", "--format", "json"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", text(&wrong.stderr));
}

#[test]
fn a_demo_and_a_server_print_json() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("demo");
    let dir = dir.to_str().unwrap();
    let demo = json(&["demo", "--vectors", "1000", "--dir", dir]);
    assert_eq!(
        (&demo["verify"]["vectors"], &demo["server_answers"]),
        (&Value::from(1000), &Value::from(2000))
    );
    let index = format!("demo={dir}/index");
    let mut server = Command::new(env!("CARGO_BIN_EXE_spandrel"))
        .args(["serve", "--index", &index, "--listen", "127.0.0.1:0", "--metrics", "off", "--format", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let mut printed = String::new();
    for line in lines {
        printed += &line.unwrap();
        if printed.ends_with('}') {
            break;
        }
    }
    server.kill().unwrap();
    server.wait().unwrap();
    let ready: Value = serde_json::from_str(&printed).unwrap();
    explained("serve", &ready);
    assert!(ready["listen"].as_str().unwrap().starts_with("127.0.0.1:"), "{printed}");
}

#[test]
fn every_figure_of_a_point_is_explained() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/json.md");
    let document = fs::read_to_string(document).unwrap();
    let points = document.split("\n## Operating points").nth(1).unwrap();
    for (key, about) in spandrel_tools::figures::KEYS {
        let line = format!("| `{key}` | {} |", about.replace('|', "\\|").replace("  ", " "));
        assert!(points.contains(&line), "docs/json.md has no line\n{line}");
    }
}
