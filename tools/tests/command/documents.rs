//! Documents of many vectors, from the truth to a measurement.
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::json::explained;
use crate::support::{run, spandrel, text};

/// Writes a file of offsets.
fn write_offsets(path: &str, offsets: &[u32]) {
    let words = [&[offsets.len() as u32, 1], offsets].concat();
    fs::write(path, words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
}

/// Five documents in a row each of two bytes; the first query is (1, 0) and (0, 1), the second (3, 1).
fn write_small(path: impl Fn(&str) -> String) {
    let rows = |file: &str, rows: &[[i8; 2]]| {
        let mut bytes = [(rows.len() as u32).to_le_bytes(), 2_u32.to_le_bytes()].concat();
        bytes.extend(rows.iter().flatten().map(|&x| x.cast_unsigned()));
        fs::write(path(file), bytes).unwrap();
    };
    rows("base.i8bin", &[[5, 0], [0, 1], [3, 3], [0, 6], [-4, -4], [1, 5], [5, 1], [6, 0]]);
    write_offsets(&path("documents.ibin"), &[0, 2, 3, 5, 7, 8]);
    rows("queries.i8bin", &[[1, 0], [0, 1], [3, 1]]);
    write_offsets(&path("query-documents.ibin"), &[0, 2, 3]);
}

/// MaxSim: query 0 has 6, 6, 6, 10, 6 and query 1 has 15, 12, 6, 16, 18 of documents 0 to 4.
const BEST: [[u32; 3]; 2] = [[3, 0, 1], [4, 3, 0]];
const SCORES: [[f32; 3]; 2] = [[10.0, 6.0, 6.0], [18.0, 16.0, 15.0]];

#[test]
fn truth_of_documents_is_exact_and_ties_go_by_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    write_small(path);
    let [base, queries, documents, query_documents, out] =
        ["base.i8bin", "queries.i8bin", "documents.ibin", "query-documents.ibin", "truth.ibin"].map(path);
    let files = ["--base", &base, "--queries", &queries, "--out", &out, "--k", "3"];
    let truth = [&["data", "truth", "--metric", "ip"], &files[..]].concat();
    let offsets = ["--documents", &documents, "--query-documents", &query_documents];
    let said = run(&[&truth[..], &offsets].concat());
    assert!(said.contains("3 best of 5 documents (8 vectors) for each of 2 query documents"), "{said}");
    let mut expected: Vec<u8> = [2_u32, 3].map(u32::to_le_bytes).concat();
    expected.extend(BEST.as_flattened().iter().flat_map(|id| id.to_le_bytes()));
    expected.extend(SCORES.as_flattened().iter().flat_map(|score| score.to_le_bytes()));
    assert_eq!(fs::read(&out).unwrap(), expected);

    fs::remove_file(&out).unwrap();
    let refused = |offsets: &[u32], says: &str| {
        write_offsets(&path("wrong.ibin"), offsets);
        let wrong = path("wrong.ibin");
        for flags in [
            ["--documents", &wrong, "--query-documents", &query_documents],
            ["--documents", &documents, "--query-documents", &wrong],
        ] {
            let output = spandrel(&[&truth[..], &flags].concat());
            let error = text(&output.stderr);
            assert!(output.status.code() == Some(1) && error.contains(says), "{error}");
            assert!(!Path::new(&out).exists());
        }
    };
    refused(&[0, 2, 1, 8], "document 1 starts at row 2 and ends at row 1");
    refused(&[0, 1, 1, 3], "document 1 has no vectors");
    refused(&[1, 3], "the first offset is 1, expected 0");
    refused(&[0, 99], "the last offset is 99, expected");
    for (flags, says) in [
        (&["--documents", &documents][..], "--query-documents"),
        (&[&offsets[..], &["--metric", "l2"]].concat(), "cannot be used multiple times"),
        (&[&offsets[..], &["--radius", "1"]].concat(), "cannot be used with"),
    ] {
        let output = spandrel(&[&truth[..], flags].concat());
        assert!(text(&output.stderr).contains(says), "{}", text(&output.stderr));
        assert_eq!(output.status.code(), Some(2));
    }
    let by_l2 = [&["data", "truth", "--metric", "l2"], &files[..], &offsets].concat();
    assert!(text(&spandrel(&by_l2).stderr).contains("give --metric ip"));
}

/// The value that a command prints with `--format json`.
fn json(args: &[&str]) -> Value {
    serde_json::from_str(&run(&[args, &["--format", "json"]].concat())).unwrap()
}

/// The answers to the small queries, as `query` prints them.
fn expected() -> String {
    let mut expected = "query\trank\tid\tdistance\n".to_owned();
    for (query, (ids, scores)) in BEST.iter().zip(SCORES).enumerate() {
        for (rank, (id, score)) in ids.iter().zip(scores).enumerate() {
            expected += &format!("{query}\t{}\t{id}\t{score}\n", rank + 1);
        }
    }
    expected
}

#[test]
fn an_index_of_documents_answers_with_documents() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    write_small(path);
    let [base, queries, documents, query_documents, truth, index] =
        ["base.i8bin", "queries.i8bin", "documents.ibin", "query-documents.ibin", "truth.ibin", "index"]
            .map(path);
    let shape = ["--base", &base, "--metric", "ip", "--code", "rabitq:2", "--documents", &documents];
    let plan = json(&[&["plan"], &shape[..]].concat());
    assert_eq!(plan["documents"]["count"], 5);
    assert_eq!(plan["documents"]["search_memory"], 4 * (5 + 1 + 8));
    assert!(plan["column"].is_null());
    let build = [&["build", "--out", &index], &shape[..]].concat();
    run(&build);
    let told = json(&["inspect", &index]);
    assert_eq!((&told["documents"]["count"], &told["documents"]["vectors_max"]), (&5.into(), &2.into()));
    assert!(run(&["inspect", &index]).contains("5, of 1.60 vectors each, 2 at most"));
    run(&["verify", &index, "--deep"]);

    let asked = ["--queries", &queries, "--query-documents", &query_documents];
    let query = [&["query", "--index", &index, "--k", "3"], &asked[..]].concat();
    assert_eq!(run(&query), expected());
    let mut truth_of = vec!["data", "truth", "--metric", "ip", "--k", "3", "--base", &base, "--out", &truth];
    truth_of.extend(["--documents", &documents].iter().chain(&asked));
    run(&truth_of);
    let points = path("points.json");
    let bench =
        [&["bench", "--index", &index, "--truth", &truth, "--k", "3", "--seconds", "0"], &asked[..]].concat();
    run(&[&bench[..], &["--rerank", "3,5", "--max-lists", "1", "--json", &points]].concat());
    let points: Value = serde_json::from_slice(&fs::read(&points).unwrap()).unwrap();
    assert_eq!((&points[1]["recall"], &points[1]["documents"]), (&1.0.into(), &5.0.into()));
    assert_eq!((&points[0]["params"]["rerank"], &points[0]["params"]["max_lists"]), (&3.into(), &1.into()));
}

#[test]
fn an_answer_of_documents_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let [base, queries, documents, query_documents, ids, known, filters, index] = write_known(path);
    let shape = ["--base", &base, "--metric", "ip", "--code", "rabitq:2", "--documents", &documents];
    run(&[&["build", "--out", &index, "--ids", &ids, "--attributes", &known], &shape[..]].concat());
    let asked = ["--queries", &queries, "--query-documents", &query_documents];
    let query = [&["query", "--index", &index, "--k", "3", "--explain"], &asked[..]].concat();
    let text = run(&[&query[..], &["--rerank", "4"]].concat());
    assert!(
        text.contains("# query 0: 2 searches by tokens, at most 1 lists planned for each, at most 4"),
        "{text}"
    );
    assert!(text.contains("# query 1: 1 searches") && text.contains("stopped by count"), "{text}");
    let lines = |flags: &[&str]| -> Vec<Value> {
        let lines = run(&[&query[..], flags, &["--format", "json"]].concat());
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    for (line, searches) in lines(&["--rerank", "4"]).iter().zip([2, 1]) {
        explained("query", line);
        let (told, documents) = (&line["explanation"], &line["explanation"]["documents"]);
        assert_eq!((&documents["by"], &told["stop"]), (&"tokens".into(), &"count".into()), "{told}");
        assert_eq!(documents["searches"].as_array().unwrap().len(), searches);
        assert_eq!(documents["searches"][0]["codes"], 8, "{told}");
        assert_eq!(documents["compared"].as_array().unwrap().len(), 4);
        assert!(told["times_us"]["rerank"].as_f64().unwrap() > 0.0, "{told}");
    }
    let few = &lines(&["--filters", &filters])[0]["explanation"];
    assert_eq!(
        (&few["documents"]["by"], &few["filter"]["reason"]),
        (&"filter".into(), &"few".into()),
        "{few}"
    );
    assert_eq!(few["filter"]["parts"][0]["matches"], 2, "{few}");
    let compared: Vec<&Value> =
        few["documents"]["compared"].as_array().unwrap().iter().map(|of| &of["id"]).collect();
    assert_eq!(compared, [30, 90]);
}

#[test]
fn documents_are_searched_by_encodings() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    write_small(path);
    let [base, queries, documents, query_documents, encoded] =
        ["base.i8bin", "queries.i8bin", "documents.ibin", "query-documents.ibin", "encoded"].map(path);
    let shape = ["--base", &base, "--metric", "ip", "--code", "rabitq:2", "--documents", &documents];
    let asked = ["--queries", &queries, "--query-documents", &query_documents];
    let by = ["--document-encoding", "muvera:R=4,k=2,d=2"];
    let plan = json(&[&["plan"], &shape[..], &by].concat());
    assert_eq!((&plan["vectors"], &plan["documents"]["count"]), (&5.into(), &5.into()));
    assert_eq!(plan["documents"]["encoding"], "muvera:R=4,k=2,d=2,dim=32,empty=zero");
    run(&[&["build", "--out", &encoded], &shape[..], &by].concat());
    let told = json(&["inspect", &encoded]);
    assert_eq!((&told["dim"], &told["documents"]["vectors"]), (&32.into(), &8.into()));
    assert_eq!(told["documents"]["encoding"], plan["documents"]["encoding"]);
    let words = run(&["inspect", &encoded]);
    assert!(words.contains("2 at most, by muvera:R=4"), "{words}");
    // All documents are fewer than are compared of more: 60 were told of, as of lists of tokens.
    assert!(words.contains("lists for each query document, 5 documents compared"), "{words}");
    assert_eq!(told["documents"]["default_compared"], 5);
    run(&["verify", &encoded, "--deep"]);
    // The same answers where all documents are compared.
    assert_eq!(run(&[&["query", "--index", &encoded, "--k", "3"], &asked[..]].concat()), expected());
    for (by, says) in
        [("muvera:k=0", "k of 0 is not in 1 to 12"), ("muvera:d=3", "1 to 2, the elements of a token")]
    {
        let by = ["build", "--out", &path("none"), "--document-encoding", by];
        assert!(text(&spandrel(&[&by, &shape[..]].concat()).stderr).contains(says), "{says}");
    }

    // A plan says what a build says that it would do, of codes on SSD too.
    let plain_shape = ["--base", &base, "--metric", "ip", "--documents", &documents, "--codes", "ssd"];
    let plan = json(&[&["plan"], &plain_shape[..], &by].concat());
    let dry = json(&[&["build", "--dry-run", "--out", &path("none")], &plain_shape[..], &by].concat());
    for key in ["code", "codes", "lists"] {
        assert_eq!(plan[key], dry[key], "{key}");
    }
    assert_eq!((&dry["code"], &dry["codes"]), (&"rabitq:1".into(), &"ssd".into()));
}

#[test]
fn what_does_not_go_with_documents_is_refused_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    write_small(path);
    let [base, queries, documents, query_documents, index, plain] =
        ["base.i8bin", "queries.i8bin", "documents.ibin", "query-documents.ibin", "index", "plain"].map(path);
    let shape = ["--base", &base, "--metric", "ip", "--code", "rabitq:2", "--documents", &documents];
    let build = [&["build", "--out", &index], &shape[..]].concat();
    run(&build);
    let asked = ["--queries", &queries, "--query-documents", &query_documents];
    let query = [&["query", "--index", &index, "--k", "3"], &asked[..]].concat();
    run(&["build", "--base", &base, "--metric", "ip", "--code", "rabitq:2", "--out", &plain]);
    let any = [&query[..], &["--distances", "any"]].concat();
    let filtered = [&query[..], &["--filter", "a = 1"]].concat();
    let planned = [&query[..], &["--filter", "id = 1", "--filter-plan", "exact"]].concat();
    for (args, says) in [
        (&["query", "--index", &index, "--queries", &queries][..], "give --query-documents FILE"),
        (&[&["query", "--index", &plain], &asked[..]].concat(), "leave out --query-documents"),
        (&any, "MaxSim is exact"),
        (&filtered, "build the index with --attributes"),
        (&planned, "--filter-plan is not supported so far"),
        (
            &["join", "--index", &index, "--self", "--out", &path("j.ibin")],
            "are not joined; build an index of the vectors",
        ),
    ] {
        let output = spandrel(args);
        let error = text(&output.stderr);
        assert!(output.status.code() == Some(1) && error.contains(says), "{args:?}: {error}");
    }
    for flag in [["--recall", "0.9"], ["--radius", "1"], ["--epsilon", "1"], ["--column-queries", "a=b"]] {
        let output = spandrel(&[&query[..], &flag].concat());
        assert!(
            output.status.code() == Some(2) && text(&output.stderr).contains("cannot be used with"),
            "{flag:?}"
        );
    }
    for (flags, says) in [
        (&["--replace", "--ids", &documents][..], "5, one for each document"),
        (&["--column", "fine=base.i8bin:ip"], "cannot be used with"),
        (&["--replace", "--code", "full"], "cannot be used multiple times"),
    ] {
        let output = spandrel(&[&build[..], flags].concat());
        assert!(
            output.status.code() != Some(0) && text(&output.stderr).contains(says),
            "{}",
            text(&output.stderr)
        );
    }
}

/// Documents with ids and an attribute, and filters of the queries, by their names; the last is that of an index.
fn write_known(path: impl Fn(&str) -> String) -> [String; 8] {
    write_small(&path);
    write_offsets(&path("ids.ibin"), &[70, 30, 50, 10, 90]);
    fs::write(
        path("known.jsonl"),
        "{\"id\": 70, \"kind\": \"a\"}\n{\"id\": 30, \"kind\": \"b\"}\n{\"id\": 50, \"kind\": \"a\"}\n{\"id\": 10, \"kind\": \"a\"}\n{\"id\": 90, \"kind\": \"b\"}\n",
    )
    .unwrap();
    fs::write(
        path("filters.jsonl"),
        "{\"filter\": {\"kind\": \"b\"}}\n{\"filter\": {\"id\": {\"$nin\": [90, 10]}}}\n",
    )
    .unwrap();
    [
        "base.i8bin",
        "queries.i8bin",
        "documents.ibin",
        "query-documents.ibin",
        "ids.ibin",
        "known.jsonl",
        "filters.jsonl",
        "index",
    ]
    .map(path)
}

#[test]
fn documents_have_ids_and_attributes_of_their_own() {
    ids_and_attributes_hold(&[]);
}

#[test]
fn encoded_documents_have_ids_and_attributes_of_their_own() {
    ids_and_attributes_hold(&["--document-encoding", "muvera:R=4,k=2,d=2"]);
}

fn ids_and_attributes_hold(by: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let [base, queries, documents, query_documents, ids, known, filters, index] = write_known(path);
    let shape = ["--base", &base, "--metric", "ip", "--code", "rabitq:2", "--documents", &documents];
    let beside = ["--ids", &ids, "--attributes", &known];
    run(&[&["build", "--out", &index], &shape[..], &beside, by].concat());
    run(&["verify", &index, "--deep"]);
    let told = json(&["inspect", &index]);
    assert_eq!(told["attributes"][0]["name"], "kind");
    assert!(told["documents"]["ids_hash"].is_string());
    assert!(run(&["inspect", &index]).contains("with ids of their own"));
    let asked = ["--queries", &queries, "--query-documents", &query_documents];
    let query = [&["query", "--index", &index, "--k", "3"], &asked[..]].concat();
    // MaxSim of documents 70, 30, 50, 10, 90: 6, 6, 6, 10, 6 and 15, 12, 6, 16, 18.
    let lines = |answers: [&[(u64, f32)]; 2]| {
        let mut text = "query\trank\tid\tdistance\n".to_owned();
        for (query, answer) in answers.iter().enumerate() {
            for (rank, (id, score)) in answer.iter().enumerate() {
                text += &format!("{query}\t{}\t{id}\t{score}\n", rank + 1);
            }
        }
        text
    };
    let best = [&[(10, 10.0), (70, 6.0), (30, 6.0)][..], &[(90, 18.0), (10, 16.0), (70, 15.0)]];
    assert_eq!(run(&query), lines(best));
    let few = [&[(30, 6.0), (90, 6.0)][..], &[(70, 15.0), (30, 12.0), (50, 6.0)]];
    let filtered = run(&[&query[..], &["--filters", &filters]].concat());
    assert_eq!(filtered.replace("# query 0: 2 match\n", ""), lines(few));
    assert!(filtered.contains("# query 0: 2 match\n"), "{filtered}");
    let one = run(&[&query[..], &["--filter", "kind = 'b'", "--with-attributes", "kind"]].concat());
    assert!(one.contains("0\t1\t30\t6\t{\"kind\":\"b\"}") && one.contains("1\t1\t90\t18"), "{one}");
    // Filters of rows in place of documents, and an order by an attribute, are refused.
    fs::write(path("three.jsonl"), "{\"filter\": {\"kind\": \"b\"}}\n".repeat(3)).unwrap();
    let three = path("three.jsonl");
    for (args, says) in [
        (
            &[&query[..], &["--filters", &three]].concat(),
            "filters for 3 queries, one a line or a row of the matrix; there are 2",
        ),
        (
            &[&["build", "--replace", "--out", &index, "--partition-by", "kind"], &shape[..], &beside]
                .concat(),
            "none with --documents: lists hold tokens",
        ),
    ] {
        let output = spandrel(args);
        assert!(!output.status.success() && text(&output.stderr).contains(says), "{}", text(&output.stderr));
    }
}

#[test]
fn a_truth_of_documents_knows_filters_and_ids() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let [base, queries, documents, query_documents, ids, known, filters, index] = write_known(path);
    let truth = path("truth.ibin");
    let shape = ["--base", &base, "--metric", "ip", "--code", "rabitq:2", "--documents", &documents];
    let encoded = path("encoded");
    let build = |out: &str, by: &[&str]| {
        let beside = ["build", "--out", out, "--ids", &ids, "--attributes", &known];
        run(&[&beside[..], &shape, by].concat());
    };
    build(&index, &[]);
    build(&encoded, &["--document-encoding", "muvera:R=4,k=2,d=2"]);
    let asked = ["--queries", &queries, "--query-documents", &query_documents];
    let truth_of = [
        &[
            "data",
            "truth",
            "--metric",
            "ip",
            "--k",
            "3",
            "--base",
            &base,
            "--out",
            &truth,
            "--documents",
            &documents,
        ],
        &asked[..],
        &["--ids", &ids, "--filters", &filters, "--attributes", &known],
    ]
    .concat();
    let said = run(&truth_of);
    assert!(said.contains("2 different filters; fewer than 3 match for 1 of the queries"), "{said}");
    let words: Vec<u32> =
        fs::read(&truth).unwrap().as_chunks::<4>().0.iter().map(|&word| u32::from_le_bytes(word)).collect();
    assert_eq!(words[..8], [2, 3, 30, 90, u32::MAX, 70, 30, 50]);
    let of = ["--truth", &truth, "--k", "3", "--seconds", "0", "--filters", &filters];
    for index in [&index, &encoded] {
        let points = json(&[&["bench", "--index", index], &asked[..], &of].concat());
        assert_eq!((&points[0]["recall"], &points[0]["matches"]), (&1.0.into(), &2.5.into()));
    }
    // A truth of numbers of documents, which --ids names.
    let plain = path("plain.ibin");
    let of_all = ["data", "truth", "--metric", "ip", "--k", "3", "--base", &base, "--out", &plain];
    run(&[&of_all[..], &["--documents", &documents], &asked].concat());
    let of = ["--truth", &plain, "--ids", &ids, "--k", "3", "--seconds", "0"];
    let points = json(&[&["bench", "--index", &index], &asked[..], &of].concat());
    assert_eq!(points[0]["recall"], 1.0);
}
