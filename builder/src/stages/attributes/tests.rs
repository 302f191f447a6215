use std::collections::BTreeMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use roaring::RoaringBitmap;
use spandrel_io::FolderStore;

use super::collector::{Collector, Texts};
use super::merge;
use crate::spill::{SpillReader, SpillWriter};

/// Runs of several sizes, small and larger than what is read at once.
const RUNS: [u32; 4] = [5, 30_000, 1, 60_000];

#[test]
fn runs_merge_to_what_one_would_hold() {
    let dir = tempfile::tempdir().unwrap();
    let store = FolderStore::new(dir.path());
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut spill = SpillWriter::create(&store, "runs", 0, 1, 0).unwrap();
    let (mut texts, mut numbers) = (Collector::Texts(Texts::default()), Collector::Numbers(Vec::new()));
    let mut expected_texts: BTreeMap<String, RoaringBitmap> = BTreeMap::new();
    let mut expected_numbers: BTreeMap<u32, u64> = BTreeMap::new();
    // A position is in one run, and runs do not come in the order of positions.
    let mut positions: Vec<u32> = (0..RUNS.iter().sum()).map(|at| at * 7 % 100_003).collect();
    let mut runs = Vec::new();
    for count in RUNS {
        for position in positions.split_off(positions.len() - count as usize) {
            for _ in 0..rng.random_range(0..3) {
                // One text that many positions have, longer than others.
                let text = match rng.random_range(0..4) {
                    0 => "x".repeat(3000),
                    _ => format!("{}", rng.random_range(0..40_000_u32)),
                };
                if expected_texts.entry(text.clone()).or_default().insert(position)
                    && let Collector::Texts(texts) = &mut texts
                {
                    texts.push(&text, position);
                }
            }
            let key = rng.random();
            expected_numbers.insert(position, key);
            if let Collector::Numbers(numbers) = &mut numbers {
                numbers.push((position, key));
            }
        }
        assert!(texts.memory_bytes() > 0 || count < 10);
        for (kind, collector) in [&mut texts, &mut numbers].into_iter().enumerate() {
            if collector.flush(&mut spill).unwrap() {
                runs.push(kind);
            }
            assert_eq!(collector.memory_bytes(), 0);
            assert!(!collector.flush(&mut spill).unwrap(), "nothing is left");
        }
    }
    let spill = spill.finish().unwrap();
    let spill = SpillReader::open(&store, "runs", &spill).unwrap();
    let of = |kind| (0..runs.len()).filter(|&run| runs[run] == kind).collect::<Vec<_>>();
    assert!(of(0).len() >= 3 && of(1).len() == 4 && spill.groups() == runs.len());
    let mut found = BTreeMap::new();
    merge::texts(&spill, &of(0), |text, positions| {
        assert!(found.last_key_value().is_none_or(|(last, _): (&String, _)| last.as_str() < text));
        found.insert(text.to_owned(), positions.clone());
        Ok(())
    })
    .unwrap();
    assert_eq!(found, expected_texts);
    let mut found = Vec::new();
    merge::numbers(&spill, &of(1), |position, key| {
        found.push((position, key));
        Ok(())
    })
    .unwrap();
    assert_eq!(found, expected_numbers.into_iter().collect::<Vec<_>>());
}
