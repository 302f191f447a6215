//! Clients that hold what they can: messages without an end, answers that nobody reads, connections without a use.
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use spandrel_client::{Client, ClientConfig};
use spandrel_proto::v1;
use tonic::Code;

use crate::raw::{Raw, TOKEN, code, code_in, code_within, framed};
use crate::support::{QUERIES, Server, bytes, made, request, run};

const SEARCH: &str = "/spandrel.v1.SearchService/Search";
const BATCH: &str = "/spandrel.v1.SearchService/SearchBatch";
const STREAM: &str = "/spandrel.v1.SearchService/SearchStream";
const FETCH: &str = "/spandrel.v1.SearchService/Fetch";
const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// Waits until `is_so`.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until `value` stays the same while others are answered: what goes on would have gone on meanwhile, on a slow machine too.
pub(crate) async fn settled(mut value: impl FnMut() -> f64, ask: impl AsyncFn()) -> f64 {
    let begun = Instant::now();
    loop {
        let before = value();
        for _ in 0..20 {
            ask().await;
        }
        let now = value();
        if now.total_cmp(&before).is_eq() {
            return now;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{before}, {now} and so on");
    }
}

/// A server that takes a token, with its metrics, and the file of tokens.
fn guarded(flags: &[&str]) -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, format!("search {TOKEN}\n")).unwrap();
    let fixed = ["--tokens", tokens.to_str().unwrap(), "--metrics", "127.0.0.1:0"];
    (Server::start(&[&fixed, flags].concat()), folder)
}

fn client(server: &Server) -> Client {
    Client::new(&ClientConfig { token: Some(TOKEN.to_owned()), ..server.config() }).unwrap()
}

pub(crate) fn held(server: &Server) -> f64 {
    server.metric("spandrel_requests_in_flight_bytes ")
}

pub(crate) fn ended_with(server: &Server, method: &str, code: &str) -> f64 {
    let name = format!("spandrel_requests_total{{method=\"{method}\",code=\"{code}\"}}");
    server.metric_or_zero(&name)
}

#[test]
fn strangers_take_nothing_from_those_with_a_token() {
    run(async {
        let (server, _folder) = guarded(&["--max-in-flight", "8MiB", "--max-message", "1MiB"]);
        let raw = Raw::to(&server, 65_535).await;
        let part = vec![b'x'; 60_000];
        let mut open = Vec::new();
        // As much as all calls may hold, half a message in each of its streams.
        for _ in 0..200 {
            let mut call = raw.open(CHECK, None, None).await;
            call.body.reserve_capacity(part.len() + 5);
            call.send(framed(1 << 20, &part), false);
            open.push(call);
        }
        let refused = || {
            let with = |code| ended_with(&server, "HealthCheck", code);
            with("OUT_OF_RANGE") + with("RESOURCE_EXHAUSTED")
        };
        until("all are refused", || refused() > 199.5).await;
        until("calls without a token hold little", || held(&server) < 400e3).await;
        assert_eq!(client(&server).search(request(0)).await.unwrap().ids.len(), 10);
        for call in open.split_off(190) {
            let ended = code_within(call.answer, Duration::from_secs(5)).await.unwrap();
            assert!(matches!(ended, Code::OutOfRange | Code::ResourceExhausted), "{ended:?}");
        }
        // Small messages without an end are no better.
        let other = Raw::to(&server, 65_535).await;
        for _ in 0..200 {
            let mut call = other.open(CHECK, None, None).await;
            call.send(framed(1000, &[b'x'; 900]), false);
            open.push(call);
        }
        // Some twenty fit.
        until("the others are refused", || refused() > 200.0 + 170.0).await;
        until("calls without a token hold little", || held(&server) < 800e3).await;
        assert_eq!(client(&server).search(request(0)).await.unwrap().ids.len(), 10);
    });
}

#[test]
fn one_connection_cannot_take_what_all_have() {
    run(async {
        let (server, _folder) = guarded(&["--max-in-flight", "16MiB", "--max-message", "1MiB"]);
        let raw = Raw::to(&server, 65_535).await;
        let part = vec![b'x'; 400_000];
        let mut open = Vec::new();
        for _ in 0..60 {
            let mut call = raw.open(SEARCH, Some(TOKEN), None).await;
            call.send(framed(1 << 20, &part), false);
            open.push(call);
        }
        until("its share is full", || held(&server) > 3e6).await;
        assert!(held(&server) < 6e6, "{}", held(&server));
        assert_eq!(client(&server).search(request(0)).await.unwrap().ids.len(), 10);
        drop(open);
        until("all comes back", || held(&server) < 1.0).await;
        assert!(ended_with(&server, "Search", "RESOURCE_EXHAUSTED") > 5.0);
        assert!(ended_with(&server, "Search", "CANCELLED") > 5.0);
    });
}

#[test]
fn a_deadline_covers_the_upload() {
    run(async {
        let (server, _folder) = guarded(&["--request-seconds", "2"]);
        let raw = Raw::to(&server, 65_535).await;
        let begun = Instant::now();
        let mut calls = Vec::new();
        for (method, token, timeout) in [
            (SEARCH, Some(TOKEN), Some("300m")),
            (SEARCH, Some(TOKEN), None),
            (FETCH, Some(TOKEN), Some("9H")),
            (CHECK, None, None),
            // One query of a stream, which may itself go on for as long as its client likes.
            (STREAM, Some(TOKEN), None),
        ] {
            let mut call = raw.open(method, token, timeout).await;
            call.send(framed(600, &[7; 100]), false);
            calls.push((method, call));
        }
        for (method, call) in calls {
            let ended = code_within(call.answer, Duration::from_secs(10)).await;
            assert_eq!(ended, Some(Code::DeadlineExceeded), "{method}");
            drop(call.body);
        }
        assert!(begun.elapsed() < Duration::from_secs(8));
        until("all comes back", || held(&server) < 1.0).await;
        // A message that ends early was never an answer's beginning.
        let mut call = raw.open(SEARCH, Some(TOKEN), None).await;
        call.send(framed(600, &[7; 100]), true);
        assert_eq!(code(call.answer).await, Code::InvalidArgument);
    });
}

#[test]
fn connections_end_with_calls_open_on_them() {
    run(async {
        let limits = ["--idle-seconds", "1", "--age-seconds", "3", "--request-seconds", "2"];
        let (server, _folder) = guarded(&limits);
        // Opened without being kept alive by it.
        let watching = Raw::to(&server, 65_535).await;
        let mut watch = watching.open(WATCH, None, None).await;
        watch.send(framed(0, &[]), true);
        let asking = Raw::to(&server, 65_535).await;
        let mut half = asking.open(CHECK, None, None).await;
        half.send(framed(10, &[]), false);
        let guessing = Raw::to(&server, 65_535).await;
        let strange = guessing.open(STREAM, Some("a token of somebody else"), None).await;
        // Its stream goes on: it ends when the connection is old.
        let streaming = Raw::to(&server, 65_535).await;
        let stream = streaming.open(STREAM, Some(TOKEN), None).await;
        until("all are there", || server.metric("spandrel_connections ") > 3.5).await;
        assert_eq!(code_within(watch.answer, Duration::from_secs(3)).await, Some(Code::Unavailable));
        assert_eq!(code_within(half.answer, Duration::from_secs(3)).await, Some(Code::Unavailable));
        assert_eq!(code(strange.answer).await, Code::Unauthenticated);
        for raw in [watching, asking, guessing] {
            assert!(raw.ends_within(Duration::from_secs(3)).await, "idle");
        }
        assert_eq!(code_within(stream.answer, Duration::from_secs(5)).await, Some(Code::Unavailable));
        drop(stream.body);
        assert!(streaming.ends_within(Duration::from_secs(5)).await, "old");
        until("none is left", || server.metric("spandrel_connections ") < 0.5).await;
    });
}

#[test]
fn a_connection_may_watch_a_few_services() {
    run(async {
        let (server, _folder) = guarded(&[]);
        let raw = Raw::to(&server, 65_535).await;
        let mut open = Vec::new();
        let mut refused = 0;
        for _ in 0..30 {
            let mut call = raw.open(WATCH, None, None).await;
            call.send(framed(0, &[]), true);
            let answer = call.answer.await.unwrap();
            refused += u32::from(code_in(answer.headers()) == Some(Code::ResourceExhausted));
            open.push(answer);
        }
        assert_eq!(refused, 14);
        drop(open);
        until("watches that are closed are counted out", || {
            ended_with(&server, "HealthWatch", "CANCELLED") > 15.5
        })
        .await;
        let mut call = raw.open(WATCH, None, None).await;
        call.send(framed(0, &[]), true);
        assert_eq!(code_in(call.answer.await.unwrap().headers()), None);
    });
}

#[test]
fn answers_that_nobody_reads_are_bounded_and_thrown_away() {
    run(async {
        let limits = ["--max-in-flight", "16MiB", "--max-message", "2MiB", "--request-seconds", "2"];
        let (server, _folder) = guarded(&[&limits[..], &["--queue-delay-ms", "60000"]].concat());
        let before = server.memory();
        let queries = Some(bytes(made().queries()));
        let batch = v1::SearchBatchRequest { queries, k: 500, ..Default::default() };
        let mut unread = Vec::new();
        // Nothing at all is read on one connection, and no more than a byte of each answer on the other.
        for window in [0, 1] {
            let raw = Raw::to(&server, window).await;
            for _ in 0..30 {
                unread.push(raw.call(BATCH, &batch).await);
            }
            unread.push(raw.call(SEARCH, &request(0)).await);
            unread
                .push(raw.call(STREAM, &v1::SearchStreamRequest { tag: 1, request: Some(request(0)) }).await);
            until("answers are ready", || held(&server) > 1e6).await;
            assert!(held(&server) < 17e6, "{}", held(&server));
            assert_eq!(client(&server).search(request(0)).await.unwrap().ids.len(), 10);
            assert!(raw.ends_within(Duration::from_secs(15)).await, "window {window}");
            until("all comes back", || held(&server) < 1.0).await;
        }
        assert!(ended_with(&server, "SearchBatch", "RESOURCE_EXHAUSTED") > 5.0);
        let grown = server.memory().saturating_sub(before);
        assert!(grown < 48 << 20, "{grown} bytes more");
        // One that is read is whole, however many pieces it comes in.
        let answer = client(&server).search_batch(batch.clone()).await.unwrap();
        assert_eq!((answer.ids.len(), answer.distances.len()), (500 * QUERIES, 500 * QUERIES));
        assert!(answer.distances.chunks(500).all(<[f32]>::is_sorted));
        // One that could never be read is refused before it is searched.
        let large =
            v1::SearchBatchRequest { k: 1000, queries: Some(bytes(made().queries().repeat(5))), ..batch };
        let refused = client(&server).search_batch(large).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(refused.message().contains("an answer of up to"), "{refused}");
    });
}

#[test]
fn a_stream_holds_one_query_and_it_is_counted() {
    run(async {
        let (server, _folder) = guarded(&["--max-in-flight", "64MiB"]);
        let raw = Raw::to(&server, 65_535).await;
        let before = server.memory();
        let mut open = Vec::new();
        for _ in 0..24 {
            let mut call = raw.open(STREAM, Some(TOKEN), None).await;
            call.send(framed(12 << 20, &[0; 10_000]), false);
            assert_eq!(code_within(call.answer, Duration::from_secs(5)).await, Some(Code::OutOfRange));
            open.push(call.body);
        }
        let grown = server.memory().saturating_sub(before);
        assert!(grown < 32 << 20, "{grown} bytes more");
        let mut halves = Vec::new();
        for _ in 0..24 {
            let mut call = raw.open(STREAM, Some(TOKEN), None).await;
            call.send(framed(60_000, &[0; 30_000]), false);
            halves.push(call);
        }
        until("halves of queries are counted", || held(&server) > 24.0 * 30_000.0).await;
        drop(halves);
        until("all comes back", || held(&server) < 24.0 * 10_000.0 + 1.0).await;
    });
}

#[test]
fn the_second_port_leaves_descriptors_to_the_first() {
    run(async {
        let server = Server::with_descriptors("-Sn 200", &["--metrics", "127.0.0.1:0"]);
        let address = server.metrics.clone().unwrap();
        let begin = |_| {
            let mut stream = TcpStream::connect(&address).unwrap();
            // Those over the number are closed at once.
            drop(stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: "));
            stream
        };
        let held: Vec<TcpStream> = (0..250).map(begin).collect();
        for number in 0..20 {
            assert_eq!(server.client().search(request(number)).await.unwrap().ids.len(), 10);
        }
        // Half requests are not kept for long.
        let mut first = held.into_iter().next().unwrap();
        first.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let begun = Instant::now();
        tokio::task::block_in_place(|| drop(first.read_to_end(&mut Vec::new())));
        assert!(begun.elapsed() < Duration::from_secs(15));
        assert!(server.metric("spandrel_connections_refused_total ") > 100.0);
    });
}

#[test]
fn connections_leave_descriptors_for_a_switch() {
    run(async {
        let server = Server::with_descriptors("-n 220", &["--threads", "2", "--metrics", "127.0.0.1:0"]);
        let client = server.client();
        assert_eq!(client.search(request(0)).await.unwrap().ids.len(), 10);
        let _held: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
        until("some are refused", || server.metric("spandrel_connections_refused_total ") > 100.0).await;
        let _pages: Vec<TcpStream> =
            (0..60).map(|_| TcpStream::connect(server.metrics.as_ref().unwrap()).unwrap()).collect();
        let switch = v1::StartSwitchRequest { index: "index".to_owned(), ..Default::default() };
        for _ in 0..3 {
            client.switch_index(switch.clone()).await.unwrap();
        }
        assert_eq!(client.search(request(0)).await.unwrap().ids.len(), 10);
        let open = server.metric("spandrel_descriptors ");
        assert!(open > 80.0 && open < 220.0 && server.metric("spandrel_descriptors_max ") < 220.5, "{open}");
    });
}

#[test]
fn calls_are_counted_by_how_they_end() {
    run(async {
        let (server, _folder) = guarded(&["--threads", "1"]);
        let raw = Raw::to(&server, 65_535).await;
        let queries = Some(bytes(made().queries()));
        let batch = v1::SearchBatchRequest { queries, k: 500, ..Default::default() };
        for _ in 0..20 {
            let mut call = raw.call(BATCH, &batch).await;
            call.body.send_reset(h2::Reason::CANCEL);
        }
        until("calls that were given up are counted", || {
            ended_with(&server, "SearchBatch", "CANCELLED") > 19.5
        })
        .await;
        until("all comes back", || held(&server) < 1.0).await;
        // A body that breaks off.
        let mut call = raw.open(SEARCH, Some(TOKEN), None).await;
        call.send(framed(60_000, &[7; 30_000]), false);
        until("half of it is there", || held(&server) > 30e3).await;
        call.body.send_reset(h2::Reason::CANCEL);
        until("it is counted", || ended_with(&server, "Search", "CANCELLED") > 0.5).await;
        assert!(ended_with(&server, "Search", "UNKNOWN") < 0.5);
        // A stream that was answered once, and ended at its deadline.
        let begun = Instant::now();
        let mut call = raw.open(STREAM, Some(TOKEN), Some("2S")).await;
        let query =
            prost::Message::encode_to_vec(&v1::SearchStreamRequest { tag: 1, request: Some(request(0)) });
        call.send(framed(query.len(), &query), false);
        let mut body = call.answer.await.unwrap().into_body();
        assert!(!body.data().await.unwrap().unwrap().is_empty());
        let first_answer = begun.elapsed().as_secs_f64();
        let ended = code_in(&body.trailers().await.unwrap().unwrap());
        assert_eq!(ended, Some(Code::DeadlineExceeded));
        assert!(ended_with(&server, "SearchStream", "DEADLINE_EXCEEDED") > 0.5);
        assert!(ended_with(&server, "SearchStream", "OK") < 0.5);
        let seconds = server.metric("spandrel_request_duration_seconds_sum{method=\"SearchStream\"}");
        assert!(
            seconds > 0.0 && seconds <= first_answer,
            "{seconds} s to the first answer, not {first_answer}"
        );
        // A method that this server does not have.
        let mut call = raw.open("/spandrel.v1.SearchService/SearchAll", Some(TOKEN), None).await;
        call.send(framed(0, &[]), true);
        assert_eq!(code(call.answer).await, Code::Unimplemented);
        let call = raw.open("/spandrel.v1.AdminService/StartVerify", Some(TOKEN), None).await;
        assert_eq!(code(call.answer).await, Code::PermissionDenied);
        let call = raw.open("/spandrel.v1.SearchService/SearchAll", None, None).await;
        assert_eq!(code(call.answer).await, Code::Unauthenticated);
    });
}

#[test]
fn time_in_the_queue_is_that_of_each_query() {
    run(async {
        let (server, _folder) = guarded(&["--threads", "1", "--in-flight", "1", "--queue-delay-ms", "60000"]);
        let options = Some(v1::SearchOptions { with_work: true, ..Default::default() });
        let queries = Some(bytes(made().queries()));
        let batch = v1::SearchBatchRequest { queries, k: 10, options, ..Default::default() };
        let answer = client(&server).search_batch(batch).await.unwrap();
        assert_eq!(answer.work.len(), QUERIES);
        let queue: Vec<f32> = answer.work.iter().map(|work| work.queue_us).collect();
        let longest = queue.iter().copied().fold(0.0, f32::max);
        // The first waits for nothing and the last for all others.
        assert!(queue[0] < longest / 4.0, "{} of {longest}", queue[0]);
    });
}
