//! Finds the vectors that real queries want, before lists are formed: these get lists of their own.
//!
//! Where queries come from elsewhere than the vectors, a small part of the vectors holds nearly all their neighbours: the
//! bipartite graph of queries and their exact neighbours, of RoarGraph (Chen et al., 2024) and RetrievalAttention (Liu et al.,
//! 2024), leaves most vectors without an edge. Lists in which both kinds lie mixed make a search scan vectors that no
//! query wants.
use roaring::RoaringBitmap;
use spandrel_index::format::QuerySampleRecord;

use super::check::hash_sample;
use super::hashes::chunk_rows;
use super::neighbours::{Nearest, Neighbours, Queries};
use crate::checkpoint::Sampled;
use crate::measured::sample::{FORESEEN_MIN, WANTED_SHARE_MAX};
use crate::partition::{KeyBuilder, OWN_ROWS_MIN};
use crate::query_sample::{half_of, held_back_rows};
use crate::state::BuildState;
use crate::{BuildError, Rows};

/// Compares the shaping part of the sample with every vector, and numbers the rows: wanted ones first, if that pays.
pub(crate) fn wanted(state: &BuildState<'_>) -> Result<Sampled, BuildError> {
    let &BuildState { params, input, context, ref scratch, .. } = state;
    let (Some(sample), Some(of)) = (input.query_sample, params.query_sample) else {
        unreachable!("the phase is of builds that have a sample")
    };
    let hash = state.checked().query_sample_hash.clone().unwrap_or_default();
    if hash_sample(params.metric, input, context)?.as_ref() != Some(&hash) {
        return Err(BuildError::Changed { name: sample.name() });
    }
    let mut bytes = Vec::new();
    let mut query = vec![0; sample.row_bytes()];
    for row in of.shaping_rows() {
        sample.read_rows(row, &mut query)?;
        state.space().map_query(params.dtype, &query, &mut bytes);
    }
    let rows = Rows { dtype: params.head_dtype(), dim: params.head_dim(), bytes: &bytes };
    let nearest = neighbours(state, rows, of.depth as usize)?; // CAST: a hundred
    let queries = nearest.of_queries().count();
    let half = |half: u64| {
        let all = nearest.of_queries().enumerate();
        all.filter(move |&(at, _)| half_of(at, queries) == half).flat_map(|(_, rows)| rows).copied()
    };
    let [one, other] = [0, 1].map(|number| half(number).collect::<RoaringBitmap>());
    let [foreseen_one, foreseen_other] =
        [(0, &other), (1, &one)].map(|(number, by)| half(number).filter(|&row| by.contains(row)).count());
    // CAST: widening, here and below
    let foreseen = (foreseen_one + foreseen_other) as u64;
    let foreseen_of = nearest.of_queries().flatten().count() as u64;
    let wanted = one | other;
    let rest = params.vectors - wanted.len();
    let is_foreseen = foreseen as f64 >= FORESEEN_MIN * foreseen_of as f64; // CAST: exact
    let is_few = wanted.len() as f64 <= WANTED_SHARE_MAX * params.vectors as f64; // CAST: exact
    let own_lists = is_foreseen && is_few && wanted.len().min(rest) >= OWN_ROWS_MIN;
    let keys = if own_lists {
        let mut keys = KeyBuilder::new(params.vectors);
        keys.push(&wanted);
        Some(keys.finish(&**scratch)?)
    } else {
        None
    };
    let record = QuerySampleRecord {
        hash,
        queries: of.queries,
        held_back: held_back_rows(of.queries).count() as u64, // CAST: widening
        depth: of.depth,
        wanted: wanted.len(),
        foreseen_of,
        foreseen,
        own_lists,
        code: None,
    };
    context.progress.note(&note(&record, params.vectors));
    Ok(Sampled { record, keys })
}

/// What was found, for people.
fn note(record: &QuerySampleRecord, vectors: u64) -> String {
    let percent = |part: u64, of: u64| 100.0 * part as f64 / of.max(1) as f64; // CAST: shown to one digit
    let verdict =
        if record.own_lists { "they get lists of their own" } else { "lists are formed as without a sample" };
    format!(
        "query sample: {:.1} % of the vectors are among the {} nearest of its queries, half of which foresee {:.1} % of the others' \
         neighbours: {verdict}",
        percent(record.wanted, vectors),
        record.depth,
        percent(record.foreseen, record.foreseen_of)
    )
}

/// The row numbers of the `depth` nearest vectors of each query, which are rows in head space.
fn neighbours(state: &BuildState<'_>, queries: Rows<'_>, depth: usize) -> Result<Neighbours, BuildError> {
    let &BuildState { params, input, context, .. } = state;
    context.progress.phase("sample", params.vectors, "vectors");
    let space = state.space();
    let queries = Queries::new(queries);
    let mut nearest = Nearest::new(queries.len(), depth);
    let step = chunk_rows(params.row_bytes());
    let (mut rows, mut mapped) = (Vec::new(), Vec::new());
    for first in (0..params.vectors).step_by(step as usize) {
        context.check_stop()?;
        let count = step.min(params.vectors - first);
        rows.resize(count as usize * params.row_bytes(), 0); // CAST: usize is 64 bits
        input.vectors.read_rows(first, &mut rows)?;
        mapped.clear();
        rows.chunks_exact(params.row_bytes())
            .for_each(|vector| space.map_vector(params.dtype, vector, &mut mapped));
        // CAST: at most 2^32 vectors
        nearest.add(&queries, &mapped, first as u32, context.pool);
        context.progress.advance(count);
    }
    Ok(nearest.finish())
}
