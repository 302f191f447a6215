use proptest::prelude::*;

use super::*;
use crate::expression::{Comparison, TagMode, Value};
use crate::limits::{FILTER_BYTES_MAX, NESTING_MAX, TERMS_MAX, VALUES_MAX};

fn parse(text: &str) -> Filter {
    Filter::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

fn compare(name: &str, comparison: Comparison, value: Value) -> Filter {
    Filter::Compare { name: name.to_owned(), comparison, value }
}

fn contains(name: &str, tags: &[&str], mode: TagMode) -> Filter {
    Filter::Contains { name: name.to_owned(), tags: tags.iter().map(|&tag| tag.to_owned()).collect(), mode }
}

fn not(filter: Filter) -> Filter {
    Filter::Not(Box::new(filter))
}

fn is_null(name: &str) -> Filter {
    Filter::IsNull { name: name.to_owned() }
}

#[test]
fn every_form_is_read() {
    let forms = [
        ("a = 1", compare("a", Comparison::Equal, Value::I64(1))),
        ("a!=-1", compare("a", Comparison::NotEqual, Value::I64(-1))),
        ("größe < 1.50", compare("größe", Comparison::Less, Value::F64(1.5))),
        ("a.b_1 <= 1e3", compare("a.b_1", Comparison::AtMost, Value::F64(1000.0))),
        ("`a b` > 'x'", compare("a b", Comparison::Greater, Value::Text("x".to_owned()))),
        (r#""in" >= "x""#, compare("in", Comparison::AtLeast, Value::Text("x".to_owned()))),
        ("a = TRUE", compare("a", Comparison::Equal, Value::Bool(true))),
        ("a = 9223372036854775808", compare("a", Comparison::Equal, Value::F64(9_223_372_036_854_775_808.0))),
        (
            r#"a = "\"\\\n\t\u{1F600}'""#,
            compare("a", Comparison::Equal, Value::Text("\"\\\n\t😀'".to_owned())),
        ),
        (
            "a In [1, 'x',true]",
            Filter::In {
                name: "a".to_owned(),
                values: vec![Value::I64(1), Value::Text("x".to_owned()), Value::Bool(true)],
                negated: false,
            },
        ),
        ("a NOT IN []", Filter::In { name: "a".to_owned(), values: vec![], negated: true }),
        (
            "a between 1 and 2 and b is null",
            Filter::And(vec![
                Filter::Between { name: "a".to_owned(), low: Value::I64(1), high: Value::I64(2) },
                is_null("b"),
            ]),
        ),
        ("a is not null", not(is_null("a"))),
        ("a exists", not(is_null("a"))),
        ("t contains \"red\"", contains("t", &["red"], TagMode::Any)),
        ("t contains 007", contains("t", &["7"], TagMode::Any)),
        ("t contains any ['a','b']", contains("t", &["a", "b"], TagMode::Any)),
        ("t contains all [1, 'b']", contains("t", &["1", "b"], TagMode::All)),
        ("id in [1, 18446744073709551614]", Filter::Ids(vec![1, u64::MAX - 1])),
        ("id = 5", Filter::Ids(vec![5])),
        ("id != 5", not(Filter::Ids(vec![5]))),
        ("id not in [5]", not(Filter::Ids(vec![5]))),
        (
            "a is null or b is null and not c is null",
            Filter::Or(vec![is_null("a"), Filter::And(vec![is_null("b"), not(is_null("c"))])]),
        ),
        (
            "((a is null or b is null)) and c is null",
            Filter::And(vec![Filter::Or(vec![is_null("a"), is_null("b")]), is_null("c")]),
        ),
    ];
    for (text, filter) in forms {
        assert_eq!(parse(text), filter, "{text}");
        assert_eq!(parse(&filter.to_string()), filter, "{filter}");
    }
}

#[test]
fn errors_name_the_place() {
    let problems = [
        ("", 0, "expected a name, not or (, found the end"),
        ("price <  and x = 1", 9, "expected a value; text stands in quotes, as \"red\", found and"),
        ("a = red", 4, "expected a value; text stands in quotes, as \"red\", found red"),
        ("a == 1", 3, "expected a value, found ="),
        ("a = null", 4, "expected a value; rows without one are found by `is null`, found null"),
        ("a = 1 b = 2", 6, "expected and, or, or the end, found b"),
        ("in = 1", 0, "expected a name; quote one that is a word of the language, as `in`, found in"),
        ("'a' = 1", 0, "expected a name, not or (, found 'a'"),
        ("a = `b`", 4, "expected a value, found `b`"),
        ("a ~ 1", 2, "unexpected character '~'"),
        ("a ! 1", 2, "unexpected character '!'"),
        ("a in (1)", 5, "expected a list in [ ], found ("),
        ("a in [1 2]", 8, "expected , or ], found 2"),
        ("a in [1,]", 8, "expected a value, found ]"),
        ("(a = 1", 6, "expected and, or, or ), found the end"),
        ("a not 1", 6, "expected in, found 1"),
        ("a is 1", 5, "expected null or not null, found 1"),
        ("a between 1, 2", 11, "expected and, found ,"),
        ("a contains red", 11, "expected a tag in quotes, as \"red\", or a whole number, found red"),
        ("a contains 1.5", 11, "expected a tag in quotes, as \"red\", or a whole number, found 1.5"),
        ("a", 1, "expected = != < <= > >= in, not in, between, is, exists or contains, found the end"),
        ("id < 5", 5, "expected =, !=, in or not in after id, which is the row's id, found 5"),
        ("id = -1", 5, "an id is a whole number from 0 to 18446744073709551614"),
        ("id = 18446744073709551615", 5, "an id is a whole number from 0 to 18446744073709551614"),
        ("id = 1.0", 5, "an id is a whole number from 0 to 18446744073709551614"),
        ("a = 1_000", 4, "this is no number such as 12, -0.5 or 1e6"),
        ("a = 1e999", 4, "this is no number such as 12, -0.5 or 1e6"),
        ("a = .5", 4, "this is no number such as 12, -0.5 or 1e6"),
        ("a = 'x", 4, "the text that begins with ' does not end"),
        ("a = 'x\\", 6, "a backslash stands before \" ' ` \\ n r t or u{hexadecimal digits} in quotes"),
        (r"a = '\q'", 5, "a backslash stands before \" ' ` \\ n r t or u{hexadecimal digits} in quotes"),
        (
            r"a = '\u{d800}'",
            5,
            "a backslash stands before \" ' ` \\ n r t or u{hexadecimal digits} in quotes",
        ),
        (
            r"a = '\u{00000041}'",
            5,
            "a backslash stands before \" ' ` \\ n r t or u{hexadecimal digits} in quotes",
        ),
    ];
    for (text, offset, problem) in problems {
        let error = Filter::parse(text).expect_err(text);
        assert_eq!((error.offset, error.problem.to_string()), (offset, problem.to_owned()), "{text}");
    }
}

#[test]
fn messages_show_the_place_with_a_mark() {
    let shown = Filter::parse("größe = 1 and\tx <\n oder").unwrap_err().to_string();
    let expected = "at byte 21 of the filter: expected a value; text stands in quotes, as \"red\", found oder\n  \
                    größe = 1 and x <  oder\n                     ^";
    assert_eq!(shown, expected);
    let long = format!("{} a = ? {}", "a = 1 and ".repeat(100), "x".repeat(1000));
    let shown = Filter::parse(&long).unwrap_err().to_string();
    assert_eq!(shown.lines().map(str::len).collect::<Vec<_>>(), [52, 102, 53], "{shown}");
}

#[test]
fn large_and_deep_texts_are_refused_on_a_small_stack() {
    let check = || {
        let problem = |text: &str| Filter::parse(text).unwrap_err().problem;
        assert_eq!(problem(&format!("{}a = 1", "(".repeat(1_000))), Problem::Nesting);
        assert_eq!(problem(&format!("{}a = 1", "not ".repeat(1_000))), Problem::Nesting);
        assert_eq!(problem(&"(a=1 or not ".repeat(FILTER_BYTES_MAX / 12)), Problem::Nesting);
        let deep = |levels: usize| format!("{}a = 1{}", "(a = 1 or not ".repeat(levels), ")".repeat(levels));
        drop(parse(&deep(NESTING_MAX / 2)));
        assert_eq!(problem(&deep(NESTING_MAX)), Problem::Nesting);
        let nots = |levels: usize| parse(&format!("{}(a = 1)", "not ".repeat(levels)));
        assert_eq!(parse(&nots(NESTING_MAX).to_string()), nots(NESTING_MAX));
        let wide = |terms: usize| format!("{}a=1", "a=1 or ".repeat(terms - 1));
        drop(parse(&wide(TERMS_MAX)));
        assert_eq!(problem(&wide(TERMS_MAX + 1)), Problem::Terms);
        let list = |values: usize| format!("a in [{}1] or id in [1]", "1,".repeat(values - 2));
        drop(parse(&list(VALUES_MAX)));
        assert_eq!(problem(&list(VALUES_MAX + 1)), Problem::Values);
        let spaces = " ".repeat(FILTER_BYTES_MAX + 1);
        assert_eq!(problem(&spaces), Problem::Bytes(FILTER_BYTES_MAX + 1));
    };
    std::thread::Builder::new().stack_size(512 << 10).spawn(check).unwrap().join().unwrap();
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z_.]{1,6}", ".{1,8}", Just("In".to_owned()), Just("éà".to_owned())]
        .prop_filter("the id is no attribute", |name| name != "id")
}

fn value() -> impl Strategy<Value = Value> {
    let number = any::<f64>().prop_filter("finite", |number| number.is_finite());
    prop_oneof![
        ".{0,8}".prop_map(Value::Text),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::I64),
        number.prop_map(Value::F64),
    ]
}

fn filter() -> impl Strategy<Value = Filter> {
    let comparison = prop::sample::select(Comparison::ALL.to_vec());
    let mode = prop_oneof![Just(TagMode::Any), Just(TagMode::All)];
    let leaf = prop_oneof![
        (name(), comparison, value()).prop_map(|(name, comparison, value)| Filter::Compare {
            name,
            comparison,
            value
        }),
        (name(), prop::collection::vec(value(), 0..4), any::<bool>())
            .prop_map(|(name, values, negated)| Filter::In { name, values, negated }),
        (name(), value(), value()).prop_map(|(name, low, high)| Filter::Between { name, low, high }),
        name().prop_map(|name| Filter::IsNull { name }),
        (name(), prop::collection::vec(".{0,8}", 0..4), mode)
            .prop_map(|(name, tags, mode)| Filter::Contains { name, tags, mode }),
        prop::collection::vec(0..u64::MAX, 0..4).prop_map(Filter::Ids),
    ];
    leaf.prop_recursive(6, 60, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..5).prop_map(Filter::And),
            prop::collection::vec(inner.clone(), 2..5).prop_map(Filter::Or),
            inner.prop_map(|inner| Filter::Not(Box::new(inner))),
        ]
    })
}

proptest! {
    #[test]
    fn text_of_an_expression_is_read_back(filter in filter()) {
        let text = filter.to_string();
        prop_assert_eq!(Filter::parse(&text).map_err(|error| error.to_string()), Ok(filter), "{}", text);
    }

    /// Words in any order: read or refused, and what is read comes back.
    #[test]
    fn words_in_any_order_are_read_or_refused(words in prop::collection::vec(
        prop::sample::select(vec![
            "a", "b", "id", "and", "or", "not", "(", ")", "[", "]", ",", "=", "!=", "<", ">=", "in", "between", "is",
            "null", "exists", "contains", "any", "all", "true", "1", "-2.5", "1e400", "'x'", "\"y\"", "`z`", "\\", "é",
            "'", "\u{0}", "18446744073709551615",
        ]), 0..24)) {
        let text = words.join(" ");
        match Filter::parse(&text) {
            Ok(filter) => prop_assert_eq!(Filter::parse(&filter.to_string()).unwrap(), filter),
            Err(error) => prop_assert!(error.offset <= text.len() && !error.to_string().is_empty()),
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,40}") {
        if let Err(error) = Filter::parse(&text) {
            prop_assert!(text.is_char_boundary(error.offset), "{}", error);
        }
    }
}
