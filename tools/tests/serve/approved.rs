//! Which version a server starts with: the one that was switched to, however the server before it ended.
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::admin::json;
use crate::support::{Server, copy_folder, made, spandrel};

/// An index of 2500 vectors, which a build of 5000 then replaces and keeps.
fn two_versions(dir: &Path) -> String {
    copy_folder(&made().path("half"), dir);
    let path = dir.to_str().unwrap().to_owned();
    build(&path);
    path
}

/// Publishes a further version, of 5000 vectors.
fn build(path: &str) {
    let base = made().text("base.u8bin");
    let build = ["build", "--quiet", "--base", &base, "--metric", "l2", "--out", path, "--no-calibrate"];
    spandrel(&[&build[..], &["--replace", "--keep-previous", "1"]].concat());
}

fn version(server: &Server) -> Value {
    json(server, &["describe"])["version"].clone()
}

fn switch(server: &Server, version: &str) -> Value {
    json(server, &["switch", "index", "--version", version])["not_remembered"].clone()
}

/// What `serve --check` says: its exit code, and standard output and error.
fn check(index: &str) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spandrel"));
    let output = command.args(["serve", "--check", "--index", index]).output().unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[test]
fn a_restart_serves_the_version_that_was_switched_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = two_versions(&folder.path().join("index"));
    let index = format!("index={path}");
    let server = Server::of(&index, &[]);
    assert_eq!(version(&server), 2);
    assert_eq!(switch(&server, "1"), Value::Null);
    // Killed.
    drop(server);
    let server = Server::of(&index, &[]);
    assert_eq!(version(&server), 1);
    server.log.wait(&["another version is in force", "version=1", "in_force=2"]);
    let (code, told) = check(&index);
    assert!(code == Some(0) && told.contains("version 1"), "{told}");
    // What a build publishes meanwhile is not served before it is switched to, and what is being served stays.
    build(&path);
    drop(server);
    let (server, beside) = (Server::of(&index, &[]), Server::of(&index, &[]));
    assert_eq!((version(&server), version(&beside)), (1.into(), 1.into()));
    let opened = json(&server, &["switch", "index"]);
    assert_eq!((&opened["index"]["version"], &opened["old_version"]), (&3.into(), &1.into()));
    assert_eq!(version(&beside), 1, "it serves what it serves");
    drop((server, beside));
    assert_eq!(version(&Server::of(&index, &[])), 3);
    // What is put in force at the folder itself counts as well.
    let put = spandrel(&["switch", &path, "--version", "2"]);
    assert_eq!(put, format!("{path}: version 2 is in force, version 3 was\n"));
    assert!(spandrel(&["verify", &path]).starts_with("good: version 2,"));
    assert_eq!(version(&Server::of(&index, &[])), 2);
}

#[test]
fn a_version_that_was_approved_and_is_not_whole_is_not_replaced_by_another() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("index");
    let path = two_versions(&dir);
    let index = format!("index={path}");
    assert_eq!(switch(&Server::of(&index, &[]), "1"), Value::Null);
    for (file, says) in
        [("heads-1", "heads-1"), ("manifest-1", "manifest-1"), ("APPROVED", "APPROVED: content is")]
    {
        let whole = std::fs::read(dir.join(file)).unwrap();
        let gone = file == "manifest-1";
        match gone {
            true => std::fs::remove_file(dir.join(file)).unwrap(),
            false => std::fs::write(dir.join(file), &whole[..whole.len() - 1]).unwrap(),
        }
        let (code, told) = check(&index);
        assert!(code == Some(1) && told.contains(says), "{told}");
        assert!(file == "APPROVED" || told.contains("version 1, which was approved"), "{told}");
        std::fs::write(dir.join(file), whole).unwrap();
    }
    assert_eq!(check(&index).0, Some(0));
    std::fs::remove_file(dir.join("manifest-1")).unwrap();
    let refused =
        Command::new(env!("CARGO_BIN_EXE_spandrel")).args(["switch", &path, "--version", "1"]).output();
    assert!(String::from_utf8(refused.unwrap().stderr).unwrap().contains("no version 1 here; there is 2"));
    spandrel(&["switch", &path, "--version", "2"]);
    assert_eq!(version(&Server::of(&index, &[])), 2);
}

#[test]
fn a_switch_that_a_restart_does_not_keep_to_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("index");
    let (path, half) = (two_versions(&dir), made().text("half"));
    let held = Server::of(&format!("index={path}@2"), &["--root", &half]);
    let told = switch(&held, "1");
    assert!(told.as_str().unwrap().contains("hold it to version 2"), "{told}");
    assert_eq!(switch(&held, "2"), Value::Null);
    let told = json(&held, &["switch", "index", "--path", &half])["not_remembered"].clone();
    assert!(told.as_str().unwrap().contains(&format!("name {path}")), "{told}");
    assert!(!dir.join("APPROVED").exists() && !Path::new(&half).join("APPROVED").exists());

    // Something is in the way of the file, as where the folder may only be read.
    let server = Server::of(&format!("index={path}"), &[]);
    std::fs::create_dir(dir.join("APPROVED.partial")).unwrap();
    let text = spandrel(&["admin", "--server", &server.address, "switch", "index", "--version", "1"]);
    assert!(text.contains("serves version 1 in the place of version 2"), "{text}");
    assert!(
        text.contains("a restart of the server does not keep to it: ") && text.contains("APPROVED"),
        "{text}"
    );
    server.log.wait(&["a restart does not serve this version", "APPROVED"]);
    drop(server);
    assert_eq!(version(&Server::of(&format!("index={path}"), &[])), 2);
}
