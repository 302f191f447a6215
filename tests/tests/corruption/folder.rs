//! An index that is damaged file by file and mended again.
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use spandrel_builder::ListCount;
use spandrel_index::format::{OpenError, SectionKind, section_name};
use spandrel_index::{DType, Index, Metric};
use spandrel_tests::{Base, clustered, config};
use tempfile::TempDir;

use crate::support::identity;

/// Vectors of the small indexes.
pub(super) const VECTORS: usize = 1200;

/// An index in a folder of its own, with what it was built from.
pub(super) struct Whole {
    dir: TempDir,
    pub(super) base: Base,
    pub(super) graph: bool,
}

/// Indexes are built once and kept as bytes, since a build syncs dozens of files.
struct Built {
    files: BTreeMap<String, Vec<u8>>,
    base: Base,
    graph: bool,
}

static SMALL: LazyLock<Built> = LazyLock::new(|| Built::new(VECTORS, 60, 1));
static OTHER: LazyLock<Built> = LazyLock::new(|| Built::new(VECTORS, 60, 2));
static WITH_GRAPH: LazyLock<Built> = LazyLock::new(|| Built::new(6000, 1, 1));

impl Built {
    fn new(vectors: usize, list_size: u32, seed: u64) -> Built {
        let dir = tempfile::tempdir().unwrap();
        let base = Base::new(clustered(DType::U8, 8, vectors, seed));
        let mut config = config(Metric::L2, dir.path());
        config.lists = ListCount::Size(list_size);
        let manifest = base.build(&config).unwrap().manifest;
        let graph = manifest.segments[0].section(SectionKind::Graph).is_some();
        Built { files: identity(dir.path()), base, graph }
    }

    fn write(&self) -> Whole {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in &self.files {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        Whole { dir, base: self.base.clone(), graph: self.graph }
    }
}

impl Whole {
    /// A few dozen lists, scanned flat; several pages of vectors and of ids.
    pub(super) fn small() -> Whole {
        SMALL.write()
    }

    /// Of the same shape, of other vectors.
    pub(super) fn other() -> Whole {
        OTHER.write()
    }

    /// So many lists that there is a graph over the heads.
    pub(super) fn with_graph() -> Whole {
        let whole = WITH_GRAPH.write();
        assert!(whole.graph && !SMALL.graph);
        whole
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The sections it has.
    pub(super) fn kinds(&self) -> Vec<SectionKind> {
        SectionKind::ALL.into_iter().filter(|&kind| self.graph || kind != SectionKind::Graph).collect()
    }

    pub(super) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.dir().join(name)).unwrap()
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

/// A copy with the lowest bit of one byte flipped.
pub(super) fn flip(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    flipped[at] ^= 1;
    flipped
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
