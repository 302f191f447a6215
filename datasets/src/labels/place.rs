//! Which rows carry a tag.
use rayon::prelude::*;
use spandrel_index::VectorSource;

use super::anchors::{self, Distances};
use super::error::LabelError;
use super::placement::Placement;
use super::random::{Purpose, stream};
use crate::watch::Watch;

/// Bytes of distances held at once. What does not fit takes another walk over the base.
const BATCH_BYTES: u64 = 512 << 20;

/// The rows of each tag, ascending.
pub(super) fn members(
    base: &dyn VectorSource,
    anchors: &[u32],
    sizes: &[u64],
    placement: Placement,
    watch: Watch<'_>,
) -> Result<Vec<Vec<u32>>, LabelError> {
    let Placement { metric, correlation, seed, .. } = placement;
    let vectors = base.len();
    let near_share = correlation.abs();
    // With no distances to hold, a batch is small so that the work can be stopped.
    let batch = if near_share > 0.0 { (BATCH_BYTES / (4 * vectors)).max(1) as usize } else { 1024 }; // CAST: at most 2^27
    let total = anchors.len() as u64; // CAST: usize is 64 bits here
    let mut members = Vec::with_capacity(anchors.len());
    for (anchors, sizes) in anchors.chunks(batch).zip(sizes.chunks(batch)) {
        let done = members.len();
        watch.step(done as u64, total)?; // CAST: as above
        let distances = match near_share > 0.0 {
            true => anchors::distances(base, anchors, metric, watch.stop)?,
            false => vec![Distances::new(); anchors.len()],
        };
        let tag = |(number, (distances, &size)): (usize, (Distances, &u64))| {
            let size = size.min(vectors);
            let nearest = nearest(distances, (near_share * size as f64).round() as usize); // CAST: at most `size`
            let mut rng = stream(seed, Purpose::Members, done + number);
            let rest = size as usize - nearest.len(); // CAST: usize is 64 bits here
            let left = vectors as usize - nearest.len(); // CAST: as above
            let mut picks = rand::seq::index::sample(&mut rng, left, rest).into_vec();
            picks.sort_unstable();
            with_others(nearest, &picks)
        };
        let tags: Vec<Vec<u32>> = distances.into_par_iter().zip(sizes).enumerate().map(tag).collect();
        members.extend(tags);
    }
    (watch.progress)(total, total);
    Ok(members)
}

/// The `count` rows of the least distances, ascending. Ties go to the smaller row.
fn nearest(distances: Distances, count: usize) -> Vec<u32> {
    let Some(last) = count.checked_sub(1) else { return Vec::new() };
    let mut rows: Vec<(f32, u32)> = distances.into_iter().zip(0..).collect();
    rows.select_nth_unstable_by(last, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut rows: Vec<u32> = rows.into_iter().take(count).map(|(_, row)| row).collect();
    rows.sort_unstable();
    rows
}

/// Some rows, and those of the others at the places `picks`; all ascending.
fn with_others(rows: Vec<u32>, picks: &[usize]) -> Vec<u32> {
    let mut all = Vec::with_capacity(rows.len() + picks.len());
    let mut left = rows.into_iter().peekable();
    let mut before = 0;
    for &pick in picks {
        // The row at place `pick` of the others has that number and one more for each of `rows` before it.
        while let Some(row) = left.next_if(|&row| row as usize <= pick + before) {
            all.push(row);
            before += 1;
        }
        all.push((pick + before) as u32); // CAST: a row, below 2^32
    }
    all.extend(left);
    all
}
