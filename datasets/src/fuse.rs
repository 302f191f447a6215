//! Reciprocal rank fusion of files of answers (Cormack, Clarke and Buettcher, "Reciprocal Rank Fusion outperforms Condorcet and
//! individual Rank Learning Methods", SIGIR 2009).
//!
//! The score of an id is the sum of `weight / (k + rank)` over the files that name it for a query, ranks counted from 1. Only ranks
//! count, so that files may be of different metrics and of different numbers of neighbours.
use crate::Truth;

/// How answers are fused.
#[derive(Debug, Clone, PartialEq)]
pub struct FuseParams {
    /// What is added to each rank: the larger, the less the first ranks count. The paper takes 60.
    pub k: f64,
    /// A weight for each file; 1 for each where it is empty.
    pub weights: Vec<f64>,
    /// Neighbours of each query in the result, the best by score, and no more than all files have together; none for the most that a
    /// file has.
    pub depth: Option<usize>,
}

impl Default for FuseParams {
    fn default() -> FuseParams {
        FuseParams { k: 60.0, weights: Vec::new(), depth: None }
    }
}

/// Why answers cannot be fused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FuseError {
    /// There is nothing to fuse.
    #[error("no answers to fuse, expected those of one file or more")]
    NoFiles,
    /// Files of other queries.
    #[error(
        "file {file} has answers to {found} queries, the first file to {expected}: fuse answers to the same queries"
    )]
    Queries {
        /// Number of the file, from 1.
        file: usize,
        /// Queries of the file.
        found: usize,
        /// Queries of the first file.
        expected: usize,
    },
    /// Not a weight for each file.
    #[error("{found} weights for {expected} files, expected one for each")]
    Weights {
        /// Weights given.
        found: usize,
        /// Files given.
        expected: usize,
    },
    /// Not a weight.
    #[error("weight {found} of file {file}, expected a finite number of 0 or more")]
    Weight {
        /// Number of the file, from 1.
        file: usize,
        /// The value given.
        found: f64,
    },
    /// Nothing would have a score.
    #[error("all weights are 0, expected one that is more")]
    NoWeight,
    /// Not a number to add to ranks.
    #[error("k is {found}, expected a finite number of 0 or more")]
    Rank {
        /// The value given.
        found: f64,
    },
    /// No neighbour is wanted.
    #[error("a depth of 0, expected 1 or more")]
    Depth,
}

/// Fuses the answers of several files to the same queries.
///
/// Missing answers ([`Truth::NONE`]) are skipped, and so is what only a file of weight 0 names. An id that a file names twice for a
/// query counts by its better rank. The result has scores in place of distances, the largest first, ties by id. Ids that have equal
/// ranks in any order of the files have equal scores. Where fewer ids than the depth have a score, the rest is [`Truth::NONE`] with a score
/// of minus infinity.
///
/// # Errors
/// [`FuseError`].
pub fn fuse(files: &[Truth], params: &FuseParams) -> Result<Truth, FuseError> {
    let weights = checked_weights(files, params)?;
    let Some(first) = files.first() else { return Err(FuseError::NoFiles) };
    let depth = params.depth.unwrap_or_else(|| files.iter().map(|file| file.k).max().unwrap_or_default());
    if depth == 0 {
        return Err(FuseError::Depth);
    }
    // No more ids have a score. What comes of it is no larger than the files in memory.
    let depth = depth.min(files.iter().map(|file| file.k).sum());
    let queries = first.queries;
    let (mut ids, mut scores) = (Vec::with_capacity(queries * depth), Vec::with_capacity(queries * depth));
    let mut named = Vec::new();
    for query in 0..queries {
        let mut fused = fuse_one(files, &weights, params.k, query, &mut named);
        fused.truncate(depth);
        let missing = depth - fused.len();
        ids.extend(fused.iter().map(|&(_, id)| id).chain(std::iter::repeat_n(Truth::NONE, missing)));
        // CAST: files hold f32
        scores.extend(fused.iter().map(|&(score, _)| score as f32));
        scores.extend(std::iter::repeat_n(f32::NEG_INFINITY, missing));
    }
    Ok(Truth { queries, k: depth, ids, distances: Some(scores) })
}

/// A rank of an id in a file.
struct Named {
    id: u64,
    file: usize,
    score: f64,
}

/// Scores and ids of one query, the largest score first.
fn fuse_one(
    files: &[Truth],
    weights: &[f64],
    k: f64,
    query: usize,
    named: &mut Vec<Named>,
) -> Vec<(f64, u64)> {
    named.clear();
    for (file, (answers, weight)) in files.iter().zip(weights).enumerate() {
        let ranked = (1_u32..).zip(&answers.ids[query * answers.k..(query + 1) * answers.k]);
        let there = ranked.filter(|&(_, &id)| id != Truth::NONE && *weight > 0.0);
        named.extend(there.map(|(rank, &id)| Named { id, file, score: weight / (k + f64::from(rank)) }));
    }
    // The better rank of an id in a file comes first, and the others go.
    named.sort_unstable_by(|a, b| (a.id, a.file).cmp(&(b.id, b.file)).then(b.score.total_cmp(&a.score)));
    named.dedup_by_key(|named| (named.id, named.file));
    // Sums do not depend on the order of the files.
    named.sort_unstable_by(|a, b| a.id.cmp(&b.id).then(a.score.total_cmp(&b.score)));
    let of_id = |of_id: &[Named]| (of_id.iter().map(|named| named.score).sum(), of_id[0].id);
    let mut fused: Vec<(f64, u64)> = named.chunk_by(|a, b| a.id == b.id).map(of_id).collect();
    fused.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    fused
}

/// A weight for each file, once all that was given was checked.
fn checked_weights(files: &[Truth], params: &FuseParams) -> Result<Vec<f64>, FuseError> {
    let expected = files.first().map(|file| file.queries).unwrap_or_default();
    let other = (1..).zip(files).find(|(_, file)| file.queries != expected);
    if let Some((file, Truth { queries, .. })) = other {
        return Err(FuseError::Queries { file, found: *queries, expected });
    }
    if !(params.k >= 0.0 && params.k.is_finite()) {
        return Err(FuseError::Rank { found: params.k });
    }
    if params.weights.is_empty() {
        return Ok(vec![1.0; files.len()]);
    }
    if params.weights.len() != files.len() {
        return Err(FuseError::Weights { found: params.weights.len(), expected: files.len() });
    }
    let is_weight = |weight: f64| weight >= 0.0 && weight.is_finite();
    if let Some((file, &found)) = (1..).zip(&params.weights).find(|&(_, &weight)| !is_weight(weight)) {
        return Err(FuseError::Weight { file, found });
    }
    if params.weights.iter().all(|&weight| weight == 0.0) {
        return Err(FuseError::NoWeight);
    }
    Ok(params.weights.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: u64 = Truth::NONE;

    fn truth(k: usize, ids: &[u64]) -> Truth {
        Truth { queries: ids.len() / k, k, ids: ids.to_vec(), distances: None }
    }

    /// By hand, with k = 60: 7 has 1/61 + 1/62, 5 has 1/62 + 1/61, 9 has 1/63 alone, 3 has 1/63 alone.
    #[test]
    fn scores_are_sums_of_reciprocal_ranks() {
        let files = [truth(3, &[7, 5, 9]), truth(4, &[5, 7, 3, NONE])];
        let fused = fuse(&files, &FuseParams::default()).unwrap();
        assert_eq!((fused.queries, fused.k), (1, 4));
        assert_eq!(fused.ids, [5, 7, 3, 9]);
        let (both, one) = ((1.0_f64 / 61.0 + 1.0 / 62.0) as f32, (1.0_f64 / 63.0) as f32);
        assert_eq!(fused.distances.unwrap(), [both, both, one, one]);
    }

    /// By hand, with k = 0 and weights 1 and 3: in the second query 2 has 1/1 + 3/2, 4 has 3/1, 6 has 1/2.
    #[test]
    fn weights_count_and_missing_answers_do_not() {
        let files = [truth(2, &[1, NONE, 2, 6]), truth(2, &[NONE, NONE, 4, 2])];
        let params = FuseParams { k: 0.0, weights: vec![1.0, 3.0], depth: Some(3) };
        let fused = fuse(&files, &params).unwrap();
        assert_eq!(fused.ids, [1, NONE, NONE, 4, 2, 6]);
        let none = f32::NEG_INFINITY;
        assert_eq!(fused.distances.unwrap(), [1.0, none, none, 3.0, 2.5, 0.5]);
        let first = FuseParams { weights: vec![1.0, 0.0], ..params };
        assert_eq!(fuse(&files, &first).unwrap().ids, [1, NONE, NONE, 2, 6, NONE]);
    }

    /// Sums of three numbers differ by rounding in other orders: 10 and 11 have the same ranks in files in another order.
    #[test]
    fn ties_do_not_depend_on_the_order_of_files() {
        let at = |rank_of_10: usize, rank_of_11: usize| {
            let mut ids: Vec<u64> = (100..107).collect();
            (ids[rank_of_10], ids[rank_of_11]) = (10, 11);
            truth(7, &ids)
        };
        for ranks in [[0, 2, 5], [1, 3, 6], [0, 1, 6], [2, 3, 4]] {
            let files = [at(ranks[0], ranks[1]), at(ranks[1], ranks[2]), at(ranks[2], ranks[0])];
            let fused = fuse(&files, &FuseParams { depth: Some(30), ..FuseParams::default() }).unwrap();
            let place = |id| fused.ids.iter().position(|&at| at == id).unwrap();
            assert_eq!(place(11), place(10) + 1, "{ranks:?}: {:?}", fused.ids);
        }
    }

    #[test]
    fn a_depth_beyond_all_files_is_what_they_have_together() {
        let files = [truth(2, &[1, 2, 3, 4]), truth(1, &[2, 9])];
        let depth = Some(u32::MAX as usize);
        let fused = fuse(&files, &FuseParams { depth, ..FuseParams::default() }).unwrap();
        assert_eq!((fused.k, fused.ids), (3, vec![2, 1, NONE, 3, 9, 4]));
    }

    #[test]
    fn an_id_that_is_named_twice_counts_once() {
        let fused = fuse(&[truth(3, &[8, 8, 1])], &FuseParams { k: 0.0, ..FuseParams::default() }).unwrap();
        assert_eq!(fused.ids, [8, 1, NONE]);
        assert_eq!(fused.distances.unwrap()[..2], [1.0, (1.0_f64 / 3.0) as f32]);
    }

    #[test]
    fn what_cannot_be_fused_is_refused() {
        let two = [truth(1, &[1, 2]), truth(1, &[3])];
        let refused = |files: &[Truth], params: FuseParams| fuse(files, &params).unwrap_err();
        let with = |weights: &[f64]| FuseParams { weights: weights.to_vec(), ..FuseParams::default() };
        assert_eq!(refused(&[], with(&[])), FuseError::NoFiles);
        assert_eq!(refused(&two, with(&[])), FuseError::Queries { file: 2, found: 1, expected: 2 });
        assert_eq!(refused(&two[1..], with(&[1.0, 2.0])), FuseError::Weights { found: 2, expected: 1 });
        assert_eq!(refused(&two[1..], with(&[-1.0])), FuseError::Weight { file: 1, found: -1.0 });
        assert!(matches!(refused(&two[1..], with(&[f64::NAN])), FuseError::Weight { .. }));
        assert_eq!(refused(&two[1..], with(&[0.0])), FuseError::NoWeight);
        let rank = FuseParams { k: -1.0, ..FuseParams::default() };
        assert_eq!(refused(&two[1..], rank), FuseError::Rank { found: -1.0 });
        assert_eq!(
            refused(&two[1..], FuseParams { depth: Some(0), ..FuseParams::default() }),
            FuseError::Depth
        );
    }
}
