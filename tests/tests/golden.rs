//! Indexes written by released versions and kept: every release must open them, and must still write the
//! newest of them byte for byte.
//!
//! `fixtures/FORMAT-NAME/` holds the input, the ids, the index as scalar kernels write it, which every machine has, and
//! `digests`: a hash of the index that each faster variant writes. A fixture of a released version is never
//! written again. When a release writes other bytes on purpose (a new format version, or lists formed
//! differently), add a fixture: give it a name in [`FIXTURES`], mark the old one as not current, and run
//! `cargo test -p spandrel-tests -- --ignored write_missing_fixtures`, which leaves those that exist alone, on a machine
//! with AVX-512.
//! `2.0-refused` is what names an index of format 2.0, which no release was made with.
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use spandrel_builder::BuildConfig;
use spandrel_builder::filing::ReplicaRule;
use spandrel_datasets::{Rows, VectorFile, VectorWriter};
use spandrel_engine::{CalibrateParams, calibrate};
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::{Manifest, OpenError, current};
use spandrel_index::kernels::Variant;
use spandrel_index::{DType, Index, Metric, Tier};
use spandrel_io::FolderStore;
use spandrel_tests::{Base, CellRows, LIMITS, clustered, config, foreign};
use tempfile::TempDir;
use xxhash_rust::xxh3::Xxh3;

use crate::support::{
    assert_exact, assert_same, copy_folder, every_list, identity, open_engine, verify_index,
};

struct Fixture {
    name: &'static str,
    metric: Metric,
    dtype: DType,
    replicas: ReplicaRule,
    code: CodeSpec,
    codes: Tier,
    own_ids: bool,
    attributes: bool,
    /// Whether codes are made for a sample of queries.
    queries: bool,
    /// Whether this release writes these very bytes.
    current: bool,
}

const FIXTURES: [Fixture; 8] = [
    Fixture {
        name: "4.0-u8-l2-attributes",
        metric: Metric::L2,
        dtype: DType::U8,
        replicas: ReplicaRule::None,
        code: CodeSpec::Full,
        codes: Tier::Ssd,
        own_ids: true,
        attributes: true,
        queries: false,
        current: true,
    },
    Fixture {
        name: "4.0-u8-l2",
        metric: Metric::L2,
        dtype: DType::U8,
        replicas: ReplicaRule::Soar,
        code: CodeSpec::Full,
        codes: Tier::Ssd,
        own_ids: false,
        attributes: false,
        queries: false,
        current: true,
    },
    Fixture {
        name: "4.0-f32-cosine",
        metric: Metric::Cosine,
        dtype: DType::F32,
        replicas: ReplicaRule::Rng,
        code: CodeSpec::Full,
        codes: Tier::Ssd,
        own_ids: true,
        attributes: false,
        queries: false,
        current: true,
    },
    Fixture {
        name: "4.0-u8-l2-axes",
        metric: Metric::L2,
        dtype: DType::U8,
        replicas: ReplicaRule::None,
        code: CodeSpec::Axes { bytes: 8 },
        codes: Tier::Memory,
        own_ids: false,
        attributes: false,
        queries: false,
        current: true,
    },
    Fixture {
        name: "4.0-f16-ip-rabitq",
        metric: Metric::InnerProduct,
        dtype: DType::F16,
        replicas: ReplicaRule::None,
        code: CodeSpec::RaBitQ { bits: 3 },
        codes: Tier::Ssd,
        own_ids: true,
        attributes: false,
        queries: false,
        current: true,
    },
    Fixture {
        name: "4.0-i8-l2-pq",
        metric: Metric::L2,
        dtype: DType::I8,
        replicas: ReplicaRule::None,
        code: CodeSpec::Products { quantisers: 3, bits: 4, rotated: true, uniform: false },
        codes: Tier::Memory,
        own_ids: false,
        attributes: false,
        queries: false,
        current: true,
    },
    Fixture {
        name: "4.0-f16-ip-bits",
        metric: Metric::InnerProduct,
        dtype: DType::F16,
        replicas: ReplicaRule::None,
        code: CodeSpec::Recurrent { bits: 32, codes: 2, symmetric: false },
        codes: Tier::Memory,
        own_ids: false,
        attributes: false,
        queries: false,
        current: true,
    },
    Fixture {
        name: "4.0-u8-l2-axes-queries",
        metric: Metric::L2,
        dtype: DType::U8,
        replicas: ReplicaRule::None,
        code: CodeSpec::Axes { bytes: 8 },
        codes: Tier::Memory,
        own_ids: false,
        attributes: false,
        queries: true,
        current: true,
    },
];

const DIM: usize = 8;
const VECTORS: usize = 150;

impl Fixture {
    /// Whether its bytes are the same with all kernels: floats round differently under others.
    fn is_exact(&self) -> bool {
        self.dtype.is_integer() && self.code == CodeSpec::Full
    }

    fn dir(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(self.name)
    }

    /// Where its curves of recall are written, by a build in a folder.
    fn curves(&self, dir: &Path) -> PathBuf {
        dir.join(format!("{}.curves", self.name))
    }

    fn input(&self) -> PathBuf {
        self.dir().join(match self.dtype {
            DType::F32 => "base.fbin",
            DType::F16 => "base.f16bin",
            DType::I8 => "base.i8bin",
            DType::U8 => "base.u8bin",
        })
    }

    /// Where the sample of queries is.
    fn sample(&self) -> PathBuf {
        self.input().with_file_name("queries").with_extension(self.input().extension().unwrap())
    }

    fn index(&self) -> PathBuf {
        self.dir().join("index")
    }

    fn base(&self) -> Base {
        let read = |path| Rows::read(&VectorFile::open(path).unwrap()).unwrap();
        let attributes = self.attributes.then(|| CellRows::random(VECTORS, 1));
        let query_sample = self.queries.then(|| read(self.sample()));
        Base { ids: self.own_ids.then(own_ids), attributes, query_sample, ..Base::new(read(self.input())) }
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
        copy_folder(&fixture.index(), dir.path());
        let report = verify_index(dir.path(), true).unwrap();
        assert_eq!(report.vectors, VECTORS as u64, "{}", fixture.name);
        assert_eq!(report.replicas > 0, fixture.replicas != ReplicaRule::None, "{}", fixture.name);
        assert!(report.hashes > 0, "{}: {report:?}", fixture.name);
        let attributes = Index::open(dir.path()).unwrap().schema().attributes().len();
        assert_eq!(attributes, if fixture.attributes { 6 } else { 0 }, "{}", fixture.name);

        let base = fixture.base();
        let engine = open_engine(dir.path());
        let index = engine.index();
        assert_eq!((index.code(), index.codes_tier()), (fixture.code, fixture.codes), "{}", fixture.name);
        let model = index.segments()[0].model.as_ref();
        assert_eq!(model.is_some_and(|model| model.knows_queries()), fixture.queries, "{}", fixture.name);
        let answers = engine.search(base.rows.bytes(), &every_list(3)).unwrap();
        assert_eq!(answers.len(), VECTORS);
        for (row, answer) in answers.iter().enumerate() {
            let what = format!("{}: row {row}", fixture.name);
            assert_eq!((answer.neighbours.len(), answer.missing.parts()), (3, 0), "{what}");
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

/// Names the variant, and the folder to build every current fixture in.
const BUILD_BY: &str = "SPANDREL_GOLDEN_BUILD";

/// Builds the current fixtures with the kernels of one variant, in a process that uses no others.
fn build_by(variant: Variant) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "golden::build_in_a_process_of_its_own", "--ignored"])
        .env(BUILD_BY, format!("{variant}={}", dir.path().display()))
        .output()
        .unwrap();
    assert!(child.status.success(), "{variant}: {}", String::from_utf8_lossy(&child.stdout));
    dir
}

#[test]
#[ignore = "a part of the tests of bytes, which start it"]
fn build_in_a_process_of_its_own() {
    let Ok(asked) = std::env::var(BUILD_BY) else { return };
    let (variant, dir) = asked.split_once('=').unwrap();
    Variant::ALL.into_iter().find(|v| v.name() == variant).unwrap().choose();
    for fixture in FIXTURES.iter().filter(|fixture| fixture.current) {
        let out = Path::new(dir).join(fixture.name);
        fixture.base().build(&fixture.config(&out)).unwrap();
        if fixture.is_exact() {
            let index = Index::open(&out).unwrap();
            let curves = calibrate(&out, index.manifest(), CalibrateParams::new(LIMITS), &mut |_| true);
            fs::write(fixture.curves(Path::new(dir)), format!("{:?}", curves.unwrap().unwrap())).unwrap();
        }
    }
}

/// A hash of every byte of an index.
fn digest(dir: &Path) -> String {
    let mut hash = Xxh3::new();
    for (name, bytes) in identity(dir) {
        hash.update(name.as_bytes());
        hash.update(&bytes);
    }
    format!("{:032x}", hash.digest128())
}

impl Fixture {
    /// Hashes of the index by other kernels than scalar ones, by the name of the variant.
    fn digests(&self) -> BTreeMap<String, String> {
        let text = fs::read_to_string(self.dir().join("digests")).unwrap();
        let pair =
            |line: &str| line.split_once(' ').map(|(name, digest)| (name.to_owned(), digest.to_owned()));
        text.lines().map(|line| pair(line).unwrap()).collect()
    }
}

#[test]
fn the_current_release_writes_the_newest_fixtures_byte_for_byte() {
    // A variant that the processor offers and that is not available here fails a test of its own.
    let mut curves = BTreeMap::new();
    for variant in Variant::available() {
        let dir = build_by(variant);
        let mut compared = 0;
        for fixture in FIXTURES.iter().filter(|fixture| fixture.current) {
            let what = format!("{} by {variant}", fixture.name);
            let built = dir.path().join(fixture.name);
            let exact = fixture.is_exact();
            let store = FolderStore::new(&built);
            let kernels = Manifest::open(&store, current(&store).unwrap()).unwrap().build.kernels;
            assert_eq!(kernels, if exact { "exact" } else { variant.name() }, "{what}");
            if exact || variant == Variant::Scalar {
                assert_same(&identity(&built), &identity(&fixture.index()), &what);
            } else if variant == Variant::Neon {
                println!("{what}: not recorded, since no fixture was written on such a machine");
                continue;
            } else {
                assert_eq!(Some(&digest(&built)), fixture.digests().get(variant.name()), "{what}");
            }
            if exact {
                let found = fs::read_to_string(fixture.curves(dir.path())).unwrap();
                assert_eq!(&found, curves.entry(fixture.name).or_insert_with(|| found.clone()), "{what}");
            }
            compared += 1;
        }
        assert!(compared > 0, "{variant}: nothing was compared");
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
    let missing: Vec<_> =
        FIXTURES.iter().filter(|fixture| fixture.current && !fixture.dir().exists()).collect();
    for fixture in &missing {
        fs::create_dir_all(fixture.dir()).unwrap();
        let write = |path: &Path, rows: &Rows| {
            let mut writer = VectorWriter::create(path, fixture.dtype, DIM).unwrap();
            writer.write_rows(rows.bytes()).unwrap();
            writer.finish().unwrap();
        };
        write(&fixture.input(), &clustered(fixture.dtype, DIM, VECTORS, 1));
        if fixture.queries {
            write(&fixture.sample(), &foreign(fixture.dtype, DIM, 2000, 2));
        }
    }
    let scalar = build_by(Variant::Scalar);
    let faster = [Variant::Avx2, Variant::Avx512].map(|variant| (variant, build_by(variant)));
    for fixture in &missing {
        copy_folder(&scalar.path().join(fixture.name), &fixture.index());
        for name in ["LOCK", "build-stats-1.json"] {
            fs::remove_file(fixture.index().join(name)).unwrap();
        }
        if fixture.is_exact() {
            continue;
        }
        let line = |(variant, built): &(Variant, TempDir)| {
            format!("{variant} {}\n", digest(&built.path().join(fixture.name)))
        };
        fs::write(fixture.dir().join("digests"), faster.iter().map(line).collect::<String>()).unwrap();
    }
}
