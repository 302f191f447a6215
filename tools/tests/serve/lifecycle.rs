//! Starting, loading and stopping: what clients and load balancers are told meanwhile, and what is given up.
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use prost::Message as _;
use spandrel_client::{Client, ClientConfig};
use spandrel_proto::v1;
use spandrel_proto::v1::{OperationKind, OperationState};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{Gate, Server, bytes, copy_folder, http_get, made, request, run};

const SERVING: i32 = 1;
const NOT_SERVING: i32 = 2;

async fn health(server: &Server) -> HealthClient<tonic::transport::Channel> {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
    HealthClient::new(endpoint.connect().await.unwrap())
}

/// What the health service says of a name.
async fn status_of(server: &Server, service: &str) -> Result<i32, Code> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let checked = health(server).await.check(request).await;
    checked.map(|response| response.into_inner().status).map_err(|status| status.code())
}

#[test]
fn while_an_index_loads_both_ports_say_so() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        copy_folder(&made().path("index"), folder.path());
        let gate = Gate::close(folder.path());
        let index = format!("index={}", folder.path().display());
        let mut server = Server::loading(&index, &["--metrics", "127.0.0.1:0"]);
        let metrics = server.metrics.clone().unwrap();
        for name in ["", "index", "spandrel.v1.SearchService"] {
            assert_eq!(status_of(&server, name).await, Ok(NOT_SERVING), "{name:?}");
        }
        let refused = server.client().search(request(0)).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        assert!(refused.message().contains("loading: 0 of 1 indexes are open"), "{refused}");
        let page = http_get(&metrics, "/readyz");
        assert!(page.starts_with("HTTP/1.1 503") && page.ends_with("loading 0 of 1\n"), "{page}");
        assert!(http_get(&metrics, "/healthz").starts_with("HTTP/1.1 200"), "it lives");
        gate.open();
        server.ready();
        server.client().search(request(0)).await.unwrap();
        for name in ["", "index", "spandrel.v1.SearchService"] {
            assert_eq!(status_of(&server, name).await, Ok(SERVING), "{name:?}");
        }
        assert!(http_get(&metrics, "/readyz").starts_with("HTTP/1.1 200"));
    });
}

#[test]
fn a_server_told_to_stop_while_it_loads_stops_loading() {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&made().path("index"), folder.path());
    let gate = Gate::close(folder.path());
    let mut server = Server::loading(&format!("index={}", folder.path().display()), &[]);
    server.terminate();
    server.log.wait(&["stopping"]);
    gate.open();
    assert_eq!(server.wait(), Some(0));
    assert!(!server.log.text().contains("serving"), "{}", server.log.text());
}

#[test]
fn a_load_that_was_given_up_stops_before_the_next_begins() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let slow = folder.path().join("slow");
        copy_folder(&made().path("half"), &slow);
        let gate = Gate::close(&slow);
        copy_folder(&made().path("half"), &folder.path().join("quick"));
        let server = Server::start(&["--root", folder.path().to_str().unwrap(), "--metrics", "127.0.0.1:0"]);
        let load = |name: &str| {
            let path = folder.path().join(name).to_str().unwrap().to_owned();
            v1::StartLoadRequest { index: name.to_owned(), path, ..Default::default() }
        };
        let (client, mut admin) = (server.client(), server.client().admin());
        let given_up = admin.start_load(load("slow")).await.unwrap().into_inner();
        assert_eq!((given_up.kind(), given_up.state()), (OperationKind::Load, OperationState::Running));
        let watching = tokio::spawn({
            let (client, started) = (client.clone(), given_up.clone());
            async move { client.wait(started, |_| {}).await }
        });
        let next = tokio::spawn({
            let (client, quick) = (client.clone(), load("quick"));
            async move { client.load_index(quick).await }
        });
        let id = given_up.id;
        let cancelled = admin.cancel_operation(v1::CancelOperationRequest { id }).await.unwrap().into_inner();
        assert_eq!(cancelled.state(), OperationState::Cancelled);
        assert_eq!(watching.await.unwrap().unwrap().state(), OperationState::Cancelled);
        // Of its own thread: it is still waiting for the file.
        let listed =
            admin.list_operations(v1::ListOperationsRequest {}).await.unwrap().into_inner().operations;
        let states: Vec<_> =
            listed.iter().map(|operation| (operation.index.as_str(), operation.state())).collect();
        let expected = [("slow", OperationState::Cancelled), ("quick", OperationState::Running)];
        assert_eq!(states, expected, "two were opening at once");
        gate.open();
        let opened = next.await.unwrap().unwrap();
        assert_eq!((opened.old_version, opened.summary.unwrap().name.as_str()), (None, "quick"));
        let indexes = admin.list_indexes(v1::ListIndexesRequest {}).await.unwrap().into_inner().indexes;
        let names: Vec<String> = indexes.into_iter().map(|index| index.name).collect();
        assert_eq!(names, ["index", "quick"], "what was given up is not served");
        client.load_index(load("slow")).await.unwrap();

        // What is unloaded leaves no name behind.
        assert_eq!(status_of(&server, "slow").await, Ok(SERVING));
        let unload = v1::UnloadIndexRequest { index: "slow".to_owned() };
        server.client().admin().unload_index(unload).await.unwrap();
        assert_eq!(status_of(&server, "slow").await, Err(Code::NotFound));
        let told = http_get(server.metrics.as_ref().unwrap(), "/metrics");
        assert!(told.contains("index=\"quick\"") && !told.contains("index=\"slow\""), "{told}");
    });
}

#[test]
fn operations_are_watched_to_their_end_and_remembered() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let damaged = folder.path().join("damaged");
        copy_folder(&made().path("half"), &damaged);
        let vectors = damaged.join("vectors-1");
        let mut bytes = std::fs::read(&vectors).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&vectors, bytes).unwrap();
        let server = Server::start(&["--root", folder.path().to_str().unwrap()]);
        let (client, mut admin) = (server.client(), server.client().admin());
        let path = damaged.to_str().unwrap().to_owned();
        let load = v1::StartLoadRequest { index: "damaged".to_owned(), path, ..Default::default() };
        client.load_index(load).await.unwrap();
        let loaded = admin.get_operation(v1::GetOperationRequest { id: 1 }).await.unwrap().into_inner();
        assert!(loaded.done_bytes > 10_000, "what stays in memory was read: {loaded:?}");
        let verify = v1::StartVerifyRequest { index: "damaged".to_owned(), deep: false };
        let started = admin.start_verify(verify).await.unwrap().into_inner();
        let mut watching =
            admin.watch_operation(v1::WatchOperationRequest { id: started.id }).await.unwrap().into_inner();
        let mut last = None;
        while let Some(now) = watching.message().await.unwrap() {
            assert_eq!((now.id, now.kind()), (2, OperationKind::Verify));
            last = Some(now);
        }
        let last = last.unwrap();
        assert_eq!(last.state(), OperationState::Done);
        let verified = spandrel_client::verified(last.clone()).unwrap();
        assert!(!verified.whole && verified.problem.contains("vectors-1") && last.seconds > 0.0, "{last:?}");
        let again = admin.get_operation(v1::GetOperationRequest { id: 2 }).await.unwrap().into_inner();
        assert_eq!(again, last);
        // What cannot be opened fails, with the status of a call that is refused.
        std::fs::write(damaged.join("CURRENT"), b"nothing").unwrap();
        let switch = v1::StartSwitchRequest { index: "damaged".to_owned(), ..Default::default() };
        let refused = client.switch_index(switch).await.unwrap_err();
        assert_eq!(refused.code(), Code::DataLoss, "{refused}");
        let unknown = admin.watch_operation(v1::WatchOperationRequest { id: 77 }).await.unwrap_err();
        assert_eq!(unknown.code(), Code::NotFound);
    });
}

#[test]
fn a_server_drains_before_it_refuses() {
    run(async {
        let mut server = Server::start(&["--drain-seconds", "2", "--metrics", "127.0.0.1:0"]);
        let mut watch =
            health(&server).await.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
        assert_eq!(watch.message().await.unwrap().unwrap().status, SERVING);
        server.terminate();
        assert_eq!(watch.message().await.unwrap().unwrap().status, NOT_SERVING);
        // Over a new connection, from a client who has not noticed.
        server.client().search(request(0)).await.unwrap();
        let page = http_get(server.metrics.as_ref().unwrap(), "/readyz");
        assert!(page.starts_with("HTTP/1.1 503") && page.ends_with("stopping\n"), "{page}");
        assert_eq!(tokio::task::spawn_blocking(move || server.wait()).await.unwrap(), Some(0));
    });
}

#[test]
fn an_answer_on_its_way_is_finished_before_the_server_ends() {
    run(async {
        let mut server = Server::start(&["--grace-seconds", "60"]);
        let tcp = tokio::net::TcpStream::connect(&server.address).await.unwrap();
        let (mut client, connection) = h2::client::handshake(tcp).await.unwrap();
        tokio::spawn(connection);
        let call =
            http::Request::post(format!("http://{}/spandrel.v1.SearchService/SearchBatch", server.address))
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .body(())
                .unwrap();
        let batch = v1::SearchBatchRequest {
            index: String::new(),
            queries: Some(bytes(made().queries())),
            k: 1000,
            ..Default::default()
        };
        let message = batch.encode_to_vec();
        let length = u32::try_from(message.len()).unwrap().swap_bytes().to_le_bytes();
        let (response, mut sender) = client.send_request(call, false).unwrap();
        sender.send_data([&[0][..], &length, &message].concat().into(), true).unwrap();
        let mut body = response.await.unwrap().into_body();
        // One window of 64 KiB, of over 1 MB; the rest waits for the client.
        let mut came = body.data().await.unwrap().unwrap();
        server.terminate();
        server.log.wait(&["stopping"]);
        let mut total = came.len();
        loop {
            // A client that reads slowly.
            tokio::time::sleep(Duration::from_millis(5)).await;
            body.flow_control().release_capacity(came.len()).unwrap();
            let Some(more) = body.data().await else { break };
            came = more.unwrap();
            total += came.len();
        }
        let trailers = body.trailers().await.unwrap().unwrap();
        assert_eq!(trailers["grpc-status"], "0");
        assert!(total > 1_000_000, "{total}");
        let log = server.log.clone();
        assert_eq!(tokio::task::spawn_blocking(move || server.wait()).await.unwrap(), Some(0));
        log.wait(&["stopped", "cut=0"]);
    });
}

#[test]
fn a_reader_of_the_log_that_goes_away_does_not_end_the_server() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let (tokens, dir) = (folder.path().join("tokens"), folder.path().join("index"));
        std::fs::write(&tokens, "search 0123456789abcdef\n").unwrap();
        copy_folder(&made().path("index"), &dir);
        let gate = Gate::close(&dir);
        let (index, tokens) = (format!("index={}", dir.display()), tokens.to_str().unwrap());
        let mut child = Command::new(env!("CARGO_BIN_EXE_spandrel"))
            .args([
                "serve",
                "--index",
                &index,
                "--listen",
                "127.0.0.1:0",
                "--metrics",
                "off",
                "--tokens",
                tokens,
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("loading listen=") {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0);
        }
        let address = line.split("listen=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        // As `head` does once it has seen enough.
        drop(log);
        drop(child.stdout.take());
        gate.open();
        let config = ClientConfig { address, ..ClientConfig::default() };
        let with =
            |token: &str| Client::new(&ClientConfig { token: Some(token.to_owned()), ..config.clone() });
        // Each is written down.
        for _ in 0..3 {
            let refused = with("0123456789abcdeX").unwrap().search(request(0)).await.unwrap_err();
            assert_eq!(refused.code(), Code::Unauthenticated);
        }
        with("0123456789abcdef").unwrap().search(request(0)).await.unwrap();
        assert!(child.try_wait().unwrap().is_none(), "it is still there");
        child.kill().unwrap();
        child.wait().unwrap();
    });
}
