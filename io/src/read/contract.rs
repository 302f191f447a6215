//! What every backend promises, run against every backend and the faulty one.
mod fixture;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use fixture::{FILE_BYTES, Fixture, random_reads};

use super::{Direct, PreadReader, Read, ReadError, ReadFile, Reader, UringReader};
use crate::faults::{FaultRates, FaultyReader, InlineReader, Schedule};

type Make = fn(usize) -> Box<dyn Reader>;

fn all_bytes_arrive(make: Make) {
    let fixture = Fixture::new();
    for direct in [Direct::Auto, Direct::Off] {
        for depth in [1, 3, 32] {
            let mut reader = make(depth);
            let file = reader.add_file(fixture.open(direct));
            for seed in 0..3 {
                let reads = random_reads(file, 100, seed);
                let mut out = Vec::new();
                reader.submit(&reads).unwrap();
                assert_eq!(reader.in_flight(), 100);
                reader.complete(100, &mut out).unwrap();
                assert_eq!(reader.in_flight(), 0);
                fixture.check(&reads, &out);
                out.into_iter().for_each(|c| reader.recycle(c.result.unwrap()));
            }
        }
    }
}

fn completions_trickle_in_while_more_is_submitted(make: Make) {
    let fixture = Fixture::new();
    let mut reader = make(8);
    let file = reader.add_file(fixture.open(Direct::Auto));
    let reads = random_reads(file, 600, 9);
    let mut out = Vec::new();
    for batch in reads.chunks(7) {
        reader.submit(batch).unwrap();
        let before = out.len();
        reader.complete(3, &mut out).unwrap();
        assert!(out.len() >= before + 3);
        reader.complete(0, &mut out).unwrap();
        let submitted = batch.last().unwrap().tag as usize + 1;
        assert_eq!(reader.in_flight(), submitted - out.len());
    }
    reader.complete(usize::MAX, &mut out).unwrap();
    fixture.check(&reads, &out);
}

fn polling_alone_gets_there(make: Make) {
    let fixture = Fixture::new();
    let mut reader = make(4);
    let file = reader.add_file(fixture.open(Direct::Auto));
    let reads = random_reads(file, 20, 3);
    let mut out = Vec::new();
    reader.complete(0, &mut out).unwrap();
    reader.complete(5, &mut out).unwrap();
    assert!(out.is_empty(), "nothing was asked for");
    reader.submit(&[]).unwrap();
    reader.submit(&reads).unwrap();
    while reader.in_flight() > 0 {
        reader.complete(0, &mut out).unwrap();
        std::thread::yield_now();
    }
    fixture.check(&reads, &out);
}

fn odd_places_and_lengths(make: Make) {
    let fixture = Fixture::new();
    for direct in [Direct::Auto, Direct::Off] {
        let mut reader = make(4);
        let file = reader.add_file(fixture.open(direct));
        let places = [
            (0, 0),
            (FILE_BYTES, 0),
            (512, 512),
            (1024, 4096),
            (3584, 1024),
            (5, 1),
            (4095, 2),
            (FILE_BYTES - 77, 77),
            (FILE_BYTES - 1, 1),
            (FILE_BYTES - 589, 512),
            (0, FILE_BYTES as u32),
        ];
        let reads: Vec<Read> =
            (0..).zip(places).map(|(tag, (offset, bytes))| Read { file, offset, bytes, tag }).collect();
        let mut out = Vec::new();
        reader.submit(&reads).unwrap();
        reader.complete(reads.len(), &mut out).unwrap();
        fixture.check(&reads, &out);
    }
}

fn a_bad_read_fails_alone(make: Make) {
    let fixture = Fixture::new();
    let mut reader = make(2);
    let file = reader.add_file(fixture.open(Direct::Auto));
    let good = random_reads(file, 10, 4);
    let last = FILE_BYTES - FILE_BYTES % 512;
    let bad = [(last, 512), (last + 512, 512), (u64::MAX - 511, 512), (0, u32::MAX)];
    let bad: Vec<Read> =
        (100..).zip(bad).map(|(tag, (offset, bytes))| Read { file, offset, bytes, tag }).collect();
    let mut out = Vec::new();
    reader.submit(&bad).unwrap();
    reader.submit(&good).unwrap();
    reader.submit(&bad).unwrap();
    reader.complete(usize::MAX, &mut out).unwrap();
    let (short, fine): (Vec<_>, Vec<_>) = out.into_iter().partition(|c| c.tag >= 100);
    fixture.check(&good, &fine);
    assert_eq!(short.len(), 2 * bad.len());
    for completion in short {
        let error = completion.result.unwrap_err();
        assert!(matches!(error, ReadError::ShortFile { file_bytes: FILE_BYTES, .. }), "{error:?}");
        assert!(error.to_string().contains("data"), "{error}");
    }
}

fn a_file_cut_short_is_an_error(make: Make) {
    let fixture = Fixture::new();
    let mut reader = make(4);
    let file = reader.add_file(fixture.open(Direct::Auto));
    let cut = std::fs::File::options().write(true).open(&fixture.path).unwrap();
    cut.set_len(5000).unwrap();
    let mut out = Vec::new();
    reader.submit(&[Read { file, offset: 0, bytes: 8192, tag: 1 }]).unwrap();
    reader.submit(&[Read { file, offset: 65_536, bytes: 512, tag: 2 }]).unwrap();
    reader.submit(&[Read { file, offset: 512, bytes: 4096, tag: 3 }]).unwrap();
    reader.complete(3, &mut out).unwrap();
    for completion in out {
        let short = matches!(completion.result, Err(ReadError::ShortFile { .. }));
        assert_eq!(short, completion.tag != 3, "{completion:?}");
    }
}

fn slots_are_used_again_for_other_files(make: Make) {
    let (one, other) = (Fixture::new(), Fixture::of_seed(6));
    let mut reader = make(4);
    let kept = reader.add_file(one.open(Direct::Auto));
    for turn in 0..100 {
        let fixture = [&one, &other][turn % 2];
        let file = fixture.open(Direct::Auto);
        let slot = reader.add_file(Arc::clone(&file));
        assert_eq!((kept, slot), (0, 1));
        for (fixture, slot) in [(fixture, slot), (&one, kept)] {
            let (reads, mut out) = (random_reads(slot, 3, turn as u64), Vec::new());
            reader.submit(&reads).unwrap();
            reader.complete(3, &mut out).unwrap();
            fixture.check(&reads, &out);
            out.into_iter().for_each(|c| reader.recycle(c.result.unwrap()));
        }
        reader.remove_file(slot);
        // A thread that read it may hold it for a moment more.
        while Arc::strong_count(&file) > 1 {
            std::thread::yield_now();
        }
    }
}

fn errors_of_the_system_show(make: Make) {
    let fixture = Fixture::new();
    let mut reader = make(4);
    let good = reader.add_file(fixture.open(Direct::Auto));
    let bad = reader.add_file(ReadFile::unreadable(&fixture.path, FILE_BYTES));
    let reads: Vec<Read> = [good, bad, bad, good, bad, bad, bad]
        .into_iter()
        .map(|file| Read { file, offset: 1024, bytes: 512, tag: u64::from(file) })
        .collect();
    let mut out = Vec::new();
    reader.submit(&reads).unwrap();
    reader.complete(reads.len(), &mut out).unwrap();
    assert_eq!(out.len(), reads.len());
    for completion in out {
        match completion.result {
            Ok(buf) => assert!(completion.tag == u64::from(good) && buf[..] == *fixture.wanted(&reads[0])),
            Err(ReadError::Io { source, .. }) => {
                assert_eq!((completion.tag, source.raw_os_error()), (u64::from(bad), Some(libc::EBADF)));
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

fn buffers_are_used_again(make: Make) {
    let fixture = Fixture::new();
    let mut reader = make(8);
    let file = reader.add_file(fixture.open(Direct::Auto));
    let mut places = BTreeSet::new();
    for _ in 0..20 {
        let reads: Vec<Read> =
            (0..8).map(|tag| Read { file, offset: tag * 4096, bytes: 4096, tag }).collect();
        let mut out = Vec::new();
        reader.submit(&reads).unwrap();
        reader.complete(8, &mut out).unwrap();
        fixture.check(&reads, &out);
        for completion in out {
            let buf = completion.result.unwrap();
            places.insert(buf.as_ptr() as usize);
            reader.recycle(buf);
        }
    }
    assert_eq!(places.len(), 8, "160 reads, never more than 8 at once");
}

fn many_files(make: Make) {
    let dir = tempfile::tempdir().unwrap();
    let mut reader = make(16);
    let mut reads = Vec::new();
    // More files than the ring registers.
    for number in 0..100u8 {
        let path = dir.path().join(number.to_string());
        std::fs::write(&path, [number; 1024]).unwrap();
        let direct = if number % 2 == 0 { Direct::Auto } else { Direct::Off };
        let file = reader.add_file(ReadFile::open(&path, direct).unwrap());
        assert_eq!(file, u32::from(number));
        reads.push(Read { file, offset: 512, bytes: 512, tag: u64::from(number) });
        if number == 50 {
            reader.submit(&reads).unwrap();
            reads.clear();
        }
    }
    let mut out = Vec::new();
    reader.submit(&reads).unwrap();
    reader.complete(100, &mut out).unwrap();
    assert_eq!(out.len(), 100);
    for completion in out {
        let buf = completion.result.unwrap();
        assert!(buf.len() == 512 && buf.iter().all(|&byte| u64::from(byte) == completion.tag));
    }
}

fn dropping_with_reads_in_flight(make: Make) {
    let fixture = Fixture::new();
    for depth in [1, 64] {
        let mut reader = make(depth);
        let file = reader.add_file(fixture.open(Direct::Auto));
        let mut out = Vec::new();
        reader.submit(&random_reads(file, 200, 6)).unwrap();
        reader.complete(1, &mut out).unwrap();
        drop(reader);
        // Buffers outlive the reader they came from.
        let reads = random_reads(file, 200, 6);
        for completion in out {
            let read = &reads[completion.tag as usize];
            assert!(completion.result.unwrap()[..] == *fixture.wanted(read));
        }
    }
}

fn a_reader_moves_between_threads(make: Make) {
    let fixture = Fixture::new();
    let mut reader = make(16);
    let file = reader.add_file(fixture.open(Direct::Auto));
    let reads = random_reads(file, 300, 8);
    let mut out = Vec::new();
    for batch in reads.chunks(100) {
        // Each thread ends with its reads in flight.
        reader = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                reader.submit(batch).unwrap();
                reader
            });
            thread.join().unwrap()
        });
        reader.complete(10, &mut out).unwrap();
    }
    reader.complete(usize::MAX, &mut out).unwrap();
    fixture.check(&reads, &out);
}

fn a_file_system_in_memory(make: Make) {
    let memory = Path::new("/dev/shm");
    if !memory.is_dir() {
        return;
    }
    let fixture = Fixture::within(memory);
    for direct in [Direct::Auto, Direct::Off] {
        let mut reader = make(8);
        let file = reader.add_file(fixture.open(direct));
        let reads = random_reads(file, 50, 2);
        let mut out = Vec::new();
        reader.submit(&reads).unwrap();
        reader.complete(50, &mut out).unwrap();
        fixture.check(&reads, &out);
    }
}

macro_rules! contract {
    ($backend:ident: $make:expr; $($test:ident)+) => {
        mod $backend {
            $(
                #[test]
                fn $test() {
                    super::$test($make);
                }
            )+
        }
    };
    ($($backend:ident: $make:expr;)+) => {
        $(
            contract!($backend: $make;
                all_bytes_arrive
                completions_trickle_in_while_more_is_submitted
                polling_alone_gets_there
                odd_places_and_lengths
                a_bad_read_fails_alone
                a_file_cut_short_is_an_error
                slots_are_used_again_for_other_files
                errors_of_the_system_show
                buffers_are_used_again
                many_files
                dropping_with_reads_in_flight
                a_reader_moves_between_threads
                a_file_system_in_memory
            );
        )+
    };
}

/// Faults that must not show, over positioned reads.
fn faulty(depth: usize) -> Box<dyn Reader> {
    let rates = FaultRates { interrupted: 0.1, short: 0.4, hold: 0.2, ..FaultRates::default() };
    Box::new(FaultyReader::new(PreadReader::new(depth).unwrap(), Schedule::seeded(depth as u64, rates)))
}

/// A ring, or, where the kernel forbids it, positioned reads: the machine is no fault of the code.
fn uring(depth: usize) -> Box<dyn Reader> {
    match UringReader::new(depth) {
        Ok(reader) => Box::new(reader),
        Err(why) => {
            eprintln!("not testing io_uring: {why}");
            Box::new(PreadReader::new(depth).unwrap())
        }
    }
}

fn pread(depth: usize) -> Box<dyn Reader> {
    Box::new(PreadReader::new(depth).unwrap())
}

fn inline(_: usize) -> Box<dyn Reader> {
    Box::<InlineReader>::default()
}

/// Reads that wait for a place end when they are withdrawn; those under way, and those still wanted, are carried out.
#[test]
fn waiting_reads_can_be_withdrawn() {
    let fixture = Fixture::new();
    for make in [uring, pread] {
        let mut reader = make(4);
        let file = reader.add_file(fixture.open(Direct::Auto));
        let reads = random_reads(file, 1000, 3);
        reader.submit(&reads).unwrap();
        reader.withdraw(&|read| read.tag % 10 == 0);
        let mut out = Vec::new();
        reader.complete(usize::MAX, &mut out).unwrap();
        assert_eq!((out.len(), reader.in_flight()), (1000, 0));
        let (withdrawn, done): (Vec<_>, Vec<_>) =
            out.into_iter().partition(|completion| matches!(completion.result, Err(ReadError::Withdrawn)));
        assert!(withdrawn.iter().all(|completion| completion.tag % 10 != 0));
        // Those of the first four that were not wanted either.
        let unwanted = done.iter().filter(|completion| completion.tag % 10 != 0).count();
        assert!(done.len() - unwanted == 100 && unwanted <= 4, "{} done, {unwanted} unwanted", done.len());
        let of_done: Vec<Read> = reads
            .into_iter()
            .filter(|read| done.iter().any(|completion| completion.tag == read.tag))
            .collect();
        fixture.check(&of_done, &done);
    }
}

contract! {
    on_uring: super::uring;
    on_pread: super::pread;
    on_faulty: super::faulty;
    on_inline: super::inline;
}
