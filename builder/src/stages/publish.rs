//! Reads back what was written, then switches to it with one rename.
use std::path::Path;

use fs_err as fs;
use serde::Serialize;
use spandrel_index::HeadSpace;
use spandrel_index::format::{
    BODY_AT, BuildRecord, CalibrationPoint, Manifest, SearchDefault, SectionEntry, SectionKind, SegmentEntry,
    hash_hex, manifest_name, publish_manifest, section_name,
};
use spandrel_io::{Store, hash_file_from};

use super::write::Layouts;
use crate::checkpoint::{Checked, Checkpoint, ListStats, Section, Written};
use crate::config::Params;
use crate::progress::Context;
use crate::{BuildError, Target};

/// Pruning of a query that names none: near recall@10 of 0.95 on the sets measured.
const SEARCH_DEFAULT: SearchDefault = SearchDefault { epsilon: Some(0.6), max_lists: 64, rerank_errors: 0.9 };

/// What `build-stats-N.json` holds.
#[derive(Debug, Serialize)]
struct Stats<'a> {
    build_seconds: f64,
    threads: usize,
    memory_bytes: u64,
    seconds: &'a [(String, f64)],
    lists: &'a ListStats,
    calibration: &'a [CalibrationPoint],
}

/// Every section of the index, finished.
fn sections(checkpoint: &Checkpoint) -> impl Iterator<Item = &Section> {
    let written = checkpoint.written.iter().flat_map(|written| &written.sections);
    let graph = checkpoint.graph.iter().filter_map(|graph| graph.section.as_ref());
    checkpoint.model.iter().chain(written).chain(graph).chain(&checkpoint.ids)
}

/// Reads every section back and compares it with what was written.
pub(crate) fn verify(
    checkpoint: &Checkpoint,
    target: Target<'_>,
    context: Context<'_>,
) -> Result<(), BuildError> {
    context.progress.phase("verify", sections(checkpoint).map(|s| s.bytes).sum(), "bytes");
    for section in sections(checkpoint) {
        context.check_stop()?;
        verify_section(&target.dir.join(&section.file), section)?;
        context.progress.advance(section.bytes);
    }
    Ok(())
}

fn verify_section(path: &Path, section: &Section) -> Result<(), BuildError> {
    let found = hash_file_from(path, BODY_AT)?;
    if found.bytes != section.bytes || hash_hex(found.hash) != section.hash {
        let what = format!(
            "read back {} bytes with hash {}, wrote {} with {}",
            found.bytes,
            hash_hex(found.hash),
            section.bytes,
            section.hash
        );
        return Err(BuildError::Scratch { path: path.to_owned(), what });
    }
    Ok(())
}

/// What the index says of itself.
pub(crate) fn manifest(
    params: &Params,
    checkpoint: &Checkpoint,
    (checked, written): (&Checked, &Written),
    target: Target<'_>,
) -> Manifest {
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
        search_cells: checkpoint.calibrated.as_ref().map_or(Vec::new(), |found| found.cells.clone()),
        build: BuildRecord {
            input_hash: checked.input_hash.clone(),
            seed: params.seed,
            lists: params.lists,
            replicas: params.replicas.to_string(),
            max_replicas: params.max_copies,
            heads: params.heads.to_string(),
            code: params.code.to_string(),
            codebooks: params.codebooks_hash(),
            codes: params.codes,
            kernels: params.kernels().to_owned(),
        },
        segments: vec![SegmentEntry {
            uuid: None,
            heads_of: None,
            vectors: params.vectors,
            lists: u64::from(written.lists),
            sections: sections(checkpoint).map(entry).collect(),
        }],
    }
}

/// Writes statistics and manifest, and switches to them.
pub(crate) fn publish(
    params: &Params,
    checkpoint: &Checkpoint,
    lists: &ListStats,
    manifest: &Manifest,
    store: &dyn Store,
) -> Result<(), BuildError> {
    let stats = Stats {
        build_seconds: checkpoint.seconds.iter().map(|(_, seconds)| seconds).sum(),
        threads: params.threads,
        memory_bytes: params.memory_bytes,
        seconds: &checkpoint.seconds,
        lists,
        calibration: checkpoint.calibrated.as_ref().map_or(&[], |found| &found.points),
    };
    let stats = serde_json::to_vec_pretty(&stats).map_err(std::io::Error::other)?;
    store.replace(&stats_name(manifest.version), &stats)?;
    Ok(publish_manifest(store, manifest)?)
}

/// Name of the statistics of a version.
pub(crate) fn stats_name(version: u64) -> String {
    format!("build-stats-{version}.json")
}

/// Removes the files of the versions that `given_up` picks.
pub(crate) fn remove_versions(dir: &Path, given_up: impl Fn(u64) -> bool) -> Result<(), BuildError> {
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if version_of(&name).is_some_and(&given_up) {
            fs::remove_file(dir.join(name.as_ref()))?;
        }
    }
    Ok(())
}

/// The version a file name carries, if it is the name of one of our versioned files, finished or not.
pub(crate) fn version_of(name: &str) -> Option<u64> {
    let name = name.strip_suffix(".partial").unwrap_or(name);
    let (stem, version) = name.rsplit_once('-')?;
    let version: u64 = version.strip_suffix(".json").unwrap_or(version).parse().ok()?;
    let sections = SectionKind::ALL.iter().map(|&kind| section_name(kind, version));
    let others = [manifest_name(version), stats_name(version)];
    (!stem.is_empty() && sections.chain(others).any(|known| known == name)).then_some(version)
}

fn entry(section: &Section) -> SectionEntry {
    SectionEntry {
        kind: section.kind.clone(),
        column: String::new(),
        required: true,
        file: section.file.clone(),
        bytes: section.bytes,
        hash: section.hash.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_from_names() {
        assert_eq!(version_of("heads-3"), Some(3));
        assert_eq!(version_of("codes-12.partial"), Some(12));
        assert_eq!(version_of("build-stats-1.json"), Some(1));
        assert_eq!(version_of("manifest-1"), Some(1));
        // What a crash amid publication leaves.
        assert_eq!(version_of("manifest-1.partial"), Some(1));
        assert_eq!(version_of("build-stats-7.json.partial"), Some(7));
        for name in ["CURRENT", "LOCK", "notes-1", "heads-x", "heads-01", "-1"] {
            assert_eq!(version_of(name), None, "{name}");
        }
    }
}
