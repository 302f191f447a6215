//! A set of vectors as one index, and as an index of several segments.
use std::fs;
use std::path::Path;

use spandrel_builder::BuildConfig;
use spandrel_datasets::Rows;
use spandrel_engine::{Answer, Engine, SearchParams};
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::{CURRENT, Current, Manifest, SegmentEntry, current, manifest_name};
use spandrel_index::{DType, Metric, Tier, VectorSource};
use spandrel_io::FolderStore;
use spandrel_tests::{Base, clustered, coded, count};
use tempfile::TempDir;

use crate::support::exact_distance;

pub(super) const DIM: usize = 24;
pub(super) const K: usize = 10;
/// Vectors of the parts: of unlike sizes, so that nothing fits by chance.
pub(super) const PARTS: [usize; 3] = [700, 1500, 300];

/// A set of vectors as one index and as an index of segments.
pub(super) struct Union {
    pub(super) base: Base,
    pub(super) queries: Rows,
    pub(super) parts: Vec<Base>,
    pub(super) one: TempDir,
    pub(super) many: TempDir,
}

/// Rows of a set, each part with the longest of all, so that all parts have one head space. Ids are neither dense nor in the
/// order of the parts.
pub(super) fn parts_of(dtype: DType) -> (Base, Vec<Base>) {
    let rows = clustered(dtype, DIM, PARTS.iter().sum(), 1);
    let zero = vec![0; rows.row_bytes()];
    let length = |row: usize| exact_distance(Metric::L2, dtype, &zero, rows.row(row));
    let longest = (0..count(&rows)).max_by(|&a, &b| length(a).total_cmp(&length(b))).unwrap();
    let (mut next, mut parts) = (0, Vec::new());
    let mut id = (0_u64..).map(|number| number * 7919 % 1_000_003);
    for size in PARTS {
        let mut bytes: Vec<u8> = (next..next + size).flat_map(|row| rows.row(row)).copied().collect();
        bytes.extend_from_slice(rows.row(longest));
        next += size;
        let ids = id.by_ref().take(size + 1).collect();
        parts.push(Base::with_ids(Rows::new(dtype, DIM, bytes).unwrap(), ids));
    }
    let bytes = parts.iter().flat_map(|part| part.rows.bytes()).copied().collect();
    let ids = parts.iter().flat_map(|part| part.ids.clone().unwrap()).collect();
    (Base::with_ids(Rows::new(dtype, DIM, bytes).unwrap(), ids), parts)
}

impl Union {
    pub(super) fn build(dtype: DType, config: impl Fn(&Path) -> BuildConfig) -> Union {
        let (base, parts) = parts_of(dtype);
        let [one, many] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        base.build(&config(one.path())).unwrap();
        let built: Vec<TempDir> = parts.iter().map(|_| tempfile::tempdir().unwrap()).collect();
        for (part, dir) in parts.iter().zip(&built) {
            part.build(&config(dir.path())).unwrap();
        }
        merge(&built.iter().map(TempDir::path).collect::<Vec<_>>(), many.path());
        Union { base, queries: clustered(dtype, DIM, 30, 2), parts, one, many }
    }

    /// A small one, with codes in memory.
    pub(super) fn small() -> Union {
        Union::build(DType::U8, |out| coded(Metric::L2, CodeSpec::RaBitQ { bits: 2 }, Tier::Memory, out))
    }
}

pub(super) fn manifest_of(dir: &Path) -> Manifest {
    let store = FolderStore::new(dir);
    Manifest::open(&store, current(&store).unwrap()).unwrap()
}

pub(super) fn publish(dir: &Path, manifest: &Manifest) {
    let bytes = manifest.to_bytes();
    fs::write(dir.join(manifest_name(manifest.version)), &bytes).unwrap();
    fs::write(dir.join(CURRENT), Current::of(manifest.version, &bytes).to_bytes()).unwrap();
}

/// Makes the indexes in `parts` segments of one in `out`.
pub(super) fn merge(parts: &[&Path], out: &Path) {
    let mut manifest = manifest_of(parts[0]);
    let mut segments = Vec::new();
    for (number, dir) in parts.iter().enumerate() {
        let part = manifest_of(dir);
        assert_eq!((part.id_bytes, part.head_space), (manifest.id_bytes, manifest.head_space));
        let mut segment: SegmentEntry = part.segments[0].clone();
        segment.uuid.clone_from(&part.uuid);
        for section in &mut segment.sections {
            let name = format!("{}.{number}", section.file);
            fs::copy(dir.join(&section.file), out.join(&name)).unwrap();
            section.file = name;
        }
        segments.push(segment);
    }
    manifest.uuid = format!("{:032x}", manifest.uuid() ^ 1);
    manifest.segments = segments;
    publish(out, &manifest);
}

/// Ids and the bits of distances.
pub(super) fn found(answers: &[Answer]) -> Vec<Vec<(u64, u32)>> {
    answers.iter().map(|a| a.neighbours.iter().map(|n| (n.id, n.distance.to_bits())).collect()).collect()
}

pub(super) fn search(engine: &Engine, queries: &Rows, params: &SearchParams) -> Vec<Answer> {
    engine.search(queries.bytes(), params).unwrap()
}
