//! Filters over several segments, each with attributes of its own.
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use spandrel_filter::{Comparison, Filter, Schema, Value};
use spandrel_index::attributes::{CompileLimits, compile};
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::{OpenError, VectorsOf};
use spandrel_index::{DType, Index, Metric, OpenOptions, Tier};
use spandrel_tests::{Base, CellRows, coded, count};
use tempfile::TempDir;

use super::{merge, parts_of};
use crate::attributes::CellRow;
use crate::support::verify_index;

/// Builds each part, and makes all of them segments of one index in `out`.
fn build_and_merge(parts: &[Base], out: &Path) {
    let built: Vec<TempDir> = parts.iter().map(|_| tempfile::tempdir().unwrap()).collect();
    for (part, dir) in parts.iter().zip(&built) {
        let code = CodeSpec::RaBitQ { bits: 2 };
        part.build(&coded(Metric::L2, code, Tier::Memory, dir.path())).unwrap();
    }
    merge(&built.iter().map(TempDir::path).collect::<Vec<_>>(), out);
}

#[test]
fn a_filter_matches_in_every_segment() {
    let (_, mut parts) = parts_of(DType::U8);
    for (seed, part) in (0..).zip(&mut parts) {
        part.attributes = Some(CellRows::random(count(&part.rows), seed));
    }
    let dir = tempfile::tempdir().unwrap();
    build_and_merge(&parts, dir.path());
    verify_index(dir.path(), true).unwrap();
    let options = OpenOptions { vectors: Some(Tier::Memory), ..OpenOptions::default() };
    let index = Index::open_with(dir.path(), options).unwrap();
    let word = |word: &str| Filter::Compare {
        name: "keyword".into(),
        comparison: Comparison::Equal,
        value: Value::Text(word.into()),
    };
    let null = Filter::IsNull { name: "f64".into() };
    let ids = parts.iter().flat_map(|part| part.ids.clone().unwrap().into_iter().step_by(9)).collect();
    let negative = Filter::Compare { name: "i64".into(), comparison: Comparison::Less, value: Value::I64(0) };
    let none = Filter::And(vec![word("word 1"), word("word 2")]);
    let filters = [
        word("word 0"),
        Filter::Not(Box::new(null.clone())),
        Filter::And(vec![Filter::Ids(ids), negative.clone()]),
        Filter::Or(vec![null, Filter::Not(Box::new(negative))]),
        none.clone(),
    ];
    let stop = AtomicBool::new(false);
    for filter in filters {
        let bound = filter.bind(index.schema()).unwrap();
        let limits = CompileLimits { memory_bytes: 1 << 20, deadline: None, stop: &stop };
        let matches = compile(&index, &bound, limits).unwrap();
        let found: BTreeSet<u64> = matches
            .iter()
            .map(|location| {
                let segment = &index.segments()[usize::from(location.segment())];
                segment.vectors(VectorsOf::Main).resident.as_ref().unwrap().record(location.position()).id
            })
            .collect();
        let mut expected = BTreeSet::new();
        for base in &parts {
            let rows = (0..count(&base.rows)).map(|row| CellRow { base, row });
            expected.extend(rows.filter(|row| bound.matches(row)).map(|row| base.id(row.row)));
        }
        assert_eq!(found, expected, "{filter:?}");
        assert_eq!(matches.count(), expected.len() as u64);
        let in_each = matches.segments().iter().all(|segment| segment.count() > 0);
        assert_eq!(in_each, filter != none, "{filter:?}");
    }
}

#[test]
fn segments_of_other_attributes_are_refused() {
    let (_, mut parts) = parts_of(DType::U8);
    for (number, part) in parts.iter_mut().enumerate() {
        let mut rows = CellRows::random(count(&part.rows), 1);
        if number == 1 {
            let mut attributes = rows.schema.attributes().to_vec();
            attributes.swap(0, 1);
            rows.schema = Schema::new(attributes).unwrap();
            rows.cells.iter_mut().for_each(|cells| cells.swap(0, 1));
        }
        part.attributes = Some(rows);
    }
    let dir = tempfile::tempdir().unwrap();
    build_and_merge(&parts, dir.path());
    let refused = Index::open(dir.path()).unwrap_err();
    let named = matches!(&refused, OpenError::Field { field, .. } if field == "attributes of segment 1");
    assert!(named, "{refused}");
    assert!(refused.to_string().contains("tags, keyword, bool"), "{refused}");
}
