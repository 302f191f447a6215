//! Plain lines, and what the library reads of them.
use proptest::prelude::*;

use super::*;
use crate::attributes::plain::plain_length;

/// A key and what was read of its value.
type Read = (String, String);

/// What is read of a line, and whether that is all.
fn read(read: impl FnOnce(&mut TagList, EachField<'_>) -> bool) -> Option<Vec<Read>> {
    let mut fields = Vec::new();
    let mut each = |key: &str, value: Value<'_>| {
        let value = match value {
            Value::Array(tags) => format!("{:?} {:?}", tags.iter().collect::<Vec<_>>(), tags.check(key)),
            Value::Number(number) => format!("bits {:x}", number.to_bits()),
            other => format!("{other:?}"),
        };
        fields.push((key.to_owned(), value));
    };
    read(&mut TagList::default(), &mut each).then_some(fields)
}

fn plain(line: &str) -> Option<Vec<Read>> {
    read(|tags, each| PlainReader::default().read(line, tags, each).is_some())
}

fn library(line: &str) -> Option<Vec<Read>> {
    read(|tags, each| read_by_library(line, tags, each).is_ok())
}

#[test]
fn texts_end_at_what_is_not_plain() {
    let usual = "plain text, grün, of more than one word: ~\u{7f}\u{80}";
    for at in 0..=usual.len() {
        for end in 0..=u8::MAX {
            let mut bytes = usual.as_bytes().to_vec();
            bytes.insert(at, end);
            let is_end = end == b'"' || end == b'\\' || end < b' ';
            assert_eq!(plain_length(&bytes), if is_end { at } else { bytes.len() }, "{end} at {at}");
        }
    }
}

#[test]
fn usual_lines_are_plain() {
    for line in [
        r#"{"id":0,"tags":["0","2",7,"-5",-5]}"#,
        "{ \"id\" : 12 ,\t\"é\":\"grün\", \"n\":null, \"ok\":true, \"no\" : false, \"x\":-1.5e3, \"none\":[ ] } \r",
        "{}",
    ] {
        assert_eq!(plain(line), library(line), "{line}");
        assert!(plain(line).is_some(), "{line}");
    }
}

#[test]
fn what_is_not_plain_is_left_to_the_library() {
    for line in [
        r#"{"id":0,"id":1}"#,
        r#"{"id":0,"a":{"b":1}}"#,
        r#"{"id":0,"a":["x",["y"]]}"#,
        r#"{"id":0,"a":["x",]}"#,
        r#"{"id":0,"a":[1.5]}"#,
        r#"{"id":0,"a":"\n"}"#,
        "{\"id\":0,\"a\":\"\t\"}",
        r#"{"id":0} {"#,
        r#"{"id":01}"#,
        r#"{"id":-0}"#,
        r#"{"id":1.}"#,
        r#"{"id":1e999}"#,
        r#"{"id":9223372036854775808}"#,
        r#"{"id":truely}"#,
        r#"{"id":0,}"#,
        r#"{"id"}"#,
        r#"{"id":0"#,
        "[1]",
        "",
    ] {
        assert_eq!(plain(line), None, "{line}");
    }
}

/// Pieces of lines, put together in any order, with one byte changed or not.
fn lines() -> impl Strategy<Value = String> {
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        " ",
        "\"a\"",
        "\"b\"",
        "\"id\"",
        "\"\\u00e9\"",
        "\"é\"",
        "0",
        "-0",
        "17",
        "-3",
        "1.25",
        "1e5",
        "1E-400",
        "123456789012345678",
        "12345678901234567890",
        "true",
        "false",
        "null",
        "\"",
        "-",
        ".",
    ];
    let value = prop_oneof![
        prop::sample::select(pieces.to_vec()).prop_map(str::to_owned),
        prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..4)
            .prop_map(|of| format!("[{}]", of.join(","))),
    ];
    let field = (prop::sample::select(vec!["id", "a", "b", "é", "c\\n"]), value);
    let line = prop::collection::vec(field, 0..4).prop_map(|fields| {
        let fields: Vec<String> =
            fields.into_iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
        format!("{{{}}}", fields.join(", "))
    });
    (line, any::<prop::sample::Index>(), prop::sample::select(pieces.to_vec()), any::<bool>()).prop_map(
        |(mut line, at, piece, is_changed)| {
            let at = at.index(line.len());
            if is_changed && line.is_char_boundary(at) {
                line.insert_str(at, piece);
            }
            line
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    #[test]
    fn what_is_plain_is_read_as_by_the_library(line in lines()) {
        if let Some(fields) = plain(&line) {
            prop_assert_eq!(Some(fields), library(&line), "{}", line);
        }
    }
}
