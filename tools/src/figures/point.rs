//! An operating point: one setting of the search, and what it gave and cost.
use serde::{Deserialize, Serialize};
use serde_json::Value;
use spandrel_engine::{Answer, Work};

/// How lists were chosen.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct PointParams {
    /// A list is read if its head is at most `1 + epsilon` times as far as the nearest one; none: no such bound.
    pub epsilon: Option<f32>,
    /// Most lists read.
    pub max_lists: Option<u32>,
    /// Vectors compared exactly after their codes were scanned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerank: Option<u32>,
    /// Standard errors by which estimates may be too large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerank_errors: Option<f32>,
}

/// Mean microseconds by stage of a query, as [`spandrel_engine::StageTimes`] has them.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the stages are those of `StageTimes`")]
pub struct Stages {
    pub probe_us: f64,
    pub scan_us: f64,
    pub plan_us: f64,
    pub wait_us: f64,
    pub verify_us: f64,
    pub rerank_us: f64,
}

impl Stages {
    /// Names and values, in the order of a query's life.
    pub fn named(&self) -> [(&'static str, f64); 6] {
        [
            ("probe", self.probe_us),
            ("scan", self.scan_us),
            ("plan", self.plan_us),
            ("wait", self.wait_us),
            ("verify", self.verify_us),
            ("rerank", self.rerank_us),
        ]
    }
}

/// One object of `spandrel bench --json`. Counts are means per query.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct OperatingPoint {
    /// What to call the run in a report.
    pub label: String,
    /// The index measured.
    pub index: String,
    /// The machine, in words.
    pub machine: String,
    /// What lists hold.
    #[serde(default)]
    pub code: String,
    /// Where codes were: `memory` or `ssd`.
    #[serde(default)]
    pub codes: String,
    /// Where vectors were.
    #[serde(default)]
    pub vectors: String,
    /// Which distances were given: `exact` or `any`.
    #[serde(default)]
    pub distances: String,
    /// How lists were chosen.
    pub params: PointParams,
    /// Neighbours asked for.
    pub k: usize,
    /// Worker threads; of a server they are not known.
    pub threads: Option<usize>,
    /// Queries in flight on each of them, or on each connection.
    pub in_flight: usize,
    /// The server that answered, if one did.
    #[serde(default)]
    pub server: Option<String>,
    /// How it was asked: `unary`, `batch` or `stream`.
    #[serde(default)]
    pub rpc: Option<String>,
    /// Connections to it.
    #[serde(default)]
    pub connections: Option<usize>,
    /// Queries sent in a second, where the rate was fixed.
    #[serde(default)]
    pub offered_qps: Option<f64>,
    /// Share of those that got no answer.
    #[serde(default)]
    pub refused_share: Option<f64>,
    /// 99th percentile of the time until they knew.
    #[serde(default)]
    pub refused_p99_us: Option<f64>,
    /// What carried out the reads: `uring` or `pread`; of a server it is not known.
    pub io: Option<String>,
    /// Whether reads went past the page cache; of a server it is not known.
    pub direct: Option<bool>,
    /// Share of the true `k` nearest found, a returned vector as near as the true k-th counting as found.
    pub recall: f64,
    /// Queries answered in a second by all threads together.
    pub qps: f64,
    /// Mean time from submission to result.
    pub mean_us: f64,
    /// Median of that time.
    pub p50_us: f64,
    /// Its 95th percentile.
    pub p95_us: f64,
    /// Its 99th percentile.
    pub p99_us: f64,
    /// Its 99.9th percentile.
    pub p999_us: f64,
    /// Lists read.
    pub lists: f64,
    /// Reads issued, neighbouring ones merged.
    pub reads: f64,
    /// Pages read.
    pub pages: f64,
    /// Rounds of reads, each waiting for the one before.
    pub rounds: f64,
    /// Bytes read.
    pub read_bytes: f64,
    /// Vectors whose distance was computed, or estimated from a code.
    pub vectors_scanned: f64,
    /// Vectors that might have been among the nearest, by their estimates.
    #[serde(default)]
    pub candidates: f64,
    /// Vectors compared exactly after their codes were scanned.
    #[serde(default)]
    pub reranked: f64,
    /// Pages found in the cache, where there was one.
    #[serde(default)]
    pub cache_hits: Option<f64>,
    /// Microseconds by stage, where they were taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stages: Option<Stages>,
    /// Distances to heads computed.
    pub head_distances: f64,
    /// Reads per second over those that the disk gave by itself just afterwards, of the same mean size on the index's
    /// own file.
    #[serde(default)]
    pub disk_share: Option<f64>,
    /// Bytes the open index accounts for in memory.
    pub memory_bytes: u64,
    /// Anonymous memory of the whole process once warm, queries and truth included; of a server it is not known.
    pub rss_anon_bytes: Option<u64>,
    /// Bytes of the index on disk.
    pub index_bytes: u64,
    /// How long the build took, where that is known.
    pub build_seconds: Option<f64>,
}

impl OperatingPoint {
    /// A point with nothing but the mean work of these answers.
    pub fn of_work<'a>(answers: impl Iterator<Item = &'a Answer> + Clone) -> OperatingPoint {
        let count = answers.clone().count().max(1) as f64; // CAST: exact to 2^53
        let mean = |of: fn(&Work) -> f64| answers.clone().map(|answer| of(&answer.work)).sum::<f64>() / count;
        OperatingPoint {
            lists: mean(|w| w.lists.into()),
            reads: mean(|w| w.reads.into()),
            pages: mean(|w| w.pages.into()),
            rounds: mean(|w| w.rounds.into()),
            read_bytes: mean(|w| w.read_bytes as f64), // CAST: exact to 2^53
            vectors_scanned: mean(|w| w.vectors_scanned as f64), // CAST: as above
            candidates: mean(|w| w.candidates.into()),
            reranked: mean(|w| w.reranked.into()),
            head_distances: mean(|w| w.head_distances.into()),
            ..OperatingPoint::default()
        }
    }
}

/// An operating point as read back, of ours or of another library's script: only recall and queries per
/// second must be there. Unknown fields are passed over.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of `OperatingPoint` and of the peers' script")]
pub struct Point {
    pub peer: Option<String>,
    pub label: Option<String>,
    pub index: Option<String>,
    pub machine: Option<String>,
    #[serde(default)]
    pub params: Value,
    pub k: Option<u64>,
    pub threads: Option<u64>,
    pub in_flight: Option<u64>,
    pub server: Option<String>,
    pub rpc: Option<String>,
    pub connections: Option<u64>,
    pub offered_qps: Option<f64>,
    pub refused_share: Option<f64>,
    pub refused_p99_us: Option<f64>,
    pub io: Option<String>,
    pub direct: Option<bool>,
    pub recall: f64,
    pub qps: f64,
    /// Range of the repeated runs' rates over their median.
    pub qps_spread: Option<f64>,
    pub mean_us: Option<f64>,
    pub p50_us: Option<f64>,
    pub p95_us: Option<f64>,
    pub p99_us: Option<f64>,
    pub p999_us: Option<f64>,
    pub lists: Option<f64>,
    pub reads: Option<f64>,
    pub pages: Option<f64>,
    pub rounds: Option<f64>,
    pub read_bytes: Option<f64>,
    pub vectors_scanned: Option<f64>,
    pub candidates: Option<f64>,
    pub reranked: Option<f64>,
    pub cache_hits: Option<f64>,
    pub head_distances: Option<f64>,
    pub disk_share: Option<f64>,
    pub memory_bytes: Option<f64>,
    pub rss_anon_bytes: Option<f64>,
    pub index_bytes: Option<f64>,
    #[serde(alias = "build_s")]
    pub build_seconds: Option<f64>,
}

/// Longest text of settings shown.
const SETTINGS_CHARS_MAX: usize = 120;

impl Point {
    /// The settings in a few words: `epsilon=0.2 max_lists=64`.
    pub fn settings(&self) -> String {
        let words = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let text = match &self.params {
            Value::Null => String::new(),
            Value::Object(map) => {
                let set = map.iter().filter(|(_, value)| !value.is_null());
                set.map(|(name, value)| format!("{name}={}", words(value))).collect::<Vec<_>>().join(" ")
            }
            other => words(other),
        };
        shortened(&text, SETTINGS_CHARS_MAX)
    }
}

/// The text, cut to a number of characters.
pub(crate) fn shortened(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max - 1).chain(['…']).collect()
}

impl From<&OperatingPoint> for Point {
    fn from(p: &OperatingPoint) -> Point {
        let text = |t: &String| (!t.is_empty()).then(|| t.clone());
        // CAST: counts and sizes stay far below 2^53, up to which they are exact
        let (wide, float) = (|n: usize| Some(n as u64), |n: u64| Some(n as f64));
        let mut params = serde_json::Map::new();
        if let Some(epsilon) = p.params.epsilon {
            // By way of its shortest text: 0.2 and not 0.20000000298.
            params.insert("epsilon".to_owned(), epsilon.to_string().parse::<f64>().ok().into());
        }
        if let Some(max_lists) = p.params.max_lists {
            params.insert("max_lists".to_owned(), max_lists.into());
        }
        if let Some(count) = p.params.rerank {
            params.insert("rerank".to_owned(), count.into());
        }
        if let Some(errors) = p.params.rerank_errors {
            params.insert("rerank_errors".to_owned(), errors.to_string().parse::<f64>().ok().into());
        }
        Point {
            peer: None,
            label: text(&p.label),
            index: text(&p.index),
            machine: text(&p.machine),
            params: Value::Object(params),
            k: wide(p.k),
            threads: p.threads.and_then(wide),
            in_flight: wide(p.in_flight),
            server: p.server.clone(),
            rpc: p.rpc.clone(),
            connections: p.connections.and_then(wide),
            offered_qps: p.offered_qps,
            refused_share: p.refused_share,
            refused_p99_us: p.refused_p99_us,
            io: p.io.clone(),
            direct: p.direct,
            recall: p.recall,
            qps: p.qps,
            qps_spread: None,
            mean_us: Some(p.mean_us),
            p50_us: Some(p.p50_us),
            p95_us: Some(p.p95_us),
            p99_us: Some(p.p99_us),
            p999_us: Some(p.p999_us),
            lists: Some(p.lists),
            reads: Some(p.reads),
            pages: Some(p.pages),
            rounds: Some(p.rounds),
            read_bytes: Some(p.read_bytes),
            vectors_scanned: Some(p.vectors_scanned),
            candidates: Some(p.candidates).filter(|count| *count > 0.0),
            reranked: Some(p.reranked).filter(|count| *count > 0.0),
            cache_hits: p.cache_hits,
            head_distances: Some(p.head_distances),
            disk_share: p.disk_share,
            memory_bytes: float(p.memory_bytes),
            rss_anon_bytes: p.rss_anon_bytes.and_then(float),
            index_bytes: float(p.index_bytes),
            build_seconds: p.build_seconds,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A point with a value in every field.
    pub(crate) fn example() -> OperatingPoint {
        OperatingPoint {
            label: "ours".to_owned(),
            index: "index".to_owned(),
            machine: "a machine".to_owned(),
            code: "axes:32".to_owned(),
            codes: "memory".to_owned(),
            vectors: "ssd".to_owned(),
            distances: "exact".to_owned(),
            params: PointParams {
                epsilon: Some(0.2),
                max_lists: Some(64),
                rerank: None,
                rerank_errors: Some(1.5),
            },
            k: 10,
            threads: Some(2),
            in_flight: 4,
            server: Some("127.0.0.1:7700".to_owned()),
            rpc: Some("unary".to_owned()),
            connections: Some(4),
            offered_qps: Some(2000.0),
            refused_share: Some(0.1),
            refused_p99_us: Some(900.0),
            io: Some("uring".to_owned()),
            direct: Some(true),
            recall: 0.95,
            qps: 1234.5,
            mean_us: 1.0,
            p50_us: 2.0,
            p95_us: 3.0,
            p99_us: 4.0,
            p999_us: 5.0,
            lists: 40.0,
            reads: 30.5,
            pages: 94.0,
            rounds: 1.0,
            read_bytes: 375_000.0,
            vectors_scanned: 2330.0,
            candidates: 40.0,
            reranked: 20.0,
            cache_hits: Some(3.0),
            stages: Some(Stages { probe_us: 20.0, scan_us: 30.0, ..Stages::default() }),
            head_distances: 900.0,
            disk_share: Some(0.75),
            memory_bytes: 34_000_000,
            rss_anon_bytes: Some(40_000_000),
            index_bytes: 800_000_000,
            build_seconds: Some(33.0),
        }
    }

    #[test]
    fn the_schema_survives_a_round_trip() {
        let point = example();
        let text = serde_json::to_string(&[&point]).unwrap();
        assert_eq!(serde_json::from_str::<Vec<OperatingPoint>>(&text).unwrap(), std::slice::from_ref(&point));
        let loose: Vec<Point> = serde_json::from_str(&text).unwrap();
        assert_eq!(loose, [Point::from(&point)]);
        assert_eq!(loose[0].settings(), "epsilon=0.2 max_lists=64 rerank_errors=1.5");
    }

    #[test]
    fn every_promised_field_is_written() {
        let object = serde_json::to_value(example()).unwrap();
        for field in [
            "params",
            "k",
            "threads",
            "in_flight",
            "io",
            "direct",
            "recall",
            "qps",
            "mean_us",
            "p50_us",
            "p95_us",
            "p99_us",
            "p999_us",
            "lists",
            "reads",
            "pages",
            "rounds",
            "read_bytes",
            "vectors_scanned",
            "candidates",
            "reranked",
            "head_distances",
            "disk_share",
            "memory_bytes",
            "rss_anon_bytes",
            "index_bytes",
            "build_seconds",
        ] {
            assert!(object.get(field).is_some(), "{field}");
        }
    }

    #[test]
    fn settings_are_short() {
        let settings =
            |text: &str| Point { params: serde_json::from_str(text).unwrap(), ..Point::default() }.settings();
        assert_eq!(settings(r#"{"ef": 40, "name": "x", "none": null}"#), "ef=40 name=x");
        assert_eq!(settings(r#""complexity 30""#), "complexity 30");
        assert_eq!(settings("null"), "");
        assert_eq!(settings(&format!("\"{}\"", "y".repeat(1000))).chars().count(), SETTINGS_CHARS_MAX);
    }
}
