//! The documents, and the parts of Markdown that tests look at.
use std::fs;
use std::path::{Path, PathBuf};

/// The project's folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// One document.
pub(crate) struct Document {
    /// Path from the root, with `/`.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A fenced block of code.
pub(crate) struct Block {
    /// The word behind the fence.
    pub(crate) language: String,
    /// Number of the line of the fence.
    pub(crate) line: usize,
    pub(crate) lines: Vec<String>,
    /// Why its commands are not run: a comment `<!-- not run: WHY -->` on the line before.
    pub(crate) not_run: Option<String>,
}

/// Every document: those of the root, of `docs` and of the Python client.
pub(crate) fn documents() -> Vec<Document> {
    let mut paths = vec![root().join("tools/python/README.md")];
    paths.extend(markdown(&root(), false));
    paths.extend(markdown(&root().join("docs"), true));
    paths.sort();
    let read = |path: PathBuf| Document {
        name: path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned(),
        text: fs::read_to_string(&path).unwrap(),
    };
    paths.into_iter().map(read).collect()
}

fn markdown(folder: &Path, and_below: bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        } else if and_below && path.is_dir() {
            found.extend(markdown(&path, true));
        }
    }
    found
}

impl Document {
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let (mut open, mut before) = (false, "");
        for (number, line) in self.text.lines().enumerate() {
            if let Some(language) = line.trim_start().strip_prefix("```") {
                if !open {
                    let reason = before.trim().strip_prefix("<!-- not run: ");
                    blocks.push(Block {
                        language: language.to_owned(),
                        line: number + 1,
                        lines: Vec::new(),
                        not_run: reason.and_then(|text| text.strip_suffix(" -->")).map(str::to_owned),
                    });
                }
                open = !open;
            } else if open {
                blocks.last_mut().unwrap().lines.push(line.to_owned());
            }
            before = line;
        }
        assert!(!open, "{}: a block of code does not end", self.name);
        blocks
    }

    /// The text outside blocks of code.
    pub(crate) fn prose(&self) -> String {
        let mut in_block = false;
        let mut prose = String::new();
        for line in self.text.lines() {
            let fence = line.trim_start().starts_with("```");
            if !fence && !in_block {
                prose.push_str(line);
                prose.push('\n');
            }
            in_block ^= fence;
        }
        prose
    }

    /// What stands between backticks outside blocks of code, on one line each.
    pub(crate) fn quoted(&self) -> Vec<String> {
        let words = |quoted: &str| quoted.split_whitespace().collect::<Vec<_>>().join(" ");
        self.prose().split('`').skip(1).step_by(2).map(words).collect()
    }
}

/// A command of a block, and the lines shown as its output.
pub(crate) struct Shown {
    pub(crate) command: String,
    pub(crate) output: Vec<String>,
}

impl Block {
    /// Its commands: each line of `sh`, each line behind `$ ` of `console`; none of other languages. A line that ends with
    /// `\` goes on in the next.
    pub(crate) fn commands(&self) -> Vec<Shown> {
        let console = self.language == "console";
        if !console && self.language != "sh" {
            return Vec::new();
        }
        let mut commands: Vec<Shown> = Vec::new();
        let mut goes_on = false;
        for line in &self.lines {
            let line = line.trim_end();
            let text = if console { line.strip_prefix("$ ") } else { Some(line.trim_start()) };
            if goes_on {
                let command = &mut commands.last_mut().unwrap().command;
                command.pop();
                command.push_str(line.trim_start());
            } else if let Some(text) = text {
                if !text.is_empty() && !text.starts_with('#') {
                    commands.push(Shown { command: text.to_owned(), output: Vec::new() });
                }
            } else {
                commands.last_mut().unwrap().output.push(line.to_owned());
            }
            goes_on = commands.last().is_some_and(|shown| shown.output.is_empty() && line.ends_with('\\'));
        }
        commands
    }
}

#[test]
fn blocks_are_taken_apart() {
    let text = "a\n\n<!-- not run: slow -->\n```sh\n# why\none \\\n  two\nthree\n```\n```console\n$ four\nout\n...\n```\n";
    let document = Document { name: "test".to_owned(), text: text.to_owned() };
    let blocks = document.blocks();
    assert_eq!(blocks[0].not_run.as_deref(), Some("slow"));
    let commands: Vec<String> = blocks[0].commands().into_iter().map(|shown| shown.command).collect();
    assert_eq!(commands, ["one two", "three"]);
    assert_eq!((blocks[1].line, blocks[1].not_run.is_none()), (10, true));
    let shown = &blocks[1].commands()[0];
    assert_eq!((shown.command.as_str(), shown.output.join("|").as_str()), ("four", "out|..."));
    assert_eq!(document.prose(), "a\n\n<!-- not run: slow -->\n");
}

/// Every block says what it is, so that none is left out because nobody knew that it holds commands.
#[test]
fn every_block_names_its_language() {
    for document in documents() {
        for block in document.blocks() {
            assert!(!block.language.is_empty(), "{}:{}: ``` without a language", document.name, block.line);
            let with_commands = ["sh", "console"].contains(&block.language.as_str());
            assert!(
                block.not_run.is_none() || with_commands,
                "{}:{}: {} is not run anyway",
                document.name,
                block.line,
                block.language
            );
        }
    }
}

/// Long texts belong to `docs`.
#[test]
fn front_pages_are_short() {
    for (name, lines_max) in [("README.md", 150), ("ARCHITECTURE.md", 250)] {
        let lines = fs::read_to_string(root().join(name)).unwrap().lines().count();
        assert!(
            lines <= lines_max,
            "{name} has {lines} lines, at most {lines_max} are wanted: move some to docs"
        );
    }
}
