//! Power cuts and kills: the old index or the new one, and a build that goes on to the same bytes.
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;

use spandrel_builder::{BuildConfig, BuildError, Calibrate, Silent};
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::{CURRENT, Manifest, OpenError, current, publish_manifest};
use spandrel_index::{DType, Index, Metric, OpenOptions, Tier};
use spandrel_io::faults::CrashStore;
use spandrel_io::{FolderStore, Store};
use spandrel_tests::{Base, CALIBRATOR, clustered, coded, config, crash_config};

use crate::support::{assert_same, identity};

/// Section files, by name.
type Sections = Vec<(String, Vec<u8>)>;

/// Two versions of an index.
struct Versions([(Sections, Manifest); 2]);

impl Versions {
    fn build() -> Versions {
        let dir = tempfile::tempdir().unwrap();
        let base = Base::new(clustered(DType::U8, 8, 300, 1));
        let mut config = config(Metric::L2, dir.path());
        Versions([0, 1].map(|version| {
            (config.seed, config.replace) = (version, version > 0);
            let manifest = base.build(&config).unwrap().manifest;
            let sections =
                manifest.files().map(|name| (name.to_owned(), fs::read(dir.path().join(name)).unwrap()));
            (sections.collect(), manifest)
        }))
    }

    /// What a builder does: sections, each synced, then manifest and switch.
    fn publish(&self, version: usize, store: &dyn Store) {
        let (sections, manifest) = &self.0[version];
        for (name, bytes) in sections {
            let mut writer = store.create(name).unwrap();
            writer.append(bytes).unwrap();
            writer.finish().unwrap();
        }
        publish_manifest(store, manifest).unwrap();
    }
}

/// Opens what a crash left.
fn reopen(image: &CrashStore) -> Result<u64, OpenError> {
    Index::open_from(image, OpenOptions::default(), &AtomicBool::new(false))
        .map(|index| index.manifest().version)
}

#[test]
fn a_crash_at_any_sync_leaves_the_old_index_or_the_new_one() {
    let versions = Versions::build();
    let whole = CrashStore::new();
    versions.publish(0, &whole);
    let first = whole.syncs();
    versions.publish(1, &whole);
    let all = whole.syncs();
    let mut opened = Vec::new();
    for stop in 0..=all {
        let store = CrashStore::stopping_after(stop);
        versions.publish(0, &store);
        if stop > first {
            versions.publish(1, &store);
        }
        for image in store.images() {
            match reopen(&image) {
                Ok(version) => opened.push(version),
                // Before the first switch there is no index, which is not a damaged one.
                Err(OpenError::NotAnIndex { .. } | OpenError::NoCurrent { .. }) if stop < first => {
                    opened.push(0)
                }
                Err(other) => panic!("after {stop} of {all} syncs: {other}"),
            }
        }
    }
    assert!(opened.is_sorted(), "never back to an older one: {opened:?}");
    assert_eq!((opened[0], opened[opened.len() - 1]), (0, 2));
    assert!(opened.contains(&1));
}

/// Runs the child up to a sign of progress and kills it there: `false` when it ended before.
fn kill_at(config: &BuildConfig, sign: &str, flags: &[&str]) -> bool {
    let mut child = Command::new(env!("CARGO_BIN_EXE_spandrel-build-until"))
        .arg(&config.out)
        .args([sign, &config.threads.to_string(), &config.code.to_string()])
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let reached = line == "sign\n";
    if reached {
        child.kill().unwrap();
    }
    let status = child.wait().unwrap();
    match reached {
        true => assert_eq!(status.signal(), Some(9)),
        false => assert!(line.starts_with("done ") && status.success(), "{line:?}, {status}"),
    }
    reached
}

/// Kills builds at signs of progress and lets them go on to the bytes of one that ran through: how many were killed.
fn kill_and_resume(code: CodeSpec, calibrate: bool, signs: &[&str]) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let base = Base::new(clustered(DType::U8, 16, 9000, 1));
    let flags: &[&str] = if calibrate { &["calibrate", "resume"] } else { &["", "resume"] };
    let calibrate = calibrate.then_some(&CALIBRATOR as &dyn Calibrate);
    let build = |config: &BuildConfig| base.build_watched(config, calibrate, &Silent);
    let whole = crash_config(code, &dir.path().join("whole"));
    build(&whole).unwrap();
    let expected = identity(&whole.out);
    let mut kills = 0;
    for (turn, sign) in signs.iter().enumerate() {
        let mut config = crash_config(code, &dir.path().join(format!("killed-{turn}")));
        config.threads = turn % 2 + 1;
        if !kill_at(&config, sign, &flags[..1]) {
            break;
        }
        kills += 1;
        let no_index = current(&FolderStore::new(&config.out)).unwrap_err();
        let is_told =
            matches!(no_index, OpenError::NotAnIndex { begun: true, .. } | OpenError::NoCurrent { .. });
        assert!(is_told, "sign {sign}: {no_index}");
        let refused = build(&config).unwrap_err();
        assert!(matches!(refused, BuildError::Unfinished { .. }), "sign {sign}: {refused}");
        // Killed once more on its way, then left alone.
        kill_at(&config, "3", flags);
        config.resume = true;
        build(&config).unwrap();
        assert_same(&identity(&config.out), &expected, &format!("{code} killed at sign {sign}"));
        assert!(!config.out.join("scratch").exists(), "scratch files are gone");
    }
    kills
}

#[test]
fn a_build_killed_anywhere_goes_on_to_the_same_bytes() {
    let kills = kill_and_resume(CodeSpec::Full, false, &["1", "3", "6", "10", "15", "21", "28", "36"]);
    assert!(kills >= 5, "only {kills} kills");
}

#[test]
fn a_build_of_codes_killed_around_its_training_goes_on_to_the_same_bytes() {
    // At the start of the phase, in it, and where the model has just been made durable, before and amid the writing of
    // the lists that it serves.
    let signs = ["train:1", "train:100", "write:1", "write:3", "ids:1", "verify:3"];
    assert_eq!(kill_and_resume(CodeSpec::Axes { bytes: 12 }, false, &signs), signs.len());
}

#[test]
fn a_build_killed_while_it_is_calibrated_goes_on_to_the_same_bytes() {
    // At the start of the phase, and at several of its searches.
    let signs = ["verify:4", "calibrate:1", "calibrate:2", "calibrate:9", "calibrate:30"];
    assert_eq!(kill_and_resume(CodeSpec::Axes { bytes: 12 }, true, &signs), signs.len());
}

#[test]
fn codes_do_not_depend_on_threads_or_memory() {
    let dir = tempfile::tempdir().unwrap();
    for (code, metric, dtype) in [
        (CodeSpec::RaBitQ { bits: 3 }, Metric::Cosine, DType::F16),
        (CodeSpec::Axes { bytes: 12 }, Metric::InnerProduct, DType::F32),
        (CodeSpec::Binary, Metric::L2, DType::U8),
        (CodeSpec::Products { quantisers: 4, bits: 8, rotated: true, uniform: false }, Metric::L2, DType::I8),
        (
            CodeSpec::Products { quantisers: 5, bits: 4, rotated: false, uniform: true },
            Metric::InnerProduct,
            DType::F32,
        ),
        (CodeSpec::Recurrent { bits: 32, codes: 2, symmetric: false }, Metric::Cosine, DType::F32),
    ] {
        let base = Base::new(clustered(dtype, 16, 9000, 1));
        let mut first = None;
        for (threads, memory) in [(1, 1 << 30), (2, 1 << 30), (3, 200 << 20), (1, 200 << 20)] {
            let out = dir.path().join(format!("{code}-{threads}-{memory}"));
            let mut config = coded(metric, code, Tier::Memory, &out);
            (config.threads, config.memory_bytes) = (threads, memory);
            base.build(&config).unwrap();
            let found = identity(&out);
            assert_same(
                &found,
                first.get_or_insert_with(|| found.clone()),
                &format!("{code}, {threads} threads"),
            );
        }
    }
}

#[test]
fn the_old_index_stays_in_force_while_it_is_being_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(Metric::L2, dir.path());
    Base::new(clustered(DType::U8, 8, 400, 2)).build(&config).unwrap();
    let before = identity(dir.path());
    // A vector without a distance stops the new build after the old index was looked at.
    let mut bytes = clustered(DType::F32, 8, 400, 3).bytes().to_vec();
    bytes[32 * 399..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let base = Base::new(spandrel_datasets::Rows::new(DType::F32, 8, bytes).unwrap());
    config.replace = true;
    assert!(matches!(base.build(&config), Err(BuildError::Value { row: 399, .. })));
    let index = Index::open(dir.path()).unwrap();
    assert_eq!((index.manifest().version, index.dtype()), (1, DType::U8));
    let mut after = identity(dir.path());
    after.retain(|name, _| before.contains_key(name));
    assert_same(&after, &before, "the old index");
    assert_eq!(fs::read(dir.path().join(CURRENT)).unwrap(), before[CURRENT]);
}

#[test]
fn leftovers_of_a_switch_do_not_matter() {
    let versions = Versions::build();
    let dir = tempfile::tempdir().unwrap();
    versions.publish(0, &FolderStore::new(dir.path()));
    // As after a crash between writing the new CURRENT and giving it its name.
    fs::write(dir.path().join("CURRENT.partial"), "manifest-2 half a lin").unwrap();
    fs::write(dir.path().join("codes-2.partial"), "half a file").unwrap();
    assert_eq!(Index::open(dir.path()).unwrap().manifest().version, 1);
    let mut config = config(Metric::L2, dir.path());
    config.replace = true;
    Base::new(clustered(DType::U8, 8, 400, 2)).build(&config).unwrap();
    assert!(!dir.path().join("codes-2.partial").exists());
    assert_eq!(Index::open(dir.path()).unwrap().manifest().version, 2);
}
