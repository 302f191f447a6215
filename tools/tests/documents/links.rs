//! Links between the documents lead to files and headings that are there.
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::text::{Document, documents, root};

/// Where the links of a text lead; places inside of code are none.
fn targets(prose: &str) -> Vec<String> {
    let plain: String = prose.split('`').step_by(2).collect();
    let ends = plain.match_indices("](").map(|(at, _)| &plain[at + 2..]);
    ends.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.to_owned()).collect()
}

/// The names that headings get: small letters and digits, with `-` for blanks.
fn anchors(prose: &str) -> BTreeSet<String> {
    let name = |heading: &str| -> String {
        let plain = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = plain.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    prose.lines().filter(|line| line.starts_with('#')).map(name).collect()
}

/// What is wrong with a link of a document.
fn broken(document: &Document, target: &str) -> Option<String> {
    if target.starts_with("https://") {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let folder = root().join(Path::new(&document.name).parent().unwrap());
    let file = if path.is_empty() { root().join(&document.name) } else { folder.join(path) };
    if !file.exists() {
        return Some(format!("{}: {target} leads to no file", document.name));
    }
    if anchor.is_empty() {
        return None;
    }
    let text = fs::read_to_string(&file).unwrap();
    let known = anchors(&Document { name: String::new(), text }.prose());
    (!known.contains(anchor)).then(|| format!("{}: {target} leads to no heading", document.name))
}

#[test]
fn links_lead_somewhere() {
    let mut checked = 0;
    let mut wrong = Vec::new();
    for document in documents() {
        for target in targets(&document.prose()) {
            checked += 1;
            wrong.extend(broken(&document, &target));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked >= 50, "{checked} links found");
}

#[test]
fn links_and_headings_are_read() {
    assert_eq!(targets("[a](b.md#c-d) `[no](link)` ![p](q.svg)"), ["b.md#c-d", "q.svg"]);
    let names: Vec<String> =
        anchors("# A first run\ntext\n## io_uring, direct `reads`\n").into_iter().collect();
    assert_eq!(names, ["a-first-run", "io_uring-direct-reads"]);
    let document = Document { name: "docs/index.md".to_owned(), text: String::new() };
    assert_eq!(broken(&document, "concepts.md#codes-and-errors"), None);
    assert!(broken(&document, "concepts.md#no-such-heading").is_some());
    assert!(broken(&document, "no-such-page.md").is_some());
}
