//! Documents with ids and attributes of their own, asked in process and over gRPC.
use spandrel_proto::v1;
use spandrel_proto::v1::vectors::Form;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{DIM, QUERIES, Server, VECTORS, made, run, spandrel};

const OF_DOCUMENT: usize = 10;
const OF_QUERY: usize = 4;
const COUNT: usize = VECTORS as usize / OF_DOCUMENT;

fn id(document: usize) -> u64 {
    (document as u64 * 7919 % 10_007) << 24
}

/// The attribute of a document: a price below 100, but for every ninth.
fn price(document: usize) -> Option<usize> {
    (!document.is_multiple_of(9)).then_some(document * 31 % 100)
}

struct Files {
    index: String,
    of_queries: String,
    filters: String,
}

fn write(name: &str, bytes: impl AsRef<[u8]>) -> String {
    std::fs::write(made().path(name), bytes).unwrap();
    made().text(name)
}

fn offsets(rows: usize, each: usize) -> Vec<u8> {
    let offsets: Vec<u32> = (0..=rows / each).map(|document| (document * each) as u32).collect();
    let words = [&[offsets.len() as u32, 1], &offsets[..]].concat();
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

/// Long documents are read piece by piece, and the call ends at its deadline with the code of that.
#[test]
fn a_fetch_of_long_documents_ends_at_its_deadline() {
    let documents = write("long-content.ibin", offsets(VECTORS as usize, VECTORS as usize / 2));
    let (base, index) = (made().text("base.u8bin"), made().text("long-content"));
    let fixed = ["build", "--quiet", "--base", &base, "--metric", "ip", "--out", &index, "--no-calibrate"];
    spandrel(&[&fixed[..], &["--documents", &documents]].concat());
    let server = Server::of(&format!("index={index}"), &["--queue-delay-ms", "60000"]);
    run(async {
        // 40 times 2 500 vectors.
        let long = v1::FetchRequest { ids: [0, 1].repeat(20), ..Default::default() };
        let config = spandrel_client::ClientConfig {
            timeout: Some(std::time::Duration::from_millis(1)),
            ..server.config()
        };
        let hasty = spandrel_client::Client::new(&config).unwrap();
        let status = hasty.fetch(long.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
        let fetched = server.client().fetch(long).await.unwrap();
        let Some(Form::Documents(documents)) = fetched.vectors.unwrap().form else { panic!("documents") };
        assert_eq!(documents.offsets.last(), Some(&(20 * VECTORS as u32)));
    });
}

/// An index of documents with ids and a price, and a filter for each query document.
fn build(name: &str) -> Files {
    let file = |what: &str| format!("{name}-{what}");
    let documents = write(&file("documents.ibin"), offsets(VECTORS as usize, OF_DOCUMENT));
    let of_queries = write(&file("queries.ibin"), offsets(QUERIES, OF_QUERY));
    let mut npy = b"\x93NUMPY\x01\x00v\x00".to_vec();
    npy.extend(
        format!("{:<117}\n", format!("{{'descr': '<u8', 'fortran_order': False, 'shape': ({COUNT},), }}"))
            .bytes(),
    );
    npy.extend((0..COUNT).flat_map(|document| id(document).to_le_bytes()));
    let ids = write(&file("ids.npy"), npy);
    let lines: String = (0..COUNT)
        .map(|of| match price(of) {
            Some(price) => format!("{{\"id\": {}, \"price\": {price}}}\n", id(of)),
            None => format!("{{\"id\": {}}}\n", id(of)),
        })
        .collect();
    let attributes = write(&file("known.jsonl"), lines);
    // Of many documents, of few, and of none.
    let limit = |query: usize| [80, 5, 200, 0][query % 4];
    let lines: String = (0..QUERIES / OF_QUERY)
        .map(|query| format!("{{\"filter\": {{\"price\": {{\"$lt\": {}}}}}}}\n", limit(query)))
        .collect();
    let filters = write(&file("filters.jsonl"), lines);
    let (base, index) = (made().text("base.u8bin"), made().text(name));
    let fixed = ["build", "--quiet", "--base", &base, "--metric", "ip", "--out", &index, "--list-size", "32"];
    spandrel(
        &[&fixed[..], &["--documents", &documents, "--ids", &ids, "--attributes", &attributes]].concat(),
    );
    Files { index, of_queries, filters }
}

fn tokens(document: usize) -> Vec<u8> {
    let bytes = std::fs::read(made().path("base.u8bin")).unwrap();
    bytes[8 + document * OF_DOCUMENT * DIM..8 + (document + 1) * OF_DOCUMENT * DIM].to_vec()
}

fn request(options: v1::SearchOptions) -> v1::SearchRequest {
    let rows = made().queries()[..OF_QUERY * DIM].to_vec();
    let query = Some(v1::Vectors::documents(DIM as u32, v1::Dtype::U8, rows, Vec::new()));
    v1::SearchRequest { query, k: 10, options: Some(options), ..Default::default() }
}

fn document_of(id_found: u64) -> usize {
    (0..COUNT).find(|&document| id(document) == id_found).unwrap()
}

fn priced_below(limit: &str) -> Option<v1::Filter> {
    Some(v1::Filter::text(format!("price < {limit}")))
}

#[test]
fn filters_and_attributes_of_documents_are_as_in_process() {
    let Files { index, of_queries, filters } = build("content-documents");
    let queries = made().text("queries.u8bin");
    let ask = |flags: &[&str]| {
        let all = ["query", "--quiet", "--queries", &queries, "--query-documents", &of_queries];
        spandrel(&[&all[..], flags].concat())
    };
    let server = Server::of(&format!("index={index}"), &["--queue-delay-ms", "60000"]);
    let three = format!("id in [{}, {}, {}]", id(3), id(499), id(77));
    for flags in [
        &[][..],
        &["--filter", "price < 50"],
        &["--filter", "price is null", "--with-attributes"],
        &["--filter", &three, "--with-attributes", "price"],
        &["--filters", &filters, "--rerank", "20"],
    ] {
        let expected = ask(&[&["--index", &index], flags].concat());
        for rpc in ["unary", "batch", "stream"] {
            let found = ask(&[&["--server", &server.address, "--rpc", rpc], flags].concat());
            assert!(found == expected, "{rpc} {flags:?}: {found}\n{expected}");
        }
    }
    let said = ask(&["--index", &index, "--filter", &three, "--with-attributes"]);
    assert!(
        said.contains(&format!("\t{}\t", id(499)))
            && said.contains(&format!("\"price\":{}", price(499).unwrap())),
        "{said}"
    );
    // Measured against a truth under the same filters, by ids.
    let [base, documents, ids, known] = [
        "base.u8bin",
        "content-documents-documents.ibin",
        "content-documents-ids.npy",
        "content-documents-known.jsonl",
    ]
    .map(|name| made().text(name));
    let truth = made().text("content-truth.npy");
    let files = ["data", "truth", "--metric", "ip", "--k", "10", "--base", &base, "--out", &truth];
    let of =
        ["--queries", &queries, "--documents", &documents, "--query-documents", &of_queries, "--ids", &ids];
    let said = spandrel(&[&files[..], &of, &["--filters", &filters, "--attributes", &known]].concat());
    assert!(said.contains("4 different filters; fewer than 10 match for 12 of the queries"), "{said}");
    let bench = |flags: &[&str]| {
        let all = ["bench", "--quiet", "--format", "json", "--queries", &queries, "--truth", &truth];
        let more = ["--query-documents", &of_queries, "--seconds", "0", "--filters", &filters];
        let points: serde_json::Value =
            serde_json::from_str(&spandrel(&[&all[..], &more, flags].concat())).unwrap();
        let of = |key: &str| points[0][key].as_f64().unwrap();
        (of("recall"), of("documents"), of("matches"))
    };
    let all = bench(&["--index", &index, "--rerank", "500"]);
    assert!(all.0 == 1.0 && all.1 == all.2, "{all:?}");
    let few = bench(&["--index", &index, "--rerank", "30"]);
    assert!(few.0 > 0.4 && few.1 < 30.0, "{few:?}");
    assert_eq!(few, bench(&["--server", &server.address, "--rerank", "30"]));
}

#[test]
fn vectors_of_documents_come_with_answers_and_by_id() {
    let Files { index, .. } = build("fetched-documents");
    let server = Server::of(&format!("index={index}"), &["--max-message", "64KiB"]);
    run(async {
        let client = server.client();
        let all = v1::AttributeSelection::default();
        let options = v1::SearchOptions {
            with_vectors: true,
            with_attributes: Some(all.clone()),
            filter: priced_below("70"),
            ..Default::default()
        };
        let answer = client.search(request(options.clone())).await.unwrap();
        let found: Vec<usize> = answer.ids.iter().map(|&id| document_of(id)).collect();
        assert_eq!(found.len(), 10);
        let filtered = answer.filtered.unwrap();
        let matching = (0..COUNT).filter(|&of| price(of).is_some_and(|price| price < 70)).count();
        assert_eq!(filtered.matches, matching as u64);
        let vectors = answer.vectors.unwrap();
        let expected: Vec<u8> = found.iter().flat_map(|&document| tokens(document)).collect();
        assert!(vectors.raw_data() == expected);
        let offsets = |vectors: &v1::Vectors| match &vectors.form {
            Some(Form::Documents(documents)) => documents.offsets.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(offsets(&vectors), (0..=10).map(|of| of * OF_DOCUMENT as u32).collect::<Vec<_>>());
        assert_eq!((answer.attributes[0].name.as_str(), answer.attributes[0].values.len()), ("price", 10));
        let ids = vec![id(7), 1, id(8), id(7)];
        let asked = v1::FetchRequest { ids, with_attributes: Some(all), ..Default::default() };
        let fetched = client.fetch(asked).await.unwrap();
        assert_eq!(fetched.found, [true, false, true, true]);
        let vectors = fetched.vectors.unwrap();
        assert_eq!(offsets(&vectors), [0, 10, 20, 30]);
        assert!(vectors.raw_data() == [tokens(7), tokens(8), tokens(7)].concat());
        assert_eq!(fetched.attributes[0].values.len(), 3);
        // What they take is known before it is read: 52 documents are more than a message.
        let many = v1::FetchRequest { ids: (0..52).map(id).collect(), ..Default::default() };
        let status = client.fetch(many).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        let said = "66560 bytes of vectors, the server's limit is 65536";
        assert!(status.message().contains(said), "{status}");
        let many = v1::SearchRequest { k: 52, ..request(options) };
        let status = client.search(many).await.unwrap_err();
        let field = &status.get_details_bad_request().unwrap().field_violations[0].field;
        assert_eq!(field, "options.with_vectors", "{status}");
        let wrong = v1::SearchOptions { filter: priced_below("'a'"), ..Default::default() };
        let status = client.search(request(wrong)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    });
    let (two, other) = (id(7).to_string(), id(8).to_string());
    let fetch = ["admin", "--server", &server.address, "--format", "json", "fetch", &two, &other];
    let told: serde_json::Value = serde_json::from_str(&spandrel(&fetch)).unwrap();
    let expected: Vec<Vec<f32>> =
        tokens(8).chunks(DIM).map(|row| row.iter().map(|&x| x.into()).collect()).collect();
    assert_eq!(told["vectors"][1]["vectors"], serde_json::json!(expected));
    let said = spandrel(&["admin", "--server", &server.address, "fetch", &two]);
    assert_eq!(said.lines().filter(|line| line.starts_with(&two)).count(), OF_DOCUMENT);
}
