//! An index of several segments opens, verifies and answers like the index of all its vectors.
//!
//! No builder writes one: indexes of parts of a set are built, their files are put into one folder, and a manifest is
//! written over them.
mod calibrated;
mod filtered;
mod union;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use spandrel_builder::{BuildConfig, ListCount};
use spandrel_datasets::Rows;
use spandrel_engine::{Engine, ExactSearch, FetchState, Lookup, RangeParams, RangeRequest, SearchParams};
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::{BODY_AT, MAIN_COLUMN, Manifest, OpenError, SectionKind};
use spandrel_index::{DType, Index, Metric, OpenOptions, Tier, VectorSource, VerifyError};
use spandrel_tests::{Base, clustered, coded, config, count};
use tempfile::TempDir;
use union::{DIM, K, Union, found, manifest_of, merge, parts_of, publish, search};

use crate::support::{
    TIERS, engine_config, every_list, exact_distance, open_engine, open_engine_with, verify_index,
};

#[test]
fn all_lists_with_exact_comparison_answer_like_the_union() {
    let codes = |metric, code| move |out: &Path| coded(metric, code, Tier::Memory, out);
    let full = |metric| move |out: &Path| config(metric, out);
    let replicated = |out: &Path| BuildConfig { codes: Tier::Ssd, ..config(Metric::L2, out) };
    let rabitq = CodeSpec::RaBitQ { bits: 2 };
    let coded_twice = |out: &Path| BuildConfig { code: rabitq, ..replicated(out) };
    let unions = [
        ("full", Union::build(DType::U8, full(Metric::L2))),
        ("full, ip", Union::build(DType::F32, full(Metric::InnerProduct))),
        ("rabitq, l2", Union::build(DType::I8, codes(Metric::L2, rabitq))),
        ("rabitq, cosine", Union::build(DType::F16, codes(Metric::Cosine, rabitq))),
        ("axes, ip", Union::build(DType::F32, codes(Metric::InnerProduct, CodeSpec::Axes { bytes: 12 }))),
        ("binary, l2", Union::build(DType::F32, codes(Metric::L2, CodeSpec::Binary))),
        ("rabitq in two lists each", Union::build(DType::U8, coded_twice)),
    ];
    for (name, union) in unions {
        let tiers = if name.starts_with("full") { &[OpenOptions::default()][..] } else { &TIERS[..] };
        for (&options, k) in tiers.iter().flat_map(|options| [(options, K), (options, 400)]) {
            let answers = |dir: &TempDir| {
                let engine = open_engine_with(dir.path(), options);
                search(&engine, &union.queries, &every_list(k))
            };
            let (one, many) = (answers(&union.one), answers(&union.many));
            assert!(many.iter().all(|answer| answer.missing.parts() == 0 && answer.neighbours.len() == k));
            assert!(found(&many) == found(&one), "{name}, {options:?}, {k} neighbours");
            let engine = open_engine_with(union.many.path(), options);
            let queries = union.queries.bytes().to_vec().into();
            let every = Arc::new(ExactSearch::new(engine.index(), queries, k, Vec::new()).unwrap());
            let nearest = engine.exact(&every, &mut |_| true).unwrap();
            let same = nearest.neighbours.iter().zip(&many).all(|(exact, found)| *exact == found.neighbours);
            assert!(same && nearest.missing_pages == 0, "{name}, {options:?}, {k} neighbours");
        }
    }
}

#[test]
fn the_default_holds_its_recall_over_segments() {
    for metric in Metric::ALL {
        let code = CodeSpec::RaBitQ { bits: 4 };
        let union = Union::build(DType::F32, |out| BuildConfig {
            lists: ListCount::Size(5),
            ..coded(metric, code, Tier::Memory, out)
        });
        let engine = open_engine(union.many.path());
        let answers = search(&engine, &union.queries, &SearchParams::new(K));
        let exact = search(&engine, &union.queries, &every_list(K));
        let mut hits = 0;
        for (answer, exact) in answers.iter().zip(&exact) {
            let lists = engine.index().lists();
            assert!(answer.work.lists < lists / 2, "{metric}: {} of {lists} lists", answer.work.lists);
            hits += exact.neighbours.iter().filter(|n| answer.neighbours.contains(n)).count();
        }
        let recall = hits as f64 / (exact.len() * K) as f64; // CAST: small counts
        assert!(recall >= 0.95, "{metric}: {recall}");
    }
}

/// Lists of all segments are weighed against each other: one far away is not searched for being the nearest of its segment.
#[test]
fn pruning_goes_over_all_segments_together() {
    let union = Union::small();
    let engine = open_engine(union.many.path());
    let lists = engine.index().lists();
    for max_lists in [1, 7, lists - 1, lists] {
        let params = SearchParams { max_lists: Some(max_lists), ..SearchParams::new(1) };
        let answers = search(&engine, &union.queries, &params);
        assert!(answers.iter().all(|answer| answer.work.lists == max_lists), "{max_lists}");
    }
    // The nearest heads of all segments, by comparison with every head.
    let index = engine.index();
    for (query, answer) in search(
        &engine,
        &union.queries,
        &SearchParams { epsilon: Some(0.3), max_lists: Some(u32::MAX), ..SearchParams::new(1) },
    )
    .iter()
    .enumerate()
    {
        let mut distances = Vec::new();
        for segment in index.segments() {
            for list in 0..segment.lists() {
                let head = segment.heads.row(list);
                distances.push(exact_distance(Metric::L2, DType::U8, union.queries.row(query), head));
            }
        }
        let nearest = distances.iter().copied().fold(f64::INFINITY, f64::min);
        let within = distances.iter().filter(|&&d| d <= nearest * 1.3 * 1.3).count();
        assert_eq!(answer.work.lists as usize, within, "query {query}");
    }
}

/// Ids and the bits of distances of all vectors within a radius of a query.
fn within(engine: &Engine, row: &[u8], radius: f32) -> Vec<(u64, u32)> {
    let (query, params) = (row.to_vec().into(), RangeParams::new(radius));
    let mut search = engine.range(RangeRequest { query, params, deadline: None, stop: None }).unwrap();
    let mut found = Vec::new();
    while let Some(part) = search.next(engine).unwrap() {
        found.extend(part.iter().map(|n| (n.id, n.distance.to_bits())));
    }
    found.sort_unstable();
    found
}

#[test]
fn all_within_a_radius_are_those_of_the_union() {
    let rabitq = CodeSpec::RaBitQ { bits: 2 };
    let codes = |metric, code| move |out: &Path| coded(metric, code, Tier::Memory, out);
    for union in [
        Union::build(DType::F32, |out| config(Metric::InnerProduct, out)),
        Union::build(DType::I8, codes(Metric::L2, rabitq)),
        Union::build(DType::F16, codes(Metric::Cosine, rabitq)),
        Union::build(DType::U8, |out| BuildConfig { code: rabitq, ..config(Metric::L2, out) }),
    ] {
        for options in TIERS {
            let opened = [&union.one, &union.many].map(|dir| Index::open_with(dir.path(), options));
            let [Ok(one), Ok(many)] = opened else { continue };
            let [one, many] =
                [one, many].map(|index| Engine::open(Arc::new(index), engine_config()).unwrap());
            for query in 0..5 {
                let row = union.queries.row(query);
                let nearest = one.search(row, &every_list(300)).unwrap();
                let radius = nearest[0].neighbours[299].distance;
                let expected = within(&one, row, radius);
                assert!(expected.len() >= 300, "{}", expected.len());
                assert_eq!(within(&many, row, radius), expected, "{options:?}");
            }
        }
    }
}

#[test]
fn a_segment_may_search_with_the_heads_of_another() {
    for code in [CodeSpec::Full, CodeSpec::RaBitQ { bits: 2 }] {
        // The same vectors under other ids have the same heads and the same model.
        let rows = clustered(DType::U8, DIM, 900, 1);
        let (first, second) = ((0..900).map(|id| 2 * id), (0..900).map(|id| 2 * id + 1));
        let [one, many, a, b] = [(); 4].map(|()| tempfile::tempdir().unwrap());
        let config = |out: &TempDir| match code {
            CodeSpec::Full => config(Metric::L2, out.path()),
            code => coded(Metric::L2, code, Tier::Memory, out.path()),
        };
        let part = |ids: Vec<u64>| Base::with_ids(rows.clone(), ids);
        part(first.clone().collect()).build(&config(&a)).unwrap();
        part(second.clone().collect()).build(&config(&b)).unwrap();
        let twice = Rows::new(DType::U8, DIM, rows.bytes().repeat(2)).unwrap();
        Base::with_ids(twice, first.chain(second).collect()).build(&config(&one)).unwrap();
        merge(&[a.path(), b.path()], many.path());
        let mut manifest = manifest_of(many.path());
        let shared = ["heads", "graph", "model"];
        manifest.segments[1].sections.retain(|section| !shared.contains(&section.kind.as_str()));
        manifest.segments[1].heads_of = Some(0);
        publish(many.path(), &manifest);
        for kind in shared {
            let _ = fs::remove_file(many.path().join(format!("{kind}-1.1")));
        }

        let queries = clustered(DType::U8, DIM, 20, 2);
        let (one, many_engine) = (open_engine(one.path()), open_engine(many.path()));
        let (expected, answers) =
            (search(&one, &queries, &every_list(K)), search(&many_engine, &queries, &every_list(K)));
        assert!(found(&answers) == found(&expected), "{code}");
        let heads = many_engine.index().segments()[0].lists();
        assert!(answers.iter().all(|answer| answer.work.head_distances == heads), "one search for both");
        assert!(answers.iter().all(|answer| answer.work.lists == 2 * heads));
        let radius = expected[0].neighbours[K - 1].distance;
        let row = queries.row(0);
        assert_eq!(within(&many_engine, row, radius), within(&one, row, radius), "{code}");
        verify_index(many.path(), true).unwrap();
        // Heads of a later segment, of none, of oneself, or beside one's own.
        for heads_of in [1, 2, u16::MAX] {
            manifest.segments[1].heads_of = Some(heads_of);
            refused(many.path(), &manifest, "heads_of of segment 1");
        }
        manifest.segments[1].heads_of = Some(0);
        manifest.segments[1].lists -= 1;
        refused(many.path(), &manifest, "heads_of of segment 1");
        manifest.segments[1].lists += 1;
        let own = manifest.segments[0].sections[0].clone();
        manifest.segments[1].sections.push(own);
        refused(many.path(), &manifest, "sections of segment 1");
    }
}

/// Publishes a manifest that must be refused for `field`.
#[track_caller]
fn refused(dir: &Path, manifest: &Manifest, field: &str) {
    publish(dir, manifest);
    match Index::open(dir) {
        Err(OpenError::Field { field: found, .. }) => assert_eq!(found, field),
        other => panic!("{field}: {other:?}"),
    }
}

#[test]
fn segments_that_cannot_be_are_refused() {
    let union = Union::small();
    let good = manifest_of(union.many.path());
    let dir = union.many.path();
    let mut manifest = good.clone();
    manifest.segments[2].uuid = manifest.segments[0].uuid.clone();
    refused(dir, &manifest, "uuid of segment 2");
    manifest.segments[2].uuid = "none".into();
    refused(dir, &manifest, "uuid of segment 2");
    manifest = good.clone();
    manifest.segments.swap(0, 1);
    manifest.segments[1].sections = good.segments[2].sections.clone();
    // Files of another segment, whose headers carry its uuid.
    refused(dir, &manifest, "uuid");
    manifest = good.clone();
    let again = manifest.segments[1].sections[0].clone();
    manifest.segments[1].sections.push(again.clone());
    refused(dir, &manifest, "sections of segment 1");
    // Of a column that this release does not know: refused by name where it must be understood, ignored where not.
    let added = manifest.segments[1].sections.last_mut().unwrap();
    added.column = "fine".into();
    publish(dir, &manifest);
    let error = Index::open(dir).unwrap_err();
    assert!(matches!(&error, OpenError::UnknownSection { .. }), "{error}");
    assert!(error.to_string().contains(&format!("{} of column fine", again.kind)), "{error}");
    manifest.segments[1].sections.last_mut().unwrap().required = false;
    publish(dir, &manifest);
    Index::open(dir).unwrap();
    manifest.segments.clear();
    refused(dir, &manifest, "segments");
    manifest.segments = vec![good.segments[0].clone(); 257];
    refused(dir, &manifest, "segments");
}

#[test]
fn every_segment_is_verified_and_damage_is_named() {
    let union = Union::small();
    let index = Index::open(union.many.path()).unwrap();
    let vectors = count(&union.base.rows) as u64;
    for deep in [false, true] {
        let report = verify_index(union.many.path(), deep).unwrap();
        assert_eq!((report.vectors, report.copies), (vectors, vectors));
        assert_eq!((report.lists, report.files), (u64::from(index.lists()), 3 * 6));
    }
    for kind in SectionKind::ALL {
        // Few heads have no graph, what was not calibrated has no recall, nothing is known of these vectors, and they are no documents.
        let Some(entry) = index.manifest().segments[2].section(kind, MAIN_COLUMN) else {
            let may_miss =
                [SectionKind::Graph, SectionKind::Recall, SectionKind::Attributes, SectionKind::Documents];
            assert!(may_miss.contains(&kind), "{kind:?}");
            continue;
        };
        let path = union.many.path().join(&entry.file);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        let at = BODY_AT as usize + (good.len() - BODY_AT as usize) / 2; // CAST: a small file
        bad[at] ^= 1;
        fs::write(&path, &bad).unwrap();
        for deep in [false, true] {
            let named = match verify_index(union.many.path(), deep) {
                Err(VerifyError::Open(OpenError::Checksum { path, .. } | OpenError::Field { path, .. })) => {
                    path
                }
                other => panic!("{kind:?}: {other:?}"),
            };
            assert_eq!(named, path, "deep: {deep}");
        }
        fs::write(&path, &good).unwrap();
    }
    verify_index(union.many.path(), true).unwrap();
}

/// Damage of one segment costs what lies there, and no more.
#[test]
fn damage_of_a_segment_met_by_queries_is_named_and_left_out() {
    let union = Union::small();
    for (kind, options) in [(SectionKind::Codes, TIERS[0]), (SectionKind::Vectors, TIERS[2])] {
        let engine = open_engine_with(union.many.path(), options);
        let entry = engine.index().manifest().segments[2].section(kind, MAIN_COLUMN).unwrap().clone();
        let path = union.many.path().join(&entry.file);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        bad[BODY_AT as usize..].iter_mut().for_each(|byte| *byte ^= 0x55); // CAST: a small file
        fs::write(&path, &bad).unwrap();
        // Fewer times than it takes for a part not to be read any more.
        let few = &union.queries.bytes()[..5 * union.queries.row_bytes()];
        let answers = engine.search(few, &every_list(K)).unwrap();
        fs::write(&path, &good).unwrap();
        let lost = &union.parts[2];
        for answer in &answers {
            assert!(answer.missing.parts() > 0 && answer.neighbours.len() == K);
            assert!(answer.neighbours.iter().all(|n| !lost.ids.as_ref().unwrap().contains(&n.id)));
        }
        let damage = engine.damage();
        assert!(!damage.is_empty() && damage.iter().all(|damage| damage.path == path), "{damage:?}");
        // Read whole again, nothing is left out.
        let whole = search(&engine, &union.queries, &every_list(K));
        assert!(whole.iter().all(|answer| answer.missing.parts() == 0), "{:?}", engine.damage());
    }
}

#[test]
fn rows_of_every_segment_are_found_by_their_ids() {
    let union = Union::small();
    for options in [OpenOptions::default(), OpenOptions { ids: true, ..TIERS[3] }] {
        let engine = open_engine_with(union.many.path(), options);
        let lookup = Arc::new(Lookup::open(Arc::clone(engine.index())).unwrap());
        let ids = union.base.ids.clone().unwrap();
        let fetched = engine.fetch(&lookup, &ids).unwrap();
        assert!(fetched.states.iter().all(|&state| state == FetchState::Found));
        assert!(fetched.rows == union.base.rows.bytes(), "every row with its id");
        let absent: Vec<u64> = (0..u64::from(u32::MAX)).filter(|id| !ids.contains(id)).take(40).collect();
        let fetched = engine.fetch(&lookup, &absent).unwrap();
        assert!(fetched.rows.is_empty());
        assert!(fetched.states.iter().all(|&state| state == FetchState::Absent));
    }
}

#[test]
fn an_id_of_two_segments_is_refused_at_opening() {
    let rows = clustered(DType::U8, DIM, 600, 1);
    let part = |first: usize, ids: Vec<u64>| {
        let bytes = rows.bytes()[first * rows.row_bytes()..(first + 200) * rows.row_bytes()].to_vec();
        Base::with_ids(Rows::new(DType::U8, DIM, bytes).unwrap(), ids)
    };
    let dirs = [(); 4].map(|()| tempfile::tempdir().unwrap());
    let [a, b, c, many] = &dirs;
    part(0, (0..200).collect()).build(&config(Metric::L2, a.path())).unwrap();
    part(200, (1000..1200).collect()).build(&config(Metric::L2, b.path())).unwrap();
    // One of its ids is that of a vector in the second part.
    part(400, (500..699).chain([1111]).collect()).build(&config(Metric::L2, c.path())).unwrap();
    merge(&[a.path(), b.path()], many.path());
    Index::open(many.path()).unwrap();
    merge(&[a.path(), b.path(), c.path()], many.path());
    match Index::open(many.path()) {
        Err(OpenError::Field { path, field, found, .. }) => {
            assert_eq!(path, PathBuf::from(many.path()).join("ids-1.2"));
            assert_eq!(field, "id in segment 2");
            assert_eq!(found, "1111, which segment 1 has too");
        }
        other => panic!("{other:?}"),
    }
}
