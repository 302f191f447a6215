//! Estimates of scores that are known, and what cannot be learned from.
use std::path::{Path, PathBuf};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spandrel_index::{DType, VectorSource as _, decode};

use super::*;
use crate::file::{OutFile, VectorFile, VectorWriter};
use crate::rows::Rows;
use crate::watch::Watch;

/// Scores of `queries` with `items`: products of `rank` numbers each, and a little that nothing explains.
fn scores(queries: usize, items: usize, rank: usize, noise: f32) -> ScoreMatrix {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut numbers =
        |count: usize| -> Vec<f32> { (0..count).map(|_| rng.random_range(-1.0..1.0)).collect() };
    let (left, right) = (numbers(queries * rank), numbers(items * rank));
    let rest = numbers(queries * items);
    let of = |at: usize| {
        let (a, b) = (&left[at / items * rank..][..rank], &right[at % items * rank..][..rank]);
        a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>() + noise * rest[at]
    };
    ScoreMatrix::new(items, (0..queries * items).map(of).collect(), String::new).unwrap()
}

const PARAMS: CurParams =
    CurParams { strength: None, held_out: HeldOut { queries: None, ranks: true }, seed: 1 };

fn chosen(scores: &ScoreMatrix, count: usize, choice: AnchorChoice) -> Vec<u64> {
    choose_anchors(scores, AnchorParams { count, choice, seed: 5 }, Watch::none()).unwrap()
}

fn write(path: &Path, columns: usize, values: &[f32]) {
    let mut writer = VectorWriter::create(path, DType::F32, columns).unwrap();
    writer.write_rows(&values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
    writer.finish().unwrap();
}

#[test]
fn scores_of_low_rank_are_estimated_from_a_few() {
    let all = scores(60, 300, 8, 0.0);
    // Learned from 50 queries, for the other ten.
    let taught =
        ScoreMatrix::new(300, (0..50).flat_map(|q| all.row(q).to_vec()).collect(), String::new).unwrap();
    for choice in AnchorChoice::ALL {
        let anchors = chosen(&taught, if choice == AnchorChoice::Pivoted { 8 } else { 20 }, choice);
        for strength in [None, Some(Strength::Ridge(0.0)), Some(Strength::Rank(8))] {
            let params = CurParams { strength, ..PARAMS };
            let learned = learn(&taught, &anchors, &params, Watch::none()).unwrap();
            assert_eq!((learned.map.anchors(), learned.map.dim()), (anchors.len(), 50));
            for query in 50..60 {
                let known: Vec<f32> = anchors.iter().map(|&item| all.row(query)[item as usize]).collect();
                let vector = learned.map.vector(&known);
                for item in 0..300 {
                    let estimate: f32 = (0..50).map(|q| vector[q] * taught.row(q)[item]).sum();
                    let score = all.row(query)[item];
                    // A ridge that finds the same shrinks a little.
                    let most = if strength.is_none() { 0.2 } else { 0.001 };
                    assert!((estimate - score).abs() < most, "{choice} {strength:?} {estimate} {score}");
                }
            }
        }
    }
}

/// The number of anchor queries that are learned from is that of anchor items.
#[test]
fn the_plain_inverse_collapses_where_both_counts_are_alike() {
    let all = scores(80, 2000, 20, 0.5);
    let anchors = chosen(&all, 64, AnchorChoice::Random);
    let learned = learn(&all, &anchors, &PARAMS, Watch::none()).unwrap();
    let found = |strength| learned.tried.iter().find(|tried| tried.strength == strength).unwrap().found;
    let best = found(learned.strength);
    assert!(best > 0.5, "{best}");
    assert!(found(Strength::Ridge(0.0)) < best / 2.0, "{:?}", learned.tried);
    assert_eq!(found(Strength::Ridge(0.0)), found(Strength::Rank(64)));
    // With other counts it does not.
    let few = learn(&all, &anchors[..32], &PARAMS, Watch::none()).unwrap();
    let plain = few.tried.iter().find(|tried| tried.strength == Strength::Ridge(0.0)).unwrap();
    assert!(plain.found > 2.0 * found(Strength::Ridge(0.0)), "{plain:?}");
    assert_eq!(learn(&all, &anchors, &PARAMS, Watch::none()).unwrap(), learned);
}

#[test]
fn files_of_items_maps_and_queries_hold_what_was_made() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { dir.path().join(name) };
    // More items than a vector has elements.
    let all = scores(16, 17_000, 4, 0.1);
    let mut bytes = [16_u32, 17_000].map(u32::to_le_bytes).concat();
    (0..16).for_each(|q| bytes.extend(all.row(q).iter().flat_map(|x| x.to_le_bytes())));
    std::fs::write(path("r.fbin"), bytes).unwrap();
    let file = ScoreFile::open(path("r.fbin").as_path().into()).unwrap();
    assert_eq!((file.rows(), file.columns()), (16, 17_000));
    let read = file.read(Watch::none()).unwrap();
    assert_eq!(read, all);
    let out = path("items.fbin");
    assert_eq!(read.write_items(OutFile::from(&out), Watch::none()).unwrap(), 17_000);
    let items = Rows::read(&VectorFile::open(&out).unwrap()).unwrap();
    assert_eq!((items.len(), items.dim()), (17_000, 16));
    let of = |item: usize| (0..16).map(|q| all.row(q)[item]).collect::<Vec<f32>>();
    assert!([0, 1, 9999, 16_999].into_iter().all(|item| decode(DType::F32, items.row(item)) == of(item)));

    let anchors = chosen(&all, 5, AnchorChoice::Pivoted);
    let map = learn(&all, &anchors, &PARAMS, Watch::none()).unwrap().map;
    for name in ["map.fbin", "map.npy"] {
        map.write(OutFile::from(&path(name))).unwrap();
        assert_eq!(CurMap::read(path(name).as_path().into(), 1 << 20).unwrap(), map);
    }
    let small = CurMap::read(path("map.fbin").as_path().into(), 8 * 5 * 16 - 1).unwrap_err();
    assert!(matches!(small, CurError::Memory { needed: 640, allowed: 639 }), "{small}");
    let queries: Vec<f32> = (0..10).map(|x| x as f32).collect();
    write(&path("s.fbin"), 5, &queries);
    let scored = ScoreFile::open(path("s.fbin").as_path().into()).unwrap();
    assert_eq!(map.write_queries(&scored, OutFile::from(&path("q.fbin")), Watch::none()).unwrap(), 2);
    let vectors = Rows::read(&VectorFile::open(path("q.fbin")).unwrap()).unwrap();
    assert_eq!(decode(DType::F32, vectors.row(1)), map.vector(&queries[5..]));
    let wrong = map.check_scores(&file).unwrap_err();
    assert!(
        wrong.to_string().ends_with("17000 scores for each query, the map takes 5, one for each anchor item")
    );
}

#[test]
fn what_cannot_be_learned_from_is_refused() {
    let all = scores(16, 40, 4, 0.1);
    let says = |anchors: &[u64], params: CurParams| {
        learn(&all, anchors, &params, Watch::none()).map(drop).unwrap_err().to_string()
    };
    let ridge = |ridge| CurParams { strength: Some(Strength::Ridge(ridge)), ..PARAMS };
    let rank = |rank| CurParams { strength: Some(Strength::Rank(rank)), ..PARAMS };
    let held = |queries| CurParams { held_out: HeldOut { queries: Some(queries), ranks: false }, ..PARAMS };
    let four = [1, 2, 3, 4];
    for (told, expected) in [
        (says(&[], PARAMS), "0 anchor items, expected 1 to the 40 items"),
        (says(&[3, 40], PARAMS), "anchor 1 is item 40, expected 0 to 39"),
        (says(&[3, 7, u64::MAX], PARAMS), "anchor 2 is item 18446744073709551615"),
        (says(&[3, 7, 3], PARAMS), "anchors 0 and 2 are both item 3"),
        (says(&four, ridge(-1.0)), "ridge is -1"),
        (says(&four, ridge(f64::NAN)), "ridge is NaN"),
        (says(&four, rank(0)), "rank is 0, expected 1 to 4"),
        (says(&four, rank(5)), "rank is 5, expected 1 to 4"),
        (says(&four, held(0)), "0 anchor queries held back of 16, expected 1 to 8"),
        (says(&four, held(9)), "9 anchor queries held back of 16, expected 1 to 8"),
    ] {
        assert!(told.contains(expected), "{told}: {expected}");
    }
    let few = PARAMS.check(15, 40, 4).unwrap_err().to_string();
    assert!(few.contains("15 anchor queries, expected 16 or more"), "{few}");
    assert!(matches!(PARAMS.check(16_384, 40, 4), Err(CurError::ManyQueries { max: 16_383, .. })));
    assert!(matches!(PARAMS.check(16, ITEMS_MAX + 1, 4), Err(CurError::Items { .. })));
    assert!(matches!(PARAMS.check(2049, 9999, 2049), Err(CurError::Side { .. })));
    // The scores alone take 4 bytes each.
    assert!(PARAMS.check(500, 1_000_000, 100).unwrap() > 2_000_000_000);

    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let wrong = ScoreMatrix::new(3, vec![0.0, 1.0, 2.0, 3.0, value, 5.0], || "r".to_owned()).unwrap_err();
        assert!(wrong.to_string().starts_with("r: the score in row 1, column 1 is"), "{wrong}");
    }
    for (strength, what) in [(1e300, "map of queries is 0"), (f64::MAX, "map of queries is 0")] {
        let told = says(&four, ridge(strength));
        assert!(told.contains(what) && told.contains("give a smaller ridge"), "{told}");
    }
    let tiny = all.picked(&(0..16).collect::<Vec<_>>(), &(0..40).collect::<Vec<_>>());
    let tiny = tiny.transpose().iter().map(|&score| score as f32 * 1e-40).collect();
    let tiny = ScoreMatrix::new(40, tiny, String::new).unwrap();
    assert!(matches!(learn(&tiny, &four, &ridge(0.0), Watch::none()), Err(CurError::Overflow)));
    let zero = ScoreMatrix::new(40, vec![0.0; 640], String::new).unwrap();
    let choice = AnchorParams { count: 4, choice: AnchorChoice::Pivoted, seed: 1 };
    assert!(matches!(choose_anchors(&zero, choice, Watch::none()), Err(CurError::NoScores)));
    assert!(matches!(learn(&zero, &four, &PARAMS, Watch::none()), Err(CurError::NoScores)));
    // Four numbers explain all columns: no fifth anchor adds anything, and random ones are taken anyway.
    let low = scores(16, 40, 4, 0.0);
    let alike = choose_anchors(
        &low,
        AnchorParams { count: 5, choice: AnchorChoice::Pivoted, seed: 1 },
        Watch::none(),
    )
    .unwrap_err();
    assert!(matches!(alike, CurError::AnchorsAlike { found: 4, wanted: 5 }), "{alike}");
    assert_eq!(chosen(&low, 40, AnchorChoice::Random), (0..40).collect::<Vec<u64>>());
    let none = choose_anchors(
        &low,
        AnchorParams { count: 41, choice: AnchorChoice::Random, seed: 1 },
        Watch::none(),
    )
    .unwrap_err();
    assert!(matches!(none, CurError::AnchorCount { found: 41, items: 40 }), "{none}");
}

#[test]
fn a_rank_is_that_of_the_scores_at_most() {
    let low = scores(16, 40, 4, 0.0);
    let anchors: Vec<u64> = (0..8).collect();
    let of = |rank| {
        learn(&low, &anchors, &CurParams { strength: Some(Strength::Rank(rank)), ..PARAMS }, Watch::none())
    };
    assert_eq!(of(3).unwrap().strength, Strength::Rank(3));
    assert_eq!(of(8).unwrap().strength, Strength::Rank(4));
    assert_eq!(of(8).unwrap().map, of(4).unwrap().map);
}

#[test]
fn learning_stops_whatever_the_strength() {
    use std::sync::atomic::{AtomicBool, Ordering};

    let all = scores(16, 40, 4, 0.1);
    let given = |strength| CurParams { strength, ..PARAMS };
    for strength in [Some(Strength::Ridge(0.1)), Some(Strength::Rank(2)), None] {
        let stop = AtomicBool::new(true);
        let watch = Watch { progress: &|_, _| {}, stop: &stop };
        let told = learn(&all, &[1, 2, 3, 4], &given(strength), watch);
        assert!(matches!(told, Err(CurError::Stopped(_))), "{strength:?}: {told:?}");
    }
    // Stopped by the last trial, before the map is made; and before the first trial nothing is tried.
    let stop = AtomicBool::new(false);
    let end = |done, total| stop.store(done == total, Ordering::Relaxed);
    let told = learn(&all, &[1, 2, 3, 4], &given(None), Watch { progress: &end, stop: &stop });
    assert!(matches!(told, Err(CurError::Stopped(_))), "{told:?}");
    let stop = AtomicBool::new(true);
    let never = |_, _| panic!("nothing is to be tried");
    let told = learn(&all, &[1, 2, 3, 4], &given(None), Watch { progress: &never, stop: &stop });
    assert!(matches!(told, Err(CurError::Stopped(_))), "{told:?}");
}
