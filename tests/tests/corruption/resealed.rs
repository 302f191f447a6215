//! Lists, pages and ids whose hashes hold and whose content is wrong all the same, as another release or a hostile hand
//! would leave them: found by a deep verification, and never a wrong answer or the end of a search thread.
use std::ops::Range;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use spandrel_engine::{DamageReason, DamagedPart, Distances, Engine, SearchParams};
use spandrel_index::format::{
    BODY_AT, CURRENT, CodedLayout, Current, DirectoryEntry, HEADER_BYTES, ID_PAGE_BYTES, ListLayout, MAJOR,
    MINOR, OpenError, SectionKind, UNIT_BYTES, hash_hex, list_hash,
};
use spandrel_index::kernels::scan::FACTOR_BYTES;
use spandrel_index::{Index, Metric, OpenOptions, Tier, VerifyError};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::folder::{VECTORS, Whole, check, file};
use crate::support::{
    TIERS, assert_true, engine_config, every_list, open_engine, open_engine_with, verify_index,
};

/// A manifest with this JSON, and the CURRENT that belongs to it.
fn sealed(version: &str, json: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let line = format!("spandrel-manifest {version} {}\n", hash_hex(xxh3_128(json)));
    let manifest = [line.as_bytes(), json].concat();
    let current = Current::of(1, &manifest).to_bytes();
    (manifest, current)
}

pub(super) fn manifest_json(whole: &Whole) -> Value {
    let bytes = whole.read("manifest-1");
    let line = bytes.iter().position(|&b| b == b'\n').unwrap();
    serde_json::from_slice(&bytes[line + 1..]).unwrap()
}

/// What opening says to a manifest with this JSON.
pub(super) fn open_json(whole: &Whole, json: &Value) -> Result<Index, OpenError> {
    open_manifest(whole, &format!("{MAJOR}.{MINOR}"), &serde_json::to_vec(json).unwrap())
}

pub(super) fn open_manifest(whole: &Whole, version: &str, json: &[u8]) -> Result<Index, OpenError> {
    let (manifest, current) = sealed(version, json);
    whole.with("manifest-1", &manifest, |_| whole.open_with(CURRENT, &current))
}

/// A section file whose header has other bytes at one place, and a hash that holds.
pub(super) fn header_with(good: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = good.to_vec();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    let hashed = HEADER_BYTES - 8;
    let hash = xxh3_64(&file[..hashed]);
    file[hashed..HEADER_BYTES].copy_from_slice(&hash.to_le_bytes());
    file
}

/// Opens an index of which one section has other bytes, under a hash that holds.
pub(super) fn open_resealed(whole: &Whole, kind: SectionKind, bytes: &[u8]) -> Result<Index, OpenError> {
    let mut json = manifest_json(whole);
    let sections = json["segments"][0]["sections"].as_array_mut().unwrap();
    let entry = sections.iter_mut().find(|section| section["kind"] == kind.name()).unwrap();
    entry["hash"] = hash_hex(xxh3_128(&bytes[BODY_AT as usize..])).into();
    whole.with(&file(kind), bytes, |_| open_json(whole, &json))
}

/// Answers are ordered, distinct and of existing vectors, also where heads are wrong.
pub(super) fn search_all(whole: &Whole, index: Index) {
    let vectors = index.vectors();
    let engine = Engine::open(index.into(), engine_config()).unwrap();
    let params = SearchParams { max_lists: Some(30), ..SearchParams::new(10) };
    for answer in engine.search(&whole.base.rows.bytes()[..8 * 8], &params).unwrap() {
        let keys: Vec<(f32, u64)> = answer.neighbours.iter().map(|n| (n.distance, n.id)).collect();
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "{keys:?}");
        assert!(keys.iter().all(|&(_, id)| id < vectors));
    }
}

#[test]
fn what_opening_does_not_read_is_compared_by_a_deep_verification() {
    let whole = Whole::small();
    // The position of the first id becomes that of another: page sum, body hash and manifest hold.
    let kind = SectionKind::Ids;
    let mut bytes = whole.read(&file(kind));
    let body = BODY_AT as usize;
    let other = bytes[body + 12..body + 16].to_vec();
    bytes[body + 4..body + 8].copy_from_slice(&other);
    let mut json = manifest_json(&whole);
    let sections = json["segments"][0]["sections"].as_array_mut().unwrap();
    let entry = sections.iter_mut().find(|section| section["kind"] == kind.name()).unwrap();
    entry["hash"] = hash_hex(xxh3_128(&bytes[body..])).into();
    let (manifest, current) = sealed(&format!("{MAJOR}.{MINOR}"), &serde_json::to_vec(&json).unwrap());
    let found = whole.with(&file(kind), &bytes, |_| {
        whole.with("manifest-1", &manifest, |_| {
            whole.with(CURRENT, &current, |dir| (verify_index(dir, false), verify_index(dir, true)))
        })
    });
    assert!(found.0.is_ok(), "the hashes hold: {:?}", found.0);
    let sum =
        matches!(&found.1, Err(VerifyError::Open(OpenError::Checksum { what, .. })) if what == "ids page 0");
    assert!(sum, "{:?}", found.1);
}

/// Gives section files of a coded index other bodies, under hashes that hold.
fn reseal(whole: &Whole, bodies: &[(SectionKind, &[u8])]) {
    let mut manifest = whole.manifest();
    for &(kind, bytes) in bodies {
        whole.put(&file(kind), bytes);
        let sections = &mut manifest.segments[0].sections;
        let section = sections.iter_mut().find(|section| section.kind == kind.name()).unwrap();
        section.hash = hash_hex(xxh3_128(&bytes[BODY_AT as usize..]));
    }
    let bytes = manifest.to_bytes();
    whole.put("manifest-1", &bytes);
    whole.put(CURRENT, &Current::of(1, &bytes).to_bytes());
}

/// Changes the bytes of lists and directory by `change`, which is given each list's number, blocks, bytes before their
/// end, and bytes; hashes hold afterwards.
fn reseal_lists(whole: &Whole, index: &Index, mut change: impl FnMut(u32, ListParts, &mut [u8])) {
    let body = BODY_AT as usize;
    let mut codes = whole.read(&file(SectionKind::Codes));
    let mut directory = whole.read(&file(SectionKind::Directory));
    for list in 0..index.lists() {
        let entry = index.segments()[0].directory.entry(list);
        let at = body + entry.offset_units as usize * UNIT_BYTES;
        let bytes = index.list_layout().list_bytes(entry.primaries, entry.replicas);
        let bytes = &mut codes[at..at + bytes];
        let parts = match index.list_layout() {
            ListLayout::Coded(CodedLayout { block_bytes, .. }) => {
                let blocks = entry.count().div_ceil(16);
                ListParts { entry, block_bytes, blocks, positions: blocks * (block_bytes + FACTOR_BYTES) }
            }
            ListLayout::Full(layout) => {
                let positions = entry.count() * layout.entry_bytes();
                ListParts { entry, block_bytes: 0, blocks: 0, positions }
            }
        };
        change(list, parts, bytes);
        let hash = list_hash(index.uuid(), list, bytes);
        directory[body + 24 * list as usize + 16..][..8].copy_from_slice(&hash.to_le_bytes());
    }
    reseal(whole, &[(SectionKind::Codes, &codes), (SectionKind::Directory, &directory)]);
}

/// Where the parts of a list are in its bytes; one of exact vectors has no blocks.
#[derive(Clone, Copy)]
struct ListParts {
    entry: DirectoryEntry,
    block_bytes: usize,
    blocks: usize,
    /// Where positions of replicas start.
    positions: usize,
}

impl ListParts {
    /// Where the position of a replica is.
    fn position(&self, replica: usize) -> Range<usize> {
        self.positions + 4 * replica..self.positions + 4 * replica + 4
    }
}

#[test]
fn codes_of_other_vectors_are_found_by_a_deep_verification() {
    const LIST: u32 = 7;
    for (what, first, back) in
        [("first code", 0, 0), ("last factor", 0, 1), ("code of another block", 300, 0)]
    {
        let whole = Whole::coded(Tier::Ssd);
        let index = Index::open(whole.dir()).unwrap();
        reseal_lists(&whole, &index, |list, parts, bytes| {
            if list == LIST {
                bytes[if back > 0 { parts.positions - back } else { first }] ^= 16;
            }
        });
        verify_index(whole.dir(), false).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_codes_differ(&whole, LIST, what);
        // Codes only choose what is compared exactly.
        let answers =
            open_engine(whole.dir()).search(whole.base.rows.row(1), &SearchParams::new(10)).unwrap();
        assert_true(Metric::L2, &whole.base, whole.base.rows.row(1), &answers[0], what);
    }
}

/// Fails unless a deep verification says that the codes of `list` are others.
#[track_caller]
fn assert_codes_differ(whole: &Whole, list: u32, what: &str) {
    let deep = verify_index(whole.dir(), true);
    let named = matches!(&deep, Err(VerifyError::Open(OpenError::Field { field, .. })) if *field == format!("code of list {list}"));
    assert!(named, "{what}: {deep:?}");
}

/// Replicas of coded lists were skipped: with all of their codes zero and all positions 0 an index was said to be good,
/// while it found a sixth less.
#[test]
fn replicas_of_other_codes_are_found_by_a_deep_verification() {
    let good = Whole::with_replicas();
    let index = Index::open(good.dir()).unwrap();
    let report = verify_index(good.dir(), true).unwrap();
    assert_eq!(report.replicas, report.copies - report.vectors, "all of them are compared");
    assert!(report.replicas > 1000, "{report:?}");
    let with_replicas = |list: u32| index.segments()[0].directory.entry(list).replicas > 0;
    let first = (0..index.lists()).find(|&list| with_replicas(list)).unwrap();
    let last = (0..index.lists()).rfind(|&list| with_replicas(list)).unwrap();
    type Change = fn(ListParts, &mut [u8]);
    let changes: [(&str, u32, Change); 4] = [
        ("codes of all replicas zero", first, |parts, bytes| {
            let from = parts.entry.primaries as usize / 16 * parts.block_bytes;
            bytes[from..parts.blocks * parts.block_bytes].fill(0);
        }),
        ("all positions 0", first, |parts, bytes| {
            (0..parts.entry.replicas as usize).for_each(|at| bytes[parts.position(at)].fill(0));
        }),
        ("one bit of the last code", last, |parts, bytes| {
            bytes[parts.blocks * parts.block_bytes - 64 + (parts.entry.count() - 1) % 16 * 4] ^= 1;
        }),
        ("the last replica of another vector", last, |parts, bytes| {
            let place = parts.position(parts.entry.replicas as usize - 1);
            let position = u32::from_le_bytes(bytes[place.clone()].try_into().unwrap());
            bytes[place].copy_from_slice(&((position + 600) % 1200).to_le_bytes());
        }),
    ];
    for (what, list, change) in changes {
        let whole = Whole::with_replicas();
        reseal_lists(&whole, &index, |at, parts, bytes| {
            if parts.entry.replicas > 0 && (list == first || at == list) {
                change(parts, bytes);
            }
        });
        verify_index(whole.dir(), false).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_codes_differ(&whole, list, what);
    }
}

/// A position out of range ended the search thread that met it, one for each query.
#[test]
fn a_replica_at_a_position_out_of_range_is_damage_of_its_list() {
    let whole = Whole::with_replicas();
    let index = Index::open(whole.dir()).unwrap();
    let mut stray = Vec::new();
    reseal_lists(&whole, &index, |list, parts, bytes| {
        if list % 3 == 0 && parts.entry.replicas > 0 {
            let position = if list % 2 == 0 { u32::MAX } else { VECTORS as u32 };
            bytes[parts.position(list as usize % parts.entry.replicas as usize)]
                .copy_from_slice(&position.to_le_bytes());
            stray.push(list);
        }
    });
    assert!(stray.len() > 4 && stray.len() < index.lists() as usize);
    let deep = verify_index(whole.dir(), true);
    let named = matches!(&deep, Err(VerifyError::Open(OpenError::Field { field, .. })) if field.ends_with(&format!("of list {}", stray[0])));
    assert!(named, "{deep:?}");
    let queries = whole.base.rows.bytes();
    for vectors in [Tier::Ssd, Tier::Memory] {
        for distances in [Distances::Exact, Distances::Any] {
            let what = format!("vectors from {vectors}, {distances:?}");
            let options = OpenOptions { codes: Some(Tier::Ssd), vectors: Some(vectors), ids: true };
            let engine = open_engine_with(whole.dir(), options);
            let params = SearchParams { distances, ..every_list(10) };
            for query in queries.chunks(8).take(12) {
                let answers = engine.search(query, &params).unwrap_or_else(|e| panic!("{what}: {e}"));
                assert_eq!(answers[0].missing.parts() as usize, stray.len(), "{what}");
            }
            let damage = engine.damage();
            assert_eq!(
                damage.iter().map(|d| d.part).collect::<Vec<_>>(),
                stray.iter().map(|&list| DamagedPart::List(list)).collect::<Vec<_>>()
            );
            assert!(damage.iter().all(|d| matches!(d.reason, DamageReason::Position { .. })), "{damage:?}");
            assert!(damage[0].to_string().contains("expected below 1200"), "{}", damage[0]);
        }
    }
    // Codes in memory have no use for replicas, but a file that cannot be is not opened.
    let options = OpenOptions { codes: Some(Tier::Memory), ..OpenOptions::default() };
    check!(Index::open_with(whole.dir(), options), OpenError::Field { .. }, "codes in memory");
}

/// Under a filter, a replica is tested at the position that its list names.
#[test]
fn a_replica_of_exact_vectors_at_a_position_not_its_own_is_found() {
    for (position, field) in
        [(u32::MAX, "position of replica 0 of list"), (0, "position of the replica of id")]
    {
        let whole = Whole::small();
        let index = Index::open(whole.dir()).unwrap();
        let mut changed = 0;
        reseal_lists(&whole, &index, |list, parts, bytes| {
            if list == 9 {
                assert!(parts.entry.replicas > 0);
                bytes[parts.position(0)].copy_from_slice(&u32::to_le_bytes(position));
                changed += 1;
            }
        });
        assert_eq!(changed, 1);
        let deep = verify_index(whole.dir(), true);
        let Err(VerifyError::Open(OpenError::Field { field: found, .. })) = &deep else { panic!("{deep:?}") };
        assert!(found.starts_with(field), "{found}");
        let engine = open_engine_with(whole.dir(), OpenOptions::default());
        let answers = engine.search(&whole.base.rows.bytes()[..8], &every_list(10)).unwrap();
        let stray = usize::from(position == u32::MAX);
        assert_eq!(answers[0].missing.lists as usize, stray);
        let damage = engine.damage();
        assert_eq!(damage.len(), stray);
        assert!(damage.iter().all(|d| matches!(d.reason, DamageReason::Position { .. })), "{damage:?}");
    }
}

/// Two ids at one position left another position with id 0, which estimates were then returned under.
#[test]
fn ids_of_one_position_are_refused_where_ids_are_kept_in_memory() {
    let whole = Whole::with_replicas();
    let index = Index::open(whole.dir()).unwrap();
    let (pages, mut bytes) = (index.segments()[0].ids.layout, whole.read(&file(SectionKind::Ids)));
    let page = BODY_AT as usize..BODY_AT as usize + ID_PAGE_BYTES;
    let mut pairs = pages.read_page(0, &bytes[page.clone()], pages.page_entries()).unwrap();
    pairs[3].1 = pairs[5].1;
    bytes[page].copy_from_slice(&pages.page(0, &pairs));
    reseal(&whole, &[(SectionKind::Ids, &bytes)]);
    let options = OpenOptions { ids: true, ..OpenOptions::default() };
    check!(Index::open_with(whole.dir(), options), OpenError::Field { ref field, .. } if field == "position of an id", "ids");
    assert!(verify_index(whole.dir(), true).is_err());
}

/// Any content of lists and pages under good hashes gives answers or damage, and the search threads go on.
#[test]
fn wrong_content_of_lists_and_pages_never_ends_a_search_thread() {
    let mut rng = ChaCha8Rng::seed_from_u64(12);
    for turn in 0..24 {
        let whole = Whole::with_replicas();
        let index = Index::open(whole.dir()).unwrap();
        reseal_lists(&whole, &index, |_, parts, bytes| {
            let used = parts.position(parts.entry.replicas as usize).start;
            for _ in 0..rng.random_range(0..4) {
                let from = if rng.random() { parts.positions.min(used - 1) } else { 0 };
                bytes[rng.random_range(from..used)] = if rng.random() { 255 } else { rng.random() };
            }
        });
        for options in TIERS.into_iter().filter(|options| options.codes == Some(Tier::Ssd)) {
            for distances in [Distances::Exact, Distances::Any] {
                let engine = open_engine_with(whole.dir(), OpenOptions { ids: true, ..options });
                let params = SearchParams { distances, ..every_list(10) };
                for query in whole.base.rows.bytes().chunks(8).take(8) {
                    engine.search(query, &params).unwrap_or_else(|e| panic!("turn {turn}: {e}"));
                }
            }
        }
    }
}

#[test]
fn vectors_of_other_codes_are_found_by_a_deep_verification() {
    let whole = Whole::coded(Tier::Memory);
    let index = Index::open(whole.dir()).unwrap();
    let mut vectors = whole.read(&file(SectionKind::Vectors));
    let layout = index.page_layout();
    let mut page = vectors[BODY_AT as usize..][..layout.page_bytes()].to_vec();
    // The vector at position 1 becomes another.
    page[layout.record_bytes() + 2] ^= 64;
    page.truncate(layout.page_bytes() - 4);
    layout.finish_page(index.uuid(), 0, &mut page);
    vectors[BODY_AT as usize..][..layout.page_bytes()].copy_from_slice(&page);
    reseal(&whole, &[(SectionKind::Vectors, &vectors)]);
    verify_index(whole.dir(), false).unwrap();
    assert_codes_differ(&whole, 0, "another vector");
}
