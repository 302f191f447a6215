//! What is refused before anything is searched.
use super::*;

#[test]
fn parameters_that_make_no_sense_are_refused() {
    let made = made(TestIndex::random(Metric::L2, DType::U8, 8, 200));
    let engine = engine(&made);
    let query = random_rows(DType::U8, 8, 1, 3);
    let refused = |params| match engine.search(&query, &params) {
        Err(SearchError::Params(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(all_lists(&made, 0)), ParamsError::ZeroK);
    for epsilon in [f32::NAN, -0.1, f32::INFINITY] {
        let params = SearchParams { epsilon: Some(epsilon), ..SearchParams::new(1) };
        assert!(matches!(refused(params), ParamsError::Epsilon { .. }));
    }
    for effort in [f32::NAN, -0.1, 1.1] {
        let params = SearchParams { effort, ..SearchParams::new(1) };
        assert!(matches!(refused(params), ParamsError::Effort { .. }));
    }
    assert_eq!(refused(SearchParams { max_lists: Some(0), ..SearchParams::new(1) }), ParamsError::ZeroLists);
    for recall in [0.0, -0.5, 1.01, f64::NAN, f64::INFINITY] {
        let params = SearchParams { recall: Some(recall), ..SearchParams::new(1) };
        assert!(matches!(refused(params), ParamsError::Recall { .. }), "{recall}");
    }
    let both = SearchParams { recall: Some(0.9), epsilon: Some(0.5), ..SearchParams::new(1) };
    assert_eq!(refused(both), ParamsError::RecallAndEpsilon);
}

#[test]
fn queries_that_are_no_vectors_are_refused_by_number() {
    let made = made(TestIndex::random(Metric::Cosine, DType::F32, 2, 50));
    let engine = engine(&made);
    let search = |queries: &[f32]| {
        let bytes: Vec<u8> = queries.iter().flat_map(|x| x.to_le_bytes()).collect();
        match engine.search(&bytes, &SearchParams::new(1)) {
            Err(SearchError::Query(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    for (queries, query, found) in [
        (&[f32::INFINITY, 0.0][..], 0, Unusable::NotFinite { element: 0, value: f32::INFINITY }),
        (&[1.0, 0.0, 0.0, -0.0], 1, Unusable::Zero),
        (&[1.0, 0.0, 3e38, 0.0], 1, Unusable::TooLong),
        (&[0.0, -1e-19], 0, Unusable::TooShort),
    ] {
        assert_eq!(search(queries), QueryError::Unusable { query, found });
    }
    assert!(matches!(search(&[1.0]), QueryError::Length { found: 4, row_bytes: 8, .. }));
    assert!(engine.search(&[], &SearchParams::new(1)).unwrap().is_empty());
}

#[test]
fn what_does_not_fit_is_refused_at_opening() {
    let made = made(TestIndex::random(Metric::L2, DType::U8, 8, 200));
    for (threads, in_flight) in [(0, 1), (1, 0), (5000, 1)] {
        let refused = Engine::open(Arc::clone(&made.index), config(threads, in_flight));
        assert!(matches!(refused, Err(EngineError::Config { .. })));
    }
    let codes: &Path = &made.index.segments()[0].codes.path;
    let bytes = std::fs::read(codes).unwrap();
    std::fs::write(codes, &bytes[..bytes.len() - 512]).unwrap();
    let refused = Engine::open(Arc::clone(&made.index), config(1, 1));
    assert!(matches!(refused, Err(EngineError::Changed { .. })));
    // A file that has lost its name is still that of the open index.
    std::fs::write(codes, &bytes).unwrap();
    std::fs::remove_file(codes).unwrap();
    assert!(Engine::open(Arc::clone(&made.index), config(1, 1)).is_ok());
}

#[test]
fn numbers_are_searched_for_in_an_index_of_any_type() {
    for dtype in DType::ALL {
        let made = made(TestIndex::random(Metric::L2, dtype, 8, 200));
        let engine = engine(&made);
        let queries = random_rows(dtype, 8, 3, 3);
        let numbers = spandrel_index::decode(dtype, &queries);
        let (rows, params) = (engine.search(&queries, &all_lists(&made, 5)).unwrap(), all_lists(&made, 5));
        assert_eq!(found(&engine.search_numbers(&numbers, &params).unwrap()), found(&rows), "{dtype}");
        let value = if dtype.is_integer() { 0.5 } else { 70_000.0 };
        let refused = engine.search_numbers(&[&numbers[..], &[0.0, value], &[0.0; 6]].concat(), &params);
        match refused {
            Err(SearchError::Query(error)) => {
                assert_eq!(error, QueryError::Value { query: 3, element: 1, value, dtype });
            }
            other => assert!(dtype == DType::F32 && other.unwrap().len() == 4),
        }
        let half = engine.search_numbers(&numbers[..12], &params);
        assert!(matches!(half, Err(SearchError::Query(QueryError::Length { .. }))), "{half:?}");
    }
}
