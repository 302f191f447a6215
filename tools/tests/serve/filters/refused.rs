//! What is no filter, or too much of one.
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use prost::Message as _;
use spandrel_proto::v1;
use spandrel_proto::v1::condition::Kind;
use spandrel_proto::v1::filter::Form;
use spandrel_proto::v1::value::Kind as ValueKind;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::messages::{FAR, K, all_of, any_of, as_json, as_text, as_tree, compare, not, raw, request, word};
use super::rows::server;
use crate::support::{Server, raw_call, run};

/// What a refusal says beside its words: the field, and of ErrorInfo the position and the attribute.
fn named(refused: &tonic::Status) -> (String, Option<usize>, Option<String>) {
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    let details = refused.get_error_details();
    let field = details.bad_request().unwrap().field_violations[0].field.clone();
    let metadata = details.error_info().map(|info| info.metadata.clone()).unwrap_or_default();
    let position = metadata.get("position").map(|position| position.parse().unwrap());
    (field, position, metadata.get("attribute").cloned())
}

#[test]
fn what_is_no_filter_is_refused_with_its_place() {
    run(async {
        let server = server(&[]);
        let client = server.client();
        let none = v1::Value { kind: None };
        let unknown = || compare("colour", v1::Operator::Unspecified, word("white"));
        let missing = || {
            Kind::Between(v1::Between { attribute: "price".to_owned(), low: None, high: Some(none.clone()) })
        };
        for (filter, form, position, attribute) in [
            (as_text("price < "), ".text", Some(8), None),
            (as_text("price < 1 und stock = 2"), ".text", Some(10), None),
            (as_text("prise < 1"), ".text", None, Some("prise")),
            (as_text("price = \"dear\""), ".text", None, Some("price")),
            (as_text("colour < \"white\""), ".text", None, Some("colour")),
            (as_text("tags = \"red\""), ".text", None, Some("tags")),
            (as_text("made > \"yesterday\""), ".text", None, Some("made")),
            (as_text("id < 7"), ".text", Some(5), None),
            (as_text(""), ".text", Some(0), None),
            (as_json("{\"price\": {\n\"$lt\": }}"), ".json", Some(19), None),
            (as_json(r#"{"price": {"$below": 1}}"#), ".json", None, None),
            (as_json(r#"{"prise": 1}"#), ".json", None, Some("prise")),
            (as_json("[]"), ".json", None, None),
            (as_tree(unknown()), ".tree.comparison.operator", None, None),
            (as_tree(missing()), ".tree.between.low", None, None),
            (
                as_tree(all_of([Kind::IsNull("stock".to_owned()), unknown()])),
                ".tree.all_of.conditions[1].comparison.operator",
                None,
                None,
            ),
            (as_tree(not(any_of([]))), ".tree.negation.any_of", None, None),
            (
                as_tree(compare("price", v1::Operator::Less, ValueKind::Number(f64::NAN))),
                ".tree",
                None,
                Some("price"),
            ),
            (Some(v1::Filter { form: Some(Form::Tree(v1::Condition { kind: None })) }), ".tree", None, None),
            (Some(v1::Filter { form: None }), "", None, None),
        ] {
            let refused = client.search(request(0, filter.clone())).await.unwrap_err();
            let expected = (format!("options.filter{form}"), position, attribute.map(str::to_owned));
            assert_eq!(named(&refused), expected, "{refused}");
            let range = v1::SearchRangeRequest {
                query: Some(raw(0)),
                radius: Some(FAR),
                filter,
                ..Default::default()
            };
            let refused = client.search_range(range, None).await.unwrap_err();
            assert_eq!(named(&refused), (format!("filter{form}"), position, expected.2), "{refused}");
        }
        // An index without attributes has ids alone.
        let plain = Server::start(&[]);
        let of_plain = |filter| {
            let options = Some(v1::SearchOptions { filter, ..Default::default() });
            v1::SearchRequest { options, ..crate::support::request(0) }
        };
        let found = plain.client().search(of_plain(as_text("id in [5, 6, 7]"))).await.unwrap();
        assert_eq!(found.ids.into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([5, 6, 7]));
        let refused = plain.client().search(of_plain(as_text("price < 1"))).await.unwrap_err();
        assert!(refused.message().contains("there are no attributes"), "{refused}");
    });
}

/// Terms that all say something else, joined.
fn terms(count: usize) -> String {
    let terms: Vec<String> = (0..count).map(|number| format!("price < {number}.5")).collect();
    terms.join(" or ")
}

/// Conditions in each other, written as bytes, since no client would make them.
fn nested(levels: usize) -> Vec<u8> {
    let mut tree = v1::Condition::from(Kind::IsNull("stock".to_owned())).encode_to_vec();
    for _ in 0..levels {
        let mut outer = vec![0x1a];
        prost::encode_length_delimiter(tree.len(), &mut outer).unwrap();
        outer.append(&mut tree);
        tree = outer;
    }
    tree
}

#[test]
fn filters_beyond_bounds_are_refused_and_those_within_are_answered_in_time() {
    run(async {
        let server = server(&["--metrics", "127.0.0.1:0"]);
        let client = server.client();
        let began = Instant::now();
        let many = client.search(request(0, as_text(&terms(10_000)))).await.unwrap();
        assert_eq!(many.ids.len(), K as usize);
        let many = any_of(
            (0..10_000).map(|number| compare("stock", v1::Operator::Equal, ValueKind::Integer(number))),
        );
        assert_eq!(client.search(request(0, as_tree(many))).await.unwrap().ids.len(), K as usize);
        let ids = Kind::Ids(v1::Ids { values: (0..100_000).rev().collect() });
        assert_eq!(client.search(request(0, as_tree(ids))).await.unwrap().ids.len(), K as usize);
        let deep = |levels| format!("{}new = true{}", "not (".repeat(levels), ")".repeat(levels));
        assert!(client.search(request(0, as_text(&deep(50)))).await.is_ok());
        let too_many = any_of(
            (0..10_001).map(|number| compare("stock", v1::Operator::Equal, ValueKind::Integer(number))),
        );
        let large = format!("colour = \"{}\"", "x".repeat(2 << 20));
        let ids = Kind::Ids(v1::Ids { values: vec![1; 100_001] });
        for filter in [
            as_text(&terms(10_001)),
            as_tree(too_many),
            as_text(&deep(1000)),
            as_text(&"(".repeat(500_000)),
            as_text(&large),
            as_json(&large),
            as_json(&format!("{}1{}", r#"{"$not":"#.repeat(1000), "}".repeat(1000))),
            as_tree(ids),
        ] {
            let refused = client.search(request(0, filter)).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
            assert!(refused.message().len() < 2000, "{}", refused.message().len());
        }
        // As a message none of a thousand levels can be read.
        let filter = [&[0x1a][..], &{
            let tree = nested(1000);
            let mut length = Vec::new();
            prost::encode_length_delimiter(tree.len(), &mut length).unwrap();
            [length, tree].concat()
        }]
        .concat();
        let mut options = vec![0x5a];
        prost::encode_length_delimiter(filter.len(), &mut options).unwrap();
        options.extend(filter);
        let mut message = v1::SearchRequest { options: None, ..request(0, None) }.encode_to_vec();
        message.push(0x22);
        prost::encode_length_delimiter(options.len(), &mut message).unwrap();
        message.extend(options);
        let code = raw_call(&server, "/spandrel.v1.SearchService/Search", "10S", (0, &message)).await;
        assert_eq!(code, Code::InvalidArgument);
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
        assert_eq!(client.search(request(0, None)).await.unwrap().ids.len(), K as usize);
    });
}
