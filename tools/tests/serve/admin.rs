//! `spandrel admin` against a real server.
use std::process::Command;

use serde_json::Value;

use crate::support::{DIM, Server, copy_folder, made, spandrel};

/// What `spandrel admin` prints for programs.
pub(crate) fn json(server: &Server, args: &[&str]) -> Value {
    let fixed = ["--quiet", "admin", "--server", &server.address, "--format", "json"];
    serde_json::from_str(&spandrel(&[&fixed[..], args].concat())).unwrap()
}

/// Its exit code, and what it says of its failure.
fn failure(server: &Server, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spandrel"));
    let output = command.args(["admin", "--server", &server.address]).args(args).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// A token was advised, which helps nothing.
#[test]
fn a_folder_outside_the_roots_is_told_with_what_to_change() {
    let (half, index) = (made().text("half"), made().text("index"));
    for (root, says) in [(&[][..], "root is: none"), (&["--root", &half], "root is: --root ")] {
        let server = Server::start(root);
        for args in [&["load", "more", &index][..], &["switch", "index", "--path", &index]] {
            let (code, said) = failure(&server, args);
            assert!(code == Some(1) && said.contains(says), "{said}");
            assert!(
                said.contains("help: name a folder inside one of those, or start the server with --root DIR"),
                "{said}"
            );
            assert!(!said.contains("--token"), "{said}");
        }
    }
}

#[test]
fn indexes_are_listed_loaded_described_verified_and_unloaded() {
    let half = made().text("half");
    let server = Server::start(&["--root", &half]);
    let listed = json(&server, &["list"]);
    assert_eq!(
        (&listed["indexes"][0]["name"], &listed["indexes"][0]["vectors"]),
        (&"index".into(), &5000.into())
    );
    let loaded = json(&server, &["load", "half", &half, "--vectors", "memory", "--estimates"]);
    assert_eq!((&loaded["index"]["vectors"], &loaded["old_version"]), (&2500.into(), &Value::Null));
    let about = json(&server, &["describe", "half"]);
    assert_eq!(
        (&about["vectors_tier"], &about["estimates"], &about["path"]),
        (&"memory".into(), &true.into(), &half.into())
    );
    assert!(about["calibration"]["source"] == "rows" && about["open_seconds"].as_f64().unwrap() > 0.0);
    assert!(about["memory_bytes"]["heads"].as_u64() > Some(0));
    assert_eq!(json(&server, &["verify", "half", "--deep"])["whole"], true);
    let operations = json(&server, &["operations"]);
    let kinds: Vec<_> = operations["operations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| (o["kind"].clone(), o["state"].clone()))
        .collect();
    assert_eq!(kinds, [("load".into(), "done".into()), ("verify".into(), "done".into())]);
    let text = spandrel(&["admin", "operations", "--server", &server.address]);
    assert!(text.contains("verify") && text.contains("version 1 is whole"), "{text}");
    spandrel(&["admin", "--server", &server.address, "unload", "half"]);
    let text = spandrel(&["admin", "--server", &server.address, "list"]);
    assert!(text.contains("index") && !text.contains("half"), "{text}");

    let (code, told) = failure(&server, &["describe", "half"]);
    assert!(code == Some(1) && told.contains("only 'index'"), "{told}");
    let (code, told) = failure(&server, &["load", "other", "/"]);
    assert!(code == Some(1) && told.contains("--root"), "{told}");
    let (code, told) = failure(&server, &["operations", "--cancel", "77"]);
    assert!(code == Some(1) && told.contains("no operation 77"), "{told}");
    let nowhere = Command::new(env!("CARGO_BIN_EXE_spandrel"))
        .args(["admin", "list"])
        .env_remove("SPANDREL_SERVER")
        .output()
        .unwrap();
    assert_eq!(nowhere.status.code(), Some(2));
}

#[test]
fn vectors_are_printed_by_their_ids() {
    let server = Server::start(&[]);
    let base = std::fs::read(made().path("base.u8bin")).unwrap();
    let row: Vec<String> = base[8 + 17 * DIM..][..DIM].iter().map(u8::to_string).collect();
    let text = spandrel(&["admin", "--server", &server.address, "fetch", "17"]);
    assert_eq!(text, format!("17\t{}\n", row.join(" ")));
    let (code, told) = failure(&server, &["fetch", "17", "5000"]);
    assert!(code == Some(1) && told.contains("1 of 2 vectors are not there"), "{told}");
}

#[test]
fn what_is_not_whole_fails_and_older_versions_are_switched_to() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("index");
    copy_folder(&made().path("half"), &dir);
    let (path, base) = (dir.to_str().unwrap(), made().text("base.u8bin"));
    let build = ["build", "--quiet", "--base", &base, "--metric", "l2", "--out", path, "--no-calibrate"];
    spandrel(&[&build[..], &["--replace", "--keep-previous", "1"]].concat());
    let server = Server::of(&format!("index={path}"), &[]);
    assert_eq!(json(&server, &["describe"])["vectors"], 5000);
    let back = json(&server, &["switch", "index", "--version", "1"]);
    assert_eq!((&back["index"]["vectors"], &back["old_version"]), (&2500.into(), &2.into()));
    assert_eq!(json(&server, &["describe"])["vectors"], 2500);
    let (code, told) = failure(&server, &["switch", "index", "--version", "9"]);
    assert!(code == Some(1) && told.contains("no version 9"), "{told}");
    let again = Server::of(&format!("index={path}@1"), &[]);
    assert_eq!(json(&again, &["describe"])["vectors"], 2500);

    let vectors = dir.join("vectors-1");
    let mut bytes = std::fs::read(&vectors).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&vectors, bytes).unwrap();
    let (code, told) = failure(&again, &["verify", "index"]);
    assert!(code == Some(1) && told.contains("index is not whole"), "{told}");
}
