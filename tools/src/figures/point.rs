//! An operating point: one setting of the search, and what it gave and cost.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};
use spandrel_engine::{Answer, Filtered, StageTimes, Work};

use super::latency::LatencySummary;
use super::params::Params;
use super::show;

/// One column of a table: which figure it has, what its head is, what it shows of a point.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// The key of the figure in JSON.
    pub key: &'static str,
    /// The head, with the unit.
    pub head: &'static str,
    /// The cell of a point, none where the point does not tell.
    pub cell: fn(&Point) -> Option<String>,
}

/// Declares every figure: what it means, its key in JSON, its type, a value as an example, and, where it has a column,
/// the head of it and how it is written.
macro_rules! figures {
    ($($(#[doc = $doc:literal])+ $(#[serde $serde:tt])? $field:ident: $type:ty = $example:expr $(, $head:literal $show:ident)?;)+) => {
        /// One object of `spandrel bench --json`, or a point of another library's script: only recall and queries per second
        /// must be there, and fields that are not known are passed over. Counts are means per query.
        #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
        pub struct Point {
            $($(#[doc = $doc])+ $(#[serde $serde])? pub $field: $type,)+
        }

        /// Every column, in the order shown.
        pub const COLUMNS: &[Column] = &[
            $($(Column {
                key: stringify!($field),
                head: $head,
                cell: |point| show::$show(&point.$field),
            },)?)+
        ];

        /// Every key of the JSON with what it means.
        pub const KEYS: &[(&str, &str)] = &[$((stringify!($field), concat!($($doc),+).trim_ascii())),+];

        /// A point with a value in every field.
        #[cfg(test)]
        pub(crate) fn example() -> Point {
            Point { $($field: ($example).into()),+ }
        }
    };
}

figures! {
    /// The program that was measured, where it is not this one.
    peer: Option<String> = "peer".to_owned();
    /// What to call the run in a report.
    label: Option<String> = "ours".to_owned();
    /// The index measured.
    index: Option<String> = "index".to_owned();
    /// The machine, in words.
    machine: Option<String> = "a machine".to_owned();
    /// What lists hold.
    code: Option<String> = "axes:32".to_owned();
    /// Where codes were: memory or ssd.
    codes: Option<String> = "memory".to_owned();
    /// Where vectors were: memory or ssd.
    vectors: Option<String> = "ssd".to_owned();
    /// Which distances were given: exact or any.
    distances: Option<String> = "exact".to_owned();
    /// How the search was set. epsilon: a list is read if its head is at most 1 + epsilon times as far from the query as
    /// the nearest head; max_lists: the most lists read; min_head_score: lists with heads of a smaller inner product are not read;
    /// rerank: vectors compared exactly after their codes were scanned; rerank_errors: those whose estimate, less half of this number of its standard errors, is among the k best.
    #[serde(default)]
    params: Params = super::PointParams {
        recall: None, epsilon: Some(0.2), max_lists: Some(64), min_head_score: None, rerank: None, rerank_errors: Some(1.5)
    }, "settings" settings;
    /// Neighbours asked for.
    k: Option<u64> = 10;
    /// Worker threads; of a server they are not known.
    threads: Option<u64> = 2;
    /// Queries each thread works on at the same time: more of them raise the rate and lengthen each query.
    in_flight: Option<u64> = 4, "in flight" count;
    /// The server that answered, if one did.
    server: Option<String> = "127.0.0.1:7700".to_owned();
    /// How a server was asked: unary, a query a call; batch, 64 queries a call; stream, calls that carry many.
    rpc: Option<String> = "unary".to_owned(), "rpc" text;
    /// Connections to the server.
    connections: Option<u64> = 4;
    /// Queries sent in a second, where they were sent at a fixed rate; latencies then count from the moment that a query
    /// was due.
    offered_qps: Option<f64> = 2000.0, "offered" number;
    /// Queries that got no answer, in percent of those sent (in JSON as a share of 1).
    refused_share: Option<f64> = 0.1, "refused %" percent;
    /// 99th percentile of the time until those knew, in microseconds.
    refused_p99_us: Option<f64> = 900.0;
    /// What carried out the reads: uring or pread; of a server it is not known.
    io: Option<String> = "uring".to_owned();
    /// Whether reads went past the page cache; of a server it is not known.
    direct: Option<bool> = true;
    /// Share of the true k nearest vectors found, the mean over all queries. A returned vector that is as near as the true
    /// k-th counts as found. Within a radius: share of all true results of all queries.
    recall: f64 = 0.95, "recall" recall;
    /// Within a radius: the area under precision over recall of the results of all queries, at 100 thresholds on the distance,
    /// as big-ann-benchmarks defines it; where all results are true it is the recall.
    average_precision: Option<f64> = 0.94, "average precision" recall_or_none;
    /// Within a radius: vectors returned per query.
    results: Option<f64> = 70.0, "results" number;
    /// Vectors that match a query's filter.
    matches: Option<f64> = 1200.0, "matches" number;
    /// Shares of the queries by how the vectors that match their filter were searched: exact, codes, lists or post.
    plans: Option<BTreeMap<String, f64>> = BTreeMap::from([("lists".to_owned(), 0.75), ("exact".to_owned(), 0.25)]);
    /// Share of the queries that searched more lists than planned, since those held few matches, in percent (in JSON as a share
    /// of 1).
    widened_share: Option<f64> = 0.1, "widened %" percent;
    /// Mean time to compile a filter, in microseconds, by one thread and with what was read before in memory.
    compile_us: Option<f64> = 80.0, "compile us" number;
    /// Queries answered in a second where each compiles its filter; `qps` is with filters that were compiled before.
    uncached_qps: Option<f64> = 900.0, "uncached QPS" number;
    /// Recall to be expected where the settings are a recall, by the index's calibration; null where nothing is known.
    expected_recall: Option<f64> = 0.94, "expected" recall_or_none;
    /// Queries answered in a second by all threads together.
    qps: f64 = 1234.5, "QPS" rate;
    /// Range of the rates of repeated runs, in percent of their median (in JSON as a share of 1).
    qps_spread: Option<f64> = 0.01, "spread %" percent;
    /// Mean time from submitting a query to its result, in milliseconds (in JSON, microseconds).
    mean_us: Option<f64> = 1.0, "mean ms" millis;
    /// Half of the queries took no longer than this, in milliseconds (in JSON, microseconds).
    p50_us: Option<f64> = 2.0, "p50 ms" millis;
    /// 95 % of the queries took no longer than this, in milliseconds (in JSON, microseconds).
    p95_us: Option<f64> = 3.0, "p95 ms" millis;
    /// 99 % of the queries took no longer than this, in milliseconds (in JSON, microseconds).
    p99_us: Option<f64> = 4.0, "p99 ms" millis;
    /// 99.9 % of the queries took no longer than this, in milliseconds (in JSON, microseconds).
    p999_us: Option<f64> = 5.0, "p99.9 ms" millis;
    /// Lists read per query.
    lists: Option<f64> = 40.0, "lists" number;
    /// Vectors per query whose distance was computed, or estimated from a code.
    vectors_scanned: Option<f64> = 2330.0, "vectors" number;
    /// The same over the vectors of the index, copies counted each time, in percent (in JSON as a share of 1).
    scanned_share: Option<f64> = 0.00233, "scanned %" percent;
    /// Share of the attention mass of all vectors (the softmax of the scaled inner products) that the neighbours returned hold, in
    /// percent (in JSON as a share of 1), where it was asked for.
    attention_mass: Option<f64> = 0.93, "mass %" percent;
    /// Vectors that might be among the nearest, by their estimates, per query.
    candidates: Option<f64> = 40.0, "candidates" number;
    /// Vectors per query compared exactly after their codes were scanned.
    reranked: Option<f64> = 20.0, "reranked" number;
    /// Documents per query compared by MaxSim, where the index is one of documents; `reranked` counts their vectors.
    documents: Option<f64> = 60.0, "documents" number;
    /// Distances to heads computed per query, to choose the lists.
    head_distances: Option<f64> = 900.0, "head dist" number;
    /// Requests to the disk per query, after neighbouring ones were merged.
    reads: Option<f64> = 30.5, "reads" number;
    /// Pages read per query.
    pages: Option<f64> = 94.0, "pages" number;
    /// Pages found in the cache per query, for which nothing was read; reads and bytes are those of the last pass.
    cache_hits: Option<f64> = 3.0, "cached" number;
    /// Rounds of reads per query; each has to wait for the one before.
    rounds: Option<f64> = 1.0, "rounds" number;
    /// Bytes read per query, in thousands (in JSON, bytes).
    read_bytes: Option<f64> = 375_000.0, "kB read" kilobytes;
    /// Reads per second, in percent of the most that the disk was seen to give: in the run itself, or just afterwards in
    /// random reads of the same mean size on the index's own file, 128 at once (in JSON as a share of 1).
    disk_share: Option<f64> = 0.75, "disk %" percent;
    /// Mean microseconds of a query by stage, where they were taken.
    stages: Option<BTreeMap<String, f64>> = BTreeMap::from([("probe_us".to_owned(), 20.0), ("scan_us".to_owned(), 30.0)]);
    /// Bytes the open index accounts for in memory.
    #[serde(default, serialize_with = "whole")]
    memory_bytes: Option<f64> = 34e6;
    /// Anonymous memory of the whole process once warm, queries and truth included, in bytes; of a server it is not known.
    #[serde(default, serialize_with = "whole")]
    rss_anon_bytes: Option<f64> = 40e6;
    /// Bytes of the index on disk.
    #[serde(default, serialize_with = "whole")]
    index_bytes: Option<f64> = 800e6;
    /// How long the build took, in seconds, where that is known.
    #[serde(default, alias = "build_s")]
    build_seconds: Option<f64> = 33.0;
}

/// Bytes are whole numbers, whoever reads them.
fn whole<S: Serializer>(bytes: &Option<f64>, to: S) -> Result<S::Ok, S::Error> {
    match *bytes {
        Some(bytes) if (0.0..1e18).contains(&bytes) => to.serialize_u64(bytes as u64), // CAST: checked just now
        other => other.serialize(to),
    }
}

impl Column {
    /// The column in a sentence or two.
    pub fn about(&self) -> &'static str {
        KEYS.iter().find(|(key, _)| *key == self.key).map_or("", |(_, about)| about)
    }
}

/// The stages of a query, in the order of its life: names, and times in microseconds.
#[expect(clippy::type_complexity, reason = "names beside what they name")]
pub const STAGES: [(&str, fn(&StageTimes) -> f32); 6] = [
    ("probe", |times| times.probe_us),
    ("scan", |times| times.scan_us),
    ("plan", |times| times.plan_us),
    ("wait", |times| times.wait_us),
    ("verify", |times| times.verify_us),
    ("rerank", |times| times.rerank_us),
];

impl Point {
    /// The rate that was reached as fast as answers came; none where queries were sent at a fixed rate, which `qps` then is.
    pub fn reached_qps(&self) -> Option<f64> {
        self.offered_qps.is_none().then_some(self.qps)
    }

    /// A point with nothing but the mean work of these answers, and the mean times of their stages where all have them.
    pub fn of_work<'a>(answers: impl Iterator<Item = &'a Answer> + Clone) -> Point {
        let count = answers.clone().count().max(1) as f64; // CAST: exact to 2^53
        let mean =
            |of: fn(&Work) -> f64| Some(answers.clone().map(|answer| of(&answer.work)).sum::<f64>() / count);
        let times: Option<Vec<&StageTimes>> = answers.clone().map(|answer| answer.stages.as_ref()).collect();
        let stages = times.filter(|times| !times.is_empty()).map(|times| {
            let mean = |of: fn(&StageTimes) -> f32| {
                times.iter().map(|times| f64::from(of(times))).sum::<f64>() / count
            };
            STAGES.into_iter().map(|(name, of)| (format!("{name}_us"), mean(of))).collect()
        });
        let expected = |answer: &Answer| answer.promise.and_then(|promise| promise.expected);
        let expected: Option<f64> = answers.clone().map(expected).sum();
        let filtered: Option<Vec<Filtered>> = answers.clone().map(|answer| answer.filtered).collect();
        let filtered = filtered.filter(|filtered| !filtered.is_empty());
        let of_filtered = |of: fn(&Filtered) -> f64| {
            filtered.as_ref().map(|filtered| filtered.iter().map(of).sum::<f64>() / count)
        };
        let plans = filtered.as_ref().map(|filtered| {
            let mut plans = BTreeMap::new();
            filtered.iter().for_each(|of| *plans.entry(of.plan.to_string()).or_default() += 1.0 / count);
            plans
        });
        Point {
            matches: of_filtered(|of| of.matches as f64), // CAST: exact to 2^53
            widened_share: of_filtered(|of| f64::from(u8::from(of.widened))),
            plans,
            expected_recall: expected.map(|sum| sum / count),
            lists: mean(|w| w.lists.into()),
            reads: mean(|w| w.reads.into()),
            pages: mean(|w| w.pages.into()),
            rounds: mean(|w| w.rounds.into()),
            read_bytes: mean(|w| w.read_bytes as f64), // CAST: exact to 2^53
            vectors_scanned: mean(|w| w.vectors_scanned as f64), // CAST: as above
            candidates: mean(|w| w.candidates.into()).filter(|count| *count > 0.0),
            reranked: mean(|w| w.reranked.into()).filter(|count| *count > 0.0),
            documents: mean(|w| w.documents.into()).filter(|count| *count > 0.0),
            head_distances: mean(|w| w.head_distances.into()),
            stages,
            ..Point::default()
        }
    }

    /// Every figure that is a number, with its key.
    pub fn numbers(&self) -> Vec<(&'static str, f64)> {
        let written = serde_json::to_value(self).unwrap_or_default();
        KEYS.iter().filter_map(|(key, _)| Some((*key, written.get(key)?.as_f64()?))).collect()
    }

    /// The point with these latencies.
    pub fn with_latencies(self, latency: &LatencySummary) -> Point {
        Point {
            mean_us: Some(latency.mean_us),
            p50_us: Some(latency.p50_us),
            p95_us: Some(latency.p95_us),
            p99_us: Some(latency.p99_us),
            p999_us: Some(latency.p999_us),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_survives_a_round_trip() {
        let text = serde_json::to_string(&[example()]).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Point>>(&text).unwrap(), [example()]);
        assert_eq!(example().params.words().unwrap(), "epsilon=0.2 max_lists=64 rerank_errors=1.5");
        assert!(text.contains("\"memory_bytes\":34000000,") && text.contains("\"epsilon\":0.2,"), "{text}");
    }

    #[test]
    fn every_key_is_written_and_explained() {
        let object = serde_json::to_value(example()).unwrap();
        assert_eq!(object.as_object().unwrap().len(), KEYS.len());
        for (key, about) in KEYS {
            assert!(!object[key].is_null() && about.ends_with('.'), "{key}");
        }
        // Keys that scripts of others read.
        for key in
            ["params", "k", "recall", "qps", "p50_us", "p99_us", "reads", "memory_bytes", "index_bytes"]
        {
            assert!(KEYS.iter().any(|(known, _)| *known == key), "{key}");
        }
    }

    #[test]
    fn a_full_point_fills_every_column() {
        for column in COLUMNS {
            assert!((column.cell)(&example()).is_some() && column.about().ends_with('.'), "{}", column.head);
        }
    }

    #[test]
    fn stages_are_told_where_every_answer_has_them() {
        let answer = |probe_us: f32| Answer {
            stages: Some(StageTimes { probe_us, ..StageTimes::default() }),
            ..Answer::default()
        };
        let point = Point::of_work([answer(1.0), answer(3.0)].iter());
        assert_eq!(point.stages.unwrap()["probe_us"], 2.0);
        assert_eq!(Point::of_work([answer(1.0), Answer::default()].iter()).stages, None);
    }
}
