//! The lists that given queries are near.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use spandrel_index::format::VectorsOf;
use spandrel_index::{Index, VectorSource};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::error::JoinError;
use super::lists::ListAt;
use crate::probe::Prober;
use crate::validate::check_queries;

/// Queries read and assigned at a time.
const BATCH: u64 = 4096;

/// Queries whose heads are scored together: whole tiles of 6 rows (AVX2, NEON) and of 12 (AVX-512).
const TOGETHER: usize = 12;

/// A query and the list near it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) list: ListAt,
    pub(super) row: u64,
}

/// Queries in the order of the lists near them, then of their rows.
#[derive(Debug, Default)]
pub(super) struct Assigned {
    pub(super) places: Vec<Place>,
    pub(super) head_distances: u64,
    /// Of the queries, in any order of batches.
    pub(super) hash: u64,
}

/// Bytes that each query takes.
pub(super) const PLACE_BYTES: u64 = size_of::<Place>() as u64; // CAST: widening

/// Finds the nearest head of each query. `tell` hears how many are done.
pub(super) fn assign(
    index: &Arc<Index>,
    rows: &dyn VectorSource,
    threads: usize,
    stop: &AtomicBool,
    tell: &(dyn Fn(u64) + Sync),
) -> Result<Assigned, JoinError> {
    let dtype = index.shape_of(VectorsOf::Main).dtype;
    let next = AtomicU64::new(0);
    let done = AtomicU64::new(0);
    let work = || -> Result<Assigned, JoinError> {
        let (mut prober, mut head_row, mut found) = (Prober::default(), Vec::new(), Assigned::default());
        loop {
            let first = next.fetch_add(BATCH, Ordering::Relaxed);
            if first >= rows.len() || stop.load(Ordering::Relaxed) {
                return Ok(found);
            }
            let count = BATCH.min(rows.len() - first);
            let mut bytes = vec![0; count as usize * rows.row_bytes()]; // CAST: a batch
            rows.read_rows(first, &mut bytes)?;
            found.hash = found.hash.wrapping_add(xxh3_64_with_seed(&bytes, first));
            check_queries(index, &bytes).map_err(|error| error.after(first as usize))?; // CAST: usize is 64 bits
            let mut numbers = first..;
            for some in bytes.chunks(TOGETHER * rows.row_bytes()) {
                let vectors = some.chunks_exact(rows.row_bytes());
                let are_scored = prober.ahead.score(index, vectors.clone());
                for (at, (vector, row)) in vectors.zip(&mut numbers).enumerate() {
                    prober.ahead.set_started(are_scored.then_some(at));
                    head_row.clear();
                    index.space().map_query(dtype, vector, &mut head_row);
                    let computed = prober.search(index, &head_row, 1, &mut || true);
                    found.head_distances += u64::from(computed);
                    let near = prober.nearest().first();
                    let list = near.map(|near| ListAt { segment: near.segment, list: near.list });
                    found.places.push(Place { list: list.unwrap_or(ListAt { segment: 0, list: 0 }), row });
                }
            }
            tell(done.fetch_add(count, Ordering::Relaxed) + count);
        }
    };
    let parts: Vec<Result<Assigned, JoinError>> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().map(|thread| thread.join().unwrap_or(Err(JoinError::Broken))).collect()
    });
    let mut all = Assigned { places: Vec::with_capacity(rows.len() as usize), ..Assigned::default() }; // CAST: usize is 64 bits
    for part in parts {
        let part = part?;
        all.places.extend_from_slice(&part.places);
        all.head_distances += part.head_distances;
        all.hash = all.hash.wrapping_add(part.hash);
    }
    if stop.load(Ordering::Relaxed) {
        return Err(JoinError::Stopped { groups: 0 });
    }
    all.places.sort_unstable();
    Ok(all)
}
