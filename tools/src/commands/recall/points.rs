//! What was measured: the recall of each setting.
use std::path::PathBuf;

use serde::Serialize;
use spandrel_engine::{Answer, RecallEstimate};

use crate::figures::{Align, PointParams, TextTable, process_memory, units};

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    pub(super) index: PathBuf,
    pub(super) version: u64,
    pub(super) vectors: u64,
    /// Where the queries are from; null for rows of the index.
    pub(super) queries: Option<PathBuf>,
    pub(super) k: usize,
    pub(super) points: Vec<Point>,
}

/// The recall of one setting.
#[derive(Debug, Default, Serialize)]
pub(super) struct Point {
    pub(super) params: PointParams,
    queries: usize,
    /// Recall to be expected by the index's calibration; none where nothing is known.
    expected_recall: Option<f64>,
    recall: f64,
    /// Ends of the interval of 95 %.
    recall_low: f64,
    recall_high: f64,
    /// Vectors that match a query's filter, on average.
    #[serde(skip_serializing_if = "Option::is_none")]
    matches: Option<f64>,
    // Means over the queries; sums until all are searched.
    lists: f64,
    codes: f64,
    reranked: f64,
    reads: f64,
    read_bytes: f64,
    /// Of each query so far.
    #[serde(skip)]
    recalls: Vec<f64>,
    /// Recall to be expected of the queries so far, summed; none if nothing is known of one.
    #[serde(skip)]
    expected_sum: Option<f64>,
}

impl Point {
    /// No query counted.
    pub(super) fn new(params: PointParams) -> Point {
        Point { params, expected_sum: Some(0.0), ..Point::default() }
    }

    /// Counts one query.
    pub(super) fn add(&mut self, answer: &Answer, recall: f64) {
        let work = &answer.work;
        self.recalls.push(recall);
        let expected = answer.promise.and_then(|promise| promise.expected);
        self.expected_sum = self.expected_sum.zip(expected).map(|(sum, expected)| sum + expected);
        if let Some(filtered) = answer.filtered {
            *self.matches.get_or_insert_default() += filtered.matches as f64; // CAST: exact to 2^53
        }
        self.lists += f64::from(work.lists);
        self.codes += work.vectors_scanned as f64; // CAST: exact to 2^53, here and below
        self.reranked += f64::from(work.reranked);
        self.reads += f64::from(work.reads);
        self.read_bytes += work.read_bytes as f64;
    }

    /// Once all are counted.
    pub(super) fn finish(&mut self) {
        let RecallEstimate { recall, low, high, queries } = RecallEstimate::of(&self.recalls);
        (self.recall, self.recall_low, self.recall_high, self.queries) = (recall, low, high, queries);
        let count = queries.max(1) as f64; // CAST: a mean
        self.expected_recall = self.expected_sum.map(|sum| sum / count);
        let Point { lists, codes, reranked, reads, read_bytes, matches, .. } = self;
        let sums = [lists, codes, reranked, reads, read_bytes].into_iter().chain(matches);
        sums.for_each(|sum| *sum /= count);
    }
}

pub(super) fn text(measured: &Measured) -> String {
    let Measured { index, version, vectors, queries, k, points } = measured;
    let mut from = match queries {
        Some(path) => path.display().to_string(),
        None => "rows of the index, each leaving itself out".to_owned(),
    };
    let is_filtered = points.iter().any(|point| point.matches.is_some());
    if is_filtered {
        from += ", of those that match the filter";
    }
    let mut table = TextTable::new();
    table.column("", Align::Left);
    for head in ["queries", "expected", "recall", "from", "to"] {
        table.column(head, Align::Right);
    }
    if is_filtered {
        table.column("matches", Align::Right);
    }
    for head in ["lists", "codes", "reranked", "reads", "kB read"] {
        table.column(head, Align::Right);
    }
    for point in points {
        let share = |share: f64| format!("{share:.4}");
        let mut words = point.params.to_string();
        if words.is_empty() {
            words = "as the index is set".to_owned();
        }
        let mut cells = vec![
            Some(words),
            Some(units::count(point.queries as u64)), // CAST: widening
            point.expected_recall.map(share),
            Some(share(point.recall)),
            Some(share(point.recall_low)),
            Some(share(point.recall_high)),
        ];
        if is_filtered {
            cells.push(point.matches.map(units::three_digits));
        }
        cells.extend([
            Some(units::three_digits(point.lists)),
            Some(units::three_digits(point.codes)),
            Some(units::three_digits(point.reranked)),
            Some(units::three_digits(point.reads)),
            Some(units::three_digits(point.read_bytes / 1000.0)),
        ]);
        table.row(cells);
    }
    let memory = process_memory().map(|memory| units::bytes(memory.rss_peak_bytes as f64)); // CAST: shown to three digits
    let memory = memory.map(|peak| format!(", {peak} of memory at the peak")).unwrap_or_default();
    format!(
        "{}, version {version}, {} vectors\nrecall at {k} of {from}, with its interval of 95 %{memory}\n\n{table}",
        index.display(),
        units::count(*vectors)
    )
}
