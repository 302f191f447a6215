//! Wrong and right command lines, and how runs end.
use std::fs;
use std::process::Command;

use crate::support::{spandrel, text};

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
