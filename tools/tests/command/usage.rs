//! Wrong and right command lines, and how runs end.
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;

use crate::support::{run, spandrel, text, write_u8bin};

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

/// A file that is read would be lost, or one of two outputs.
#[test]
fn no_command_writes_over_its_own_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let [a, beside, b, tags] = ["a.ibin", "./a.ibin", "b.ibin", "t.jsonl"].map(path);
    fs::write(&a, "whole").unwrap();
    let cases: [(&[&str], &str); 12] = [
        (&["fuse", &b, &a, "--out", &beside], "FILE and --out"),
        (&["join", "--index", "i", "--queries", &a, "--out", &a], "--queries and --out"),
        (&["query", "--index", "i", "--queries", &a, "--out", &beside], "--queries and --out"),
        (&["query", "--index", "i", "--queries", &b, "--filters", &a, "--out", &a], "--filters and --out"),
        (
            &["data", "truth", "--base", &a, "--queries", &b, "--metric", "l2", "--out", &a],
            "--base and --out",
        ),
        (
            &["data", "truth", "--base", &b, "--queries", &a, "--metric", "l2", "--out", &a, "--radius", "1"],
            "--queries and --out",
        ),
        (&["data", "generate", "labels", "--base", &tags, "--tags", "3", "--out", &tags], "--base and --out"),
        (
            &[
                "data",
                "generate",
                "labels",
                "--base",
                &b,
                "--tags",
                "3",
                "--out",
                &tags,
                "--queries",
                &a,
                "--filters-out",
                &tags,
            ],
            "--out and --filters-out",
        ),
        (&["report", &a, "--svg", &a], "FILE and --svg"),
        (&["report", &b, "--svg", &a, "--html", &beside], "--html and --svg"),
        (&["bench", "--index", "i", "--queries", &b, "--truth", &a, "--json", &a], "--truth and --json"),
        (
            &["bench", "--index", "i", "--queries", &b, "--truth", &b, "--json", &a, "--html", &beside],
            "--json and --html",
        ),
    ];
    for (args, says) in cases {
        let output = spandrel(args);
        assert!(
            text(&output.stderr).contains(&format!("{says} name one file")),
            "{args:?}: {}",
            text(&output.stderr)
        );
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
    assert_eq!(fs::read(&a).unwrap(), b"whole");
}

#[test]
fn other_words_for_a_command_name_it() {
    for (word, command) in [("search", "query"), ("info", "inspect"), ("queri", "query")] {
        let output = spandrel(&[word]);
        assert_eq!(output.status.code(), Some(2), "{word}");
        assert!(text(&output.stderr).contains(&format!("'{command}'")), "{}", text(&output.stderr));
    }
}

/// `query` takes the folder of an index behind a flag, these commands take it by itself.
#[test]
fn a_folder_behind_a_flag_is_told_where_it_stands() {
    for command in ["inspect", "verify", "switch"] {
        let output = spandrel(&[command, "--index", "here"]);
        assert_eq!(output.status.code(), Some(2), "{command}");
        let tip = format!("'spandrel {command} DIR'");
        assert!(text(&output.stderr).contains(&tip), "{}", text(&output.stderr));
        assert!(!text(&output.stderr).contains("-- --index"), "{}", text(&output.stderr));
    }
}

/// The tip of another word looks at the command line again, which may be no UTF-8.
#[test]
fn a_word_that_is_not_utf_8_is_wrong_usage() {
    let word = OsStr::from_bytes(b"\xff");
    let output = Command::new(env!("CARGO_BIN_EXE_spandrel")).arg(word).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_folder_in_place_of_a_file_is_called_one() {
    let folder = tempfile::tempdir().unwrap();
    let named = folder.path().join("named.fbin");
    fs::create_dir(&named).unwrap();
    for path in [folder.path(), &named] {
        let output = spandrel(&["data", "info", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("a folder, expected a file"), "{}", text(&output.stderr));
    }
    // A file that is missing is said to be, also where its name tells no format.
    let missing = folder.path().join("missing");
    let output = spandrel(&["data", "info", missing.to_str().unwrap()]);
    assert!(text(&output.stderr).contains("No such file"), "{}", text(&output.stderr));
}

#[test]
fn flags_of_every_command_stand_behind_its_own() {
    let help = run(&["build", "--help"]);
    let at = |flag: &str| help.find(flag).unwrap_or_else(|| panic!("{flag}: {help}"));
    assert!(at("--base <FILE>") < at("--out <DIR>") && at("--dry-run") < at("--quiet"), "{help}");
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
fn shells_and_readers_of_manuals_are_served() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]);
        assert!(script.contains("rerank-errors") && script.contains("completions"), "{shell}");
    }
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("man1");
    let pages = run(&["man", dir.to_str().unwrap()]);
    let page = fs::read_to_string(dir.join("spandrel-data-truth.1")).unwrap();
    assert!(pages.contains("spandrel-data-truth.1") && page.contains("exact nearest neighbours"), "{page}");
    assert!(fs::read_to_string(dir.join("spandrel.1")).unwrap().contains("spandrel"));
}

/// A token in the environment is nobody else's to read.
#[test]
fn a_token_of_the_environment_is_not_shown() {
    let token = "the-token-of-this-test-0123456789";
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let queries = folder.path().join("q.u8bin");
    write_u8bin(&queries, 2);
    let queries = queries.to_str().unwrap();
    for args in [
        &["query", "--help"][..],
        &["query", "--queries", queries],
        &["query", "--queries", queries, "--tls"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_spandrel"));
        let output = command
            .args(args)
            .env("SPANDREL_TOKEN", token)
            .env("SPANDREL_SERVER", &address)
            .output()
            .unwrap();
        let said = [text(&output.stdout), text(&output.stderr)].concat();
        assert!(!said.contains(token), "{said}");
        // The server of the environment was asked, and is not there.
        assert!(args.contains(&"--help") || said.contains(&address), "{said}");
    }
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
    assert!(text(&output.stderr).contains("raise `ulimit -f`"), "{}", text(&output.stderr));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
