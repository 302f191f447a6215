//! An index that is searched and measured, and reports of that.
use std::fs;

use crate::support::{Server, run, spandrel, text};

#[test]
fn all_within_a_radius_are_searched_and_measured() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (base, queries, index, truth) = (path("b.u8bin"), path("q.u8bin"), path("index"), path("t.bin"));
    let generate = ["data", "generate", "sift", "--vectors", "2000", "--dim", "32", "--queries", "20"];
    run(&[&generate[..], &["--out", &base, "--queries-out", &queries]].concat());
    let of_radius = ["--queries", &queries, "--radius", "60000"];
    run(&[&["data", "truth", "--base", &base, "--metric", "l2", "--out", &truth], &of_radius[..]].concat());
    run(&["build", "--base", &base, "--metric", "l2", "--out", &index, "--no-calibrate"]);

    let query = [&["query", "--index", &index], &of_radius[..]].concat();
    let lines = run(&query);
    let results = u32::from_le_bytes(fs::read(&truth).unwrap()[4..8].try_into().unwrap()) as usize;
    assert!(results > 100, "{results}");
    assert_eq!(lines.lines().count(), 1 + results);
    // Distances of bytes are exact, so that the files are one.
    run(&[&query[..], &["--out", &path("found.bin")]].concat());
    assert_eq!(fs::read(path("found.bin")).unwrap(), fs::read(&truth).unwrap());
    let best = spandrel(&[&query[..], &["--max-results", "2"]].concat());
    assert!(text(&best.stdout).lines().count() <= 1 + 2 * 20);
    assert!(text(&best.stderr).contains("cut short by max_results"), "{}", text(&best.stderr));
    let json = run(&[&query[..], &["--format", "json", "--max-results", "1"]].concat());
    assert_eq!(json.lines().count(), 20);
    assert!(json.contains("\"limited_by\":\"max_results\""), "{json}");

    let bench = [&["bench", "--index", &index, "--truth", &truth, "--seconds", "0"], &of_radius[..]].concat();
    let shares = ["--completeness", "0.95,1", "--json", &path("f.json")];
    let said = run(&[&bench[..], &shares].concat());
    assert!(said.contains("all within a radius") && said.contains("average precision"), "{said}");
    let figures: serde_json::Value = serde_json::from_slice(&fs::read(path("f.json")).unwrap()).unwrap();
    assert_eq!((&figures[1]["recall"], &figures[1]["average_precision"]), (&1.0.into(), &1.0.into()));
    assert!(figures[0]["recall"].as_f64().unwrap() >= 0.95, "{figures}");
    assert_eq!(figures[1]["results"], results as f64 / 20.0);
    // What is told is of a warm index, as it is of the nearest.
    run(&[&bench[..], &["--cache", "4MiB", "--json", &path("c.json")]].concat());
    let warm: serde_json::Value = serde_json::from_slice(&fs::read(path("c.json")).unwrap()).unwrap();
    let of = |point: &serde_json::Value, key: &str| point[key].as_f64().unwrap();
    assert!(of(&warm[0], "cache_hits") > 0.0 && of(&warm[0], "pages") < of(&figures[1], "pages"), "{warm}");
    let staged = spandrel(&[&bench[..], &["--stages"]].concat());
    assert!(text(&staged.stderr).contains("cannot be used with"), "{}", text(&staged.stderr));
    for flags in [["--rpc", "unary"], ["--rate", "5"]] {
        let asked = spandrel(&[&["query", "--server", "127.0.0.1:1"], &of_radius[..], &flags].concat());
        assert!(text(&asked.stderr).contains(&format!("'{}", flags[0])), "{}", text(&asked.stderr));
        assert_eq!(asked.status.code(), Some(2));
    }

    for (flags, says) in [
        (&["--k", "3"][..], "cannot be used with"),
        (&["--max-lists", "3"], "cannot be used with"),
        (&["--completeness", "1.5"], "expected a share from 0 to 1"),
    ] {
        let refused = spandrel(&[&query[..], flags].concat());
        assert!(text(&refused.stderr).contains(says), "{}", text(&refused.stderr));
    }
    let negative = spandrel(&["query", "--index", &index, "--queries", &queries, "--radius", "-1"]);
    assert!(text(&negative.stderr).contains("radius is -1, expected a finite number of 0 or more for l2"));
    // A truth of the nearest has another layout.
    run(&[
        "data",
        "truth",
        "--base",
        &base,
        "--queries",
        &queries,
        "--metric",
        "l2",
        "--out",
        &path("t.ibin"),
    ]);
    let other =
        ["bench", "--index", &index, "--queries", &queries, "--radius", "1", "--truth", &path("t.ibin")];
    assert!(text(&spandrel(&other).stderr).contains("file is oversized"));
}

/// A small index with queries and their truth.
struct Small {
    folder: tempfile::TempDir,
    base: String,
    queries: String,
    index: String,
    truth: String,
}

impl Small {
    fn built() -> Small {
        let folder = tempfile::tempdir().unwrap();
        let [base, queries, index, truth] =
            ["b.u8bin", "q.u8bin", "index", "t.ibin"].map(|name| path_in(&folder, name));
        let generate = ["data", "generate", "sift", "--vectors", "2000", "--dim", "32", "--queries", "50"];
        run(&[&generate[..], &["--out", &base, "--queries-out", &queries]].concat());
        let of = ["--base", &base, "--metric", "l2", "--out"];
        run(&[&["data", "truth", "--queries", &queries, "--k", "10"], &of[..], &[&truth]].concat());
        run(&[&["build"], &of[..], &[&index]].concat());
        Small { folder, base, queries, index, truth }
    }

    fn path(&self, name: &str) -> String {
        path_in(&self.folder, name)
    }

    /// A command over its queries.
    fn of<'a>(&'a self, command: &'a str, flags: &[&'a str]) -> Vec<&'a str> {
        [&[command, "--index", &self.index, "--queries", &self.queries], flags].concat()
    }
}

fn path_in(folder: &tempfile::TempDir, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().to_owned()
}

#[test]
fn an_index_is_searched_and_measured() {
    let small = Small::built();
    assert!(run(&["verify", &small.index, "--deep"]).starts_with("good: version 1,"));
    assert!(run(&["inspect", &small.index]).contains("2 000 of 32 x u8, l2"));
    its_queries_are_answered(&small);
    let figures = its_points_are_measured(&small);
    a_recall_is_asked_for(&small);
    a_recall_that_is_not_reached_is_told(&small);
    its_recall_is_measured_without_a_truth(&small, &figures);
    what_does_not_fit_is_refused(&small);
}

fn its_queries_are_answered(small: &Small) {
    let search = small.of("query", &["--k", "3", "--max-lists", "1000"]);
    let lines = run(&search);
    assert_eq!(lines.lines().count(), 1 + 50 * 3);
    assert!(lines.starts_with("query\trank\tid\tdistance\n0\t1\t"), "{lines}");
    // An index of fewer vectors than asked for gives all.
    let all = run(&small.of("query", &["--k", "2001"]));
    assert_eq!(all.lines().count(), 1 + 50 * 2000);
    run(&[&search[..], &["--io", "pread", "--direct", "off", "--out", &small.path("r.ibin")]].concat());
    assert!(
        run(&["data", "info", &small.path("r.ibin")])
            .contains("the 3 nearest for each of 50 queries, with distances")
    );
    run(&[&search[..], &["--out", &small.path("r.npy")]].concat());
    assert_eq!(fs::metadata(small.path("r.npy")).unwrap().len(), 128 + 50 * 3 * 8);

    // Remarks go with the answers, which stay as they are.
    let explained = run(&[&search[..], &["--explain"]].concat());
    let answers: Vec<&str> = explained.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(answers, lines.lines().collect::<Vec<_>>());
    assert_eq!(explained.matches("# query ").count(), 50);
    let objects = run(&[&search[..], &["--explain", "--format", "json"]].concat());
    for object in objects.lines() {
        let object: serde_json::Value = serde_json::from_str(object).unwrap();
        let told = &object["explanation"];
        let scanned: u64 =
            told["lists"].as_array().unwrap().iter().map(|l| l["scanned"].as_u64().unwrap()).sum();
        assert!(told["codes"] == scanned && scanned > 0, "{told}");
        assert!(
            told["compared"].as_array().unwrap().iter().any(|v| v["id"] == object["neighbours"][0]["id"])
        );
    }
}

/// Measures four points: the figures of each.
fn its_points_are_measured(small: &Small) -> serde_json::Value {
    let bench = small.of("bench", &["--truth", &small.truth, "--seconds", "0"]);
    let (json, html) = (small.path("f.json"), small.path("f.html"));
    let points = ["--max-lists", "1,1000", "--in-flight", "1,2", "--rerank", "2000"];
    run(&[&bench[..], &points, &["--json", &json, "--html", &html]].concat());
    let figures: serde_json::Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    assert_eq!(figures.as_array().unwrap().len(), 4);
    // Every list is read and every vector compared, so every neighbour is found.
    assert_eq!(figures[1]["recall"], 1.0);
    assert!(figures[0]["recall"].as_f64().unwrap() < 1.0);
    assert!(run(&["report", &json]).contains("2 in flight"));
    figures
}

/// A row for each recall that is asked for.
fn a_recall_is_asked_for(small: &Small) {
    let bench = small.of("bench", &["--truth", &small.truth, "--seconds", "0", "--recall", ".5,.9"]);
    let json = small.path("r.json");
    run(&[&bench[..], &["--json", &json]].concat());
    let asked: serde_json::Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    let of = |row: usize, key: &str| asked[row][key].as_f64().unwrap();
    assert_eq!((&asked[0]["params"]["recall"], &asked[1]["params"]["recall"]), (&0.5.into(), &0.9.into()));
    assert!(of(0, "expected_recall") > 0.4999 && of(1, "expected_recall") > 0.8999, "{asked}");
    assert!(of(0, "recall") < of(1, "recall") && of(1, "recall") > 0.8, "{asked}");
    let found = run(&small.of("query", &["--k", "3", "--recall", "0.9"]));
    assert_eq!(found.lines().count(), 1 + 50 * 3);
    let both = spandrel(&small.of("query", &["--recall", ".9", "--epsilon", "1"]));
    assert_eq!(both.status.code(), Some(2), "{}", text(&both.stderr));
    let of_rows = ["recall", "--index", &small.index, "--recall", ".5,.9", "--sample", "100"];
    let rows = run(&[&of_rows[..], &["--format", "json"]].concat());
    let rows: serde_json::Value = serde_json::from_str(&rows).unwrap();
    let recall = |row: usize| rows["points"][row]["recall"].as_f64().unwrap();
    assert!(recall(0) < recall(1), "{rows}");
}

/// In a remark, and in JSON with each answer, in process and by a server.
fn a_recall_that_is_not_reached_is_told(small: &Small) {
    let server = Server::of(&format!("a={}", small.index));
    let own = ["query", "--index", &small.index, "--queries", &small.queries];
    let asked = ["query", "--server", &server.address, "--queries", &small.queries];
    for fixed in [own, asked] {
        let found = |flags: &[&str]| {
            let output = spandrel(&[&fixed[..], flags, &["--format", "json"]].concat());
            assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
            let first = text(&output.stdout).lines().next().unwrap();
            let answer: serde_json::Value = serde_json::from_str(first).unwrap();
            (answer["promise"].clone(), text(&output.stderr).to_owned())
        };
        let (promise, remarks) = found(&["--recall", "1"]);
        assert_eq!((&promise["target"], &promise["reached"]), (&1.0.into(), &false.into()), "{promise}");
        assert!(promise["expected_recall"].as_f64().unwrap() < 1.0, "{promise}");
        assert!(remarks.contains("note: 50 answers may not reach recall 1: 0.9"), "{remarks}");
        let (promise, remarks) = found(&["--k", "1000", "--recall", ".9", "--max-lists", "1"]);
        assert_eq!(promise["reached"], false, "{promise}");
        assert!(remarks.contains(" recall 0.9"), "{remarks}");
        let (promise, remarks) = found(&[]);
        assert_eq!((&promise["target"], &promise["reached"]), (&0.95.into(), &true.into()), "{promise}");
        assert!(!remarks.contains("note:"), "{remarks}");
        let (promise, remarks) = found(&["--max-lists", "3"]);
        assert!(promise.is_null() && !remarks.contains("note:"), "{promise}: {remarks}");
    }
}

/// The same recall as with a truth from a file.
fn its_recall_is_measured_without_a_truth(small: &Small, figures: &serde_json::Value) {
    let recall = ["recall", "--index", &small.index, "--format", "json", "--rerank", "2000"];
    let measured = |flags: &[&str]| -> serde_json::Value {
        serde_json::from_str(&run(&[&recall[..], flags].concat())).unwrap()
    };
    let few = measured(&["--queries", &small.queries, "--max-lists", "1"]);
    let point = &few["points"][0];
    assert_eq!((&point["recall"], &point["queries"]), (&figures[0]["recall"], &serde_json::json!(50)));
    let end = |name: &str| point[name].as_f64().unwrap();
    assert!(end("recall_low") < end("recall") && end("recall") < end("recall_high"), "{few}");
    let rows = measured(&["--max-lists", "1000", "--sample", "70", "--memory", "64MiB"]);
    assert_eq!((&rows["points"][0]["recall"], &rows["points"][0]["queries"]), (&1.0.into(), &70.into()));
    let refused = spandrel(&["recall", "--index", &small.index, "--memory", "1MiB"]);
    assert!(text(&refused.stderr).contains("--memory allows 1MiB"), "{}", text(&refused.stderr));
}

fn what_does_not_fit_is_refused(small: &Small) {
    let Small { folder, base, queries, index, truth } = small;
    for (args, says) in [
        (&["query", "--index", index, "--queries", truth][..], "t.ibin"),
        (&["query", "--index", "/no/such", "--queries", queries], "spandrel build"),
        (&["bench", "--index", index, "--queries", base, "--truth", truth], "2000"),
        (&["bench", "--index", index, "--queries", queries, "--truth", truth, "--k", "11"], "recall at 11"),
        (&["verify", folder.path().to_str().unwrap()], "no index here"),
    ] {
        let output = spandrel(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(text(&output.stderr).contains(says), "{args:?}: {}", text(&output.stderr));
    }
    for args in
        [&["query", "--index", index, "--queries", queries, "--k", "0"][..], &["bench", "--index", index]]
    {
        assert_eq!(spandrel(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn reports_are_printed_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("ours.json"), r#"[{"recall": 0.93, "qps": 4000}, {"recall": 0.97, "qps": 1000}]"#)
        .unwrap();
    fs::write(path("theirs.json"), "{\"peer\": \"graph\", \"recall\": 0.95, \"qps\": 500}\n").unwrap();
    let output = spandrel(&[
        "report",
        &path("ours.json"),
        &path("theirs.json"),
        "--html",
        &path("r.html"),
        "--svg",
        &path("r.svg"),
        "-q",
    ]);
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
    assert!(text(&output.stdout).contains("0.25x"), "{}", text(&output.stdout));
    assert!(fs::read_to_string(path("r.html")).unwrap().ends_with("</html>\n"));
    assert!(fs::read_to_string(path("r.svg")).unwrap().starts_with("<svg "));
}

/// Queries of floats were refused by an index of bytes, though gRPC takes them.
#[test]
fn queries_of_another_type_are_taken_where_they_convert() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (base, queries, floats) = (path("b.u8bin"), path("q.u8bin"), path("q.fbin"));
    let size = ["--vectors", "1000", "--dim", "16", "--out", &base];
    run(&[&["data", "generate", "sift"], &size[..], &["--queries", "20", "--queries-out", &queries]].concat());
    run(&["data", "convert", &queries, &floats]);
    let truth = |queries: &str, out: &str| {
        let out = path(out);
        run(&[
            "data",
            "truth",
            "--base",
            &base,
            "--queries",
            queries,
            "--metric",
            "l2",
            "--k",
            "10",
            "--out",
            &out,
        ]);
        fs::read(out).unwrap()
    };
    assert_eq!(truth(&queries, "t.ibin"), truth(&floats, "f.ibin"));
    run(&["build", "--base", &base, "--metric", "l2", "--out", &path("index"), "--no-calibrate"]);
    let query =
        |index: &str, queries: &str| spandrel(&["query", "--index", &path(index), "--queries", queries]);
    let (whole, converted) = (query("index", &queries), query("index", &floats));
    assert_eq!(converted.status.code(), Some(0), "{}", text(&converted.stderr));
    assert!(whole.stdout == converted.stdout && !text(&converted.stderr).contains("rounded"));
    let bench = [
        "bench",
        "--index",
        &path("index"),
        "--queries",
        &floats,
        "--truth",
        &path("t.ibin"),
        "--seconds",
        "0",
    ];
    assert!(text(&spandrel(&bench).stdout).contains("recall"));

    // Half a step beyond a whole number, in the last row.
    let mut bytes = fs::read(&floats).unwrap();
    let at = bytes.len() - 4;
    bytes[at..].copy_from_slice(&7.5_f32.to_le_bytes());
    fs::write(&floats, &bytes).unwrap();
    for refused in [query("index", &floats), spandrel(&bench)] {
        assert_eq!(refused.status.code(), Some(1));
        let says = "q.fbin: row 19, element 15 is 7.5, which u8 cannot hold";
        assert!(text(&refused.stderr).contains(says), "{}", text(&refused.stderr));
    }
    // To f16 they are rounded, with a remark.
    run(&["data", "convert", &base, &path("b.f16bin")]);
    run(&["build", "--base", &path("b.f16bin"), "--metric", "l2", "--out", &path("half"), "--no-calibrate"]);
    let rounded = query("half", &floats);
    assert_eq!(rounded.status.code(), Some(0), "{}", text(&rounded.stderr));
    let said = text(&rounded.stderr);
    assert_eq!(said.matches("queries of f32 are rounded to f16").count(), 1, "{said}");
}
