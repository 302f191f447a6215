use std::fs;

use super::*;

/// A matrix as scipy's `csr_matrix` lies in the file.
struct Csr {
    counts: [i64; 3],
    starts: Vec<i64>,
    columns: Vec<i32>,
    values: Vec<f32>,
}

impl Csr {
    fn good() -> Csr {
        Csr {
            counts: [4, 9, 5],
            starts: vec![0, 2, 2, 4, 5],
            columns: vec![8, 3, 7, 7, 1],
            values: vec![1.0, 0.5, 1.0, 2.0, 0.0],
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let words = self.counts.iter().chain(&self.starts).flat_map(|word| word.to_le_bytes());
        let columns = self.columns.iter().flat_map(|column| column.to_le_bytes());
        let values = self.values.iter().flat_map(|value| value.to_le_bytes());
        words.chain(columns).chain(values).collect()
    }
}

fn open_bytes(bytes: &[u8], rows: u64, schema: Option<Schema>) -> Result<TagMatrix, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.spmat");
    fs::write(&path, bytes).unwrap();
    let opened = TagMatrix::open(&path, rows, schema, Watch::none());
    opened.map_err(|error| error.to_string().split_once("a.spmat: ").unwrap().1.to_owned())
}

fn refused(change: impl FnOnce(&mut Csr)) -> String {
    let mut csr = Csr::good();
    change(&mut csr);
    open_bytes(&csr.bytes(), 4, None).unwrap_err()
}

fn scanned(source: &TagMatrix) -> Vec<(u64, Vec<String>)> {
    let mut rows = Vec::new();
    let mut each = |row, cells: &[Cell]| {
        let [Cell::Tags(tags)] = cells else { panic!("{cells:?}") };
        rows.push((row, tags.iter().map(str::to_owned).collect()));
        ControlFlow::Continue(())
    };
    source.scan(&mut each).unwrap();
    rows
}

#[test]
fn every_column_is_a_tag() {
    let source = open_bytes(&Csr::good().bytes(), 4, None).unwrap();
    let text = |tags: &[&str]| tags.iter().map(|&tag| tag.to_owned()).collect::<Vec<String>>();
    // Sorted, each once; an entry of value 0 is none, and rows without a tag are left out.
    assert_eq!(scanned(&source), [(0, text(&["3", "8"])), (2, text(&["7"]))]);
    assert_eq!(source.schema().attributes()[0].name, "tags");
    let named = |kind| Schema::new(vec![Attribute { name: "words".to_owned(), kind }]).unwrap();
    let source = open_bytes(&Csr::good().bytes(), 4, Some(named(AttributeType::Tags))).unwrap();
    assert_eq!(source.schema().attributes()[0].name, "words");
    let message = open_bytes(&Csr::good().bytes(), 4, Some(named(AttributeType::Keyword))).unwrap_err();
    assert_eq!(message, "every column of a matrix is a tag, so its schema has one attribute, of type tags");
}

#[test]
fn many_rows_are_read_in_parts() {
    let rows = 10_000_i64;
    let of_row = |row: i64| row % 90;
    let starts: Vec<i64> = std::iter::once(0)
        .chain((0..rows).scan(0, |end, row| {
            *end += of_row(row);
            Some(*end)
        }))
        .collect();
    let columns: Vec<i32> = (0..rows)
        .flat_map(|row| (0..of_row(row) as i32).rev().map(move |n| n * 1000 + (row % 1000) as i32))
        .collect();
    let csr = Csr {
        counts: [rows, 90_000, columns.len() as i64],
        starts,
        values: vec![1.0; columns.len()],
        columns,
    };
    let source = open_bytes(&csr.bytes(), rows as u64, None).unwrap();
    let found = scanned(&source);
    let expected = (0..rows).filter(|&row| of_row(row) > 0).map(|row| {
        let tags = (0..of_row(row)).map(|n| (n * 1000 + row % 1000).to_string()).collect();
        (row as u64, tags)
    });
    assert!(found.into_iter().eq(expected));
}

#[test]
fn a_damaged_matrix_is_refused() {
    let good = Csr::good().bytes();
    assert_eq!(
        open_bytes(&good[..20], 4, None).unwrap_err(),
        "20 bytes, of which the three counts of the header take 24"
    );
    assert_eq!(
        open_bytes(&good[..100], 4, None).unwrap_err(),
        "the header counts 4 rows, 9 columns and 5 entries, which take 104 bytes; the file has 100"
    );
    let longer = [&good[..], &[0]].concat();
    assert!(open_bytes(&longer, 4, None).unwrap_err().ends_with("which take 104 bytes; the file has 105"));
    assert_eq!(
        open_bytes(&[], 4, None).unwrap_err(),
        "0 bytes, of which the three counts of the header take 24"
    );
    assert_eq!(open_bytes(&good, 5, None).unwrap_err(), "attributes of 4 rows, there are 5 vectors");
    assert_eq!(refused(|csr| csr.counts[0] = -1), "rows at offset 0: expected 0..=1099511627776, found -1");
    assert_eq!(
        refused(|csr| csr.counts[1] = i64::MAX),
        "columns at offset 8: expected 0..=2147483648, found 9223372036854775807"
    );
    assert_eq!(
        refused(|csr| csr.counts[2] = i64::MIN),
        "entries at offset 16: expected 0..=281474976710656, found -9223372036854775808"
    );
    assert!(
        refused(|csr| csr.counts[2] = 1 << 40)
            .ends_with("and 1099511627776 entries, which take 8796093022272 bytes; the file has 104")
    );
    assert_eq!(refused(|csr| csr.starts[0] = 1), "row 0: its entries begin at 1, expected 0..=5");
    assert_eq!(refused(|csr| csr.starts[2] = 1), "row 2: its entries begin at 1, expected 2..=5");
    assert_eq!(refused(|csr| csr.starts[1] = -1), "row 1: its entries begin at -1, expected 0..=5");
    assert_eq!(refused(|csr| csr.starts[3] = 6), "row 3: its entries begin at 6, expected 2..=5");
    assert_eq!(refused(|csr| csr.starts[4] = 4), "row 4: its entries begin at 4, expected 5..=5");
    assert_eq!(refused(|csr| csr.columns[2] = 9), "row 2: an entry in column 9, there are 9");
    assert_eq!(refused(|csr| csr.columns[0] = -1), "row 0: an entry in column -1, there are 9");
    let entries = TAGS_MAX + 1;
    let many = Csr {
        counts: [1, 10, entries as i64],
        starts: vec![0, entries as i64],
        columns: vec![1; entries],
        values: vec![1.0; entries],
    };
    assert_eq!(
        open_bytes(&many.bytes(), 1, None).unwrap_err(),
        "row 0: `tags` has 65537 tags, expected at most 65536"
    );
}
