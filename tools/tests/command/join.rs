//! Every row joined with an index.
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{run, spandrel, text};

/// A set of vectors, and an index of it.
struct Built {
    folder: tempfile::TempDir,
}

impl Built {
    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn new(kind: &str, vectors: u32, metric: &str) -> Built {
        let built = Built { folder: tempfile::tempdir().unwrap() };
        let extension = if kind == "sift" { "u8bin" } else { "fbin" };
        let (base, queries) = (built.path(&format!("b.{extension}")), built.path(&format!("q.{extension}")));
        let vectors = vectors.to_string();
        let size = ["--vectors", &vectors, "--dim", "24", "--out", &base];
        run(&[&["data", "generate", kind], &size[..], &["--queries", "60", "--queries-out", &queries]]
            .concat());
        run(&["build", "--base", &base, "--metric", metric, "--out", &built.path("index"), "--no-calibrate"]);
        fs::rename(base, built.path("base")).unwrap();
        fs::rename(queries, built.path("queries")).unwrap();
        built
    }

    /// Joins the index with itself into a file.
    fn own(&self, out: &str, flags: &[&str]) -> Value {
        let (index, out) = (self.path("index"), self.path(out));
        let args = ["join", "--index", &index, "--self", "--out", &out, "--format", "json"];
        serde_json::from_str(&run(&[&args[..], flags].concat())).unwrap()
    }
}

/// Ids and distances of an ibin.
fn read(path: &str) -> (Vec<Vec<u32>>, Vec<Vec<f32>>) {
    let words: Vec<[u8; 4]> = fs::read(path).unwrap().as_chunks::<4>().0.to_vec();
    let [rows, k] = [0, 1].map(|at| u32::from_le_bytes(words[at]) as usize);
    assert_eq!(words.len(), 2 + 2 * rows * k);
    let ids = words[2..2 + rows * k].chunks(k);
    let distances = words[2 + rows * k..].chunks(k);
    (
        ids.map(|row| row.iter().map(|&word| u32::from_le_bytes(word)).collect()).collect(),
        distances.map(|row| row.iter().map(|&word| f32::from_le_bytes(word)).collect()).collect(),
    )
}

const EVERY: [&str; 6] = ["--max-lists", "100000", "--rerank", "100000", "--epsilon", "1e9"];

#[test]
fn every_row_with_every_vector_is_exact() {
    for (kind, metric, dtype) in [("sift", "l2", "u8"), ("embedding", "cosine", "f32"), ("ood", "ip", "f32")]
    {
        let built = Built::new(kind, 900, metric);
        built.own("own.ibin", &["--k", "7", "--recall", "1"]);
        let (ids, distances) = read(&built.path("own.ibin"));
        // With one more neighbour, each row finds itself as well.
        let (index, base, out) = (built.path("index"), built.path("base"), built.path("near.ibin"));
        let query = |queries: &str, k: &str, out: &str| {
            let args =
                ["query", "--index", &index, "--queries", queries, "--dtype", dtype, "--k", k, "--out", out];
            run(&[&args[..], &EVERY].concat());
        };
        query(&base, "8", &out);
        let (near, far) = read(&out);
        assert_eq!(ids.len(), 900);
        for row in 0..900 {
            let others = (0..8).filter(|&at| near[row][at] != row as u32).take(7);
            let expected: Vec<(u32, f32)> = others.map(|at| (near[row][at], far[row][at])).collect();
            let found: Vec<(u32, f32)> =
                ids[row].iter().copied().zip(distances[row].iter().copied()).collect();
            assert_eq!(found, expected, "{metric}: row {row}");
        }
        // Given queries are found as by a search for each.
        let (queries, joined, searched) = (built.path("queries"), built.path("j.ibin"), built.path("s.ibin"));
        let args = ["join", "--index", &index, "--queries", &queries, "--dtype", dtype, "--recall", "1"];
        run(&[&args[..], &["--out", &joined]].concat());
        query(&queries, "10", &searched);
        assert_eq!(fs::read(&joined).unwrap(), fs::read(&searched).unwrap(), "{metric}");
    }
}

#[test]
fn a_join_holds_its_recall_with_less_work() {
    let built = Built::new("sift", 6000, "l2");
    built.own("all.ibin", &["--recall", "1"]);
    let told = built.own("some.ibin", &["--recall", "0.9"]);
    let (all, some) = (read(&built.path("all.ibin")), read(&built.path("some.ibin")));
    let mut found = 0;
    for (exact, distances) in all.1.iter().zip(&some.1) {
        found += distances.iter().filter(|&&distance| distance <= exact[9]).count();
    }
    let recall = found as f64 / 60_000.0;
    assert!((0.88..0.99).contains(&recall), "{recall}");
    assert!((told["sample"]["recall"].as_f64().unwrap() - recall).abs() < 0.03, "{told}");
    let pairs = told["pairs"].as_u64().unwrap();
    assert!(pairs < 6000 * 6000 * 2 / 3, "{pairs} pairs");
}

#[test]
fn threads_and_memory_change_nothing() {
    let built = Built::new("sift", 20_000, "l2");
    let whole = built.own("a.ibin", &["--threads", "1"]);
    let least = whole["memory_needed"].as_u64().unwrap().div_ceil(1 << 20);
    let little = built.own("b.ibin", &["--threads", "1", "--memory", &format!("{least}MiB")]);
    built.own("c.ibin", &["--threads", "3"]);
    let bytes = |name: &str| fs::read(built.path(name)).unwrap();
    assert!(bytes("a.ibin") == bytes("b.ibin") && bytes("a.ibin") == bytes("c.ibin"));
    assert!(little["lists_read"].as_u64() > whole["lists_read"].as_u64(), "{little}");
    let (index, out) = (built.path("index"), built.path("d.ibin"));
    let args = ["join", "--index", &index, "--self", "--out", &out, "--threads", "1", "--memory", "1MiB"];
    let refused = spandrel(&args);
    let says = text(&refused.stderr);
    assert!(
        says.contains("--memory is 1.05 MB, the join needs")
            && says.contains(&format!("--memory {least}MiB")),
        "{says}"
    );
    assert!(!Path::new(&out).exists() && !Path::new(&format!("{out}.join")).exists());
    // The same ids without distances.
    built.own("e.npy", &[]);
    let npy = bytes("e.npy");
    let ids: Vec<u32> =
        npy[128..].as_chunks::<8>().0.iter().map(|&id| u64::from_le_bytes(id) as u32).collect();
    assert_eq!(ids, read(&built.path("a.ibin")).0.concat());
}

#[test]
fn neighbours_beyond_the_radius_are_left_out() {
    let built = Built::new("sift", 1500, "l2");
    built.own("all.ibin", &["--recall", "1"]);
    let all = read(&built.path("all.ibin"));
    let mut middle: Vec<f32> = all.1.iter().map(|row| row[4]).collect();
    middle.sort_by(f32::total_cmp);
    let radius = middle[750];
    built.own("near.ibin", &["--recall", "1", "--radius", &radius.to_string()]);
    let (ids, distances) = read(&built.path("near.ibin"));
    let mut missing = 0;
    for row in 0..1500 {
        for at in 0..10 {
            let is_within = all.1[row][at] <= radius;
            assert_eq!(ids[row][at], if is_within { all.0[row][at] } else { u32::MAX }, "row {row}");
            assert_eq!(distances[row][at], if is_within { all.1[row][at] } else { f32::INFINITY });
            missing += usize::from(!is_within);
        }
    }
    assert!((1000..14_000).contains(&missing), "{missing}");
}

/// Vectors of random bytes, far from each other, but for five pairs that are near.
#[test]
fn few_rows_that_have_neighbours_within_the_radius_are_found() {
    let built = Built { folder: tempfile::tempdir().unwrap() };
    let mut state = 12_345_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let mut rows: Vec<Vec<u8>> = (0..3000).map(|_| (0..24).map(|_| random()).collect()).collect();
    for pair in 0..5 {
        let mut near = rows[pair * 100].clone();
        near[pair] = near[pair].wrapping_add(1);
        rows[1500 + pair * 211] = near;
    }
    let base = built.path("b.u8bin");
    let head = [3000_u32, 24].map(u32::to_le_bytes).concat();
    fs::write(&base, [head, rows.concat()].concat()).unwrap();
    run(&["build", "--base", &base, "--metric", "l2", "--out", &built.path("index"), "--no-calibrate"]);
    let radius = ["--k", "3", "--radius", "900"];
    let all = built.own("all.ibin", &[&radius[..], &["--recall", "1"]].concat());
    assert_eq!(all["near_lists"], Value::Null);
    let told = built.own("some.ibin", &[&radius[..], &["--recall", "0.5"]].concat());
    let sample = &told["sample"];
    assert!(
        told["near_lists"].is_u64() && told["budget"].is_null() && sample["within_radius"] == false,
        "{told}"
    );
    assert!(told["sample"]["rows"].as_u64().unwrap() > 400, "{told}");
    let there = |name: &str| read(&built.path(name)).0.concat().iter().filter(|&&id| id != u32::MAX).count();
    assert_eq!((there("all.ibin"), there("some.ibin")), (10, 10));
    assert!(told["pairs"].as_u64() < all["pairs"].as_u64(), "{told}");
    // What few rows say nothing about is not tuned.
    let few = built.path("few.u8bin");
    run(&["data", "crop", &base, &few, "--rows", "0..30"]);
    let (index, out) = (built.path("index"), built.path("few.ibin"));
    let said = run(&["join", "--index", &index, "--queries", &few, "--out", &out, "--recall", "0.5"]);
    assert!(said.contains("every row is compared with every vector"), "{said}");
}

#[test]
fn memory_is_kept_to_with_many_neighbours() {
    let built = Built::new("sift", 6000, "l2");
    let join = |out: &str, flags: &[&str]| {
        let flags = [&["--k", "2000", "--recall", "0.5"], flags].concat();
        let told = built.own(out, &flags);
        let [peak, allowed] = ["memory_peak", "memory_allowed"].map(|key| told[key].as_u64().unwrap());
        assert!(peak <= allowed, "{told}");
        told
    };
    let needed = join("a.ibin", &["--threads", "4", "--memory", "4GiB"])["memory_needed"].as_u64().unwrap();
    let least = format!("{}MiB", needed.div_ceil(1 << 20));
    join("b.ibin", &["--threads", "4", "--memory", &least]);
    assert!(fs::read(built.path("a.ibin")).unwrap() == fs::read(built.path("b.ibin")).unwrap());
}

#[test]
fn memory_is_kept_to_where_lists_do_not_stay_in_it() {
    let built = Built { folder: tempfile::tempdir().unwrap() };
    let [base, index] = ["b.fbin", "index"].map(|name| built.path(name));
    run(&[
        "data",
        "generate",
        "embedding",
        "--vectors",
        "40000",
        "--dim",
        "192",
        "--dtype",
        "f32",
        "--out",
        &base,
    ]);
    run(&["build", "--base", &base, "--metric", "l2", "--out", &index, "--no-calibrate", "--threads", "2"]);
    let needed = built.own("a.ibin", &["--threads", "2"])["memory_needed"].as_u64().unwrap();
    let memory = format!("{}MiB", needed.div_ceil(1 << 20) + 36);
    let told = built.own("b.ibin", &["--threads", "2", "--memory", &memory]);
    let [peak, allowed, read] =
        ["memory_peak", "memory_allowed", "lists_read"].map(|key| told[key].as_u64().unwrap());
    assert!(peak <= allowed, "{told}");
    assert!(read > 1000, "{told}");
    assert!(fs::read(built.path("a.ibin")).unwrap() == fs::read(built.path("b.ibin")).unwrap());
}

/// A join that is interrupted once it has written something: whether it was not done before.
fn interrupted(index: &str, out: &str) -> bool {
    let folder = Path::new(out).with_extension("ibin.join");
    let mut child = Command::new(env!("CARGO_BIN_EXE_spandrel"))
        .args(["join", "--index", index, "--self", "--recall", "1", "--threads", "1", "--out", out])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let written = || fs::metadata(folder.join("answers-000")).is_ok_and(|file| file.len() > 0);
    while !written() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    let pid = child.id().to_string();
    Command::new("kill").args(["-INT", &pid]).stderr(Stdio::null()).status().unwrap();
    let output = child.wait_with_output().unwrap();
    if output.status.success() {
        return false;
    }
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("--resume goes on"), "{}", text(&output.stderr));
    true
}

#[test]
fn an_interrupted_join_goes_on_to_the_same_bytes() {
    let built = Built::new("sift", 12_000, "l2");
    let (index, out) = (built.path("index"), built.path("b.ibin"));
    let small = ["join", "--index", &index, "--self", "--k", "1", "--out", &built.path("n.ibin"), "--resume"];
    let said = spandrel(&small);
    assert!(
        said.status.success() && text(&said.stderr).contains("nothing to resume"),
        "{}",
        text(&said.stderr)
    );
    assert!(interrupted(&index, &out), "the join was done before it was interrupted");
    assert!(!Path::new(&out).exists());
    let again = |flags: &[&str]| {
        let args = ["join", "--index", &index, "--self", "--recall", "1", "--out", &out];
        let refused = spandrel(&[&args[..], flags].concat());
        assert_eq!(refused.status.code(), Some(1));
        text(&refused.stderr).to_owned()
    };
    assert!(again(&[]).contains("a join was begun here"));
    assert!(again(&["--resume", "--k", "9"]).contains("a join of another --k was begun here"));
    let folder = Path::new(&out).with_extension("ibin.join");
    let lock = spandrel_io::FolderLock::acquire(&folder).unwrap();
    assert!(again(&["--resume"]).contains("another process"));
    drop(lock);
    // A state that cannot be is refused, and so are answers that are not those that were written.
    let (state, answers) = (folder.join("state.json"), folder.join("answers-000"));
    let good = fs::read_to_string(&state).unwrap();
    let changed = |key: &str, to: Value| {
        let mut state: Value = serde_json::from_str(&good).unwrap();
        state[key] = to;
        state.to_string()
    };
    for (key, to, says) in [
        ("file_rows", 0.into(), "files of 0 rows"),
        ("done", 9999.into(), "9999 groups are done"),
        ("files", Value::Array(Vec::new()), "0 files"),
    ] {
        fs::write(&state, changed(key, to)).unwrap();
        let said = again(&["--resume"]);
        assert!(said.contains("not the state of this join") && said.contains(says), "{said}");
    }
    fs::write(&state, &good).unwrap();
    let (written, mut spoilt) = (fs::read(&answers).unwrap(), fs::read(&answers).unwrap());
    spoilt.copy_within(0..128, 128);
    fs::write(&answers, &spoilt).unwrap();
    let said = again(&["--resume"]);
    assert!(said.contains("answers-000: two answers to row"), "{said}");
    // What was joined meanwhile is in the files and in the state.
    let mut whole = fs::read(&answers).unwrap();
    whole[..written.len()].copy_from_slice(&written);
    whole[50] ^= 1;
    fs::write(&answers, &whole).unwrap();
    let said = again(&["--resume", "--memory", "200MiB"]);
    assert!(said.contains("answers-000: hash"), "{said}");
    whole[50] ^= 1;
    fs::write(&answers, &whole).unwrap();
    built.own("b.ibin", &["--recall", "1", "--resume", "--threads", "2"]);
    built.own("a.ibin", &["--recall", "1"]);
    assert!(fs::read(&out).unwrap() == fs::read(built.path("a.ibin")).unwrap());
    assert!(!Path::new(&format!("{out}.join")).exists());
}

#[test]
fn what_cannot_be_joined_is_refused() {
    let built = Built::new("sift", 500, "l2");
    let (index, base, queries) = (built.path("index"), built.path("base"), built.path("queries"));
    let (out, other) = (built.path("o.ibin"), built.path("other.u8bin"));
    run(&["data", "generate", "sift", "--vectors", "10", "--dim", "16", "--out", &other]);
    let join = |flags: &[&str]| {
        let refused = spandrel(&[&["join", "--index", &index], flags].concat());
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{flags:?}");
        text(&refused.stderr).to_owned()
    };
    let own = ["--self", "--out", &out];
    let (none, negative) =
        ([&own[..], &["--recall", "0"]].concat(), [&own[..], &["--radius", "-1"]].concat());
    let cases: [(&[&str], &str); 6] = [
        (&["--out", &out], "--queries"),
        (&["--self", "--queries", &queries, "--out", &out], "cannot be used with"),
        (&["--self", "--out", &base], "expected a file ending in .ibin or .npy"),
        (&["--queries", &other, "--out", &out], "queries of 16 elements, the index has 24"),
        (&none, "recall"),
        (&negative, "radius is -1"),
    ];
    for (flags, says) in cases {
        let said = join(flags);
        assert!(said.contains(says), "{flags:?}: {said}");
    }
    // A damaged page stops it: the result would not be whole.
    let vectors = Path::new(&index).join("vectors-1");
    let mut bytes = fs::read(&vectors).unwrap();
    bytes[4096 + 100] ^= 1;
    fs::write(&vectors, bytes).unwrap();
    let said = join(&own);
    assert!(said.contains("vectors-1: page 0: crc32c"), "{said}");
}

#[test]
fn lists_that_values_share_are_looked_into() {
    let built = Built::new("sift", 6000, "l2");
    // Two large tenants, and 500 that share lists.
    let tenant = |row: u32| if row.is_multiple_of(4) { 2 + row % 500 } else { row % 2 };
    let lines = (0..6000).map(|row| format!("{{\"id\": {row}, \"tenant\": \"t{}\"}}\n", tenant(row)));
    let [attributes, index, base] = ["tenants.jsonl", "index", "base"].map(|name| built.path(name));
    fs::write(&attributes, lines.collect::<String>()).unwrap();
    fs::remove_dir_all(&index).unwrap();
    let by = ["--attributes", &attributes, "--partition-by", "tenant", "--no-calibrate", "--out", &index];
    run(&[&["build", "--base", &base, "--input-format", "u8bin", "--metric", "l2"], &by[..]].concat());
    built.own("all.ibin", &["--recall", "1"]);
    let told = built.own("some.ibin", &["--recall", "0.9"]);
    let (all, some) = (read(&built.path("all.ibin")), read(&built.path("some.ibin")));
    let rows = all.1.iter().zip(&some.1);
    let found = rows.map(|(exact, found)| found.iter().filter(|&&distance| distance <= exact[9]).count());
    let recall = found.sum::<usize>() as f64 / 60_000.0;
    assert!(recall > 0.88 && told["near_lists"].is_u64(), "{recall} {told}");
}
