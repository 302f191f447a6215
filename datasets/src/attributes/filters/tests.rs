use std::fs;

use spandrel_filter::{Attribute, AttributeType};

use super::*;

fn open_bytes(name: &str, bytes: &[u8]) -> Result<Filters, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    Filters::open(&path)
        .map_err(|error| error.to_string().split_once(&format!("{name}: ")).unwrap().1.to_owned())
}

fn schema() -> Schema {
    let attribute = |name: &str, kind| Attribute { name: name.to_owned(), kind };
    Schema::new(vec![attribute("n", AttributeType::I64), attribute("tags", AttributeType::Tags)]).unwrap()
}

#[test]
fn lines_hold_filters_in_json_or_text() {
    let lines = concat!(
        "{\"filter\": {\"n\": {\"$lt\": 5}}}\n",
        "{\"query_id\": 1, \"filter\": \"tags contains 'red'\"}\n\n",
        "{\"filter\": \"n <= 4\", \"query_id\": 2}\n",
    );
    let filters = open_bytes("q.jsonl", lines.as_bytes()).unwrap();
    assert_eq!(
        filters.iter().map(Filter::to_string).collect::<Vec<_>>(),
        ["n < 5", "tags contains \"red\"", "n <= 4"]
    );
    let bound = filters.bind(&schema()).unwrap();
    assert_eq!((bound.distinct.len(), bound.of_query), (2, vec![0, 1, 0]));
    assert_eq!((filters.len(), filters.is_empty()), (3, false));
}

#[test]
fn rows_of_a_matrix_ask_for_all_their_tags() {
    let words = [2_i64, 9, 3, 0, 2, 3].map(i64::to_le_bytes).concat();
    let columns = [8_i32, 3, 7].map(i32::to_le_bytes).concat();
    let values = [1_f32; 3].map(f32::to_le_bytes).concat();
    let filters = open_bytes("q.spmat", &[words, columns, values].concat()).unwrap();
    let shown: Vec<String> = filters.iter().map(Filter::to_string).collect();
    assert_eq!(shown, ["tags contains all [\"3\", \"8\"]", "tags contains all [\"7\"]"]);
    let words = [2_i64, 9, 1, 0, 0, 1].map(i64::to_le_bytes).concat();
    let one = [&words[..], &8_i32.to_le_bytes(), &1_f32.to_le_bytes()].concat();
    assert_eq!(open_bytes("q.spmat", &one).unwrap_err(), "row 0: no tag, which filters nothing");
}

#[test]
fn bad_lines_are_refused_with_their_number() {
    let refused = |line: &str| {
        open_bytes("q.jsonl", format!("{{\"filter\":\"n=1\"}}\n{line}\n").as_bytes()).unwrap_err()
    };
    assert_eq!(refused("{}"), "line 2: expected {\"filter\": ...} and `query_id` at most, found no `filter`");
    assert_eq!(refused("[]"), "line 2: expected {\"filter\": ...} and `query_id` at most, found an array");
    assert_eq!(refused("{\"k\":1}"), "line 2: expected {\"filter\": ...} and `query_id` at most, found `k`");
    assert_eq!(
        refused("{\"filter\":{\"n\":null}}"),
        "line 2: filter: in n: a null is not compared; rows without a value are found by {\"$exists\": false}"
    );
    assert!(
        refused("{\"filter\":\"n <\"}")
            .starts_with("line 2: filter: at byte 3 of the filter: expected a value")
    );
    assert_eq!(refused("{\"filter\":null}"), "line 2: filter: expected an object, found null");
    let order = "filters stand in the order of the queries";
    assert_eq!(
        refused("{\"query_id\":2,\"filter\":\"n=1\"}"),
        format!("line 2: `query_id` is 2, expected 1: {order}")
    );
    assert_eq!(
        refused("{\"query_id\":\"1\",\"filter\":\"n=1\"}"),
        format!("line 2: `query_id` is text, expected 1: {order}")
    );
    assert!(refused("{\"filter\":\"n=1\"").starts_with("line 2: column"));
    let message = open_bytes("q.txt", b"").unwrap_err();
    let says = "its name tells no format, expected one that ends in .jsonl (a filter a line) or .spmat";
    assert!(message.starts_with(says), "{message}");
    let filters = open_bytes("q.jsonl", b"{\"filter\":\"n=1\"}\n\n{\"filter\":\"m=1\"}").unwrap();
    let message = filters.bind(&schema()).unwrap_err().to_string();
    assert!(message.contains("line 3: filter: no attribute `m`; the nearest is `n`"), "{message}");
}

#[test]
fn pipes_are_refused_before_anyone_waits_for_them() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["q", "q.jsonl", "q.spmat"] {
        let pipe = folder.path().join(name);
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let refused = Filters::open(&pipe).unwrap_err().to_string();
        assert!(refused.contains("no plain file") && refused.contains(name), "{refused}");
    }
}
