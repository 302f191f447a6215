//! What the documents say of the tree must be so, and what its files do not call.
use std::fs;
use std::path::{Path, PathBuf};

/// Every file of the project, relative to its root; what is built or hidden apart.
fn files(root: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy();
            if name == "target" || name == ".git" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path.strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    files
}

/// Words between backticks, outside blocks of code.
fn quoted(text: &str) -> Vec<&str> {
    let mut quoted = Vec::new();
    let mut in_block = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            quoted.extend(line.split('`').skip(1).step_by(2));
        }
    }
    quoted
}

/// Whether a word is meant as a path into the tree: a source file, or something in one of its folders.
fn is_path(root: &Path, word: &str) -> bool {
    let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
    let folder =
        word.split_once('/').is_some_and(|(first, _)| !first.is_empty() && root.join(first).is_dir());
    plain && !word.starts_with("target/") && (folder && !word.starts_with('.') || word.ends_with(".rs"))
}

/// Whether it leads to something from the root, or is the end of the path of a file.
fn exists(root: &Path, files: &[PathBuf], word: &str) -> bool {
    root.join(word).exists() || files.iter().any(|file| file.ends_with(word))
}

#[test]
fn paths_named_in_the_documents_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let files = files(root);
    assert!(is_path(root, "index/src/lib.rs") && exists(root, &files, "format/header.rs"));
    assert!(is_path(root, "gone.rs") && !exists(root, &files, "gone.rs"));
    let is_document = |file: &&PathBuf| {
        let in_root = file.components().count() == 1;
        (in_root || file.starts_with("docs")) && file.extension().is_some_and(|extension| extension == "md")
    };
    for document in files.iter().filter(is_document) {
        let text = fs::read_to_string(root.join(document)).unwrap();
        let words = quoted(&text);
        let gone: Vec<&str> =
            words.into_iter().filter(|word| is_path(root, word) && !exists(root, &files, word)).collect();
        assert!(gone.is_empty(), "{} names what is not there: {gone:?}", document.display());
    }
}

/// Calls of functions whose last digit differs by the version of the C library.
fn is_inexact(line: &str) -> bool {
    let names = [
        "ln", "ln_1p", "log", "log2", "log10", "exp", "exp2", "exp_m1", "powf", "sin", "cos", "tan", "cbrt",
        "hypot",
    ];
    let called = |name: &str| line.contains(&format!(".{name}(")) || line.contains(&format!("f64::{name}"));
    !line.trim_start().starts_with("//") && names.iter().any(|name| called(name))
}

/// Logarithms once decided which points of a curve were measured, and which code a build took.
#[test]
fn no_function_of_the_c_library_decides_bytes_of_an_index() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    assert!(
        is_inexact("let x = y.ln();")
            && is_inexact("map(f64::exp)")
            && !is_inexact("y.sqrt() // .ln()".split("//").next().unwrap())
    );
    let files = files(root);
    let folders = ["index/src", "builder/src", "search/engine/src/calibrate"];
    let decides = |file: &&PathBuf| {
        let is_test =
            file.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs");
        folders.iter().any(|folder| file.starts_with(folder))
            && !is_test
            && file.extension().is_some_and(|of| of == "rs")
    };
    let mut looked_at = 0;
    for file in files.iter().filter(decides) {
        let text = fs::read_to_string(root.join(file)).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let found: Vec<&str> = code.lines().filter(|line| is_inexact(line)).collect();
        assert!(found.is_empty(), "{}: use spandrel_index::math in {found:?}", file.display());
        looked_at += 1;
    }
    assert!(looked_at > 150, "{looked_at} files");
}
