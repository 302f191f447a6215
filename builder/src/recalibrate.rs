//! A published index is calibrated again: a new version over the same sections.
use std::path::Path;
use std::sync::atomic::AtomicBool;

use fs_err as fs;
use spandrel_index::format::{Manifest, RecallCurves, current, publish_manifest, versions};
use spandrel_index::read_recall;
use spandrel_io::{FolderLock, FolderStore, Store, StoreError};

use crate::calibrate::{calibrated, write_recall};
use crate::checkpoint::Checkpoint;
use crate::folders::SCRATCH;
use crate::kept::{newest, remove_others, stats_name};
use crate::{BuildError, Calibrate, Progress, Unpublished};

/// Statistics of a build are a few kilobytes.
const STATS_BYTES_MAX: u64 = 16 << 20;

/// What calibrating again came to.
#[derive(Debug, Clone)]
pub struct Recalibrated {
    /// The manifest that was in force before, whose version stays in the folder.
    pub before: Manifest,
    /// The manifest now in force.
    pub manifest: Manifest,
    /// What recall to expect.
    pub recall: RecallCurves,
}

/// Calibrates the version in force of the index in `dir`, and publishes what was found as a new version over the same
/// sections. None where nothing can be found: then nothing is published.
///
/// Earlier versions stay, to go back to and for servers that are held to one of them. Each takes a few kilobytes of its own. A build with `replace`
/// removes those that it does not keep.
///
/// # Errors
/// [`BuildError`]; the version before then stays in force.
pub fn recalibrate(
    dir: &Path,
    by: &dyn Calibrate,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<Option<Recalibrated>, BuildError> {
    // Without an index there is nothing to lock.
    current(&FolderStore::new(dir))?;
    let dir = fs::canonicalize(dir)?;
    let _lock = FolderLock::acquire(&dir)?;
    let store = FolderStore::new(&dir);
    if Checkpoint::read(&FolderStore::new(&dir.join(SCRATCH)))?.is_some() {
        return Err(BuildError::Unfinished { path: dir });
    }
    let before = Manifest::open(&store, current(&store)?)?;
    let index = Unpublished { dir: &dir, manifest: &before };
    let Some(recall) = calibrated(by, index, progress, stop)? else { return Ok(None) };
    let manifest = publish(&store, &before, &recall)?;
    Ok(Some(Recalibrated { before, manifest, recall }))
}

/// Publishes curves over the sections of a version.
fn publish(store: &dyn Store, before: &Manifest, recall: &RecallCurves) -> Result<Manifest, BuildError> {
    let version = newest(store)? + 1;
    let section = write_recall(store, before, version, recall)?;
    let manifest = Manifest { version, recall: Some(section), ..before.clone() };
    read_recall(store, &manifest)?;
    match store.read(&stats_name(before.version), STATS_BYTES_MAX) {
        Ok(stats) => store.replace(&stats_name(version), &stats)?,
        Err(StoreError::Missing { .. }) => {}
        Err(e) => return Err(e.into()),
    }
    publish_manifest(store, &manifest)?;
    let there = versions(store)?;
    // Leftovers of an interrupted run are removed. A version that does not open may be restored, and nobody knows which files it shares.
    if there.iter().all(|version| version.manifest.is_ok()) {
        remove_others(store, &there.iter().map(|version| version.number).collect::<Vec<_>>())?;
    }
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use spandrel_index::format::{RecallCurve, RecallPoint, RecallSource};
    use spandrel_index::{Index, OpenOptions, Tier, verify};
    use spandrel_io::faults::CrashStore;

    use super::*;
    use crate::run::tests::{clustered, config, run};
    use crate::{BuildConfig, Silent};

    /// Curves that tell themselves apart by their number of queries.
    fn curves(queries: u32) -> RecallCurves {
        let point = RecallPoint {
            lists: 1,
            rerank_errors: 0.0,
            epsilon: None,
            log_odds: None,
            recall: 0.5,
            vectors_scanned: 20.0,
            reranked: 0.0,
        };
        let curve = RecallCurve {
            vectors: Tier::Ssd,
            k: 1,
            queries,
            codes_per_compared: 1.0,
            stop: None,
            points: vec![point],
        };
        RecallCurves {
            source: RecallSource::Queries,
            confidence: None,
            curves: vec![curve],
            ranges: Vec::new(),
        }
    }

    /// Finds these curves, or fails.
    struct Finds(Option<RecallCurves>);

    impl Calibrate for Finds {
        fn calibrate(
            &self,
            _: Unpublished<'_>,
            _: &mut dyn FnMut(u64) -> bool,
        ) -> Result<Option<RecallCurves>, Box<dyn Error + Send + Sync>> {
            self.0.clone().map(Some).ok_or_else(|| "refused".into())
        }
    }

    fn again(dir: &Path, queries: u32) -> Result<Option<Recalibrated>, BuildError> {
        recalibrate(dir, &Finds(Some(curves(queries))), &Silent, &AtomicBool::new(false))
    }

    fn there(dir: &Path) -> Vec<u64> {
        let found = versions(&FolderStore::new(dir)).unwrap();
        assert!(found.iter().all(|version| version.manifest.is_ok()), "{found:?}");
        found.iter().map(|version| version.number).collect()
    }

    #[test]
    fn versions_share_the_files_of_the_build() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("index");
        let source = clustered(500, 8);
        let config = BuildConfig { keep_previous: 1, replace: true, ..config(&dir) };
        run(&source, &config).unwrap();
        let stats = fs::read(dir.join("build-stats-1.json")).unwrap();
        assert_eq!(again(&dir, 7).unwrap().unwrap().manifest.version, 2);
        assert_eq!(again(&dir, 8).unwrap().unwrap().manifest.version, 3);
        assert_eq!(there(&dir), [1, 2, 3], "a server may be held to any of them");
        let index = Index::open(&dir).unwrap();
        assert_eq!((index.recall(), index.manifest().version), (Some(&curves(8)), 3));
        assert!(dir.join("vectors-1").exists() && !dir.join("vectors-3").exists());
        let first = Index::open_version(&dir, 1, OpenOptions::default(), &AtomicBool::new(false)).unwrap();
        assert!(first.recall().is_none());
        assert_eq!(fs::read(dir.join("build-stats-3.json")).unwrap(), stats);
        let stop = AtomicBool::new(false);
        let before = Index::open_version(&dir, 2, OpenOptions::default(), &stop).unwrap();
        assert_eq!(before.recall(), Some(&curves(7)));
        assert_eq!(verify(&dir, true, &mut |_| {}, &stop).unwrap().version, 3);
        // A build beside it keeps the calibrated one whole, and a build in its place nothing of it.
        assert_eq!(run(&source, &BuildConfig { seed: 4, ..config.clone() }).unwrap().manifest.version, 4);
        assert_eq!(there(&dir), [3, 4]);
        let kept = Index::open_version(&dir, 3, OpenOptions::default(), &stop).unwrap();
        assert_eq!(kept.recall(), Some(&curves(8)));
        assert_eq!(again(&dir, 9).unwrap().unwrap().manifest.version, 5);
        assert_eq!(there(&dir), [3, 4, 5], "another build stays");
        run(&source, &BuildConfig { keep_previous: 0, ..config }).unwrap();
        assert_eq!(there(&dir), [6]);
        let names: Vec<String> = FolderStore::new(&dir).list().unwrap();
        assert!(names.iter().all(|name| name.contains("-6") || !name.contains('-')), "{names:?}");
    }

    #[test]
    fn a_version_that_does_not_open_is_not_removed_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("index");
        let (source, stop) = (clustered(500, 8), AtomicBool::new(false));
        let config = BuildConfig { keep_previous: 2, replace: true, ..config(&dir) };
        run(&source, &config).unwrap();
        let first = |dir: &Path| Index::open_version(dir, 1, OpenOptions::default(), &stop);
        let (manifest, aside) = (dir.join("manifest-1"), folder.path().join("aside"));
        let whole = fs::read(&manifest).unwrap();
        let mut damaged = whole.clone();
        *damaged.last_mut().unwrap() ^= 1;
        fs::write(&manifest, damaged).unwrap();
        // The version in force has to open.
        assert!(again(&dir, 7).is_err());
        fs::write(&manifest, &whole).unwrap();
        again(&dir, 7).unwrap();
        fs::write(&manifest, &whole[1..]).unwrap();
        fs::write(dir.join("codes-9.partial"), "left by a run that was interrupted").unwrap();
        again(&dir, 8).unwrap();
        fs::write(&manifest, &whole).unwrap();
        assert!(first(&dir).is_ok() && dir.join("codes-9.partial").exists());
        again(&dir, 9).unwrap();
        assert!(!dir.join("codes-9.partial").exists());
        // Nor by a build that keeps it, where it cannot be read for a while.
        fs::rename(&manifest, &aside).unwrap();
        fs::create_dir(&manifest).unwrap();
        let built = run(&source, &BuildConfig { seed: 4, keep_previous: 9, ..config }).unwrap().manifest;
        fs::remove_dir(&manifest).unwrap();
        fs::rename(&aside, &manifest).unwrap();
        assert!(there(&dir).contains(&built.version) && first(&dir).is_ok(), "{:?}", there(&dir));
    }

    #[test]
    fn what_cannot_be_calibrated_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("index");
        assert!(matches!(again(&dir, 7), Err(BuildError::Open(_))));
        assert!(!dir.exists());
        let source = clustered(500, 8);
        run(&source, &config(&dir)).unwrap();
        let names = FolderStore::new(&dir).list().unwrap();
        let failed = recalibrate(&dir, &Finds(None), &Silent, &AtomicBool::new(false)).unwrap_err();
        assert!(matches!(failed, BuildError::Calibrate(_)), "{failed}");
        assert_eq!(FolderStore::new(&dir).list().unwrap(), names);
        let lock = FolderLock::acquire(&dir).unwrap();
        assert!(matches!(again(&dir, 7), Err(BuildError::Lock(_))));
        drop(lock);
        // A build that was stopped would later publish what is older.
        let begun = BuildConfig { replace: true, seed: 9, ..config(&dir) };
        let stop = AtomicBool::new(true);
        let input = crate::Input::of(&source);
        assert!(matches!(crate::build(input, &begun, &Silent, &stop), Err(BuildError::Stopped)));
        assert!(matches!(again(&dir, 7), Err(BuildError::Unfinished { .. })));
        let elsewhere = folder.path().join("elsewhere");
        let begun = BuildConfig { scratch: Some(elsewhere), ..begun };
        assert!(matches!(crate::build(input, &begun, &Silent, &stop), Err(BuildError::Stopped)));
        fs::remove_dir_all(dir.join(SCRATCH)).ok();
        again(&dir, 7).unwrap();
        again(&dir, 8).unwrap();
        let overtaken = run(&source, &BuildConfig { resume: true, replace: false, ..begun }).unwrap_err();
        assert!(matches!(overtaken, BuildError::Overtaken { found: 3, .. }), "{overtaken}");
    }

    #[test]
    fn a_crash_at_any_moment_leaves_one_of_the_two() {
        let folder = tempfile::tempdir().unwrap();
        let built = run(&clustered(300, 8), &config(folder.path())).unwrap().manifest;
        let publish_both = |store: &dyn Store| {
            for name in built.files() {
                let mut writer = store.create(name).unwrap();
                writer.append(&fs::read(folder.path().join(name)).unwrap()).unwrap();
                writer.finish().unwrap();
            }
            publish_manifest(store, &built).unwrap();
        };
        let whole = CrashStore::new();
        publish_both(&whole);
        let first = whole.syncs();
        publish(&whole, &built, &curves(7)).unwrap();
        let mut opened = Vec::new();
        for stop in first..=whole.syncs() {
            let store = CrashStore::stopping_after(stop);
            publish_both(&store);
            publish(&store, &built, &curves(7)).unwrap();
            for image in store.images() {
                let index =
                    Index::open_from(&image, OpenOptions::default(), &AtomicBool::new(false)).unwrap();
                assert_eq!(index.recall().is_some(), index.manifest().version == 2);
                opened.push(index.manifest().version);
            }
        }
        assert!(opened.is_sorted() && opened.contains(&1) && opened.contains(&2), "{opened:?}");
    }
}
