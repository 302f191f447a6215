//! Filters in every form.
use spandrel_proto::v1;
use spandrel_proto::v1::condition::Kind;
use spandrel_proto::v1::value::Kind as ValueKind;

use super::messages::{all_of, any_of, compare, contains, not, value, word};
use super::rows::Row;

/// A filter in three forms, and what it says of a row.
pub(super) struct Case {
    pub(super) text: &'static str,
    pub(super) json: &'static str,
    pub(super) tree: Kind,
    pub(super) holds: fn(&Row) -> bool,
}

fn case(text: &'static str, json: &'static str, tree: Kind, holds: fn(&Row) -> bool) -> Case {
    Case { text, json, tree, holds }
}

pub(super) fn cases() -> Vec<Case> {
    [of_one_attribute(), of_several()].into_iter().flatten().collect()
}

fn of_one_attribute() -> Vec<Case> {
    vec![
        case(
            "colour = \"white\"",
            r#"{"colour": "white"}"#,
            compare("colour", v1::Operator::Equal, word("white")),
            |row| row.colour == Some("white"),
        ),
        case(
            "colour != 'white'",
            r#"{"colour": {"$ne": "white"}}"#,
            compare("colour", v1::Operator::NotEqual, word("white")),
            |row| row.colour.is_some_and(|colour| colour != "white"),
        ),
        case(
            "not (colour = \"white\")",
            r#"{"$not": {"colour": "white"}}"#,
            not(compare("colour", v1::Operator::Equal, word("white"))),
            |row| row.colour != Some("white"),
        ),
        case(
            "price > 1000",
            r#"{"price": {"$gt": 1000}}"#,
            compare("price", v1::Operator::Greater, ValueKind::Integer(1000)),
            |_| false,
        ),
        case(
            "made between \"2023-11-14T22:13:30Z\" and \"2023-11-14T22:15:00Z\"",
            r#"{"made": {"$between": ["2023-11-14T22:13:30Z", "2023-11-14T22:15:00Z"]}}"#,
            Kind::Between(v1::Between {
                attribute: "made".to_owned(),
                low: value(word("2023-11-14T23:13:30+01:00")),
                high: value(ValueKind::Integer(1_700_000_100_000_000)),
            }),
            |row| row.made.is_some_and(|made| (1_700_000_010..=1_700_000_100).contains(&made)),
        ),
    ]
}

fn of_several() -> Vec<Case> {
    vec![
        case(
            "price < 50.5 and tags contains any [\"red\", \"büro\"] and stock is not null",
            r#"{"price": {"$lt": 50.5}, "tags": {"$containsAny": ["red", "büro"]}, "stock": {"$exists": true}}"#,
            all_of([
                compare("price", v1::Operator::Less, ValueKind::Number(50.5)),
                contains(&["red", "büro"], false),
                not(Kind::IsNull("stock".to_owned())),
            ]),
            |row| {
                let tagged = row.tags.contains(&"red") || row.tags.contains(&"büro");
                row.price.is_some_and(|price| price < 50.5) && tagged && row.stock.is_some()
            },
        ),
        case(
            "tags contains all [\"red\", \"a \\\"quoted\\\" one\"] or stock in [-3, 7, 12] or new = true and stock >= 40",
            r#"{"$or": [{"tags": {"$containsAll": ["red", "a \"quoted\" one"]}}, {"stock": {"$in": [-3, 7, 12]}},
                {"new": true, "stock": {"$gte": 40}}]}"#,
            any_of([
                contains(&["red", "a \"quoted\" one"], true),
                Kind::Membership(v1::Membership {
                    attribute: "stock".to_owned(),
                    values: [-3, 7, 12]
                        .into_iter()
                        .filter_map(|stock| value(ValueKind::Integer(stock)))
                        .collect(),
                    negated: false,
                }),
                all_of([
                    compare("new", v1::Operator::Equal, ValueKind::Boolean(true)),
                    compare("stock", v1::Operator::AtLeast, ValueKind::Integer(40)),
                ]),
            ]),
            |row| {
                row.tags.contains(&"red") && row.tags.contains(&"a \"quoted\" one")
                    || row.stock.is_some_and(|stock| {
                        [-3, 7, 12].contains(&stock) || stock >= 40 && row.new == Some(true)
                    })
            },
        ),
        case(
            "id in [5, 77, 2999, 100000] and new is null or id = 8",
            r#"{"$or": [{"id": {"$in": [5, 77, 2999, 100000]}, "new": {"$exists": false}}, {"id": 8}]}"#,
            any_of([
                all_of([
                    Kind::Ids(v1::Ids { values: vec![5, 77, 2999, 100_000] }),
                    Kind::IsNull("new".to_owned()),
                ]),
                Kind::Ids(v1::Ids { values: vec![8] }),
            ]),
            |row| row.id == 8 || [5, 77, 2999].contains(&row.id) && row.new.is_none(),
        ),
    ]
}
