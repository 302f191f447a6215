//! Searches under filters over small indexes.
use spandrel_index::Matches;

use super::*;
use crate::filter_plan::FilterPlan;

/// An index of 60 lists of which 39 hold no vector: their heads are those of the first.
fn mostly_empty() -> Made {
    let mut input = TestIndex { copies: 1, ..TestIndex::random(Metric::L2, DType::U8, 8, 600) };
    let (row_bytes, first) = (input.row_bytes(), input.row(0).to_vec());
    for head in 1..40 {
        input.rows[10 * head * row_bytes..][..row_bytes].copy_from_slice(&first);
    }
    let made = made(input);
    let directory = &made.index.segments()[0].directory;
    let empty = (0..made.index.lists()).filter(|&list| directory.positions(list).is_empty()).count();
    assert_eq!(empty, 39);
    made
}

/// All vectors lie in one run, and in fewer than half of the lists.
#[test]
fn what_all_vectors_match_is_searched_as_without_a_filter_where_most_lists_are_empty() {
    let made = mostly_empty();
    let engine = engine(&made);
    let queries = random_rows(DType::U8, 8, 20, 9);
    let filter = Some(Arc::new(Matches::of(&made.index, |_| true)));
    for max_lists in [1, 10, 60] {
        let plain = SearchParams { max_lists: Some(max_lists), ..SearchParams::new(5) };
        let expected = engine.search(&queries, &plain).unwrap();
        let filtered = engine.search(&queries, &SearchParams { filter: filter.clone(), ..plain }).unwrap();
        assert_eq!(found(&filtered), found(&expected), "{max_lists} lists");
        let plans = filtered.iter().map(|answer| answer.filtered.unwrap());
        assert!(plans.clone().all(|told| told.plan == FilterPlan::Post && told.matches == 600));
    }
}
