//! Between the messages and the engine's types.
use std::time::{Duration, Instant};

use bytes::Bytes;
use half::f16;
use spandrel_engine::{Answer, Distances, Limit, Rerank, SearchParams};
use spandrel_index::{DType, Index, Metric, Tier};
use spandrel_proto::v1;

use crate::limits::Limits;
use crate::refusal::Refusal;

/// Queries as rows of the index's type, from 1 to `most` of them in at most `bytes_max` bytes: the rows and how many there
/// are.
pub(crate) fn rows(
    index: &Index,
    field: &'static str,
    vectors: Option<v1::Vectors>,
    (most, bytes_max): (usize, usize),
) -> Result<(Bytes, usize), Refusal> {
    let Some(v1::Vectors { f32, data, dtype, dim }) = vectors else {
        return Err(Refusal::field(field, "not set"));
    };
    let wanted = index.dtype();
    // CAST: widening
    if dim != 0 && dim as usize != index.dim() {
        let message = format!("vectors of {dim} elements, the index has {}", index.dim());
        return Err(Refusal::field(field, message));
    }
    let mut found = wanted;
    let count = match (f32.is_empty(), data.is_empty()) {
        (true, true) => return Err(Refusal::field(field, "no elements; set f32, or data with its dtype")),
        (false, false) => {
            return Err(Refusal::field(field, "both f32 and data are set, expected one of them"));
        }
        (false, true) => whole(field, f32.len(), index.dim(), "elements", index)?,
        (true, false) => {
            found = dtype_of(field, dtype)?;
            if found != wanted && !widens(found, wanted) {
                let message =
                    format!("data of {found}, the index holds {wanted}; send that, or numbers in f32");
                return Err(Refusal::field(field, message));
            }
            whole(field, data.len(), found.row_bytes(index.dim()), "bytes", index)?
        }
    };
    if count > most {
        return Err(match most {
            1 => Refusal::field(field, format!("{count} vectors, expected one; send many with SearchBatch")),
            limit => Refusal::limit(field, count, limit),
        });
    }
    let bytes = count.saturating_mul(index.row_bytes());
    if bytes > bytes_max {
        let message = format!("{bytes} bytes as vectors of {wanted}, the server's limit is {bytes_max}");
        return Err(Refusal::field(field, message));
    }
    if !f32.is_empty() {
        return Ok((encode(field, &f32, wanted)?.into(), count));
    }
    if found == wanted {
        return Ok((data, count));
    }
    Ok((encode(field, &decode(found, &data), wanted)?.into(), count))
}

/// Whether a type holds every value of another.
fn widens(from: DType, to: DType) -> bool {
    match to {
        DType::F32 => from != DType::F32,
        DType::F16 => from.is_integer(),
        DType::I8 | DType::U8 => false,
    }
}

/// Elements of a type that f32 widens, as numbers.
fn decode(dtype: DType, data: &[u8]) -> Vec<f32> {
    match dtype {
        DType::F32 => data.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
        DType::F16 => data.as_chunks::<2>().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect(),
        DType::I8 => data.iter().map(|&b| f32::from(b.cast_signed())).collect(),
        DType::U8 => data.iter().map(|&b| f32::from(b)).collect(),
    }
}

/// How many rows there are.
fn whole(
    field: &'static str,
    found: usize,
    of_row: usize,
    unit: &str,
    index: &Index,
) -> Result<usize, Refusal> {
    if found.is_multiple_of(of_row) {
        return Ok(found / of_row);
    }
    let (dim, dtype) = (index.dim(), index.dtype());
    let message =
        format!("{found} {unit}, expected a multiple of {of_row}: the index has {dim} elements of {dtype}");
    Err(Refusal::field(field, message))
}

/// Numbers as elements of the index's type.
fn encode(field: &'static str, numbers: &[f32], dtype: DType) -> Result<Vec<u8>, Refusal> {
    let whole = |low: f32, high: f32| match numbers
        .iter()
        .position(|x| !(low..=high).contains(x) || x.fract() != 0.0)
    {
        None => Ok(()),
        Some(at) => {
            let message = format!(
                "element {at} is {}, the index holds {dtype}: whole numbers from {low} to {high}",
                numbers[at]
            );
            Err(Refusal::field(field, message))
        }
    };
    Ok(match dtype {
        DType::F32 => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
        // What overflows becomes infinite and is refused as that.
        DType::F16 => numbers.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect(),
        DType::U8 => {
            whole(0.0, 255.0)?;
            numbers.iter().map(|&x| x as u8).collect() // CAST: whole and in range
        }
        DType::I8 => {
            whole(-128.0, 127.0)?;
            numbers.iter().map(|&x| (x as i8).cast_unsigned()).collect() // CAST: whole and in range
        }
    })
}

fn dtype_of(field: &'static str, code: i32) -> Result<DType, Refusal> {
    match v1::Dtype::try_from(code) {
        Ok(v1::Dtype::F32) => Ok(DType::F32),
        Ok(v1::Dtype::F16) => Ok(DType::F16),
        Ok(v1::Dtype::I8) => Ok(DType::I8),
        Ok(v1::Dtype::U8) => Ok(DType::U8),
        Ok(v1::Dtype::Unspecified) => Err(Refusal::field(field, "data without its dtype")),
        Err(_) => Err(Refusal::field(field, format!("unknown dtype {code}, expected 1 to 4"))),
    }
}

/// How to search.
pub(crate) fn params(
    index: &Index,
    k: u32,
    options: &v1::SearchOptions,
    limits: &Limits,
) -> Result<SearchParams, Refusal> {
    if k > limits.k {
        // CAST: widening
        return Err(Refusal::limit("k", k as usize, limits.k as usize));
    }
    if options.rerank == Some(0) {
        return Err(Refusal::field("options.rerank", "rerank is 0, expected at least 1"));
    }
    if options.rerank.is_some() && options.rerank_errors.is_some() {
        let message = "both rerank and rerank_errors are set, expected one of them";
        return Err(Refusal::field("options.rerank_errors", message));
    }
    // To ask for more than there is asks for all.
    for (field, found, all, limit) in [
        ("options.max_lists", options.max_lists, index.lists().into(), limits.lists),
        ("options.rerank", options.rerank, index.vectors(), limits.rerank),
    ] {
        let found = u64::from(found.unwrap_or_default()).min(all);
        if found > limit.into() {
            return Err(Refusal::limit(field, found as usize, limit as usize)); // CAST: widening
        }
    }
    let distances = match v1::Distances::try_from(options.distances) {
        Ok(v1::Distances::Unspecified | v1::Distances::Exact) => Distances::Exact,
        Ok(v1::Distances::Any) => Distances::Any,
        Err(_) => {
            let message = format!("unknown distances {}, expected 0 to 2", options.distances);
            return Err(Refusal::field("options.distances", message));
        }
    };
    Ok(SearchParams {
        k: k as usize, // CAST: widening
        epsilon: options.epsilon,
        max_lists: options.max_lists,
        effort: 1.0,
        max_bytes: options.max_bytes,
        rerank: options.rerank.map(Rerank::Count).or(options.rerank_errors.map(Rerank::Errors)),
        distances,
        // For the metrics; an answer holds them if it was asked for its work.
        times: true,
    })
}

/// The limit that cut an answer short.
pub(crate) fn limited_by(answer: &Answer) -> v1::Limit {
    match answer.limited_by {
        None => v1::Limit::Unspecified,
        Some(Limit::MaxLists) => v1::Limit::MaxLists,
        Some(Limit::MaxBytes) => v1::Limit::MaxBytes,
    }
}

/// The limits that cut answers short; empty if none did.
pub(crate) fn all_limits(answers: &[Answer]) -> Vec<i32> {
    if answers.iter().all(|answer| answer.limited_by.is_none()) {
        return Vec::new();
    }
    answers.iter().map(|answer| limited_by(answer) as i32).collect() // CAST: the enum's code
}

/// Bytes of an answer besides those of its neighbours, and of its work, each query's.
pub(crate) const ANSWER_REST: usize = 128;
const WORK_BYTES: usize = 256;
/// Bytes of a neighbour: an id, a distance, whether that is an estimate.
const NEIGHBOUR_BYTES: usize = 10 + 4 + 1;

/// Most bytes of the answers to `count` queries for `k` neighbours each.
pub(crate) fn answer_bytes_max(index: &Index, count: usize, k: u32, options: &v1::SearchOptions) -> usize {
    let vector = if options.with_vectors { index.row_bytes() } else { 0 };
    let neighbours = (k as usize).saturating_mul(NEIGHBOUR_BYTES + vector); // CAST: widening
    let work = if options.with_work { WORK_BYTES } else { 0 };
    count.saturating_mul(neighbours.saturating_add(work + ANSWER_REST))
}

/// Whether each distance is an estimate; empty if none is.
pub(crate) fn estimated(answers: &[Answer]) -> Vec<bool> {
    let all = || answers.iter().flat_map(|a| &a.neighbours).map(|n| n.estimated);
    if all().any(|e| e) { all().collect() } else { Vec::new() }
}

/// Microseconds from the arrival of a request to the moment a search thread took this query of it.
pub(crate) fn queue_us(answer: &Answer, arrival: Instant) -> f32 {
    let waited = answer.taken.map_or(Duration::ZERO, |taken| taken.saturating_duration_since(arrival));
    waited.as_secs_f32() * 1e6
}

/// What an answer to a request that came at `arrival` took.
pub(crate) fn work(answer: &Answer, arrival: Instant) -> v1::Work {
    let work = &answer.work;
    v1::Work {
        lists: work.lists,
        reads: work.reads,
        pages: work.pages,
        rounds: work.rounds,
        read_bytes: work.read_bytes,
        codes: work.vectors_scanned,
        reranked: work.reranked,
        head_distances: work.head_distances,
        queue_us: queue_us(answer, arrival),
        search_us: answer.latency_us,
        candidates: work.candidates,
        cache_hits: work.cache_hits,
        stages: answer.stages.map(|times| v1::Stages {
            probe_us: times.probe_us,
            scan_us: times.scan_us,
            plan_us: times.plan_us,
            wait_us: times.wait_us,
            verify_us: times.verify_us,
            rerank_us: times.rerank_us,
        }),
    }
}

/// Rows of the index's type and dimension.
pub(crate) fn vectors(index: &Index, rows: Vec<u8>) -> v1::Vectors {
    v1::Vectors {
        f32: Vec::new(),
        data: Bytes::from(rows),
        dtype: wire_dtype(index.dtype()) as i32, // CAST: the enum's code
        dim: index.dim() as u32,                 // CAST: at most DIM_MAX
    }
}

pub(crate) fn wire_dtype(dtype: DType) -> v1::Dtype {
    match dtype {
        DType::F32 => v1::Dtype::F32,
        DType::F16 => v1::Dtype::F16,
        DType::I8 => v1::Dtype::I8,
        DType::U8 => v1::Dtype::U8,
    }
}

pub(crate) fn wire_metric(metric: Metric) -> v1::Metric {
    match metric {
        Metric::L2 => v1::Metric::SquaredL2,
        Metric::InnerProduct => v1::Metric::InnerProduct,
        Metric::Cosine => v1::Metric::Cosine,
    }
}

pub(crate) fn wire_tier(tier: Tier) -> v1::Tier {
    match tier {
        Tier::Memory => v1::Tier::Memory,
        Tier::Ssd => v1::Tier::Ssd,
    }
}

/// Where a part is to be kept; none if it is left to the index.
pub(crate) fn tier(field: &'static str, code: i32) -> Result<Option<Tier>, Refusal> {
    match v1::Tier::try_from(code) {
        Ok(v1::Tier::Unspecified) => Ok(None),
        Ok(v1::Tier::Memory) => Ok(Some(Tier::Memory)),
        Ok(v1::Tier::Ssd) => Ok(Some(Tier::Ssd)),
        Err(_) => Err(Refusal::field(field, format!("unknown tier {code}, expected 0 to 2"))),
    }
}
