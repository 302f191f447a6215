use spandrel_index::format::{RecallSource, STOP_WEIGHTS};
use spandrel_index::testing::TestIndex;
use spandrel_index::{DType, Metric};

use super::*;

fn curve(k: u32, lists: u32) -> RecallCurve {
    let point = |lists: u32, rerank_errors, epsilon, recall| RecallPoint {
        lists,
        rerank_errors,
        epsilon,
        log_odds: None,
        recall,
        vectors_scanned: 100.0 * f64::from(lists),
        reranked: 10.0,
    };
    let points = vec![
        point(lists, 0.5, Some(0.6), 0.6),
        point(3 * lists, 1.0, Some(0.6), 0.9),
        point(9 * lists, 2.0, None, 0.98),
    ];
    RecallCurve { vectors: Tier::Ssd, k, queries: 800, codes_per_compared: 100.0, stop: None, points }
}

fn at(aim: Aim) -> (u32, f32, Option<f32>, f64) {
    let found = Spot::of(&curve(10, 10), aim).pruning();
    let recall = (found.recall.unwrap() * 1e6).round() / 1e6;
    (found.max_lists, found.rerank_errors, found.epsilon, recall)
}

#[test]
fn a_recall_is_reached_between_two_points() {
    for (recall, expected) in [
        (0.6, (10, 0.5, Some(0.6), 0.6)),
        (0.75, (20, 0.75, Some(0.6), 0.75)),
        (0.9, (30, 1.0, Some(0.6), 0.9)),
        (0.94, (60, 1.5, None, 0.94)),
        (0.98, (90, 2.0, None, 0.98)),
        // More than it reaches, and less than its first point.
        (1.0, (90, 2.0, None, 0.98)),
        (0.3, (5, 0.5, Some(0.6), 0.3)),
    ] {
        assert_eq!(at(Aim::at(recall)), expected, "{recall}");
    }
}

#[test]
fn between_two_numbers_of_few_lists_a_share_of_the_queries_takes_the_last() {
    let of = |lists, aim| {
        let found = Spot::of(&curve(10, lists), aim).pruning();
        (found.max_lists, (found.last * 1e6).round() / 1e6)
    };
    // Between 1 and 3 lists, and between 3 and 9.
    assert_eq!(of(1, Aim::at(0.7)), (2, 0.666_667));
    assert_eq!(of(1, Aim::at(0.92)), (5, 0.5));
    assert_eq!([0.6, 0.9, 0.98].map(|recall| of(1, Aim::at(recall))), [(1, 1.0), (3, 1.0), (9, 1.0)]);
    assert_eq!(of(1, Aim::at(0.3)), (1, 1.0), "no query goes without a list");
    assert_eq!(of(10, Aim::at(0.901)), (31, 0.75));
    assert_eq!(of(10, Aim::at(0.905)), (34, 1.0), "of many lists one more is nothing");
}

#[test]
fn effort_and_a_cap_of_lists_move_down_the_curve() {
    // Work is 20, 40 and 100 at the points.
    let lowered = |effort| at(Aim { effort, ..Aim::at(0.98) });
    assert_eq!(lowered(0.4), (30, 1.0, Some(0.6), 0.9));
    assert_eq!(lowered(0.3), (20, 0.75, Some(0.6), 0.75));
    assert_eq!(lowered(0.1), (9, 0.5, Some(0.6), 0.5));
    let capped = |lists_max| at(Aim { lists_max, ..Aim::at(0.94) });
    assert_eq!(capped(60), (60, 1.5, None, 0.94));
    assert_eq!(capped(20), (20, 0.75, Some(0.6), 0.75));
    assert_eq!(capped(1).0, 1);
}

/// Points of small sets all take every list, and differ in what they compare.
#[test]
fn a_cap_of_lists_holds_no_point_back_that_keeps_to_it() {
    let mut of = curve(10, 10);
    of.points.iter_mut().for_each(|point| point.lists = 90);
    let found = |recall, lists_max| {
        let found = Spot::of(&of, Aim { lists_max, ..Aim::at(recall) }).pruning();
        (found.max_lists, found.rerank_errors, found.recall)
    };
    assert_eq!(found(0.9, 90), (90, 1.0, Some(0.9)));
    assert_eq!(found(0.98, 90), (90, 2.0, Some(0.98)));
    assert_eq!(found(0.98, 45), (45, 0.5, Some(0.3)));
    // At a point of the cap exactly, what its own point says is in force.
    let at_point = Spot::of(&curve(10, 10), Aim { lists_max: 30, ..Aim::at(0.98) });
    assert_eq!((at_point.epsilon, at_point.errors, at_point.recall), (Some(0.6), 1.0, 0.9));
}

#[test]
fn between_numbers_of_neighbours_nothing_is_less_than_at_both() {
    let of = |k: f64, recall: f64| {
        let share = (k / 10.0).log2() / 10.0_f64.log2();
        let (few, many) = (curve(10, 10), curve(100, 40));
        Spot::of(&few, Aim::at(recall)).towards(Spot::of(&many, Aim::at(recall)), share).pruning()
    };
    let middle = of(1000.0_f64.sqrt(), 0.9);
    assert_eq!((middle.max_lists, middle.rerank_errors, middle.epsilon), (60, 1.0, Some(0.6)));
    assert!((middle.recall.unwrap() - 0.9).abs() < 1e-9);
    assert_eq!((of(10.0, 0.94).max_lists, of(100.0, 0.94).max_lists), (60, 240));
}

#[test]
fn searches_end_early_between_points_that_both_say_when() {
    let mut of = curve(10, 10);
    of.stop = Some([0.5; STOP_WEIGHTS]);
    (of.points[1].log_odds, of.points[2].log_odds) = (Some(-2.0), Some(-4.0));
    let threshold = |recall| Spot::of(&of, Aim::at(recall)).stop.map(|rule| rule.threshold);
    assert_eq!([0.9, 0.94, 0.98, 1.0].map(threshold), [Some(-2.0), Some(-3.0), Some(-4.0), Some(-4.0)]);
    // The first point says nothing, nor do searches for other numbers of neighbours.
    assert_eq!([0.3, 0.6, 0.89].map(threshold), [None; 3]);
    let between = Spot::of(&of, Aim::at(0.9)).towards(Spot::of(&of, Aim::at(0.94)), 0.5);
    assert_eq!(between.stop.map(|rule| (rule.weights[0], rule.threshold)), Some((0.5, -2.5)));
    let early = Spot::of(&of, Aim::at(0.6)).towards(Spot::of(&of, Aim::at(0.9)), 0.5);
    assert_eq!(early.stop, None, "one of both does not end early");
    of.k = 3;
    let more = Spot::of(&of, Aim::at(0.9)).towards(Spot::of(&of, Aim::at(0.94)), 0.5);
    assert_eq!(more.stop.map(|rule| rule.threshold), Some(-2.5));
    of.k = 1;
    let few = Spot::of(&of, Aim::at(0.9)).towards(Spot::of(&of, Aim::at(0.94)), 0.5);
    assert_eq!(few.stop, None, "of few neighbours");
    of.stop = None;
    assert_eq!(Spot::of(&of, Aim::at(0.98)).stop, None);
}

#[test]
fn a_promise_is_kept_or_not() {
    let reached = |expected| Promise { target: 0.95, expected }.reached();
    assert!(reached(Some(0.95)) && reached(Some(0.95 - 1e-12)) && reached(Some(1.0)));
    assert!(!reached(Some(0.949)) && !reached(None));
}

#[test]
fn no_list_is_left_out_by_its_distance_under_a_filter() {
    let dir = tempfile::tempdir().unwrap();
    TestIndex::random(Metric::L2, DType::U8, 4, 2000).write(dir.path());
    let index = Index::open(dir.path()).unwrap();
    let curves = vec![curve(10, 10), curve(100, 40)];
    let recall = RecallCurves { source: RecallSource::Rows, confidence: None, curves, ranges: Vec::new() };
    let calibrated = Calibrated { manifest: index.manifest(), recall: Some(&recall), vectors: Tier::Ssd };
    let aim = Aim::at(0.9);
    assert_eq!(calibrated.pruning(10, aim).epsilon, Some(0.6));
    for share in [0.9, 0.2, 0.01] {
        let found = calibrated.among(10, share, aim);
        assert_eq!(found.epsilon, None, "{share}");
        assert!(found.max_lists >= 30, "{share}: {}", found.max_lists);
    }
    let unknown = Calibrated { recall: None, ..calibrated };
    assert!(unknown.pruning(10, aim).epsilon.is_some() && unknown.among(10, 0.5, aim).epsilon.is_none());
}

#[test]
fn fewer_vectors_are_compared_where_fewer_match() {
    let among = |share| thinned(56.0, 10, share);
    assert!((among(1.0) - 56.0).abs() < 1e-9);
    // As sentence embeddings, of 50 000 of which 5 000, 500 and 65 matched, compared 41, 31 and 21.
    for (share, compared) in [(0.1, 41.0), (0.01, 31.0), (0.0013, 21.0)] {
        let expected = among(share);
        assert!((expected - compared).abs() < 5.0, "{share}: {expected}, {compared} were compared");
    }
    assert!(among(1e-9) >= 10.0 && among(0.0) == 10.0);
    // Of an index that is not calibrated, and of all where fewer than wanted are compared.
    assert_eq!([thinned(10.0, 10, 0.1), thinned(5.0, 10, 0.1)], [10.0, 10.0]);
}
