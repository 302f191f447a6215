//! Which queries a setting is tried on.
/// One query in `PATH` finds the settings of least work; the others say what to expect of them.
const PATH: usize = 3;
/// Runs that given queries are split into, each of one part.
const RUNS: usize = 30;
/// Which queries a setting is tried on: none of them serves for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// Those that find the settings of least work.
    Path,
    /// The others, which say what to expect of them.
    Rest,
}

/// The part of a query, by its number among `count`. Given queries often come in groups: those of one photograph follow one another. Runs of them
/// stay together, so that few groups are in both parts.
pub(super) fn part_of(number: usize, count: usize, is_given: bool) -> Part {
    let place = if is_given { number * RUNS.min(count) / count } else { number };
    if place.is_multiple_of(PATH) { Part::Path } else { Part::Rest }
}

/// Every `step`-th of `all` queries is asked for `k` neighbours: with many neighbours each, fewer queries tell the same.
pub(super) fn step(k: u32, all: usize) -> usize {
    let wanted = match k {
        ..100 => all,
        100..1000 => 300,
        1000..10_000 => 120,
        10_000.. => 75,
    };
    (all / wanted.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_queries_are_asked_for_many_neighbours() {
        let asked = |all: usize| [1, 10, 100, 1000, 10_000].map(|k| all.div_ceil(step(k, all)));
        assert_eq!(asked(1200), [1200, 1200, 300, 120, 75]);
        assert_eq!(asked(60), [60, 60, 60, 60, 60]);
        assert_eq!(asked(1), [1; 5]);
    }

    #[test]
    fn runs_of_given_queries_are_of_one_part() {
        let parts = |count: usize, is_given| -> Vec<Part> {
            (0..count).map(|number| part_of(number, count, is_given)).collect()
        };
        for count in [3, 4, 10, 29, 30, 31, 1000] {
            for is_given in [false, true] {
                let paths = parts(count, is_given).iter().filter(|&&part| part == Part::Path).count();
                assert!(paths > 0 && 2 * paths <= count + 1, "{count}, {is_given}: {paths}");
            }
        }
        let changes = |parts: &[Part]| parts.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert_eq!((changes(&parts(1000, true)), changes(&parts(999, false))), (19, 666 - 1));
    }
}
