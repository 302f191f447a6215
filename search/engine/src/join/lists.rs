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

/// Vectors of a list, as they are compared.
#[derive(Debug)]
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
        let all =
            self.packed.memory_bytes() + self.rows.len() + 8 * self.ids.len() + 4 * self.inverse_norms.len();
        all as u64 // CAST: widening
    }
}

/// Rows of a list as they were given, with their ids and norms.
#[derive(Debug, Default)]
pub(super) struct RawRows {
    pub(super) rows: Vec<u8>,
    pub(super) ids: Vec<u64>,
    inverse_norms: Vec<f32>,
}

/// Lists that were read last, by second chance.
#[derive(Default)]
struct Cache {
    lists: HashMap<ListAt, (Arc<JoinList>, bool)>,
    ring: VecDeque<ListAt>,
    bytes: u64,
}

/// Reads lists, and keeps some of them.
pub(super) struct Lists {
    index: Arc<Index>,
    /// The files of vectors, by segment.
    files: Vec<Arc<ReadFile>>,
    pub(super) kernel: BlockKernel,
    cache: Mutex<Cache>,
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
        let positions = self.directory(at.segment).positions(at.list);
        let RawRows { rows, ids, inverse_norms } = self.read(at.segment, positions)?;
        let (dtype, row_bytes) = (self.index.dtype(), self.index.row_bytes());
        let packed = self.kernel.pack_right(&rows);
        let longest = match rounds(dtype) {
            true => rows.chunks_exact(row_bytes).map(|row| norm_squared(dtype, row)).fold(0.0, f64::max),
            false => 0.0,
        };
        let rows = if rounds(dtype) { rows } else { Vec::new() };
        let longest = longest as f32; // CAST: rounds
        let list = Arc::new(JoinList { packed, rows, ids, inverse_norms, longest });
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
                    let dropped = cache.lists.remove(&oldest);
                    cache.bytes -= dropped.map_or(0, |(list, _)| list.bytes());
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
        // Nothing in a critical section panics.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn directory(&self, segment: u16) -> &Directory {
        &self.index.segments()[usize::from(segment)].directory
    }

    /// Vectors of a segment as they were given.
    pub(super) fn read(&self, segment: u16, positions: Range<u32>) -> Result<RawRows, JoinError> {
        let file = &self.files[usize::from(segment)];
        let segment = &self.index.segments()[usize::from(segment)];
        let stored = segment.vectors(VectorsOf::Main);
        let mut raw = RawRows::default();
        let Some(last) = positions.clone().last() else { return Ok(raw) };
        if let Some(vectors) = &stored.resident {
            positions.for_each(|position| self.push(vectors.record(position), &mut raw));
            return Ok(raw);
        }
        let (layout, page_bytes) = (stored.layout, stored.layout.page_bytes());
        let (first_page, last_page) = (layout.place(positions.start).0, layout.place(last).0);
        let mut bytes = vec![0; (last_page - first_page + 1) as usize * page_bytes]; // CAST: usize is 64 bits
        let offset = BODY_AT + first_page * page_bytes as u64; // CAST: widening
        file.read_into(offset, &mut bytes)?;
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
            self.push(layout.record(&bytes[from..from + page_bytes], slot), &mut raw);
        }
        Ok(raw)
    }

    fn push(&self, record: Record<'_>, raw: &mut RawRows) {
        raw.rows.extend_from_slice(record.vector);
        raw.ids.push(record.id);
        if self.index.metric() == Metric::Cosine {
            raw.inverse_norms.push(record.inverse_norm.unwrap_or_default());
        }
    }
}
