//! Documents that are searched by one vector each, their fixed dimensional encodings, and compared by MaxSim.
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use spandrel_builder::testing::{Moment, StopAt};
use spandrel_builder::{
    BuildConfig, BuildError, BuildReport, Caller, Input, Params, Plan, Silent, build_for,
};
use spandrel_engine::{DocumentParams, DocumentRequest, FetchContent, FetchState, Lookup, SearchError};
use spandrel_index::documents::{DocumentEncoder, DocumentOffsets, EncodingScratch, EncodingSpec};
use spandrel_index::format::{
    CURRENT, Current, Manifest, SectionKind, UNIT_BYTES, VectorsOf, current, hash_hex, list_hash,
    manifest_name, section_name,
};
use spandrel_index::{DType, Index, Tier, VerifyError};
use spandrel_io::FolderStore;
use xxhash_rust::xxh3::xxh3_128;

use crate::documents::set::{DIM, Set, all, config, search, set};
use crate::documents::{BODY_AT, assert_truth, change};
use crate::support::{
    TIERS, assert_same, build_phase_by_phase, identity, open_engine, open_engine_with, verify_index,
};

fn spec(text: &str) -> EncodingSpec {
    text.parse().unwrap()
}

fn usual() -> EncodingSpec {
    spec("muvera:R=10,k=3,d=8")
}

fn input(base: &Set, encoding: EncodingSpec) -> Input<'_> {
    Input { document_encoding: Some(encoding), ..base.input() }
}

fn build(input: Input<'_>, config: &BuildConfig) -> Result<BuildReport, BuildError> {
    let stop = AtomicBool::new(false);
    let caller = Caller { progress: &Silent, stop: &stop, calibrate: Some(&spandrel_tests::CALIBRATOR) };
    build_for(input, config, caller)
}

#[derive(Clone, Copy)]
enum Side {
    Document,
    Query,
}

/// The encoding of a document of bytes.
fn encoded(encoder: &DocumentEncoder, of: &Set, document: usize, side: Side) -> Vec<f32> {
    let rows = of.offsets.rows_of(document);
    let (mut scratch, mut out) = (EncodingScratch::default(), vec![0.0; encoder.dim()]);
    encoder.start(&mut scratch);
    encoder.add(&of.rows.bytes()[rows.start as usize * DIM..rows.end as usize * DIM], &mut scratch);
    match side {
        Side::Document => encoder.finish_document(&mut scratch, &mut out),
        Side::Query => encoder.finish_query(&mut scratch, &mut out),
    }
    out
}

#[test]
fn every_document_compared_gives_the_best_by_max_sim() {
    for (dtype, codes, encoding) in [
        (DType::I8, Tier::Memory, "muvera:R=10,k=3,d=8"),
        (DType::U8, Tier::Ssd, "muvera:R=10,k=3,d=8,dim=100"),
        (DType::F16, Tier::Memory, "muvera:R=2,k=1,d=12,empty=nearest"),
        (DType::F32, Tier::Ssd, "muvera:R=3,k=4,d=2,dim=24,empty=nearest"),
    ] {
        let (dir, base, queries) = (tempfile::tempdir().unwrap(), set(dtype, 60, 3), set(dtype, 8, 4));
        let encoding = spec(encoding);
        let report = build(input(&base, encoding), &BuildConfig { codes, ..config(dir.path()) }).unwrap();
        assert_eq!((report.manifest.vectors(), report.manifest.dim), (60, encoding.dim as usize));
        let truth = base.truth(&queries, 10);
        for options in TIERS {
            let engine = open_engine_with(dir.path(), options);
            let what = format!("{dtype}, {encoding}, {options:?}");
            let answers = search(&engine, &queries, &all(10)).unwrap();
            assert_truth(&answers, &truth, &what);
            for answer in &answers {
                assert_eq!(u64::from(answer.work.reranked), base.offsets.rows(), "{what}");
                assert_eq!((answer.work.documents, answer.missing.parts()), (60, 0), "{what}");
            }
            let index = engine.index();
            assert!(index.recall().is_none() && !index.holds(VectorsOf::Main), "{what}");
            // 4 bytes a document and for its offset, and none for a token.
            let of_encoder = DocumentEncoder::bytes(encoding, DIM);
            assert_eq!(index.memory().documents - of_encoder, 4 * (60 + 61), "{what}");
            let shape = index.query_shape();
            assert_eq!((shape.dtype, shape.dim), (dtype, DIM));
        }
    }
}

/// Encodings lead to the best documents long before all are compared, with one search a query.
#[test]
fn few_documents_are_compared_by_their_encodings() {
    let (dir, base, queries) = (tempfile::tempdir().unwrap(), set(DType::I8, 400, 3), set(DType::I8, 20, 4));
    build(input(&base, usual()), &config(dir.path())).unwrap();
    let engine = open_engine(dir.path());
    let truth = base.truth(&queries, 10);
    let found = |params: &DocumentParams| -> usize {
        let answers = search(&engine, &queries, params).unwrap();
        for answer in &answers {
            let most = params.max_lists.unwrap_or(u32::MAX).min(engine.index().lists());
            assert!(answer.work.lists <= most && answer.work.vectors_scanned <= 400, "{:?}", answer.work);
            assert_eq!(Some(answer.work.documents), params.rerank);
        }
        let hits = answers.iter().enumerate().map(|(query, answer)| {
            answer.neighbours.iter().filter(|of| truth.ids_of(query).contains(&of.id)).count()
        });
        hits.sum()
    };
    let params = DocumentParams { rerank: Some(40), ..DocumentParams::new(10) };
    let few = found(&params);
    // Tokens without topics: a tenth of the documents at random holds 20.
    assert!(few >= 70, "{few} of 200 with a tenth of the documents");
    let most = found(&DocumentParams { rerank: Some(200), ..params });
    assert!(most >= few, "{most} with half of the documents");
    let least = found(&DocumentParams { max_lists: Some(1), ..params });
    assert!(least < few, "{least} in one list");
    // Those that are compared are those whose encodings have the largest products with that of the query, but for errors of codes.
    let encoder = DocumentEncoder::new(usual(), DType::I8, DIM, config(dir.path()).seed);
    let documents: Vec<Vec<f32>> = (0..400).map(|of| encoded(&encoder, &base, of, Side::Document)).collect();
    let every = DocumentParams { rerank: Some(40), max_lists: Some(u32::MAX), ..DocumentParams::new(40) };
    let mut same = 0;
    for (query, answer) in search(&engine, &queries, &every).unwrap().iter().enumerate() {
        let query = encoded(&encoder, &queries, query, Side::Query);
        let product =
            |of: u64| -> f32 { documents[of as usize].iter().zip(&query).map(|(a, b)| a * b).sum() };
        let mut best: Vec<u64> = (0..400).collect();
        best.sort_by(|&a, &b| product(b).total_cmp(&product(a)));
        same += answer.neighbours.iter().filter(|of| best[..40].contains(&of.id)).count();
    }
    assert!(same >= 20 * 36, "{same} of {} documents", 20 * 40);
    // Tokens are checked as tokens.
    let error = engine.search_documents(&[0; DIM + 1], &queries.offsets, &params, &Default::default());
    assert!(matches!(error, Err(SearchError::Query(_))), "{error:?}");
}

/// What nobody waits for is not encoded, and what is beyond the numbers is told by document.
#[test]
fn a_query_is_encoded_for_those_who_wait_alone() {
    let (dir, base) = (tempfile::tempdir().unwrap(), set(DType::F32, 30, 3));
    build(input(&base, usual()), &config(dir.path())).unwrap();
    let engine = open_engine(dir.path());
    let request = || DocumentRequest {
        tokens: base.rows.bytes()[..4 * DIM].to_vec().into(),
        params: DocumentParams::new(3),
        filter: None,
        deadline: None,
        stop: None,
    };
    let refused = |request| engine.submit_document(request, |_| panic!("refused at once")).unwrap_err();
    let late = refused(DocumentRequest { deadline: Some(Instant::now()), ..request() });
    assert!(matches!(late, SearchError::Deadline { answered: 0, queries: 1 }), "{late:?}");
    let stop = Some(Arc::new(AtomicBool::new(true)));
    let stopped = refused(DocumentRequest { stop, ..request() });
    assert!(matches!(stopped, SearchError::Stopped { answered: 0, queries: 1 }), "{stopped:?}");
    // Sixteen tokens that are as long as they may be, after a document that is well.
    let long: Vec<u8> = [8e18_f32].into_iter().chain([0.0; DIM - 1]).flat_map(f32::to_le_bytes).collect();
    let tokens = [&base.rows.bytes()[..4 * DIM], &long.repeat(16)].concat();
    let offsets = DocumentOffsets::new(&[0, 1, 17], 17).unwrap();
    let found = engine.search_documents(&tokens, &offsets, &DocumentParams::new(3), &Default::default());
    let error = found.unwrap_err();
    assert!(matches!(error, SearchError::Encoding { document: 1, .. }), "{error:?}");
    // Tokens of documents are fetched as of lists of tokens.
    let lookup = Arc::new(Lookup::open(Arc::clone(engine.index())).unwrap());
    let vectors = Some(VectorsOf::Column);
    let content = FetchContent { vectors, attributes: Vec::new(), cell_bytes_max: 1 << 20 };
    let fetched = engine.fetch_content(&lookup, &[5, 29, 30], content).unwrap();
    let wanted = [5, 29].map(|document| base.offsets.rows_of(document));
    assert_eq!(fetched.row_counts, wanted.clone().map(|rows| rows.len() as u32));
    let bytes = |rows: std::ops::Range<u32>| {
        &base.rows.bytes()[4 * DIM * rows.start as usize..4 * DIM * rows.end as usize]
    };
    assert!(fetched.rows == wanted.map(bytes).concat());
    assert_eq!(fetched.states, [FetchState::Found, FetchState::Found, FetchState::Absent]);
}

#[test]
fn encodings_that_do_not_fit_are_refused_before_any_work() {
    let (dir, base) = (tempfile::tempdir().unwrap(), set(DType::I8, 30, 3));
    let good = config(&dir.path().join("refused"));
    let refused = |input: Input<'_>| {
        let error = build(input, &good).unwrap_err();
        assert!(!good.out.join("CURRENT").exists() && !good.out.join("scratch").exists());
        error.to_string()
    };
    let wide = refused(input(&base, spec("muvera:d=13,R=2")));
    assert!(wide.contains("d of 13 is not in 1 to 12, the elements of a token"), "{wide}");
    let alone = refused(Input { documents: None, ..input(&base, usual()) });
    assert!(alone.contains("--documents"), "{alone}");
    // What encodes is counted, for each thread.
    let needed = |threads: usize, encoding: &str| {
        let config = BuildConfig { threads, ..good.clone() };
        Plan::new(&Params::check(&config, input(&base, spec(encoding))).unwrap()).memory_needed
    };
    let blocks = "muvera:R=1000,k=8,d=4,dim=80";
    assert!(needed(3, blocks) > needed(2, blocks) + (1000 << 8) * 4 * 4);
    assert!(needed(2, blocks) > needed(2, "muvera:R=10,k=3,d=1,dim=80") + 2 * (1000 << 8) * 4 * 4);
}

#[test]
fn the_bytes_of_encoded_documents_depend_on_the_input_alone() {
    let dir = tempfile::tempdir().unwrap();
    let base = set(DType::I8, 90, 3);
    let encoded = input(&base, usual());
    let whole = config(&dir.path().join("whole"));
    build(encoded, &whole).unwrap();
    let expected = identity(&whole.out);
    for (number, (threads, memory_bytes)) in [(1, 1 << 30), (4, 150 << 20)].into_iter().enumerate() {
        let other = BuildConfig { threads, memory_bytes, ..config(&dir.path().join(number.to_string())) };
        build(encoded, &other).unwrap();
        assert_same(&identity(&other.out), &expected, &format!("{threads} threads"));
    }
    let stopped = config(&dir.path().join("stopped"));
    build_phase_by_phase(&stopped, |config, caller| build_for(encoded, config, caller));
    assert_same(&identity(&stopped.out), &expected, "stopped and resumed");
    // Finished before, and asked for again: by the same encoding alone.
    let again = BuildConfig { resume: true, ..whole };
    build(encoded, &again).unwrap();
    for other in [base.input(), input(&base, spec("muvera:R=10,k=3,d=8,empty=nearest"))] {
        assert!(matches!(build(other, &again), Err(BuildError::Exists { .. })));
    }
    // Begun, and gone on with by another encoding, or none.
    let begun = config(&dir.path().join("begun"));
    let progress = StopAt::new(Moment::Phase("write"));
    let caller = Caller { progress: &progress, stop: &progress.stop, calibrate: None };
    assert!(matches!(build_for(encoded, &begun, caller), Err(BuildError::Stopped)));
    let begun = BuildConfig { resume: true, ..begun };
    let other = spec("muvera:R=10,k=3,d=8,empty=nearest");
    let error = build(input(&base, other), &begun).unwrap_err();
    assert!(matches!(error, BuildError::Resume { parameter: "--documents", .. }), "{error}");
    assert!(matches!(build(base.input(), &begun), Err(BuildError::Resume { .. })));
    build(encoded, &begun).unwrap();
    verify_index(&begun.out, true).unwrap();
    let seed = BuildConfig { seed: 99, ..config(&dir.path().join("seed")) };
    assert_ne!(
        build(encoded, &seed).unwrap().manifest.uuid,
        Index::open(&begun.out).unwrap().manifest().uuid
    );
}

#[test]
fn damage_of_encoded_documents_is_found() {
    let (dir, base) = (tempfile::tempdir().unwrap(), set(DType::I8, 80, 3));
    build(input(&base, usual()), &config(dir.path())).unwrap();
    let report = verify_index(dir.path(), true).unwrap();
    let index = Index::open(dir.path()).unwrap();
    let layout = index.shape_of(VectorsOf::Column).pages;
    let pages = index.segments()[0].ids.layout.pages(80) + layout.pages(base.offsets.rows());
    assert_eq!(report.hashes, pages + u64::from(index.lists()), "pages of tokens are counted");
    let last = BODY_AT + (layout.pages(base.offsets.rows()) - 1) as usize * layout.page_bytes();
    drop(index);
    for (name, at) in
        [("documents-1", BODY_AT), ("documents-1", BODY_AT + 4 * 81 + 8), ("vectors.tokens-1", last + 9)]
    {
        let path = dir.path().join(name);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        bad[at] ^= 4;
        fs::write(&path, &bad).unwrap();
        for deep in [false, true] {
            let VerifyError::Open(error) = verify_index(dir.path(), deep).unwrap_err() else { panic!() };
            assert!(error.to_string().contains(name), "deep {deep}: {error}");
        }
        fs::write(path, good).unwrap();
    }
    verify_index(dir.path(), true).unwrap();
}

/// Puts a list's bytes in force that `change` changes, under hashes that hold.
fn reseal_list(dir: &Path, list: u32, change: impl FnOnce(&mut [u8])) {
    let index = Index::open(dir).unwrap();
    let entry = index.segments()[0].directory.entry(list);
    let at = BODY_AT + entry.offset_units as usize * UNIT_BYTES;
    let bytes = index.list_layout().list_bytes(entry.primaries, entry.replicas);
    let [mut codes, mut directory] = ["codes-1", "directory-1"].map(|name| fs::read(dir.join(name)).unwrap());
    change(&mut codes[at..at + bytes]);
    let hash = list_hash(index.uuid(), list, &codes[at..at + bytes]);
    directory[BODY_AT + 24 * list as usize + 16..][..8].copy_from_slice(&hash.to_le_bytes());
    let store = FolderStore::new(dir);
    let mut manifest = Manifest::open(&store, current(&store).unwrap()).unwrap();
    for (kind, bytes) in [(SectionKind::Codes, &codes), (SectionKind::Directory, &directory)] {
        fs::write(dir.join(section_name(kind, 1)), bytes).unwrap();
        let section = manifest.segments[0].sections.iter_mut().find(|of| of.kind == kind.name()).unwrap();
        section.hash = hash_hex(xxh3_128(&bytes[BODY_AT..]));
    }
    let bytes = manifest.to_bytes();
    fs::write(dir.join(manifest_name(1)), &bytes).unwrap();
    fs::write(dir.join(CURRENT), Current::of(1, &bytes).to_bytes()).unwrap();
}

/// Codes are made of encodings that are stored nowhere: a deep verification makes these again of the tokens.
#[test]
fn codes_of_other_encodings_are_found_by_a_deep_verification() {
    let base = set(DType::I8, 80, 3);
    for codes in [Tier::Memory, Tier::Ssd] {
        let dir = tempfile::tempdir().unwrap();
        build(input(&base, usual()), &BuildConfig { codes, ..config(dir.path()) }).unwrap();
        verify_index(dir.path(), true).unwrap();
        let list = Index::open(dir.path()).unwrap().lists() - 1;
        reseal_list(dir.path(), list, |bytes| bytes[0] ^= 16);
        verify_index(dir.path(), false).unwrap();
        let deep = verify_index(dir.path(), true).unwrap_err().to_string();
        assert!(deep.contains(&format!("code of list {list}")), "{deep}");
    }
    // With another seed in the manifest encodings are others, and so are all codes.
    let dir = tempfile::tempdir().unwrap();
    build(input(&base, usual()), &config(dir.path())).unwrap();
    let store = FolderStore::new(dir.path());
    let mut manifest = Manifest::open(&store, current(&store).unwrap()).unwrap();
    manifest.documents.as_mut().unwrap().encoding.as_mut().unwrap().seed += 1;
    let bytes = manifest.to_bytes();
    fs::write(dir.path().join(manifest_name(1)), &bytes).unwrap();
    fs::write(dir.path().join(CURRENT), Current::of(1, &bytes).to_bytes()).unwrap();
    verify_index(dir.path(), false).unwrap();
    let deep = verify_index(dir.path(), true).unwrap_err().to_string();
    assert!(deep.contains("code of list") || deep.contains("radius"), "{deep}");
}

#[test]
fn a_manifest_that_contradicts_its_encodings_is_refused() {
    let (dir, base) = (tempfile::tempdir().unwrap(), set(DType::I8, 30, 3));
    build(input(&base, usual()), &config(dir.path())).unwrap();
    let refused = |by: fn(&mut Manifest)| {
        let copy = tempfile::tempdir().unwrap();
        crate::support::copy_folder(dir.path(), copy.path());
        change(Path::new(copy.path()), by)
    };
    for (by, expected) in [
        (
            (|of: &mut Manifest| of.documents.as_mut().unwrap().count = 29) as fn(&mut Manifest),
            "count of documents",
        ),
        (|of| of.documents.as_mut().unwrap().encoding.as_mut().unwrap().tokens = 29, "tokens of documents"),
        (|of| of.documents.as_mut().unwrap().encoding.as_mut().unwrap().tokens += 1, "count"),
        (
            |of| of.documents.as_mut().unwrap().encoding.as_mut().unwrap().spec = "x".into(),
            "unknown encoding 'x'",
        ),
        (
            |of| of.documents.as_mut().unwrap().encoding.as_mut().unwrap().spec = "muvera:R=5,k=3,d=8".into(),
            "320 x f32",
        ),
        (
            |of| {
                of.documents.as_mut().unwrap().encoding.as_mut().unwrap().spec = "muvera:R=5,k=3,d=16".into()
            },
            "d of 16 is not in 1 to 12",
        ),
        (|of| of.documents.as_mut().unwrap().encoding = None, "column"),
        (|of| of.column.as_mut().unwrap().metric = "l2".into(), "column"),
        (|of| of.column = None, "column"),
        (|of| of.dtype = "f16".into(), "640 x f16"),
    ] {
        let error = refused(by);
        assert!(error.contains(expected), "{expected}: {error}");
    }
}
