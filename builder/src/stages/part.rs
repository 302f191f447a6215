//! Sorts the input into coarse parts that fit in memory, each a region of head space.
use std::ops::Range;

use rayon::prelude::*;
use spandrel_index::HeadSpace;

use super::check::sample_picks;
use super::hashes::{chunk_hash, chunk_rows, input_hash};
use super::value_parts::{ValueParts, ValueSample};
use crate::checkpoint::{PARTS, Parted, SAMPLE};
use crate::cluster::CoarseParts;
use crate::config::Params;
use crate::partition::{Keys, PartGroups};
use crate::spill::{SpillReader, SpillWriter};
use crate::state::BuildState;
use crate::{BuildError, Input, Rows};

pub(crate) fn part(state: &BuildState<'_>) -> Result<Parted, BuildError> {
    let &BuildState { params, plan, input, context, ref scratch, .. } = state;
    context.progress.phase("part", params.vectors, "vectors");
    let space = state.space();
    let keys = state.keys()?;
    let (parts, by_key) = match keys {
        None => (coarse_parts(state)?, None),
        Some(keys) => (None, Some(ByKey::of(keys, state)?)),
    };
    let groups = match &by_key {
        Some(by_key) => by_key.groups.len(),
        None => parts.as_ref().map_or(1, CoarseParts::len),
    };
    let sorting = Sorting { params, input, space, parts: parts.as_ref(), by_key };
    let mut spill =
        SpillWriter::create(&**scratch, PARTS, groups, params.part_record_bytes(), plan.part_buffers)?;
    let chunk_rows = chunk_rows(params.row_bytes());
    let chunks: Vec<u64> = (0..params.vectors.div_ceil(chunk_rows)).collect();
    let mut hashes = Vec::with_capacity(chunks.len());
    for window in chunks.chunks(2 * params.threads) {
        context.check_stop()?;
        let chunks: Result<Vec<Chunk>, BuildError> = context.pool.install(|| {
            let read = |&chunk: &u64| {
                let range = chunk * chunk_rows..((chunk + 1) * chunk_rows).min(params.vectors);
                sorting.read(range)
            };
            window.par_iter().map(read).collect()
        });
        for chunk in chunks? {
            hashes.push(chunk.hash);
            for (at, vector) in chunk.rows.chunks_exact(params.row_bytes()).enumerate() {
                let row = chunk.first + at as u64;
                let row = (row as u32).to_le_bytes(); // CAST: at most 2^32 vectors
                let id = chunk.ids.get(at).map(|id| id.to_le_bytes());
                let id = id.as_ref().map_or(&[][..], |id| id);
                spill.push(chunk.groups[at] as usize, &[&row, id, vector])?;
            }
            context.progress.advance(chunk.groups.len() as u64);
        }
    }
    // From here on the input is not read again: what was checked is what is indexed.
    if input_hash(hashes) != state.checked().input_hash {
        return Err(BuildError::Changed { name: input.vectors.name() });
    }
    Ok(Parted { spill: spill.finish()? })
}

/// The coarse parts, learned from the sample; none when one part holds everything.
fn coarse_parts(state: &BuildState<'_>) -> Result<Option<CoarseParts>, BuildError> {
    let &BuildState { params, context, .. } = state;
    if params.parts() == 1 {
        return Ok(None);
    }
    let bytes = sample(state)?;
    let rows = Rows { dtype: params.head_dtype(), dim: params.head_dim(), bytes: &bytes };
    let parts = params.parts() as usize; // CAST: usize is 64 bits
    let seed = params.seed_of(1, 0);
    Ok(Some(CoarseParts::train(rows, parts, seed, context.pool, context.stop)?))
}

/// The sample, in head space.
fn sample(state: &BuildState<'_>) -> Result<Vec<u8>, BuildError> {
    let &BuildState { params, ref scratch, .. } = state;
    let space = state.space();
    let sample = SpillReader::open(&**scratch, SAMPLE, &state.checked().sample)?;
    let count = sample.records(0);
    let mut rows = Vec::with_capacity(count as usize * params.head_row_bytes()); // CAST: the plan fits in memory
    // Piece by piece, so that the sample is in memory once.
    let (step, mut piece) = (chunk_rows(params.row_bytes()), Vec::new());
    for first in (0..count).step_by(step as usize) {
        // CAST: usize is 64 bits
        sample.read(0, first..(first + step).min(count), &mut piece)?;
        for vector in piece.chunks_exact(params.row_bytes()) {
            space.map_vector(params.dtype, vector, &mut rows);
        }
    }
    Ok(rows)
}

/// Rows of the input with the part each belongs to.
struct Chunk {
    first: u64,
    rows: Vec<u8>,
    ids: Vec<u64>,
    hash: u128,
    groups: Vec<u32>,
}

/// Groups of rows by their values.
struct ByKey {
    keys: Keys,
    groups: PartGroups,
    /// Of the values that are divided.
    parts: ValueParts,
}

impl ByKey {
    fn of(keys: Keys, state: &BuildState<'_>) -> Result<ByKey, BuildError> {
        let &BuildState { params, context, .. } = state;
        let groups = PartGroups::of(&keys, params);
        let mut by_key = ByKey { keys, groups, parts: ValueParts::default() };
        if by_key.groups.divided().next().is_some() {
            let bytes = sample(state)?;
            let picks = sample_picks(params).into_iter();
            let sample = ValueSample {
                rows: Rows { dtype: params.head_dtype(), dim: params.head_dim(), bytes: &bytes },
                values: picks.map(|row| by_key.divided_value(row as u32)).collect(), // CAST: at most 2^32 vectors
                pool: context.pool,
                stop: context.stop,
            };
            let seed_of = |value: u32| params.seed_of(1, 1 + u64::from(value));
            by_key.parts = ValueParts::train(&sample, by_key.groups.divided(), seed_of)?;
        }
        Ok(by_key)
    }

    /// The value of a row, if it is divided.
    fn divided_value(&self, row: u32) -> Option<u32> {
        self.groups.divided_value(self.keys.of(row))
    }
}

/// What says which group a row belongs to.
struct Sorting<'a> {
    params: &'a Params,
    input: Input<'a>,
    space: HeadSpace,
    parts: Option<&'a CoarseParts>,
    by_key: Option<ByKey>,
}

impl Sorting<'_> {
    fn read(&self, range: Range<u64>) -> Result<Chunk, BuildError> {
        let &Sorting { params, input, space, parts, ref by_key } = self;
        let count = (range.end - range.start) as usize; // CAST: usize is 64 bits
        let mut rows = vec![0; count * params.row_bytes()];
        input.vectors.read_rows(range.start, &mut rows)?;
        let mut ids = Vec::new();
        if let Some(source) = input.row_ids() {
            ids.resize(count, 0);
            source.read_ids(range.start, &mut ids)?;
        }
        let mut groups = vec![0; count];
        let mapped = || {
            let mut mapped = Vec::with_capacity(count * params.head_row_bytes());
            rows.chunks_exact(params.row_bytes())
                .for_each(|vector| space.map_vector(params.dtype, vector, &mut mapped));
            mapped
        };
        let (dtype, dim) = (params.head_dtype(), params.head_dim());
        if let Some(parts) = parts {
            parts.assign(Rows { dtype, dim, bytes: &mapped() }, &mut groups);
        }
        if let Some(by_key) = by_key {
            let numbers = range.start as u32..range.end as u32; // CAST: at most 2^32 vectors
            let values: Vec<Option<u32>> = numbers.clone().map(|row| by_key.divided_value(row)).collect();
            for (row, group) in numbers.zip(&mut groups) {
                *group = by_key.groups.of_row(by_key.keys.of(row));
            }
            if values.iter().any(Option::is_some) {
                by_key.parts.add_parts(Rows { dtype, dim, bytes: &mapped() }, &values, &mut groups);
            }
        }
        let hash = chunk_hash(&rows, &ids);
        Ok(Chunk { first: range.start, rows, ids, hash, groups })
    }
}
