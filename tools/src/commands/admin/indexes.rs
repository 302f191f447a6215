//! Which indexes there are, and what they are.
use serde_json::{Value, json};
use spandrel_client::v1;
use spandrel_engine::DocumentDefaults;
use spandrel_index::format::RecallSource;

use super::reach::Server;
use crate::Session;
use crate::commands::defaults::of_documents;
use crate::figures::{Align, TextTable, short, units};

pub(super) async fn list(server: &Server, session: &Session) -> anyhow::Result<()> {
    let listed =
        server.client.admin().list_indexes(v1::ListIndexesRequest {}).await.map_err(server.told())?;
    let indexes = listed.into_inner().indexes;
    let mut table = TextTable::new();
    for (head, align) in [
        ("index", Align::Left),
        ("version", Align::Right),
        ("vectors", Align::Right),
        ("dim", Align::Right),
        ("type", Align::Left),
        ("metric", Align::Left),
        ("damaged", Align::Right),
    ] {
        table.column(head, align);
    }
    for index in &indexes {
        let cells = [
            index.name.clone(),
            index.version.to_string(),
            units::count(index.vectors),
            index.dim.to_string(),
            dtype_name(index.dtype()).to_owned(),
            metric_name(index.metric()).to_owned(),
            index.quarantined.to_string(),
        ];
        table.row(cells.into_iter().map(Some).collect());
    }
    session.show(&table.to_string(), &json!({ "indexes": indexes.iter().map(summary).collect::<Vec<_>>() }))
}

pub(super) async fn describe(server: &Server, name: &str, session: &Session) -> anyhow::Result<()> {
    let about = server.client.describe_index(name).await.map_err(server.told())?;
    let index = about.summary.clone().unwrap_or_default();
    session.show(&description(&about, &index), &description_json(&about, &index))
}

fn tier(tier: v1::Tier) -> &'static str {
    if tier == v1::Tier::Memory { "memory" } else { "ssd" }
}

/// All that is known of an index, a line for each thing.
fn description(about: &v1::DescribeIndexResponse, index: &v1::IndexSummary) -> String {
    // CAST: shown to three digits
    let bytes = |bytes: u64| units::bytes(bytes as f64);
    let shape = format!("{} x {}, {}", index.dim, dtype_name(index.dtype()), metric_name(index.metric()));
    let opened = units::seconds(about.open_seconds.into());
    let served = units::seconds(about.served_seconds as f64); // CAST: as above
    let mut lines = vec![
        ("index", format!("{} version {}", index.name, index.version)),
        ("uuid", index.uuid.clone()),
        ("vectors", format!("{} of {shape}", units::count(index.vectors))),
        ("lists", units::count(about.lists.into())),
        ("code", format!("{}, in {}; vectors in {}", about.code, tier(about.codes()), tier(about.vectors()))),
        ("estimates", if about.estimates { "allowed" } else { "not allowed" }.to_owned()),
        ("memory", memory_text(about)),
        ("disk", bytes(about.disk_bytes)),
        ("search", defaults(about)),
        ("opened", format!("in {opened}, {served} ago")),
    ];
    if !about.path.is_empty() {
        lines.insert(1, ("folder", about.path.clone()));
    }
    lines.extend(about.calibration.iter().flat_map(calibration_text).map(|line| ("promise", line)));
    lines.extend(about.column.iter().map(|of| ("column", column_text(of))));
    lines.extend(about.documents.iter().map(|of| ("documents", documents_text(of))));
    if !about.embedding_versions.is_empty() {
        lines.push(("embedding", format!("answers queries of {}", about.embedding_versions.join(", "))));
    }
    lines.extend(about.attributes.iter().map(|of| ("attribute", attribute_text(of))));
    lines.extend(about.measured_recall.iter().map(|measured| ("recall", recall_text(measured))));
    lines.extend(about.quarantined.iter().map(|part| ("damaged", part.clone())));
    lines.into_iter().map(|(name, value)| format!("{name:<11}{value}\n")).collect()
}

/// What an index takes in memory, in all and by part.
fn memory_text(about: &v1::DescribeIndexResponse) -> String {
    // CAST: shown to three digits
    let bytes = |bytes: u64| units::bytes(bytes as f64);
    let mut memory: Vec<(&String, &u64)> = about.memory_bytes.iter().filter(|(_, of)| **of > 0).collect();
    memory.sort();
    let parts: Vec<String> = memory.iter().map(|(part, of)| format!("{part} {}", bytes(**of))).collect();
    format!("{}: {}", bytes(about.memory_bytes.values().sum()), parts.join(", "))
}

/// The same for programs.
fn description_json(about: &v1::DescribeIndexResponse, index: &v1::IndexSummary) -> Value {
    let mut value = summary(index);
    let more = json!({
        "path": about.path,
        "lists": about.lists,
        "code": about.code,
        "codes": tier(about.codes()),
        "vectors_tier": tier(about.vectors()),
        "estimates": about.estimates,
        "memory_bytes": about.memory_bytes,
        "disk_bytes": about.disk_bytes,
        "default_max_lists": about.default_max_lists,
        "default_epsilon": short(about.default_epsilon),
        "default_rerank_errors": short(about.default_rerank_errors),
        "quarantined": about.quarantined,
        "open_seconds": short(about.open_seconds),
        "served_seconds": about.served_seconds,
        "calibration": about.calibration.as_ref().map(calibration_json),
        "attributes": about.attributes.iter().map(attribute_json).collect::<Vec<_>>(),
        "column": about.column.as_ref().map(column_json),
        "documents": about.documents.as_ref().map(documents_json),
        "embedding_versions": about.embedding_versions,
        "measured_recall": about.measured_recall.iter().map(recall_json).collect::<Vec<_>>(),
    });
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}

/// The column by whose vectors candidates may be compared.
fn column_json(of: &v1::ColumnSummary) -> Value {
    json!({
        "name": of.name,
        "dim": of.dim,
        "dtype": dtype_name(of.dtype()),
        "metric": metric_name(of.metric()),
        "keeps_coarse": of.keeps_coarse,
    })
}

/// The same in a line.
fn column_text(of: &v1::ColumnSummary) -> String {
    let kept = if of.keeps_coarse { "beside" } else { "in place of" };
    let (dtype, metric) = (dtype_name(of.dtype()), metric_name(of.metric()));
    format!("{}: {} x {dtype}, {metric}, {kept} the vectors that are searched", of.name, of.dim)
}

/// The documents that the vectors are tokens of.
fn documents_json(of: &v1::DocumentsSummary) -> Value {
    json!({
        "count": of.count,
        "vectors_min": of.vectors_min,
        "vectors_max": of.vectors_max,
        "vectors_mean": of.vectors_mean,
        "by_encodings": of.by_encodings,
        "default_lists": of.default_lists,
        "default_compared": of.default_compared,
    })
}

/// The same in a line.
fn documents_text(of: &v1::DocumentsSummary) -> String {
    let v1::DocumentsSummary { count, vectors_min, vectors_max, vectors_mean, .. } = of;
    let mean = units::three_digits(*vectors_mean);
    format!("{}, of {vectors_min} to {vectors_max} vectors, {mean} on average", units::count(*count))
}

/// What backs the recall that queries expect, a line for each number of neighbours.
fn calibration_text(of: &v1::Calibration) -> Vec<String> {
    let confidence = of.confidence.map(|share| format!(", confidence {share}")).unwrap_or_default();
    let source = source(of).map_or("other queries".to_owned(), |source| source.to_string());
    let line = |curve: &v1::RecallCurve| {
        let most = curve.points.last().map_or(0.0, |point| point.recall);
        format!("at {}: at most {most:.4}, by {} {source}{confidence}", curve.k, curve.queries)
    };
    of.curves.iter().map(line).collect()
}

/// What filters may ask of an attribute.
fn attribute_text(of: &v1::AttributeSummary) -> String {
    let values = match of.values {
        0 => String::new(),
        values => format!(", {} values", units::count(values)),
    };
    let most: Vec<String> = of
        .most_frequent
        .iter()
        .map(|v1::ValueCount { value, vectors }| format!("{value:?} {}", units::count(*vectors)))
        .collect();
    let most = if most.is_empty() { String::new() } else { format!(": {}", most.join(", ")) };
    let nulls = units::count(of.nulls);
    format!("{} ({}{values}, {nulls} vectors without){most}", of.name, attribute_type(of))
}

fn attribute_json(of: &v1::AttributeSummary) -> Value {
    let value =
        |v1::ValueCount { value, vectors }: &v1::ValueCount| json!({ "value": value, "vectors": vectors });
    let most: Vec<Value> = of.most_frequent.iter().map(value).collect();
    json!({ "name": of.name, "type": attribute_type(of), "values": of.values, "nulls": of.nulls, "most_frequent": most })
}

fn attribute_type(of: &v1::AttributeSummary) -> &'static str {
    match of.r#type() {
        v1::AttributeType::Keyword => "keyword",
        v1::AttributeType::Tags => "tags",
        v1::AttributeType::Bool => "bool",
        v1::AttributeType::I64 => "i64",
        v1::AttributeType::F64 => "f64",
        v1::AttributeType::Timestamp => "timestamp",
        v1::AttributeType::Unspecified => "unknown",
    }
}

fn calibration_json(of: &v1::Calibration) -> Value {
    let point = |point: &v1::RecallPoint| json!({ "lists": point.lists, "rerank_errors": short(point.rerank_errors), "recall": point.recall });
    let curve = |curve: &v1::RecallCurve| json!({ "k": curve.k, "queries": curve.queries, "points": curve.points.iter().map(point).collect::<Vec<_>>() });
    let source = source(of).map_or("unknown".into(), |source| json!(source));
    json!({ "source": source, "confidence": of.confidence, "curves": of.curves.iter().map(curve).collect::<Vec<_>>() })
}

/// The queries behind a calibration; none where a newer server has others.
fn source(of: &v1::Calibration) -> Option<RecallSource> {
    match of.source() {
        v1::CalibrationSource::Rows => Some(RecallSource::Rows),
        v1::CalibrationSource::Queries => Some(RecallSource::Queries),
        v1::CalibrationSource::Unspecified => None,
    }
}

/// Recall as the server measured it.
fn recall_text(measured: &v1::MeasuredRecall) -> String {
    let &v1::MeasuredRecall { k, target, recall, low, high, queries } = measured;
    format!("at {k}: {recall:.4} ({low:.4} to {high:.4}, {queries} queries, target {target})")
}

fn recall_json(measured: &v1::MeasuredRecall) -> Value {
    let &v1::MeasuredRecall { k, target, recall, low, high, queries } = measured;
    json!({ "k": k, "target": target, "recall": recall, "low": low, "high": high, "queries": queries })
}

/// What a query for 10 neighbours does that does not say, or a query document.
fn defaults(about: &v1::DescribeIndexResponse) -> String {
    if let Some(of) = &about.documents {
        return match of.default_compared {
            0 => "as the server does by itself".to_owned(),
            compared => of_documents(DocumentDefaults {
                by_encodings: of.by_encodings,
                lists: of.default_lists,
                compared,
            }),
        };
    }
    let epsilon = match about.default_epsilon {
        epsilon if epsilon.is_finite() => format!("epsilon {epsilon}, "),
        _ => String::new(),
    };
    format!("{epsilon}max-lists {}, rerank-errors {}", about.default_max_lists, about.default_rerank_errors)
}

pub(super) async fn unload(server: &Server, name: &str, session: &Session) -> anyhow::Result<()> {
    let request = v1::UnloadIndexRequest { index: name.to_owned() };
    server.client.admin().unload_index(request).await.map_err(server.told())?;
    session.show(&format!("unloaded {name}\n"), &json!({ "unloaded": name }))
}

/// An index for programs.
pub(super) fn summary(index: &v1::IndexSummary) -> Value {
    json!({
        "name": index.name,
        "version": index.version,
        "uuid": index.uuid,
        "vectors": index.vectors,
        "dim": index.dim,
        "dtype": dtype_name(index.dtype()),
        "metric": metric_name(index.metric()),
        "damaged": index.quarantined,
    })
}

fn dtype_name(dtype: v1::Dtype) -> &'static str {
    match dtype {
        v1::Dtype::F32 => "f32",
        v1::Dtype::F16 => "f16",
        v1::Dtype::I8 => "i8",
        v1::Dtype::U8 => "u8",
        v1::Dtype::Unspecified => "unknown",
    }
}

fn metric_name(metric: v1::Metric) -> &'static str {
    match metric {
        v1::Metric::SquaredL2 => "l2",
        v1::Metric::InnerProduct => "ip",
        v1::Metric::Cosine => "cosine",
        v1::Metric::Unspecified => "unknown",
    }
}
