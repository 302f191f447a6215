//! Requests that cannot be answered get the code of the table, the field, and what to change.
use std::time::{Duration, Instant};

use spandrel_client::{Client, ClientConfig, item_status};
use spandrel_proto::v1;
use spandrel_proto::v1::search_stream_response::Result as ItemResult;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::support::{DIM, Server, bytes, made, raw_call, request, run};

type Change = fn(&mut v1::SearchRequest);

fn numbers(numbers: Vec<f32>) -> Option<v1::Vectors> {
    of_dim(numbers, DIM)
}

fn of_dim(numbers: Vec<f32>, dim: usize) -> Option<v1::Vectors> {
    Some(v1::Vectors::floats(dim as u32, numbers))
}

fn of_dtype(dtype: i32) -> Option<v1::Vectors> {
    let raw = v1::Raw { data: vec![0; DIM].into(), dtype };
    Some(v1::Vectors { dim: DIM as u32, form: Some(v1::vectors::Form::Raw(raw)) })
}

fn options(change: fn(&mut v1::SearchOptions)) -> Option<v1::SearchOptions> {
    let mut options = v1::SearchOptions::default();
    change(&mut options);
    Some(options)
}

/// Requests with one thing wrong: the code, the field that is blamed, a word of the message.
const WRONG: [(Change, Code, &str, &str); 28] = [
    (|r| r.k = 0, Code::InvalidArgument, "k", "at least 1"),
    (|r| r.k = 900, Code::InvalidArgument, "k", "limit is 500"),
    (|r| r.k = u32::MAX, Code::InvalidArgument, "k", "limit is 500"),
    (|r| r.index = "other".to_owned(), Code::NotFound, "", "only 'index'"),
    (|r| r.query = None, Code::InvalidArgument, "query", "not set"),
    (|r| r.query = numbers(vec![]), Code::InvalidArgument, "query", "no elements"),
    (|r| r.query = numbers(vec![1.0; DIM - 1]), Code::InvalidArgument, "query", "128 elements"),
    (|r| r.query = numbers(vec![1.0; 2 * DIM]), Code::InvalidArgument, "query", "SearchBatch"),
    (
        |r| r.query = of_dim(vec![1.0; DIM], DIM / 2),
        Code::InvalidArgument,
        "query",
        "64 elements, the index has",
    ),
    (|r| r.query.as_mut().unwrap().dim = u32::MAX, Code::InvalidArgument, "query", "4294967295 elements"),
    (|r| r.query = numbers(vec![f32::NAN; DIM]), Code::InvalidArgument, "query", "element 0 is NaN"),
    (|r| r.query = numbers(vec![256.0; DIM]), Code::InvalidArgument, "query", "0 to 255"),
    (|r| r.query = numbers(vec![0.5; DIM]), Code::InvalidArgument, "query", "whole numbers"),
    (|r| r.query = Some(bytes(vec![0; DIM + 1])), Code::InvalidArgument, "query", "multiple of 128"),
    (|r| r.query = of_dtype(0), Code::InvalidArgument, "query", "without its dtype"),
    (|r| r.query = of_dtype(1), Code::InvalidArgument, "query", "data of f32"),
    (|r| r.query = of_dtype(99), Code::InvalidArgument, "query", "unknown dtype 99"),
    (|r| r.query = Some(v1::Vectors::ids(vec![])), Code::InvalidArgument, "query", "no elements"),
    (|r| r.query = Some(v1::Vectors::ids(vec![1, 2])), Code::InvalidArgument, "query", "SearchBatch"),
    (|r| r.query = Some(v1::Vectors::ids(vec![u64::MAX])), Code::NotFound, "", "18446744073709551615"),
    (
        |r| r.options = options(|o| o.epsilon = Some(f32::NAN)),
        Code::InvalidArgument,
        "options.epsilon",
        "NaN",
    ),
    (
        |r| r.options = options(|o| o.max_lists = Some(0)),
        Code::InvalidArgument,
        "options.max_lists",
        "at least 1",
    ),
    (
        |r| r.options = options(|o| o.max_bytes = Some(0)),
        Code::InvalidArgument,
        "options.max_bytes",
        "at least 1",
    ),
    (|r| r.options = options(|o| o.rerank = Some(0)), Code::InvalidArgument, "options.rerank", "at least 1"),
    (
        |r| r.options = options(|o| o.rerank_errors = Some(-0.5)),
        Code::InvalidArgument,
        "options.rerank_errors",
        "0 or more",
    ),
    (
        |r| r.options = options(|o| o.rerank_errors = Some(f32::INFINITY)),
        Code::InvalidArgument,
        "options.rerank_errors",
        "inf",
    ),
    (
        |r| r.options = options(|o| (o.rerank, o.rerank_errors) = (Some(20), Some(1.0))),
        Code::InvalidArgument,
        "options.rerank_errors",
        "one of them",
    ),
    (
        |r| r.options = options(|o| o.distances = 77),
        Code::InvalidArgument,
        "options.distances",
        "unknown distances 77",
    ),
];

#[track_caller]
fn assert_refused(status: &Status, code: Code, field: &str, word: &str) {
    assert_eq!(status.code(), code, "{status}");
    assert!(status.message().contains(word), "{status}, expected '{word}'");
    let violations = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
    let fields: Vec<&str> = violations.iter().map(|v| v.field.as_str()).collect();
    assert_eq!(fields, if field.is_empty() { vec![] } else { vec![field] }, "{status}");
}

#[test]
fn wrong_requests_name_the_field_by_every_method() {
    run(async {
        let server = Server::start(&["--max-k", "500", "--max-batch", "50"]);
        let client = server.client();
        let mut items = Vec::new();
        for (tag, (change, code, field, word)) in (0..).zip(WRONG) {
            let mut wrong = request(0);
            change(&mut wrong);
            assert_refused(&client.search(wrong.clone()).await.unwrap_err(), code, field, word);
            items.push(v1::SearchStreamRequest { tag, request: Some(wrong) });
        }
        // In a stream each is refused by itself, and the good one among them is answered.
        items.insert(3, v1::SearchStreamRequest { tag: 1000, request: Some(request(0)) });
        items.push(v1::SearchStreamRequest { tag: 1001, request: None });
        let count = items.len();
        let mut stream = client.search_stream(tokio_stream::iter(items), None).await.unwrap();
        let mut seen = 0;
        while let Some(item) = stream.message().await.unwrap() {
            seen += 1;
            match item.result.unwrap() {
                ItemResult::Answer(answer) => assert_eq!((item.tag, answer.ids.len()), (1000, 10)),
                ItemResult::Status(status) => {
                    let code = WRONG.get(item.tag as usize).map_or(Code::InvalidArgument, |wrong| wrong.1);
                    // As of a call of its own, field and all.
                    let told = item_status(status);
                    let (field, word) =
                        WRONG.get(item.tag as usize).map_or(("request", "not set"), |w| (w.2, w.3));
                    assert_refused(&told, code, field, word);
                }
            }
        }
        assert_eq!(seen, count);

        let batch =
            |rows: Vec<u8>| v1::SearchBatchRequest { queries: Some(bytes(rows)), k: 1, ..Default::default() };
        let many = client.search_batch(batch(vec![0; 51 * DIM])).await.unwrap_err();
        assert_refused(&many, Code::InvalidArgument, "queries", "limit is 50");
        assert_refused(
            &client.search_batch(batch(vec![])).await.unwrap_err(),
            Code::InvalidArgument,
            "queries",
            "no elements",
        );
        for dim in [DIM / 2, 2 * DIM, DIM + 1] {
            let queries = of_dim(vec![1.0; 8 * dim], dim);
            let batch = v1::SearchBatchRequest { queries, k: 1, ..Default::default() };
            assert_refused(
                &client.search_batch(batch).await.unwrap_err(),
                Code::InvalidArgument,
                "queries",
                &format!("vectors of {dim} elements, the index has 128"),
            );
        }
        let queries = of_dim(vec![1.0; 2 * DIM], 0);
        let batch = v1::SearchBatchRequest { queries, k: 1, ..Default::default() };
        let silent = client.search_batch(batch).await.unwrap_err();
        assert_refused(&silent, Code::InvalidArgument, "queries", "set dim");
        let fetch = |ids| client.fetch(v1::FetchRequest { ids, ..Default::default() });
        assert_refused(&fetch(vec![]).await.unwrap_err(), Code::InvalidArgument, "ids", "none");
        assert_refused(&fetch(vec![1; 51]).await.unwrap_err(), Code::InvalidArgument, "ids", "limit is 50");
        let k = request(0);
        assert_eq!(client.search(v1::SearchRequest { k: 500, ..k }).await.unwrap().ids.len(), 500);
    });
}

#[test]
fn queries_without_their_dimension_have_that_of_the_index() {
    run(async {
        let server = Server::start(&[]);
        let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
        let mut client =
            v1::search_service_client::SearchServiceClient::new(channel.connect().await.unwrap());
        let batch = |elements: usize| v1::SearchBatchRequest {
            queries: of_dim(vec![1.0; elements], 0),
            k: 1,
            ..Default::default()
        };
        let answered = client.search_batch(batch(3 * DIM)).await.unwrap().into_inner();
        assert_eq!(answered.counts, [1; 3]);
        let refused = client.search_batch(batch(3 * DIM - 1)).await.unwrap_err();
        assert_refused(&refused, Code::InvalidArgument, "queries", "multiple of 128");
    });
}

#[test]
fn lists_and_exact_comparisons_have_limits() {
    run(async {
        let server = Server::start(&["--max-lists", "20", "--max-rerank", "100"]);
        let client = server.client();
        let with = |max_lists, rerank| {
            let options = v1::SearchOptions { max_lists, rerank, ..Default::default() };
            v1::SearchRequest { options: Some(options), ..request(0) }
        };
        for (wrong, field, word) in [
            (with(Some(21), None), "options.max_lists", "21"),
            (with(Some(u32::MAX), None), "options.max_lists", "limit is 20"),
            (with(Some(5), Some(101)), "options.rerank", "101"),
            (with(None, Some(u32::MAX)), "options.rerank", "limit is 100"),
        ] {
            let refused = client.search(wrong).await.unwrap_err();
            assert_refused(&refused, Code::InvalidArgument, field, word);
        }
        assert_eq!(client.search(with(Some(20), Some(100))).await.unwrap().ids.len(), 10);
        // All of a small index is within the usual limits.
        let usual = Server::start(&[]);
        let all = usual.client().search(with(Some(u32::MAX), Some(u32::MAX))).await.unwrap();
        assert_eq!(all.ids.len(), 10);
    });
}

#[test]
fn messages_over_the_limit_are_refused_before_they_are_read() {
    run(async {
        let server = Server::start(&["--max-message", "64KiB"]);
        let rows = bytes(made().queries().repeat(4));
        let batch = v1::SearchBatchRequest { queries: Some(rows), k: 1, ..Default::default() };
        let refused = server.client().search_batch(batch).await.unwrap_err();
        assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
        assert!(refused.message().contains("65536"), "{refused}");
    });
}

#[test]
fn deadlines_are_kept() {
    run(async {
        let server = Server::start(&[]);
        let body = prost::Message::encode_to_vec(&request(0));
        let method = "/spandrel.v1.SearchService/Search";
        assert_eq!(raw_call(&server, method, "1n", (0, &body)).await, Code::DeadlineExceeded);
        assert_eq!(raw_call(&server, method, "10S", (0, &body)).await, Code::Ok);
        let hasty = ClientConfig { timeout: Some(Duration::from_nanos(1)), ..server.config() };
        let hasty = Client::new(&hasty).unwrap().search(request(0)).await.unwrap_err();
        assert_eq!(hasty.code(), Code::DeadlineExceeded);

        // A stream ends at its deadline even if nothing is asked.
        let mut waiting = Request::new(tokio_stream::pending());
        waiting.metadata_mut().insert("grpc-timeout", "200m".parse().unwrap());
        let begun = Instant::now();
        let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
        let mut client =
            v1::search_service_client::SearchServiceClient::new(channel.connect().await.unwrap());
        let mut stream = client.search_stream(waiting).await.unwrap().into_inner();
        assert_eq!(stream.message().await.unwrap_err().code(), Code::DeadlineExceeded);
        assert!(begun.elapsed() >= Duration::from_millis(190));

        // And where the server says nothing at all.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = ClientConfig { address: silent.local_addr().unwrap().to_string(), ..server.config() };
        let soon = Some(Duration::from_millis(200));
        let ended = Client::new(&config).unwrap().search_stream(tokio_stream::pending(), soon).await;
        assert_eq!(ended.unwrap_err().code(), Code::DeadlineExceeded);
        let mut stream = server.client().search_stream(tokio_stream::pending(), soon).await.unwrap();
        assert_eq!(stream.message().await.unwrap_err().code(), Code::DeadlineExceeded);
    });
}

#[test]
fn admin_calls_keep_to_the_roots() {
    run(async {
        let root = made().text("half");
        let server = Server::start(&["--root", &root]);
        let client = server.client();
        let mut admin = client.admin();
        let load = |name: &str, path: &str| v1::StartLoadRequest {
            index: name.to_owned(),
            path: path.to_owned(),
            ..Default::default()
        };
        let above = format!("{root}/../index");
        for path in ["/", "/etc/passwd", "no/such", &above, ""] {
            let refused = client.load_index(load("new", path)).await.unwrap_err();
            assert_refused(&refused, Code::PermissionDenied, "path", "--root");
        }
        assert_refused(
            &client.load_index(load("a/b", &root)).await.unwrap_err(),
            Code::InvalidArgument,
            "index",
            "no name",
        );
        assert_refused(
            &client.load_index(load("index", &root)).await.unwrap_err(),
            Code::AlreadyExists,
            "",
            "unload",
        );
        let tiers = v1::StartLoadRequest { codes: 9, ..load("new", &root) };
        assert_refused(
            &client.load_index(tiers).await.unwrap_err(),
            Code::InvalidArgument,
            "codes",
            "unknown tier 9",
        );
        client.load_index(load("new", &root)).await.unwrap();
        let none = server.client().search(request(0)).await.unwrap_err();
        assert_refused(&none, Code::InvalidArgument, "index", "'index', 'new'");
        admin.unload_index(v1::UnloadIndexRequest { index: "new".to_owned() }).await.unwrap();
        let gone = admin.unload_index(v1::UnloadIndexRequest { index: "new".to_owned() }).await.unwrap_err();
        assert_refused(&gone, Code::NotFound, "", "only 'index'");
        assert_eq!(server.client().search(request(0)).await.unwrap().ids.len(), 10);
    });
}

#[test]
fn of_several_indexes_requests_name_one_unless_the_server_was_told_a_default() {
    run(async {
        let (index, half) =
            (format!("other={}", made().text("index")), format!("half={}", made().text("half")));
        let two = Server::of(&index, &["--index", &half]);
        let refused = two.client().search(request(0)).await.unwrap_err();
        assert_refused(&refused, Code::InvalidArgument, "index", "there are 'half', 'other'");
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_spandrel"))
            .args(["query", "--server", &two.address, "--queries", &made().text("queries.u8bin")])
            .output()
            .unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains("'half', 'other'") && told.contains("--index-name"), "{told}");

        let with = Server::of(&index, &["--index", &half, "--default-index", "half"]);
        let vectors = |name| {
            let client = with.client();
            async move { client.describe_index(name).await.unwrap().summary.unwrap().vectors }
        };
        assert_eq!((vectors("").await, vectors("other").await), (2500, 5000));
        let answer = with.client().search(request(0)).await.unwrap();
        let named = v1::SearchRequest { index: "half".to_owned(), ..request(0) };
        assert_eq!(answer, with.client().search(named).await.unwrap());
        let refused = std::process::Command::new(env!("CARGO_BIN_EXE_spandrel"))
            .args(["serve", "--check", "--index", &index, "--default-index", "half"])
            .output()
            .unwrap();
        let told = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success() && told.contains("--default-index half"), "{told}");
    });
}
