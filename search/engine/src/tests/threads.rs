//! Search threads: what breaks down, what comes and goes, and whose turn it is.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use spandrel_index::testing::{TestIndex, random_rows};
use spandrel_index::{DType, Metric};
use spandrel_io::{BackendChoice, ReadError, Reader, ReaderError, open_reader};

use super::hooked::{Event, Hooked};
use super::*;

/// How a backend breaks down.
#[derive(Clone, Copy)]
enum Break {
    Error,
    Panic,
}

/// A backend that breaks down at its first submission, if `breaks`.
fn breaking_reader(how: Break, breaks: bool) -> Result<Box<dyn Reader>, ReaderError> {
    Hooked::boxed(open_reader(BackendChoice::Auto, 16)?, move |event| match (event, how) {
        (Event::Submit, Break::Error) if breaks => {
            Err(ReadError::Ring { source: std::io::Error::other("broken") })
        }
        (Event::Submit, Break::Panic) if breaks => panic!("broken"),
        _ => Ok(()),
    })
}

/// An engine of two threads whose first two readers break at once and whose later ones cannot be had, until that many
/// have been asked for.
fn breaking(made: &Made, how: Break, unavailable: u32) -> Engine {
    let mut asked = 0;
    Engine::open_with(Arc::clone(&made.index), config(2, 3), move || {
        asked += 1;
        if asked > 2 && asked <= 2 + unavailable {
            return Err(ReaderError::Threads { source: std::io::Error::other("no threads") });
        }
        breaking_reader(how, asked <= 2)
    })
    .unwrap()
}

#[test]
fn a_thread_that_breaks_fails_its_queries_and_is_replaced() {
    let made = made(TestIndex::random(Metric::L2, DType::U8, 8, 200));
    let queries = random_rows(DType::U8, 8, 100, 3);
    for (how, text) in [(Break::Error, "broken"), (Break::Panic, "it panicked")] {
        let engine = breaking(&made, how, 2);
        let started = Instant::now();
        assert_eq!((engine.threads().alive, engine.threads().replaced), (2, 0));
        let mut broken = 0;
        // Until both have broken down, after which none is left and everything is refused at once.
        loop {
            match engine.search(&queries, &SearchParams::new(1)) {
                Err(SearchError::Broken { reason }) => {
                    broken += 1;
                    assert!(reason.contains(text), "{reason}");
                }
                Err(SearchError::Closed) => break,
                other => panic!("{other:?}"),
            }
        }
        assert!((1..=2).contains(&broken), "{broken}");
        let lost = engine.threads();
        assert!(lost.alive == 0 && lost.wanted == 2 && lost.failure.is_some(), "{lost:?}");
        let refused = engine.submit(
            Request {
                queries: queries.clone().into(),
                column_queries: None,
                params: SearchParams::new(1),
                deadline: None,
                stop: None,
            },
            |_| panic!("what is refused is not answered as well"),
        );
        assert!(matches!(refused, Err(SearchError::Closed)), "{refused:?}");
        // The first try to replace each fails; the next ones succeed, a second later.
        while engine.threads().alive < 2 {
            std::thread::yield_now();
        }
        assert!(started.elapsed() > Duration::from_secs(1), "not more often than once a second");
        assert_eq!(engine.threads().replaced, 2);
        assert_eq!(engine.search(&queries, &SearchParams::new(1)).unwrap().len(), 100);
    }
}

#[test]
fn what_waits_when_the_last_thread_breaks_is_refused() {
    let made = made(TestIndex::random(Metric::L2, DType::U8, 8, 200));
    let engine = breaking(&made, Break::Panic, u32::MAX - 2);
    let (sender, receiver) = bounded(64);
    for row in random_rows(DType::U8, 8, 64, 3).chunks(8) {
        let request = Request {
            queries: row.to_vec().into(),
            column_queries: None,
            params: SearchParams::new(1),
            deadline: None,
            stop: None,
        };
        let reply = sender.clone();
        if let Err(error) = engine.submit(request, move |result| reply.send(result).unwrap()) {
            sender.send(Err(error)).unwrap();
        }
    }
    for _ in 0..64 {
        let answer = receiver.recv().unwrap();
        assert!(matches!(answer, Err(SearchError::Broken { .. } | SearchError::Closed)), "{answer:?}");
    }
    // Closing does not wait for a replacement.
    let closing = Instant::now();
    drop(engine);
    assert!(closing.elapsed() < Duration::from_millis(900));
}

/// An executor, the readers it made, and the files that they have now and had slots for at most.
fn watched(config: EngineConfig) -> (Executor, [Arc<AtomicUsize>; 3]) {
    let [readers, files, slots] = [(); 3].map(|()| Arc::new(AtomicUsize::new(0)));
    let (made, has, most) = (Arc::clone(&readers), Arc::clone(&files), Arc::clone(&slots));
    let executor = Executor::with_readers(config, move || {
        made.fetch_add(1, Ordering::Relaxed);
        let (has, most) = (Arc::clone(&has), Arc::clone(&most));
        Hooked::boxed(open_reader(config.io, 16)?, move |event| {
            match event {
                Event::FileAdded { slot } => {
                    has.fetch_add(1, Ordering::Relaxed);
                    most.fetch_max(slot as usize + 1, Ordering::Relaxed);
                }
                Event::FileRemoved => {
                    has.fetch_sub(1, Ordering::Relaxed);
                }
                _ => {}
            }
            Ok(())
        })
    });
    (executor.unwrap(), [readers, files, slots])
}

#[test]
fn indexes_come_and_go_under_load_and_share_their_threads() {
    let all = [(8, 1500), (24, 700), (12, 300)].map(|(dim, count)| {
        let made = made(TestIndex::random(Metric::L2, DType::U8, dim, count));
        let queries = random_rows(DType::U8, dim, 30, 3);
        let expected = found(&engine(&made).search(&queries, &all_lists(&made, 5)).unwrap());
        (made, queries, expected)
    });
    let open = |made: &Made| {
        let links = std::fs::read_dir("/proc/self/fd").unwrap();
        let paths = links.filter_map(|link| std::fs::read_link(link.unwrap().path()).ok());
        paths.filter(|path| path.starts_with(made.dir.path())).count()
    };
    let of_the_index = open(&all[0].0);
    for io in [BackendChoice::Auto, BackendChoice::Pread] {
        let (executor, [readers, files, slots]) = watched(EngineConfig { io, ..config(2, 3) });
        let asked = AtomicUsize::new(0);
        let ask = |engine: &Engine, at: usize| {
            let (made, queries, expected) = &all[at];
            assert_eq!(found(&engine.search(queries, &all_lists(made, 5)).unwrap()), *expected, "index {at}");
            asked.fetch_add(1, Ordering::Relaxed);
        };
        let stays = executor.register(Arc::clone(&all[0].0.index)).unwrap();
        std::thread::scope(|scope| {
            let done = Arc::new(AtomicBool::new(false));
            for _ in 0..2 {
                let (ask, stays, done) = (&ask, &stays, Arc::clone(&done));
                scope.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        ask(stays, 0);
                    }
                });
            }
            for turn in 0..40 {
                let at = 1 + turn % 2;
                let comes = executor.register(Arc::clone(&all[at].0.index)).unwrap();
                ask(&comes, at);
                // Handed in before it is dropped, and answered.
                let (sender, receiver) = bounded(1);
                let (made, queries, expected) = &all[at];
                let request = Request {
                    queries: queries.clone().into(),
                    column_queries: None,
                    params: all_lists(made, 5),
                    deadline: None,
                    stop: None,
                };
                comes.submit(request, move |result| sender.send(result).unwrap()).unwrap();
                drop(comes);
                assert_eq!(found(&receiver.try_recv().unwrap().unwrap()), *expected);
            }
            done.store(true, Ordering::Relaxed);
        });
        assert!(asked.load(Ordering::Relaxed) > 80);
        assert_eq!(
            (readers.load(Ordering::Relaxed), executor.threads().wanted),
            (2, 2),
            "{io}: no more threads"
        );
        assert!(files.load(Ordering::Relaxed) <= 2 * 3, "{io}: files of the index that stays alone");
        assert!(slots.load(Ordering::Relaxed) <= 2 * 3, "{io}: slots are used again");
        drop(stays);
        assert_eq!(files.load(Ordering::Relaxed), 0, "{io}");
        let engine = executor.register(Arc::clone(&all[0].0.index)).unwrap();
        ask(&engine, 0);
        drop(engine);
        // A search thread lets go of a file before it closes it.
        let patience = Instant::now() + Duration::from_secs(10);
        while open(&all[0].0) != of_the_index && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(open(&all[0].0), of_the_index, "{io}: files themselves are closed");
    }
}

#[test]
fn a_batch_on_one_index_lets_queries_on_another_pass() {
    let (one, other) = (
        made(TestIndex::random(Metric::L2, DType::U8, 8, 1500)),
        made(TestIndex::random(Metric::L2, DType::U8, 24, 700)),
    );
    let executor = Executor::new(config(1, 1)).unwrap();
    let [one_engine, other_engine] =
        [&one, &other].map(|made| executor.register(Arc::clone(&made.index)).unwrap());
    let (sender, receiver) = bounded(2);
    let (batch, single) = (sender.clone(), sender);
    let queries = random_rows(DType::U8, 8, 5000, 3).into();
    let request =
        Request { queries, column_queries: None, params: all_lists(&one, 5), deadline: None, stop: None };
    one_engine.submit(request, move |result| batch.send(result.unwrap().len()).unwrap()).unwrap();
    let queries = random_rows(DType::U8, 24, 1, 3).into();
    let request =
        Request { queries, column_queries: None, params: all_lists(&other, 5), deadline: None, stop: None };
    other_engine.submit(request, move |result| single.send(result.unwrap().len()).unwrap()).unwrap();
    assert_eq!([receiver.recv().unwrap(), receiver.recv().unwrap()], [1, 5000]);
}

#[test]
fn a_thread_that_breaks_is_replaced_for_all_indexes() {
    let (one, other) = (
        made(TestIndex::random(Metric::L2, DType::U8, 8, 200)),
        made(TestIndex::random(Metric::L2, DType::U8, 24, 200)),
    );
    let mut made_readers = 0;
    let executor = Executor::with_readers(config(1, 3), move || {
        made_readers += 1;
        breaking_reader(Break::Panic, made_readers == 1)
    })
    .unwrap();
    let [one_engine, other_engine] =
        [&one, &other].map(|made| executor.register(Arc::clone(&made.index)).unwrap());
    let queries = random_rows(DType::U8, 8, 10, 3);
    let broken = one_engine.search(&queries, &SearchParams::new(1));
    assert!(matches!(broken, Err(SearchError::Broken { .. })), "{broken:?}");
    // An index may go meanwhile, and another come.
    drop(one_engine);
    let one_engine = executor.register(Arc::clone(&one.index)).unwrap();
    while executor.threads().alive < 1 {
        std::thread::yield_now();
    }
    assert_eq!(executor.threads().replaced, 1);
    assert_eq!(one_engine.search(&queries, &SearchParams::new(1)).unwrap().len(), 10);
    let queries = random_rows(DType::U8, 24, 10, 3);
    assert_eq!(other_engine.search(&queries, &SearchParams::new(1)).unwrap().len(), 10);
}
