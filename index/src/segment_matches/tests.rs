use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

/// Every question, answered from the positions alone.
fn check(found: &SegmentMatches, expected: &[u32], positions: u32) {
    let is_sparse = matches!(found.form, Form::Sparse { .. });
    assert_eq!(is_sparse, (expected.len() as u64) < u64::from(positions) / SPARSE);
    assert_eq!((found.count(), found.positions()), (expected.len() as u64, positions.into()));
    let mut blocks: Vec<u32> = expected.iter().map(|at| at / 16).collect();
    blocks.dedup();
    assert_eq!(found.blocks(), blocks.len() as u64);
    let holds = |at: u32| expected.binary_search(&at).is_ok();
    let begins = |at: &&u32| !(at.saturating_sub(RUN_GAP)..**at).any(holds);
    let ends = |at: &&u32| !(**at + 1..=**at + RUN_GAP).any(holds);
    let ends = expected.iter().filter(ends).map(|&at| at + 1);
    let runs: Vec<Range<u32>> =
        expected.iter().filter(begins).zip(ends).map(|(&from, to)| from..to).collect();
    assert_eq!(found.runs(), if runs.len() > RUNS_MAX { &[] } else { &runs[..] });
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut edges = vec![0, 1, 15, 16, 63, 64, 65, 4095, 4096, 4097, positions.saturating_sub(1), positions];
    edges.extend([positions + 1, positions + 5000, u32::MAX]);
    edges.extend((0..40).map(|_| rng.random_range(0..=positions)));
    for &start in &edges {
        assert_eq!(found.contains(start), holds(start), "{start}");
        let of = |i: u32| start.checked_add(i).is_some_and(holds);
        let mask = (0..16).filter(|&i| of(i)).fold(0, |mask, i| mask | 1_u16 << i);
        assert_eq!(found.mask(start), mask, "{start}");
        for &end in &edges {
            let inside: Vec<u32> = expected.iter().copied().filter(|at| (start..end).contains(at)).collect();
            assert_eq!(found.count_in(start..end), inside.len() as u64, "{start}..{end}");
            assert_eq!(found.within(start..end).collect::<Vec<_>>(), inside, "{start}..{end}");
        }
    }
}

#[test]
fn every_form_answers_as_the_positions_do() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for positions in [0_u32, 1, 63, 64, 65, 4096, 20_000] {
        for share in [0.0, 0.001, 0.01, 0.3, 1.0] {
            let expected: Vec<u32> = (0..positions).filter(|_| rng.random_bool(share)).collect();
            let found = SegmentMatches::from_sorted(expected.clone(), positions.into());
            check(&found, &expected, positions);
            let mut words = vec![0_u64; positions.div_ceil(64) as usize];
            expected.iter().for_each(|at| words[*at as usize / 64] |= 1 << (at % 64));
            assert_eq!(SegmentMatches::from_words(words, positions.into()), found);
        }
    }
}

#[test]
fn matches_that_lie_together_are_runs() {
    for positions in [5000_u32, 200_000] {
        // Ends of words, a gap that is too small and one that is just large enough.
        let ranges = [3..64, 64..70, 70 + RUN_GAP - 1..1500, 1500 + RUN_GAP..3000, positions - 1..positions];
        let expected: Vec<u32> = ranges.into_iter().flatten().collect();
        check(&SegmentMatches::from_sorted(expected.clone(), positions.into()), &expected, positions);
        let far: Vec<u32> = (0..positions).step_by(2 * RUN_GAP as usize).collect();
        check(&SegmentMatches::from_sorted(far.clone(), positions.into()), &far, positions);
    }
}

#[test]
#[should_panic(expected = "a match is a position")]
fn a_bit_beyond_the_last_position_is_a_bug() {
    let _ = SegmentMatches::from_words(vec![1 << 40], 40);
}
