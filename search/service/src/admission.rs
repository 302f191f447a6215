//! Whether a request is let in: overload is refused early, not queued to death.
//!
//! The delay that a request will meet is the time that the queries taken before it take, of all indexes, over the number of
//! queries answered at once (Little's law); the engine measures the one and the configuration says the other. A request whose first query would
//! wait longer than the limit, or whose last could not be answered before its deadline, is refused at once, and so is a batch that
//! would make another miss its deadline; before that, effort may be lowered. A batch counts with all its queries, and lets single ones
//! pass: they take turns.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use spandrel_engine::{Backlog, Course, DOCUMENTS_COMPARED, Engine, side_by_side, with_spare};

use crate::refusal::Refusal;

/// When requests are refused, and whether they are searched less thoroughly before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdmissionConfig {
    /// Longest expected time in the queue.
    pub queue_delay_max: Duration,
    /// Least share of the lists searched under load, above 0 to 1; 1 means that effort is never lowered.
    pub degrade_effort_min: f32,
}

impl Default for AdmissionConfig {
    fn default() -> AdmissionConfig {
        AdmissionConfig { queue_delay_max: Duration::from_millis(50), degrade_effort_min: 1.0 }
    }
}

/// Share of the longest delay from which on effort is lowered.
const DEGRADE_FROM: f32 = 0.25;

/// The load as a request to one index meets it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Queries of the request, as its caller counts them.
    pub(crate) asked: usize,
    /// Queries that these are to the engine.
    pub(crate) queries: usize,
    /// What is ahead of it.
    pub(crate) backlog: Backlog,
    /// Time that a query takes once it is begun.
    pub(crate) query: Duration,
    /// Time that it waits for its filter to be compiled before it comes to what is ahead of it.
    pub(crate) filter: Duration,
}

/// Query documents, one or more, and what they are in all.
#[derive(Clone, Copy)]
pub(crate) struct DocumentQueries {
    pub(crate) asked: usize,
    /// Queries of vectors that they are, and the course of these.
    pub(crate) vectors: usize,
    pub(crate) course: Course,
    /// Documents that they compare.
    pub(crate) compared: usize,
}

impl Load {
    /// Of `queries` queries of a course.
    pub(crate) fn of(engine: &Engine, queries: usize, course: Course) -> Load {
        let (backlog, query) = (engine.backlog(queries, course), engine.query_time(course));
        Load { asked: queries, queries, backlog, query, filter: Duration::ZERO }
    }

    /// Of query documents.
    pub(crate) fn of_documents(engine: &Engine, of: DocumentQueries) -> Load {
        let DocumentQueries { asked, vectors, course, compared } = of;
        let comparisons = compared.div_ceil(DOCUMENTS_COMPARED as usize); // CAST: widening
        let queries = vectors + comparisons;
        let time = |course, count: usize| engine.query_time(course).mul_f64(count as f64); // CAST: a count of queries
        let all = time(course, vectors) + time(Course::Documents, comparisons);
        let backlog = engine.backlog(queries, Course::Nearest);
        let query = all.div_f64(queries.max(1) as f64); // CAST: as above
        Load { asked, queries, backlog, query, filter: Duration::ZERO }
    }

    /// Of the same queries of several indexes, which are one request. None without any.
    pub(crate) fn together(loads: impl IntoIterator<Item = Load>) -> Option<Load> {
        loads.into_iter().reduce(|a, b| {
            let queries = a.queries + b.queries;
            let work = a.query.mul_f64(a.queries as f64) + b.query.mul_f64(b.queries as f64); // CAST: counts of queries
            Load {
                asked: a.asked,
                queries,
                backlog: Backlog {
                    before_first: a.backlog.before_first.max(b.backlog.before_first),
                    before_last: a.backlog.before_last.max(b.backlog.before_last),
                    makes_late: a.backlog.makes_late.max(b.backlog.makes_late),
                },
                query: work.div_f64(queries.max(1) as f64), // CAST: as above
                filter: a.filter.max(b.filter),
            }
        })
    }

    /// The same of queries that were let in with others: these are not ahead of it.
    pub(crate) fn let_in_before(self) -> Load {
        Load { backlog: Backlog::default(), ..self }
    }
}

/// Lets requests in to one index.
#[derive(Debug)]
pub(crate) struct Admission {
    config: AdmissionConfig,
    /// Queries of all indexes that are worked on at once.
    slots: usize,
    /// Queries handed to the engine and not answered.
    in_flight: AtomicUsize,
}

/// Leave to search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Admitted {
    /// Share of the lists to search: less than 1 under load.
    pub(crate) effort: f32,
}

impl Admission {
    pub(crate) fn new(config: AdmissionConfig, slots: usize) -> Admission {
        Admission { config, slots, in_flight: AtomicUsize::new(0) }
    }

    /// Lets a request in or refuses it.
    pub(crate) fn admit(&self, load: Load, deadline: Instant) -> Result<Admitted, Refusal> {
        let Load { asked, queries, backlog, query, filter } = load;
        let delay = self.share(backlog.before_first) + filter;
        let own = self.share(query.mul_f64(queries.saturating_sub(1) as f64)) + query; // CAST: a count of queries
        let limit = self.config.queue_delay_max;
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Refusal::Deadline);
        }
        let ms = |time: Duration| time.as_millis() as u64; // CAST: a queue's delay
        // A single query with nothing waiting is always let in, so that the measurement can change.
        if queries > 1 && own > left {
            return Err(Refusal::Short { queries: asked, needs_ms: ms(own), left_ms: ms(left) });
        }
        let others = self.share(backlog.before_last) + filter;
        let late =
            if others.is_zero() { Duration::ZERO } else { with_spare(others + own).saturating_sub(left) };
        let late = late.max(backlog.makes_late);
        if delay > limit || !late.is_zero() {
            // Until half of the longest delay has been worked off, or enough for the deadlines.
            let (waiting, over) = if delay > limit { (delay, delay - limit / 2) } else { (others, late) };
            return Err(Refusal::Overloaded { waiting_ms: ms(waiting), retry_ms: ms(over).max(1) });
        }
        let load = delay.as_secs_f32() / limit.as_secs_f32();
        let over = ((load - DEGRADE_FROM) / (1.0 - DEGRADE_FROM)).clamp(0.0, 1.0);
        Ok(Admitted { effort: 1.0 - over * (1.0 - self.config.degrade_effort_min) })
    }

    /// Expected time in the queue of a single query that comes now.
    pub(crate) fn delay(&self, engine: &Engine) -> Duration {
        self.share(engine.backlog(1, Course::Nearest).before_first)
    }

    /// Time in which work is done that takes this time one query at a time.
    fn share(&self, work: Duration) -> Duration {
        side_by_side(work, self.slots)
    }

    /// Queries handed to the engine and not answered.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Counts queries as handed in.
    pub(crate) fn enter(&self, queries: usize) {
        self.in_flight.fetch_add(queries, Ordering::Relaxed);
    }

    /// Counts queries as answered or given up.
    pub(crate) fn leave(&self, queries: usize) {
        self.in_flight.fetch_sub(queries, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A request behind `before_first` queries of a millisecond each.
    fn load(queries: usize, before_first: u32, before_last: u32) -> Load {
        let (before_first, before_last) = (before_first * MS, before_last * MS);
        let backlog = Backlog { before_first, before_last, ..Backlog::default() };
        Load { asked: queries, queries, backlog, query: MS, filter: Duration::ZERO }
    }

    fn within(time: Duration) -> Instant {
        Instant::now() + time
    }

    #[test]
    fn what_waits_too_long_is_refused() {
        let config = AdmissionConfig { queue_delay_max: 50 * MS, degrade_effort_min: 0.5 };
        let admission = Admission::new(config, 8);
        let soon = within(10_000 * MS);
        assert_eq!(admission.admit(load(1, 0, 0), soon).unwrap(), Admitted { effort: 1.0 });
        // Eight at once.
        let Ok(Admitted { effort }) = admission.admit(load(1, 360, 360), soon) else {
            panic!("45 ms are let in")
        };
        assert!((0.5..0.6).contains(&effort), "{effort}");
        for queries in [1, 200] {
            let refused = admission.admit(load(queries, 440, 440), soon).unwrap_err();
            assert!(matches!(refused, Refusal::Overloaded { waiting_ms: 55, retry_ms: 30 }), "{refused:?}");
        }
        // A batch is held to the delay of its first query, however long others are.
        assert!(admission.admit(load(1000, 5, 5000), soon).is_ok());
    }

    #[test]
    fn queries_of_several_indexes_are_let_in_once() {
        let admission = Admission::new(AdmissionConfig::default(), 8);
        let three = || [load(400, 0, 0), load(400, 16, 80), Load { query: 2 * MS, ..load(400, 8, 160) }];
        let all = Load::together(three()).unwrap();
        assert_eq!((all.asked, all.queries), (400, 1200));
        assert_eq!((all.backlog.before_first, all.backlog.before_last), (16 * MS, 160 * MS));
        // 1600 ms, eight at once, and what is ahead.
        assert!(admission.admit(all, within(400 * MS)).is_ok());
        let short = admission.admit(all, within(150 * MS));
        assert!(matches!(short, Err(Refusal::Short { queries: 400, .. })), "{short:?}");
        // One of them alone would have been let in.
        assert!(admission.admit(three()[0], within(150 * MS)).is_ok());
        // The others of the request are no reason to come back later.
        let part = load(400, 800, 800);
        assert!(matches!(admission.admit(part, within(400 * MS)), Err(Refusal::Overloaded { .. })));
        assert!(admission.admit(part.let_in_before(), within(400 * MS)).is_ok());
        assert!(Load::together([]).is_none());
    }

    #[test]
    fn filters_that_wait_to_be_compiled_keep_others_out() {
        let admission = Admission::new(AdmissionConfig::default(), 8);
        let behind = |filter| admission.admit(Load { filter, ..load(1, 80, 80) }, within(10_000 * MS));
        assert!(behind(40 * MS).is_ok());
        let refused = behind(41 * MS).unwrap_err();
        assert!(matches!(refused, Refusal::Overloaded { waiting_ms: 51, retry_ms: 26 }), "{refused:?}");
        // Also what comes too late for its deadline.
        let late = admission.admit(Load { filter: 20 * MS, ..load(1, 0, 0) }, within(10 * MS));
        assert!(matches!(late, Err(Refusal::Overloaded { .. })), "{late:?}");
    }

    #[test]
    fn what_cannot_be_in_time_is_refused() {
        let admission = Admission::new(AdmissionConfig::default(), 8);
        assert!(admission.admit(load(1, 80, 80), within(30 * MS)).is_ok());
        let late = admission.admit(load(1, 80, 80), within(10 * MS));
        assert!(matches!(late, Err(Refusal::Overloaded { .. })), "{late:?}");
        // With nothing waiting a single query is let in, however long it is expected to take.
        assert!(admission.admit(Load { query: 100 * MS, ..load(1, 0, 0) }, within(10 * MS)).is_ok());
        assert!(matches!(admission.admit(load(1, 0, 0), Instant::now()), Err(Refusal::Deadline)));
        // A batch by its own end: 800 queries take 100 ms and more.
        assert!(admission.admit(load(800, 0, 0), within(200 * MS)).is_ok());
        let short = admission.admit(load(800, 0, 0), within(90 * MS));
        assert!(matches!(short, Err(Refusal::Short { queries: 800, needs_ms: 100, .. })), "{short:?}");
        // Told as the caller counts: one query document, say.
        let one = admission.admit(Load { asked: 1, ..load(800, 0, 0) }, within(90 * MS)).unwrap_err();
        assert!(one.to_string().starts_with("1 query takes about 100 ms"), "{one}");
        let behind = admission.admit(load(800, 5, 1000), within(200 * MS));
        assert!(matches!(behind, Err(Refusal::Overloaded { .. })), "{behind:?}");
        // And by what it does to others.
        let mut long = load(800, 5, 10);
        assert!(admission.admit(long, within(10_000 * MS)).is_ok());
        long.backlog.makes_late = 30 * MS;
        let late = admission.admit(long, within(10_000 * MS)).unwrap_err();
        assert!(matches!(late, Refusal::Overloaded { retry_ms: 30, .. }), "{late:?}");
    }
}
