//! What damage, and addresses and settings that cannot be meant, are told.
use std::fs;
use std::path::Path;

use crate::support::{Server, run, spandrel, text, write_u8bin};

/// A small index in a folder.
fn built(folder: &Path) -> String {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    write_u8bin(&folder.join("b.u8bin"), 200);
    let index = path("index");
    run(&["build", "--base", &path("b.u8bin"), "--metric", "l2", "--out", &index]);
    index
}

/// The exit code, and standard error.
fn failure(args: &[&str]) -> (Option<i32>, String) {
    let output = spandrel(args);
    (output.status.code(), text(&output.stderr).to_owned())
}

/// It was told of the first damaged file alone.
#[test]
fn verify_names_all_damaged_files() {
    let folder = tempfile::tempdir().unwrap();
    let index = built(folder.path());
    for name in ["vectors-1", "ids-1"] {
        let path = Path::new(&index).join(name);
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(path, bytes).unwrap();
    }
    fs::remove_file(Path::new(&index).join("directory-1")).unwrap();
    let (code, said) = failure(&["verify", &index]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("index: 3 files are damaged\n"), "{said}");
    for name in ["vectors-1: ", "ids-1: ", "directory-1: this file of the index is gone"] {
        assert!(said.lines().any(|line| line.starts_with("  because: ") && line.contains(name)), "{said}");
    }
    assert_eq!(said.matches("restore the file").count(), 1, "what to do is said once: {said}");
}

/// A vector that cannot be read ended a command without a word of the file that is damaged.
#[test]
fn a_damaged_page_is_named_by_whatever_meets_it() {
    let folder = tempfile::tempdir().unwrap();
    let index = built(folder.path());
    let [base, truth] =
        ["b.u8bin", "t.ibin"].map(|name| folder.path().join(name).to_str().unwrap().to_owned());
    run(&[
        "data",
        "truth",
        "--base",
        &base,
        "--queries",
        &base,
        "--metric",
        "l2",
        "--k",
        "10",
        "--out",
        &truth,
    ]);
    let path = Path::new(&index).join("vectors-1");
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096 + 100] ^= 1;
    fs::write(path, bytes).unwrap();
    let asked = ["--queries", &base, "--index", &index];
    for args in [
        &[&["bench", "--truth", &truth], &asked[..]].concat()[..],
        &[&["query"], &asked[..]].concat(),
        &["recall", "--index", &index],
    ] {
        let (code, said) = failure(args);
        assert!(code == Some(1) && said.contains("vectors-1: page 0"), "{args:?}: {said}");
        assert!(!said.contains("calibrated"), "{said}");
    }
}

/// It was told that its build had not finished.
#[test]
fn an_index_without_its_pointer_is_told_and_mended() {
    let folder = tempfile::tempdir().unwrap();
    let index = built(folder.path());
    fs::remove_file(Path::new(&index).join("CURRENT")).unwrap();
    let (code, said) = failure(&["inspect", &index]);
    assert_eq!(code, Some(1), "{said}");
    let advice = format!("spandrel switch {index} --version 1");
    assert!(said.contains("CURRENT") && said.contains(&advice), "{said}");
    // A build does not go over it.
    let base = folder.path().join("b.u8bin");
    let (code, said) =
        failure(&["build", "--base", base.to_str().unwrap(), "--metric", "l2", "--out", &index]);
    assert!(code == Some(1) && said.contains(&advice), "{said}");
    let switched = run(&["switch", &index, "--version", "1", "--format", "json"]);
    assert!(switched.contains("\"old_version\": null"), "{switched}");
    run(&["verify", &index, "--deep"]);
    // What is not whole is no index.
    fs::remove_file(Path::new(&index).join("CURRENT")).unwrap();
    fs::remove_file(Path::new(&index).join("ids-1")).unwrap();
    let (_, said) = failure(&["inspect", &index]);
    assert!(said.contains("no index here (no CURRENT file)"), "{said}");
}

/// `http://` was taken as the name of a host.
#[test]
fn an_address_may_begin_as_a_url() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::of(&format!("a={}", built(folder.path())));
    for address in [format!("http://{}", server.address), format!("{}/", server.address)] {
        assert!(run(&["admin", "--server", &address, "list"]).contains("200"));
    }
    let port = server.address.rsplit_once(':').unwrap().1;
    let queries = folder.path().join("b.u8bin");
    let queries = queries.to_str().unwrap();
    for (address, more, says) in [
        ("127.0.0.1".to_owned(), &[][..], "the port is missing: write HOST:PORT"),
        ("http://127.0.0.1/".to_owned(), &[], "the port is missing: write HOST:PORT"),
        (format!("grpc://127.0.0.1:{port}"), &[], "write HOST:PORT, or https://HOST:PORT for TLS"),
        (format!("http://127.0.0.1:{port}"), &["--tls"], "http:// is without TLS"),
        (format!("https://127.0.0.1:{port}"), &[], "TLS"),
    ] {
        let asked = ["query", "--server", &address, "--queries", queries];
        let (code, said) = failure(&[&asked[..], more].concat());
        assert!(code == Some(1) && said.contains(says), "{address}: {said}");
        let (code, said) = failure(&[&["admin", "--server", &address, "list"], more].concat());
        assert!(code == Some(1) && said.contains(says), "{address}: {said}");
    }
    let (code, said) = failure(&["serve", "--index", "a=b", "--listen", "http://127.0.0.1:7700"]);
    assert!(code == Some(2) && said.contains("expected an address and a port"), "{said}");
    let (code, said) = failure(&["query", "--queries", queries]);
    assert!(code == Some(2) && said.contains("--index <DIR> or --server <HOST:PORT>"), "{said}");
}

/// One was told to build an index in the place of a file.
#[test]
fn what_is_no_folder_of_an_index_is_told() {
    let folder = tempfile::tempdir().unwrap();
    write_u8bin(&folder.path().join("b.u8bin"), 200);
    let base = folder.path().join("b.u8bin");
    let (base, none) = (base.to_str().unwrap(), folder.path().join("none"));
    for args in [&["inspect", base][..], &["verify", base], &["query", "--index", base, "--queries", base]] {
        let (code, said) = failure(args);
        assert!(
            code == Some(1) && said.contains("b.u8bin: a file, expected the folder of an index"),
            "{said}"
        );
    }
    let (code, said) = failure(&["inspect", none.to_str().unwrap()]);
    assert!(code == Some(1) && said.contains("none: there is no such folder; build an index with"), "{said}");
}

/// 100 queries were taken for a promise without a word.
#[test]
fn a_promise_by_few_queries_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (base, queries, index) = (path("b.u8bin"), path("q.u8bin"), path("index"));
    let made = ["data", "generate", "sift", "--vectors", "2000", "--dim", "16", "--out", &base];
    run(&[&made[..], &["--queries", "1000", "--queries-out", &queries]].concat());
    run(&["build", "--base", &base, "--metric", "l2", "--out", &index]);
    let few = path("f.u8bin");
    run(&["data", "crop", &queries, &few, "--rows", "0..100"]);
    let calibrate = ["calibrate", "--index", &index, "--queries"];
    let told = run(&[&calibrate[..], &[&few]].concat());
    assert!(told.contains("warning: recalls are promised by 60 queries alone"), "{told}");
    assert!(told.contains("standard error of 0.028; give 1 000 or more"), "{told}");
    let back = format!(
        "version 1, with its calibration, stays: `spandrel switch {index} --version 1` goes back to it"
    );
    assert!(told.contains(&back), "{told}");
    assert!(run(&["inspect", &index]).contains("recalls are promised by 60 queries alone"));
    let enough = run(&[&calibrate[..], &[&queries, "--format", "json"]].concat());
    assert!(enough.contains("\"old_version\": 2"), "{enough}");
    assert!(enough.contains("\"queries\": 6") && enough.contains("\"warnings\": []"), "{enough}");
}
