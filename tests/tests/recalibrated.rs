//! A version that differs from another in what it says of recall alone shares all else with it.
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use spandrel_engine::{Engine, SearchParams};
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::{Manifest, current, publish_manifest};
use spandrel_index::{DType, Index, Metric, OpenOptions, Tier};
use spandrel_io::FolderStore;
use spandrel_tests::{Base, clustered, coded};

use crate::support::{engine_config, found};

#[test]
fn segments_are_shared_by_versions_of_the_same_sections() {
    let dir = tempfile::tempdir().unwrap();
    let base = Base::new(clustered(DType::U8, 24, 1500, 1));
    base.build(&coded(Metric::L2, CodeSpec::RaBitQ { bits: 2 }, Tier::Memory, dir.path())).unwrap();
    let (store, stop) = (FolderStore::new(dir.path()), AtomicBool::new(false));
    let options = OpenOptions::default();
    let one = Index::open_with(dir.path(), options).unwrap();
    let next = Manifest { version: 2, ..one.manifest().clone() };
    publish_manifest(&store, &next).unwrap();
    let manifest = || Manifest::open(&store, current(&store).unwrap()).unwrap();
    let two = one.recalibrated(&store, manifest(), options, &stop).unwrap().unwrap();
    assert_eq!(two.manifest().version, 2);
    assert!(std::ptr::eq(one.segments(), two.segments()), "codes are in memory once");
    let queries = clustered(DType::U8, 24, 20, 5);
    let answers = |index: Index| {
        let engine = Engine::open(Arc::new(index), engine_config()).unwrap();
        found(&engine.search(queries.bytes(), &SearchParams::new(10)).unwrap())
    };
    let shared = |manifest: Manifest, options| one.recalibrated(&store, manifest, options, &stop).unwrap();
    assert!(shared(one.manifest().clone(), options).is_none(), "the same version may be of restored files");
    let elsewhere = OpenOptions { codes: Some(Tier::Ssd), ..options };
    assert!(shared(manifest(), elsewhere).is_none(), "parts are kept elsewhere");
    let mut other = manifest();
    other.segments[0].sections[0].hash = "0".repeat(32);
    assert!(shared(other, options).is_none(), "a section is another");
    let expected = answers(one);
    // What is shared outlives the version it was opened with.
    assert_eq!(answers(two), expected);
}
