//! Filters of one version of an index: compiled once for all who ask for the same, and kept for those who ask again.
//!
//! Promises: what filters take in memory, while they are compiled, in use or kept, stays within a limit; a filter is compiled, and
//! a long one read, on threads that may block, a few at a time, and no longer than somebody waits for it.
mod kept;
mod memory;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use spandrel_filter::Bound;
use spandrel_index::Index;
use spandrel_index::attributes::{CompileError, CompileLimits, compile};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

pub(crate) use self::kept::Compiled;
use self::kept::Kept;
use self::memory::{Memory, Taken};
use crate::ask::AskFilter;
use crate::causes::with_causes;
use crate::refusal::Refusal;
use crate::stopping::StopFlag;

/// Filters that are compiled at once, and long ones that are read.
const AT_ONCE: usize = 4;
/// Memory for compiling a filter, in sets of a bit for each vector, and besides.
const SETS: usize = 4;
const REST_BYTES: usize = 64 << 10;
/// Memory that a filter takes beside what it says and the positions that match.
const ENTRY_BYTES: usize = 512;

/// The filters of one version of an index.
#[derive(Debug)]
pub(crate) struct Filters {
    kept: Kept,
    memory: Arc<Memory>,
    /// Places for those that are read, and that are compiled.
    reading: Arc<Semaphore>,
    compiling: Arc<Semaphore>,
}

/// What a filter matches.
pub(crate) struct Found {
    pub(crate) compiled: Arc<Compiled>,
    /// As text, where that was wanted.
    pub(crate) text: Option<Arc<str>>,
    /// Whether it was compiled for another.
    pub(crate) was_kept: bool,
}

impl Filters {
    /// With at most `bytes_max` bytes.
    pub(crate) fn new(bytes_max: usize) -> Filters {
        let places = || Arc::new(Semaphore::new(AT_ONCE));
        Filters {
            kept: Kept::default(),
            memory: Memory::new(bytes_max),
            reading: places(),
            compiling: places(),
        }
    }

    /// Bytes that filters take.
    pub(crate) fn bytes(&self) -> usize {
        self.memory.used()
    }

    /// What `filter` matches in `index`, by the deadline.
    pub(crate) async fn get(
        &self,
        filter: AskFilter,
        index: &Arc<Index>,
        (with_text, deadline): (bool, Instant),
    ) -> Result<Found, Refusal> {
        let field = filter.field;
        let schema = Arc::clone(index.schema());
        let (bound, text) = match filter.is_short() {
            true => filter.bind(&schema, with_text)?,
            false => {
                let place = place(&self.reading, deadline).await?;
                blocking(place, deadline, move |_| filter.bind(&schema, with_text)).await?
            }
        };
        // Forgets it when dropped, also where the caller has left, unless it was compiled.
        let asked = self.kept.ask(bound);
        let mut was_kept = true;
        let compiling = asked.slot.get_or_try_init(|| {
            was_kept = false;
            self.compile(field, Arc::clone(&asked.bound), index, deadline)
        });
        let compiled = timeout_at(deadline.into(), compiling).await.unwrap_or(Err(Refusal::Deadline))?;
        Ok(Found { compiled: Arc::clone(compiled), text, was_kept })
    }

    async fn compile(
        &self,
        field: &'static str,
        bound: Arc<Bound>,
        index: &Arc<Index>,
        deadline: Instant,
    ) -> Result<Arc<Compiled>, Refusal> {
        let bits: u64 = index.segments().iter().map(|segment| segment.count.div_ceil(8)).sum();
        // CAST: bytes in memory
        let memory_bytes = (bits as usize).saturating_mul(SETS).saturating_add(REST_BYTES);
        let rest = bound.memory_bytes() + ENTRY_BYTES;
        let (bytes, limit) = (memory_bytes.saturating_add(rest), self.memory.max);
        if bytes > limit {
            let message =
                format!("compiling takes up to {bytes} bytes, the server's limit for filters is {limit}");
            return Err(Refusal::field(field, message));
        }
        // One that waits for a place takes what it says, and no memory for compiling.
        let mut taken = self.take(rest)?;
        let place = place(&self.compiling, deadline).await?;
        taken.join(self.take(memory_bytes)?);
        let index = Arc::clone(index);
        let compiling = blocking(place, deadline, move |stop| {
            let limits = CompileLimits { memory_bytes, deadline: Some(deadline), stop };
            let matches = compile(&index, &bound, limits).map_err(|error| refusal(field, &error))?;
            taken.keep(rest + matches.memory_bytes());
            Ok(Compiled { matches: Arc::new(matches), _taken: taken })
        });
        Ok(Arc::new(compiling.await?))
    }

    /// Memory for a filter, for which others are forgotten that nobody uses.
    fn take(&self, bytes: usize) -> Result<Taken, Refusal> {
        loop {
            if let Some(taken) = self.memory.take(bytes) {
                return Ok(taken);
            }
            if !self.kept.forget_oldest() {
                return Err(Refusal::Filters { held: self.bytes(), limit: self.memory.max });
            }
        }
    }
}

/// Why a filter was not compiled.
fn refusal(field: &'static str, error: &CompileError) -> Refusal {
    match error {
        CompileError::Memory { .. } => Refusal::field(field, error.to_string()),
        CompileError::Deadline => Refusal::Deadline,
        CompileError::Stopped => Refusal::Cancelled,
        CompileError::Open(error) => Refusal::Damaged(with_causes(error)),
        error => Refusal::Internal(with_causes(error)),
    }
}

/// Waits for one of some places, which are never closed.
async fn place(places: &Arc<Semaphore>, deadline: Instant) -> Result<OwnedSemaphorePermit, Refusal> {
    let place = timeout_at(deadline.into(), Arc::clone(places).acquire_owned()).await;
    place.ok().and_then(Result::ok).ok_or(Refusal::Deadline)
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
        Ok(worked) => worked.map_err(|e| Refusal::Internal(format!("reading or compiling a filter: {e}")))?,
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

    fn ids(id: u64) -> AskFilter {
        AskFilter { field: "filter", form: FilterForm::Tree(Filter::Ids(vec![id])), bytes: 10 }
    }

    #[tokio::test]
    async fn what_does_not_fit_is_refused_and_what_is_late_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        TestIndex::random(Metric::L2, DType::U8, 4, 300).write(dir.path());
        let index = Arc::new(Index::open(dir.path()).unwrap());
        let soon = || (false, Instant::now() + Duration::from_secs(60));
        let never = Filters::new(1000).get(ids(0), &index, soon()).await.err().unwrap();
        assert!(matches!(never, Refusal::Field { field: "filter", .. }), "{never:?}");

        // For one at a time, and not for one that is kept besides.
        let filters =
            Filters::new(REST_BYTES + SETS * 300_usize.div_ceil(8) + size_of::<u64>() + ENTRY_BYTES);
        let late = filters.get(ids(0), &index, (false, Instant::now())).await.err().unwrap();
        assert!(matches!(late, Refusal::Deadline), "{late:?}");
        while filters.bytes() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let used = filters.get(ids(0), &index, soon()).await.ok().unwrap();
        assert_eq!((used.compiled.matches.count(), used.was_kept), (1, false));
        assert!(filters.get(ids(0), &index, soon()).await.ok().unwrap().was_kept);
        let refused = filters.get(ids(7919), &index, soon()).await.err().unwrap();
        assert!(matches!(refused, Refusal::Filters { .. }), "{refused:?}");
        drop(used);
        let other = filters.get(ids(7919), &index, soon()).await.ok().unwrap();
        assert_eq!((other.compiled.matches.count(), other.was_kept), (1, false));
    }

    #[tokio::test]
    async fn one_whose_caller_left_is_forgotten_and_those_that_wait_take_little() {
        let dir = tempfile::tempdir().unwrap();
        TestIndex::random(Metric::L2, DType::U8, 4, 300).write(dir.path());
        let index = Arc::new(Index::open(dir.path()).unwrap());
        let filters = Filters::new(1 << 20);
        let _places = filters.compiling.acquire_many(u32::try_from(AT_ONCE).unwrap()).await.unwrap();
        let soon = (false, Instant::now() + Duration::from_secs(60));
        let mut asked: Vec<_> = (0..10).map(|id| Box::pin(filters.get(ids(id), &index, soon))).collect();
        for asked in &mut asked {
            let left = tokio::time::timeout(Duration::ZERO, asked).await;
            assert!(left.is_err());
        }
        assert_eq!(filters.bytes(), 10 * (ENTRY_BYTES + size_of::<u64>()));
        drop(asked);
        assert!(filters.bytes() == 0 && filters.kept.is_empty());
    }
}
