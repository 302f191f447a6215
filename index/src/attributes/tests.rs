mod filters;
mod parted;

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use fs_err as fs;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spandrel_filter::{Attribute, AttributeType, Bound, Cell, Comparison, Filter, Row, TagMode, Value};
use spandrel_io::FileWriter;

use self::filters::limits;
use super::testing::TestAttribute;
use super::*;
use crate::format::{BODY_AT, ID_PAGE_BYTES, OpenError, SectionKind, attribute_name, section_name};
use crate::segment_matches::PositionsView;
use crate::testing::TestIndex;
use crate::{DType, Index, Location, Metric, VerifyError, VerifyReport, verify};

const COUNT: usize = 6000;

/// The cells of an attribute, a tenth of them null.
fn cells(kind: AttributeType, rng: &mut ChaCha8Rng) -> Vec<Cell> {
    // Few of many, many of few.
    let skewed = |rng: &mut ChaCha8Rng| (300.0 * rng.random::<f64>().powi(6)) as i64;
    let one = |rng: &mut ChaCha8Rng| match kind {
        _ if rng.random_bool(0.1) => Cell::Null,
        AttributeType::Keyword => Cell::Keyword(format!("value {}", skewed(rng))),
        AttributeType::Tags => {
            let mut tags: Vec<i64> = (0..rng.random_range(1..8)).map(|_| skewed(rng)).collect();
            tags.sort_unstable();
            tags.dedup();
            Cell::Tags(tags.into_iter().collect())
        }
        AttributeType::Bool => Cell::Bool(rng.random_bool(0.3)),
        AttributeType::I64 => Cell::I64(skewed(rng) - 20),
        AttributeType::F64 => Cell::F64(rng.random_range(-1.0..1.0)),
        AttributeType::Timestamp => Cell::Timestamp(1_700_000_000_000_000 + skewed(rng) * 86_400_000_000),
    };
    (0..COUNT).map(|_| one(rng)).collect()
}

fn attributes(resident: bool) -> Vec<TestAttribute> {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    AttributeType::ALL
        .into_iter()
        .map(|kind| {
            let attribute = Attribute { name: kind.name().into(), kind };
            TestAttribute { attribute, cells: cells(kind, &mut rng), resident }
        })
        .collect()
}

fn write(dir: &Path, attributes: Vec<TestAttribute>) -> TestIndex {
    let made = TestIndex { attributes, ..TestIndex::random(Metric::L2, DType::U8, 8, COUNT) };
    made.write(dir);
    made
}

/// The row of each position, by the ids of its vectors.
fn rows_by_position(made: &TestIndex, index: &Index) -> Vec<usize> {
    let mut sorted: Vec<(u64, usize)> = made.ids.iter().copied().zip(0..).collect();
    sorted.sort_unstable();
    let ids: Vec<u64> = sorted.iter().map(|&(id, _)| id).collect();
    let segment = &index.segments()[0];
    let finder = crate::IdFinder::open(segment.ids.blob.clone(), segment.ids.layout, segment.count).unwrap();
    let mut rows = vec![usize::MAX; COUNT];
    let mut of_id = sorted.iter();
    finder
        .find::<OpenError>(
            &ids,
            || Ok(()),
            |id, position| {
                let &(expected, row) = of_id.next().unwrap();
                assert_eq!(id, expected);
                rows[position.unwrap() as usize] = row;
                Ok(())
            },
        )
        .unwrap();
    rows
}

fn deep(dir: &Path) -> Result<VerifyReport, VerifyError> {
    verify(dir, true, &mut |_| {}, &AtomicBool::new(false))
}

#[test]
fn cells_come_back_by_position() {
    for resident in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let made = write(dir.path(), attributes(resident));
        let index = Index::open(dir.path()).unwrap();
        assert_eq!(index.schema().attributes().len(), 6);
        let rows = rows_by_position(&made, &index);
        for (number, attribute) in made.attributes.iter().enumerate() {
            let stored = index.segments()[0].attribute(number).unwrap();
            assert_eq!((stored.is_resident(), stored.memory_bytes() > 0), (resident, true));
            let nulls = attribute.cells.iter().filter(|cell| **cell == Cell::Null).count();
            assert_eq!(stored.null_count(), nulls as u64);
            for (position, &row) in rows.iter().enumerate().step_by(7) {
                let (mut found, expected) = (stored.cell(position as u32).unwrap(), &attribute.cells[row]);
                let mut expected = expected.clone();
                // Tags come back in the order of their bytes.
                for cell in [&mut found, &mut expected] {
                    if let Cell::Tags(tags) = cell {
                        let mut sorted: Vec<String> = tags.iter().map(str::to_owned).collect();
                        sorted.sort_unstable();
                        *tags = sorted.into_iter().collect();
                    }
                }
                assert_eq!(found, expected, "{} of row {row}", attribute.attribute.name);
            }
            let most = stored.most_frequent(3);
            assert!(most.is_sorted_by(|a, b| a.positions >= b.positions));
            for ValueCount { value, positions } in most {
                let has = |cell: &&Cell| cell.texts().any(|text| text == value);
                assert_eq!(attribute.cells.iter().filter(has).count(), positions as usize, "{value}");
            }
        }
        // Codes of exact lists are on SSD: these are all that is there besides heads and directory.
        assert!(index.memory().attributes > 0);
    }
}

#[test]
fn postings_take_at_most_three_bytes_a_tag() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), attributes(false));
    let index = Index::open(dir.path()).unwrap();
    let tags = index.segments()[0].attribute(1).unwrap();
    assert!(tags.values() > 250 && tags.pairs() > 12_000, "{tags:?}");
    let bytes = tags.posting_bytes() as f64 / tags.pairs() as f64;
    assert!(bytes <= 3.0, "{bytes}");
}

#[test]
fn every_flipped_byte_is_found_and_a_whole_section_is_good() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), attributes(false));
    let report = deep(dir.path()).unwrap();
    assert!(report.hashes > 6 * 4 + 24, "{report:?}");
    for number in 0..6 {
        let path = dir.path().join(attribute_name(number, 1));
        let good = fs::read(&path).unwrap();
        let body = BODY_AT as usize..good.len();
        let header = [0, 9, 12, 30, 63, 64, 4095];
        for at in header.into_iter().chain(body.clone().step_by(body.len() / 60 + 1)).chain([good.len() - 1])
        {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            let found = verify(dir.path(), false, &mut |_| {}, &AtomicBool::new(false));
            assert!(matches!(found, Err(VerifyError::Open(_))), "attribute {number}, byte {at}: {found:?}");
            // What is read of it is never taken for good.
            if let Ok(index) = Index::open(dir.path()) {
                let stored = index.segments()[0].attribute(usize::from(number)).unwrap();
                let refused = check::<OpenError>(stored, &mut || Ok(()));
                assert!(
                    matches!(refused, Err(OpenError::Checksum { .. })),
                    "attribute {number}, byte {at}: {refused:?}"
                );
            }
        }
        fs::write(&path, &good).unwrap();
    }
    // Sections that changed places: of one uuid and length of values.
    let paths = [0, 1].map(|number| dir.path().join(attribute_name(number, 1)));
    let bytes = paths.each_ref().map(|path| fs::read(path).unwrap());
    fs::write(&paths[0], &bytes[1]).unwrap();
    fs::write(&paths[1], &bytes[0]).unwrap();
    assert!(Index::open(dir.path()).is_err());
}

/// Writes over the body of attribute 0, whose sums hold: only its content can be wrong.
fn write_over(dir: &Path, made: &TestIndex, write: impl FnOnce(AttributeSpec, FileWriter) -> FileWriter) {
    let index = Index::open(dir).unwrap();
    let spec = index.segments()[0].attribute(0).unwrap().spec;
    assert_eq!(spec.kind, made.attributes[0].attribute.kind);
    let path = dir.join(attribute_name(0, 1));
    let other = dir.join("other");
    write(spec, FileWriter::create(&other).unwrap()).finish().unwrap();
    let (mut bytes, body) = (fs::read(&path).unwrap(), fs::read(&other).unwrap());
    assert_eq!(bytes.len(), BODY_AT as usize + body.len(), "the length would tell");
    bytes[BODY_AT as usize..].copy_from_slice(&body);
    fs::write(&path, bytes).unwrap();
}

fn refused(dir: &Path) -> String {
    let index = Index::open(dir).unwrap();
    let found = check::<OpenError>(index.segments()[0].attribute(0).unwrap(), &mut || Ok(()));
    match found {
        Err(OpenError::Field { field, .. }) => field,
        other => panic!("{other:?}"),
    }
}

#[test]
fn postings_and_forward_array_that_disagree_are_found_under_good_sums() {
    let dir = tempfile::tempdir().unwrap();
    let word = |row: usize| Cell::Keyword(["a", "b"][row % 2].into());
    let attribute = Attribute { name: "word".into(), kind: AttributeType::Keyword };
    let cells = (0..COUNT).map(word).collect();
    let made = write(dir.path(), vec![TestAttribute { attribute, cells, resident: false }]);
    let index = Index::open(dir.path()).unwrap();
    let rows = rows_by_position(&made, &index);
    drop(index);
    // Two positions have each other's value in the forward array alone.
    let first = |value: usize| rows.iter().position(|row| row % 2 == value).unwrap();
    let swapped = [first(0), first(1)];
    write_over(dir.path(), &made, |spec, file| {
        let (mut writer, mut entries) = (PostingWriter::new(file, spec), Vec::new());
        for (value, name) in ["a", "b"].into_iter().enumerate() {
            let has = |position: &u32| rows[*position as usize] % 2 == value;
            let positions = (0..COUNT as u32).filter(has).collect();
            writer.write(name, &positions, &mut entries).unwrap();
        }
        let mut writer = writer.finish();
        for (position, row) in rows.iter().enumerate() {
            let is_swapped = usize::from(swapped.contains(&position));
            writer.write(&[((row + is_swapped) % 2) as u32]).unwrap();
        }
        let mut writer = writer.finish().unwrap();
        writer.append(&entries).unwrap();
        writer.finish().unwrap()
    });
    assert_eq!(refused(dir.path()), "forward array");
}

#[test]
fn an_id_without_a_position_of_its_own_is_refused() {
    type Change = fn(&mut [(u64, u32)]);
    let changes: [(Change, &str); 2] = [
        (|pairs| pairs[0].1 = COUNT as u32, "position of id FIRST"),
        (|pairs| pairs[0].1 = pairs[1].1, "positions of ids"),
    ];
    for (change, refused) in changes {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), Vec::new());
        let pages = Index::open(dir.path()).unwrap().segments()[0].ids.layout;
        let path = dir.path().join(section_name(SectionKind::Ids, 1));
        let mut bytes = fs::read(&path).unwrap();
        let page = BODY_AT as usize..BODY_AT as usize + ID_PAGE_BYTES;
        let mut pairs = pages.read_page(0, &bytes[page.clone()], pages.page_entries()).unwrap();
        change(&mut pairs);
        bytes[page].copy_from_slice(&pages.page(0, &pairs));
        fs::write(&path, bytes).unwrap();
        let index = Index::open(dir.path()).unwrap();
        let stop = AtomicBool::new(false);
        match compile(&index, &Bound::Ids(vec![pairs[0].0, pairs[1].0]), limits(&stop)) {
            Err(CompileError::Open(OpenError::Field { field, .. })) => {
                assert_eq!(field, refused.replace("FIRST", &pairs[0].0.to_string()));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn postings_of_values_in_any_order_are_read() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), attributes(false));
    let index = Index::open(dir.path()).unwrap();
    let stored = index.segments()[0].attribute(index.schema().find("keyword").unwrap()).unwrap();
    let mut values: Vec<_> = (0..300).filter_map(|i| stored.find(&format!("value {i}"))).collect();
    values.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
    let mut found = 0;
    let counted = stored.postings::<OpenError>(&values, |positions| {
        found += match positions {
            PositionsView::Sorted(sorted) => sorted.len() as u32,
            PositionsView::Words(words) => words.iter().map(|word| word.count_ones()).sum::<u32>(),
        };
        Ok(())
    });
    counted.unwrap();
    let expected: u32 = values.iter().map(|(_, held)| held.cardinality).sum();
    assert!(found == expected && found > 4000, "{found} of {expected}");
}

#[test]
fn numbers_are_looked_up_only_where_something_is_left() {
    // All numbers of a frame but the first frame's are one: nothing of these is read.
    let dir = tempfile::tempdir().unwrap();
    let cells = (0..COUNT as i64).map(Cell::I64).collect();
    let attribute = Attribute { name: "row".into(), kind: AttributeType::I64 };
    let made = write(dir.path(), vec![TestAttribute { attribute, cells, resident: false }]);
    let index = Index::open(dir.path()).unwrap();
    let rows = rows_by_position(&made, &index);
    let stored = index.segments()[0].attribute(0).unwrap();
    let range = [spandrel_filter::KeyRange {
        first: spandrel_filter::order::key_of_i64(100),
        last: spandrel_filter::order::key_of_i64(200),
    }];
    let mut reads = 0;
    let found = |within: Option<PositionsView<'_>>, reads: &mut u32| {
        let found = stored.in_ranges::<OpenError>(&range, within, &mut || {
            *reads += 1;
            Ok(())
        });
        found.unwrap().into_matches(COUNT as u64).within(0..u32::MAX).collect::<Vec<u32>>()
    };
    let whole = found(None, &mut reads);
    let expected: Vec<u32> =
        (0..COUNT as u32).filter(|&at| (100..=200).contains(&rows[at as usize])).collect();
    assert_eq!((&whole, reads), (&expected, 1));
    // Sums were checked then, and frames are kept.
    reads = 0;
    assert_eq!((found(None, &mut reads), reads), (expected.clone(), 0));
    assert!(found(Some(PositionsView::Sorted(&[])), &mut reads).is_empty());
    let within: Vec<u32> = expected.iter().copied().step_by(2).chain([COUNT as u32 - 1]).collect();
    let some: Vec<u32> = expected.iter().copied().step_by(2).collect();
    assert_eq!(found(Some(PositionsView::Sorted(&within)), &mut reads), some);
    let mut words = vec![0; COUNT.div_ceil(64)];
    words[expected[0] as usize / 64] = u64::MAX;
    let there = found(Some(PositionsView::Words(&words)), &mut reads);
    assert!(there.contains(&expected[0]) && there.iter().all(|at| at / 1024 == expected[0] / 1024));
}
