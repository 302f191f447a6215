use std::path::PathBuf;

use fs_err as fs;
use xxhash_rust::xxh3::xxh3_128;

use super::*;
use crate::format::{BODY_AT, CURRENT, Current, Manifest, OpenError, current, hash_hex, manifest_name};
use crate::testing::TestIndex;
use crate::{DType, Metric};

fn run(dir: &Path, deep: bool) -> Result<VerifyReport, VerifyError> {
    verify(dir, deep, &mut |_| {}, &AtomicBool::new(false))
}

fn written(index: &TestIndex) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    index.write(dir.path());
    dir
}

/// Rewrites a section's body and every hash that covers the whole file, so that only content gives it away.
fn rewrite(dir: &Path, kind: SectionKind, change: impl FnOnce(&mut Vec<u8>)) {
    let mut manifest = {
        let store = spandrel_io::FolderStore::new(dir);
        Manifest::open(&store, current(&store).unwrap()).unwrap()
    };
    let entry = manifest.segments[0].sections.iter_mut().find(|s| s.kind == kind.name()).unwrap();
    let path = dir.join(&entry.file);
    let bytes = fs::read(&path).unwrap();
    let (header, body) = bytes.split_at(BODY_AT as usize);
    let mut body = body.to_vec();
    change(&mut body);
    entry.hash = hash_hex(xxh3_128(&body));
    fs::write(&path, [header, &body].concat()).unwrap();
    let bytes = manifest.to_bytes();
    fs::write(dir.join(manifest_name(manifest.version)), &bytes).unwrap();
    fs::write(dir.join(CURRENT), Current::of(manifest.version, &bytes).to_bytes()).unwrap();
}

fn refused(dir: &Path) -> String {
    match run(dir, true) {
        Err(VerifyError::Open(error)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_whole_index_of_every_kind_passes() {
    for metric in Metric::ALL {
        for dtype in DType::ALL {
            let mut index = TestIndex::random(metric, dtype, 9, 700);
            index.graph = dtype == DType::F32;
            let dir = written(&index);
            let shallow = run(dir.path(), false).unwrap();
            assert_eq!((shallow.vectors, shallow.lists, shallow.copies), (700, 70, 1400));
            let deep = run(dir.path(), true).unwrap();
            assert_eq!((deep.replicas, deep.deep, deep.bytes), (700, true, shallow.bytes));
        }
    }
}

#[test]
fn what_is_open_is_verified_although_another_version_took_its_place() {
    let index = TestIndex::random(Metric::L2, DType::U8, 9, 700);
    let dir = written(&index);
    let opened = Index::open(dir.path()).unwrap();
    let check = |deep| verify_open(&opened, deep, &mut |_| {}, &AtomicBool::new(false));
    let paths = ["heads-1", "codes-1", "vectors-1"].map(|name| dir.path().join(name));
    for deep in [false, true] {
        assert_eq!(check(deep).unwrap(), run(dir.path(), deep).unwrap());
    }
    // Damage shows in what is open.
    for path in &paths {
        let good = fs::read(path).unwrap();
        let mut bad = good.clone();
        *bad.last_mut().unwrap() ^= 1;
        fs::write(path, &bad).unwrap();
        for deep in [false, true] {
            let refused = check(deep).unwrap_err().to_string();
            assert!(refused.contains(path.file_name().unwrap().to_str().unwrap()), "{refused}");
        }
        fs::write(path, &good).unwrap();
    }
    // In the folder now is something else, and the names of before are gone.
    for entry in fs::read_dir(dir.path()).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    for deep in [false, true] {
        assert_eq!(check(deep).unwrap().version, 1);
    }
    assert!(run(dir.path(), false).is_err());
}

#[test]
fn any_flipped_byte_of_any_file_is_found() {
    let mut index = TestIndex::random(Metric::Cosine, DType::F16, 5, 60);
    index.graph = true;
    let dir = written(&index);
    let names: Vec<PathBuf> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(names.len(), 8);
    for path in names {
        let good = fs::read(&path).unwrap();
        let step = (good.len() / 200).max(1);
        for at in (0..good.len()).step_by(step) {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            fs::write(&path, &bad).unwrap();
            for deep in [false, true] {
                let error = run(dir.path(), deep).expect_err("a flipped byte");
                let name = path.file_name().unwrap().to_str().unwrap();
                // A changed name in CURRENT is a file that is not there.
                let named = error.to_string().contains(name) || name == CURRENT;
                assert!(named, "{name} byte {at}: {error}");
            }
        }
        for bytes in [&good[..good.len() - 1], &good[..good.len() / 2], &[], &[&good[..], &[0]].concat()] {
            fs::write(&path, bytes).unwrap();
            assert!(run(dir.path(), false).is_err(), "{} of {} bytes", path.display(), bytes.len());
        }
        fs::write(&path, &good).unwrap();
    }
    run(dir.path(), true).unwrap();
}

/// The first alone was named.
#[test]
fn all_damaged_files_are_named() {
    let index = TestIndex::random(Metric::L2, DType::U8, 5, 60);
    let dir = written(&index);
    let opened = Index::open(dir.path()).unwrap();
    let flip = |name: &str| {
        let path = dir.path().join(name);
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
    };
    let told = |error: VerifyError| -> Vec<String> {
        let text = error.to_string();
        let VerifyError::Several { damaged, more: 0 } = error else { panic!("{text}") };
        assert!(text.starts_with(&format!("{} files are damaged: ", damaged.len())), "{text}");
        let name = |error: &OpenError| error.path().file_name().unwrap().to_str().unwrap().to_owned();
        damaged.iter().map(name).collect()
    };
    flip("codes-1");
    flip("ids-1");
    for deep in [false, true] {
        let open = verify_open(&opened, deep, &mut |_| {}, &AtomicBool::new(false)).unwrap_err();
        assert_eq!(told(open), ["codes-1", "ids-1"]);
        assert_eq!(told(run(dir.path(), deep).unwrap_err()), ["codes-1", "ids-1"]);
    }
    // Also where it cannot be opened.
    flip("heads-1");
    fs::remove_file(dir.path().join("vectors-1")).unwrap();
    assert_eq!(told(run(dir.path(), false).unwrap_err()).len(), 4);
}

#[test]
fn a_missing_file_is_named() {
    let index = TestIndex::random(Metric::L2, DType::U8, 5, 60);
    let dir = written(&index);
    fs::remove_file(dir.path().join("vectors-1")).unwrap();
    assert!(refused(dir.path()).contains("vectors-1"));
    fs::remove_file(dir.path().join(CURRENT)).unwrap();
    assert!(matches!(
        run(dir.path(), false),
        Err(VerifyError::Open(OpenError::NotAnIndex { begun: false, .. }))
    ));
}

#[test]
fn files_of_another_index_are_refused() {
    let (one, mut other) =
        (TestIndex::random(Metric::L2, DType::U8, 5, 60), TestIndex::random(Metric::L2, DType::U8, 5, 60));
    other.rows[0] ^= 1;
    let (dir, other) = (written(&one), written(&other));
    for name in ["heads-1", "directory-1", "codes-1", "vectors-1", "ids-1"] {
        let good = fs::read(dir.path().join(name)).unwrap();
        fs::copy(other.path().join(name), dir.path().join(name)).unwrap();
        let error = refused(dir.path());
        assert!(error.contains("uuid") && error.contains(name), "{error}");
        fs::write(dir.path().join(name), good).unwrap();
    }
}

#[test]
fn contradictions_behind_good_hashes_are_found() {
    let index = TestIndex::random(Metric::Cosine, DType::F32, 5, 1500);
    let layout = crate::format::PageLayout::new(20, Metric::Cosine, crate::format::IdBytes::Four);
    let uuid = Index::open(written(&index).path()).unwrap().uuid();
    // A vector that its page vouches for but the list does not hold.
    let dir = written(&index);
    rewrite(dir.path(), SectionKind::Vectors, |body| {
        let mut page = body[..layout.page_bytes() - 4].to_vec();
        page[3] ^= 1;
        layout.finish_page(uuid, 0, &mut page);
        body[..page.len()].copy_from_slice(&page);
    });
    run(dir.path(), false).unwrap();
    assert!(refused(dir.path()).contains("vectors-1: entry 0"));

    // A radius that is not that of the list.
    let dir = written(&index);
    rewrite(dir.path(), SectionKind::Directory, |body| {
        let radius = f32::from_le_bytes(body[12..16].try_into().unwrap());
        body[12..16].copy_from_slice(&radius.next_down().to_le_bytes());
    });
    run(dir.path(), false).unwrap();
    assert!(refused(dir.path()).contains("radius of list 0"));

    // Two ids that have each other's position.
    let ids = crate::format::IdPages { id_bytes: crate::format::IdBytes::Four, uuid };
    let swap = |from: usize, to: usize, positions_only: bool| {
        let dir = written(&index);
        rewrite(dir.path(), SectionKind::Ids, |body| {
            let mut pairs = ids.read_page(0, &body[..4096], ids.page_entries()).unwrap();
            pairs.swap(from, to);
            if positions_only {
                let id = pairs[from].0;
                pairs[from].0 = pairs[to].0;
                pairs[to].0 = id;
            }
            body[..4096].copy_from_slice(&ids.page(0, &pairs));
        });
        refused(dir.path())
    };
    assert!(swap(5, 6, true).contains("positions of ids"));
    assert!(swap(5, 6, false).contains("ascending"));
}

#[test]
fn it_stops_when_told() {
    let dir = written(&TestIndex::random(Metric::L2, DType::U8, 5, 60));
    for deep in [false, true] {
        let stopped = verify(dir.path(), deep, &mut |_| {}, &AtomicBool::new(true));
        assert!(matches!(stopped, Err(VerifyError::Stopped { .. })));
    }
    // Also while the other files are read after one was found damaged.
    let first = |index: &Index| OpenError::MissingFile {
        path: index.segments()[0].file(SectionKind::Heads).path().to_owned(),
    };
    let index = Index::open(dir.path()).unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(['h', 'i', 'v'])) {
            let mut bytes = fs::read(&path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(&path, bytes).unwrap();
        }
    }
    for (is_stopped, finds) in [(false, true), (true, false)] {
        let stop = AtomicBool::new(is_stopped);
        let error = damage::with_others(first(&index).into(), index.each_open(&stop));
        assert_eq!(matches!(error, VerifyError::Several { .. }), finds, "{error}");
    }
}
