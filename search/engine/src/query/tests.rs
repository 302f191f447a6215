use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, bounded};
use spandrel_builder::cluster::HeadKind;
use spandrel_builder::filing::ReplicaRule;
use spandrel_builder::{BuildConfig, Caller, Input, ListCount, Silent, build_for};
use spandrel_datasets::Rows;
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::VectorsOf;
use spandrel_index::order::PIECE;
use spandrel_index::testing::random_rows;
use spandrel_index::{DType, Index, Location, Matches, Metric, OpenOptions, Tier};

use super::*;
use crate::answer::{Answer, Work};
use crate::collect::Collecting;
use crate::filter_plan::FilterPlan;
use crate::job::{Job, Queries, Started, Take, Waiting};
use crate::pages::PageKey;
use crate::paging::{CachePolicy, PageCache};
use crate::params::{Rerank, SearchParams};
use crate::plan::QueryPlan;
use crate::reads::FileKind;
use crate::scan::{ReadList, Sink};
use crate::searched::Searched;
use crate::terms::{End, PIECE_BYTES, Terms};

const DIM: usize = 128;
const VECTORS: usize = 20_000;

/// Codes of 3 MB and vectors of 10 MB, both in memory, in so few lists that one is more than a piece.
fn index(dir: &Path) -> Arc<Index> {
    open(dir, CodeSpec::RaBitQ { bits: 8 }, Tier::Memory)
}

/// An index of two lists, its codes and vectors on `tier`.
fn open(dir: &Path, code: CodeSpec, tier: Tier) -> Arc<Index> {
    let rows = random_rows(DType::F32, DIM, VECTORS, 1);
    let config = BuildConfig {
        metric: Metric::L2,
        out: dir.join("index"),
        lists: ListCount::Lists(2),
        replicas: ReplicaRule::None,
        max_replicas: 1,
        heads: HeadKind::Means,
        code,
        codebooks: None,
        codes: tier,
        memory_bytes: 1 << 30,
        threads: 1,
        seed: 7,
        scratch: None,
        resume: false,
        replace: false,
        keep_previous: 0,
        plain_codes: false,
        embedding: None,
    };
    let rows = Rows::new(DType::F32, DIM, rows).unwrap();
    let input = Input::of(&rows);
    let caller = Caller { progress: &Silent, stop: &AtomicBool::new(false), calibrate: None };
    build_for(input, &config, caller).unwrap();
    let options = OpenOptions { vectors: Some(tier), ..OpenOptions::default() };
    Arc::new(Index::open_with(&config.out, options).unwrap())
}

/// An index, and what a thread searches it with.
fn worker(searched: Searched) -> (Arc<Searched>, Tools) {
    // The index has no column, so that its file has no slot.
    let tools = Tools::new(&searched, vec![Some(0), Some(1), None, Some(2)]);
    (Arc::new(searched), tools)
}

type Replies = Receiver<Result<Vec<Answer>, SearchError>>;

/// A query of all lists that compares everything, taken from its job, with its flag and where the reply goes.
fn taken(searched: &Arc<Searched>) -> (Running, Arc<AtomicBool>, Replies) {
    asked(searched, 10)
}

/// As [`taken`], for some neighbours.
fn asked(searched: &Arc<Searched>, k: usize) -> (Running, Arc<AtomicBool>, Replies) {
    let params = SearchParams {
        max_lists: Some(u32::MAX),
        rerank: Some(Rerank::Count(VECTORS as u32)),
        ..SearchParams::new(k)
    };
    taken_with(searched, &params)
}

fn taken_with(searched: &Arc<Searched>, params: &SearchParams) -> (Running, Arc<AtomicBool>, Replies) {
    let index = &*searched.index;
    let plan = QueryPlan::of(params, index).unwrap();
    let queries = Queries::new(random_rows(DType::F32, DIM, 1, 2).into(), index.row_bytes(), plan);
    let stop = Arc::new(AtomicBool::new(false));
    let (sender, receiver) = bounded(1);
    let reply = Box::new(move |result| drop(sender.send(result)));
    let job = Job::new(queries, searched, Terms { deadline: None, stop: Some(Arc::clone(&stop)) }, reply);
    match job.take() {
        Take::Piece { started: Started::Query(running), .. } => (running, stop, receiver),
        _ => panic!("a query to take"),
    }
}

/// The answer to the query of [`taken`], of an index in memory.
fn answered(searched: &Arc<Searched>, slot: &mut QuerySlot, tools: &mut Tools) -> Answer {
    let (running, _, answers) = taken(searched);
    slot.start(running, tools, 0, &mut Vec::new());
    assert!(slot.finish_if_done(tools));
    answers.recv().unwrap().unwrap().remove(0)
}

#[test]
fn a_search_in_memory_stops_within_a_piece() {
    let dir = tempfile::tempdir().unwrap();
    let index = index(dir.path());
    let (searched, mut tools) = worker(Searched::of(&index));
    let (mut slot, mut reads) = (QuerySlot::default(), Vec::new());

    let (running, _, answers) = taken(&searched);
    slot.start(running, &mut tools, 0, &mut reads);
    let work = |slot: &QuerySlot| (slot.progress.work.vectors_scanned, slot.progress.work.reranked);
    assert_eq!(work(&slot), (VECTORS as u64, VECTORS as u32));
    assert!(slot.finish_if_done(&tools));
    assert_eq!(answers.recv().unwrap().unwrap()[0].neighbours.len(), 10);

    // Told to stop after it was taken.
    let (running, stop, answers) = taken(&searched);
    stop.store(true, Ordering::Relaxed);
    slot.start(running, &mut tools, 0, &mut reads);
    assert_eq!(work(&slot), (0, 0));
    assert!(slot.finish_if_done(&tools) && reads.is_empty());
    assert!(matches!(answers.recv().unwrap(), Err(SearchError::Stopped { answered: 0, queries: 1 })));

    // Told to stop during the scan.
    for looks in 1..3 {
        let (running, ..) = taken(&searched);
        slot.running = Some(running);
        slot.progress.work = Work::default();
        let (states, mut step) = slot.step(&mut tools, 0, &mut reads).unwrap();
        states.probed.begin(&mut step);
        let mut looked = 0;
        let query = step.query;
        let sink = Sink { found: step.found, progress: step.progress, stop: None, is_beside: false };
        let end = step.scan.scan_resident(&query, &states.probed.places, sink, &mut || {
            looked += 1;
            (looked > looks).then_some(End::Stopped)
        });
        assert_eq!(end, Some(End::Stopped));
        let piece = slot.progress.work.vectors_scanned / looks;
        let bytes = piece * index.segments()[0].codes.resident.as_ref().unwrap().memory_bytes() as u64
            / VECTORS as u64;
        assert!((PIECE_BYTES as u64 / 2..=PIECE_BYTES as u64).contains(&bytes), "{looks}: {bytes}");
    }

    // Told to stop before the comparison of vectors.
    let (running, stop, _answers) = taken(&searched);
    slot.top_k
        .reset(&running.job.plan, Collecting { copies: false, follows: false, terms: running.job.terms() });
    slot.running = Some(running);
    slot.progress.work = Work::default();
    let (states, mut step) = slot.step(&mut tools, 0, &mut reads).unwrap();
    states.probed.begin(&mut step);
    states.scanning.begin(&mut states.probed, &mut step);
    states.now = State::Scanning;
    stop.store(true, Ordering::Relaxed);
    states.advance(&mut step);
    assert_eq!(work(&slot), (VECTORS as u64, 0));
}

/// Given up between a list of which one vector matches and one of which all do.
#[test]
fn what_a_search_that_was_given_up_had_gathered_is_not_answered_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let index = index(dir.path());
    let (searched, mut tools) = worker(Searched::of(&index));
    let (mut slot, mut reads) = (QuerySlot::default(), Vec::new());
    let expected = answered(&searched, &mut slot, &mut tools);

    slot.running = Some(taken(&searched).0);
    let (states, mut step) = slot.step(&mut tools, 0, &mut reads).unwrap();
    states.probed.begin(&mut step);
    let nearest = states.probed.places[0].list;
    let directory = &index.segments()[0].directory;
    let one = directory.positions(nearest).start;
    let matches = Matches::of(&index, |location| {
        let position = location.position();
        position == one || directory.list_of(position, 0) != nearest
    });
    let params = SearchParams {
        filter: Some(Arc::new(matches)),
        filter_plan: Some(FilterPlan::Lists),
        max_lists: Some(u32::MAX),
        ..SearchParams::new(10)
    };
    slot.running = Some(taken_with(&searched, &params).0);
    slot.progress.work = Work::default();
    let (states, mut step) = slot.step(&mut tools, 0, &mut reads).unwrap();
    states.probed.begin(&mut step);
    let query = step.query;
    let sink = Sink { found: step.found, progress: step.progress, stop: None, is_beside: false };
    let end = step.scan.scan_resident(&query, &states.probed.places, sink, &mut || Some(End::Stopped));
    let gathered = slot.progress.work.vectors_scanned;
    assert!(end == Some(End::Stopped) && (1..=16).contains(&gathered), "{gathered} of one block");

    let found = answered(&searched, &mut slot, &mut tools);
    assert_eq!(found.neighbours, expected.neighbours);
    assert_eq!(found.work, expected.work);
}

fn part(path: &Path, offset: u64, bytes: u64) -> Vec<u8> {
    fs::read(path).unwrap()[offset as usize..][..bytes as usize].to_vec()
}

#[test]
fn a_list_that_was_read_is_left_within_a_piece() {
    for code in [CodeSpec::RaBitQ { bits: 8 }, CodeSpec::Full] {
        let dir = tempfile::tempdir().unwrap();
        let index = open(dir.path(), code, Tier::Ssd);
        let (searched, mut tools) = worker(Searched::of(&index));
        let (mut slot, mut reads) = (QuerySlot::default(), Vec::new());
        let (running, ..) = taken(&searched);
        slot.start(running, &mut tools, 0, &mut reads);
        let place = *slot.states.probed.places.iter().max_by_key(|place| place.bytes).unwrap();
        let bytes = part(&index.segments()[0].codes.path, place.offset, place.bytes);
        assert!(bytes.len() > PIECE_BYTES, "{code}: {}", bytes.len());
        // Its hash is looked at in pieces, before anything else.
        let hashed = bytes.len().div_ceil(PIECE_BYTES) as u64;
        for before in 0..hashed {
            slot.progress.work = Work::default();
            let (_, step) = slot.step(&mut tools, 0, &mut reads).unwrap();
            let (query, mut looked) = (step.query, 0);
            let sink = Sink { found: step.found, progress: step.progress, stop: None, is_beside: false };
            let list = ReadList { place: &place, bytes: &bytes };
            let end = step.scan.scan_read(&query, list, sink, &mut || {
                looked += 1;
                (looked > before).then_some(End::Stopped)
            });
            let scanned = slot.progress.work.vectors_scanned;
            assert_eq!((end, looked, scanned), (Ok(Some(End::Stopped)), before + 1, 0), "{code}");
        }
        for looks in [0, 1, u64::MAX - hashed] {
            slot.progress.work = Work::default();
            let (_, step) = slot.step(&mut tools, 0, &mut reads).unwrap();
            let (query, mut looked) = (step.query, 0);
            let sink = Sink { found: step.found, progress: step.progress, stop: None, is_beside: false };
            let list = ReadList { place: &place, bytes: &bytes };
            let end = step.scan.scan_read(&query, list, sink, &mut || {
                looked += 1;
                (looked > hashed + looks).then_some(End::Stopped)
            });
            let scanned = slot.progress.work.vectors_scanned;
            if looks == u64::MAX - hashed {
                assert_eq!((end, scanned), (Ok(None), place.count() as u64), "{code}");
            } else {
                let piece = scanned * place.bytes / place.count() as u64 / (looks + 1);
                let pieces = PIECE_BYTES as u64 / 2..=PIECE_BYTES as u64 * 11 / 10;
                let all = scanned == place.count() as u64;
                assert!(
                    all && end == Ok(None) || pieces.contains(&piece) && end == Ok(Some(End::Stopped)),
                    "{code}: {piece}"
                );
                assert!(looks > 0 || !all, "{code}");
            }
        }
    }
}

/// Every second block of sixteen holds a match, so that blocks are scanned one by one.
#[test]
fn a_list_of_which_some_match_is_left_within_a_piece() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path(), CodeSpec::RaBitQ { bits: 8 }, Tier::Ssd);
    let (searched, mut tools) = worker(Searched::of(&index));
    let (mut slot, mut reads) = (QuerySlot::default(), Vec::new());
    let matches = Matches::of(&index, |location| location.position().is_multiple_of(32));
    let params = SearchParams {
        filter: Some(Arc::new(matches)),
        filter_plan: Some(FilterPlan::Lists),
        ..SearchParams::new(10)
    };
    slot.start(taken_with(&searched, &params).0, &mut tools, 0, &mut reads);
    let place = *slot.states.probed.places.iter().max_by_key(|place| place.bytes).unwrap();
    let bytes = part(&index.segments()[0].codes.path, place.offset, place.bytes);
    let hashed = bytes.len().div_ceil(PIECE_BYTES) as u64;
    slot.progress.work = Work::default();
    let (_, step) = slot.step(&mut tools, 0, &mut reads).unwrap();
    let (query, mut looked) = (step.query, 0);
    let sink = Sink { found: step.found, progress: step.progress, stop: None, is_beside: false };
    let list = ReadList { place: &place, bytes: &bytes };
    let end = step.scan.scan_read(&query, list, sink, &mut || {
        looked += 1;
        None
    });
    assert_eq!(end, Ok(None));
    let scanned = slot.progress.work.vectors_scanned * place.bytes / place.count() as u64;
    // Half of the list, in pieces as long as those of all of it.
    assert!(scanned.abs_diff(place.bytes / 2) < place.bytes / 10, "{scanned}");
    assert_eq!(looked - hashed, scanned.div_ceil(PIECE_BYTES as u64) - 1);
}

#[test]
fn a_query_that_was_stopped_compares_nothing_of_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path(), CodeSpec::RaBitQ { bits: 8 }, Tier::Ssd);
    let page_bytes = index.page_layout().page_bytes();
    let cache = Arc::new(PageCache::new(16 << 20, page_bytes, CachePolicy::Clock).unwrap().unwrap());
    let pages = 100;
    for page in 0..pages {
        let key = PageKey::new(0, page);
        let extent = key.extent(FileKind::Vectors, page_bytes);
        cache.insert(
            key.bits(),
            &part(&index.segments()[0].vectors(VectorsOf::Main).path, extent.offset, extent.bytes),
        );
    }
    let mut searched = Searched::of(&index);
    searched.cache = Some(cache);
    let (searched, mut tools) = worker(searched);
    for stopped in [false, true] {
        let (mut slot, mut reads) = (QuerySlot::default(), Vec::new());
        let (running, stop, _answers) = taken(&searched);
        slot.top_k.reset(
            &running.job.plan,
            Collecting { copies: false, follows: false, terms: running.job.terms() },
        );
        slot.running = Some(running);
        stop.store(stopped, Ordering::Relaxed);
        let (states, mut step) = slot.step(&mut tools, 0, &mut reads).unwrap();
        let positions = pages * index.page_layout().page_records() as u64;
        states.choosing.locations =
            (0..positions as u32).map(|position| Location::new(0, position)).collect();
        states.fetching.begin(&mut states.choosing, &mut step);
        let hits = u64::from(slot.progress.work.cache_hits);
        assert_eq!((hits, reads.len()), (if stopped { 0 } else { pages }, 0));
    }
}

#[test]
fn a_query_that_was_stopped_puts_nothing_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let index = index(dir.path());
    let (searched, mut tools) = worker(Searched::of(&index));
    // Told to stop before what is compared is chosen, and before the answer is put together.
    for stopped in ["never", "choosing", "done"] {
        let (mut slot, mut reads) = (QuerySlot::default(), Vec::new());
        // The same query once before, which makes its codes.
        slot.start(taken(&searched).0, &mut tools, 0, &mut reads);
        assert!(slot.finish_if_done(&tools));
        let (running, stop, answers) = asked(&searched, VECTORS);
        let stop_at = |place| stop.store(stopped == place, Ordering::Relaxed);
        slot.top_k.reset(
            &running.job.plan,
            Collecting { copies: false, follows: false, terms: running.job.terms() },
        );
        slot.running = Some(running);
        slot.progress.work = Work::default();
        let (states, mut step) = slot.step(&mut tools, 0, &mut reads).unwrap();
        states.probed.begin(&mut step);
        states.scanning.begin(&mut states.probed, &mut step);
        stop_at("choosing");
        states.choosing.choose(&mut step);
        let chosen = states.choosing.locations.len();
        if stopped == "choosing" {
            assert!(chosen < PIECE && step.progress.end == Some(End::Stopped), "{chosen}");
            // Also where the flag is taken back, nothing is made of what was left.
            stop.store(false, Ordering::Relaxed);
        } else {
            assert_eq!(chosen, VECTORS);
            states.fetching.begin(&mut states.choosing, &mut step);
            stop_at("done");
        }
        assert!(slot.finish_if_done(&tools));
        match answers.recv().unwrap() {
            Ok(answers) => assert!(stopped == "never" && answers[0].neighbours.len() == VECTORS, "{stopped}"),
            Err(e) => {
                assert!(stopped != "never" && matches!(e, SearchError::Stopped { .. }), "{stopped}: {e}")
            }
        }
    }
}
