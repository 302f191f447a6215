//! Which versions of an index there are after a build.
use super::*;

#[test]
fn an_index_is_replaced_only_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let source = clustered(500, 8);
    let mut config = config(&dir.path().join("index"));
    run(&source, &config).unwrap();
    assert!(matches!(run(&source, &config).unwrap_err(), BuildError::Exists { .. }));
    config.replace = true;
    config.seed = 4;
    assert_eq!(run(&source, &config).unwrap().manifest.version, 2);
    assert!(files(&config.out).iter().all(|(name, _)| !name.ends_with("-1")));
}

#[test]
fn older_versions_are_kept_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let source = clustered(300, 8);
    let mut config = config(&dir.path().join("index"));
    let versions = |config: &BuildConfig| -> Vec<u64> {
        let found = spandrel_index::versions(&config.out).unwrap();
        assert!(found.iter().all(|version| version.manifest.is_ok()));
        found.iter().map(|version| version.number).collect()
    };
    run(&source, &config).unwrap();
    let first = files(&config.out);
    (config.replace, config.keep_previous) = (true, 1);
    for (seed, there) in [(4, [1, 2]), (5, [2, 3])] {
        config.seed = seed;
        run(&source, &config).unwrap();
        assert_eq!(versions(&config), there);
        let kept = files(&config.out);
        assert!(seed > 4 || first.iter().filter(|(name, _)| name != CURRENT).all(|file| kept.contains(file)));
    }
    // A version that was put in force again is the first to be kept, and no number is given twice.
    let store = FolderStore::new(&config.out);
    format::put_in_force(&store, 2).unwrap();
    config.seed = 6;
    run(&source, &config).unwrap();
    assert_eq!(versions(&config), [2, 4]);
    // What an unfinished build left beside them goes, and they stay.
    fs::write(config.out.join("codes-5"), "half").unwrap();
    config.keep_previous = 2;
    run(&source, &config).unwrap();
    assert_eq!(versions(&config), [2, 4, 5]);
    config.keep_previous = 0;
    run(&source, &config).unwrap();
    assert_eq!(versions(&config), [6]);
    assert!(files(&config.out).iter().all(|(name, _)| name == CURRENT || name.ends_with("-6")));
}

#[test]
fn what_was_approved_stays_until_another_is() {
    let dir = tempfile::tempdir().unwrap();
    let source = clustered(300, 8);
    let mut config = config(&dir.path().join("index"));
    run(&source, &config).unwrap();
    config.replace = true;
    let store = FolderStore::new(&config.out);
    let build = || {
        run(&source, &config).unwrap();
        let found = spandrel_index::versions(&config.out).unwrap();
        found.iter().map(|version| (version.number, version.manifest.is_ok())).collect::<Vec<_>>()
    };
    format::approve(&store, 1).unwrap();
    assert_eq!([build(), build()], [[(1, true), (2, true)], [(1, true), (3, true)]]);
    format::approve(&store, 3).unwrap();
    assert_eq!(build(), [(3, true), (4, true)]);
    // Which one it was cannot be told any more: nothing goes.
    fs::write(config.out.join(format::APPROVED), "manifest-3").unwrap();
    assert!(matches!(run(&source, &config).unwrap_err(), BuildError::Open(_)));
    fs::remove_file(config.out.join(format::APPROVED)).unwrap();
    assert_eq!(build(), [(5, true)]);
}
