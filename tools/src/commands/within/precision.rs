//! How much of a truth within a radius answers hold.
use spandrel_datasets::RangeTruth;
use spandrel_engine::Answer;
use spandrel_index::Metric;

/// Thresholds of the average precision.
const THRESHOLDS: usize = 100;
/// By how much the first threshold is below 0 or the least score.
const BELOW: f64 = 0.001;

/// How much of a truth answers hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::commands) struct Held {
    /// Share of the true results that was found, over all queries: 1 where there is none.
    pub(in crate::commands) completeness: f64,
    /// Area under precision over recall, both over the results of all queries together, as big-ann-benchmarks has it: with 100
    /// thresholds on the distance, evenly from just below the nearest to the farthest result, precision `p` and recall `r` of
    /// the results within each, the sum of `(r' - r) (p' + p) / 2` over successive ones. Where all results are true, it is the
    /// completeness.
    pub(in crate::commands) average_precision: f64,
}

impl Held {
    /// That of the answers to all queries of a truth.
    pub(in crate::commands) fn of(metric: Metric, answers: &[Answer], truth: &RangeTruth) -> Held {
        // Scores of all results, and whether they are true.
        let mut results: Vec<(f64, bool)> = Vec::new();
        for (query, answer) in answers.iter().enumerate().take(truth.queries()) {
            let mut ids = truth.of(query).0.to_vec();
            ids.sort_unstable();
            results.extend(answer.neighbours.iter().map(|neighbour| {
                let is_true = u32::try_from(neighbour.id).is_ok_and(|id| ids.binary_search(&id).is_ok());
                (f64::from(metric.score_of_distance(neighbour.distance)), is_true)
            }));
        }
        let truly = truth.results() as f64; // CAST: exact to 2^53, here and below
        let found = results.iter().filter(|(_, is_true)| *is_true).count() as f64;
        if truly == 0.0 {
            let share = if results.is_empty() { 1.0 } else { 0.0 };
            return Held { completeness: 1.0, average_precision: share };
        }
        results.sort_by(|a, b| a.0.total_cmp(&b.0));
        Held { completeness: found / truly, average_precision: average_precision(&results, truly) }
    }
}

/// The area, of results by ascending score.
fn average_precision(results: &[(f64, bool)], truly: f64) -> f64 {
    let (Some(&(first, _)), Some(&(last, _))) = (results.first(), results.last()) else { return 0.0 };
    let start = first.min(0.0) - BELOW;
    let (mut at, mut hits) = (0, 0);
    let (mut precision, mut recall, mut area) = (1.0, 0.0, 0.0);
    for number in 0..THRESHOLDS {
        let share = number as f64 / (THRESHOLDS - 1) as f64;
        // The last is the farthest result itself, exactly: the others are rounded.
        let threshold = if number + 1 == THRESHOLDS { last } else { start + share * (last - start) };
        while let Some(&(_, is_true)) = results.get(at).filter(|(score, _)| *score <= threshold) {
            hits += usize::from(is_true);
            at += 1;
        }
        let after = (if at == 0 { 1.0 } else { hits as f64 / at as f64 }, hits as f64 / truly);
        area += (after.1 - recall) * (after.0 + precision) / 2.0;
        (precision, recall) = after;
    }
    area
}

#[cfg(test)]
mod tests {
    use super::*;
    use spandrel_engine::Neighbour;

    fn answer(found: &[(u64, f32)]) -> Answer {
        let neighbour = |&(id, distance): &(u64, f32)| Neighbour { id, distance, estimated: false };
        Answer { neighbours: found.iter().map(neighbour).collect(), ..Answer::default() }
    }

    fn truth(of: &[&[(u64, f32)]]) -> RangeTruth {
        let mut truth = RangeTruth::default();
        of.iter().for_each(|results| truth.push(results.iter().copied()).unwrap());
        truth
    }

    #[test]
    fn true_results_have_the_completeness_for_a_precision() {
        let truth = truth(&[&[(1, 0.5), (2, 1.5)], &[(7, 2.0), (8, 2.5)]]);
        let all = [answer(&[(1, 0.5), (2, 1.5)]), answer(&[(7, 2.0), (8, 2.5)])];
        assert_eq!(Held::of(Metric::L2, &all, &truth), Held { completeness: 1.0, average_precision: 1.0 });
        let half = [answer(&[(1, 0.5)]), answer(&[(8, 2.5)])];
        assert_eq!(Held::of(Metric::L2, &half, &truth), Held { completeness: 0.5, average_precision: 0.5 });
        let none = [answer(&[]), answer(&[])];
        assert_eq!(Held::of(Metric::L2, &none, &truth), Held { completeness: 0.0, average_precision: 0.0 });
    }

    #[test]
    fn wrong_results_lower_the_precision_from_where_they_lie() {
        let truth = truth(&[&[(1, 1.0), (2, 10.0)]]);
        // One of two within the first, then two of three.
        let early = Held::of(Metric::L2, &[answer(&[(1, 1.0), (5, 1.0), (2, 10.0)])], &truth);
        let expected = 0.5 * (1.0 + 0.5) / 2.0 + 0.5 * (0.5 + 2.0 / 3.0) / 2.0;
        assert!((early.average_precision - expected).abs() < 1e-12, "{early:?}");
        let late = Held::of(Metric::L2, &[answer(&[(1, 1.0), (2, 9.0), (5, 10.0)])], &truth);
        assert!((late.average_precision - 1.0).abs() < 1e-12 && late.completeness == 1.0, "{late:?}");
    }

    #[test]
    fn inner_products_are_nearest_where_they_are_largest() {
        let truth = truth(&[&[(1, 9.0), (2, 8.0)]]);
        let held = Held::of(Metric::InnerProduct, &[answer(&[(1, 9.0), (2, 8.0), (5, 7.0)])], &truth);
        assert!((held.average_precision - 1.0).abs() < 1e-12, "{held:?}");
    }

    #[test]
    fn where_nothing_is_true_nothing_is_missing() {
        let truth = truth(&[&[]]);
        let nothing = Held { completeness: 1.0, average_precision: 1.0 };
        assert_eq!(Held::of(Metric::L2, &[answer(&[])], &truth), nothing);
        let wrong = Held::of(Metric::L2, &[answer(&[(1, 1.0)])], &truth);
        assert_eq!(wrong, Held { average_precision: 0.0, ..nothing });
    }
}
