//! `spandrel inspect`: what an index consists of.
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use spandrel_index::format::Version;
use spandrel_index::{HeadIndex, Index, versions};

use super::defaults;
use crate::Session;
use crate::figures::{Align, TextTable, process_memory, units};

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
    session.print(&text(&index, &versions(&args.index)?, added))
}

/// The versions in the folder beside the open one, oldest first.
fn versions_text(versions: &[Version], open: u64) -> impl Iterator<Item = String> {
    versions.iter().filter(move |version| version.number != open).map(|version| match &version.manifest {
        Ok(manifest) => {
            let vectors = manifest.segments.iter().map(|segment| segment.vectors).sum();
            let on_disk = units::bytes(manifest.index_bytes() as f64); // CAST: shown to three digits
            format!("version {}, {} vectors, {on_disk} on disk", version.number, units::count(vectors))
        }
        Err(error) => format!("version {}, which cannot be opened: {error}", version.number),
    })
}

/// `added` bytes of anonymous memory came with opening.
fn text(index: &Index, versions: &[Version], added: u64) -> String {
    let manifest = index.manifest();
    let build = &manifest.build;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12}{value}"); // writing to a string does not fail
    };
    line("index", format!("{} version {}", index.dir().display(), manifest.version));
    let names = ["kept"].into_iter().chain(std::iter::repeat(""));
    names.zip(versions_text(versions, manifest.version)).for_each(|(name, version)| line(name, version));
    line("uuid", manifest.uuid.clone());
    line(
        "vectors",
        format!(
            "{} of {} x {}, {}",
            units::count(index.vectors()),
            index.dim(),
            index.dtype(),
            index.metric()
        ),
    );
    line("lists", units::count(index.lists().into()));
    if index.segments().len() > 1 {
        line("segments", units::count(index.segments().len() as u64)); // CAST: a few
    }
    let segments = index.segments();
    let lists =
        segments.iter().flat_map(|segment| (0..segment.lists()).map(|list| segment.directory.entry(list)));
    let mut counts: Vec<u64> = lists.map(|entry| entry.count() as u64).collect(); // CAST: widening
    counts.sort_unstable();
    line("entries", entries_text(&counts, index.vectors()));
    // What is true of each segment that has heads of its own, told once where they agree.
    let owners = segments.iter().enumerate().filter(|&(number, of)| usize::from(of.heads_of) == number);
    let owners = owners.map(|(_, segment)| segment);
    let head_index = told_once(owners.clone().map(|segment| match *segment.head_index {
        HeadIndex::Flat => "a flat scan".to_owned(),
        HeadIndex::Packed(_) => "a flat scan of packed heads".to_owned(),
        HeadIndex::Graph(_) => "a graph".to_owned(),
    }));
    let bits = owners.filter_map(|segment| Some(format!(", {}", segment.model.as_ref()?.allotment())));
    let bits = told_once(bits);
    line("code", format!("{}{}, searched from {}", build.code, bits, build.codes));
    if let Some(hash) = &build.codebooks {
        line("codebooks", format!("given, of hash {hash}"));
    }
    line("heads", format!("{}, found by {head_index}", build.heads));
    line("search", defaults::at_ten(manifest));
    let names = ["defaults"].into_iter().chain(std::iter::repeat(""));
    names.zip(defaults::cells(manifest)).for_each(|(name, cell)| line(name, cell));
    let names = ["points"].into_iter().chain(std::iter::repeat(""));
    names.zip(defaults::points(index)).for_each(|(name, point)| line(name, point));
    defaults::warnings(manifest).for_each(|warning| line("warning", warning));
    line(
        "built",
        format!(
            "{} lists asked for, replicas {} up to {} copies, seed {}, {} kernels",
            units::count(build.lists),
            build.replicas,
            build.max_replicas,
            build.seed,
            build.kernels
        ),
    );
    line("input hash", build.input_hash.clone());
    let memory = index.memory();
    // CAST: shown to three digits
    let size = |bytes: usize| units::bytes(bytes as f64);
    let per_vector = memory.total() as f64 / index.vectors() as f64; // CAST: as above
    line(
        "memory",
        format!(
            "{}, {} bytes a vector (codes {}, heads {}, head index {}, directory {}); opening added {}",
            size(memory.total()),
            units::three_digits(per_vector),
            size(memory.codes),
            size(memory.heads),
            size(memory.head_index),
            size(memory.directory),
            units::bytes(added as f64)
        ),
    );
    let bytes = manifest.index_bytes();
    let per_vector = bytes as f64 / index.vectors() as f64; // CAST: as above
    // CAST: as above
    line(
        "on disk",
        format!("{}, {} bytes a vector", units::bytes(bytes as f64), units::three_digits(per_vector)),
    );
    let mut table = TextTable::new();
    for (head, align) in
        [("section", Align::Left), ("file", Align::Left), ("bytes", Align::Right), ("hash", Align::Left)]
    {
        table.column(head, align);
    }
    for section in manifest.segments.iter().flat_map(|s| &s.sections) {
        let cells =
            [section.kind.clone(), section.file.clone(), units::count(section.bytes), section.hash.clone()];
        table.row(cells.map(Some).to_vec());
    }
    let _ = write!(text, "\n{table}");
    text
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
        at(0),
        at(100),
        units::three_digits(per(counts.len() as u64)), // CAST: widening
        at(50),
        at(99)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_lists() {
        let counts: Vec<u64> = (0..=100).collect();
        let text = entries_text(&counts, 2525);
        assert_eq!(
            text,
            "5 050 in all, 2.00 copies of a vector; lists of 0 to 100, mean 50.0, median 50, 99th percentile 99"
        );
    }
}
