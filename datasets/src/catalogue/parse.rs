//! Reading a catalogue: JSON, every field checked before an [`Entry`] exists.
#![deny(clippy::indexing_slicing)]
use std::path::{Path, PathBuf};

use serde::Deserialize;
use spandrel_index::{DIM_MAX, DType, Metric};

use super::{Catalogue, Entry, RemoteFile, Role};
use crate::Format;

/// Largest catalogue file read, in bytes.
const CATALOGUE_BYTES_MAX: u64 = 1 << 20;
/// Longest name of a set or crop.
const NAME_MAX: usize = 64;

/// A catalogue that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogueError {
    /// The file cannot be read; the cause names it.
    #[error("reading a catalogue")]
    Read(#[source] std::io::Error),
    /// The file is far larger than a catalogue is: give another one.
    #[error("{path}: {found} bytes, a catalogue has at most {expected}")]
    TooLarge {
        /// File of the catalogue.
        path: PathBuf,
        /// Largest size read.
        expected: u64,
        /// Size of the file, in bytes.
        found: u64,
    },
    /// The text is not the JSON expected; the cause gives line, column and field.
    #[error("a catalogue is JSON: {{\"sets\": [..]}}")]
    Json(#[source] serde_json::Error),
    /// A field says something that cannot be: correct it.
    #[error("catalogue, set '{set}': {field} is {found}, expected {expected}")]
    Field {
        /// Name of the set, cut to a readable length.
        set: String,
        /// Name of the field.
        field: &'static str,
        /// What it must be.
        expected: String,
        /// Its value in the catalogue.
        found: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCatalogue {
    sets: Vec<RawSet>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSet {
    name: String,
    about: String,
    metric: String,
    dtype: String,
    dim: u32,
    base: RawFile,
    queries: RawFile,
    crops: Vec<RawCrop>,
    source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    url: String,
    rows: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCrop {
    label: String,
    rows: u32,
    truth: Option<RawTruth>,
    checked: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTruth {
    url: String,
    neighbors: u32,
}

impl Catalogue {
    /// Reads a catalogue file of the user's own, in the form of the one built in (`catalogue.json`).
    pub fn open(path: &Path) -> Result<Catalogue, CatalogueError> {
        let found = fs_err::metadata(path).map_err(CatalogueError::Read)?.len();
        if found > CATALOGUE_BYTES_MAX {
            return Err(CatalogueError::TooLarge {
                path: path.to_owned(),
                expected: CATALOGUE_BYTES_MAX,
                found,
            });
        }
        Self::parse(&fs_err::read_to_string(path).map_err(CatalogueError::Read)?)
    }

    /// Reads the text of a catalogue.
    pub fn parse(text: &str) -> Result<Catalogue, CatalogueError> {
        let raw: RawCatalogue = serde_json::from_str(text).map_err(CatalogueError::Json)?;
        let mut entries: Vec<Entry> = Vec::new();
        for set in &raw.sets {
            for crop in &set.crops {
                let entry = set.entry(crop)?;
                if entries.iter().any(|e| e.name.eq_ignore_ascii_case(&entry.name)) {
                    return Err(set.wrong("label", "each crop once", &entry.name));
                }
                entries.push(entry);
            }
        }
        Ok(Catalogue { entries })
    }
}

impl RawSet {
    fn entry(&self, crop: &RawCrop) -> Result<Entry, CatalogueError> {
        self.check_name("name", &self.name)?;
        self.check_name("label", &crop.label)?;
        let dtype: DType =
            self.dtype.parse().map_err(|_| self.wrong("dtype", "f32, f16, i8 or u8", &self.dtype))?;
        let metric: Metric =
            self.metric.parse().map_err(|_| self.wrong("metric", "l2, ip or cosine", &self.metric))?;
        self.check_range("dim", self.dim, DIM_MAX)?;
        self.check_url("base url", &self.base.url)?;
        self.check_url("queries url", &self.queries.url)?;
        self.check_range("base rows", self.base.rows, u32::MAX as usize)?;
        self.check_range("queries rows", self.queries.rows, u32::MAX as usize)?;
        // CAST: u32 to usize on 64-bit machines.
        self.check_range("crop rows", crop.rows, self.base.rows as usize)?;

        let name = format!("{}-{}", self.name, crop.label);
        let format = match dtype {
            DType::F32 => Format::Fbin,
            DType::F16 => Format::F16bin,
            DType::I8 => Format::I8bin,
            DType::U8 => Format::U8bin,
        };
        let vectors = |role: Role, owner: &str, file: &RawFile, rows: u32| RemoteFile {
            role,
            set: self.name.clone(),
            url: file.url.clone(),
            file_name: format!("{owner}.{}.{}", role.name(), format.extension()),
            rows,
            source_rows: file.rows,
            width: self.dim,
            element_bytes: dtype.bytes() as u32, // CAST: at most 4
        };
        let truth = match &crop.truth {
            None => None,
            Some(truth) => {
                self.check_url("truth url", &truth.url)?;
                self.check_range("truth neighbors", truth.neighbors, DIM_MAX)?;
                Some(RemoteFile {
                    role: Role::Truth,
                    set: self.name.clone(),
                    url: truth.url.clone(),
                    file_name: format!("{name}.truth.ibin"),
                    rows: self.queries.rows,
                    source_rows: self.queries.rows,
                    width: truth.neighbors,
                    element_bytes: 8,
                })
            }
        };
        Ok(Entry {
            set: self.name.clone(),
            about: self.about.clone(),
            dim: self.dim,
            dtype,
            metric,
            base: vectors(Role::Base, &name, &self.base, crop.rows),
            queries: vectors(Role::Queries, &self.name, &self.queries, self.queries.rows),
            truth,
            checked: crop.checked,
            source: self.source.clone(),
            name,
        })
    }

    /// Names become file names: nothing that could leave the folder may be in them.
    fn check_name(&self, field: &'static str, name: &str) -> Result<(), CatalogueError> {
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if plain && !name.is_empty() && name.len() <= NAME_MAX && !name.starts_with('-') {
            return Ok(());
        }
        Err(self.wrong(field, "1 to 64 letters, digits, '-' or '_', not starting with '-'", name))
    }

    fn check_url(&self, field: &'static str, url: &str) -> Result<(), CatalogueError> {
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let path = rest.and_then(|r| r.split_once('/')).filter(|(host, _)| !host.is_empty());
        let name = path.and_then(|(_, p)| p.rsplit('/').next()).unwrap_or("");
        let plain = url.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'\\' | b'@'));
        if plain && !matches!(name, "" | "." | "..") {
            return Ok(());
        }
        Err(self.wrong(field, "http(s)://host/path/file without user, query or fragment", url))
    }

    fn check_range(&self, field: &'static str, value: u32, max: usize) -> Result<(), CatalogueError> {
        // CAST: u32 to usize on 64-bit machines.
        if (1..=max).contains(&(value as usize)) {
            return Ok(());
        }
        Err(self.wrong(field, &format!("1 to {max}"), &value.to_string()))
    }

    fn wrong(&self, field: &'static str, expected: &str, found: &str) -> CatalogueError {
        let short = |text: &str| text.chars().take(NAME_MAX).flat_map(char::escape_default).collect();
        CatalogueError::Field {
            set: short(&self.name),
            field,
            expected: expected.to_owned(),
            found: short(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"sets": [{"name": "toy", "about": "a toy", "metric": "l2", "dtype": "f16", "dim": 4,
        "base": {"url": "http://h/base", "rows": 100}, "queries": {"url": "http://h/q", "rows": 5},
        "crops": [{"label": "1K", "rows": 10, "truth": {"url": "http://h/t", "neighbors": 3}, "checked": true}],
        "source": "here"}]}"#;

    fn field_of(text: &str) -> &'static str {
        match Catalogue::parse(text) {
            Err(CatalogueError::Field { field, .. }) => field,
            other => panic!("expected a field error, found {other:?}"),
        }
    }

    #[test]
    fn a_users_own_catalogue_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.json");
        fs_err::write(&path, GOOD).unwrap();
        let catalogue = Catalogue::open(&path).unwrap();
        let entry = catalogue.find("toy-1K").unwrap();
        assert_eq!(entry.base.bytes(), 8 + 10 * 4 * 2);
        assert_eq!(entry.truth.as_ref().unwrap().bytes(), 8 + 5 * 3 * 8);
        assert!(entry.checked);
        fs_err::write(&path, vec![b' '; 1 + CATALOGUE_BYTES_MAX as usize]).unwrap();
        assert!(matches!(Catalogue::open(&path), Err(CatalogueError::TooLarge { .. })));
        assert!(matches!(Catalogue::open(folder.path()), Err(CatalogueError::Read(_))));
    }

    #[test]
    fn names_cannot_leave_the_folder() {
        for bad in ["../up", "a/b", "", ".", "..", "a b", "a\\u0000b", "-rf", "a\\\\b", &"x".repeat(65)] {
            let name = GOOD.replace("\"toy\"", &format!("\"{bad}\""));
            assert_eq!(field_of(&name), "name", "{bad}");
            let label = GOOD.replace("\"1K\"", &format!("\"{bad}\""));
            assert_eq!(field_of(&label), "label", "{bad}");
        }
    }

    #[test]
    fn impossible_fields_are_refused_by_name() {
        let with = |from: &str, to: &str| GOOD.replace(from, to);
        for url in [
            "file:///etc/passwd",
            "http://h",
            "http://h/",
            "http:///x",
            "ftp://h/base",
            "http://h/..",
            "http://h/b?x=1",
        ] {
            assert_eq!(field_of(&with("http://h/base", url)), "base url", "{url}");
        }
        assert_eq!(field_of(&with("\"dim\": 4", "\"dim\": 0")), "dim");
        assert_eq!(field_of(&with("\"dim\": 4", "\"dim\": 16385")), "dim");
        assert_eq!(field_of(&with("\"rows\": 10,", "\"rows\": 101,")), "crop rows");
        assert_eq!(field_of(&with("\"rows\": 10,", "\"rows\": 0,")), "crop rows");
        assert_eq!(field_of(&with("\"neighbors\": 3", "\"neighbors\": 0")), "truth neighbors");
        assert_eq!(field_of(&with("f16", "f64")), "dtype");
        assert_eq!(field_of(&with("\"l2\"", "\"l1\"")), "metric");
        let twice =
            GOOD.replace("\"crops\": [", r#""crops": [{"label": "1k", "rows": 9, "checked": false},"#);
        assert_eq!(field_of(&twice), "label");
        assert!(matches!(Catalogue::parse(&with("checked", "chekced")), Err(CatalogueError::Json(_))));
        assert!(matches!(Catalogue::parse(&with("\"dim\": 4", "\"dim\": -4")), Err(CatalogueError::Json(_))));
    }

    #[test]
    fn the_largest_sizes_do_not_overflow() {
        let big = GOOD
            .replace("\"dim\": 4", "\"dim\": 16384")
            .replace("f16", "f32")
            .replace("\"rows\": 100", "\"rows\": 4294967295")
            .replace("\"rows\": 10,", "\"rows\": 4294967295,");
        let bytes = Catalogue::parse(&big).unwrap().entries().first().unwrap().base.bytes();
        assert_eq!(bytes, 8 + 4_294_967_295 * 65_536);
    }
}
