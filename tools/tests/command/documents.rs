//! Documents of many vectors, from the truth to a measurement.
use std::fs;
use std::path::Path;

use serde_json::Value;

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
        (&[&offsets[..], &["--ids", &documents]].concat(), "cannot be used with"),
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
    let mut expected = "query\trank\tid\tdistance\n".to_owned();
    for (query, (ids, scores)) in BEST.iter().zip(SCORES).enumerate() {
        for (rank, (id, score)) in ids.iter().zip(scores).enumerate() {
            expected += &format!("{query}\t{}\t{id}\t{score}\n", rank + 1);
        }
    }
    assert_eq!(run(&query), expected);
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

    // What does not go together is refused, with advice.
    let plain = path("plain");
    run(&["build", "--base", &base, "--metric", "ip", "--code", "rabitq:2", "--out", &plain]);
    let explain = [&query[..], &["--explain"]].concat();
    let any = [&query[..], &["--distances", "any"]].concat();
    let filtered = [&query[..], &["--filter", "a = 1"]].concat();
    for (args, says) in [
        (&["query", "--index", &index, "--queries", &queries][..], "give --query-documents FILE"),
        (&[&["query", "--index", &plain], &asked[..]].concat(), "leave out --query-documents"),
        (&explain, "--explain or --stages is not supported so far"),
        (&any, "MaxSim is exact"),
        (&filtered, "leave the filter out"),
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
        (&["--ids", &documents][..], "--ids"),
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
