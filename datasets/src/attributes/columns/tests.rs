use std::fs;

use super::*;

/// An npy file of one dimension.
fn npy(descr: &str, rows: u64, data: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({rows},), }}\n");
    let length = u16::try_from(text.len()).unwrap().to_le_bytes();
    [&b"\x93NUMPY\x01\x00"[..], &length, text.as_bytes(), data].concat()
}

fn big_endian<const N: usize>(words: &[[u8; N]]) -> Vec<u8> {
    words.iter().flat_map(|word| word.iter().rev().copied()).collect()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn of(files: &[(&str, Vec<u8>)]) -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        for (name, bytes) in files {
            fs::write(folder.0.path().join(name), bytes).unwrap();
        }
        folder
    }

    fn open(&self, rows: u64, schema: Option<Schema>) -> Result<NpyColumns, String> {
        let opened = NpyColumns::open(self.0.path(), rows, schema, Watch::none());
        opened.map_err(|error| error.to_string().replace(&self.0.path().display().to_string(), "DIR"))
    }
}

fn scanned(source: &NpyColumns) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    let mut each = |row: u64, cells: &[Cell]| {
        assert_eq!(row, rows.len() as u64);
        rows.push(cells.to_vec());
        ControlFlow::Continue(())
    };
    source.scan(&mut each).unwrap();
    rows
}

/// The values of a single column, or why it is refused.
fn column(descr: &str, rows: u64, data: &[u8]) -> Result<Vec<Cell>, String> {
    let folder = Folder::of(&[("a.npy", npy(descr, rows, data))]);
    let rows = scanned(&folder.open(rows, None)?);
    Ok(rows.into_iter().map(|mut cells| cells.remove(0)).collect())
}

fn utf32(text: &str, chars: usize) -> Vec<u8> {
    let mut codes: Vec<u32> = text.chars().map(u32::from).collect();
    codes.resize(chars, 0);
    codes.into_iter().flat_map(u32::to_le_bytes).collect()
}

#[test]
fn every_element_type_is_read() {
    let words = |words: &[i64]| words.iter().map(|&word| Cell::I64(word)).collect::<Vec<Cell>>();
    let numbers = |numbers: &[f64]| numbers.iter().map(|&number| Cell::F64(number)).collect::<Vec<Cell>>();
    let times = |times: &[i64]| times.iter().map(|&time| Cell::Timestamp(time)).collect::<Vec<Cell>>();
    let texts =
        |texts: &[&str]| texts.iter().map(|&text| Cell::Keyword(text.to_owned())).collect::<Vec<Cell>>();
    assert_eq!(column("|b1", 2, &[0, 1]).unwrap(), [Cell::Bool(false), Cell::Bool(true)]);
    assert_eq!(column("|i1", 2, &[0x80, 127]).unwrap(), words(&[-128, 127]));
    assert_eq!(column("|u1", 2, &[0x80, 255]).unwrap(), words(&[128, 255]));
    assert_eq!(column("<i2", 2, &[-2_i16, 9].map(i16::to_le_bytes).concat()).unwrap(), words(&[-2, 9]));
    assert_eq!(column(">i4", 2, &big_endian(&[-2_i32, 9].map(i32::to_le_bytes))).unwrap(), words(&[-2, 9]));
    assert_eq!(column("<u4", 1, &[0xff; 4]).unwrap(), words(&[u32::MAX.into()]));
    assert_eq!(column("<i8", 1, &i64::MIN.to_le_bytes()).unwrap(), words(&[i64::MIN]));
    assert_eq!(column("<u8", 1, &5_u64.to_le_bytes()).unwrap(), words(&[5]));
    assert_eq!(column("<f2", 1, &f16::from_f32(-0.5).to_le_bytes()).unwrap(), numbers(&[-0.5]));
    assert_eq!(
        column(">f4", 1, &big_endian(&[0.1_f32.to_le_bytes()])).unwrap(),
        numbers(&[f64::from(0.1_f32)])
    );
    assert_eq!(column("<f8", 1, &1e300_f64.to_le_bytes()).unwrap(), numbers(&[1e300]));
    let text = [utf32("né", 4), utf32("", 4), utf32("abcd", 4)].concat();
    assert_eq!(column("<U4", 3, &text).unwrap(), texts(&["né", "", "abcd"]));
    let swapped: Vec<u8> = text.chunks(4).flat_map(|code| code.iter().rev().copied()).collect();
    assert_eq!(column(">U4", 3, &swapped).unwrap(), texts(&["né", "", "abcd"]));
    assert_eq!(column("|S3", 2, "né\0\0\0".as_bytes()).unwrap(), texts(&["né", ""]));
    let counts = [0, -1, i64::MIN].map(i64::to_le_bytes).concat();
    for (unit, micros) in [("D", 86_400_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)] {
        let mut expected = times(&[0, -micros]);
        expected.push(Cell::Null);
        assert_eq!(column(&format!("<M8[{unit}]"), 3, &counts).unwrap(), expected, "{unit}");
    }
    assert_eq!(column("<M8[ns]", 1, &7_000_i64.to_le_bytes()).unwrap(), times(&[7]));
}

#[test]
fn a_schema_chooses_files_and_types() {
    let whole = npy("<i8", 2, &[5_i64, -6].map(i64::to_le_bytes).concat());
    let text = npy("|S20", 2, b"1970-01-01T00:00:01Z1970-01-01T00:00:00Z");
    let folder =
        Folder::of(&[("n.npy", whole.clone()), ("b.npy", whole), ("s.npy", text), ("README", vec![])]);
    let names =
        |source: &NpyColumns| source.schema().attributes().iter().map(|a| a.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&folder.open(2, None).unwrap()), ["b", "n", "s"]);
    let schema = |attributes: &[(&str, AttributeType)]| {
        let attribute = |&(name, kind): &(&str, AttributeType)| Attribute { name: name.to_owned(), kind };
        Some(Schema::new(attributes.iter().map(attribute).collect()).unwrap())
    };
    let chosen = schema(&[
        ("s", AttributeType::Timestamp),
        ("n", AttributeType::F64),
        ("b", AttributeType::Timestamp),
    ]);
    let source = folder.open(2, chosen).unwrap();
    use Cell::{F64, Timestamp};
    let expected = [[Timestamp(1_000_000), F64(5.0), Timestamp(5)], [Timestamp(0), F64(-6.0), Timestamp(-6)]];
    assert_eq!(scanned(&source), expected.map(Vec::from));
    let message = folder.open(2, schema(&[("n", AttributeType::Keyword)])).unwrap_err();
    assert_eq!(message, "DIR/n.npy: the schema says keyword, the file holds integers");
    assert!(folder.open(2, schema(&[("gone", AttributeType::I64)])).unwrap_err().contains("DIR/gone.npy"));
}

#[test]
fn bad_columns_are_refused() {
    assert_eq!(
        column("<f8", 2, &[1.0, f64::NAN].map(f64::to_le_bytes).concat()).unwrap_err(),
        "DIR/a.npy: row 1: `a` is NaN, expected a finite number; JSON lines can leave a value out"
    );
    assert!(
        column("<f4", 1, &f32::INFINITY.to_le_bytes()).unwrap_err().contains("row 0: `a` is inf, expected")
    );
    let wide = column("<u8", 1, &[0xff; 8]).unwrap_err();
    assert_eq!(wide, "DIR/a.npy: row 0: `a` is i64, found 18446744073709551615");
    assert_eq!(
        column("<U1", 1, &0xd800_u32.to_le_bytes()).unwrap_err(),
        "DIR/a.npy: row 0: `a` holds bytes that are no text"
    );
    assert_eq!(column("|S1", 1, &[0xff]).unwrap_err(), "DIR/a.npy: row 0: `a` holds bytes that are no text");
    let long = column("|S5000", 1, &[b'x'; 5000]).unwrap_err();
    assert!(
        long.starts_with("DIR/a.npy: row 0: `a` has a value of 5000 bytes, expected at most 4096"),
        "{long}"
    );
    let fine = column("<M8[ns]", 1, &1_i64.to_le_bytes()).unwrap_err();
    assert_eq!(
        fine,
        "DIR/a.npy: row 0: `a` is 1 x 1 ns, which is no whole number of microseconds in 64 bits"
    );
    assert!(
        column("<M8[D]", 1, &i64::MAX.to_le_bytes()).unwrap_err().contains("no whole number of microseconds")
    );
    for descr in [
        "|O",
        "<c16",
        "<V8",
        "<M8",
        "<M8[Y]",
        "<M8[25s]",
        "<m8[s]",
        "<i3",
        "<U0",
        "<U99999999999999999999",
        "b",
        "",
    ] {
        let message = column(descr, 1, &[0; 8]).unwrap_err();
        assert!(
            message.contains("npy element type at offset 0: expected a bool, integers,"),
            "{descr}: {message}"
        );
    }
}

#[test]
fn files_of_another_size_are_refused() {
    let open = |bytes: Vec<u8>| Folder::of(&[("a.npy", bytes)]).open(2, None).unwrap_err();
    let good = npy("<i8", 2, &[0; 16]);
    assert!(open(good[..good.len() - 1].to_vec()).contains("file is truncated"));
    assert!(open([&good[..], &[0]].concat()).contains("file is oversized"));
    assert!(open(npy("<i8", u64::MAX, &[0; 16])).contains("file is truncated"));
    assert!(open(good[..9].to_vec()).contains("a file of at least 12 bytes"));
    assert!(open(good[..30].to_vec()).contains("a file of at least"));
    assert_eq!(open(npy("<i8", 3, &[0; 24])), "DIR/a.npy: attributes of 3 rows, there are 2 vectors");
    let square = String::from_utf8_lossy(&good).replace("(2,)", "(2,1)").into_bytes();
    assert!(Folder::of(&[("a.npy", square)]).open(2, None).is_err());
    assert_eq!(
        Folder::of(&[("a.txt", vec![])]).open(2, None).unwrap_err(),
        "DIR: no .npy file, of which each is a column"
    );
    let message = Folder::of(&[("id.npy", good)]).open(2, None).unwrap_err();
    assert_eq!(message, "DIR: an attribute is called `id`, which is the name of the row's id: rename it");
}
