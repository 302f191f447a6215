//! The public billion-scale sets: where their files lie and what those files must say.
//!
//! Promises: an entry's names hold no path, its addresses are plain HTTP(S), its counts are in range, so
//! that the sizes computed from them cannot overflow. An entry nobody has fetched with this catalogue says
//! so ([`Entry::checked`]). It does not go to the network (`get` does), and it invents nothing: sizes follow
//! from rows, dimension and element type, and a truth that is not published is absent.
mod parse;

use spandrel_index::{DType, Metric};

pub use parse::CatalogueError;

/// Bytes of the header of every file listed here: `u32 rows, u32 width`.
pub const HEADER_BYTES: u64 = 8;

/// What is known about the public sets.
#[derive(Debug, Clone)]
pub struct Catalogue {
    entries: Vec<Entry>,
}

/// One crop of one public set: `bigann-10M`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name of the set, `bigann`.
    pub set: String,
    /// Name of the crop, `bigann-10M`: letters, digits, `-` and `_` only.
    pub name: String,
    /// What the vectors are, in a few words.
    pub about: String,
    /// Dimension of base and queries.
    pub dim: u32,
    /// Element type of base and queries.
    pub dtype: DType,
    /// The metric the truth was computed for.
    pub metric: Metric,
    /// The vectors to index.
    pub base: RemoteFile,
    /// The queries, shared by all crops of a set.
    pub queries: RemoteFile,
    /// The exact neighbours of the queries among the base, where they are published.
    pub truth: Option<RemoteFile>,
    /// Whether this entry was ever fetched whole with the facts given here.
    pub checked: bool,
    /// Where the facts came from.
    pub source: String,
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The vectors to index.
    Base,
    /// Vectors to search for.
    Queries,
    /// Exact neighbours: ids, then distances.
    Truth,
}

impl Role {
    /// The word for it in messages and file names.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Base => "base",
            Role::Queries => "queries",
            Role::Truth => "truth",
        }
    }
}

/// A file to fetch: the first `rows` rows of a published one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// What the file is for.
    pub role: Role,
    /// Name of the set it belongs to.
    pub set: String,
    /// Where it is published.
    pub url: String,
    /// Its name once fetched: no path in it.
    pub file_name: String,
    /// Rows to fetch.
    pub rows: u32,
    /// Rows of the published file, as its header must say.
    pub source_rows: u32,
    /// Elements of a row, as the header must say: the dimension, or the neighbours of a query.
    pub width: u32,
    /// Bytes of one element: 8 for truth, an id and a distance.
    pub element_bytes: u32,
}

impl RemoteFile {
    /// Bytes of the fetched file.
    pub fn bytes(&self) -> u64 {
        HEADER_BYTES + u64::from(self.rows) * self.row_bytes()
    }

    /// Bytes of the published file.
    pub fn source_bytes(&self) -> u64 {
        HEADER_BYTES + u64::from(self.source_rows) * self.row_bytes()
    }

    /// Whether only a part of the published file is wanted.
    pub fn is_crop(&self) -> bool {
        self.rows < self.source_rows
    }

    /// The last part of the address, the file's name where it is published.
    pub fn remote_name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or(&self.url)
    }

    // At most 2^14 dimensions or 2^14 neighbours of 8 bytes, times 2^32 rows: far below 2^63.
    fn row_bytes(&self) -> u64 {
        u64::from(self.width) * u64::from(self.element_bytes)
    }
}

impl Entry {
    /// The files of this entry, small ones first.
    pub fn files(&self) -> impl Iterator<Item = &RemoteFile> {
        [&self.queries].into_iter().chain(&self.truth).chain([&self.base])
    }

    /// Bytes of all its files.
    pub fn bytes(&self) -> u64 {
        self.files().map(RemoteFile::bytes).sum()
    }
}

/// No entry of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no public data set '{name}', {}", hint(.close, .known))]
pub struct UnknownEntry {
    /// The name asked for.
    pub name: String,
    /// Names much like it, nearest first.
    pub close: Vec<String>,
    /// Every name.
    pub known: Vec<String>,
}

fn hint(close: &[String], known: &[String]) -> String {
    if close.is_empty() {
        return format!("known are {}", known.join(", "));
    }
    format!("did you mean {}", close.join(", "))
}

impl Catalogue {
    /// The catalogue that comes with this release.
    pub fn builtin() -> Catalogue {
        Self::parse(include_str!("../../catalogue.json"))
            .expect("the catalogue of the release is well formed")
    }

    /// Every entry, set by set, smallest crop first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry of this name; case does not matter.
    pub fn find(&self, name: &str) -> Result<&Entry, UnknownEntry> {
        if let Some(entry) = self.entries.iter().find(|e| e.name.eq_ignore_ascii_case(name)) {
            return Ok(entry);
        }
        let mut close: Vec<(usize, &str)> =
            self.entries.iter().map(|e| (unlikeness(name, e), e.name.as_str())).collect();
        close.retain(|(unlike, _)| *unlike <= UNLIKENESS_MAX);
        close.sort_by_key(|(unlike, _)| *unlike);
        Err(UnknownEntry {
            name: name.chars().take(NAME_SHOWN_MAX).collect(),
            close: close.into_iter().take(4).map(|(_, name)| name.to_owned()).collect(),
            known: self.entries.iter().map(|e| e.name.clone()).collect(),
        })
    }
}

const UNLIKENESS_MAX: usize = 3;
const NAME_SHOWN_MAX: usize = 64;

/// How far a name is from an entry's: single letters to change, or 0 for the bare name of its set.
fn unlikeness(name: &str, entry: &Entry) -> usize {
    let name = name.to_ascii_lowercase();
    if name.len() > NAME_SHOWN_MAX {
        return usize::MAX;
    }
    let set = entry.set.to_ascii_lowercase();
    if name == set {
        return 0;
    }
    edits(&name, &entry.name.to_ascii_lowercase()).min(1 + edits(&name, &set))
}

/// The Levenshtein distance of two short strings.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.chars()) {
            let substituted = diagonal + usize::from(x != y);
            diagonal = *cell;
            left = substituted.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_every_crop_of_the_five_sets() {
        let catalogue = Catalogue::builtin();
        let names: Vec<&str> = catalogue.entries().iter().map(|e| e.name.as_str()).collect();
        let mut expected = Vec::new();
        for set in ["bigann", "deep", "msspacev", "msturing", "text2image"] {
            for crop in ["1M", "10M", "100M", "1B"] {
                expected.push(format!("{set}-{crop}"));
            }
        }
        assert_eq!(names, expected);
    }

    #[test]
    fn sizes_follow_from_rows_dimension_and_type() {
        let catalogue = Catalogue::builtin();
        let entry = catalogue.find("bigann-10M").unwrap();
        assert_eq!((entry.dim, entry.dtype, entry.metric), (128, DType::U8, Metric::L2));
        assert_eq!(entry.base.bytes(), 1_280_000_008);
        assert_eq!(entry.base.source_bytes(), 128_000_000_008);
        assert_eq!(entry.queries.bytes(), 1_280_008);
        assert_eq!(entry.truth.as_ref().unwrap().bytes(), 8_000_008);
        assert_eq!(entry.base.file_name, "bigann-10M.base.u8bin");
        assert_eq!(entry.queries.file_name, "bigann.queries.u8bin");
        assert_eq!(entry.truth.as_ref().unwrap().file_name, "bigann-10M.truth.ibin");
        assert_eq!(catalogue.find("deep-10M").unwrap().base.bytes(), 3_840_000_008);
        assert!(catalogue.find("deep-1B").unwrap().base.bytes() == 384_000_000_008);
        assert!(!catalogue.find("deep-1B").unwrap().base.is_crop());
    }

    #[test]
    fn unpublished_truth_is_absent_and_nothing_claims_to_be_checked() {
        let catalogue = Catalogue::builtin();
        let without: Vec<&str> =
            catalogue.entries().iter().filter(|e| e.truth.is_none()).map(|e| e.name.as_str()).collect();
        assert_eq!(without, ["bigann-1M", "deep-1M", "text2image-1M"]);
        assert!(catalogue.entries().iter().all(|e| !e.checked && !e.source.is_empty()));
    }

    #[test]
    fn a_wrong_name_is_answered_with_close_ones() {
        let catalogue = Catalogue::builtin();
        assert_eq!(catalogue.find("BIGANN-10m").unwrap().name, "bigann-10M");
        assert_eq!(catalogue.find("begann-10M").unwrap_err().close[0], "bigann-10M");
        let sets = catalogue.find("deep").unwrap_err();
        assert_eq!(sets.close, ["deep-1M", "deep-10M", "deep-100M", "deep-1B"]);
        assert!(sets.to_string().contains("did you mean deep-1M"));
        let far = catalogue.find("../../etc/passwd").unwrap_err();
        assert!(far.close.is_empty() && far.known.len() == 20);
        assert!(far.to_string().contains("known are bigann-1M"));
        assert!(catalogue.find(&"x".repeat(1 << 20)).unwrap_err().to_string().len() < 1000);
    }

    #[test]
    fn edits_are_counted() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("abc", ""), 3);
        assert_eq!(edits("same", "same"), 0);
    }
}
