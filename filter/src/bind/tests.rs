use super::*;
use crate::attribute::Attribute;
use crate::bound::Row;
use crate::cell::Cell;
use crate::order::{key_of_f64, key_of_i64};

fn schema() -> Schema {
    let attribute = |name: &str, kind| Attribute { name: name.to_owned(), kind };
    let kinds = AttributeType::ALL.into_iter().map(|kind| attribute(&format!("a_{kind}"), kind));
    Schema::new(kinds.collect()).unwrap()
}

fn compare(name: &str, comparison: Comparison, value: Value) -> Filter {
    Filter::Compare { name: name.to_owned(), comparison, value }
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn is_in(name: &str, values: Vec<Value>, negated: bool) -> Filter {
    Filter::In { name: name.to_owned(), values, negated }
}

fn contains(tags: &[&str], mode: TagMode) -> Filter {
    Filter::Contains {
        name: "a_tags".to_owned(),
        tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
        mode,
    }
}

/// A row whose only value is in the attribute of its type.
struct One {
    id: u64,
    cell: Cell,
}

impl Row for One {
    fn id(&self) -> u64 {
        self.id
    }

    fn cell(&self, attribute: usize) -> &Cell {
        if self.cell.fits(AttributeType::ALL[attribute]) { &self.cell } else { &Cell::Null }
    }
}

fn matches(filter: &Filter, cell: Cell) -> bool {
    filter.bind(&schema()).unwrap().matches(&One { id: 7, cell })
}

fn error(filter: &Filter) -> String {
    filter.bind(&schema()).unwrap_err().to_string()
}

fn holds(comparison: Comparison, order: std::cmp::Ordering) -> bool {
    match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::AtMost => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::AtLeast => order.is_ge(),
    }
}

/// The order of a whole number and a finite one, exactly.
fn exact_order(whole: i64, number: f64) -> std::cmp::Ordering {
    let floor = number.floor();
    // CAST: whole, and within an i128 for the numbers of this test
    let order = i128::from(whole).cmp(&(floor as i128));
    if order.is_eq() && number > floor { std::cmp::Ordering::Less } else { order }
}

const WHOLE: [i64; 11] =
    [i64::MIN, i64::MIN + 1, -9_007_199_254_740_993, -3, -1, 0, 2, 3, (1 << 53) + 1, i64::MAX - 1, i64::MAX];
const NUMBERS: [f64; 14] = [
    -1e30,
    -9.3e18,
    -9.223_372_036_854_776e18,
    -2.5,
    -1.0,
    -0.0,
    0.0,
    1e-9,
    2.5,
    3.0,
    9_007_199_254_740_992.0,
    9_007_199_254_740_994.0,
    9.223_372_036_854_776e18,
    1e30,
];

#[test]
fn numbers_of_different_types_are_compared_exactly() {
    for comparison in Comparison::ALL {
        for whole in WHOLE {
            for number in NUMBERS {
                let of_whole = compare("a_i64", comparison, Value::F64(number));
                let order = exact_order(whole, number);
                assert_eq!(
                    matches(&of_whole, Cell::I64(whole)),
                    holds(comparison, order),
                    "{whole} {comparison:?} {number}"
                );
                let of_number = compare("a_f64", comparison, Value::I64(whole));
                let order = order.reverse();
                assert_eq!(
                    matches(&of_number, Cell::F64(number)),
                    holds(comparison, order),
                    "{number} {comparison:?} {whole}"
                );
            }
            for other in WHOLE {
                let filter = compare("a_timestamp", comparison, Value::I64(other));
                assert_eq!(matches(&filter, Cell::Timestamp(whole)), holds(comparison, whole.cmp(&other)));
            }
        }
        for number in NUMBERS {
            for other in NUMBERS {
                let filter = compare("a_f64", comparison, Value::F64(other));
                let order = number.partial_cmp(&other).unwrap();
                assert_eq!(
                    matches(&filter, Cell::F64(number)),
                    holds(comparison, order),
                    "{number} {comparison:?} {other}"
                );
            }
        }
    }
}

#[test]
fn a_null_matches_no_comparison_and_every_negation_by_not() {
    let leaves = [
        compare("a_keyword", Comparison::Equal, text("x")),
        compare("a_keyword", Comparison::NotEqual, text("x")),
        compare("a_i64", Comparison::NotEqual, Value::I64(1)),
        compare("a_f64", Comparison::Less, Value::F64(1e300)),
        compare("a_bool", Comparison::NotEqual, Value::Bool(true)),
        is_in("a_keyword", vec![], true),
        is_in("a_i64", vec![Value::I64(1)], true),
        Filter::Between { name: "a_i64".to_owned(), low: Value::I64(i64::MIN), high: Value::I64(i64::MAX) },
        contains(&["red"], TagMode::Any),
        contains(&[], TagMode::All),
    ];
    for leaf in leaves {
        assert!(!matches(&leaf, Cell::Null), "{leaf:?}");
        assert!(matches(&Filter::Not(Box::new(leaf.clone())), Cell::Null), "{leaf:?}");
    }
    let is_null = Filter::IsNull { name: "a_i64".to_owned() };
    assert!(matches(&is_null, Cell::Null) && !matches(&is_null, Cell::I64(0)));
    assert!(matches(&is_in("a_keyword", vec![], true), Cell::Keyword("x".to_owned())));
}

#[test]
fn every_predicate_finds_what_it_asks_for() {
    let keyword = |value: &str| Cell::Keyword(value.to_owned());
    let tags = |tags: &[&str]| Cell::Tags(tags.iter().collect());
    assert!(matches(&compare("a_keyword", Comparison::NotEqual, text("x")), keyword("y")));
    assert!(!matches(&compare("a_keyword", Comparison::NotEqual, text("x")), keyword("x")));
    assert!(matches(&is_in("a_keyword", vec![text("x"), text("y")], false), keyword("y")));
    assert!(!matches(&is_in("a_keyword", vec![text("x"), text("y")], true), keyword("y")));
    assert!(matches(&compare("a_bool", Comparison::Equal, Value::Bool(false)), Cell::Bool(false)));
    assert!(!matches(&compare("a_bool", Comparison::Equal, Value::Bool(false)), Cell::Bool(true)));
    assert!(matches(&contains(&["red", "blue"], TagMode::Any), tags(&["blue", "green"])));
    assert!(!matches(&contains(&["red", "blue"], TagMode::All), tags(&["blue", "green"])));
    assert!(matches(&contains(&["red", "blue", "red"], TagMode::All), tags(&["blue", "red", "x"])));
    assert!(
        !matches(&contains(&[], TagMode::Any), tags(&["blue"]))
            && matches(&contains(&[], TagMode::All), tags(&["x"]))
    );
    let may = |value: &str| compare("a_timestamp", Comparison::AtLeast, text(value));
    assert!(matches(&may("1970-01-01T00:00:01Z"), Cell::Timestamp(1_000_000)));
    assert!(!matches(&may("1970-01-01T00:00:01Z"), Cell::Timestamp(999_999)));
    let not_in = is_in("a_i64", vec![Value::I64(3), Value::F64(4.5), Value::I64(i64::MAX)], true);
    assert!(matches(&not_in, Cell::I64(4)) && matches(&not_in, Cell::I64(i64::MIN)));
    assert!(!matches(&not_in, Cell::I64(3)) && !matches(&not_in, Cell::I64(i64::MAX)));
    assert!(matches(&Filter::Ids(vec![9, 7]), Cell::Null) && !matches(&Filter::Ids(vec![9, 8]), Cell::Null));
    let inverted = Filter::Between { name: "a_i64".to_owned(), low: Value::I64(5), high: Value::I64(1) };
    assert_eq!(inverted.bind(&schema()).unwrap(), Bound::Or(vec![]));
}

#[test]
fn expressions_that_say_the_same_are_one_key() {
    let at_least = |value| compare("a_i64", Comparison::AtLeast, Value::I64(value));
    let less = |value| compare("a_i64", Comparison::Less, Value::I64(value));
    let not = |filter| Filter::Not(Box::new(filter));
    let between = Filter::Between { name: "a_i64".to_owned(), low: Value::F64(9.5), high: Value::I64(19) };
    let red = || contains(&["red"], TagMode::All);
    let blue = || contains(&["blue"], TagMode::Any);
    let not_equal = |value| compare("a_i64", Comparison::NotEqual, Value::I64(value));
    let not_in =
        |values: &[i64]| is_in("a_i64", values.iter().map(|&value| Value::I64(value)).collect(), true);
    let same: [&[Filter]; 7] = [
        &[
            between,
            Filter::And(vec![at_least(10), less(20)]),
            Filter::And(vec![less(20), Filter::And(vec![at_least(10)]), less(20)]),
            not(not(Filter::And(vec![less(20), at_least(10)]))),
        ],
        &[
            is_in("a_keyword", vec![text("x"), text("y"), text("x")], false),
            Filter::Or(vec![
                compare("a_keyword", Comparison::Equal, text("y")),
                compare("a_keyword", Comparison::Equal, text("x")),
            ]),
        ],
        &[
            not_in(&[1, 2, 3, i64::MAX]),
            Filter::And(vec![not_equal(1), not_in(&[3, i64::MAX]), not_equal(2), not_equal(1)]),
        ],
        &[contains(&["red", "blue"], TagMode::All), Filter::And(vec![red(), blue()])],
        &[
            contains(&["red", "blue"], TagMode::Any),
            Filter::Or(vec![blue(), Filter::Or(vec![red(), blue()])]),
        ],
        &[Filter::Ids(vec![3, 1, 3]), Filter::Ids(vec![1, 3])],
        &[
            not(Filter::IsNull { name: "a_f64".to_owned() }),
            compare("a_f64", Comparison::AtMost, Value::F64(f64::MAX)),
        ],
    ];
    for filters in same {
        let keys: Vec<Bound> = filters.iter().map(|filter| filter.bind(&schema()).unwrap()).collect();
        assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    }
    let range = KeyRange { first: key_of_i64(10), last: key_of_i64(19) };
    let predicate = Predicate::Ranges(vec![range]);
    let bound = Filter::And(vec![at_least(10), less(20)]).bind(&schema()).unwrap();
    assert_eq!(bound, Bound::Attribute { attribute: 3, predicate });
    let never = Filter::Or(vec![Filter::And(vec![at_least(20), less(10)]), red()]).bind(&schema()).unwrap();
    assert_eq!(never, red().bind(&schema()).unwrap());
    let zero = compare("a_f64", Comparison::Equal, Value::F64(-0.0)).bind(&schema()).unwrap();
    let range = KeyRange { first: key_of_f64(0.0), last: key_of_f64(0.0) };
    assert_eq!(zero, Bound::Attribute { attribute: 4, predicate: Predicate::Ranges(vec![range]) });
}

#[test]
fn what_does_not_belong_together_is_refused_with_both_sides() {
    let equal = |name: &str, value| compare(name, Comparison::Equal, value);
    let cases = [
        (
            equal("A_keywrod", text("x")),
            "no attribute `A_keywrod`; the nearest is `a_keyword`; there are `a_keyword` (keyword), `a_tags` (tags), \
             `a_bool` (bool), `a_i64` (i64), `a_f64` (f64), `a_timestamp` (timestamp)",
        ),
        (
            equal("a_keyword", Value::I64(5)),
            "`a_keyword` is keyword, which is not compared with a whole number, 5, by `=`",
        ),
        (equal("a_i64", text("5")), "`a_i64` is i64, which is not compared with text, \"5\", by `=`"),
        (
            equal("a_bool", Value::F64(0.5)),
            "`a_bool` is bool, which is not compared with a number, 0.5, by `=`",
        ),
        (equal("a_f64", Value::F64(f64::NAN)), "`a_f64` is compared with NaN, expected a finite number"),
        (equal("a_f64", Value::F64(f64::INFINITY)), "`a_f64` is compared with inf, expected a finite number"),
        (equal("a_tags", text("red")), "`a_tags` is tags, `=` is for single values; use contains"),
        (
            Filter::Contains { name: "a_keyword".to_owned(), tags: vec![], mode: TagMode::Any },
            "`a_keyword` is keyword, `contains` is for tags; use = or in",
        ),
        (
            compare("a_keyword", Comparison::Less, text("x")),
            "`a_keyword` is keyword, `<` is for numbers and timestamps; use = or in",
        ),
        (
            equal("a_timestamp", text("yesterday")),
            "`a_timestamp` is timestamp: \"yesterday\" is no timestamp such as 2024-05-01T12:00:00Z or \
             2024-05-01T14:00:00.25+02:00 (RFC 3339)",
        ),
        (
            compare("id", Comparison::Less, Value::I64(5)),
            "`id` is the row's id, which takes =, !=, in and not in with numbers from 0 to 18446744073709551614",
        ),
        (Filter::And(vec![]), "an AND of nothing"),
        (Filter::Or(vec![]), "an OR of nothing"),
    ];
    for (filter, message) in cases {
        assert_eq!(error(&filter), message);
    }
    assert_eq!(
        Filter::IsNull { name: "x".to_owned() }.bind(&Schema::default()).unwrap_err().to_string(),
        "no attribute `x`; there are no attributes"
    );
}

#[test]
fn large_and_deep_trees_are_refused() {
    let leaf = || Filter::IsNull { name: "a_i64".to_owned() };
    let nested = |levels| (0..levels).fold(leaf(), |inner, _| Filter::Not(Box::new(inner)));
    assert!(nested(NESTING_MAX).bind(&schema()).is_ok());
    assert_eq!(nested(NESTING_MAX + 1).bind(&schema()), Err(BindError::Nesting));
    let wide = |terms| Filter::Or((0..terms).map(|_| leaf()).collect());
    assert!(wide(TERMS_MAX).bind(&schema()).is_ok());
    assert_eq!(wide(TERMS_MAX + 1).bind(&schema()), Err(BindError::Terms));
    let ids = |count: usize| {
        Filter::And(vec![Filter::Ids(vec![1; count]), is_in("a_i64", vec![Value::I64(1)], false)])
    };
    assert!(ids(VALUES_MAX - 1).bind(&schema()).is_ok());
    assert_eq!(ids(VALUES_MAX).bind(&schema()), Err(BindError::Values));
}
