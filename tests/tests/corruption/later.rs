//! Damage that comes after an index was opened: what it touches is left out and counted.
use std::fs;
use std::path::Path;
use std::sync::Arc;

use spandrel_engine::{Answer, DamageReason, DamagedPart, Engine, EngineError, Missing, SearchParams};
use spandrel_index::format::{BODY_AT, SectionKind, UNIT_BYTES};
use spandrel_index::{Index, OpenOptions, Tier};

use super::BODY;
use super::folder::{VECTORS, Whole, file};
use crate::support::{engine_config, every_list, found, open_engine};

#[test]
fn lists_damaged_after_opening_are_left_out_and_counted() {
    for whole in [Whole::small(), Whole::coded(Tier::Ssd)] {
        let name = file(SectionKind::Codes);
        let engine = open_engine(whole.dir());
        let query = whole.base.rows.row(5);
        let complete = engine.search(query, &every_list(VECTORS)).unwrap().remove(0);
        assert_eq!((complete.missing.parts(), complete.neighbours.len()), (0, VECTORS));
        for list in 0..engine.index().lists() {
            let entry = engine.index().segments()[0].directory.entry(list);
            let at = BODY + entry.offset_units as usize * UNIT_BYTES;
            let search = |_: &Path| engine.search(query, &every_list(VECTORS)).unwrap().remove(0);
            let answer = whole.with_flipped(&name, at, search);
            assert_eq!(answer.missing, Missing { lists: 1, pages: 0 }, "list {list}");
            assert_eq!(answer.work.vectors_scanned, complete.work.vectors_scanned - entry.count() as u64);
            // What is left is true: each as in the complete answer, in the same order.
            assert!(is_part(&answer, &complete), "list {list}");
            let damage = engine.damage();
            let remembered = matches!(&damage[..], [d] if d.part == DamagedPart::List(list) && matches!(d.reason, DamageReason::Hash { .. }));
            assert!(remembered, "list {list}: {damage:?}");
        }
        let mended = engine.search(query, &every_list(VECTORS)).unwrap();
        assert_eq!(found(&mended), found(&[complete]));
    }
}

/// Whether the neighbours of an answer are among those of another, in their order.
fn is_part(answer: &Answer, whole: &Answer) -> bool {
    let mut rest = whole.neighbours.iter();
    answer.neighbours.iter().all(|n| rest.any(|m| m == n))
}

#[test]
fn lists_cut_short_after_opening_are_left_out_and_counted() {
    for whole in [Whole::small(), Whole::coded(Tier::Ssd)] {
        let path = whole.dir().join(file(SectionKind::Codes));
        let engine = open_engine(whole.dir());
        let index = Arc::clone(engine.index());
        let last = index.lists() - 1;
        let at = BODY as u64
            + u64::from(index.segments()[0].directory.entry(last).offset_units) * UNIT_BYTES as u64;
        fs::File::options().write(true).open(&path).unwrap().set_len(at).unwrap();
        let answer = engine.search(whole.base.rows.row(0), &every_list(3)).unwrap().remove(0);
        assert_eq!(answer.missing.parts(), 1);
        let damage = engine.damage();
        assert!(
            matches!(&damage[..], [d] if d.part == DamagedPart::List(last) && matches!(d.reason, DamageReason::Read(_))),
            "{damage:?}"
        );
        // A second engine over the index that is open sees that the file is another.
        let refused = Engine::open(index, engine_config());
        assert!(matches!(refused, Err(EngineError::Changed { .. })));
    }
}

#[test]
fn pages_of_vectors_damaged_after_opening_are_left_out_and_counted() {
    for whole in [Whole::coded(Tier::Ssd), Whole::coded(Tier::Memory)] {
        let name = file(SectionKind::Vectors);
        let engine = open_engine(whole.dir());
        let layout = engine.index().page_layout();
        let query = whole.base.rows.row(5);
        let params = every_list(VECTORS);
        let near = SearchParams { rerank: None, ..every_list(10) };
        let complete = engine.search(query, &params).unwrap().remove(0);
        let nearest = engine.search(query, &near).unwrap().remove(0);
        assert_eq!((complete.missing.parts(), complete.neighbours.len()), (0, VECTORS));
        let pages = layout.pages(VECTORS as u64);
        let (mut touched, mut damage) = (0, Vec::new());
        for page in 0..pages {
            let at = BODY + page as usize * layout.page_bytes() + 3;
            let search = |_: &Path| [&params, &near].map(|p| engine.search(query, p).unwrap().remove(0));
            let [answer, answer_near] = whole.with_flipped(&name, at, search);
            damage.extend(engine.damage().pop());
            assert_eq!(answer.missing, Missing { lists: 0, pages: 1 }, "page {page}");
            let records = layout.page_records().min(VECTORS - page as usize * layout.page_records());
            assert_eq!(answer.neighbours.len(), VECTORS - records, "page {page}");
            assert_eq!(answer.work, complete.work, "page {page}");
            assert!(is_part(&answer, &complete), "page {page}");
            // A page without a candidate does not matter, even where it is read together with its neighbours.
            if answer_near.missing.parts() == 0 {
                assert_eq!(answer_near.neighbours, nearest.neighbours, "page {page}");
            }
            touched += answer_near.missing.parts();
        }
        assert!(touched > 0 && u64::from(touched) < pages, "{touched} of {pages} pages hold candidates");
        let parts: Vec<DamagedPart> = damage.iter().map(|d| d.part).collect();
        assert_eq!(parts, (0..pages).map(DamagedPart::Page).collect::<Vec<_>>());
        for d in &damage {
            assert!(matches!(d.reason, DamageReason::Hash { .. }) && d.path.ends_with(&name), "{d}");
        }
        let mended = engine.search(query, &params).unwrap();
        assert_eq!(found(&mended), found(&[complete]));
        assert!(engine.damage().is_empty(), "what was read whole is forgotten");
    }
}

#[test]
fn a_page_that_is_damaged_again_and_again_is_not_read_any_more() {
    let whole = Whole::coded(Tier::Memory);
    let engine = open_engine(whole.dir());
    let layout = engine.index().page_layout();
    let query = whole.base.rows.row(5);
    let complete = engine.search(query, &every_list(VECTORS)).unwrap().remove(0);
    let at = BODY + (layout.pages(VECTORS as u64) as usize - 1) * layout.page_bytes() + 3;
    let again = || {
        let search = |_: &Path| engine.search(query, &every_list(VECTORS)).unwrap().remove(0);
        whole.with_flipped(&file(SectionKind::Vectors), at, search)
    };
    for time in 1..=8 {
        let answer = again();
        assert_eq!((answer.missing.parts(), answer.work), (1, complete.work), "time {time}");
    }
    let last = again();
    assert_eq!((last.missing.parts(), last.work.pages), (1, complete.work.pages - 1));
    assert!(is_part(&last, &complete));
    assert_eq!(engine.damage().len(), 1);
}

#[test]
fn pages_of_vectors_cut_off_after_opening_are_left_out_and_counted() {
    let whole = Whole::coded(Tier::Memory);
    let path = whole.dir().join(file(SectionKind::Vectors));
    let engine = open_engine(whole.dir());
    let index = Arc::clone(engine.index());
    let layout = index.page_layout();
    let pages = layout.pages(VECTORS as u64);
    let query = whole.base.rows.row(5);
    let complete = engine.search(query, &every_list(VECTORS)).unwrap().remove(0);
    // Amid pages that are read together.
    let kept = pages - 2;
    let len = BODY_AT + kept * layout.page_bytes() as u64;
    fs::File::options().write(true).open(&path).unwrap().set_len(len).unwrap();
    let answer = engine.search(query, &every_list(VECTORS)).unwrap().remove(0);
    assert_eq!(answer.missing.parts(), 2);
    assert_eq!(answer.neighbours.len(), kept as usize * layout.page_records());
    assert!(is_part(&answer, &complete));
    let damage = engine.damage();
    assert_eq!(damage.iter().map(|d| d.part).collect::<Vec<_>>(), [kept, kept + 1].map(DamagedPart::Page));
    assert!(damage.iter().all(|d| matches!(d.reason, DamageReason::Read(_))), "{damage:?}");
    let refused = Engine::open(index, engine_config());
    assert!(matches!(refused, Err(EngineError::Changed { .. })));
}

#[test]
fn what_is_in_memory_is_not_read_again() {
    let whole = Whole::coded(Tier::Ssd);
    let query = whole.base.rows.row(5);
    let complete = open_engine(whole.dir()).search(query, &every_list(VECTORS)).unwrap().remove(0);
    let options = OpenOptions { codes: Some(Tier::Memory), vectors: Some(Tier::Memory), ids: false };
    let index = Index::open_with(whole.dir(), options).unwrap();
    let engine = Engine::open(Arc::new(index), engine_config()).unwrap();
    for kind in [SectionKind::Codes, SectionKind::Vectors] {
        let bytes = whole.read(&file(kind)).len();
        whole.put(&file(kind), &vec![7; bytes]);
    }
    let answer = engine.search(query, &every_list(VECTORS)).unwrap().remove(0);
    assert_eq!(answer.neighbours, complete.neighbours);
    assert_eq!((answer.missing.parts(), answer.work.reads, answer.work.read_bytes), (0, 0, 0));
}
