//! Reads back what was written, then switches to it with one rename.
use serde::Serialize;
use spandrel_index::HeadSpace;
use spandrel_index::format::{
    AttributeEntry, BODY_AT, BuildRecord, Manifest, PartitionEntry, SearchDefault, SectionEntry, SectionKind,
    SegmentEntry, hash_hex, publish_manifest,
};
use spandrel_io::{Store, StoreError, hash_blob};

use super::section::Layouts;
use crate::BuildError;
use crate::checkpoint::{Checkpoint, ListStats, Section};
use crate::documents::DocumentsParams;
use crate::kept::stats_name;
use crate::measured::SEARCH_DEFAULT;
use crate::partition::OWN_ROWS_MIN;
use crate::state::BuildState;

/// What `build-stats-N.json` holds.
#[derive(Debug, Serialize)]
struct Stats<'a> {
    build_seconds: f64,
    threads: usize,
    memory_bytes: u64,
    seconds: &'a [(String, f64)],
    lists: &'a ListStats,
}

/// Every section of the index, finished.
fn sections(checkpoint: &Checkpoint) -> impl Iterator<Item = &Section> {
    let written = checkpoint.written.iter().flat_map(|written| &written.sections);
    let graph = checkpoint.graph.iter().filter_map(|graph| graph.section.as_ref());
    let attributes = checkpoint.attributes.iter().flatten();
    let vectors = written.chain(&checkpoint.column).chain(&checkpoint.documents);
    checkpoint.model.iter().chain(vectors).chain(graph).chain(&checkpoint.ids).chain(attributes)
}

/// Reads every section back and compares it with what was written.
pub(crate) fn verify(state: &BuildState<'_>) -> Result<(), BuildError> {
    let (context, target) = (state.context, state.target());
    context.progress.phase("verify", sections(&state.done).map(|s| s.bytes).sum(), "bytes");
    for section in sections(&state.done) {
        context.check_stop()?;
        verify_section(target.store, section)?;
        context.progress.advance(section.bytes);
    }
    Ok(())
}

fn verify_section(store: &dyn Store, section: &Section) -> Result<(), BuildError> {
    let found = hash_blob(&*store.open(&section.file)?, BODY_AT).map_err(StoreError::from)?;
    if found.bytes != section.bytes || hash_hex(found.hash) != section.hash {
        let what = format!(
            "read back {} bytes with hash {}, wrote {} with {}",
            found.bytes,
            hash_hex(found.hash),
            section.bytes,
            section.hash
        );
        return Err(BuildError::Scratch { path: store.path(&section.file), what });
    }
    Ok(())
}

/// What the index says of itself.
pub(crate) fn manifest(state: &BuildState<'_>) -> Manifest {
    let (params, checkpoint) = (state.params, &state.done);
    let (checked, written, target) = (state.checked(), state.written(), state.target());
    let usual = SearchDefault { max_lists: params.max_lists_default(), ..SEARCH_DEFAULT };
    Manifest {
        version: target.version,
        uuid: hash_hex(target.uuid),
        metric: params.metric.to_string(),
        dtype: params.dtype.to_string(),
        dim: params.dim,
        id_bytes: Layouts::new(params, checked).id_bytes.get(),
        head_space: HeadSpace::of(params.metric, checked.norm_max),
        search_default: usual,
        column: (params.column.as_ref().zip(checked.column_hash.as_ref()))
            .map(|(column, hash)| column.entry(hash.clone())),
        documents: params.documents.as_ref().map(DocumentsParams::entry),
        embedding: params.embedding.clone(),
        recall: checkpoint.calibrated.as_ref().and_then(|found| found.recall.clone()),
        build: BuildRecord {
            input_hash: checked.input_hash.clone(),
            attributes_hash: checked.attributes_hash.clone(),
            seed: params.seed,
            lists: params.lists,
            replicas: params.replicas.to_string(),
            max_replicas: params.max_copies,
            heads: params.heads.to_string(),
            code: params.code.to_string(),
            codebooks: params.codebooks_hash(),
            binariser: params.binariser.clone(),
            codes: params.codes,
            kernels: params.kernels().to_owned(),
            query_sample: checkpoint.sampled.as_ref().map(|sampled| sampled.record.clone()),
        },
        segments: vec![SegmentEntry {
            uuid: hash_hex(target.uuid),
            heads_of: None,
            vectors: params.vectors,
            lists: u64::from(written.lists),
            partition: partition_entry(state),
            sections: entries(state),
        }],
    }
}

/// How lists follow the values of an attribute, once they are written.
pub(super) fn partition_entry(state: &BuildState<'_>) -> Option<PartitionEntry> {
    let (by, done) = state.params.partition.as_ref().zip(state.done.partitioned.as_ref())?;
    let written = state.written();
    Some(PartitionEntry {
        attribute: by.name.clone(),
        own_vectors_min: OWN_ROWS_MIN,
        own_values: u64::from(done.own),
        shared_lists: u64::from(written.shared_lists),
        shared_vectors: written.shared_vectors,
    })
}

/// Writes statistics and manifest, and switches to them.
pub(crate) fn publish(state: &BuildState<'_>) -> Result<Manifest, BuildError> {
    let (params, checkpoint, store) = (state.params, &state.done, state.target().store);
    let manifest = manifest(state);
    let stats = Stats {
        build_seconds: checkpoint.seconds.iter().map(|(_, seconds)| seconds).sum(),
        threads: params.threads,
        memory_bytes: params.memory_bytes,
        seconds: &checkpoint.seconds,
        lists: &state.written().stats,
    };
    let stats = serde_json::to_vec_pretty(&stats).map_err(std::io::Error::other)?;
    store.replace(&stats_name(manifest.version), &stats)?;
    publish_manifest(store, &manifest)?;
    Ok(manifest)
}

/// Sections with their attributes, which come in the order of the schema.
fn entries(state: &BuildState<'_>) -> Vec<SectionEntry> {
    let mut attributes = state.params.attributes.iter();
    let entry = |section: &Section| {
        let is_attribute = section.kind == SectionKind::Attributes.name();
        let attribute = is_attribute.then(|| attributes.next()).flatten().map(|attribute| AttributeEntry {
            name: attribute.name.clone(),
            kind: attribute.kind.to_string(),
            resident: attribute.resident,
        });
        SectionEntry { required: attribute.is_none(), attribute, ..entry(section) }
    };
    sections(&state.done).map(entry).collect()
}

fn entry(section: &Section) -> SectionEntry {
    SectionEntry {
        kind: section.kind.clone(),
        column: section.column.clone(),
        attribute: None,
        required: true,
        file: section.file.clone(),
        bytes: section.bytes,
        hash: section.hash.clone(),
    }
}
