use proptest::prelude::*;

use super::*;

/// The filter in JSON is the one in text.
fn same(json: &str, text: &str) {
    let read = Filter::from_json(json).unwrap_or_else(|error| panic!("{json}: {error}"));
    assert_eq!(read, Filter::parse(text).unwrap(), "{json}");
}

fn error(json: &str) -> String {
    Filter::from_json(json).expect_err(json).to_string()
}

#[test]
fn every_operator_is_read() {
    same(r#"{"a": 1}"#, "a = 1");
    same(r#"{"a": {"$eq": "x"}}"#, "a = 'x'");
    same(r#"{"a": {"$ne": true}}"#, "a != true");
    same(r#"{"a": {"$lt": 1.5}}"#, "a < 1.5");
    same(r#"{"a": {"$lte": 18446744073709551616}}"#, "a <= 18446744073709551616");
    same(r#"{"a": {"$gt": -3}}"#, "a > -3");
    same(r#"{"a": {"$gte": 9223372036854775807}}"#, "a >= 9223372036854775807");
    same(r#"{"a": {"$gte": 1, "$lt": 5}}"#, "a >= 1 and a < 5");
    same(r#"{"a": {"$in": [1, "x"]}}"#, "a in [1, 'x']");
    same(r#"{"a": {"$nin": []}}"#, "a not in []");
    same(r#"{"a": {"$between": [1, 2]}}"#, "a between 1 and 2");
    same(r#"{"a": {"$exists": true}}"#, "a exists");
    same(r#"{"a": {"$exists": false}}"#, "a is null");
    same(r#"{"t": {"$contains": "red"}}"#, "t contains 'red'");
    same(r#"{"t": {"$contains": 12}}"#, "t contains 12");
    same(r#"{"t": {"$containsAny": ["a", 2]}}"#, "t contains any ['a', 2]");
    same(r#"{"t": {"$containsAll": ["a", "b"]}}"#, "t contains all ['a', 'b']");
    same(r#"{"a": {"$not": {"$eq": 1}}}"#, "not a = 1");
    same(
        r#"{"a": 1, "$or": [{"b": 2}, {"c": 3}], "$not": {"d": 4}}"#,
        "a = 1 and (b = 2 or c = 3) and not d = 4",
    );
    assert_eq!(
        Filter::from_json(r#"{"$and": [{"a": 1}]}"#).unwrap(),
        Filter::And(vec![Filter::parse("a = 1").unwrap()])
    );
    same(r#"{"id": 5}"#, "id = 5");
    same(r#"{"id": {"$ne": 5}}"#, "id != 5");
    same(r#"{"id": {"$in": [1, 18446744073709551614]}}"#, "id in [1, 18446744073709551614]");
    same(r#"{"id": {"$not": {"$in": [1]}}}"#, "id not in [1]");
    // The decimal is the one that text gives, to the last bit.
    same(r#"{"a": 0.30000000000000004}"#, "a = 0.30000000000000004");
    same(r#"{"a": 8.41470984807896506652502321630345e-1}"#, "a = 8.41470984807896506652502321630345e-1");
}

#[test]
fn what_is_no_filter_is_refused_with_its_place() {
    let chained = r#"{"a": {"$gt": 1}, "a": {"$lt": 5}}"#;
    assert_eq!(error(chained), "no JSON at line 1, column 34: the key \"a\" comes twice");
    assert_eq!(error("{"), "no JSON at line 1, column 1: EOF while parsing an object");
    assert_eq!(error("[]"), "expected an object, found an array");
    assert_eq!(error("{}"), "nothing is asked here; leave it out");
    assert_eq!(error(r#"{"a": {}}"#), "in a: nothing is asked here; leave it out");
    assert_eq!(error(r#"{"$or": []}"#), "in $or: nothing is asked here; leave it out");
    assert_eq!(
        error(r#"{"$nor": [{"a": 1}]}"#),
        "in $nor: no operator of a filter; there are $and, $or and $not"
    );
    assert!(
        error(r#"{"a": {"$regex": "x"}}"#)
            .starts_with("in a.$regex: no operator of an attribute; there are $eq, ")
    );
    assert_eq!(
        error(r#"{"id": {"$lt": 5}}"#),
        "in id.$lt: no operator of the id; there are $eq, $ne, $in, $nin and $not"
    );
    assert_eq!(
        error(r#"{"$and": [{"a": 1}, {"b": {"$in": [1, [2]]}}]}"#),
        "in $and.1.b.$in.1: expected a value, found an array"
    );
    assert_eq!(
        error(r#"{"a": null}"#),
        "in a: a null is not compared; rows without a value are found by {\"$exists\": false}"
    );
    assert_eq!(error(r#"{"a": {"$in": 1}}"#), "in a.$in: expected an array, found a whole number");
    assert_eq!(
        error(r#"{"a": {"$exists": 1}}"#),
        "in a.$exists: expected true or false, found a whole number"
    );
    assert_eq!(error(r#"{"a": {"$between": [1]}}"#), "in a.$between: expected two values, found an array");
    assert_eq!(error(r#"{"a": {"$contains": 1.5}}"#), "in a.$contains: expected a tag, found a number");
    assert_eq!(
        error(r#"{"a": {"$not": 1}}"#),
        "in a.$not: expected an object of operators, found a whole number"
    );
    for id in ["-1", "18446744073709551615", "1.0", "\"5\"", "1e3"] {
        let message = error(&format!(r#"{{"id": {id}}}"#));
        assert_eq!(message, "in id: an id is a whole number from 0 to 18446744073709551614");
    }
    assert!(error(r#"{"a": 1e999}"#).contains("number out of range"));
}

#[test]
fn deep_and_long_texts_are_refused() {
    let deep = |levels: usize| format!("{}{{\"a\": 1}}{}", r#"{"$not": "#.repeat(levels), "}".repeat(levels));
    assert!(Filter::from_json(&deep(100)).is_ok());
    assert!(error(&deep(200)).contains("recursion limit exceeded"));
    assert!(error(&deep(100_000)).contains("recursion limit exceeded"));
    let message = error(&" ".repeat(FILTER_BYTES_MAX + 1));
    assert_eq!(message, "the filter has 1048577 bytes, expected at most 1048576");
}

/// JSON of the words that filters are made of, put together in any way.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "1",
        "-2.5",
        "1e400",
        "18446744073709551614",
        "\"x\"",
        "\"\\u0000\"",
        "true",
        "null",
        "\"a = 1\"",
        "0.1e-400",
    ]);
    let key = prop::sample::select(vec![
        "a",
        "id",
        "$and",
        "$or",
        "$not",
        "$eq",
        "$ne",
        "$lt",
        "$gte",
        "$in",
        "$nin",
        "$between",
        "$exists",
        "$contains",
        "$containsAny",
        "$containsAll",
        "$nor",
        "",
        "é",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(5, 30, 4, move |inner| {
        let pair = (key.clone(), inner.clone()).prop_map(|(key, value)| format!("\"{key}\": {value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|values| format!("[{}]", values.join(", "))),
            prop::collection::vec(pair, 0..3).prop_map(|pairs| format!("{{{}}}", pairs.join(", "))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn words_in_any_order_are_read_or_refused(json in json(), cut in 0_usize..200) {
        match Filter::from_json(&json) {
            Ok(filter) => prop_assert!(Filter::parse(&filter.to_string()).is_ok(), "{} as {}", json, filter),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
        if let Some(part) = json.get(..cut) {
            drop(Filter::from_json(part));
        }
    }
}
