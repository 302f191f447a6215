//! Small indexes, of which a file is changed and put back.
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use spandrel_builder::ListCount;
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::{BODY_AT, CURRENT, Current, HEADER_BYTES, MAJOR, MINOR, Manifest, hash_hex};
use spandrel_index::{DType, Metric, Tier};
use spandrel_tests::{Base, CellRows, ColumnRows, clustered, coded, config};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

const VECTORS: usize = 400;
const MANIFEST: &str = "manifest-1";

/// An index in a folder.
#[derive(Debug)]
pub struct Made {
    dir: PathBuf,
    files: BTreeMap<String, Vec<u8>>,
    manifest: Manifest,
}

/// One of each kind.
pub fn all() -> &'static [Made] {
    static ALL: LazyLock<Vec<Made>> = LazyLock::new(|| {
        let rows = |dtype| clustered(dtype, 8, VECTORS, 1);
        let size = |build| spandrel_builder::BuildConfig { lists: ListCount::Size(40), threads: 1, ..build };
        let column = ColumnRows {
            rows: clustered(DType::F16, 20, VECTORS, 1),
            metric: Metric::Cosine,
            keep_main: false,
        };
        let with_column = Base { column: Some(column), ..Base::new(rows(DType::U8)) };
        let with_attributes =
            Base { attributes: Some(CellRows::random(VECTORS, 3)), ..Base::new(rows(DType::F32)) };
        let (rabitq, axes) = (CodeSpec::RaBitQ { bits: 2 }, CodeSpec::Axes { bytes: 12 });
        let products = CodeSpec::Products { quantisers: 4, bits: 4, rotated: false, uniform: false };
        [
            (Base::new(rows(DType::U8)), config(Metric::L2, &dir("full"))),
            // Single vectors, which are found over a graph.
            (
                Base::new(clustered(DType::F32, 8, 5000, 1)),
                spandrel_builder::BuildConfig {
                    lists: ListCount::Size(1),
                    ..config(Metric::L2, &dir("graph"))
                },
            ),
            (with_attributes, coded(Metric::Cosine, rabitq, Tier::Memory, &dir("attributes"))),
            (Base::new(rows(DType::I8)), coded(Metric::InnerProduct, axes, Tier::Ssd, &dir("axes"))),
            (Base::new(rows(DType::U8)), coded(Metric::L2, products, Tier::Memory, &dir("products"))),
            (Base::new(rows(DType::U8)), coded(Metric::L2, CodeSpec::Binary, Tier::Memory, &dir("binary"))),
            (with_column, coded(Metric::L2, rabitq, Tier::Memory, &dir("column"))),
        ]
        .into_iter()
        .map(|(base, build)| {
            let build = if build.lists == ListCount::Size(1) { build } else { size(build) };
            let manifest = base.build(&build).expect("a small index").manifest;
            Made::of(build.out, manifest)
        })
        .collect()
    });
    &ALL
}

fn dir(name: &str) -> PathBuf {
    crate::folder().join(name)
}

impl Made {
    fn of(dir: PathBuf, manifest: Manifest) -> Made {
        let names = manifest.files().map(str::to_owned).chain([CURRENT.to_owned(), MANIFEST.to_owned()]);
        let files = names.map(|name| {
            let bytes = fs::read(dir.join(&name)).expect("a file of the index");
            (name, bytes)
        });
        Made { files: files.collect(), dir, manifest }
    }

    /// The content of file `number`, as [`Made::with`] takes it.
    pub fn content(&self, number: usize) -> Option<&[u8]> {
        let (name, bytes) = self.files.iter().nth(number)?;
        // Its first line is made anew.
        let line = if name == MANIFEST { bytes.iter().position(|&byte| byte == b'\n')? + 1 } else { 0 };
        bytes.get(line..)
    }

    /// Gives file `number` other bytes, lets hashes hold, and puts everything back afterwards.
    pub fn with(&self, number: usize, content: &[u8], look: impl FnOnce(&Path)) {
        let Some(name) = self.files.keys().nth(number % self.files.len()) else { return };
        match name.as_str() {
            CURRENT => self.put(CURRENT, content),
            MANIFEST => self.seal(content),
            section => {
                let mut bytes = content.to_vec();
                if let Some(header) = bytes.get_mut(..HEADER_BYTES) {
                    let (hashed, hash) = header.split_at_mut(HEADER_BYTES - 8);
                    hash.copy_from_slice(&xxh3_64(hashed).to_le_bytes());
                }
                self.put(section, &bytes);
                let mut manifest = self.manifest.clone();
                let body = bytes.get(BODY_AT as usize..).unwrap_or_default();
                let sections = manifest.segments.iter_mut().flat_map(|segment| &mut segment.sections);
                for entry in sections.chain(&mut manifest.recall).filter(|entry| entry.file == section) {
                    (entry.bytes, entry.hash) = (bytes.len() as u64, hash_hex(xxh3_128(body)));
                }
                let whole = manifest.to_bytes();
                let line = whole.iter().position(|&byte| byte == b'\n').map_or(0, |end| end + 1);
                self.seal(&whole[line..]);
            }
        }
        look(&self.dir);
        for touched in [name.as_str(), MANIFEST, CURRENT] {
            self.put(touched, &self.files[touched]);
        }
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.dir.join(name), bytes).expect("a file of the index");
    }

    /// Writes a manifest with this JSON, and the CURRENT that belongs to it.
    fn seal(&self, json: &[u8]) {
        let line = format!("spandrel-manifest {MAJOR}.{MINOR} {}\n", hash_hex(xxh3_128(json)));
        let manifest = [line.as_bytes(), json].concat();
        self.put(MANIFEST, &manifest);
        self.put(CURRENT, &Current::of(1, &manifest).to_bytes());
    }
}
