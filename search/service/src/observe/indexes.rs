//! Metrics that follow from looking at the indexes, at the moment of asking.
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::recall::Measured;
use crate::registry::Registry;
use crate::served::Served;

/// The indexes being served.
pub(crate) struct Indexes(pub(crate) Arc<Registry>);

impl std::fmt::Debug for Indexes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Indexes")
    }
}

/// Recall as it is measured, with its interval of 95 %.
fn recall(encoder: &mut DescriptorEncoder<'_>, all: &[Arc<Served>]) -> Result<(), std::fmt::Error> {
    let measured: Vec<(&str, Measured)> = all
        .iter()
        .flat_map(|served| served.measured().into_iter().map(|of| (served.config.name.as_str(), of)))
        .collect();
    let mut gauge = |name: &str, help: &str, of: fn(&Measured) -> f64| {
        let empty = ConstGauge::new(0.0);
        let mut metric = encoder.encode_descriptor(name, help, None, empty.metric_type())?;
        for (index, measured) in &measured {
            let (k, target) = (measured.asked.k.to_string(), measured.asked.target.to_string());
            let labels = [("index", *index), ("k", k.as_str()), ("target", target.as_str())];
            ConstGauge::new(of(measured)).encode(metric.encode_family(&labels)?)?;
        }
        Ok::<_, std::fmt::Error>(())
    };
    let help = "Recall of the last queries that were compared with every vector";
    gauge("recall", help, |of| of.estimate.recall)?;
    gauge("recall_low", "Lower end of its interval of 95 %", |of| of.estimate.low)?;
    gauge("recall_high", "Upper end of its interval of 95 %", |of| of.estimate.high)?;
    // CAST: shown as numbers
    gauge("recall_queries", "Queries that it was measured with", |of| of.estimate.queries as f64)?;
    let help = "1 where recall is under its target with confidence, the upper end of the interval below it";
    gauge("recall_under_target", help, |of| f64::from(u8::from(of.is_under())))?;
    let help =
        "What queries are taken to miss, divided by what those miss that the index was calibrated with";
    gauge("recall_misses", help, |of| of.asked.misses)
}

impl Collector for Indexes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let all = self.0.all();
        let mut gauge = |name: &str, help: &str, of: &dyn Fn(&crate::served::Served) -> f64| {
            let empty = ConstGauge::new(0.0);
            let mut metric = encoder.encode_descriptor(name, help, None, empty.metric_type())?;
            for served in &all {
                let labels = [("index", served.config.name.as_str())];
                ConstGauge::new(of(served)).encode(metric.encode_family(&labels)?)?;
            }
            Ok::<_, std::fmt::Error>(())
        };
        // CAST: shown as numbers
        gauge("index_version", "Version being served", &|s| s.version().number as f64)?;
        gauge("index_vectors", "Vectors in the index", &|s| s.index().vectors() as f64)?;
        gauge("queries_in_flight", "Queries waiting or being searched", &|s| s.admission.in_flight() as f64)?;
        gauge("queue_delay_seconds", "Expected time in the queue of a query that comes now", &|s| {
            s.admission.delay(s.engine()).as_secs_f64()
        })?;
        let help = "Lists and pages left out because they are damaged, 1000 at most";
        gauge("index_quarantined", help, &|s| s.engine().damage_count() as f64)?;
        recall(&mut encoder, &all)?;
        let threads = self.0.threads();
        let alive = ConstGauge::new(threads.alive as f64);
        let help = "Search threads that answer queries";
        alive.encode(encoder.encode_descriptor("search_threads", help, None, alive.metric_type())?)?;
        let replaced = ConstCounter::new(threads.replaced);
        let help = "Search threads that broke down and were replaced";
        let name = "search_threads_replaced";
        replaced.encode(encoder.encode_descriptor(name, help, None, replaced.metric_type())?)?;
        let empty = ConstGauge::new(0.0);
        let help = "Bytes of memory by part of the index";
        let mut metric = encoder.encode_descriptor("index_memory_bytes", help, None, empty.metric_type())?;
        for served in &all {
            for (part, bytes) in served.memory() {
                let labels = [("index", served.config.name.as_str()), ("part", part)];
                ConstGauge::new(bytes as f64).encode(metric.encode_family(&labels)?)?; // CAST: as above
            }
        }
        Ok(())
    }
}
