//! The program, and small files for it.
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

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

/// A server of an index. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
}

impl Server {
    /// Serves an index given as `NAME=DIR`, once it answers.
    pub(crate) fn of(index: &str) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_spandrel"))
            .args([
                "serve",
                "--index",
                index,
                "--listen",
                "127.0.0.1:0",
                "--metrics",
                "off",
                "--format",
                "json",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut printed = String::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            printed += &line.unwrap();
            if printed.ends_with('}') {
                break;
            }
        }
        let ready: Value = serde_json::from_str(&printed).unwrap();
        Server { child, address: ready["listen"].as_str().unwrap().to_owned() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A file of `rows` vectors of two bytes.
pub(crate) fn write_u8bin(path: &Path, rows: u32) {
    let mut bytes = [rows.to_le_bytes(), 2_u32.to_le_bytes()].concat();
    bytes.extend((0..rows).flat_map(|row| [row as u8, 1]));
    fs::write(path, bytes).unwrap();
}
