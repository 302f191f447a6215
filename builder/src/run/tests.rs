mod aware;
mod sampled;
mod versions;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, Ordering};

use fs_err as fs;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spandrel_filter::{Attribute, AttributeType, Cell, Schema};
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::{self, CURRENT};
use spandrel_index::{
    AttributeSource, AttributeSourceError, DIM_MAX, DType, Metric, SourceError, Tier, VectorSource,
};
use spandrel_io::FolderLock;

use super::*;
use crate::cluster::HeadKind;
use crate::filing::ReplicaRule;
use crate::folders::SCRATCH;
use crate::testing::{Moment, StopAt};
use crate::{Attributes, Column, IdSource, ListCount, Silent};

pub(crate) struct Memory {
    dim: usize,
    rows: Vec<u8>,
}

impl VectorSource for Memory {
    fn len(&self) -> u64 {
        (self.rows.len() / self.dim) as u64
    }
    fn dim(&self) -> usize {
        self.dim
    }
    fn dtype(&self) -> DType {
        DType::U8
    }
    fn read_rows(&self, first: u64, out: &mut [u8]) -> Result<(), SourceError> {
        let at = first as usize * self.dim;
        out.copy_from_slice(&self.rows[at..at + out.len()]);
        Ok(())
    }
    fn name(&self) -> String {
        "memory".into()
    }
}

pub(crate) fn clustered(vectors: usize, dim: usize) -> Memory {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let centers: Vec<u8> = (0..40 * dim).map(|_| rng.random()).collect();
    let mut rows = Vec::with_capacity(vectors * dim);
    for _ in 0..vectors {
        let center = rng.random_range(0..40) * dim;
        rows.extend(centers[center..center + dim].iter().map(|&x| x.saturating_add(rng.random_range(0..20))));
    }
    Memory { dim, rows }
}

pub(crate) fn config(out: &Path) -> BuildConfig {
    BuildConfig {
        metric: Metric::L2,
        out: out.to_owned(),
        lists: ListCount::Size(20),
        replicas: ReplicaRule::Soar,
        max_replicas: 2,
        heads: HeadKind::Means,
        code: CodeSpec::Full,
        codebooks: None,
        codes: Tier::Ssd,
        memory_bytes: 1 << 30,
        threads: 2,
        seed: 3,
        scratch: None,
        resume: false,
        replace: false,
        keep_previous: 0,
        plain_codes: false,
        embedding: None,
    }
}

/// Attributes that follow from the rows' numbers; every fifth row has none.
pub(crate) struct Numbered {
    pub(crate) schema: Schema,
    pub(crate) rows: u64,
}

impl Numbered {
    pub(crate) fn new(rows: u64) -> Numbered {
        let attribute = |(name, kind): (&str, AttributeType)| Attribute { name: name.to_owned(), kind };
        let kinds =
            [("word", AttributeType::Keyword), ("tags", AttributeType::Tags), ("row", AttributeType::I64)];
        Numbered { schema: Schema::new(kinds.map(attribute).to_vec()).unwrap(), rows }
    }
}

impl AttributeSource for Numbered {
    fn schema(&self) -> &Schema {
        &self.schema
    }
    fn len(&self) -> u64 {
        self.rows
    }
    fn scan(
        &self,
        each: &mut dyn FnMut(u64, &[Cell]) -> ControlFlow<()>,
    ) -> Result<(), AttributeSourceError> {
        for row in (0..self.rows).filter(|row| row % 5 > 0) {
            let tags = (0..row % 4 + 1).map(|at| row % 50 + 50 * at).collect();
            let cells = [Cell::Keyword(format!("word {}", row % 9)), Cell::Tags(tags), Cell::I64(row as i64)];
            if each(row, &cells).is_break() {
                break;
            }
        }
        Ok(())
    }
    fn name(&self) -> String {
        "numbered".into()
    }
}

pub(crate) fn run(source: &Memory, config: &BuildConfig) -> Result<BuildReport, BuildError> {
    let input = Input::of(source);
    build(input, config, &Silent, &AtomicBool::new(false))
}

/// Every file of the index's identity, by name.
pub(crate) fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .filter(|(name, _)| !name.starts_with("build-stats") && name != "LOCK")
        .collect();
    files.sort();
    files
}

#[test]
fn bytes_do_not_depend_on_threads_or_memory() {
    let dir = tempfile::tempdir().unwrap();
    let source = clustered(9000, 16);
    let mut built = Vec::new();
    for (threads, memory) in [(1, 1 << 30), (2, 1 << 30), (3, 200 << 20)] {
        let mut config = config(&dir.path().join(format!("{threads}-{memory}")));
        (config.threads, config.memory_bytes) = (threads, memory);
        run(&source, &config).unwrap();
        built.push(files(&config.out));
    }
    assert_eq!(built[0], built[1]);
    assert_eq!(built[0], built[2]);
    assert!(built[0].iter().any(|(name, bytes)| name == "codes-1" && bytes.len() > 9000 * 20));
}

#[test]
fn a_build_stopped_anywhere_resumes_to_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let source = clustered(3000, 16);
    let build_until = |config: &BuildConfig, at: u32| {
        let progress = StopAt::new(Moment::Sign(at));
        let input = Input::of(&source);
        (build(input, config, &progress, &progress.stop), progress.signs())
    };
    let whole = config(&dir.path().join("whole"));
    let (done, signs) = build_until(&whole, u32::MAX);
    done.unwrap();
    let expected = files(&whole.out);
    let mut stops = 0;
    for at in (1..=signs).step_by((signs as usize / 12).max(1)) {
        let mut config = config(&dir.path().join(format!("stopped-{at}")));
        match build_until(&config, at).0 {
            // The flag was raised after the last look at it.
            Ok(_) => continue,
            Err(BuildError::Stopped) => stops += 1,
            Err(other) => panic!("stop {at}: {other}"),
        }
        let refused = run(&source, &config).unwrap_err();
        assert!(matches!(refused, BuildError::Unfinished { .. }), "stop {at}: {refused}");
        config.resume = true;
        run(&source, &config).unwrap();
        assert_eq!(files(&config.out), expected, "stop {at}");
        // Once more: it had been finished.
        run(&source, &config).unwrap();
    }
    assert!(stops >= 6, "only {stops} stops of {signs} signs");
}

#[test]
fn another_input_is_not_taken_for_the_one_that_was_begun() {
    let dir = tempfile::tempdir().unwrap();
    let source = clustered(3000, 16);
    let mut other = clustered(3000, 16);
    other.rows[16 * 1700..][..16 * 20].fill(0);
    let config = config(&dir.path().join("index"));
    for at in [2, 4, 12] {
        let progress = StopAt::new(Moment::Sign(at));
        let input = Input::of(&source);
        let begun = BuildConfig { replace: true, ..config.clone() };
        assert!(matches!(build(input, &begun, &progress, &progress.stop), Err(BuildError::Stopped)), "{at}");
        let resumed = BuildConfig { resume: true, ..config.clone() };
        let refused = run(&other, &resumed).unwrap_err();
        assert!(matches!(refused, BuildError::Resume { parameter: "input", .. }), "{at}: {refused}");
    }
    let resumed = BuildConfig { resume: true, ..config.clone() };
    run(&source, &resumed).unwrap();
    run(&source, &resumed).unwrap();
    // One byte in a row that no glance falls on.
    let mut close = clustered(3000, 16);
    close.rows[16 * 5] ^= 1;
    assert!(matches!(run(&close, &resumed).unwrap_err(), BuildError::Exists { .. }));
}

/// Rows that are others once all of them have been read.
struct Changing {
    source: Memory,
    reads: AtomicU32,
}

impl VectorSource for Changing {
    fn len(&self) -> u64 {
        self.source.len()
    }
    fn dim(&self) -> usize {
        self.source.dim()
    }
    fn dtype(&self) -> DType {
        self.source.dtype()
    }
    fn read_rows(&self, first: u64, out: &mut [u8]) -> Result<(), SourceError> {
        self.source.read_rows(first, out)?;
        // The rows of a glance are read alone.
        let whole = out.len() > self.source.dim;
        if whole && self.reads.fetch_add(1, Ordering::Relaxed) > 0 {
            out[0] ^= 1;
        }
        Ok(())
    }
    fn name(&self) -> String {
        self.source.name()
    }
}

/// Ids of which two change places once all of them have been read twice: when they were checked, and with their vectors.
struct Swapping {
    rows: u64,
    reads: AtomicU32,
}

impl IdSource for Swapping {
    fn len(&self) -> u64 {
        self.rows
    }
    fn read_ids(&self, first: u64, out: &mut [u64]) -> Result<(), SourceError> {
        out.iter_mut().zip(first..).for_each(|(id, row)| *id = 5 * row);
        // The ids of a glance are read alone.
        if out.len() > 1 && self.reads.fetch_add(1, Ordering::Relaxed) > 1 {
            out.swap(3, 4);
        }
        Ok(())
    }
}

/// A row was given what is known of another, or its vector of the column, without a word.
#[test]
fn ids_that_change_places_under_the_build_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (source, numbered, fine) = (clustered(700, 8), Numbered::new(700), clustered(700, 24));
    let attributes = Some(Attributes { source: &numbered, resident: &[], partition_by: None });
    let column = Some(Column { name: "fine", vectors: &fine, metric: Metric::L2, keep_main: true });
    for (name, attributes, column) in [("attributes", attributes, None), ("column", None, column)] {
        let ids = Swapping { rows: 700, reads: AtomicU32::new(0) };
        let input = Input { ids: Some(&ids), attributes, column, ..Input::of(&source) };
        let config = BuildConfig { code: CodeSpec::RaBitQ { bits: 2 }, ..config(&dir.path().join(name)) };
        let refused = build(input, &config, &Silent, &AtomicBool::new(false));
        assert!(matches!(refused, Err(BuildError::Changed { .. })), "{name}: {refused:?}");
    }
}

#[test]
fn an_input_that_changes_under_the_build_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let source = Changing { source: clustered(500, 8), reads: AtomicU32::new(0) };
    let input = Input::of(&source);
    let config = config(&dir.path().join("index"));
    let refused = build(input, &config, &Silent, &AtomicBool::new(false)).unwrap_err();
    assert!(matches!(refused, BuildError::Changed { .. }), "{refused}");
}

#[test]
fn foreign_folders_and_other_builders_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let source = clustered(100, 8);
    let mut config = config(&dir.path().join("mine"));
    config.replace = true;
    fs::create_dir(&config.out).unwrap();
    fs::write(config.out.join("thesis.txt"), "years of work").unwrap();
    assert!(matches!(run(&source, &config).unwrap_err(), BuildError::NotEmpty { .. }));
    assert!(config.out.join("thesis.txt").exists());
    fs::remove_file(config.out.join("thesis.txt")).unwrap();
    let _lock = FolderLock::acquire(&config.out).unwrap();
    assert!(matches!(run(&source, &config).unwrap_err(), BuildError::Lock(_)));
}

#[test]
fn a_refused_input_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let source = Memory { dim: 2, rows: vec![1, 2, 0, 0, 3, 4] };
    let mut config = config(&dir.path().join("index"));
    config.metric = Metric::Cosine;
    config.lists = ListCount::Lists(1);
    assert!(matches!(run(&source, &config).unwrap_err(), BuildError::Value { row: 1, .. }));
    assert!(!config.out.exists());
    let good = Memory { dim: 2, rows: vec![1, 2, 5, 0, 3, 4] };
    run(&good, &config).unwrap();
    config.replace = true;
    assert!(matches!(run(&source, &config).unwrap_err(), BuildError::Value { .. }));
    assert_eq!(format::current(&FolderStore::new(&config.out)).unwrap().version, 1);
    assert!(!config.out.join(SCRATCH).exists());
    // An index that has lost its CURRENT may still be mended: nothing but the refused build goes.
    let published = files(&config.out);
    for damaged in [&b"manifest"[..], b""] {
        fs::write(config.out.join(CURRENT), damaged).unwrap();
        assert!(matches!(run(&source, &config).unwrap_err(), BuildError::Value { .. }));
        fs::write(config.out.join(CURRENT), &published[0].1).unwrap();
        assert_eq!(files(&config.out), published);
    }
}

#[test]
fn a_build_refused_before_it_began_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&dir.path().join("index"));
    let taken = dir.path().join("file");
    fs::write(&taken, "mine").unwrap();
    config.scratch = Some(taken.join("scratch"));
    assert!(matches!(run(&clustered(100, 8), &config).unwrap_err(), BuildError::Io(_)));
    assert!(!config.out.exists());
}

#[test]
fn odd_inputs_build() {
    let dir = tempfile::tempdir().unwrap();
    let inputs = [
        ("one", Memory { dim: 4, rows: vec![1, 2, 3, 4] }),
        ("same", Memory { dim: 2, rows: vec![7; 2 * 3000] }),
        ("narrow", Memory { dim: 1, rows: (0..2000).map(|i| (i % 251) as u8).collect() }),
        ("wide", Memory { dim: 4096, rows: (0..4096 * 60_usize).map(|i| (i * i % 255) as u8).collect() }),
    ];
    for (name, source) in inputs {
        let report = run(&source, &config(&dir.path().join(name))).unwrap();
        let segment = &report.manifest.segments[0];
        assert_eq!(segment.vectors, source.len(), "{name}");
        let lists = report.lists.unwrap();
        assert!(lists.longest as f64 <= (2.5 * lists.mean).max(2.0), "{name}: {lists:?}");
    }
}

#[test]
fn impossible_parameters_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let source = clustered(100, 8);
    let good = config(&dir.path().join("never"));
    let wrong = [
        BuildConfig { lists: ListCount::Lists(101), ..good.clone() },
        BuildConfig { lists: ListCount::Lists(0), ..good.clone() },
        BuildConfig { lists: ListCount::Size(0), ..good.clone() },
        BuildConfig { threads: 0, ..good.clone() },
        BuildConfig { max_replicas: 0, ..good.clone() },
    ];
    for config in wrong {
        assert!(matches!(run(&source, &config).unwrap_err(), BuildError::Parameter { .. }));
    }
    for scratch in [good.out.clone(), good.out.join("tmp")] {
        let inside = BuildConfig { scratch: Some(scratch), ..good.clone() };
        assert!(matches!(run(&source, &inside).unwrap_err(), BuildError::Parameter { .. }));
    }
    let wide = Memory { dim: DIM_MAX, rows: vec![1; 2 * DIM_MAX] };
    let product = BuildConfig { metric: Metric::InnerProduct, ..good.clone() };
    assert!(matches!(run(&wide, &product).unwrap_err(), BuildError::Parameter { .. }));
    let small = BuildConfig { memory_bytes: 1 << 20, ..good.clone() };
    assert!(matches!(run(&source, &small).unwrap_err(), BuildError::Memory { .. }));
    assert!(!good.out.exists(), "nothing was made");
}
