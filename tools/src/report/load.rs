//! Reading operating points: the array of `bench --json`, or one object a line as a peers' script prints them.
#![deny(clippy::indexing_slicing)]
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::figures::Point;

/// Longest file read: hundreds of thousands of points.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Why operating points could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file is far larger than any set of points.
    #[error("{path}: more than {max} bytes, expected operating points", path = path.display())]
    TooLarge {
        /// File of points.
        path: PathBuf,
        /// The most that is read.
        max: u64,
    },
    /// The file holds bytes that are no text.
    #[error("{path}: no text at offset {offset}, expected operating points as JSON", path = path.display())]
    Text {
        /// File of points.
        path: PathBuf,
        /// Where the text ends.
        offset: usize,
    },
    /// The array, or a line, is not made of operating points.
    #[error("{path}: line {line}: not an operating point as `spandrel bench --json` writes it", path = path.display())]
    Parse {
        /// File of points.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A value is not in its range.
    #[error("{path}: point {number}: {field} is {value}, expected {expected}", path = path.display())]
    Value {
        /// File of points.
        path: PathBuf,
        /// Which point, from 1.
        number: usize,
        /// Name of the field, as in the JSON.
        field: &'static str,
        /// Value in the file.
        value: f64,
        /// What it may be.
        expected: &'static str,
    },
    /// There is no point in the file.
    #[error("{path}: no operating points", path = path.display())]
    Empty {
        /// File of points.
        path: PathBuf,
    },
}

/// Reads the operating points of a file.
///
/// # Errors
/// See [`LoadError`].
pub fn load(path: &Path) -> Result<Vec<Point>, LoadError> {
    let mut bytes = Vec::new();
    fs_err::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(LoadError::TooLarge { path: path.to_owned(), max: FILE_BYTES_MAX });
    }
    let text = String::from_utf8(bytes)
        .map_err(|e| LoadError::Text { path: path.to_owned(), offset: e.utf8_error().valid_up_to() })?;
    let points = parse(path, &text)?;
    if points.is_empty() {
        return Err(LoadError::Empty { path: path.to_owned() });
    }
    for (at, point) in points.iter().enumerate() {
        check(path, at + 1, point)?;
    }
    Ok(points)
}

fn parse(path: &Path, text: &str) -> Result<Vec<Point>, LoadError> {
    let fail = |line: usize, source| LoadError::Parse { path: path.to_owned(), line, source };
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text).map_err(|source| fail(source.line(), source));
    }
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(at, line)| serde_json::from_str(line).map_err(|source| fail(at + 1, source))).collect()
}

fn check(path: &Path, number: usize, point: &Point) -> Result<(), LoadError> {
    let refuse = |field: &'static str, value: f64, expected: &'static str| {
        Err(LoadError::Value { path: path.to_owned(), number, field, value, expected })
    };
    if !(0.0..=1.0).contains(&point.recall) {
        return refuse("recall", point.recall, "0 to 1");
    }
    // The bound keeps every later product and logarithm finite.
    if !(1e-6..1e12).contains(&point.qps) {
        return refuse("qps", point.qps, "a rate over 0");
    }
    let other = point.numbers().into_iter().find(|(_, value)| !(0.0..1e18).contains(value));
    other.map_or(Ok(()), |(field, value)| refuse(field, value, "0 or more"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_text(text: impl AsRef<[u8]>) -> Result<Vec<Point>, LoadError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        std::fs::write(&path, text).unwrap();
        load(&path)
    }

    #[test]
    fn arrays_and_lines() {
        let array =
            load_text(r#" [{"recall": 0.9, "qps": 10, "unknown": []}, {"recall": 1, "qps": 5}]"#).unwrap();
        assert_eq!(array.len(), 2);
        let lines = load_text(
            "{\"peer\": \"diskann\", \"params\": {\"complexity\": 20}, \"k\": 10, \"threads\": 2, \"recall\": 0.922, \
             \"qps\": 985.0, \"qps_spread\": 0.01, \"p50_us\": 1630.0, \"p99_us\": 2900.0, \"build_s\": 744.0, \
             \"index_bytes\": 583000000}\n\n{\"recall\": 0.9, \"qps\": 1}\n",
        )
        .unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].peer.as_deref(), Some("diskann"));
        assert_eq!(lines[0].build_seconds, Some(744.0));
        assert_eq!(lines[0].params.words().unwrap(), "complexity=20");
    }

    #[test]
    fn bad_points_are_placed() {
        let line = load_text("{\"recall\": 0.9, \"qps\": 10}\n{\"recall\": 0.9}\n").unwrap_err();
        assert!(matches!(line, LoadError::Parse { line: 2, .. }), "{line}");
        let array =
            load_text("[\n{\"recall\": 0.9, \"qps\": 10},\n{\"recall\": \"x\", \"qps\": 1}]").unwrap_err();
        assert!(matches!(array, LoadError::Parse { line: 3, .. }), "{array}");
        for (text, named) in [
            (r#"[{"recall": 1.5, "qps": 10}]"#, "recall"),
            (r#"[{"recall": 0.5, "qps": 0}]"#, "qps"),
            (r#"[{"recall": 0.5, "qps": 1e300}]"#, "qps"),
            (r#"[{"recall": 0.5, "qps": 1, "p50_us": -1}]"#, "p50_us"),
            (r#"[{"recall": 0.5, "qps": 1, "memory_bytes": -1}]"#, "memory_bytes"),
        ] {
            assert!(
                matches!(load_text(text), Err(LoadError::Value { field, number: 1, .. }) if field == named)
            );
        }
        assert!(matches!(load_text("[]"), Err(LoadError::Empty { .. })));
        assert!(matches!(load_text(""), Err(LoadError::Empty { .. })));
        assert!(matches!(load_text(b"[\xff]"), Err(LoadError::Text { offset: 1, .. })));
        assert!(matches!(load_text("[".repeat(100_000)), Err(LoadError::Parse { .. })));
        assert!(matches!(load(Path::new("/no/such/file")), Err(LoadError::Io(_))));
    }
}
