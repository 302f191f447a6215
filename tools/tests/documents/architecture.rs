//! What ARCHITECTURE.md says of the sources as a whole.
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::text::root;

/// Sources below a folder that allow `unsafe`, by their paths from the root.
fn with_unsafe(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        if path.is_dir() {
            with_unsafe(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && fs::read_to_string(&path).unwrap().lines().any(|line| line.trim() == "#![allow(unsafe_code)]")
        {
            found.insert(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
        }
    }
}

/// The list of modules with `unsafe` names each, itself or by its folder, and names no other.
#[test]
fn modules_with_unsafe_code_are_those_listed() {
    let mut found = BTreeSet::new();
    for folder in [
        "names", "io", "filter", "index", "datasets", "builder", "search", "proto", "tools", "benches",
        "tests",
    ] {
        with_unsafe(&root().join(folder), &mut found);
    }
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let paragraph = text.split_once("`unsafe` is denied").unwrap().1.split("\n\n").next().unwrap();
    let listed: Vec<&str> =
        paragraph.split('`').skip(1).step_by(2).filter(|word| word.contains("/src/")).collect();
    let covers =
        |listed: &str, file: &str| file == listed || listed.ends_with('/') && file.starts_with(listed);
    let missing: Vec<&String> =
        found.iter().filter(|file| !listed.iter().any(|listed| covers(listed, file))).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md does not list {missing:?}");
    let gone: Vec<&&str> =
        listed.iter().filter(|listed| !found.iter().any(|file| covers(listed, file))).collect();
    assert!(gone.is_empty() && found.len() > 10, "no unsafe code is in {gone:?}; it is in {found:?}");
}
