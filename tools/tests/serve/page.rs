//! The second port: what the status page asks for, and who may ask.
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use crate::support::{DIM, Server, VECTORS, http_get};

/// A request with headers of its own: the status code and the body.
fn get(address: &str, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[test]
fn the_page_and_what_it_asks_for_are_there() {
    let server = Server::start(&["--metrics", "127.0.0.1:0"]);
    let address = server.metrics.clone().unwrap();
    let host = format!("Host: {address}\r\n");
    for path in ["/", "/page.css", "/page.js"] {
        let text = http_get(&address, path);
        assert!(
            text.starts_with("HTTP/1.1 200") && text.contains("content-security-policy: default-src 'none'"),
            "{path}"
        );
    }
    let (code, body) = get(&address, "/api/indexes", &host);
    let status: Value = serde_json::from_str(&body).unwrap();
    let index = &status["indexes"][0];
    assert_eq!((code, &status["needs_token"], &status["stopping"]), (200, &false.into(), &false.into()));
    assert_eq!(
        (&index["name"], &index["vectors"], &index["dim"]),
        (&"index".into(), &VECTORS.into(), &DIM.into())
    );
    let (code, body) = get(&address, "/api/search?index=index&id=42&k=3", &host);
    let found: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((code, &found["ids"][0], &found["distances"][0]), (200, &"42".into(), &0.0.into()), "{found}");
    assert!(found["ids"].as_array().unwrap().len() == 3 && found["work"]["lists"].as_u64().unwrap() > 0);
    for (path, expected, word) in [
        ("/api/search?index=index&id=5000&k=3", 404, "no vector 5000"),
        ("/api/search?index=other&id=1&k=3", 404, "only 'index'"),
        ("/api/search?index=index&id=1&k=0", 400, "at least 1"),
        ("/api/search?index=index&id=1&k=101", 400, "more than 100"),
        ("/api/search?index=index&id=-1&k=1", 400, "id"),
        ("/api/search", 400, "id"),
    ] {
        let (code, body) = get(&address, path, &host);
        let error: Value = serde_json::from_str(&body).unwrap();
        assert!(code == expected && error["error"].as_str().unwrap().contains(word), "{path}: {code} {body}");
    }
    assert_eq!(get(&address, "/healthz", &host), (200, "serving\n".to_owned()));
    assert_eq!(get(&address, "/none", &host).0, 404);
}

#[test]
fn other_sites_and_strangers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, "search 0123456789abcdef\n").unwrap();
    let server = Server::start(&["--metrics", "127.0.0.1:0", "--tokens", tokens.to_str().unwrap()]);
    let address = server.metrics.clone().unwrap();
    for host in ["Host: evil.example\r\n", "Host: 127.0.0.1.evil.example\r\n"] {
        for path in ["/", "/api/indexes", "/api/search?index=index&id=1&k=1"] {
            assert_eq!(get(&address, path, host).0, 403, "{host}");
        }
    }
    let local = format!("Host: localhost:{}\r\n", address.rsplit(':').next().unwrap());
    let search = "/api/search?index=index&id=1&k=1";
    assert_eq!(get(&address, search, &local).0, 401);
    assert_eq!(get(&address, search, &format!("{local}Authorization: Bearer 0123456789abcdeX\r\n")).0, 401);
    assert_eq!(get(&address, search, &format!("{local}Authorization: Bearer 0123456789abcdef\r\n")).0, 200);
    assert!(get(&address, "/api/indexes", &local).1.contains("\"needs_token\":true"));
}
