//! An index of documents of many vectors, asked in process and over gRPC.
use spandrel_proto::v1;
use spandrel_proto::v1::documents::Tokens;
use spandrel_proto::v1::search_stream_response::Result as ItemResult;
use spandrel_proto::v1::vectors::Form;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::{DIM, QUERIES, Server, VECTORS, bytes, made, run, spandrel};

/// Vectors of a document of the index, and of a query.
const OF_DOCUMENT: u64 = 10;
const OF_QUERY: usize = 4;

/// Writes where documents of `each` of `rows` rows begin.
fn write_offsets(name: &str, rows: u32, each: u32) -> String {
    let offsets: Vec<u32> = (0..rows).step_by(each as usize).chain([rows]).collect();
    let words = [&[offsets.len() as u32, 1], &offsets[..]].concat();
    std::fs::write(made().path(name), words.into_iter().flat_map(u32::to_le_bytes).collect::<Vec<u8>>())
        .unwrap();
    made().text(name)
}

/// An index of documents, and where query documents begin.
fn build(name: &str) -> (String, String) {
    build_with(name, &[])
}

fn build_with(name: &str, flags: &[&str]) -> (String, String) {
    let documents = write_offsets(&format!("{name}-documents.ibin"), VECTORS as u32, OF_DOCUMENT as u32);
    let of_queries = write_offsets(&format!("{name}-queries.ibin"), QUERIES as u32, OF_QUERY as u32);
    let (base, index) = (made().text("base.u8bin"), made().text(name));
    let fixed = ["build", "--quiet", "--base", &base, "--metric", "ip", "--out", &index];
    spandrel(&[&fixed[..], &["--list-size", "32", "--documents", &documents], flags].concat());
    (index, of_queries)
}

/// Answers over every call are those in process.
fn compare(server: &Server, index: &str, of_queries: &str) {
    let queries = made().text("queries.u8bin");
    let ask = |flags: &[&str]| {
        let all = ["query", "--quiet", "--queries", &queries, "--query-documents", of_queries];
        spandrel(&[&all[..], flags].concat())
    };
    for flags in [&[][..], &["--rerank", "20", "--max-lists", "5"], &["--k", "3", "--rerank", "500"]] {
        let expected = ask(&[&["--index", index], flags].concat());
        for rpc in ["unary", "batch", "stream"] {
            let found = ask(&[&["--server", &server.address, "--rpc", rpc], flags].concat());
            assert!(found == expected, "{rpc} {flags:?}");
        }
    }
}

/// How they were found is told as in process, but for the time that it took.
#[test]
fn a_server_says_how_documents_were_found() {
    for (name, flags) in
        [("told-documents", &[][..]), ("told-encoded", &["--document-encoding", "muvera:R=4,k=2,d=8"])]
    {
        let (index, of_queries) = build_with(name, flags);
        let server = Server::of(&format!("index={index}"), &["--queue-delay-ms", "60000"]);
        let queries = made().text("queries.u8bin");
        let ask = |flags: &[&str]| -> Vec<serde_json::Value> {
            let all = ["query", "--quiet", "--queries", &queries, "--query-documents", &of_queries];
            let more = ["--explain", "--rerank", "20", "--format", "json"];
            let lines = spandrel(&[&all[..], &more, flags].concat());
            let line = |line: &str| {
                let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
                let times = line["explanation"]["times_us"].take();
                assert!(
                    times["scan"].as_f64().unwrap() > 0.0 && times["rerank"].as_f64().unwrap() > 0.0,
                    "{times}"
                );
                line
            };
            lines.lines().map(line).collect()
        };
        let expected = ask(&["--index", &index]);
        assert_eq!(expected[0]["explanation"]["documents"]["compared"].as_array().unwrap().len(), 20);
        for rpc in ["unary", "batch", "stream"] {
            assert_eq!(ask(&["--server", &server.address, "--rpc", rpc]), expected, "{name} {rpc}");
        }
    }
}

/// The same of a few numbers.
fn build_floats(name: &str) -> String {
    let documents = write_offsets(&format!("{name}-documents.ibin"), 200, 2);
    let (base, index) = (made().text(&format!("{name}.fbin")), made().text(name));
    let bytes = std::fs::read(made().path("base.u8bin")).unwrap()[8..].to_vec();
    let numbers = bytes[..200 * DIM].iter().flat_map(|&byte| f32::from(byte).to_le_bytes());
    let header = [200, DIM as u32].map(u32::to_le_bytes).concat();
    std::fs::write(&base, header.into_iter().chain(numbers).collect::<Vec<u8>>()).unwrap();
    let fixed = ["build", "--quiet", "--base", &base, "--metric", "ip", "--out", &index];
    spandrel(&[&fixed[..], &["--list-size", "32", "--documents", &documents]].concat());
    index
}

fn rows(range: std::ops::Range<usize>) -> Vec<u8> {
    made().queries()[range.start * DIM..range.end * DIM].to_vec()
}

fn document(rows: Vec<u8>, offsets: &[u32]) -> Option<v1::Vectors> {
    Some(v1::Vectors::documents(DIM as u32, v1::Dtype::U8, rows, offsets.to_vec()))
}

fn request(number: usize) -> v1::SearchRequest {
    let query = document(rows(number * OF_QUERY..(number + 1) * OF_QUERY), &[]);
    v1::SearchRequest { query, k: 10, ..Default::default() }
}

fn with(options: v1::SearchOptions) -> v1::SearchRequest {
    v1::SearchRequest { options: Some(options), ..request(0) }
}

fn field_of(status: &Status) -> String {
    status.get_details_bad_request().unwrap().field_violations[0].field.clone()
}

#[test]
fn every_call_answers_with_documents_as_in_process() {
    let (index, of_queries) = build("called-documents");
    let queries = made().text("queries.u8bin");
    let server = Server::of(&format!("index={index}"), &["--queue-delay-ms", "60000"]);
    compare(&server, &index, &of_queries);
    let (truth, base) = (made().text("documents-truth.ibin"), made().text("base.u8bin"));
    let documents = made().text("called-documents-documents.ibin");
    let files = ["data", "truth", "--metric", "ip", "--k", "10", "--base", &base, "--out", &truth];
    let offsets = ["--queries", &queries, "--documents", &documents, "--query-documents", &of_queries];
    spandrel(&[&files[..], &offsets].concat());
    let bench = |flags: &[&str]| {
        let all = ["bench", "--quiet", "--format", "json", "--queries", &queries, "--truth", &truth];
        let more = ["--query-documents", &of_queries, "--seconds", "0", "--rerank", "20"];
        let points: serde_json::Value =
            serde_json::from_str(&spandrel(&[&all[..], &more, flags].concat())).unwrap();
        let of = |key: &str| points[0][key].as_f64().unwrap();
        (of("recall"), of("documents"), of("vectors_scanned"))
    };
    let measured = bench(&["--index", &index]);
    assert!(measured.0 > 0.3 && measured.1 == 20.0, "{measured:?}");
    assert_eq!(measured, bench(&["--server", &server.address]));
    assert_eq!(measured, bench(&["--server", &server.address, "--rpc", "unary"]));
    let described = spandrel(&["admin", "--server", &server.address, "--format", "json", "describe"]);
    let described: serde_json::Value = serde_json::from_str(&described).unwrap();
    let count = VECTORS / OF_DOCUMENT;
    let documents = serde_json::json!({
        "count": count, "vectors_min": 10, "vectors_max": 10, "vectors_mean": 10.0, "by_encodings": false,
        "default_lists": described["lists"].as_u64().unwrap().min(16), "default_compared": count.min(60),
    });
    assert_eq!(described["documents"], documents);
    run(async {
        let client = server.client();
        // Numbers that are no bytes.
        let floats = rows(0..OF_QUERY).into_iter().map(f32::from).collect();
        let tokens = Some(Tokens::Floats(v1::Floats { values: floats }));
        let form = Some(Form::Documents(v1::Documents { offsets: vec![0, 4], tokens }));
        let query = Some(v1::Vectors { dim: DIM as u32, form });
        let options = Some(v1::SearchOptions { with_work: true, ..Default::default() });
        let floats = client.search(v1::SearchRequest { query, options, ..request(0) }).await.unwrap();
        let whole = client.search(request(0)).await.unwrap();
        assert_eq!((&floats.ids, &floats.distances), (&whole.ids, &whole.distances));
        let work = floats.work.unwrap();
        assert_eq!((work.documents, work.reranked), (60, 600));
        assert!(work.lists >= 4 && work.search_us > 0.0 && floats.promise.is_none(), "{work:?}");
        // Documents of other lengths in one batch.
        let queries = document(rows(0..7), &[0, 4, 5, 7]);
        let batch = v1::SearchBatchRequest { queries, k: 3, ..Default::default() };
        let answers = client.search_batch(batch).await.unwrap();
        assert_eq!((&answers.counts[..], &answers.ids[..3]), (&[3; 3][..], &whole.ids[..3]));
    });
}

/// Clients send tokens, and are told of tokens, where encodings are searched.
#[test]
fn every_call_answers_with_encoded_documents_as_in_process() {
    let encoding = ["--document-encoding", "muvera:R=8,k=3,d=8,dim=256"];
    let (index, of_queries) = build_with("encoded-documents", &encoding);
    let server = Server::of(&format!("index={index}"), &["--queue-delay-ms", "60000"]);
    compare(&server, &index, &of_queries);
    let described = spandrel(&["admin", "--server", &server.address, "--format", "json", "describe"]);
    let described: serde_json::Value = serde_json::from_str(&described).unwrap();
    assert_eq!((&described["dim"], &described["dtype"]), (&DIM.into(), &"u8".into()));
    assert_eq!(described["vectors"], VECTORS / OF_DOCUMENT, "one of each document");
    run(async {
        let client = server.client();
        let options = Some(v1::SearchOptions { with_work: true, ..Default::default() });
        let found = client.search(v1::SearchRequest { options, ..request(0) }).await.unwrap();
        let work = found.work.unwrap();
        let documents = (VECTORS / OF_DOCUMENT) as u32;
        assert_eq!(work.documents, documents.min(200));
        assert!(work.codes > 0 && work.codes <= u64::from(documents), "one search: {work:?}");
        // Who names no number gets what the server allows.
        let strict = Server::of(&format!("index={index}"), &["--max-documents", "50", "--max-lists", "3"]);
        let client_of_strict = strict.client();
        let options = Some(v1::SearchOptions { with_work: true, ..Default::default() });
        let work = client_of_strict.search(v1::SearchRequest { options, ..request(0) }).await.unwrap();
        let work = work.work.unwrap();
        assert_eq!((work.documents, work.lists), (50, 3));
        // A vector of the encoding's dimension is no token.
        let wide = Some(v1::Vectors::documents(256, v1::Dtype::U8, vec![1; 256], Vec::new()));
        let status = client.search(v1::SearchRequest { query: wide, ..request(0) }).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    });
}

#[test]
fn what_does_not_fit_documents_is_refused() {
    let (index, _) = build("refused-documents");
    let limits = ["--max-documents", "100", "--max-document-vectors", "8", "--max-batch", "3"];
    let server = Server::of(&format!("index={index}"), &limits);
    run(async {
        let client = server.client();
        let of = |query: Option<v1::Vectors>| v1::SearchRequest { query, ..request(0) };
        let options = v1::SearchOptions::default;
        let any = v1::Distances::Any as i32;
        let named = v1::ColumnQueries { column: "fine".to_owned(), vectors: Some(bytes(rows(0..1))) };
        let no_tokens =
            v1::Vectors { dim: DIM as u32, form: Some(Form::Documents(v1::Documents::default())) };
        let cases = [
            (of(Some(bytes(rows(0..1)))), "query"),
            (of(Some(v1::Vectors::ids(vec![3]))), "query"),
            (of(document(rows(0..2), &[0, 1, 2])), "query.documents.offsets"),
            (of(document(rows(0..2), &[0, 3])), "query.documents.offsets"),
            (of(document(rows(0..2), &[1, 2])), "query.documents.offsets"),
            (of(document(rows(0..2), &[0])), "query.documents.offsets"),
            (of(document(rows(0..9), &[])), "query.documents.offsets"),
            (of(document(Vec::new(), &[])), "query.documents"),
            (of(document(vec![1; DIM + 1], &[])), "query.documents"),
            (of(Some(v1::Vectors::documents(7, v1::Dtype::U8, vec![1; 7], Vec::new()))), "query.documents"),
            (of(Some(no_tokens)), "query"),
            (v1::SearchRequest { k: 0, ..request(0) }, "k"),
            (v1::SearchRequest { k: 101, ..request(0) }, "k"),
            (with(v1::SearchOptions { rerank: Some(101), ..options() }), "options.rerank"),
            (with(v1::SearchOptions { rerank: Some(0), ..options() }), "options.rerank"),
            (with(v1::SearchOptions { max_lists: Some(0), ..options() }), "options.max_lists"),
            (with(v1::SearchOptions { max_bytes: Some(0), ..options() }), "options.max_bytes"),
            (with(v1::SearchOptions { recall: Some(0.9), ..options() }), "options.recall"),
            (with(v1::SearchOptions { epsilon: Some(0.9), ..options() }), "options.epsilon"),
            (with(v1::SearchOptions { min_head_score: Some(0.9), ..options() }), "options.min_head_score"),
            (with(v1::SearchOptions { rerank_errors: Some(0.9), ..options() }), "options.rerank_errors"),
            (with(v1::SearchOptions { distances: any, ..options() }), "options.distances"),
            (
                with(v1::SearchOptions { filter: Some(v1::Filter::text("price = 3")), ..options() }),
                "options.filter.text",
            ),
            (v1::SearchRequest { column_queries: Some(named), ..request(0) }, "column_queries"),
        ];
        for (number, (request, field)) in cases.into_iter().enumerate() {
            let status = client.search(request).await.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument, "case {number}: {status}");
            assert_eq!(field_of(&status), field, "case {number}: {status}");
        }
        let status = client.search(of(Some(bytes(rows(0..1))))).await.unwrap_err();
        assert!(status.message().contains("send a document of vectors"), "{status}");
        let batch = |offsets: &[u32], count| v1::SearchBatchRequest {
            queries: document(rows(0..count), offsets),
            k: 1,
            ..Default::default()
        };
        for wrong in [batch(&[0, 1, 2, 3, 4], 4), batch(&[0, 2, 1, 4], 4), batch(&[0, 0, 4], 4)] {
            let status = client.search_batch(wrong).await.unwrap_err();
            assert_eq!(field_of(&status), "queries.documents.offsets", "{status}");
        }
        client.search_batch(batch(&[0, 1, 2, 3], 3)).await.unwrap();
        // What the index cannot do at all.
        let range = v1::SearchRangeRequest {
            query: Some(bytes(rows(0..1))),
            radius: Some(9.0),
            ..Default::default()
        };
        let status = client.search_range(range, None).await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
        let column = v1::FetchRequest { ids: vec![7], column: "fine".to_owned(), ..Default::default() };
        let status = client.fetch(column).await.unwrap_err();
        assert_eq!((status.code(), field_of(&status)), (Code::InvalidArgument, "column".to_owned()));
        let items = [of(Some(bytes(rows(0..1)))), request(1)]
            .map(|request| v1::SearchStreamRequest { tag: 1, request: Some(request) });
        let mut stream = client.search_stream(tokio_stream::iter(items), None).await.unwrap();
        let mut answered = 0;
        while let Some(item) = stream.message().await.unwrap() {
            answered += usize::from(matches!(item.result, Some(ItemResult::Answer(_))));
        }
        assert_eq!(answered, 1, "the other leaves the stream open");
    });
}

#[test]
fn a_vector_of_a_document_that_is_no_number_is_named() {
    let server = Server::of(&format!("index={}", build_floats("wrong-floats")), &[]);
    run(async {
        let client = server.client();
        let floats = |offsets: &[u32]| {
            let mut values = vec![1.5_f32; 3 * DIM];
            values[2 * DIM + 1] = f32::NAN;
            let tokens = Some(Tokens::Floats(v1::Floats { values }));
            let form = Some(Form::Documents(v1::Documents { offsets: offsets.to_vec(), tokens }));
            Some(v1::Vectors { dim: DIM as u32, form })
        };
        let one = v1::SearchRequest { query: floats(&[]), ..request(0) };
        let status = client.search(one).await.unwrap_err();
        assert_eq!(field_of(&status), "query.documents", "{status}");
        assert!(status.message().starts_with("query.documents: vector 2: "), "{status}");
        let two = v1::SearchBatchRequest { queries: floats(&[0, 1, 3]), k: 1, ..Default::default() };
        let status = client.search_batch(two).await.unwrap_err();
        assert_eq!(field_of(&status), "queries.documents", "{status}");
        assert!(status.message().contains("document 1, vector 1: "), "{status}");
    });
}

#[test]
fn documents_are_refused_where_vectors_are_wanted() {
    let server = Server::start(&[]);
    run(async {
        let client = server.client();
        let status = client.search(request(0)).await.unwrap_err();
        assert_eq!((status.code(), field_of(&status)), (Code::InvalidArgument, "query".to_owned()));
        assert!(status.message().contains("the index has none; send vectors"), "{status}");
        let range =
            v1::SearchRangeRequest { query: request(0).query, radius: Some(9.0), ..Default::default() };
        let status = client.search_range(range, None).await.unwrap_err();
        assert_eq!((status.code(), field_of(&status)), (Code::InvalidArgument, "query".to_owned()));
    });
    let (queries, offsets) =
        (made().text("queries.u8bin"), write_offsets("none-queries.ibin", QUERIES as u32, 4));
    let flags = ["query", "--server", &server.address, "--queries", &queries, "--query-documents", &offsets];
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_spandrel")).args(flags).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("an index without documents"), "{said}");
}

/// It would end the stream, with all queries that are in it.
#[test]
fn a_document_that_no_stream_carries_is_refused_by_name() {
    let (index, _) = build("long-documents");
    let server = Server::of(&format!("index={index}"), &["--max-document-vectors", "100000"]);
    let rows = (128 << 10) / DIM + 1;
    let queries = made().text("long-queries.u8bin");
    let header = [rows as u32 + 4, DIM as u32].map(u32::to_le_bytes).concat();
    let numbers = made().queries().into_iter().cycle().take((rows + 4) * DIM);
    std::fs::write(&queries, header.into_iter().chain(numbers).collect::<Vec<u8>>()).unwrap();
    let words = [3, 1, 0, 4, rows as u32 + 4].map(u32::to_le_bytes).concat();
    let offsets = made().text("long-queries.ibin");
    std::fs::write(&offsets, words).unwrap();
    let flags = ["query", "--server", &server.address, "--queries", &queries, "--query-documents", &offsets];
    let ask = |rpc| {
        let all = [&flags[..], &["--max-lists", "1", "--rpc", rpc]].concat();
        std::process::Command::new(env!("CARGO_BIN_EXE_spandrel")).args(all).output().unwrap()
    };
    let refused = ask("stream");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("query document 1 has"), "{said}");
    assert!(said.contains("--rpc batch"), "{said}");
}

/// A call under way ends at its deadline, and the server goes on: the tokens of a document are searched and compared piece by piece.
#[test]
fn a_document_that_takes_too_long_is_given_up() {
    let (index, _) = build("late-documents");
    let server = Server::of(&format!("index={index}"), &["--queue-delay-ms", "60000"]);
    run(async {
        let client = server.client();
        let long = rows(0..QUERIES).repeat(5);
        let query = document(long, &[]);
        let options = v1::SearchOptions { rerank: Some(500), max_lists: Some(4096), ..Default::default() };
        let slow = v1::SearchRequest { query, options: Some(options), ..request(0) };
        let config = spandrel_client::ClientConfig {
            timeout: Some(std::time::Duration::from_millis(20)),
            ..server.config()
        };
        let hasty = spandrel_client::Client::new(&config).unwrap();
        let status = hasty.search(slow.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
        let answer = client.search(slow).await.unwrap();
        assert_eq!(answer.ids.len(), 10);
    });
}
