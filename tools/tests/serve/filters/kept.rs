//! Filters that are asked for again.
use spandrel_proto::v1;

use super::messages::{K, as_json, as_text, pairs, request};
use super::rows::{Row, nearest, rows, server};
use crate::support::{Server, run};

fn counted(server: &Server, name: &str) -> f64 {
    server.metric_or_zero(&format!("spandrel_{name}_total{{index=\"index\"}}"))
}

#[test]
fn what_is_asked_for_again_is_compiled_once_and_what_is_kept_is_bounded() {
    run(async {
        let server = server(&["--metrics", "127.0.0.1:0", "--max-filters", "1MiB"]);
        let client = server.client();
        let kept = || server.metric("spandrel_index_memory_bytes{index=\"index\",part=\"filters\"}");
        assert!(kept() < 1.0);
        // However it is written.
        let same = [
            as_text("stock >= 3 and colour = 'grey'"),
            as_text("colour = \"grey\" and not stock < 3 and stock is not null"),
            as_json(r#"{"colour": "grey", "stock": {"$gte": 3}}"#),
        ];
        let holds = |row: &Row| row.colour == Some("grey") && row.stock.is_some_and(|stock| stock >= 3);
        for filter in same {
            let answer = client.search(request(9, filter)).await.unwrap();
            assert_eq!(pairs(&answer.ids, &answer.distances), nearest(9, holds)[..K as usize]);
        }
        let compiled = counted(&server, "filters_compiled");
        assert!((1.0..=2.0).contains(&compiled), "{compiled}");
        assert!((counted(&server, "filters_kept") + compiled - 3.0).abs() < 0.1);
        let of_plan = |plan: &str| {
            let labels = format!("{{index=\"index\",plan=\"{plan}\"}}");
            server.metric_or_zero(&format!("spandrel_queries_filtered_total{labels}"))
        };
        let filtered: f64 = ["exact", "codes", "lists", "post"].map(of_plan).into_iter().sum();
        assert!((filtered - 3.0).abs() < 0.1, "{filtered}");
        let matches = rows().filter(holds).count() as f64;
        assert!((counted(&server, "filter_matches") - 3.0 * matches).abs() < 0.1);
        // Many at once, of one filter that is new.
        let before = counted(&server, "filters_compiled");
        let calls = (0..20).map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.search(request(1, as_text("price < 33"))).await.unwrap().ids })
        });
        for call in calls.collect::<Vec<_>>() {
            assert_eq!(call.await.unwrap().len(), K as usize);
        }
        assert!((counted(&server, "filters_compiled") - before - 1.0).abs() < 0.1);
        // More than there is room for.
        for number in 0..2000 {
            client
                .search(request(1, as_text(&format!("price < {number}.25 or stock = {number}"))))
                .await
                .unwrap();
        }
        let bytes = kept();
        assert!(bytes > 5e4 && bytes <= f64::from(1 << 20), "{bytes}");
        let again = counted(&server, "filters_compiled");
        client.search(request(1, as_text("price < 1999.25 or stock = 1999"))).await.unwrap();
        assert!((counted(&server, "filters_compiled") - again).abs() < 0.1, "the last is there");
    });
}

#[test]
fn a_stream_of_a_thousand_filters_stays_within_the_memory_for_them() {
    run(async {
        let server = server(&["--metrics", "127.0.0.1:0", "--max-filters", "1MiB"]);
        let client = server.client();
        // In each of them one price is left out, and a few rows.
        let asked = |number: u64| {
            let request = Some(request(3, as_text(&format!("id != {number} and price < {number}.25"))));
            v1::SearchStreamRequest { tag: number, request }
        };
        let mut stream = client.search_stream(tokio_stream::iter((0..1000).map(asked)), None).await.unwrap();
        let (mut answered, mut most) = (0, 0.0_f64);
        while let Some(message) = stream.message().await.unwrap() {
            let Some(v1::search_stream_response::Result::Answer(answer)) = message.result else {
                panic!("{message:?}")
            };
            let below = message.tag as f64 + 0.25;
            let all = nearest(3, |_| true);
            let holds =
                |id: u64| id != message.tag && super::rows::row(id).price.is_some_and(|price| price < below);
            let expected: Vec<_> = all.into_iter().filter(|(id, _)| holds(*id)).take(K as usize).collect();
            assert_eq!(pairs(&answer.ids, &answer.distances), expected, "{}", message.tag);
            answered += 1;
            if answered % 100 == 0 {
                most =
                    most.max(server.metric("spandrel_index_memory_bytes{index=\"index\",part=\"filters\"}"));
            }
        }
        assert_eq!(answered, 1000);
        assert!(most > 5e5 && most <= f64::from(1 << 20), "{most} bytes");
    });
}
