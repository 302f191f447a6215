//! An index whose candidates are compared by a column, asked in process and over gRPC.
use spandrel_proto::v1;
use spandrel_proto::v1::search_stream_response::Result as ItemResult;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{DIM, QUERIES, Server, VECTORS, bytes, made, run, spandrel};

/// Elements of the vectors that are searched: the first of each vector of the column.
const COARSE: usize = 32;

/// The first elements of every vector of a file.
fn crop(from: &str, to: &str) {
    let whole = std::fs::read(made().path(from)).unwrap();
    let mut some = whole[..4].to_vec();
    some.extend((COARSE as u32).to_le_bytes());
    whole[8..].chunks(DIM).for_each(|row| some.extend(&row[..COARSE]));
    std::fs::write(made().path(to), some).unwrap();
}

/// An index with a column `fine`, which keeps its coarse vectors or not; and the coarse queries beside it.
fn build(name: &str, keep: bool) -> String {
    let [base, queries, out] =
        ["coarse.u8bin", "coarse-queries.u8bin", name].map(|file| format!("{name}-{file}"));
    crop("base.u8bin", &base);
    crop("queries.u8bin", &queries);
    let column = format!("fine={}:l2", made().text("base.u8bin"));
    let (base, out) = (made().text(&base), made().text(&out));
    let flags = ["build", "--quiet", "--base", &base, "--metric", "l2", "--out", &out, "--list-size", "32"];
    let more = ["--code", "axes:8", "--column", &column, "--no-calibrate"];
    spandrel(&[&flags[..], &more, if keep { &["--keep-coarse"] } else { &[] }].concat());
    out
}

fn coarse(number: usize) -> v1::Vectors {
    v1::Vectors::raw(COARSE as u32, v1::Dtype::U8, fine_row(number)[..COARSE].to_vec())
}

fn fine_row(number: usize) -> Vec<u8> {
    made().queries()[number * DIM..(number + 1) * DIM].to_vec()
}

fn of_column(vectors: v1::Vectors) -> Option<v1::ColumnQueries> {
    Some(v1::ColumnQueries { column: "fine".to_owned(), vectors: Some(vectors) })
}

fn request(number: usize) -> v1::SearchRequest {
    let column_queries = of_column(bytes(fine_row(number)));
    v1::SearchRequest { query: Some(coarse(number)), k: 10, column_queries, ..Default::default() }
}

#[test]
fn every_call_answers_as_in_process() {
    let index = build("called", false);
    let queries = made().text("called-coarse-queries.u8bin");
    let fine = format!("fine={}", made().text("queries.u8bin"));
    let ask = |flags: &[&str]| {
        let all = ["query", "--quiet", "--queries", &queries, "--column-queries", &fine, "--rerank", "60"];
        spandrel(&[&all[..], flags].concat())
    };
    let expected = ask(&["--index", &index]);
    assert_eq!(expected.lines().count(), 1 + QUERIES * 10);
    let server = Server::of(&format!("index={index}"), &["--queue-delay-ms", "60000"]);
    for rpc in ["unary", "batch", "stream"] {
        assert!(ask(&["--server", &server.address, "--rpc", rpc]) == expected, "{rpc}");
    }
    let truth = made().text("column-truth.ibin");
    let (base, of) = (made().text("base.u8bin"), made().text("queries.u8bin"));
    spandrel(&[
        "data",
        "truth",
        "--base",
        &base,
        "--queries",
        &of,
        "--metric",
        "l2",
        "--k",
        "10",
        "--out",
        &truth,
    ]);
    let bench = |flags: &[&str]| {
        let all = ["bench", "--quiet", "--format", "json", "--queries", &queries, "--column-queries", &fine];
        let printed =
            spandrel(&[&all[..], &["--truth", &truth, "--seconds", "0", "--rerank", "60"], flags].concat());
        let points: serde_json::Value = serde_json::from_str(&printed).unwrap();
        points[0]["recall"].as_f64().unwrap()
    };
    let recall = bench(&["--index", &index]);
    assert!(recall > 0.25 && recall == bench(&["--server", &server.address]), "{recall}");
    let described = spandrel(&["admin", "--server", &server.address, "--format", "json", "describe"]);
    let described: serde_json::Value = serde_json::from_str(&described).unwrap();
    let column = serde_json::json!({ "name": "fine", "dim": DIM, "dtype": "u8", "metric": "l2", "keeps_coarse": false });
    assert_eq!(described["column"], column);
    let fetched = spandrel(&["admin", "--server", &server.address, "fetch", "--column", "fine", "7"]);
    assert_eq!(fetched.split_whitespace().count(), 1 + DIM);
}

#[test]
fn vectors_come_from_the_column_and_ids_name_what_it_holds() {
    let server = Server::of(&format!("index={}", build("kept", true)), &[]);
    run(async {
        let client = server.client();
        let options = v1::SearchOptions { with_vectors: true, max_lists: Some(4096), ..Default::default() };
        let options = Some(v1::SearchOptions { rerank: Some(VECTORS as u32), ..options });
        let by_id = v1::SearchRequest {
            query: Some(v1::Vectors::ids(vec![77])),
            column_queries: of_column(v1::Vectors::ids(vec![77])),
            options,
            ..request(0)
        };
        let answer = client.search(by_id).await.unwrap();
        let vectors = answer.vectors.unwrap();
        assert_eq!((answer.ids[0], answer.distances[0], vectors.dim), (77, 0.0, DIM as u32));
        let fetch = |column: &str| v1::FetchRequest {
            ids: vec![77],
            column: column.to_owned(),
            ..Default::default()
        };
        let fine = client.fetch(fetch("fine")).await.unwrap().vectors.unwrap();
        assert_eq!(fine.raw_data(), vectors.raw_data()[..DIM].to_vec());
        let coarse = client.fetch(fetch("")).await.unwrap().vectors.unwrap();
        assert_eq!((coarse.dim as usize, &coarse.raw_data()[..]), (COARSE, &fine.raw_data()[..COARSE]));
        // Without a vector of the column, by the vectors that are searched.
        let alone = client.search(v1::SearchRequest { column_queries: None, ..request(3) }).await.unwrap();
        let first =
            client.fetch(v1::FetchRequest { ids: vec![alone.ids[0]], ..Default::default() }).await.unwrap();
        let squared = |a: &[u8], b: &[u8]| {
            a.iter().zip(b).map(|(&a, &b)| (i32::from(a) - i32::from(b)).pow(2)).sum::<i32>()
        };
        let found = first.vectors.unwrap().raw_data().to_vec();
        assert_eq!(squared(&found, &fine_row(3)[..COARSE]) as f32, alone.distances[0]);
        // Numbers that are no bytes, and the default of a hundred.
        let floats = fine_row(3).into_iter().map(f32::from).collect();
        let options = Some(v1::SearchOptions { with_work: true, ..Default::default() });
        let column_queries = of_column(v1::Vectors::floats(DIM as u32, floats));
        let usual = v1::SearchRequest { column_queries, options, ..request(3) };
        let answer = client.search(usual).await.unwrap();
        assert_eq!(answer.work.unwrap().reranked, 100);
        let promise = answer.promise.unwrap();
        assert!(promise.expected_recall.is_none() && !promise.reached, "{promise:?}");
    });
}

#[test]
fn what_does_not_fit_the_column_is_refused() {
    let server = Server::of(&format!("index={}", build("refused", false)), &[]);
    run(async {
        let client = server.client();
        let raw = |dim: usize| v1::Vectors::raw(dim as u32, v1::Dtype::U8, vec![1; dim]);
        let named =
            |column: &str| Some(v1::ColumnQueries { column: column.to_owned(), vectors: Some(raw(DIM)) });
        let with = |of: v1::SearchOptions| v1::SearchRequest { options: Some(of), ..request(0) };
        let vectors = "column_queries.vectors";
        let cases = [
            (v1::SearchRequest { column_queries: named("other"), ..request(0) }, "column_queries.column"),
            (v1::SearchRequest { column_queries: named(""), ..request(0) }, "column_queries.column"),
            (v1::SearchRequest { column_queries: of_column(raw(DIM - 1)), ..request(0) }, vectors),
            (v1::SearchRequest { column_queries: of_column(bytes(vec![1; 2 * DIM])), ..request(0) }, vectors),
            (
                with(v1::SearchOptions { rerank_errors: Some(1.0), ..Default::default() }),
                "options.rerank_errors",
            ),
            (
                with(v1::SearchOptions { distances: v1::Distances::Any as i32, ..Default::default() }),
                "options.distances",
            ),
        ];
        for (number, (request, field)) in cases.into_iter().enumerate() {
            let status = client.search(request).await.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument, "case {number}: {status}");
            let details = status.get_details_bad_request().unwrap();
            assert_eq!(details.field_violations[0].field, field, "case {number}: {status}");
        }
        let batch = v1::SearchBatchRequest {
            queries: Some(v1::Vectors::raw(COARSE as u32, v1::Dtype::U8, vec![1; 3 * COARSE])),
            k: 1,
            column_queries: of_column(bytes(vec![1; 2 * DIM])),
            ..Default::default()
        };
        let status = client.search_batch(batch).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        // The vectors that are searched are not kept.
        let alone = v1::SearchRequest { column_queries: None, ..request(0) };
        let by_id = v1::SearchRequest { query: Some(v1::Vectors::ids(vec![7])), ..request(0) };
        for request in [alone, by_id] {
            let status = client.search(request).await.unwrap_err();
            assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
            assert!(status.message().contains("fine"), "{status}");
        }
        let status = client.fetch(v1::FetchRequest { ids: vec![7], ..Default::default() }).await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
        let range =
            v1::SearchRangeRequest { query: Some(coarse(0)), radius: Some(9.0), ..Default::default() };
        let status = client.search_range(range, None).await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
        let item = v1::SearchRequest { column_queries: named("other"), ..request(0) };
        let items =
            [item, request(1)].map(|request| v1::SearchStreamRequest { tag: 1, request: Some(request) });
        let mut stream = client.search_stream(tokio_stream::iter(items), None).await.unwrap();
        let mut answered = 0;
        while let Some(item) = stream.message().await.unwrap() {
            answered += usize::from(matches!(item.result, Some(ItemResult::Answer(_))));
        }
        assert_eq!(answered, 1, "the other leaves the stream open");
    });
}

/// The vector of a column was looked at after the filter had been compiled: a query that is refused anyway cost that.
#[test]
fn a_vector_of_the_column_without_a_distance_costs_no_compiling() {
    let (base, known, out) =
        (made().text("base.u8bin"), made().text("known.jsonl"), made().text("filtered-column"));
    let lines: String = (0..VECTORS).map(|row| format!("{{\"id\":{row},\"number\":{row}}}\n")).collect();
    std::fs::write(&known, lines).unwrap();
    let column = format!("fine={base}:cosine");
    let flags = ["build", "--quiet", "--base", &base, "--metric", "l2", "--out", &out, "--code", "axes:8"];
    spandrel(&[&flags[..], &["--column", &column, "--attributes", &known, "--no-calibrate"]].concat());
    let server =
        Server::of(&format!("index={out}"), &["--queue-delay-ms", "60000", "--metrics", "127.0.0.1:0"]);
    run(async {
        let client = server.client();
        let ask = |fine: Vec<u8>| v1::SearchRequest {
            query: Some(bytes(fine_row(0))),
            k: 3,
            column_queries: of_column(bytes(fine)),
            options: Some(v1::SearchOptions {
                filter: Some(v1::Filter { form: Some(v1::filter::Form::Text("number > 5".to_owned())) }),
                ..Default::default()
            }),
            ..Default::default()
        };
        let refused = client.search(ask(vec![0; DIM])).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(refused.message().contains("a zero vector"), "{refused}");
        let compiled = || server.metric_or_zero("spandrel_filters_compiled_total{index=\"index\"}");
        assert!(compiled() < 0.5, "{}", compiled());
        client.search(ask(fine_row(0))).await.unwrap();
        assert!(compiled() > 0.5);
    });
}
