//! Indexes written by released versions and kept: every release must open them, and must still write the
//! newest of them byte for byte.
//!
//! `fixtures/FORMAT-NAME/` holds the input, the ids, and the index. A fixture of a released version is never
//! written again. When a release writes other bytes on purpose (a new format version, or lists formed
//! differently), add a fixture: give it a name in [`FIXTURES`], mark the old one as not current, and run
//! `cargo test -p spandrel-tests -- --ignored write_missing_fixtures`, which leaves those that exist alone.
//! `2.0-refused` is what names an index of format 2.0, which no release was made with.
use std::fs;
use std::path::{Path, PathBuf};

use spandrel_builder::BuildConfig;
use spandrel_builder::filing::ReplicaRule;
use spandrel_datasets::{Rows, VectorFile, VectorWriter};
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::{Manifest, OpenError, current};
use spandrel_index::kernels::Variant;
use spandrel_index::{DType, Index, Metric, Tier};
use spandrel_tests::{Base, clustered, config};

use crate::support::{assert_exact, assert_same, every_list, identity, open_engine, verify_index};

struct Fixture {
    name: &'static str,
    metric: Metric,
    dtype: DType,
    replicas: ReplicaRule,
    code: CodeSpec,
    codes: Tier,
    own_ids: bool,
    /// Whether this release writes these very bytes.
    current: bool,
}

const FIXTURES: [Fixture; 5] = [
    Fixture {
        name: "3.0-u8-l2",
        metric: Metric::L2,
        dtype: DType::U8,
        replicas: ReplicaRule::Soar,
        code: CodeSpec::Full,
        codes: Tier::Ssd,
        own_ids: false,
        current: true,
    },
    Fixture {
        name: "3.0-f32-cosine",
        metric: Metric::Cosine,
        dtype: DType::F32,
        replicas: ReplicaRule::Rng,
        code: CodeSpec::Full,
        codes: Tier::Ssd,
        own_ids: true,
        current: true,
    },
    Fixture {
        name: "3.0-u8-l2-axes",
        metric: Metric::L2,
        dtype: DType::U8,
        replicas: ReplicaRule::None,
        code: CodeSpec::Axes { bytes: 8 },
        codes: Tier::Memory,
        own_ids: false,
        current: true,
    },
    Fixture {
        name: "3.0-f16-ip-rabitq",
        metric: Metric::InnerProduct,
        dtype: DType::F16,
        replicas: ReplicaRule::None,
        code: CodeSpec::RaBitQ { bits: 3 },
        codes: Tier::Ssd,
        own_ids: true,
        current: true,
    },
    Fixture {
        name: "3.0-i8-l2-pq",
        metric: Metric::L2,
        dtype: DType::I8,
        replicas: ReplicaRule::None,
        code: CodeSpec::Products { quantisers: 3, bits: 4, rotated: true },
        codes: Tier::Memory,
        own_ids: false,
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
        self.dir().join(match self.dtype {
            DType::F32 => "base.fbin",
            DType::F16 => "base.f16bin",
            DType::I8 => "base.i8bin",
            DType::U8 => "base.u8bin",
        })
    }

    fn index(&self) -> PathBuf {
        self.dir().join("index")
    }

    fn base(&self) -> Base {
        let rows = Rows::read(&VectorFile::open(self.input()).unwrap()).unwrap();
        Base { rows, ids: self.own_ids.then(own_ids) }
    }

    fn config(&self, out: &Path) -> BuildConfig {
        let Fixture { replicas, code, codes, .. } = *self;
        BuildConfig { replicas, code, codes, ..config(self.metric, out) }
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
        assert_eq!(report.replicas > 0, fixture.replicas != ReplicaRule::None, "{}", fixture.name);
        assert!(report.hashes > 0, "{}: {report:?}", fixture.name);

        let base = fixture.base();
        let engine = open_engine(dir.path());
        let index = engine.index();
        assert_eq!((index.code(), index.codes_tier()), (fixture.code, fixture.codes), "{}", fixture.name);
        let answers = engine.search(base.rows.bytes(), &every_list(3)).unwrap();
        assert_eq!(answers.len(), VECTORS);
        for (row, answer) in answers.iter().enumerate() {
            let what = format!("{}: row {row}", fixture.name);
            assert_eq!((answer.neighbours.len(), answer.damaged), (3, 0), "{what}");
            assert_exact(fixture.metric, &base, base.rows.row(row), answer, &what);
            if fixture.metric == Metric::L2 {
                // A vector that is there more than once is found under the smallest of its ids.
                let same = (0..VECTORS).filter(|&other| base.rows.row(other) == base.rows.row(row));
                let expected = same.map(|row| base.id(row)).min().unwrap();
                assert_eq!(answer.neighbours[0].id, expected, "{what}");
            }
        }
    }
}

#[test]
fn the_current_release_writes_the_newest_fixtures_byte_for_byte() {
    for fixture in FIXTURES.iter().filter(|fixture| fixture.current) {
        let manifest = Manifest::open(&fixture.index(), current(&fixture.index()).unwrap()).unwrap();
        // The same bytes whatever the kernels, but floats round differently under others.
        let kernels = manifest.build.kernels;
        let exact = fixture.dtype.is_integer() && fixture.code == CodeSpec::Full;
        assert_eq!(kernels == "exact", exact, "{}", fixture.name);
        if !exact && kernels != Variant::best().name() {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        fixture.base().build(&fixture.config(dir.path())).unwrap();
        assert_same(&identity(dir.path()), &identity(&fixture.index()), fixture.name);
    }
}

#[test]
fn an_older_format_is_refused_by_name() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/2.0-refused");
    let refused = Index::open(&dir).unwrap_err();
    assert!(matches!(refused, OpenError::Version { major: 2, minor: 0, .. }), "{refused:?}");
    assert!(refused.to_string().contains("format 2.0"), "{refused}");
}

#[test]
#[ignore = "writes fixtures that are not there yet: cargo test -p spandrel-tests -- --ignored write_missing_fixtures"]
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
