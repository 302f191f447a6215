//! Files that people give, changed at random by a seed: read or refused, never a panic, and never more memory than small files
//! can ask for.
use std::fs;
use std::path::Path;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use spandrel_builder::testing::{Moment, StopAt};
use spandrel_builder::{BuildConfig, BuildError, Caller, Silent};
use spandrel_datasets::{Array, Format, IdFile, InFile, Rows, Truth, VectorFile, VectorWriter, contents};
use spandrel_index::codes::{CodeSpec, Codebooks};
use spandrel_index::{DType, Metric, Tier, VectorSource};
use spandrel_tests::mutations::{mutated, mutated_json, peak_bytes};
use spandrel_tests::{Base, clustered, coded};
use xxhash_rust::xxh3::xxh3_64;

use super::folder::Whole;
use super::resealed::{manifest_json, open_json, search_all};

/// What small files may make the process reserve, with the other tests beside.
const RESERVED_MAX: u64 = 16 << 30;

/// Opens a changed file in every way there is, and reads all that it says it has: whether any way works.
fn read_in_every_way(path: &Path) -> bool {
    let mut works = false;
    let from = InFile { path, format: None, truncated: true };
    for file in [VectorFile::open(path), VectorFile::open_as(from)].into_iter().flatten() {
        works |= Rows::read(&file).is_ok_and(|rows| rows.len() == file.len());
    }
    if let Ok(ids) = IdFile::open(path) {
        let mut out = vec![0; ids.len().min(1000) as usize];
        works |= ids.read_ids(0, &mut out).is_ok();
    }
    works |= Truth::open(path).is_ok();
    if let Ok(array) = Array::read(path) {
        works = true;
        drop(Codebooks::new([2, 16, 3], array.values, None));
    }
    drop(contents(path.into()));
    works
}

#[test]
fn changed_files_of_vectors_ids_and_truths_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut names = Vec::new();
    for format in Format::ALL {
        let name = format!("vectors.{format}");
        // Not every format holds every type; truths are written below.
        for dtype in DType::ALL {
            if let Ok(mut writer) = VectorWriter::create(&path(&name), dtype, 3) {
                writer.write_rows(&vec![7; dtype.row_bytes(3) * 20]).unwrap();
                writer.finish().unwrap();
                names.push(name.clone());
                break;
            }
        }
    }
    let truth = Truth { queries: 2, k: 3, ids: vec![5, 1, 2, 0, 7, 3], distances: Some(vec![0.5; 6]) };
    for format in ["ibin", "ivecs", "npy"] {
        if truth.write(path(&format!("truth.{format}")).as_path()).is_ok() {
            names.push(format!("truth.{format}"));
        }
    }
    assert!(names.len() >= 8, "{names:?}");
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let before = peak_bytes();
    let (mut read, mut refused) = (0, 0);
    for name in names {
        let good = fs::read(path(&name)).unwrap();
        assert!(read_in_every_way(&path(&name)), "{name}");
        for _ in 0..400 {
            fs::write(path(&name), mutated(&good, &mut rng)).unwrap();
            if read_in_every_way(&path(&name)) { read += 1 } else { refused += 1 }
        }
    }
    assert!(read > 200 && refused > 1000, "{read} read, {refused} refused");
    let reserved = peak_bytes() - before;
    assert!(reserved < RESERVED_MAX, "{reserved} bytes");
}

#[test]
fn changed_manifests_under_hashes_that_hold_are_opened_or_refused() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let before = peak_bytes();
    for whole in Whole::all() {
        let good = manifest_json(&whole);
        let (mut opened, mut refused) = (0, 0);
        for _ in 0..400 {
            match open_json(&whole, &mutated_json(&good, &mut rng)) {
                Ok(index) => {
                    opened += 1;
                    search_all(&whole, index);
                }
                Err(_) => refused += 1,
            }
        }
        assert!(opened > 4 && refused > 100, "{}: {opened} opened, {refused} refused", whole.name());
    }
    let reserved = peak_bytes() - before;
    assert!(reserved < RESERVED_MAX, "{reserved} bytes");
}

/// The files below a folder, with their bytes.
fn files(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path))
        } else {
            found.push((path.clone(), fs::read(path).unwrap()))
        }
    }
    found
}

#[test]
fn changed_checkpoints_under_hashes_that_hold_go_on_or_are_refused() {
    let base = Base::new(clustered(DType::U8, 8, 1500, 3));
    let code = CodeSpec::Products { quantisers: 4, bits: 4, rotated: false, uniform: false };
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let before = peak_bytes();
    let (mut finished, mut refused, mut stops) = (0, 0, 0);
    for phases in 2..12 {
        let dir = tempfile::tempdir().unwrap();
        let config = coded(Metric::L2, code, Tier::Ssd, &dir.path().join("index"));
        let progress = StopAt::new(Moment::Phases(phases));
        let caller = Caller { progress: &progress, stop: &progress.stop, calibrate: None };
        let stopped = base.build_for(&config, caller);
        if stopped.is_ok() {
            break;
        }
        assert!(matches!(stopped, Err(BuildError::Stopped)), "{stopped:?}");
        let whole = files(&config.out);
        let Some((at, bytes)) = whole.iter().find(|(path, _)| path.ends_with("checkpoint.json")) else {
            continue;
        };
        stops += 1;
        let good: Value = serde_json::from_slice(&bytes[16..]).unwrap();
        for turn in 0..30 {
            fs::remove_dir_all(&config.out).unwrap();
            for (path, bytes) in &whole {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
            }
            let changed = if turn == 0 { good.clone() } else { mutated_json(&good, &mut rng) };
            let json = if rng.random_range(0..4) == 0 && turn > 0 {
                mutated(&bytes[16..], &mut rng)
            } else {
                serde_json::to_vec(&changed).unwrap()
            };
            fs::write(at, [format!("{:016x}", xxh3_64(&json)).into_bytes(), json].concat()).unwrap();
            let resumed = base.build_watched(&BuildConfig { resume: true, ..config.clone() }, None, &Silent);
            assert!(turn > 0 || resumed.is_ok(), "{resumed:?}");
            if resumed.is_ok() { finished += 1 } else { refused += 1 }
        }
    }
    assert!(stops >= 4 && finished > 10 && refused > 10, "{stops}: {finished} finished, {refused} refused");
    let reserved = peak_bytes() - before;
    assert!(reserved < RESERVED_MAX, "{reserved} bytes");
}
