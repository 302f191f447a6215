//! Lists whose heads have too small a score.
use super::*;

#[test]
fn lists_with_heads_of_a_smaller_score_are_not_searched() {
    for graph in [false, true] {
        let mut input = TestIndex::random(Metric::InnerProduct, DType::F32, 8, 300);
        input.graph = graph;
        let made = made(input);
        let engine = engine(&made);
        let row = random_rows(DType::F32, 8, 1, 5);
        let query = floats(DType::F32, &row);
        let segment = &made.index.segments()[0];
        let of_list = |list: u32| {
            let heads = &segment.heads;
            let head =
                floats(DType::F32, &heads.rows()[list as usize * heads.row_bytes()..][..heads.row_bytes()]);
            // The last element lifts the head.
            let product: f64 = query.iter().zip(&head).map(|(q, c)| q * c).sum();
            (product, segment.directory.entry(list).count() as u64)
        };
        let mut lists: Vec<(f64, u64)> = (0..segment.lists()).map(of_list).collect();
        lists.sort_by(|a, b| b.0.total_cmp(&a.0));
        let one = |params: SearchParams| engine.search(&row, &params).unwrap().remove(0);
        for kept in [0, 1, 7, lists.len()] {
            let between = match kept {
                0 => lists[0].0 + 1.0,
                kept => {
                    lists.get(kept).map_or(lists[kept - 1].0 - 1.0, |next| (next.0 + lists[kept - 1].0) / 2.0)
                }
            };
            let least = Some(between as f32);
            let answer = one(SearchParams { min_head_score: least, ..SearchParams::new(300) });
            let vectors: u64 = lists[..kept].iter().map(|(_, vectors)| vectors).sum();
            assert_eq!((answer.work.lists as usize, answer.work.vectors_scanned), (kept, vectors), "{kept}");
            let is_short = (answer.neighbours.len() as u64) < 300;
            assert_eq!(is_short, kept < lists.len(), "{kept} of {}", lists.len());
            assert_eq!(answer.limited_by, is_short.then_some(Limit::MinHeadScore), "{kept}");
            assert_eq!(answer.promise, None);
            if kept == 7 {
                let answer = one(SearchParams { min_head_score: least, ..SearchParams::new(1) });
                assert_eq!((answer.neighbours.len(), answer.limited_by), (1, None));
                // Both hold.
                let few =
                    one(SearchParams { min_head_score: least, max_lists: Some(2), ..SearchParams::new(1) });
                assert!(few.work.lists <= 2, "{:?}", few.work);
                let both =
                    SearchParams { min_head_score: least, recall: Some(0.9), ..SearchParams::new(300) };
                let both = one(both);
                assert_eq!((both.work.vectors_scanned, both.promise), (vectors, None));
            }
        }
    }
}

#[test]
fn head_scores_that_mean_nothing_are_refused() {
    let refused = |metric: Metric, found: f32| {
        let made = made(TestIndex::random(metric, DType::F32, 8, 50));
        let params = SearchParams { min_head_score: Some(found), ..SearchParams::new(1) };
        let refused = engine(&made).search(&random_rows(DType::F32, 8, 1, 5), &params).unwrap_err();
        refused.to_string()
    };
    assert!(refused(Metric::InnerProduct, f32::NAN).contains("min-head-score is NaN"));
    assert!(refused(Metric::L2, 1.0).contains("compares by l2, expected ip"));
}
