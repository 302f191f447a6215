//! Pages of decisions have one form, a number each, and a row in the list of them.
use std::collections::BTreeSet;
use std::fs;

use super::text::{documents, root};

const PARTS: [&str; 5] = ["Context", "Choice", "Number", "Command", "When to look again"];

#[test]
fn decisions_have_their_parts_a_number_and_a_row() {
    let list = fs::read_to_string(root().join("docs/decisions/index.md")).unwrap();
    let (mut numbers, mut wrong) = (BTreeSet::new(), Vec::new());
    for document in documents() {
        let Some(file) = document.name.strip_prefix("docs/decisions/") else { continue };
        if file == "index.md" {
            continue;
        }
        let number = file.split('-').next().unwrap();
        let parts: Vec<&str> = document.text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        if parts != PARTS {
            wrong.push(format!("{file}: its parts are {parts:?}, not {PARTS:?}"));
        }
        if number.len() != 3 || !document.text.starts_with(&format!("# {number}: ")) {
            wrong.push(format!("{file}: it does not begin with '# NNN: ' and the number of its name"));
        }
        if !numbers.insert(number.to_owned()) {
            wrong.push(format!("{file}: another page has this number"));
        }
        if !list.contains(&format!("({file})")) {
            wrong.push(format!("{file}: docs/decisions/index.md has no row for it"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(numbers.len() >= 18, "{} pages found", numbers.len());
}
