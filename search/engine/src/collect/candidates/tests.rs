use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering as Order};

use super::*;

const KEEP: Keep = Keep { k: 10, errors: Some(1.5), compared_max: usize::MAX, copies: false };

fn candidate(estimate: f32, error: f32, position: u32) -> Candidate {
    Candidate { estimate, error, location: Location::new(0, position), compared: false }
}

/// What is kept of `offered`, and the last bound, in turns that begin at different ones.
fn kept(keep: Keep, offered: &[Candidate]) -> (Vec<Candidate>, f32) {
    let mut offered = offered.to_vec();
    let error_max = offered.iter().map(|c| c.error).fold(0.0, f32::max);
    let mut found: Option<(Vec<Candidate>, f32)> = None;
    for turn in 0..4 {
        let turned = offered.len() * 4 / 15;
        offered.rotate_left(turned);
        let mut candidates = Candidates::default();
        candidates.reset(keep, &Terms::default());
        for (number, &candidate) in offered.iter().enumerate() {
            if candidate.estimate <= candidates.limit(error_max) {
                candidates.offer(candidate);
            }
            if number % 97 == 0 {
                candidates.tighten();
            }
        }
        candidates.finish(0);
        candidates.keep_compared();
        let found_now = (candidates.kept().to_vec(), candidates.bound);
        let first = found.get_or_insert_with(|| found_now.clone());
        assert!(*first == found_now, "{keep:?}, turn {turn}: {} and {}", first.0.len(), found_now.0.len());
    }
    found.unwrap()
}

#[test]
fn keeps_the_same_in_any_order() {
    let offered: Vec<Candidate> =
        (0..2000_u32).map(|i| candidate((i * 7919 % 1009) as f32, (i % 7) as f32, i)).collect();
    for (k, errors) in [(1, 0.0), (10, 1.5), (300, 2.0), (2000, 1.0), (5000, 1.0)] {
        let mut most: Vec<f32> = offered.iter().map(|c| c.most(0.5 * errors)).collect();
        most.sort_by(f32::total_cmp);
        let bound = most.get(k - 1).copied().unwrap_or(f32::INFINITY);
        let mut expected: Vec<u32> = offered
            .iter()
            .filter(|c| c.least(0.5 * errors) <= bound)
            .map(|c| c.location.position())
            .collect();
        let found = kept(Keep { k, errors: Some(errors), ..KEEP }, &offered);
        let mut positions: Vec<u32> = found.0.iter().map(|c| c.location.position()).collect();
        positions.sort_unstable();
        expected.sort_unstable();
        assert_eq!((positions, found.1), (expected, bound), "k {k}");
    }
}

#[test]
fn with_errors_alike_the_rule_is_that_of_one_error() {
    let offered: Vec<Candidate> =
        (0..3000_u32).map(|i| candidate((i * 7919 % 3001) as f32, 8.0, i)).collect();
    let (kept, _) = kept(KEEP, &offered);
    let mut estimates: Vec<f32> = offered.iter().map(|c| c.estimate).collect();
    estimates.sort_by(f32::total_cmp);
    let expected: Vec<f32> = estimates.iter().copied().filter(|e| e - 1.5 * 8.0 <= estimates[9]).collect();
    assert_eq!(kept.iter().map(|c| c.estimate).collect::<Vec<_>>(), expected);
}

#[test]
fn estimates_that_say_little_evict_nothing() {
    // Twenty near vectors among three hundred, and fifty that are far in truth and seem to be nearer than all.
    let near = (0..300).map(|i| candidate(10.0 + i as f32, 1.0, i));
    let far = (0..50).map(|i| candidate(-100.0 * i as f32, 1e4 + i as f32, 1000 + i));
    let offered: Vec<Candidate> = near.chain(far).collect();
    let (found, bound) = kept(Keep { compared_max: 224, ..KEEP }, &offered);
    assert_eq!(bound, 19.75, "of the tenth that is near");
    let of_near = |found: &[Candidate]| found.iter().filter(|c| c.location.position() < 1000).count();
    assert_eq!(of_near(&found), 11);
    // With room for fewer than there are, those that are surely near come first.
    assert_eq!(of_near(&found[..10]), 10, "{found:?}");
    for compared_max in [12, 40] {
        let keep = Keep { errors: None, compared_max, ..KEEP };
        let (found, _) = kept(keep, &offered);
        assert_eq!(of_near(&found[..10]), 10, "{found:?}");
    }
}

#[test]
fn what_cannot_be_told_apart_is_bounded_and_the_likeliest_stay() {
    let mut offered: Vec<Candidate> = (0..50_000_u32)
        .map(|i| candidate((i * 7919 % 50_021) as f32, 1e5 + (i * 31 % 40_009) as f32, i))
        .collect();
    let keep = Keep { k: 10, errors: Some(4.0), compared_max: 224, copies: false };
    for errors in [Some(4.0), None] {
        let keep = Keep { errors, ..keep };
        let mut candidates = Candidates::default();
        candidates.reset(keep, &Terms::default());
        for &candidate in &offered {
            candidates.offer(candidate);
            assert!(candidates.kept.len() <= 12 * 224, "{}", candidates.kept.len());
        }
        candidates.finish(0);
        let mut most: Vec<f32> = offered.iter().map(|c| c.most(HALF_ORDER.start)).collect();
        most.sort_by(f32::total_cmp);
        let mut all = offered.clone();
        all.sort_unstable_by(|a, b| by_chance(a, b, most[keep.k - 1]));
        assert!(candidates.kept()[..224] == all[..224]);
        let (found, _) = kept(keep, &offered);
        assert!(found[..224] == all[..224], "in any order");
    }
    // Vectors that are all the same.
    offered.iter_mut().for_each(|c| (c.estimate, c.error) = (5.0, 1.0));
    let (found, _) = kept(keep, &offered);
    assert_eq!(found.len(), 448);
    assert!(found.iter().zip(0..).all(|(c, at)| c.location.position() == at));
}

#[test]
fn nothing_is_kept_for_a_caller_who_gave_up() {
    let stop = Arc::new(AtomicBool::new(false));
    let terms = Terms { stop: Some(Arc::clone(&stop)), deadline: None };
    for (copies, errors) in [(false, Some(4.0)), (true, Some(4.0)), (false, None), (true, None)] {
        for stopped in [false, true] {
            stop.store(false, Order::Relaxed);
            let mut candidates = Candidates::default();
            candidates.reset(Keep { k: 5000, errors, compared_max: 10_000, copies }, &terms);
            // None can be told from another.
            (0..15_000).for_each(|i| candidates.offer(candidate((i % 7) as f32, 1e5, i)));
            stop.store(stopped, Order::Relaxed);
            candidates.finish(0);
            let kept = candidates.kept().len();
            // Also where the flag is taken back.
            stop.store(false, Order::Relaxed);
            candidates.offer(candidate(0.0, 0.0, 20_000));
            let (expected, end) = if stopped { (0, Some(End::Stopped)) } else { (15_000, None) };
            assert_eq!((kept, candidates.end()), (expected, end), "{copies} {errors:?}");
            assert_eq!(candidates.kept().len() > kept, !stopped, "{copies} {errors:?}");
        }
    }
}

#[test]
fn without_errors_nothing_is_unlikely_before_there_are_too_many() {
    let keep = Keep { errors: None, compared_max: 30, ..KEEP };
    let mut candidates = Candidates::default();
    candidates.reset(keep, &Terms::default());
    assert_eq!(candidates.limit(0.0), f32::INFINITY);
    let offered: Vec<Candidate> = (0..2000).map(|i| candidate((i % 50) as f32, 0.0, i)).collect();
    let (found, _) = kept(keep, &offered);
    assert!(found.iter().all(|candidate| candidate.estimate == 0.0) && found.len() == 30, "{found:?}");
}

#[test]
fn copies_count_once() {
    let offered = [(5.0, 2.0, 1), (3.0, 3.0, 7), (4.0, 1.0, 1), (2.0, 6.0, 7), (6.0, 1.0, 9), (9.0, 1.0, 3)]
        .map(|(estimate, error, position)| candidate(estimate, error, position));
    let keep = Keep { k: 2, errors: Some(2.0), compared_max: 100, copies: true };
    let (found, bound) = kept(keep, &offered);
    // The best of 1 is 4 + 1, of 7 it is 3 + 3.
    assert_eq!(bound, 6.0);
    let mut found: Vec<(f32, u32)> = found.iter().map(|c| (c.estimate, c.location.position())).collect();
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert_eq!(found, [(3.0, 7), (4.0, 1), (6.0, 9)], "each with the likelier estimate");
}

/// 4000 candidates around distances from 10 to 40, each with a copy, whose errors are from 0.1 to 30, evenly by their
/// logarithm.
fn of_mixed_errors(seed: u32) -> Vec<Candidate> {
    let mut state = u64::from(seed);
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32 // CAST: 24 bits
    };
    let mut of = |position: u32| {
        let error = 0.1 * 300_f32.powf(random());
        // The sum of twelve is nearly normal.
        let off = (0..12).map(|_| random()).sum::<f32>() - 6.0;
        let distance = 10.0 + 30.0 * (position * 7919 % 4001) as f32 / 4001.0;
        candidate(distance + error * off, error, position)
    };
    (0..8000).map(|number| of(number / 2)).collect()
}

/// Positions that are compared first, by `errors` if errors decide.
fn compared(keep: Keep, errors: Option<f32>, offered: &[Candidate]) -> Vec<u32> {
    let mut candidates = Candidates::default();
    candidates.reset(keep, &Terms::default());
    offered.iter().for_each(|&candidate| candidates.offer(candidate));
    candidates.finish(0);
    let limit = errors.map_or(f32::INFINITY, |errors| candidates.bound_at(errors));
    let half = 0.5 * errors.unwrap_or_default();
    let likely = candidates.kept().iter().filter(|candidate| candidate.least(half) <= limit);
    likely.take(keep.compared_max).map(|candidate| candidate.location.position()).collect()
}

#[track_caller]
fn each_has_all_of_the_last(rows: &[Vec<u32>], what: &str) {
    for pair in rows.windows(2) {
        let lost = pair[0].iter().filter(|position| !pair[1].contains(position)).count();
        let (fewer, more) = (pair[0].len(), pair[1].len());
        assert_eq!(lost, 0, "{what}: {fewer} compared, then {more}");
    }
}

#[test]
fn more_work_compares_all_that_less_does() {
    for seed in 0..40 {
        for copies in [false, true] {
            // Of a vector offered twice where it counts once, the second has a place of its own.
            let own = |(number, c): (u32, &Candidate)| {
                let position = if copies { c.location.position() } else { number };
                candidate(c.estimate, c.error, position)
            };
            let offered: Vec<Candidate> = (0..).zip(&of_mixed_errors(seed)).map(own).collect();
            let what = format!("seed {seed}, copies {copies}");
            let of_counts = [10, 11, 20, 56, 200, 900, 3000].map(|compared_max| {
                let keep = Keep { errors: None, compared_max, copies, ..KEEP };
                compared(keep, None, &offered)
            });
            each_has_all_of_the_last(&of_counts, &format!("{what}, by count"));
            let of_errors = [1.0, 1.5, 2.0, 4.0, 8.0, 30.0].map(|errors| {
                let keep = Keep { errors: Some(errors + 1.5), compared_max: 224, copies, ..KEEP };
                compared(keep, Some(errors), &offered)
            });
            each_has_all_of_the_last(&of_errors, &format!("{what}, by errors"));
        }
    }
}
