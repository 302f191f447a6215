//! `spandrel inspect`: what an index consists of.
mod attributes;

pub(super) use attributes::empty;

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use spandrel_index::format::Version;
use spandrel_index::kernels::Variant;
use spandrel_index::{HeadIndex, Index, Segment, versions};

use super::{column, defaults, documents, embedding, partition, query_sample};
use crate::Session;
use crate::figures::{Align, TextTable, process_memory, units, written};

/// Say what an index consists of: vectors, lists, files, memory, how it was built.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Folder of the index.
    #[arg(value_name = "DIR")]
    pub index: PathBuf,
}

pub(super) fn run(args: &InspectArgs, session: &Session) -> anyhow::Result<()> {
    let anonymous = || process_memory().map_or(0, |memory| memory.rss_anon_bytes);
    let before = anonymous();
    let index = Index::open(&args.index)?;
    let added = anonymous().saturating_sub(before);
    let about =
        About { counts: list_lengths(&index), versions: versions(&args.index)?, index: &index, added };
    session.show(&text(&about), &json(&about))
}

/// What is told of an index.
struct About<'a> {
    index: &'a Index,
    /// Entries of each list, the fewest first.
    counts: Vec<u64>,
    /// The versions in the folder.
    versions: Vec<Version>,
    /// Bytes of anonymous memory that came with opening.
    added: u64,
}

/// Entries of each list, the fewest first.
fn list_lengths(index: &Index) -> Vec<u64> {
    let lists = index
        .segments()
        .iter()
        .flat_map(|segment| (0..segment.lists()).map(|list| segment.directory.entry(list)));
    let mut counts: Vec<u64> = lists.map(|entry| entry.count() as u64).collect(); // CAST: widening
    counts.sort_unstable();
    counts
}

/// The segments that have heads of their own.
fn owners(index: &Index) -> impl Iterator<Item = &Segment> {
    let own = |&(number, segment): &(usize, &Segment)| usize::from(segment.heads_of) == number;
    index.segments().iter().enumerate().filter(own).map(|(_, segment)| segment)
}

/// How the heads near a query are found, told once where segments agree.
fn head_index(index: &Index) -> String {
    told_once(owners(index).map(|segment| match *segment.head_index {
        HeadIndex::Flat => "a flat scan".to_owned(),
        HeadIndex::Packed(_) => "a flat scan of packed heads".to_owned(),
        HeadIndex::Graph(_) => "a graph".to_owned(),
    }))
}

/// The versions in the folder beside the open one, oldest first.
fn versions_text(versions: &[Version], open: u64) -> impl Iterator<Item = String> {
    versions.iter().filter(move |version| version.number != open).map(|version| match &version.manifest {
        Ok(manifest) => {
            let on_disk = units::bytes(manifest.index_bytes() as f64); // CAST: shown to three digits
            format!(
                "version {}, {} vectors, {on_disk} on disk",
                version.number,
                units::count(manifest.vectors())
            )
        }
        Err(error) => format!("version {}, which cannot be opened: {error}", version.number),
    })
}

/// What an index consists of, for programs.
fn json(about: &About<'_>) -> Value {
    let About { index, counts, versions, added } = about;
    let (manifest, memory) = (index.manifest(), index.memory());
    let sections: Vec<_> = manifest.sections().collect();
    json!({
        "index": index.dir(),
        "version": manifest.version,
        "versions": versions.iter().map(|version| version.number).collect::<Vec<_>>(),
        "uuid": manifest.uuid,
        "vectors": index.vectors(),
        "dim": index.dim(),
        "dtype": index.dtype().to_string(),
        "metric": index.metric().to_string(),
        "lists": index.lists(),
        "segments": index.segments().len(),
        "entries": counts.iter().sum::<u64>(),
        "list_shortest": counts.first(),
        "list_longest": counts.last(),
        "head_index": head_index(index),
        "build": written(&manifest.build),
        "kernels": Variant::best().name(),
        "search_default": written(&defaults::at_ten(manifest, index.recall())),
        "recall": written(&index.recall()),
        "warnings": defaults::warnings(manifest, index.recall()).chain(attributes::empty(index)).collect::<Vec<_>>(),
        "partitions": partition::json(manifest),
        "memory_bytes": memory.total(),
        "memory_parts": {
            "codes": memory.codes,
            "heads": memory.heads,
            "head_index": memory.head_index,
            "directory": memory.directory,
            "documents": memory.documents,
            "attributes": memory.attributes,
        },
        "memory_added": added,
        "index_bytes": manifest.index_bytes(),
        "sections": written(&sections),
        "attributes": attributes::json(index),
        "column": column::json(index),
        "documents": documents::json(index),
        "embedding": manifest.embedding,
    })
}

/// The same for people.
fn text(about: &About<'_>) -> String {
    let About { index, counts, versions, added } = about;
    let manifest = index.manifest();
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12}{value}"); // writing to a string does not fail
    };
    line("index", format!("{} version {}", index.dir().display(), manifest.version));
    let names = ["kept"].into_iter().chain(std::iter::repeat(""));
    names.zip(versions_text(versions, manifest.version)).for_each(|(name, version)| line(name, version));
    line("uuid", manifest.uuid.clone());
    let (vectors, dim, dtype) = (units::count(index.vectors()), index.dim(), index.dtype());
    line("vectors", format!("{vectors} of {dim} x {dtype}, {}", index.metric()));
    column::text(index).into_iter().for_each(|column| line("column", column));
    documents::text(index).into_iter().for_each(|documents| line("documents", documents));
    line("lists", units::count(index.lists().into()));
    if index.segments().len() > 1 {
        line("segments", units::count(index.segments().len() as u64)); // CAST: a few
    }
    line("entries", entries_text(counts, index.vectors()));
    let build = &manifest.build;
    let bits = told_once(
        owners(index)
            .filter_map(|segment| segment.model.as_ref())
            .map(|model| format!(", {}", model.allotment())),
    );
    line("code", format!("{}{bits}, searched from {}", build.code, build.codes));
    if let Some(hash) = &build.codebooks {
        line("codebooks", format!("given, of hash {hash}"));
    }
    if let Some(hash) = &build.binariser {
        line("binariser", format!("given, of hash {hash}"));
    }
    embedding::text(manifest).into_iter().for_each(|embedding| line("embedding", embedding));
    line("heads", format!("{}, found by {}", build.heads, head_index(index)));
    line("search", defaults::at_ten_text(manifest, index.recall()));
    let names = ["recall"].into_iter().chain(std::iter::repeat(""));
    let source = index.recall().map(|recall| format!("by {}", defaults::source(recall)));
    let early = index.recall().and_then(defaults::ends_early).map(str::to_owned);
    let curves = source
        .into_iter()
        .chain(defaults::curves(manifest, index.recall()))
        .chain(early)
        .chain(defaults::ranges(index.recall()));
    names.zip(curves).for_each(|(name, curve)| line(name, curve));
    let warnings = defaults::warnings(manifest, index.recall()).chain(attributes::empty(index));
    warnings.for_each(|warning| line("warning", warning));
    let (lists, copies) = (units::count(build.lists), build.max_replicas);
    line(
        "built",
        format!(
            "{lists} lists asked for, replicas {} up to {copies} copies, seed {}, {} kernels",
            build.replicas, build.seed, build.kernels
        ),
    );
    line("kernels", format!("{} on this machine", Variant::best()));
    line("input hash", build.input_hash.clone());
    query_sample::text(manifest).into_iter().for_each(|sample| line("sample", sample));
    query_sample::code_text(manifest).into_iter().for_each(|codes| line("codes", codes));
    let names = ["attributes"].into_iter().chain(std::iter::repeat(""));
    names.zip(attributes::texts(index)).for_each(|(name, attribute)| line(name, attribute));
    partition::texts(manifest).for_each(|partition| line("partition", partition));
    line("memory", memory_text(index, *added));
    // CAST: shown to three digits
    let bytes = manifest.index_bytes() as f64;
    let per_vector = units::three_digits(bytes / index.vectors() as f64);
    line("on disk", format!("{}, {per_vector} bytes a vector", units::bytes(bytes)));
    text + "\n" + &sections_table(index).to_string()
}

/// What an open index takes, by part.
fn memory_text(index: &Index, added: u64) -> String {
    let memory = index.memory();
    // CAST: shown to three digits, here and below
    let size = |bytes: usize| units::bytes(bytes as f64);
    let per_vector = memory.total() as f64 / index.vectors() as f64;
    let documents = index.documents().map(|_| format!(", documents {}", size(memory.documents)));
    format!(
        "{}, {} bytes a vector (codes {}, heads {}, head index {}, directory {}{}, attributes {}); opening added {}",
        size(memory.total()),
        units::three_digits(per_vector),
        size(memory.codes),
        size(memory.heads),
        size(memory.head_index),
        size(memory.directory),
        documents.unwrap_or_default(),
        size(memory.attributes),
        units::bytes(added as f64)
    )
}

fn sections_table(index: &Index) -> TextTable {
    let mut table = TextTable::new();
    for (head, align) in
        [("section", Align::Left), ("file", Align::Left), ("bytes", Align::Right), ("hash", Align::Left)]
    {
        table.column(head, align);
    }
    for section in index.manifest().sections() {
        let cells =
            [section.kind.clone(), section.file.clone(), units::count(section.bytes), section.hash.clone()];
        table.row(cells.map(Some).to_vec());
    }
    table
}

/// Each text once, in the order of the first.
fn told_once(texts: impl Iterator<Item = String>) -> String {
    let mut told: Vec<String> = Vec::new();
    for text in texts {
        if !told.contains(&text) {
            told.push(text);
        }
    }
    told.join(" or ")
}

/// How long lists are; `counts` is sorted.
fn entries_text(counts: &[u64], vectors: u64) -> String {
    let total: u64 = counts.iter().sum();
    let at = |share: usize| counts.get(counts.len().saturating_sub(1) * share / 100).copied().unwrap_or(0);
    // CAST: shown to three digits
    let per = |whole: u64| total as f64 / whole.max(1) as f64;
    format!(
        "{} in all, {:.2} copies of a vector; lists of {} to {}, mean {}, median {}, 99th percentile {}",
        units::count(total),
        per(vectors),
        units::count(at(0)),
        units::count(at(100)),
        units::three_digits(per(counts.len() as u64)), // CAST: widening
        units::count(at(50)),
        units::count(at(99))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_lists() {
        let counts: Vec<u64> = (0..=100).map(|count| 20 * count).collect();
        let text = entries_text(&counts, 50_500);
        assert_eq!(
            text,
            "101 000 in all, 2.00 copies of a vector; lists of 0 to 2 000, mean 1 000, median 1 000, 99th percentile 1 980"
        );
    }
}
