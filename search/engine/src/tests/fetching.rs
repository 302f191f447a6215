//! Vectors by id.
use super::*;

#[test]
fn vectors_are_found_by_id() {
    for (dtype, metric) in [(DType::U8, Metric::L2), (DType::F16, Metric::Cosine)] {
        let made = made(TestIndex::random(metric, dtype, 24, 3000));
        let lookup = Arc::new(Lookup::open(Arc::clone(&made.index)).unwrap());
        let absent = (0..).find(|id| !made.input.ids.contains(id)).unwrap();
        let cached = EngineConfig { cache_bytes: 1 << 20, ..config(2, 3) };
        for config in [config(1, 1), config(2, 3), cached] {
            let engine = Engine::open(Arc::clone(&made.index), config).unwrap();
            assert_eq!(engine.fetch(&lookup, &[]).unwrap(), Fetched::default());
            for count in [1, 15, 16, 17, 3000] {
                // Others in between, and one twice.
                let ids = &made.input.ids[..count];
                let mut asked = vec![absent];
                asked.extend(ids);
                asked.extend([u64::MAX, ids[0]]);
                let Fetched { rows, states, .. } = engine.fetch(&lookup, &asked).unwrap();
                let expected: Vec<u8> =
                    (0..count).chain([0]).flat_map(|at| made.input.row(at)).copied().collect();
                assert_eq!(rows, expected, "{count}");
                let gone = [0, count + 1];
                for (at, state) in states.iter().enumerate() {
                    let found = if gone.contains(&at) { FetchState::Absent } else { FetchState::Found };
                    assert_eq!(*state, found, "{at} of {count}");
                }
            }
            assert_eq!(engine.damage_count(), 0);
        }
    }
}

#[test]
fn a_damaged_page_costs_its_own_vectors_alone_and_is_counted() {
    let made = made(TestIndex::random(Metric::L2, DType::U8, 24, 3000));
    let lookup = Arc::new(Lookup::open(Arc::clone(&made.index)).unwrap());
    let flip = |path: &Path, at: usize| {
        let mut bytes = std::fs::read(path).unwrap();
        bytes[at] ^= 1;
        std::fs::write(path, &bytes).unwrap();
    };
    let lost = |engine: &Engine| {
        let Fetched { rows, states, .. } = engine.fetch(&lookup, &made.input.ids).unwrap();
        let mut rows = rows.chunks(24);
        for (at, &state) in states.iter().enumerate() {
            match state {
                FetchState::Found => assert_eq!(rows.next().unwrap(), made.input.row(at)),
                FetchState::Damaged => {}
                FetchState::Absent => panic!("{at} is in the index"),
            }
        }
        assert!(rows.next().is_none());
        states.iter().filter(|&&state| state == FetchState::Damaged).count()
    };
    // A page of vectors in the middle.
    flip(
        &made.index.segments()[0].vectors(VectorsOf::Main).path,
        4096 + 5 * made.index.page_layout().page_bytes() + 77,
    );
    let records = made.index.page_layout().page_records();
    let engine = engine(&made);
    // Also once it is not read any more.
    for _ in 0..10 {
        assert_eq!(lost(&engine), records);
    }
    assert!(
        matches!(engine.damage()[..], [Damage { part: DamagedPart::Page(5), .. }]),
        "{:?}",
        engine.damage()
    );
    // And a page of ids.
    flip(&made.index.segments()[0].ids.path, 4096 + 4096 + 77);
    let entries = made.index.segments()[0].ids.layout.page_entries();
    for _ in 0..10 {
        assert!((entries..=entries + records).contains(&lost(&engine)), "{}", lost(&engine));
    }
    assert_eq!(engine.damage_count(), 2);
    assert!(engine.damage().iter().any(|damage| damage.part == DamagedPart::IdPage(1)));

    let path = &made.index.segments()[0].ids.path;
    flip(path, std::fs::metadata(path).unwrap().len() as usize - 12);
    let refused = Lookup::open(Arc::new(Index::open(made.dir.path()).unwrap()));
    assert!(matches!(refused, Err(OpenError::Checksum { .. })), "{refused:?}");
}

#[test]
fn fetches_meet_faults_deadlines_and_the_end() {
    let made = made(TestIndex::random(Metric::L2, DType::U8, 24, 3000));
    let lookup = Arc::new(Lookup::open(Arc::clone(&made.index)).unwrap());
    let rates = FaultRates { error: 0.1, interrupted: 0.1, short: 0.1, hold: 0.2, flip: 0.1 };
    for seed in 0..5 {
        let engine = faulty(&made, Schedule::seeded(seed, rates));
        let mut damaged = 0;
        for ids in made.input.ids.chunks(100) {
            let Fetched { rows, states, .. } = engine.fetch(&lookup, ids).unwrap();
            let mut rows = rows.chunks(24);
            for (state, id) in states.iter().zip(ids) {
                let at = made.input.ids.iter().position(|known| known == id).unwrap();
                match state {
                    FetchState::Found => assert_eq!(rows.next().unwrap(), made.input.row(at)),
                    FetchState::Damaged => damaged += 1,
                    FetchState::Absent => panic!("{id} is in the index"),
                }
            }
        }
        assert!(damaged > 0);
    }
    let engine = engine(&made);
    let request = |deadline, stop| FetchRequest {
        lookup: Arc::clone(&lookup),
        ids: made.input.ids.clone(),
        content: FetchContent::VECTORS,
        deadline,
        stop,
    };
    let (sender, receiver) = bounded(2);
    for (deadline, stop) in [(Some(Instant::now()), None), (None, Some(Arc::new(AtomicBool::new(true))))] {
        let sender = sender.clone();
        let reply = move |result: Result<Fetched, SearchError>| sender.send(result).unwrap();
        engine.submit_fetch(request(deadline, stop), reply).unwrap();
    }
    let ends = [receiver.recv().unwrap(), receiver.recv().unwrap()];
    assert!(ends.iter().any(|end| matches!(end, Err(SearchError::Deadline { .. }))), "{ends:?}");
    assert!(ends.iter().any(|end| matches!(end, Err(SearchError::Stopped { .. }))), "{ends:?}");
    // Handed in before the end, answered before it.
    let reply = move |result: Result<Fetched, SearchError>| sender.send(result).unwrap();
    engine.submit_fetch(request(None, None), reply).unwrap();
    drop(engine);
    assert_eq!(receiver.recv().unwrap().unwrap().states.len(), 3000);
}
