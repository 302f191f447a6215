//! The commands and flags that the documents name are those of the program.
use std::collections::BTreeSet;
use std::fs;

use clap::{Command, CommandFactory as _};
use spandrel_tools::cli::Cli;

use super::text::{Document, documents, root};

/// Flags of other programs, of the benches among them, and of builds with features.
const OTHERS: [&str; 4] = ["--features", "--data", "--otlp", "--peer"];

/// Commands that stand in blocks, without what the shell makes of them, and what stands between backticks elsewhere.
fn commands(document: &Document) -> (Vec<String>, Vec<String>) {
    let plain =
        |line: String| line.split(" #").next().unwrap().split(" > ").next().unwrap().trim().to_owned();
    let blocks = document.blocks();
    let in_blocks = blocks.iter().flat_map(|block| block.commands()).map(|shown| plain(shown.command));
    (in_blocks.collect(), document.quoted())
}

/// The words of a command line of the program, if it is one; a part that may be left out counts as given.
fn of_program(line: &str) -> Option<Vec<String>> {
    let rest = line.strip_prefix("spandrel ").or_else(|| line.strip_prefix("cargo run --release -- "))?;
    let rest = rest.replace("...", "").replace(['[', ']'], "");
    // What stands between quotes is one word.
    let words = rest.split('\'').enumerate().flat_map(|(number, part)| match number % 2 {
        0 => part.split_whitespace().collect(),
        _ => vec![part],
    });
    Some(["spandrel"].into_iter().chain(words).map(str::to_owned).collect())
}

/// The sub-command that the first words name, as deep as they do.
fn named<'a>(mut command: &'a Command, words: &[&str]) -> &'a Command {
    for word in words {
        match command.find_subcommand(word) {
            Some(found) => command = found,
            None => break,
        }
    }
    command
}

/// Every long flag of a command and of those below it.
fn flags(command: &Command) -> BTreeSet<String> {
    let own = command.get_arguments().filter_map(|arg| arg.get_long()).map(|long| format!("--{long}"));
    own.chain(["--help".to_owned()]).chain(command.get_subcommands().flat_map(flags)).collect()
}

/// Flags of a quoted command that the program does not have: those of its sub-command where it names one.
fn unknown_flags(quoted: &str) -> Vec<String> {
    let words: Vec<&str> = quoted.trim_start_matches("spandrel ").split(' ').collect();
    let mut cli = Cli::command();
    cli.build();
    let command = named(&cli, &words);
    let starts_as_ours = quoted.starts_with("--") || command.get_name() != cli.get_name();
    if !starts_as_ours {
        return Vec::new();
    }
    let known = flags(command);
    let given =
        words.iter().filter(|word| word.starts_with("--")).map(|word| word.split('=').next().unwrap());
    given.filter(|flag| !known.contains(*flag) && !OTHERS.contains(flag)).map(str::to_owned).collect()
}

#[test]
fn command_lines_in_the_documents_are_accepted() {
    let mut checked = 0;
    for document in documents() {
        let (blocks, quoted) = commands(&document);
        let document = document.name;
        for words in blocks.iter().chain(&quoted).filter_map(|line| of_program(line)) {
            // What is missing of a command that is only mentioned is no mistake; in a block it stands as it is run.
            let line = words.join(" ");
            if blocks.iter().any(|block| of_program(block).as_ref() == Some(&words)) {
                let parsed = <Cli as clap::Parser>::try_parse_from(&words);
                assert!(parsed.is_ok(), "{document}: {line}: {}", parsed.unwrap_err());
                checked += 1;
            }
            let gone = unknown_flags(&line);
            assert!(gone.is_empty(), "{document}: {line}: the program has no {gone:?}");
        }
    }
    assert!(checked >= 10, "{checked} command lines found");
}

#[test]
fn flags_in_the_documents_exist() {
    assert_eq!(unknown_flags("build --replace"), Vec::<String>::new());
    assert_eq!(unknown_flags("bench --replace"), ["--replace"]);
    assert_eq!(unknown_flags("--no-such-flag 3"), ["--no-such-flag"]);
    let mut checked = 0;
    for document in documents() {
        for quoted in document.quoted() {
            let gone = unknown_flags(&quoted);
            assert!(gone.is_empty(), "{} names `{quoted}`, and the program has no {gone:?}", document.name);
            checked += usize::from(quoted.contains("--"));
        }
    }
    assert!(checked >= 30, "{checked} flags found");
}

/// Commands of cargo name packages and targets of the workspace.
#[test]
fn packages_and_targets_in_the_documents_exist() {
    for document in documents() {
        let (blocks, quoted) = commands(&document);
        let document = document.name;
        for line in blocks.iter().chain(&quoted).filter(|line| line.starts_with("cargo ")) {
            let words: Vec<&str> = line.split(' ').collect();
            let after = |flag: &str| words.windows(2).find(|pair| pair[0] == flag).map(|pair| pair[1]);
            let Some(package) = after("-p") else { continue };
            let folder = match package.strip_prefix("spandrel-").expect(line) {
                room @ ("engine" | "service") => root().join("search").join(room),
                room => root().join(room),
            };
            let manifest = fs::read_to_string(folder.join("Cargo.toml")).expect(line);
            for (flag, place) in [("--bin", "src/bin"), ("--bench", "benches"), ("--example", "examples")] {
                let Some(name) = after(flag) else { continue };
                let file = folder.join(place).join(format!("{name}.rs"));
                let there = file.exists()
                    || file.with_extension("").is_dir()
                    || manifest.contains(&format!("\"{name}\""));
                assert!(there, "{document}: {line}: {package} has no {flag} {name}");
            }
        }
    }
}

/// The Rust of the documents is part of an example that compiles.
#[test]
fn lines_of_rust_in_the_documents_are_those_of_the_example() {
    let blocks: Vec<String> = documents()
        .iter()
        .flat_map(Document::blocks)
        .filter(|block| block.language == "rust")
        .map(|block| block.lines.join("\n"))
        .collect();
    assert!(!blocks.is_empty());
    let example = fs::read_to_string(root().join("search/engine/examples/search.rs")).unwrap();
    let calls = |text: &str| -> BTreeSet<String> {
        let call = |word: &str| {
            word.rsplit(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).next().unwrap().to_owned()
        };
        text.match_indices('(').map(|(at, _)| call(&text[..at])).filter(|call| !call.is_empty()).collect()
    };
    let gone: Vec<String> = calls(&blocks.concat()).difference(&calls(&example)).cloned().collect();
    assert!(gone.is_empty(), "search/engine/examples/search.rs has no {gone:?}");
}

/// The page of the command line has a row for each command.
#[test]
fn every_command_is_on_its_page() {
    fn names(command: &Command, path: &str) -> Vec<String> {
        let own = command.get_subcommands().filter(|sub| sub.get_name() != "help");
        own.flat_map(|sub| {
            let path = format!("{path} {}", sub.get_name());
            if sub.has_subcommands() { names(sub, &path) } else { vec![path] }
        })
        .collect()
    }
    let page = fs::read_to_string(root().join("docs/command-line.md")).unwrap();
    for name in names(&Cli::command(), "spandrel") {
        assert!(page.contains(&format!("| `{name}` |")), "docs/command-line.md has no row for `{name}`");
    }
}

/// The table of limits has the defaults of the program.
#[test]
fn documented_limits_are_those_of_the_program() {
    let mut cli = Cli::command();
    cli.build();
    let serve = cli.find_subcommand("serve").unwrap();
    let page = fs::read_to_string(root().join("docs/operating.md")).unwrap();
    let table = page.split_once("## Limits").unwrap().1.split_once("\n- ").unwrap().0;
    let mut rows = 0;
    for row in table.lines().filter(|row| row.contains("| `--")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, _, default, flag, _] = cells[..] else { panic!("{row}") };
        let name = flag.trim_matches('`').trim_start_matches('-');
        let known = serve.get_arguments().find(|arg| arg.get_long() == Some(name)).expect(flag);
        let known: Vec<String> =
            known.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
        let written: String = default.trim_end_matches(" s").split_whitespace().collect();
        assert_eq!(known, [written], "docs/operating.md: {row}");
        rows += 1;
    }
    assert!(rows >= 14, "{rows} limits found");
}
