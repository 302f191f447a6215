//! Commands of the documents are run as they stand, each document in a folder of its own.
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use super::output::disagreement;
use super::text::{Document, documents};

/// Runs a line in a folder, by a shell that finds the program in `bin`.
fn run(line: &str, folder: &Path, bin: &Path) -> Output {
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", line]).current_dir(folder).env("PATH", path).output().unwrap()
}

/// Runs a line that has to work, and gives what it printed.
fn printed(line: &str, folder: &Path, bin: &Path) -> Result<String, String> {
    let output = run(line, folder, bin);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(format!("{line}\n{}: {error}", output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Measuring takes seconds unless told otherwise.
fn shortened(command: &str) -> String {
    match command.starts_with("spandrel bench") && !command.contains("--seconds") {
        true => format!("{command} --seconds 0"),
        false => command.to_owned(),
    }
}

/// The files that pages of `docs` take for granted.
fn prepare(folder: &Path, bin: &Path) {
    for line in [
        "spandrel data generate embedding --vectors 2000 --dim 24 --out base.fbin --queries 20 --queries-out queries.fbin",
        "spandrel build --base base.fbin --metric l2 --out index --memory 512MiB --no-calibrate",
        "spandrel data truth --base base.fbin --queries queries.fbin --metric l2 --k 10 --out truth.ibin",
    ] {
        printed(line, folder, bin).unwrap();
    }
}

/// What is wrong with the commands of a document, if something is, and how many ran.
fn check(document: &Document, folder: &Path, bin: &Path) -> (usize, Vec<String>) {
    let (mut ran, mut wrong) = (0, Vec::new());
    for block in document.blocks().iter().filter(|block| block.not_run.is_none()) {
        // What cargo does takes minutes; that its packages and targets exist is checked elsewhere.
        for shown in block.commands().into_iter().filter(|shown| !shown.command.starts_with("cargo ")) {
            ran += 1;
            let place = format!("{}:{}", document.name, block.line);
            match printed(&shortened(&shown.command), folder, bin) {
                Err(error) => wrong.push(format!("{place}: {error}")),
                Ok(text) if block.language == "console" => {
                    let found = disagreement(&shown.output, &text);
                    wrong.extend(
                        found.map(|line| {
                            format!("{place}: {}\nshown: {line}\nprinted:\n{text}", shown.command)
                        }),
                    );
                }
                Ok(_) => {}
            }
        }
    }
    (ran, wrong)
}

#[test]
fn commands_of_the_documents_run_and_print_what_is_shown() {
    let work = tempfile::tempdir().unwrap();
    let bin = work.path().join("bin");
    fs::create_dir(&bin).unwrap();
    symlink(env!("CARGO_BIN_EXE_spandrel"), bin.join("spandrel")).unwrap();
    let prepared = work.path().join("prepared");
    fs::create_dir(&prepared).unwrap();
    prepare(&prepared, &bin);

    let (mut ran, mut wrong) = (0, Vec::new());
    for (number, document) in documents().iter().enumerate() {
        let folder = work.path().join(number.to_string());
        // The front page begins with nothing, like its reader.
        if document.name.starts_with("docs/") {
            let copy = format!("cp -r '{}' '{}'", prepared.display(), folder.display());
            printed(&copy, work.path(), &bin).unwrap();
        } else {
            fs::create_dir(&folder).unwrap();
        }
        let (count, found) = check(document, &folder, &bin);
        ran += count;
        wrong.extend(found);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(ran >= 15, "{ran} commands ran");
}
