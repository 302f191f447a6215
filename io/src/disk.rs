//! The limits of a disk itself: random reads by size and depth, and one sequential write.
//!
//! Measured through the same [`Reader`] that queries use, so that the figures of a search can be held
//! against what the disk and the kernel would have given it.
#![deny(clippy::indexing_slicing)]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::sys::{free_bytes, processor_time};
use crate::{
    Backend, BackendChoice, Direct, FileWriter, OpenError, Read, ReadError, ReadFile, Reader, ReaderError,
    WriteError, open_reader,
};

/// Reads start at multiples of this many bytes.
const PLACE_BYTES: u64 = 4096;

/// One measurement: random reads of one size at one queue depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Bytes of each read.
    pub bytes: u32,
    /// Reads kept going at once.
    pub depth: usize,
}

/// What to measure, and how.
#[derive(Debug, Clone)]
pub struct DiskParams {
    /// Which backend reads.
    pub backend: BackendChoice,
    /// Whether reads bypass the page cache. Figures through the cache are not the disk's.
    pub direct: Direct,
    /// Bytes of the test file.
    pub file_bytes: u64,
    /// How long each load runs.
    pub duration: Duration,
    /// Reads after which a load ends before its time; each takes 4 bytes of memory.
    pub reads_max: usize,
    /// The loads, in order.
    pub loads: Vec<Load>,
    /// Seed of the places read.
    pub seed: u64,
}

impl Default for DiskParams {
    fn default() -> DiskParams {
        let loads = [(4096, 1), (4096, 32), (4096, 128), (16_384, 64), (49_152, 32)];
        DiskParams {
            backend: BackendChoice::Auto,
            direct: Direct::Auto,
            file_bytes: 1 << 30,
            duration: Duration::from_secs(2),
            reads_max: 4_000_000,
            loads: loads.into_iter().map(|(bytes, depth)| Load { bytes, depth }).collect(),
            seed: 1,
        }
    }
}

/// What one load gave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DiskRow {
    /// Bytes of each read.
    pub bytes: u32,
    /// Reads kept going at once.
    pub depth: usize,
    /// Reads finished per second.
    pub reads_per_s: f64,
    /// Megabytes (10^6) read per second.
    pub mb_per_s: f64,
    /// Mean time from submission to completion, in microseconds.
    pub mean_us: f64,
    /// The time that 99 of 100 reads stayed below, in microseconds.
    pub p99_us: f64,
    /// Processor time of the whole process per read, in microseconds.
    pub cpu_us: f64,
}

/// What a disk gave.
#[derive(Debug, Clone, PartialEq)]
pub struct DiskReport {
    /// What carried the reads.
    pub backend: Backend,
    /// Whether they passed the page cache by.
    pub direct: bool,
    /// Why the backend is not io_uring though that would have been liked.
    pub fallback: Option<String>,
    /// Bytes of the file read.
    pub file_bytes: u64,
    /// Megabytes (10^6) per second of writing the test file and syncing it; none for an existing file.
    pub write_mb_per_s: Option<f64>,
    /// One row per load.
    pub rows: Vec<DiskRow>,
}

/// Why a disk could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskError {
    /// The folder cannot be asked for its free space.
    #[error("the free space cannot be told")]
    FreeSpace(#[source] io::Error),
    /// The test file does not fit.
    #[error("{dir}: {free} bytes are free, the test file takes {needed}; make room or choose another folder")]
    NoSpace {
        /// Folder that was to hold the test file.
        dir: PathBuf,
        /// Bytes of the test file and a margin.
        needed: u64,
        /// Bytes there are.
        free: u64,
    },
    /// The file is smaller than one read.
    #[error("{path}: {file_bytes} bytes, reads of {bytes} bytes do not fit")]
    FileTooSmall {
        /// File that reads were to be timed on.
        path: PathBuf,
        /// Length of the file, in bytes.
        file_bytes: u64,
        /// Bytes of one read.
        bytes: u32,
    },
    /// The test file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The file cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The reader cannot be had.
    #[error(transparent)]
    Reader(#[from] ReaderError),
    /// A read failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A stop was asked for.
    #[error("stopped before the end")]
    Stopped,
}

/// Writes a test file into `dir`, measures it and removes it again, or ends soon after `stop` is set.
///
/// # Errors
/// [`DiskError`]; the test file is removed then too.
pub fn measure_folder(dir: &Path, params: &DiskParams, stop: &AtomicBool) -> Result<DiskReport, DiskError> {
    const MARGIN_BYTES: u64 = 64 << 20;
    let needed = params.file_bytes.saturating_add(MARGIN_BYTES);
    let free = free_bytes(dir).map_err(DiskError::FreeSpace)?;
    if free < needed {
        return Err(DiskError::NoSpace { dir: dir.to_owned(), needed, free });
    }
    let test_file = TestFile(dir.join(format!("spandrel-disk-test-{}", std::process::id())));
    let start = Instant::now();
    write_test_file(&test_file.0, params, stop)?;
    let seconds = start.elapsed().as_secs_f64();
    let mut report = measure_file(&test_file.0, params, stop)?;
    report.write_mb_per_s = Some(params.file_bytes as f64 / 1e6 / seconds);
    Ok(report)
}

/// Measures random reads of an existing file, or ends soon after `stop` is set.
///
/// # Errors
/// [`DiskError`].
pub fn measure_file(path: &Path, params: &DiskParams, stop: &AtomicBool) -> Result<DiskReport, DiskError> {
    let depth_max = params.loads.iter().map(|load| load.depth).max().unwrap_or(1);
    let mut reader = open_reader(params.backend, depth_max)?;
    let file = ReadFile::open(path, params.direct)?;
    let (direct, file_bytes) = (file.is_direct(), file.len());
    for load in &params.loads {
        if load.bytes == 0 || u64::from(load.bytes) > file_bytes {
            return Err(DiskError::FileTooSmall { path: path.to_owned(), file_bytes, bytes: load.bytes });
        }
    }
    let slot = reader.add_file(file);
    let mut random = ChaCha8Rng::seed_from_u64(params.seed);
    let mut rows = Vec::new();
    for load in &params.loads {
        let places = (file_bytes - u64::from(load.bytes)) / PLACE_BYTES + 1;
        let next_read = |tag| Read {
            file: slot,
            offset: random.random_range(0..places) * PLACE_BYTES,
            bytes: load.bytes,
            tag,
        };
        rows.push(run(reader.as_mut(), *load, params, stop, next_read)?);
    }
    Ok(DiskReport {
        backend: reader.backend(),
        direct,
        fallback: reader.fallback().map(ToString::to_string),
        file_bytes,
        write_mb_per_s: None,
        rows,
    })
}

/// Keeps `load.depth` reads going until the time is up, then waits for the last.
fn run(
    reader: &mut dyn Reader,
    load: Load,
    params: &DiskParams,
    stop: &AtomicBool,
    mut next_read: impl FnMut(u64) -> Read,
) -> Result<DiskRow, DiskError> {
    let processor_before = processor_time();
    let start = Instant::now();
    let end = start + params.duration;
    // A tag is a place among the reads that are going.
    let mut started = vec![start; load.depth];
    let mut batch: Vec<Read> = (0..load.depth as u64).map(&mut next_read).collect();
    let mut nanoseconds: Vec<u32> = Vec::new();
    let mut finished = Vec::with_capacity(load.depth);
    reader.submit(&batch)?;
    let mut now = start;
    while reader.in_flight() > 0 {
        check_stop(stop)?;
        reader.complete(1, &mut finished)?;
        now = Instant::now();
        batch.clear();
        for completion in finished.drain(..) {
            reader.recycle(completion.result?);
            let Ok(place) = usize::try_from(completion.tag) else { continue };
            let Some(since) = started.get_mut(place) else { continue };
            let taken = now.duration_since(*since).as_nanos();
            nanoseconds.push(u32::try_from(taken).unwrap_or(u32::MAX));
            if now < end && nanoseconds.len() + load.depth <= params.reads_max {
                *since = now;
                batch.push(next_read(completion.tag));
            }
        }
        reader.submit(&batch)?;
    }
    let seconds = now.duration_since(start).as_secs_f64();
    let processor = processor_time().saturating_sub(processor_before);
    Ok(summarise(load, nanoseconds, seconds, processor))
}

fn check_stop(stop: &AtomicBool) -> Result<(), DiskError> {
    if stop.load(Ordering::Relaxed) { Err(DiskError::Stopped) } else { Ok(()) }
}

fn summarise(load: Load, mut nanoseconds: Vec<u32>, seconds: f64, processor: Duration) -> DiskRow {
    let count = nanoseconds.len().max(1) as f64;
    let sum: f64 = nanoseconds.iter().map(|&ns| f64::from(ns)).sum();
    let rank = nanoseconds.len() * 99 / 100;
    let p99 = if nanoseconds.is_empty() { 0 } else { *nanoseconds.select_nth_unstable(rank).1 };
    let reads_per_s = nanoseconds.len() as f64 / seconds.max(1e-9);
    DiskRow {
        bytes: load.bytes,
        depth: load.depth,
        reads_per_s,
        mb_per_s: reads_per_s * f64::from(load.bytes) / 1e6,
        mean_us: sum / count / 1e3,
        p99_us: f64::from(p99) / 1e3,
        cpu_us: processor.as_secs_f64() * 1e6 / count,
    }
}

/// Removed after the measurement, also where that failed.
struct TestFile(PathBuf);

impl Drop for TestFile {
    fn drop(&mut self) {
        // It may never have been written; otherwise the user finds it under a name that says what it is.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Bytes that do not compress, so that a clever disk has to store them.
fn write_test_file(path: &Path, params: &DiskParams, stop: &AtomicBool) -> Result<(), DiskError> {
    let mut piece = vec![0u8; 4 << 20];
    ChaCha8Rng::seed_from_u64(params.seed).fill(piece.as_mut_slice());
    let mut writer = FileWriter::create(path)?;
    while writer.bytes() < params.file_bytes {
        check_stop(stop)?;
        let left = usize::try_from(params.file_bytes - writer.bytes()).unwrap_or(usize::MAX);
        writer.append(piece.get(..left).unwrap_or(&piece))?;
    }
    writer.finish()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    static NEVER: AtomicBool = AtomicBool::new(false);

    #[test]
    fn a_small_folder_is_measured_and_left_clean() {
        let dir = tempfile::tempdir().unwrap();
        for backend in [BackendChoice::Auto, BackendChoice::Pread] {
            let params = DiskParams {
                backend,
                file_bytes: 1_000_000,
                duration: Duration::from_millis(20),
                ..DiskParams::default()
            };
            let report = measure_folder(dir.path(), &params, &NEVER).unwrap();
            assert_eq!(report.rows.len(), params.loads.len());
            assert_eq!(report.file_bytes, 1_000_000);
            assert!(report.write_mb_per_s.unwrap() > 0.0);
            for row in &report.rows {
                assert!(row.reads_per_s > 0.0 && row.mean_us > 0.0 && row.p99_us >= row.mean_us / 2.0);
            }
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_count_ends_a_load_early_and_bad_wishes_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        std::fs::write(&path, vec![0; 10_000]).unwrap();
        let loads = vec![Load { bytes: 4096, depth: 3 }];
        let mut params = DiskParams { reads_max: 10, loads, ..DiskParams::default() };
        assert_eq!(measure_file(&path, &params, &NEVER).unwrap().rows.len(), 1);
        params.loads = vec![Load { bytes: 16_384, depth: 3 }];
        let error = measure_file(&path, &params, &NEVER).unwrap_err();
        assert!(matches!(error, DiskError::FileTooSmall { .. }));
        params.loads = vec![Load { bytes: 4096, depth: 0 }];
        assert!(matches!(measure_file(&path, &params, &NEVER), Err(DiskError::Reader(_))));
        params.file_bytes = u64::MAX;
        assert!(matches!(measure_folder(dir.path(), &params, &NEVER), Err(DiskError::NoSpace { .. })));
    }

    #[test]
    fn a_stop_ends_the_writing_and_the_reading() {
        let dir = tempfile::tempdir().unwrap();
        let stop = AtomicBool::new(true);
        let params = DiskParams { file_bytes: 1_000_000, ..DiskParams::default() };
        assert!(matches!(measure_folder(dir.path(), &params, &stop), Err(DiskError::Stopped)));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let path = dir.path().join("data");
        std::fs::write(&path, vec![0; 1_000_000]).unwrap();
        assert!(matches!(measure_file(&path, &params, &stop), Err(DiskError::Stopped)));
    }

    #[test]
    fn figures_are_in_the_units_they_say() {
        let load = Load { bytes: 4096, depth: 2 };
        let row = summarise(load, (1..=1000).map(|us| us * 1000).collect(), 0.5, Duration::from_millis(5));
        assert_eq!((row.reads_per_s, row.mb_per_s), (2000.0, 8.192));
        assert_eq!((row.mean_us, row.p99_us, row.cpu_us), (500.5, 991.0, 5.0));
    }
}
