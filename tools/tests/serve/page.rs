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
    let page = http_get(&address, "/");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("</html>"), "{page}");
    for header in ["content-security-policy: default-src 'none'", "x-content-type-options: nosniff"] {
        assert!(page.contains(header), "{header}");
    }
    assert!(!page.contains("access-control-allow-origin"), "nobody else may read answers");
    let (code, body) = get(&address, "/api/search?index=index&id=42&k=3", &host);
    let found: Value = serde_json::from_str(&body).unwrap();
    let first = &found["neighbours"][0];
    assert_eq!((code, &first["id"], &first["distance"]), (200, &"42".into(), &0.0.into()), "{found}");
    assert_eq!((&first["estimated"], &found["index_version"]), (&false.into(), &1.into()), "{found}");
    assert_eq!(found["neighbours"].as_array().unwrap().len(), 3, "{found}");
    assert_eq!(found.get("limited_by"), Some(&Value::Null), "{found}");
    assert!(
        found["work"]["lists"].as_u64() > Some(0) && found["times_us"]["search"].as_f64() > Some(0.0),
        "{found}"
    );
    let (code, body) = get(&address, "/api/search?index=index&id=42&k=3&filter=id+in+%5B7%2C+42%5D", &host);
    let among: Value = serde_json::from_str(&body).unwrap();
    let ids: Vec<&str> =
        among["neighbours"].as_array().unwrap().iter().map(|near| near["id"].as_str().unwrap()).collect();
    assert_eq!((code, &ids[..], &among["matches"]), (200, &["42", "7"][..], &2.into()), "{among}");
    assert_eq!(found["matches"], Value::Null, "{found}");
    for (path, expected, word) in [
        ("/api/search?index=index&id=1&k=3&filter=price+%3C+3", 400, "no attribute `price`"),
        ("/api/search?index=index&id=1&k=3&filter=id+in", 400, "filter"),
        ("/api/search?index=index&id=5000&k=3", 404, "no vector 5000"),
        ("/api/search?index=other&id=1&k=3", 404, "only 'index'"),
        ("/api/search?index=index&id=1&k=0", 400, "at least 1"),
        ("/api/search?index=index&id=1&k=1001", 400, "limit is 1000"),
        ("/api/search?index=index&id=1&k=1&epsilon=3", 400, "unknown key"),
        ("/api/search?index=index&id=-1&k=1", 400, "id"),
        ("/api/search", 400, "id"),
    ] {
        let (code, body) = get(&address, path, &host);
        let error: Value = serde_json::from_str(&body).unwrap();
        assert!(code == expected && error["error"].as_str().unwrap().contains(word), "{path}: {code} {body}");
    }
    assert_eq!(get(&address, "/healthz", &host), (200, "serving\n".to_owned()));
    let (code, body) = get(&address, "/none", &host);
    assert!(code == 404 && body.contains("\"error\""), "{body}");
}

#[test]
fn metrics_come_in_the_form_that_is_asked_for() {
    let server = Server::start(&["--listen", "localhost:0", "--metrics", "localhost:0"]);
    let address = server.metrics.clone().unwrap();
    let plain = http_get(&address, "/metrics");
    assert!(plain.contains("content-type: text/plain; version=0.0.4"), "{plain}");
    assert!(plain.contains("# TYPE spandrel_queries_total counter\n") && !plain.contains("# EOF"), "{plain}");
    let accept = format!("Host: {address}\r\nAccept: application/openmetrics-text\r\n");
    let (_, open) = get(&address, "/metrics", &accept);
    assert!(open.contains("# TYPE spandrel_queries counter\n") && open.contains("# EOF"), "{open}");
}

#[test]
fn status_counts_what_was_searched() {
    let server = Server::start(&["--metrics", "127.0.0.1:0"]);
    let address = server.metrics.clone().unwrap();
    let host = format!("Host: {address}\r\n");
    for id in 0..5 {
        assert_eq!(get(&address, &format!("/api/search?id={id}"), &host).0, 200);
    }
    assert_eq!(get(&address, "/api/search?id=5000", &host).0, 404);
    let (code, body) = get(&address, "/api/status", &host);
    let status: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((code, &status["search"], &status["stopping"]), (200, &"open".into(), &false.into()));
    let index = &status["indexes"][0];
    assert_eq!(
        (&index["name"], &index["vectors"], &index["dim"], &index["dtype"]),
        (&"index".into(), &VECTORS.into(), &DIM.into(), &"u8".into())
    );
    assert_eq!((&index["metric"], &index["version"]), (&"l2".into(), &1.into()));
    assert_eq!((&index["counts"]["queries"], &index["counts"]["refused"]), (&5.into(), &0.into()), "{index}");
    assert!(index["memory_bytes"]["codes"].as_u64() > Some(0) && index["quarantined"] == 0, "{index}");
    let (calibration, has_k) = (&index["calibration"], |curve: &&Value| curve["k"] == 10);
    let curve = calibration["curves"].as_array().unwrap().iter().find(has_k).unwrap();
    assert!(calibration["source"] == "rows" && curve["queries"].as_u64() > Some(0), "{calibration}");
    assert!(curve["most"].as_f64() > Some(0.9) && curve.get("points").is_none(), "{calibration}");
    let ends = status["bucket_seconds"].as_array().unwrap().len();
    for stage in ["queue", "search", "probe", "scan", "plan", "wait", "verify", "rerank"] {
        let buckets = index["stages"][stage]["buckets"].as_array().unwrap();
        let count: u64 = buckets.iter().map(|count| count.as_u64().unwrap()).sum();
        assert_eq!((buckets.len(), count), (ends + 1, 5), "{stage}");
    }
    let calls = status["calls"].as_array().unwrap();
    let count = |code: &str| {
        let call = calls.iter().find(|call| call["method"] == "SearchById" && call["code"] == code);
        call.map(|call| call["count"].as_u64().unwrap())
    };
    assert_eq!((count("OK"), count("NOT_FOUND")), (Some(5), Some(1)), "{calls:?}");
    // Prometheus is told the same.
    let stages =
        server.metric("spandrel_query_stage_duration_seconds_count{index=\"index\",stage=\"probe\"}");
    assert!((stages - 5.0).abs() < 0.5, "{stages}");
}

#[test]
fn other_sites_and_strangers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, "search 0123456789abcdef\n").unwrap();
    let server = Server::start(&["--metrics", "127.0.0.1:0", "--tokens", tokens.to_str().unwrap()]);
    let address = server.metrics.clone().unwrap();
    for host in ["Host: evil.example\r\n", "Host: 127.0.0.1.evil.example\r\n"] {
        for path in ["/", "/api/status", "/api/search?index=index&id=1&k=1"] {
            assert_eq!(get(&address, path, host).0, 403, "{host}");
        }
    }
    let local = format!("Host: localhost:{}\r\n", address.rsplit(':').next().unwrap());
    let search = "/api/search?index=index&id=1&k=1";
    assert_eq!(get(&address, search, &local).0, 401);
    assert_eq!(get(&address, search, &format!("{local}Authorization: Bearer 0123456789abcdeX\r\n")).0, 401);
    assert_eq!(get(&address, search, &format!("{local}Authorization: Bearer 0123456789abcdef\r\n")).0, 200);
    assert!(get(&address, "/api/status", &local).1.contains("\"search\":\"token\""));
    for header in ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Origin: http://evil.example"] {
        let allowed = "Authorization: Bearer 0123456789abcdef\r\n";
        assert_eq!(get(&address, search, &format!("{local}{allowed}{header}\r\n")).0, 403, "{header}");
    }
}
