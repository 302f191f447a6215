//! Tokens, the audit log, and addresses that others can reach.
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use spandrel_client::{Client, ClientConfig};
use spandrel_proto::v1;
use tonic::Code;

use crate::support::{Gate, Server, copy_folder, made, request, run, spandrel};

const SEARCH: &str = "search-token-0123456789";
const ADMIN: &str = "admin-token-0123456789";

#[test]
fn tokens_open_what_their_scope_allows() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let tokens = folder.path().join("tokens");
        std::fs::write(&tokens, format!("# for tests\nsearch {SEARCH}\nadmin {ADMIN} night shift\n"))
            .unwrap();
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
            || v1::StartLoadRequest { index: "half".to_owned(), path: root.clone(), ..Default::default() };
        for token in [SEARCH, ADMIN] {
            assert_eq!(with(Some(token)).search(request(0)).await.unwrap().ids.len(), 10);
        }
        let refused = with(Some(SEARCH)).load_index(load()).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        with(Some(ADMIN)).load_index(load()).await.unwrap();
        for (token, sees) in [(SEARCH, false), (ADMIN, true)] {
            let about = with(Some(token)).describe_index("half").await.unwrap();
            assert_eq!(about.path == root, sees, "folders are for admins to know: {}", about.path);
        }

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
        server.log.wait(&["tokens changed and cannot be used"]);
        assert!(with(Some(SEARCH)).search(named()).await.is_ok(), "a file with mistakes changes nothing");
        std::fs::write(&tokens, format!("search {renewed}\n")).unwrap();
        while with(Some(renewed)).search(named()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let refused = with(Some(SEARCH)).search(named()).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "a token that was taken away");

        // Who did what, and who was turned away.
        let peer = "peer=127.0.0.1:";
        server.log.wait(&[peer, "call refused", "method=\"Search\"", "unknown token"]);
        let asked = ["call refused", "method=\"StartLoad\"", "caller=\"line 2\"", "needs admin"];
        server.log.wait(&[&[peer][..], &asked].concat());
        let done = ["admin action", "method=\"StartLoad\"", "caller=\"night shift\"", "outcome=\"OK\""];
        server.log.wait(&[&[peer][..], &done].concat());
        let log = server.log.text();
        assert!([SEARCH, ADMIN, renewed].iter().all(|secret| !log.contains(secret)), "{log}");
    });
}

#[test]
fn a_stream_ends_when_its_token_is_taken_away() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let tokens = folder.path().join("tokens");
        std::fs::write(&tokens, format!("search {SEARCH}\nsearch {ADMIN}\n")).unwrap();
        let server = Server::start(&["--tokens", tokens.to_str().unwrap()]);
        let ask = v1::SearchStreamRequest { tag: 1, request: Some(request(1)) };
        let open = async |token: &str| {
            let config = ClientConfig { token: Some(token.to_owned()), ..server.config() };
            let (sender, receiver) = tokio::sync::mpsc::channel(4);
            let queries = tokio_stream::wrappers::ReceiverStream::new(receiver);
            let mut stream = Client::new(&config).unwrap().search_stream(queries, None).await.unwrap();
            sender.send(ask.clone()).await.unwrap();
            assert_eq!(stream.message().await.unwrap().unwrap().tag, 1);
            (sender, stream)
        };
        let (_sender, mut revoked) = open(SEARCH).await;
        let (sender, mut kept) = open(ADMIN).await;
        std::fs::write(&tokens, format!("search {ADMIN}\n")).unwrap();
        let ended = revoked.message().await.unwrap_err();
        assert_eq!(ended.code(), Code::Unauthenticated, "{ended}");
        sender.send(ask.clone()).await.unwrap();
        assert_eq!(kept.message().await.unwrap().unwrap().tag, 1, "another token's stream goes on");
    });
}

#[test]
fn a_flood_of_wrong_tokens_leaves_a_few_lines() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let tokens = folder.path().join("tokens");
        std::fs::write(&tokens, format!("search {SEARCH}\n")).unwrap();
        let server = Server::start(&["--tokens", tokens.to_str().unwrap()]);
        let begun = std::time::Instant::now();
        for _ in 0..500 {
            server.client().search(request(0)).await.unwrap_err();
        }
        server.log.wait(&["call refused"]);
        let lines = server.log.text().matches("call refused").count() as u64;
        let seconds = begun.elapsed().as_secs() + 1;
        assert!(lines <= 10 * (seconds + 1), "{lines} lines in {seconds} s");
    });
}

#[test]
fn a_token_taken_away_while_the_index_loads_is_gone() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let (tokens, dir) = (folder.path().join("tokens"), folder.path().join("index"));
        copy_folder(&made().path("index"), &dir);
        let gate = Gate::close(&dir);
        std::fs::write(&tokens, format!("search {SEARCH}\n")).unwrap();
        let index = format!("index={}", dir.display());
        let mut server = Server::loading(&index, &["--tokens", tokens.to_str().unwrap()]);
        std::fs::write(&tokens, "search another-token-0123456789\n").unwrap();
        gate.open();
        server.ready();
        let client = |token: &str| {
            Client::new(&ClientConfig { token: Some(token.to_owned()), ..server.config() }).unwrap()
        };
        server.log.wait(&["tokens read again"]);
        let refused = client(SEARCH).search(request(0)).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        client("another-token-0123456789").search(request(0)).await.unwrap();
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
        let metrics = if flags.contains(&"--metrics") { &[][..] } else { &["--metrics", "off"] };
        let fixed = [&["serve", "--index", &index], listen, metrics].concat();
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
        (&["--metrics", "0.0.0.0:0", "--insecure"], 1, "--metrics-insecure"),
        (&["--listen", "0.0.0.0:0", "--metrics", "0.0.0.0:0", "--metrics-insecure"], 1, "say --insecure"),
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
    let (code, said) = run(&["--metrics", "0.0.0.0:0", "--metrics-insecure", "--check"]);
    assert_eq!(code, Some(0), "{said}");

    let warns = |mode: u32, text: &str, word: &str| {
        let tokens = file("warned", text);
        std::fs::set_permissions(&tokens, std::fs::Permissions::from_mode(mode)).unwrap();
        let (code, said) = run(&["--tokens", &tokens, "--check"]);
        assert_eq!(code, Some(0), "{said}");
        said.contains(word)
    };
    let token = format!("search {SEARCH}\n");
    assert!(warns(0o644, &token, "everybody on this machine can read it"));
    assert!(!warns(0o640, &token, "warning"));
    assert!(warns(0o600, "search certificate *\n", "--tls-client-ca"));
}
