//! Filters whose callers leave, or whose time ends, while they are compiled.
use std::time::{Duration, Instant};

use prost::Message as _;
use tonic::Code;

use super::messages::{K, as_text, costly, request};
use super::rows::server;
use crate::holding::{held, until};
use crate::raw::{Raw, code, framed};
use crate::support::{Server, run};

const SEARCH: &str = "/spandrel.v1.SearchService/Search";
/// Pairs of comparisons: their number is the limit of a filter.
const PAIRS: usize = 5000;

fn taken(server: &Server) -> f64 {
    server.metric("spandrel_index_memory_bytes{index=\"index\",part=\"filters\"}")
}

fn compiled(server: &Server) -> f64 {
    server.metric_or_zero("spandrel_filters_compiled_total{index=\"index\"}")
}

#[test]
fn a_filter_whose_caller_leaves_is_given_up() {
    const CALLS: usize = 60;
    const FIRST: usize = 8;
    run(async {
        let server = server(&["--metrics", "127.0.0.1:0"]);
        let idle = server.processor_time();
        for number in CALLS..CALLS + FIRST {
            server.client().search(request(0, costly(number, PAIRS))).await.unwrap();
        }
        let one = (server.processor_time() - idle) / FIRST as u32;
        let of_first = taken(&server);
        let raw = Raw::to(&server, 65_535).await;
        let mut calls = Vec::new();
        for number in 0..CALLS {
            let mut call = raw.open(SEARCH, None, None).await;
            let message = request(0, costly(number, PAIRS)).encode_to_vec();
            call.send(framed(message.len(), &message), true);
            calls.push(call);
        }
        until("some are being compiled", || taken(&server) > of_first + 1e5).await;
        let before = server.processor_time();
        for mut call in calls {
            call.body.send_reset(h2::Reason::CANCEL);
        }
        until("all bytes come back", || held(&server) < 1.0).await;
        // Filters are compiled in the order in which they were asked for: those before it are done or given up.
        server.client().search(request(0, costly(CALLS + FIRST, PAIRS))).await.unwrap();
        let (worked, done) = (server.processor_time() - before, compiled(&server) as usize - FIRST);
        let most = one * (CALLS.saturating_sub(done) as u32 / 3).max(8);
        assert!(worked < most, "{worked:?} for filters of nobody; {one:?} for one");
        let of_each = || taken(&server) / compiled(&server);
        let most = 1.5 * of_first / FIRST as f64;
        until("memory of those that were given up comes back", || of_each() < most).await;
        assert_eq!(
            server.client().search(request(0, as_text("stock > 3"))).await.unwrap().ids.len(),
            K as usize
        );
    });
}

#[test]
fn a_filter_is_compiled_no_longer_than_its_deadline_allows() {
    run(async {
        let server = server(&["--metrics", "127.0.0.1:0"]);
        let raw = Raw::to(&server, 65_535).await;
        // How long it takes on this machine, now.
        let begun = Instant::now();
        server.client().search(request(0, costly(0, PAIRS))).await.unwrap();
        let whole = begun.elapsed();
        let (before, kept) = (server.processor_time(), taken(&server));
        let mut calls = Vec::new();
        for number in 1..=20 {
            let mut call = raw.open(SEARCH, None, Some(&format!("{}u", whole.as_micros() / 8))).await;
            let message = request(0, costly(number, PAIRS)).encode_to_vec();
            call.send(framed(message.len(), &message), true);
            calls.push(call);
        }
        let mut late = 0;
        for call in calls {
            let ended = code(call.answer).await;
            // Those that could not be in time behind others are refused at once.
            assert!(matches!(ended, Code::DeadlineExceeded | Code::ResourceExhausted), "{ended:?}");
            late += u32::from(ended == Code::DeadlineExceeded);
        }
        assert!(late > 0);
        until("all memory comes back", || taken(&server) < kept + 1.0).await;
        // Twenty of them would take twenty times as long.
        let worked = server.processor_time() - before;
        assert!(worked < 10 * whole + Duration::from_millis(100), "{worked:?} for what takes {whole:?} once");
        assert!((compiled(&server) - 1.0).abs() < 0.1);
    });
}
