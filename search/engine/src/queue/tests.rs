use std::sync::atomic::{AtomicBool, Ordering};

use spandrel_index::testing::TestIndex;
use spandrel_index::{DType, Index, Metric};

use super::*;
use crate::answer::Answer;
use crate::exact::{ExactPieces, ExactSearch};
use crate::job::{Job, Queries, Running};
use crate::params::SearchParams;
use crate::plan::QueryPlan;
use crate::terms::Terms;

const MS: Duration = Duration::from_millis(1);

/// A request of that many queries, that may be given up by a flag.
fn job(searched: &Arc<Searched>, queries: usize, stop: Option<Arc<AtomicBool>>) -> Arc<Job<Queries>> {
    job_until(searched, queries, Terms { deadline: None, stop })
}

fn job_until(searched: &Arc<Searched>, queries: usize, terms: Terms) -> Arc<Job<Queries>> {
    let row_bytes = searched.index.row_bytes();
    let plan = QueryPlan::of(&SearchParams::new(1), &searched.index).unwrap();
    let rows = vec![0; queries * row_bytes].into();
    let task = Queries::new(rows, row_bytes, plan);
    Job::new(task, searched, terms, Box::new(drop))
}

fn next(queue: &Queue) -> Option<Running> {
    match queue.next(false, &mut 0) {
        Next::Piece(Started::Query(running)) => Some(running),
        Next::Nothing => None,
        _ => panic!("only queries were handed in"),
    }
}

/// Two indexes, whose queries take one and `other_ms` milliseconds.
fn with_indexes(other_ms: f32, test: impl FnOnce(&Arc<Searched>, &Arc<Searched>)) {
    let dir = tempfile::tempdir().unwrap();
    TestIndex::random(Metric::L2, DType::U8, 4, 50).write(dir.path());
    let index = Arc::new(Index::open(dir.path()).unwrap());
    let [one, other] = [0, 1].map(|number| {
        let mut searched = Searched::of(&index);
        searched.number = number;
        Arc::new(searched)
    });
    one.pace.of(Course::default()).took(1000.0);
    other.pace.of(Course::default()).took(1000.0 * other_ms);
    test(&one, &other);
}

/// The numbers of the requests in the order in which their queries are taken, each with that of the query.
fn order(queue: &Queue, all: &[Arc<Job<Queries>>]) -> Vec<(usize, usize)> {
    let mut order = Vec::new();
    while let Some(running) = next(queue) {
        let which = all.iter().position(|job| Arc::ptr_eq(job, &running.job)).unwrap_or(all.len());
        order.push((which, running.number));
        // As long as it is expected to take.
        let latency_us = running.job.searched().pace.query(Course::default()).as_secs_f32() * 1e6;
        running.finish(Answer { latency_us, ..Answer::default() });
    }
    order
}

#[test]
fn single_queries_and_batches_take_turns() {
    with_indexes(1.0, |index, _| {
        let queue = Queue::new(1, 1);
        let all = [3, 4, 1, 1].map(|queries| job(index, queries, None));
        all.iter().for_each(|job| queue.push(job.clone(), true).unwrap());
        let expected = [(2, 0), (0, 0), (3, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2), (1, 3)];
        assert_eq!(order(&queue, &all), expected);
    });
}

#[test]
fn a_thread_takes_no_more_at_once_than_is_left_for_each_other() {
    with_indexes(1.0, |index, _| {
        for (threads, expected) in [(1, 7), (2, 3), (3, 2), (7, 1)] {
            let queue = Queue::new(threads, threads);
            queue.push(job(index, 7, None), true).unwrap();
            let mut taken = vec![next(&queue).unwrap()];
            while let Some(Started::Query(running)) = queue.another(taken.len()) {
                taken.push(running);
            }
            assert_eq!(taken.len(), expected, "{threads} threads");
            assert_eq!(order(&queue, &[]).len(), 7 - expected);
        }
    });
}

/// The thread slept, and who had closed the index waited for ever.
#[test]
fn an_index_that_is_closed_while_a_reply_is_given_is_let_go_of() {
    with_indexes(1.0, |index, other| {
        let queue = Arc::new(Queue::new(2, 2));
        let (closing, number) = (Arc::clone(&queue), other.number);
        let row_bytes = index.index.row_bytes();
        let plan = QueryPlan::of(&SearchParams::new(1), &index.index).unwrap();
        let task = Queries::new(vec![0; row_bytes].into(), row_bytes, plan);
        let terms = Terms { deadline: None, stop: Some(Arc::new(AtomicBool::new(true))) };
        queue
            .push(Job::new(task, index, terms, Box::new(move |_| closing.close_index(number))), true)
            .unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || sender.send(matches!(queue.next(true, &mut 0), Next::LetGo)));
        assert_eq!(receiver.recv_timeout(Duration::from_secs(20)), Ok(true));
    });
}

#[test]
fn indexes_take_turns_by_the_work_of_their_queries() {
    with_indexes(1.0, |index, other| {
        let queue = Queue::new(1, 1);
        let all = [job(index, 4, None), job(other, 1, None), job(other, 1, None), job(other, 1, None)];
        all.iter().for_each(|job| queue.push(job.clone(), true).unwrap());
        let expected = [(1, 0), (0, 0), (2, 0), (0, 1), (3, 0), (0, 2), (0, 3)];
        assert_eq!(order(&queue, &all), expected, "a batch of one index lets queries of another pass");
        // Queries of the one take three times as long as those of the other, so that three of these pass for each.
        (0..1000).for_each(|_| index.pace.of(Course::default()).took(3000.0));
        let all: Vec<_> =
            (0..4).map(|_| job(index, 1, None)).chain((0..9).map(|_| job(other, 1, None))).collect();
        all.iter().for_each(|job| queue.push(job.clone(), true).unwrap());
        let mut of_slow = Vec::new();
        for at in 0..13 {
            let running = next(&queue).unwrap();
            if running.job.searched().number == index.number {
                of_slow.push(at);
            }
            let latency_us = if running.job.searched().number == index.number { 3000.0 } else { 1000.0 };
            running.finish(Answer { latency_us, ..Answer::default() });
        }
        let between: Vec<usize> = of_slow.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(between, [4, 4, 4], "{of_slow:?}");
    });
}

#[test]
fn idle_work_is_taken_where_nothing_else_waits() {
    with_indexes(1.0, |index, other| {
        let queue = Queue::new(1, 1);
        let rows = vec![0; index.index.row_bytes()].into();
        let search = Arc::new(ExactSearch::new(&index.index, rows, 1, Vec::new()).unwrap());
        let pieces = |idle| ExactPieces { search: Arc::clone(&search), pieces: 0..2, idle };
        let exact = |idle| Job::new(pieces(idle), index, Terms::default(), Box::new(drop));
        queue.push(exact(true), true).unwrap();
        let all = [job(index, 3, None), job(other, 1, None)];
        all.iter().for_each(|job| queue.push(job.clone(), true).unwrap());
        let (with, queue_alone) = (queue.backlog(other, 1, Course::default()), Queue::new(1, 1));
        all.iter().for_each(|job| queue_alone.push(job.clone(), true).unwrap());
        assert_eq!(with, queue_alone.backlog(other, 1, Course::default()), "idle work is ahead of nobody");
        for _ in 0..4 {
            let running = next(&queue).expect("queries come first");
            running.finish(Answer { latency_us: 1000.0, ..Answer::default() });
        }
        // Given up, a piece would take the other with it.
        let taken: Vec<Next> = (0..2).map(|_| queue.next(false, &mut 0)).collect();
        assert!(taken.iter().all(|next| matches!(next, Next::Piece(Started::Exact(_)))));
        assert!(matches!(queue.next(false, &mut 0), Next::Nothing));
    });
}

#[test]
fn what_is_ahead_is_counted_by_turns() {
    with_indexes(2.0, |index, other| {
        let queue = Queue::new(1, 1);
        let ahead = |queries| {
            let Backlog { before_first, before_last, .. } = queue.backlog(index, queries, Course::default());
            (before_first.as_millis(), before_last.as_millis())
        };
        assert_eq!([ahead(1), ahead(200)], [(0, 0), (0, 0)]);
        for _ in 0..5 {
            queue.push(job(index, 200, None), true).unwrap();
        }
        // A single query has the next turn, however much of the batches is left.
        assert_eq!([ahead(1), ahead(10), ahead(1000)], [(0, 0), (5, 50), (5, 1000)]);
        for _ in 0..3 {
            queue.push(job(index, 1, None), true).unwrap();
        }
        assert_eq!([ahead(1), ahead(2), ahead(1000)], [(6, 6), (8, 13), (8, 1003)]);
        // Work of another index takes turns too, by the time that it takes.
        queue.push(job(other, 1, None), true).unwrap();
        assert_eq!([ahead(1), ahead(2)], [(8, 8), (10, 15)]);
        assert_eq!(
            queue.backlog(other, 1, Course::default()),
            Backlog { before_first: 6 * MS, before_last: 6 * MS, makes_late: Duration::ZERO }
        );
    });
}

#[test]
fn what_a_batch_does_to_those_that_wait_is_told() {
    // A query takes a minute.
    with_indexes(60_000.0, |other, index| {
        let queue = Queue::new(1, 1);
        let deadline = Some(Instant::now() + 60 * 60_000 * MS);
        let hour = |queries| job_until(index, queries, Terms { deadline, stop: None });
        // An eighth of the time that they take is to spare. The test itself takes less than a minute.
        let late = |of: &Arc<Searched>, queries| {
            queue.backlog(of, queries, Course::default()).makes_late.as_secs().div_ceil(60)
        };
        queue.push(hour(20), true).unwrap();
        assert_eq!(late(index, 1000), 0, "both have 20 turns");
        queue.push(job(index, 60, None), true).unwrap();
        assert_eq!(late(index, 10), 0, "50 minutes and an eighth");
        assert_eq!(late(index, 20), 8, "60 minutes and an eighth");
        assert_eq!(late(index, 1000), 8, "no more turns than the shortest has");
        // The same of another index, by its work. A single query waits for its one turn.
        assert_eq!([late(other, 10 * 60_000), late(other, 20 * 60_000)], [0, 8]);
        assert_eq!(late(index, 1), 0);
        // The latest is not the shortest.
        queue.push(hour(12), true).unwrap();
        assert_eq!(late(index, 1), 0);
        assert_eq!(late(index, 2), 1, "20, 20, 12 and 2");
        assert_eq!(late(index, 12), 12, "20, 20, 12 and 12");
        queue.push(job_until(index, 2, Terms { deadline: Some(Instant::now()), stop: None }), true).unwrap();
        assert_eq!(late(index, 2), 3, "20, 20, 12, 2 and 2: the one past its deadline is not made late");
    });
}

#[test]
fn a_batch_whose_deadline_is_near_takes_the_turns_of_others() {
    // A query takes a minute.
    with_indexes(60_000.0, |_, index| {
        let queue = Queue::new(1, 1);
        let within = |minutes: u32, queries| {
            let deadline = Some(Instant::now() + minutes * 60_000 * MS);
            job_until(index, queries, Terms { deadline, stop: None })
        };
        // Of the second 5 queries and an eighth end in the time that is left. The fourth cannot end in time, until one query of it is left.
        let all = [job(index, 3, None), within(6, 9), within(60, 3), within(1, 3)];
        all.iter().for_each(|job| queue.push(job.clone(), true).unwrap());
        let expected = [1, 1, 1, 1, 0, 2, 3, 1, 0, 2, 3, 3, 1, 0, 2, 1, 1, 1];
        assert_eq!(order(&queue, &all).iter().map(|&(which, _)| which).collect::<Vec<_>>(), expected);
    });
}

#[test]
fn a_batch_given_up_is_dropped_at_once() {
    with_indexes(1.0, |index, _| {
        let queue = Queue::new(1, 1);
        let stop = Arc::new(AtomicBool::new(false));
        queue.push(job(index, 1000, Some(Arc::clone(&stop))), true).unwrap();
        next(&queue).unwrap().finish(Answer { latency_us: 1000.0, ..Answer::default() });
        assert_eq!(queue.backlog(index, 1000, Course::default()).before_last, 999 * MS);
        stop.store(true, Ordering::Relaxed);
        assert!(next(&queue).is_none());
        assert_eq!(queue.backlog(index, 1000, Course::default()).before_last, Duration::ZERO);
    });
}

#[test]
fn threads_are_told_of_a_closed_index_once() {
    let (queue, mut seen) = (Queue::new(1, 1), 0);
    queue.close_index(0);
    assert!(matches!(queue.next(true, &mut seen), Next::LetGo));
    assert!(matches!(queue.next(false, &mut seen), Next::Nothing));
    queue.close();
    assert!(matches!(queue.next(true, &mut seen), Next::End));
}
