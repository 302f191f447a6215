//! Filters over the wire: in every form and call, against the rows' attributes one by one, kept, bounded, and refused by name.
mod admitted;
mod attributes;
mod cases;
mod files;
mod given_up;
mod held;
mod kept;
mod messages;
mod refused;
mod rows;
mod switched;

use serde_json::Value;
use spandrel_client::Client;
use spandrel_proto::v1;

use self::cases::{Case, cases};
use self::messages::{FAR, K, as_json, as_text, as_tree, options, pairs, raw, request};
use self::rows::{DIM, Row, made, nearest, rows, server};
use crate::support::{http_get, run, spandrel};

async fn within(client: &Client, query: usize, filter: Option<v1::Filter>) -> Vec<(u64, f32)> {
    let request =
        v1::SearchRangeRequest { query: Some(raw(query)), radius: Some(FAR), filter, ..Default::default() };
    let (mut stream, mut found) = (client.search_range(request, None).await.unwrap(), Vec::new());
    while let Some(part) = stream.message().await.unwrap() {
        found.extend(pairs(&part.ids, &part.distances));
    }
    found.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    found
}

#[test]
fn every_call_and_form_finds_what_matches_and_nothing_else() {
    run(async {
        let server = server(&[]);
        let client = server.client();
        for Case { text, json, tree, holds } in cases() {
            for (query, filter) in [(3, as_text(text)), (4, as_json(json)), (5, as_tree(tree))] {
                let all = nearest(query, holds);
                let best = &all[..all.len().min(K as usize)];
                let answer = client.search(request(query, filter.clone())).await.unwrap();
                assert_eq!(pairs(&answer.ids, &answer.distances), best, "{text}");
                let by_id = v1::Vectors {
                    form: Some(v1::vectors::Form::Ids(v1::Ids { values: vec![query as u64] })),
                    dim: 0,
                };
                let asked = v1::SearchRequest { query: Some(by_id), ..request(query, filter.clone()) };
                let answer = client.search(asked).await.unwrap();
                assert_eq!(pairs(&answer.ids, &answer.distances), best, "by id: {text}");
                assert_eq!(within(&client, query, filter.clone()).await, all, "{text}");
                let batch = v1::SearchBatchRequest {
                    queries: Some(v1::Vectors::raw(
                        DIM as u32,
                        v1::Dtype::U8,
                        [made().row(query), made().row(query + 1)].concat(),
                    )),
                    k: K,
                    options: options(filter.clone()),
                    ..Default::default()
                };
                let answer = client.search_batch(batch).await.unwrap();
                let next = nearest(query + 1, holds);
                let both = [best, &next[..best.len()]].concat();
                assert_eq!(pairs(&answer.ids, &answer.distances), both, "{text}");
                let request = request(query, filter);
                let asked = tokio_stream::iter([v1::SearchStreamRequest { tag: 1, request: Some(request) }]);
                let mut stream = client.search_stream(asked, None).await.unwrap();
                let Some(v1::search_stream_response::Result::Answer(answer)) =
                    stream.message().await.unwrap().unwrap().result
                else {
                    panic!("{text}")
                };
                assert_eq!(pairs(&answer.ids, &answer.distances), best, "in a stream: {text}");
            }
        }
    });
}

#[test]
fn answers_say_how_they_were_filtered() {
    run(async {
        let server = server(&[]);
        let client = server.client();
        let explained = |filter| {
            let options = Some(v1::SearchOptions { filter, explain: true, ..Default::default() });
            v1::SearchRequest { options, ..request(2, None) }
        };
        type Holds = fn(&Row) -> bool;
        let few: Holds = |row| row.stock == Some(7) && row.colour.is_some();
        let many: Holds = |row| row.colour.is_some();
        let cases = [
            (
                as_json(r#"{"stock": 7, "colour": {"$exists": true}}"#),
                few,
                "stock = 7 and colour is not null",
            ),
            (as_text("colour is not null"), many, "colour is not null"),
        ];
        for (filter, holds, text) in cases {
            let answer = client.search(explained(filter)).await.unwrap();
            let (filtered, told) = (answer.filtered.unwrap(), answer.explanation.unwrap().filter.unwrap());
            assert_eq!(filtered.matches, rows().filter(holds).count() as u64, "{text}");
            assert_eq!(
                (told.matches, told.plan(), told.text.as_str()),
                (filtered.matches, filtered.plan(), text)
            );
            assert_ne!(filtered.plan(), v1::FilterPlan::Unspecified);
            let parts: Vec<_> =
                told.parts.iter().map(|of| (of.depth, of.text.as_str(), of.matches)).collect();
            let count = |holds: fn(&Row) -> bool| rows().filter(holds).count() as u64;
            let expected = match text.split_once(" and ") {
                None => vec![(0, text, filtered.matches)],
                Some((stock, colour)) => vec![
                    (0, "and", filtered.matches),
                    (1, stock, count(|row| row.stock == Some(7))),
                    (1, colour, count(|row| row.colour.is_some())),
                ],
            };
            assert_eq!(parts, expected);
            assert!(told.reason() == v1::PlanReason::Cost && told.exact_cost > 0.0 && told.lists_cost > 0.0);
            // The cheapest of those that were compared.
            let cheapest = told.exact_cost <= told.lists_cost.min(told.codes_cost.unwrap_or(f64::MAX));
            assert_eq!(cheapest, told.plan() == v1::FilterPlan::Exact, "{told:?}");
        }
        let plain = client.search(explained(None)).await.unwrap();
        assert!(plain.filtered.is_none() && plain.explanation.unwrap().filter.is_none());
    });
}

#[test]
fn attributes_are_described_with_their_values() {
    run(async {
        let server = server(&["--metrics", "127.0.0.1:0"]);
        let about = server.client().describe_index("").await.unwrap();
        let names: Vec<_> = about.attributes.iter().map(|of| (of.name.as_str(), of.r#type())).collect();
        let expected = [
            ("colour", v1::AttributeType::Keyword),
            ("tags", v1::AttributeType::Tags),
            ("new", v1::AttributeType::Bool),
            ("stock", v1::AttributeType::I64),
            ("price", v1::AttributeType::F64),
            ("made", v1::AttributeType::Timestamp),
        ];
        assert_eq!(names, expected);
        let [colour, tags, new, stock, ..] = &about.attributes[..] else { panic!("{about:?}") };
        let nulls = |is_null: fn(&Row) -> bool| rows().filter(is_null).count() as u64;
        assert_eq!((colour.values, colour.nulls), (3, nulls(|row| row.colour.is_none())));
        assert_eq!((tags.values, tags.nulls), (4, nulls(|row| row.tags.is_empty())));
        assert_eq!((new.values, new.nulls), (2, nulls(|row| row.new.is_none())));
        assert_eq!((stock.values, stock.nulls), (0, nulls(|row| row.stock.is_none())));
        assert!(stock.most_frequent.is_empty() && tags.most_frequent.len() == 4);
        assert!(tags.most_frequent.iter().map(|of| of.vectors).rev().is_sorted());
        for v1::ValueCount { value, vectors } in &tags.most_frequent {
            let having = rows().filter(|row| row.tags.contains(&value.as_str())).count() as u64;
            assert_eq!(*vectors, having, "{value}");
        }
        let text = http_get(server.metrics.as_ref().unwrap(), "/api/status");
        let status: Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
        let shown = &status["indexes"][0]["attributes"][1];
        assert_eq!(
            (&shown["name"], &shown["type"], &shown["values"]),
            (&"tags".into(), &"tags".into(), &4.into())
        );
        let described = spandrel(&["admin", "--server", &server.address, "describe", "index"]);
        assert!(described.contains("tags (tags, 4 values"), "{described}");
    });
}
