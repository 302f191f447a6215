//! Plans and builds.
use std::path::Path;

use crate::support::{run, spandrel, text, write_u8bin};

#[test]
fn a_plan_is_printed_and_kept() {
    let plan = ["plan", "--vectors", "1000000", "--dim", "128", "--dtype", "u8"];
    let output = spandrel(&plan);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("build memory"), "{}", text(&output.stdout));
    let small = spandrel(&[&plan[..], &["--memory", "1MiB"]].concat());
    assert_eq!(small.status.code(), Some(1));
    assert!(text(&small.stderr).contains("pass --memory"));
    let tiny = spandrel(&[&plan[..], &["--memory", "200"]].concat());
    assert!(text(&tiny.stderr).contains("may use 200B;"), "{}", text(&tiny.stderr));
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
    let usual = "queries   epsilon 0.6, at most 100 lists, reranked within 0.9 errors";
    let (base, index) = (path("base.u8bin"), path("index"));
    run(&["data", "generate", "sift", "--vectors", "12000", "--seed", "1", "--out", &base]);
    let build = ["build", "--base", &base, "--metric", "l2", "--out", &index, "--memory", "1GiB"];
    let said = run(&build);
    assert!(said.contains(", calibrate ") && !said.contains(usual), "{said}");
    let told = run(&["inspect", &index]);
    assert!(told.contains("recall      by rows of the index\n") && told.contains(", 0.95 with "), "{told}");
    assert!(told.contains(" for --recall 0.95") && told.contains("when it has found enough"), "{told}");
    let said = run(&[&build[..], &["--replace", "--no-calibrate"]].concat());
    assert!(!said.contains(", calibrate ") && said.contains(&format!("{usual}, unless")), "{said}");
    let few = path("few.u8bin");
    run(&["data", "crop", &base, &few, "--rows", "0..9999"]);
    let said = run(&["build", "--base", &few, "--metric", "l2", "--out", &path("few")]);
    assert!(said.contains(", calibrate ") && !said.contains(usual), "{said}");
    let said = run(&["inspect", &path("few")]);
    assert!(said.contains(", 0.95 with 84 lists and ") && said.contains("by 800 queries"), "{said}");
}

#[test]
fn alternatives_of_a_plan_count_attributes_and_the_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (base, fine, known) = (path("base.u8bin"), path("fine.fbin"), path("known.jsonl"));
    let made = ["data", "generate", "sift", "--vectors", "2000", "--seed", "1", "--out", &base];
    assert_eq!(spandrel(&made).status.code(), Some(0));
    let made = [
        "data",
        "generate",
        "embedding",
        "--vectors",
        "2000",
        "--dim",
        "96",
        "--dtype",
        "f32",
        "--seed",
        "1",
    ];
    assert_eq!(spandrel(&[&made[..], &["--out", &fine]].concat()).status.code(), Some(0));
    let lines: String = (0..2000).map(|row| format!("{{\"id\":{row},\"number\":{}}}\n", row * 7)).collect();
    std::fs::write(&known, lines).unwrap();
    let alternatives = |flags: &[&str]| {
        let fixed = ["plan", "--base", &base, "--metric", "l2", "--format", "json"];
        let planned = spandrel(&[&fixed[..], flags].concat());
        assert_eq!(planned.status.code(), Some(0), "{}", text(&planned.stderr));
        let plan: serde_json::Value = serde_json::from_str(text(&planned.stdout)).unwrap();
        plan["alternatives"].as_array().unwrap().clone()
    };
    let disk = |alternatives: &[serde_json::Value]| {
        let of = alternatives.iter().find(|of| of["code"] == "axes:32").unwrap();
        of["disk_per_vector"].as_f64().unwrap()
    };
    let (alone, column) = (alternatives(&[]), format!("fine={fine}:l2"));
    let [replaced, kept] =
        [&["--column", &column][..], &["--column", &column, "--keep-coarse"]].map(alternatives);
    let attributed = alternatives(&["--attributes", &known]);
    // Vectors of 384 bytes in pages of 4 096, which stand in for those of 128.
    assert!((380.0..480.0).contains(&(disk(&kept) - disk(&alone))), "{} {}", disk(&kept), disk(&alone));
    assert!((130.0..140.0).contains(&(disk(&kept) - disk(&replaced))), "{}", disk(&replaced));
    assert!(disk(&attributed) > disk(&alone) + 3.0, "{}", disk(&attributed));
    let has_full = |of: &[serde_json::Value]| of.iter().any(|of| of["code"] == "full");
    assert!(has_full(&alone) && !has_full(&kept));
}

#[test]
fn attributes_without_a_value_are_pointed_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let [base, known, index] = ["b.u8bin", "known.jsonl", "index"].map(path);
    write_u8bin(Path::new(&base), 50);
    let line = |id: u32| format!("{{\"id\": {id}, \"price\": {id}, \"colour\": null}}\n");
    std::fs::write(&known, (0..50).map(line).collect::<String>()).unwrap();
    let build = ["build", "--base", &base, "--metric", "l2", "--out", &index, "--attributes", &known];
    let output = spandrel(&build);
    let remark = "attribute colour (keyword): no vector has a value of it";
    assert!(text(&output.stderr).contains(&format!("warning: {remark}\n")), "{}", text(&output.stderr));
    assert!(!text(&output.stderr).contains("attribute price"), "{}", text(&output.stderr));
    assert!(run(&["inspect", &index]).contains(&format!("warning     {remark}\n")));
}
