//! Files of attributes and filters, and filters in text and JSON, changed at random by a seed: read or refused.
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spandrel_datasets::{BaseRows, Filters, Watch, open_attributes, read_schema};
use spandrel_filter::{Cell, Filter, Schema};
use spandrel_tests::mutations::{mutated, peak_bytes};

/// What small files may make the process reserve, with the other tests beside.
const RESERVED_MAX: u64 = 16 << 30;
const ROWS: u64 = 40;

/// Whether attributes are read. All that is read must be as the trait promises.
fn reads_attributes(path: &Path, schema: Option<Schema>) -> bool {
    let base = BaseRows { rows: ROWS, ids: None };
    let Ok(source) = open_attributes(path, base, schema, Watch::none()) else { return false };
    let mut next = 0;
    let mut each = |row: u64, cells: &[Cell]| {
        assert!((next..ROWS).contains(&row), "row {row} after {next}");
        next = row + 1;
        assert_eq!(cells.len(), source.schema().attributes().len());
        for (cell, attribute) in cells.iter().zip(source.schema().attributes()) {
            assert!(cell.fits(attribute.kind), "{cell:?} in {attribute:?}");
            if let Cell::F64(number) = cell {
                assert!(number.is_finite());
            }
            if let Cell::Tags(tags) = cell {
                let mut texts: Vec<&str> = tags.iter().collect();
                texts.sort_unstable();
                assert!(!texts.is_empty() && texts.windows(2).all(|pair| pair[0] != pair[1]), "{texts:?}");
            }
        }
        ControlFlow::Continue(())
    };
    source.scan(&mut each).unwrap();
    true
}

/// An npy file of one dimension.
fn npy(descr: &str, rows: u64, data: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({rows},), }}\n");
    let length = (text.len() as u16).to_le_bytes();
    [&b"\x93NUMPY\x01\x00"[..], &length, text.as_bytes(), data].concat()
}

fn matrix() -> Vec<u8> {
    let starts = (0..=ROWS as i64).map(|row| row * 2);
    let words: Vec<u8> =
        [ROWS as i64, 1000, ROWS as i64 * 2].into_iter().chain(starts).flat_map(i64::to_le_bytes).collect();
    let columns: Vec<u8> = (0..ROWS as i32 * 2).flat_map(|entry| (entry * 7 % 1000).to_le_bytes()).collect();
    let values: Vec<u8> = (0..ROWS * 2).flat_map(|_| 1_f32.to_le_bytes()).collect();
    [words, columns, values].concat()
}

fn lines() -> String {
    let line = |row: u64| {
        format!(
            "{{\"id\":{row},\"n\":{row},\"x\":{row}.5,\"s\":\"s{}\",\"t\":[\"a\",\"b{}\"],\"ok\":true,\"at\":\"2024-05-01T12:00:{:02}Z\"}}\n",
            row % 3,
            row % 4,
            row
        )
    };
    (0..ROWS).map(line).collect()
}

#[test]
fn changed_files_of_attributes_and_filters_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("columns")).unwrap();
    let filters = "{\"filter\":{\"n\":{\"$lt\":5},\"t\":{\"$containsAny\":[\"a\",1]}},\"query_id\":0}\n\
                   {\"filter\":\"x between 1 and 2.5 or not s in ['s1', 's2']\"}\n";
    let whole: Vec<u8> = (0..ROWS).flat_map(u64::to_le_bytes).collect();
    let texts: Vec<u8> =
        (0..ROWS as u32).flat_map(|row| [0x61, 0x1F600 + row, 0].map(u32::to_le_bytes).concat()).collect();
    let schema = "{\"n\":\"f64\",\"t\":\"tags\",\"at\":\"timestamp\"}";
    let files: [(&str, Vec<u8>); 7] = [
        ("a.jsonl", lines().into_bytes()),
        ("a.spmat", matrix()),
        ("columns/n.npy", npy("<i8", ROWS, &whole)),
        ("columns/s.npy", npy("<U3", ROWS, &texts)),
        ("schema.json", schema.into()),
        ("q.jsonl", filters.into()),
        ("q.spmat", matrix()),
    ];
    for (name, bytes) in &files {
        fs::write(path(name), bytes).unwrap();
    }
    let reads = |name: &str| match name.split(['.', '/']).next() {
        Some("columns") => reads_attributes(&path("columns"), None),
        Some("schema") => {
            read_schema(path(name)).is_ok_and(|schema| reads_attributes(&path("a.jsonl"), Some(schema)))
        }
        Some("q") => Filters::open(path(name)).is_ok(),
        _ => reads_attributes(&path(name), None),
    };
    let mut rng = ChaCha8Rng::seed_from_u64(21);
    let before = peak_bytes();
    for (name, good) in &files {
        assert!(reads(name), "{name}");
        let (mut read, mut refused) = (0, 0);
        for _ in 0..600 {
            fs::write(path(name), mutated(good, &mut rng)).unwrap();
            if reads(name) { read += 1 } else { refused += 1 }
        }
        assert!(read > 5 && refused > 100, "{name}: {read} read, {refused} refused");
        fs::write(path(name), good).unwrap();
    }
    let reserved = peak_bytes() - before;
    assert!(reserved < RESERVED_MAX, "{reserved} bytes");
}

#[test]
fn changed_filters_are_read_back_or_refused() {
    let texts = [
        "price < 1500 and tags contains \"red\"",
        "not (`a b` between -1 and 2.5e3 or id not in [1, 18446744073709551614]) and \"in\" is not null",
        "t contains all ['x', \"\\u{1F600}\\\\\"] or größe >= 12 and s != 'y' or b = true and c exists",
    ];
    let trees = [
        r#"{"price": {"$lt": 1500}, "tags": {"$contains": "red"}}"#,
        r#"{"$or": [{"a": {"$in": [1, "x", true]}}, {"$not": {"id": {"$nin": [1, 2]}}}], "b": {"$exists": false}}"#,
        r#"{"$and": [{"t": {"$containsAll": ["a", 5]}}, {"x": {"$between": [0.5, 2], "$ne": 1}}], "s": "\u00e9"}"#,
    ];
    let mut rng = ChaCha8Rng::seed_from_u64(22);
    let (mut read, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let at = rng.random_range(0..6);
        let good = texts.iter().chain(&trees).nth(at).unwrap();
        let changed = mutated(good.as_bytes(), &mut rng);
        let changed = String::from_utf8_lossy(&changed);
        let filter = if at < 3 {
            Filter::parse(&changed).map_err(|error| {
                assert!(changed.is_char_boundary(error.offset), "{error}");
                error.to_string()
            })
        } else {
            Filter::from_json(&changed).map_err(|error| error.to_string())
        };
        match filter {
            // A filter in JSON may be of one part, or of an attribute by a name that text cannot tell from the id.
            Ok(filter) if at < 3 => {
                read += 1;
                let text = filter.to_string();
                assert_eq!(Filter::parse(&text).as_ref(), Ok(&filter), "{text}");
            }
            Ok(filter) => {
                read += 1;
                let text = filter.to_string();
                assert!(Filter::parse(&text).is_ok(), "{text}");
            }
            Err(message) => {
                refused += 1;
                assert!(!message.is_empty() && message.len() < 1_000, "{message}");
            }
        }
    }
    assert!(read > 500 && refused > 5_000, "{read} read, {refused} refused");
}
