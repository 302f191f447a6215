//! Several indexes searched as one.
use std::collections::HashMap;
use std::fs;

use serde_json::Value;

use crate::support::{run, spandrel, text};

/// Vectors of bytes with their ids, in an index of their own.
struct Built {
    folder: tempfile::TempDir,
}

impl Built {
    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Rows of the base in parts, each with its row numbers for ids, and an index of all.
    fn new(parts: &[usize]) -> Built {
        let built = Built { folder: tempfile::tempdir().unwrap() };
        let all: usize = parts.iter().sum();
        let (base, queries) = (built.path("all.u8bin"), built.path("q.u8bin"));
        let made = ["data", "generate", "sift", "--dim", "32", "--vectors", &all.to_string(), "--out", &base];
        run(&[&made[..], &["--queries", "40", "--queries-out", &queries]].concat());
        built.build("all", &base, 0..all);
        let mut first = 0;
        for (number, count) in parts.iter().enumerate() {
            let (file, rows) =
                (built.path(&format!("{number}.u8bin")), format!("{first}..{}", first + count));
            run(&["data", "crop", &base, &file, "--rows", &rows]);
            built.build(&format!("part{number}"), &file, first..first + count);
            first += count;
        }
        let truth = built.path("t.ibin");
        run(&[
            "data",
            "truth",
            "--base",
            &base,
            "--queries",
            &queries,
            "--metric",
            "l2",
            "--k",
            "10",
            "--out",
            &truth,
        ]);
        built
    }

    fn build(&self, name: &str, base: &str, rows: std::ops::Range<usize>) {
        let (ids, lines) = (self.path(&format!("{name}.ibin")), self.path(&format!("{name}.jsonl")));
        let head = [rows.len() as u32, 1];
        let numbers = head.into_iter().chain(rows.clone().map(|row| row as u32));
        fs::write(&ids, numbers.flat_map(u32::to_le_bytes).collect::<Vec<u8>>()).unwrap();
        let line = |row: usize| format!("{{\"id\": {row}, \"third\": {}}}\n", row % 3);
        fs::write(&lines, rows.map(line).collect::<String>()).unwrap();
        let out = self.path(name);
        let args =
            ["build", "--base", base, "--metric", "l2", "--out", &out, "--ids", &ids, "--attributes", &lines];
        run(&[&args[..], &["--no-calibrate"]].concat());
    }

    /// What `query` prints of some indexes.
    fn query(&self, indexes: &[&str], flags: &[&str]) -> String {
        let queries = self.path("q.u8bin");
        let dirs: Vec<String> = indexes.iter().map(|name| self.path(name)).collect();
        let mut args = vec!["query", "--queries", &queries];
        dirs.iter().for_each(|dir| args.extend(["--index", dir]));
        run(&[&args[..], flags].concat())
    }
}

const EXACT: [&str; 4] = ["--max-lists", "100000", "--rerank", "100000"];

/// The columns of lines, without the index that follows the distance.
fn columns(lines: &str) -> Vec<Vec<&str>> {
    lines.lines().map(|line| line.split('\t').take(4).collect()).collect()
}

#[test]
fn several_indexes_answer_like_one_of_all() {
    let built = Built::new(&[700, 900, 400]);
    let one = built.query(&["all"], &EXACT);
    assert_eq!(one.lines().count(), 401);
    for parts in [&["part0", "part1", "part2"][..], &["part2", "part0", "part1"]] {
        let many = built.query(parts, &EXACT);
        assert_eq!(columns(&many), columns(&one));
        // Each neighbour says the index that holds its id.
        for line in many.lines().skip(1) {
            let cells: Vec<&str> = line.split('\t').collect();
            let id: usize = cells[2].parse().unwrap();
            let expected = if id < 700 {
                "part0"
            } else if id < 1600 {
                "part1"
            } else {
                "part2"
            };
            assert_eq!(cells[4], built.path(expected), "{line}");
        }
    }
    // With a filter, and with what is known of the vectors.
    let filter = [&EXACT[..], &["--filter", "third = 1"]].concat();
    let parts = ["part0", "part1", "part2"];
    assert_eq!(columns(&built.query(&parts, &filter)), columns(&built.query(&["all"], &filter)));
    let flags = [&filter[..], &["--with-attributes", "third", "--format", "json", "--k", "3"]].concat();
    let json = built.query(&parts, &flags);
    for line in json.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["filter"]["matches"], 667);
        let of: Vec<&Value> = line["neighbours"].as_array().unwrap().iter().collect();
        assert!(of.len() == 3 && of.iter().all(|near| near["attributes"]["third"] == 1), "{line}");
        assert!(of.iter().all(|near| near["index"].as_str().unwrap().contains("part")), "{line}");
    }
}

#[test]
fn all_within_a_radius_of_several_indexes_are_found_once() {
    let built = Built::new(&[700, 900, 400]);
    let near = built.query(&["all"], &[&EXACT[..], &["--k", "30"]].concat());
    let mut distances: Vec<u32> =
        near.lines().skip(1).map(|line| line.split('\t').nth(3).unwrap().parse().unwrap()).collect();
    distances.sort_unstable();
    let radius = &*distances[distances.len() / 2].to_string();
    let parts = ["part0", "part1", "part2"];
    for more in [&[][..], &["--max-results", "7"], &["--filter", "third = 1"]] {
        let flags = [&["--radius", radius], more].concat();
        let (one, many) = (built.query(&["all"], &flags), built.query(&parts, &flags));
        assert!(one.lines().count() > 40, "{one}");
        assert!(columns(&many) == columns(&one), "{more:?}");
        // Each id of two indexes is there once, or with each of them.
        let best = built.query(&["all", "part0"], &flags);
        let found = |text| -> Vec<Vec<String>> {
            // Matches are added up, also where indexes have the same ones.
            let lines = columns(text).into_iter().filter(|line| !line[0].starts_with('#'));
            lines.map(|line| line.into_iter().map(str::to_owned).collect()).collect()
        };
        assert!(found(&best) == found(&one), "{more:?}");
    }
    let flags = ["--radius", radius, "--duplicates", "keep"];
    let keep = built.query(&["all", "part0"], &flags);
    let lines = |indexes: &[&str]| built.query(indexes, &["--radius", radius]).lines().count() - 1;
    assert_eq!(keep.lines().count() - 1, lines(&["all"]) + lines(&["part0"]));
    let json = [&flags[..2], &["--max-results", "1", "--format", "json"]].concat();
    let cut = |line: &str| serde_json::from_str::<Value>(line).unwrap()["limited_by"] == "max_results";
    let count = |text: &str| text.lines().filter(|line| cut(line)).count();
    let (one, many) = (count(&built.query(&["all"], &json)), count(&built.query(&parts, &json)));
    assert!(many > 10 && one == many, "{one} {many}");
    // As `bench` measures it.
    let (base, queries, truth) = (built.path("all.u8bin"), built.path("q.u8bin"), built.path("t.range"));
    let files = ["--base", &base, "--queries", &queries, "--out", &truth];
    run(&[&["data", "truth", "--metric", "l2", "--radius", radius], &files[..]].concat());
    let dirs: Vec<String> = parts.iter().map(|name| built.path(name)).collect();
    let mut bench = vec!["bench", "--queries", &queries, "--truth", &truth, "--seconds", "0"];
    dirs.iter().for_each(|dir| bench.extend(["--index", dir]));
    let points = run(&[&bench[..], &["--radius", radius, "--format", "json"]].concat());
    let points: Value = serde_json::from_str(&points).unwrap();
    assert_eq!(points[0]["recall"], 1.0, "{points}");
}

#[test]
fn each_of_several_indexes_is_explained() {
    let built = Built::new(&[700, 900]);
    let parts = ["part0", "part1"];
    let flags = ["--max-lists", "3", "--explain", "--format", "json"];
    let alone = |name: &str| -> Vec<Value> {
        let lines = built.query(&[name], &flags);
        lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["explanation"].clone())
            .collect()
    };
    let expected = parts.map(alone);
    for (query, line) in built.query(&parts, &flags).lines().enumerate() {
        let line: Value = serde_json::from_str(line).unwrap();
        crate::json::explained("query", &line);
        let told = line["explanations"].as_array().unwrap();
        assert_eq!(told.len(), 2, "{line}");
        for ((told, name), expected) in told.iter().zip(parts).zip(&expected) {
            assert_eq!(told["index"], built.path(name));
            for key in ["lists", "codes", "candidates", "compared", "stop", "rounds"] {
                assert_eq!(told[key], expected[query][key], "{key}");
            }
        }
    }
    let text = built.query(&parts, &flags[..3]);
    let of = |name: &str| text.matches(&format!("# index {}\n# query ", built.path(name))).count();
    assert_eq!((of("part0"), of("part1")), (40, 40), "{text}");
}

#[test]
fn the_union_holds_the_recall_asked_for() {
    let built = Built::new(&[1500, 1500]);
    let (queries, truth) = (built.path("q.u8bin"), built.path("t.ibin"));
    for name in ["part0", "part1"] {
        run(&["calibrate", "--index", &built.path(name)]);
    }
    let (a, b) = (built.path("part0"), built.path("part1"));
    let bench =
        ["bench", "--index", &a, "--index", &b, "--queries", &queries, "--truth", &truth, "--seconds", "0"];
    let printed = run(&[&bench[..], &["--recall", "0.9,0.98", "--format", "json"]].concat());
    let points: Value = serde_json::from_str(&printed).unwrap();
    for (at, asked) in [(0, 0.9), (1, 0.98)] {
        let (found, expected) = (&points[at]["recall"], &points[at]["expected_recall"]);
        assert!(found.as_f64().unwrap() >= asked - 0.02, "{asked}: {found}");
        assert!(expected.as_f64().unwrap() >= asked - 1e-6, "{asked}: {expected}");
    }
    assert_eq!(points[0]["index"], format!("{a}, {b}"));
}

#[test]
fn an_id_of_two_indexes_is_one_thing_or_two() {
    let built = Built::new(&[300, 300]);
    let found = |flags: &[&str]| -> HashMap<(String, String), usize> {
        let lines = built.query(&["all", "part0"], &[&EXACT[..], flags].concat());
        let mut counts = HashMap::new();
        for line in lines.lines().skip(1) {
            let cells: Vec<&str> = line.split('\t').collect();
            *counts.entry((cells[0].to_owned(), cells[2].to_owned())).or_default() += 1;
        }
        counts
    };
    let best = found(&[]);
    assert!(best.len() == 400 && best.values().all(|&count| count == 1));
    let keep = found(&["--duplicates", "keep"]);
    assert_eq!(keep.values().sum::<usize>(), 400);
    assert!(keep.iter().all(|((_, id), &count)| count == 1 || id.parse::<usize>().unwrap() < 300));
    assert!(keep.values().filter(|&&count| count == 2).count() > 50);
}

#[test]
fn indexes_that_are_not_alike_are_refused() {
    let built = Built::new(&[300, 300]);
    let (a, queries) = (built.path("part0"), built.path("q.u8bin"));
    let (floats, other, plain) = (built.path("f.fbin"), built.path("ip"), built.path("plain"));
    run(&["data", "convert", &built.path("0.u8bin"), &floats]);
    let build = |base: &str, metric: &str, out: &str| {
        run(&["build", "--base", base, "--metric", metric, "--out", out, "--no-calibrate"]);
    };
    build(&built.path("0.u8bin"), "ip", &other);
    build(&built.path("0.u8bin"), "l2", &plain);
    let wide = built.path("wide");
    build(&floats, "l2", &wide);
    let cases: [(&str, &[&str], &str); 4] = [
        (&other, &[], "index 2 compares by ip, the first by l2"),
        (&wide, &[], "index 2 holds vectors of 32 x f32, the first of 32 x u8"),
        (&plain, &["--filter", "third = 1"], "index 2 has the attributes none, the first third: i64"),
        (&other, &["--radius", "10"], "index 2 compares by ip, the first by l2"),
    ];
    for (second, flags, says) in cases {
        let args = ["query", "--index", &a, "--index", second, "--queries", &queries];
        let refused = spandrel(&[&args[..], flags].concat());
        assert!(text(&refused.stderr).contains(says), "{}", text(&refused.stderr));
        assert!(refused.stdout.is_empty() && refused.status.code() != Some(0));
    }
    // Row numbers mean other things in each index: that is said.
    let rows = built.path("rows");
    build(&built.path("1.u8bin"), "l2", &rows);
    let args = ["query", "--index", &plain, "--index", &rows, "--queries", &queries];
    let said = spandrel(&args);
    assert!(text(&said.stderr).contains("--duplicates keep"), "{}", text(&said.stderr));
}

/// A recall of 0.6 was told of parts whose ids are the numbers of their own rows.
#[test]
fn a_truth_of_other_ids_is_refused_by_its_file() {
    let built = Built::new(&[700, 900]);
    let [queries, truth, within] = ["q.u8bin", "t.ibin", "t.range"].map(|name| built.path(name));
    let rows = ["rows0", "rows1"];
    for (number, name) in rows.iter().enumerate() {
        let (base, out) = (built.path(&format!("{number}.u8bin")), built.path(name));
        run(&["build", "--base", &base, "--metric", "l2", "--out", &out, "--no-calibrate"]);
    }
    let base = built.path("all.u8bin");
    let files = ["--base", &base, "--queries", &queries, "--out", &within];
    run(&[&["data", "truth", "--metric", "l2", "--radius", "90000"], &files[..]].concat());
    let bench = |indexes: [&str; 2], truth: &str, flags: &[&str]| {
        let [a, b] = indexes.map(|name| built.path(name));
        let bench = [
            "bench",
            "--index",
            &a,
            "--index",
            &b,
            "--queries",
            &queries,
            "--truth",
            truth,
            "--seconds",
            "0",
        ];
        spandrel(&[&bench[..], flags].concat())
    };
    for (truth, flags) in [(&truth, &[][..]), (&within, &["--radius", "90000"])] {
        let good = bench(["part0", "part1"], truth, flags);
        assert_eq!(good.status.code(), Some(0), "{}", text(&good.stderr));
        let refused = bench(rows, truth, flags);
        let says = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{says}");
        assert!(
            says.contains(truth.as_str()) && says.contains("which none of the 2 indexes holds"),
            "{says}"
        );
    }
    // Ids that are there, and of other vectors.
    let mut bytes = fs::read(&truth).unwrap();
    for word in bytes[8..8 + 40 * 10 * 4].chunks_exact_mut(4) {
        let id = u32::from_le_bytes(word.try_into().unwrap());
        word.copy_from_slice(&((id * 17 + 5) % 1600).to_le_bytes());
    }
    fs::write(&truth, bytes).unwrap();
    let refused = bench(["part0", "part1"], &truth, &[]);
    let says = text(&refused.stderr);
    assert!(
        refused.status.code() == Some(1) && says.contains(&truth) && says.contains("does not fit"),
        "{says}"
    );
}
