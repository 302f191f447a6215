//! Settings of a server: from flags, the environment and a file.
use std::fs;
use std::process::Command;

use crate::support::text;

/// A value that cannot be meant names its flag, its variable, or its file with the line. A limit of 0 in a file was taken,
/// and a bad variable was told as if it were a flag.
#[test]
fn a_bad_setting_names_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("serve.toml");
    fs::write(&file, "[server]\nmax_k = 5\nmax_batch = 0\n").unwrap();
    let file = file.to_str().unwrap();
    let run = |variables: &[(&str, &str)], flags: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_spandrel"));
        command.args(["serve", "--check", "--index", "a=/no/such"]).args(flags);
        let output = command.envs(variables.iter().copied()).output().unwrap();
        (output.status.code().unwrap(), text(&output.stderr).to_owned())
    };
    for (variables, flags, code, says) in [
        (
            &[][..],
            &["--max-k", "0"][..],
            2,
            "invalid value '0' for '--max-k <N>': expected a whole number from 1",
        ),
        (&[("SPANDREL_MAX_K", "0")], &[], 2, "error: SPANDREL_MAX_K is '0': expected a whole number from 1"),
        (
            &[("SPANDREL_INSECURE", "perhaps")],
            &[],
            2,
            "SPANDREL_INSECURE is 'perhaps': expected true or false",
        ),
        (
            &[("SPANDREL_HEALTH", "well")],
            &[],
            2,
            "SPANDREL_HEALTH is 'well': expected true or false, on or off",
        ),
        (&[("SPANDREL_HEALTH", "1"), ("SPANDREL_INSECURE", "on")], &[], 1, "index 'a'"),
        (&[("SPANDREL_MAX_K", "lots")], &[], 2, "SPANDREL_MAX_K is 'lots': expected a whole number from 1"),
        (&[("SPANDREL_LOG_FORMAT", "xml")], &[], 2, "SPANDREL_LOG_FORMAT is 'xml': expected text or json"),
        (&[], &["--config", file], 1, "serve.toml: line 3: max_batch is '0': expected a whole number from 1"),
        // What goes before the file hides what is wrong in it; the index is all that is missing then.
        (&[("SPANDREL_MAX_BATCH", "7")], &["--config", file], 1, "index 'a'"),
        (&[], &["--max-batch", "7", "--config", file], 1, "index 'a'"),
        (&[("SPANDREL_CONFIG", file)], &[], 1, "line 3: max_batch"),
    ] {
        let (found, said) = run(variables, flags);
        assert_eq!(found, code, "{variables:?} {flags:?}: {said}");
        assert!(said.contains(says), "{variables:?} {flags:?}: {said}");
    }
}
