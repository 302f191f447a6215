//! What a build is asked for, and what that comes to.
use std::path::PathBuf;
use std::sync::Arc;

use spandrel_index::codes::{CodeSpec, Codebooks};
use spandrel_index::format::{EmbeddingEntry, hash_hex};
use spandrel_index::kernels::Variant;
use spandrel_index::{DIM_MAX, DType, HeadSpace, Metric, Tier};

use crate::attributes::AttributeParams;
use crate::cluster::HeadKind;
use crate::column::ColumnParams;
use crate::documents::DocumentsParams;
use crate::filing::ReplicaRule;
use crate::measured::{MAX_LISTS_MEMORY, MAX_LISTS_SSD, sample};
use crate::partition::{OWN_ROWS_MIN, PartitionParams};
use crate::query_sample::QuerySampleParams;
use crate::vector_shape::VectorShape;
use crate::{BuildError, Input, binariser, embedding};

/// Lists a segment can have: the top bit of a list's number marks replicas in scratch files.
const LISTS_MAX: u64 = 1 << 31;
/// Bytes that one group of lists aims at when copies are sorted into lists.
pub(crate) const GROUP_BYTES: u64 = 32 << 20;
/// Parts and groups come out up to this much larger than the mean before they are cut.
pub(crate) const PART_SLACK: u64 = 2;

/// How many lists to form.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ListCount {
    /// This many; splitting may add some.
    Lists(u64),
    /// The number that makes lists of this size in vectors, replicas not counted.
    Size(u32),
}

impl ListCount {
    /// Lists of this number of vectors.
    fn of(self, vectors: u64) -> Result<u64, BuildError> {
        match self {
            ListCount::Lists(lists) => {
                within("--lists", lists, 1, vectors.min(LISTS_MAX))?;
                Ok(lists)
            }
            ListCount::Size(size) => {
                within("--list-size", u64::from(size), 1, u64::from(u32::MAX))?;
                Ok(vectors.div_ceil(u64::from(size)))
            }
        }
    }
}

/// What the user asks for.
#[derive(Debug, Clone)]
pub struct BuildConfig {
    /// How vectors are compared.
    pub metric: Metric,
    /// Folder of the index.
    pub out: PathBuf,
    /// How many lists.
    pub lists: ListCount,
    /// Under which lists a vector is filed besides its own.
    pub replicas: ReplicaRule,
    /// Most copies of a vector in all, its primary included.
    pub max_replicas: u32,
    /// What a list's head is.
    pub heads: HeadKind,
    /// Code of the lists, or exact vectors.
    pub code: CodeSpec,
    /// Codebooks of residuals that a product code takes instead of training its own.
    pub codebooks: Option<Arc<Codebooks>>,
    /// Where codes are meant to be while searching; those of exact vectors are on SSD.
    pub codes: Tier,
    /// Resident memory the build may use, in bytes.
    pub memory_bytes: u64,
    /// Threads to work with.
    pub threads: usize,
    /// Seed of every random choice.
    pub seed: u64,
    /// Folder for scratch files; inside the index's folder if not given.
    pub scratch: Option<PathBuf>,
    /// Go on with an interrupted build.
    pub resume: bool,
    /// Publish a new version over an index that is there.
    pub replace: bool,
    /// Older versions that stay beside the new one, the one it replaces first. None go with an index that is not there.
    pub keep_previous: u32,
    /// Leave codes plain, even where codes that know the queries of a sample measure better.
    pub plain_codes: bool,
    /// Which version of a model the vectors come from, and whose queries they answer besides.
    pub embedding: Option<EmbeddingEntry>,
}

/// A configuration checked against its input.
#[derive(Debug, Clone)]
pub struct Params {
    pub(crate) metric: Metric,
    pub(crate) dtype: DType,
    pub(crate) dim: usize,
    pub(crate) vectors: u64,
    pub(crate) lists: u64,
    pub(crate) replicas: ReplicaRule,
    pub(crate) max_copies: u32,
    pub(crate) heads: HeadKind,
    pub(crate) code: CodeSpec,
    pub(crate) codebooks: Option<Arc<Codebooks>>,
    /// Hash of the matrices that the code takes, in hex digits, where these were learned elsewhere.
    pub(crate) binariser: Option<String>,
    pub(crate) codes: Tier,
    pub(crate) memory_bytes: u64,
    pub(crate) threads: usize,
    pub(crate) seed: u64,
    /// Whether ids come from the caller rather than being row numbers.
    pub(crate) own_ids: bool,
    /// What is known of the vectors, in the order of the schema.
    pub(crate) attributes: Vec<AttributeParams>,
    /// The attribute by whose values vectors are put in lists.
    pub(crate) partition: Option<PartitionParams>,
    /// The vectors by which candidates are compared, if they are others.
    pub(crate) column: Option<ColumnParams>,
    /// Which vectors are one document; the column is then of their tokens.
    pub(crate) documents: Option<DocumentsParams>,
    /// The sample of queries that lists are learned from, if there is one.
    pub(crate) query_sample: Option<QuerySampleParams>,
    /// Which version of a model the vectors come from, where that was said.
    pub(crate) embedding: Option<EmbeddingEntry>,
}

impl Params {
    /// Checks a configuration against its input.
    ///
    /// # Errors
    /// [`BuildError::Parameter`] naming the flag and what it may be.
    pub fn check(config: &BuildConfig, input: Input<'_>) -> Result<Params, BuildError> {
        let VectorShape { vectors, dim, dtype, .. } = VectorShape::of_input(input, config.metric);
        check_ids(input)?;
        within("number of vectors", vectors, 1, u64::from(u32::MAX))?;
        // The head space of inner product has one element more.
        let dim_max = DIM_MAX - HeadSpace::of(config.metric, 0.0).dim(0);
        within("dimension", dim as u64, 1, dim_max as u64)?;
        within("--threads", config.threads as u64, 1, 1024)?;
        within("--max-replicas", u64::from(config.max_replicas), 1, 64)?;
        let lists = config.lists.of(vectors)?;
        let binariser = binariser::hash_of(input, config.code)?;
        if let Some(codebooks) = &config.codebooks {
            codebooks.check(config.code, dim).map_err(|e| BuildError::Parameter {
                parameter: "--codebooks",
                found: e.to_string(),
                expected: format!("those of {}", config.code),
            })?;
        }
        embedding::check(config.embedding.as_ref())?;
        let wrong = |parameter, found: String, expected: &str| {
            Err(BuildError::Parameter { parameter, found, expected: expected.to_owned() })
        };
        if config.code == CodeSpec::Full && config.codes == Tier::Memory {
            return wrong(
                "--codes",
                config.codes.to_string(),
                "ssd for lists of exact vectors, or another --code",
            );
        }
        let documents = DocumentsParams::of(input, config.metric, config.code, config.seed)?;
        let input = input.with_tokens();
        let rows = documents.as_ref().map_or(vectors, |documents| documents.tokens);
        let column = ColumnParams::of(input.column, rows)?;
        if column.is_some() && config.code == CodeSpec::Full {
            return wrong("--code", config.code.to_string(), "another code with --column: lists hold codes");
        }
        let attributes = AttributeParams::of(input)?;
        let partition = PartitionParams::of(input.attributes, &attributes, vectors)?;
        Ok(Params {
            metric: config.metric,
            dtype,
            dim,
            vectors,
            lists,
            replicas: config.replicas,
            max_copies: if config.replicas == ReplicaRule::None { 1 } else { config.max_replicas },
            heads: config.heads,
            code: config.code,
            codebooks: config.codebooks.clone(),
            binariser,
            embedding: config.embedding.clone(),
            codes: config.codes,
            memory_bytes: config.memory_bytes,
            threads: config.threads,
            seed: config.seed,
            own_ids: input.row_ids().is_some(),
            query_sample: QuerySampleParams::of(input, partition.is_some())?
                .map(|sample| QuerySampleParams { codes: config.makes_codes(dim), ..sample }),
            partition,
            attributes,
            column,
            documents,
        })
    }

    /// Everything that decides the bytes of the index beside the input, by name. Thread count and memory
    /// are not among it.
    pub(crate) fn fingerprint(&self) -> Vec<(&'static str, String)> {
        let mut fingerprint = vec![
            ("format", format!("{}.{}", spandrel_index::format::MAJOR, spandrel_index::format::MINOR)),
            ("metric", self.metric.to_string()),
            ("dtype", self.dtype.to_string()),
            ("dim", self.dim.to_string()),
            ("vectors", self.vectors.to_string()),
            ("lists", self.lists.to_string()),
            ("replicas", self.replicas.to_string()),
            ("max_replicas", self.max_copies.to_string()),
            ("heads", self.heads.to_string()),
            ("code", self.code_text()),
            ("codes", self.codes.to_string()),
            ("seed", self.seed.to_string()),
            ("own ids", self.own_ids.to_string()),
            ("kernels", self.kernels().to_owned()),
        ];
        if !self.attributes.is_empty() {
            let texts: Vec<String> = self.attributes.iter().map(AttributeParams::text).collect();
            fingerprint.push(("attributes", texts.join(", ")));
        }
        if let Some(partition) = &self.partition {
            fingerprint.push(("--partition-by", partition.name.clone()));
        }
        if let Some(column) = &self.column {
            fingerprint.push(("--column", column.text()));
        }
        if let Some(documents) = &self.documents {
            fingerprint.push(("--documents", documents.text()));
            fingerprint.extend(documents.ids_hash.clone().map(|hash| ("--ids", hash)));
        }
        if let Some(sample) = self.query_sample {
            fingerprint.push(("--query-sample", sample.text()));
        }
        if self.embedding.is_some() {
            fingerprint.push(("--embedding-version", embedding::text(self.embedding.as_ref())));
        }
        fingerprint
    }

    /// Number of what attributes are of: documents where there are some, or vectors.
    pub(crate) fn items(&self) -> u64 {
        self.documents.as_ref().map_or(self.vectors, |documents| documents.count)
    }

    /// Whether the vectors that are searched are kept.
    pub(crate) fn keeps_vectors(&self) -> bool {
        self.column.as_ref().is_none_or(|column| column.keep_main)
    }

    /// Hash of the codebooks that were given, in hex digits.
    pub(crate) fn codebooks_hash(&self) -> Option<String> {
        self.codebooks.as_ref().map(|codebooks| hash_hex(codebooks.hash()))
    }

    /// The code, and which codebooks or matrices it takes.
    fn code_text(&self) -> String {
        match (self.codebooks_hash(), &self.binariser) {
            (Some(hash), _) => format!("{} with codebooks {hash}", self.code),
            (None, Some(hash)) => format!("{} with binariser {hash}", self.code),
            (None, None) => self.code.to_string(),
        }
    }

    /// Whether lists hold replicas, which they name by position.
    pub(crate) fn replicas_need_positions(&self) -> bool {
        self.max_copies > 1
    }

    /// Lists that a query reads when it names no number.
    pub(crate) fn max_lists_default(&self) -> u32 {
        match self.codes {
            Tier::Memory => MAX_LISTS_MEMORY,
            Tier::Ssd => MAX_LISTS_SSD,
        }
    }

    /// The kernel variant that the bytes depend on: distances of integers are the same under each, codes are not.
    pub(crate) fn kernels(&self) -> &'static str {
        if self.head_dtype().is_integer() && self.code == CodeSpec::Full {
            "exact"
        } else {
            Variant::best().name()
        }
    }

    /// A seed for one use of randomness in a build.
    pub(crate) fn seed_of(&self, stage: u64, part: u64) -> u64 {
        let words = [self.seed, stage, part].map(u64::to_le_bytes);
        xxhash_rust::xxh3::xxh3_64(words.as_flattened())
    }

    /// Bytes of a stored vector.
    pub(crate) fn row_bytes(&self) -> usize {
        self.dtype.row_bytes(self.dim)
    }

    /// Element type of rows in head space.
    pub(crate) fn head_dtype(&self) -> DType {
        HeadSpace::of(self.metric, 0.0).dtype(self.dtype)
    }

    /// Elements of a row in head space.
    pub(crate) fn head_dim(&self) -> usize {
        HeadSpace::of(self.metric, 0.0).dim(self.dim)
    }

    /// Bytes of a row in head space.
    pub(crate) fn head_row_bytes(&self) -> usize {
        self.head_dtype().row_bytes(self.head_dim())
    }

    /// Vectors that a coarse part aims at: follows the shape of the input alone, so that the index does.
    pub(crate) fn part_rows(&self) -> u64 {
        const PART_BYTES: u64 = 32 << 20;
        const PART_ROWS_MAX: u64 = 1 << 18;
        const PART_ROWS_MIN: u64 = 1 << 12;
        (PART_BYTES / self.head_row_bytes() as u64).clamp(PART_ROWS_MIN, PART_ROWS_MAX)
    }

    /// Coarse parts.
    pub(crate) fn parts(&self) -> u64 {
        self.vectors.div_ceil(self.part_rows())
    }

    /// Vectors of a list that values share. It is formed whole: its group must not be cut.
    pub(crate) fn shared_list_rows(&self) -> u64 {
        let uncut = PART_SLACK * (GROUP_BYTES / self.filed_record_bytes() as u64); // CAST: widening
        self.vectors.div_ceil(self.lists).min(self.part_rows()).min(uncut)
    }

    /// Whether rows may be laid out by something else than where they lie: four bytes a row say by what.
    pub(crate) fn may_have_keys(&self) -> bool {
        self.partition.is_some() || self.query_sample.is_some()
    }

    /// Lists that are formed for `lists` of the plan, at most: each value with lists of its own has one or more, and vectors that
    /// queries want are in shorter ones.
    pub(crate) fn lists_most(&self, lists: u64) -> u64 {
        if self.query_sample.is_some() {
            let more = (sample::WANTED_LISTS - 1) as f64 * sample::WANTED_SHARE_MAX;
            return lists + (lists as f64 * more) as u64 + 2; // CAST: an estimate
        }
        match self.partition.as_ref().map(|_| self.vectors / OWN_ROWS_MIN) {
            Some(values) if values > lists => lists + values,
            _ => lists,
        }
    }

    /// Groups that rows are sorted into before they are clustered, at most. With a partition, any two neighbours hold more rows
    /// than a part, except at the end and among the groups of one value.
    pub(crate) fn part_groups_max(&self) -> u64 {
        if self.may_have_keys() { 4 * self.parts() + 2 } else { self.parts() }
    }

    /// Rows sampled to find the coarse parts: as fit some bytes, within limits for each part.
    pub(crate) fn sample_rows(&self) -> u64 {
        const SAMPLE_BYTES: u64 = 64 << 20;
        const ROWS_PER_PART_MIN: u64 = 64;
        const ROWS_PER_PART: u64 = 256;
        const ROWS_MIN: u64 = 1 << 14;
        let (parts, fitting) = (self.parts(), SAMPLE_BYTES / self.head_row_bytes() as u64);
        if parts == 1 {
            return 0;
        }
        let rows = fitting.clamp(parts * ROWS_PER_PART_MIN, parts * ROWS_PER_PART);
        rows.max(fitting.min(ROWS_MIN)).min(self.vectors)
    }

    /// Bytes of an id in scratch files: row numbers serve as ids unless the caller has its own.
    pub(crate) fn scratch_id_bytes(&self) -> usize {
        if self.own_ids { 8 } else { 0 }
    }

    /// Bytes of a record in the spill of coarse parts: row number, id, vector.
    pub(crate) fn part_record_bytes(&self) -> usize {
        4 + self.scratch_id_bytes() + self.row_bytes()
    }

    /// Bytes of a record in the spill of filed copies: list, then as in the spill of parts.
    pub(crate) fn filed_record_bytes(&self) -> usize {
        4 + self.part_record_bytes()
    }
}

/// Refuses ids that are not one for each item.
fn check_ids(input: Input<'_>) -> Result<(), BuildError> {
    let Some(ids) = input.ids.filter(|ids| ids.len() != input.items()) else { return Ok(()) };
    let of = if input.documents.is_some() { "document" } else { "vector" };
    let expected = format!("{}, one for each {of}", input.items());
    Err(BuildError::Parameter { parameter: "--ids: number of ids", found: ids.len().to_string(), expected })
}

fn within(parameter: &'static str, found: u64, low: u64, high: u64) -> Result<(), BuildError> {
    if (low..=high).contains(&found) {
        return Ok(());
    }
    Err(BuildError::Parameter { parameter, found: found.to_string(), expected: format!("{low} to {high}") })
}
