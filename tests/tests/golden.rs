//! Indexes written by released versions and kept: every release must open them, and must still write the
//! newest of them byte for byte.
//!
//! `fixtures/FORMAT-NAME/` holds the input, the ids, and the index. A fixture of a released version is never
//! written again. When a release writes other bytes on purpose (a new format version, or lists formed
//! differently), add a fixture: give it a name in [`FIXTURES`], mark the old one as not current, and run
//! `cargo test -p spandrel-tests -- --ignored write_missing_fixtures`, which leaves those that exist alone.
use std::fs;
use std::path::{Path, PathBuf};

use spandrel_builder::BuildConfig;
use spandrel_builder::filing::ReplicaRule;
use spandrel_datasets::{Rows, VectorFile, VectorWriter};
use spandrel_index::kernels::Variant;
use spandrel_index::{DType, Metric};
use spandrel_tests::{Base, clustered, config};

use crate::support::{assert_same, every_list, identity, open_engine, verify_index};

struct Fixture {
    name: &'static str,
    metric: Metric,
    dtype: DType,
    replicas: ReplicaRule,
    own_ids: bool,
    /// Whether this release writes these very bytes.
    current: bool,
}

const FIXTURES: [Fixture; 2] = [
    Fixture {
        name: "1.0-u8-l2",
        metric: Metric::L2,
        dtype: DType::U8,
        replicas: ReplicaRule::Soar,
        own_ids: false,
        current: true,
    },
    Fixture {
        name: "1.0-f32-cosine",
        metric: Metric::Cosine,
        dtype: DType::F32,
        replicas: ReplicaRule::Rng,
        own_ids: true,
        current: true,
    },
];

const DIM: usize = 8;
const VECTORS: usize = 150;

impl Fixture {
    fn dir(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(self.name)
    }

    fn input(&self) -> PathBuf {
        self.dir().join(if self.dtype == DType::U8 { "base.u8bin" } else { "base.fbin" })
    }

    fn index(&self) -> PathBuf {
        self.dir().join("index")
    }

    fn base(&self) -> Base {
        let rows = Rows::read(&VectorFile::open(self.input()).unwrap()).unwrap();
        Base { rows, ids: self.own_ids.then(own_ids) }
    }

    fn config(&self, out: &Path) -> BuildConfig {
        BuildConfig { replicas: self.replicas, ..config(self.metric, out) }
    }
}

/// Ids that need eight bytes and do not ascend.
fn own_ids() -> Vec<u64> {
    (0..VECTORS as u64).map(|row| (row * 37 % 150) << 33 | 5).collect()
}

#[test]
fn every_fixture_opens_verifies_and_answers() {
    for fixture in &FIXTURES {
        // A copy, so that nothing can touch the fixture.
        let dir = tempfile::tempdir().unwrap();
        crate::support::copy_folder(&fixture.index(), dir.path());
        let report = verify_index(dir.path(), true).unwrap();
        assert_eq!(report.vectors, VECTORS as u64, "{}", fixture.name);
        assert!(report.replicas > 0 && report.hashes > 0, "{}: {report:?}", fixture.name);

        let base = fixture.base();
        let engine = open_engine(dir.path());
        let answers = engine.search(base.rows.bytes(), &every_list(3)).unwrap();
        assert_eq!(answers.len(), VECTORS);
        for (row, answer) in answers.iter().enumerate() {
            // A vector that is there more than once is found under the smallest of its ids.
            let same = (0..VECTORS).filter(|&other| base.rows.row(other) == base.rows.row(row));
            let expected = same.map(|row| base.id(row)).min().unwrap();
            let nearest = answer.neighbours[0];
            assert!(nearest.distance.abs() < 1e-6, "{}: row {row}: {nearest:?}", fixture.name);
            if fixture.metric == Metric::L2 {
                assert_eq!(nearest.id, expected, "{}: row {row}", fixture.name);
            }
        }
    }
}

#[test]
fn the_current_release_writes_the_newest_fixtures_byte_for_byte() {
    for fixture in FIXTURES.iter().filter(|fixture| fixture.current) {
        let expected = identity(&fixture.index());
        // The same bytes whatever the kernels, but floats round differently under others.
        let kernels = format!("\"kernels\": \"{}\"", Variant::best());
        let manifest = String::from_utf8_lossy(&expected["manifest-1"]).into_owned();
        if !fixture.dtype.is_integer() && !manifest.contains(&kernels) {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        fixture.base().build(&fixture.config(dir.path())).unwrap();
        assert_same(&identity(dir.path()), &expected, fixture.name);
    }
}

#[test]
#[ignore = "writes fixtures that are not there yet; one that is there stays as it is"]
fn write_missing_fixtures() {
    for fixture in &FIXTURES {
        if fixture.dir().exists() {
            continue;
        }
        fs::create_dir_all(fixture.dir()).unwrap();
        let mut writer = VectorWriter::create(fixture.input(), fixture.dtype, DIM).unwrap();
        writer.write_rows(clustered(fixture.dtype, DIM, VECTORS, 1).bytes()).unwrap();
        writer.finish().unwrap();
        fixture.base().build(&fixture.config(&fixture.index())).unwrap();
        for name in ["LOCK", "build-stats-1.json"] {
            fs::remove_file(fixture.index().join(name)).unwrap();
        }
    }
}
