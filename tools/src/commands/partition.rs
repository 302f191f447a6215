//! How the lists of an index follow an attribute, and what that costs.
use serde_json::{Value, json};
use spandrel_builder::Plan;
use spandrel_index::format::{Manifest, PartitionEntry, SegmentEntry};

use crate::figures::units;

/// Above this share of the vectors in shared lists, searches without the attribute are slow.
const SHARED_MOST: f64 = 0.1;

/// What is planned, for programs.
pub(super) fn plan_json(plan: &Plan) -> Value {
    let Some(partition) = &plan.partition else { return Value::Null };
    json!({ "attribute": partition.attribute, "shared_vectors": partition.shared_vectors })
}

/// What is planned, in a line; none where lists follow no attribute.
pub(super) fn plan_text(plan: &Plan) -> Option<String> {
    let partition = plan.partition.as_ref()?;
    let shared = of_vectors(partition.shared_vectors, plan.vectors);
    Some(format!(
        "by {}: {shared} have values of few vectors, as the first rows say; every query without {} scans them",
        partition.attribute, partition.attribute
    ))
}

/// Of each segment how its lists follow an attribute, for programs.
pub(super) fn json(manifest: &Manifest) -> Value {
    manifest.segments.iter().map(|segment| json!(segment.partition)).collect()
}

/// The same, a line each.
pub(super) fn texts(manifest: &Manifest) -> impl Iterator<Item = String> {
    partitions(manifest).map(|(segment, partition)| {
        let PartitionEntry { attribute, own_vectors_min, own_values, shared_lists, .. } = partition;
        format!(
            "by {attribute}: {} values of {} vectors or more in lists of their own; {} in {} shared lists, which every query \
             without {attribute} scans",
            units::count(*own_values),
            units::count(*own_vectors_min),
            of_vectors(partition.shared_vectors, segment.vectors),
            units::count(*shared_lists),
        )
    })
}

/// A warning for each segment of which queries without the attribute scan much.
pub(super) fn warnings(manifest: &Manifest) -> impl Iterator<Item = String> {
    let is_much = |(segment, partition): &(&SegmentEntry, &PartitionEntry)| {
        partition.shared_vectors as f64 > SHARED_MOST * segment.vectors as f64 // CAST: a ratio
    };
    partitions(manifest).filter(is_much).map(|(segment, partition)| {
        format!(
            "{} have values of {} with fewer than {} vectors: every query without {} scans all of them; an index without \
             --partition-by answers such queries faster",
            of_vectors(partition.shared_vectors, segment.vectors),
            partition.attribute,
            units::count(partition.own_vectors_min),
            partition.attribute
        )
    })
}

fn partitions(manifest: &Manifest) -> impl Iterator<Item = (&SegmentEntry, &PartitionEntry)> {
    manifest.segments.iter().filter_map(|segment| Some((segment, segment.partition.as_ref()?)))
}

fn of_vectors(some: u64, all: u64) -> String {
    let share = 100.0 * some as f64 / all.max(1) as f64; // CAST: shown to three digits
    format!("{} of {} vectors ({} %)", units::count(some), units::count(all), units::three_digits(share))
}
