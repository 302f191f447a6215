//! What each policy promises of its misses, over traces with bits that are right, wrong and in between.
use std::collections::{BTreeSet, HashMap};

use super::{Clock, Guarded, Predictor, Requested, Trusting};

const SLOTS: usize = 50;
const REQUESTS: u64 = 20_000;

/// A number in `0..1` for each `at` and `seed` (SplitMix64).
fn draw(seed: u64, at: u64) -> f64 {
    let mut z = (at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed.wrapping_mul(0xd1b5_4a32_d192_ed03);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

fn traces() -> Vec<(&'static str, Vec<u64>)> {
    let of = |page: &dyn Fn(u64) -> u64| (0..REQUESTS).map(page).collect::<Vec<u64>>();
    // A page is asked for in proportion to one over its number.
    let zipf = |at| 1000f64.powf(draw(1, at)) as u64;
    vec![
        ("uniform", of(&|at| (200.0 * draw(2, at)) as u64)),
        ("zipf", of(&zipf)),
        ("drifting", of(&|at| zipf(at) + at / 50)),
        ("scans", of(&|at| if at / 200 % 3 == 0 { 5000 + at } else { zipf(at) })),
        ("loop", of(&|at| at % (SLOTS as u64 + 1))),
    ]
}

/// Misses of a cache that knows the future, and of each request whether it keeps the page until the next one for it (Belady,
/// "A study of replacement algorithms for a virtual-storage computer", 1966).
fn optimal(trace: &[u64]) -> (usize, Vec<bool>) {
    let mut next = vec![usize::MAX; trace.len()];
    let mut seen = HashMap::new();
    for (at, &page) in trace.iter().enumerate().rev() {
        next[at] = seen.insert(page, at).unwrap_or(usize::MAX);
    }
    // Pages held: when each is asked for next, and when it was last.
    let mut held: BTreeSet<(usize, usize)> = BTreeSet::new();
    let mut last = HashMap::new();
    let (mut misses, mut again) = (0, vec![true; trace.len()]);
    for (at, &page) in trace.iter().enumerate() {
        let known = last.insert(page, at).is_some_and(|before| held.remove(&(at, before)));
        if !known {
            misses += 1;
            if held.len() == SLOTS {
                let (_, gone) = held.pop_last().unwrap();
                again[gone] = false;
            }
        }
        held.insert((next[at], at));
    }
    (misses, again)
}

/// Misses of a policy, of which each request is checked: a page is where it was put until it left, and nothing else is.
fn misses(trace: &[u64], mut request: impl FnMut(usize, u64) -> Requested) -> usize {
    let mut slots = [None; SLOTS];
    let mut misses = 0;
    for (at, &page) in trace.iter().enumerate() {
        let Requested { slot, held, left } = request(at, page);
        let slot = &mut slots[slot as usize];
        if held {
            assert_eq!(*slot, Some(page), "request {at}");
        } else {
            assert_eq!(*slot, left, "request {at}");
            *slot = Some(page);
            misses += 1;
        }
    }
    misses
}

fn of_clock(trace: &[u64]) -> usize {
    let mut clock = Clock::new(SLOTS);
    misses(trace, |_, page| clock.request(page))
}

fn of_trusting(trace: &[u64], again: &[bool]) -> usize {
    let mut trusting = Trusting::new(SLOTS);
    misses(trace, |at, page| trusting.request(page, again[at]))
}

fn of_guarded(trace: &[u64], again: &[bool]) -> usize {
    let mut guarded = Guarded::new(SLOTS);
    misses(trace, |at, page| {
        let requested = guarded.request(page, again[at]);
        assert!(guarded.spare.len() <= 2 * SLOTS);
        requested
    })
}

/// Bits of which a share is turned round.
fn with_errors(again: &[bool], share: f64) -> Vec<bool> {
    again.iter().enumerate().map(|(at, &bit)| bit != (draw(3, at as u64) < share)).collect()
}

#[test]
fn right_bits_miss_what_an_optimal_cache_misses() {
    for (name, trace) in traces() {
        let (least, again) = optimal(&trace);
        assert!(least < of_clock(&trace), "{name}: nothing to gain");
        assert_eq!(of_trusting(&trace, &again), least, "{name}");
        assert_eq!(of_guarded(&trace, &again), least, "{name}");
    }
}

#[test]
fn no_bits_cost_more_than_three_times_what_a_clock_misses() {
    let mut harmful = 0;
    for (name, trace) in traces() {
        let (_, again) = optimal(&trace);
        let bound = 3 * of_clock(&trace) + 4 * SLOTS;
        let count = trace.len();
        for bits in
            [vec![false; count], vec![true; count], with_errors(&again, 1.0), with_errors(&again, 0.5)]
        {
            assert!(of_guarded(&trace, &bits) <= bound, "{name}");
            harmful += usize::from(of_trusting(&trace, &bits) > bound);
        }
    }
    // Few pages, asked for in turns, of which those that stay are predicted to leave: each request for one is a miss.
    let trace: Vec<u64> = (0..REQUESTS).map(|at| if at % 400 == 0 { 1000 + at } else { at % 40 }).collect();
    let bits: Vec<bool> = trace.iter().map(|&page| page >= 1000).collect();
    let bound = 3 * of_clock(&trace) + 4 * SLOTS;
    assert!(of_guarded(&trace, &bits) <= bound);
    harmful += usize::from(of_trusting(&trace, &bits) > bound);
    assert!(harmful > 0, "no trace on which trust alone breaks the bound");
}

#[test]
fn misses_grow_no_faster_than_wrong_bits() {
    for (name, trace) in traces() {
        let (least, right) = optimal(&trace);
        for share in [0.0, 0.001, 0.01, 0.05, 0.2] {
            let bits = with_errors(&right, share);
            let wrong = |bit| bits.iter().zip(&right).filter(|&(a, b)| a != b && *a == bit).count();
            let trusting = of_trusting(&trace, &bits);
            assert!(trusting <= least + wrong(false) + (SLOTS - 1) * wrong(true), "{name} {share}");
            assert!(of_guarded(&trace, &bits) <= 3 * trusting + 4 * SLOTS, "{name} {share}");
            if share == 0.01 {
                assert!(
                    trusting < of_clock(&trace),
                    "{name}: one wrong bit in a hundred takes all that bits give"
                );
            }
        }
    }
}

#[test]
fn predicted_bits_miss_less_than_a_clock_where_few_pages_are_wanted_most() {
    for (name, trace) in traces() {
        let mut guarded = Guarded::new(SLOTS);
        let mut predictor = Predictor::new(SLOTS);
        let predicted = misses(&trace, |_, page| guarded.request(page, predictor.again(page)));
        let clock = of_clock(&trace);
        println!("{name}: {predicted} of a clock's {clock}");
        if matches!(name, "zipf" | "scans") {
            assert!(predicted < clock, "{name}: {predicted} of {clock}");
        }
        assert!(predicted <= clock + clock / 50 + SLOTS, "{name}: {predicted} of {clock}");
    }
}
