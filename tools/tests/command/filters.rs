//! Searching among the vectors that match filters.
use std::collections::HashSet;
use std::fs;

use serde_json::Value;

use crate::support::{Server, run, spandrel, text};

/// A set with tags, an index of it, and a filter for each query.
struct Tagged {
    folder: tempfile::TempDir,
    /// The tags of each vector.
    tags: Vec<HashSet<String>>,
}

impl Tagged {
    fn new() -> Tagged {
        let folder = tempfile::tempdir().unwrap();
        let tagged = Tagged { folder, tags: Vec::new() };
        let [base, queries, tags, filters] =
            ["base.u8bin", "queries.u8bin", "tags.jsonl", "filters.jsonl"].map(|name| tagged.path(name));
        let generate = ["data", "generate", "sift", "--vectors", "2000", "--dim", "32", "--queries", "20"];
        run(&[&generate[..], &["--out", &base, "--queries-out", &queries]].concat());
        let labels = ["data", "generate", "labels", "--base", &base, "--tags", "20", "--per-vector", "3"];
        let asked = ["--queries", &queries, "--query-tags", "2", "--filters-out", &filters, "--out", &tags];
        run(&[&labels[..], &asked].concat());
        let build = ["build", "--base", &base, "--metric", "l2", "--no-calibrate", "--attributes", &tags];
        run(&[&build[..], &["--out", &tagged.path("index")]].concat());
        let lines = fs::read_to_string(&tags).unwrap();
        let of_line = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            let tags = line["tags"].as_array().into_iter().flatten();
            tags.map(|tag| tag.as_str().unwrap().to_owned()).collect()
        };
        Tagged { tags: lines.lines().map(of_line).collect(), ..tagged }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// The answers of `query`, as lines of JSON.
    fn query(&self, flags: &[&str]) -> Vec<Value> {
        let (index, queries) = (self.path("index"), self.path("queries.u8bin"));
        let query = ["query", "--index", &index, "--queries", &queries, "--format", "json"];
        let said = run(&[&query[..], flags].concat());
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// How many vectors have all of some tags.
    fn having(&self, tags: &Value) -> usize {
        let has_all = |of: &&HashSet<String>| {
            tags.as_array().unwrap().iter().all(|tag| of.contains(tag.as_str().unwrap()))
        };
        self.tags.iter().filter(has_all).count()
    }

    /// How many vectors have a tag.
    fn count(&self, tag: &str) -> usize {
        self.tags.iter().filter(|tags| tags.contains(tag)).count()
    }
}

/// The ids of an answer.
fn ids(answer: &Value) -> Vec<usize> {
    answer["neighbours"].as_array().unwrap().iter().map(|n| n["id"].as_u64().unwrap() as usize).collect()
}

/// The ids of an answer, what its filter came to, and the plan that explains it.
fn told(answer: &Value) -> (Vec<usize>, Value, Value) {
    (ids(answer), answer["filter"].clone(), answer["explanation"]["filter"]["plan"].clone())
}

#[test]
fn answers_are_among_the_vectors_that_match() {
    let tagged = Tagged::new();
    let all = tagged.query(&[]);
    let contains = tagged.query(&["--filter", r#"tags contains "1""#]);
    let without = tagged.query(&["--filter", r#"not tags contains "0""#]);
    for query in 0..20 {
        assert!(ids(&contains[query]).iter().all(|&id| tagged.tags[id].contains("1")), "{}", contains[query]);
        assert!(ids(&without[query]).iter().all(|&id| !tagged.tags[id].contains("0")), "{}", without[query]);
        assert_eq!([&all, &contains, &without].map(|answers| ids(&answers[query]).len()), [10; 3]);
    }
    assert!(all.iter().flat_map(ids).any(|id| !tagged.tags[id].contains("1")));
    assert!(all.iter().flat_map(ids).any(|id| tagged.tags[id].contains("0")));

    // All within a radius that holds every vector.
    let within = tagged.query(&["--filter", r#"tags contains "1""#, "--radius", "1e9"]);
    assert!(within.iter().all(|answer| ids(answer).len() == tagged.count("1")), "{}", tagged.count("1"));

    // One filter is the same on each line of a file, here as text.
    let line = r#"{"filter": "tags contains \"1\""}"#;
    fs::write(tagged.path("same.jsonl"), format!("{line}\n").repeat(20)).unwrap();
    assert_eq!(tagged.query(&["--filters", &tagged.path("same.jsonl")]), contains);
}

#[test]
fn every_query_has_its_own_filter_and_truth() {
    let tagged = Tagged::new();
    let [base, queries, tags, filters, truth, index, json] =
        ["base.u8bin", "queries.u8bin", "tags.jsonl", "filters.jsonl", "truth.ibin", "index", "points.json"]
            .map(|name| tagged.path(name));
    let truth_of = ["data", "truth", "--base", &base, "--queries", &queries, "--metric", "l2", "--k", "10"];
    run(&[&truth_of[..], &["--filters", &filters, "--attributes", &tags, "--out", &truth]].concat());
    let asked: Vec<Value> = fs::read_to_string(&filters)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["filter"]["tags"]["$containsAll"].clone())
        .collect();
    let found = tagged.query(&["--filters", &filters]);
    for (answer, asked) in found.iter().zip(&asked) {
        let has_all = |id: usize| {
            asked.as_array().unwrap().iter().all(|tag| tagged.tags[id].contains(tag.as_str().unwrap()))
        };
        assert!(ids(answer).into_iter().all(has_all), "{answer} for {asked}");
        assert_eq!(ids(answer).len(), tagged.having(asked).min(10), "{asked}");
    }
    let bench = ["bench", "--index", &index, "--queries", &queries, "--filters", &filters, "--seconds", "0"];
    run(&[&bench[..], &["--truth", &truth, "--max-lists", "1000", "--rerank", "2000", "--json", &json]]
        .concat());
    let points: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    assert_eq!(points[0]["recall"], 1.0, "{points}");
    // The same against exact search.
    let recall =
        ["recall", "--index", &index, "--queries", &queries, "--filters", &filters, "--format", "json"];
    let exact = ["--max-lists", "1000", "--rerank", "2000"];
    let measured: Value = serde_json::from_str(&run(&[&recall[..], &exact].concat())).unwrap();
    let point = &measured["points"][0];
    assert_eq!((&point["recall"], &point["recall_high"]), (&1.0.into(), &1.0.into()), "{point}");
    let matches: f64 = asked.iter().map(|asked| tagged.having(asked) as f64 / 20.0).sum();
    assert!((point["matches"].as_f64().unwrap() - matches).abs() < 1e-9, "{point}, {matches}");
    let few = ["--max-lists", "1", "--rerank", "1", "--filter-plan", "post"];
    let measured: Value = serde_json::from_str(&run(&[&recall[..], &few].concat())).unwrap();
    assert!(measured["points"][0]["recall"].as_f64().unwrap() < 0.9, "{measured}");
    // A truth without filters is not that of these queries.
    run(&[&truth_of[..], &["--out", &truth]].concat());
    let refused = spandrel(&[&bench[..], &["--truth", &truth, "--max-lists", "1000"]].concat());
    let says = text(&refused.stderr);
    assert!(says.contains("which does not match its filter") && says.contains("--filters"), "{says}");
}

#[test]
fn a_server_finds_the_same() {
    let tagged = Tagged::new();
    let index = format!("tagged={}", tagged.path("index"));
    let server = Server::of(&index);
    let (address, queries) = (server.address.as_str(), tagged.path("queries.u8bin"));
    let ask = |flags: &[&str]| {
        let query = ["query", "--server", address, "--queries", &queries, "--format", "json"];
        let output = spandrel(&[&query[..], flags].concat());
        let lines = text(&output.stdout).lines();
        let answers = lines.map(|line| told(&serde_json::from_str(line).unwrap())).collect::<Vec<_>>();
        (answers, text(&output.stderr).to_owned())
    };
    let filters = tagged.path("filters.jsonl");
    let truth = tagged.path("truth.ibin");
    let [base, tags] = ["base.u8bin", "tags.jsonl"].map(|name| tagged.path(name));
    let truth_of = ["data", "truth", "--base", &base, "--queries", &queries, "--metric", "l2", "--k", "10"];
    run(&[&truth_of[..], &["--filters", &filters, "--attributes", &tags, "--out", &truth]].concat());
    let bench = |flags: &[&str]| {
        let bench =
            ["bench", "--server", address, "--queries", &queries, "--seconds", "0", "--format", "json"];
        let output = spandrel(&[&bench[..], flags].concat());
        (serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default(), text(&output.stderr).to_owned())
    };
    let all = ["--max-lists", "1000", "--rerank", "2000", "--truth", &truth, "--filters", &filters];
    let measured = ["unary", "batch", "stream"].map(|rpc| bench(&[&all[..], &["--rpc", rpc]].concat()));
    let unfiltered = bench(&["--truth", &truth, "--filter", r#"tags contains "1""#]);
    let mut wrong = Vec::new();
    let found_here = |flags: &[&str]| tagged.query(flags).iter().map(told).collect::<Vec<_>>();
    for flags in [&["--filter", r#"tags contains "1""#][..], &["--filters", &filters]] {
        let local = found_here(flags);
        for rpc in ["unary", "batch", "stream"] {
            let (found, error) = ask(&[flags, &["--rpc", rpc]].concat());
            if found != local {
                wrong.push(format!("{flags:?} {rpc}: {error}"));
            }
        }
        let radius = [flags, &["--radius", "60000"]].concat();
        let local = found_here(&radius);
        if ask(&radius).0 != local || local.iter().all(|(ids, ..)| ids.is_empty()) {
            wrong.push(format!("{radius:?}"));
        }
    }
    let (_, refused) = ask(&["--filter", "price < 3"]);
    let (_, plan) = ask(&["--filter", r#"tags contains "1""#, "--filter-plan", "lists"]);
    let (explained, _) = ask(&["--filter", r#"tags contains "1""#, "--explain"]);
    let told_here = tagged.query(&["--filter", r#"tags contains "1" or tags contains "2""#, "--explain"]);
    let asked = ["query", "--server", address, "--queries", &queries, "--format", "json", "--explain"];
    let there = spandrel(&[&asked[..], &["--filter", r#"tags contains "1" or tags contains "2""#]].concat());
    assert!(wrong.is_empty(), "{wrong:?}");
    for (points, error) in &measured {
        assert_eq!(points[0]["recall"], 1.0, "{points} {error}");
        assert!(points[0]["matches"].as_f64().unwrap() > 0.0 && points[0]["plans"].is_object(), "{points}");
    }
    assert!(unfiltered.1.contains("does not match its filter"), "{unfiltered:?}");
    // The parts of a filter with their matches, as they are counted here.
    let there: Value = serde_json::from_str(text(&there.stdout).lines().next().unwrap()).unwrap();
    let [parts_here, parts] = [&told_here[0], &there].map(|of| of["explanation"]["filter"]["parts"].clone());
    assert_eq!((&parts, parts[1]["matches"].as_u64()), (&parts_here, Some(tagged.count("1") as u64)));
    let (_, filter, plan_told) = &explained[0];
    assert_eq!((&filter["matches"], plan_told), (&tagged.count("1").into(), &filter["plan"]));
    assert!(plan_told.is_string(), "{explained:?}");
    assert!(refused.contains("price") && plan.contains("--filter-plan needs --index"), "{refused} {plan}");
}

#[test]
fn neighbours_come_with_their_attributes() {
    let tagged = Tagged::new();
    let found = tagged.query(&["--with-attributes", "tags", "--filter", r#"tags contains "1""#]);
    for neighbour in found.iter().flat_map(|answer| answer["neighbours"].as_array().unwrap()) {
        let id = neighbour["id"].as_u64().unwrap() as usize;
        let tags = neighbour["attributes"]["tags"].as_array().unwrap();
        let tags: HashSet<String> = tags.iter().map(|tag| tag.as_str().unwrap().to_owned()).collect();
        assert_eq!(tags, tagged.tags[id], "{neighbour}");
    }
    assert_eq!(found, tagged.query(&["--with-attributes", "--filter", r#"tags contains "1""#]));
    let without = tagged.query(&["--filter", r#"tags contains "1""#]);
    assert_eq!(without, tagged.query(&["--filter", r#"{"tags": {"$contains": "1"}}"#]));
    assert!(without[0]["neighbours"][0].get("attributes").is_none() && ids(&without[0]) == ids(&found[0]));
    let (index, queries) = (tagged.path("index"), tagged.path("queries.u8bin"));
    let query = ["query", "--index", &index, "--queries", &queries, "--with-attributes"];
    let lines = run(&query);
    let (head, rest) = lines.split_once('\n').unwrap();
    assert_eq!(head, "query\trank\tid\tdistance\tattributes");
    assert!(rest.lines().all(|line| line.split('\t').nth(4).unwrap().starts_with("{\"tags\":")), "{rest}");
    for (flag, code, says) in [
        ("tagz", 1, "no attribute `tagz`; the nearest is `tags`"),
        ("tags,tags", 1, "named twice"),
        ("--radius=9", 2, "cannot be used with"),
    ] {
        let refused = spandrel(&[&query[..], &[flag]].concat());
        assert!(text(&refused.stderr).contains(says), "{flag}: {}", text(&refused.stderr));
        assert_eq!(refused.status.code(), Some(code), "{flag}");
    }
}

#[test]
fn what_is_no_filter_of_the_index_is_refused() {
    let tagged = Tagged::new();
    let (index, queries, few) =
        (tagged.path("index"), tagged.path("queries.u8bin"), tagged.path("few.u8bin"));
    run(&["data", "crop", &queries, &few, "--rows", "0..5"]);
    let query = ["query", "--index", &index, "--queries", &few];
    for (flags, code, says) in [
        (&["--filter", "tags contains"][..], 2, "at byte 13 of the filter"),
        (&["--filter", "price < 3"], 1, "price"),
        (&["--filter", "tags contains 3", "--filters", "f.jsonl"], 2, "cannot be used with"),
        (
            &["--filters", &tagged.path("filters.jsonl")],
            1,
            "filters.jsonl: filters for 20 queries, one a line or a row of the matrix; there are 5 queries",
        ),
        (&["--filters", "filters.txt"], 1, "filters.txt"),
    ] {
        let refused = spandrel(&[&query[..], flags].concat());
        assert!(text(&refused.stderr).contains(says), "{flags:?}: {}", text(&refused.stderr));
        assert_eq!(refused.status.code(), Some(code), "{flags:?}: {}", text(&refused.stderr));
    }
    let recall = ["recall", "--index", &index, "--filters", &tagged.path("filters.jsonl")];
    let refused = spandrel(&recall);
    assert!(text(&refused.stderr).contains("--filters needs --queries"), "{}", text(&refused.stderr));
    let plain = tagged.path("plain");
    run(&["build", "--base", &few, "--metric", "l2", "--no-calibrate", "--out", &plain]);
    let refused = spandrel(&["query", "--index", &plain, "--queries", &few, "--filter", "price < 3"]);
    assert!(text(&refused.stderr).contains("build the index with --attributes"), "{}", text(&refused.stderr));
}
