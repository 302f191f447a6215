//! TLS, client certificates, tokens, and addresses that others can reach.
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use spandrel_proto::v1;
use spandrel_tools::client::{Client, ClientConfig, ClientTls, RetryPolicy};
use tonic::Code;

use crate::support::{Server, http_get, made, request, run, spandrel};

const SEARCH: &str = "search-token-0123456789";
const ADMIN: &str = "admin-token-0123456789";

/// Makes a certificate authority, and writes what it has signed: `NAME-ca.pem`, `NAME.pem`, `NAME.key`.
fn sign(folder: &Path, name: &str) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let signed = params.signed_by(&key, &ca).unwrap();
    std::fs::write(folder.join(format!("{name}-ca.pem")), ca.pem()).unwrap();
    std::fs::write(folder.join(format!("{name}.pem")), signed.pem()).unwrap();
    std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

fn client(server: &Server, folder: &Path, ca: &str, identity: Option<&str>, token: Option<&str>) -> Client {
    let file = |name: String| folder.join(name);
    let identity = identity.map(|name| (file(format!("{name}.pem")), file(format!("{name}.key"))));
    let tls = Some(ClientTls { ca: file(format!("{ca}-ca.pem")), identity, domain: None });
    let config =
        ClientConfig { tls, token: token.map(str::to_owned), retry: RetryPolicy::NEVER, ..server.config() };
    Client::new(&config).unwrap()
}

#[test]
fn tokens_open_what_their_scope_allows() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let tokens = folder.path().join("tokens");
        std::fs::write(&tokens, format!("# for tests\nsearch {SEARCH}\nadmin {ADMIN}\n")).unwrap();
        let root = made().text("half");
        let server = Server::start(&["--tokens", tokens.to_str().unwrap(), "--root", &root]);
        let with = |token: Option<&str>| {
            Client::new(&ClientConfig { token: token.map(str::to_owned), ..server.config() }).unwrap()
        };
        for token in [None, Some("search-token-012345678"), Some("x")] {
            let refused = with(token).search(request(0)).await.unwrap_err();
            assert_eq!(refused.code(), Code::Unauthenticated, "{token:?}");
            assert!(!refused.message().contains("0123"), "{refused}");
        }
        let load =
            || v1::LoadIndexRequest { index: "half".to_owned(), path: root.clone(), ..Default::default() };
        for token in [SEARCH, ADMIN] {
            assert_eq!(with(Some(token)).search(request(0)).await.unwrap().ids.len(), 10);
        }
        let refused = with(Some(SEARCH)).admin().load_index(load()).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        with(Some(ADMIN)).admin().load_index(load()).await.unwrap();

        let token = folder.path().join("token");
        std::fs::write(&token, format!("{SEARCH}\n")).unwrap();
        let fixed = [
            "query",
            "--server",
            &server.address,
            "--index-name",
            "index",
            "--token",
            token.to_str().unwrap(),
        ];
        let queries = made().text("queries.u8bin");
        assert_eq!(
            spandrel(&[&fixed[..], &["--quiet", "--queries", &queries]].concat()),
            made().in_process("index", &[])
        );

        let named = || v1::SearchRequest { index: "index".to_owned(), ..request(0) };
        let renewed = "search-token-of-another-day";
        std::fs::write(&tokens, "search too-short\n").unwrap();
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert!(with(Some(SEARCH)).search(named()).await.is_ok(), "a file with mistakes changes nothing");
        std::fs::write(&tokens, format!("search {renewed}\n")).unwrap();
        while with(Some(renewed)).search(named()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let refused = with(Some(SEARCH)).search(named()).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "a token that was taken away");
    });
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
            client(&server, folder, ca, identity, None).search(request(0)).await.is_ok()
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
fn what_is_not_safe_or_cannot_work_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let index = format!("index={}", made().text("index"));
    let run = |flags: &[&str]| {
        // Not the usual port, which may be in use.
        let listen = if flags.contains(&"--listen") { &[][..] } else { &["--listen", "127.0.0.1:0"] };
        let fixed = [&["serve", "--index", &index, "--metrics", "off"], listen].concat();
        let output = Command::new(env!("CARGO_BIN_EXE_spandrel")).args(fixed).args(flags).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let tokens = file("tokens", &format!("search {SEARCH}\n"));
    let bad_tokens = file("bad-tokens", &format!("{SEARCH}\n"));
    let no_pem = file("no.pem", "not a certificate");
    let unknown = file("unknown.toml", "[server]\nlisten_on = 'x'\n");
    for (flags, code, word) in [
        (&["--listen", "0.0.0.0:0"][..], 1, "--insecure"),
        (&["--listen", "0.0.0.0:0", "--tokens", &tokens], 1, "no TLS"),
        (&["--tokens", &bad_tokens], 1, "line 1"),
        (&["--tls-certificate", &no_pem, "--tls-key", &no_pem], 1, "no.pem"),
        (&["--tls-key", &no_pem], 2, "both a certificate and its key"),
        (&["--config", &unknown], 1, "listen_on"),
        (&["--index", "index=/other"], 2, "two indexes"),
        (&["--index", "other=/no/such"], 1, "other"),
        (&["--root", "/no/such"], 1, "/no/such"),
        (&["--listen", "nowhere"], 2, "nowhere"),
        (&["--max-message", "1"], 2, "max-message"),
    ] {
        for check in [&["--check"][..], &[]] {
            let (found, said) = run(&[flags, check].concat());
            assert_eq!(found, Some(code), "{flags:?}: {said}");
            assert!(said.contains(word) && !said.contains(SEARCH), "{flags:?}: {said}");
        }
    }
    let (code, said) = run(&["--listen", "0.0.0.0:0", "--insecure", "--check"]);
    assert_eq!(code, Some(0), "{said}");
}
