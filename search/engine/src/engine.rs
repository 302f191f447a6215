//! One index, and the ways to hand in queries.
mod comparing;
mod fetching;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::bounded;
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::VectorsOf;
use spandrel_index::{Index, Location, Tier};
use spandrel_io::{Backend, ReadFile, Reader, ReaderError};

use crate::answer::Answer;
use crate::damage::{Damage, DamageLog};
use crate::error::{EngineError, SearchError};
use crate::executor::{EngineConfig, Executor};
use crate::files::{QueryFile, files_of, open_files, paths_of};
use crate::job::{Job, Queries, Reply, Waiting};
use crate::pace::Course;
use crate::paging::{PageCache, cached};
use crate::params::SearchParams;
use crate::plan::QueryPlan;
use crate::queue::{Backlog, Queue};
use crate::searched::Searched;
use crate::terms::Terms;
use crate::threads::ThreadReport;
use crate::validate::{QueryError, check_column_queries, check_column_rows, check_queries, queries_of};

/// How the lists are being read. Figures are worth nothing without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IoReport {
    /// What carries the reads.
    pub backend: Backend,
    /// Whether they pass the page cache by.
    pub direct: bool,
    /// Why the backend is not io_uring although it might have been. A warning for the user.
    pub fallback: Option<String>,
}

/// Queries handed in together with their own terms.
#[derive(Debug)]
pub struct Request {
    /// Query rows of the index's element type, little-endian, back to back.
    pub queries: Bytes,
    /// Their rows in the index's column, in the same order, where candidates are compared by it.
    pub column_queries: Option<Bytes>,
    /// How to search.
    pub params: SearchParams,
    /// When to give up: queries not started by then are not answered.
    pub deadline: Option<Instant>,
    /// Set to true to give up.
    pub stop: Option<Arc<AtomicBool>>,
}

/// Rows of some queries, each kind back to back.
#[derive(Debug, Clone, Copy)]
pub struct QueryRows<'a> {
    /// What lists and codes are compared with.
    pub main: &'a [u8],
    /// What candidates are compared with, where that is done by the index's column.
    pub column: Option<&'a [u8]>,
}

impl<'a> From<&'a [u8]> for QueryRows<'a> {
    fn from(main: &'a [u8]) -> QueryRows<'a> {
        QueryRows { main, column: None }
    }
}

/// Searches one open index, with the threads of an [`Executor`].
///
/// Dropping it waits for what was handed in, and closes the index's files. Not to be dropped by a reply, which a search thread
/// calls.
pub struct Engine {
    searched: Arc<Searched>,
    io: IoReport,
    cache_bytes: u64,
    /// After what it searches: the last engine ends the threads.
    executor: Executor,
}

impl Executor {
    /// Opens the files of an index for searches by these threads.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn register(&self, index: Arc<Index>) -> Result<Engine, EngineError> {
        let config = self.config();
        let files = files_of(&index);
        let opened = open_files(&files, config.direct)?;
        let is_of_queries = |(of, file): (&Option<QueryFile>, &Option<Arc<ReadFile>>)| {
            file.clone().filter(|_| of.as_ref().is_some_and(|of| of.is_of_queries))
        };
        let direct = files.iter().zip(&opened).filter_map(is_of_queries).all(|file| file.is_direct());
        // What is in memory is not cached as well, nor pages that nobody reads; all pages take a little more than they are.
        let unread = index.vectors_tier() == Tier::Memory || index.code() == CodeSpec::Full;
        let of = cached(&index);
        let vectors_bytes: u64 = index.segments().iter().map(|segment| segment.vectors(of).body_bytes).sum();
        let cache_bytes = if unread { 0 } else { config.cache_bytes.min(vectors_bytes / 4 * 5) };
        let cache = PageCache::new(
            usize::try_from(cache_bytes).unwrap_or(usize::MAX),
            index.shape_of(of).pages.page_bytes(),
            config.cache_policy,
        )
        .map_err(|source| EngineError::Cache { bytes: cache_bytes, source })?
        .map(Arc::new);
        let cache_bytes = if cache.is_some() { cache_bytes } else { 0 };
        let io = IoReport { backend: self.backend(), direct, fallback: self.fallback().map(str::to_owned) };
        let damage = DamageLog::new(paths_of(&files));
        let searched = Searched::new(self.take_number(), index, damage, cache, opened);
        Ok(Engine { searched: Arc::new(searched), io, cache_bytes, executor: self.clone() })
    }
}

impl Engine {
    /// Opens the files of `index` and starts threads that search it alone.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn open(index: Arc<Index>, config: EngineConfig) -> Result<Engine, EngineError> {
        Executor::new(config)?.register(index)
    }

    /// As [`Engine::open`], with readers of the caller's making: one for each thread, and one for each that is replaced.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn open_with(
        index: Arc<Index>,
        config: EngineConfig,
        readers: impl FnMut() -> Result<Box<dyn Reader>, ReaderError> + Send + 'static,
    ) -> Result<Engine, EngineError> {
        Executor::with_readers(config, readers)?.register(index)
    }

    /// The index it searches.
    pub fn index(&self) -> &Arc<Index> {
        &self.searched.index
    }

    /// How the lists are being read.
    pub fn io(&self) -> &IoReport {
        &self.io
    }

    /// Memory for pages that were read, besides that of the index.
    pub fn cache_bytes(&self) -> u64 {
        self.cache_bytes
    }

    /// Lists and pages found damaged or unreadable so far, up to 1000 of them, by number.
    pub fn damage(&self) -> Vec<Damage> {
        self.searched.damage.all()
    }

    /// How its threads are. One that breaks down fails the queries it has in flight and is replaced, once a second at
    /// most; while none is left, queries are refused.
    pub fn threads(&self) -> ThreadReport {
        self.executor.threads()
    }

    /// Lists and pages in [`Engine::damage`].
    pub fn damage_count(&self) -> usize {
        self.searched.damage.count()
    }

    /// What is ahead of a request of that many queries, one or more, if it is handed in now: of all indexes that the
    /// executor has.
    pub fn backlog(&self, queries: usize, course: Course) -> Backlog {
        self.executor.queue().backlog(&self.searched, queries, course)
    }

    /// Time that a query takes from the moment a thread takes it, as measured so far of those of this course; before the first of
    /// these as for the nearest of all vectors, and 0 before the first of all.
    pub fn query_time(&self, course: Course) -> Duration {
        self.searched.pace.query(course)
    }

    /// Checks queries lying back to back, as handing them in does: how many there are.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn check(&self, queries: &[u8]) -> Result<usize, QueryError> {
        check_queries(self.index(), queries)
    }

    /// As [`Engine::check`], of what queries have in the column of an index that has one.
    ///
    /// # Errors
    /// [`QueryError::Column`].
    pub fn check_column(&self, rows: &[u8]) -> Result<usize, QueryError> {
        check_column_rows(self.index(), rows)
    }

    /// Answers queries lying back to back, in their order. Blocks until all are answered.
    ///
    /// Workers take the queries one by one, in turns with those of other callers, up to the number that each keeps in flight.
    ///
    /// # Errors
    /// [`SearchError`]; nothing is searched when the parameters or any query are refused.
    pub fn search(&self, queries: &[u8], params: &SearchParams) -> Result<Vec<Answer>, SearchError> {
        self.search_without(Bytes::copy_from_slice(queries), params, Vec::new())
    }

    /// As [`Engine::search`], of queries as numbers, for an index of any element type: for one of f16 they are rounded, for one of
    /// bytes they have to be whole numbers in its range.
    ///
    /// # Errors
    /// Those of [`Engine::search`]; [`QueryError::Value`] for a number that the index's type cannot hold.
    pub fn search_numbers(&self, queries: &[f32], params: &SearchParams) -> Result<Vec<Answer>, SearchError> {
        self.search_without(queries_of(self.index(), queries)?.into(), params, Vec::new())
    }

    /// As [`Engine::search`], but gives up soon after `stop` becomes true.
    ///
    /// # Errors
    /// [`SearchError`]; [`SearchError::Stopped`] when it was stopped.
    pub fn search_until(
        &self,
        queries: QueryRows<'_>,
        params: &SearchParams,
        stop: &Arc<AtomicBool>,
    ) -> Result<Vec<Answer>, SearchError> {
        let stop = Some(Arc::clone(stop));
        let column_queries = queries.column.map(Bytes::copy_from_slice);
        let (queries, params) = (Bytes::copy_from_slice(queries.main), params.clone());
        self.search_request(Request { queries, column_queries, params, deadline: None, stop }, Vec::new())
    }

    /// As [`Engine::search`], where each query leaves out the vectors at some locations, which ascend. Lists of exact vectors
    /// leave none out.
    pub(crate) fn search_without(
        &self,
        queries: Bytes,
        params: &SearchParams,
        left_out: Vec<Vec<Location>>,
    ) -> Result<Vec<Answer>, SearchError> {
        let (params, column_queries) = (params.clone(), None);
        let request = Request { queries, column_queries, params, deadline: None, stop: None };
        self.search_request(request, left_out)
    }

    pub(crate) fn search_request(
        &self,
        request: Request,
        left_out: Vec<Vec<Location>>,
    ) -> Result<Vec<Answer>, SearchError> {
        let (sender, receiver) = bounded(1);
        // There is room for the one reply, so the send cannot block.
        let reply = Box::new(move |result| drop(sender.send(result)));
        if let Some(job) = self.job(request, left_out, reply)? {
            self.executor.queue().push(job, false)?;
        }
        receiver.recv().unwrap_or(Err(SearchError::Closed))
    }

    /// Hands in queries without waiting. `reply` is called once with the answers, usually on a worker's
    /// thread, and must not block it.
    ///
    /// # Errors
    /// [`SearchError`] when they are refused; `reply` is then not called. [`SearchError::Overloaded`] when
    /// too many requests are waiting.
    pub fn submit(
        &self,
        request: Request,
        reply: impl FnOnce(Result<Vec<Answer>, SearchError>) + Send + 'static,
    ) -> Result<(), SearchError> {
        match self.job(request, Vec::new(), Box::new(reply))? {
            Some(job) => self.hand_in(job, true),
            None => Ok(()),
        }
    }

    /// Hands in a job; `limited` refuses it when too many wait. Refused, it does not reply.
    fn hand_in(&self, job: Arc<dyn Waiting>, limited: bool) -> Result<(), SearchError> {
        self.executor.queue().push(Arc::clone(&job), limited).inspect_err(|_| job.forget())
    }

    /// Hands in queries that were checked; `limited` refuses them when too many requests wait. Refused, they get no reply.
    pub(crate) fn submit_queries(
        &self,
        queries: Queries,
        terms: Terms,
        limited: bool,
        reply: Reply<Answer>,
    ) -> Result<(), SearchError> {
        self.hand_in(Job::new(queries, &self.searched, terms, reply), limited)
    }

    /// What hands in further work on its index once the engine is out of reach, as in a reply.
    pub(crate) fn searched_by(&self) -> (Arc<Searched>, Arc<Queue>) {
        (Arc::clone(&self.searched), self.executor.shared_queue())
    }

    /// Threads that it was opened with.
    pub(crate) fn threads_wanted(&self) -> usize {
        self.executor.config().threads
    }

    /// Checks a request. Without any query it replies at once.
    fn job(
        &self,
        request: Request,
        left_out: Vec<Vec<Location>>,
        reply: Reply<Answer>,
    ) -> Result<Option<Arc<Job<Queries>>>, SearchError> {
        let Request { queries: rows, column_queries, params, deadline, stop } = request;
        let index = self.index();
        let plan = QueryPlan::of(&params, index)?;
        let count = check_queries(index, &rows)?;
        let column = column_queries.filter(|_| params.compare_by == VectorsOf::Column);
        if params.compare_by == VectorsOf::Column {
            check_column_queries(index, column.as_deref().unwrap_or_default(), count)?;
        }
        if count == 0 {
            reply(Ok(Vec::new()));
            return Ok(None);
        }
        let queries = match column {
            Some(column_rows) => Queries {
                column_rows,
                column_row_bytes: index.shape_of(VectorsOf::Column).row_bytes(),
                left_out,
                ..Queries::new(rows, index.row_bytes(), plan)
            },
            None => Queries { left_out, ..Queries::new(rows, index.row_bytes(), plan) },
        };
        Ok(Some(Job::new(queries, &self.searched, Terms { deadline, stop }, reply)))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.executor.drop_index(&self.searched);
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Engine({}, {:?})", self.index().dir().display(), self.executor)
    }
}
