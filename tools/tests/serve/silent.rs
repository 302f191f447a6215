//! Clients that connect and make no call.
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::Server;

/// What begins a connection of HTTP/2, and its settings, of which there are none.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A client that says nothing, and one that says no more than that it speaks HTTP/2 and answers nothing.
fn silent(server: &Server) -> [TcpStream; 2] {
    let connect = || TcpStream::connect(&server.address).unwrap();
    let clients = [connect(), connect()];
    (&clients[1]).write_all(PREFACE).unwrap();
    clients
}

/// They lived for the time of an idle connection and of a call.
#[test]
fn connections_without_a_first_call_are_closed_sooner() {
    let server = Server::start(&["--first-call-seconds", "1"]);
    let begun = Instant::now();
    for mut client in silent(&server) {
        client.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
        let mut said = Vec::new();
        // Closed by the other side, with or without what it had sent being read.
        let _ = client.read_to_end(&mut said);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?} {said:?}", begun.elapsed());
    }
    assert!(begun.elapsed() > Duration::from_millis(900));
}

/// It waited five seconds for them.
#[test]
fn a_server_stops_at_once_where_clients_are_silent() {
    let mut server = Server::start(&["--metrics", "127.0.0.1:0"]);
    let clients = silent(&server);
    let begun = Instant::now();
    while server.metric("spandrel_connections ") < 1.5 {
        sleep(Duration::from_millis(10));
    }
    server.terminate();
    assert_eq!(server.wait(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    drop(clients);
}
