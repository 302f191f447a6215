//! TLS: certificates of both sides, what is wrong with them in words, and what clients' certificates allow.
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use spandrel_client::{Client, ClientConfig, ClientTls, RetryPolicy};
use spandrel_proto::v1;
use tonic::Code;

use crate::support::{Server, http_get, made, request, run};

/// Makes a certificate authority, and writes what it has signed: `NAME-ca.pem`, `NAME.pem`, `NAME.key`.
fn sign(folder: &Path, name: &str) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let signed = params.signed_by(&key, &ca).unwrap();
    std::fs::write(folder.join(format!("{name}-ca.pem")), ca.pem()).unwrap();
    std::fs::write(folder.join(format!("{name}.pem")), signed.pem()).unwrap();
    std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

fn tls(folder: &Path, ca: &str, identity: Option<&str>) -> ClientTls {
    let file = |name: String| folder.join(name);
    let identity = identity.map(|name| (file(format!("{name}.pem")), file(format!("{name}.key"))));
    ClientTls { ca: Some(file(format!("{ca}-ca.pem"))), identity, domain: None }
}

fn client(server: &Server, folder: &Path, ca: &str, identity: Option<&str>) -> Client {
    Client::new(&ClientConfig { tls: Some(tls(folder, ca, identity)), ..server.config() }).unwrap()
}

#[test]
fn certificates_are_checked_on_both_sides_and_read_again() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        ["server", "client", "stranger"].iter().for_each(|name| sign(folder, name));
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let (certificate, key, ca) = (path("server.pem"), path("server.key"), path("client-ca.pem"));
        let flags = ["--tls-certificate", &certificate, "--tls-key", &key, "--tls-client-ca", &ca];
        let server = Server::start(&[&flags[..], &["--metrics", "127.0.0.1:0"]].concat());
        let answers = async |ca: &str, identity: Option<&str>| {
            client(&server, folder, ca, identity).search(request(0)).await.is_ok()
        };
        assert!(answers("server", Some("client")).await);
        assert!(!answers("server", None).await, "a client without a certificate");
        assert!(!answers("server", Some("stranger")).await, "a client signed by somebody else");
        assert!(!answers("stranger", Some("client")).await, "a server signed by somebody else");
        assert!(server.client().search(request(0)).await.is_err(), "no TLS at all");
        let page = http_get(server.metrics.as_ref().unwrap(), "/api/search?id=1");
        assert!(page.starts_with("HTTP/1.1 403") && page.contains("client certificates"), "{page}");

        sign(folder, "renewed");
        std::fs::copy(folder.join("renewed.key"), folder.join("server.key")).unwrap();
        std::fs::copy(folder.join("renewed.pem"), folder.join("server.pem")).unwrap();
        while !answers("renewed", Some("client")).await {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert!(!answers("server", Some("client")).await, "the old certificate is gone");
    });
}

#[test]
fn what_is_wrong_with_certificates_is_named_on_both_sides_and_ends_the_call() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        ["server", "client", "stranger"].iter().for_each(|name| sign(folder, name));
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let (certificate, key, ca) = (path("server.pem"), path("server.key"), path("client-ca.pem"));
        let flags = ["--tls-certificate", &certificate, "--tls-key", &key, "--tls-client-ca", &ca];
        let server = Server::start(&flags);
        let elsewhere = ClientTls {
            domain: Some("elsewhere.example".to_owned()),
            ..tls(folder, "server", Some("client"))
        };
        // In TLS 1.3 a client goes on before the server has judged its certificate: a connection may end before the
        // client has read why, and one of the next few attempts reads it. What the client judges itself it meets once.
        for (tls, told, logged, handshakes_max) in [
            (
                tls(folder, "server", None),
                "asks for a certificate, and the client has none",
                "the client shows no certificate",
                10,
            ),
            (
                tls(folder, "server", Some("stranger")),
                "the server does not know the issuer of the client's certificate",
                "the client's certificate is signed by an issuer that is not trusted here",
                10,
            ),
            (
                tls(folder, "stranger", Some("client")),
                "the server's certificate is signed by an issuer that is not trusted here",
                "the client does not know the issuer of the server's certificate",
                1,
            ),
            (
                elsewhere,
                "is for localhost, 127.0.0.1, not for elsewhere.example",
                "as it does one for another name",
                1,
            ),
        ] {
            let failed = || server.log.text().matches("TLS handshake failed").count();
            let (before, begun) = (failed(), Instant::now());
            // Would go on for minutes.
            let retry = RetryPolicy { attempts: 1000, ..RetryPolicy::default() };
            let config = ClientConfig {
                tls: Some(tls),
                retry,
                timeout: Some(Duration::from_secs(60)),
                ..server.config()
            };
            let refused = Client::new(&config).unwrap().search(request(0)).await.unwrap_err();
            assert!(refused.message().contains(told), "{refused}");
            assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
            assert!(begun.elapsed() < Duration::from_secs(20), "tried again: {:?}", begun.elapsed());
            server.log.wait(&["TLS handshake failed", "peer=127.0.0.1:", logged]);
            let handshakes = failed() - before;
            assert!((1..=handshakes_max).contains(&handshakes), "{handshakes}: {}", server.log.text());
        }
        let plain = server.client().search(request(0)).await.unwrap_err();
        assert_eq!(plain.code(), Code::Unavailable);
        server.log.wait(&["TLS handshake failed", "the client does not speak TLS"]);
        let without = Server::start(&[]);
        let tls = Some(tls(folder, "server", None));
        let refused =
            Client::new(&ClientConfig { tls, ..without.config() }).unwrap().search(request(0)).await;
        let refused = refused.unwrap_err();
        assert!(refused.message().contains("the server does not speak TLS"), "{refused}");
    });
}

#[test]
fn what_is_wrong_with_a_clients_files_is_named() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        ["server", "client"].iter().for_each(|name| sign(folder, name));
        std::fs::copy(folder.join("server.key"), folder.join("other.key")).unwrap();
        std::fs::copy(folder.join("client.pem"), folder.join("other.pem")).unwrap();
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
        std::fs::write(folder.join("locked.key"), encrypted).unwrap();
        std::fs::copy(folder.join("client.pem"), folder.join("locked.pem")).unwrap();
        for (name, told) in
            [("other", "other.key: not the key of the certificate"), ("locked", "is encrypted")]
        {
            let config =
                ClientConfig { tls: Some(tls(folder, "server", Some(name))), ..ClientConfig::default() };
            let config = ClientConfig { address: "127.0.0.1:1".to_owned(), ..config };
            let refused = Client::new(&config).unwrap_err().to_string();
            assert!(refused.contains(told), "{refused}");
        }
        let (certificate, key) = (folder.join("locked.pem"), folder.join("locked.key"));
        let index = format!("index={}", made().text("index"));
        let flags = [
            "serve",
            "--check",
            "--index",
            &index,
            "--tls-certificate",
            certificate.to_str().unwrap(),
            "--tls-key",
            key.to_str().unwrap(),
        ];
        let output = Command::new(env!("CARGO_BIN_EXE_spandrel")).args(flags).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains("the private key is encrypted"), "{said}");
    });
}

#[test]
fn a_certificate_allows_searching_and_the_file_more() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        ["server", "client"].iter().for_each(|name| sign(folder, name));
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let (certificate, key, ca) = (path("server.pem"), path("server.key"), path("client-ca.pem"));
        let root = made().text("half");
        let flags =
            ["--tls-certificate", &certificate, "--tls-key", &key, "--tls-client-ca", &ca, "--root", &root];
        let load =
            || v1::StartLoadRequest { index: "half".to_owned(), path: root.clone(), ..Default::default() };
        let alone = Server::start(&flags);
        let certified = client(&alone, folder, "server", Some("client"));
        certified.search(request(0)).await.unwrap();
        let refused = certified.load_index(load()).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
        alone.log.wait(&["call refused", "caller=\"certificate localhost\"", "StartLoad"]);

        let tokens = path("tokens");
        std::fs::write(&tokens, "admin certificate localhost\n").unwrap();
        let mapped = Server::start(&[&flags[..], &["--tokens", &tokens]].concat());
        let certified = client(&mapped, folder, "server", Some("client"));
        certified.load_index(load()).await.unwrap();
        mapped.log.wait(&["admin action", "caller=\"certificate localhost\"", "StartLoad", "OK"]);
        std::fs::write(&tokens, "search certificate *\nadmin certificate operations.example\n").unwrap();
        mapped.log.wait(&["tokens read again"]);
        certified.search(v1::SearchRequest { index: "index".to_owned(), ..request(0) }).await.unwrap();
        let refused = certified.load_index(load()).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    });
}

#[test]
fn the_command_takes_the_systems_roots_and_another_name() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    sign(folder, "server");
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let server = Server::start(&["--tls-certificate", &path("server.pem"), "--tls-key", &path("server.key")]);
    let queries = made().text("queries.u8bin");
    let ask = |flags: &[&str], roots: &str| {
        let fixed = ["query", "--quiet", "--server", &server.address, "--queries", &queries];
        let mut command = Command::new(env!("CARGO_BIN_EXE_spandrel"));
        let output = command.args(fixed).args(flags).env("SSL_CERT_FILE", path(roots)).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    };
    sign(folder, "stranger");
    let (done, answers, said) = ask(&["--tls"], "server-ca.pem");
    assert!(done, "{said}");
    assert_eq!(answers, made().in_process("index", &[]));
    assert!(ask(&["--tls-server-name", "localhost"], "server-ca.pem").0);
    for (flags, roots, told) in [
        (&["--tls"][..], "stranger-ca.pem", "signed by an issuer that is not trusted here"),
        (&["--tls-server-name", "elsewhere.example"], "server-ca.pem", "not for elsewhere.example"),
    ] {
        let (done, _, said) = ask(flags, roots);
        assert!(!done && said.contains(told) && said.contains("--tls-server-name"), "{said}");
    }
    let (done, _, said) = ask(&[], "server-ca.pem");
    assert!(!done && said.contains("does it talk TLS (--tls)?"), "{said}");
}
