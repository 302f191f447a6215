//! Searches that are given up, and the end of an engine.
use super::hooked::{Event, Hooked};
use super::*;

#[test]
fn a_batch_stops_when_told_and_at_its_deadline() {
    let made = made(TestIndex::random(Metric::L2, DType::U8, 8, 200));
    let engine = engine(&made);
    let queries = random_rows(DType::U8, 8, 100, 3);
    let stop = Arc::new(AtomicBool::new(true));
    let stopped = engine.search_until(queries[..].into(), &SearchParams::new(1), &stop);
    assert!(matches!(stopped, Err(SearchError::Stopped { answered: 0, queries: 100 })));
    stop.store(false, Ordering::Relaxed);
    assert_eq!(engine.search_until(queries[..].into(), &SearchParams::new(1), &stop).unwrap().len(), 100);

    let (sender, receiver) = bounded(1);
    let deadline = Some(Instant::now());
    let request = Request {
        queries: queries.clone().into(),
        column_queries: None,
        params: SearchParams::new(1),
        deadline,
        stop: None,
    };
    engine.submit(request, move |result| sender.send(result).unwrap()).unwrap();
    assert!(matches!(receiver.recv().unwrap(), Err(SearchError::Deadline { .. })));

    // Dropping the engine answers what was handed in.
    let (sender, receiver) = bounded(1);
    let request = Request {
        queries: queries.into(),
        column_queries: None,
        params: SearchParams::new(1),
        deadline: None,
        stop: None,
    };
    engine.submit(request, move |result| sender.send(result).unwrap()).unwrap();
    drop(engine);
    assert_eq!(receiver.recv().unwrap().unwrap().len(), 100);
}

#[test]
fn a_query_under_way_is_given_up_within_a_burst() {
    let made = made(TestIndex::random(Metric::L2, DType::U8, 8, 2000));
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let [carried_out, withdrawn] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
    let counters = (Arc::clone(&carried_out), Arc::clone(&withdrawn));
    let engine = Engine::open_with(Arc::clone(&made.index), config(1, 4), move || {
        let stop = Arc::clone(&told);
        let (carried_out, all_withdrawn) = counters.clone();
        Hooked::boxed(open_reader(BackendChoice::Auto, 16)?, move |event| {
            match event {
                Event::Submit => {
                    assert!(!stop.load(Ordering::Relaxed), "reads for a search that was stopped")
                }
                // The search is asked to stop when the first bytes come in.
                Event::Completed { reads, withdrawn } if reads > 0 => {
                    carried_out.fetch_add(reads - withdrawn, Ordering::Relaxed);
                    all_withdrawn.fetch_add(withdrawn, Ordering::Relaxed);
                    stop.store(true, Ordering::Relaxed);
                }
                _ => {}
            }
            Ok(())
        })
    })
    .unwrap();
    let queries = random_rows(DType::U8, 8, 100, 3);
    // Every other list, so that many reads are asked for at once.
    let params = SearchParams { max_lists: Some(made.index.lists() / 2), ..SearchParams::new(1) };
    let stopped = engine.search_until(queries[..].into(), &params, &stop);
    assert!(matches!(stopped, Err(SearchError::Stopped { answered: 0, queries: 100 })), "{stopped:?}");
    // Each of four queries asked for about fifty, of which sixteen were under way; those that took their places meanwhile were
    // read, the others not any more.
    drop(engine);
    let [carried_out, withdrawn] = [carried_out, withdrawn].map(|count| count.load(Ordering::Relaxed));
    assert!(withdrawn >= 40, "{carried_out} read, {withdrawn} withdrawn");
}
