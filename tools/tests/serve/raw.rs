//! A client that sends frames as it likes, and the status that its calls end with.
use std::time::Duration;

use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::HeaderMap;
use tonic::Code;

use crate::support::Server;

/// The token that its calls bring.
pub(crate) const TOKEN: &str = "search-token-0123456789";

type Body = SendStream<prost::bytes::Bytes>;

/// A call whose request goes on.
pub(crate) struct Call {
    pub(crate) body: Body,
    pub(crate) answer: h2::client::ResponseFuture,
}

impl Call {
    /// Sends bytes, the last ones where `end`. One that was answered meanwhile takes none: its answer says why.
    pub(crate) fn send(&mut self, bytes: Vec<u8>, end: bool) {
        drop(self.body.send_data(bytes.into(), end));
    }
}

/// A client that sends frames as it likes; `window` is what it lets the server send on each stream.
pub(crate) struct Raw {
    client: SendRequest<prost::bytes::Bytes>,
    connection: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

impl Raw {
    pub(crate) async fn to(server: &Server, window: u32) -> Raw {
        let tcp = tokio::net::TcpStream::connect(&server.address).await.unwrap();
        let handshake = h2::client::Builder::new().initial_window_size(window).handshake(tcp);
        let (client, connection) = handshake.await.unwrap();
        Raw { client, connection: tokio::spawn(connection) }
    }

    /// The headers of a call.
    pub(crate) async fn open(&self, method: &str, token: Option<&str>, timeout: Option<&str>) -> Call {
        let mut client = self.client.clone().ready().await.unwrap();
        let mut call = http::Request::post(format!("http://localhost{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        if let Some(token) = token {
            call = call.header("authorization", format!("Bearer {token}"));
        }
        if let Some(timeout) = timeout {
            call = call.header("grpc-timeout", timeout);
        }
        let (answer, body) = client.send_request(call.body(()).unwrap(), false).unwrap();
        Call { body, answer }
    }

    /// A whole call.
    pub(crate) async fn call(&self, method: &str, message: &impl prost::Message) -> Call {
        let mut call = self.open(method, Some(TOKEN), None).await;
        let message = message.encode_to_vec();
        call.send(framed(message.len(), &message), true);
        call
    }

    /// Whether the server has ended the connection within `time`.
    pub(crate) async fn ends_within(self, time: Duration) -> bool {
        let Raw { client, connection } = self;
        let ended = tokio::time::timeout(time, connection).await.is_ok();
        drop(client);
        ended
    }
}

/// The beginning of a message of `length` bytes.
#[expect(clippy::disallowed_methods, reason = "gRPC is big-endian")]
pub(crate) fn framed(length: usize, message: &[u8]) -> Vec<u8> {
    [&[0][..], &(length as u32).to_be_bytes(), message].concat()
}

pub(crate) fn code_in(headers: &HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()))
}

/// The status that a call ends with.
pub(crate) async fn code(answer: h2::client::ResponseFuture) -> Code {
    let response = answer.await.unwrap();
    if let Some(code) = code_in(response.headers()) {
        return code;
    }
    let mut body: RecvStream = response.into_body();
    while let Some(data) = body.data().await {
        let bytes = data.unwrap().len();
        body.flow_control().release_capacity(bytes).unwrap();
    }
    code_in(&body.trailers().await.unwrap().unwrap()).unwrap()
}

pub(crate) async fn code_within(answer: h2::client::ResponseFuture, time: Duration) -> Option<Code> {
    tokio::time::timeout(time, code(answer)).await.ok()
}
