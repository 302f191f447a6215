//! Filters and other parts of requests that take far more memory than bytes, and requests that wait.
use prost::Message as _;
use spandrel_proto::v1;
use tonic::Code;

use super::messages::{K, costly, raw, request};
use super::rows::server;
use crate::holding::{held, until};
use crate::raw::{Call, Raw, code, framed};
use crate::support::run;

const SEARCH: &str = "/spandrel.v1.SearchService/Search";
const BATCH: &str = "/spandrel.v1.SearchService/SearchBatch";
const STREAM: &str = "/spandrel.v1.SearchService/SearchStream";
const FETCH: &str = "/spandrel.v1.SearchService/Fetch";
/// Under the server's limit of 16 MiB.
const BYTES: usize = 15 << 20;

/// A field of a message, of bytes.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    prost::encode_length_delimiter(content.len(), &mut bytes).unwrap();
    bytes.extend(content);
    bytes
}

/// A query whose filter is a condition of these bytes.
fn filtered(condition: &[u8]) -> Vec<u8> {
    let query = v1::SearchRequest { options: None, ..request(0, None) }.encode_to_vec();
    [query, field(4, &field(11, &field(3, condition)))].concat()
}

async fn sent(client: &Raw, method: &str, message: &[u8]) -> Call {
    let mut call = client.open(method, None, None).await;
    call.send(framed(message.len(), message), true);
    call
}

#[test]
fn messages_that_become_many_times_their_bytes_are_refused_before_they_do() {
    run(async {
        let server = server(&["--metrics", "127.0.0.1:0"]);
        assert_eq!(server.client().search(request(0, None)).await.unwrap().ids.len(), K as usize);
        let client = Raw::to(&server, 65_535).await;
        // Two bytes each.
        let nothing = field(1, &[]).repeat(BYTES / 2);
        let values = field(2, &[]).repeat(BYTES / 2);
        let any_of = field(2, &nothing);
        let nested = field(2, &field(1, &field(2, &[])).repeat(BYTES / 4));
        let ids = |number| field(number, &vec![1; BYTES]);
        let messages = [
            ("conditions", SEARCH, filtered(&any_of)),
            ("conditions in conditions", SEARCH, filtered(&nested)),
            ("values", SEARCH, filtered(&field(5, &values))),
            ("tags", SEARCH, filtered(&field(8, &values))),
            ("ids of a filter", SEARCH, filtered(&field(9, &ids(1)))),
            ("a filter of a batch", BATCH, {
                let queries = v1::SearchBatchRequest { queries: Some(raw(0)), k: K, ..Default::default() };
                [queries.encode_to_vec(), field(4, &field(11, &field(3, &any_of)))].concat()
            }),
            ("ids to search for", BATCH, field(2, &field(4, &ids(1)))),
            ("ids one by one", FETCH, [0x10, 1].repeat(BYTES / 2)),
            ("ids to fetch", FETCH, ids(2)),
        ];
        for (what, method, message) in messages {
            let before = server.memory_most();
            let answer = sent(&client, method, &message).await.answer;
            assert_eq!(code(answer).await, Code::InvalidArgument, "{what}");
            // The message itself, as it came and as it is handed on.
            let grown = server.memory_most().saturating_sub(before);
            assert!(grown < 3 * BYTES as u64, "{what}: {grown} bytes more");
        }
        until("all comes back", || held(&server) < 1.0).await;
        assert_eq!(server.client().search(request(0, None)).await.unwrap().ids.len(), K as usize);
    });
}

#[test]
fn queries_of_a_stream_are_counted_until_they_are_answered() {
    const QUERIES: usize = 120;
    run(async {
        let server = server(&["--metrics", "127.0.0.1:0"]);
        let client = Raw::to(&server, 1 << 20).await;
        let mut call = client.open(STREAM, None, None).await;
        let mut bytes = 0;
        for number in 0..QUERIES {
            let query = v1::SearchStreamRequest { tag: 1, request: Some(request(0, costly(number, 1800))) };
            let message = query.encode_to_vec();
            bytes += message.len();
            call.send(framed(message.len(), &message), false);
        }
        // Each as it came, and its text once more. The first are answered meanwhile.
        until("those that wait are counted", || held(&server) > 0.5 * bytes as f64).await;
        call.send(Vec::new(), true);
        assert_eq!(code(call.answer).await, Code::Ok);
        until("all comes back", || held(&server) < 1.0).await;
    });
}
