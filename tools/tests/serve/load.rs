//! More than the server can do: refused early, told when to come back, and everything is well afterwards.
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use spandrel_client::{Client, ClientConfig};
use spandrel_proto::v1;
use tokio::task::JoinSet;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{QUERIES, Server, bytes, made, request, run, spandrel};

/// Every list and every vector, so that a query takes its time.
fn thorough(number: usize) -> v1::SearchRequest {
    let options = v1::SearchOptions { max_lists: Some(10_000), rerank: Some(5000), ..Default::default() };
    v1::SearchRequest { options: Some(options), ..request(number) }
}

/// All queries, some times over.
fn thorough_batch(times: usize) -> v1::SearchBatchRequest {
    let queries = Some(bytes(made().queries().repeat(times)));
    v1::SearchBatchRequest { queries, k: 10, options: thorough(0).options, ..Default::default() }
}

/// One search thread, and room and time for large batches on a busy machine.
const ROOM: [&str; 8] =
    ["--threads", "1", "--max-batch", "100000", "--max-message", "64MiB", "--request-seconds", "3600"];

/// A client that waits as long.
fn patient(server: &Server) -> Client {
    Client::new(&ClientConfig { timeout: Some(Duration::from_secs(3600)), ..server.config() }).unwrap()
}

const IN_FLIGHT: &str = "spandrel_queries_in_flight{index=\"index\"}";
const REFUSED: &str = "spandrel_queries_refused_total{index=\"index\"}";

/// Waits until that many queries are with the server.
async fn until_in_flight(server: &Server, queries: usize) {
    while server.metric(IN_FLIGHT) < queries as f64 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn overload_is_refused_at_once_and_passes() {
    run(async {
        let flags =
            ["--queue-delay-ms", "20", "--threads", "1", "--in-flight", "1", "--degrade-effort-min", "0.5"];
        let server = Server::start(&[&flags[..], &["--metrics", "127.0.0.1:0"]].concat());
        let client = server.client();
        for number in 0..20 {
            client.search(thorough(number)).await.unwrap();
        }
        let (mut answered, mut degraded, mut promised, mut refused) = (0, 0, 0, 0);
        // Until there was each: how many a busy machine answers before the queue is full is its own affair.
        while answered == 0 || degraded == 0 || promised == 0 || refused == 0 {
            let mut tasks = JoinSet::new();
            for number in 0..500 {
                let client = client.clone();
                let recall = v1::SearchOptions { recall: Some(0.99), ..Default::default() };
                let asked = match number % 2 {
                    0 => thorough(number % QUERIES),
                    _ => v1::SearchRequest { options: Some(recall), ..request(number % QUERIES) },
                };
                tasks.spawn(async move { client.search(asked).await });
            }
            while let Some(joined) = tasks.join_next().await {
                match joined.unwrap() {
                    Ok(answer) => {
                        answered += 1;
                        degraded += i32::from(answer.effort.is_some());
                        match (answer.effort, answer.promise) {
                            (Some(effort), None) => {
                                assert!(
                                    (1..effort.asked_lists).contains(&effort.searched_lists),
                                    "{effort:?}"
                                );
                            }
                            // Of a recall less is left, and the answer says what.
                            (Some(_), Some(promise)) => {
                                let expected = promise.expected_recall.unwrap();
                                assert!(expected < promise.target && !promise.reached, "{promise:?}");
                                promised += 1;
                            }
                            (None, _) => {}
                        }
                    }
                    Err(status) => {
                        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
                        let after = status.get_details_retry_info().unwrap().retry_delay.unwrap();
                        assert!(after > Duration::ZERO && after < Duration::from_secs(60), "{after:?}");
                        refused += 1;
                    }
                }
            }
        }
        let counted = server.metric(REFUSED);
        assert!((counted - f64::from(refused)).abs() < 0.5, "{counted} counted, {refused} seen");
        assert!(
            (server.metric("spandrel_queries_degraded_total{index=\"index\"}") - f64::from(degraded)).abs()
                < 0.5
        );
        let after = client.search(thorough(0)).await.unwrap();
        assert!(after.effort.is_none(), "all is well once the load is gone");
        assert!(server.metric(IN_FLIGHT).abs() < 0.5);
    });
}

#[test]
fn a_large_batch_lets_others_pass() {
    /// Queries of the batch: half a minute of work.
    const BATCH: usize = 100 * QUERIES;
    run(async {
        let server = Server::start(&[&ROOM[..], &["--metrics", "127.0.0.1:0"]].concat());
        let client = patient(&server);
        let long = tokio::spawn({
            let client = client.clone();
            async move { client.search_batch(thorough_batch(100)).await }
        });
        until_in_flight(&server, BATCH).await;
        for number in 0..5 {
            client.search(request(number)).await.unwrap();
        }
        // The batch counts until its last query is answered.
        assert!(
            server.metric(IN_FLIGHT) > BATCH as f64 - 0.5,
            "single queries are answered before a large batch"
        );
        assert!(!long.is_finished());
        long.abort();
    });
}

#[test]
fn batches_do_not_refuse_single_queries() {
    run(async {
        // Far less than the batches take, and far more than a query or two of a busy machine.
        let flags = ["--queue-delay-ms", "1000", "--metrics", "127.0.0.1:0"];
        let server = Server::start(&[&ROOM[..], &flags].concat());
        let client = patient(&server);
        // So that it is known what a query takes.
        for number in 0..20 {
            client.search(thorough(number)).await.unwrap();
        }
        let mut batches = JoinSet::new();
        for _ in 0..5 {
            let client = client.clone();
            batches.spawn(async move { client.search_batch(thorough_batch(20)).await });
        }
        until_in_flight(&server, 5 * 20 * QUERIES).await;
        for number in 0..20 {
            client.search(request(number)).await.unwrap();
        }
        assert!(batches.try_join_next().is_none(), "single queries are answered before the batches are");
        assert!(server.metric(REFUSED) < 0.5);
        batches.abort_all();
        while batches.join_next().await.is_some() {}
        // And a batch with nothing beside it is answered whole.
        assert_eq!(client.search_batch(thorough_batch(1)).await.unwrap().counts.len(), QUERIES);
    });
}

#[test]
fn a_batch_that_cannot_be_in_time_is_refused_at_once() {
    run(async {
        let server = Server::start(&[
            "--threads",
            "1",
            "--max-batch",
            "100000",
            "--max-message",
            "64MiB",
            "--metrics",
            "127.0.0.1:0",
        ]);
        let client = server.client();
        let mut needed = Duration::ZERO;
        for number in 0..20 {
            let begun = Instant::now();
            client.search(thorough(number)).await.unwrap();
            needed = needed.max(begun.elapsed());
        }
        let batch = thorough_batch(200);
        let hasty = ClientConfig { timeout: Some(Duration::from_secs(5)), ..server.config() };
        let begun = Instant::now();
        let refused = Client::new(&hasty).unwrap().search_batch(batch).await.unwrap_err();
        assert_eq!(refused.code(), Code::DeadlineExceeded, "{refused}");
        assert!(refused.message().contains("40000 queries take about"), "{refused}; {needed:?} for one");
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
        assert!(server.metric(REFUSED) < 0.5, "that is no load");
    });
}

#[test]
fn batches_that_are_let_in_are_answered_in_time() {
    /// Callers, each with a batch at a time.
    const CALLERS: usize = 8;
    /// Batches that are let in.
    const LET_IN: usize = 24;
    run(async {
        let flags = ["--threads", "1", "--in-flight", "1", "--queue-delay-ms", "60000"];
        let server = Server::start(&flags);
        let client = server.client();
        let mut all = Duration::ZERO;
        for number in 0..20 {
            let begun = Instant::now();
            client.search(thorough(number)).await.unwrap();
            all += begun.elapsed();
        }
        // Time for two or three batches.
        let timeout = (all * 3 * QUERIES as u32 / 20).max(Duration::from_secs(1));
        let client = Client::new(&ClientConfig { timeout: Some(timeout), ..server.config() }).unwrap();
        let counts: Arc<[AtomicUsize; 3]> = Arc::default();
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let (client, counts) = (client.clone(), Arc::clone(&counts));
            callers.spawn(async move {
                let [answered, late, refused] = &*counts;
                while answered.load(Relaxed) + late.load(Relaxed) < LET_IN {
                    match client.search_batch(thorough_batch(1)).await.map_err(|status| status.code()) {
                        Ok(_) => answered.fetch_add(1, Relaxed),
                        Err(Code::DeadlineExceeded) => late.fetch_add(1, Relaxed),
                        Err(Code::ResourceExhausted) => {
                            // Sooner than it is told to, so that there is always one who asks.
                            tokio::time::sleep(timeout / 50).await;
                            refused.fetch_add(1, Relaxed)
                        }
                        Err(other) => panic!("{other}"),
                    };
                }
            });
        }
        while let Some(joined) = callers.join_next().await {
            joined.unwrap();
        }
        let [answered, late, refused] = [0, 1, 2].map(|count| counts[count].load(Relaxed));
        // A machine that is given less of its time than when a batch was let in cannot help it. Without a look at the others one in ten was
        // answered.
        assert!(2 * answered > late, "{answered} answered, {late} late, {refused} refused");
        assert!(refused > 0, "{answered} answered, {late} late");
    });
}

#[test]
fn calls_given_up_are_not_searched_to_their_end() {
    const CALLS: usize = 12;
    run(async {
        let flags = ["--in-flight", "1", "--queue-delay-ms", "60000", "--metrics", "127.0.0.1:0"];
        let server = Server::start(&[&ROOM[..], &flags].concat());
        let client = patient(&server);
        let before = server.processor_time();
        client.search_batch(thorough_batch(1)).await.unwrap();
        let one = server.processor_time() - before;
        let mut tasks = JoinSet::new();
        for _ in 0..CALLS {
            let client = client.clone();
            tasks.spawn(async move { client.search_batch(thorough_batch(1)).await });
        }
        // The engine works on one after the other: nearly all that it has of them is still to be done.
        until_in_flight(&server, CALLS / 2 * QUERIES).await;
        let before = server.processor_time();
        tasks.abort_all();
        while tasks.join_next().await.is_some() {}
        while server.metric(IN_FLIGHT) > 0.5 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let spent = server.processor_time() - before;
        let whole = one * (CALLS / 2) as u32;
        assert!(spent < whole / 2, "{spent:?} for queries that nobody waits for; {whole:?} answers them all");
        client.search(request(0)).await.unwrap();
    });
}

#[test]
fn connections_over_the_limit_are_closed_and_idle_ones_go() {
    run(async {
        let server =
            Server::start(&["--max-connections", "3", "--idle-seconds", "1", "--metrics", "127.0.0.1:0"]);
        let clients: Vec<_> = (0..3).map(|_| server.client()).collect();
        for client in &clients {
            client.search(request(0)).await.unwrap();
        }
        let refused = server.client().search(request(0)).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "{refused}");
        while server.metric("spandrel_connections ") > 0.5 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // Clients notice and connect again.
        clients[0].search(request(0)).await.unwrap();
        assert!(server.metric("spandrel_connections_refused_total ") > 0.5);
    });
}

#[test]
fn closed_loops_wait_for_a_loaded_server_and_go_on() {
    let server = Server::start(&["--threads", "1", "--in-flight", "1", "--queue-delay-ms", "1"]);
    let [queries, base, truth] =
        ["queries.u8bin", "base.u8bin", "patient.ibin"].map(|name| made().text(name));
    spandrel(&["data", "truth", "--base", &base, "--queries", &queries, "--metric", "l2", "--out", &truth]);
    let slow = ["--max-lists", "10000", "--rerank", "2000"];
    let expected = made().in_process("index", &slow);
    for rpc in ["unary", "batch", "stream"] {
        let server = ["--server", &server.address, "--queries", &queries, "--rpc", rpc, "--connections", "4"];
        let json = made().text(&format!("patient-{rpc}.json"));
        let bench =
            ["bench", "--quiet", "--truth", &truth, "--in-flight", "32", "--seconds", "0", "--json", &json];
        spandrel(&[&bench[..], &server, &slow].concat());
        let points: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
        assert!(points[0]["recall"].as_f64().unwrap() > 0.99, "every query got its answer: {points}");
        let share = points[0]["refused_share"].as_f64().unwrap();
        assert!(share > 0.0 && share < 1.0, "{rpc}: {points}");
        assert_eq!(spandrel(&[&["query", "--quiet"][..], &server, &slow].concat()), expected, "{rpc}");
    }
}
