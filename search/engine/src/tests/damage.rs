//! Faults and damage met by queries.
use super::*;

#[test]
fn faults_give_the_same_answer_or_counted_damage() {
    let made = made(TestIndex::random(Metric::L2, DType::U8, 16, 1500));
    let queries = random_rows(DType::U8, 16, 40, 3);
    let params = SearchParams { max_lists: Some(40), ..SearchParams::new(10) };
    let whole = engine(&made).search(&queries, &params).unwrap();

    let harmless = FaultRates { interrupted: 0.2, short: 0.3, hold: 0.3, ..FaultRates::default() };
    let engine = faulty(&made, Schedule::seeded(1, harmless));
    assert_eq!(found(&engine.search(&queries, &params).unwrap()), found(&whole));
    assert!(engine.damage().is_empty());

    let harmful = FaultRates { error: 0.1, flip: 0.1, hold: 0.2, ..FaultRates::default() };
    let engine = faulty(&made, Schedule::seeded(2, harmful));
    let answers = engine.search(&queries, &params).unwrap();
    let damaged = answers.iter().filter(|a| a.missing.parts() > 0).count();
    assert!(damaged > 10, "{damaged} answers met damage");
    for (answer, whole) in answers.iter().zip(&whole) {
        if answer.missing.parts() == 0 {
            assert_eq!(answer.neighbours, whole.neighbours);
        }
        // What is left out is left out; what is returned is true.
        for neighbour in &answer.neighbours {
            let at = made.input.ids.iter().position(|&id| id == neighbour.id).unwrap();
            assert!(neighbour.distance >= whole.neighbours[0].distance);
            assert!(at < 1500);
        }
        for pair in answer.neighbours.windows(2) {
            assert!((pair[0].distance, pair[0].id) < (pair[1].distance, pair[1].id));
        }
    }
    let damage = engine.damage();
    assert!(damage.iter().any(|d| matches!(d.reason, DamageReason::Hash { .. })));
    assert!(damage.iter().any(|d| matches!(d.reason, DamageReason::Read(_))));
    assert!(damage[0].to_string().contains("codes-1: list "));
}

#[test]
fn a_failed_merged_read_is_repeated_list_by_list() {
    let made = made(TestIndex::random(Metric::L2, DType::U8, 16, 300));
    let queries = random_rows(DType::U8, 16, 1, 3);
    let whole = engine(&made).search(&queries, &all_lists(&made, 5)).unwrap();
    assert_eq!((whole[0].work.reads, whole[0].work.rounds), (1, 1), "all lists are neighbours");

    let broken = faulty(&made, Schedule::script([Fault::Error(5)]));
    let again = broken.search(&queries, &all_lists(&made, 5)).unwrap();
    assert_eq!((again[0].work.reads, again[0].work.rounds, again[0].missing.parts()), (31, 2, 0));
    assert_eq!(again[0].neighbours, whole[0].neighbours);

    let broken = faulty(&made, Schedule::script([Fault::Error(5), Fault::None, Fault::Error(5)]));
    let again = broken.search(&queries, &all_lists(&made, 5)).unwrap();
    assert_eq!(again[0].missing.parts(), 1);
    assert_eq!(broken.damage()[0].part, DamagedPart::List(1));
}

#[test]
fn a_damaged_list_is_left_out_and_the_rest_keeps_serving() {
    let made = made(TestIndex::random(Metric::L2, DType::U8, 16, 300));
    let entry = made.index.segments()[0].directory.entry(0);
    let mut bytes = std::fs::read(&made.index.segments()[0].codes.path).unwrap();
    bytes[4096 + 512 * entry.offset_units as usize] ^= 1;
    std::fs::write(&made.index.segments()[0].codes.path, bytes).unwrap();
    let engine = engine(&made);
    let queries = random_rows(DType::U8, 16, 12, 3);
    let first = engine.search(&queries, &all_lists(&made, 5)).unwrap();
    for answer in &first {
        assert_eq!((answer.missing.parts(), answer.neighbours.len()), (1, 5));
        assert_eq!(answer.work.vectors_scanned, 600 - entry.count() as u64);
    }
    let damage = engine.damage();
    assert_eq!((damage.len(), damage[0].part), (1, DamagedPart::List(0)), "remembered once");
    let again = engine.search(&queries, &all_lists(&made, 5)).unwrap();
    let most = first.iter().map(|answer| answer.work.read_bytes).max().unwrap();
    for (again, first) in again.iter().zip(&first) {
        assert_eq!((&again.neighbours, again.missing.parts()), (&first.neighbours, 1));
        assert!(again.work.read_bytes < most, "a list that failed again and again is not read any more");
    }
}
