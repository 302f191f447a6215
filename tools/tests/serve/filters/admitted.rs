//! Filters under load: refused before they are compiled, and weighed by how they are searched.
use std::time::Duration;

use spandrel_client::{Client, ClientConfig};
use spandrel_proto::v1;
use tokio::task::JoinSet;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::messages::{K, as_text, costly, options, raw, request};
use super::rows::{DIM, folder, made, server};
use crate::support::{Server, run};

fn compiled(server: &Server) -> f64 {
    server.metric_or_zero("spandrel_filters_compiled_total{index=\"index\"}")
}

#[test]
fn what_is_refused_or_malformed_costs_no_compiling() {
    run(async {
        let server = server(&["--metrics", "127.0.0.1:0"]);
        let client = server.client();
        let good = || as_text("stock > 3");
        let with = |change: fn(&mut v1::SearchOptions)| {
            let mut asked = options(good()).unwrap();
            change(&mut asked);
            v1::SearchRequest { options: Some(asked), ..request(0, None) }
        };
        let of = |query| v1::SearchRequest { query: Some(query), ..request(0, good()) };
        let by_id =
            |id| v1::Vectors { form: Some(v1::vectors::Form::Ids(v1::Ids { values: vec![id] })), dim: 0 };
        let floats = |value: f32| v1::Vectors {
            form: Some(v1::vectors::Form::Floats(v1::Floats { values: vec![value; DIM] })),
            dim: DIM as u32,
        };
        let cases = [
            (of(v1::Vectors::raw(DIM as u32 / 2, v1::Dtype::U8, vec![0; DIM / 2])), Code::InvalidArgument),
            (of(floats(f32::NAN)), Code::InvalidArgument),
            (of(floats(0.5)), Code::InvalidArgument),
            (of(by_id(1 << 40)), Code::NotFound),
            (v1::SearchRequest { k: 0, ..request(0, good()) }, Code::InvalidArgument),
            (v1::SearchRequest { k: 100_000, ..request(0, good()) }, Code::InvalidArgument),
            (v1::SearchRequest { index: "other".to_owned(), ..request(0, good()) }, Code::NotFound),
            (with(|options| options.recall = Some(2.0)), Code::InvalidArgument),
            (with(|options| options.epsilon = Some(-1.0)), Code::InvalidArgument),
            (with(|options| options.max_lists = Some(0)), Code::InvalidArgument),
        ];
        for (request, expected) in cases {
            let refused = client.search(request.clone()).await.unwrap_err();
            assert_eq!(refused.code(), expected, "{refused}");
            let v1::SearchRequest { index, query, k, options, .. } = request;
            let batch = v1::SearchBatchRequest { index, queries: query, k, options, ..Default::default() };
            assert_eq!(client.search_batch(batch).await.unwrap_err().code(), expected);
        }
        for (query, radius, completeness, expected) in [
            (by_id(1 << 40), 1.0, 1.0, Code::NotFound),
            (raw(0), -1.0, 1.0, Code::InvalidArgument),
            (raw(0), 1.0, 2.0, Code::InvalidArgument),
        ] {
            let range = v1::SearchRangeRequest {
                query: Some(query),
                radius: Some(radius),
                completeness: Some(completeness),
                filter: good(),
                ..Default::default()
            };
            assert_eq!(client.search_range(range, None).await.unwrap_err().code(), expected);
        }
        assert!(compiled(&server) < 0.5, "{}", compiled(&server));
        client.search(request(0, good())).await.unwrap();
        assert!(compiled(&server) > 0.5);
    });
}

#[test]
fn filters_that_wait_too_long_to_be_compiled_are_refused_with_the_time_to_come_back() {
    const CALLS: usize = 200;
    const PAIRS: usize = 4000;
    run(async {
        let flags = ["--metrics", "127.0.0.1:0", "--queue-delay-ms", "20"];
        let server = Server::of(&format!("index={}", folder().path().display()), &flags);
        let client = server.client();
        // So that it is known how long one takes.
        client.search(request(0, costly(9999, PAIRS))).await.unwrap();
        let mut calls = JoinSet::new();
        for number in 0..CALLS {
            let client = client.clone();
            calls.spawn(async move { client.search(request(0, costly(number, PAIRS))).await });
        }
        let (mut answered, mut refused) = (0, 0);
        while let Some(call) = calls.join_next().await {
            match call.unwrap() {
                Ok(answer) => {
                    assert_eq!(answer.ids.len(), K as usize);
                    answered += 1;
                }
                Err(status) => {
                    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
                    let after = status.get_details_retry_info().unwrap().retry_delay.unwrap();
                    assert!(after > Duration::ZERO && after < Duration::from_secs(60), "{after:?}");
                    refused += 1;
                }
            }
        }
        assert!(answered > 0 && refused > CALLS / 10, "{answered} answered, {refused} refused");
        // The first of all, and what the queue of queries refused afterwards, if there was such.
        let compiled = compiled(&server) as usize;
        assert!(compiled < answered + 1 + CALLS / 10, "{compiled} were compiled, {answered} answered");
        assert_eq!(client.search(request(0, costly(0, PAIRS))).await.unwrap().ids.len(), K as usize);
    });
}

#[test]
fn queries_are_weighed_by_how_their_filter_is_searched() {
    const QUERIES: usize = 1000;
    run(async {
        let server = server(&["--threads", "1", "--in-flight", "1"]);
        // One matches, and all do: these are searched in ways of their own.
        let [cheap, dear] = [("id = 7", K), ("not id = 999999", 20 * K)];
        let batch = |(filter, k)| {
            let rows: Vec<u8> = (0..QUERIES).flat_map(|at| made().row(at).to_vec()).collect();
            let queries = Some(v1::Vectors::raw(DIM as u32, v1::Dtype::U8, rows));
            let options = Some(v1::SearchOptions { with_work: true, ..options(as_text(filter)).unwrap() });
            v1::SearchBatchRequest { queries, k, options, ..Default::default() }
        };
        let patient =
            Client::new(&ClientConfig { timeout: Some(Duration::from_secs(600)), ..server.config() })
                .unwrap();
        let (mut seconds, mut plans) = (Vec::new(), Vec::new());
        for filter in [cheap, dear] {
            let answer = patient.search_batch(batch(filter)).await.unwrap();
            plans.push(answer.filtered[0].plan());
            seconds.push(answer.work.iter().map(|work| f64::from(work.search_us)).sum::<f64>() / 1e6);
        }
        assert!(seconds[1] > 1.5 * seconds[0] && plans[0] != plans[1], "{seconds:?} {plans:?}");
        let timeout = Some(Duration::from_secs_f64((seconds[0] * seconds[1]).sqrt()));
        let hurried = Client::new(&ClientConfig { timeout, ..server.config() }).unwrap();
        let refused_at_once = |refused: &tonic::Status| {
            assert_eq!(refused.code(), Code::DeadlineExceeded, "{refused}");
            refused.message().contains("queries take about")
        };
        let refused = hurried.search_batch(batch(dear)).await.unwrap_err();
        assert!(refused_at_once(&refused), "{refused}");
        // It may be late on a busy machine, and is let in.
        let answered = hurried.search_batch(batch(cheap)).await;
        assert!(answered.as_ref().err().is_none_or(|late| !refused_at_once(late)), "{answered:?}");
    });
}
