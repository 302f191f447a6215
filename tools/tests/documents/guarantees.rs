//! Each guarantee names the tests that hold it, and these exist.
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::text::{documents, root};

/// Functions that the sources of the workspace define.
fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" {
                functions(&path, found);
            }
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(&path).unwrap();
            let names = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
            found.extend(names.map(str::to_owned));
        }
    }
}

#[test]
fn tests_that_hold_the_guarantees_exist() {
    let mut known = BTreeSet::new();
    functions(&root(), &mut known);
    let document = documents().into_iter().find(|document| document.name == "GUARANTEES.md").unwrap();
    let (mut rows, mut wrong) = (0, Vec::new());
    // Rows of the tables with tests have two columns; that of what is assumed names none.
    let promises = document.text.split_once("\n## Files").unwrap().1;
    for row in promises.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| promised")) {
        let tests: Vec<&str> = row.rsplit('|').nth(1).unwrap().split('`').skip(1).step_by(2).collect();
        rows += 1;
        if tests.is_empty() {
            wrong.push(format!("no test is named: {row}"));
        }
        wrong.extend(
            tests
                .iter()
                .filter(|name| !known.contains(**name))
                .map(|name| format!("there is no test {name}")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(rows >= 25, "{rows} promises found");
}
