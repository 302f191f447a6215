//! What an index consists of.
//!
//! ```text
//! manifest-N = "spandrel-manifest MAJOR.MINOR HASH\n" JSON      HASH: xxh3-128 of the JSON, 32 hex digits
//! ```
//! The same index gives the same bytes: fields stand in the order declared here, floats in their shortest
//! form. A field that the reader does not know refuses the manifest: a later minor version may add some, and is refused
//! by its number before.
use std::path::Path;

use serde::{Deserialize, Serialize};
use spandrel_io::{Store, StoreError};
use xxhash_rust::xxh3::xxh3_128;

use super::column::{ColumnEntry, VectorsOf};
use super::current::{CURRENT, Current};
use super::defaults::SearchDefault;
use super::documents::{DocumentsEntry, TOKENS_COLUMN};
use super::embedding::{EmbeddingEntry, EmbeddingVersionError, answers};
use super::entries::{MAIN_COLUMN, SectionEntry, SegmentEntry};
use super::names::{hash_hex, is_hash, manifest_name};
use super::query_sample::QuerySampleRecord;
use super::{MAJOR, MINOR, OpenError, SectionKind};
use crate::codes::CodeSpec;
use crate::{DIM_MAX, DType, HeadSpace, Metric, Tier};

const FIRST_WORD: &str = "spandrel-manifest ";
/// Segments of an index: each costs a query a search of its heads, and seven or eight open files.
pub(crate) const SEGMENTS_MAX: usize = 256;
/// A manifest is a few kilobytes; a longer file is not one.
pub(super) const MANIFEST_BYTES_MAX: u64 = 16 << 20;

/// Everything an index says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    /// How vectors are mapped to the space of the heads: one space for all segments, so that distances in it compare.
    pub head_space: HeadSpace,
    /// Pruning used when a query names none, where there is no section of recall.
    pub search_default: SearchDefault,
    /// What queries are to expect, by what they spend; not there where the index was not calibrated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recall: Option<SectionEntry>,
    /// The column by whose vectors candidates are compared; not there where that is done by those that are searched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<ColumnEntry>,
    /// Which vectors are one document; not there where each is a thing of its own. Then the column is [`TOKENS_COLUMN`]: the vectors that
    /// are searched, or whose encodings are, in the order of the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents: Option<DocumentsEntry>,
    /// Which version of a model the vectors come from, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<EmbeddingEntry>,
    /// How the index came about.
    pub build: BuildRecord,
    /// What is searched together, 1 to [`SEGMENTS_MAX`]; no id is in two of them.
    pub segments: Vec<SegmentEntry>,
}

/// The parameters that decided the bytes of the index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildRecord {
    /// xxh3-128 of the input rows and ids.
    pub input_hash: String,
    /// xxh3-128 of what is known of the vectors beside them, where something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes_hash: Option<String>,
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
    /// xxh3-128 of the file of matrices that were given, where these were not trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binariser: Option<String>,
    /// Where codes are meant to be while searching.
    pub codes: Tier,
    /// Kernel variant, since floats round differently under another; `exact` where no kernel rounds.
    pub kernels: String,
    /// The sample of real queries that lists were learned from, where one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_sample: Option<QuerySampleRecord>,
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
        self.code().map_err(|e| OpenError::field(path, "code", e.0, crate::codes::CODE_NAMES))?;
        self.search_default.check(path, "search_default")?;
        self.recall.iter().try_for_each(|section| section.check(path, None))?;
        self.column.iter().try_for_each(|column| column.check(path))?;
        self.embedding.iter().try_for_each(|embedding| embedding.check(path))?;
        if self.column.is_some() && self.code() == Ok(CodeSpec::Full) {
            let found = CodeSpec::Full.to_string();
            return Err(OpenError::field(path, "code", found, "codes, where a column is compared"));
        }
        if self.segments.is_empty() || self.segments.len() > SEGMENTS_MAX {
            let expected = format!("1 to {SEGMENTS_MAX}");
            return Err(OpenError::field(path, "segments", self.segments.len(), expected));
        }
        for (number, segment) in self.segments.iter().enumerate() {
            segment.check(path, self.segments.split_at(number).0, self.column.as_ref())?;
        }
        let with_main =
            self.segments.iter().filter(|of| of.section(SectionKind::Vectors, MAIN_COLUMN).is_some());
        let (with_main, all) = (with_main.count(), self.segments.len());
        if self.column.is_some() && with_main > 0 && with_main < all {
            return Err(OpenError::field(path, "sections of vectors", with_main, format!("0 or {all}")));
        }
        self.check_documents(path)?;
        let lists = self.lists();
        if lists > u64::from(u32::MAX) {
            return Err(OpenError::field(path, "lists", lists, format!("1 to {} in all", u32::MAX)));
        }
        Ok(())
    }

    /// Refuses documents whose tokens are not the vectors that are searched.
    fn check_documents(&self, path: &Path) -> Result<(), OpenError> {
        let Some(documents) = &self.documents else { return Ok(()) };
        documents.check(path, self.vectors())?;
        if self.metric() != Ok(Metric::InnerProduct) {
            return Err(OpenError::field(
                path,
                "metric",
                &self.metric,
                "ip, where vectors are those of documents",
            ));
        }
        if self.segments.len() != 1 {
            return Err(OpenError::field(
                path,
                "segments",
                self.segments.len(),
                "1, where there are documents",
            ));
        }
        let is_same = self.column.as_ref().is_some_and(|column| {
            let is_vectors = (&column.dtype, column.dim) == (&self.dtype, self.dim);
            let is_tokens = column.name == TOKENS_COLUMN && column.metric == self.metric;
            is_tokens && (is_vectors || documents.encoding.is_some())
        });
        if !is_same {
            let found = self.column.as_ref().map_or("none", |column| &column.name);
            let expected =
                format!("{TOKENS_COLUMN}, of the vectors that are searched, where there are documents");
            return Err(OpenError::field(path, "column", found, expected));
        }
        if let (Some(encoding), Some(column), Ok(dtype)) = (&documents.encoding, &self.column, self.dtype()) {
            encoding.check(path, (dtype, self.dim), column.dim)?;
        }
        if self.holds(VectorsOf::Main) {
            return Err(OpenError::field(path, "sections", "vectors", "vectors of tokens alone"));
        }
        if self.segments.iter().any(|segment| segment.partition.is_some()) {
            return Err(OpenError::field(
                path,
                "partition",
                "an attribute",
                "none, where there are documents",
            ));
        }
        Ok(())
    }

    /// Metric by the name in the manifest.
    pub fn metric(&self) -> Result<Metric, spandrel_names::UnknownName> {
        self.metric.parse()
    }

    /// The element type.
    pub fn dtype(&self) -> Result<DType, spandrel_names::UnknownName> {
        self.dtype.parse()
    }

    /// The code family.
    pub fn code(&self) -> Result<CodeSpec, crate::codes::UnknownCode> {
        self.build.code.parse()
    }

    /// Whether the index answers queries of version `asked`; where none is named, it does.
    ///
    /// # Errors
    /// [`EmbeddingVersionError`] where the index does not list it.
    pub fn answers_version(&self, asked: Option<&str>) -> Result<(), EmbeddingVersionError> {
        answers(self.embedding.as_ref(), asked)
    }

    /// The uuid as a number.
    pub fn uuid(&self) -> u128 {
        u128::from_str_radix(&self.uuid, 16).unwrap_or_default()
    }

    /// Names of every file in force, the manifest and CURRENT apart.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.sections().map(|section| section.file.as_str())
    }

    /// Bytes of all sections on disk.
    pub fn index_bytes(&self) -> u64 {
        self.sections().map(|section| section.bytes).sum()
    }

    /// Every section: those of the segments, then those of the whole index.
    pub fn sections(&self) -> impl Iterator<Item = &SectionEntry> {
        self.segments.iter().flat_map(|segment| &segment.sections).chain(&self.recall)
    }

    /// Vectors of all segments.
    pub fn vectors(&self) -> u64 {
        self.segments.iter().map(|segment| segment.vectors).sum()
    }

    /// Whether these vectors are there: those of the column where it has one, and those that are searched unless the column stands in for
    /// them.
    pub fn holds(&self, vectors: VectorsOf) -> bool {
        let column = match (vectors, &self.column) {
            (VectorsOf::Main, _) => MAIN_COLUMN,
            (VectorsOf::Column, Some(column)) => &column.name,
            (VectorsOf::Column, None) => return false,
        };
        self.segments.iter().all(|segment| segment.section(SectionKind::Vectors, column).is_some())
    }

    /// Lists of all segments that are found by their heads.
    pub fn found_lists(&self) -> u64 {
        self.segments.iter().map(SegmentEntry::found_lists).sum()
    }

    /// Whether values of a partition share all lists: these have no geometry, so no heads tell which of them hold neighbours.
    pub fn shares_all_lists(&self) -> bool {
        self.segments.iter().all(|of| of.partition.as_ref().is_some_and(|by| by.shared_lists == of.lists))
    }

    /// Lists of all segments.
    pub fn lists(&self) -> u64 {
        self.segments.iter().map(|segment| segment.lists).sum()
    }
}

/// Puts the version of a manifest in force, in one atomic switch: after a crash at any point the version in
/// force is the one before or this one. Its sections are to be finished before.
///
/// # Errors
/// [`StoreError`]; the version in force is then the one before or this one.
pub fn publish_manifest(store: &dyn Store, manifest: &Manifest) -> Result<(), StoreError> {
    let bytes = manifest.to_bytes();
    // Its sync covers the names of the sections too, before anything points to them.
    store.publish(&manifest_name(manifest.version), &bytes)?;
    store.replace(CURRENT, &Current::of(manifest.version, &bytes).to_bytes())
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
            "segments": [{ "uuid": "0", "vectors": 100_000, "lists": 5000, "sections": [] }],
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn fields_of_no_meaning_are_refused() {
        let good = serde_json::to_value(manifest()).unwrap();
        for place in ["", "/segments/0", "/build", "/search_default"] {
            let mut json = good.clone();
            json.pointer_mut(place).unwrap()["colour"] = "blue".into();
            let error = serde_json::from_value::<Manifest>(json).unwrap_err().to_string();
            assert!(error.contains("unknown field `colour`"), "{place}: {error}");
        }
        assert_eq!(serde_json::from_value::<Manifest>(good).unwrap(), manifest());
    }
}
