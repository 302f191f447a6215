//! Vectors of lists, read once in a while and kept ready for matrix products.
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use spandrel_index::format::{BODY_AT, Directory, Record, VectorsOf};
use spandrel_index::kernels::{BlockKernel, RightRows};
use spandrel_index::{DType, Index, Metric, norm_squared};
use spandrel_io::{Direct, ReadFile};

use super::error::JoinError;
use crate::error::EngineError;
use crate::files::open_file;

/// A list, by segment and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ListAt {
    pub(super) segment: u16,
    pub(super) list: u32,
}

/// Lists that were dropped and whose memory is used again, at most. Given back to the allocator it would not all be found again: with 150 MB a join
/// took 190.
pub(super) const SPARE_MAX: usize = 4;

/// Vectors of a list, as they are compared.
#[derive(Debug, Default)]
pub(super) struct JoinList {
    pub(super) packed: RightRows,
    /// As they were given, where products round.
    pub(super) rows: Vec<u8>,
    pub(super) ids: Vec<u64>,
    /// One over the length of each, under cosine.
    pub(super) inverse_norms: Vec<f32>,
    /// Largest squared length, where products round.
    pub(super) longest: f32,
}

impl JoinList {
    fn bytes(&self) -> u64 {
        let others = self.rows.capacity() + 8 * self.ids.capacity() + 4 * self.inverse_norms.capacity();
        (self.packed.memory_bytes() + others) as u64 // CAST: widening
    }

    /// Takes what was read in place of what it holds.
    fn set(&mut self, kernel: &BlockKernel, dtype: DType, raw: &RawRows, row_bytes: usize) {
        kernel.pack_right_into(&raw.rows, &mut self.packed);
        replace(&mut self.ids, &raw.ids);
        replace(&mut self.inverse_norms, &raw.inverse_norms);
        self.longest = 0.0;
        if rounds(dtype) {
            replace(&mut self.rows, &raw.rows);
            let rows = raw.rows.chunks_exact(row_bytes);
            self.longest = rows.map(|row| norm_squared(dtype, row)).fold(0.0, f64::max) as f32; // CAST: rounds
        }
    }
}

/// Rows of a list as they were given, with their ids and norms.
#[derive(Debug, Default)]
pub(super) struct RawRows {
    pub(super) rows: Vec<u8>,
    pub(super) ids: Vec<u64>,
    inverse_norms: Vec<f32>,
}

impl RawRows {
    fn clear(&mut self) {
        self.rows.clear();
        self.ids.clear();
        self.inverse_norms.clear();
    }
}

/// Lists that were read last, by second chance.
#[derive(Default)]
struct Cache {
    lists: HashMap<ListAt, (Arc<JoinList>, bool)>,
    ring: VecDeque<ListAt>,
    bytes: u64,
    /// Those that were dropped.
    spare: Vec<JoinList>,
}

/// What a list is read into, used again for the next.
#[derive(Default)]
struct Reading {
    pages: Vec<u8>,
    raw: RawRows,
}

/// Reads lists, and keeps some of them.
pub(super) struct Lists {
    index: Arc<Index>,
    /// The files of vectors, by segment.
    files: Vec<Arc<ReadFile>>,
    pub(super) kernel: BlockKernel,
    cache: Mutex<Cache>,
    /// Those that no thread uses just now.
    readings: Mutex<Vec<Reading>>,
    bytes_max: u64,
    read: AtomicU64,
    read_bytes: AtomicU64,
}

/// Whether products of these elements round, so that what they leave near is compared again.
pub(super) fn rounds(dtype: DType) -> bool {
    !dtype.is_integer()
}

impl Lists {
    pub(super) fn open(index: &Arc<Index>, bytes_max: u64) -> Result<Lists, EngineError> {
        let file = |segment: &spandrel_index::Segment| {
            let vectors = segment.vectors(VectorsOf::Main);
            open_file(&*vectors.blob, vectors.body_bytes, Direct::Auto)
        };
        Ok(Lists {
            files: index.segments().iter().map(file).collect::<Result<_, _>>()?,
            kernel: BlockKernel::new(index.dtype(), index.dim()),
            index: Arc::clone(index),
            cache: Mutex::default(),
            readings: Mutex::default(),
            bytes_max,
            read: AtomicU64::new(0),
            read_bytes: AtomicU64::new(0),
        })
    }

    /// Lists read so far, and bytes of their pages.
    pub(super) fn reads(&self) -> (u64, u64) {
        (self.read.load(Ordering::Relaxed), self.read_bytes.load(Ordering::Relaxed))
    }

    /// The vectors of a list.
    pub(super) fn get(&self, at: ListAt) -> Result<Arc<JoinList>, JoinError> {
        if let Some((list, used)) = self.lock().lists.get_mut(&at) {
            *used = true;
            return Ok(Arc::clone(list));
        }
        let mut reading = lock(&self.readings).pop().unwrap_or_default();
        let positions = self.directory(at.segment).positions(at.list);
        self.read_into(at.segment, positions, &mut reading)?;
        let mut list = self.lock().spare.pop().unwrap_or_default();
        // One of a long list is not kept for a short one.
        if list.ids.capacity() > 2 * reading.raw.ids.len() {
            list = JoinList::default();
        }
        list.set(&self.kernel, self.index.dtype(), &reading.raw, self.index.row_bytes());
        lock(&self.readings).push(reading);
        let list = Arc::new(list);
        self.keep(at, &list);
        Ok(list)
    }

    fn keep(&self, at: ListAt, list: &Arc<JoinList>) {
        let mut cache = self.lock();
        if cache.lists.contains_key(&at) || list.bytes() > self.bytes_max {
            return;
        }
        while cache.bytes + list.bytes() > self.bytes_max {
            let Some(oldest) = cache.ring.pop_front() else { break };
            match cache.lists.get_mut(&oldest) {
                Some((_, used)) if *used => {
                    *used = false;
                    cache.ring.push_back(oldest);
                }
                _ => {
                    let Some((dropped, _)) = cache.lists.remove(&oldest) else { continue };
                    cache.bytes -= dropped.bytes();
                    if cache.spare.len() < SPARE_MAX
                        && let Ok(dropped) = Arc::try_unwrap(dropped)
                    {
                        cache.spare.push(dropped);
                    }
                }
            }
        }
        cache.bytes += list.bytes();
        cache.lists.insert(at, (Arc::clone(list), false));
        cache.ring.push_back(at);
    }

    /// Drops what is kept.
    pub(super) fn forget(&self) {
        *self.lock() = Cache::default();
    }

    fn lock(&self) -> MutexGuard<'_, Cache> {
        lock(&self.cache)
    }

    pub(super) fn directory(&self, segment: u16) -> &Directory {
        &self.index.segments()[usize::from(segment)].directory
    }

    /// Vectors of a segment as they were given.
    pub(super) fn read(&self, segment: u16, positions: Range<u32>) -> Result<RawRows, JoinError> {
        let mut reading = lock(&self.readings).pop().unwrap_or_default();
        self.read_into(segment, positions, &mut reading)?;
        let raw = std::mem::take(&mut reading.raw);
        lock(&self.readings).push(reading);
        Ok(raw)
    }

    fn read_into(&self, segment: u16, positions: Range<u32>, out: &mut Reading) -> Result<(), JoinError> {
        let Reading { pages: bytes, raw } = out;
        raw.clear();
        let file = &self.files[usize::from(segment)];
        let segment = &self.index.segments()[usize::from(segment)];
        let stored = segment.vectors(VectorsOf::Main);
        let Some(last) = positions.clone().last() else { return Ok(()) };
        if let Some(vectors) = &stored.resident {
            positions.for_each(|position| self.push(vectors.record(position), raw));
            return Ok(());
        }
        let (layout, page_bytes) = (stored.layout, stored.layout.page_bytes());
        let (first_page, last_page) = (layout.place(positions.start).0, layout.place(last).0);
        // What is there is written over.
        bytes.resize((last_page - first_page + 1) as usize * page_bytes, 0); // CAST: usize is 64 bits
        let offset = BODY_AT + first_page * page_bytes as u64; // CAST: widening
        file.read_into(offset, bytes)?;
        self.read.fetch_add(1, Ordering::Relaxed);
        self.read_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed); // CAST: widening
        for (number, page) in (first_page..).zip(bytes.chunks_exact(page_bytes)) {
            layout.check_page(stored.uuid, number, page).map_err(|(found, expected)| JoinError::Damaged {
                path: stored.path.clone(),
                page: number,
                found,
                expected,
            })?;
        }
        for position in positions {
            let (page, slot) = layout.place(position);
            let from = (page - first_page) as usize * page_bytes; // CAST: inside the read
            self.push(layout.record(&bytes[from..from + page_bytes], slot), raw);
        }
        Ok(())
    }

    fn push(&self, record: Record<'_>, raw: &mut RawRows) {
        raw.rows.extend_from_slice(record.vector);
        raw.ids.push(record.id);
        if self.index.metric() == Metric::Cosine {
            raw.inverse_norms.push(record.inverse_norm.unwrap_or_default());
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in a critical section panics.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts values in place of others, with no more memory than they need.
fn replace<T: Copy>(old: &mut Vec<T>, new: &[T]) {
    old.clear();
    old.reserve_exact(new.len());
    old.extend_from_slice(new);
}
