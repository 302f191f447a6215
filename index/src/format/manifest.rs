//! What an index consists of.
//!
//! ```text
//! manifest-N = "spandrel-manifest MAJOR.MINOR HASH\n" JSON      HASH: xxh3-128 of the JSON, 32 hex digits
//! ```
//! The same index gives the same bytes: fields stand in the order declared here, floats in their shortest
//! form. A section that is `required` and of a kind unknown to the reader refuses the index by name; one
//! that is not required is ignored.
use std::path::Path;

use fs_err as fs;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::{Current, MAJOR, MINOR, OpenError, SectionKind};
use crate::codes::CodeSpec;
use crate::{DIM_MAX, DType, HeadSpace, Metric, Tier};

const FIRST_WORD: &str = "spandrel-manifest ";
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
    /// Pruning used when a query names none.
    pub search_default: SearchDefault,
    /// The same where vectors are in memory, if it was found: comparing one exactly then costs no read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search_in_memory: Option<SearchDefault>,
    /// How the index came about.
    pub build: BuildRecord,
    /// One segment today.
    pub segments: Vec<SegmentEntry>,
}

/// Pruning that a query gets when it asks for none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SearchDefault {
    /// A list is read iff its head is no farther than `1 + epsilon` times the nearest head.
    pub epsilon: f32,
    /// At most this many lists are read.
    pub max_lists: u32,
    /// A vector is reranked iff its estimate, less this many standard errors, is among the best estimates. Lists of
    /// exact vectors do not use it.
    pub rerank_errors: f32,
}

impl SearchDefault {
    /// This default with the pruning of the point for `recall` and a place of vectors, if there is one.
    pub fn calibrated(
        self,
        points: &[CalibrationPoint],
        recall: f64,
        vectors: Tier,
    ) -> Option<SearchDefault> {
        let point = points.iter().find(|point| (point.recall, point.vectors) == (recall, vectors))?;
        let rerank_errors = point.rerank_errors.unwrap_or(self.rerank_errors);
        Some(SearchDefault { max_lists: point.max_lists, rerank_errors, ..self })
    }

    fn check(&self, path: &Path, what: &'static str) -> Result<(), OpenError> {
        let numbers = [self.epsilon, self.rerank_errors];
        if numbers.iter().any(|x| !x.is_finite() || *x < 0.0) || self.max_lists == 0 {
            return Err(OpenError::field(path, what, format!("{self:?}"), "a usable default"));
        }
        Ok(())
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
    /// Vectors in it.
    pub vectors: u64,
    /// Lists in it.
    pub lists: u64,
    /// Its files.
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

    /// Reads the manifest that `current` names in `dir`.
    ///
    /// # Errors
    /// Any [`OpenError`]: the file is missing, longer than it can be, of another version, damaged, or says
    /// something that cannot be.
    pub fn open(dir: &Path, current: Current) -> Result<Manifest, OpenError> {
        let path = dir.join(manifest_name(current.version));
        let length = fs::metadata(&path).map_err(|e| OpenError::read(&path, e))?.len();
        if length > MANIFEST_BYTES_MAX {
            return Err(OpenError::Length { path, found: length, expected: MANIFEST_BYTES_MAX });
        }
        let bytes = fs::read(&path).map_err(|e| OpenError::read(&path, e))?;
        let json = body(&path, &bytes)?;
        let found = xxh3_128(&bytes);
        if found != current.hash {
            return Err(OpenError::Checksum {
                path,
                what: "manifest".into(),
                found: hash_hex(found),
                expected: hash_hex(current.hash),
            });
        }
        let manifest: Manifest = serde_json::from_slice(json)
            .map_err(|e| OpenError::field(&path, "content", e, "the fields of this format"))?;
        manifest.check(&path, current.version)?;
        Ok(manifest)
    }

    fn check(&self, path: &Path, version: u64) -> Result<(), OpenError> {
        if self.version != version {
            return Err(OpenError::field(path, "version", self.version, version));
        }
        if self.uuid.len() != 32 || u128::from_str_radix(&self.uuid, 16).is_err() {
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
        self.search_in_memory.map_or(Ok(()), |default| default.check(path, "search_in_memory"))?;
        let [segment] = self.segments.as_slice() else {
            return Err(OpenError::field(path, "segments", self.segments.len(), 1));
        };
        if segment.vectors == 0 || segment.vectors > u64::from(u32::MAX) {
            return Err(OpenError::field(path, "vectors", segment.vectors, format!("1 to {}", u32::MAX)));
        }
        if segment.lists == 0 || segment.lists > segment.vectors {
            return Err(OpenError::field(path, "lists", segment.lists, format!("1 to {}", segment.vectors)));
        }
        for section in &segment.sections {
            let known = SectionKind::ALL.iter().any(|k| k.name() == section.kind);
            if !known && section.required {
                return Err(OpenError::UnknownSection { path: path.to_owned(), kind: section.kind.clone() });
            }
            // A file name from a manifest never leaves the index's directory.
            if section.file.contains('/') || section.file.is_empty() || section.file.starts_with('.') {
                return Err(OpenError::field(path, "file", &section.file, "a plain file name"));
            }
            if u128::from_str_radix(&section.hash, 16).is_err() {
                return Err(OpenError::field(path, "hash", &section.hash, "32 hex digits"));
            }
        }
        Ok(())
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
    /// The section of a kind, if there is one.
    pub fn section(&self, kind: SectionKind) -> Option<&SectionEntry> {
        self.sections.iter().find(|s| s.kind == kind.name())
    }

    /// The section of a kind that every index has.
    ///
    /// # Errors
    /// [`OpenError::MissingSection`].
    pub fn required(&self, path: &Path, kind: SectionKind) -> Result<&SectionEntry, OpenError> {
        let missing = || OpenError::MissingSection { path: path.to_owned(), kind: kind.name() };
        self.section(kind).ok_or_else(missing)
    }
}

impl SectionEntry {
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
