//! Flags that decide what an index looks like: shared by `build` and `plan`.
use std::num::NonZero;
use std::path::PathBuf;
use std::thread::available_parallelism;

use clap::Args;
use spandrel_builder::cluster::HeadKind;
use spandrel_builder::filing::ReplicaRule;
use spandrel_builder::{BuildConfig, Choice, ListCount, Plan, VectorShape};
use spandrel_index::Tier;
use spandrel_index::codes::CodeSpec;
use spandrel_index::documents::EncodingSpec;

use super::{attributes, column, documents, partition, query_sample};
use crate::figures::{Machine, memory_limit, units};
use crate::values::{ByteSize, SearchMemory};

/// Memory a build may use where nothing else is said, on a machine that has twice as much.
const MEMORY_DEFAULT: u64 = 8 << 30;

/// Memory for searching where nothing else is said.
const SEARCH_MEMORY_DEFAULT: SearchMemory = SearchMemory::PerVector(40.0);

/// What an index looks like.
#[derive(Debug, Clone, Args)]
pub struct ShapeArgs {
    /// Lists to form; lists that come out too long are split.
    #[arg(long, value_name = "N", conflicts_with = "list_size", value_parser = clap::value_parser!(u64).range(1..))]
    pub lists: Option<u64>,
    /// Vectors per list, replicas not counted [default: 120 for codes in memory, 64 for codes on ssd, 32 for --code full].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub list_size: Option<u32>,
    /// Rule by which vectors are filed under further lists: none, rng, soar or air [default: soar, or none for
    /// codes in memory].
    #[arg(long, value_name = "none|rng|soar|air")]
    pub replicas: Option<ReplicaRule>,
    /// Most copies of a vector, the first included.
    #[arg(long, value_name = "N", default_value_t = COPIES_DEFAULT, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub max_replicas: u32,
    /// What stands for a list in memory: the mean of its vectors, or the vector nearest to it.
    #[arg(long, value_name = "means|vectors", default_value_t = HeadKind::Means)]
    pub heads: HeadKind,
    /// What lists hold: full, the exact vectors; rabitq:B, B bits a dimension; axes:BYTES, bits allotted to principal
    /// axes; pq:MxN, M sub-quantisers of N bits (4 or 8), with +opq of rotated residuals, with +uniform of
    /// centroids learned from equal shares; bits:MxU, U strings of M signs, with +symmetric queries coded alike; binary, signs [default: the best that fits --search-memory].
    #[arg(long, value_name = "full|rabitq:B|axes:BYTES|pq:MxN[+opq][+uniform]|bits:MxU[+symmetric]|binary")]
    pub code: Option<CodeSpec>,
    /// Where codes are while searching: memory or ssd [default: memory where they fit --search-memory].
    #[arg(long, value_name = "memory|ssd")]
    pub codes: Option<Tier>,
    /// Memory for searching, in all, such as 32GiB, or for each vector, such as 40B [default: 40B].
    #[arg(long, value_name = "SIZE|NB", conflicts_with = "code")]
    pub search_memory: Option<SearchMemory>,
    /// Memory the build may use, such as 8GiB or 512MiB [default: 8GiB, or half of what the machine or the control group
    /// allows if that is less].
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<ByteSize>,
    /// Threads to use [default: one for each processor].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Seed of every random choice.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
}

const COPIES_DEFAULT: u32 = spandrel_builder::COPIES_DEFAULT;

/// What codes of encodings are where nothing is said of codes or memory: encodings are wide, and there are few of them.
const ENCODING_CODE: CodeSpec = CodeSpec::RaBitQ { bits: 1 };

impl ShapeArgs {
    /// The same, with the usual code of encodings where these are searched and nothing was said of codes.
    pub(super) fn of_documents(&self, encoding: Option<EncodingSpec>) -> ShapeArgs {
        let is_given = self.code.is_some() || self.search_memory.is_some();
        let code = self.code.or(encoding.filter(|_| !is_given).map(|_| ENCODING_CODE));
        ShapeArgs { code, ..self.clone() }
    }

    /// Memory for searching, given or not.
    pub(super) fn search_memory(&self) -> SearchMemory {
        self.search_memory.unwrap_or(SEARCH_MEMORY_DEFAULT)
    }

    /// What these flags ask of the builder; nothing is resumed or replaced.
    pub(super) fn config(&self, shape: VectorShape, out: PathBuf) -> BuildConfig {
        let choice = match self.code {
            Some(CodeSpec::Full) => Choice::of(shape, CodeSpec::Full, Tier::Ssd),
            Some(code) => Choice::of(shape, code, self.codes.unwrap_or(Tier::Memory)),
            None => Choice::for_memory(shape, self.search_memory().per_vector(shape.vectors)),
        };
        BuildConfig {
            metric: shape.metric,
            out,
            lists: match (self.lists, self.list_size) {
                (Some(lists), _) => ListCount::Lists(lists),
                (None, size) => ListCount::Size(size.unwrap_or(choice.list_size)),
            },
            replicas: self.replicas.unwrap_or(choice.replicas),
            max_replicas: self.max_replicas,
            heads: self.heads,
            code: choice.code,
            codebooks: None,
            codes: self.codes.unwrap_or(choice.codes),
            memory_bytes: self.memory.map_or_else(memory_default, |size| size.0),
            threads: self.threads.map_or_else(threads_default, usize::from),
            seed: self.seed,
            scratch: None,
            resume: false,
            replace: false,
            keep_previous: 0,
            plain_codes: false,
            embedding: None,
        }
    }
}

/// A thread for each processor.
pub(super) fn threads_default() -> usize {
    available_parallelism().map_or(1, NonZero::get).min(1024)
}

pub(super) fn memory_default() -> u64 {
    let machine = Some(Machine::detect().memory_bytes).filter(|&bytes| bytes > 0);
    let most = machine.into_iter().chain(memory_limit()).min();
    most.map_or(MEMORY_DEFAULT, |bytes| MEMORY_DEFAULT.min(bytes / 2))
}

/// What to say where searching will take more memory than was asked for, and the least that can be asked for.
pub(super) fn search_memory_warning(asked: SearchMemory, shape: VectorShape, plan: &Plan) -> Option<String> {
    let vectors = shape.vectors.max(1) as f64; // CAST: shown rounded
    let (planned, asked) = (plan.search_memory as f64 / vectors, asked.per_vector(shape.vectors)); // CAST: as above
    // The plan's lists are whole ones.
    if planned <= 1.01 * asked {
        return None;
    }
    let least = Choice::for_memory(shape, f64::MIN_POSITIVE).memory_per_vector.min(planned);
    Some(format!(
        "searching will take {planned:.1} bytes of memory a vector where --search-memory allows {asked:.1}: heads, or the \
         matrix of the code, are too large; the least that works is --search-memory {}B, {} in all",
        least.ceil(),
        units::bytes(least.ceil() * vectors),
    ))
}

/// What a build will take, for programs.
pub(super) fn plan_json(plan: &Plan) -> serde_json::Value {
    serde_json::json!({
        "vectors": plan.vectors,
        "lists": plan.lists,
        "code": plan.code.to_string(),
        "codes": plan.codes.to_string(),
        "copies": plan.copies,
        "memory_needed": plan.memory_needed,
        "memory_allowed": plan.memory_allowed,
        "scratch_bytes": plan.scratch_bytes,
        "index_bytes": plan.index_bytes,
        "search_memory": plan.search_memory,
        "attributes": attributes::plan_json(plan),
        "partition": partition::plan_json(plan),
        "column": column::plan_json(plan),
        "documents": documents::plan_json(plan),
        "query_sample": query_sample::plan_json(plan),
    })
}

/// What a build will take, line by line.
pub(super) fn plan_text(plan: &Plan) -> String {
    // CAST: shown to three digits
    let size = |bytes: u64| units::bytes(bytes as f64);
    let per_vector = |bytes: u64| bytes as f64 / plan.vectors as f64; // CAST: as above
    let lines = [
        ("vectors", units::count(plan.vectors)),
        ("lists", units::count(plan.lists)),
        ("code", format!("{}, searched from {}", plan.code, plan.codes)),
        ("copies", format!("{:.2} of each vector", plan.copies)),
        (
            "build memory",
            format!("{} needed, {} allowed", size(plan.memory_needed), size(plan.memory_allowed)),
        ),
        ("scratch disk", size(plan.scratch_bytes)),
        (
            "index on disk",
            format!(
                "{}, {} bytes a vector",
                size(plan.index_bytes),
                units::three_digits(per_vector(plan.index_bytes))
            ),
        ),
        (
            "search memory",
            format!(
                "{}, {} bytes a vector",
                size(plan.search_memory),
                units::three_digits(per_vector(plan.search_memory))
            ),
        ),
    ];
    let attributes = attributes::plan_text(plan).map(|text| ("attributes", text));
    let partition = partition::plan_text(plan).map(|text| ("partition", text));
    let column = column::plan_text(plan).map(|text| ("column", text));
    let documents = documents::plan_text(plan).map(|text| ("documents", text));
    let sample = query_sample::plan_text(plan).map(|text| ("query sample", text));
    lines
        .into_iter()
        .chain(attributes)
        .chain(partition)
        .chain(column)
        .chain(documents)
        .chain(sample)
        .map(|(name, value)| format!("{name:<14}{value}\n"))
        .collect()
}
