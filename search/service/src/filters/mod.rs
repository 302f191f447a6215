//! Filters of one version of an index: compiled once for all who ask for the same, and kept for those who ask again.
//!
//! Promises: what filters take in memory, while they are compiled, in use or kept, stays within a limit, which all versions of the
//! index share; a filter is compiled, and a long one read, on threads that may block, a few at a time, and no longer than somebody
//! waits for it.
mod compiling;
mod kept;
mod memory;
mod parts;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use spandrel_filter::{Bound, Schema};
use spandrel_index::Index;
use spandrel_index::attributes::{CompileError, CompileLimits, compile};
use spandrel_index::format::OpenError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

pub(crate) use self::compiling::Waiting;
use self::compiling::{Compiling, place};
pub(crate) use self::kept::Compiled;
use self::kept::{Kept, Key, Keys};
use self::memory::{Memory, Taken};
use crate::ask::{AskFilter, FilterTold, Written};
use crate::refusal::Refusal;
use crate::stopping::StopFlag;

/// Filters that are compiled at once, and long ones that are read.
const AT_ONCE: usize = 4;
/// Filters whose parts are counted at once. Each part is compiled by itself, so one such filter may take as long as a hundred.
const TOLD_AT_ONCE: usize = 2;
/// Memory for compiling a filter, in sets of a bit for each vector, and besides.
const SETS: usize = 4;
const REST_BYTES: usize = 64 << 10;
/// Memory that a filter takes beside what it says and the positions that match.
const ENTRY_BYTES: usize = 512;

/// The filters of one version of an index.
#[derive(Debug)]
pub(crate) struct Filters {
    kept: Kept,
    keys: Keys,
    /// What versions of an index share.
    shared: Arc<Shared>,
}

/// What filters of all versions of an index share.
#[derive(Debug)]
struct Shared {
    memory: Arc<Memory>,
    /// Places for those that are read.
    reading: Arc<Semaphore>,
    compiling: Compiling,
    /// Places for those whose parts are counted. They take no place from those that queries wait for.
    telling: Arc<Semaphore>,
}

/// A filter as far as it is read.
pub(crate) enum AskedFilter {
    /// One that takes long to read is not, until there is a place.
    Long(Arc<AskFilter>),
    Read(ReadFilter),
}

/// A filter that was read: what it says of vectors of the index.
pub(crate) struct ReadFilter {
    field: &'static str,
    key: Key,
    bound: Bound,
    /// As it was written, where that was wanted.
    written: Option<Written>,
}

/// What a filter matches.
pub(crate) struct Found {
    pub(crate) compiled: Arc<Compiled>,
    /// What is told of it, where that was wanted.
    pub(crate) told: Option<FilterTold>,
    /// Whether it was compiled for another.
    pub(crate) was_kept: bool,
}

impl ReadFilter {
    fn of(filter: &AskFilter, schema: &Schema, explained: bool, keys: &Keys) -> Result<ReadFilter, Refusal> {
        let field = filter.field;
        let (bound, written) = filter.bind(schema, explained)?;
        Ok(ReadFilter { field, key: keys.of(&bound), bound, written })
    }
}

impl Filters {
    /// With at most `bytes_max` bytes.
    pub(crate) fn new(bytes_max: usize) -> Filters {
        let shared = Shared {
            memory: Memory::new(bytes_max),
            reading: Arc::new(Semaphore::new(AT_ONCE)),
            compiling: Compiling::new(AT_ONCE),
            telling: Arc::new(Semaphore::new(TOLD_AT_ONCE)),
        };
        Filters { kept: Kept::default(), keys: Keys::default(), shared: Arc::new(shared) }
    }

    /// Of another version of the index, within the same bytes.
    pub(crate) fn of_next(&self) -> Filters {
        Filters { kept: Kept::default(), keys: Keys::default(), shared: Arc::clone(&self.shared) }
    }

    /// Forgets all filters: those that are in use take their bytes until their last use ends.
    pub(crate) fn forget(&self) {
        self.kept.forget_all();
    }

    /// Bytes that filters take, of all versions of the index.
    pub(crate) fn bytes(&self) -> usize {
        self.shared.memory.used()
    }

    /// Time that a filter waits for others that are to be compiled; 0 where another call has it compiled.
    pub(crate) fn delay(&self, asked: &AskedFilter) -> Duration {
        match asked {
            AskedFilter::Read(filter) if self.kept.is_asked(filter.key) => Duration::ZERO,
            _ => self.shared.compiling.delay(),
        }
    }

    /// Counts a filter as one that is to be compiled.
    pub(crate) fn wait(&self) -> Waiting {
        self.shared.compiling.wait()
    }

    /// A filter as several indexes are asked with it: parsed, so that each only binds it.
    pub(crate) async fn parsed(
        &self,
        filter: Arc<AskFilter>,
        deadline: Instant,
    ) -> Result<Arc<AskFilter>, Refusal> {
        if !filter.is_unparsed() {
            return Ok(filter);
        }
        if filter.is_short() {
            return Ok(Arc::new(filter.parsed()?));
        }
        let place = place(&self.shared.reading, deadline).await?;
        blocking(place, deadline, move |_| Ok(Arc::new(filter.parsed()?))).await
    }

    /// Reads a filter, unless that takes long.
    pub(crate) fn ask(
        &self,
        filter: Arc<AskFilter>,
        index: &Index,
        explained: bool,
    ) -> Result<AskedFilter, Refusal> {
        match filter.is_short() {
            true => Ok(AskedFilter::Read(ReadFilter::of(&filter, index.schema(), explained, &self.keys)?)),
            false => Ok(AskedFilter::Long(filter)),
        }
    }

    /// What a filter matches, where that is known.
    pub(crate) fn kept(&self, asked: &AskedFilter) -> Option<Arc<Compiled>> {
        match asked {
            AskedFilter::Read(filter) => self.kept.compiled(filter.key),
            AskedFilter::Long(_) => None,
        }
    }

    /// What a filter matches in `index`, by the deadline; `explained` to tell of it, `waiting` where it was counted.
    pub(crate) async fn get(
        &self,
        asked: AskedFilter,
        waiting: Option<Waiting>,
        index: &Arc<Index>,
        explained: bool,
        deadline: Instant,
    ) -> Result<Found, Refusal> {
        let ReadFilter { field, key, bound, written } = match asked {
            AskedFilter::Read(filter) => filter,
            AskedFilter::Long(filter) => {
                let (schema, keys) = (Arc::clone(index.schema()), self.keys.clone());
                let place = place(&self.shared.reading, deadline).await?;
                let read = move |_: &AtomicBool| ReadFilter::of(&filter, &schema, explained, &keys);
                blocking(place, deadline, read).await?
            }
        };
        // Forgets it when dropped, also where the caller has left, unless it was compiled.
        let asked = self.kept.ask(key, bound);
        let waiting = waiting.filter(|_| asked.is_first);
        let mut was_kept = true;
        let compiling = asked.slot.get_or_try_init(|| {
            was_kept = false;
            self.compile(field, Arc::clone(&asked.bound), waiting, index, deadline)
        });
        let compiled = timeout_at(deadline.into(), compiling).await.unwrap_or(Err(Refusal::Deadline))?;
        let told = match written {
            Some(written) => Some(self.told(field, written, index, deadline).await?),
            None => None,
        };
        Ok(Found { compiled: Arc::clone(compiled), told, was_kept })
    }

    async fn compile(
        &self,
        field: &'static str,
        bound: Arc<Bound>,
        waiting: Option<Waiting>,
        index: &Arc<Index>,
        deadline: Instant,
    ) -> Result<Arc<Compiled>, Refusal> {
        let memory_bytes = memory_bytes(index);
        let rest = bound.memory_bytes() + ENTRY_BYTES;
        let (bytes, limit) = (memory_bytes.saturating_add(rest), self.shared.memory.max);
        if bytes > limit {
            let message =
                format!("compiling takes up to {bytes} bytes, the server's limit for filters is {limit}");
            return Err(Refusal::field(field, message));
        }
        // One that waits for a place takes what it says, and no memory for compiling.
        let mut taken = self.take(rest)?;
        let place = self.shared.compiling.place(deadline).await?;
        drop(waiting);
        taken.join(self.take(memory_bytes)?);
        let (index, shared) = (Arc::clone(index), Arc::clone(&self.shared));
        let compiling = blocking(place, deadline, move |stop| {
            let _timed = shared.compiling.timed();
            let limits = CompileLimits { memory_bytes, deadline: Some(deadline), stop };
            let matches = compile(&index, &bound, limits).map_err(|error| refusal(field, error))?;
            taken.keep(rest + matches.memory_bytes());
            Ok(Compiled { matches: Arc::new(matches), _taken: taken })
        });
        Ok(Arc::new(compiling.await?))
    }

    /// Memory for a filter, for which others are forgotten that nobody uses.
    fn take(&self, bytes: usize) -> Result<Taken, Refusal> {
        loop {
            if let Some(taken) = self.shared.memory.take(bytes) {
                return Ok(taken);
            }
            if !self.kept.forget_oldest() {
                return Err(Refusal::Filters { held: self.bytes(), limit: self.shared.memory.max });
            }
        }
    }
}

/// Bytes of memory for compiling a filter.
fn memory_bytes(index: &Index) -> usize {
    let bits: u64 = index.segments().iter().map(|segment| segment.count.div_ceil(8)).sum();
    (bits as usize).saturating_mul(SETS).saturating_add(REST_BYTES) // CAST: bytes in memory
}

/// Why a filter was not compiled.
fn refusal(field: &'static str, error: CompileError) -> Refusal {
    match error {
        CompileError::Memory { .. } => Refusal::field(field, error.to_string()),
        CompileError::Deadline => Refusal::Deadline,
        CompileError::Stopped => Refusal::Cancelled,
        CompileError::Open(OpenError::Stopped { .. }) => Refusal::Cancelled,
        CompileError::Open(error) => Refusal::DamagedAttributes(error),
        error => Refusal::Compile(error),
    }
}

/// Runs what may take long where that keeps nobody else, in its place, with a flag that is set once nobody waits for it.
async fn blocking<T: Send + 'static>(
    place: OwnedSemaphorePermit,
    deadline: Instant,
    work: impl FnOnce(&AtomicBool) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let waiting = StopFlag::default();
    let stop = waiting.share();
    let working = tokio::task::spawn_blocking(move || {
        let _place = place;
        work(&stop)
    });
    match timeout_at(deadline.into(), working).await {
        Ok(worked) => worked.map_err(Refusal::broken("reading or compiling a filter"))?,
        Err(_) => Err(Refusal::Deadline),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use spandrel_filter::Filter;
    use spandrel_index::testing::TestIndex;
    use spandrel_index::{DType, Metric};

    use super::*;
    use crate::ask::FilterForm;

    fn ids(id: u64) -> Arc<AskFilter> {
        Arc::new(AskFilter { field: "filter", form: FilterForm::Tree(Filter::Ids(vec![id])), bytes: 10 })
    }

    async fn get(
        filters: &Filters,
        filter: Arc<AskFilter>,
        index: &Arc<Index>,
        deadline: Instant,
    ) -> Result<Found, Refusal> {
        filters.get(filters.ask(filter, index, false)?, None, index, false, deadline).await
    }

    #[tokio::test]
    async fn what_does_not_fit_is_refused_and_what_is_late_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        TestIndex::random(Metric::L2, DType::U8, 4, 300).write(dir.path());
        let index = Arc::new(Index::open(dir.path()).unwrap());
        let soon = || Instant::now() + Duration::from_secs(60);
        let never = get(&Filters::new(1000), ids(0), &index, soon()).await.err().unwrap();
        assert!(matches!(never, Refusal::Field { field: "filter", .. }), "{never:?}");

        // For one at a time, and not for one that is kept besides.
        let filters =
            Filters::new(REST_BYTES + SETS * 300_usize.div_ceil(8) + size_of::<u64>() + ENTRY_BYTES);
        let late = get(&filters, ids(0), &index, Instant::now()).await.err().unwrap();
        assert!(matches!(late, Refusal::Deadline), "{late:?}");
        while filters.bytes() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let used = get(&filters, ids(0), &index, soon()).await.ok().unwrap();
        assert_eq!((used.compiled.matches.count(), used.was_kept), (1, false));
        assert!(get(&filters, ids(0), &index, soon()).await.ok().unwrap().was_kept);
        let refused = get(&filters, ids(7919), &index, soon()).await.err().unwrap();
        assert!(matches!(refused, Refusal::Filters { .. }), "{refused:?}");
        drop(used);
        let other = get(&filters, ids(7919), &index, soon()).await.ok().unwrap();
        assert_eq!((other.compiled.matches.count(), other.was_kept), (1, false));
    }

    #[tokio::test]
    async fn one_whose_caller_left_is_forgotten_and_those_that_wait_take_little() {
        let dir = tempfile::tempdir().unwrap();
        TestIndex::random(Metric::L2, DType::U8, 4, 300).write(dir.path());
        let index = Arc::new(Index::open(dir.path()).unwrap());
        let filters = Filters::new(1 << 20);
        let soon = Instant::now() + Duration::from_secs(60);
        let mut places = Vec::new();
        for _ in 0..AT_ONCE {
            places.push(filters.shared.compiling.place(soon).await.unwrap());
        }
        let mut asked: Vec<_> = (0..10).map(|id| Box::pin(get(&filters, ids(id), &index, soon))).collect();
        for asked in &mut asked {
            let left = tokio::time::timeout(Duration::ZERO, asked).await;
            assert!(left.is_err());
        }
        assert_eq!(filters.bytes(), 10 * (ENTRY_BYTES + size_of::<u64>()));
        drop(asked);
        assert!(filters.bytes() == 0 && filters.kept.is_empty());
    }

    #[tokio::test]
    async fn parts_are_counted_in_places_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        TestIndex::random(Metric::L2, DType::U8, 4, 300).write(dir.path());
        let index = Arc::new(Index::open(dir.path()).unwrap());
        let filters = Filters::new(1 << 20);
        let soon = Instant::now() + Duration::from_secs(10);
        let used = get(&filters, ids(1), &index, soon).await.ok().unwrap();
        let mut places = Vec::new();
        for _ in 0..AT_ONCE {
            places.push(filters.shared.compiling.place(soon).await.unwrap());
        }
        let asked = filters.ask(ids(1), &index, true).ok().unwrap();
        let explained = filters.get(asked, None, &index, true, soon).await.ok().unwrap();
        let told = explained.told.unwrap();
        assert_eq!((told.parts.len(), told.parts[0].matches), (1, used.compiled.matches.count()));
    }

    #[tokio::test]
    async fn versions_of_an_index_share_what_their_filters_may_take() {
        let dir = tempfile::tempdir().unwrap();
        TestIndex::random(Metric::L2, DType::U8, 4, 300).write(dir.path());
        let index = Arc::new(Index::open(dir.path()).unwrap());
        let soon = Instant::now() + Duration::from_secs(60);
        let one = REST_BYTES + SETS * 300_usize.div_ceil(8) + size_of::<u64>() + ENTRY_BYTES;
        let old = Filters::new(one);
        let used = get(&old, ids(1), &index, soon).await.ok().unwrap();
        let next = old.of_next();
        assert_eq!(next.bytes(), old.bytes());
        let refused = get(&next, ids(1), &index, soon).await.err().unwrap();
        assert!(
            matches!(refused, Refusal::Filters { .. }),
            "what queries of the old one use counts: {refused:?}"
        );
        old.forget();
        assert!(next.bytes() > 0, "in use");
        drop(used);
        assert_eq!(next.bytes(), 0);
        assert!(!get(&next, ids(1), &index, soon).await.ok().unwrap().was_kept);
    }
}
