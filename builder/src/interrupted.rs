//! Tests of builds that were interrupted: by a crash at any moment, or with damage while they lay still.
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use fs_err as fs;
use spandrel_index::codes::CodeSpec;
use spandrel_index::{Index, Metric, Tier, versions};
use spandrel_io::{Blob, FileWriter, FolderStore, Naming, Sink, Store, StoreError, WriteError};

use crate::filing::ReplicaRule;
use crate::run::build_in;
use crate::run::tests::{Numbered, clustered, config, files, run};
use crate::testing::{Moment, StopAt};
use crate::{Attributes, BuildConfig, BuildError, Caller, Column, Input, ListCount, Silent, build};

/// A bit flipped in a scratch file became a bit of a valid index, of the same uuid as the one without.
fn damage_before(input: Input<'_>, config: &BuildConfig, phases: &[(&str, &[&str])]) {
    let whole = BuildConfig { out: config.out.join("whole"), ..config.clone() };
    let run = |config: &BuildConfig| build(input, config, &Silent, &AtomicBool::new(false));
    run(&whole).unwrap();
    let expected = files(&whole.out);
    let mut stopped = BuildConfig { out: config.out.join("stopped"), ..config.clone() };
    for (phase, names) in phases {
        let progress = StopAt::new(Moment::Phase(phase));
        let ended = build(input, &stopped, &progress, &progress.stop);
        assert!(matches!(ended, Err(BuildError::Stopped)), "before {phase}");
        stopped.resume = true;
        for name in *names {
            let in_scratch = stopped.out.join("scratch").join(name);
            let path = if in_scratch.exists() { in_scratch } else { stopped.out.join(name) };
            let good = fs::read(&path).unwrap();
            // The header of a section has a hash of its own and is not read here.
            let first = if name.ends_with("-1") { 4096 } else { 0 };
            for at in [first, (first + good.len()) / 2, good.len() - 1] {
                let what = format!("byte {at} of {name} before {phase}");
                let mut bad = good.clone();
                bad[at] ^= 16;
                fs::write(&path, &bad).unwrap();
                let refused = run(&stopped).expect_err(&what);
                let named = matches!(&refused, BuildError::Scratch { path, .. } if path.ends_with(name));
                assert!(named && refused.to_string().contains("--replace"), "{what}: {refused}");
            }
            fs::write(&path, &good).unwrap();
        }
    }
    run(&stopped).unwrap();
    assert_eq!(files(&stopped.out), expected, "mended");
}

#[test]
fn damage_of_any_scratch_file_between_phases_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    // So wide that there are two parts, which are learned from a sample.
    let wide = BuildConfig { lists: ListCount::Lists(6), replicas: ReplicaRule::None, ..config(dir.path()) };
    let phases: [(&str, &[&str]); 5] = [
        ("part", &["sample"]),
        ("cluster", &["parts"]),
        ("file", &["parts", "heads", "leaves"]),
        ("write", &["filed", "heads"]),
        ("ids", &["id-runs"]),
    ];
    damage_before(Input::of(&clustered(4200, 8192)), &wide, &phases);
}

#[test]
fn damage_of_a_model_or_of_heads_between_phases_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let coded = BuildConfig {
        code: CodeSpec::Axes { bytes: 12 },
        codes: Tier::Memory,
        replicas: ReplicaRule::None,
        ..config(dir.path())
    };
    let phases: [(&str, &[&str]); 2] =
        [("train", &["filed", "heads"]), ("write", &["filed", "heads", "model-1"])];
    damage_before(Input::of(&clustered(3000, 16)), &coded, &phases);
    // Enough lists for a graph over their heads.
    let graph =
        BuildConfig { lists: ListCount::Size(1), out: dir.path().join("graph"), ..config(dir.path()) };
    damage_before(Input::of(&clustered(20_000, 8)), &graph, &[("graph", &["heads-1"])]);
}

#[test]
fn damage_of_gathered_attributes_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (vectors, numbered) = (clustered(3000, 8), Numbered::new(3000));
    let attributes = Some(Attributes { source: &numbered, resident: &[], partition_by: None });
    let input = Input { attributes, ..Input::of(&vectors) };
    damage_before(input, &config(dir.path()), &[("attributes", &["attribute-runs"])]);
    let attributes = Some(Attributes { source: &numbered, resident: &[], partition_by: Some("row") });
    let input = Input { attributes, ..input };
    let phases: [(&str, &[&str]); 4] = [
        ("part", &["partition"]),
        ("cluster", &["partition"]),
        ("file", &["parts", "heads"]),
        ("write", &["partition"]),
    ];
    damage_before(input, &BuildConfig { out: dir.path().join("partitioned"), ..config(dir.path()) }, &phases);
}

/// Files by name.
type Files = BTreeMap<String, Arc<Vec<u8>>>;

/// What the folders of index and scratch files hold at a moment, and what a crash would leave for certain.
#[derive(Debug, Clone, Default)]
struct Disk {
    live: [Files; 2],
    durable: [Files; 2],
    /// What a restart may find: in each folder the names that are durable, or all.
    images: BTreeSet<[Files; 2]>,
}

/// A folder whose changes are watched.
#[derive(Debug, Clone)]
struct Watched {
    folder: FolderStore,
    number: usize,
    paths: [PathBuf; 2],
    disk: Arc<Mutex<Disk>>,
}

impl Watched {
    /// Looks at both folders after a change of this one.
    fn changed(&self, synced: bool) {
        let mut disk = self.disk.lock().unwrap();
        disk.live = self.paths.each_ref().map(|path| read_all(path));
        if synced {
            disk.durable[self.number] = disk.live[self.number].clone();
        }
        let states = [disk.live.clone(), disk.durable.clone()];
        for index in &states {
            for scratch in &states {
                disk.images.insert([index[0].clone(), scratch[1].clone()]);
            }
        }
    }
}

impl Store for Watched {
    fn root(&self) -> &Path {
        self.folder.root()
    }
    fn open(&self, name: &str) -> Result<Arc<dyn Blob>, StoreError> {
        self.folder.open(name)
    }
    fn create(&self, name: &str) -> Result<FileWriter, WriteError> {
        let sink = WatchedSink { writer: Some(self.folder.create(name)?), store: self.clone() };
        Ok(FileWriter::over(Box::new(sink), &self.path(name)))
    }
    fn sync(&self) -> Result<(), StoreError> {
        self.folder.sync().inspect(|()| self.changed(true))
    }
    fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.folder.remove(name).inspect(|()| self.changed(false))
    }
    fn list(&self) -> Result<Vec<String>, StoreError> {
        self.folder.list()
    }
}

/// A file whose end is watched.
struct WatchedSink {
    writer: Option<FileWriter>,
    store: Watched,
}

impl Write for WatchedSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.as_mut().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for WatchedSink {
    fn leave_out(&mut self, bytes: u64) -> io::Result<()> {
        self.writer = Some(self.writer.take().unwrap().with_head(bytes)?);
        Ok(())
    }
    fn finish(&mut self, head: &[u8], naming: Naming) -> io::Result<()> {
        let writer = self.writer.take().unwrap();
        match naming {
            Naming::New => writer.finish_new()?,
            Naming::Replace => writer.finish_with_head(head)?,
        };
        self.store.changed(false);
        Ok(())
    }
}

/// The files of a folder.
fn read_all(path: &Path) -> Files {
    let Ok(entries) = fs::read_dir(path) else { return Files::new() };
    let paths = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    paths
        .map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), Arc::new(fs::read(&path).unwrap()))
        })
        .collect()
}

/// Builds, and gives what a crash at any moment would have left of both folders.
fn watch(input: Input<'_>, config: &BuildConfig) -> BTreeSet<[Files; 2]> {
    let paths = [config.out.clone(), config.out.join("scratch")];
    let before = paths.each_ref().map(|path| read_all(path));
    let disk = Disk { live: before.clone(), durable: before, images: BTreeSet::new() };
    let disk = Arc::new(Mutex::new(disk));
    let open = |path: &Path| -> Box<dyn Store> {
        let number = usize::from(path.ends_with("scratch"));
        let disk = Arc::clone(&disk);
        Box::new(Watched { folder: FolderStore::new(path), number, paths: paths.clone(), disk })
    };
    let stop = AtomicBool::new(false);
    let caller = Caller { progress: &Silent, stop: &stop, calibrate: None };
    build_in(input, config, caller, &open).unwrap();
    std::mem::take(&mut disk.lock().unwrap().images)
}

/// Writes what a crash left.
fn restore(out: &Path, [index, scratch]: &[Files; 2]) {
    fs::create_dir_all(out.join("scratch")).unwrap();
    for (folder, files) in [(out.to_owned(), index), (out.join("scratch"), scratch)] {
        files.iter().for_each(|(name, bytes)| fs::write(folder.join(name), &**bytes).unwrap());
    }
}

/// The checkpoint could be durable before the names of the sections that it says are written: a build of hours was then
/// lost to a missing file.
#[test]
fn a_build_goes_on_after_a_crash_at_any_moment() {
    let dir = tempfile::tempdir().unwrap();
    let (source, numbered) = (clustered(700, 8), Numbered::new(700));
    let attributes = Some(Attributes { source: &numbered, resident: &[], partition_by: Some("word") });
    let fine = clustered(700, 24);
    let column = Some(Column { name: "fine", vectors: &fine, metric: Metric::Cosine, keep_main: true });
    let input = Input { attributes, column, ..Input::of(&source) };
    let coded = BuildConfig { code: CodeSpec::RaBitQ { bits: 2 }, ..config(&dir.path().join("watched")) };
    let images = watch(input, &coded);
    let expected = files(&coded.out);
    assert!(images.len() > 30, "{} images", images.len());
    let (mut resumed, mut published) = (0, 0);
    for (number, image) in images.into_iter().enumerate() {
        let out = dir.path().join(format!("crashed-{number}"));
        restore(&out, &image);
        let [index, scratch] = image;
        resumed += usize::from(scratch.contains_key("checkpoint.json"));
        published += usize::from(index.contains_key("CURRENT"));
        let config = BuildConfig { out, resume: true, ..coded.clone() };
        if let Err(error) = build(input, &config, &Silent, &AtomicBool::new(false)) {
            let (index, scratch) = (index.into_keys(), scratch.into_keys());
            panic!("{error} with {:?} and {:?}", index.collect::<Vec<_>>(), scratch.collect::<Vec<_>>());
        }
        assert_eq!(files(&config.out), expected);
        fs::remove_dir_all(&config.out).unwrap();
    }
    assert!(resumed > 25 && published > 0, "{resumed} resumed, {published} published");
}

/// The files of the version in force went with the build that replaced it: there was no way back.
#[test]
fn kept_versions_are_whole_after_a_crash_at_any_moment() {
    let dir = tempfile::tempdir().unwrap();
    let source = clustered(400, 8);
    let mut replacing = config(&dir.path().join("watched"));
    (replacing.replace, replacing.keep_previous) = (true, 1);
    for seed in [1, 2] {
        run(&source, &BuildConfig { seed, ..replacing.clone() }).unwrap();
    }
    let of_two = |out: &Path| -> Files {
        read_all(out).into_iter().filter(|(name, _)| name.ends_with("-2")).collect()
    };
    let second = of_two(&replacing.out);
    let images = watch(Input::of(&source), &replacing);
    let expected = files(&replacing.out);
    let mut seen = BTreeSet::new();
    for (number, image) in images.iter().enumerate() {
        let out = dir.path().join(format!("crashed-{number}"));
        restore(&out, image);
        let in_force = Index::open(&out).unwrap().manifest().version;
        let found = versions(&out).unwrap();
        assert!(found.iter().all(|version| version.manifest.is_ok()), "image {number}: {found:?}");
        let there: Vec<u64> = found.iter().map(|version| version.number).collect();
        assert!(there.contains(&2) && (in_force == 3 || there.contains(&1)), "image {number}: {there:?}");
        assert_eq!(of_two(&out), second, "image {number}");
        seen.insert((in_force, there));
        let resumed = BuildConfig { out, resume: true, ..replacing.clone() };
        run(&source, &resumed).unwrap();
        assert_eq!(files(&resumed.out), expected, "image {number}");
        fs::remove_dir_all(&resumed.out).unwrap();
    }
    let all = [(2, vec![1, 2]), (2, vec![1, 2, 3]), (3, vec![1, 2, 3]), (3, vec![2, 3])];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
}
