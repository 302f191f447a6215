//! Traces: calls reach a collector, as part of the trace that their client names.
use std::time::Duration;

use spandrel_proto::v1::search_service_client::SearchServiceClient;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::Request;
use tonic::transport::Endpoint;

use crate::support::{Server, request, run};

/// Takes in what is exported: the messages' bytes.
async fn collector() -> (String, mpsc::UnboundedReceiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(socket).await.unwrap();
                while let Some(Ok((request, mut answer))) = connection.accept().await {
                    assert!(request.uri().path().ends_with("TraceService/Export"), "{}", request.uri());
                    let sender = sender.clone();
                    tokio::spawn(async move {
                        let (mut body, mut bytes) = (request.into_body(), Vec::new());
                        while let Some(Ok(data)) = body.data().await {
                            bytes.extend_from_slice(&data);
                        }
                        let response = http::Response::builder()
                            .header("content-type", "application/grpc")
                            .header("grpc-status", "0");
                        answer.send_response(response.body(()).unwrap(), true).unwrap();
                        drop(sender.send(bytes));
                    });
                }
            });
        }
    });
    (address, receiver)
}

#[test]
fn calls_go_on_in_the_traces_of_their_clients() {
    run(async {
        let (address, mut exported) = collector().await;
        let server = Server::start(&["--otlp", &address]);
        let channel = Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
        let mut client = SearchServiceClient::new(channel.connect().await.unwrap());
        let trace: Vec<u8> = (1..=16).collect();
        let span: Vec<u8> = (101..=108).collect();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let mut named = Request::new(request(0));
        let parent = format!("00-{}-{}-01", hex(&trace), hex(&span));
        named.metadata_mut().insert("traceparent", parent.parse().unwrap());
        client.search(named).await.unwrap();
        // What is no trace is none, and the call goes on.
        let mut garbled = Request::new(request(1));
        garbled.metadata_mut().insert("traceparent", "00-zz".parse().unwrap());
        client.search(garbled).await.unwrap();

        let contains = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        let mut all = Vec::new();
        while !(contains(&all, &trace) && contains(&all, b"Search")) {
            let next = tokio::time::timeout(Duration::from_secs(20), exported.recv()).await;
            all.extend(next.expect("spans leave within seconds").unwrap());
        }
        assert!(contains(&all, &span), "the client's span is the parent");
    });
}
