//! An index that is damaged file by file and mended again.
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::LazyLock;

use spandrel_builder::{BuildConfig, ListCount};
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::{MAIN_COLUMN, Manifest, OpenError, SectionKind, section_name};
use spandrel_index::{DType, Index, Metric, Tier};
use spandrel_tests::{Base, ColumnRows, clustered, coded, config};
use tempfile::TempDir;

use crate::support::identity;

/// Vectors of the small indexes.
pub(super) const VECTORS: usize = 1200;

/// An index in a folder of its own, with what it was built from.
pub(super) struct Whole {
    dir: TempDir,
    built: &'static Built,
    pub(super) base: Base,
}

/// Indexes are built once and kept as bytes, since a build syncs dozens of files.
struct Built {
    name: &'static str,
    files: BTreeMap<String, Vec<u8>>,
    base: Base,
    manifest: Manifest,
}

/// Exact vectors in lists of the given size, or codes in lists like those of the small index.
#[derive(Clone, Copy)]
enum Lists {
    Full(u32),
    Coded(CodeSpec, Tier),
    /// As those, of vectors that a column stands in for.
    WithColumn(CodeSpec, Tier),
    /// On SSD, with two copies of each vector.
    Replicated(CodeSpec),
}

static SMALL: LazyLock<Built> = LazyLock::new(|| Built::new("small", VECTORS, Lists::Full(60), 1));
static OTHER: LazyLock<Built> = LazyLock::new(|| Built::new("other", VECTORS, Lists::Full(60), 2));
static WITH_GRAPH: LazyLock<Built> = LazyLock::new(|| Built::new("with graph", 6000, Lists::Full(1), 1));
static CODES_ON_SSD: LazyLock<Built> =
    LazyLock::new(|| Built::new("codes on ssd", VECTORS, Lists::Coded(RABITQ, Tier::Ssd), 1));
static CODES_IN_MEMORY: LazyLock<Built> =
    LazyLock::new(|| Built::new("codes in memory", VECTORS, Lists::Coded(RABITQ, Tier::Memory), 1));
static OTHER_CODES: LazyLock<Built> =
    LazyLock::new(|| Built::new("other codes", VECTORS, Lists::Coded(RABITQ, Tier::Ssd), 2));
static REPLICAS: LazyLock<Built> =
    LazyLock::new(|| Built::new("replicas", VECTORS, Lists::Replicated(RABITQ), 1));
static AXES: LazyLock<Built> =
    LazyLock::new(|| Built::new("axes", VECTORS, Lists::Coded(CodeSpec::Axes { bytes: 12 }, Tier::Ssd), 1));
static BINARY: LazyLock<Built> =
    LazyLock::new(|| Built::new("binary", VECTORS, Lists::Coded(CodeSpec::Binary, Tier::Memory), 1));

static COLUMN: LazyLock<Built> =
    LazyLock::new(|| Built::new("column", VECTORS, Lists::WithColumn(RABITQ, Tier::Memory), 1));

const RABITQ: CodeSpec = CodeSpec::RaBitQ { bits: 2 };

impl Built {
    fn new(name: &'static str, vectors: usize, lists: Lists, seed: u64) -> Built {
        let dir = tempfile::tempdir().unwrap();
        // Single vectors are many lists, and of floats they are found over a graph.
        let dtype = if matches!(lists, Lists::Full(1)) { DType::F32 } else { DType::U8 };
        let column = matches!(lists, Lists::WithColumn(..)).then(|| ColumnRows {
            rows: clustered(DType::F16, 20, vectors, seed),
            metric: Metric::Cosine,
            keep_main: false,
        });
        let base = Base { column, ..Base::new(clustered(dtype, 8, vectors, seed)) };
        let config = match lists {
            Lists::Full(size) => {
                BuildConfig { lists: ListCount::Size(size), ..config(Metric::L2, dir.path()) }
            }
            Lists::Coded(code, codes) | Lists::WithColumn(code, codes) => {
                BuildConfig { lists: ListCount::Size(60), ..coded(Metric::L2, code, codes, dir.path()) }
            }
            Lists::Replicated(code) => {
                BuildConfig { lists: ListCount::Size(60), code, ..config(Metric::L2, dir.path()) }
            }
        };
        let manifest = base.build(&config).unwrap().manifest;
        Built { name, files: identity(dir.path()), base, manifest }
    }

    fn write(&'static self) -> Whole {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in &self.files {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        Whole { dir, base: self.base.clone(), built: self }
    }

    fn has(&self, kind: SectionKind) -> bool {
        self.manifest.segments[0].section(kind, MAIN_COLUMN).is_some()
    }
}

impl Whole {
    /// A few dozen lists of exact vectors, scanned flat; several pages of vectors and of ids.
    pub(super) fn small() -> Whole {
        SMALL.write()
    }

    /// Of the same shape, of other vectors.
    pub(super) fn other() -> Whole {
        OTHER.write()
    }

    /// Enough lists for a graph over the heads.
    pub(super) fn with_graph() -> Whole {
        let whole = WITH_GRAPH.write();
        assert!(WITH_GRAPH.has(SectionKind::Graph) && !SMALL.has(SectionKind::Graph));
        whole
    }

    /// The vectors of the small index, in lists of codes.
    pub(super) fn coded(codes: Tier) -> Whole {
        match codes {
            Tier::Ssd => CODES_ON_SSD.write(),
            Tier::Memory => CODES_IN_MEMORY.write(),
        }
    }

    /// Lists of codes in memory, and a column in place of the vectors that they are of.
    pub(super) fn with_column() -> Whole {
        COLUMN.write()
    }

    /// Lists of codes on SSD in which each vector is twice.
    pub(super) fn with_replicas() -> Whole {
        REPLICAS.write()
    }

    /// Lists of codes, of other vectors.
    pub(super) fn other_codes() -> Whole {
        OTHER_CODES.write()
    }

    /// Lists of the other code families.
    pub(super) fn other_families() -> [Whole; 2] {
        [AXES.write(), BINARY.write()]
    }

    /// One with few lists of each kind.
    pub(super) fn flat() -> [Whole; 3] {
        [Whole::small(), Whole::coded(Tier::Ssd), Whole::coded(Tier::Memory)]
    }

    /// One of each shape.
    pub(super) fn all() -> [Whole; 4] {
        let [small, on_ssd, in_memory] = Whole::flat();
        [small, Whole::with_graph(), on_ssd, in_memory]
    }

    /// What to call it.
    pub(super) fn name(&self) -> &'static str {
        self.built.name
    }

    pub(super) fn manifest(&self) -> Manifest {
        self.built.manifest.clone()
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The sections it has.
    pub(super) fn kinds(&self) -> Vec<SectionKind> {
        SectionKind::ALL.into_iter().filter(|&kind| self.built.has(kind)).collect()
    }

    /// The sections that are read when it is opened; the others are when they are verified or searched.
    pub(super) fn resident(&self) -> Vec<SectionKind> {
        let mut kinds = self.kinds();
        kinds.retain(|kind| match kind {
            SectionKind::Heads
            | SectionKind::Graph
            | SectionKind::Directory
            | SectionKind::Model
            | SectionKind::Recall
            | SectionKind::Documents => true,
            SectionKind::Codes => self.built.manifest.build.codes == Tier::Memory,
            SectionKind::Vectors | SectionKind::Ids | SectionKind::Attributes => false,
        });
        kinds
    }

    pub(super) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.dir().join(name)).unwrap()
    }

    /// Puts other bytes in a file for good.
    pub(super) fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.dir().join(name), bytes).unwrap();
    }

    /// Lets `look` see the folder with other bytes in one file, and puts the good ones back.
    pub(super) fn with<T>(&self, name: &str, bytes: &[u8], look: impl FnOnce(&Path) -> T) -> T {
        let path = self.dir().join(name);
        let good = fs::read(&path).unwrap();
        fs::write(&path, bytes).unwrap();
        let seen = look(self.dir());
        fs::write(&path, good).unwrap();
        seen
    }

    /// Lets `look` see the folder with the lowest bit of one byte flipped, in place, and flips it back.
    pub(super) fn with_flipped<T>(&self, name: &str, at: usize, look: impl FnOnce(&Path) -> T) -> T {
        let file = fs::File::options().read(true).write(true).open(self.dir().join(name)).unwrap();
        let (mut byte, at) = ([0], at as u64); // CAST: widening
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
        let seen = look(self.dir());
        file.write_all_at(&byte, at).unwrap();
        seen
    }

    /// What opening says when the lowest bit of one byte is flipped.
    pub(super) fn open_flipped(&self, name: &str, at: usize) -> Result<Index, OpenError> {
        self.with_flipped(name, at, Index::open)
    }

    /// What opening says when one file has other bytes.
    pub(super) fn open_with(&self, name: &str, bytes: &[u8]) -> Result<Index, OpenError> {
        self.with(name, bytes, Index::open)
    }

    /// What opening says when one file is not there.
    pub(super) fn open_without(&self, name: &str) -> Result<Index, OpenError> {
        let (path, aside) = (self.dir().join(name), self.dir().join("aside"));
        fs::rename(&path, &aside).unwrap();
        let opened = Index::open(self.dir());
        fs::rename(&aside, &path).unwrap();
        opened
    }
}

/// The file of a section of the first version.
pub(super) fn file(kind: SectionKind) -> String {
    section_name(kind, 1)
}

/// Fails unless a result is this very error.
macro_rules! check {
    ($result:expr, $pattern:pat $(if $guard:expr)?, $($what:tt)+) => {
        match $result {
            Err($pattern) $(if $guard)? => {}
            Err(other) => panic!("{}: {other:?}", format!($($what)+)),
            Ok(_) => panic!("{}: opened", format!($($what)+)),
        }
    };
}
pub(super) use check;
