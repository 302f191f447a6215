//! All within a radius over the wire: whole, in order, bounded, and given up.
use std::collections::BTreeSet;
use std::net::TcpStream;
use std::sync::OnceLock;
use std::time::Duration;

use prost::Message as _;
use spandrel_client::RangeStream;
use spandrel_proto::v1;
use tempfile::TempDir;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::holding::{ended_with, held, settled, until};
use crate::raw::Raw;
use crate::support::{Server, request, run, spandrel};

const SEARCH_RANGE: &str = "/spandrel.v1.SearchService/SearchRange";
/// Vectors of the large index: several messages.
const LARGE: usize = 60_000;
const LARGE_DIM: u32 = 8;
/// Every vector of it is nearer.
const FAR: f32 = 1e9;

/// An index whose answers take several messages, with its base.
fn large() -> &'static TempDir {
    static LARGE_INDEX: OnceLock<TempDir> = OnceLock::new();
    LARGE_INDEX.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let [base, index] = ["base.u8bin", "index"].map(|name| text(&folder, name));
        let (count, dim) = (LARGE.to_string(), LARGE_DIM.to_string());
        spandrel(&["data", "generate", "sift", "--vectors", &count, "--dim", &dim, "--out", &base]);
        spandrel(&[
            "build",
            "--quiet",
            "--base",
            &base,
            "--metric",
            "l2",
            "--out",
            &index,
            "--no-calibrate",
            "--list-size",
            "16",
        ]);
        folder
    })
}

fn text(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().to_owned()
}

fn server(flags: &[&str]) -> Server {
    Server::of(&format!("index={}", text(large(), "index")), flags)
}

/// A query of the large index, its first vector.
fn within(radius: f32) -> v1::SearchRangeRequest {
    let base = std::fs::read(large().path().join("base.u8bin")).unwrap();
    let row = base[8..8 + LARGE_DIM as usize].to_vec();
    v1::SearchRangeRequest {
        query: Some(v1::Vectors::raw(LARGE_DIM, v1::Dtype::U8, row)),
        radius: Some(radius),
        ..Default::default()
    }
}

/// Has a search for the 10 nearest answered.
async fn ask(server: &Server) {
    let request = v1::SearchRequest { query: within(FAR).query, k: 10, ..Default::default() };
    assert_eq!(server.client().search(request).await.unwrap().ids.len(), 10);
}

/// The messages of an answer: ids and distances of each, and its end.
async fn all(mut stream: RangeStream) -> (Vec<(Vec<u64>, Vec<f32>)>, v1::RangeEnd) {
    let (mut parts, mut end) = (Vec::new(), None);
    while let Some(part) = stream.message().await.unwrap() {
        assert!(end.is_none(), "the end is the last");
        assert!(part.ids.len() <= 1 << 14 && part.ids.len() == part.distances.len());
        end = part.end;
        parts.push((part.ids, part.distances));
    }
    (parts, end.unwrap())
}

#[test]
fn everything_comes_once_and_what_is_left_out_is_named() {
    run(async {
        let server = server(&["--queue-delay-ms", "60000"]);
        let client = server.client();
        let (parts, end) = all(client.search_range(within(FAR), None).await.unwrap()).await;
        assert!(parts.len() > 3, "{} messages", parts.len());
        assert!(parts.iter().all(|(_, distances)| distances.is_sorted()));
        let ids: BTreeSet<u64> = parts.iter().flat_map(|(ids, _)| ids.iter().copied()).collect();
        assert_eq!((ids.len(), end.results), (LARGE, LARGE as u64));
        assert_eq!((end.limited_by(), end.missing, end.completeness), (v1::Limit::Unspecified, None, 1.0));
        assert!(end.work.is_none() && end.index_version == 1 && end.index_uuid.len() == 32);

        let best = v1::SearchRangeRequest { max_results: Some(500), with_work: true, ..within(FAR) };
        let (parts, end) = all(client.search_range(best, None).await.unwrap()).await;
        let distances: Vec<f32> = parts.into_iter().flat_map(|(_, distances)| distances).collect();
        assert!(distances.len() == 500 && distances.is_sorted());
        assert_eq!(end.limited_by(), v1::Limit::MaxResults);
        assert!(end.work.unwrap().codes >= 500);
        let radius = distances[400];
        let (parts, end) = all(client.search_range(within(radius), None).await.unwrap()).await;
        let exact: Vec<f32> = parts.into_iter().flat_map(|(_, distances)| distances).collect();
        assert_eq!(exact.len(), distances.partition_point(|&distance| distance <= radius), "inclusive");
        assert_eq!(end.results, exact.len() as u64);
        let few = v1::SearchRangeRequest { max_bytes: Some(1), ..within(radius) };
        let (_, end) = all(client.search_range(few, None).await.unwrap()).await;
        assert_eq!(end.limited_by(), v1::Limit::MaxBytes);

        // The command line prints the same from both.
        let queries = text(large(), "queries.u8bin");
        spandrel(&["data", "crop", &text(large(), "base.u8bin"), &queries, "--rows", "0..3"]);
        let radius = radius.to_string();
        let flags = ["query", "--quiet", "--queries", &queries, "--radius", &radius];
        for more in [&[][..], &["--max-results", "7"], &["--completeness", "0.9"]] {
            let remote = spandrel(&[&flags[..], &["--server", &server.address], more].concat());
            let local = spandrel(&[&flags[..], &["--index", &text(large(), "index")], more].concat());
            assert_eq!(remote, local, "{more:?}");
        }
    });
}

#[test]
fn what_cannot_be_asked_is_refused_by_field() {
    run(async {
        let server = Server::start(&["--max-range-results", "100"]);
        let client = server.client();
        let valid =
            v1::SearchRangeRequest { query: request(0).query, radius: Some(1.0), ..Default::default() };
        let mut many = request(0).query.unwrap();
        if let Some(v1::vectors::Form::Raw(raw)) = &mut many.form {
            raw.data = raw.data.repeat(2).into();
        }
        for (field, wrong) in [
            ("radius", v1::SearchRangeRequest { radius: None, ..valid.clone() }),
            ("radius", v1::SearchRangeRequest { radius: Some(f32::NAN), ..valid.clone() }),
            ("radius", v1::SearchRangeRequest { radius: Some(f32::INFINITY), ..valid.clone() }),
            ("radius", v1::SearchRangeRequest { radius: Some(-1.0), ..valid.clone() }),
            ("completeness", v1::SearchRangeRequest { completeness: Some(1.5), ..valid.clone() }),
            ("completeness", v1::SearchRangeRequest { completeness: Some(f32::NAN), ..valid.clone() }),
            ("max_results", v1::SearchRangeRequest { max_results: Some(0), ..valid.clone() }),
            ("max_results", v1::SearchRangeRequest { max_results: Some(101), ..valid.clone() }),
            ("max_bytes", v1::SearchRangeRequest { max_bytes: Some(0), ..valid.clone() }),
            ("distances", v1::SearchRangeRequest { distances: 9, ..valid.clone() }),
            ("query", v1::SearchRangeRequest { query: None, ..valid.clone() }),
            ("query", v1::SearchRangeRequest { query: Some(many), ..valid.clone() }),
        ] {
            let refused = client.search_range(wrong, None).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{field}: {refused}");
            let details = refused.get_details_bad_request().unwrap();
            assert_eq!(details.field_violations[0].field, field, "{refused}");
        }
        let estimates = v1::SearchRangeRequest { distances: v1::Distances::Any as i32, ..valid.clone() };
        let refused = client.search_range(estimates, None).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        let nowhere = v1::SearchRangeRequest { index: "none".to_owned(), ..valid };
        assert_eq!(client.search_range(nowhere, None).await.unwrap_err().code(), Code::NotFound);
    });
}

#[test]
fn a_reader_that_never_reads_holds_no_thread_and_little_memory() {
    run(async {
        let flags =
            ["--threads", "1", "--in-flight", "1", "--request-seconds", "3", "--metrics", "127.0.0.1:0"];
        let server = server(&[&flags[..], &["--queue-delay-ms", "60000"]].concat());
        ask(&server).await;
        let lists = f64::from(server.client().describe_index("").await.unwrap().lists);
        let raw = Raw::to(&server, 0).await;
        let mut unread = Vec::new();
        for _ in 0..4 {
            unread.push(raw.call(SEARCH_RANGE, &within(FAR)).await);
        }
        until("a first message is ready", || held(&server) > 1e5).await;
        // The only search thread, with one query at a time, is free: nobody searches on.
        let grown = settled(|| held(&server), async || ask(&server).await).await;
        assert!(server.metric("spandrel_queries_in_flight{index=\"index\"}") < 0.5);
        // Of each call the numbers of its lists, and two messages of four.
        assert!(grown < 4.0 * (20.0 * lists + 2.5 * 120e3), "{grown} bytes are held");
        assert!(raw.ends_within(Duration::from_secs(20)).await);
        until("all comes back", || held(&server) < 1.0).await;
    });
}

#[test]
fn what_is_held_to_the_end_is_counted() {
    run(async {
        let flags = ["--metrics", "127.0.0.1:0", "--max-message", "16KiB", "--queue-delay-ms", "60000"];
        let server = server(&flags);
        let lists = f64::from(server.client().describe_index("").await.unwrap().lists);
        // Besides, three messages of less than 10 kB, and the request.
        let rest = 35e3;
        let raw = Raw::to(&server, 0).await;
        let mut of_lists = 0.0;
        let best = v1::SearchRangeRequest { max_results: Some(100_000), ..within(FAR) };
        for (request, results) in [(within(FAR), 0.0), (best, LARGE as f64)] {
            let unread = raw.call(SEARCH_RANGE, &request).await;
            let (least, most) = match of_lists {
                0.0 => (16.0 * lists, 32.0 * lists + rest),
                of_lists => (of_lists + 16.0 * results - rest, of_lists + 16.0 * results + rest),
            };
            let is_so = || (least..most).contains(&held(&server));
            until(&format!("{least} to {most} bytes are held for {results} results"), is_so).await;
            of_lists = settled(|| held(&server), async || ask(&server).await).await;
            assert!((least..most).contains(&of_lists), "{of_lists} bytes, not {least} to {most}");
            drop(unread);
            until("all comes back", || held(&server) < 1.0).await;
        }
    });
}

#[test]
fn one_under_way_when_the_server_stops_is_finished() {
    run(async {
        let mut server = server(&["--max-message", "16KiB", "--queue-delay-ms", "60000"]);
        let raw = Raw::to(&server, 65_535).await;
        let mut body = raw.call(SEARCH_RANGE, &within(FAR)).await.answer.await.unwrap().into_body();
        // One window; the rest is not yet searched.
        let mut came = body.data().await.unwrap().unwrap();
        server.terminate();
        server.log.wait(&["stopping"]);
        until("no further connection is taken", || TcpStream::connect(&server.address).is_err()).await;
        let mut all = Vec::new();
        loop {
            all.extend_from_slice(&came);
            body.flow_control().release_capacity(came.len()).unwrap();
            let Some(more) = body.data().await else { break };
            came = more.unwrap();
        }
        assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
        let (mut rest, mut ids, mut end) = (&all[..], BTreeSet::new(), None);
        while let Some((&[0, a, b, c, d], after)) = rest.split_first_chunk() {
            let (message, after) = after.split_at(u32::from_le_bytes([d, c, b, a]) as usize);
            let message = v1::SearchRangeResponse::decode(message).unwrap();
            ids.extend(message.ids);
            (end, rest) = (message.end, after);
        }
        assert_eq!((ids.len(), end.unwrap().results, rest.len()), (LARGE, LARGE as u64, 0));
        let log = server.log.clone();
        assert_eq!(tokio::task::spawn_blocking(move || server.wait()).await.unwrap(), Some(0));
        log.wait(&["stopped", "cut=0"]);
    });
}

#[test]
fn one_that_is_given_up_ends_and_so_does_one_that_is_late() {
    run(async {
        let server = server(&["--metrics", "127.0.0.1:0", "--queue-delay-ms", "60000"]);
        let client = server.client();
        for _ in 0..10 {
            let mut stream = client.search_range(within(FAR), None).await.unwrap();
            let first = stream.message().await.unwrap().unwrap();
            assert!(!first.ids.is_empty() && first.end.is_none());
            drop(stream);
        }
        until("all are given up", || ended_with(&server, "SearchRange", "CANCELLED") > 9.5).await;
        until("all comes back", || held(&server) < 1.0).await;
        let soon = Some(Duration::from_micros(100));
        let late = match client.search_range(within(FAR), soon).await {
            Err(status) => status,
            Ok(mut stream) => loop {
                match stream.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("60 000 vectors in a tenth of a millisecond"),
                    Err(status) => break status,
                }
            },
        };
        assert_eq!(late.code(), Code::DeadlineExceeded, "{late}");
        let (parts, _) = all(client.search_range(within(FAR), None).await.unwrap()).await;
        assert!(parts.len() > 3);
    });
}

#[test]
fn clients_of_a_server_measure_what_an_index_gives() {
    let server = server(&[]);
    let folder = tempfile::tempdir().unwrap();
    let [queries, truth] = ["queries.u8bin", "truth.range"].map(|name| text(&folder, name));
    let (base, index) = (text(large(), "base.u8bin"), text(large(), "index"));
    spandrel(&["data", "crop", &base, &queries, "--rows", "0..30"]);
    let within = ["--radius", "900", "--queries", &queries];
    spandrel(&[&["data", "truth", "--base", &base, "--metric", "l2", "--out", &truth], &within[..]].concat());
    let bench = |place: [&str; 2]| -> Vec<serde_json::Value> {
        let flags = ["--truth", &truth, "--completeness", "0.5,1", "--seconds", "0", "--format", "json"];
        let said = spandrel(&[&["bench", "--quiet"], &place[..], &within, &flags].concat());
        serde_json::from_str(&said).unwrap()
    };
    let [there, here] = [bench(["--server", &server.address]), bench(["--index", &index])];
    assert_eq!((there.len(), here.len()), (2, 2));
    for (there, here) in there.iter().zip(&here) {
        for key in ["recall", "average_precision", "results", "vectors_scanned", "lists", "params"] {
            assert_eq!(there[key], here[key], "{key}: {there}, {here}");
        }
        assert!(there["results"].as_f64() > Some(1.0) && there["p99_us"].as_f64() > Some(0.0), "{there}");
    }
    assert_eq!(there[1]["recall"], 1.0);
}
