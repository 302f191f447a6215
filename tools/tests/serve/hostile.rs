//! Clients that break the rules: the server neither falls nor grows, and goes on serving others.
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use spandrel_proto::v1;
use tonic::Code;

use crate::holding::{settled, until};
use crate::support::{Server, raw_call, request, run};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
/// Why a connection is ended: its client asks for too much.
const ENHANCE_YOUR_CALM: u32 = 11;
const END_HEADERS: u8 = 4;

#[expect(clippy::disallowed_methods, reason = "HTTP/2 is big-endian")]
fn big_endian(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = big_endian(payload.len() as u32);
    [&length[1..], &[kind, flags], &big_endian(stream), payload].concat()
}

/// Headers of a call, written out in full.
fn headers(method: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", method),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        block.extend([0, name.len() as u8]);
        block.extend(name.bytes());
        block.push(value.len() as u8);
        block.extend(value.bytes());
    }
    block
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(&server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    stream
}

/// Sends bytes, and takes what comes back meanwhile and until the server closes the connection.
fn send_until_closed(mut stream: TcpStream, bytes: &[u8]) -> Vec<u8> {
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut reading = stream.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let mut answer = Vec::new();
        let closed = reading.read_to_end(&mut answer);
        let patience_ended = closed.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock);
        assert!(!patience_ended, "the connection stays open");
        answer
    });
    // The server may have closed the connection already, as it should.
    drop(stream.write_all(bytes));
    reader.join().unwrap()
}

/// The code of the frame that ends a connection, if there is one among the frames.
fn goaway(mut frames: &[u8]) -> Option<u32> {
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = frames {
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        if let (&GOAWAY, Some([_, _, _, _, code @ ..])) = (kind, rest.get(..8)) {
            return Some(code.iter().fold(0, |code, &byte| code << 8 | u32::from(byte)));
        }
        frames = rest.get(length..)?;
    }
    None
}

/// Sends bytes, and takes what comes back until nothing more does.
fn send(stream: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    // The server may have closed the connection already, as it should.
    drop(stream.write_all(bytes));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    answer
}

/// Fails unless the server answers and has not grown.
async fn assert_well(server: &Server, memory_before: u64) {
    assert_eq!(server.client().search(request(0)).await.unwrap().ids.len(), 10);
    let grown = server.memory().saturating_sub(memory_before);
    assert!(grown < 64 << 20, "{grown} bytes more");
}

#[test]
fn garbage_is_survived() {
    run(async {
        let server = Server::start(&[]);
        server.client().search(request(0)).await.unwrap();
        let before = server.memory();
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for round in 0..60 {
            let mut stream = connect(&server);
            stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
            let mut noise = vec![0; random.random_range(1..4000)];
            random.fill(noise.as_mut_slice());
            let bytes = match round % 4 {
                0 => noise,
                1 => [PREFACE, &noise].concat(),
                2 => b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
                // Frames that are well formed and mean nothing.
                _ => {
                    let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
                    for _ in 0..50 {
                        let payload = &noise[..random.random_range(0..noise.len().min(200))];
                        bytes.extend(frame(
                            random.random_range(0..12),
                            random.random(),
                            random.random_range(0..9),
                            payload,
                        ));
                    }
                    bytes
                }
            };
            send(&mut stream, &bytes);
        }
        assert_well(&server, before).await;
    });
}

#[test]
fn random_messages_get_a_status_each() {
    run(async {
        let server = Server::start(&[]);
        let before = server.memory();
        let mut random = ChaCha8Rng::seed_from_u64(2);
        let good = prost::Message::encode_to_vec(&request(0));
        for method in [
            "/spandrel.v1.SearchService/Search",
            "/spandrel.v1.SearchService/SearchBatch",
            "/spandrel.v1.SearchService/SearchStream",
            "/spandrel.v1.SearchService/Fetch",
            "/spandrel.v1.AdminService/StartLoad",
            "/spandrel.v1.Nothing/Nothing",
            "/",
        ] {
            for call in 0..40 {
                let mut message = good.clone();
                for _ in 0..random.random_range(1..20) {
                    let at = random.random_range(0..message.len());
                    message[at] = random.random();
                }
                message.truncate(random.random_range(0..=message.len()));
                let flag = u8::from(call % 10 == 9);
                // Fails where the answer has no status.
                let code = raw_call(&server, method, "10S", (flag, &message)).await;
                assert!(
                    !matches!(
                        code,
                        Code::Unknown | Code::Internal | Code::Unavailable | Code::DeadlineExceeded
                    ),
                    "{method}: {code:?}"
                );
            }
        }
        assert_well(&server, before).await;
    });
}

#[test]
fn a_length_that_lies_allocates_nothing() {
    run(async {
        let server = Server::start(&[]);
        server.client().search(request(0)).await.unwrap();
        let (before, asked_before) = (server.memory(), server.memory_asked_for());
        let mut held = Vec::new();
        for _ in 0..50 {
            let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
            for call in 0..50 {
                let stream = 1 + 2 * call;
                bytes.extend(frame(
                    HEADERS,
                    END_HEADERS,
                    stream,
                    &headers("/spandrel.v1.SearchService/Search"),
                ));
                // Says that 16 MB follow, and sends a few bytes.
                bytes.extend(frame(DATA, 0, stream, &[0, 0, 0xff, 0xff, 0xff, 1, 2, 3]));
            }
            let mut stream = connect(&server);
            stream.write_all(&bytes).unwrap();
            held.push(stream);
        }
        // Those are all taken in once a later one is answered.
        assert_well(&server, before).await;
        let asked_for = server.memory_asked_for().saturating_sub(asked_before);
        assert!(asked_for < 512 << 20, "{asked_for} bytes more were asked for, if not touched");
    });
}

#[test]
fn opening_and_resetting_streams_without_end_is_stopped() {
    run(async {
        let server = Server::start(&[]);
        let before = server.memory();
        let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
        let block = headers("/spandrel.v1.SearchService/Search");
        for call in 0..20_000 {
            let stream = 1 + 2 * call;
            bytes.extend(frame(HEADERS, END_HEADERS, stream, &block));
            bytes.extend(frame(RST_STREAM, 0, stream, &big_endian(8)));
        }
        let said = tokio::task::block_in_place(|| send_until_closed(connect(&server), &bytes));
        assert_eq!(goaway(&said), Some(ENHANCE_YOUR_CALM), "{} bytes came back", said.len());
        assert_well(&server, before).await;
    });
}

#[test]
fn a_client_that_reads_nothing_costs_a_bounded_amount() {
    run(async {
        let server = Server::start(&[]);
        let client = server.client();
        client.search(request(0)).await.unwrap();
        let before = server.memory();
        let asked = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let counted = std::sync::Arc::clone(&asked);
        let queries = tokio_stream::StreamExt::map(tokio_stream::iter(0_u64..1_000_000), move |tag| {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let request = v1::SearchRequest { k: 1000, ..request(tag as usize % 100) };
            v1::SearchStreamRequest { tag, request: Some(request) }
        });
        // Answers of 12 kB each, none of which is taken in.
        let _stream = client.search_stream(queries, None).await.unwrap();
        let sent = || {
            let now = asked.load(std::sync::atomic::Ordering::Relaxed);
            assert!(now < 100_000, "{now} queries sent, and the client is not made to wait");
            now as f64
        };
        until("some are sent", || sent() > 0.0).await;
        settled(sent, async || drop(client.search(request(0)).await)).await;
        assert_well(&server, before).await;
    });
}

#[test]
fn idle_and_slow_connections_do_not_keep_others_waiting() {
    run(async {
        let server = Server::start(&[]);
        let _idle: Vec<TcpStream> = (0..300).map(|_| connect(&server)).collect();
        let mut slow: Vec<TcpStream> = (0..50).map(|_| connect(&server)).collect();
        for number in 0..200 {
            // A byte of the preface now and then.
            let connection = number % slow.len();
            slow[connection].write_all(&PREFACE[number / 50..=number / 50]).unwrap();
            assert_eq!(server.client().search(request(number)).await.unwrap().ids.len(), 10);
        }
        let unknown =
            server.client().search(v1::SearchRequest { index: "x".repeat(5000), ..request(0) }).await;
        assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
    });
}
