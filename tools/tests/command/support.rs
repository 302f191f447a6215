//! The program, and small files for it.
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

pub(crate) fn spandrel(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_spandrel")).args(args).output().unwrap()
}

/// The program, with a command line that has to succeed: what it printed.
pub(crate) fn run(args: &[&str]) -> String {
    let output = spandrel(args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout).to_owned()
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A file of `rows` vectors of two bytes.
pub(crate) fn write_u8bin(path: &Path, rows: u32) {
    let mut bytes = [rows.to_le_bytes(), 2_u32.to_le_bytes()].concat();
    bytes.extend((0..rows).flat_map(|row| [row as u8, 1]));
    fs::write(path, bytes).unwrap();
}
