//! The comparison for programs.
use serde_json::{Map, Value, json};

use super::equal_recall::{RECALLS, qps_at};
use super::series::{Comparison, Series};
use crate::figures::written;

/// The runs with their points, their rates at equal recall, and what makes them unlike.
pub fn json(comparison: &Comparison) -> Value {
    let rates = |series: &Series| -> Map<String, Value> {
        let rate = |recall: f64| qps_at(&series.recall_qps(), recall).rate();
        RECALLS.into_iter().map(|recall| (format!("{recall:.2}"), rate(recall).into())).collect()
    };
    let run = |series: &Series| json!({ "name": series.name, "points": written(&series.points), "qps_at": rates(series) });
    json!({ "runs": comparison.series.iter().map(run).collect::<Vec<_>>(), "cautions": comparison.cautions() })
}
