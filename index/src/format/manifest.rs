//! What an index consists of.
//!
//! ```text
//! manifest-N = "spandrel-manifest MAJOR.MINOR HASH\n" JSON      HASH: xxh3-128 of the JSON, 32 hex digits
//! ```
//! The same index gives the same bytes: fields stand in the order declared here, floats in their shortest
//! form. A section that is `required` and of a kind unknown to the reader refuses the index by name; one
//! that is not required is ignored.
use std::path::Path;

use serde::{Deserialize, Serialize};
use spandrel_io::Store;
use xxhash_rust::xxh3::xxh3_128;

use super::{Current, MAJOR, MINOR, OpenError, SectionKind};
use crate::codes::CodeSpec;
use crate::{DIM_MAX, DType, HeadSpace, Metric, Tier};

const FIRST_WORD: &str = "spandrel-manifest ";
/// The column of the vectors that are searched.
pub const MAIN_COLUMN: &str = "";
/// Segments of an index: each costs a query a search of its heads, and seven open files.
pub const SEGMENTS_MAX: usize = 256;
/// A manifest is a few kilobytes; a longer file is not one.
const MANIFEST_BYTES_MAX: u64 = 16 << 20;

/// Everything an index says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the index in its directory: N of the file names.
    pub version: u64,
    /// 32 hex digits, derived from input, parameters and seed.
    pub uuid: String,
    /// Name of the metric.
    pub metric: String,
    /// Name of the element type.
    pub dtype: String,
    /// Elements of a vector.
    pub dim: usize,
    /// Bytes of an id, 4 or 8.
    pub id_bytes: usize,
    /// How vectors are mapped to the space of the heads.
    pub head_space: HeadSpace,
    /// Pruning used when a query names none, where no cell says better.
    pub search_default: SearchDefault,
    /// The same, found for numbers of neighbours: ascending for each place of vectors. Where those in memory have none,
    /// those on SSD count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub search_cells: Vec<SearchCell>,
    /// How the index came about.
    pub build: BuildRecord,
    /// What is searched together, 1 to [`SEGMENTS_MAX`]; no id is in two of them.
    pub segments: Vec<SegmentEntry>,
}

/// Pruning that a query gets when it asks for none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SearchDefault {
    /// A list is read iff its head is no farther than `1 + epsilon` times the nearest head; no such limit if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f32>,
    /// At most this many lists are read.
    pub max_lists: u32,
    /// A vector is reranked iff its estimate, less this many standard errors, is among the best estimates. Lists of
    /// exact vectors do not use it.
    pub rerank_errors: f32,
}

impl SearchDefault {
    fn check(&self, path: &Path, what: &'static str) -> Result<(), OpenError> {
        let numbers = [self.epsilon.unwrap_or_default(), self.rerank_errors];
        if numbers.iter().any(|x| !x.is_finite() || *x < 0.0) || self.max_lists == 0 {
            return Err(OpenError::field(path, what, format!("{self:?}"), "a usable default"));
        }
        Ok(())
    }
}

/// The default of queries for a number of neighbours, as calibration found it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SearchCell {
    /// Neighbours wanted.
    pub k: u32,
    /// Where vectors are.
    pub vectors: Tier,
    /// A list is read iff its head is no farther than `1 + epsilon` times the nearest head; no such limit if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f32>,
    /// At most this many lists are read.
    pub max_lists: u32,
    /// Standard errors of estimates within which vectors are compared exactly; none for lists of exact vectors.
    pub rerank_errors: Option<f32>,
    /// Recall of queries that was looked for.
    pub target: f64,
    /// Recall that a further query is to expect at least: less than was looked for where that is out of reach.
    pub recall: f64,
    /// Rows of the index, each left out of its own answer, that say so.
    pub queries: u32,
}

impl SearchCell {
    /// Queries needed for the recall to be below the target because of what they miss, rather than for being few.
    pub fn is_short(&self) -> bool {
        let least = 1.0 / (f64::from(self.queries) + 1.0);
        self.recall < self.target && 1.0 - least >= self.target
    }

    fn check(&self, path: &Path) -> Result<(), OpenError> {
        let numbers = [self.epsilon, self.rerank_errors].map(Option::unwrap_or_default);
        let is_share = |x: f64| (0.0..=1.0).contains(&x);
        let usable = self.k > 0
            && self.max_lists > 0
            && numbers.iter().all(|x| x.is_finite() && *x >= 0.0)
            && is_share(self.target)
            && is_share(self.recall);
        if usable {
            return Ok(());
        }
        Err(OpenError::field(path, "search_cells", format!("{self:?}"), "a usable default"))
    }
}

/// The least work that was found to give a recall.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CalibrationPoint {
    /// Recall@10 of queries that was looked for.
    pub recall: f64,
    /// Where vectors are when work is weighed so.
    pub vectors: Tier,
    /// Lists to read at most.
    pub max_lists: u32,
    /// Standard errors of estimates within which vectors are compared exactly; none for lists of exact vectors.
    pub rerank_errors: Option<f32>,
    /// Recall@10 of rows of the index, each left out of its own answer: more than that of strangers.
    pub held_out_recall: f64,
    /// Vectors compared exactly after their codes were scanned, per query.
    pub reranked: f64,
    /// Vectors compared, or estimated from their codes, per query.
    pub vectors_scanned: f64,
}

/// The parameters that decided the bytes of the index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildRecord {
    /// xxh3-128 of the input rows and ids.
    pub input_hash: String,
    /// Seed of every random choice.
    pub seed: u64,
    /// Lists asked for, before splitting.
    pub lists: u64,
    /// Replica rule.
    pub replicas: String,
    /// Most copies of a vector in all.
    pub max_replicas: u32,
    /// `means` or `vectors`.
    pub heads: String,
    /// Code family of the lists.
    pub code: String,
    /// xxh3-128 of the codebooks that were given, where they were not trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codebooks: Option<String>,
    /// Where codes are meant to be while searching.
    pub codes: Tier,
    /// Kernel variant, since floats round differently under another; `exact` where no kernel rounds.
    pub kernels: String,
}

/// A part of the index with its own heads, lists and vectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentEntry {
    /// 32 hex digits that its sections carry; those of the index if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Number of an earlier segment whose heads, head index and model it shares, in place of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heads_of: Option<u16>,
    /// Vectors in it.
    pub vectors: u64,
    /// Lists in it.
    pub lists: u64,
    /// The files of the segment, one a section.
    pub sections: Vec<SectionEntry>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SectionEntry {
    /// Name of the kind.
    pub kind: String,
    /// The vector column it belongs to; there is one, named "".
    pub column: String,
    /// Whether a reader that does not know the kind must refuse the index.
    pub required: bool,
    /// File name inside the index's directory.
    pub file: String,
    /// Length of the file.
    pub bytes: u64,
    /// xxh3-128 of the body, from `BODY_AT` to the end; the header carries its own.
    pub hash: String,
}

impl Manifest {
    /// The file as stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut json = match serde_json::to_vec_pretty(self) {
            Ok(json) => json,
            Err(e) => unreachable!("a manifest is plain data: {e}"),
        };
        json.push(b'\n');
        let mut bytes = format!("{FIRST_WORD}{MAJOR}.{MINOR} {}\n", hash_hex(xxh3_128(&json))).into_bytes();
        bytes.extend_from_slice(&json);
        bytes
    }

    /// Reads the manifest that `current` names in a store.
    ///
    /// # Errors
    /// Any [`OpenError`]: the file is missing, longer than it can be, of another version, damaged, or says
    /// something that cannot be.
    pub fn open(store: &dyn Store, current: Current) -> Result<Manifest, OpenError> {
        Manifest::read(store, current.version, Some(current.hash))
    }

    /// Reads the manifest of a version that need not be in force: its own first line says whether it is whole.
    ///
    /// # Errors
    /// As [`Manifest::open`].
    pub fn open_version(store: &dyn Store, version: u64) -> Result<Manifest, OpenError> {
        Manifest::read(store, version, None)
    }

    fn read(store: &dyn Store, version: u64, hash: Option<u128>) -> Result<Manifest, OpenError> {
        let name = manifest_name(version);
        let path = store.path(&name);
        let bytes = store.read(&name, MANIFEST_BYTES_MAX).map_err(|e| OpenError::store(&path, e))?;
        let json = body(&path, &bytes)?;
        let found = xxh3_128(&bytes);
        if let Some(expected) = hash.filter(|&expected| expected != found) {
            return Err(OpenError::Checksum {
                path,
                what: "manifest".into(),
                found: hash_hex(found),
                expected: hash_hex(expected),
            });
        }
        let manifest: Manifest = serde_json::from_slice(json)
            .map_err(|e| OpenError::field(&path, "content", e, "the fields of this format"))?;
        manifest.check(&path, version)?;
        Ok(manifest)
    }

    fn check(&self, path: &Path, version: u64) -> Result<(), OpenError> {
        if self.version != version {
            return Err(OpenError::field(path, "version", self.version, version));
        }
        if !is_hash(&self.uuid) {
            return Err(OpenError::field(path, "uuid", &self.uuid, "32 hex digits"));
        }
        self.metric().map_err(|_| OpenError::field(path, "metric", &self.metric, "l2, ip or cosine"))?;
        self.dtype().map_err(|_| OpenError::field(path, "dtype", &self.dtype, "f32, f16, i8 or u8"))?;
        if self.dim == 0 || self.dim > DIM_MAX {
            return Err(OpenError::field(path, "dim", self.dim, format!("1 to {DIM_MAX}")));
        }
        if self.id_bytes != 4 && self.id_bytes != 8 {
            return Err(OpenError::field(path, "id_bytes", self.id_bytes, "4 or 8"));
        }
        self.code().map_err(|e| {
            OpenError::field(path, "code", e.0, "full, rabitq:B, axes:BYTES, pq:MxN[+opq] or binary")
        })?;
        self.search_default.check(path, "search_default")?;
        self.search_cells.iter().try_for_each(|cell| cell.check(path))?;
        let order = |cell: &SearchCell| (cell.vectors == Tier::Memory, cell.k);
        if !self.search_cells.is_sorted_by(|a, b| order(a) < order(b)) {
            return Err(OpenError::field(
                path,
                "search_cells",
                "others",
                "places of vectors apart, k ascending",
            ));
        }
        if self.segments.is_empty() || self.segments.len() > SEGMENTS_MAX {
            let expected = format!("1 to {SEGMENTS_MAX}");
            return Err(OpenError::field(path, "segments", self.segments.len(), expected));
        }
        for (number, segment) in self.segments.iter().enumerate() {
            let (before, _) = self.segments.split_at(number);
            segment.check(path, before)?;
            if before.iter().any(|other| other.uuid(self) == segment.uuid(self)) {
                let field = format!("uuid of segment {number}");
                return Err(OpenError::field(path, field, hash_hex(segment.uuid(self)), "one of its own"));
            }
        }
        let lists: u64 = self.segments.iter().map(|segment| segment.lists).sum();
        if lists > u64::from(u32::MAX) {
            return Err(OpenError::field(path, "lists", lists, format!("1 to {} in all", u32::MAX)));
        }
        Ok(())
    }

    /// What a query for `k` neighbours gets that names no pruning, with vectors in `tier`.
    ///
    /// Between two cells the number of lists grows as a power of k, epsilon and errors are the more of both; fewer neighbours
    /// than the first cell's take what it says. More than the last cell's take all lists.
    pub fn search_default(&self, k: usize, tier: Tier) -> SearchDefault {
        let of = |tier| self.search_cells.iter().filter(move |cell| cell.vectors == tier);
        let tier = if of(tier).next().is_some() { tier } else { Tier::Ssd };
        let after = of(tier).find(|cell| cell.k as usize >= k);
        let before = of(tier).take_while(|cell| (cell.k as usize) < k).last();
        let errors = |cell: &SearchCell| cell.rerank_errors.unwrap_or_default();
        let (epsilon, max_lists, rerank_errors) = match (before, after) {
            (None, None) => return self.search_default,
            (None, Some(cell)) => (cell.epsilon, cell.max_lists, errors(cell)),
            (_, Some(cell)) if cell.k as usize == k => (cell.epsilon, cell.max_lists, errors(cell)),
            (Some(cell), None) => (None, u32::MAX, errors(cell)),
            (Some(before), Some(after)) => {
                let octaves = |from: f64, to: f64| (to / from).log2();
                // CAST: numbers of neighbours, far below 2^53
                let share = octaves(before.k.into(), k as f64) / octaves(before.k.into(), after.k.into());
                let growth = octaves(before.max_lists.into(), after.max_lists.into());
                let lists = f64::from(before.max_lists) * (share * growth).exp2();
                let epsilon = before.epsilon.zip(after.epsilon).map(|(a, b)| a.max(b));
                // CAST: between the two
                (epsilon, lists.ceil() as u32, errors(before).max(errors(after)))
            }
        };
        let lists: u64 = self.segments.iter().map(|segment| segment.lists).sum();
        let max_lists = max_lists.min(u32::try_from(lists).unwrap_or(u32::MAX));
        SearchDefault { epsilon, max_lists, rerank_errors }
    }

    /// The metric.
    pub fn metric(&self) -> Result<Metric, crate::UnknownMetric> {
        self.metric.parse()
    }

    /// The element type.
    pub fn dtype(&self) -> Result<DType, crate::UnknownDType> {
        self.dtype.parse()
    }

    /// The code family.
    pub fn code(&self) -> Result<CodeSpec, crate::codes::UnknownCode> {
        self.build.code.parse()
    }

    /// The uuid as a number.
    pub fn uuid(&self) -> u128 {
        u128::from_str_radix(&self.uuid, 16).unwrap_or_default()
    }

    /// Names of every file in force, the manifest and CURRENT apart.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().flat_map(|s| s.sections.iter().map(|section| section.file.as_str()))
    }

    /// Bytes of all sections on disk.
    pub fn index_bytes(&self) -> u64 {
        self.segments.iter().flat_map(|s| s.sections.iter().map(|section| section.bytes)).sum()
    }
}

impl SegmentEntry {
    /// The uuid as a number, in the index of `manifest`.
    pub fn uuid(&self, manifest: &Manifest) -> u128 {
        let own = self.uuid.as_ref().map(|uuid| u128::from_str_radix(uuid, 16).unwrap_or_default());
        own.unwrap_or_else(|| manifest.uuid())
    }

    /// The section of a kind and column, if there is one.
    pub fn section(&self, kind: SectionKind, column: &str) -> Option<&SectionEntry> {
        self.sections.iter().find(|section| section.kind == kind.name() && section.column == column)
    }

    /// The section of a kind that every segment has.
    ///
    /// # Errors
    /// [`OpenError::MissingSection`].
    pub(crate) fn required(&self, path: &Path, kind: SectionKind) -> Result<&SectionEntry, OpenError> {
        let missing = || OpenError::MissingSection { path: path.to_owned(), kind: kind.name() };
        self.section(kind, MAIN_COLUMN).ok_or_else(missing)
    }

    /// Checks it, the segment that comes after those `before`.
    fn check(&self, path: &Path, before: &[SegmentEntry]) -> Result<(), OpenError> {
        let refused = |field: &str, found: &dyn ToString, expected: &str| {
            let field = format!("{field} of segment {}", before.len());
            Err(OpenError::field(path, field, found.to_string(), expected))
        };
        if self.uuid.as_ref().is_some_and(|uuid| !is_hash(uuid)) {
            return refused("uuid", &self.uuid.as_deref().unwrap_or_default(), "32 hex digits");
        }
        if self.vectors == 0 || self.vectors > u64::from(u32::MAX) {
            return refused("vectors", &self.vectors, &format!("1 to {}", u32::MAX));
        }
        if self.lists == 0 || self.lists > u64::from(u32::MAX) {
            return refused("lists", &self.lists, &format!("1 to {}", u32::MAX));
        }
        match self.heads_of.map(|of| (of, before.get(usize::from(of)))) {
            // Lists of few vectors under the heads of many may be empty.
            None if self.lists > self.vectors => {
                return refused("lists", &self.lists, &format!("1 to {}", self.vectors));
            }
            None => {}
            Some((_, Some(owner))) if owner.heads_of.is_none() && owner.lists == self.lists => {
                let is_own =
                    |section: &&SectionEntry| SectionKind::SHARED.iter().any(|k| k.name() == section.kind);
                if let Some(own) = self.sections.iter().find(is_own) {
                    return refused("sections", &own.kind, "none of heads, since it shares those of another");
                }
            }
            Some((of, _)) => {
                return refused(
                    "heads_of",
                    &of,
                    "an earlier segment with heads of its own, one for each list",
                );
            }
        }
        for (at, section) in self.sections.iter().enumerate() {
            section.check(path)?;
            let same =
                |other: &SectionEntry| (&other.kind, &other.column) == (&section.kind, &section.column);
            if self.sections.iter().take(at).any(same) {
                return refused("sections", &section.kind, "one of each kind and column");
            }
        }
        Ok(())
    }
}

impl SectionEntry {
    fn check(&self, path: &Path) -> Result<(), OpenError> {
        let known = self.column == MAIN_COLUMN && SectionKind::ALL.iter().any(|k| k.name() == self.kind);
        if !known && self.required {
            let kind = match self.column.as_str() {
                MAIN_COLUMN => self.kind.clone(),
                column => format!("{} of column {column}", self.kind),
            };
            return Err(OpenError::UnknownSection { path: path.to_owned(), kind });
        }
        // A file name from a manifest never leaves the index's directory.
        if self.file.contains('/') || self.file.is_empty() || self.file.starts_with('.') {
            return Err(OpenError::field(path, "file", &self.file, "a plain file name"));
        }
        if !is_hash(&self.hash) {
            return Err(OpenError::field(path, "hash", &self.hash, "32 hex digits"));
        }
        Ok(())
    }

    /// The hash as a number.
    pub fn hash(&self) -> u128 {
        u128::from_str_radix(&self.hash, 16).unwrap_or_default()
    }
}

/// Splits off and checks the first line: the JSON that follows it.
fn body<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a [u8], OpenError> {
    let not_ours = || OpenError::NotOurs {
        path: path.to_owned(),
        expected: "manifest",
        found: bytes.iter().take(24).copied().collect(),
    };
    let rest = bytes.strip_prefix(FIRST_WORD.as_bytes()).ok_or_else(not_ours)?;
    let end = rest.iter().position(|&b| b == b'\n').ok_or_else(not_ours)?;
    let (line, json) = rest.split_at(end);
    let json = json.get(1..).unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| not_ours())?;
    let (version, hash) = line.split_once(' ').ok_or_else(not_ours)?;
    let (major, minor) = version.split_once('.').ok_or_else(not_ours)?;
    let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else { return Err(not_ours()) };
    if major != MAJOR || minor > MINOR {
        return Err(OpenError::Version { path: path.to_owned(), major, minor });
    }
    let found = hash_hex(xxh3_128(json));
    if found != hash {
        return Err(OpenError::Checksum {
            path: path.to_owned(),
            what: "manifest".into(),
            found,
            expected: hash.to_owned(),
        });
    }
    Ok(json)
}

fn is_hash(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// A 128-bit hash or uuid as 32 hex digits.
pub fn hash_hex(hash: u128) -> String {
    format!("{hash:032x}")
}

/// File name of the manifest of a version.
pub fn manifest_name(version: u64) -> String {
    format!("manifest-{version}")
}

/// File name of a section of a version.
pub fn section_name(kind: SectionKind, version: u64) -> String {
    format!("{}-{version}", kind.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let json = serde_json::json!({
            "version": 1, "uuid": "0", "metric": "l2", "dtype": "u8", "dim": 4, "id_bytes": 4, "head_space": HeadSpace::Same,
            "search_default": { "epsilon": 0.6, "max_lists": 64, "rerank_errors": 0.9 },
            "build": {
                "input_hash": "0", "seed": 0, "lists": 5000, "replicas": "none", "max_replicas": 1, "heads": "means",
                "code": "rabitq:2", "codes": "memory", "kernels": "scalar"
            },
            "segments": [{ "vectors": 100_000, "lists": 5000, "sections": [] }],
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn defaults_follow_the_number_of_neighbours() {
        let mut manifest = manifest();
        assert_eq!(manifest.search_default(10, Tier::Ssd), manifest.search_default);
        let cell = |k, vectors, max_lists, errors| SearchCell {
            k,
            vectors,
            epsilon: (k == 10).then_some(0.5),
            max_lists,
            rerank_errors: Some(errors),
            target: 0.95,
            recall: 0.95,
            queries: 400,
        };
        manifest.search_cells = vec![
            cell(10, Tier::Ssd, 40, 1.0),
            cell(1000, Tier::Ssd, 640, 0.5),
            cell(10, Tier::Memory, 20, 1.5),
        ];
        let of = |k, tier| {
            let SearchDefault { epsilon, max_lists, rerank_errors } = manifest.search_default(k, tier);
            assert_eq!(epsilon, (k <= 10).then_some(0.5));
            (max_lists, rerank_errors)
        };
        let ssd = [1, 10, 11, 100, 999, 1000, 1001, usize::MAX].map(|k| of(k, Tier::Ssd));
        assert_eq!(ssd[..2], [(40, 1.0); 2]);
        assert!((41..45).contains(&ssd[2].0) && ssd[2].1 == 1.0, "{ssd:?}");
        assert!((160..162).contains(&ssd[3].0) && ssd[3].1 == 1.0, "{ssd:?}");
        assert!((600..=640).contains(&ssd[4].0) && ssd[4].1 == 1.0, "{ssd:?}");
        assert_eq!(ssd[5..], [(640, 0.5), (5000, 0.5), (5000, 0.5)]);
        assert_eq!((of(10, Tier::Memory), of(11, Tier::Memory)), ((20, 1.5), (5000, 1.5)));
        manifest.search_cells.pop();
        assert_eq!(manifest.search_default(10, Tier::Memory).max_lists, 40);
    }

    #[test]
    fn what_falls_short_is_told_from_what_had_few_queries() {
        let cell = |recall, queries| SearchCell {
            k: 10,
            vectors: Tier::Ssd,
            epsilon: None,
            max_lists: 1,
            rerank_errors: None,
            target: 0.95,
            recall,
            queries,
        };
        assert!(cell(0.9, 400).is_short() && !cell(0.9, 12).is_short() && !cell(0.95, 400).is_short());
    }
}
