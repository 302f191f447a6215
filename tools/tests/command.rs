//! The program as a user runs it: exit codes, and which stream says what.
#![expect(clippy::unwrap_used, reason = "helpers of tests, outside of test functions")]
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn spandrel(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_spandrel")).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A file of `rows` vectors of two bytes.
fn write_u8bin(path: &Path, rows: u32) {
    let mut bytes = [rows.to_le_bytes(), 2_u32.to_le_bytes()].concat();
    bytes.extend((0..rows).flat_map(|row| [row as u8, 1]));
    fs::write(path, bytes).unwrap();
}

#[test]
fn wrong_usage_ends_with_2() {
    for args in [
        &["fly"][..],
        &[],
        &["data", "crop", "a", "b", "--rows", "2..1"],
        &["data", "convert", "a.fbin", "b.xyz"],
        &["data", "generate", "sift", "--vectors", "5", "--out", "b"],
        &["data", "truth", "--base", "b.fbin", "--queries", "q.fbin", "--metric", "l2", "--out", "t.fbin"],
        &["report"],
        &["--no-such-flag"],
    ] {
        let output = spandrel(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn help_and_version_end_with_0() {
    let version = spandrel(&["--version"]);
    assert_eq!(version.status.code(), Some(0));
    assert_eq!(text(&version.stdout), format!("spandrel {}\n", env!("CARGO_PKG_VERSION")));
    let help = spandrel(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(text(&help.stdout).contains("Examples:"));
}

#[test]
fn failures_end_with_1_and_name_the_file() {
    for args in [
        &["data", "info", "/no/such/file.fbin"][..],
        &["report", "/no/such/file.json"],
        &["data", "info", "Cargo.toml"],
        &["data", "get", "no-such-set", "--out", "/tmp"],
    ] {
        let output = spandrel(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(output.stdout.is_empty());
        let message = text(&output.stderr);
        assert!(message.starts_with("error: "), "{message}");
        let named = args.iter().find(|a| a.contains('.') || a.contains("no-such")).unwrap();
        assert!(message.contains(named), "{message}");
    }
}

#[test]
fn data_commands_work_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    write_u8bin(Path::new(&path("base.u8bin")), 100);
    let run = |args: &[&str]| {
        let output = spandrel(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout).to_owned()
    };
    run(&["data", "crop", &path("base.u8bin"), &path("queries.fbin"), "--rows", "40..45"]);
    run(&["data", "convert", &path("base.u8bin"), &path("base.fbin")]);
    let said = run(&[
        "data",
        "truth",
        "--base",
        &path("base.fbin"),
        "--queries",
        &path("queries.fbin"),
        "--metric",
        "l2",
        "--k",
        "3",
        "--out",
        &path("truth.ibin"),
    ]);
    assert!(said.contains("3 nearest of 100 vectors for each of 5 queries, l2"), "{said}");
    let info = run(&["data", "info", &path("truth.ibin")]);
    assert!(info.contains("3 neighbours of 5 queries, with distances"), "{info}");
    let scan = run(&["data", "info", "--scan", &path("base.fbin")]);
    assert!(scan.contains("100 vectors of 2 x f32") && scan.contains("values    0 to 99"), "{scan}");
    assert!(run(&["data", "get", "--list"]).contains("bigann-10M"));

    let wrong = spandrel(&[
        "data",
        "truth",
        "--base",
        &path("base.fbin"),
        "--queries",
        &path("queries.fbin"),
        "--metric",
        "l2",
        "--k",
        "3",
        "--out",
        &path("truth.fbin"),
    ]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("expected one ending in .ibin, .ivecs or .npy"));
    assert!(!Path::new(&path("truth.fbin")).exists());
}

/// A file of `ids`, in the form that NumPy saves.
fn write_ids(path: &str, ids: &[u64]) {
    let text = format!("{{'descr': '<u8', 'fortran_order': False, 'shape': ({},), }}\n", ids.len());
    let mut bytes = [&b"\x93NUMPY\x01\x00"[..], &(text.len() as u16).to_le_bytes(), text.as_bytes()].concat();
    ids.iter().for_each(|id| bytes.extend(id.to_le_bytes()));
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_truth_has_the_ids_of_the_index_and_its_metric() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (base, queries, index, ids) = (path("b.u8bin"), path("q.u8bin"), path("index"), path("ids.npy"));
    let run = |args: &[&str]| {
        let output = spandrel(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout).to_owned()
    };
    let size = ["--vectors", "1000", "--dim", "16", "--out", &base];
    run(&[&["data", "generate", "sift"], &size[..], &["--queries", "40", "--queries-out", &queries]].concat());
    let own: Vec<u64> = (0..1000).map(|row| (1 << 40) + row * 7).collect();
    write_ids(&ids, &own);
    run(&["build", "--base", &base, "--metric", "l2", "--ids", &ids, "--out", &index]);
    let truth = |metric: &str, flags: &[&str], name: &str| {
        let out = path(name);
        let fixed =
            ["data", "truth", "--base", &base, "--queries", &queries, "--metric", metric, "--k", "10"];
        run(&[&fixed[..], &["--out", &out], flags].concat());
        out
    };
    let named = truth("l2", &["--ids", &ids], "named.npy");
    let rows = truth("l2", &[], "rows.ibin");
    let bench = |truth: &str, flags: &[&str]| {
        let fixed = ["bench", "--index", &index, "--queries", &queries, "--truth", truth, "--seconds", "0"];
        spandrel(&[&fixed[..], &["--max-lists", "1000", "--rerank", "1000"], flags].concat())
    };
    // It printed a recall of 0.0000 for row numbers.
    for (truth, flags) in [(&named, &[][..]), (&rows, &["--ids", &ids])] {
        let output = bench(truth, flags);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains("1.0000"), "{}", text(&output.stdout));
        assert!(text(&output.stdout).contains("every list with 1000 reranked"), "{}", text(&output.stdout));
    }
    let other = truth("ip", &["--ids", &ids], "other.npy");
    let other_rows = truth("ip", &[], "other.ibin");
    for (truth, flags, says) in [
        (&rows, &[][..], "which the index does not hold"),
        (&other, &[], "the truth does not fit"),
        (&other_rows, &["--ids", &ids], "the truth has distances of ip, the index compares by l2"),
    ] {
        let output = bench(truth, flags);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
        assert!(text(&output.stderr).contains(says), "{}", text(&output.stderr));
    }
    // Ids that the format cannot hold are refused before anything is computed.
    let narrow = ["data", "truth", "--base", &base, "--queries", &queries, "--metric", "l2", "--ids", &ids];
    let output = spandrel(&[&narrow[..], &["--out", &path("t.ibin")]].concat());
    assert!(text(&output.stderr).contains("write an .npy file"), "{}", text(&output.stderr));
    // Fewer vectors than neighbours asked for: all of them.
    write_u8bin(Path::new(&path("five.u8bin")), 5);
    let all =
        ["data", "truth", "--base", &path("five.u8bin"), "--queries", &path("five.u8bin"), "--metric", "l2"];
    assert!(run(&[&all[..], &["--out", &path("five.ibin")]].concat()).contains("5 nearest of 5 vectors"));
}

#[test]
fn outputs_may_be_pipes_and_inputs_may_have_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    write_u8bin(Path::new(&path("base.u8bin")), 100);
    fs::copy(path("base.u8bin"), path("base.bin")).unwrap();
    fs::copy(path("base.u8bin"), path("base.1B.u8bin.crop_nb_100")).unwrap();
    fs::copy(path("base.u8bin"), path("base")).unwrap();
    for (args, says) in [
        (&["base.1B.u8bin.crop_nb_100"][..], "100 vectors of 2 x u8"),
        (&["base.bin", "--dtype", "u8"], "100 vectors of 2 x u8"),
        (&["base", "--format", "u8bin"], "100 vectors of 2 x u8"),
        (&["base", "--format", "fvecs"], "u8bin or i8bin by its length"),
        (&["base.bin"], "help: say what it holds with --format"),
    ] {
        let output = spandrel(&[&["data", "info", &path(args[0])], &args[1..]].concat());
        let said = [text(&output.stdout), text(&output.stderr)].concat();
        assert!(said.contains(says), "{args:?}: {said}");
    }
    let mut bytes = fs::read(path("base.u8bin")).unwrap();
    bytes.truncate(8 + 2 * 60);
    fs::write(path("part.u8bin"), &bytes).unwrap();
    let refused = spandrel(&["data", "info", &path("part.u8bin")]);
    assert!(text(&refused.stderr).contains("--allow-truncated"), "{}", text(&refused.stderr));
    let taken = spandrel(&["data", "info", &path("part.u8bin"), "--allow-truncated"]);
    assert!(text(&taken.stdout).contains("60 vectors"), "{}", text(&taken.stdout));

    // To a pipe, and to a file that the shell opened, goes what would be in a file of that name, and nothing else.
    let crop =
        ["data", "crop", &path("base.u8bin"), "/dev/stdout", "--rows", "3..5", "--out-format", "u8bin"];
    let rows = [2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 4, 1];
    let piped = spandrel(&crop);
    assert_eq!(
        (piped.status.code(), piped.stdout.as_slice()),
        (Some(0), &rows[..]),
        "{}",
        text(&piped.stderr)
    );
    assert!(text(&piped.stderr).contains("2 rows"), "{}", text(&piped.stderr));
    let file = fs::File::create(path("redirected")).unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_spandrel")).args(crop).stdout(file).status().unwrap();
    assert!(status.success());
    assert_eq!(fs::read(path("redirected")).unwrap(), rows);
    assert!(fs::symlink_metadata("/dev/stdout").unwrap().is_symlink(), "no file took its place");
    let nameless = spandrel(&["data", "crop", &path("base.u8bin"), "/dev/stdout", "--rows", "3..5"]);
    assert_eq!(nameless.status.code(), Some(2));
    assert!(text(&nameless.stderr).contains("--out-format"), "{}", text(&nameless.stderr));

    std::os::unix::fs::symlink("target.u8bin", path("link.u8bin")).unwrap();
    let linked = ["data", "crop", &path("base.u8bin"), &path("link.u8bin"), "--rows", "3..5"];
    assert_eq!(spandrel(&linked).status.code(), Some(0));
    assert!(fs::symlink_metadata(path("link.u8bin")).unwrap().is_symlink());
    assert_eq!(fs::read(path("target.u8bin")).unwrap(), rows);
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

#[test]
fn a_closed_reader_ends_the_run_quietly() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = Command::new(env!("CARGO_BIN_EXE_spandrel"))
        .args(["data", "get", "--list"])
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
}

#[test]
fn a_limit_on_file_size_is_an_error_like_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("sh")
        .args(["-c", "ulimit -f 1; exec \"$0\" data generate sift --vectors 1000 --out \"$1\""])
        .arg(env!("CARGO_BIN_EXE_spandrel"))
        .arg(folder.path().join("base.u8bin"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("File too large"), "{}", text(&output.stderr));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_plan_is_printed_and_kept() {
    let plan = ["plan", "--vectors", "1000000", "--dim", "128", "--dtype", "u8"];
    let output = spandrel(&plan);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("build memory"), "{}", text(&output.stdout));
    let small = spandrel(&[&plan[..], &["--memory", "1MiB"]].concat());
    assert_eq!(small.status.code(), Some(1));
    assert!(text(&small.stderr).contains("pass --memory"));
    assert_eq!(spandrel(&[&plan[..], &["--memory", "1MoB"]].concat()).status.code(), Some(2));
}

/// The memory that a refusal names.
fn named_memory(stderr: &str) -> String {
    let (_, rest) = stderr.split_once("pass --memory ").unwrap_or_else(|| panic!("{stderr}"));
    rest.split([' ', ',']).next().unwrap().to_owned()
}

/// Advice to ask for fewer lists did not help where lists took nothing, 3 000 vectors were said to need 6.6 GB, and sizes
/// were in bytes.
#[test]
fn a_refusal_names_the_least_memory_that_works() {
    let wide = ["plan", "--vectors", "3000", "--dim", "16384", "--dtype", "i8"];
    let narrow = ["plan", "--vectors", "1000000", "--dim", "128", "--dtype", "f32"];
    for plan in [wide, narrow] {
        let small = spandrel(&[&plan[..], &["--memory", "20MB"]].concat());
        let (stderr, memory) = (text(&small.stderr), named_memory(text(&small.stderr)));
        assert_eq!(small.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("may use 20MB") && !stderr.contains("fewer lists"), "{stderr}");
        let megabytes: u64 = memory.strip_suffix("MB").unwrap().parse().unwrap();
        assert!(megabytes < 1000, "{stderr}");
        assert_eq!(
            spandrel(&[&plan[..], &["--memory", &memory]].concat()).status.code(),
            Some(0),
            "{memory}"
        );
        let less = format!("{}MB", megabytes - 1);
        assert_eq!(spandrel(&[&plan[..], &["--memory", &less]].concat()).status.code(), Some(1), "{less}");
    }
    let many = ["plan", "--vectors", "10000000", "--dim", "128", "--dtype", "f32", "--list-size", "4"];
    let refused = spandrel(&[&many[..], &["--memory", "1GB"]].concat());
    assert!(text(&refused.stderr).contains("or ask for fewer lists"), "{}", text(&refused.stderr));
}

#[test]
fn a_search_memory_that_cannot_be_kept_is_warned_about() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (base, index) = (path("base.u8bin"), path("index"));
    let made = ["data", "generate", "sift", "--vectors", "2000", "--seed", "1", "--out", &base];
    assert_eq!(spandrel(&made).status.code(), Some(0));
    let build = |memory: &str| {
        let args =
            ["build", "--base", &base, "--metric", "l2", "--out", &index, "--replace", "--no-calibrate"];
        let built = spandrel(&[&args[..], &["--search-memory", memory]].concat());
        assert_eq!(built.status.code(), Some(0), "{}", text(&built.stderr));
        text(&built.stderr).to_owned()
    };
    let said = build("1B");
    let (_, rest) = said.split_once("warning: ").unwrap_or_else(|| panic!("{said}"));
    let (_, least) = rest.split_once("the least that works is --search-memory ").unwrap();
    let said = build(least.split(',').next().unwrap());
    assert!(!said.contains("warning: "), "{said}");
}

#[test]
fn an_index_is_built_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    write_u8bin(Path::new(&path("base.u8bin")), 200);
    let build = ["build", "--base", &path("base.u8bin"), "--metric", "l2", "--out", &path("index")];
    let dry = spandrel(&[&build[..], &["--dry-run"]].concat());
    assert_eq!(dry.status.code(), Some(0), "{}", text(&dry.stderr));
    let small = spandrel(&[&build[..], &["--dry-run", "--memory", "1MiB"]].concat());
    assert_eq!(small.status.code(), Some(1));
    assert!(text(&small.stderr).contains("pass --memory"));
    assert!(!Path::new(&path("index")).exists());
    let built = spandrel(&build);
    assert_eq!(built.status.code(), Some(0), "{}", text(&built.stderr));
    assert!(text(&built.stdout).contains("vectors   200 of 2 x u8, l2"), "{}", text(&built.stdout));
    let again = spandrel(&build);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("--replace"), "{}", text(&again.stderr));
    assert_eq!(spandrel(&[&build[..], &["--replace"]].concat()).status.code(), Some(0));
    let many = spandrel(&[&build[..], &["--replace", "--lists", "201"]].concat());
    assert_eq!(many.status.code(), Some(1));
    assert!(text(&many.stderr).contains("--lists"), "{}", text(&many.stderr));
}

#[test]
fn a_build_calibrates_unless_told_not_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let run = |args: &[&str]| {
        let output = spandrel(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout).to_owned()
    };
    let usual = "queries   epsilon 0.6, at most 160 lists, reranked within 0.9 errors";
    let (base, index) = (path("base.u8bin"), path("index"));
    run(&["data", "generate", "sift", "--vectors", "12000", "--seed", "1", "--out", &base]);
    let build = ["build", "--base", &base, "--metric", "l2", "--out", &index, "--memory", "1GiB"];
    let said = run(&build);
    assert!(said.contains(", calibrate ") && !said.contains(usual), "{said}");
    let stats = fs::read_to_string(path("index/build-stats-1.json")).unwrap();
    assert!(stats.contains("\"held_out_recall\": 0.9"), "{stats}");
    let said = run(&[&build[..], &["--replace", "--no-calibrate"]].concat());
    assert!(!said.contains(", calibrate ") && said.contains(usual), "{said}");
    let few = path("few.u8bin");
    run(&["data", "crop", &base, &few, "--rows", "0..9999"]);
    let said = run(&["build", "--base", &few, "--metric", "l2", "--out", &path("few")]);
    assert!(said.contains(", calibrate ") && !said.contains(usual), "{said}");
    let said = run(&["inspect", &path("few")]);
    assert!(said.contains("k 1000, vectors in memory: --max-lists 84 --rerank-errors "), "{said}");
    assert!(said.contains("recall 0.99 at k 10, vectors in ssd: --max-lists 84 --rerank-errors "), "{said}");
}

#[test]
fn an_input_with_rows_of_two_lengths_leaves_no_build_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    // The second row claims one element, its bytes are two.
    let rows: Vec<u8> =
        [[2_i32, 7, 7], [1, 7, 7]].as_flattened().iter().flat_map(|x| x.to_le_bytes()).collect();
    fs::write(path("base.fvecs"), rows).unwrap();
    let output =
        spandrel(&["build", "--base", &path("base.fvecs"), "--metric", "l2", "--out", &path("index")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("row 1 at offset 12: expected 2 elements, found 1"));
    assert!(!Path::new(&path("index")).exists());
    fs::rename(path("base.fvecs"), path("truth.ivecs")).unwrap();
    assert_eq!(spandrel(&["data", "info", &path("truth.ivecs")]).status.code(), Some(0));
    let output = spandrel(&["data", "info", &path("truth.ivecs"), "--scan"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("row 1 at offset 12: expected 2 elements, found 1"));
}

#[test]
fn an_index_is_searched_and_measured() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let run = |args: &[&str]| {
        let output = spandrel(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout).to_owned()
    };
    let (base, queries, index, truth) = (path("b.u8bin"), path("q.u8bin"), path("index"), path("t.ibin"));
    run(&[
        "data",
        "generate",
        "sift",
        "--vectors",
        "2000",
        "--dim",
        "32",
        "--out",
        &base,
        "--queries",
        "50",
        "--queries-out",
        &queries,
    ]);
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
    run(&["build", "--base", &base, "--metric", "l2", "--out", &index]);
    assert!(run(&["verify", &index, "--deep"]).starts_with("good: version 1,"));
    assert!(run(&["inspect", &index]).contains("2 000 of 32 x u8, l2"));

    let search = ["query", "--index", &index, "--queries", &queries, "--k", "3", "--max-lists", "1000"];
    let lines = run(&search);
    assert_eq!(lines.lines().count(), 50 * 3);
    // An index of fewer vectors than asked for gives all.
    let all = run(&["query", "--index", &index, "--queries", &queries, "--k", "2001"]);
    assert_eq!(all.lines().count(), 50 * 2000);
    run(&[&search[..], &["--io", "pread", "--direct", "off", "--out", &path("r.ibin")]].concat());
    assert!(run(&["data", "info", &path("r.ibin")]).contains("3 neighbours of 50 queries, with distances"));
    run(&[&search[..], &["--out", &path("r.npy")]].concat());
    assert_eq!(fs::metadata(path("r.npy")).unwrap().len(), 128 + 50 * 3 * 8);

    let bench = ["bench", "--index", &index, "--queries", &queries, "--truth", &truth, "--seconds", "0"];
    let sweep = [
        "--max-lists",
        "1,1000",
        "--in-flight",
        "1,2",
        "--rerank",
        "2000",
        "--json",
        &path("f.json"),
        "--html",
        &path("f.html"),
    ];
    run(&[&bench[..], &sweep].concat());
    let figures: serde_json::Value = serde_json::from_slice(&fs::read(path("f.json")).unwrap()).unwrap();
    assert_eq!(figures.as_array().unwrap().len(), 4);
    // Every list is read and every vector compared, so every neighbour is found.
    assert_eq!(figures[1]["recall"], 1.0);
    assert!(figures[0]["recall"].as_f64().unwrap() < 1.0);
    assert!(run(&["report", &path("f.json")]).contains("2 in flight"));

    for (args, says) in [
        (&["query", "--index", &index, "--queries", &truth][..], "t.ibin"),
        (&["query", "--index", "/no/such", "--queries", &queries], "spandrel build"),
        (&["bench", "--index", &index, "--queries", &base, "--truth", &truth], "2000"),
        (
            &["bench", "--index", &index, "--queries", &queries, "--truth", &truth, "--k", "11"],
            "recall at 11",
        ),
        (&["verify", folder.path().to_str().unwrap()], "no index here"),
    ] {
        let output = spandrel(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(text(&output.stderr).contains(says), "{args:?}: {}", text(&output.stderr));
    }
    for args in
        [&["query", "--index", &index, "--queries", &queries, "--k", "0"][..], &["bench", "--index", &index]]
    {
        assert_eq!(spandrel(args).status.code(), Some(2), "{args:?}");
    }
}
