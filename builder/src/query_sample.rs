//! The sample of real queries that a build learns from, and which of them are held back.
//!
//! Queries often come in groups: those of one conversation follow one another, and some come twice. What is compared with one another
//! are therefore runs of the file, so that few groups are on both sides.
use std::ops::Range;

use spandrel_index::DType;

use crate::{BuildError, Input};

/// Rows that a sample has to have: half of them are held back for calibration, and half shape lists.
const ROWS_MIN: u64 = 2 * HELD_BACK_MIN;
/// Queries that are held back at least.
const HELD_BACK_MIN: u64 = 1000;
/// Of this many queries one is held back.
const HELD_BACK_OF: u64 = 10;
/// Queries that shape lists at most, spread over all that may: each is compared with every vector.
pub(crate) const SHAPING_MAX: u64 = 20_000;
/// Queries that codes are made for at most, spread over those that shape lists.
pub(crate) const CODING_MAX: u64 = 4096;
/// Queries that calibrate at most, spread over all that are held back: calibration uses no more.
const CALIBRATING_MAX: u64 = 3000;
/// Runs that a sample is cut into. Each begins with its share of those that are held back.
const RUNS: u64 = 30;
/// Neighbours of a query that it wants.
pub(crate) const DEPTH: u64 = 100;

/// A sample as it will be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QuerySampleParams {
    /// Rows of the sample.
    pub(crate) queries: u64,
    /// Neighbours of each query that are looked at.
    pub(crate) depth: u64,
    /// Whether codes are made for its queries, if that measures better.
    pub(crate) codes: bool,
}

impl QuerySampleParams {
    /// That of an input, if it has one.
    ///
    /// # Errors
    /// [`BuildError::Parameter`] for rows of another shape than the vectors', or too few of them.
    pub(crate) fn of(input: Input<'_>, is_partitioned: bool) -> Result<Option<Self>, BuildError> {
        let Some(sample) = input.query_sample else { return Ok(None) };
        let refused = |parameter, found: String, expected: String| {
            Err(BuildError::Parameter { parameter, found, expected })
        };
        let (dim, dtype): (usize, DType) = (input.vectors.dim(), input.vectors.dtype());
        if sample.dim() != dim {
            let expected = format!("{dim}, as --base has");
            return refused("--query-sample: dimension", sample.dim().to_string(), expected);
        }
        if sample.dtype() != dtype {
            let expected = format!("{dtype}, as --base has");
            return refused("--query-sample: element type", sample.dtype().to_string(), expected);
        }
        if sample.len() < ROWS_MIN {
            let expected = format!(
                "{ROWS_MIN} or more: a tenth, {HELD_BACK_MIN} at least, is held back for calibration"
            );
            return refused("--query-sample: number of rows", sample.len().to_string(), expected);
        }
        if is_partitioned {
            let expected = "no --partition-by, which decides itself which vectors share lists".to_owned();
            return refused("--query-sample", sample.name(), expected);
        }
        if input.documents.is_some() {
            let expected = "no --documents: a query of documents is many vectors".to_owned();
            return refused("--query-sample", sample.name(), expected);
        }
        let depth = DEPTH.min(input.vectors.len());
        Ok(Some(QuerySampleParams { queries: sample.len(), depth, codes: false }))
    }

    /// How it is called in fingerprints.
    pub(crate) fn text(self) -> String {
        let codes = if self.codes { "codes that know queries" } else { "plain codes" };
        format!(
            "{} rows, {} held back, {} neighbours, {codes}",
            self.queries,
            held_back(self.queries),
            self.depth
        )
    }

    /// Rows that shape lists, at most [`SHAPING_MAX`], ascending.
    pub(crate) fn shaping_rows(self) -> Vec<u64> {
        let may: Vec<u64> = (0..self.queries).filter(|&row| !is_held_back(row, self.queries)).collect();
        let all = may.len() as u64; // CAST: widening
        let count = all.min(SHAPING_MAX);
        (0..count).map(|at| may[(at * all / count) as usize]).collect() // CAST: less than their number
    }

    /// Rows that codes are made for, at most [`CODING_MAX`] of those that shape lists, ascending.
    pub(crate) fn coding_rows(self) -> Vec<u64> {
        let shaping = self.shaping_rows();
        let count = shaping.len().min(CODING_MAX as usize); // CAST: usize is 64 bits
        (0..count).map(|at| shaping[at * shaping.len() / count]).collect()
    }

    /// Queries that shape lists.
    pub(crate) fn shaping(self) -> u64 {
        (self.queries - held_back(self.queries)).min(SHAPING_MAX)
    }
}

/// Rows of a sample of `queries` rows that are held back.
fn held_back(queries: u64) -> u64 {
    (queries / HELD_BACK_OF).max(HELD_BACK_MIN).min(queries)
}

/// Where run number `run` of `of` rows begins.
fn run_start(run: u64, of: u64) -> u64 {
    (u128::from(run) * u128::from(of) / u128::from(RUNS)) as u64 // CAST: no more than `of`
}

/// The run of a row, of `of` rows.
fn run_of(row: u64, of: u64) -> u64 {
    // CAST: fewer than the runs
    (((u128::from(row) + 1) * u128::from(RUNS) - 1) / u128::from(of)) as u64
}

/// Whether a row is held back: the first of each run are.
fn is_held_back(row: u64, queries: u64) -> bool {
    let (run, held) = (run_of(row, queries), held_back(queries));
    row - run_start(run, queries) < run_start(run + 1, held) - run_start(run, held)
}

/// Numbers of the rows of a sample of `queries` rows that shape nothing, ascending: a tenth of them, 1 000 at least.
pub(crate) fn held_back_rows(queries: u64) -> impl Iterator<Item = u64> {
    let all: Range<u64> = 0..queries;
    all.filter(move |&row| is_held_back(row, queries))
}

/// Numbers of the rows of a sample of `queries` rows that the caller calibrates with, ascending: those that are held back, 3 000 of
/// them at most, spread over all.
pub fn calibrating_rows(queries: u64) -> impl Iterator<Item = u64> {
    let held = held_back(queries);
    let count = calibrating(queries);
    let part = move |at: u64| u128::from(at) * u128::from(count) / u128::from(held.max(1));
    (0..).zip(held_back_rows(queries)).filter(move |&(at, _)| part(at) < part(at + 1)).map(|(_, row)| row)
}

/// Queries that the caller calibrates with.
pub(crate) fn calibrating(queries: u64) -> u64 {
    held_back(queries).min(CALIBRATING_MAX)
}

/// The half, 0 or 1, of number `at` of `count` queries that shape lists: runs of them are in one and the other by turns.
pub(crate) fn half_of(at: usize, count: usize) -> u64 {
    run_of(at as u64, count as u64) % 2 // CAST: widening
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_is_held_back_and_shapes_nothing() {
        for (queries, expected) in [(2000, 1000), (10_000, 1000), (25_003, 2500), (400_000, 40_000)] {
            let held: Vec<u64> = held_back_rows(queries).collect();
            assert_eq!(held.len() as u64, expected, "{queries}");
            let params = QuerySampleParams { queries, depth: DEPTH, codes: true };
            let shaping = params.shaping_rows();
            assert_eq!(shaping.len() as u64, (queries - expected).min(SHAPING_MAX), "{queries}");
            assert_eq!(shaping.len() as u64, params.shaping());
            assert!(shaping.is_sorted_by(|a, b| a < b) && shaping.iter().all(|row| *row < queries));
            assert!(shaping.iter().all(|row| held.binary_search(row).is_err()), "{queries}");
        }
    }

    #[test]
    fn few_calibrate_and_they_are_spread_over_those_held_back() {
        for queries in [2000, 25_003, 30_000, 400_000] {
            let held: Vec<u64> = held_back_rows(queries).collect();
            let some: Vec<u64> = calibrating_rows(queries).collect();
            assert_eq!(some.len(), held.len().min(3000), "{queries}");
            assert_eq!(some.len() as u64, calibrating(queries));
            assert!(
                some.is_sorted_by(|a, b| a < b) && some.iter().all(|row| held.binary_search(row).is_ok())
            );
            let last = some[some.len() - 1];
            assert!(some[0] < queries / 30 && last >= queries - queries / 30 - 1, "{queries}: to {last}");
        }
    }

    /// Where each query comes twice, only at borders of runs are twins on both sides.
    #[test]
    fn twins_are_on_one_side() {
        for queries in [2000, 25_000, 400_000] {
            let borders = (0..queries / 2)
                .filter(|twin| is_held_back(2 * twin, queries) != is_held_back(2 * twin + 1, queries));
            assert!(borders.count() as u64 <= 2 * RUNS, "{queries}");
        }
        for count in [1000, 9000, 20_000] {
            let halves: Vec<u64> = (0..count).map(|at| half_of(at, count)).collect();
            assert!(halves.chunks(2).filter(|twins| twins[0] != twins[1]).count() as u64 <= RUNS);
            let other = halves.iter().sum::<u64>() as usize;
            assert!(other.abs_diff(count / 2) <= count / 100, "{other} of {count}");
        }
    }
}
