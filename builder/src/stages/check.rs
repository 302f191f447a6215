//! Reads the input once: refuses values that have no distance, hashes it and takes a sample.
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use spandrel_index::format::hash_hex;
use spandrel_index::{Metric, VectorSource, check_vector};
use xxhash_rust::xxh3::Xxh3;

use super::attributes::hash_attributes;
use super::hashes::{IdsSum, chunk_hash, chunk_rows, input_hash};
use crate::checkpoint::{Checked, SAMPLE};
use crate::config::Params;
use crate::progress::Context;
use crate::spill::SpillWriter;
use crate::state::BuildState;
use crate::{BuildError, Column, IdSource, Input};

/// Chunks for each thread whose samples are held until they are written.
const WINDOW_CHUNKS: usize = 32;

/// What a chunk of the input came to.
struct Chunk {
    hash: u128,
    ids_sum: IdsSum,
    norm_squared_max: f64,
    id_max: u64,
    sample: Vec<u8>,
}

pub(crate) fn check(state: &BuildState<'_>) -> Result<Checked, BuildError> {
    let BuildState { params, input, scratch, context, .. } = state;
    let query_sample_hash = hash_sample(params.metric, *input, *context)?;
    // Tokens without a distance are found as themselves, not in what they are encoded to.
    let tokens_hash = match input.document_encoding {
        Some(_) => hash_column(*input, "", *context)?,
        None => None,
    };
    let picks = sample_picks(params);
    let row_bytes = params.row_bytes();
    let mut sample = SpillWriter::create(&**scratch, SAMPLE, 1, row_bytes, 0)?;
    let mut hashes = Vec::new();
    let (mut norm_squared_max, mut id_max) = (0.0_f64, 0);
    let mut ids_sum = IdsSum::default();
    check_chunks(params, *input, &picks, *context, |chunk| {
        hashes.push(chunk.hash);
        ids_sum.join(chunk.ids_sum);
        norm_squared_max = norm_squared_max.max(chunk.norm_squared_max);
        id_max = id_max.max(chunk.id_max);
        chunk.sample.chunks_exact(row_bytes).try_for_each(|row| sample.push(0, &[row]))
    })?;
    // The next float up, so that no vector is longer than the largest.
    let norm_max = (norm_squared_max.sqrt() as f32).next_up(); // CAST: rounds
    let sample = sample.finish()?;
    let attributes_hash = hash_attributes(*input, *context)?;
    let input_hash = input_hash(hashes);
    let column_hash = match tokens_hash {
        Some(hash) => Some(hash),
        None => hash_column(*input, &input_hash, *context)?,
    };
    let ids_sum = input.row_ids().is_some().then(|| ids_sum.finish());
    Ok(Checked {
        input_hash,
        ids_sum,
        norm_max,
        id_max,
        attributes_hash,
        column_hash,
        query_sample_hash,
        sample,
    })
}

/// The hash that [`check`] gives an input, for comparison with that of an index.
pub(crate) fn hash_input(
    params: &Params,
    input: Input<'_>,
    context: Context<'_>,
) -> Result<String, BuildError> {
    let mut hashes = Vec::new();
    check_chunks(params, input, &[], context, |chunk| {
        hashes.push(chunk.hash);
        Ok(())
    })?;
    Ok(input_hash(hashes))
}

/// A hash of a few rows from all over a source, and of their ids: enough to tell another file, and quick.
pub(crate) fn glance(vectors: &dyn VectorSource, ids: Option<&dyn IdSource>) -> Result<String, BuildError> {
    const ROWS: u64 = 256;
    let count = ROWS.min(vectors.len());
    let mut hash = Xxh3::new();
    let mut vector = vec![0; vectors.row_bytes()];
    for at in 0..count {
        let row = (vectors.len() - 1) * at / (count - 1).max(1);
        vectors.read_rows(row, &mut vector)?;
        let mut id = [0];
        if let Some(ids) = ids {
            ids.read_ids(row, &mut id)?;
        }
        hash.update(&chunk_hash(&vector, &id).to_le_bytes());
    }
    Ok(hash_hex(hash.digest128()))
}

/// Checks all chunks on all threads, and hands what each came to, in order, to `take`.
fn check_chunks(
    params: &Params,
    input: Input<'_>,
    picks: &[u64],
    context: Context<'_>,
    mut take: impl FnMut(Chunk) -> Result<(), BuildError>,
) -> Result<(), BuildError> {
    context.progress.phase("check", params.vectors, "vectors");
    let chunk_rows = chunk_rows(params.row_bytes());
    let chunks: Vec<u64> = (0..params.vectors.div_ceil(chunk_rows)).collect();
    for window in chunks.chunks(WINDOW_CHUNKS * params.threads) {
        let checked: Result<Vec<Chunk>, BuildError> = context.pool.install(|| {
            let check = |rows: &mut Vec<u8>, &chunk: &u64| -> Result<Chunk, BuildError> {
                context.check_stop()?;
                let range = chunk * chunk_rows..((chunk + 1) * chunk_rows).min(params.vectors);
                let checked = check_chunk(params, input, picks, range.clone(), rows)?;
                context.progress.advance(range.end - range.start);
                Ok(checked)
            };
            window.par_iter().map_init(Vec::new, check).collect()
        });
        checked?.into_iter().try_for_each(&mut take)?;
    }
    Ok(())
}

/// Row numbers of the sample, ascending: one from each of equal stretches of the input.
pub(super) fn sample_picks(params: &Params) -> Vec<u64> {
    let mut rng = ChaCha8Rng::seed_from_u64(params.seed_of(0, 0));
    let count = params.sample_rows();
    let edge = |i: u64| (u128::from(i) * u128::from(params.vectors) / u128::from(count)) as u64; // CAST: <= n
    (0..count).map(|i| rng.random_range(edge(i)..edge(i + 1))).collect()
}

fn check_chunk(
    params: &Params,
    input: Input<'_>,
    picks: &[u64],
    range: std::ops::Range<u64>,
    rows: &mut Vec<u8>,
) -> Result<Chunk, BuildError> {
    let row_bytes = params.row_bytes();
    let count = (range.end - range.start) as usize; // CAST: usize is 64 bits
    rows.resize(count * row_bytes, 0);
    input.vectors.read_rows(range.start, rows)?;
    let mut own_ids = Vec::new();
    let mut id_max = range.end - 1;
    if let Some(ids) = input.row_ids() {
        own_ids.resize(count, 0);
        ids.read_ids(range.start, &mut own_ids)?;
        id_max = own_ids.iter().copied().max().unwrap_or(0);
    }
    let hash = chunk_hash(rows, &own_ids);
    let mut ids_sum = IdsSum::default();
    ids_sum.add(range.start, &own_ids);
    let norm_squared_max = check_rows(input.vectors, params.metric, range.start, rows)?;
    let first = picks.partition_point(|&pick| pick < range.start);
    let mut sample = Vec::new();
    for &pick in picks[first..].iter().take_while(|&&pick| pick < range.end) {
        let at = (pick - range.start) as usize * row_bytes; // CAST: inside a chunk
        sample.extend_from_slice(&rows[at..at + row_bytes]);
    }
    Ok(Chunk { hash, ids_sum, norm_squared_max, id_max, sample })
}

/// Checks the values of all rows of the column, where there is one: their hash. That of documents holds the rows of the input themselves, of which
/// `main` is the hash, unless these are encodings.
pub(crate) fn hash_column(
    input: Input<'_>,
    main: &str,
    context: Context<'_>,
) -> Result<Option<String>, BuildError> {
    let Some(Column { vectors, metric, .. }) = input.column else { return Ok(None) };
    if input.documents.is_some() && input.document_encoding.is_none() {
        return Ok(Some(main.to_owned()));
    }
    let name = if input.documents.is_some() { "check tokens" } else { "check column" };
    context.progress.phase(name, vectors.len(), "vectors");
    let row_bytes = vectors.row_bytes();
    let rows_max = chunk_rows(row_bytes);
    let check = |rows: &mut Vec<u8>, chunk: u64| -> Result<u128, BuildError> {
        context.check_stop()?;
        let (first, end) = (chunk * rows_max, ((chunk + 1) * rows_max).min(vectors.len()));
        rows.resize((end - first) as usize * row_bytes, 0); // CAST: usize is 64 bits
        vectors.read_rows(first, rows)?;
        check_rows(vectors, metric, first, rows)?;
        context.progress.advance(end - first);
        Ok(chunk_hash(rows, &[]))
    };
    let chunks = 0..vectors.len().div_ceil(rows_max);
    let hashes: Result<Vec<u128>, BuildError> =
        context.pool.install(|| chunks.into_par_iter().map_init(Vec::new, check).collect());
    Ok(Some(input_hash(hashes?)))
}

/// Checks the values of all rows of the sample, where there is one: their hash.
pub(crate) fn hash_sample(
    metric: Metric,
    input: Input<'_>,
    context: Context<'_>,
) -> Result<Option<String>, BuildError> {
    let Some(sample) = input.query_sample else { return Ok(None) };
    let step = chunk_rows(sample.row_bytes());
    let (mut rows, mut hashes) = (Vec::new(), Vec::new());
    for first in (0..sample.len()).step_by(step as usize) {
        context.check_stop()?;
        let count = step.min(sample.len() - first);
        rows.resize(count as usize * sample.row_bytes(), 0); // CAST: usize is 64 bits
        sample.read_rows(first, &mut rows)?;
        check_rows(sample, metric, first, &rows)?;
        hashes.push(chunk_hash(&rows, &[]));
    }
    Ok(Some(input_hash(hashes)))
}

/// Refuses rows of a source, from row `first` on, that have no distance to others: the largest squared length, where lengths matter.
pub(super) fn check_rows(
    source: &dyn VectorSource,
    metric: Metric,
    first: u64,
    rows: &[u8],
) -> Result<f64, BuildError> {
    let (dtype, mut norm_squared_max) = (source.dtype(), 0.0_f64);
    // Bytes are always finite; their lengths matter to two of the metrics.
    if !(dtype.is_integer() && metric == Metric::L2) {
        for (row, vector) in (first..).zip(rows.chunks_exact(source.row_bytes())) {
            let squared = check_vector(metric, dtype, vector).map_err(|found| BuildError::Value {
                name: source.name(),
                row,
                found,
            })?;
            norm_squared_max = norm_squared_max.max(squared);
        }
    }
    Ok(norm_squared_max)
}
