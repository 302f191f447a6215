//! What is known of vectors, from a build to the filters over an index.
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use spandrel_builder::filing::ReplicaRule;
use spandrel_builder::testing::{Moment, StopAt};
use spandrel_builder::{Attributes, BuildConfig, BuildError, Caller, Input, Params, Plan, Silent};
use spandrel_filter::{
    Attribute, AttributeType, Bound, Cell, Comparison, Filter, Row, Schema, TagMode, Tags, Value,
};
use spandrel_index::attributes::{CompileLimits, compile};
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::VectorsOf;
use spandrel_index::{DType, Index, Metric, Tier, VerifyError};
use spandrel_tests::{Base, CALIBRATOR, CellRows, clustered, coded};

use crate::support::{assert_same, identity, verify_index};

const COUNT: usize = 3000;

/// Vectors whose ids neither ascend nor are dense, with an attribute of each type.
fn base() -> Base {
    let ids = (0..COUNT as u64).map(|row| (row * 7919 % 100_003) << 20).collect();
    let attributes = Some(CellRows::random(COUNT, 3));
    Base { attributes, ..Base::with_ids(clustered(DType::U8, 8, COUNT, 1), ids) }
}

/// The row of each position, by the ids of its vectors.
fn rows_by_position(base: &Base, index: &Index) -> Vec<usize> {
    let rows: BTreeMap<u64, usize> = (0..COUNT).map(|row| (base.id(row), row)).collect();
    let vectors = index.segments()[0].vectors(VectorsOf::Main).resident.as_ref().unwrap();
    (0..COUNT as u32).map(|position| rows[&vectors.record(position).id]).collect()
}

/// Opens an index with its vectors in memory, where codes allow it.
fn open(dir: &Path) -> Index {
    let options = spandrel_index::OpenOptions { vectors: Some(Tier::Memory), ..Default::default() };
    Index::open_with(dir, options).unwrap()
}

fn sorted(cell: &Cell) -> Cell {
    let Cell::Tags(tags) = cell else { return cell.clone() };
    let mut sorted: Vec<&str> = tags.iter().collect();
    sorted.sort_unstable();
    Cell::Tags(sorted.into_iter().collect::<Tags>())
}

fn coded_config(out: &Path) -> BuildConfig {
    coded(Metric::L2, CodeSpec::RaBitQ { bits: 2 }, Tier::Memory, out)
}

/// A row of a set with attributes.
pub(crate) struct CellRow<'a> {
    pub(crate) base: &'a Base,
    pub(crate) row: usize,
}

impl Row for CellRow<'_> {
    fn id(&self) -> u64 {
        self.base.id(self.row)
    }

    fn cell(&self, attribute: usize) -> &Cell {
        &self.base.attributes.as_ref().unwrap().cells[self.row][attribute]
    }
}

#[test]
fn a_build_keeps_what_is_known_of_each_vector() {
    let mut base = base();
    base.attributes.as_mut().unwrap().resident = vec!["tags".into(), "i64".into()];
    let dir = tempfile::tempdir().unwrap();
    // Replicas lie in further lists, and have no positions of their own.
    let replicated = BuildConfig { replicas: ReplicaRule::Soar, ..coded_config(&dir.path().join("b")) };
    for config in [coded_config(&dir.path().join("a")), replicated] {
        base.build(&config).unwrap();
        let report = verify_index(&config.out, true).unwrap();
        assert!(report.hashes > 0 && report.files >= 6 + 6, "{report:?}");
        let index = open(&config.out);
        let known = base.attributes.as_ref().unwrap();
        assert_eq!(**index.schema(), known.schema);
        let rows = rows_by_position(&base, &index);
        for (number, attribute) in known.schema.attributes().iter().enumerate() {
            let stored = index.segments()[0].attribute(number).unwrap();
            assert_eq!(stored.is_resident(), known.resident.contains(&attribute.name), "{}", attribute.name);
            for (position, &row) in rows.iter().enumerate().step_by(11) {
                let (found, expected) = (stored.cell(position as u32).unwrap(), &known.cells[row][number]);
                assert_eq!(sorted(&found), sorted(expected), "{} of row {row}", attribute.name);
            }
        }
        let stop = AtomicBool::new(false);
        let limits = CompileLimits { memory_bytes: 1 << 20, deadline: None, stop: &stop };
        let at_least = |value| Filter::Compare {
            name: "i64".into(),
            comparison: Comparison::AtLeast,
            value: Value::I64(value),
        };
        let word = Filter::Compare {
            name: "keyword".into(),
            comparison: Comparison::Equal,
            value: Value::Text("word 3".into()),
        };
        for filter in
            [at_least(0), word.clone(), Filter::And(vec![at_least(-48), Filter::Not(Box::new(word))])]
        {
            let bound: Bound = filter.bind(index.schema()).unwrap();
            let found: Vec<usize> = compile(&index, &bound, limits)
                .unwrap()
                .iter()
                .map(|location| rows[location.position() as usize])
                .collect();
            let expected: Vec<usize> =
                rows.iter().copied().filter(|&row| bound.matches(&CellRow { base: &base, row })).collect();
            assert_eq!(found, expected, "{filter:?}");
            assert!(!found.is_empty() && found.len() < COUNT, "{filter:?}");
        }
    }
}

/// Values of an attribute are sorted in runs, within the memory of the build; here in several.
#[test]
fn each_of_two_million_tags_finds_its_vector() {
    const VECTORS: usize = 40_000;
    const TAGS: usize = 50;
    let (dir, tags) =
        (tempfile::tempdir().unwrap(), Attribute { name: "tags".into(), kind: AttributeType::Tags });
    // Tags of a vector lie far apart in the order of all.
    let tag = |row: usize, at: usize| format!("{:07}", at * VECTORS + row);
    let row = |row: usize| vec![Cell::Tags((0..TAGS).map(|at| tag(row, at)).collect())];
    let attributes = CellRows {
        schema: Schema::new(vec![tags]).unwrap(),
        cells: (0..VECTORS).map(row).collect(),
        resident: Vec::new(),
        partition_by: None,
    };
    let base = Base { attributes: Some(attributes), ..Base::new(clustered(DType::U8, 8, VECTORS, 1)) };
    let config =
        BuildConfig { memory_bytes: 120 << 20, threads: 1, ..coded_config(&dir.path().join("index")) };
    base.build(&config).unwrap();
    let index = open(&config.out);
    let stored = index.segments()[0].attribute(0).unwrap();
    let vectors = index.segments()[0].vectors(VectorsOf::Main).resident.as_ref().unwrap();
    assert_eq!((stored.values() as usize, stored.pairs() as usize), (VECTORS * TAGS, VECTORS * TAGS));
    let stop = AtomicBool::new(false);
    let limits = CompileLimits { memory_bytes: 1 << 20, deadline: None, stop: &stop };
    let found = |tags: Vec<String>| {
        let filter = Filter::Contains { name: "tags".into(), tags, mode: TagMode::All };
        let matches = compile(&index, &filter.bind(index.schema()).unwrap(), limits).unwrap();
        matches.iter().map(|location| vectors.record(location.position()).id).collect::<Vec<u64>>()
    };
    for row in (0..VECTORS).step_by(3_001).chain([VECTORS - 1]) {
        for at in [0, row % TAGS, TAGS - 1] {
            assert_eq!(found(vec![tag(row, at)]), [row as u64], "tag {at} of row {row}");
        }
        assert_eq!(found(vec![tag(row, 3), tag(row, 30)]), [row as u64], "two tags of row {row}");
        assert!(found(vec![tag(row, 3), tag((row + 1) % VECTORS, 30)]).is_empty(), "tags of two rows");
    }
    assert!(found(vec![format!("{:07}", VECTORS * TAGS)]).is_empty(), "a tag of no vector");
}

#[test]
fn a_plan_says_about_what_attributes_take() {
    let (mut base, dir) = (base(), tempfile::tempdir().unwrap());
    base.attributes.as_mut().unwrap().resident = vec!["timestamp".into()];
    let config = coded_config(&dir.path().join("index"));
    let known = base.attributes.as_ref().unwrap();
    let attributes = Some(Attributes { source: known, resident: &known.resident, partition_by: None });
    let input = Input { attributes, ..Input::of(&base.rows) };
    let plan = Plan::new(&Params::check(&config, input).unwrap());
    let without = Plan::new(&Params::check(&config, Input::of(&base.rows)).unwrap());
    base.build(&config).unwrap();
    let index = Index::open(&config.out).unwrap();
    let (mut planned_bytes, mut planned_memory) = (0, 0);
    for (number, planned) in plan.attributes.iter().enumerate() {
        let stored = index.segments()[0].attribute(number).unwrap();
        let near = |found: u64, planned: u64| found <= 2 * planned + 512 && planned <= 2 * found + 512;
        assert!(near(stored.file_bytes(), planned.index_bytes), "{planned:?}, {stored:?}");
        assert!(near(stored.memory_bytes() as u64, planned.search_memory), "{planned:?}, {stored:?}");
        planned_bytes += planned.index_bytes;
        planned_memory += planned.search_memory;
    }
    assert_eq!(plan.index_bytes - without.index_bytes, planned_bytes);
    assert_eq!(plan.search_memory - without.search_memory, planned_memory);
    assert!(plan.scratch_bytes > without.scratch_bytes);
}

pub(crate) fn build_until(
    base: &Base,
    config: &BuildConfig,
    at: Moment<'_>,
) -> (Result<(), BuildError>, u32) {
    let progress = StopAt::new(at);
    let caller = Caller { progress: &progress, stop: &progress.stop, calibrate: None };
    let ended = base.build_for(config, caller).map(|_| ());
    (ended, progress.signs())
}

#[test]
fn bytes_do_not_depend_on_threads_memory_or_interruption() {
    let (base, dir) = (base(), tempfile::tempdir().unwrap());
    let whole = coded_config(&dir.path().join("whole"));
    let (done, signs) = build_until(&base, &whole, Moment::Sign(u32::MAX));
    done.unwrap();
    let expected = identity(&whole.out);
    assert!(expected.keys().any(|name| name == "attributes.5-1"), "{:?}", expected.keys());
    for (threads, memory_bytes) in [(1, 1 << 30), (3, 300 << 20)] {
        let out = dir.path().join(threads.to_string());
        let config = BuildConfig { threads, memory_bytes, ..coded_config(&out) };
        base.build(&config).unwrap();
        assert_same(&identity(&out), &expected, "threads");
    }
    let mut stops = 0;
    // The last signs are those of attributes and after them.
    for at in (signs.saturating_sub(36)..signs).step_by(3) {
        let mut config = coded_config(&dir.path().join(format!("stopped-{at}")));
        match build_until(&base, &config, Moment::Sign(at)).0 {
            Ok(()) => continue,
            Err(BuildError::Stopped) => stops += 1,
            Err(other) => panic!("stop {at}: {other}"),
        }
        config.resume = true;
        base.build(&config).unwrap();
        assert_same(&identity(&config.out), &expected, &format!("stop {at}"));
        // Once more: it had been finished.
        base.build(&config).unwrap();
        fs::remove_dir_all(&config.out).unwrap();
    }
    assert!(stops > 5, "{stops} stops of {signs} signs");
}

#[test]
fn other_attributes_are_not_taken_for_those_that_were_begun_with() {
    let (base, dir) = (base(), tempfile::tempdir().unwrap());
    let config = coded_config(&dir.path().join("index"));
    let mut other_values = base.clone();
    other_values.attributes.as_mut().unwrap().cells[5][3] = Cell::I64(-7);
    let mut none = base.clone();
    none.attributes = None;
    let mut other_residents = base.clone();
    other_residents.attributes.as_mut().unwrap().resident = vec!["bool".into()];
    for at in [3, 12] {
        let begun = BuildConfig { replace: true, ..config.clone() };
        assert!(matches!(build_until(&base, &begun, Moment::Sign(at)).0, Err(BuildError::Stopped)));
        let resumed = BuildConfig { resume: true, ..config.clone() };
        for (other, parameter) in [
            (&other_values, "content of attributes"),
            (&none, "attributes"),
            (&other_residents, "attributes"),
        ] {
            let refused = other.build(&resumed).unwrap_err();
            let named =
                matches!(&refused, BuildError::Resume { parameter: found, .. } if *found == parameter);
            assert!(named, "{parameter}: {refused}");
        }
    }
    // A cell that no glance falls on is found once attributes were gathered, and when the build had been finished.
    let mut close = base.clone();
    close.attributes.as_mut().unwrap().cells[COUNT - 1][3] = Cell::I64(-7);
    let begun = BuildConfig { replace: true, ..config.clone() };
    let resumed = BuildConfig { resume: true, ..config.clone() };
    assert!(matches!(build_until(&base, &begun, Moment::Phase("attributes")).0, Err(BuildError::Stopped)));
    let refused = close.build(&resumed).unwrap_err();
    let named = matches!(refused, BuildError::Resume { parameter: "content of attributes", .. });
    assert!(named, "{refused}");
    base.build(&resumed).unwrap();
    base.build(&resumed).unwrap();
    assert!(matches!(close.build(&resumed).unwrap_err(), BuildError::Exists { .. }));
    // Another uuid: hashes of one are not those of the other.
    let other = BuildConfig { replace: true, ..config.clone() };
    let before = base.build(&other).unwrap().manifest.uuid;
    assert_ne!(close.build(&other).unwrap().manifest.uuid, before);
}

#[test]
fn attributes_of_other_vectors_are_refused() {
    let (mut base, dir) = (base(), tempfile::tempdir().unwrap());
    let config = coded_config(&dir.path().join("index"));
    base.attributes.as_mut().unwrap().resident = vec!["colour".into()];
    let refused = base.build(&config).unwrap_err().to_string();
    assert!(
        refused.starts_with("--resident-attribute is colour, expected one of keyword, tags,"),
        "{refused}"
    );
    base.attributes = Some(CellRows::random(COUNT + 1, 3));
    let refused = base.build(&config).unwrap_err().to_string();
    assert_eq!(refused, "--attributes: number of rows is 3001, expected 3000, one for each vector");
}

#[test]
fn a_calibrated_version_has_the_attributes_of_the_one_before() {
    let (base, dir) = (base(), tempfile::tempdir().unwrap());
    let config = coded_config(&dir.path().join("index"));
    base.build(&config).unwrap();
    let before = Index::open(&config.out).unwrap();
    let again = spandrel_builder::recalibrate(&config.out, &CALIBRATOR, &Silent, &AtomicBool::new(false));
    assert_eq!(again.unwrap().unwrap().manifest.version, 2);
    let after = Index::open(&config.out).unwrap();
    assert_eq!((after.manifest().version, after.schema()), (2, before.schema()));
    assert_eq!(after.schema().attributes().len(), 6);
    verify_index(&config.out, true).unwrap();
}

#[test]
fn a_flipped_byte_of_any_attribute_is_found() {
    let (base, dir) = (base(), tempfile::tempdir().unwrap());
    let config = coded_config(&dir.path().join("index"));
    base.build(&config).unwrap();
    for number in 0..6 {
        let path = config.out.join(format!("attributes.{number}-1"));
        let good = fs::read(&path).unwrap();
        for at in (0..good.len()).step_by(good.len() / 8 + 1).chain([good.len() - 1]) {
            let mut bad = good.clone();
            bad[at] ^= 4;
            fs::write(&path, bad).unwrap();
            for deep in [false, true] {
                let found = verify_index(&config.out, deep);
                let named =
                    matches!(&found, Err(VerifyError::Open(e)) if e.to_string().contains("attributes."));
                assert!(named, "attribute {number}, byte {at}, deep {deep}: {found:?}");
            }
        }
        fs::write(&path, good).unwrap();
    }
    verify_index(&config.out, true).unwrap();
}
