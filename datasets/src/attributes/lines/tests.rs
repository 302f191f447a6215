use std::fs;

use spandrel_filter::{AttributeType, Tags, VALUE_BYTES_MAX};

use super::*;
use crate::attributes::read_schema;
use crate::file::IdFile;

/// Rows and cells that a scan gives.
type Scanned = Vec<(u64, Vec<Cell>)>;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn open(
        &self,
        text: impl AsRef<[u8]>,
        rows: u64,
        schema: Option<Schema>,
    ) -> Result<JsonLines<'static>, String> {
        let path = self.write("a.jsonl", text);
        let opened = JsonLines::open(path, BaseRows { rows, ids: None }, schema, Watch::none());
        opened.map_err(|error| error.to_string().split_once("a.jsonl: ").unwrap().1.to_owned())
    }

    fn schema(&self, text: &str) -> Schema {
        read_schema(self.write("schema.json", text)).unwrap()
    }
}

fn scanned(source: &dyn AttributeSource) -> Scanned {
    let mut rows = Vec::new();
    let mut each = |row, cells: &[Cell]| {
        rows.push((row, cells.to_vec()));
        ControlFlow::Continue(())
    };
    source.scan(&mut each).unwrap();
    rows
}

fn kinds(source: &dyn AttributeSource) -> Vec<(&str, AttributeType)> {
    source.schema().attributes().iter().map(|a| (a.name.as_str(), a.kind)).collect()
}

fn tags(tags: &[&str]) -> Cell {
    Cell::Tags(tags.iter().collect::<Tags>())
}

#[test]
fn types_are_learned_and_values_read() {
    let folder = Folder::new();
    let text = concat!(
        r#"{"id": 1, "n": 3, "x": 1, "ok": true, "at": "1970-01-01T00:00:01Z", "s": "1970-01-01T00:00:01Z"}"#,
        "\r\n\n",
        r#"{"x": 0.5, "id": 3, "tags": ["b", 7, "a", "b"], "n": null, "late": "é", "s": "x"}"#,
        "\n",
        r#"{"id": 4, "tags": [], "x": -0.0, "never": null, "n": -9223372036854775808}"#,
    );
    let source = folder.open(text, 6, None).unwrap();
    let expected = [
        ("n", AttributeType::I64),
        ("x", AttributeType::F64),
        ("ok", AttributeType::Bool),
        ("at", AttributeType::Timestamp),
        ("s", AttributeType::Keyword),
        ("tags", AttributeType::Tags),
        ("late", AttributeType::Keyword),
        ("never", AttributeType::Keyword),
    ];
    assert_eq!(kinds(&source), expected);
    assert_eq!((source.len(), source.is_empty()), (6, false));
    let text = |text: &str| Cell::Keyword(text.to_owned());
    use Cell::{Bool, F64, I64, Null, Timestamp};
    let rows = scanned(&source);
    let first = vec![
        I64(3),
        F64(1.0),
        Bool(true),
        Timestamp(1_000_000),
        text("1970-01-01T00:00:01Z"),
        Null,
        Null,
        Null,
    ];
    assert_eq!(rows[0], (1, first));
    assert_eq!(
        rows[1],
        (3, vec![Null, F64(0.5), Null, Null, text("x"), tags(&["7", "a", "b"]), text("é"), Null])
    );
    assert_eq!(rows[2], (4, vec![I64(i64::MIN), F64(0.0), Null, Null, Null, Null, Null, Null]));
    let Cell::F64(zero) = rows[2].1[1] else { panic!("{rows:?}") };
    assert!(zero.is_sign_positive());
    assert_eq!(rows.len(), 3);
}

#[test]
fn a_scan_ends_where_it_is_told_to() {
    let folder = Folder::new();
    let source = folder.open("{\"id\":0,\"n\":1}\n{\"id\":1,\"n\":2}\n", 2, None).unwrap();
    let mut rows = 0;
    let mut each = |_, _: &[Cell]| {
        rows += 1;
        ControlFlow::Break(())
    };
    source.scan(&mut each).unwrap();
    assert_eq!(rows, 1);
}

#[test]
fn a_given_schema_chooses_and_types() {
    let folder = Folder::new();
    let schema = || folder.schema(r#"{"x": "f64", "at": "timestamp", "s": "keyword"}"#);
    let text = r#"{"id":0,"s":"1970-01-01T00:00:01Z","x":2,"at":5,"other":{"deep":1}}"#;
    let source = folder.open(text, 1, Some(schema())).unwrap();
    let expected = vec![Cell::F64(2.0), Cell::Timestamp(5), Cell::Keyword("1970-01-01T00:00:01Z".to_owned())];
    assert_eq!(scanned(&source), [(0, expected)]);
    let refused = |text: &str| folder.open(text, 1, Some(schema())).unwrap_err();
    assert_eq!(refused(r#"{"id":0,"s":1}"#), "line 1: `s` is keyword, found a whole number");
    assert_eq!(refused(r#"{"id":0,"x":"1"}"#), "line 1: `x` is f64, found text");
    assert_eq!(
        refused(r#"{"id":0,"at":9223372036854775808}"#),
        "line 1: `at` is timestamp, found 9223372036854775808"
    );
    assert!(
        refused(r#"{"id":0,"at":"noon"}"#).starts_with("line 1: `at` is timestamp: \"noon\" is no timestamp")
    );
    assert_eq!(
        refused(r#"{"id":0,"s":"x","at":null}"#),
        "at its end: no line has the attribute `x` of the schema"
    );
}

#[test]
fn bad_lines_are_refused_with_their_number() {
    let folder = Folder::new();
    let refused = |text: &str| folder.open(text, 3, None).unwrap_err();
    let after = |text: &str| refused(&format!("{{\"id\":0,\"n\":1}}\n{text}"));
    assert_eq!(after("{\"id\":1"), "line 2: column 7: EOF while parsing an object");
    assert_eq!(after("{\"id\":1} x"), "line 2: column 10: trailing characters");
    assert_eq!(
        after("[1]"),
        "line 2: expected an object such as {\"id\": 0, \"price\": 12.5}, found an array"
    );
    assert_eq!(after("{\"n\":1}"), "line 2: no `id`, which says of which vector the line is");
    for (id, found) in [
        ("-1", "-1"),
        ("18446744073709551615", "18446744073709551615"),
        ("\"1\"", "text"),
        ("1.0", "a number"),
    ] {
        let expected =
            format!("line 2: `id` is {found}, expected a whole number from 0 to 18446744073709551614");
        assert_eq!(after(&format!("{{\"id\":{id}}}")), expected);
    }
    assert_eq!(after("{\"id\":3}"), "line 2: id 3 belongs to none of the 3 vectors");
    let order = "lines stand in the order of the vectors, one for each at most";
    assert_eq!(after("{\"id\":0}"), format!("line 2: id 0 after id 0: {order}"));
    assert_eq!(refused("{\"id\":2}\n{\"id\":1}"), format!("line 2: id 1 after id 2: {order}"));
    assert_eq!(after("{\"id\":1,\"n\":2,\"n\":3}"), "line 2: column 20: the key \"n\" comes twice");
    assert_eq!(after("{\"id\":1,\"id\":1}"), "line 2: column 15: the key \"id\" comes twice");
    assert_eq!(
        after("\n{\"id\":1,\"n\":\"x\"}"),
        "line 3: `n` is text here and a number in line 1: name its type in a schema, or make all alike"
    );
    assert_eq!(
        after("{\"id\":1,\"o\":{}}"),
        "line 2: `o` is an object, expected a bool, a number, text, an array of tags or null"
    );
    assert_eq!(
        after("{\"id\":1,\"t\":[1.5]}"),
        "line 2: `t` has a number among its tags, expected text or whole numbers"
    );
    assert_eq!(
        after("{\"id\":1,\"t\":[null]}"),
        "line 2: `t` has null among its tags, expected text or whole numbers"
    );
    assert!(after("{\"id\":1,\"n\":1e999}").starts_with("line 2: column"), "out of range");
    assert!(after("{\"id\":1,\"n\":NaN}").starts_with("line 2: column"), "no JSON");
    assert_eq!(refused("\n \n"), "at its end: no attribute in any line");
    assert_eq!(refused("{\"id\":0}"), "at its end: no attribute in any line");
    assert_eq!(
        folder.open(b"{\"id\":0,\"n\":\"\xff\"}", 3, None).unwrap_err(),
        "line 1: byte 13 is no UTF-8"
    );
    assert_eq!(
        refused("{\"id\":0,\"a\\u0001\":1}"),
        "at its end: the attribute's name \"a\\u{1}\" holds a control character"
    );
}

#[test]
fn large_values_and_many_attributes_are_refused() {
    let folder = Folder::new();
    let refused = |text: String| folder.open(text, 3, None).unwrap_err();
    let long = |bytes: usize| "x".repeat(bytes);
    let limit = "expected at most 4096: leave out what no filter asks for";
    assert!(folder.open(format!("{{\"id\":0,\"s\":\"{}\"}}", long(VALUE_BYTES_MAX)), 3, None).is_ok());
    let message = refused(format!("{{\"id\":0,\"s\":\"{}\"}}", long(VALUE_BYTES_MAX + 1)));
    assert_eq!(message, format!("line 1: `s` has a value of 4097 bytes, {limit}"));
    let message = refused(format!("{{\"id\":0,\"s\":\"{}\"}}", long(3 << 20)));
    assert_eq!(message, format!("line 1: `s` has a value of 3145728 bytes, {limit}"));
    let message = refused(format!("{{\"id\":0,\"t\":[\"a\",\"{}\"]}}", long(VALUE_BYTES_MAX + 1)));
    assert_eq!(message, format!("line 1: `t` has a value of 4097 bytes, {limit}"));
    let message = refused(format!("{{\"id\":0,\"t\":[{}1]}}", "1,".repeat(65_536)));
    assert_eq!(message, "line 1: `t` has 65537 tags, expected at most 65536");
    assert_eq!(refused(long(LINE_BYTES_MAX + 2)), "line 1: more than 16777216 bytes");
    let keys: String = (0..=1000).map(|n| format!(",\"k{n}\":null")).collect();
    assert_eq!(refused(format!("{{\"id\":0{keys}}}")), "line 1: more than 1000 attributes");
}

#[test]
fn lines_follow_the_ids_of_the_vectors() {
    let folder = Folder::new();
    // More than are read at once, in no order.
    let ids: Vec<u32> = (0..200_000_u32).map(|row| row.wrapping_mul(2_654_435_761) | 1).collect();
    let header = [ids.len() as u32, 1].map(u32::to_le_bytes).concat();
    let body: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    let file = IdFile::open(folder.write("ids.ibin", [header, body].concat())).unwrap();
    let base = BaseRows { rows: ids.len() as u64, ids: Some(&file) };
    let open = |rows: &[usize]| {
        let lines: String =
            rows.iter().map(|&row| format!("{{\"id\":{},\"n\":{row}}}\n", ids[row])).collect();
        JsonLines::open(folder.write("a.jsonl", lines), base, None, Watch::none())
    };
    let rows = [0, 3, 70_000, 140_001, 199_999];
    let found: Vec<u64> = scanned(&open(&rows).unwrap()).into_iter().map(|(row, _)| row).collect();
    assert_eq!(found, rows.map(|row| row as u64));
    let message = open(&[5, 150_000, 7]).unwrap_err().to_string();
    let order = format!("line 3: id {} after id {}: lines stand in the order", ids[7], ids[150_000]);
    assert!(message.contains(&order), "{message}");
    let path = folder.write("b.jsonl", "{\"id\":2,\"n\":1}");
    let message = JsonLines::open(path, base, None, Watch::none()).unwrap_err().to_string();
    assert!(message.ends_with("line 1: id 2 belongs to none of the 200000 vectors"), "{message}");
}

#[test]
fn the_stop_flag_ends_the_reading() {
    let folder = Folder::new();
    let stop = std::sync::atomic::AtomicBool::new(true);
    let watch = Watch { progress: &|_, _| {}, stop: &stop };
    let path = folder.write("a.jsonl", "{\"id\":0,\"n\":1}");
    let opened = JsonLines::open(path, BaseRows { rows: 1, ids: None }, None, watch);
    assert!(matches!(opened, Err(AttributeFileError::Stopped(_))));
}

#[test]
fn a_file_that_changed_is_refused_by_the_scan() {
    let folder = Folder::new();
    let source = folder.open("{\"id\":0,\"n\":1}", 1, None).unwrap();
    folder.write("a.jsonl", "{\"id\":0,\"n\":true}");
    let error = source.scan(&mut |_, _| ControlFlow::Continue(())).unwrap_err();
    assert!(error.to_string().ends_with("a.jsonl: line 1: `n` is i64, found a bool"), "{error}");
    fs::remove_file(folder.0.path().join("a.jsonl")).unwrap();
    let error = source.scan(&mut |_, _| ControlFlow::Continue(())).unwrap_err();
    assert!(error.to_string().contains("a.jsonl"), "{error}");
}

#[test]
fn what_is_wrong_with_a_line_is_said_in_one_order() {
    let folder = Folder::new();
    let schema = || folder.schema(r#"{"n": "i64", "t": "tags"}"#);
    let refused = |text: &str| folder.open(text, 1, Some(schema())).unwrap_err();
    // That it is no JSON, then what the id lacks, then the first value.
    assert!(refused(r#"{"n":"x","id":9"#).starts_with("line 1: column 15: EOF"));
    assert!(refused(r#"{"n":"x","id":9}"#).starts_with("line 1: id 9 belongs to none"));
    assert_eq!(refused(r#"{"n":"x","t":1,"id":0}"#), "line 1: `n` is i64, found text");
    assert_eq!(
        refused(r#"{"t":[[1],{"a":[]}],"id":0}"#),
        "line 1: `t` has an array among its tags, expected text or whole numbers"
    );
    assert_eq!(
        refused(r#"{"id":0,"other":[{"deep":[1]}],"other":1}"#),
        "line 1: column 41: the key \"other\" comes twice"
    );
    // Keys and tags with escapes are what they mean.
    let source = folder.open(r#"{"id":0,"\u006e":1,"t":["a\"b","\u00e9"]}"#, 1, Some(schema())).unwrap();
    assert_eq!(scanned(&source), [(0, vec![Cell::I64(1), tags(&["a\"b", "é"])])]);
}
